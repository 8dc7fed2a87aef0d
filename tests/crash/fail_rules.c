/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/fail_rules.h"

enum { ANY_ERROR = 1, CUT_SHORT = 0 };

#define KIND(kind) (1U << (kind))
#define ANY_KIND   (KIND(SIM_KIND_COUNT) - 1)

/* What is looked at. Besides, after every failure the store is opened again: nothing acknowledged
 * may be lost, no file may be left that nobody needs, no descriptor open after closing. */
typedef bool promise_fn(const struct fail_call *call, const struct sim_event *strike);

struct rule {
    const char *text;
    unsigned engine_calls; /* 0: any */
    enum sim_call call;    /* SIM_CALL_COUNT: any */
    unsigned kinds;
    int error;
    promise_fn *promise; /* NULL: what is looked at anyway */
};

/* A call of that kind went well after the strike. */
static bool later(const struct fail_call *call, const struct sim_event *strike, enum sim_call done,
                  enum sim_kind kind)
{
    return call->last_good[done][kind] > strike->number;
}

/* Or writing the rest failed too, which is judged by itself. */
static bool rest_was_written(const struct fail_call *call, const struct sim_event *strike)
{
    const struct sim_event *next = strike + 1;
    bool has_next =
        next < call->strikes + call->strike_count && next < call->strikes + FAIL_STRIKES_MAX;
    return later(call, strike, SIM_PWRITEV, strike->kind) ||
           (has_next && next->number == strike->number + 1 && next->call == SIM_PWRITEV);
}

/* The new manifest, with the edit in it, is the one that the root names. */
static bool manifest_was_made_anew(const struct fail_call *call, const struct sim_event *strike)
{
    return later(call, strike, SIM_FDATASYNC, SIM_MANIFEST) &&
           (later(call, strike, SIM_FDATASYNC, SIM_ROOT) ||
            later(call, strike, SIM_FDATASYNC, SIM_ROOT_TMP));
}

static bool rows_went_to_tables(const struct fail_call *call, const struct sim_event *strike)
{
    return call->held_back && later(call, strike, SIM_FDATASYNC, SIM_TABLE_TMP) &&
           later(call, strike, SIM_FDATASYNC, SIM_MANIFEST);
}

/* What reading them needs is durable; fail_check_left() reads them. */
static bool tables_hold_the_rows(const struct fail_call *call, const struct sim_event *strike)
{
    return later(call, strike, SIM_FDATASYNC, SIM_TABLE_TMP) &&
           later(call, strike, SIM_FDATASYNC, SIM_MANIFEST);
}

static bool names_are_synced_and_tables_hold_the_rows(const struct fail_call *call,
                                                      const struct sim_event *strike)
{
    return later(call, strike, SIM_FSYNC, SIM_DIR) && tables_hold_the_rows(call, strike);
}

static bool is_told(const struct fail_call *call, const struct sim_event *strike)
{
    struct kv_health health;
    kv_health(call->rig->store, &health);
    return health.state != KV_HEALTH_OK || call->rig->warnings > call->warnings_before;
}

/* The bytes that were needed were read alone. */
static bool is_told_and_read_again(const struct fail_call *call, const struct sim_event *strike)
{
    return is_told(call, strike) && later(call, strike, SIM_PREAD, strike->kind);
}

static bool log_was_made(const struct fail_call *call, const struct sim_event *strike)
{
    return later(call, strike, SIM_CREATE, SIM_LOG) || later(call, strike, SIM_RENAME, SIM_LOG);
}

/* Only a write can do without a new log, or without the room that a flush would have made. */
static bool log_was_made_or_full_is_told(const struct fail_call *call,
                                         const struct sim_event *strike)
{
    bool of_log = strike->kind == SIM_LOG || strike->kind == SIM_DIR;
    return (of_log && log_was_made(call, strike)) ||
           (call->call == RIG_WRITE && is_told(call, strike));
}

/* Nobody else gets a lease, not even a shared one. */
static bool lease_is_held(const struct fail_call *call, const struct sim_event *strike)
{
    struct kv_storage *other = NULL;
    int r = sim_storage_open(call->rig->sim, false, &other);
    if (r == 0) {
        r = other->ops->lease_acquire(other, KV_LEASE_SHARED, "another");
        other->ops->close(other);
    }
    return r == -EBUSY;
}

static const struct rule rules[] = {
    {.text = "closing a file failed: what had to last was synced before",
     .call = SIM_CLOSE,
     .kinds = ANY_KIND,
     .error = ANY_ERROR},
    {.text = "removing a file that nobody needs failed: the next opening removes it",
     .call = SIM_UNLINK,
     .kinds = KIND(SIM_LOG) | KIND(SIM_MANIFEST) | KIND(SIM_TABLE) | KIND(SIM_TABLE_TMP) |
              KIND(SIM_ROOT_TMP) | KIND(SIM_BLOB),
     .error = ANY_ERROR},
    {.text = "a write was cut short: the rest was written by another",
     .call = SIM_PWRITEV,
     .kinds = ANY_KIND,
     .error = CUT_SHORT,
     .promise = rest_was_written},
    {.text = "writing to the manifest failed: a new one holds the edit",
     .call = SIM_PWRITEV,
     .kinds = KIND(SIM_MANIFEST),
     .error = ANY_ERROR,
     .promise = manifest_was_made_anew},
    {.text = "syncing the manifest failed: a new one holds the edit",
     .call = SIM_FDATASYNC,
     .kinds = KIND(SIM_MANIFEST),
     .error = ANY_ERROR,
     .promise = manifest_was_made_anew},
    {.text = "logging rows that were held back failed: they went to tables",
     .call = SIM_PWRITEV,
     .kinds = KIND(SIM_LOG),
     .error = ANY_ERROR,
     .promise = rows_went_to_tables},
    {.text = "writing the directory of a blob failed: it is a hint, the values do without",
     .engine_calls = ~KIND(RIG_WRITE),
     .call = SIM_PWRITEV,
     .kinds = KIND(SIM_BLOB),
     .error = ANY_ERROR,
     .promise = tables_hold_the_rows},
    {.text = "syncing a blob failed while it was sealed: its values were moved",
     .engine_calls = ~KIND(RIG_SYNC),
     .call = SIM_FDATASYNC,
     .kinds = KIND(SIM_BLOB),
     .error = ANY_ERROR,
     .promise = tables_hold_the_rows},
    {.text = "syncing the names failed, for a blob that was sealed: its values were moved",
     .engine_calls = ~KIND(RIG_SYNC),
     .call = SIM_FSYNC,
     .kinds = KIND(SIM_DIR),
     .error = ANY_ERROR,
     .promise = names_are_synced_and_tables_hold_the_rows},
    {.text = "no space for the next log, or for tables to make room in memory: a smaller log was "
             "made, or the present one goes on and the store says that it is full",
     .call = SIM_CALL_COUNT,
     .kinds = KIND(SIM_LOG) | KIND(SIM_DIR) | KIND(SIM_TABLE) | KIND(SIM_TABLE_TMP) |
              KIND(SIM_MANIFEST) | KIND(SIM_ROOT) | KIND(SIM_BLOB),
     .error = -ENOSPC,
     .promise = log_was_made_or_full_is_told},
    {.text = "no space for the holder's line in LOCK: the lease is held without it",
     .engine_calls = KIND(RIG_OPEN),
     .call = SIM_PWRITEV,
     .kinds = KIND(SIM_LOCK),
     .error = -ENOSPC,
     .promise = lease_is_held},
    {.text = "reading ahead in a log failed: what was needed was read alone, and the store says so",
     .engine_calls = KIND(RIG_OPEN),
     .call = SIM_PREAD,
     .kinds = KIND(SIM_LOG) | KIND(SIM_MANIFEST),
     .error = -EIO,
     .promise = is_told_and_read_again},
    {.text = "setting space aside failed: the store says so",
     .call = SIM_CALL_COUNT,
     .kinds = KIND(SIM_RESERVE),
     .error = ANY_ERROR,
     .promise = is_told},
};

enum { RULE_COUNT = sizeof rules / sizeof rules[0] };

_Static_assert((int)RULE_COUNT <= (int)FAIL_RULES_MAX, "more exceptions than are counted");

static bool matches(const struct rule *rule, const struct fail_call *call,
                    const struct sim_event *strike)
{
    bool error_fits = rule->error == ANY_ERROR ? strike->error < 0 : strike->error == rule->error;
    return (rule->engine_calls == 0 || (rule->engine_calls & KIND(call->call)) != 0) &&
           (rule->call == SIM_CALL_COUNT || rule->call == strike->call) &&
           (rule->kinds & KIND(strike->kind)) != 0 && error_fits &&
           (rule->promise == NULL || rule->promise(call, strike));
}

int fail_rule_find(const struct fail_call *call, const struct sim_event *strike)
{
    for (int i = 0; i < (int)RULE_COUNT; i++) {
        if (matches(&rules[i], call, strike)) {
            return i;
        }
    }
    return -1;
}

const char *fail_rule_text(int rule)
{
    return rule < (int)RULE_COUNT ? rules[rule].text : NULL;
}
