/* SPDX-License-Identifier: Apache-2.0 */
/* kvfs: one program, its subcommands, and the names under which mount(8) and others call it. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/cmd.h"
#include "tools/completions.h"
#include "tools/words.h"

static int cmd_completions(int argc, char **argv);

/* In the order of the list that `kvfs help` prints. */
static const struct cmd cmds[] = {
    {"mkfs", cmd_mkfs, "make a store"},
    {"mount", cmd_mount, "mount a store on a directory"},
    {"umount", cmd_umount, "unmount or end serving, and wait until the store is closed"},
    {"serve", cmd_serve, "serve the keys of a store without a mount"},
    {"exec", cmd_exec, "run a command inside a store mounted for it alone"},
    {"get", cmd_get, "write the value of a key to stdout"},
    {"put", cmd_put, "set a key to a value"},
    {"del", cmd_del, "delete keys"},
    {"batch", cmd_batch, "change many keys together or not at all"},
    {"exists", cmd_exists, "exit 0 if a key exists, 3 if not"},
    {"scan", cmd_scan, "list keys and values in order"},
    {"find", cmd_find, "list the files that have an attribute, by its index"},
    {"ls", cmd_ls, "list a directory of a store that is not mounted"},
    {"cat", cmd_cat, "write files of a store that is not mounted to stdout"},
    {"info", cmd_info, "show the attributes of a file of a store that is not mounted"},
    {"export", cmd_export, "write all files of a store to stdout as a tar archive"},
    {"import", cmd_import, "put the files of a tar archive into a store"},
    {"dump", cmd_dump, "write all keys and values as the text of db_dump"},
    {"load", cmd_load, "set the keys of a dump"},
    {"status", cmd_status, "say whether a store is mounted, and how it is"},
    {"stats", cmd_stats, "show levels, counters and requests"},
    {"health", cmd_health, "say whether a store is well, and if not, why"},
    {"snapshot", cmd_snapshot, "keep, drop or list states of a store by name"},
    {"sync", cmd_sync, "make everything durable"},
    {"compact", cmd_compact, "merge a whole store and give back space"},
    {"checkpoint", cmd_checkpoint, "copy a store, mounted or not, at one moment"},
    {"copy", cmd_copy, "copy a store elsewhere, from a directory to a pool or back"},
    {"verify", cmd_verify, "check every byte of a store, mounted or not"},
    {"fsck", cmd_fsck, "check and repair a store that is not in use"},
    {"recover", cmd_recover, "save what can be of a damaged store into a new one"},
    {"sst", cmd_sst, "show a sorted table of a store and check its checksums"},
    {"blob", cmd_blob, "show a file of large values and check its directory"},
    {"wal", cmd_wal, "show a write-ahead log and check its checksums"},
    {"manifest", cmd_manifest, "show a manifest and check its checksums"},
    {"bench", cmd_bench, "measure the engine, or any file system"},
    {"completions", cmd_completions, "print a script that completes command lines"},
    {"debug", cmd_debug, "write a tar archive about a store for those who are to help"},
    {"version", cmd_version, "show the version"},
};

enum { CMD_COUNT = sizeof cmds / sizeof cmds[0] };

static int cmd_completions(int argc, char **argv)
{
    static const struct argp argp = {
        NULL,
        json_settings_parse,
        "bash",
        "Examples:\n  kvfs completions bash > /etc/bash_completion.d/kvfs\n  eval \"$(kvfs "
        "completions bash)\"\n\nPrint a script with which bash completes commands and their "
        "options.",
        NULL,
        NULL,
        NULL};
    struct json_settings s = {0};
    cmd_parse(&argp, argc, argv, EXIT_USAGE, 0, &s);
    if (s.words.count != 1 || strcmp(s.words.at[0], "bash") != 0) {
        complain("usage: kvfs completions bash. See 'kvfs completions --help'.");
        return EXIT_USAGE;
    }
    return completions_bash(cmds, CMD_COUNT);
}

/* Other names of the program. */
static const struct cmd aliases[] = {
    {"mkfs.kvfs", cmd_mkfs, ""},          {"fsck.kvfs", cmd_fsck, ""},
    {"mount.kvfs", cmd_mount_helper, ""}, {"mount.fuse.kvfs", cmd_mount_helper, ""},
    {"umount.kvfs", cmd_umount, ""},      {"umount.fuse.kvfs", cmd_umount, ""},
};

static const struct cmd *find(const struct cmd *table, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(table[i].name, name) == 0) {
            return &table[i];
        }
    }
    return NULL;
}

static void print_help(FILE *to)
{
    fprintf(to, "kvfs mounts a key-value store as a directory: every key is a path, every value a "
                "file.\n\n"
                "  kvfs mkfs /srv/a                  make a store\n"
                "  kvfs mount /srv/a /mnt/a          work in it as files\n"
                "  kvfs put /srv/a users/42 Ada      or by key, mounted or not\n"
                "  kvfs umount /mnt/a\n\nCommands:\n");
    for (size_t i = 0; i < CMD_COUNT; i++) {
        fprintf(to, "  %-11s %s\n", cmds[i].name, cmds[i].summary);
    }
    fprintf(to, "\n'kvfs COMMAND --help' says more.\n");
}

static int unknown_command(const char *word)
{
    const char *names[CMD_COUNT];
    for (size_t i = 0; i < CMD_COUNT; i++) {
        names[i] = cmds[i].name;
    }
    const char *nearest = words_nearest(word, names, CMD_COUNT);
    if (nearest != NULL) {
        complain("unknown command '%s'. Did you mean '%s'?", word, nearest);
    } else {
        complain("unknown command '%s'. 'kvfs help' lists them.", word);
    }
    return EXIT_USAGE;
}

/* The subcommand's words, the first of which names it in messages: "kvfs get". */
static int run(const struct cmd *cmd, int argc, char **argv)
{
    char name[32];
    snprintf(name, sizeof name, "kvfs %s", cmd->name);
    argv[0] = name;
    return cmd->run(argc, argv);
}

static bool is_word(const char *word, const char *a, const char *b, const char *c)
{
    return strcmp(word, a) == 0 || strcmp(word, b) == 0 || strcmp(word, c) == 0;
}

static int run_help(int argc, char **argv)
{
    char help[] = "--help";
    if (argc < 3 || is_word(argv[2], "help", "--help", "-?")) {
        print_help(stdout);
        return finish_output(EXIT_DONE);
    }
    const struct cmd *cmd = find(cmds, CMD_COUNT, argv[2]);
    if (cmd == NULL) {
        return unknown_command(argv[2]);
    }
    char *with_help[] = {argv[2], help, NULL};
    return run(cmd, 2, with_help);
}

/* Where the caller closed one of the standard descriptors, the next file that is opened would get
 * its number, and what is printed, or a daemon that gives them up, would hit that file. Reading and
 * writing them fails as before. */
static void keep_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 &&
            open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0) {
            return;
        }
    }
}

int main(int argc, char **argv)
{
    keep_standard_descriptors();
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    const char *own_name = slash != NULL ? slash + 1 : argc > 0 ? argv[0] : "kvfs";
    const struct cmd *alias = find(aliases, sizeof aliases / sizeof aliases[0], own_name);
    if (alias != NULL) {
        return alias->run(argc, argv);
    }
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (is_word(argv[1], "help", "--help", "-h")) {
        return run_help(argc, argv);
    }
    if (is_word(argv[1], "--version", "-V", "-v")) {
        return cmd_version(1, argv + 1);
    }
    const struct cmd *cmd = find(cmds, CMD_COUNT, argv[1]);
    return cmd != NULL ? run(cmd, argc - 1, argv + 1) : unknown_command(argv[1]);
}
