/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/fsck_run.h"

#include <stdio.h>

#include "fs/kvfs.h"
#include "tools/store_open.h"
#include "tools/text.h"

bool fsck_run_parse(struct fsck_run *s, int key, const char *value, struct argp_state *state)
{
    uint64_t number = 0;
    switch (key) {
    case 'v':
        s->verbose = true;
        return true;
    case 'C':
        if (text_parse_number(value, 1 << 16, &number) < 0) {
            argp_error(state, "-C %s: wanted is the number of a descriptor", value);
        }
        s->progress_fd = (int)number;
        return true;
    case 'j':
        s->json = true;
        return true;
    case FSCK_OPTION_DEEP:
        s->deep = true;
        return true;
    default:
        return false;
    }
}

struct fsck_report fsck_run_report(const char *path, const struct fsck_run *s)
{
    return (struct fsck_report){
        .store = path, .json = s->json, .verbose = s->verbose, .progress_fd = s->progress_fd};
}

/* ---- the rows -------------------------------------------------------------------------------- */

struct walk {
    struct fsck_report *report;
    struct kv_admin_result *result;
};

static void take_fault(void *arg, int code, const char *text)
{
    const struct walk *walk = arg;
    const struct kv_problem_kind *kind = kv_problem_kind(code);
    bool is_note = kind != NULL && kind->severity == KV_SEVERITY_NOTE;
    walk->result->notes += is_note;
    walk->result->problems += !is_note;
    fsck_report_fault(walk->report, code, text);
}

/* A store that cannot be opened was told of already; one that holds no filesystem has no such rows.
 */
static int check_rows(const char *path, struct fsck_report *report, struct kv_admin_result *result)
{
    struct kvfs_options options = {.read_only = true};
    struct walk walk = {report, result};
    struct kvfs_check_counts counts = {0};
    struct kvfs *fs = NULL;
    char text[128];
    int r = kvfs_open(path, &options, &fs);

    if (r == -KV_EFORMAT) {
        return 0;
    }
    if (r == 0) {
        r = kvfs_check(fs, take_fault, &walk, &counts);
        int closed = kvfs_close(fs);
        r = r == 0 ? closed : r;
    }
    if (r == -EIO || r == -KV_EDAMAGED) {
        take_fault(&walk, KV_PROBLEM_FS_UNREADABLE, "the rows of the filesystem cannot be read");
        return 0;
    }
    if (r == 0 && counts.lost_extents > 0) {
        snprintf(text, sizeof text,
                 "%llu extents of files are known to be lost: reading them fails",
                 (unsigned long long)counts.lost_extents);
        take_fault(&walk, KV_PROBLEM_FS_LOST_EXTENTS, text);
    }
    return r;
}

/* ---- the whole ---------------------------------------------------------------------------------
 */

int fsck_complain(const char *path, int error)
{
    struct fault fault = {0};
    if (error == -EBUSY) {
        kv_ignore(store_explain_busy(path, &fault));
        complain("%s", fault.text);
    } else if (error == -ENOENT) {
        complain("%s is no store: there is no file of one", path);
    } else if (error == -ENOSPC) {
        complain("cannot repair %s: no space left on its file system. Nothing was changed; make "
                 "room and try again.",
                 path);
    } else if (error == -KV_EFORMAT) {
        complain(
            "%s was written by a newer version of kvfs. Nothing was changed; use that version.",
            path);
    } else {
        complain("cannot check %s: %s", path, kv_strerror(error));
    }
    return FSCK_FAILED;
}

static int exit_code(const struct kv_admin_result *result)
{
    int code = result->repaired > 0 ? FSCK_REPAIRED : FSCK_CLEAN;
    return result->problems > result->repaired ? code | FSCK_LEFT : code;
}

/* The engine's part; the store is closed again behind it. */
static int check_engine(const char *path, const struct fsck_run *s, struct fsck_report *report,
                        struct kv_admin_result *ret_result)
{
    struct kv_admin_options options = {.mode = s->mode,
                                       .deep = s->deep,
                                       .holder = "kvfs fsck",
                                       .problem_fn = fsck_report_problem,
                                       .progress_fn = fsck_report_progress,
                                       .arg = report};
    struct kv_storage *storage = NULL;
    int r = kv_storage_posix_open(path, false, &storage);

    if (r == 0) {
        r = kv_admin_check(storage, &options, ret_result);
        storage->ops->close(storage);
    }
    return r;
}

int fsck_run_reported(const char *path, const struct fsck_run *s, struct fsck_report *report,
                      struct kv_admin_result *result)
{
    struct kv_admin_result found = {0};
    int r = check_engine(path, s, report, &found);

    if (r == 0 && found.problems == found.repaired) {
        r = check_rows(path, report, &found);
    }
    found.problems += result->problems;
    found.repaired += result->repaired;
    found.notes += result->notes;
    *result = found;
    return r < 0 ? fsck_complain(path, r) : exit_code(result);
}

int fsck_run(const char *path, const struct fsck_run *s)
{
    struct fsck_report report = fsck_run_report(path, s);
    struct kv_admin_result result = {0};
    int code;

    fsck_report_begin(&report);
    code = fsck_run_reported(path, s, &report, &result);
    if (code != FSCK_FAILED) {
        fsck_report_end(&report, &result, code);
    }
    fsck_report_finish(&report);
    return finish_output(code) == code ? code : FSCK_FAILED;
}
