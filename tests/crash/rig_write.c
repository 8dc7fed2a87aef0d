/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/rig_impl.h"

/* Mostly a few keys, sometimes all that follow. */
static void draw_range(struct rig *rig, struct rig_change *change)
{
    uint64_t most = rng_below(&rig->rng, 6) == 0 ? RIG_KEYS : 6;
    uint64_t end = change->key + 1 + rng_below(&rig->rng, most);
    change->end = (uint8_t)(end < RIG_KEYS ? end : RIG_KEYS);
}

void rig_draw_batch(struct rig *rig, int tables, struct rig_batch *ret_batch)
{
    *ret_batch = (struct rig_batch){.count = 1};
    if (rng_below(&rig->rng, 4) == 0) {
        ret_batch->count = 2 + rng_below(&rig->rng, RIG_BATCH_MAX - 1);
    }
    for (size_t i = 0; i < ret_batch->count; i++) {
        struct rig_change *change = &ret_batch->changes[i];
        uint64_t shape = rng_below(&rig->rng, 12);
        *change = (struct rig_change){
            .table = (uint8_t)rng_below(&rig->rng, (uint64_t)tables),
            .key = (uint8_t)rng_below(&rig->rng, RIG_KEYS),
            .value = shape < 3 ? 0 : rig->model.next_value++,
        };
        if (shape == 0) {
            draw_range(rig, change);
        }
    }
}

bool rig_draw_part(struct rig *rig, struct rig_batch *ret_batch)
{
    uint64_t table = rng_below(&rig->rng, (uint64_t)rig->bounds.tables);
    uint64_t first = rng_below(&rig->rng, RIG_KEYS);
    const uint32_t *values = rig->model.rows.value[table];
    int from = -1;

    for (size_t i = 0; i < rig->model.batch_count; i++) {
        if (rig->model.batches[i].failed) {
            return false;
        }
    }
    for (uint64_t n = 0; n < RIG_KEYS; n++) {
        int key = (int)((first + n) % RIG_KEYS);
        if (values[key] != 0 && (from < 0 || values[from] < RIG_LARGE_FIRST)) {
            from = key;
        }
    }
    if (from < 0) {
        return false;
    }
    *ret_batch = (struct rig_batch){.count = 1};
    ret_batch->changes[0] = (struct rig_change){.table = (uint8_t)table,
                                                .key = (uint8_t)rng_below(&rig->rng, RIG_KEYS),
                                                .value = values[from],
                                                .shared = true,
                                                .from = (uint8_t)from};
    return true;
}

static int fill_part(struct rig *rig, const struct rig_change *change, struct kv_batch *to)
{
    struct kv_table *table = rig->tables[change->table];
    struct kv_iter *it = NULL;
    char bytes[16];
    int r = kv_iter_create(table, NULL, &it);

    if (r < 0) {
        return r;
    }
    kv_iter_seek(it, rig_key(change->from, bytes));
    r = kv_iter_valid(it) ? 0 : kv_iter_error(it);
    if (kv_iter_valid(it)) {
        r = kv_batch_put_part(to, table, rig_key(change->key, bytes), it, 0,
                              kv_iter_value_size(it));
    }
    kv_iter_destroy(it);
    return r;
}

int rig_fill_batch(struct rig *rig, const struct rig_batch *from, struct kv_batch *to)
{
    static uint8_t bytes[RIG_VALUE_MAX];
    char bytes_of_key[16];
    char bytes_of_end[16];
    int r = 0;
    for (size_t i = 0; i < from->count && r == 0; i++) {
        const struct rig_change *change = &from->changes[i];
        struct kv_table *table = rig->tables[change->table];
        struct kv_slice key = rig_key(change->key, bytes_of_key);
        if (change->shared) {
            r = fill_part(rig, change, to);
        } else if (change->value != 0) {
            r = kv_batch_put(to, table, key, rig_value(change->value, bytes));
        } else if (change->end != 0) {
            r = kv_batch_delete_range(to, table, key, rig_key(change->end, bytes_of_end));
        } else {
            r = kv_batch_delete(to, table, key);
        }
    }
    return r;
}

int rig_write(struct rig *rig, const struct rig_batch *batch, enum kv_durability durability)
{
    struct kv_batch *encoded = NULL;
    int r;

    rig_enter(rig, RIG_WRITE);
    r = kv_batch_create(&encoded);
    r = r < 0 ? r : rig_fill_batch(rig, batch, encoded);
    r = r < 0 ? r : kv_write(rig->store, encoded, durability);
    kv_batch_destroy(encoded);
    return rig_leave(rig, RIG_WRITE, r);
}
