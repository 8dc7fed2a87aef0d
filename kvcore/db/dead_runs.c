/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/dead_runs.h"

#include <assert.h>
#include <stdlib.h>

int dead_runs_create(struct dead_runs **ret_set)
{
    struct dead_runs *set = calloc(1, sizeof *set);
    if (set == NULL) {
        return -ENOMEM;
    }
    mutex_init(&set->mu, LOCK_RANK_LEAF, "runs of deleted keys");
    for (unsigned i = 0; i < DEAD_RUN_MAX; i++) {
        set->order[i] = (uint8_t)i;
    }
    *ret_set = set;
    return 0;
}

void dead_runs_destroy(struct dead_runs *set)
{
    if (set != NULL) {
        mutex_finish(&set->mu);
        free(set);
    }
}

/* ---- keys and spans ---- */

static bool is_endless(const struct dead_span *span)
{
    return span->hi.size == 0;
}

static bool is_before_end(struct kv_slice key, const struct dead_span *span)
{
    return is_endless(span) || kv_slice_compare(key, dead_key_slice(&span->hi)) < 0;
}

static bool span_holds(const struct dead_span *span, struct kv_slice key)
{
    return kv_slice_compare(dead_key_slice(&span->lo), key) <= 0 && is_before_end(key, span);
}

/* Whether they overlap, or one begins where the other ends. */
static bool spans_touch(const struct dead_span *a, const struct dead_span *b)
{
    return (is_endless(a) ||
            kv_slice_compare(dead_key_slice(&b->lo), dead_key_slice(&a->hi)) <= 0) &&
           (is_endless(b) || kv_slice_compare(dead_key_slice(&a->lo), dead_key_slice(&b->hi)) <= 0);
}

/* `to` covers `other` too, which it touches. */
static void span_join(struct dead_span *to, const struct dead_span *other)
{
    if (kv_slice_compare(dead_key_slice(&other->lo), dead_key_slice(&to->lo)) < 0) {
        to->lo = other->lo;
    }
    if (is_endless(other) || (!is_endless(to) && !is_before_end(dead_key_slice(&other->hi), to))) {
        to->hi = other->hi;
    }
}

/* ---- the sorted list ---- */

static struct dead_run *run_at(struct dead_runs *set, unsigned place)
{
    return &set->runs[set->order[place]];
}

/* How many runs are before (table_id, key) or begin there. */
static unsigned find_place(struct dead_runs *set, uint32_t table_id, struct kv_slice key)
{
    unsigned low = 0;
    unsigned high = set->count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        const struct dead_run *run = run_at(set, middle);
        bool after = run->table_id != table_id
                         ? run->table_id > table_id
                         : kv_slice_compare(dead_key_slice(&run->span.lo), key) > 0;
        if (after) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

/* The place of the run that holds the key. */
static bool find_run(struct dead_runs *set, uint32_t table_id, struct kv_slice key,
                     unsigned *ret_place)
{
    unsigned place = find_place(set, table_id, key);
    if (place == 0 || run_at(set, place - 1)->table_id != table_id ||
        !is_before_end(key, &run_at(set, place - 1)->span)) {
        return false;
    }
    *ret_place = place - 1;
    return true;
}

static void remove_run(struct dead_runs *set, unsigned place)
{
    uint8_t slot = set->order[place];
    memmove(&set->order[place], &set->order[place + 1], set->count - place - 1);
    set->order[--set->count] = slot;
}

/* Which goes when there is no room: one that was never used before one that was, and of these the
 * oldest. Keys that come back in order leave a piece behind each, which nobody uses. */
static unsigned least_useful(struct dead_runs *set)
{
    unsigned least = 0;
    for (unsigned i = 1; i < set->count; i++) {
        const struct dead_run *run = run_at(set, i);
        const struct dead_run *best = run_at(set, least);
        if (run->used != best->used ? best->used : run->touched < best->touched) {
            least = i;
        }
    }
    return least;
}

static void insert_run(struct dead_runs *set, const struct dead_run *run)
{
    unsigned place;

    if (set->count == DEAD_RUN_MAX) {
        remove_run(set, least_useful(set));
    }
    place = find_place(set, run->table_id, dead_key_slice(&run->span.lo));
    uint8_t slot = set->order[set->count];
    memmove(&set->order[place + 1], &set->order[place], set->count - place);
    set->order[place] = slot;
    set->count++;
    set->runs[slot] = *run;
    set->runs[slot].touched = ++set->tick;
}

/* Say which tables are concerned, after a change. */
static void publish(struct dead_runs *set)
{
    uint64_t tables = set->watch.is ? (uint64_t)1 << (set->watch.table_id - 1) : 0;
    for (unsigned i = 0; i < set->count; i++) {
        tables |= (uint64_t)1 << (run_at(set, i)->table_id - 1);
    }
    atomic_store_explicit(&set->tables, tables, memory_order_seq_cst);
}

/* ---- readers ---- */

bool dead_runs_find(struct dead_runs *set, uint32_t table_id, struct kv_slice key,
                    uint64_t sequence, struct dead_span *ret_span)
{
    unsigned place;
    bool found;

    mutex_lock(&set->mu);
    found = find_run(set, table_id, key, &place) && run_at(set, place)->since <= sequence;
    if (found) {
        struct dead_run *run = run_at(set, place);
        *ret_span = run->span;
        run->touched = ++set->tick;
        run->used = true;
        run->splits = 0;
        run->sweeps = 0;
    }
    mutex_unlock(&set->mu);
    return found;
}

/* ---- writers ---- */

/* Make `to` the first key behind this one. */
static bool set_behind(struct dead_key *to, struct kv_slice key)
{
    if (key.size >= DEAD_KEY_MAX || !dead_key_set(to, key)) {
        return false;
    }
    to->bytes[to->size++] = 0;
    return true;
}

/* The run at `place` becomes what of it is before and what is behind the key. */
static void split(struct dead_runs *set, unsigned place, struct kv_slice key)
{
    struct dead_run before = *run_at(set, place);
    struct dead_run behind;

    remove_run(set, place);
    before.splits++;
    before.used = false;
    if (before.splits > DEAD_SPLITS_MAX) {
        return;
    }
    behind = before;
    if (set_behind(&behind.span.lo, key) &&
        is_before_end(dead_key_slice(&behind.span.lo), &behind.span)) {
        insert_run(set, &behind);
    }
    if (kv_slice_compare(dead_key_slice(&before.span.lo), key) < 0 &&
        dead_key_set(&before.span.hi, key)) {
        insert_run(set, &before);
    }
}

static void spoil_watch(struct dead_watch *watch, uint32_t table_id, struct kv_slice key)
{
    if (watch->is && watch->table_id == table_id && span_holds(&watch->span, key)) {
        /* The run would end at this key; at its own start there is none. */
        watch->spoilt = watch->spoilt || kv_slice_equal(key, dead_key_slice(&watch->span.lo)) ||
                        !dead_key_set(&watch->span.hi, key);
    }
}

void dead_runs_revive(struct dead_runs *set, uint32_t table_id, struct kv_slice key)
{
    unsigned place;

    mutex_lock(&set->mu);
    spoil_watch(&set->watch, table_id, key);
    if (find_run(set, table_id, key, &place)) {
        split(set, place, key);
        publish(set);
    }
    mutex_unlock(&set->mu);
}

/* ---- the prober ---- */

uint64_t dead_runs_watch(struct dead_runs *set, uint32_t table_id, const struct dead_key *start)
{
    mutex_lock(&set->mu);
    assert(!set->watch.is);
    set->watch = (struct dead_watch){.is = true, .table_id = table_id, .span.lo = *start};
    publish(set);
    mutex_unlock(&set->mu);
    return atomic_load_explicit(&set->announced, memory_order_seq_cst);
}

/* Take the runs out that this one touches, and claim what they did. */
static void absorb(struct dead_runs *set, struct dead_run *run)
{
    for (unsigned i = set->count; i-- > 0;) {
        const struct dead_run *other = run_at(set, i);
        if (other->table_id == run->table_id && spans_touch(&run->span, &other->span)) {
            span_join(&run->span, &other->span);
            run->since = other->since > run->since ? other->since : run->since;
            run->used = run->used || other->used;
            remove_run(set, i);
        }
    }
}

/* One run says all of it already, and for older readers too. */
static bool is_known(struct dead_runs *set, const struct dead_run *run)
{
    const struct dead_span *known;
    unsigned place;

    if (!find_run(set, run->table_id, dead_key_slice(&run->span.lo), &place)) {
        return false;
    }
    known = &run_at(set, place)->span;
    return is_endless(known) ||
           (!is_endless(&run->span) &&
            kv_slice_compare(dead_key_slice(&run->span.hi), dead_key_slice(&known->hi)) <= 0);
}

void dead_runs_note(struct dead_runs *set, uint64_t since, const struct dead_key *end)
{
    struct dead_run run = {.since = since};

    mutex_lock(&set->mu);
    assert(set->watch.is);
    run.table_id = set->watch.table_id;
    run.span = set->watch.span;
    if (end != NULL && !set->watch.spoilt) {
        if (end->size > 0 && is_before_end(dead_key_slice(end), &run.span)) {
            run.span.hi = *end;
        }
        if (is_before_end(dead_key_slice(&run.span.lo), &run.span) && !is_known(set, &run)) {
            absorb(set, &run);
            insert_run(set, &run);
        }
    }
    set->watch.is = false;
    publish(set);
    mutex_unlock(&set->mu);
}

unsigned dead_runs_sweep(struct dead_runs *set)
{
    unsigned left;

    mutex_lock(&set->mu);
    for (unsigned i = set->count; i-- > 0;) {
        if (++run_at(set, i)->sweeps > DEAD_SWEEPS_MAX) {
            remove_run(set, i);
        }
    }
    left = set->count;
    publish(set);
    mutex_unlock(&set->mu);
    return left;
}

void dead_runs_forget(struct dead_runs *set, uint32_t table_id)
{
    mutex_lock(&set->mu);
    for (unsigned i = set->count; i-- > 0;) {
        if (run_at(set, i)->table_id == table_id) {
            remove_run(set, i);
        }
    }
    set->watch.spoilt = set->watch.spoilt || set->watch.table_id == table_id;
    publish(set);
    mutex_unlock(&set->mu);
}
