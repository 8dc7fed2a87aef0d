/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/check_main.h"

#include "tests/table/table_lib.h"

enum { KEYS = 40, DELETES = 60 };

static char key_names[KEYS][4];

static struct kv_slice key_at(size_t i)
{
    snprintf(key_names[i], sizeof key_names[i], "k%02zu", i);
    return kv_slice(key_names[i], 3);
}

static struct range_delete range(size_t from, size_t to, uint64_t sequence)
{
    return (struct range_delete){key_at(from), key_at(to), sequence};
}

/* ---- blocks ---- */

static void make_block(const struct range_delete *deletes, size_t count, struct kv_buf *to)
{
    struct rows_builder *b = NULL;
    ck_ok(rows_builder_create(&b));
    for (size_t i = 0; i < count; i++) {
        struct row row = {.key = deletes[i].from,
                          .trailer = row_trailer(deletes[i].sequence, ROW_RANGE_DELETE),
                          .value = deletes[i].to};
        ck_ok(rows_builder_add(b, &row));
    }
    ck_ok(rows_builder_finish(b, to));
    rows_builder_destroy(b);
}

static int open_block(const struct kv_buf *bytes, struct range_dels **ret_dels)
{
    struct rows_block rows;
    ck_ok(rows_block_parse(kv_buf_slice(bytes), &rows));
    return range_dels_from_block(&rows, ret_dels);
}

START_TEST(the_bytes_of_a_range_delete_block_never_change)
{
    static const uint8_t golden[] = {
        3,   0,   0,   0,   0,   1,   3,   0,   2,   0,   0,   0,
        0,   0,   0,   0,                                           /* three rows, all of kind 3 */
        5,   0,   0,   0,   0,   0,   0,   0,   'k', '0', 0,   0,   /* first number, prefix */
        0,   0,   0,   '2', 0,   0,   0,   '2', 0,   0,   0,   '5', /* heads */
        1,   0,   2,   0,   3,   0,   3,   0,   6,   0,   9,   0,   /* ends */
        4,   0,   2,                                                /* sequence numbers: 9, 5, 7 */
        '2', '2', '5', 'k', '0', '5', 'k', '0', '5', 'k', '0', '9',
    };
    const struct range_delete deletes[] = {range(2, 5, 9), range(2, 5, 5), range(5, 9, 7)};
    struct kv_buf bytes = {0};
    struct range_dels *dels = NULL;

    make_block(deletes, 3, &bytes);
    ck_assert_uint_eq(bytes.size, sizeof golden);
    ck_assert_mem_eq(bytes.data, golden, sizeof golden);
    ck_ok(open_block(&bytes, &dels));
    ck_assert_uint_eq(dels->count, 2);
    ck_assert_uint_eq(dels->delete_count, 3);
    ck_assert_uint_eq(dels->sequence_min, 5);
    ck_assert_uint_eq(dels->sequence_max, 9);
    range_dels_destroy(dels);
    kv_buf_finish(&bytes);
}
END_TEST

static void check_refused(const struct range_delete *deletes, size_t count)
{
    struct kv_buf bytes = {0};
    struct range_dels *dels = NULL;
    make_block(deletes, count, &bytes);
    ck_fails(open_block(&bytes, &dels), KV_EDAMAGED);
    kv_buf_finish(&bytes);
}

START_TEST(rows_that_are_no_fragments_are_refused)
{
    check_refused((struct range_delete[]){range(2, 5, 9), range(2, 6, 5)}, 2);
    check_refused((struct range_delete[]){range(2, 5, 9), range(4, 6, 5)}, 2);
    check_refused((struct range_delete[]){range(5, 5, 9)}, 1);
    check_refused((struct range_delete[]){range(6, 5, 9)}, 1);
    check_refused((struct range_delete[]){range(5, 6, 0)}, 1);
}
END_TEST

START_TEST(changed_bytes_of_a_block_do_no_harm)
{
    struct range_delete deletes[] = {range(2, 5, 9), range(2, 5, 5), range(5, 9, 7)};
    struct rng rng = {test_seed()};
    struct kv_buf bytes = {0};

    for (uint64_t step = 0; step < test_steps(5000); step++) {
        struct range_dels *dels = NULL;
        struct rows_block rows;
        make_block(deletes, 3, &bytes);
        bytes.data[rng_below(&rng, bytes.size)] = (uint8_t)rng_next(&rng);
        if (rows_block_parse(kv_buf_slice(&bytes), &rows) == 0 &&
            range_dels_from_block(&rows, &dels) == 0) {
            struct range_window window;
            range_dels_window(dels, key_at(step % KEYS), step, &window);
            range_dels_destroy(dels);
        }
    }
    kv_buf_finish(&bytes);
}
END_TEST

/* ---- fragments ---- */

struct scene {
    struct range_delete deletes[DELETES];
    size_t from[DELETES], to[DELETES]; /* their keys */
    size_t count;
    uint64_t snapshots[5];
    size_t snapshot_count;
};

static void make_scene(struct rng *rng, struct scene *s)
{
    *s = (struct scene){.count = rng_below(rng, DELETES + 1)};
    for (size_t i = 0; i < s->count; i++) {
        s->from[i] = rng_below(rng, KEYS - 1);
        s->to[i] = s->from[i] + 1 + rng_below(rng, KEYS - 1 - s->from[i]);
        s->deletes[i] = range(s->from[i], s->to[i], 10 * (i + 1));
    }
    s->snapshot_count = rng_below(rng, 6);
    for (size_t i = 0; i < s->snapshot_count; i++) {
        s->snapshots[i] = (i > 0 ? s->snapshots[i - 1] : 0) + rng_below(rng, 10 * DELETES / 3);
    }
}

/* Newest delete that covers the key for a reader. */
static uint64_t covered(const struct scene *s, size_t key, uint64_t sequence)
{
    uint64_t newest = 0;
    for (size_t i = 0; i < s->count; i++) {
        if (s->from[i] <= key && key < s->to[i] && s->deletes[i].sequence <= sequence) {
            newest = s->deletes[i].sequence;
        }
    }
    return newest;
}

static void check_reader(const struct scene *s, const struct range_dels *dels, uint64_t sequence)
{
    for (size_t key = 0; key < KEYS; key++) {
        struct range_window window;
        range_dels_window(dels, key_at(key), sequence, &window);
        ck_assert_msg(window.sequence == covered(s, key, sequence), "seed %" PRIu64, test_seed());
        ck_assert(range_window_holds(&window, key_at(key)));
        for (size_t other = 0; other < KEYS; other++) {
            ck_assert_msg(!range_window_holds(&window, key_at(other)) ||
                              covered(s, other, sequence) == window.sequence,
                          "the window is too wide (seed %" PRIu64 ")", test_seed());
        }
    }
}

START_TEST(fragments_cover_what_the_deletes_cover_at_every_snapshot)
{
    struct rng rng = {test_seed()};

    for (uint64_t step = 0; step < test_steps(300); step++) {
        struct range_builder builder = {0};
        struct range_dels *dels = NULL;
        struct scene s;
        make_scene(&rng, &s);
        for (size_t i = 0; i < s.count; i++) {
            ck_ok(range_builder_add(&builder, &s.deletes[i]));
        }
        for (size_t i = 0; i < step % 4; i++) {
            ck_ok(range_builder_cut(&builder, key_at(rng_below(&rng, KEYS))));
        }
        ck_ok(range_builder_make(&builder, s.snapshots, s.snapshot_count, &dels));
        check_reader(&s, dels, UINT64_MAX);
        for (size_t i = 0; i < s.snapshot_count; i++) {
            check_reader(&s, dels, s.snapshots[i]);
        }
        for (size_t i = 0; i < dels->count; i++) {
            ck_assert_uint_le(dels->fragments[i].count, s.snapshot_count + 1);
        }
        range_dels_destroy(dels);
        range_builder_finish(&builder);
    }
}
END_TEST

START_TEST(ten_thousand_nested_deletes_make_few_fragments)
{
    enum { NESTED = 10000 };
    struct range_builder builder = {0};
    struct range_dels *dels = NULL;
    static uint8_t keys[2 * NESTED][8];

    for (uint64_t i = 0; i < 2 * NESTED; i++) {
        coding_put_be64(keys[i], i);
    }
    for (uint64_t i = 0; i < NESTED; i++) {
        struct range_delete one = {kv_slice(keys[i], 8), kv_slice(keys[2 * NESTED - 1 - i], 8),
                                   i + 1};
        ck_ok(range_builder_add(&builder, &one));
    }
    ck_ok(range_builder_make(&builder, NULL, 0, &dels));
    ck_assert_uint_eq(dels->count, 2 * NESTED - 1);
    ck_assert_uint_eq(dels->delete_count, 2 * NESTED - 1); /* not one per pair */
    range_dels_destroy(dels);
    range_builder_finish(&builder);
}
END_TEST

/* ---- tables ---- */

struct written {
    struct kv_storage *storage;
    struct table_properties properties;
};

static void write_ranges(struct written *w, const char *const rows[], size_t row_count,
                         const struct range_delete *deletes, size_t count)
{
    const struct table_builder_options options = small_blocks(CODEC_SNAPPY);
    struct table_builder *builder;
    uint64_t size;

    ck_ok(kv_storage_mem_create(&w->storage));
    builder = begin_table(w->storage, &options);
    for (size_t i = 0; i < row_count; i++) {
        struct row row = {.key = kv_slice_str(rows[i]), .trailer = row_trailer(20 + i, ROW_PUT)};
        ck_ok(table_builder_add(builder, &row));
    }
    for (size_t i = 0; i < count; i++) {
        ck_ok(table_builder_add_range_delete(builder, &deletes[i]));
    }
    ck_ok(table_builder_finish(builder, 1, &w->properties, &size));
    table_builder_destroy(builder);
}

static void check_bounds(const struct written *w, const char *smallest, uint64_t smallest_trailer,
                         const char *largest, uint64_t largest_trailer)
{
    const struct table_properties *p = &w->properties;
    ck_assert(kv_slice_equal(kv_buf_slice(&p->smallest_key), kv_slice_str(smallest)));
    ck_assert(kv_slice_equal(kv_buf_slice(&p->largest_key), kv_slice_str(largest)));
    ck_assert_uint_eq(p->smallest_trailer, smallest_trailer);
    ck_assert_uint_eq(p->largest_trailer, largest_trailer);
}

static void check_and_finish(struct written *w, size_t rows, size_t deletes)
{
    struct heard heard = {0};
    struct message_sink sink = {hear, &heard};
    struct table *table = NULL;
    struct iter *it = NULL;
    size_t seen = 0;

    ck_ok(table_open(w->storage, TEST_SEED, TEST_TABLE, NULL, &sink, &table));
    ck_ok(table_verify(table, NULL));
    ck_assert_msg(heard.count == 0, "%s", heard.last);
    ck_assert_uint_eq(table_range_dels(table)->delete_count, deletes);
    ck_assert_uint_gt(table_resident_bytes(table), table_range_dels(table)->memory_bytes);
    ck_ok(table_iter_create(table, false, &it));
    for (iter_seek_first(it); it->valid; iter_next(it)) {
        seen++;
    }
    ck_assert_uint_eq(seen, rows);
    ck_assert_int_eq(it->error, 0);
    iter_seek_last(it);
    ck_assert(it->valid == (rows > 0) && it->error == 0);
    iter_seek(it, kv_slice_str("k"), 0);
    ck_assert(it->valid == (rows > 0) && it->error == 0);
    iter_destroy(it);
    table_close(table);
    table_properties_finish(&w->properties);
    kv_storage_mem_destroy(w->storage);
}

START_TEST(bounds_cover_range_deletes)
{
    const struct range_delete deletes[] = {range(2, 5, 9), range(7, 9, 40)};
    static const char *const inside[] = {"k03", "k08"};
    static const char *const outside[] = {"k01", "k09"};
    static const char *const at_start[] = {"k02", "k04"};
    struct written w;

    write_ranges(&w, inside, 2, deletes, 2);
    check_bounds(&w, "k02", row_trailer(9, ROW_RANGE_DELETE), "k09", RANGE_END_TRAILER);
    ck_assert_uint_eq(w.properties.sequence_min, 9);
    ck_assert_uint_eq(w.properties.sequence_max, 40);
    check_and_finish(&w, 2, 2);
    write_ranges(&w, outside, 2, deletes, 2);
    check_bounds(&w, "k01", row_trailer(20, ROW_PUT), "k09", row_trailer(21, ROW_PUT));
    check_and_finish(&w, 2, 2);
    write_ranges(&w, at_start, 2, deletes, 2);
    check_bounds(&w, "k02", row_trailer(20, ROW_PUT), "k09", RANGE_END_TRAILER);
    check_and_finish(&w, 2, 2);
}
END_TEST

START_TEST(a_table_may_hold_range_deletes_alone)
{
    const struct range_delete deletes[] = {range(2, 5, 9), range(2, 5, 3), range(5, 9, 4)};
    struct written w;
    write_ranges(&w, NULL, 0, deletes, 3);
    check_bounds(&w, "k02", row_trailer(9, ROW_RANGE_DELETE), "k09", RANGE_END_TRAILER);
    ck_assert_uint_eq(w.properties.row_count, 0);
    check_and_finish(&w, 0, 3);
}
END_TEST

START_TEST(deletes_that_overlap_or_come_out_of_order_are_refused)
{
    const struct range_delete first = range(2, 5, 9);
    const struct range_delete bad[] = {range(2, 5, 9), range(2, 6, 3), range(4, 6, 3),
                                       range(1, 2, 3), range(7, 7, 3), range(2, 5, 10)};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const struct table_builder_options options = small_blocks(CODEC_NONE);
        struct kv_storage *storage = NULL;
        ck_ok(kv_storage_mem_create(&storage));
        struct table_builder *builder = begin_table(storage, &options);
        ck_ok(table_builder_add_range_delete(builder, &first));
        ck_fails(table_builder_add_range_delete(builder, &bad[i]), EINVAL);
        table_builder_destroy(builder);
        kv_storage_mem_destroy(storage);
    }
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("range_dels");
    suite_add(s, "block", the_bytes_of_a_range_delete_block_never_change);
    suite_add(s, "block", rows_that_are_no_fragments_are_refused);
    suite_add(s, "block", changed_bytes_of_a_block_do_no_harm);
    suite_add(s, "fragments", fragments_cover_what_the_deletes_cover_at_every_snapshot);
    suite_add(s, "fragments", ten_thousand_nested_deletes_make_few_fragments);
    suite_add(s, "table", bounds_cover_range_deletes);
    suite_add(s, "table", a_table_may_hold_range_deletes_alone);
    suite_add(s, "table", deletes_that_overlap_or_come_out_of_order_are_refused);
    return s;
}
