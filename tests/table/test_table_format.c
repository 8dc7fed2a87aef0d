/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/check_main.h"

#include "kvcore/table/filter.h"
#include "kvcore/table/table_format.h"
#include "kvcore/table/table_index.h"
#include "kvcore/util/checksum.h"
#include "kvcore/util/coding.h"
#include "kvcore/util/rng.h"
#include "tests/table/model.h"

#define FILE_SEED UINT64_C(0x1122334455667788)

static const struct block_header header = {
    .type = BLOCK_DATA,
    .codec = 2,
    .stored_size = 0x101,
    .raw_size = 0x203,
    .row_count = 9,
    .sequence_min = 5,
    .sequence_max = 0x60000,
    .payload_checksum = UINT64_C(0x0123456789abcdef),
};

START_TEST(the_bytes_of_a_block_header_never_change)
{
    static const uint8_t golden[BLOCK_HEADER_SIZE] = {
        'K',  'B',  'l',  'k',  0x33, 0x99, 0x90, 0x66, 0x01, 0x01, 0, 0, 0x03, 0x02, 0, 0,
        0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01, 5,    0,    0, 0, 0,    0,    0, 0,
        0,    0,    6,    0,    0,    0,    0,    0,    1,    2,    0, 0, 9,    0,    0, 0,
    };
    uint8_t bytes[BLOCK_HEADER_SIZE];
    block_header_encode(&header, FILE_SEED, 4096, bytes);
    ck_assert_mem_eq(bytes, golden, sizeof golden);
}
END_TEST

START_TEST(a_block_header_is_good_at_its_place_only)
{
    uint8_t bytes[BLOCK_HEADER_SIZE];
    struct block_header back;

    block_header_encode(&header, FILE_SEED, 4096, bytes);
    ck_ok(block_header_decode(bytes, FILE_SEED, 4096, &back));
    ck_assert_int_eq(back.type, header.type);
    ck_assert_uint_eq(back.codec, header.codec);
    ck_assert_uint_eq(back.stored_size, header.stored_size);
    ck_assert_uint_eq(back.raw_size, header.raw_size);
    ck_assert_uint_eq(back.row_count, header.row_count);
    ck_assert_uint_eq(back.sequence_min, header.sequence_min);
    ck_assert_uint_eq(back.sequence_max, header.sequence_max);
    ck_assert_uint_eq(back.payload_checksum, header.payload_checksum);
    ck_fails(block_header_decode(bytes, FILE_SEED, 4097, &back), KV_EDAMAGED);
    ck_fails(block_header_decode(bytes, FILE_SEED + 1, 4096, &back), KV_EDAMAGED);
    for (size_t bit = 0; bit < sizeof bytes * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_fails(block_header_decode(bytes, FILE_SEED, 4096, &back), KV_EDAMAGED);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}
END_TEST

static int decode_changed(struct block_header changed)
{
    uint8_t bytes[BLOCK_HEADER_SIZE];
    struct block_header back;
    block_header_encode(&changed, FILE_SEED, 0, bytes);
    return block_header_decode(bytes, FILE_SEED, 0, &back);
}

/* The checksum is right in all of them. */
START_TEST(a_block_header_that_makes_no_sense_is_refused)
{
    struct block_header h = header;
    ck_ok(decode_changed(h));
    h.type = 6;
    ck_fails(decode_changed(h), KV_EDAMAGED);
    h = header;
    h.codec = 3;
    ck_fails(decode_changed(h), KV_EDAMAGED);
    h = header;
    h.raw_size = BLOCK_RAW_SIZE_MAX + 1;
    ck_fails(decode_changed(h), KV_EDAMAGED);
    h = header;
    h.raw_size = BLOCK_RAW_SIZE_MAX; /* of which no codec makes so few bytes */
    ck_fails(decode_changed(h), KV_EDAMAGED);
    h = header;
    h.codec = 1;
    ck_fails(decode_changed(h), KV_EDAMAGED);
    h = header;
    h.stored_size = h.raw_size + 1;
    ck_fails(decode_changed(h), KV_EDAMAGED);
    h = header;
    h.row_count = 0;
    ck_fails(decode_changed(h), KV_EDAMAGED);
    h = header;
    h.type = BLOCK_FILTER;
    ck_fails(decode_changed(h), KV_EDAMAGED);
    h = header;
    h.sequence_min = h.sequence_max + 1;
    ck_fails(decode_changed(h), KV_EDAMAGED);
    h = header;
    h.sequence_max = ROW_SEQUENCE_MAX + 1;
    ck_fails(decode_changed(h), KV_EDAMAGED);
}
END_TEST

static const struct table_footer footer = {
    .number = 12,
    .properties = {.offset = 0x12345, .size = 0x99},
    .index = {.offset = 0x11000, .size = 0x1345},
};

START_TEST(the_bytes_of_a_footer_never_change)
{
    static const uint8_t golden[TABLE_FOOTER_SIZE] = {
        'k',  'v',  't',  'a', 'b', 'l', 'e', '1', 12,   0,    0,    0,    0,    0,    0,    0,
        0x45, 0x23, 0x01, 0,   0,   0,   0,   0,   0x99, 0,    0,    0,    1,    0,    0,    0,
        0,    0x10, 0x01, 0,   0,   0,   0,   0,   0x45, 0x13, 0,    0,    0,    0,    0,    0,
        0,    0,    0,    0,   0,   0,   0,   0,   0x2c, 0x4c, 0xed, 0x82, 0x43, 0x8d, 0xd2, 0xf3,
    };
    uint8_t bytes[TABLE_FOOTER_SIZE];
    table_footer_encode(&footer, FILE_SEED, 0x123de, bytes);
    ck_assert_mem_eq(bytes, golden, sizeof golden);
}
END_TEST

/* Put the right checksum on changed bytes. */
static void sign_footer(uint8_t bytes[TABLE_FOOTER_SIZE])
{
    coding_put_u64(bytes + 56, checksum_at(FILE_SEED, 64, kv_slice(bytes, 56)));
}

START_TEST(a_footer_comes_back_or_is_refused)
{
    uint8_t bytes[TABLE_FOOTER_SIZE];
    struct table_footer back;

    table_footer_encode(&footer, FILE_SEED, 64, bytes);
    ck_ok(table_footer_decode(bytes, FILE_SEED, 64, &back));
    ck_assert_uint_eq(back.number, 12);
    ck_assert_uint_eq(back.properties.offset, footer.properties.offset);
    ck_assert_uint_eq(back.properties.size, footer.properties.size);
    ck_assert_uint_eq(back.index.offset, footer.index.offset);
    ck_assert_uint_eq(back.index.size, footer.index.size);
    ck_fails(table_footer_decode(bytes, FILE_SEED, 65, &back), KV_EDAMAGED);
    for (size_t bit = 0; bit < sizeof bytes * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_fails(table_footer_decode(bytes, FILE_SEED, 64, &back), KV_EDAMAGED);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    bytes[50] = 1; /* reserved */
    sign_footer(bytes);
    ck_fails(table_footer_decode(bytes, FILE_SEED, 64, &back), KV_EDAMAGED);
    bytes[50] = 0;
    bytes[28] = 2; /* version */
    sign_footer(bytes);
    ck_fails(table_footer_decode(bytes, FILE_SEED, 64, &back), KV_EFORMAT);
}
END_TEST

static struct kv_buf buf_of(const char *text)
{
    struct kv_buf buf = {0};
    ck_ok(kv_buf_assign(&buf, kv_slice_str(text)));
    return buf;
}

static struct table_properties make_properties(void)
{
    return (struct table_properties){
        .store_id = "0123456789abcde",
        .number = 300,
        .table_id = 2,
        .level = 1,
        .smallest_key = buf_of("a"),
        .largest_key = buf_of("zz"),
        .smallest_trailer = row_trailer(7, ROW_PUT),
        .largest_trailer = row_trailer(5, ROW_DELETE),
        .sequence_min = 5,
        .sequence_max = 130,
        .row_count = 1000,
        .tombstone_count = 10,
        .range_delete_count = 0,
        .key_bytes = 3000,
        .value_bytes = 100,
        .data_blocks = 4,
        .created_s = 1700000000,
        .job = 6,
        .output_index = 2,
        .output_count = 2,
        .inputs = buf_of("\x03\x04"),
        .filter = {.offset = 4096, .size = 128},
        .filter_format = FILTER_BLOCKED_BLOOM,
        .prefix_size = 9,
        .flushed_sequence = 140,
        .released_log = 12,
        .table_name = buf_of("meta"),
    };
}

static struct blob_uses two_blobs(void)
{
    struct blob_uses uses = {0};
    ck_ok(blob_uses_add(&uses, 300, 8192));
    ck_ok(blob_uses_add(&uses, 4, 99));
    ck_ok(blob_uses_add(&uses, 4, 1));
    return uses;
}

START_TEST(the_bytes_of_properties_never_change)
{
    static const uint8_t golden[] = {
        1,   16,  '0',  '1',  '2',  '3',  '4', '5', '6',  '7', '8', '9',
        'a', 'b', 'c',  'd',  'e',  0,    3,   2,   0xac, 2,           /* number 300 */
        5,   1,   2,                                                   /* table id */
        7,   1,   1,                                                   /* level */
        9,   9,   'a',  1,    7,    0,    0,   0,   0,    0,   0,      /* smallest */
        11,  10,  'z',  'z',  2,    5,    0,   0,   0,    0,   0,   0, /* largest */
        13,  1,   5,                                                   /* sequence numbers */
        15,  2,   0x82, 1,                                             /* 130 */
        17,  2,   0xe8, 7,                                             /* 1000 rows */
        19,  1,   10,                                                  /* deletes */
        21,  1,   0,                                                   /* range deletes */
        22,  2,   0xb8, 0x17,                                          /* 3000 bytes of keys */
        24,  1,   100,                                                 /* bytes of values */
        26,  1,   4,                                                   /* data blocks */
        28,  5,   0x80, 0xe2, 0xcf, 0xaa, 6,                           /* created */
        29,  1,   6,                                                   /* job */
        31,  1,   2,                                                   /* output 2 */
        33,  1,   2,                                                   /* of 2 */
        35,  2,   3,    4,                                             /* inputs */
        37,  4,   0x80, 0x20, 0x80, 1,   /* filter at 4096, 128 bytes */
        41,  1,   1,                     /* filter format */
        43,  1,   9,                     /* prefix size */
        44,  2,   0x8c, 1,               /* flushed up to 140 */
        46,  1,   12,                    /* logs released below 12 */
        48,  4,   'm',  'e',  't',  'a', /* name of the keyspace */
    };
    struct table_properties p = make_properties();
    struct kv_buf bytes = {0};

    ck_ok(table_properties_encode(&p, &bytes));
    ck_assert_uint_eq(bytes.size, sizeof golden);
    ck_assert_mem_eq(bytes.data, golden, sizeof golden);
    kv_buf_finish(&bytes);
    table_properties_finish(&p);
}
END_TEST

START_TEST(the_bytes_of_a_list_of_blobs_never_change)
{
    static const uint8_t golden[] = {45, 6, 4, 100, 0xac, 2, 0x80, 0x40, 44};
    struct table_properties p = make_properties();
    struct kv_buf without = {0};
    struct kv_buf bytes = {0};
    size_t at;

    ck_ok(table_properties_encode(&p, &without));
    p.blobs = two_blobs();
    ck_ok(table_properties_encode(&p, &bytes));
    ck_assert_uint_eq(bytes.size, without.size + sizeof golden - 1);
    for (at = 0; bytes.data[at] == without.data[at]; at++) {
    }
    ck_assert_mem_eq(bytes.data + at, golden, sizeof golden);
    kv_buf_finish(&without);
    kv_buf_finish(&bytes);
    table_properties_finish(&p);
}
END_TEST

START_TEST(the_bytes_of_a_list_of_replaced_tables_never_change)
{
    static const uint8_t golden[] = {52, 3, 7, 0xac, 2, 37};
    struct table_properties p = make_properties(), back;
    struct kv_buf without = {0};
    struct kv_buf bytes = {0};
    size_t at;

    ck_ok(table_properties_encode(&p, &without));
    p.replaced = buf_of("\x07\xac\x02");
    ck_ok(table_properties_encode(&p, &bytes));
    ck_assert_uint_eq(bytes.size, without.size + sizeof golden - 1);
    for (at = 0; bytes.data[at] == without.data[at]; at++) {
    }
    ck_assert_mem_eq(bytes.data + at, golden, sizeof golden);
    ck_ok(table_properties_decode(kv_buf_slice(&bytes), &back));
    ck_assert(kv_slice_equal(kv_buf_slice(&back.replaced), kv_buf_slice(&p.replaced)));
    table_properties_finish(&back);
    kv_buf_finish(&without);
    kv_buf_finish(&bytes);
    table_properties_finish(&p);
}
END_TEST

START_TEST(the_bytes_of_the_mark_of_a_repair_never_change)
{
    static const uint8_t golden[] = {54, 1, 1};
    struct table_properties p = make_properties(), back;
    struct kv_buf without = {0};
    struct kv_buf bytes = {0};

    ck_ok(table_properties_encode(&p, &without));
    p.by_repair = 1;
    ck_ok(table_properties_encode(&p, &bytes));
    ck_assert_uint_eq(bytes.size, without.size + sizeof golden);
    ck_assert_mem_eq(bytes.data + without.size, golden, sizeof golden);
    ck_ok(table_properties_decode(kv_buf_slice(&bytes), &back));
    ck_assert_uint_eq(back.by_repair, 1);
    table_properties_finish(&back);
    kv_buf_finish(&without);
    kv_buf_finish(&bytes);
    table_properties_finish(&p);
}
END_TEST

START_TEST(a_list_of_blobs_that_is_not_ascending_or_names_nothing_is_refused)
{
    static const struct {
        uint8_t bytes[6];
        size_t size;
    } bad[] = {{{4, 1, 4, 1}, 4}, {{4, 1, 3, 1}, 4}, {{0, 1}, 2}, {{4, 0}, 2}, {{4}, 1}};
    static const uint8_t good[] = {4, 1, 5, 0x80, 1};
    struct blob_uses uses = {0};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ck_fails(blob_uses_decode(kv_slice(bad[i].bytes, bad[i].size), &uses), KV_EDAMAGED);
    }
    ck_ok(blob_uses_decode(kv_slice(good, sizeof good), &uses));
    ck_assert_uint_eq(uses.count, 2);
    ck_assert(blob_uses_have(&uses, 5) && !blob_uses_have(&uses, 6));
    ck_assert_uint_eq(uses.items[1].bytes, 128);
    blob_uses_finish(&uses);
}
END_TEST

START_TEST(properties_come_back)
{
    struct table_properties p = make_properties(), back;
    p.blobs = two_blobs();
    struct kv_buf bytes = {0}, again = {0};

    p.range_deletes = (struct block_handle){.offset = 77, .size = 88};
    p.range_delete_count = 3;
    ck_ok(table_properties_encode(&p, &bytes));
    ck_ok(coding_append_field(&bytes, 60, kv_slice_str("an even tag of the future")));
    ck_ok(table_properties_decode(kv_buf_slice(&bytes), &back));
    ck_assert_uint_eq(back.created_s, p.created_s);
    ck_assert_uint_eq(back.range_deletes.size, 88);
    ck_ok(table_properties_encode(&back, &again));
    ck_assert_mem_eq(bytes.data, again.data, again.size);
    kv_buf_finish(&bytes);
    kv_buf_finish(&again);
    table_properties_finish(&p);
    table_properties_finish(&back);
}
END_TEST

static int decode_properties(const struct kv_buf *bytes, size_t size)
{
    struct table_properties back;
    int r = table_properties_decode(kv_slice(bytes->data, size), &back);
    if (r == 0) {
        table_properties_finish(&back);
    }
    return r;
}

START_TEST(properties_that_are_cut_doubled_or_of_the_future_are_refused)
{
    struct table_properties p = make_properties();
    struct kv_buf bytes = {0};

    ck_ok(table_properties_encode(&p, &bytes));
    size_t size = bytes.size;
    for (size_t cut = 0; cut < 60; cut++) {
        ck_fails(decode_properties(&bytes, cut), KV_EDAMAGED);
    }
    ck_ok(coding_append_field(&bytes, 61, kv_slice_str("")));
    ck_fails(decode_properties(&bytes, bytes.size), KV_EFORMAT);
    bytes.size = size;
    ck_ok(coding_append_field_varint(&bytes, 3, 300));
    ck_fails(decode_properties(&bytes, bytes.size), KV_EDAMAGED);
    kv_buf_finish(&bytes);
    table_properties_finish(&p);
}
END_TEST

START_TEST(random_bytes_in_properties_do_no_harm)
{
    struct table_properties p = make_properties();
    struct rng rng = {test_seed()};
    struct kv_buf bytes = {0};

    for (uint64_t step = 0; step < test_steps(5000); step++) {
        ck_ok(table_properties_encode(&p, &bytes));
        for (uint64_t i = 0; i < 1 + step % 4; i++) {
            bytes.data[rng_below(&rng, bytes.size)] = (uint8_t)rng_next(&rng);
        }
        kv_ignore(decode_properties(&bytes, bytes.size)); /* any answer, but a safe one */
    }
    kv_buf_finish(&bytes);
    table_properties_finish(&p);
}
END_TEST

/* ---- index keys ---- */

static void check_separator(struct kv_slice last, struct kv_slice next)
{
    struct kv_buf key = {0};
    int r = index_separator(last, next, &key);

    ck_ok(r);
    ck_assert_int_eq(r, !kv_slice_equal(last, next));
    ck_assert_int_ge(kv_slice_compare(kv_buf_slice(&key), last), 0);
    ck_assert_uint_le(key.size, last.size);
    if (r == 1) {
        ck_assert_int_lt(kv_slice_compare(kv_buf_slice(&key), next), 0);
    }
    kv_buf_finish(&key);
}

static void check_short(const char *last, const char *next, const char *expected)
{
    struct kv_buf key = {0};
    ck_ok(index_separator(kv_slice_str(last), kv_slice_str(next), &key));
    ck_assert(kv_slice_equal(kv_buf_slice(&key), kv_slice_str(expected)));
    kv_buf_finish(&key);
}

START_TEST(an_index_key_parts_two_keys_and_is_short)
{
    check_short("abcdef", "abzzzz", "abz");
    check_short("abcdef", "abz", "abd");
    check_short("abcdef", "abd", "abce");
    check_short("abc\xff\xff", "abd", "abc\xff\xff");
    check_short("abc", "abcd", "abc");
    check_short("abc", "abd", "abc");
    check_short("abc", "abc", "abc");
}
END_TEST

START_TEST(an_index_key_lies_between_random_keys)
{
    struct rng rng = {test_seed()};
    const struct model_shape shape = {.tail_max = 8, .letters = 4};

    for (uint64_t step = 0; step < test_steps(20000); step++) {
        uint8_t a[MODEL_KEY_MAX], b[MODEL_KEY_MAX];
        struct kv_slice last = kv_slice(a, model_key(&rng, &shape, a));
        struct kv_slice next = kv_slice(b, model_key(&rng, &shape, b));
        if (kv_slice_compare(last, next) <= 0) {
            check_separator(last, next);
        }
    }
}
END_TEST

/* An index of blocks at these places. */
static int open_index(const struct block_handle *handles, size_t count, uint64_t data_end)
{
    struct rows_builder *builder = NULL;
    struct kv_buf bytes = {0};
    struct table_index index = {0};

    ck_ok(rows_builder_create(&builder));
    for (size_t i = 0; i < count; i++) {
        uint8_t key = (uint8_t)('a' + i), value[2 * CODING_VARINT_MAX];
        size_t size = coding_put_varint(value, handles[i].offset);
        size += coding_put_varint(value + size, handles[i].size);
        struct row row = {kv_slice(&key, 1), INDEX_TRAILER_LAST, kv_slice(value, size)};
        ck_ok(rows_builder_add(builder, &row));
    }
    ck_ok(rows_builder_finish(builder, &bytes));
    int r = table_index_open(kv_buf_slice(&bytes), data_end, &index);
    if (r == 0) {
        ck_assert_uint_eq(table_index_seek(&index, kv_slice_str(""), 0), 0);
        ck_assert_uint_eq(table_index_seek(&index, kv_slice_str("aa"), 0), 1);
        ck_assert_uint_eq(table_index_seek(&index, kv_slice_str("zz"), 0), count);
        table_index_close(&index);
    }
    rows_builder_destroy(builder);
    kv_buf_finish(&bytes);
    return r;
}

START_TEST(an_index_whose_blocks_overlap_or_leave_the_file_is_refused)
{
    const struct block_handle good[] = {{0, 100}, {100, 60}, {200, 48}};
    const struct block_handle overlapping[] = {{0, 100}, {99, 60}, {200, 48}};
    const struct block_handle falling[] = {{200, 48}, {0, 100}};
    const struct block_handle small[] = {{0, 47}, {100, 60}};
    const struct block_handle huge[] = {{0, 100}, {UINT64_MAX - 10, 60}};

    ck_ok(open_index(good, 3, 248));
    ck_fails(open_index(good, 3, 247), KV_EDAMAGED);
    ck_fails(open_index(overlapping, 3, 248), KV_EDAMAGED);
    ck_fails(open_index(falling, 2, 248), KV_EDAMAGED);
    ck_fails(open_index(small, 2, 248), KV_EDAMAGED);
    ck_fails(open_index(huge, 2, UINT64_MAX), KV_EDAMAGED);
}
END_TEST

START_TEST(an_index_of_equal_heads_is_searched_like_a_sorted_array)
{
    struct rng rng = {test_seed()};
    /* Keys that agree in their first 8 bytes, in runs; more than one group of them. */
    const struct model_shape shape = {
        .shared = 3, .tail_max = 13, .letters = 2, .sequence_max = 5, .only_puts = true};

    for (uint64_t step = 0; step < test_steps(60); step++) {
        struct model m = model_create(&rng, &shape, 1 + rng_below(&rng, 600));
        struct rows_builder *builder = NULL;
        struct kv_buf bytes = {0};
        struct table_index index;
        uint8_t key[MODEL_KEY_MAX];
        ck_ok(rows_builder_create(&builder));
        for (size_t i = 0; i < m.count; i++) {
            uint8_t value[2 * CODING_VARINT_MAX];
            size_t size = coding_put_varint(value, i * 100);
            size += coding_put_varint(value + size, 100);
            struct row row = {m.rows[i].key, m.rows[i].trailer, kv_slice(value, size)};
            ck_ok(rows_builder_add(builder, &row));
        }
        ck_ok(rows_builder_finish(builder, &bytes));
        ck_ok(table_index_open(kv_buf_slice(&bytes), m.count * 100, &index));
        for (int i = 0; i < 500; i++) {
            struct kv_slice k = kv_slice(key, model_key(&rng, &shape, key));
            uint64_t trailer = row_trailer(rng_below(&rng, 7), ROW_PUT);
            ck_assert_uint_eq(table_index_seek(&index, k, trailer), model_seek(&m, k, trailer));
        }
        table_index_close(&index);
        rows_builder_destroy(builder);
        kv_buf_finish(&bytes);
        model_finish(&m);
    }
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("table_format");
    suite_add(s, "golden", the_bytes_of_a_block_header_never_change);
    suite_add(s, "golden", the_bytes_of_a_footer_never_change);
    suite_add(s, "golden", the_bytes_of_properties_never_change);
    suite_add(s, "golden", the_bytes_of_a_list_of_blobs_never_change);
    suite_add(s, "golden", the_bytes_of_a_list_of_replaced_tables_never_change);
    suite_add(s, "golden", the_bytes_of_the_mark_of_a_repair_never_change);
    suite_add(s, "properties", a_list_of_blobs_that_is_not_ascending_or_names_nothing_is_refused);
    suite_add(s, "header", a_block_header_is_good_at_its_place_only);
    suite_add(s, "header", a_block_header_that_makes_no_sense_is_refused);
    suite_add(s, "footer", a_footer_comes_back_or_is_refused);
    suite_add(s, "properties", properties_come_back);
    suite_add(s, "properties", properties_that_are_cut_doubled_or_of_the_future_are_refused);
    suite_add(s, "properties", random_bytes_in_properties_do_no_harm);
    suite_add(s, "index", an_index_key_parts_two_keys_and_is_short);
    suite_add(s, "index", an_index_key_lies_between_random_keys);
    suite_add(s, "index", an_index_whose_blocks_overlap_or_leave_the_file_is_refused);
    suite_add(s, "index", an_index_of_equal_heads_is_searched_like_a_sorted_array);
    return s;
}
