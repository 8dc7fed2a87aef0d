/* SPDX-License-Identifier: Apache-2.0 */
/* Several keys at once: what kv_get() says of each. */
#include "tests/lib/check_main.h"

#include <stdio.h>

#include <kv/kv.h>

#include "kvcore/util/rng.h"

enum { KEYS = 200, WANTED = 50, FLUSHES = 70, LARGE_SIZE = 5000 };

struct world {
    struct kv_storage *storage;
    struct kv_store *store;
    struct kv_table *table;
    struct rng rng;
};

static void make(struct world *w)
{
    struct kv_options options = {.create = true, .blob_commit_bytes = 4096, .no_background = true};
    *w = (struct world){.rng = {test_seed()}};
    ck_ok(kv_storage_mem_create(&w->storage));
    ck_ok(kv_open(w->storage, &options, &w->store));
    ck_ok(kv_table_open(w->store, "t", NULL, &w->table));
}

static void finish(struct world *w)
{
    ck_ok(kv_close(w->store));
    kv_storage_mem_destroy(w->storage);
}

static struct kv_slice key_of(size_t i, char to[16])
{
    return kv_slice(to, (size_t)snprintf(to, 16, "key%05zu", i));
}

static void write_some(struct world *w)
{
    static uint8_t value[LARGE_SIZE];
    char from[16];
    char to[16];
    for (int i = 0; i < 10; i++) {
        size_t key = rng_below(&w->rng, KEYS);
        uint64_t shape = rng_below(&w->rng, 20);
        struct kv_slice bytes = {value, shape == 0 ? LARGE_SIZE : shape * 5};
        memset(value, (int)rng_below(&w->rng, 256), sizeof value);
        if (shape == 19) {
            ck_ok(
                kv_delete_range(w->table, key_of(key, from), key_of(key + 5, to), KV_DURABLE_NONE));
        } else if (shape > 15) {
            ck_ok(kv_delete(w->table, key_of(key, from), KV_DURABLE_NONE));
        } else {
            ck_ok(kv_put(w->table, key_of(key, from), bytes, KV_DURABLE_NONE));
        }
    }
}

/* The same as one by one, at the snapshot or now. */
static void compare(struct world *w, const struct kv_snapshot *snapshot)
{
    static char bytes[WANTED][16];
    struct kv_slice keys[WANTED];
    struct kv_get_result results[WANTED];
    for (size_t i = 0; i < WANTED; i++) {
        keys[i] = key_of(rng_below(&w->rng, KEYS + KEYS / 4), bytes[i]);
    }
    ck_ok(kv_multi_get(w->table, snapshot, keys, WANTED, results));
    for (size_t i = 0; i < WANTED; i++) {
        struct kv_pinned value = {0};
        int r = kv_get(w->table, snapshot, keys[i], &value);
        ck_assert_int_eq(results[i].error, r);
        ck_assert(kv_slice_equal(results[i].value.value, value.value));
        kv_pinned_release(&value);
        kv_pinned_release(&results[i].value);
    }
}

START_TEST(several_keys_at_once_are_as_one_by_one)
{
    struct world w;
    struct kv_snapshot *snapshot = NULL;

    make(&w);
    for (int i = 0; i < FLUSHES; i++) { /* more tables of level 0 than are asked at once */
        write_some(&w);
        if (i == FLUSHES / 2) {
            ck_ok(kv_snapshot_create(w.store, &snapshot));
        }
        compare(&w, snapshot);
        compare(&w, NULL);
        ck_ok(kv_flush(w.store));
    }
    compare(&w, snapshot);
    ck_ok(kv_compact(w.store));
    compare(&w, snapshot);
    compare(&w, NULL);
    kv_snapshot_release(snapshot);
    finish(&w);
}
END_TEST

START_TEST(a_lost_row_fails_alone)
{
    struct kv_slice keys[] = {kv_slice_str("a"), kv_slice_str("b"), kv_slice_str("c")};
    struct kv_get_result results[3];
    struct kv_batch *batch = NULL;
    struct world w;

    make(&w);
    ck_ok(kv_batch_create(&batch));
    ck_ok(kv_batch_put(batch, w.table, keys[0], kv_slice_str("1")));
    ck_ok(kv_batch_put_lost(batch, w.table, keys[1]));
    ck_ok(kv_write(w.store, batch, KV_DURABLE_NONE));
    kv_batch_destroy(batch);
    ck_ok(kv_multi_get(w.table, NULL, keys, 3, results));
    ck_ok(results[0].error);
    ck_assert(kv_slice_equal(results[0].value.value, kv_slice_str("1")));
    ck_assert_int_eq(results[1].error, -KV_EDAMAGED);
    ck_assert_int_eq(results[2].error, -ENOENT);
    kv_pinned_release(&results[0].value);
    ck_ok(kv_multi_get(w.table, NULL, keys, 0, results));
    ck_ok(kv_table_drop(w.store, "t"));
    ck_fails(kv_multi_get(w.table, NULL, keys, 3, results), EIDRM);
    finish(&w);
}
END_TEST

START_TEST(values_stay_when_what_they_lie_in_is_flushed_and_merged)
{
    struct kv_slice keys[] = {kv_slice_str("a"), kv_slice_str("b")};
    struct kv_get_result results[2];
    struct world w;

    make(&w);
    ck_ok(kv_put(w.table, keys[0], kv_slice_str("1"), KV_DURABLE_NONE));
    ck_ok(kv_flush(w.store));
    ck_ok(kv_put(w.table, keys[1], kv_slice_str("2"), KV_DURABLE_NONE));
    ck_ok(kv_multi_get(w.table, NULL, keys, 2, results));
    ck_ok(kv_put(w.table, keys[0], kv_slice_str("3"), KV_DURABLE_NONE));
    ck_ok(kv_compact(w.store));
    ck_assert(kv_slice_equal(results[0].value.value, kv_slice_str("1")));
    ck_assert(kv_slice_equal(results[1].value.value, kv_slice_str("2")));
    kv_pinned_release(&results[0].value);
    kv_pinned_release(&results[1].value);
    finish(&w);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("multi_get");
    suite_add(s, "model", several_keys_at_once_are_as_one_by_one);
    suite_add(s, "errors", a_lost_row_fails_alone);
    suite_add(s, "pins", values_stay_when_what_they_lie_in_is_flushed_and_merged);
    return s;
}
