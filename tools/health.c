/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/health.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

enum {
    FREE_PERCENT_MIN = 5,
    STALL_PERCENT_MAX = 10,
    WRITE_AMPLIFICATION_MAX = 30,
    SYNCS_MIN = 10, /* before that, one slow one would count for all */
};
static const uint64_t second_ns = 1000000000;
static const uint64_t written_min_bytes = (uint64_t)1 << 30;

struct judging {
    health_reason_fn *fn;
    void *arg;
    unsigned count;
};

__attribute__((format(printf, 3, 4))) static void tell(struct judging *j, const char *kind,
                                                       const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    j->fn(j->arg, kind, text);
    j->count++;
}

static double percent(uint64_t part, uint64_t whole)
{
    return whole > 0 ? 100.0 * (double)part / (double)whole : 0;
}

static void judge_errors(struct judging *j, const struct health_facts *f)
{
    if (f->engine_reason != NULL) {
        tell(j, "engine", "%s", f->engine_reason);
    }
    if (f->damage_seen > 0) {
        tell(j, "damage", "damage was met %" PRIu64 " times since the store was opened",
             f->damage_seen);
    }
    if (f->suspects != NULL && f->damage_seen == 0) {
        tell(j, "suspects", "damage was met in %s before, and no check has found it sound since",
             f->suspects);
    }
    if (f->write_errors > 0) {
        tell(j, "write_errors", "the device failed to write %" PRIu64 " times", f->write_errors);
    }
    if (f->read_errors > 0) {
        tell(j, "read_errors", "the device failed to read %" PRIu64 " times", f->read_errors);
    }
}

static void judge_pace(struct judging *j, const struct health_facts *f)
{
    double free_percent = percent(f->free_bytes, f->total_bytes);
    double stall_percent = percent(f->stall_ns, f->open_ns);
    if (f->total_bytes > 0 && free_percent < FREE_PERCENT_MIN) {
        tell(j, "space", "%.1f %% of the device are free, less than %d", free_percent,
             FREE_PERCENT_MIN);
    }
    if (f->stall_ns > second_ns && stall_percent > STALL_PERCENT_MAX) {
        tell(j, "stalls", "writers were stopped for %.0f %% of the time, more than %d",
             stall_percent, STALL_PERCENT_MAX);
    }
    if (f->bytes_written_user > written_min_bytes &&
        f->write_amplification > WRITE_AMPLIFICATION_MAX) {
        tell(j, "write_amplification",
             "%.1f bytes are written for each byte of users, more than %d", f->write_amplification,
             WRITE_AMPLIFICATION_MAX);
    }
    if (f->syncs >= SYNCS_MIN && f->sync_p99_ns > second_ns) {
        tell(j, "syncs", "one sync in a hundred takes more than %.1f s, the limit is 1 s",
             (double)f->sync_p99_ns / (double)second_ns);
    }
}

unsigned health_judge(const struct health_facts *facts, health_reason_fn *fn, void *arg)
{
    struct judging j = {.fn = fn, .arg = arg};
    judge_errors(&j, facts);
    judge_pace(&j, facts);
    return j.count;
}
