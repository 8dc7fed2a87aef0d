/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/fsck_report.h"

#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "kvcore/util/clock.h"
#include "tools/report.h"
#include "tools/text.h"

enum { TICK_NS = 200 * 1000 * 1000, CELLS = 20 };

/* Of the whole process, as signals are. */
static volatile sig_atomic_t is_ended;

static const char rows_pass[] = "rows";

static void end(int signal)
{
    (void)signal;
    is_ended = 1;
}

void fsck_report_heed_signals(void)
{
    /* Without SA_RESTART: whoever waits to tell how far it is waits no longer. */
    const struct sigaction action = {.sa_handler = end, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

void fsck_report_begin(struct fsck_report *report)
{
    report->problems = json_array();
    report->lost = json_array();
    report->failed = report->problems == NULL || report->lost == NULL;
    report->bar = isatty(STDERR_FILENO) != 0 && !report->json;
    report->began_ns = clock_monotonic_ns();
}

void fsck_report_finish(struct fsck_report *report)
{
    json_decref(report->problems);
    json_decref(report->lost);
    report->problems = report->lost = NULL;
}

static void clear_bar(const struct fsck_report *report)
{
    if (report->bar) {
        fputs("\r\033[K", stderr);
    }
}

static const char *severity_name(enum kv_severity severity)
{
    static const char *const names[] = {"", "note", "minor", "loss", "fatal"};
    return names[severity];
}

/* Keys as C escapes; empty if there are none, or no memory. */
static void key_text(struct kv_slice key, char *to, size_t size)
{
    struct kv_buf text = {0};
    to[0] = '\0';
    if (key.size > 0 && text_append(&text, key, TEXT_AUTO) == 0) {
        snprintf(to, size, "%.*s", (int)text.size, (const char *)text.data);
    }
    kv_buf_finish(&text);
}

static void print_problem(const struct fsck_report *report, const struct kv_problem *problem)
{
    char from[300], to[300];
    const struct kv_problem_kind *kind = problem->kind;

    if (kind->severity == KV_SEVERITY_NOTE && !report->verbose) {
        return;
    }
    clear_bar(report);
    key_text(problem->from, from, sizeof from);
    key_text(problem->to, to, sizeof to);
    printf("%s (%d): %s", kind->name, kind->code, problem->text);
    if (problem->table != NULL && to[0] != '\0') {
        printf(" (table %s, keys %s to %s)", problem->table, from[0] != '\0' ? from : "the first",
               to);
    }
    if (problem->will_repair) {
        printf(". Repair: %s", kind->repair);
    } else if (kind->severity != KV_SEVERITY_NOTE) {
        printf(". %s%s", kind->repair != NULL ? "Repair would do: " : "No repair yet",
               kind->repair != NULL ? kind->repair : "");
    }
    printf(".\n");
}

static json_t *offset_json(uint64_t offset)
{
    return offset == UINT64_MAX ? json_null() : json_integer((json_int_t)offset);
}

static void add_object(struct fsck_report *report, const struct kv_problem *problem)
{
    char from[300], to[300];
    const struct kv_problem_kind *kind = problem->kind;
    json_t *object;

    key_text(problem->from, from, sizeof from);
    key_text(problem->to, to, sizeof to);
    object =
        json_pack("{s:i, s:s, s:s, s:b, s:s, s:o, s:i, s:s?, s:s, s:s, s:s, s:s?, s:b}", "code",
                  kind->code, "name", kind->name, "severity", severity_name(kind->severity), "safe",
                  kind->safe, "file", problem->file, "offset", offset_json(problem->offset),
                  "error", -problem->error, "table", problem->table, "from", from, "to", to, "text",
                  problem->text, "repair", kind->repair, "repaired", problem->will_repair);
    report->failed |= object == NULL || json_array_append_new(report->problems, object) < 0;
}

int fsck_report_problem(void *arg, const struct kv_problem *problem)
{
    struct fsck_report *report = arg;
    if (report->json) {
        add_object(report, problem);
    } else {
        print_problem(report, problem);
    }
    return report->failed;
}

void fsck_report_fault(struct fsck_report *report, int code, const char *text, bool will_repair)
{
    struct kv_problem problem = {.kind = kv_problem_kind(code),
                                 .offset = UINT64_MAX,
                                 .text = text,
                                 .will_repair = will_repair};
    kv_ignore(fsck_report_problem(report, &problem)); /* what failed is noted there */
}

static void add_lost(struct fsck_report *report, const struct kvfs_lost_range *range,
                     const char *path)
{
    json_t *object = json_pack("{s:s?, s:I, s:I, s:I}", "path", range->path.size > 0 ? path : NULL,
                               "inode", (json_int_t)range->ino, "offset", (json_int_t)range->from,
                               "bytes", (json_int_t)(range->to - range->from));
    report->failed |= object == NULL || json_array_append_new(report->lost, object) < 0;
}

static void print_lost(const struct fsck_report *report, const struct kvfs_lost_range *range,
                       const char *path)
{
    clear_bar(report);
    printf("lost: %" PRIu64 " bytes at offset %" PRIu64 " of inode %" PRIu64 "%s%s\n",
           range->to - range->from, range->from, range->ino, path[0] != '\0' ? ", " : "", path);
}

int fsck_report_lost(void *arg, const struct kvfs_lost_range *range)
{
    struct fsck_report *report = arg;
    struct kv_buf path = {0};
    int r = text_append(&path, range->path, TEXT_AUTO);

    r = r < 0 ? r : kv_buf_append(&path, kv_slice("", 1));
    if (r == 0 && report->json) {
        add_lost(report, range, (const char *)path.data);
    } else if (r == 0) {
        print_lost(report, range, (const char *)path.data);
    }
    kv_buf_finish(&path);
    return report->failed ? -ENOMEM : r;
}

/* ---- how far ---- */

static void show_bar(const struct fsck_report *report, const struct kv_admin_progress *progress)
{
    double all = (double)progress->bytes_all;
    double share = all > 0 ? (double)progress->bytes / all : 1;
    double passed_s = (double)(clock_monotonic_ns() - report->began_ns) / 1e9;
    char cells[CELLS + 1] = "                    ";

    share = share > 1 ? 1 : share;
    for (int i = 0; i < (int)(share * CELLS); i++) {
        cells[i] = '#';
    }
    fprintf(stderr, "\r\033[K%-8s [%s] %3.0f %% of ", progress->pass, cells, share * 100);
    if (progress->pass == rows_pass) {
        fprintf(stderr, "%.0f inodes", all);
    } else {
        fprintf(stderr, "%.0f MiB", all / (1 << 20));
    }
    if (share > 0.01) {
        fprintf(stderr, ", about %.0f s left", passed_s / share * (1 - share));
    }
    fflush(stderr);
}

int fsck_report_progress(void *arg, const struct kv_admin_progress *progress)
{
    struct fsck_report *report = arg;
    uint64_t now_ns = clock_monotonic_ns();

    if (progress->pass == report->pass && now_ns - report->told_ns < TICK_NS) {
        return is_ended;
    }
    report->pass = progress->pass;
    report->told_ns = now_ns;
    if (report->bar) {
        show_bar(report, progress);
    }
    if (report->progress_fd > 0) {
        dprintf(report->progress_fd, "%s %" PRIu64 " %" PRIu64 "\n", progress->pass,
                progress->bytes, progress->bytes_all);
    }
    return is_ended;
}

/* Each walk takes a time of its own. */
int fsck_report_walk(void *arg, uint64_t ino, uint64_t ino_end)
{
    struct fsck_report *report = arg;
    struct kv_admin_progress progress = {.pass = rows_pass, .bytes = ino, .bytes_all = ino_end};

    if (ino <= report->walked || report->pass != rows_pass) {
        report->began_ns = clock_monotonic_ns();
    }
    report->walked = ino;
    return fsck_report_progress(report, &progress);
}

/* ---- the end ---- */

static void end_json(const struct fsck_report *report, const struct kv_admin_result *result,
                     int code)
{
    json_t *json = json_pack(
        "{s:i, s:s, s:O, s:I, s:I, s:I, s:I, s:b, s:s?, s:i}", "format_version", 1, "store",
        report->store, "problems", report->problems, "problem_count", (json_int_t)result->problems,
        "repaired_count", (json_int_t)result->repaired, "note_count", (json_int_t)result->notes,
        "damaged_row_count", (json_int_t)result->damaged_rows, "needs_replay", result->needs_replay,
        "archive", result->archive[0] != '\0' ? result->archive : NULL, "exit_code", code);
    if (json != NULL && report->damage) {
        json_object_set(json, "lost", report->lost);
    }
    if (json != NULL) {
        json_dumpf(json, stdout, JSON_COMPACT);
        putchar('\n');
    }
    json_decref(json);
}

void fsck_report_end(struct fsck_report *report, const struct kv_admin_result *result, int code)
{
    clear_bar(report);
    if (report->json) {
        end_json(report, result, code);
        return;
    }
    if (result->problems == 0) {
        printf("%s: clean%s\n", report->store,
               result->needs_replay ? "; not closed cleanly, the next mount replays its logs" : "");
        return;
    }
    printf("%s: %" PRIu64 " problem(s), %" PRIu64 " repaired\n", report->store, result->problems,
           result->repaired);
    if (result->damaged_rows > 0) {
        printf("In the tables that were made anew are %" PRIu64
               " row(s) that are errors to read until they are written or deleted: what was lost "
               "may have been newer, or a delete.\n",
               result->damaged_rows);
    }
    if (result->archive[0] != '\0') {
        printf(
            "What was removed is kept in %s/lost+found.d/%s; 'kvfs fsck --undo %s/lost+found.d/%s "
            "%s' takes the repair back, until the store is next written to.\n",
            report->store, result->archive, report->store, result->archive, report->store);
    }
}
