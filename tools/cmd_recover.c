/* SPDX-License-Identifier: Apache-2.0 */
/* recover: what can be saved of a damaged store goes to another one. The damaged one is only read:
 * a copy is made of it, and that is repaired. */
#include <stdlib.h>

#include "tools/fsck_run.h"
#include "tools/mount_table.h"
#include "tools/store_open.h"
#include "tools/store_url.h"

struct settings {
    struct words words;
    struct fsck_run run;
    const char *output;
};

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct settings *s = state->input;
    if (key == 'o') {
        s->output = value;
        return 0;
    }
    return fsck_run_parse(&s->run, key, value, state) ? 0 : words_collect(&s->words, key, state);
}

/* ---- the copy -------------------------------------------------------------------------------- */

static const char *reason(int error)
{
    if (error == -ENOSPC) {
        return "no space left on the device";
    }
    return error == -ECANCELED ? "it was ended by a signal" : kv_strerror(error);
}

/* Why nothing, or not all, was copied, and what there is now. */
static int complain_copy(const char *from, const char *to, int error)
{
    struct fault fault = {0};
    if (error == -EBUSY) {
        kv_ignore(store_explain_busy(from, &fault));
        complain("%s", fault.text);
    } else if (error == -ENOENT) {
        complain("%s is no store: there is no file of one", from);
    } else if (error == -EEXIST) {
        complain("cannot recover to %s: it is not empty. Nothing was changed; name a directory "
                 "that is empty, or not there yet.",
                 to);
    } else {
        complain(
            "cannot copy %s to %s: %s. %s is as it was; %s%s", from, to, reason(error), from, to,
            store_directory_judge(to) == STORE_MISSING || store_directory_judge(to) == STORE_EMPTY
                ? " holds nothing yet."
                : " holds a part of the copy, which is no store: remove it and begin again, "
                  "where there is room for the whole.");
    }
    return error == -ECANCELED ? FSCK_ENDED : FSCK_FAILED;
}

static int copy(const char *from, const char *to, struct fsck_report *report,
                struct kv_admin_result *ret_result)
{
    struct kv_admin_options options = {.mode = KV_ADMIN_REPAIR,
                                       .holder = "kvfs recover",
                                       .problem_fn = fsck_report_problem,
                                       .progress_fn = fsck_report_progress,
                                       .arg = report};
    struct kv_storage *storage = NULL;
    int r = kv_storage_posix_open(from, false, &storage);

    if (r == 0) {
        r = kv_admin_copy(storage, to, &options, ret_result);
        storage->ops->close(storage);
    }
    return r;
}

/* ---- running --------------------------------------------------------------------------------- */

static int recover(const char *from, const char *to, const struct fsck_run *s)
{
    struct fsck_report report = fsck_run_report(to, s);
    struct kv_admin_result result = {0};
    int code = FSCK_CLEAN;
    int r;

    fsck_report_begin(&report);
    fsck_report_heed_signals();
    r = copy(from, to, &report, &result);
    code = r < 0 ? complain_copy(from, to, r) : fsck_run_reported(to, s, &report, &result);
    if (!fsck_exit_is_failure(code)) {
        fsck_report_end(&report, &result, code);
    } else if (r == 0) {
        complain("%s holds a copy of %s, which is as it was. 'kvfs fsck -y %s' goes on from there.",
                 to, from, to);
    }
    fsck_report_finish(&report);
    return finish_output(code) == code ? code : FSCK_FAILED;
}

static int refuse_url(const char *url)
{
    struct fault fault;
    store_url_refuse("recover", url,
                     "A store in a pool that opens is brought into one by 'kvfs copy'.", &fault);
    complain("%s", fault.text);
    return FSCK_FAILED;
}

/* Both resolved: what is made in the store would change it. */
static int recover_to(const char *from, const char *output, const struct fsck_run *s)
{
    char *to = NULL;
    if (store_is_url(from) || store_is_url(output)) {
        return refuse_url(store_is_url(from) ? from : output);
    }
    int r = path_resolve(output, &to);
    int code = FSCK_FAILED;

    if (r < 0) {
        complain("cannot recover to %s: %s. The directory above it must be there.", output,
                 kv_strerror(r));
    } else if (path_is_within(to, from)) {
        complain("cannot recover to %s: it lies in the damaged store, which is not written to. "
                 "Name a place outside.",
                 to);
    } else {
        code = recover(from, to, s);
    }
    free(to);
    return code;
}

int cmd_recover(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"output", 'o', "STORE2", 0, "the new store; needed", 0},
        {"verbose", 'v', NULL, 0, "also tell what a crash may leave, which is nothing wrong", 0},
        {NULL, 'C', "FD", 0, "write how far it is to this descriptor", 0},
        {"json", 'j', NULL, 0, "as one JSON object", 0},
        {"deep", FSCK_OPTION_DEEP, NULL, 0, "also read every large value", 0},
        {0}};
    static const struct argp argp = {
        options,
        parse,
        "STORE",
        "Examples:\n  kvfs recover --output /srv/b /srv/a\n\nSave what can be saved of a damaged "
        "store into a new one, STORE2, which must be an empty directory or not there yet. Nothing "
        "is written to STORE, which must not be in use: it is copied, as far as it can be read, "
        "and "
        "the copy is repaired as 'kvfs fsck -y' does it. That takes as much room as STORE has. "
        "Exits as fsck does: the sum of 1 STORE2 was repaired, 4 errors are left in it, 8 it could "
        "not be done, 16 usage, 32 it was ended by a signal.",
        NULL,
        NULL,
        NULL};
    struct settings s = {.run = {.mode = KV_ADMIN_REPAIR, .progress_fd = -1}};
    struct fault fault = {0};
    const char *argument;
    char *from = NULL;
    int code;

    cmd_parse(&argp, argc, argv, FSCK_USAGE, 0, &s);
    code = words_take_store(&s.words, "recover", argp.args_doc, 0, 0, &argument);
    if (code != EXIT_DONE) {
        return FSCK_USAGE;
    }
    if (s.output == NULL) {
        complain("usage: kvfs recover --output STORE2 STORE. See 'kvfs recover --help'.");
        return FSCK_USAGE;
    }
    if (target_find(argument, &from, &fault) < 0) {
        complain("%s", fault.text);
        return FSCK_FAILED;
    }
    code = recover_to(from, s.output, &s.run);
    free(from);
    return code;
}
