/* SPDX-License-Identifier: Apache-2.0 */
/* get, put, del, exists: one key at a time. */
#include "tools/cmd.h"

#include <assert.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct settings {
    struct words words;
    bool prune, force;
};

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct settings *s = state->input;
    switch (key) {
    case 'p':
        s->prune = true;
        return 0;
    case 'f':
        s->force = true;
        return 0;
    default:
        return words_collect(&s->words, key, state);
    }
}

/* Read the command line and open the store. Returns an exit code. */
static int begin(const struct argp *argp, int argc, char **argv, struct settings *s,
                 const char **ret_store)
{
    static const struct {
        const char *name;
        int min, max;
    } arities[] = {{"get", 1, 1}, {"put", 1, 2}, {"del", 1, 1 << 30}, {"exists", 1, 1}};
    const char *name = argv[0] + strlen("kvfs ");
    int i = 0;
    while (strcmp(arities[i].name, name) != 0) {
        i++;
        assert(i < (int)(sizeof arities / sizeof arities[0])); /* each command has its line */
    }
    cmd_parse(argp, argc, argv, EXIT_USAGE, 0, s);
    return words_take_store(&s->words, name, argp->args_doc, arities[i].min, arities[i].max,
                            ret_store);
}

/* ---- get ------------------------------------------------------------------------------------- */

static int write_out(void *arg, const struct control_reply *reply)
{
    return fwrite(reply->bytes.data, 1, reply->bytes.size, stdout) == reply->bytes.size ? 0
                                                                                        : -EPIPE;
}

int cmd_get(int argc, char **argv)
{
    static const struct argp argp = {
        NULL,
        parse,
        "STORE KEY",
        "Examples:\n  kvfs get /srv/a users/42/name\n  kvfs get /srv/a images/logo.png > "
        "logo.png\n\n"
        "Write the bytes of the value to stdout; on a terminal a newline follows. Exit code 3: "
        "there is no such key.",
        NULL,
        NULL,
        NULL};
    struct settings s = {0};
    struct target target;
    const char *store;
    int code = begin(&argp, argc, argv, &s, &store);
    code = code == EXIT_DONE ? target_begin(&target, store, TARGET_READ) : code;
    if (code != EXIT_DONE) {
        return code;
    }
    struct control_request get = {.op = CONTROL_GET, .key = kv_slice_str(s.words.at[0])};
    int r = target_call(&target, &get, write_out, NULL);
    if (r < 0 && !ferror(stdout)) {
        code = target_complain(&target, "get", get.key, "from", r);
    } else if (r == 0 && isatty(STDOUT_FILENO)) {
        putchar('\n');
    }
    return target_end(&target, code);
}

/* ---- put ------------------------------------------------------------------------------------- */

static int read_in(struct kv_buf *value)
{
    enum { STEP = 64 * 1024 };
    for (;;) {
        int r = kv_buf_reserve(value, STEP);
        if (r < 0) {
            return r;
        }
        ssize_t n = read(STDIN_FILENO, value->data + value->size, STEP);
        if (n == 0) {
            return 0;
        }
        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        value->size += n > 0 ? (size_t)n : 0;
        if (value->size > KV_VALUE_SIZE_MAX) {
            return -E2BIG;
        }
    }
}

mode_t cmd_umask(void)
{
    mode_t mask = umask(0);
    umask(mask);
    return mask;
}

int cmd_put(int argc, char **argv)
{
    static const struct argp argp = {
        NULL,
        parse,
        "STORE KEY [VALUE|-]",
        "Examples:\n  kvfs put /srv/a users/42/name Ada\n  kvfs put /srv/a images/logo.png < "
        "logo.png\n\nSet the key to VALUE, or without VALUE or with '-' to what stdin holds. "
        "Missing "
        "directories are made.",
        NULL,
        NULL,
        NULL};
    struct settings s = {0};
    struct target target;
    struct kv_buf value = {0};
    const char *store;
    int code = begin(&argp, argc, argv, &s, &store);
    if (code != EXIT_DONE) {
        return code;
    }
    bool from_stdin = s.words.count < 2 || strcmp(s.words.at[1], "-") == 0;
    /* Read first: the store must not stay locked while somebody types. */
    int r = from_stdin ? read_in(&value) : kv_buf_append(&value, kv_slice_str(s.words.at[1]));
    if (r < 0) {
        complain("cannot read the value of %s: %s", s.words.at[0],
                 r == -E2BIG ? "it is larger than 64 MiB. Mount the store and copy the file"
                             : kv_strerror(r));
        code = EXIT_FAILED;
        goto out;
    }
    code = target_begin(&target, store, TARGET_WRITE);
    if (code != EXIT_DONE) {
        goto out;
    }
    struct control_request put = {.op = CONTROL_PUT,
                                  .key = kv_slice_str(s.words.at[0]),
                                  .value = kv_buf_slice(&value),
                                  .umask = cmd_umask()};
    r = target_call(&target, &put, NULL, NULL);
    code = r < 0 ? target_complain(&target, "put", put.key, "into", r) : EXIT_DONE;
    code = target_end(&target, code);
out:
    kv_buf_finish(&value);
    return code;
}

/* ---- del ------------------------------------------------------------------------------------- */

static int delete_one(struct target *target, const struct settings *s)
{
    struct control_request del = {.op = CONTROL_DELETE,
                                  .key = kv_slice_str(s->words.at[0]),
                                  .flags = s->prune ? CONTROL_PRUNE : 0};
    int r = target_call(target, &del, NULL, NULL);
    bool failed = r < 0 && !(r == -ENOENT && s->force);
    return failed ? target_complain(target, "delete", del.key, "from", r) : EXIT_DONE;
}

struct deleting {
    const struct target *target;
    bool force;
    int code;
};

static int tell_missed(void *arg, const struct control_reply *reply)
{
    struct deleting *d = arg;
    if (!d->force) {
        d->code = target_complain(d->target, "delete", reply->key, "from", -ENOENT);
    }
    return 0;
}

/* As one batch: all that are there, or none. */
static int delete_several(struct target *target, const struct settings *s)
{
    struct deleting d = {.target = target, .force = s->force};
    struct kv_buf changes = {0};
    int r = 0;
    for (int i = 0; i < s->words.count && r == 0; i++) {
        struct control_change change = {.kind = CONTROL_CHANGE_DELETE,
                                        .key = kv_slice_str(s->words.at[i])};
        r = control_change_append(&change, &changes);
    }
    struct control_request batch = {.op = CONTROL_BATCH,
                                    .value = kv_buf_slice(&changes),
                                    .flags = CONTROL_MAY_MISS | (s->prune ? CONTROL_PRUNE : 0)};
    if (r == 0) {
        r = target_call(target, &batch, tell_missed, &d);
    }
    if (r < 0) {
        d.code = target_complain(target, "delete", kv_slice("", 0), "from", r);
    }
    kv_buf_finish(&changes);
    return d.code;
}

int cmd_del(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"prune", 'p', NULL, 0, "remove directories that became empty, too", 0},
        {"force", 'f', NULL, 0, "a key that does not exist is no failure", 0},
        {0}};
    static const struct argp argp = {
        options,
        parse,
        "STORE KEY...",
        "Examples:\n  kvfs del /srv/a users/42/name\n  kvfs del --prune /srv/a users/42/name "
        "users/42/mail\n\nDelete keys, several as one batch: those that exist, or none where one "
        "is no key. "
        "Exit code 3: one of them did not exist; the others are deleted.",
        NULL,
        NULL,
        NULL};
    struct settings s = {0};
    struct target target;
    const char *store;
    int code = begin(&argp, argc, argv, &s, &store);
    code = code == EXIT_DONE ? target_begin(&target, store, TARGET_WRITE) : code;
    if (code != EXIT_DONE) {
        return code;
    }
    code = s.words.count == 1 ? delete_one(&target, &s) : delete_several(&target, &s);
    return target_end(&target, code);
}

/* ---- exists ---------------------------------------------------------------------------------- */

int cmd_exists(int argc, char **argv)
{
    static const struct argp argp = {NULL,
                                     parse,
                                     "STORE KEY",
                                     "Examples:\n  kvfs exists /srv/a users/42/name && echo "
                                     "yes\n\nExit with 0 if the key exists "
                                     "and 3 if not; print nothing.",
                                     NULL,
                                     NULL,
                                     NULL};
    struct settings s = {0};
    struct target target;
    const char *store;
    int code = begin(&argp, argc, argv, &s, &store);
    code = code == EXIT_DONE ? target_begin(&target, store, TARGET_READ) : code;
    if (code != EXIT_DONE) {
        return code;
    }
    struct control_request exists = {.op = CONTROL_EXISTS, .key = kv_slice_str(s.words.at[0])};
    int r = target_call(&target, &exists, NULL, NULL);
    if (r == -ENOENT || r == -ENOTDIR) {
        code = EXIT_NOT_FOUND;
    } else if (r < 0) {
        code = target_complain(&target, "look for", exists.key, "in", r);
    }
    return target_end(&target, code);
}
