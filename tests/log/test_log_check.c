/* SPDX-License-Identifier: Apache-2.0 */
/* Checking a log beside its writer: every record up to the given end, however large. */
#include "tests/log/log_rig.h"

#include "kvcore/log/log_check.h"
#include "kvcore/util/rng.h"

enum { RECORDS = 5, LARGE = 200 * 1000 };

struct found {
    unsigned count;
    uint64_t offsets[16];
    uint64_t bytes; /* read */
};

static void take_damage(void *arg, const struct message_place *place, const char *text)
{
    struct found *found = arg;
    ck_assert_uint_lt(found->count, 16);
    ck_assert_uint_gt(strlen(text), 20);
    found->offsets[found->count++] = place->offset;
}

static int count_bytes(void *arg, uint64_t bytes)
{
    struct found *found = arg;
    found->bytes += bytes;
    return 0;
}

/* Small records, and one that is read in several pieces. `ends`: behind the head and each record.
 */
static struct kv_buf make_log(struct log_end ends[RECORDS + 1])
{
    static char large[LARGE + 1];
    struct kv_storage *storage = NULL;
    struct kv_buf bytes;

    ck_ok(kv_storage_mem_create(&storage));
    struct log_writer *writer = rig_writer(storage, 0);
    memset(large, 'x', LARGE);
    for (size_t i = 0; i < RECORDS; i++) {
        ends[i] = log_writer_end(writer);
        rig_add(writer, 100 + i, i == 2 ? large : "a small record", false);
    }
    ends[RECORDS] = log_writer_end(writer);
    log_writer_destroy(writer);
    bytes = rig_bytes(storage);
    kv_storage_mem_destroy(storage);
    return bytes;
}

static int check(const struct kv_buf *bytes, uint64_t size, struct found *found)
{
    struct kv_storage *storage = rig_storage_of(kv_buf_slice(bytes));
    struct message_sink sink = {.damage_fn = take_damage, .damage_arg = found};
    struct log_check options = {.storage = storage,
                                .store_seed = rig_seed,
                                .sink = &sink,
                                .read_fn = count_bytes,
                                .arg = found};
    *found = (struct found){0};
    int r = log_check(&options, rig_id, size);
    kv_storage_mem_destroy(storage);
    return r;
}

START_TEST(a_sound_log_is_read_to_the_given_end_and_not_beyond)
{
    struct log_end ends[RECORDS + 1];
    struct kv_buf bytes = make_log(ends);
    struct found found;

    for (size_t i = 0; i <= RECORDS; i++) {
        uint64_t end = ends[i].size;
        if (end < bytes.size) {
            bytes.data[end] ^= 1;
        }
        ck_ok(check(&bytes, end, &found));
        ck_assert_uint_le(found.bytes, end + 100); /* the head's payload comes twice */
        ck_assert_uint_ge(found.bytes + 100, end);
        if (end < bytes.size) {
            bytes.data[end] ^= 1;
        }
    }
    kv_buf_finish(&bytes);
}
END_TEST

START_TEST(each_record_with_a_changed_byte_is_named)
{
    struct log_end ends[RECORDS + 1];
    struct kv_buf bytes = make_log(ends);
    struct rng rng = {test_seed()};
    struct found found;

    for (size_t i = 0; i < RECORDS; i++) {
        for (unsigned n = 0; n < 60; n++) {
            uint64_t record = ends[i].size;
            uint64_t size = LOG_HEADER_SIZE + (i == 2 ? LARGE : 14);
            uint64_t at = record + (n < LOG_HEADER_SIZE ? n : rng_below(&rng, size));
            bytes.data[at] ^= 0x20;
            ck_fails(check(&bytes, ends[RECORDS].size, &found), KV_EDAMAGED);
            ck_assert_uint_eq(found.count, 1);
            ck_assert_uint_eq(found.offsets[0], record);
            bytes.data[at] ^= 0x20;
        }
    }
    kv_buf_finish(&bytes);
}
END_TEST

START_TEST(it_goes_on_behind_damage_of_a_header_and_of_a_payload)
{
    struct log_end ends[RECORDS + 1];
    struct kv_buf bytes = make_log(ends);
    struct found found;

    bytes.data[ends[0].size + 45] ^= 1;
    bytes.data[ends[2].size + 10] ^= 1; /* the next header is far behind */
    bytes.data[ends[4].size + 20] ^= 1;
    ck_fails(check(&bytes, ends[RECORDS].size, &found), KV_EDAMAGED);
    ck_assert_uint_eq(found.count, 3);
    ck_assert_uint_eq(found.offsets[0], ends[0].size);
    ck_assert_uint_eq(found.offsets[1], ends[2].size);
    ck_assert_uint_eq(found.offsets[2], ends[4].size);
    kv_buf_finish(&bytes);
}
END_TEST

START_TEST(a_log_that_is_shorter_or_whose_head_is_gone_is_damaged)
{
    struct log_end ends[RECORDS + 1];
    struct kv_buf bytes = make_log(ends);
    struct found found;

    ck_fails(check(&bytes, ends[RECORDS].size + 8, &found), KV_EDAMAGED);
    memset(bytes.data, 0, 64);
    ck_fails(check(&bytes, ends[RECORDS].size, &found), KV_EDAMAGED);
    ck_assert_uint_eq(found.offsets[0], 0);
    kv_buf_finish(&bytes);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("log_check");
    suite_add(s, "sound", a_sound_log_is_read_to_the_given_end_and_not_beyond);
    suite_add(s, "damage", each_record_with_a_changed_byte_is_named);
    suite_add(s, "damage", it_goes_on_behind_damage_of_a_header_and_of_a_payload);
    suite_add(s, "damage", a_log_that_is_shorter_or_whose_head_is_gone_is_damaged);
    return s;
}
