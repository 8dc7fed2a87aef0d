/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/storage/posix_rig.h"

enum { SLOT_SIZE = 4096 };

/* The first bytes of slot 1 for version 1 with the content "the root record". */
static const uint8_t golden[] = {
    0x6b, 0x76, 0x66, 0x73, 0x72, 0x6f, 0x6f, 0x74, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x0f, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x59, 0xf6, 0x94, 0x87, 0x39, 0xfb, 0xb0, 0xa4,
    0x74, 0x68, 0x65, 0x20, 0x72, 0x6f, 0x6f, 0x74, 0x20, 0x72, 0x65, 0x63, 0x6f, 0x72, 0x64,
};

static int read_root(struct kv_storage *storage)
{
    struct kv_buf bytes = {0};
    uint64_t version = 0;
    int r = storage->ops->root_read(storage, &bytes, &version);
    kv_buf_finish(&bytes);
    return r;
}

START_TEST(the_first_root_has_these_bytes_in_slot_1)
{
    struct temp_dir dir;
    uint8_t bytes[2 * SLOT_SIZE];

    temp_dir_make(&dir);
    struct kv_storage *storage = rig_open(&dir);
    ck_ok(rig_swap(storage, 0, "the root record"));
    rig_close(storage);
    rig_read_raw(&dir, "ROOT", 0, bytes, sizeof bytes);
    ck_assert_mem_eq(bytes + SLOT_SIZE, golden, sizeof golden);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bool used = i >= SLOT_SIZE && i < SLOT_SIZE + sizeof golden;
        ck_assert(used || bytes[i] == 0);
    }
    temp_dir_remove(&dir);
}
END_TEST

START_TEST(versions_take_turns_in_the_two_slots)
{
    struct temp_dir dir;
    uint8_t slot[SLOT_SIZE];
    uint8_t after[SLOT_SIZE];

    temp_dir_make(&dir);
    struct kv_storage *storage = rig_open(&dir);
    ck_ok(rig_swap(storage, 0, "one"));
    rig_read_raw(&dir, "ROOT", SLOT_SIZE, slot, SLOT_SIZE);
    ck_ok(rig_swap(storage, 1, "two"));
    /* The record that counted was not touched. */
    rig_read_raw(&dir, "ROOT", SLOT_SIZE, after, SLOT_SIZE);
    ck_assert_mem_eq(slot, after, SLOT_SIZE);
    rig_read_raw(&dir, "ROOT", 0, slot, SLOT_SIZE);
    ck_ok(rig_swap(storage, 2, "three"));
    rig_read_raw(&dir, "ROOT", 0, after, SLOT_SIZE);
    ck_assert_mem_eq(slot, after, SLOT_SIZE);
    rig_expect_root(storage, "three", 3);
    rig_close(storage);
    temp_dir_remove(&dir);
}
END_TEST

/* Two swaps were made: slot 0 holds version 2, slot 1 version 1. */
static struct kv_storage *open_with_two(struct temp_dir *dir)
{
    temp_dir_make(dir);
    struct kv_storage *storage = rig_open(dir);
    ck_ok(rig_swap(storage, 0, "one"));
    ck_ok(rig_swap(storage, 1, "two"));
    return storage;
}

START_TEST(a_flip_in_any_byte_of_the_newest_slot_gives_the_older_record)
{
    struct temp_dir dir;
    struct kv_storage *storage = open_with_two(&dir);
    for (off_t at = 0; at < 32 + 3; at++) {
        rig_flip(&dir, "ROOT", at);
        rig_expect_root(storage, "one", 1);
        rig_flip(&dir, "ROOT", at);
        rig_expect_root(storage, "two", 2);
    }
    rig_close(storage);
    temp_dir_remove(&dir);
}
END_TEST

START_TEST(a_damaged_older_slot_does_no_harm)
{
    struct temp_dir dir;
    struct kv_storage *storage = open_with_two(&dir);
    rig_flip(&dir, "ROOT", SLOT_SIZE + 33);
    rig_expect_root(storage, "two", 2);
    ck_ok(rig_swap(storage, 2, "three")); /* overwrites it */
    rig_expect_root(storage, "three", 3);
    rig_close(storage);
    temp_dir_remove(&dir);
}
END_TEST

START_TEST(after_a_torn_swap_the_older_record_counts_and_the_next_swap_takes_the_same_slot)
{
    struct temp_dir dir;
    struct kv_storage *storage = open_with_two(&dir);
    rig_flip(&dir, "ROOT", 33);
    ck_fails(rig_swap(storage, 2, "x"), ESTALE);
    ck_ok(rig_swap(storage, 1, "again"));
    rig_expect_root(storage, "again", 2);
    rig_flip(&dir, "ROOT", 33);
    rig_expect_root(storage, "one", 1);
    rig_close(storage);
    temp_dir_remove(&dir);
}
END_TEST

START_TEST(a_root_without_a_valid_slot_is_damage_and_is_not_made_anew)
{
    struct temp_dir dir;
    char path[512];
    static const uint8_t zeros[2 * SLOT_SIZE] = {0};
    struct kv_storage *storage = open_with_two(&dir);

    rig_flip(&dir, "ROOT", 8);
    rig_flip(&dir, "ROOT", SLOT_SIZE + 24);
    ck_fails(read_root(storage), KV_EDAMAGED);
    ck_fails(rig_swap(storage, 0, "x"), KV_EDAMAGED);
    rig_write_raw(&dir, "ROOT", 0, kv_slice(zeros, sizeof zeros));
    ck_fails(read_root(storage), KV_EDAMAGED);
    ck_assert_int_eq(truncate(temp_dir_name(&dir, "ROOT", path), 0), 0);
    ck_fails(read_root(storage), KV_EDAMAGED);
    ck_fails(rig_swap(storage, 0, "x"), KV_EDAMAGED);
    rig_close(storage);
    temp_dir_remove(&dir);
}
END_TEST

START_TEST(a_record_in_the_slot_of_the_other_is_not_valid)
{
    struct temp_dir dir;
    uint8_t slot[SLOT_SIZE];
    struct kv_storage *storage = open_with_two(&dir);

    rig_read_raw(&dir, "ROOT", 0, slot, SLOT_SIZE);
    rig_write_raw(&dir, "ROOT", SLOT_SIZE, kv_slice(slot, SLOT_SIZE));
    memset(slot, 0, SLOT_SIZE);
    rig_write_raw(&dir, "ROOT", 0, kv_slice(slot, SLOT_SIZE));
    ck_fails(read_root(storage), KV_EDAMAGED);
    rig_close(storage);
    temp_dir_remove(&dir);
}
END_TEST

START_TEST(a_root_cut_short_keeps_the_slot_that_is_left)
{
    struct temp_dir dir;
    char path[512];
    struct kv_storage *storage = open_with_two(&dir);
    ck_assert_int_eq(truncate(temp_dir_name(&dir, "ROOT", path), 100), 0);
    rig_expect_root(storage, "two", 2);
    rig_close(storage);
    temp_dir_remove(&dir);
}
END_TEST

START_TEST(two_writers_of_one_root_cannot_both_swap_it)
{
    struct temp_dir dir;
    struct kv_storage *other = NULL;
    struct kv_storage *storage = open_with_two(&dir);
    ck_ok(kv_storage_posix_open(dir.path, false, &other));
    ck_ok(rig_swap(storage, 2, "mine"));
    ck_fails(rig_swap(other, 2, "theirs"), ESTALE);
    rig_expect_root(other, "mine", 3);
    rig_close(other);
    rig_close(storage);
    temp_dir_remove(&dir);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("posix_root");
    suite_add(s, "golden", the_first_root_has_these_bytes_in_slot_1);
    suite_add(s, "slots", versions_take_turns_in_the_two_slots);
    suite_add(s, "damage", a_flip_in_any_byte_of_the_newest_slot_gives_the_older_record);
    suite_add(s, "damage", a_damaged_older_slot_does_no_harm);
    suite_add(s, "damage",
              after_a_torn_swap_the_older_record_counts_and_the_next_swap_takes_the_same_slot);
    suite_add(s, "damage", a_root_without_a_valid_slot_is_damage_and_is_not_made_anew);
    suite_add(s, "damage", a_record_in_the_slot_of_the_other_is_not_valid);
    suite_add(s, "damage", a_root_cut_short_keeps_the_slot_that_is_left);
    suite_add(s, "swap", two_writers_of_one_root_cannot_both_swap_it);
    return s;
}
