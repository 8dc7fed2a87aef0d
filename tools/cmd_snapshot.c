/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot: states of a store that are kept by name. */
#include "tools/cmd.h"

#include <jansson.h>
#include <stdio.h>
#include <time.h>

#include "tools/text.h"

static const struct argp_option options[] = {{"json", 'j', NULL, 0, "list as one JSON object", 0},
                                             {0}};

static void print_one(json_t *snapshot)
{
    time_t made = (time_t)json_integer_value(json_object_get(snapshot, "time"));
    const char *name = json_string_value(json_object_get(snapshot, "name"));
    struct kv_buf shown = {0};
    struct tm local;
    char when[32] = "";
    if (localtime_r(&made, &local) != NULL) {
        kv_ignore((int)strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &local));
    }
    if (text_append(&shown, kv_slice_str(name != NULL ? name : ""), TEXT_AUTO) == 0) {
        printf("%s  %12" JSON_INTEGER_FORMAT "  %.*s\n", when,
               json_integer_value(json_object_get(snapshot, "sequence")), (int)shown.size,
               (const char *)shown.data);
    }
    kv_buf_finish(&shown);
}

static int list(struct target *target, bool as_json)
{
    int code = EXIT_DONE;
    json_t *json = cmd_ask(target, CONTROL_SNAPSHOT_LIST, "list the snapshots", &code);
    if (json != NULL && as_json) {
        json_dumpf(json, stdout, JSON_COMPACT);
        putchar('\n');
    } else if (json != NULL) {
        size_t i;
        json_t *snapshot;
        json_array_foreach(json_object_get(json, "snapshots"), i, snapshot)
        {
            print_one(snapshot);
        }
    }
    json_decref(json);
    return code;
}

static int change(struct target *target, const char *verb, const char *name)
{
    struct control_request request = {.op = CONTROL_SNAPSHOT_DROP, .key = kv_slice_str(name)};
    char what[32];
    if (strcmp(verb, "create") == 0) {
        request.op = CONTROL_SNAPSHOT_CREATE;
    }
    int r = target_call(target, &request, NULL, NULL);
    snprintf(what, sizeof what, "%s snapshot", verb);
    return r < 0 ? target_complain(target, what, request.key, "of", r) : EXIT_DONE;
}

int cmd_snapshot(int argc, char **argv)
{
    static const struct argp argp = {
        options,
        json_settings_parse,
        "create|drop|list STORE|MOUNTPOINT [NAME]",
        "Examples:\n  kvfs snapshot create /srv/a monday\n  kvfs snapshot list /mnt/a\n  kvfs "
        "snapshot drop /srv/a monday\n\nKeep the present state of a store under a name, forget it, "
        "or list what is kept: when it was made, the number of its last row, its name. A state "
        "that "
        "is kept survives reopening and power loss, and holds the space of what was overwritten or "
        "deleted since.",
        NULL,
        NULL,
        NULL};
    struct json_settings s = {0};
    struct target target = {0};
    const char *store = NULL;
    cmd_parse(&argp, argc, argv, EXIT_USAGE, 0, &s);
    const char *verb = s.words.count > 0 ? s.words.at[0] : "";
    bool lists = strcmp(verb, "list") == 0;
    if (!lists && strcmp(verb, "create") != 0 && strcmp(verb, "drop") != 0) {
        complain("usage: kvfs snapshot %s. See 'kvfs snapshot --help'.", argp.args_doc);
        return EXIT_USAGE;
    }
    s.words.at++;
    s.words.count--;
    int code = words_take_store(&s.words, "snapshot", argp.args_doc, !lists, !lists, &store);
    code =
        code == EXIT_DONE ? target_begin(&target, store, lists ? TARGET_READ : TARGET_WRITE) : code;
    if (code != EXIT_DONE) {
        return code;
    }
    code = lists ? list(&target, s.json) : change(&target, verb, s.words.at[0]);
    return target_end(&target, code);
}
