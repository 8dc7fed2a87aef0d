/* SPDX-License-Identifier: Apache-2.0 */
/* copy: a store made again somewhere else, from a directory to a pool or back, mounted or not. */
#include "tools/cmd.h"

#include <stdlib.h>

#include "tools/copy_place.h"
#include "tools/progress.h"
#include "tools/store_url.h"

static int make_copy(struct target *target, const char *to)
{
    struct progress bar;
    progress_begin(&bar, NULL);
    int r = copy_to_place(target, to, true, cmd_show_progress, &bar);
    progress_clear(&bar);
    if (r == 0) {
        return EXIT_DONE;
    }
    int code = target_complain(target, "copy", kv_slice("", 0), "", r);
    return r == -ENOENT ? EXIT_FAILED : code; /* "not found" is for keys */
}

int cmd_copy(int argc, char **argv)
{
    static const struct argp argp = {
        NULL,
        json_settings_parse,
        "STORE|MOUNTPOINT STORE2",
        "Examples:\n  kvfs copy /srv/a rados://kvfs/a\n  kvfs copy rados://kvfs/a "
        "/backup/a\n\nMake "
        "a copy of the store as it is at one moment, byte by byte: in a directory on any file "
        "system, which must not exist, or in a pool of Ceph. It is a store of its own, durable "
        "when the command returns. Programs may go on writing meanwhile. On one file system 'kvfs "
        "checkpoint' takes less time and room.",
        NULL,
        NULL,
        NULL};
    struct json_settings s = {0};
    struct fault fault;
    struct target target;
    const char *store;
    char *to = NULL;
    cmd_parse(&argp, argc, argv, EXIT_USAGE, 0, &s);
    int code = words_take_store(&s.words, "copy", argp.args_doc, 1, 1, &store);
    if (code != EXIT_DONE) {
        return code;
    }
    if (store_resolve(s.words.at[0], &to, &fault) < 0) {
        complain("cannot copy to %s: %s", s.words.at[0], fault.text);
        return EXIT_FAILED;
    }
    code = target_begin(&target, store, TARGET_WRITE);
    if (code == EXIT_DONE) {
        code = target_end(&target, make_copy(&target, to));
        copy_end_by_signal();
    }
    free(to);
    return code;
}
