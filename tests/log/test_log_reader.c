/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/log/log_rig.h"

#include <stdio.h>

#include "kvcore/util/rng.h"

enum { EXAMPLE_RECORDS = 6 };

static const char *const example_texts[EXAMPLE_RECORDS] = {
    "alpha", "", "a payload of some more bytes", "beta", "12345678", "the last record",
};

/* A log of six batches, and where each ends. `synced_after`: the writer synced behind that many. */
struct example {
    struct kv_buf bytes;
    struct log_end ends[EXAMPLE_RECORDS + 1]; /* 0: behind the head */
};

static void example_make(struct example *example, size_t synced_after)
{
    struct kv_storage *storage = NULL;
    ck_ok(kv_storage_mem_create(&storage));
    struct log_writer *writer = rig_writer(storage, 0);
    for (size_t i = 0; i < EXAMPLE_RECORDS; i++) {
        example->ends[i] = log_writer_end(writer);
        if (i == synced_after) {
            ck_ok(log_writer_sync(writer));
        }
        rig_add(writer, 100 + i, example_texts[i], false);
    }
    example->ends[EXAMPLE_RECORDS] = log_writer_end(writer);
    log_writer_destroy(writer);
    example->bytes = rig_bytes(storage);
    kv_storage_mem_destroy(storage);
}

static void example_finish(struct example *example)
{
    kv_buf_finish(&example->bytes);
}

/* How many of the example's records are whole within its first `size` bytes. */
static size_t records_within(const struct example *example, uint64_t size)
{
    size_t n = 0;
    while (n < EXAMPLE_RECORDS && example->ends[n + 1].size <= size) {
        n++;
    }
    return n;
}

/* The records found are the first ones of the example, unchanged. */
static void expect_prefix(const struct rig_read *read)
{
    ck_assert_uint_le(read->count, EXAMPLE_RECORDS);
    for (size_t i = 0; i < read->count; i++) {
        ck_payload(read, i, example_texts[i]);
        ck_assert_uint_eq(read->sequences[i], 100 + i);
    }
}

START_TEST(a_log_cut_at_any_length_is_a_prefix_and_torn_unless_cut_between_records)
{
    struct example example;
    example_make(&example, EXAMPLE_RECORDS);
    for (size_t size = 0; size <= example.bytes.size; size++) {
        struct rig_read read;
        size_t whole = records_within(&example, size);
        bool has_head = size >= example.ends[0].size;
        bool between = size == 0 || size == example.ends[whole].size;

        rig_read_bytes(kv_slice(example.bytes.data, size), NULL, &read);
        ck_assert_int_eq(read.result, 0);
        ck_assert_int_eq(read.has_head, has_head);
        ck_assert_uint_eq(read.count, whole);
        ck_assert_int_eq(read.torn, !between);
        ck_assert_uint_eq(read.end.size, has_head ? example.ends[whole].size : 0);
        ck_assert_uint_eq(read.end.chain, has_head ? example.ends[whole].chain : 0);
        expect_prefix(&read);
        rig_read_finish(&read);
    }
    example_finish(&example);
}
END_TEST

START_TEST(zeros_behind_the_last_record_are_the_end)
{
    struct example example;
    struct rig_read read;
    static const uint8_t zeros[3 * 1024 * 1024] = {0};

    example_make(&example, 3);
    ck_ok(kv_buf_append(&example.bytes, kv_slice(zeros, sizeof zeros)));
    rig_read_bytes(kv_buf_slice(&example.bytes), NULL, &read);
    ck_assert_int_eq(read.result, 0);
    ck_assert(!read.torn);
    ck_assert_uint_eq(read.count, EXAMPLE_RECORDS);
    expect_prefix(&read);
    rig_read_finish(&read);
    example_finish(&example);
}
END_TEST

/* An empty file, or one that was preallocated and never written. */
START_TEST(a_log_without_a_head_has_no_records)
{
    static const uint8_t zeros[8192] = {0};
    struct rig_read read;

    rig_read_bytes(kv_slice(zeros, 0), NULL, &read);
    ck_assert_int_eq(read.result, 0);
    ck_assert(!read.has_head && !read.torn && read.count == 0);
    rig_read_bytes(kv_slice(zeros, sizeof zeros), NULL, &read);
    ck_assert_int_eq(read.result, 0);
    ck_assert(!read.has_head && !read.torn && read.count == 0);
    ck_assert_uint_eq(read.end.size, 0);
}
END_TEST

/* A segment that was number 6 and is 7 now. */
static struct kv_storage *recycled_storage(const char *text)
{
    struct kv_storage *storage = NULL;
    struct log_writer *writer = NULL;
    struct log_writer_options options = {.store_seed = rig_seed};
    struct kv_slice part = kv_slice_str("an old record");

    ck_ok(kv_storage_mem_create(&storage));
    ck_ok(log_writer_create(storage, (struct kv_file_id){KV_FILE_LOG, 6}, &options, &writer));
    for (uint64_t i = 0; i < 20; i++) {
        ck_ok(log_writer_add(writer, LOG_RECORD_BATCH, i, &part, 1, false));
        ck_ok(log_writer_sync(writer));
    }
    log_writer_destroy(writer);
    writer = rig_writer(storage, 6);
    rig_add(writer, 100, text, false);
    log_writer_destroy(writer);
    return storage;
}

START_TEST(stale_records_of_a_recycled_segment_are_never_read)
{
    struct rig_read read;
    /* The new record has the size of an old one: an old record follows exactly behind it. */
    struct kv_storage *storage = recycled_storage("AN OLD RECORD");
    rig_read(storage, NULL, &read);
    ck_assert_int_eq(read.result, 0);
    ck_assert(!read.torn);
    ck_assert_uint_eq(read.count, 1);
    ck_payload(&read, 0, "AN OLD RECORD");
    rig_read_finish(&read);
    kv_storage_mem_destroy(storage);

    /* And here the middle of one. */
    storage = recycled_storage("a record of another length, longer than the old ones are");
    rig_read(storage, NULL, &read);
    ck_assert_int_eq(read.result, 0);
    ck_assert_uint_eq(read.count, 1);
    rig_read_finish(&read);
    kv_storage_mem_destroy(storage);
}
END_TEST

START_TEST(a_recycled_segment_whose_head_never_arrived_has_no_records)
{
    struct rig_read read;
    struct kv_storage *storage = NULL;
    struct log_writer *writer = NULL;
    struct kv_log *log = NULL;
    struct log_writer_options options = {.store_seed = rig_seed};

    ck_ok(kv_storage_mem_create(&storage));
    ck_ok(log_writer_create(storage, (struct kv_file_id){KV_FILE_LOG, 6}, &options, &writer));
    log_writer_destroy(writer);
    ck_ok(storage->ops->log_create(storage, rig_id, 6, 0, &log));
    storage->ops->log_close(log);
    rig_read(storage, NULL, &read);
    ck_assert_int_eq(read.result, 0);
    ck_assert(!read.has_head && !read.torn && read.count == 0);
    kv_storage_mem_destroy(storage);
}
END_TEST

START_TEST(a_log_of_another_store_is_not_read)
{
    struct example example;
    struct log_reader *reader = NULL;
    struct log_record record;

    example_make(&example, 3);
    struct kv_storage *storage = rig_storage_of(kv_buf_slice(&example.bytes));
    ck_ok(log_reader_open(storage, rig_id, rig_seed + 1, NULL, NULL, &reader));
    ck_assert(!log_reader_has_head(reader));
    ck_assert_int_eq(log_reader_next(reader, &record), 0);
    log_reader_close(reader);
    kv_storage_mem_destroy(storage);
    example_finish(&example);
}
END_TEST

/* Where a flip must be found, and what then: see the comment of each case. */
static void expect_after_flip(const struct example *example, size_t at, size_t synced_after,
                              const struct rig_read *read)
{
    size_t hit = 0; /* the record in which the flip is; its end is ends[hit] */
    while (example->ends[hit].size <= at) {
        hit++;
    }
    bool padding = at >= (hit == 0 ? LOG_HEADER_SIZE + RIG_HEAD_SIZE
                                   : example->ends[hit - 1].size + LOG_HEADER_SIZE +
                                         strlen(example_texts[hit - 1]));
    expect_prefix(read);
    if (padding) {
        /* Carries nothing: no harm. */
        ck_assert_int_eq(read->result, 0);
        ck_assert_uint_eq(read->count, EXAMPLE_RECORDS);
    } else if (hit <= synced_after && synced_after < EXAMPLE_RECORDS) {
        /* The record behind the sync says that this place was durable. */
        ck_assert_int_eq(read->result, -KV_EDAMAGED);
    } else {
        ck_assert_int_eq(read->result, 0);
        ck_assert(read->torn);
        ck_assert_uint_eq(read->count, hit == 0 ? 0 : hit - 1);
        ck_assert_int_eq(read->has_head, hit > 0);
    }
}

/* `_i`: behind how many records the writer synced; EXAMPLE_RECORDS: never. */
START_TEST(a_flipped_bit_anywhere_gives_a_torn_prefix_or_damage_never_a_wrong_payload)
{
    struct example example;
    struct rng rng = {test_seed()};
    example_make(&example, (size_t)_i);
    for (size_t at = 0; at < example.bytes.size; at++) {
        struct rig_read read;
        uint8_t mask = (uint8_t)(1 << rng_below(&rng, 8));
        example.bytes.data[at] ^= mask;
        rig_read_bytes(kv_buf_slice(&example.bytes), NULL, &read);
        expect_after_flip(&example, at, (size_t)_i, &read);
        rig_read_finish(&read);
        example.bytes.data[at] ^= mask;
    }
    example_finish(&example);
}
END_TEST

START_TEST(a_flipped_bit_in_a_log_with_a_known_end_is_always_damage)
{
    struct example example;
    struct rng rng = {test_seed()};
    example_make(&example, EXAMPLE_RECORDS);
    const struct log_end *end = &example.ends[EXAMPLE_RECORDS];
    for (size_t at = 0; at < example.bytes.size; at++) {
        struct rig_read read;
        uint8_t mask = (uint8_t)(1 << rng_below(&rng, 8));
        example.bytes.data[at] ^= mask;
        rig_read_bytes(kv_buf_slice(&example.bytes), end, &read);
        expect_prefix(&read);
        if (read.result == 0) {
            ck_assert_uint_eq(read.count, EXAMPLE_RECORDS); /* padding */
        } else {
            ck_assert_int_eq(read.result, -KV_EDAMAGED);
        }
        rig_read_finish(&read);
        example.bytes.data[at] ^= mask;
    }
    example_finish(&example);
}
END_TEST

START_TEST(a_known_end_ends_the_log_whatever_follows)
{
    struct example example;
    struct rig_read read;
    example_make(&example, 2);
    for (size_t n = 0; n <= EXAMPLE_RECORDS; n++) {
        rig_read_bytes(kv_buf_slice(&example.bytes), &example.ends[n], &read);
        ck_assert_int_eq(read.result, 0);
        ck_assert(!read.torn);
        ck_assert_uint_eq(read.count, n);
        ck_assert_uint_eq(read.end.size, example.ends[n].size);
        rig_read_finish(&read);
    }
    example_finish(&example);
}
END_TEST

START_TEST(a_log_shorter_than_its_known_end_or_with_another_chain_is_damaged)
{
    struct example example;
    struct rig_read read;
    example_make(&example, EXAMPLE_RECORDS);
    struct log_end larger = example.ends[EXAMPLE_RECORDS];
    larger.size += LOG_HEADER_SIZE;
    rig_read_bytes(kv_buf_slice(&example.bytes), &larger, &read);
    ck_assert_int_eq(read.result, -KV_EDAMAGED);
    expect_prefix(&read);
    rig_read_finish(&read);

    struct log_end inside = example.ends[2];
    inside.size -= LOG_ALIGNMENT; /* no record ends there */
    rig_read_bytes(kv_buf_slice(&example.bytes), &inside, &read);
    ck_assert_int_eq(read.result, -KV_EDAMAGED);
    rig_read_finish(&read);

    struct log_end other = example.ends[2];
    other.chain ^= 1;
    rig_read_bytes(kv_buf_slice(&example.bytes), &other, &read);
    ck_assert_int_eq(read.result, -KV_EDAMAGED);
    rig_read_finish(&read);

    rig_read_bytes(kv_slice(NULL, 0), &example.ends[0], &read);
    ck_assert_int_eq(read.result, -KV_EDAMAGED);
    rig_read_finish(&read);
    example_finish(&example);
}
END_TEST

START_TEST(a_whole_record_behind_a_lost_one_is_left_out_with_it)
{
    struct example example;
    struct rig_read read;
    example_make(&example, 1);
    /* Record 3 never arrived, 4 to 6 did; only the first was synced. */
    memset(example.bytes.data + example.ends[2].size, 0,
           (size_t)(example.ends[3].size - example.ends[2].size));
    rig_read_bytes(kv_buf_slice(&example.bytes), NULL, &read);
    ck_assert_int_eq(read.result, 0);
    ck_assert(read.torn);
    ck_assert_uint_eq(read.count, 2);
    expect_prefix(&read);
    rig_read_finish(&read);
    example_finish(&example);
}
END_TEST

static void damage_randomly(struct rng *rng, struct kv_buf *bytes)
{
    size_t a = (size_t)rng_below(rng, bytes->size);
    size_t b = (size_t)rng_below(rng, bytes->size);
    size_t most = bytes->size - (a > b ? a : b);
    size_t n = (size_t)rng_below(rng, most) + 1;
    switch (rng_below(rng, 5)) {
    case 0:
        memset(bytes->data + a, 0, n);
        break;
    case 1:
        memmove(bytes->data + a, bytes->data + b, n);
        break;
    case 2:
        memmove(bytes->data + a / 8 * 8, bytes->data + b / 8 * 8, n); /* whole records, elsewhere */
        break;
    case 3:
        bytes->size = a + 1;
        break;
    default:
        for (size_t i = 0; i < n; i++) {
            bytes->data[a + i] = (uint8_t)rng_next(rng);
        }
        break;
    }
}

START_TEST(any_damage_gives_a_prefix_or_an_error_never_a_wrong_payload)
{
    struct example example;
    struct rng rng = {test_seed()};
    struct kv_buf bytes = {0};
    example_make(&example, 3);
    for (uint64_t i = 0; i < test_steps(3000); i++) {
        struct rig_read read;
        ck_ok(kv_buf_assign(&bytes, kv_buf_slice(&example.bytes)));
        for (uint64_t n = rng_below(&rng, 3) + 1; n > 0; n--) {
            damage_randomly(&rng, &bytes);
        }
        rig_read_bytes(kv_buf_slice(&bytes), NULL, &read);
        ck_assert(read.result == 0 || read.result == -KV_EDAMAGED);
        expect_prefix(&read);
        rig_read_finish(&read);
    }
    kv_buf_finish(&bytes);
    example_finish(&example);
}
END_TEST

/* The proof is far behind the bad place, across many of the reader's pieces, and large payloads lie
 * between. */
START_TEST(damage_is_proven_by_a_record_megabytes_later)
{
    enum { SIZE = 700 * 1024 + 3, COUNT = 9 };
    struct kv_storage *storage = NULL;
    struct rig_read read;
    struct kv_buf big = {0};

    ck_ok(kv_buf_reserve(&big, SIZE));
    memset(big.data, 0x5a, SIZE);
    struct kv_slice part = kv_slice(big.data, SIZE);
    ck_ok(kv_storage_mem_create(&storage));
    struct log_writer *writer = rig_writer(storage, 0);
    for (uint64_t i = 0; i < COUNT; i++) {
        ck_ok(log_writer_add(writer, LOG_RECORD_BATCH, i, &part, 1, false));
    }
    ck_ok(log_writer_sync(writer));
    ck_ok(log_writer_add(writer, LOG_RECORD_MARK, 0, NULL, 0, false));
    log_writer_destroy(writer);
    struct kv_buf bytes = rig_bytes(storage);
    kv_storage_mem_destroy(storage);
    bytes.data[1000 * 1024] ^= 1;
    rig_read_bytes(kv_buf_slice(&bytes), NULL, &read);
    ck_assert_int_eq(read.result, -KV_EDAMAGED);
    ck_assert_uint_eq(read.count, 1);
    rig_read_finish(&read);
    /* Without the mark nothing proves it. */
    rig_read_bytes(kv_slice(bytes.data, bytes.size - LOG_HEADER_SIZE), NULL, &read);
    ck_assert_int_eq(read.result, 0);
    ck_assert(read.torn);
    ck_assert_uint_eq(read.count, 1);
    rig_read_finish(&read);
    kv_buf_finish(&bytes);
    kv_buf_finish(&big);
}
END_TEST

START_TEST(garbage_behind_a_clean_close_is_not_a_torn_record)
{
    struct kv_storage *storage = NULL;
    struct rig_read read;
    ck_ok(kv_storage_mem_create(&storage));
    struct log_writer *writer = rig_writer(storage, 0);
    ck_ok(log_writer_add(writer, LOG_RECORD_CLOSE, 0, NULL, 0, false));
    log_writer_destroy(writer);
    struct kv_buf bytes = rig_bytes(storage);
    kv_storage_mem_destroy(storage);
    ck_ok(
        kv_buf_append(&bytes, kv_slice_str("what was here before, of any kind, and long enough")));
    rig_read_bytes(kv_buf_slice(&bytes), NULL, &read);
    ck_assert_int_eq(read.result, 0);
    ck_assert(!read.torn);
    ck_assert_uint_eq(read.count, 1);
    rig_read_finish(&read);
    kv_buf_finish(&bytes);
}
END_TEST

struct heard {
    unsigned count;
    char text[512];
};

static void hear(void *arg, enum kv_message_level level, const char *text)
{
    struct heard *heard = (struct heard *)arg;
    heard->count++;
    snprintf(heard->text, sizeof heard->text, "%s", text);
}

START_TEST(damage_is_reported_with_log_and_offset)
{
    struct example example;
    struct log_reader *reader = NULL;
    struct heard heard = {0};
    struct message_sink sink = {hear, &heard};

    example_make(&example, 3);
    example.bytes.data[20] ^= 1;
    struct kv_storage *storage = rig_storage_of(kv_buf_slice(&example.bytes));
    ck_fails(log_reader_open(storage, rig_id, rig_seed, NULL, &sink, &reader), KV_EDAMAGED);
    ck_assert_uint_eq(heard.count, 1);
    ck_assert_ptr_nonnull(strstr(heard.text, "log 7 is damaged at offset 0"));
    struct kv_file_id missing = {KV_FILE_LOG, 8};
    ck_fails(log_reader_open(storage, missing, rig_seed, NULL, &sink, &reader), ENOENT);
    log_reader_close(NULL);
    kv_storage_mem_destroy(storage);
    example_finish(&example);
}
END_TEST

/* ---- a bad sector ---- */

enum { SECTOR = 4096 };

static struct {
    struct kv_storage_ops ops;
    const struct kv_storage_ops *real;
    uint64_t bad; /* offset of the sector that cannot be read */
    unsigned failed;
} disk;

static int bad_log_read(struct kv_log *log, uint64_t offset, void *to, size_t size, size_t *ret_got)
{
    if (offset < disk.bad + SECTOR && offset + size > disk.bad) {
        disk.failed++;
        return -EIO;
    }
    return disk.real->log_read(log, offset, to, size, ret_got);
}

START_TEST(a_bad_sector_hides_no_record_before_it)
{
    struct log_end ends[RIG_RECORDS_MAX];
    struct kv_storage *storage = NULL;
    char text[1500];

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    ck_ok(kv_storage_mem_create(&storage));
    struct log_writer *writer = rig_writer(storage, 0);
    for (size_t i = 0; i < RIG_RECORDS_MAX - 1; i++) {
        text[0] = (char)('A' + i % 26);
        rig_add(writer, 100 + i, text, false);
        ends[i] = log_writer_end(writer);
    }
    log_writer_destroy(writer);
    disk.real = storage->ops;
    disk.ops = *disk.real;
    disk.ops.log_read = bad_log_read;
    storage->ops = &disk.ops;
    for (disk.bad = 0; disk.bad < ends[RIG_RECORDS_MAX - 2].size; disk.bad += SECTOR) {
        struct rig_read read;
        size_t before = 0;
        while (ends[before].size <= disk.bad) {
            before++;
        }
        disk.failed = 0;
        rig_read(storage, NULL, &read);
        ck_assert_int_eq(read.result, -EIO);
        ck_assert_uint_eq(read.count, before);
        /* A failing read can take a device seconds. */
        ck_assert_uint_le(disk.failed, 4);
        rig_read_finish(&read);
    }
    storage->ops = disk.real;
    kv_storage_mem_destroy(storage);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("log_reader");
    suite_add(s, "rotten", a_bad_sector_hides_no_record_before_it);
    suite_add(s, "torn", a_log_cut_at_any_length_is_a_prefix_and_torn_unless_cut_between_records);
    suite_add(s, "torn", a_whole_record_behind_a_lost_one_is_left_out_with_it);
    suite_add(s, "end", zeros_behind_the_last_record_are_the_end);
    suite_add(s, "end", a_known_end_ends_the_log_whatever_follows);
    suite_add(s, "end", garbage_behind_a_clean_close_is_not_a_torn_record);
    suite_add(s, "head", a_log_without_a_head_has_no_records);
    suite_add(s, "stale", stale_records_of_a_recycled_segment_are_never_read);
    suite_add(s, "stale", a_recycled_segment_whose_head_never_arrived_has_no_records);
    suite_add(s, "stale", a_log_of_another_store_is_not_read);
    TCase *flips = tcase_create("flips");
    tcase_set_timeout(flips, 0);
    tcase_add_loop_test(flips,
                        a_flipped_bit_anywhere_gives_a_torn_prefix_or_damage_never_a_wrong_payload,
                        0, EXAMPLE_RECORDS + 1);
    suite_add_tcase(s, flips);
    suite_add(s, "rotten", a_flipped_bit_in_a_log_with_a_known_end_is_always_damage);
    suite_add(s, "rotten", a_log_shorter_than_its_known_end_or_with_another_chain_is_damaged);
    suite_add(s, "random", any_damage_gives_a_prefix_or_an_error_never_a_wrong_payload);
    suite_add(s, "rotten", damage_is_proven_by_a_record_megabytes_later);
    suite_add(s, "rotten", damage_is_reported_with_log_and_offset);
    return s;
}
