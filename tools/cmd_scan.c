/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/cmd.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/text.h"
#include "tools/text_json.h"

enum option_key {
    OPTION_PREFIX = 256,
    OPTION_FROM,
    OPTION_TO,
    OPTION_LIMIT,
    OPTION_REVERSE,
    OPTION_KEYS_ONLY,
    OPTION_JSON,
    OPTION_KEY,
    OPTION_VALUE,
};

struct settings {
    struct words words;
    struct control_request request;
    enum text_format key_format, value_format;
    bool zero, json;
    struct kv_buf line;
};

static void take_format(enum text_format *format, const char *value, struct argp_state *state)
{
    if (text_format_parse(value, format) < 0) {
        argp_error(state, "'%s' is none of auto, hex, utf8, len, none", value);
    }
}

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct settings *s = state->input;
    switch (key) {
    case OPTION_PREFIX:
        s->request.prefix = kv_slice_str(value);
        return 0;
    case OPTION_FROM:
        s->request.from = kv_slice_str(value);
        return 0;
    case OPTION_TO:
        s->request.to = kv_slice_str(value);
        return 0;
    case OPTION_LIMIT:
        if (text_parse_number(value, UINT64_MAX, &s->request.limit) < 0 || s->request.limit == 0) {
            argp_error(state, "--limit wants a number above 0, not '%s'", value);
        }
        return 0;
    case OPTION_REVERSE:
        s->request.flags |= CONTROL_REVERSE;
        return 0;
    case OPTION_KEYS_ONLY:
        s->request.flags |= CONTROL_KEYS_ONLY;
        return 0;
    case OPTION_JSON:
        s->json = true;
        return 0;
    case OPTION_KEY:
        take_format(&s->key_format, value, state);
        return 0;
    case OPTION_VALUE:
        take_format(&s->value_format, value, state);
        return 0;
    case '0':
        s->zero = true;
        return 0;
    default:
        return words_collect(&s->words, key, state);
    }
}

static bool has_value(const struct settings *s)
{
    return (s->request.flags & CONTROL_KEYS_ONLY) == 0 && s->value_format != TEXT_NONE;
}

static int print_json(const struct settings *s, const struct control_reply *reply)
{
    json_t *row = json_pack("{s:i}", "format_version", 1);
    int r = row != NULL ? 0 : -ENOMEM;
    if (r == 0 && s->key_format != TEXT_NONE) {
        r = text_json_set(row, "key", reply->key, s->key_format);
    }
    if (r == 0 && has_value(s)) {
        r = text_json_set(row, "value", reply->bytes, s->value_format);
    }
    if (r == 0) {
        r = json_dumpf(row, stdout, JSON_COMPACT) == 0 ? 0 : -EPIPE;
        putchar('\n');
    }
    json_decref(row);
    return r == 0 || r == -EPIPE ? r : -ENOMEM;
}

static int build_text(struct settings *s, const struct control_reply *reply)
{
    int r = 0;
    if (s->key_format != TEXT_NONE) {
        r = s->zero ? kv_buf_append(&s->line, reply->key)
                    : text_append(&s->line, reply->key, s->key_format);
    }
    if (r == 0 && s->key_format != TEXT_NONE && has_value(s)) {
        r = kv_buf_append(&s->line, kv_slice(s->zero ? "\0" : "\t", 1));
    }
    if (r == 0 && has_value(s)) {
        r = s->zero ? kv_buf_append(&s->line, reply->bytes)
                    : text_append(&s->line, reply->bytes, s->value_format);
    }
    return r == 0 ? kv_buf_append(&s->line, kv_slice(s->zero ? "\0" : "\n", 1)) : r;
}

static int print_row(void *arg, const struct control_reply *reply)
{
    struct settings *s = arg;
    if (s->json) {
        return print_json(s, reply);
    }
    s->line.size = 0;
    int r = build_text(s, reply);
    if (r == 0 && fwrite(s->line.data, 1, s->line.size, stdout) != s->line.size) {
        r = -EPIPE;
    }
    return r;
}

static const struct argp_option options[] = {
    {"prefix", OPTION_PREFIX, "P", 0, "only keys that begin with P", 0},
    {"from", OPTION_FROM, "A", 0, "begin at key A", 0},
    {"to", OPTION_TO, "B", 0, "end before key B", 0},
    {"limit", OPTION_LIMIT, "N", 0, "at most N keys", 0},
    {"reverse", OPTION_REVERSE, NULL, 0, "in descending order", 0},
    {"keys-only", OPTION_KEYS_ONLY, NULL, 0, "no values", 0},
    {"null", '0', NULL, 0, "bytes as they are, each key and value ended by NUL", 0},
    {"json", OPTION_JSON, NULL, 0, "one JSON object a line", 0},
    {"key", OPTION_KEY, "FORM", 0, "auto, hex, utf8, len or none", 0},
    {"value", OPTION_VALUE, "FORM", 0, "auto, hex, utf8, len or none", 0},
    {0}};

int cmd_scan(int argc, char **argv)
{
    static const struct argp argp = {
        options,
        parse,
        "STORE",
        "Examples:\n  kvfs scan /srv/a --prefix users/\n  kvfs scan /srv/a --from a --to b --limit "
        "10 "
        "--keys-only\n  kvfs scan /srv/a --value len\n\nList keys and values in byte order of the "
        "keys: KEY, a tab, VALUE, with C escapes.",
        NULL,
        NULL,
        NULL};
    struct settings s = {
        .request = {.op = CONTROL_SCAN}, .key_format = TEXT_AUTO, .value_format = TEXT_AUTO};
    struct target target;
    const char *store;
    cmd_parse(&argp, argc, argv, EXIT_USAGE, 0, &s);
    int code = words_take_store(&s.words, "scan", argp.args_doc, 0, 0, &store);
    code = code == EXIT_DONE ? target_begin(&target, store, TARGET_READ) : code;
    if (code != EXIT_DONE) {
        return code;
    }
    int r = target_call(&target, &s.request, print_row, &s);
    if (r < 0 && !ferror(stdout)) {
        code = target_complain(&target, "scan", kv_slice("", 0), "", r);
    }
    kv_buf_finish(&s.line);
    return target_end(&target, code);
}
