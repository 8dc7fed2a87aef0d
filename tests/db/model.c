/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/db/model.h"

#include <stdio.h>
#include <stdlib.h>

#include "kvcore/util/rng.h"
#include "tests/lib/check_main.h"

static int compare_bufs(const void *a, const void *b)
{
    return kv_slice_compare(kv_buf_slice(a), kv_buf_slice(b));
}

/* Keys of many shapes: short, sharing long prefixes, prefixes of each other, with zero bytes. */
static void make_key(struct rng *rng, size_t i, struct kv_buf *to)
{
    static const size_t shared[] = {0, 0, 3, 8, 20, 300};
    size_t prefix = shared[rng_below(rng, sizeof shared / sizeof shared[0])];
    char number[16];
    for (size_t n = 0; n < prefix; n++) {
        ck_ok(kv_buf_append(to, kv_slice_str("p")));
    }
    if (rng_below(rng, 4) == 0) {
        ck_ok(kv_buf_append(to, kv_slice("\0\0\0\0", rng_below(rng, 5))));
    }
    /* Unique whatever came before, and some are prefixes of others ("12" and "12" "0" ...). */
    snprintf(number, sizeof number, "%zu/", i);
    ck_ok(kv_buf_append(to, kv_slice_str(number)));
}

void model_init(struct model *model, uint64_t seed)
{
    struct rng rng = {seed ^ 0x6b657973};
    *model = (struct model){.next_value = 1};
    for (size_t i = 0; i < MODEL_KEYS; i++) {
        make_key(&rng, i, &model->keys[i]);
    }
    qsort(model->keys, MODEL_KEYS, sizeof model->keys[0], compare_bufs);
    for (size_t i = 1; i < MODEL_KEYS; i++) {
        ck_assert_int_lt(compare_bufs(&model->keys[i - 1], &model->keys[i]), 0);
    }
}

void model_finish(struct model *model)
{
    for (size_t i = 0; i < MODEL_KEYS; i++) {
        kv_buf_finish(&model->keys[i]);
    }
}

struct kv_slice model_value(uint32_t number, uint8_t to[MODEL_VALUE_MAX])
{
    struct rng rng = {number};
    uint64_t shape = rng_below(&rng, 100);
    size_t size = shape < 90   ? rng_below(&rng, 120)
                  : shape < 99 ? rng_below(&rng, 6000)
                               : rng_below(&rng, MODEL_VALUE_MAX);
    bool compressible = rng_below(&rng, 2) == 0;
    for (size_t i = 0; i < size; i++) {
        to[i] = compressible ? (uint8_t)(number + i % 7) : (uint8_t)rng_next(&rng);
    }
    return kv_slice(to, size);
}

void model_state_of(const struct model *model, struct model_state *ret_state)
{
    memcpy(ret_state->value, model->value, sizeof model->value);
}

static void check_value(struct kv_slice got, uint32_t number, uint64_t seed, size_t key)
{
    static uint8_t bytes[MODEL_VALUE_MAX];
    struct kv_slice expected = model_value(number, bytes);
    ck_assert_msg(kv_slice_equal(got, expected),
                  "key %zu: value of %zu bytes is not number %u of %zu bytes (seed %" PRIu64 ")",
                  key, got.size, number, expected.size, seed);
}

static void check_gets(const struct model *model, const uint32_t *value, struct kv_table *table,
                       const struct kv_snapshot *snapshot, uint64_t seed)
{
    for (size_t i = 0; i < MODEL_KEYS; i++) {
        struct kv_pinned pinned = {0};
        int r = kv_get(table, snapshot, kv_buf_slice(&model->keys[i]), &pinned);
        ck_assert_int_eq(kv_exists(table, snapshot, kv_buf_slice(&model->keys[i])), r);
        if (value[i] == 0) {
            ck_assert_msg(r == -ENOENT, "key %zu should be absent: %d (seed %" PRIu64 ")", i, r,
                          seed);
            continue;
        }
        ck_assert_msg(r == 0, "key %zu should be there: %s (seed %" PRIu64 ")", i, kv_strerror(r),
                      seed);
        check_value(pinned.value, value[i], seed, i);
        kv_pinned_release(&pinned);
    }
}

static size_t next_present(const uint32_t *value, size_t i)
{
    while (i < MODEL_KEYS && value[i] == 0) {
        i++;
    }
    return i;
}

/* Keys [from, to), walked forward or backward. */
struct walk {
    size_t from, to;
    bool forward;
};

/* The keys of the walk as the iterator should show them. */
static void check_range(const struct model *model, const uint32_t *value, struct kv_table *table,
                        const struct kv_snapshot *snapshot, struct walk walk, uint64_t seed)
{
    size_t from = walk.from;
    size_t to = walk.to;
    bool forward = walk.forward;
    struct kv_iter_options options = {.snapshot = snapshot};
    struct kv_iter *it = NULL;
    struct kv_slice shown;
    size_t expected = 0;
    size_t seen = 0;

    if (from > 0) {
        options.lower = kv_buf_slice(&model->keys[from]);
    }
    if (to < MODEL_KEYS) {
        options.upper = kv_buf_slice(&model->keys[to]);
    }
    for (size_t i = from; i < to; i++) {
        expected += value[i] != 0;
    }
    ck_ok(kv_iter_create(table, &options, &it));
    size_t at = forward ? from : to;
    for (forward ? kv_iter_seek_first(it) : kv_iter_seek_last(it); kv_iter_valid(it);
         forward ? kv_iter_next(it) : kv_iter_prev(it)) {
        if (forward) {
            at = next_present(value, at);
        } else {
            do {
                ck_assert_uint_gt(at, from);
                at--;
            } while (value[at] == 0);
        }
        ck_assert_msg(at < to, "the scan goes on past its end (seed %" PRIu64 ")", seed);
        ck_assert_msg(kv_slice_equal(kv_iter_key(it), kv_buf_slice(&model->keys[at])),
                      "the scan shows another key than number %zu (seed %" PRIu64 ")", at, seed);
        ck_ok(kv_iter_value(it, &shown));
        ck_assert_uint_eq(kv_iter_value_size(it), shown.size);
        check_value(shown, value[at], seed, at);
        at += forward;
        seen++;
    }
    ck_ok(kv_iter_error(it));
    ck_assert_msg(seen == expected, "%zu rows instead of %zu (seed %" PRIu64 ")", seen, expected,
                  seed);
    kv_iter_destroy(it);
}

/* Index of the last key before `at` that is present; wraps beyond MODEL_KEYS if there is none. */
static size_t previous_present(const uint32_t *value, size_t at)
{
    do {
        at--;
    } while (at < MODEL_KEYS && value[at] == 0);
    return at;
}

/* Seeks with changes of direction: each answer against the arrays. */
static void check_seeks(const struct model *model, const uint32_t *value, struct kv_table *table,
                        const struct kv_snapshot *snapshot, uint64_t seed)
{
    struct rng rng = {seed};
    struct kv_iter_options options = {.snapshot = snapshot};
    struct kv_iter *it = NULL;

    ck_ok(kv_iter_create(table, &options, &it));
    for (int n = 0; n < 60; n++) {
        size_t target = rng_below(&rng, MODEL_KEYS);
        size_t at = next_present(value, target);
        kv_iter_seek(it, kv_buf_slice(&model->keys[target]));
        for (int steps = 0; steps < 12; steps++) {
            ck_assert_msg(kv_iter_valid(it) == (at < MODEL_KEYS),
                          "seek to %zu: end in the wrong place (seed %" PRIu64 ")", target, seed);
            if (at >= MODEL_KEYS) {
                break;
            }
            ck_assert_msg(kv_slice_equal(kv_iter_key(it), kv_buf_slice(&model->keys[at])),
                          "seek to %zu: wrong key (seed %" PRIu64 ")", target, seed);
            if (rng_below(&rng, 2) == 0) {
                kv_iter_next(it);
                at = next_present(value, at + 1);
            } else {
                kv_iter_prev(it);
                at = previous_present(value, at);
            }
        }
    }
    kv_iter_destroy(it);
}

void model_check(const struct model *model, const struct model_state *state,
                 struct kv_table *const tables[MODEL_TABLES], const struct kv_snapshot *snapshot,
                 uint64_t seed)
{
    struct rng rng = {seed ^ state->value[0][0] ^ model->next_value};
    for (int t = 0; t < MODEL_TABLES; t++) {
        size_t a = rng_below(&rng, MODEL_KEYS);
        size_t b = rng_below(&rng, MODEL_KEYS);
        size_t from = a < b ? a : b;
        size_t to = (a < b ? b : a) + 1;
        check_gets(model, state->value[t], tables[t], snapshot, seed);
        const struct walk walks[] = {
            {0, MODEL_KEYS, true}, {0, MODEL_KEYS, false}, {from, to, true}, {from, to, false}};
        for (size_t i = 0; i < sizeof walks / sizeof walks[0]; i++) {
            check_range(model, state->value[t], tables[t], snapshot, walks[i], seed);
        }
        check_seeks(model, state->value[t], tables[t], snapshot, seed + (uint64_t)t);
    }
}
