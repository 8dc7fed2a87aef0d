/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/cmd.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/text.h"
#include "tools/text_json.h"

enum option_key { OPTION_PREFIX = 256, OPTION_LIMIT };

struct settings {
    struct words words;
    struct control_request request;
    bool zero, json;
    struct kv_buf line;
};

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct settings *s = state->input;
    switch (key) {
    case OPTION_PREFIX:
        s->request.flags |= CONTROL_BY_PREFIX;
        return 0;
    case OPTION_LIMIT:
        if (text_parse_number(value, UINT64_MAX, &s->request.limit) < 0 || s->request.limit == 0) {
            argp_error(state, "--limit wants a number above 0, not '%s'", value);
        }
        return 0;
    case 'j':
        s->json = true;
        return 0;
    case '0':
        s->zero = true;
        return 0;
    default:
        return words_collect(&s->words, key, state);
    }
}

/* ATTRIBUTE[=VALUE]; without a value all are wanted. */
static void take_question(struct settings *s, const char *word)
{
    const char *equals = strchr(word, '=');
    s->request.key = equals != NULL ? kv_slice(word, (size_t)(equals - word)) : kv_slice_str(word);
    s->request.value = kv_slice_str(equals != NULL ? equals + 1 : "");
    s->request.flags |= equals == NULL ? CONTROL_BY_PREFIX : 0;
}

/* Rows bring the value only where it is not the one that was asked for. */
static bool tells_values(const struct settings *s)
{
    return (s->request.flags & CONTROL_BY_PREFIX) != 0;
}

static int print_json(const struct settings *s, struct kv_slice value, struct kv_slice path)
{
    json_t *row = json_pack("{s:i}", "format_version", 1);
    int r = row != NULL ? text_json_set(row, "path", path, TEXT_AUTO) : -ENOMEM;
    if (r == 0) {
        r = text_json_set(row, "value", tells_values(s) ? value : s->request.value, TEXT_AUTO);
    }
    if (r == 0) {
        r = json_dumpf(row, stdout, JSON_COMPACT) == 0 ? 0 : -EPIPE;
        putchar('\n');
    }
    json_decref(row);
    return r;
}

static int add(struct settings *s, struct kv_slice bytes, const char *end)
{
    int r = s->zero ? kv_buf_append(&s->line, bytes) : text_append(&s->line, bytes, TEXT_AUTO);
    return r < 0 ? r : kv_buf_append(&s->line, kv_slice(s->zero ? "\0" : end, 1));
}

static int print_row(void *arg, const struct control_reply *reply)
{
    struct settings *s = arg;
    if (s->json) {
        return print_json(s, reply->bytes, reply->key);
    }
    s->line.size = 0;
    int r = tells_values(s) ? add(s, reply->bytes, "\t") : 0;
    r = r < 0 ? r : add(s, reply->key, "\n");
    if (r == 0 && fwrite(s->line.data, 1, s->line.size, stdout) != s->line.size) {
        r = -EPIPE;
    }
    return r;
}

static int find(struct settings *s, const char *store)
{
    struct target target;
    int code = target_begin(&target, store, TARGET_READ);
    if (code != EXIT_DONE) {
        return code;
    }
    int r = target_call(&target, &s->request, print_row, s);
    if (r < 0 && !ferror(stdout)) {
        code = target_complain(&target, "find", s->request.key, "in", r);
    }
    kv_buf_finish(&s->line);
    return target_end(&target, code);
}

int cmd_find(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"prefix", OPTION_PREFIX, NULL, 0, "all values that begin with VALUE", 0},
        {"limit", OPTION_LIMIT, "N", 0, "at most N paths", 0},
        {"null", '0', NULL, 0, "bytes as they are, each path and value ended by NUL", 0},
        {"json", 'j', NULL, 0, "one JSON object a line", 0},
        {0}};
    static const struct argp argp = {
        options,
        parse,
        "STORE|MOUNTPOINT ATTRIBUTE[=VALUE]",
        "Examples:\n  kvfs find /mnt/a user.tag=red\n  kvfs find /srv/a user.tag=2024- --prefix\n  "
        "kvfs find /srv/a user.tag -0\n\nList the paths of all files whose attribute has the "
        "value, in byte order; with --prefix or without a value VALUE, a tab, PATH, in the order "
        "of the values. The store keeps an index of the attribute once it was mounted, served or "
        "made with the option index=ATTRIBUTE; it is as fresh as the last operation. Exits with 5 "
        "while the index is being built.",
        NULL,
        NULL,
        NULL};
    struct settings s = {.request = {.op = CONTROL_FIND}};
    const char *store;
    cmd_parse(&argp, argc, argv, EXIT_USAGE, 0, &s);
    int code = words_take_store(&s.words, "find", argp.args_doc, 1, 1, &store);
    if (code != EXIT_DONE) {
        return code;
    }
    take_question(&s, s.words.at[0]);
    if (s.request.key.size == 0) {
        complain("usage: kvfs find %s. See 'kvfs find --help'.", argp.args_doc);
        return EXIT_USAGE;
    }
    return find(&s, store);
}
