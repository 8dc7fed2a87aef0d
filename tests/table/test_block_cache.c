/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/check_main.h"

#include "kvcore/table/block_cache.h"
#include "kvcore/util/rng.h"
#include "kvcore/util/thread.h"

/* A block that says in its bytes where it belongs. */
static struct cached_block *make_block(uint64_t table, uint64_t offset, size_t size)
{
    struct cached_block *block = NULL;

    ck_assert_uint_ge(size, 16);
    ck_ok(cached_block_create(size, &block));
    memcpy(block->bytes, &table, 8);
    memcpy(block->bytes + 8, &offset, 8);
    return block;
}

static bool is_block(const struct cached_block *block, uint64_t table, uint64_t offset)
{
    return memcmp(block->bytes, &table, 8) == 0 && memcmp(block->bytes + 8, &offset, 8) == 0;
}

static void insert(struct block_cache *cache, uint64_t table, uint64_t offset, size_t size)
{
    struct cached_block *block = make_block(table, offset, size);
    block_cache_insert(cache, table, offset, block);
    cached_block_unref(block);
}

static bool holds(struct block_cache *cache, uint64_t table, uint64_t offset)
{
    struct cached_block *block = block_cache_lookup(cache, table, offset);
    ck_assert(block == NULL || is_block(block, table, offset));
    cached_block_unref(block);
    return block != NULL;
}

static struct block_cache_stats stats_of(const struct block_cache *cache)
{
    struct block_cache_stats stats;
    block_cache_stats(cache, &stats);
    return stats;
}

START_TEST(blocks_are_found_by_table_and_offset)
{
    struct block_cache *cache = NULL;

    ck_ok(block_cache_create(64 << 20, &cache));
    for (uint64_t i = 0; i < 5000; i++) {
        insert(cache, i % 7, i * 4096, 100);
    }
    for (uint64_t i = 0; i < 5000; i++) {
        ck_assert(holds(cache, i % 7, i * 4096));
        ck_assert(!holds(cache, (i + 1) % 7, i * 4096));
    }
    ck_assert_uint_eq(stats_of(cache).hits, 5000);
    ck_assert_uint_eq(stats_of(cache).misses, 5000);
    block_cache_destroy(cache);
}
END_TEST

START_TEST(the_budget_is_never_exceeded)
{
    struct block_cache *cache = NULL;
    struct rng rng = {test_seed()};
    const size_t budget = 1 << 20;

    ck_ok(block_cache_create(budget, &cache));
    for (uint64_t i = 0; i < 20000; i++) {
        insert(cache, rng_below(&rng, 3), i, 16 + rng_below(&rng, i % 100 == 0 ? 80000 : 9000));
        ck_assert_uint_le(stats_of(cache).bytes, budget);
    }
    ck_assert_uint_ge(stats_of(cache).bytes, budget / 4 * 3);
    block_cache_destroy(cache);
}
END_TEST

START_TEST(a_cache_of_many_tiny_blocks_keeps_its_budget)
{
    struct block_cache *cache = NULL;
    const size_t budget = 64 << 10;

    ck_ok(block_cache_create(budget, &cache));
    for (uint64_t i = 0; i < 20000; i++) {
        insert(cache, 1, i, 16);
        ck_assert_uint_le(stats_of(cache).bytes, budget);
    }
    block_cache_destroy(cache);
    ck_ok(block_cache_create(0, &cache));
    insert(cache, 1, 1, 16);
    ck_assert(!holds(cache, 1, 1));
    ck_assert_uint_eq(stats_of(cache).bytes, 0);
    block_cache_destroy(cache);
}
END_TEST

/* What a table with so much of an index and a filter takes. */
static struct resident_bytes table_of(size_t index, size_t filter)
{
    return (struct resident_bytes){.of = {[RESIDENT_INDEX] = index, [RESIDENT_FILTER] = filter}};
}

static uint64_t used(const struct block_cache *cache)
{
    struct block_cache_stats stats = stats_of(cache);
    return stats.bytes + resident_sum(&stats.resident);
}

START_TEST(open_tables_and_blocks_share_the_budget)
{
    struct block_cache *cache = NULL;
    struct rng rng = {test_seed()};
    const size_t budget = 1 << 20;
    const struct resident_bytes tables[] = {table_of(100000, 150000), table_of(20, 0),
                                            table_of(0, 300000), table_of(50000, 260000)};
    const size_t count = sizeof tables / sizeof tables[0];

    ck_ok(block_cache_create(budget, &cache));
    for (uint64_t i = 0; i < 16000; i++) {
        size_t at = i / 1000 % count;
        if (i % 1000 == 0 && i / 1000 / count % 2 == 0) {
            block_cache_charge(cache, &tables[at]);
        } else if (i % 1000 == 0) {
            block_cache_uncharge(cache, &tables[at]);
        }
        ck_assert_uint_le(used(cache), budget);
        insert(cache, 1, i, 16 + rng_below(&rng, 5000));
        ck_assert_uint_le(used(cache), budget);
        ck_assert_uint_eq(stats_of(cache).excess, 0);
        if (i % 1000 == 999) { /* and what tables leave is made use of */
            ck_assert_uint_ge(used(cache), budget / 4 * 3);
        }
    }
    ck_assert_uint_eq(used(cache), stats_of(cache).bytes);
    block_cache_destroy(cache);
}
END_TEST

START_TEST(tables_beyond_the_budget_are_told_and_leave_a_part_for_blocks)
{
    struct block_cache *cache = NULL;
    const size_t budget = 1 << 20, least = budget / BLOCK_CACHE_FLOOR_PART;
    const struct resident_bytes large = table_of(400000, 2000000);

    ck_ok(block_cache_create(budget, &cache));
    for (uint64_t i = 0; i < 20000; i++) { /* tiny: with as many slots as there can be */
        insert(cache, 1, i, 16);
    }
    block_cache_charge(cache, &large);
    ck_assert_uint_le(stats_of(cache).bytes, least);
    for (uint64_t i = 0; i < 2000; i++) {
        insert(cache, 2, i, 1000);
        ck_assert_uint_le(stats_of(cache).bytes, least);
    }
    ck_assert_uint_ge(stats_of(cache).bytes, least / 2);
    ck_assert(holds(cache, 2, 1999));
    ck_assert_uint_eq(stats_of(cache).excess, used(cache) - budget);
    block_cache_uncharge(cache, &large);
    ck_assert_uint_eq(stats_of(cache).excess, 0);
    for (uint64_t i = 0; i < 2000; i++) {
        insert(cache, 3, i, 1000);
    }
    ck_assert_uint_ge(stats_of(cache).bytes, budget / 4 * 3);
    block_cache_destroy(cache);
}
END_TEST

/* Blocks that one test uses again and again while another only passes over them. */
enum { HOT = 50 };

static void insert_hot(struct block_cache *cache)
{
    for (uint64_t i = 0; i < HOT; i++) {
        insert(cache, 1, i, 1000);
    }
}

static uint64_t count_hot(struct block_cache *cache)
{
    uint64_t kept = 0;
    for (uint64_t i = 0; i < HOT; i++) {
        kept += holds(cache, 1, i);
    }
    return kept;
}

static bool offer(struct block_cache *cache, uint64_t table, uint64_t offset, size_t size)
{
    struct cached_block *block = make_block(table, offset, size);
    bool cached = block_cache_offer(cache, table, offset, block);
    cached_block_unref(block);
    return cached;
}

START_TEST(an_offered_block_comes_in_where_there_is_room_and_evicts_nothing)
{
    struct block_cache *cache = NULL;
    uint64_t refused = 0;

    ck_ok(block_cache_create(1 << 20, &cache));
    insert_hot(cache);
    for (uint64_t i = 0; i < 20000; i++) {
        bool cached = offer(cache, 2, i, 1000);
        ck_assert(holds(cache, 2, i) == cached);
        refused += !cached;
    }
    ck_assert_uint_gt(refused, 18000);
    ck_assert_uint_ge(stats_of(cache).bytes, (1 << 20) / 8 * 7);
    ck_assert_uint_eq(count_hot(cache), HOT);
    block_cache_destroy(cache);
}
END_TEST

START_TEST(what_there_is_room_for_is_charged_without_evicting)
{
    struct block_cache *cache = NULL;
    const size_t budget = 1 << 20;

    ck_ok(block_cache_create(budget, &cache));
    for (uint64_t blocks = 0; blocks < 500; blocks++) {
        struct resident_bytes room = table_of(block_cache_room(cache), 0);
        uint64_t before = stats_of(cache).bytes;
        ck_assert(resident_sum(&room) > 0 || before > budget / 2);
        ck_assert_uint_le(resident_sum(&room), budget - budget / BLOCK_CACHE_FLOOR_PART);
        block_cache_charge(cache, &room);
        ck_assert_uint_eq(stats_of(cache).bytes, before);
        ck_assert_uint_eq(stats_of(cache).excess, 0);
        block_cache_uncharge(cache, &room);
        offer(cache, 1, blocks, 2000);
    }
    block_cache_destroy(cache);
}
END_TEST

START_TEST(a_block_larger_than_a_shard_is_not_cached)
{
    struct block_cache *cache = NULL;

    ck_ok(block_cache_create(1 << 20, &cache));
    insert(cache, 1, 0, 1 << 20);
    ck_assert(!holds(cache, 1, 0));
    insert(cache, 1, 0, 4096);
    ck_assert(holds(cache, 1, 0));
    block_cache_destroy(cache);
}
END_TEST

START_TEST(blocks_in_use_survive_and_idle_ones_go_first)
{
    struct block_cache *cache = NULL;

    ck_ok(block_cache_create(1 << 20, &cache));
    insert_hot(cache);
    for (uint64_t i = 0; i < 20000; i++) {
        insert(cache, 2, i, 1000); /* a scan: seen once and never again */
        for (uint64_t hot = 0; i % 40 == 0 && hot < HOT; hot++) {
            cached_block_unref(block_cache_lookup(cache, 1, hot));
        }
    }
    ck_assert_uint_ge(count_hot(cache), 45);
    block_cache_destroy(cache);
}
END_TEST

START_TEST(a_passing_reader_keeps_nothing_and_is_not_counted)
{
    struct block_cache *cache = NULL;

    ck_ok(block_cache_create(1 << 20, &cache));
    insert_hot(cache);
    for (uint64_t i = 0; i < 20000; i++) {
        insert(cache, 2, i, 1000);
        cached_block_unref(block_cache_peek(cache, 1, i % HOT));
    }
    ck_assert_uint_eq(stats_of(cache).hits + stats_of(cache).misses, 0);
    ck_assert_uint_eq(count_hot(cache), 0);
    block_cache_destroy(cache);
}
END_TEST

START_TEST(an_evicted_block_lives_as_long_as_its_reader)
{
    struct block_cache *cache = NULL;
    struct cached_block *mine = make_block(1, 7, 5000);

    ck_ok(block_cache_create(200000, &cache));
    block_cache_insert(cache, 1, 7, mine);
    for (uint64_t i = 0; i < 2000; i++) {
        insert(cache, 2, i, 5000);
    }
    ck_assert(!holds(cache, 1, 7));
    ck_assert(is_block(mine, 1, 7));
    cached_block_unref(mine);
    block_cache_destroy(cache);
}
END_TEST

START_TEST(the_block_that_came_first_stays)
{
    struct block_cache *cache = NULL;
    struct cached_block *first = make_block(1, 1, 100), *second = make_block(1, 1, 100);

    ck_ok(block_cache_create(1 << 20, &cache));
    block_cache_insert(cache, 1, 1, first);
    block_cache_insert(cache, 1, 1, second);
    struct cached_block *found = block_cache_lookup(cache, 1, 1);
    ck_assert_ptr_eq(found, first);
    cached_block_unref(found);
    cached_block_unref(first);
    cached_block_unref(second);
    block_cache_destroy(cache);
}
END_TEST

START_TEST(a_dropped_table_leaves_nothing_and_takes_nothing_else)
{
    struct block_cache *cache = NULL;

    ck_ok(block_cache_create(16 << 20, &cache));
    for (uint64_t i = 0; i < 3000; i++) {
        insert(cache, i % 3, i, 500);
    }
    block_cache_drop_table(cache, 1);
    for (uint64_t i = 0; i < 3000; i++) {
        ck_assert(holds(cache, i % 3, i) == (i % 3 != 1));
    }
    block_cache_drop_table(cache, 0);
    block_cache_drop_table(cache, 2);
    for (uint64_t i = 0; i < 3000; i++) {
        ck_assert(!holds(cache, i % 3, i));
    }
    block_cache_destroy(cache);
}
END_TEST

struct worker {
    struct block_cache *cache;
    uint64_t seed, wrong;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    struct rng rng = {w->seed};
    const struct resident_bytes open = table_of(10000, 20000);

    for (uint64_t i = 0; i < 30000; i++) {
        uint64_t table = rng_below(&rng, 3), offset = rng_below(&rng, 200);
        struct cached_block *block = block_cache_lookup(w->cache, table, offset);
        if (block == NULL) {
            block = make_block(table, offset, 16 + rng_below(&rng, 3000));
            block_cache_insert(w->cache, table, offset, block);
        }
        w->wrong += !is_block(block, table, offset);
        cached_block_unref(block);
        if (i % 5000 == 0) {
            block_cache_drop_table(w->cache, table);
        }
        if (i % 100 == 0) {
            block_cache_charge(w->cache, &open);
        } else if (i % 100 == 50) {
            block_cache_uncharge(w->cache, &open);
        }
    }
    return NULL;
}

START_TEST(threads_share_the_cache)
{
    struct block_cache *cache = NULL;
    struct worker workers[4];
    struct thread threads[4];

    ck_ok(block_cache_create(200000, &cache));
    for (uint64_t i = 0; i < 4; i++) {
        workers[i] = (struct worker){.cache = cache, .seed = test_seed() + i};
        ck_ok(thread_start(&threads[i], "cache-test", work, &workers[i]));
    }
    for (size_t i = 0; i < 4; i++) {
        thread_join(&threads[i]);
        ck_assert_uint_eq(workers[i].wrong, 0);
    }
    struct block_cache_stats stats = stats_of(cache);
    ck_assert_uint_le(used(cache), 200000);
    ck_assert_uint_eq(used(cache), stats.bytes);
    ck_assert_uint_eq(stats.hits + stats.misses, 120000);
    block_cache_destroy(cache);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("block_cache");
    suite_add(s, "lookup", blocks_are_found_by_table_and_offset);
    suite_add(s, "budget", the_budget_is_never_exceeded);
    suite_add(s, "budget", a_cache_of_many_tiny_blocks_keeps_its_budget);
    suite_add(s, "budget", open_tables_and_blocks_share_the_budget);
    suite_add(s, "budget", tables_beyond_the_budget_are_told_and_leave_a_part_for_blocks);
    suite_add(s, "offer", an_offered_block_comes_in_where_there_is_room_and_evicts_nothing);
    suite_add(s, "offer", what_there_is_room_for_is_charged_without_evicting);
    suite_add(s, "budget", a_block_larger_than_a_shard_is_not_cached);
    suite_add(s, "eviction", blocks_in_use_survive_and_idle_ones_go_first);
    suite_add(s, "eviction", a_passing_reader_keeps_nothing_and_is_not_counted);
    suite_add(s, "eviction", an_evicted_block_lives_as_long_as_its_reader);
    suite_add(s, "lookup", the_block_that_came_first_stays);
    suite_add(s, "drop", a_dropped_table_leaves_nothing_and_takes_nothing_else);
    suite_add(s, "threads", threads_share_the_cache);
    return s;
}
