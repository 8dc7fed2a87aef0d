/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/check_main.h"

#include "kvcore/table/rows_block.h"
#include "tests/table/model.h"

static struct row text_row(const char *key, uint64_t sequence, enum row_kind kind,
                           const char *value)
{
    return (struct row){kv_slice_str(key), row_trailer(sequence, kind), kv_slice_str(value)};
}

static struct kv_buf encode(const struct row *rows, size_t count)
{
    struct rows_builder *builder = NULL;
    struct kv_buf bytes = {0};

    ck_ok(rows_builder_create(&builder));
    for (size_t i = 0; i < count; i++) {
        ck_ok(rows_builder_add(builder, &rows[i]));
        struct row last = rows_builder_last(builder);
        ck_assert(kv_slice_equal(last.key, rows[i].key));
        ck_assert(kv_slice_equal(last.value, rows[i].value));
        ck_assert_uint_eq(last.trailer, rows[i].trailer);
    }
    size_t size = rows_builder_size(builder);
    ck_assert_uint_eq(rows_builder_count(builder), count);
    ck_ok(rows_builder_finish(builder, &bytes));
    ck_assert_uint_eq(bytes.size, size);
    ck_assert_uint_eq(rows_builder_count(builder), 0);
    rows_builder_destroy(builder);
    return bytes;
}

static void check_bytes(const struct kv_buf *bytes, const uint8_t *golden, size_t size)
{
    ck_assert_uint_eq(bytes->size, size);
    ck_assert_mem_eq(bytes->data, golden, size);
}

/* Golden: two keys with a shared prefix, two versions of one, two kinds. */
START_TEST(the_bytes_of_a_block_never_change)
{
    static const uint8_t golden[] = {
        4,   0,   0,   0,   0,   2,   0,   0,   3,   0,   0,   0,
        0,   0,   0,   0,   9,   0,   0,   0,   0,   0,   0,   0,   /* base sequence 9 */
        'd', 'i', 'r', 0,                                           /* prefix, padded */
        0,   0,   0,   0,   'd', 'c', 'b', 'a', 'x', 'c', 'b', 'a', /* heads, little-endian */
        'x', 'c', 'b', 'a', 0,   0,   5,   0,   9,   0,   13,  0,   /* key ends */
        2,   0,   2,   0,   2,   0,   7,   0,                       /* value ends */
        0,   0,   1,   0,   44,  1,   0,   0,                       /* sequences: 9 10 309 9 */
        1,   2,   5,   1,                                           /* kinds */
        'a', 'b', 'c', 'd', 'e', 'a', 'b', 'c', 'x', 'a', 'b', 'c',
        'x', 'v', '1', 'h', 'e', 'l', 'l', 'o',
    };
    const struct row rows[] = {
        text_row("dir", 9, ROW_PUT, "v1"),
        text_row("dirabcde", 10, ROW_DELETE, ""),
        text_row("dirabcx", 309, ROW_DAMAGED, ""),
        text_row("dirabcx", 9, ROW_PUT, "hello"),
    };
    struct kv_buf bytes = encode(rows, 4);
    check_bytes(&bytes, golden, sizeof golden);
    kv_buf_finish(&bytes);
}
END_TEST

/* Golden: the shared prefix of one row is its whole key. */
START_TEST(the_bytes_of_a_block_of_one_row_never_change)
{
    static const uint8_t golden[] = {
        1, 0, 0, 0,   0,   0,   1,   0,   5, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0,   0,
        0, 0, 0, 'a', 'b', 'c', 'd', 'e', 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 'o', 'k',
    };
    const struct row row = text_row("abcde", 7, ROW_PUT, "ok");
    struct kv_buf bytes = encode(&row, 1);
    check_bytes(&bytes, golden, sizeof golden);
    kv_buf_finish(&bytes);
}
END_TEST

static void check_seek(const struct model *m, const struct rows_block *block, struct kv_slice key,
                       uint64_t trailer)
{
    size_t expected = model_seek(m, key, trailer);
    ck_assert_msg(rows_block_seek(block, key, trailer) == expected,
                  "seek found %u instead of %zu (seed %" PRIu64 ")",
                  rows_block_seek(block, key, trailer), expected, test_seed());
}

static void check_rows(const struct model *m, const struct rows_block *block)
{
    struct kv_buf key = {0};

    ck_assert_uint_eq(block->count, m->count);
    for (uint32_t i = 0; i < m->count; i++) {
        const struct row *row = &m->rows[i];
        ck_ok(rows_block_key(block, i, &key));
        ck_assert(kv_slice_equal(kv_buf_slice(&key), row->key));
        ck_assert(kv_slice_equal(rows_block_value(block, i), row->value));
        ck_assert_uint_eq(rows_block_trailer(block, i), row->trailer);
        ck_assert(rows_block_key_equals(block, i, row->key));
        ck_assert(i == 0 || rows_block_compare(block, i - 1, block, i) < 0);
        ck_assert_int_eq(rows_block_compare(block, i, block, i), 0);
    }
    kv_buf_finish(&key);
}

/* Every key, every version, what lies beside it, every prefix of it, and longer ones. */
static void check_seeks_around(const struct model *m, const struct rows_block *block)
{
    uint8_t longer[MODEL_KEY_MAX + 1];

    for (size_t i = 0; i < m->count; i++) {
        const struct row *row = &m->rows[i];
        check_seek(m, block, row->key, row->trailer);
        check_seek(m, block, row->key, row->trailer + 1);
        check_seek(m, block, row->key, row->trailer - (row->trailer > 0));
        check_seek(m, block, row->key, UINT64_MAX);
        check_seek(m, block, row->key, 0);
        memcpy(longer, row->key.data, row->key.size);
        longer[row->key.size] = 0;
        check_seek(m, block, kv_slice(longer, row->key.size + 1), UINT64_MAX);
        longer[row->key.size] = 0xff;
        check_seek(m, block, kv_slice(longer, row->key.size + 1), 0);
        for (size_t size = 0; size < row->key.size; size += size < 20 ? 1 : 37) {
            check_seek(m, block, kv_slice(row->key.data, size), UINT64_MAX);
            longer[size]++;
            check_seek(m, block, kv_slice(longer, size + 1), 5);
            longer[size]--;
        }
    }
}

static void check_block(struct rng *rng, const struct model_shape *shape, size_t count)
{
    struct model m = model_create(rng, shape, count);
    struct kv_buf bytes = encode(m.rows, m.count);
    struct rows_block block;
    uint8_t key[MODEL_KEY_MAX];

    ck_ok(rows_block_parse(kv_buf_slice(&bytes), &block));
    check_rows(&m, &block);
    check_seeks_around(&m, &block);
    for (int i = 0; i < 50; i++) {
        size_t size = model_key(rng, shape, key);
        check_seek(&m, &block, kv_slice(key, size), rng_next(rng));
    }
    kv_buf_finish(&bytes);
    model_finish(&m);
}

START_TEST(random_blocks_are_searched_like_a_sorted_array)
{
    struct rng rng = {test_seed()};
    size_t shape_count;
    const struct model_shape *shapes = model_shapes(&shape_count);

    for (uint64_t step = 0; step < test_steps(30); step++) {
        for (size_t i = 0; i < shape_count; i++) {
            check_block(&rng, &shapes[i], 1 + rng_below(&rng, 120));
        }
    }
}
END_TEST

START_TEST(every_width_of_sequence_numbers_comes_back)
{
    for (unsigned width = 0; width <= 7; width++) {
        uint64_t top = width == 7 ? ROW_SEQUENCE_MAX : (UINT64_C(1) << (8 * width)) - 1;
        const struct row rows[] = {
            text_row("a", top, ROW_PUT, "x"),
            text_row("b", 0, ROW_DELETE, ""),
            text_row("c", top / 2, ROW_PUT, "y"),
        };
        struct kv_buf bytes = encode(rows, 3);
        struct rows_block block;
        ck_ok(rows_block_parse(kv_buf_slice(&bytes), &block));
        ck_assert_uint_eq(block.seq_width, width);
        for (uint32_t i = 0; i < 3; i++) {
            ck_assert_uint_eq(rows_block_trailer(&block, i), rows[i].trailer);
        }
        kv_buf_finish(&bytes);
    }
}
END_TEST

START_TEST(a_row_larger_than_64_kib_makes_the_row_ends_wide)
{
    static uint8_t large[70000];
    const struct row rows[] = {
        {kv_slice_str("a"), row_trailer(1, ROW_PUT), kv_slice(large, 65535)},
        {kv_slice_str("b"), row_trailer(1, ROW_PUT), kv_slice(large, 1)},
    };
    struct rows_block block;
    struct kv_buf bytes = encode(rows, 1);

    ck_ok(rows_block_parse(kv_buf_slice(&bytes), &block));
    ck_assert(!block.wide);
    kv_buf_finish(&bytes);
    bytes = encode(rows, 2);
    ck_ok(rows_block_parse(kv_buf_slice(&bytes), &block));
    ck_assert(block.wide);
    ck_assert_uint_eq(rows_block_value(&block, 0).size, 65535);
    kv_buf_finish(&bytes);
}
END_TEST

/* ---- bytes that are not a block ---- */

/* Touch everything that a reader could touch. */
static uint64_t walk(const struct rows_block *block)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < block->count; i++) {
        struct kv_slice suffix = rows_block_suffix(block, i);
        struct kv_slice value = rows_block_value(block, i);
        ck_assert(suffix.data >= block->suffixes);
        ck_assert(suffix.data + suffix.size <= block->values);
        ck_assert(value.data >= block->values);
        ck_assert(value.data + value.size <= block->bytes + block->size);
        ck_assert_uint_le(row_sequence(rows_block_trailer(block, i)), ROW_SEQUENCE_MAX);
        sum += hash_bytes(suffix, sum) + hash_bytes(value, sum) + rows_block_trailer(block, i);
        ck_assert_uint_le(rows_block_seek(block, value, sum), block->count);
    }
    return sum;
}

/* A copy of its own size, so that a sanitizer sees the first byte read beyond it. */
static int parse_copy(struct kv_slice bytes)
{
    struct rows_block block;
    uint8_t *copy = malloc(bytes.size + (bytes.size == 0));
    ck_assert_ptr_nonnull(copy);
    if (bytes.size > 0) {
        memcpy(copy, bytes.data, bytes.size);
    }
    int r = rows_block_parse(kv_slice(copy, bytes.size), &block);
    if (r == 0) {
        walk(&block);
    }
    free(copy);
    return r;
}

START_TEST(a_block_cut_at_any_length_is_refused)
{
    struct rng rng = {test_seed()};
    size_t shape_count;
    const struct model_shape *shapes = model_shapes(&shape_count);

    for (size_t shape = 0; shape < shape_count; shape++) {
        struct model m = model_create(&rng, &shapes[shape], 8);
        struct kv_buf bytes = encode(m.rows, m.count);
        for (size_t size = 0; size < bytes.size; size += size < 2000 ? 1 : 977) {
            ck_fails(parse_copy(kv_slice(bytes.data, size)), KV_EDAMAGED);
        }
        ck_ok(parse_copy(kv_buf_slice(&bytes)));
        ck_ok(kv_buf_append(&bytes, kv_slice("", 1)));
        ck_fails(parse_copy(kv_buf_slice(&bytes)), KV_EDAMAGED);
        kv_buf_finish(&bytes);
        model_finish(&m);
    }
}
END_TEST

START_TEST(changed_and_random_bytes_never_lead_outside_the_block)
{
    struct rng rng = {test_seed()};
    size_t shape_count;
    const struct model_shape *shapes = model_shapes(&shape_count);

    for (uint64_t step = 0; step < test_steps(300); step++) {
        struct model m = model_create(&rng, &shapes[step % shape_count], 1 + rng_below(&rng, 12));
        struct kv_buf bytes = encode(m.rows, m.count);
        for (int i = 0; i < 60; i++) {
            size_t at = rng_below(&rng, bytes.size < 200 ? bytes.size : 200);
            uint8_t was = bytes.data[at];
            bytes.data[at] = (uint8_t)rng_next(&rng);
            kv_ignore(parse_copy(kv_buf_slice(&bytes))); /* any answer, but a safe one */
            bytes.data[at] = rng_below(&rng, 3) > 0 ? was : bytes.data[at];
        }
        for (size_t i = rng_below(&rng, 24); i < bytes.size; i++) {
            bytes.data[i] = (uint8_t)rng_next(&rng);
        }
        kv_ignore(parse_copy(kv_buf_slice(&bytes)));
        kv_buf_finish(&bytes);
        model_finish(&m);
    }
}
END_TEST

static int parse_with(struct kv_buf *bytes, size_t at, uint8_t value)
{
    uint8_t was = bytes->data[at];
    bytes->data[at] = value;
    int r = parse_copy(kv_buf_slice(bytes));
    bytes->data[at] = was;
    return r;
}

START_TEST(what_the_format_forbids_is_refused)
{
    const struct row rows[] = {
        text_row("ka", 5, ROW_PUT, "1"),
        text_row("kb", 4, ROW_DELETE, ""),
        text_row("kc", 3, ROW_PUT, "2"),
    };
    /* 24 header, 4 prefix, 12 heads, 6 key ends, 6 value ends, 3 sequences, 3 kinds, 3, 2 */
    struct kv_buf bytes = encode(rows, 3);
    ck_assert_uint_eq(bytes.size, 63);
    ck_fails(parse_with(&bytes, 0, 0), KV_EDAMAGED);    /* no rows */
    ck_fails(parse_with(&bytes, 0, 4), KV_EDAMAGED);    /* more rows than there are */
    ck_fails(parse_with(&bytes, 4, 2), KV_EDAMAGED);    /* unknown flag */
    ck_fails(parse_with(&bytes, 5, 8), KV_EDAMAGED);    /* sequence numbers too wide */
    ck_fails(parse_with(&bytes, 7, 1), KV_EDAMAGED);    /* reserved */
    ck_fails(parse_with(&bytes, 10, 1), KV_EDAMAGED);   /* reserved */
    ck_fails(parse_with(&bytes, 23, 1), KV_EDAMAGED);   /* base sequence too large */
    ck_fails(parse_with(&bytes, 25, 1), KV_EDAMAGED);   /* padding */
    ck_fails(parse_with(&bytes, 31, 'b'), KV_EDAMAGED); /* head is not the key's */
    ck_fails(parse_with(&bytes, 40, 2), KV_EDAMAGED);   /* a key end that moves a byte */
    ck_fails(parse_with(&bytes, 42, 9), KV_EDAMAGED);   /* a key end that falls after it */
    ck_fails(parse_with(&bytes, 50, 9), KV_EDAMAGED);   /* values beyond the block */
    ck_fails(parse_with(&bytes, 55, 0), KV_EDAMAGED);   /* no kind */
    ck_fails(parse_with(&bytes, 55, 3), KV_EFORMAT);    /* a reserved kind */
    ck_fails(parse_with(&bytes, 55, 77), KV_EFORMAT);   /* a kind of the future */
    ck_fails(parse_with(&bytes, 59, 'a'), KV_EDAMAGED); /* key is not the head's */
    ck_ok(parse_copy(kv_buf_slice(&bytes)));
    kv_buf_finish(&bytes);
}
END_TEST

START_TEST(rows_out_of_order_are_refused)
{
    const struct row keys[] = {text_row("b", 5, ROW_PUT, ""), text_row("a", 5, ROW_PUT, "")};
    const struct row tails[] = {text_row("aaaab", 5, ROW_PUT, ""),
                                text_row("aaaa", 5, ROW_PUT, "")};
    const struct row versions[] = {text_row("a", 5, ROW_PUT, ""), text_row("a", 6, ROW_PUT, "")};
    const struct row twins[] = {text_row("a", 5, ROW_PUT, ""), text_row("a", 5, ROW_PUT, "")};
    const struct row *const sets[] = {keys, tails, versions, twins};

    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        struct kv_buf bytes = encode(sets[i], 2);
        ck_fails(parse_copy(kv_buf_slice(&bytes)), KV_EDAMAGED);
        kv_buf_finish(&bytes);
    }
}
END_TEST

START_TEST(rows_of_two_blocks_compare_like_rows)
{
    struct rng rng = {test_seed()};
    struct rows_block a, b;
    size_t shape_count;
    const struct model_shape *shapes = model_shapes(&shape_count);

    for (size_t step = 0; step < 100; step++) {
        struct model ma = model_create(&rng, &shapes[rng_below(&rng, 4)], 1 + rng_below(&rng, 5));
        struct model mb = model_create(&rng, &shapes[rng_below(&rng, 4)], 1 + rng_below(&rng, 5));
        struct kv_buf bytes_a = encode(ma.rows, ma.count), bytes_b = encode(mb.rows, mb.count);
        ck_ok(rows_block_parse(kv_buf_slice(&bytes_a), &a));
        ck_ok(rows_block_parse(kv_buf_slice(&bytes_b), &b));
        for (uint32_t i = 0; i < a.count; i++) {
            for (uint32_t j = 0; j < b.count; j++) {
                int r = rows_block_compare(&a, i, &b, j);
                int expected = model_compare(&ma.rows[i], &mb.rows[j]);
                ck_assert_int_eq((r > 0) - (r < 0), (expected > 0) - (expected < 0));
            }
        }
        kv_buf_finish(&bytes_a);
        kv_buf_finish(&bytes_b);
        model_finish(&ma);
        model_finish(&mb);
    }
}
END_TEST

/* Short keys of few letters, so that equal keys, prefixes and every size are common. Each lies in
 * memory of exactly its size: what the sanitizers would see. */
START_TEST(the_quick_functions_on_keys_agree_with_the_plain_ones)
{
    struct rng rng = {test_seed()};
    struct kv_buf copy = {0};
    uint64_t steps = test_steps(20000);

    for (uint64_t step = 0; step < steps; step++) {
        struct kv_slice keys[2];
        uint8_t *memory[2];
        size_t size = rng_below(&rng, 36);
        for (int i = 0; i < 2; i++) {
            size_t own = rng_below(&rng, 4) > 0 ? size : rng_below(&rng, 36);
            memory[i] = malloc(own > 0 ? own : 1);
            ck_assert_ptr_nonnull(memory[i]);
            memset(memory[i], 'a', own);
            if (own > 0 && rng_below(&rng, 3) > 0) {
                memory[i][rng_below(&rng, own)] = (uint8_t)rng_below(&rng, 3);
            }
            keys[i] = kv_slice(memory[i], own);
        }
        uint64_t a = key_head(keys[0]);
        uint64_t b = key_head(keys[1]);
        ck_assert(a == b || (a < b) == (kv_slice_compare(keys[0], keys[1]) < 0));
        ck_assert(key_equal(keys[0], keys[1]) == kv_slice_equal(keys[0], keys[1]));
        ck_ok(key_assign(&copy, keys[0]));
        ck_assert(kv_slice_equal(kv_buf_slice(&copy), keys[0]));
        free(memory[0]);
        free(memory[1]);
    }
    kv_buf_finish(&copy);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("rows_block");
    suite_add(s, "golden", the_bytes_of_a_block_never_change);
    suite_add(s, "golden", the_bytes_of_a_block_of_one_row_never_change);
    suite_add(s, "seek", random_blocks_are_searched_like_a_sorted_array);
    suite_add(s, "columns", every_width_of_sequence_numbers_comes_back);
    suite_add(s, "columns", a_row_larger_than_64_kib_makes_the_row_ends_wide);
    suite_add(s, "damage", a_block_cut_at_any_length_is_refused);
    suite_add(s, "damage", changed_and_random_bytes_never_lead_outside_the_block);
    suite_add(s, "damage", what_the_format_forbids_is_refused);
    suite_add(s, "damage", rows_out_of_order_are_refused);
    suite_add(s, "compare", rows_of_two_blocks_compare_like_rows);
    suite_add(s, "compare", the_quick_functions_on_keys_agree_with_the_plain_ones);
    return s;
}
