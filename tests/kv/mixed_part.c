/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/kv/mixed_part.h"

#include <stdlib.h>

#include "kvcore/util/clock.h"

enum {
    HOT_KEYS = MIXED_KEYS / 20,
    RANGE_SHORT = 100,
    RANGE_LONG = 3000,
    RANGE_LONG_ONE_IN = 40,
    BATCH_ROWS = 24,
    SCAN_ROWS = 100,
    CHECK_GETS = 500,
};

/* How often, in 1000 operations. What is missing to 1000 are overwrites. */
static const struct {
    enum mixed_kind kind;
    unsigned share;
} shares[] = {
    {MIXED_DELETE, 80},       {MIXED_RANGE_DELETE, 4},   {MIXED_BATCH, 60},   {MIXED_GET, 300},
    {MIXED_SCAN_FORWARD, 40}, {MIXED_SCAN_BACKWARD, 40}, {MIXED_SCAN_ALL, 2}, {MIXED_STAMPS, 60},
    {MIXED_SNAPSHOT, 2},      {MIXED_READ_AGAIN, 40},
};

const char *mixed_kind_name(enum mixed_kind kind)
{
    static const char *const names[MIXED_KINDS] = {
        [MIXED_OVERWRITE] = "overwrite",
        [MIXED_DELETE] = "delete",
        [MIXED_RANGE_DELETE] = "range delete",
        [MIXED_BATCH] = "batch",
        [MIXED_GET] = "get",
        [MIXED_SCAN_FORWARD] = "scan forward",
        [MIXED_SCAN_BACKWARD] = "scan backward",
        [MIXED_SCAN_ALL] = "scan of all parts",
        [MIXED_STAMPS] = "stamps of all parts",
        [MIXED_SNAPSHOT] = "snapshot",
        [MIXED_READ_AGAIN] = "snapshot read again",
        [MIXED_SYNC] = "sync",
        [MIXED_FLUSH] = "flush",
        [MIXED_MERGE_ALL] = "merge of everything",
        [MIXED_COPY] = "checkpoint",
    };
    return names[kind];
}

int mixed_part_init(struct mixed *mixed, unsigned number)
{
    struct mixed_part *part = &mixed->parts[number];
    *part = (struct mixed_part){.mixed = mixed,
                                .open = &mixed->open,
                                .number = number,
                                .rng = {hash_u64(mixed->seed) + number}};
    mixed_key_make(number, 0, &part->lower);
    mixed_key_make(number, MIXED_KEYS, &part->upper);
    part->state.versions = calloc(MIXED_KEYS, sizeof(uint32_t));
    for (int i = 0; i < MIXED_HELD; i++) {
        part->held[i].state.versions = calloc(MIXED_KEYS, sizeof(uint32_t));
        if (part->held[i].state.versions == NULL) {
            return -ENOMEM;
        }
    }
    return part->state.versions != NULL ? kv_batch_create(&part->batch) : -ENOMEM;
}

static void release(struct mixed_held *held)
{
    kv_iter_destroy(held->iter);
    kv_snapshot_release(held->snapshot);
    held->iter = NULL;
    held->snapshot = NULL;
}

void mixed_part_finish(struct mixed_part *part)
{
    for (int i = 0; i < MIXED_HELD; i++) {
        free(part->held[i].state.versions);
    }
    free(part->state.versions);
    kv_batch_destroy(part->batch);
    kv_buf_finish(&part->value);
    kv_buf_finish(&part->scratch);
}

/* Half of all operations fall upon a twentieth of the keys. */
static uint64_t any_index(struct mixed_part *part)
{
    return rng_below(&part->rng, rng_below(&part->rng, 2) == 0 ? HOT_KEYS : MIXED_KEYS);
}

/* ---- writing ---- */

static enum kv_durability any_durability(struct mixed_part *part)
{
    uint64_t kind = rng_below(&part->rng, 1000);
    if (kind == 0) {
        return KV_DURABLE_SYNC;
    }
    return kind < 300 ? KV_DURABLE_NONE : KV_DURABLE_WRITE;
}

/* A new value of the key, in part->value, and its version. */
static int new_value(struct mixed_part *part, uint64_t index, uint32_t *ret_version)
{
    struct mixed_id id = {.part = part->number,
                          .index = index,
                          .version = atomic_fetch_add(&part->version_begun, 1) + 1};
    *ret_version = (uint32_t)id.version;
    return mixed_value_make(&id, &part->value);
}

static void time_write(struct mixed_part *part, enum mixed_kind kind, uint64_t began)
{
    uint64_t ns = clock_monotonic_ns() - began;
    if (ns > part->longest_write_ns) {
        part->longest_write_ns = ns;
        part->longest_write_at_ns = began;
        part->longest_write_kind = kind;
    }
}

static bool wrote(struct mixed_part *part, enum mixed_kind kind, int r)
{
    return r == 0 || mixed_differs(part, "%s fails: %s", mixed_kind_name(kind), kv_strerror(r));
}

static bool overwrite(struct mixed_part *part)
{
    uint64_t index = any_index(part);
    enum kv_durability durability = any_durability(part);
    struct mixed_key key;
    uint32_t version;
    uint64_t began;
    int r = new_value(part, index, &version);

    mixed_key_make(part->number, index, &key);
    began = clock_monotonic_ns();
    r = r < 0 ? r : kv_put(part->open->rows, key.slice, kv_buf_slice(&part->value), durability);
    time_write(part, MIXED_OVERWRITE, began);
    part->state.versions[index] = version;
    return wrote(part, MIXED_OVERWRITE, r);
}

static bool delete (struct mixed_part *part)
{
    uint64_t index = any_index(part);
    enum kv_durability durability = any_durability(part);
    uint64_t began = clock_monotonic_ns();
    struct mixed_key key;
    int r;

    mixed_key_make(part->number, index, &key);
    r = kv_delete(part->open->rows, key.slice, durability);
    time_write(part, MIXED_DELETE, began);
    part->state.versions[index] = 0;
    return wrote(part, MIXED_DELETE, r);
}

/* A range of the part's keys: [first, end). */
struct range {
    uint64_t first, end;
    struct mixed_key from, to;
};

static void any_range(struct mixed_part *part, uint64_t most, struct range *range)
{
    range->first = any_index(part);
    range->end = range->first + 1 + rng_below(&part->rng, most);
    range->end = range->end < MIXED_KEYS ? range->end : MIXED_KEYS;
    mixed_key_make(part->number, range->first, &range->from);
    mixed_key_make(part->number, range->end, &range->to);
}

static void forget_range(struct mixed_part *part, const struct range *range)
{
    for (uint64_t i = range->first; i < range->end; i++) {
        part->state.versions[i] = 0;
    }
}

static bool delete_range(struct mixed_part *part)
{
    bool is_long = rng_below(&part->rng, RANGE_LONG_ONE_IN) == 0;
    enum kv_durability durability = any_durability(part);
    struct range range;
    uint64_t began;
    int r;

    any_range(part, is_long ? RANGE_LONG : RANGE_SHORT, &range);
    began = clock_monotonic_ns();
    r = kv_delete_range(part->open->rows, range.from.slice, range.to.slice, durability);
    time_write(part, MIXED_RANGE_DELETE, began);
    forget_range(part, &range);
    return wrote(part, MIXED_RANGE_DELETE, r);
}

/* The model is changed at once: nobody looks before the batch is written. */
static int add_row(struct mixed_part *part)
{
    struct kv_table *rows = part->open->rows;
    uint64_t kind = rng_below(&part->rng, 100);
    uint64_t index = any_index(part);
    struct mixed_key key;
    struct range range;
    uint32_t version = 0;
    int r;

    mixed_key_make(part->number, index, &key);
    if (kind < 3) {
        any_range(part, RANGE_SHORT, &range);
        forget_range(part, &range);
        return kv_batch_delete_range(part->batch, rows, range.from.slice, range.to.slice);
    }
    if (kind < 25) {
        part->state.versions[index] = 0;
        return kv_batch_delete(part->batch, rows, key.slice);
    }
    r = new_value(part, index, &version);
    part->state.versions[index] = version;
    return r < 0 ? r : kv_batch_put(part->batch, rows, key.slice, kv_buf_slice(&part->value));
}

static bool batch(struct mixed_part *part)
{
    const struct mixed_store *open = part->open;
    uint64_t count = 1 + rng_below(&part->rng, BATCH_ROWS);
    enum kv_durability durability = any_durability(part);
    uint64_t stamp = ++part->state.stamp;
    struct kv_slice stamp_value = kv_slice(&stamp, sizeof stamp);
    uint64_t began;
    int r;

    kv_batch_clear(part->batch);
    r = kv_batch_put(part->batch, open->stamps, part->upper.slice, stamp_value);
    for (uint64_t i = 0; i < count && r == 0; i++) {
        r = add_row(part);
    }
    r = r < 0 ? r : kv_batch_put(part->batch, open->rows, part->upper.slice, stamp_value);
    atomic_store(&part->stamp_begun, stamp);
    began = clock_monotonic_ns();
    r = r < 0 ? r : kv_write(open->store, part->batch, durability);
    time_write(part, MIXED_BATCH, began);
    atomic_store(&part->stamp_done, stamp);
    return wrote(part, MIXED_BATCH, r);
}

/* ---- reading ---- */

static bool scan(struct mixed_part *part, bool forward)
{
    struct mixed_walk walk = {.state = &part->state,
                              .index = any_index(part),
                              .count = 1 + rng_below(&part->rng, SCAN_ROWS),
                              .forward = forward,
                              .turns = true};
    struct kv_iter *iter = NULL;
    int r = mixed_iter(part, NULL, &iter);
    bool same = r == 0 || mixed_differs(part, "no iterator: %s", kv_strerror(r));
    same = same && mixed_walk(part, iter, walk);
    kv_iter_destroy(iter);
    return same;
}

static bool hold_snapshot(struct mixed_part *part)
{
    struct mixed_held *held = &part->held[rng_below(&part->rng, MIXED_HELD)];
    int r;

    release(held);
    r = kv_snapshot_create(part->open->store, &held->snapshot);
    r = r < 0 ? r : mixed_iter(part, held->snapshot, &held->iter);
    if (r < 0) {
        return mixed_differs(part, "no snapshot: %s", kv_strerror(r));
    }
    held->state.stamp = part->state.stamp;
    memcpy(held->state.versions, part->state.versions, MIXED_KEYS * sizeof(uint32_t));
    return true;
}

static bool read_again(struct mixed_part *part)
{
    struct mixed_held *held = &part->held[rng_below(&part->rng, MIXED_HELD)];
    struct mixed_walk walk = {.state = &held->state,
                              .index = any_index(part),
                              .count = 1 + rng_below(&part->rng, SCAN_ROWS),
                              .forward = rng_below(&part->rng, 2) == 0,
                              .turns = true};

    if (held->snapshot == NULL) {
        return true;
    }
    if (rng_below(&part->rng, 2) == 0) {
        return mixed_get(part, held->snapshot, &held->state, walk.index);
    }
    return mixed_walk(part, held->iter, walk);
}

/* ---- the thread ---- */

static enum mixed_kind any_kind(struct mixed_part *part)
{
    uint64_t place = rng_below(&part->rng, 1000);
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        if (place < shares[i].share) {
            return shares[i].kind;
        }
        place -= shares[i].share;
    }
    return MIXED_OVERWRITE;
}

static bool operate(struct mixed_part *part, enum mixed_kind kind)
{
    struct mixed_floor floor;
    switch (kind) {
    case MIXED_DELETE:
        return delete (part);
    case MIXED_RANGE_DELETE:
        return delete_range(part);
    case MIXED_BATCH:
        return batch(part);
    case MIXED_GET:
        return mixed_get(part, NULL, &part->state, any_index(part));
    case MIXED_SCAN_FORWARD:
    case MIXED_SCAN_BACKWARD:
        return scan(part, kind == MIXED_SCAN_FORWARD);
    case MIXED_SCAN_ALL:
    case MIXED_STAMPS:
        mixed_floor_get(part->mixed, &floor);
        return mixed_look_at_all(part, kind == MIXED_SCAN_ALL, &floor);
    case MIXED_COPY:
        return mixed_check_copy(part);
    case MIXED_SNAPSHOT:
        return hold_snapshot(part);
    case MIXED_READ_AGAIN:
        return read_again(part);
    case MIXED_SYNC:
        return wrote(part, kind, kv_sync(part->open->store));
    case MIXED_FLUSH:
        return wrote(part, kind, kv_flush(part->open->store));
    case MIXED_MERGE_ALL:
        return wrote(part, kind, kv_compact(part->open->store));
    default:
        return overwrite(part);
    }
}

/* Now and then something by hand that otherwise happens by itself. */
static bool upkeep(struct mixed_part *part)
{
    static const enum mixed_kind kinds[] = {MIXED_SYNC,  MIXED_SYNC,      MIXED_FLUSH,
                                            MIXED_FLUSH, MIXED_MERGE_ALL, MIXED_COPY};
    enum mixed_kind kind = kinds[rng_below(&part->rng, sizeof kinds / sizeof kinds[0])];
    uint64_t began = clock_monotonic_ns();
    uint64_t mean = part->mixed->upkeep_ns;
    uint64_t took;
    bool good;

    if (began < part->next_upkeep_ns) {
        return true;
    }
    part->counts[kind]++;
    good = operate(part, kind);
    took = clock_monotonic_ns() - began;
    part->longest_upkeep_ns = took > part->longest_upkeep_ns ? took : part->longest_upkeep_ns;
    part->next_upkeep_ns = clock_monotonic_ns() + mean / 2 + rng_below(&part->rng, mean);
    return good;
}

bool mixed_part_check(struct mixed_part *part)
{
    struct kv_iter *iter = NULL;
    int r = mixed_iter(part, NULL, &iter);
    bool same = r == 0 || mixed_differs(part, "no iterator: %s", kv_strerror(r));
    struct mixed_walk walk = {.state = &part->state, .count = MIXED_KEYS};
    walk.forward = rng_below(&part->rng, 2) == 0;
    walk.index = walk.forward ? 0 : MIXED_KEYS - 1;
    same = same && mixed_walk(part, iter, walk);
    kv_iter_destroy(iter);
    for (int i = 0; i < CHECK_GETS && same; i++) {
        same = mixed_get(part, NULL, &part->state, any_index(part));
    }
    return same;
}

/* Let go of the store, which is opened anew meanwhile, and compare what it shows then. */
static bool park(struct mixed_part *part)
{
    struct mixed *mixed = part->mixed;
    for (int i = 0; i < MIXED_HELD; i++) {
        release(&part->held[i]);
    }
    kv_batch_clear(part->batch);
    mutex_lock(&mixed->mu);
    mixed->parked++;
    condvar_broadcast(&mixed->changed);
    while (atomic_load(&mixed->park)) {
        condvar_wait(&mixed->changed, &mixed->mu);
    }
    mixed->parked--;
    mutex_unlock(&mixed->mu);
    return mixed->open.store != NULL && mixed_part_check(part);
}

void *mixed_part_main(void *arg)
{
    struct mixed_part *part = arg;
    bool good = true;

    while (good && !atomic_load(&part->mixed->stop)) {
        enum mixed_kind kind = any_kind(part);
        if (atomic_load(&part->mixed->park)) {
            good = park(part);
            continue;
        }
        part->counts[kind]++;
        good = operate(part, kind) && upkeep(part);
    }
    for (int i = 0; i < MIXED_HELD; i++) {
        release(&part->held[i]);
    }
    kv_batch_clear(part->batch);
    return NULL;
}
