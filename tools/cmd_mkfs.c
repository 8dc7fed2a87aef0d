/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/cmd.h"

#include <stdio.h>
#include <stdlib.h>

#include "tools/mount_table.h"
#include "tools/store_open.h"
#include "tools/store_url.h"
#include "tools/text.h"

enum { OPTION_FORCE = 256, LABEL_SIZE_MAX = 63 };

struct settings {
    struct words words;
    const char *label, *index;
    uint8_t id[16];
    bool has_id, force, quiet;
};

static void take_property(struct settings *s, const char *value, struct argp_state *state)
{
    static const char index[] = "index=";
    if (strncmp(value, index, strlen(index)) != 0) {
        argp_error(state, "unknown property '%s': there is index=ATTRIBUTE", value);
    }
    s->index = value + strlen(index);
    if (*s->index != '\0' && !kvfs_index_name_is_valid(s->index)) {
        argp_error(state, "'%s': wanted is index= and an attribute such as user.tag, without '='",
                   value);
    }
}

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct settings *s = state->input;
    switch (key) {
    case 'L':
        if (strlen(value) > LABEL_SIZE_MAX) {
            argp_error(state, "a label has at most %d bytes", LABEL_SIZE_MAX);
        }
        s->label = value;
        return 0;
    case 'U':
        if (text_parse_uuid(value, s->id) < 0) {
            argp_error(state, "'%s' is not a UUID", value);
        }
        s->has_id = true;
        return 0;
    case 'O':
        take_property(s, value, state);
        return 0;
    case OPTION_FORCE:
        s->force = true;
        return 0;
    case 'q':
        s->quiet = true;
        return 0;
    default:
        return words_collect(&s->words, key, state);
    }
}

static int refuse_second(const char *path)
{
    complain("cannot make a store in %s: there is one already. To erase it and all it holds, use "
             "'kvfs mkfs --force %s'.",
             path, path);
    return EXIT_FAILED;
}

static int check_pool(const char *url, bool force)
{
    struct fault fault;
    int r = store_url_exists(url);
    if (r < 0) {
        if (!store_url_explain(url, r, &fault)) {
            fault_set(&fault, r, "cannot make a store in %s: %s", url, kv_strerror(r));
        }
        complain("%s", fault.text);
        return exit_code_of(r);
    }
    return r == 0 || force ? EXIT_DONE : refuse_second(url);
}

/* May a store be made here? Complains and returns an exit code. */
static int check_place(const char *path, bool force)
{
    struct mount_row row = {0};
    if (store_is_url(path)) {
        return check_pool(path, force);
    }
    if (mount_table_find_target(path, &row) == 0) {
        complain("cannot make a store in %s: the store %s is mounted there. Unmount it first.",
                 path, row.source);
        mount_row_finish(&row);
        return EXIT_BUSY;
    }
    switch (store_directory_judge(path)) {
    case STORE_MISSING:
    case STORE_EMPTY:
        return EXIT_DONE;
    case STORE_NO_DIRECTORY:
        complain("cannot make a store in %s: it is not a directory that can be read.", path);
        return EXIT_FAILED;
    case STORE_FOREIGN:
        complain(
            "cannot make a store in %s: the directory holds other files. Name an empty or a new "
            "one.",
            path);
        return EXIT_FAILED;
    case STORE_HALF_MADE:
    case STORE_COMPLETE:
        break;
    }
    return force ? EXIT_DONE : refuse_second(path);
}

static int erase(const char *path)
{
    char holder[512];
    bool is_url = store_is_url(path);
    enum store_directory found = is_url ? STORE_COMPLETE : store_directory_judge(path);
    if (found != STORE_HALF_MADE && found != STORE_COMPLETE) {
        return EXIT_DONE;
    }
    int r = is_url ? store_url_erase(path) : store_directory_erase(path);
    if (r == -EBUSY) {
        store_holder(path, holder, sizeof holder);
        complain("cannot erase %s: locked by %s. Unmount it first.", path,
                 holder[0] != '\0' ? holder : "another process");
    } else if (r < 0) {
        complain("cannot erase %s: %s", path, kv_strerror(r));
    }
    return exit_code_of(r);
}

static int create(const char *path, const struct settings *s)
{
    struct kvfs_options options = {
        .create = true, .label = s->label, .index = s->index, .store_id = s->has_id ? s->id : NULL};
    struct kv_identity identity;
    struct fault fault;
    struct kvfs *fs = NULL;
    struct log log;
    char id[37];
    int r = log_init(&log, NULL, false);
    if (r < 0) {
        return exit_code_of(r);
    }
    r = store_open(path, &options, &log, &fs, &fault);
    if (r == 0) {
        kv_identify(kvfs_store(fs), &identity);
        text_uuid(identity.store_id, id);
        r = kvfs_close(fs);
        if (r < 0) {
            fault_set(&fault, r, "cannot finish the store in %s: %s", path, kv_strerror(r));
        }
    }
    if (r < 0) {
        complain("%s", fault.text);
    } else if (!s->quiet) {
        printf("made a store in %s, id %s\n", path, id);
    }
    log_finish(&log);
    return r == -ENOENT ? EXIT_FAILED : (int)exit_code_of(r);
}

int cmd_mkfs(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"label", 'L', "LABEL", 0, "a name for people, at most 63 bytes", 0},
        {"uuid", 'U', "UUID", 0, "the store's id; random by default", 0},
        {"option", 'O', "OPT=VAL", 0, "a property of the store: index=ATTRIBUTE", 0},
        {"force", OPTION_FORCE, NULL, 0, "erase a store that is there", 0},
        {"quiet", 'q', NULL, 0, "say nothing unless something fails", 0},
        {0}};
    static const struct argp argp = {options,
                                     parse,
                                     "STORE",
                                     "Examples:\n  kvfs mkfs /srv/a\n  kvfs mkfs -L photos "
                                     "/srv/photos\n  kvfs mkfs rados://kvfs/home\n\nMake an "
                                     "empty store in the directory STORE, which is made if it is "
                                     "missing, or in a pool of Ceph.",
                                     NULL,
                                     NULL,
                                     NULL};
    struct settings s = {0};
    const char *store;
    char *path = NULL;
    cmd_parse(&argp, argc, argv, EXIT_USAGE, 0, &s);
    int code = words_take_store(&s.words, "mkfs", argp.args_doc, 0, 0, &store);
    if (code != EXIT_DONE) {
        return code;
    }
    struct fault fault;
    int r = store_resolve(store, &path, &fault);
    if (r < 0 && store_is_url(store)) {
        complain("%s", fault.text);
        return EXIT_FAILED;
    }
    if (r < 0) {
        complain("cannot make a store in %s: %s. Make the directory above it first.", store,
                 kv_strerror(r));
        return EXIT_FAILED;
    }
    code = check_place(path, s.force);
    code = code == EXIT_DONE && s.force ? erase(path) : code;
    code = code == EXIT_DONE ? create(path, &s) : code;
    free(path);
    return finish_output(code);
}
