/* SPDX-License-Identifier: Apache-2.0 */
/* verify: every byte of a store is read and checked, by the daemon if it is mounted. */
#include "tools/cmd.h"

#include <jansson.h>
#include <stdio.h>

#include "tools/progress.h"
#include "tools/text.h"

struct verify_settings {
    struct json_settings common; /* first: the parser of the others sees only this */
    uint64_t bytes_per_second;
};

static error_t parse_verify(int key, char *value, struct argp_state *state)
{
    struct verify_settings *s = state->input;
    if (key == 'l') {
        if (text_parse_size(value, &s->bytes_per_second) < 0 || s->bytes_per_second == 0) {
            argp_error(state, "--limit=%s: wanted is a size, such as 50M", value);
        }
        return 0;
    }
    return json_settings_parse(key, value, state);
}

struct verifying {
    bool json;
    struct progress bar;
    json_t *findings; /* array, for --json */
    json_t *progress; /* the last object, or NULL */
};

/* ---- what comes in --------------------------------------------------------------------------- */

static json_int_t number_of(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

/* A line for people: the sentence, and whose rows are gone. */
static void print_finding(struct verifying *v, const json_t *finding)
{
    const char *from = json_string_value(json_object_get(finding, "from"));
    const char *to = json_string_value(json_object_get(finding, "to"));
    const char *table = json_string_value(json_object_get(finding, "table"));
    const char *text = json_string_value(json_object_get(finding, "text"));
    progress_clear(&v->bar);
    fputs(text != NULL ? text : "damaged", stdout);
    if (to != NULL && from != NULL && strcmp(from, to) == 0) {
        printf(" (table %s, key %s)", table != NULL ? table : "?", to);
    } else if (to != NULL) {
        printf(" (table %s, keys %s to %s)", table != NULL ? table : "?",
               from != NULL ? from : "from the first", to);
    }
    putchar('\n');
}

static int take_object(struct verifying *v, json_t *json)
{
    json_t *finding = json_object_get(json, "finding");
    json_t *progress = json_object_get(json, "progress");
    if (json_is_object(progress)) {
        json_decref(v->progress);
        v->progress = json_incref(progress);
        progress_show(&v->bar, 0, (uint64_t)number_of(progress, "bytes"),
                      (uint64_t)number_of(progress, "bytes_all"));
    }
    if (json_is_object(finding) && !v->json) {
        print_finding(v, finding);
    } else if (json_is_object(finding)) {
        return json_array_append(v->findings, finding) == 0 ? 0 : -ENOMEM;
    }
    return 0;
}

static int take(void *arg, const struct control_reply *reply)
{
    json_t *json = json_loadb((const char *)reply->bytes.data, reply->bytes.size, 0, NULL);
    int r = json != NULL ? take_object(arg, json) : -EPROTO;
    json_decref(json);
    return r;
}

/* ---- the end --------------------------------------------------------------------------------- */

static void print_end_json(const struct verifying *v, const char *store, bool sound)
{
    json_t *json = json_pack("{s:i, s:s, s:b, s:O}", "format_version", 1, "store", store, "sound",
                             sound, "findings", v->findings);
    if (json != NULL && v->progress != NULL) {
        json_object_update_missing(json, v->progress);
    }
    if (json != NULL) {
        json_dumpf(json, stdout, JSON_COMPACT);
        putchar('\n');
    }
    json_decref(json);
}

static void print_end(const struct verifying *v, const char *store)
{
    printf("%s is sound: %" JSON_INTEGER_FORMAT " files, %.1f MiB, %" JSON_INTEGER_FORMAT
           " rows, %" JSON_INTEGER_FORMAT " large values\n",
           store, number_of(v->progress, "files"),
           (double)number_of(v->progress, "bytes") / (1 << 20), number_of(v->progress, "rows"),
           number_of(v->progress, "values"));
}

static int run(struct target *target, const struct verify_settings *s)
{
    struct control_request request = {.op = CONTROL_VERIFY, .limit = s->bytes_per_second};
    struct verifying v = {.json = s->common.json, .findings = json_array()};
    int code = EXIT_DONE;
    progress_begin(&v.bar, NULL);
    int r = target_call(target, &request, take, &v);
    progress_clear(&v.bar);
    if ((r == 0 || r == -KV_EDAMAGED) && v.json) {
        print_end_json(&v, target->store, r == 0);
    } else if (r == 0) {
        print_end(&v, target->store);
    }
    if (r == -KV_EDAMAGED) {
        complain("%s is damaged: %" JSON_INTEGER_FORMAT " finding(s). Make a copy of the directory "
                 "before anything is changed; what can be read is served as before.",
                 target->store, number_of(v.progress, "findings"));
        code = EXIT_DAMAGED;
    } else if (r < 0) {
        code = target_complain(target, "verify", kv_slice("", 0), "", r);
    }
    json_decref(v.findings);
    json_decref(v.progress);
    return code;
}

int cmd_verify(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"json", 'j', NULL, 0, "as one JSON object", 0},
        {"limit", 'l', "SIZE", 0, "read at most SIZE in a second", 0},
        {0}};
    static const struct argp argp = {
        options,
        parse_verify,
        "STORE|MOUNTPOINT",
        "Examples:\n  kvfs verify /mnt/a\n  kvfs verify --limit=20M /mnt/a\n  kvfs verify /srv/a "
        "--json\n\nRead every byte that the store needs and check it, also while it is mounted and "
        "written to. A line on stdout says what is damaged and which keys that costs. Exits with 0 "
        "if the store is sound, 4 if it is damaged. Nothing is changed; files that "
        "damage was met in and that are sound are suspected no more.",
        NULL,
        NULL,
        NULL};
    struct verify_settings s = {0};
    struct target target;
    const char *store;
    cmd_parse(&argp, argc, argv, EXIT_USAGE, 0, &s);
    int code = words_take_store(&s.common.words, "verify", argp.args_doc, 0, 0, &store);
    code = code == EXIT_DONE ? target_begin(&target, store, TARGET_ENGINE) : code;
    return code == EXIT_DONE ? target_end(&target, run(&target, &s)) : code;
}
