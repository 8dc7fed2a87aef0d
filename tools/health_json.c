/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/health_json.h"

#include <stdbool.h>
#include <string.h>

static uint64_t number_of(const json_t *stats, const char *group, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(json_object_get(stats, group), name));
}

struct health_facts health_facts_of(const json_t *status, const json_t *stats)
{
    const json_t *sync = json_object_get(json_object_get(stats, "latencies"), "sync");
    const char *state = json_string_value(json_object_get(status, "health"));
    const char *reason = json_string_value(json_object_get(status, "health_reason"));
    bool is_well = state == NULL || strcmp(state, "ok") == 0;
    return (struct health_facts){
        .engine_reason = is_well                             ? NULL
                         : reason != NULL && *reason != '\0' ? reason
                                                             : state,
        .suspects = json_string_value(json_object_get(status, "suspects")),
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

json_t *health_json(const json_t *status, const json_t *stats)
{
    struct health_facts facts = health_facts_of(status, stats);
    json_t *reasons = json_array();
    const char *word = health_judge(&facts, add_reason, reasons) == 0 ? "ok" : "degraded";
    return json_pack("{s:i, s:O, s:s, s:o}", "format_version", 1, "store",
                     json_object_get(stats, "store"), "health", word, "reasons", reasons);
}
