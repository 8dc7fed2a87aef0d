/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint: a copy of a store, mounted or not, that shares its files. */
#include "tools/cmd.h"

#include <stdlib.h>

#include "tools/copy_place.h"
#include "tools/store_url.h"

static int make_copy(struct target *target, const char *path)
{
    int r = copy_to_place(target, path, false, NULL, NULL);
    if (r == 0) {
        return EXIT_DONE;
    }
    int code = target_complain(target, "copy", kv_slice("", 0), "", r);
    return r == -ENOENT ? EXIT_FAILED : code; /* "not found" is for keys */
}

int cmd_checkpoint(int argc, char **argv)
{
    static const struct argp argp = {
        NULL,
        json_settings_parse,
        "STORE|MOUNTPOINT DIR",
        "Examples:\n  kvfs checkpoint /mnt/a /srv/a-monday\n  kvfs mount -o ro /srv/a-monday /mnt/b"
        "\n\nMake a copy of the store as it is at one moment, in the directory DIR, which must not "
        "exist and must be on the file system of the store: the copy shares its files, so that it "
        "takes little time and space. It is a store of its own, durable when the command returns, "
        "and neither changes the other. Programs may go on writing meanwhile.",
        NULL,
        NULL,
        NULL};
    struct json_settings s = {0};
    struct target target;
    const char *store;
    char *path = NULL;
    cmd_parse(&argp, argc, argv, EXIT_USAGE, 0, &s);
    int code = words_take_store(&s.words, "checkpoint", argp.args_doc, 1, 1, &store);
    if (code != EXIT_DONE) {
        return code;
    }
    struct fault fault; /* said in another way */
    int r = store_resolve(s.words.at[0], &path, &fault);
    if (r < 0) {
        complain("cannot copy to %s: %s. The directory above it must be there.", s.words.at[0],
                 kv_strerror(r));
        return EXIT_FAILED;
    }
    code = target_begin(&target, store, TARGET_WRITE);
    if (code == EXIT_DONE) {
        code = target_end(&target, make_copy(&target, path));
        copy_end_by_signal();
    }
    free(path);
    return code;
}
