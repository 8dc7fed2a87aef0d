/* SPDX-License-Identifier: Apache-2.0 */
/* fsck: check a store that is not in use, and repair it. Options and exit codes are e2fsck's. */
#include "tools/cmd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/kvfs.h"
#include "tools/fsck_report.h"
#include "tools/store_open.h"
#include "tools/text.h"

enum fsck_exit {
    FSCK_CLEAN = 0,
    FSCK_REPAIRED = 1,
    FSCK_LEFT = 4,
    FSCK_FAILED = 8,
    FSCK_USAGE = 16,
};

enum { OPTION_DEEP = 256, OPTION_UNDO };

struct settings {
    struct words words;
    enum kv_admin_mode mode; /* 0: none was given */
    bool verbose, json, deep;
    int progress_fd;
    const char *undo;
};

static void set_mode(struct settings *s, enum kv_admin_mode mode, struct argp_state *state)
{
    if (s->mode != 0 && s->mode != mode) {
        argp_error(state, "only one of -n, -p and -y makes sense");
    }
    s->mode = mode;
}

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct settings *s = state->input;
    uint64_t number = 0;
    switch (key) {
    case 'n':
        set_mode(s, KV_ADMIN_REPORT, state);
        return 0;
    case 'a':
    case 'p':
        set_mode(s, KV_ADMIN_SAFE, state);
        return 0;
    case 'y':
        set_mode(s, KV_ADMIN_REPAIR, state);
        return 0;
    case 'f':
        return 0; /* a check is always a whole one */
    case 'v':
        s->verbose = true;
        return 0;
    case 'C':
        if (text_parse_number(value, 1 << 16, &number) < 0) {
            argp_error(state, "-C %s: wanted is the number of a descriptor", value);
        }
        s->progress_fd = (int)number;
        return 0;
    case 'j':
        s->json = true;
        return 0;
    case OPTION_DEEP:
        s->deep = true;
        return 0;
    case OPTION_UNDO:
        s->undo = value;
        return 0;
    default:
        return words_collect(&s->words, key, state);
    }
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

/* ---- running --------------------------------------------------------------------------------- */

static int complain_failed(const char *path, int error)
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
static int check_engine(const char *path, const struct settings *s, struct fsck_report *report,
                        struct kv_admin_result *ret_result)
{
    struct kv_admin_options options = {.mode = s->mode != 0 ? s->mode : KV_ADMIN_REPORT,
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

static int check(const char *path, const struct settings *s)
{
    struct fsck_report report = {
        .store = path, .json = s->json, .verbose = s->verbose, .progress_fd = s->progress_fd};
    struct kv_admin_result result = {0};
    int code;
    int r;

    fsck_report_begin(&report);
    r = check_engine(path, s, &report, &result);
    if (r == 0 && result.problems == result.repaired) {
        r = check_rows(path, &report, &result);
    }
    code = r < 0 ? complain_failed(path, r) : exit_code(&result);
    if (r == 0) {
        fsck_report_end(&report, &result, code);
    }
    fsck_report_finish(&report);
    return finish_output(code) == code ? code : FSCK_FAILED;
}

static int undo(const char *path, const char *archive)
{
    const char *slash = strrchr(archive, '/');
    struct kv_storage *storage = NULL;
    int r = kv_storage_posix_open(path, false, &storage);

    if (r == 0) {
        r = kv_admin_undo(storage, slash != NULL ? slash + 1 : archive);
        storage->ops->close(storage);
    }
    if (r == -ESTALE) {
        complain(
            "cannot take the repair of %s back: the store was written to since. The files that "
            "were removed are in %s.",
            path, archive);
        return FSCK_FAILED;
    }
    if (r == -ENOENT || r == -EINVAL) {
        complain("cannot take a repair of %s back: %s is not one of its archives", path, archive);
        return FSCK_FAILED;
    }
    return r < 0 ? complain_failed(path, r) : FSCK_REPAIRED;
}

int cmd_fsck(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"no", 'n', NULL, 0, "change nothing, only report (the default)", 0},
        {"preen", 'p', NULL, 0, "repair if that loses nothing, without asking", 0},
        {NULL, 'a', NULL, 0, "as -p", 0},
        {"yes", 'y', NULL, 0, "repair all that can be", 0},
        {"force", 'f', NULL, 0, "check also if it looks clean (it always does)", 0},
        {"verbose", 'v', NULL, 0, "also tell what a crash may leave, which is nothing wrong", 0},
        {NULL, 'C', "FD", 0, "write how far it is to this descriptor", 0},
        {"json", 'j', NULL, 0, "as one JSON object", 0},
        {"deep", OPTION_DEEP, NULL, 0, "also read every large value", 0},
        {"undo", OPTION_UNDO, "DIR", 0, "take back the repair that made this archive", 0},
        {0}};
    static const struct argp argp = {
        options,
        parse,
        "STORE",
        "Examples:\n  kvfs fsck /srv/a\n  kvfs fsck -y /srv/a\n  kvfs fsck --undo "
        "/srv/a/lost+found.d/00000001 /srv/a\n\nCheck a store that is not mounted: every block, "
        "every row, and whether the rows make a filesystem. With -y what can be repaired is; what "
        "is removed is kept in the store, in lost+found.d. Exits with the sum of 1 errors were "
        "repaired, 4 errors were left, 8 it could not be checked, 16 usage. While a store is "
        "mounted, 'kvfs verify' checks it.",
        NULL,
        NULL,
        NULL};
    struct settings s = {.progress_fd = -1};
    struct fault fault = {0};
    const char *argument;
    char *path = NULL;
    int code;

    cmd_parse(&argp, argc, argv, FSCK_USAGE, 0, &s);
    code = words_take_store(&s.words, "fsck", argp.args_doc, 0, 0, &argument);
    if (code != EXIT_DONE) {
        return FSCK_USAGE;
    }
    if (target_find(argument, &path, &fault) < 0) {
        complain("%s", fault.text);
        return FSCK_FAILED;
    }
    code = s.undo != NULL ? undo(path, s.undo) : check(path, &s);
    free(path);
    return code;
}
