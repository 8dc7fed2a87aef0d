/* SPDX-License-Identifier: Apache-2.0 */
/* Golden bytes and hostile bytes of what db puts on disk: root record, edits, batches. */
#include "tests/lib/check_main.h"

#include "kvcore/db/batch.h"
#include "kvcore/db/edit.h"
#include "kvcore/db/root.h"
#include "kvcore/db/store.h"
#include "kvcore/util/rng.h"

static void make_root(struct root *root)
{
    *root = (struct root){.format_version = 1,
                          .store_id = "0123456789abcde",
                          .seed_id = "ABCDEFGHIJKLMNO",
                          .compat = 1,
                          .manifest = 300,
                          .lease_epoch = 7,
                          .clean = true,
                          .last_log = {.number = 2, .size = 104, .chain = 5},
                          .last_manifest = {.number = 300, .size = 208, .chain = 6},
                          .label = "mail",
                          .counters = {1, 2, 3, 4}};
}

static const uint8_t
    golden_root[] =
        {
            1,   4,   1,    0,   0,   0, /* format version */
            3,   16,  '0',  '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a',
            'b', 'c', 'd',  'e', 0, /* store id */
            5,   16,  'A',  'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K',
            'L', 'M', 'N',  'O', 0, /* seed id */
            7,   24,  1,    0,   0,   0,   0,   0,   0,   0,   0,   0,   0,
            0,   0,   0,    0,   0,   0,   0,   0,   0,   0,   0,   0,   0, /* features */
            9,   2,   0xac, 2,                                              /* manifest 300 */
            11,  1,   7,                                                    /* epoch */
            13,  1,   1,                                                    /* clean */
            15,  48,  2,    0,   0,   0,   0,   0,   0,   0,   104, 0,   0,
            0,   0,   0,    0,   0,   5,   0,   0,   0,   0,   0,   0,   0, /* end of the log */
            44,  1,   0,    0,   0,   0,   0,   0,   208, 0,   0,   0,   0,
            0,   0,   0,    6,   0,   0,   0,   0,   0,   0,   0, /* end of the manifest */
            16,  4,   'm',  'a', 'i', 'l',                        /* label */
            18,  32,  1,    0,   0,   0,   0,   0,   0,   0,   2,   0,   0,
            0,   0,   0,    0,   0,   3,   0,   0,   0,   0,   0,   0,   0,
            4,   0,   0,    0,   0,   0,   0,   0, /* counters */
            20,  1,   0,                           /* no check is due */
};

START_TEST(the_bytes_of_the_root_record_never_change)
{
    struct root root;
    struct root back;
    struct kv_buf bytes = {0};
    make_root(&root);
    ck_ok(root_encode(&root, &bytes));
    ck_assert_uint_eq(bytes.size, sizeof golden_root);
    ck_assert_mem_eq(bytes.data, golden_root, sizeof golden_root);
    ck_ok(root_decode(kv_buf_slice(&bytes), &back));
    ck_assert_mem_eq(back.store_id, root.store_id, 16);
    ck_assert_mem_eq(back.seed_id, root.seed_id, 16);
    ck_assert_uint_eq(back.manifest, 300);
    ck_assert_uint_eq(back.lease_epoch, 7);
    ck_assert(back.clean);
    ck_assert_uint_eq(back.last_manifest.size, 208);
    ck_assert_str_eq(back.label, "mail");
    kv_buf_finish(&bytes);
}
END_TEST

/* What is there only while it is so stands behind the rest. */
START_TEST(the_bytes_of_marks_in_the_root_record_never_change)
{
    static const uint8_t marks[] = {
        20, 1, 1,                 /* damage was seen */
        22, 5, 3, 12, 4, 0xac, 2, /* in table 12 and blob 300 */
        23, 1, 1,                 /* rows are not checked */
    };
    enum { BEFORE = sizeof golden_root - 3 };
    struct root root;
    struct root back;
    struct kv_buf bytes = {0};
    make_root(&root);
    root.suspects = (struct kv_suspects){
        .check_needed = true, .count = 2, .files = {{KV_FILE_TABLE, 12}, {KV_FILE_BLOB, 300}}};
    root.rows_unchecked = true;
    ck_ok(root_encode(&root, &bytes));
    ck_assert_uint_eq(bytes.size, BEFORE + sizeof marks);
    ck_assert_mem_eq(bytes.data, golden_root, BEFORE);
    ck_assert_mem_eq(bytes.data + BEFORE, marks, sizeof marks);
    ck_ok(root_decode(kv_buf_slice(&bytes), &back));
    ck_assert(back.suspects.check_needed && back.rows_unchecked);
    ck_assert_uint_eq(back.suspects.count, 2);
    ck_assert_uint_eq(back.suspects.files[1].kind, KV_FILE_BLOB);
    ck_assert_uint_eq(back.suspects.files[1].number, 300);
    bytes.data[bytes.size - 1] = 2;
    ck_fails(root_decode(kv_buf_slice(&bytes), &back), KV_EDAMAGED);
    kv_buf_finish(&bytes);
}
END_TEST

/* `value`: of tag 22, behind a root record with or without the mark of tag 20. */
static int decode_suspects(bool check_needed, struct kv_slice value)
{
    struct root root;
    struct kv_buf bytes = {0};
    make_root(&root);
    root.suspects.check_needed = check_needed;
    ck_ok(root_encode(&root, &bytes));
    ck_ok(coding_append_field(&bytes, 22, value));
    int r = root_decode(kv_buf_slice(&bytes), &root);
    kv_buf_finish(&bytes);
    return r;
}

START_TEST(a_senseless_list_of_suspected_files_is_damage)
{
    static const char *const bad[] = {"", "\1\5", "\2\5", "\5\5", "\3", "\3\200", "\3\5\4"};
    char many[2 * (KV_SUSPECTS_MAX + 1)];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ck_fails(decode_suspects(true, kv_slice_str(bad[i])), KV_EDAMAGED);
    }
    ck_fails(decode_suspects(true, kv_slice("\3\0", 2)), KV_EDAMAGED);
    memset(many, 3, sizeof many);
    ck_ok(decode_suspects(true, kv_slice(many, sizeof many - 2)));
    ck_fails(decode_suspects(true, kv_slice(many, sizeof many)), KV_EDAMAGED);
    ck_fails(decode_suspects(false, kv_slice(many, 2)), KV_EDAMAGED);
}
END_TEST

START_TEST(a_root_record_cut_anywhere_or_with_a_field_missing_is_damage)
{
    struct root back;
    for (size_t size = 0; size < sizeof golden_root; size++) {
        int r = root_decode(kv_slice(golden_root, size), &back);
        /* What is optional stands at the end: only cuts before or between those may pass. */
        ck_assert(r == -KV_EDAMAGED || (r == 0 && size >= sizeof golden_root - 43));
    }
}
END_TEST

START_TEST(a_root_record_of_another_version_or_with_an_unknown_odd_field_is_newer)
{
    struct root back;
    struct kv_buf bytes = {0};
    ck_ok(kv_buf_append(&bytes, kv_slice(golden_root, sizeof golden_root)));
    ck_ok(coding_append_field_varint(&bytes, 100, 1));
    ck_ok(root_decode(kv_buf_slice(&bytes), &back));
    ck_ok(coding_append_field_varint(&bytes, 101, 1));
    ck_fails(root_decode(kv_buf_slice(&bytes), &back), KV_EFORMAT);
    bytes.size = sizeof golden_root;
    bytes.data[2] = 2;
    ck_fails(root_decode(kv_buf_slice(&bytes), &back), KV_EFORMAT);
    kv_buf_finish(&bytes);
}
END_TEST

static void make_edit(struct edit *edit)
{
    struct edit_table table = {
        .id = 2,
        .name = "data",
        .options = {.prefix_size = 9, .filter_bits_per_key = 10, .block_bytes = 8192}};
    struct log_end closed = {.number = 3, .size = 300, .chain = 9};
    struct file_meta *file = NULL;
    struct file_meta gone = {.table_id = 2, .level = 0, .number = 11};

    *edit =
        (struct edit){.next_table = 20, .last_sequence = 300, .first_log = 4, .released_log = 5};
    ck_ok(edit_add_closed_log(edit, &closed));
    ck_ok(edit_add_table(edit, &table));
    ck_ok(edit_remove_file(edit, &gone));
    ck_ok(file_meta_create(&file));
    file->table_id = 2;
    file->level = 6;
    file->number = 12;
    file->size = 4096;
    file->smallest_trailer = 0x501;
    file->largest_trailer = 0x602;
    file->sequence_min = 5;
    file->sequence_max = 6;
    file->row_count = 2;
    file->tombstone_count = 1;
    ck_ok(kv_buf_append(&file->smallest, kv_slice_str("a")));
    ck_ok(kv_buf_append(&file->largest, kv_slice_str("bb")));
    ck_ok(edit_add_file(edit, file));
    file_meta_unref(file);
}

static const uint8_t golden_blob_edit[] = {
    15, 36, 2,  6,    12,   0x80, 0x20, 1, 'a', 1,    5,    0, 0, 0, 0, 0, 0, 2,  'b', 'b',
    2,  6,  0,  0,    0,    0,    0,    0, 5,   6,    2,    1, 1, 4, 7, 1, 9, 50, /* added; it
                                                                                     refers to blobs
                                                                                     7 and 9 */
    27, 1,  10,                                                                   /* next blob */
    25, 1,  8,                                                                    /* removed */
    23, 5,  7,  0x80, 0x40, 0xac, 2, /* blob 7 of 8192 bytes, 300 of values */
    23, 9,  9,  0x80, 0x40, 0xac, 2,    1, 2,   0x80, 0x20, /* blob 9, 4096 punched */
};

START_TEST(the_bytes_of_an_edit_of_blobs_never_change)
{
    struct edit full;
    struct edit edit = {.next_blob = 10};
    struct edit back;
    struct kv_buf bytes = {0};
    struct kv_buf again = {0};
    make_edit(&full);
    ck_ok(blob_uses_add(&full.added[0]->blobs, 9, 50));
    ck_ok(blob_uses_add(&full.added[0]->blobs, 7, 1));
    ck_ok(edit_add_file(&edit, full.added[0]));
    ck_ok(edit_add_blob(&edit, &(struct blob_info){7, 8192, 300, 0}));
    ck_ok(edit_add_blob(&edit, &(struct blob_info){9, 8192, 300, 4096}));
    ck_ok(edit_remove_blob(&edit, 8));
    ck_ok(edit_encode(&edit, &bytes));
    ck_assert_uint_eq(bytes.size, sizeof golden_blob_edit);
    ck_assert_mem_eq(bytes.data, golden_blob_edit, sizeof golden_blob_edit);
    ck_ok(edit_decode(kv_buf_slice(&bytes), &back));
    ck_ok(edit_encode(&back, &again));
    ck_assert(kv_slice_equal(kv_buf_slice(&bytes), kv_buf_slice(&again)));
    edit_finish(&full);
    edit_finish(&edit);
    edit_finish(&back);
    kv_buf_finish(&bytes);
    kv_buf_finish(&again);
}
END_TEST

START_TEST(a_blob_that_makes_no_sense_is_damage)
{
    static const struct blob_info bad[] = {
        {0, 10, 10, 0}, {1, 10, 11, 0}, {1, 10, 10, 11}, {1, (uint64_t)1 << 33, 10, 0}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct edit edit = {0};
        struct edit back;
        struct kv_buf bytes = {0};
        ck_ok(edit_add_blob(&edit, &bad[i]));
        ck_ok(edit_encode(&edit, &bytes));
        ck_fails(edit_decode(kv_buf_slice(&bytes), &back), KV_EDAMAGED);
        edit_finish(&edit);
        kv_buf_finish(&bytes);
    }
}
END_TEST

static const uint8_t golden_edit[] = {
    1,    1,    20,      /* next table */
    3,    2,    0xac, 2, /* rows up to 300 are in tables */
    5,    1,    4,       /* first log */
    7,    11,   3,    0xac, 2,   9,    0,    0,   0,   0,  0, 0, 0, /* closed log 3 */
    9,    1,    5,                                                  /* released log */
    11,   19,   2,    4,    'd', 'a',  't',  'a', 1,   1,  9, 3, 1, 10, 5, 2,
    0x80, 0x40, 7,    1,    2,   17,   3,    2,   0,   11, /* removed */
    15,   30,   2,    6,    12,  0x80, 0x20, 1,   'a', 1,  5, 0, 0, 0,  0, 0,
    0,    2,    'b',  'b',  2,   6,    0,    0,   0,   0,  0, 0, 5, 6,  2, 1, /* added */
};

START_TEST(the_bytes_of_an_edit_never_change)
{
    struct edit edit;
    struct edit back;
    struct kv_buf bytes = {0};
    struct kv_buf again = {0};
    make_edit(&edit);
    ck_ok(edit_encode(&edit, &bytes));
    ck_assert_uint_eq(bytes.size, sizeof golden_edit);
    ck_assert_mem_eq(bytes.data, golden_edit, sizeof golden_edit);
    ck_ok(edit_decode(kv_buf_slice(&bytes), &back));
    ck_ok(edit_encode(&back, &again));
    ck_assert(kv_slice_equal(kv_buf_slice(&bytes), kv_buf_slice(&again)));
    edit_finish(&edit);
    edit_finish(&back);
    kv_buf_finish(&bytes);
    kv_buf_finish(&again);
}
END_TEST

START_TEST(the_bytes_of_a_table_of_range_deletes_alone_never_change)
{
    static const uint8_t golden[] = {
        15, 54,  2,    0, 13,                                       /* added: table 13 of level 0 */
        64, 1,   'a',  3, 8,    0,    0,    0,    0,    0,    0,    /* from a, as of row 8 */
        2,  'b', 'c',  3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, /* up to bc, not covered */
        8,  9,   0,    0,                      /* rows 8 and 9; none in blocks */
        3,  1,   2,                            /* 2 range deletes */
        2,  2,   0xac, 2,                      /* they hide 300 bytes */
        6,  16,  1,                            /* they are exactly: */
        0,  1,   'a',  0, 1,    'b',  1,    9, /* [a, b), one, of row 9 */
        1,  0,   1,    1, 'c',  1,    8,       /* [b, bc), one, of row 8 */
    };
    static const uint8_t list[] = {1, 0, 1, 'a', 0, 1, 'b', 1, 9, 1, 0, 1, 1, 'c', 1, 8};
    struct edit edit = {0};
    struct edit back;
    struct kv_buf bytes = {0};
    struct file_meta *file = NULL;
    ck_ok(file_meta_create(&file));
    file->table_id = 2;
    file->number = 13;
    file->size = 64;
    file->smallest_trailer = row_trailer(8, ROW_RANGE_DELETE);
    file->largest_trailer = RANGE_END_TRAILER;
    file->sequence_min = 8;
    file->sequence_max = 9;
    file->range_delete_count = 2;
    file->hidden_bytes = 300;
    ck_ok(kv_buf_append(&file->smallest, kv_slice_str("a")));
    ck_ok(kv_buf_append(&file->largest, kv_slice_str("bc")));
    ck_ok(kv_buf_append(&file->range_list, kv_slice(list, sizeof list)));
    ck_ok(edit_add_file(&edit, file));
    ck_ok(edit_encode(&edit, &bytes));
    ck_assert_uint_eq(bytes.size, sizeof golden);
    ck_assert_mem_eq(bytes.data, golden, sizeof golden);
    ck_ok(edit_decode(kv_buf_slice(&bytes), &back));
    ck_assert_uint_eq(back.added[0]->range_delete_count, 2);
    ck_assert_uint_eq(back.added[0]->hidden_bytes, 300);
    ck_assert(
        kv_slice_equal(kv_buf_slice(&back.added[0]->range_list), kv_slice(list, sizeof list)));
    file_meta_unref(file);
    edit_finish(&edit);
    edit_finish(&back);
    kv_buf_finish(&bytes);
}
END_TEST

/* What such a table may not say of its range deletes, [a, b) of rows 8 to 9; and what is passed
 * over. */
START_TEST(a_list_of_range_deletes_fits_its_table)
{
    static const struct {
        uint8_t bytes[16];
        size_t size;
        int error;
        size_t kept;
    } lists[] = {
        {{1, 0, 1, 'a', 0, 1, 'b', 2, 9, 1}, 10, 0, 10},
        {{0, 0, 1, 'a', 0, 1, 'b', 1, 9}, 9, 0, 9},
        {{2, 0, 1, 'a', 0, 1, 'b', 1, 8}, 9, 0, 9},
        {{4, 0, 1, 'a'}, 4, 0, 0},                                   /* of a later version */
        {{1, 0, 1, 'a', 0, 1, 'b', 1, 9}, 9, KV_EDAMAGED, 0},        /* exactly two */
        {{0, 0, 1, 'a', 0, 1, 'b', 3, 9, 1, 1}, 11, KV_EDAMAGED, 0}, /* three */
        {{0, 0, 1, 'A', 0, 1, 'b', 1, 9}, 9, KV_EDAMAGED, 0},        /* before its first key */
        {{0, 0, 1, 'a', 0, 1, 'c', 1, 9}, 9, KV_EDAMAGED, 0},        /* behind its last one */
        {{0, 0, 1, 'a', 0, 1, 'b', 1, 10}, 9, KV_EDAMAGED, 0},       /* newer than all of it */
        {{0, 0, 1, 'a', 0, 1, 'b', 1, 7}, 9, KV_EDAMAGED, 0},        /* older */
        {{0}, 1, KV_EDAMAGED, 0},                                    /* none */
    };
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        struct edit edit = {0}, back = {0};
        struct kv_buf bytes = {0};
        struct file_meta *file = NULL;
        ck_ok(file_meta_create(&file));
        file->table_id = 2;
        file->number = 13;
        file->smallest_trailer = row_trailer(9, ROW_RANGE_DELETE);
        file->largest_trailer = RANGE_END_TRAILER;
        file->sequence_min = 8;
        file->sequence_max = 9;
        file->range_delete_count = 2;
        ck_ok(kv_buf_append(&file->smallest, kv_slice_str("a")));
        ck_ok(kv_buf_append(&file->largest, kv_slice_str("b")));
        ck_ok(kv_buf_append(&file->range_list, kv_slice(lists[i].bytes, lists[i].size)));
        ck_ok(edit_add_file(&edit, file));
        ck_ok(edit_encode(&edit, &bytes));
        ck_assert_int_eq(edit_decode(kv_buf_slice(&bytes), &back), -lists[i].error);
        if (lists[i].error == 0) {
            ck_assert_uint_eq(back.added[0]->range_list.size, lists[i].kept);
            edit_finish(&back);
        }
        file_meta_unref(file);
        edit_finish(&edit);
        kv_buf_finish(&bytes);
    }
}
END_TEST

static const uint8_t golden_drop[] = {13, 3, 2, 0xac, 2}; /* table 2, its rows up to 300 */

START_TEST(the_bytes_of_a_dropped_table_never_change)
{
    struct edit edit = {0};
    struct edit back;
    struct kv_buf bytes = {0};
    uint8_t bad[sizeof golden_drop];

    ck_ok(edit_drop_table(&edit, 2, 300));
    ck_ok(edit_encode(&edit, &bytes));
    ck_assert_uint_eq(bytes.size, sizeof golden_drop);
    ck_assert_mem_eq(bytes.data, golden_drop, sizeof golden_drop);
    ck_ok(edit_decode(kv_buf_slice(&bytes), &back));
    ck_assert(edit_drops(&back, 2) && !edit_drops(&back, 1));
    ck_assert_uint_eq(back.dropped[0].sequence, 300);
    edit_finish(&back);
    memcpy(bad, golden_drop, sizeof bad);
    bad[2] = 0;
    ck_fails(edit_decode(kv_slice(bad, sizeof bad), &back), KV_EDAMAGED);
    bad[2] = KV_TABLE_COUNT_MAX + 1;
    ck_fails(edit_decode(kv_slice(bad, sizeof bad), &back), KV_EFORMAT);
    edit_finish(&edit);
    kv_buf_finish(&bytes);
}
END_TEST

static const uint8_t golden_snapshots[] = {
    19, 8, 2, 'm', 'o', 0xac, 2, 0x80, 0x80, 1, /* "mo" sees rows up to 300; made at 16384 */
    21, 3, 2, 't', 'u',                         /* "tu" was dropped */
};

START_TEST(the_bytes_of_named_snapshots_never_change)
{
    const struct edit_snapshot snapshot = {.name = "mo", .sequence = 300, .time_s = 16384};
    struct edit edit = {0};
    struct edit back;
    struct kv_buf bytes = {0};

    ck_ok(edit_add_snapshot(&edit, &snapshot));
    ck_ok(edit_drop_snapshot(&edit, "tu"));
    ck_ok(edit_encode(&edit, &bytes));
    ck_assert_uint_eq(bytes.size, sizeof golden_snapshots);
    ck_assert_mem_eq(bytes.data, golden_snapshots, sizeof golden_snapshots);
    ck_ok(edit_decode(kv_buf_slice(&bytes), &back));
    ck_assert_uint_eq(back.snapshot_count, 1);
    ck_assert_str_eq(back.snapshots[0].name, "mo");
    ck_assert_uint_eq(back.snapshots[0].sequence, 300);
    ck_assert_uint_eq(back.snapshots[0].time_s, 16384);
    ck_assert_uint_eq(back.dropped_snapshot_count, 1);
    ck_assert_str_eq(back.dropped_snapshots[0].name, "tu");
    edit_finish(&edit);
    edit_finish(&back);
    kv_buf_finish(&bytes);
}
END_TEST

START_TEST(a_named_snapshot_that_makes_no_sense_is_damage_or_newer)
{
    static const struct {
        uint8_t bytes[16];
        size_t size;
        int error;
    } bad[] = {
        {{19, 3, 0, 1, 1}, 5, KV_EDAMAGED},           /* no name */
        {{19, 5, 2, 'm', 0, 1, 1}, 7, KV_EDAMAGED},   /* a NUL in it */
        {{19, 4, 2, 'm', 'o', 1}, 6, KV_EDAMAGED},    /* cut */
        {{19, 6, 1, 'm', 1, 1, 2, 0}, 8, 0},          /* a field that may be ignored */
        {{19, 6, 1, 'm', 1, 1, 1, 0}, 8, KV_EFORMAT}, /* one that may not */
        {{19, 12, 1, 'm', 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1}, 14, KV_EDAMAGED},
        {{21, 1, 0}, 3, KV_EDAMAGED}, /* none to drop */
        {{21, 4, 1, 'm', 1, 0}, 6, KV_EFORMAT},
    };
    uint8_t long_name[2 + 1 + KV_SNAPSHOT_NAME_SIZE_MAX + 1] = {21, KV_SNAPSHOT_NAME_SIZE_MAX + 2,
                                                                KV_SNAPSHOT_NAME_SIZE_MAX + 1};
    struct edit back;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int r = edit_decode(kv_slice(bad[i].bytes, bad[i].size), &back);
        ck_assert_msg(r == -bad[i].error, "bytes %zu: %s", i, kv_strerror(r));
        if (r == 0) {
            edit_finish(&back);
        }
    }
    memset(long_name + 3, 'n', sizeof long_name - 3);
    ck_fails(edit_decode(kv_slice(long_name, sizeof long_name), &back), KV_EDAMAGED);
}
END_TEST

START_TEST(a_prefix_size_beyond_32_bits_is_not_taken_for_its_lower_half)
{
    struct kv_buf table = {0};
    struct kv_buf bytes = {0};
    struct edit edit;
    ck_ok(coding_append_varint(&table, 1));
    ck_ok(coding_append_string(&table, kv_slice_str("meta")));
    ck_ok(coding_append_field_varint(&table, 1, ((uint64_t)1 << 32) + 9));
    ck_ok(coding_append_field(&bytes, 11, kv_buf_slice(&table)));
    ck_fails(edit_decode(kv_buf_slice(&bytes), &edit), KV_EDAMAGED);
    kv_buf_finish(&table);
    kv_buf_finish(&bytes);
}
END_TEST

static void flip_and_cut(const uint8_t *golden, size_t size)
{
    uint8_t bytes[256];
    struct edit edit;

    ck_assert_uint_le(size, sizeof bytes);
    for (size_t i = 0; i < size * 8; i++) {
        memcpy(bytes, golden, size);
        bytes[i / 8] ^= (uint8_t)(1 << i % 8);
        if (edit_decode(kv_slice(bytes, size), &edit) == 0) {
            edit_finish(&edit);
        }
        if (edit_decode(kv_slice(golden, i / 8), &edit) == 0) {
            edit_finish(&edit);
        }
    }
}

START_TEST(flipped_and_cut_edits_never_do_harm)
{
    flip_and_cut(golden_edit, sizeof golden_edit);
    flip_and_cut(golden_blob_edit, sizeof golden_blob_edit);
    flip_and_cut(golden_drop, sizeof golden_drop);
    flip_and_cut(golden_snapshots, sizeof golden_snapshots);
}
END_TEST

START_TEST(a_table_id_beyond_what_this_version_counts_is_newer)
{
    struct edit edit = {0};
    struct edit back;
    struct edit_table table = {.id = KV_TABLE_COUNT_MAX + 1, .name = "x"};
    struct kv_buf bytes = {0};
    ck_ok(edit_add_table(&edit, &table));
    ck_ok(edit_encode(&edit, &bytes));
    ck_fails(edit_decode(kv_buf_slice(&bytes), &back), KV_EFORMAT);
    edit_finish(&edit);
    kv_buf_finish(&bytes);
}
END_TEST

static const uint8_t golden_batch[] = {1, 3, 1, 'k', 2, 'v', 'w', 2, 3,   2, 'k', 'l',
                                       1, 3, 1, 'm', 0, 3,   3,   1, 'k', 2, 'l', 'm'};

START_TEST(the_bytes_of_a_batch_never_change)
{
    struct kv_store none = {.options = {.blob_commit_bytes = SIZE_MAX}};
    struct kv_table table = {.id = 3, .store = &none};
    struct kv_batch *batch = NULL;
    ck_ok(kv_batch_create(&batch));
    ck_ok(kv_batch_put(batch, &table, kv_slice_str("k"), kv_slice_str("vw")));
    ck_ok(kv_batch_delete(batch, &table, kv_slice_str("kl")));
    ck_ok(kv_batch_put(batch, &table, kv_slice_str("m"), kv_slice(NULL, 0)));
    ck_ok(kv_batch_delete_range(batch, &table, kv_slice_str("k"), kv_slice_str("lm")));
    ck_assert_uint_eq(batch->payload.size, sizeof golden_batch);
    ck_assert_mem_eq(batch->payload.data, golden_batch, sizeof golden_batch);
    kv_batch_destroy(batch);
}
END_TEST

static int walk(struct kv_slice payload)
{
    struct coding_cursor cursor = coding_cursor(payload);
    struct batch_row row;
    int r;
    while ((r = batch_next(&cursor, &row)) == 1) {
        ck_assert(row.key.size > 0 && row.key.data + row.key.size <= payload.data + payload.size);
    }
    return r;
}

START_TEST(a_batch_of_reserved_or_unknown_rows_is_newer_and_a_cut_one_damage)
{
    static const uint8_t range_delete[] = {3, 3, 1, 'k', 1, 'z'};
    static const uint8_t damaged_key[] = {5, 3, 1, 'k', 0};
    static const uint8_t damaged_range[] = {5, 3, 1, 'k', 1, 'z'};
    static const uint8_t unknown[] = {77, 3, 1, 'k'};
    static const uint8_t empty_range[] = {3, 3, 1, 'k', 1, 'k'};
    ck_assert_int_eq(walk(kv_slice(range_delete, sizeof range_delete)), 0);
    ck_assert_int_eq(walk(kv_slice(empty_range, sizeof empty_range)), -KV_EDAMAGED);
    ck_assert_int_eq(walk(kv_slice(damaged_key, sizeof damaged_key)), 0);
    ck_assert_int_eq(walk(kv_slice(damaged_range, sizeof damaged_range)), -KV_EFORMAT);
    ck_assert_int_eq(walk(kv_slice(unknown, sizeof unknown)), -KV_EFORMAT);
    for (size_t size = 0; size < sizeof golden_batch; size++) {
        bool between = size == 0 || size == 7 || size == 12 || size == 17;
        ck_assert_int_eq(walk(kv_slice(golden_batch, size)), between ? 0 : -KV_EDAMAGED);
    }
}
END_TEST

START_TEST(rows_that_are_too_large_are_refused_and_leave_the_batch_alone)
{
    struct kv_store none = {.options = {.blob_commit_bytes = SIZE_MAX}};
    struct kv_table table = {.id = 3, .store = &none};
    struct kv_batch *batch = NULL;
    static uint8_t key[KV_KEY_SIZE_MAX + 1];
    ck_ok(kv_batch_create(&batch));
    ck_fails(kv_batch_put(batch, &table, kv_slice(key, 0), kv_slice_str("v")), EINVAL);
    ck_fails(kv_batch_put(batch, &table, kv_slice(key, sizeof key), kv_slice_str("v")), EINVAL);
    ck_fails(kv_batch_put(batch, &table, kv_slice_str("k"), kv_slice(key, KV_VALUE_SIZE_MAX + 1)),
             E2BIG);
    ck_fails(kv_batch_delete_range(batch, &table, kv_slice_str("b"), kv_slice_str("b")), EINVAL);
    ck_fails(kv_batch_delete_range(batch, &table, kv_slice_str("b"), kv_slice_str("a")), EINVAL);
    ck_fails(kv_batch_delete_range(batch, &table, kv_slice(NULL, 0), kv_slice_str("a")), EINVAL);
    memset(key, 'z', sizeof key);
    ck_fails(kv_batch_delete_range(batch, &table, kv_slice_str("a"), kv_slice(key, sizeof key)),
             EINVAL);
    ck_assert(kv_batch_is_empty(batch));
    ck_ok(kv_batch_put(batch, &table, kv_slice(key, KV_KEY_SIZE_MAX), kv_slice_str("v")));
    kv_batch_destroy(batch);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("db_format");
    suite_add(s, "root", the_bytes_of_the_root_record_never_change);
    suite_add(s, "root", the_bytes_of_marks_in_the_root_record_never_change);
    suite_add(s, "root", a_senseless_list_of_suspected_files_is_damage);
    suite_add(s, "root", a_root_record_cut_anywhere_or_with_a_field_missing_is_damage);
    suite_add(s, "root", a_root_record_of_another_version_or_with_an_unknown_odd_field_is_newer);
    suite_add(s, "edit", the_bytes_of_an_edit_never_change);
    suite_add(s, "edit", the_bytes_of_an_edit_of_blobs_never_change);
    suite_add(s, "edit", a_blob_that_makes_no_sense_is_damage);
    suite_add(s, "edit", the_bytes_of_a_table_of_range_deletes_alone_never_change);
    suite_add(s, "edit", a_list_of_range_deletes_fits_its_table);
    suite_add(s, "edit", the_bytes_of_a_dropped_table_never_change);
    suite_add(s, "edit", the_bytes_of_named_snapshots_never_change);
    suite_add(s, "edit", a_named_snapshot_that_makes_no_sense_is_damage_or_newer);
    suite_add(s, "edit", a_prefix_size_beyond_32_bits_is_not_taken_for_its_lower_half);
    suite_add(s, "edit", flipped_and_cut_edits_never_do_harm);
    suite_add(s, "edit", a_table_id_beyond_what_this_version_counts_is_newer);
    suite_add(s, "batch", the_bytes_of_a_batch_never_change);
    suite_add(s, "batch", a_batch_of_reserved_or_unknown_rows_is_newer_and_a_cut_one_damage);
    suite_add(s, "batch", rows_that_are_too_large_are_refused_and_leave_the_batch_alone);
    return s;
}
