/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/check_main.h"

#include <stdio.h>
#include <stdlib.h>

#include "kvcore/db/range_map.h"
#include "kvcore/util/rng.h"

enum { KEYS = 50, WRITES = 400 };

static char key_names[KEYS][4];

static struct kv_slice key_at(size_t i)
{
    snprintf(key_names[i], sizeof key_names[i], "k%02zu", i);
    return kv_slice(key_names[i], 3);
}

/* Newest delete of each key after each write. */
struct history {
    uint64_t covered[WRITES + 1][KEYS];
    uint64_t published[WRITES + 1]; /* the sequence number readers may be at */
    size_t count;
};

static void check_at(const struct range_map *map, const uint64_t covered[KEYS], uint64_t sequence)
{
    const struct range_node *root = range_map_at(map, sequence);
    for (size_t key = 0; key < KEYS; key++) {
        struct range_window window;
        range_node_window(root, key_at(key), &window);
        ck_assert_msg(window.sequence == covered[key],
                      "key %zu at %" PRIu64 ": %" PRIu64 " instead of %" PRIu64 " (seed %" PRIu64
                      ")",
                      key, sequence, window.sequence, covered[key], test_seed());
        ck_assert(range_window_holds(&window, key_at(key)));
        for (size_t other = 0; other < KEYS; other++) {
            ck_assert(!range_window_holds(&window, key_at(other)) ||
                      covered[other] == covered[key]);
        }
    }
}

static void plan_one(struct rng *rng, struct range_map *map, uint64_t sequence,
                     uint64_t covered[KEYS])
{
    size_t from = rng_below(rng, KEYS - 1);
    size_t to = from + 1 + rng_below(rng, KEYS - 1 - from);
    struct range_delete one = {key_at(from), key_at(to), sequence};
    ck_ok(range_map_plan(map, &one));
    for (size_t key = from; key < to; key++) {
        covered[key] = sequence;
    }
}

START_TEST(every_version_shows_the_newest_delete_of_each_key)
{
    struct rng rng = {test_seed()};
    struct history *h = calloc(1, sizeof *h);
    struct arena arena;
    struct range_map map;
    uint64_t sequence = 5;

    arena_init(&arena, 64 << 10);
    range_map_init(&map, &arena);
    ck_assert(range_map_is_empty(&map));
    check_at(&map, h->covered[0], 100);
    for (h->count = 1; h->count <= WRITES; h->count++) {
        uint64_t *covered = h->covered[h->count];
        memcpy(covered, h->covered[h->count - 1], sizeof h->covered[0]);
        for (uint64_t i = 0; i < 1 + rng_below(&rng, 3); i++) {
            sequence += 1 + rng_below(&rng, 5);
            plan_one(&rng, &map, sequence, covered);
        }
        if (rng_below(&rng, 8) == 0) {
            range_map_drop_plan(&map); /* its log record could not be written */
            memcpy(covered, h->covered[h->count - 1], sizeof h->covered[0]);
        }
        range_map_publish(&map);
        h->published[h->count] = sequence;
    }
    for (size_t i = 0; i <= WRITES; i++) {
        check_at(&map, h->covered[i], h->published[i]);
    }
    check_at(&map, h->covered[WRITES], UINT64_MAX);
    arena_finish(&arena);
    free(h);
}
END_TEST

START_TEST(what_is_collected_covers_the_same)
{
    struct rng rng = {test_seed()};
    uint64_t covered[KEYS] = {0};
    struct range_builder builder = {0};
    struct range_dels *dels = NULL;
    struct arena arena;
    struct range_map map;

    arena_init(&arena, 64 << 10);
    range_map_init(&map, &arena);
    for (uint64_t i = 1; i < 60; i++) {
        plan_one(&rng, &map, i, covered);
        range_map_publish(&map);
    }
    ck_ok(range_map_collect(&map, &builder));
    ck_assert_uint_eq(builder.count, 59);
    ck_ok(range_builder_make(&builder, NULL, 0, &dels));
    for (size_t key = 0; key < KEYS; key++) {
        struct range_window window;
        range_dels_window(dels, key_at(key), UINT64_MAX, &window);
        ck_assert_uint_eq(window.sequence, covered[key]);
    }
    range_dels_destroy(dels);
    range_builder_finish(&builder);
    arena_finish(&arena);
}
END_TEST

/* Orders of writing that could make a tree a list, or copy much of it. */
static size_t bytes_of_writes(uint64_t count, uint64_t (*place)(uint64_t i), uint64_t width)
{
    struct arena arena;
    struct range_map map;
    size_t bytes;

    arena_init(&arena, 1 << 20);
    range_map_init(&map, &arena);
    for (uint64_t i = 1; i <= count; i++) {
        uint8_t from[8];
        uint8_t to[8];
        struct range_delete one = {kv_slice(from, 8), kv_slice(to, 8), i};
        coding_put_be64(from, place(i) + 1);
        coding_put_be64(to, place(i) + 1 + (i == 1 ? UINT64_C(1) << 60 : width));
        ck_ok(range_map_plan(&map, &one));
        range_map_publish(&map);
    }
    bytes = arena_bytes(&arena);
    arena_finish(&arena);
    return bytes;
}

static uint64_t ascending(uint64_t i)
{
    return i * 10;
}

static uint64_t descending(uint64_t i)
{
    return i == 1 ? 0 : 10000000 - i * 10;
}

static uint64_t scattered(uint64_t i)
{
    return i == 1 ? 0 : hash_u64(i) % 10000000;
}

START_TEST(ten_thousand_deletes_take_a_bounded_amount_of_memory)
{
    uint64_t (*const places[])(uint64_t) = {ascending, descending, scattered};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        ck_assert_uint_lt(bytes_of_writes(10000, places[i], 4), 60 << 20);
    }
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("range_map");
    suite_add(s, "versions", every_version_shows_the_newest_delete_of_each_key);
    suite_add(s, "versions", what_is_collected_covers_the_same);
    suite_add(s, "cost", ten_thousand_deletes_take_a_bounded_amount_of_memory);
    return s;
}
