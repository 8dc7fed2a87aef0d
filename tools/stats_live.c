/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/stats_live.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

/* A row is as wide as a terminal, 80 columns. */
enum { ROWS_A_HEADING = 20 };

static double counter(const json_t *stats, const char *name)
{
    return (double)json_integer_value(json_object_get(json_object_get(stats, "counters"), name));
}

static double requests(const json_t *stats)
{
    double all = 0;
    const char *name;
    json_t *value;
    json_object_foreach(json_object_get(stats, "requests"), name, value)
    {
        all += (double)json_integer_value(value);
    }
    return all;
}

struct span {
    const json_t *before, *now;
    double seconds;
};

/* So many of it in a second. */
static double rate(const struct span *s, const char *name)
{
    return (counter(s->now, name) - counter(s->before, name)) / s->seconds;
}

static double share(const struct span *s, const char *part, const char *rest)
{
    double all = rate(s, part) + rate(s, rest);
    return all > 0 ? 100 * rate(s, part) / all : 100;
}

void stats_live_print(const struct json_t *before, const struct json_t *now, uint64_t row)
{
    struct span s = {before, now, (counter(now, "open_ns") - counter(before, "open_ns")) / 1e9};
    const double mib = 1 << 20;
    if (s.seconds <= 0) { /* the store was opened anew, or is asked very fast */
        s.seconds = 1e-9;
    }
    if (row % ROWS_A_HEADING == 0) {
        printf("%10s %7s %7s %8s %10s %10s %7s %7s %6s\n", "REQUESTS/S", "GETS/S", "SEEKS/S",
               "WRITES/S", "USER MIB/S", "DISK MIB/S", "CACHE %", "STALL %", "MERGES");
    }
    double device = rate(&s, "log_bytes") + rate(&s, "blob_commit_bytes") +
                    rate(&s, "flush_bytes") + rate(&s, "compaction_bytes_written");
    printf("%10.0f %7.0f %7.0f %8.0f %10.2f %10.2f %7.1f %7.1f %6.0f\n",
           (requests(now) - requests(before)) / s.seconds, rate(&s, "gets"), rate(&s, "seeks"),
           rate(&s, "writes"), rate(&s, "bytes_written_user") / mib, device / mib,
           share(&s, "cache_hits", "cache_misses"), rate(&s, "stall_ns") / 1e7,
           counter(now, "merges_running"));
}
