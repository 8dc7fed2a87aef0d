/* SPDX-License-Identifier: Apache-2.0 */
/* fsck: check a store that is not in use, and repair it. Options and exit codes are e2fsck's. */
#include "tools/fsck_run.h"

#include <stdlib.h>
#include <string.h>

#include "tools/store_url.h"

enum { OPTION_UNDO = FSCK_OPTION_DEEP + 1, OPTION_DAMAGE };

struct settings {
    struct words words;
    struct fsck_run run; /* its mode is 0 until one was given */
    const char *undo;
};

static void set_mode(struct settings *s, enum kv_admin_mode mode, struct argp_state *state)
{
    if (s->run.mode != 0 && s->run.mode != mode) {
        argp_error(state, "only one of -n, -p and -y makes sense");
    }
    s->run.mode = mode;
}

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct settings *s = state->input;
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
    case OPTION_UNDO:
        s->undo = value;
        return 0;
    case OPTION_DAMAGE:
        s->run.damage = true;
        return 0;
    default:
        return fsck_run_parse(&s->run, key, value, state) ? 0
                                                          : words_collect(&s->words, key, state);
    }
}

/* ---- running --------------------------------------------------------------------------------- */

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
    if (r == -ENOSPC) {
        complain("cannot take the repair of %s back: no space left on its file system. Make room "
                 "and run it again.",
                 path);
        return FSCK_FAILED;
    }
    if (r == -ENOENT || r == -EINVAL) {
        complain("cannot take a repair of %s back: %s is not one of its archives", path, archive);
        return FSCK_FAILED;
    }
    return r < 0 ? fsck_complain(path, r) : FSCK_REPAIRED;
}

/* A store in a pool is only read. */
static int check_url(const char *url, const struct settings *s)
{
    struct fault fault;
    if (s->undo == NULL && s->run.mode == KV_ADMIN_REPORT) {
        return EXIT_DONE;
    }
    store_url_refuse(
        "repairing", url,
        "'kvfs copy' brings a store that opens into one, and back when it is repaired.", &fault);
    complain("%s", fault.text);
    return FSCK_FAILED;
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
        {"deep", FSCK_OPTION_DEEP, NULL, 0, "also read every large value", 0},
        {"damage", OPTION_DAMAGE, NULL, 0, "also list which bytes of which files are lost", 0},
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
        "repaired, 4 errors were left, 8 it could not be checked, 16 usage, 32 it was ended by a "
        "signal. While a store is "
        "mounted, 'kvfs verify' checks it.",
        NULL,
        NULL,
        NULL};
    struct settings s = {.run.progress_fd = -1};
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
    s.run.mode = s.run.mode != 0 ? s.run.mode : KV_ADMIN_REPORT;
    code = store_is_url(path) ? check_url(path, &s) : EXIT_DONE;
    if (code == EXIT_DONE) {
        code = s.undo != NULL ? undo(path, s.undo) : fsck_run(path, &s.run);
    }
    free(path);
    return code;
}
