/* SPDX-License-Identifier: Apache-2.0 */
/* health: is a store well, as one word and an exit status. */
#include "tools/cmd.h"

#include <jansson.h>
#include <stdio.h>

#include "tools/health_json.h"

static bool is_well(const json_t *health)
{
    return json_array_size(json_object_get(health, "reasons")) == 0;
}

static void print(const json_t *health, bool as_json)
{
    size_t i;
    json_t *reason;
    if (as_json) {
        json_dumpf(health, stdout, JSON_COMPACT);
        putchar('\n');
        return;
    }
    printf("%s\n", json_string_value(json_object_get(health, "health")));
    json_array_foreach(json_object_get(health, "reasons"), i, reason)
    {
        printf("%s\n", json_string_value(json_object_get(reason, "text")));
    }
}

int cmd_health(int argc, char **argv)
{
    static const struct argp_option options[] = {{"json", 'j', NULL, 0, "as one JSON object", 0},
                                                 {0}};
    static const struct argp argp = {
        options,
        json_settings_parse,
        "STORE|MOUNTPOINT",
        "Examples:\n  kvfs health /mnt/a || mail -s 'kvfs is not well' root\n  kvfs health /mnt/a "
        "--json\n\nSay whether a store is well: 'ok', exit status 0, or 'degraded' with the "
        "reasons, exit status 1. Reasons are failed reads and writes, damage, a device that is "
        "nearly full, writers that are stopped often, slow syncs, and much writing for little. "
        "Most count from when the store was opened, so ask where it is mounted.",
        NULL,
        NULL,
        NULL};
    struct json_settings s = {0};
    struct target target;
    const char *store;
    cmd_parse(&argp, argc, argv, EXIT_USAGE, 0, &s);
    int code = words_take_store(&s.words, "health", argp.args_doc, 0, 0, &store);
    code = code == EXIT_DONE ? target_begin(&target, store, TARGET_ENGINE) : code;
    if (code != EXIT_DONE) {
        return code;
    }
    json_t *status = cmd_ask(&target, CONTROL_STATUS, "tell the status", &code);
    json_t *stats =
        status != NULL ? cmd_ask(&target, CONTROL_STATS, "tell the statistics", &code) : NULL;
    json_t *health = stats != NULL ? health_json(status, stats) : NULL;
    if (health != NULL) {
        code = is_well(health) ? EXIT_DONE : EXIT_FAILED;
        print(health, s.json);
    }
    json_decref(health);
    json_decref(stats);
    json_decref(status);
    return target_end(&target, code);
}
