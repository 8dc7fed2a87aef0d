/* SPDX-License-Identifier: Apache-2.0 */
/* batch: many changes, together or not at all. */
#include "tools/cmd.h"

#include <stdio.h>
#include <stdlib.h>

#include "tools/batch_text.h"

enum { CHANGES_SIZE_MAX = 64 << 20 }; /* fits into a frame with what else a request has */

struct settings {
    struct words words;
    bool force;
};

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct settings *s = state->input;
    if (key == 'f') {
        s->force = true;
        return 0;
    }
    (void)value;
    return words_collect(&s->words, key, state);
}

struct reading {
    struct batch_text text;
    char fault[128]; /* of a key */
};

/* A key that is none is found here already, where the line is known. */
static int add_line(struct reading *reading, struct kv_slice line, struct kv_buf *changes)
{
    size_t before = changes->size;
    int r = batch_text_line(&reading->text, line, changes);
    if (r == 0 && changes->size > before &&
        kvfs_key_check(kv_buf_slice(&reading->text.key), reading->fault, sizeof reading->fault) <
            0) {
        reading->text.fault = reading->fault;
        return -EINVAL;
    }
    return r == 0 && changes->size > CHANGES_SIZE_MAX ? -E2BIG : r;
}

/* All lines of stdin. Returns an exit code. */
static int read_lines(struct kv_buf *changes)
{
    struct reading reading = {0};
    char *line = NULL;
    size_t capacity = 0;
    unsigned long number = 0;
    int r = 0;
    errno = 0;
    ssize_t size = getline(&line, &capacity, stdin);
    while (size >= 0 && r == 0) {
        number++;
        r = add_line(&reading, kv_slice(line, (size_t)size), changes);
        size = r == 0 ? getline(&line, &capacity, stdin) : size;
    }
    int error = size < 0 && !feof(stdin) ? errno : 0;
    const char *fault = r == -EINVAL  ? reading.text.fault
                        : r == -E2BIG ? "here the batch has more than 64 MiB"
                                      : kv_strerror(r);
    if (r < 0) {
        complain("cannot read the batch, line %lu: %s. Nothing was changed.", number, fault);
    } else if (error != 0) {
        complain("cannot read the batch: %s. Nothing was changed.", kv_strerror(-error));
    }
    free(line);
    batch_text_finish(&reading.text);
    return r == -EINVAL ? EXIT_USAGE : r < 0 || error != 0 ? EXIT_FAILED : EXIT_DONE;
}

static int ignore_missed(void *arg, const struct control_reply *reply)
{
    (void)arg;
    (void)reply;
    return 0;
}

static int apply(const char *store, struct kv_slice changes, bool force)
{
    struct target target;
    int code = target_begin(&target, store, TARGET_WRITE);
    if (code != EXIT_DONE) {
        return code;
    }
    struct control_request batch = {.op = CONTROL_BATCH,
                                    .value = changes,
                                    .flags = force ? CONTROL_MAY_MISS : 0,
                                    .umask = cmd_umask()};
    int r = target_call(&target, &batch, ignore_missed, NULL);
    code =
        r < 0 ? target_complain(&target, "apply the batch", kv_slice("", 0), "to", r) : EXIT_DONE;
    return target_end(&target, code);
}

static const struct argp_option options[] = {
    {"force", 'f', NULL, 0, "a key to delete that does not exist is no failure", 0}, {0}};

int cmd_batch(int argc, char **argv)
{
    static const struct argp argp = {
        options,
        parse,
        "STORE",
        "Examples:\n  kvfs batch /srv/a < changes.txt\n"
        "  printf 'if-equal lock me\\nput jobs/7 done\\ndel lock\\n' | kvfs batch /srv/a\n"
        "  kvfs scan /srv/a | sed 's/^/put\\t/' | kvfs batch /srv/b\n\n"
        "Make the changes that stand on stdin, one a line, all together or none: 'put KEY VALUE', "
        "'del KEY'. Before them may stand conditions, 'if-absent KEY' and 'if-equal KEY VALUE'; if "
        "one does not hold nothing is done. The value is the rest of the line; key and value may "
        "hold C escapes. After a tab in place of the first space a tab ends the key, so that it "
        "may hold spaces.\n\nExit code 1: a condition does not hold, or another failure; 2: a line "
        "is wrong; 3: a key to delete does not exist. Nothing was changed.",
        NULL,
        NULL,
        NULL};
    struct settings s = {0};
    struct kv_buf changes = {0};
    const char *store;
    cmd_parse(&argp, argc, argv, EXIT_USAGE, 0, &s);
    int code = words_take_store(&s.words, "batch", argp.args_doc, 0, 0, &store);
    /* Read first: the store must not stay locked while somebody types. */
    code = code == EXIT_DONE ? read_lines(&changes) : code;
    code = code == EXIT_DONE ? apply(store, kv_buf_slice(&changes), s.force) : code;
    kv_buf_finish(&changes);
    return code;
}
