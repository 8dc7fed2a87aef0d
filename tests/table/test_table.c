/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/check_main.h"

#include "kvcore/util/thread.h"
#include "tests/table/table_lib.h"

static struct table *open_table(struct kv_storage *storage, struct block_cache *cache,
                                const struct message_sink *sink)
{
    struct table *table = NULL;
    ck_ok(table_open(storage, TEST_SEED, TEST_TABLE, cache, sink, &table));
    return table;
}

/* Steps forward, back and to seeked places, in a random order. */
static void check_walk(struct rng *rng, struct table *table, const struct model *m)
{
    struct iter *it = NULL;
    size_t at = m->count;

    ck_ok(table_iter_create(table, rng_below(rng, 2) == 0, &it));
    for (int step = 0; step < 600; step++) {
        uint64_t what = rng_below(rng, 20);
        if (what == 0 || at == m->count) {
            const struct row *row = &m->rows[rng_below(rng, m->count)];
            uint64_t trailer = rng_below(rng, 2) == 0 ? row->trailer : rng_next(rng);
            at = model_seek(m, row->key, trailer);
            iter_seek(it, row->key, trailer);
        } else if (what == 1) {
            at = 0;
            iter_seek_first(it);
        } else if (what == 2) {
            at = m->count - 1;
            iter_seek_last(it);
        } else if ((what + (uint64_t)step / 40) % 8 < 4) {
            at++;
            iter_next(it);
        } else {
            at = at > 0 ? at - 1 : m->count;
            iter_prev(it);
        }
        ck_assert_int_eq(it->error, 0);
        ck_assert(it->valid == (at < m->count));
        if (it->valid) {
            check_row(it, &m->rows[at]);
        }
    }
    iter_destroy(it);
}

static void check_backward(struct table *table, const struct model *m)
{
    struct iter *it = NULL;
    size_t i = m->count;

    ck_ok(table_iter_create(table, false, &it));
    for (iter_seek_last(it); it->valid; iter_prev(it)) {
        ck_assert_uint_gt(i, 0);
        check_row(it, &m->rows[--i]);
    }
    ck_assert_int_eq(it->error, 0);
    ck_assert_uint_eq(i, 0);
    iter_destroy(it);
}

static void check_gets(struct rng *rng, struct table *table, const struct model *m,
                       const struct model_shape *shape)
{
    uint8_t key[MODEL_KEY_MAX];

    for (size_t i = 0; i < m->count; i++) {
        uint64_t sequence = row_sequence(m->rows[i].trailer);
        ck_ok(check_get(table, m, m->rows[i].key, sequence));
        ck_ok(check_get(table, m, m->rows[i].key, sequence - (sequence > 0)));
        ck_ok(check_get(table, m, m->rows[i].key, ROW_SEQUENCE_MAX));
        ck_ok(check_get(table, m, m->rows[i].key, rng_next(rng) >> 8));
        size_t size = model_key(rng, shape, key);
        ck_ok(check_get(table, m, kv_slice(key, size), ROW_SEQUENCE_MAX));
        if (m->rows[i].key.size >= 4) {
            uint64_t hash = filter_hash_prefix(kv_slice(m->rows[i].key.data, 4));
            ck_assert(table_may_contain_prefix(table, hash, 4));
            ck_assert(table_may_contain_prefix(table, 0, 3));
        }
    }
}

static void check_table(struct rng *rng, const struct model_shape *shape, enum codec codec,
                        struct block_cache *cache)
{
    struct table_builder_options options = small_blocks(codec);
    struct kv_storage *storage = NULL;
    struct heard heard = {0};
    struct message_sink sink = {hear, &heard};

    options.filter_bits_per_key = rng_below(rng, 4) == 0 ? 0 : 10;
    options.block_bytes = 64 + rng_below(rng, 3000);
    struct model m = model_create(rng, shape, 1 + rng_below(rng, 400));
    ck_ok(kv_storage_mem_create(&storage));
    write_table(storage, &m, &options);
    struct table *table = open_table(storage, cache, &sink);
    ck_ok(check_scan(table, &m, false));
    ck_ok(check_scan(table, &m, true));
    check_backward(table, &m);
    check_gets(rng, table, &m, shape);
    check_walk(rng, table, &m);
    ck_ok(table_verify(table, NULL));
    ck_assert_msg(heard.count == 0, "%s", heard.last);
    table_close(table);
    kv_storage_mem_destroy(storage);
    model_finish(&m);
}

START_TEST(random_tables_answer_like_a_sorted_array)
{
    struct rng rng = {test_seed()};
    size_t shape_count;
    const struct model_shape *shapes = model_shapes(&shape_count);

    for (uint64_t step = 0; step < test_steps(6); step++) {
        for (size_t i = 0; i < shape_count; i++) {
            struct block_cache *cache = NULL;
            ck_ok(block_cache_create(step % 2 == 0 ? 64 << 20 : 40000, &cache));
            enum codec codec = rng_below(&rng, 2) == 0 ? CODEC_NONE : CODEC_SNAPPY;
            check_table(&rng, &shapes[i], codec, step % 3 == 2 ? NULL : cache);
            block_cache_destroy(cache);
        }
    }
}
END_TEST

START_TEST(the_properties_say_what_is_inside)
{
    const struct table_builder_options options = small_blocks(CODEC_SNAPPY);
    struct kv_storage *storage = NULL;
    struct rng rng = {test_seed()};
    const struct model_shape shape = {
        .tail_max = 20, .letters = 256, .value_max = 50, .sequence_min = 3, .sequence_max = 900};
    struct model m = model_create(&rng, &shape, 500);
    uint64_t min = UINT64_MAX, max = 0, deletes = 0, keys = 0, values = 0;

    for (size_t i = 0; i < m.count; i++) {
        uint64_t sequence = row_sequence(m.rows[i].trailer);
        min = sequence < min ? sequence : min;
        max = sequence > max ? sequence : max;
        deletes += row_kind(m.rows[i].trailer) == ROW_DELETE;
        keys += m.rows[i].key.size;
        values += m.rows[i].value.size;
    }
    ck_ok(kv_storage_mem_create(&storage));
    write_table(storage, &m, &options);
    struct table *table = open_table(storage, NULL, NULL);
    const struct table_properties *p = table_properties(table);
    ck_assert_mem_eq(p->store_id, "0123456789abcde", 16);
    ck_assert_uint_eq(p->number, TEST_TABLE);
    ck_assert_uint_eq(p->table_id, 2);
    ck_assert_uint_eq(p->level, 3);
    ck_assert_uint_eq(p->job, 44);
    ck_assert_uint_eq(p->output_index, 1);
    ck_assert_uint_eq(p->output_count, 1);
    ck_assert_uint_eq(p->inputs.size, 3);
    ck_assert_uint_eq(p->sequence_min, min);
    ck_assert_uint_eq(p->sequence_max, max);
    ck_assert_uint_eq(p->row_count, m.count);
    ck_assert_uint_eq(p->tombstone_count, deletes);
    ck_assert_uint_eq(p->key_bytes, keys);
    ck_assert_uint_eq(p->value_bytes, values);
    ck_assert_uint_gt(p->data_blocks, 10);
    ck_assert(kv_slice_equal(kv_buf_slice(&p->smallest_key), m.rows[0].key));
    ck_assert(kv_slice_equal(kv_buf_slice(&p->largest_key), m.rows[m.count - 1].key));
    ck_assert_uint_eq(p->smallest_trailer, m.rows[0].trailer);
    ck_assert_uint_eq(p->largest_trailer, m.rows[m.count - 1].trailer);
    ck_assert_uint_gt(table_resident_bytes(table), 500);
    ck_assert_uint_gt(table_file_bytes(table), 5000);
    table_close(table);
    kv_storage_mem_destroy(storage);
    model_finish(&m);
}
END_TEST

START_TEST(many_versions_of_one_key_span_blocks_and_each_is_seen)
{
    const struct table_builder_options options = small_blocks(CODEC_NONE);
    struct kv_storage *storage = NULL;
    struct table_builder *builder;
    struct table_properties properties;
    uint64_t size;

    ck_ok(kv_storage_mem_create(&storage));
    builder = begin_table(storage, &options);
    for (uint64_t sequence = 5000; sequence > 0; sequence--) {
        struct row row = {kv_slice_str("the key"), row_trailer(sequence * 2, ROW_PUT),
                          kv_slice(&sequence, sizeof sequence)};
        ck_ok(table_builder_add(builder, &row));
    }
    ck_ok(table_builder_finish(builder, 0, &properties, &size));
    ck_assert_uint_eq(properties.output_count, 0);
    table_properties_finish(&properties);
    table_builder_destroy(builder);
    struct table *table = open_table(storage, NULL, NULL);
    for (uint64_t sequence = 0; sequence < 10010; sequence++) {
        struct cached_block *block = NULL;
        struct kv_slice value;
        uint64_t trailer;
        int r = table_get(table, kv_slice_str("the key"), sequence, &trailer, &value, &block);
        ck_assert_int_eq(r, sequence >= 2);
        if (r == 1) {
            uint64_t newest = sequence < 10000 ? sequence / 2 : 5000;
            ck_assert_uint_eq(row_sequence(trailer), newest * 2);
            ck_assert_mem_eq(value.data, &newest, 8);
            cached_block_unref(block);
        }
    }
    ck_ok(table_verify(table, NULL));
    table_close(table);
    kv_storage_mem_destroy(storage);
}
END_TEST

static struct kv_slice number_key(uint64_t number, char to[24])
{
    return kv_slice(to, (size_t)snprintf(to, 24, "%016" PRIu64, number));
}

/* Even numbers are there, odd ones are not. */
static void write_numbers(struct kv_storage *storage, uint64_t count)
{
    const struct table_builder_options options = {
        .block_bytes = 4096, .filter_bits_per_key = 10, .codec = CODEC_SNAPPY};
    struct table_builder *builder = begin_table(storage, &options);
    struct table_properties properties;
    uint64_t size;
    char key[24], value[100];

    memset(value, 'v', sizeof value);
    for (uint64_t i = 0; i < count; i++) {
        memcpy(value, &i, sizeof i);
        struct row row = {number_key(i * 2, key), row_trailer(i + 1, ROW_PUT),
                          kv_slice(value, sizeof value)};
        ck_ok(table_builder_add(builder, &row));
    }
    ck_ok(table_builder_finish(builder, 0, &properties, &size));
    table_properties_finish(&properties);
    table_builder_destroy(builder);
}

START_TEST(a_hundred_thousand_rows_are_found_and_no_others)
{
    struct kv_storage *storage = NULL;
    struct block_cache *cache = NULL;
    uint64_t passed = 0;
    char key[24];

    ck_ok(kv_storage_mem_create(&storage));
    ck_ok(block_cache_create(4 << 20, &cache));
    write_numbers(storage, 100000);
    struct table *table = open_table(storage, cache, NULL);
    for (uint64_t n = 0; n < 200000; n++) {
        uint64_t number = n * 7919 % 200000;
        struct kv_slice value, k = number_key(number, key);
        struct cached_block *block = NULL;
        uint64_t trailer, hash = filter_hash_key(k);
        table_prefetch_filter(table, hash);
        bool may = table_may_contain(table, hash);
        int r = table_get(table, k, ROW_SEQUENCE_MAX, &trailer, &value, &block);
        ck_assert_int_eq(r, number % 2 == 0);
        ck_assert(may || r == 0);
        passed += may && r == 0;
        if (r == 1) {
            number /= 2;
            ck_assert_uint_eq(trailer, row_trailer(number + 1, ROW_PUT));
            ck_assert_mem_eq(value.data, &number, 8);
            cached_block_unref(block);
        }
    }
    ck_assert_uint_lt(passed, 1500);
    ck_ok(table_verify(table, NULL));
    table_close(table);
    block_cache_destroy(cache);
    kv_storage_mem_destroy(storage);
}
END_TEST

struct reader {
    struct table *table;
    uint64_t seed, wrong;
};

static void *read_numbers(void *arg)
{
    struct reader *reader = arg;
    struct rng rng = {reader->seed};
    char key[24];

    for (int i = 0; i < 20000; i++) {
        uint64_t number = rng_below(&rng, 20000), trailer;
        struct cached_block *block = NULL;
        struct kv_slice value;
        int r = table_get(reader->table, number_key(number, key), ROW_SEQUENCE_MAX, &trailer,
                          &value, &block);
        number /= 2;
        reader->wrong += r < 0 || (r == 1 && memcmp(value.data, &number, 8) != 0);
        cached_block_unref(block);
    }
    return NULL;
}

START_TEST(threads_read_one_table)
{
    struct kv_storage *storage = NULL;
    struct block_cache *cache = NULL;
    struct reader readers[3];
    struct thread threads[3];

    ck_ok(kv_storage_mem_create(&storage));
    ck_ok(block_cache_create(300000, &cache));
    write_numbers(storage, 10000);
    struct table *table = open_table(storage, cache, NULL);
    for (uint64_t i = 0; i < 3; i++) {
        readers[i] = (struct reader){.table = table, .seed = test_seed() + i};
        ck_ok(thread_start(&threads[i], "table-test", read_numbers, &readers[i]));
    }
    for (size_t i = 0; i < 3; i++) {
        thread_join(&threads[i]);
        ck_assert_uint_eq(readers[i].wrong, 0);
    }
    table_close(table);
    block_cache_destroy(cache);
    kv_storage_mem_destroy(storage);
}
END_TEST

START_TEST(an_iterator_that_keeps_the_cache_puts_nothing_in)
{
    struct kv_storage *storage = NULL;
    struct block_cache *cache = NULL;
    struct block_cache_stats stats;
    struct iter *it = NULL;

    ck_ok(kv_storage_mem_create(&storage));
    ck_ok(block_cache_create(64 << 20, &cache));
    write_numbers(storage, 5000);
    struct table *table = open_table(storage, cache, NULL);
    for (int keep = 1; keep >= 0; keep--) {
        uint64_t count = 0;
        ck_ok(table_iter_create(table, keep == 1, &it));
        for (iter_seek_first(it); it->valid; iter_next(it)) {
            count++;
        }
        ck_assert_uint_eq(count, 5000);
        iter_destroy(it);
        block_cache_stats(cache, &stats);
        ck_assert(keep == 1 ? stats.bytes == 0 : stats.bytes > 500000);
        ck_assert(keep == 1 ? stats.misses == 0 : stats.misses > 100);
    }
    table_close(table);
    block_cache_destroy(cache);
    kv_storage_mem_destroy(storage);
}
END_TEST

START_TEST(rows_that_cannot_be_written_are_refused_and_the_file_goes_away)
{
    const struct table_builder_options options = small_blocks(CODEC_NONE);
    const struct row good = {kv_slice_str("b"), row_trailer(9, ROW_PUT), kv_slice_str("v")};
    const struct row bad[] = {
        {kv_slice_str("c"), row_trailer(9, ROW_MERGE), kv_slice_str("v")},
        {kv_slice_str("c"), row_trailer(9, ROW_RANGE_DELETE), kv_slice_str("v")},
        {kv_slice_str("a"), row_trailer(9, ROW_PUT), kv_slice_str("v")},
        {kv_slice_str("b"), row_trailer(9, ROW_PUT), kv_slice_str("v")},
        {kv_slice_str("b"), row_trailer(10, ROW_PUT), kv_slice_str("v")},
    };
    struct table_properties properties;
    struct kv_storage *storage = NULL;
    struct table *table = NULL;
    uint64_t size;

    ck_ok(kv_storage_mem_create(&storage));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct table_builder *builder = begin_table(storage, &options);
        ck_ok(table_builder_add(builder, &good));
        ck_fails(table_builder_add(builder, &bad[i]), EINVAL);
        ck_fails(table_builder_add(builder, &good), EINVAL);
        ck_fails(table_builder_finish(builder, 0, &properties, &size), EINVAL);
        table_builder_destroy(builder);
        ck_fails(table_open(storage, TEST_SEED, TEST_TABLE, NULL, NULL, &table), ENOENT);
    }
    kv_storage_mem_destroy(storage);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("table");
    suite_add(s, "random", random_tables_answer_like_a_sorted_array);
    suite_add(s, "properties", the_properties_say_what_is_inside);
    suite_add(s, "get", many_versions_of_one_key_span_blocks_and_each_is_seen);
    suite_add(s, "get", a_hundred_thousand_rows_are_found_and_no_others);
    suite_add(s, "threads", threads_read_one_table);
    suite_add(s, "iter", an_iterator_that_keeps_the_cache_puts_nothing_in);
    suite_add(s, "builder", rows_that_cannot_be_written_are_refused_and_the_file_goes_away);
    return s;
}
