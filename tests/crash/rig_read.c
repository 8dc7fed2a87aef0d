/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/rig_impl.h"

static int judge_value(struct kv_slice got, uint32_t *ret_number)
{
    static uint8_t bytes[RIG_VALUE_MAX];
    uint32_t number = 0;

    if (got.size < 8) {
        return -KV_EDAMAGED;
    }
    memcpy(&number, got.data, sizeof number);
    if (number == 0 || !kv_slice_equal(rig_value(number, bytes), got)) {
        return -KV_EDAMAGED;
    }
    *ret_number = number;
    return 0;
}

static int judge_row(struct kv_iter *it, int *ret_key, uint32_t *ret_value)
{
    struct kv_slice key = kv_iter_key(it);
    struct kv_slice value;
    char expected[16];
    int r = kv_iter_value(it, &value);
    if (r < 0) {
        return r;
    }
    for (int k = 0; k < RIG_KEYS; k++) {
        if (kv_slice_equal(rig_key(k, expected), key)) {
            *ret_key = k;
            return judge_value(value, ret_value);
        }
    }
    return -KV_EDAMAGED;
}

static int scan(struct kv_table *table, const struct kv_snapshot *snapshot,
                uint32_t values[RIG_KEYS])
{
    struct kv_iter_options options = {.snapshot = snapshot};
    struct kv_iter *it = NULL;
    int last = -1;
    int r = kv_iter_create(table, &options, &it);

    if (r < 0) {
        return r;
    }
    for (kv_iter_seek_first(it); kv_iter_valid(it) && r == 0; kv_iter_next(it)) {
        int key = 0;
        uint32_t value = 0;
        r = judge_row(it, &key, &value);
        if (r == 0 && key <= last) {
            r = -KV_EDAMAGED;
        }
        values[key] = value;
        last = key;
    }
    r = r < 0 ? r : kv_iter_error(it);
    kv_iter_destroy(it);
    return r;
}

static int get(struct kv_table *table, const struct kv_snapshot *snapshot, int key,
               uint32_t *ret_value)
{
    struct kv_pinned pinned = {0};
    char bytes[16];
    int r = kv_get(table, snapshot, rig_key(key, bytes), &pinned);
    if (r == -ENOENT) {
        *ret_value = 0;
        return 0;
    }
    r = r < 0 ? r : judge_value(pinned.value, ret_value);
    kv_pinned_release(&pinned);
    return r;
}

int rig_read_at(struct rig *rig, const struct kv_snapshot *snapshot, struct rig_rows *ret_rows)
{
    struct rig_rows rows = {0};
    int r = 0;

    for (int t = 0; t < RIG_TABLES && r == 0; t++) {
        if (rig->tables[t] != NULL) {
            r = scan(rig->tables[t], snapshot, rows.value[t]);
        }
        /* Point reads of a few, by other code than the scan. */
        for (int k = 0; k < RIG_KEYS && r == 0 && rig->tables[t] != NULL; k += 5) {
            uint32_t value = 0;
            r = get(rig->tables[t], snapshot, k, &value);
            if (r == 0 && value != rows.value[t][k]) {
                r = -KV_EDAMAGED;
            }
        }
    }
    if (r == 0) {
        *ret_rows = rows;
    }
    return r;
}

int rig_read(struct rig *rig, struct rig_rows *ret_rows)
{
    rig_enter(rig, RIG_READ);
    return rig_leave(rig, RIG_READ, rig_read_at(rig, NULL, ret_rows));
}
