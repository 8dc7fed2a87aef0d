/* SPDX-License-Identifier: Apache-2.0 */
/* export, import: a whole store as a tar archive and back, without a mount. */
#include "tools/cmd.h"

#include <stdio.h>
#include <unistd.h>

#include "tools/archive/archive_export.h"
#include "tools/archive/archive_import.h"

/* Read the command line and open the store; `target` only on EXIT_DONE. */
static int begin(const struct argp *argp, int argc, char **argv, enum target_mode mode,
                 struct target *target)
{
    bool out = mode == TARGET_READ;
    const char *command = out ? "export" : "import";
    struct json_settings s = {0};
    const char *store;
    cmd_parse(argp, argc, argv, EXIT_USAGE, 0, &s);
    int code = words_take_store(&s.words, command, argp->args_doc, 0, 0, &store);
    if (code == EXIT_DONE && isatty(out ? STDOUT_FILENO : STDIN_FILENO)) {
        complain("%s an archive %s a terminal: say 'kvfs %s %s %s FILE.tar'",
                 out ? "not writing" : "not reading", out ? "to" : "from", command, store,
                 out ? ">" : "<");
        code = EXIT_USAGE;
    }
    return code == EXIT_DONE ? target_begin_unmounted(target, store, mode, command) : code;
}

int cmd_export(int argc, char **argv)
{
    static const struct argp argp = {
        NULL,
        json_settings_parse,
        "STORE",
        "Examples:\n  kvfs export /srv/a > tree.tar\n  kvfs export /srv/a | zstd > tree.tar.zst\n"
        "  kvfs export /srv/a | kvfs import /srv/b\n\nWrite all files of a store that is not "
        "mounted to stdout as a tar archive (pax format) with everything tar can carry: owners by "
        "number, times to the nanosecond, hard and symbolic links, devices, holes, extended "
        "attributes, ACLs, the flags of chattr. Sockets are left out. The same tree gives the same "
        "bytes.",
        NULL,
        NULL,
        NULL};
    struct target target;
    int code = begin(&argp, argc, argv, TARGET_READ, &target);
    if (code != EXIT_DONE) {
        return code;
    }
    code = archive_export(target.fs, target.store, STDOUT_FILENO);
    return target_end(&target, code);
}

int cmd_import(int argc, char **argv)
{
    static const struct argp argp = {
        NULL,
        json_settings_parse,
        "STORE",
        "Examples:\n  kvfs import /srv/a < tree.tar\n  kvfs import /srv/a < tree.tar.zst\n"
        "  tar -C /home --acls --xattrs -c . | kvfs import /srv/a\n\nPut the files of a tar "
        "archive on stdin, also a compressed one, into a store that is not mounted. Files of the "
        "same name are replaced, directories keep what is in them. What cannot be taken (an "
        "absolute path, one with '..', a file where a directory is) is told and passed over, and "
        "the exit status is 1. Everything is durable when the command returns.",
        NULL,
        NULL,
        NULL};
    struct target target;
    int code = begin(&argp, argc, argv, TARGET_LOAD, &target);
    if (code != EXIT_DONE) {
        return code;
    }
    code = archive_import(target.fs, target.store, STDIN_FILENO);
    return target_end(&target, code);
}
