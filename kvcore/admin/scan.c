/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/admin/scan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- telling ---- */

void scan_file_name(struct kv_file_id id, char to[48])
{
    static const char *const ends[] = {"", "log", "manifest", "table", "blob"};
    snprintf(to, 48, "%08" PRIu64 ".%s", id.number, ends[id.kind]);
}

static void count(struct scan *scan, const struct kv_problem_kind *kind)
{
    bool is_problem = kind->severity != KV_SEVERITY_NOTE;
    scan->result.notes += !is_problem;
    scan->result.problems += is_problem;
    scan->unsafe += is_problem && !kind->safe;
    scan->repairable += is_problem && kind->repair != NULL;
}

static bool is_to_be_repaired(const struct scan *scan, const struct kv_problem_kind *kind)
{
    enum kv_admin_mode mode = scan->options->mode;
    return kind->severity != KV_SEVERITY_NOTE && kind->repair != NULL && mode != KV_ADMIN_REPORT &&
           (mode == KV_ADMIN_REPAIR || kind->safe);
}

void scan_tell(struct scan *scan, const struct scan_place *place, const char *format, ...)
{
    const struct kv_problem_kind *kind = kv_problem_kind(place->code);
    struct kv_problem problem = {.kind = kind,
                                 .offset = place->offset,
                                 .error = place->error,
                                 .table = admin_state_table_name(&scan->state, place->table_id),
                                 .from = place->from,
                                 .to = place->to,
                                 .will_repair = is_to_be_repaired(scan, kind)};
    char text[SCAN_TEXT_SIZE];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    problem.text = text;
    if (place->name != NULL) {
        snprintf(problem.file, sizeof problem.file, "%s", place->name);
    } else if (place->id.number != 0) {
        scan_file_name(place->id, problem.file);
    }
    count(scan, kind);
    if (!scan->stopped && scan->options->problem_fn != NULL) {
        scan->stopped = scan->options->problem_fn(scan->options->arg, &problem) != 0;
    }
}

int scan_spend(struct scan *scan, uint64_t bytes)
{
    scan->progress.bytes += bytes;
    if (!scan->stopped && scan->options->progress_fn != NULL) {
        scan->stopped = scan->options->progress_fn(scan->options->arg, &scan->progress) != 0;
    }
    return scan->stopped ? -ECANCELED : 0;
}

int scan_read_fn(void *arg, uint64_t bytes)
{
    return scan_spend(arg, bytes);
}

/* The first report of a pass is the precise one. */
static void take_damage(void *arg, const struct message_place *place, const char *text)
{
    struct scan *scan = arg;
    scan->said_offset = place->offset;
    snprintf(scan->said, sizeof scan->said, "%s", text);
}

void scan_begin_sink(struct scan *scan)
{
    scan->sink = (struct message_sink){.damage_fn = take_damage, .damage_arg = scan};
}

struct scan_file *scan_find(struct scan *scan, enum kv_file_kind kind, uint64_t number)
{
    size_t low = 0, high = scan->file_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct kv_file_id *id = &scan->files[middle].id;
        if (id->kind < kind || (id->kind == kind && id->number < number)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < scan->file_count && scan->files[low].id.kind == kind &&
                   scan->files[low].id.number == number
               ? &scan->files[low]
               : NULL;
}

/* ---- the whole ---- */

static int pass(struct scan *scan, const char *name, int (*fn)(struct scan *scan))
{
    scan->progress.pass = name;
    int r = scan_spend(scan, 0);
    return r < 0 ? r : fn(scan);
}

int scan_run_to_logs(struct scan *scan)
{
    int r;

    scan_begin_sink(scan);
    r = scan_root(scan);
    r = r < 0 ? r : scan_files(scan);
    r = r == 0 && scan->has_root ? scan_state(scan) : r;
    r = r == 0 && scan->has_state ? scan_short(scan) : r;
    return r == 0 && scan->has_state ? scan_logs(scan) : r;
}

int scan_run(struct scan *scan)
{
    int r;

    scan->deep = scan->options->deep;
    scan_begin_sink(scan);
    r = pass(scan, "root", scan_root);
    r = r < 0 ? r : pass(scan, "files", scan_files);
    if (r == 0 && scan->root_lost) {
        r = pass(scan, "lost root", scan_find_root);
    }
    if (r == 0 && scan->has_root) {
        r = pass(scan, "manifest", scan_state);
        r = r == 0 && scan->has_state ? scan_short(scan) : r;
    }
    if (r == 0 && scan->has_root && !scan->has_state) {
        r = pass(scan, "lost manifest", scan_rebuild);
    }
    if (r == 0 && scan->has_state) {
        r = pass(scan, "logs", scan_logs);
        r = r < 0 ? r : pass(scan, "tables", scan_tables);
        r = r < 0 ? r : pass(scan, "blobs", scan_blobs);
        scan_unneeded(scan);
    }
    return r == 0 && scan->stopped ? -ECANCELED : r;
}

void scan_finish(struct scan *scan)
{
    for (size_t i = 0; i < scan->bad_table_count; i++) {
        file_meta_unref(scan->bad_tables[i].file);
    }
    free(scan->bad_tables);
    free(scan->bad_blobs);
    free(scan->files);
    free(scan->log_ends);
    admin_state_finish(&scan->state);
}
