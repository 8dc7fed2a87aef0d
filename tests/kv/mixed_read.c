/* SPDX-License-Identifier: Apache-2.0 */
/* What the mixed load reads, and the comparison with the model. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "kvcore/util/clock.h"
#include "tests/kv/mixed_part.h"

enum { TURN_ONE_IN = 24, SCAN_ALL_ROWS = 1500, NONE = MIXED_KEYS };

bool mixed_differs(struct mixed_part *part, const char *format, ...)
{
    struct mixed *mixed = part->mixed;
    uint64_t operations = 0;
    va_list args;

    for (int kind = 0; kind < MIXED_KINDS; kind++) {
        operations += part->counts[kind];
    }
    atomic_store(&mixed->stop, true);
    mutex_lock(&mixed->mu);
    if (!mixed->differs) {
        mixed->differs = true;
        printf("# DIFFERENCE: seed %" PRIu64 ", part %" PRIu64 ", operation %" PRIu64 ", %.3f s: ",
               mixed->seed, part->number, operations,
               (double)(clock_monotonic_ns() - mixed->began_ns) / 1e9);
        va_start(args, format);
        vprintf(format, args);
        va_end(args);
        putchar('\n');
        fflush(stdout);
    }
    mutex_unlock(&mixed->mu);
    return false;
}

/* The first index from `index` on in the direction that has a row, or NONE. */
static uint64_t next_present(const struct mixed_state *state, uint64_t index, bool forward)
{
    while (index < MIXED_KEYS && state->versions[index] == 0) {
        index = forward ? index + 1 : index - 1; /* below 0 it is large */
    }
    return index < MIXED_KEYS ? index : NONE;
}

/* The row the iterator stands on is `index`, as the state has it. */
static bool compare_row(struct mixed_part *part, struct kv_iter *iter,
                        const struct mixed_state *state, uint64_t index)
{
    struct mixed_id id = {.part = part->number, .index = index};
    struct kv_slice key = kv_iter_key(iter);
    struct kv_slice value;
    struct mixed_key expected;
    uint64_t version;
    int r;

    mixed_key_make(part->number, index, &expected);
    if (!kv_slice_equal(key, expected.slice)) {
        return mixed_differs(part, "an iterator stands on %.*s, not on %s", (int)key.size,
                             (const char *)key.data, expected.text);
    }
    r = kv_iter_value(iter, &value);
    if (r < 0) {
        return mixed_differs(part, "the value of %s cannot be read: %s", expected.text,
                             kv_strerror(r));
    }
    part->rows_compared++;
    version = mixed_value_version(&id, value, &part->scratch);
    if (version != state->versions[index]) {
        return mixed_differs(part,
                             "an iterator shows version %" PRIu64 " of %s (0: none or wrong bytes; "
                             "%zu bytes), not %" PRIu32,
                             version, expected.text, value.size, state->versions[index]);
    }
    return true;
}

/* The iterator stands on `index`, or on nothing for NONE. */
static bool compare_place(struct mixed_part *part, struct kv_iter *iter,
                          const struct mixed_state *state, uint64_t index)
{
    int r = kv_iter_error(iter);
    if (r < 0) {
        return mixed_differs(part, "an iterator fails: %s", kv_strerror(r));
    }
    if (kv_iter_valid(iter) && index == NONE) {
        struct kv_slice key = kv_iter_key(iter);
        return mixed_differs(part, "an iterator stands on %.*s, not at the end", (int)key.size,
                             (const char *)key.data);
    }
    if (!kv_iter_valid(iter) && index != NONE) {
        return mixed_differs(part, "an iterator is at the end, not on index %" PRIu64, index);
    }
    return index == NONE || compare_row(part, iter, state, index);
}

bool mixed_walk(struct mixed_part *part, struct kv_iter *iter, struct mixed_walk walk)
{
    bool forward = walk.forward;
    struct mixed_key key;
    uint64_t index;

    mixed_key_make(part->number, walk.index, &key);
    if (forward) {
        kv_iter_seek(iter, key.slice);
    } else {
        kv_iter_seek_for_prev(iter, key.slice);
    }
    index = next_present(walk.state, walk.index, forward);
    while (compare_place(part, iter, walk.state, index)) {
        if (index == NONE || walk.count-- == 0) {
            return true;
        }
        if (walk.turns && rng_below(&part->rng, TURN_ONE_IN) == 0) {
            forward = !forward;
        }
        if (forward) {
            kv_iter_next(iter);
        } else {
            kv_iter_prev(iter);
        }
        index = next_present(walk.state, forward ? index + 1 : index - 1, forward);
    }
    return false;
}

bool mixed_get(struct mixed_part *part, const struct kv_snapshot *snapshot,
               const struct mixed_state *state, uint64_t index)
{
    struct mixed_id id = {.part = part->number, .index = index};
    struct kv_pinned pinned = {0};
    struct mixed_key key;
    uint64_t version = 0;
    size_t size;
    int r;

    mixed_key_make(part->number, index, &key);
    r = kv_get(part->open->rows, snapshot, key.slice, &pinned);
    if (r < 0 && r != -ENOENT) {
        return mixed_differs(part, "getting %s fails: %s", key.text, kv_strerror(r));
    }
    size = pinned.value.size;
    if (r == 0) {
        version = mixed_value_version(&id, pinned.value, &part->scratch);
    }
    kv_pinned_release(&pinned);
    part->rows_compared++;
    if (version != state->versions[index] || (version == 0) != (r == -ENOENT)) {
        return mixed_differs(part,
                             "get of %s%s shows version %" PRIu64 " (%s, %zu bytes), not %" PRIu32,
                             key.text, snapshot != NULL ? " in a snapshot" : "", version,
                             r == 0 ? "found" : "missing", size, state->versions[index]);
    }
    return true;
}

int mixed_iter(struct mixed_part *part, const struct kv_snapshot *snapshot,
               struct kv_iter **ret_iter)
{
    struct kv_iter_options options = {
        .snapshot = snapshot, .lower = part->lower.slice, .upper = part->upper.slice};
    return kv_iter_create(part->open->rows, &options, ret_iter);
}

/* ---- across the parts ---- */

/* What the others had acknowledged before a snapshot was taken, and had begun soon after. */
struct bounds {
    uint64_t version_begun, stamp_done, stamp_begun;
};

static int get_number(struct kv_table *table, const struct kv_snapshot *snapshot,
                      struct kv_slice key, uint64_t *ret_number)
{
    struct kv_pinned pinned = {0};
    uint64_t number = 0;
    int r = kv_get(table, snapshot, key, &pinned);
    if (r == 0 && pinned.value.size == sizeof number) {
        memcpy(&number, pinned.value.data, sizeof number);
    }
    kv_pinned_release(&pinned);
    if (r == 0 || r == -ENOENT) {
        *ret_number = number;
        r = 0;
    }
    return r;
}

static bool compare_stamps(struct mixed_part *part, const struct kv_snapshot *snapshot,
                           uint64_t other, const struct bounds *bounds)
{
    const struct mixed_store *open = part->open;
    struct mixed_key key;
    uint64_t one = 0;
    uint64_t two = 0;
    int r;

    mixed_key_make(other, MIXED_KEYS, &key);
    r = get_number(open->rows, snapshot, key.slice, &one);
    r = r < 0 ? r : get_number(open->stamps, snapshot, key.slice, &two);
    if (r < 0) {
        return mixed_differs(part, "getting stamps fails: %s", kv_strerror(r));
    }
    part->rows_compared += 2;
    if (one != two || one < bounds->stamp_done || one > bounds->stamp_begun) {
        return mixed_differs(part,
                             "one snapshot shows stamps %" PRIu64 " and %" PRIu64
                             " of part %" PRIu64 "; %" PRIu64 " was acknowledged and %" PRIu64
                             " begun",
                             one, two, other, bounds->stamp_done, bounds->stamp_begun);
    }
    return true;
}

/* A row of any part: the value is one of its key that was written before. */
static bool compare_any(struct mixed_part *part, struct kv_iter *iter, const struct bounds *bounds)
{
    struct kv_slice key = kv_iter_key(iter);
    struct kv_slice value;
    struct mixed_id id = {0};
    uint64_t version;
    int r = kv_iter_value(iter, &value);

    if (r < 0 || !mixed_key_parse(key, &id) || id.part >= part->mixed->part_count) {
        return mixed_differs(part, "key %.*s: %s", (int)key.size, (const char *)key.data,
                             r < 0 ? kv_strerror(r) : "nobody wrote such a key");
    }
    if (id.index == MIXED_KEYS) {
        return true; /* a stamp */
    }
    part->rows_compared++;
    version = mixed_value_version(&id, value, &part->scratch);
    if (version == 0 || version > bounds[id.part].version_begun ||
        (id.part == part->number && version != part->state.versions[id.index])) {
        return mixed_differs(part,
                             "a scan shows version %" PRIu64
                             " of %.*s (0: wrong bytes); its part has written up to %" PRIu64,
                             version, (int)key.size, (const char *)key.data,
                             bounds[id.part].version_begun);
    }
    return true;
}

static bool scan_any(struct mixed_part *part, struct kv_iter *iter, const struct bounds *bounds)
{
    bool forward = rng_below(&part->rng, 2) == 0;
    uint64_t last_part = rng_below(&part->rng, part->mixed->part_count);
    struct mixed_key from;
    struct kv_buf *last = &part->value;

    last->size = 0;
    mixed_key_make(last_part, rng_below(&part->rng, MIXED_KEYS), &from);
    if (forward) {
        kv_iter_seek(iter, from.slice);
    } else {
        kv_iter_seek_for_prev(iter, from.slice);
    }
    for (int n = 0; n < SCAN_ALL_ROWS && kv_iter_valid(iter); n++) {
        int order = kv_slice_compare(kv_iter_key(iter), kv_buf_slice(last));
        if (last->size > 0 && (forward ? order <= 0 : order >= 0)) {
            return mixed_differs(part, "a scan shows its rows out of order");
        }
        if (!compare_any(part, iter, bounds)) {
            return false;
        }
        if (kv_buf_assign(last, kv_iter_key(iter)) < 0) {
            return mixed_differs(part, "out of memory");
        }
        if (forward) {
            kv_iter_next(iter);
        } else {
            kv_iter_prev(iter);
        }
    }
    return kv_iter_error(iter) == 0 ||
           mixed_differs(part, "a scan fails: %s", kv_strerror(kv_iter_error(iter)));
}

void mixed_floor_get(struct mixed *mixed, struct mixed_floor *floor)
{
    for (unsigned i = 0; i < mixed->part_count; i++) {
        floor->stamps[i] = atomic_load(&mixed->parts[i].stamp_done);
    }
}

bool mixed_look_at_all(struct mixed_part *part, bool scan, const struct mixed_floor *floor)
{
    struct mixed *mixed = part->mixed;
    struct bounds bounds[MIXED_PARTS_MAX];
    struct kv_iter_options options = {.keep_cache = rng_below(&part->rng, 2) == 0};
    struct kv_snapshot *snapshot = NULL;
    struct kv_iter *iter = NULL;
    bool same = true;
    int r;

    r = kv_snapshot_create(mixed->open.store, &snapshot);
    options.snapshot = snapshot;
    if (r == 0 && scan) {
        r = kv_iter_create(mixed->open.rows, &options, &iter);
    }
    for (unsigned i = 0; i < mixed->part_count; i++) {
        bounds[i].stamp_done = floor->stamps[i];
        bounds[i].stamp_begun = atomic_load(&mixed->parts[i].stamp_begun);
        bounds[i].version_begun = atomic_load(&mixed->parts[i].version_begun);
    }
    if (r < 0) {
        same = mixed_differs(part, "no scan: %s", kv_strerror(r));
    }
    for (unsigned i = 0; i < mixed->part_count && same; i++) {
        same = compare_stamps(part, snapshot, i, &bounds[i]);
    }
    same = same && (!scan || scan_any(part, iter, bounds));
    kv_iter_destroy(iter);
    kv_snapshot_release(snapshot);
    return same;
}
