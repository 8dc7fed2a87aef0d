/* SPDX-License-Identifier: Apache-2.0 */
/* health: is a store well, as one word and an exit status. */
#include "tools/cmd.h"

#include <jansson.h>
#include <stdio.h>

#include "tools/health.h"

static uint64_t number_of(const json_t *stats, const char *group, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(json_object_get(stats, group), name));
}

static struct health_facts facts_of(const json_t *status, const json_t *stats)
{
    const json_t *sync = json_object_get(json_object_get(stats, "latencies"), "sync");
    const char *state = json_string_value(json_object_get(status, "health"));
    const char *reason = json_string_value(json_object_get(status, "health_reason"));
    bool is_well = state == NULL || strcmp(state, "ok") == 0;
    return (struct health_facts){
        .engine_reason = is_well                             ? NULL
                         : reason != NULL && *reason != '\0' ? reason
                                                             : state,
        .read_errors = number_of(stats, "counters", "read_errors"),
        .write_errors = number_of(stats, "counters", "write_errors"),
        .damage_seen = number_of(stats, "counters", "damage_seen"),
        .total_bytes = number_of(stats, "space", "total_bytes"),
        .free_bytes = number_of(stats, "space", "free_bytes"),
        .open_ns = number_of(stats, "counters", "open_ns"),
        .stall_ns = number_of(stats, "counters", "stall_ns"),
        .bytes_written_user = number_of(stats, "counters", "bytes_written_user"),
        .write_amplification = json_number_value(json_object_get(stats, "write_amplification")),
        .syncs = (uint64_t)json_integer_value(json_object_get(sync, "count")),
        .sync_p99_ns = (uint64_t)json_integer_value(json_object_get(sync, "p99_ns")),
    };
}

static void add_reason(void *arg, const char *kind, const char *text)
{
    json_array_append_new(arg, json_pack("{s:s, s:s}", "kind", kind, "text", text));
}

static void print(const char *store, const json_t *reasons, bool as_json)
{
    const char *word = json_array_size(reasons) == 0 ? "ok" : "degraded";
    size_t i;
    json_t *reason;
    if (as_json) {
        json_t *json = json_pack("{s:i, s:s, s:s, s:O}", "format_version", 1, "store", store,
                                 "health", word, "reasons", reasons);
        json_dumpf(json, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(json);
        return;
    }
    printf("%s\n", word);
    json_array_foreach(reasons, i, reason)
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
    json_t *reasons = json_array();
    if (stats != NULL && reasons != NULL) {
        struct health_facts facts = facts_of(status, stats);
        code = health_judge(&facts, add_reason, reasons) > 0 ? EXIT_FAILED : EXIT_DONE;
        print(target.store, reasons, s.json);
    }
    json_decref(reasons);
    json_decref(stats);
    json_decref(status);
    return target_end(&target, code);
}
