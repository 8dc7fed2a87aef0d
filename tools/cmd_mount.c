/* SPDX-License-Identifier: Apache-2.0 */
/* mount, and the helper that mount(8) runs for the types kvfs and fuse.kvfs. */
#include "tools/cmd.h"

#include <getopt.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/daemon.h"

enum { OPTION_CREATE = 256 };

struct settings {
    struct words words;
    struct mount_plan plan;
    bool foreground, fake;
};

static void take_options(struct settings *s, const char *list)
{
    char fault[256] = "";
    if (mount_options_parse(&s->plan.options, list, fault, sizeof fault) < 0) {
        complain("%s", fault);
        exit(MOUNT_EXIT_USAGE);
    }
}

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct settings *s = state->input;
    switch (key) {
    case 'f':
        s->foreground = true;
        return 0;
    case 'd':
        s->foreground = true;
        s->plan.debug = true;
        return 0;
    case 'o':
        take_options(s, value);
        return 0;
    case OPTION_CREATE:
        s->plan.create = true;
        return 0;
    default:
        return words_collect(&s->words, key, state);
    }
}

static int mount_failed(const struct fault *fault)
{
    complain("%s", fault->text);
    if (fault->error == -ESHUTDOWN) {
        return EXIT_LOST; /* of a mount that worked, as a rule */
    }
    return fault->error == -ENOMEM || fault->error == -EAGAIN ? MOUNT_EXIT_SYSTEM
                                                              : MOUNT_EXIT_FAILED;
}

static int mount_store(struct settings *s, const char *store, const char *mountpoint)
{
    struct fault fault = {0};
    pid_t pid = 0;
    int r = mount_plan_prepare(&s->plan, store, mountpoint, &fault);
    if (r == 0 && !s->fake) {
        r = s->foreground ? daemon_serve(&s->plan, &fault) : daemon_start(&s->plan, &pid, &fault);
    }
    int code = r < 0 ? mount_failed(&fault) : EXIT_DONE;
    mount_plan_finish(&s->plan);
    return code;
}

int cmd_mount(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"foreground", 'f', NULL, 0, "stay in the foreground and log to stderr", 0},
        {"debug", 'd', NULL, 0, "the same, and print every request", 0},
        {"options", 'o', "OPTS", 0, "options, separated by commas; see below", 0},
        {"create", OPTION_CREATE, NULL, 0, "make the store if it is missing", 0},
        {0}};
    static const struct argp argp = {
        options,
        parse,
        "STORE MOUNTPOINT",
        "Examples:\n  kvfs mount /srv/a /mnt/a\n  kvfs mount --create -o memory=256M,noatime "
        "/srv/a "
        "/mnt/a\n  kvfs mount -f /srv/a /mnt/a\n  kvfs mount rados://kvfs/home /mnt/a\n\nMount a "
        "store on a directory; return when the "
        "mount works, or say why it does not.\v"
        "Options for -o:\n  ro, rw              nothing can be changed; or it can\n"
        "  memory=SIZE         for everything the daemon keeps in memory\n"
        "  threads=N           requests served at a time\n"
        "  sync_interval=MS    unsynced changes are at most this old; 1000\n"
        "  log=FILE|syslog     where the daemon's messages go\n"
        "  index=ATTRIBUTE     from now on keep an index of it for 'kvfs find', such as user.tag; "
        "empty:\n"
        "                      keep none\n"
        "  id=NAME             the Ceph user who asks, of a store in a pool\n"
        "  timeout=S           how long such a store waits for its cluster; else as long as it "
        "takes\n"
        "  allow_other         other users get in; root's mounts have it\n"
        "  noallow_other       nobody else gets in; for root names then cost fewer requests\n"
        "  writeback           let the kernel collect writes: what was neither synced nor closed "
        "is\n"
        "                      lost with the daemon, no holes are shown, and no key of a file "
        "that\n"
        "                      is there can be put while mounted\n"
        "  warm                read indexes, then names and attributes, then data into memory at "
        "once\n"
        "  uring=auto|on|off   FUSE over io_uring where it is to be had; else fail; never\n"
        "  idle_poll=auto|on|off   idle processors poll while requests come quickly: in virtual\n"
        "                      machines, as root; always; never\n"
        "  suid, dev, noexec, noatime, nodiratime, sync, dirsync   as in mount(8)\n\n"
        "Exit codes are those of mount(8).",
        NULL,
        NULL,
        NULL};
    struct settings s = {0};
    const char *store;
    mount_options_init(&s.plan.options, geteuid() == 0);
    cmd_parse(&argp, argc, argv, MOUNT_EXIT_USAGE, 0, &s);
    if (words_take_store(&s.words, "mount", argp.args_doc, 1, 1, &store) != EXIT_DONE) {
        return MOUNT_EXIT_USAGE;
    }
    return mount_store(&s, store, s.words.at[0]);
}

/* mount.kvfs SOURCE DIRECTORY [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE] */
int cmd_mount_helper(int argc, char **argv)
{
    struct settings s = {0};
    int option;
    mount_options_init(&s.plan.options, geteuid() == 0);
    while ((option = getopt(argc, argv, "sfnvN:o:t:")) != -1) {
        switch (option) {
        case 'o':
            take_options(&s, optarg);
            break;
        case 'f':
            s.fake = true;
            break;
        case '?':
            return MOUNT_EXIT_USAGE;
        default:
            break; /* nothing of ours */
        }
    }
    if (argc - optind != 2) {
        complain("usage: %s STORE MOUNTPOINT [-o OPTIONS]", argv[0]);
        return MOUNT_EXIT_USAGE;
    }
    return mount_store(&s, argv[optind], argv[optind + 1]);
}
