/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever happens to the bytes of a table, what it answers is right or an error. */
#include "tests/lib/check_main.h"

#include "kvcore/util/checksum.h"
#include "kvcore/util/coding.h"
#include "tests/table/table_lib.h"

/* A table, its rows, and its bytes to be changed and written again. */
struct fixture {
    struct kv_storage *storage;
    struct model model;
    uint8_t *bytes;
    size_t size;
    struct heard heard;
};

static const struct kv_file_id table_id = {KV_FILE_TABLE, TEST_TABLE};

static void start(struct fixture *f, enum codec codec, size_t rows)
{
    const struct table_builder_options options = small_blocks(codec);
    const struct model_shape shape = {
        .tail_max = 12, .letters = 5, .value_max = 40, .sequence_max = 300};
    struct rng rng = {test_seed()};
    struct kv_object *object = NULL;
    size_t got;

    *f = (struct fixture){0};
    ck_ok(kv_storage_mem_create(&f->storage));
    f->model = model_create(&rng, &shape, rows);
    write_table(f->storage, &f->model, &options);
    ck_ok(f->storage->ops->object_open(f->storage, table_id, &object));
    f->size = f->storage->ops->object_size(object);
    f->bytes = malloc(f->size);
    ck_assert_ptr_nonnull(f->bytes);
    ck_ok(f->storage->ops->object_read(object, 0, f->bytes, f->size, &got));
    ck_assert_uint_eq(got, f->size);
    f->storage->ops->object_close(object);
}

static void stop(struct fixture *f)
{
    kv_storage_mem_destroy(f->storage);
    model_finish(&f->model);
    free(f->bytes);
}

/* Put the first `size` of the fixture's bytes in the place of the table. */
static void replace(struct fixture *f, uint64_t number, size_t size)
{
    const struct kv_file_id id = {KV_FILE_TABLE, number};
    struct kv_object_writer *writer = NULL;
    struct iovec part = {f->bytes, size};

    kv_ignore(f->storage->ops->remove(f->storage, id)); /* it may not be there */
    ck_ok(f->storage->ops->object_begin(f->storage, id, 0, &writer));
    ck_ok(f->storage->ops->object_write(writer, &part, 1));
    ck_ok(f->storage->ops->object_finish(writer));
}

/* Open and read everything. Returns whether any error was seen. */
static bool read_all(struct fixture *f)
{
    struct message_sink sink = {hear, &f->heard};
    struct table *table = NULL;
    bool failed = false;
    int r;

    f->heard.count = 0;
    r = table_open(f->storage, TEST_SEED, TEST_TABLE, NULL, &sink, &table);
    if (r < 0) {
        ck_assert(r == -KV_EDAMAGED || r == -KV_EFORMAT);
        ck_assert_ptr_nonnull(strstr(f->heard.last, "table 00000012: "));
        return true;
    }
    for (size_t i = 0; i < f->model.count; i += 3) {
        struct kv_slice key = f->model.rows[i].key;
        ck_assert(table_may_contain(table, filter_hash_key(key)));
        r = check_get(table, &f->model, key, row_sequence(f->model.rows[i].trailer));
        ck_assert(r == 0 || r == -KV_EDAMAGED);
        failed |= r < 0;
    }
    r = check_scan(table, &f->model, true);
    ck_assert(r == 0 || r == -KV_EDAMAGED);
    failed |= r < 0;
    r = table_verify(table, NULL);
    ck_assert(r == 0 || r == -KV_EDAMAGED);
    ck_assert(!failed || r < 0);
    failed |= r < 0;
    ck_assert(failed == (f->heard.count > 0));
    table_close(table);
    return failed;
}

static void flip_every_byte(enum codec codec)
{
    struct fixture f;

    start(&f, codec, 60);
    ck_assert(!read_all(&f));
    for (size_t at = 0; at < f.size; at++) {
        f.bytes[at] ^= (uint8_t)(1 << at % 8);
        replace(&f, TEST_TABLE, f.size);
        ck_assert_msg(read_all(&f), "a flipped bit at %zu of %zu was not seen (seed %" PRIu64 ")",
                      at, f.size, test_seed());
        f.bytes[at] ^= (uint8_t)(1 << at % 8);
    }
    stop(&f);
}

START_TEST(a_flipped_bit_in_any_byte_is_seen)
{
    flip_every_byte(CODEC_NONE);
}
END_TEST

START_TEST(a_flipped_bit_in_any_byte_of_a_compressed_table_is_seen)
{
    flip_every_byte(CODEC_SNAPPY);
}
END_TEST

START_TEST(a_table_cut_at_any_length_cannot_be_opened)
{
    struct fixture f;
    struct table *table = NULL;

    start(&f, CODEC_NONE, 60);
    for (size_t size = 0; size < f.size; size++) {
        replace(&f, TEST_TABLE, size);
        ck_fails(table_open(f.storage, TEST_SEED, TEST_TABLE, NULL, NULL, &table), KV_EDAMAGED);
    }
    stop(&f);
}
END_TEST

START_TEST(zeroed_and_random_ranges_are_seen)
{
    struct fixture f;
    struct rng rng = {test_seed()};

    start(&f, CODEC_SNAPPY, 120);
    for (uint64_t step = 0; step < test_steps(300); step++) {
        size_t from = rng_below(&rng, f.size), size = 1 + rng_below(&rng, f.size - from);
        uint8_t *was = malloc(size);
        ck_assert_ptr_nonnull(was);
        memcpy(was, f.bytes + from, size);
        for (size_t i = 0; i < size; i++) {
            f.bytes[from + i] = step % 2 == 0 ? 0 : (uint8_t)rng_next(&rng);
        }
        replace(&f, TEST_TABLE, f.size);
        ck_assert(read_all(&f) || memcmp(was, f.bytes + from, size) == 0);
        memcpy(f.bytes + from, was, size);
        free(was);
    }
    stop(&f);
}
END_TEST

START_TEST(blocks_of_another_store_or_number_are_refused)
{
    struct fixture f;
    struct table *table = NULL;

    start(&f, CODEC_NONE, 60);
    ck_fails(table_open(f.storage, TEST_SEED + 1, TEST_TABLE, NULL, NULL, &table), KV_EDAMAGED);
    replace(&f, TEST_TABLE + 1, f.size);
    ck_fails(table_open(f.storage, TEST_SEED, TEST_TABLE + 1, NULL, NULL, &table), KV_EDAMAGED);
    ck_fails(table_open(f.storage, TEST_SEED, TEST_TABLE + 2, NULL, NULL, &table), ENOENT);
    stop(&f);
}
END_TEST

START_TEST(a_damaged_block_is_named_and_the_rows_of_others_are_read)
{
    struct fixture f;
    struct message_sink sink = {hear, &f.heard};
    struct table *table = NULL;
    size_t good = 0, lost = 0;

    start(&f, CODEC_NONE, 300);
    f.bytes[BLOCK_HEADER_SIZE + 30] ^= 1; /* in the first block */
    replace(&f, TEST_TABLE, f.size);
    ck_ok(table_open(f.storage, TEST_SEED, TEST_TABLE, NULL, &sink, &table));
    for (size_t i = 0; i < f.model.count; i++) {
        int r = check_get(table, &f.model, f.model.rows[i].key, ROW_SEQUENCE_MAX);
        good += r == 0;
        lost += r == -KV_EDAMAGED;
    }
    ck_assert_uint_gt(lost, 0);
    ck_assert_uint_gt(good, f.model.count / 2);
    ck_assert_uint_eq(good + lost, f.model.count);
    ck_assert_ptr_nonnull(strstr(f.heard.last, "1 table 00000012: block at 0: "));
    ck_assert_ptr_nonnull(strstr(f.heard.last, "kvfs fsck"));

    struct iter *it = NULL;
    ck_ok(table_iter_create(table, false, &it));
    iter_seek_first(it);
    ck_assert(!it->valid);
    ck_assert_int_eq(it->error, -KV_EDAMAGED);
    iter_seek_last(it); /* an iterator goes on with a seek after an error */
    for (size_t i = f.model.count; it->valid; iter_prev(it)) {
        check_row(it, &f.model.rows[--i]);
    }
    ck_assert_int_eq(it->error, -KV_EDAMAGED);
    iter_destroy(it);
    table_close(table);
    stop(&f);
}
END_TEST

/* ---- bytes that were changed by somebody who knows how to make the checksums fit ---- */

static uint64_t file_seed(void)
{
    return checksum_file_seed(TEST_SEED, KV_FILE_TABLE, TEST_TABLE);
}

/* Put the right checksums on the block at `at`. `size` is what its header said at first. */
static void sign_block(struct fixture *f, size_t at, size_t stored_size)
{
    uint8_t *header = f->bytes + at;
    struct kv_slice stored = kv_slice(header + BLOCK_HEADER_SIZE, stored_size);

    coding_put_u64(header + 16, checksum_at(file_seed(), at + BLOCK_HEADER_SIZE, stored));
    coding_put_u32(header + 4, (uint32_t)checksum_at(file_seed(), at, kv_slice(header + 8, 40)));
}

static void sign_footer(struct fixture *f)
{
    size_t at = f->size - TABLE_FOOTER_SIZE;
    coding_put_u64(f->bytes + at + 56, checksum_at(file_seed(), at, kv_slice(f->bytes + at, 56)));
}

/* Change a few bytes of what a block or the footer holds, so that no checksum tells. */
static void deceive(struct fixture *f, struct rng *rng)
{
    size_t target = rng_below(rng, f->size), at = 0;
    size_t stored = coding_get_u32(f->bytes + 8);

    /* Few bytes belong to the index and the rest of the tail: choose them more often. */
    if (rng_below(rng, 2) == 0) {
        target = f->size - 1 - rng_below(rng, f->size / 6);
    }
    while (at + BLOCK_HEADER_SIZE + stored <= target &&
           at + BLOCK_HEADER_SIZE + stored < f->size - TABLE_FOOTER_SIZE) {
        at += BLOCK_HEADER_SIZE + stored;
        stored = coding_get_u32(f->bytes + at + 8);
    }
    if (target >= f->size - TABLE_FOOTER_SIZE) {
        f->bytes[target] ^= (uint8_t)(1 << rng_below(rng, 8));
        sign_footer(f);
        return;
    }
    bool in_header = rng_below(rng, 6) == 0;
    uint8_t *from = f->bytes + at + (in_header ? 8 : BLOCK_HEADER_SIZE);
    for (uint64_t i = rng_below(rng, 3) + 1; i > 0; i--) {
        size_t byte = rng_below(rng, in_header ? 40 : stored < 200 ? stored : 200);
        from[byte] = rng_below(rng, 2) == 0 ? (uint8_t)rng_next(rng)
                                            : (uint8_t)(from[byte] + rng_below(rng, 3) - 1);
    }
    sign_block(f, at, stored);
}

/* Go through all rows that the table shows; they must at least be in order. */
static void walk_in_order(struct table *table)
{
    struct iter *it = NULL;
    struct kv_buf last = {0};
    uint64_t trailer = 0;
    size_t forward = 0, backward = 0;

    ck_ok(table_iter_create(table, true, &it));
    for (iter_seek_first(it); it->valid; iter_next(it), forward++) {
        ck_assert(forward == 0 ||
                  row_compare(kv_buf_slice(&last), trailer, it->row->key, it->row->trailer) < 0);
        ck_ok(kv_buf_assign(&last, it->row->key));
        trailer = it->row->trailer;
    }
    bool whole = it->error == 0;
    for (iter_seek_last(it); it->valid; iter_prev(it)) {
        backward++;
    }
    ck_assert(!whole || forward == backward);
    iter_destroy(it);
    kv_buf_finish(&last);
}

static void use_deceiving(struct fixture *f)
{
    struct table *table = NULL;
    int r = table_open(f->storage, TEST_SEED, TEST_TABLE, NULL, NULL, &table);

    if (r < 0) {
        ck_assert(r == -KV_EDAMAGED || r == -KV_EFORMAT);
        return;
    }
    walk_in_order(table);
    for (size_t i = 0; i < f->model.count; i += 5) {
        struct kv_slice value, key = f->model.rows[i].key;
        struct cached_block *block = NULL;
        uint64_t trailer, sum = 0;
        if (table_get(table, key, ROW_SEQUENCE_MAX, &trailer, &value, &block) == 1) {
            for (size_t byte = 0; byte < value.size; byte++) {
                sum += value.data[byte];
            }
            ck_assert_uint_le(sum, 255 * value.size);
            cached_block_unref(block);
        }
    }
    kv_ignore(table_verify(table, NULL)); /* any answer, but a safe one */
    table_close(table);
}

START_TEST(a_table_made_to_deceive_stays_in_bounds_and_in_order)
{
    struct fixture f;
    struct rng rng = {test_seed()};

    start(&f, CODEC_NONE, 150);
    uint8_t *good = malloc(f.size);
    ck_assert_ptr_nonnull(good);
    memcpy(good, f.bytes, f.size);
    for (uint64_t step = 0; step < test_steps(2500); step++) {
        deceive(&f, &rng);
        replace(&f, TEST_TABLE, f.size);
        use_deceiving(&f);
        memcpy(f.bytes, good, f.size);
    }
    free(good);
    stop(&f);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("table_damage");
    suite_add(s, "flip", a_flipped_bit_in_any_byte_is_seen);
    suite_add(s, "flip", a_flipped_bit_in_any_byte_of_a_compressed_table_is_seen);
    suite_add(s, "cut", a_table_cut_at_any_length_cannot_be_opened);
    suite_add(s, "ranges", zeroed_and_random_ranges_are_seen);
    suite_add(s, "deceit", a_table_made_to_deceive_stays_in_bounds_and_in_order);
    suite_add(s, "foreign", blocks_of_another_store_or_number_are_refused);
    suite_add(s, "named", a_damaged_block_is_named_and_the_rows_of_others_are_read);
    return s;
}
