/* SPDX-License-Identifier: Apache-2.0 */
/* serve: the daemon of a store that is not mounted, for those who use it by key. */
#include "tools/cmd.h"

#include <stdlib.h>

#include "tools/daemon.h"

enum { OPTION_CREATE = 256 };

struct settings {
    struct words words;
    struct mount_plan plan;
    bool foreground;
};

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct settings *s = state->input;
    char fault[256] = "";
    switch (key) {
    case 'f':
        s->foreground = true;
        return 0;
    case 'o':
        if (mount_options_parse(&s->plan.options, value, fault, sizeof fault) < 0) {
            argp_error(state, "%s", fault);
        }
        return 0;
    case OPTION_CREATE:
        s->plan.create = true;
        return 0;
    default:
        return words_collect(&s->words, key, state);
    }
}

static int serve(struct settings *s, const char *store)
{
    struct fault fault = {0};
    pid_t pid = 0;
    int r = serve_plan_prepare(&s->plan, store, &fault);
    if (r == 0) {
        r = s->foreground ? daemon_serve(&s->plan, &fault) : daemon_start(&s->plan, &pid, &fault);
    }
    int code = r < 0 ? target_open_complain(&fault) : EXIT_DONE;
    mount_plan_finish(&s->plan);
    return code;
}

int cmd_serve(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"foreground", 'f', NULL, 0, "stay in the foreground and log to stderr", 0},
        {"options", 'o', "OPTS", 0, "options, separated by commas; see below", 0},
        {"create", OPTION_CREATE, NULL, 0, "make the store if it is missing", 0},
        {0}};
    static const struct argp argp = {
        options,
        parse,
        "STORE",
        "Examples:\n  kvfs serve /srv/a\n  kvfs get /srv/a users/42\n  kvfs umount /srv/a\n\nOpen "
        "a "
        "store and carry out what get, put, del, exists, scan, find, dump, load, stats, snapshot, "
        "sync, "
        "compact, checkpoint and verify ask, as the daemon of a mount does, without a mount: none "
        "of these opens the store then, and any number may run at a time. Returns when the store "
        "is served, or says why "
        "it is not. 'kvfs umount STORE' ends it, and so do SIGTERM and SIGINT.\v"
        "Options for -o:\n  memory=SIZE         for everything the daemon keeps in memory\n"
        "  sync_interval=MS    unsynced changes are at most this old; 1000\n"
        "  log=FILE|syslog     where the daemon's messages go\n"
        "  warm                read indexes, then names and attributes, then data into memory at "
        "once\n"
        "  index=ATTRIBUTE     from now on keep an index of it for 'kvfs find', such as user.tag; "
        "empty:\n"
        "                      keep none\n"
        "  id=NAME             the Ceph user who asks, of a store in a pool\n"
        "  timeout=S           how long such a store waits for its cluster; else as long as it "
        "takes",
        NULL,
        NULL,
        NULL};
    struct settings s = {.plan.options.no_mount = true};
    const char *store;
    cmd_parse(&argp, argc, argv, EXIT_USAGE, 0, &s);
    int code = words_take_store(&s.words, "serve", argp.args_doc, 0, 0, &store);
    return code == EXIT_DONE ? serve(&s, store) : code;
}
