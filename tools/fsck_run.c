/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/fsck_run.h"

#include "tools/fsck_reading.h"
#include "tools/fsck_rows.h"
#include "tools/store_open.h"
#include "tools/store_url.h"
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
    return (struct fsck_report){.store = path,
                                .json = s->json,
                                .verbose = s->verbose,
                                .damage = s->damage,
                                .progress_fd = s->progress_fd};
}

/* ---- the whole ---------------------------------------------------------------------------------
 */

int fsck_complain(const char *path, int error)
{
    struct fault fault = {0};
    if (error == -EBUSY) {
        kv_ignore(store_explain_busy(path, &fault));
        complain("%s", fault.text);
    } else if (store_is_url(path) && store_url_explain(path, error, &fault)) {
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
    } else if (error == -ECANCELED) {
        complain("the check of %s was ended by a signal. Nothing was changed.", path);
        return FSCK_ENDED;
    } else {
        complain("cannot check %s: %s", path, kv_strerror(error));
    }
    return FSCK_FAILED;
}

static const char *reason(int error)
{
    if (error == -ENOSPC) {
        return "no space left on its file system";
    }
    return error == -ECANCELED ? "it was ended by a signal" : kv_strerror(error);
}

/* Each step of a repair counts as a whole or not at all; some may have been done. */
static int complain_of_rest(const char *path, int error, const char *archive)
{
    if (archive[0] == '\0') {
        return fsck_complain(path, error);
    }
    complain(
        "cannot finish the repair of %s: %s. The store is whole, with the steps that were done. "
        "%s, or take them back with 'kvfs fsck --undo %s/lost+found.d/%s %s'.",
        path, reason(error), error == -ENOSPC ? "Make room and try again" : "Try again", path,
        archive, path);
    return error == -ECANCELED ? FSCK_ENDED : FSCK_FAILED;
}

static int exit_code(const struct kv_admin_result *result)
{
    int code = result->repaired > 0 ? FSCK_REPAIRED : FSCK_CLEAN;
    return result->problems > result->repaired ? code | FSCK_LEFT : code;
}

static int take_progress(void *arg, const struct kv_admin_progress *progress)
{
    const struct fsck_rows *rows = arg;
    return fsck_report_progress(rows->report, progress);
}

/* The engine's part; the store is closed again behind it. */
static int check_engine(struct fsck_rows *rows, bool deep)
{
    struct kv_admin_options options = {.mode = rows->mode,
                                       .deep = deep,
                                       .holder = "kvfs fsck",
                                       .problem_fn = fsck_rows_take,
                                       .progress_fn = take_progress,
                                       .arg = rows};
    struct kv_storage *storage = NULL;
    int r = kv_storage_posix_open(rows->path, false, &storage);

    if (r == 0) {
        r = kv_admin_check(storage, &options, rows->result);
        storage->ops->close(storage);
    }
    return r;
}

int fsck_run_reported(const char *path, const struct fsck_run *s, struct fsck_report *report,
                      struct kv_admin_result *result)
{
    struct kv_admin_result found = {0};
    struct fsck_rows rows = {.path = path, .mode = s->mode, .report = report, .result = &found};
    int r = store_is_url(path) ? fsck_reading_run(&rows) : check_engine(&rows, s->deep);

    if (r == 0 && found.problems == found.repaired) {
        r = fsck_rows_run(&rows);
    }
    fsck_rows_finish(&rows);
    found.problems += result->problems;
    found.repaired += result->repaired;
    found.notes += result->notes;
    *result = found;
    return r < 0 ? complain_of_rest(path, r, result->archive) : exit_code(result);
}

int fsck_run(const char *path, const struct fsck_run *s)
{
    struct fsck_report report = fsck_run_report(path, s);
    struct kv_admin_result result = {0};
    int code;

    fsck_report_begin(&report);
    fsck_report_heed_signals();
    code = fsck_run_reported(path, s, &report, &result);
    if (!fsck_exit_is_failure(code)) {
        fsck_report_end(&report, &result, code);
    }
    fsck_report_finish(&report);
    return finish_output(code) == code ? code : FSCK_FAILED;
}
