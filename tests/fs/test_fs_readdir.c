/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "fs/core/dir_offsets.h"
#include "kvcore/util/clock.h"
#include "tests/fs/fs_fixture.h"

enum { ROOT = KVFS_ROOT_INO };

/* Takes up to `room` entries and remembers where to go on. */
struct reader {
    unsigned room, count;
    uint64_t offset; /* behind the last one taken */
    char names[64][24];
    uint64_t offsets[64];
    struct kvfs_entry last;
};

static bool take(void *arg, const char *name, const struct kvfs_entry *entry, uint64_t next_offset)
{
    struct reader *r = arg;
    if (r->count == r->room) {
        return false;
    }
    snprintf(r->names[r->count % 64], sizeof r->names[0], "%s", name);
    r->offsets[r->count % 64] = next_offset;
    r->count++;
    r->offset = next_offset;
    r->last = *entry;
    return true;
}

/* Read `room` entries from `offset` into a fresh reader. */
static struct reader read_some(struct kvfs_dir *dir, uint64_t offset, unsigned room)
{
    struct reader r = {.room = room, .offset = offset};
    ck_ok(kvfs_dir_read(dir, offset, false, take, &r));
    return r;
}

static void make_files(struct fs_fixture *f, uint64_t dir, unsigned count)
{
    char name[16];
    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof name, "f%06u", i);
        fixture_file(f, dir, name);
    }
}

START_TEST(a_listing_begins_with_dots_and_goes_on_in_byte_order)
{
    struct fs_fixture f;
    struct kvfs_dir *dir = NULL;
    fixture_open(&f);
    fixture_file(&f, ROOT, "b");
    fixture_file(&f, ROOT, "a.b");
    fixture_dir(&f, ROOT, "a");
    ck_ok(kvfs_dir_open(f.fs, ROOT, &dir));
    struct reader r = read_some(dir, 0, 64);
    ck_assert_uint_eq(r.count, 5);
    ck_assert_str_eq(r.names[0], ".");
    ck_assert_str_eq(r.names[1], "..");
    ck_assert_uint_eq(r.offsets[0], 1);
    ck_assert_uint_eq(r.offsets[1], 2);
    ck_assert_str_eq(r.names[2], "a");
    ck_assert_str_eq(r.names[3], "a.b");
    ck_assert_str_eq(r.names[4], "b");
    ck_assert_uint_eq(read_some(dir, r.offset, 64).count, 0);
    kvfs_dir_close(dir);
    fixture_close(&f);
}
END_TEST

START_TEST(entries_that_did_not_fit_come_next_time)
{
    struct fs_fixture f;
    struct kvfs_dir *dir = NULL;
    fixture_open(&f);
    make_files(&f, ROOT, 30);
    ck_ok(kvfs_dir_open(f.fs, ROOT, &dir));
    struct reader all = read_some(dir, 0, 64);
    uint64_t offset = 0;
    for (unsigned i = 0; i < all.count; i++) {
        struct reader one = read_some(dir, offset, 1);
        ck_assert_uint_eq(one.count, 1);
        ck_assert_str_eq(one.names[0], all.names[i]);
        offset = one.offset;
    }
    kvfs_dir_close(dir);
    fixture_close(&f);
}
END_TEST

START_TEST(an_offset_stands_behind_its_name_whatever_changes)
{
    struct fs_fixture f;
    struct kvfs_dir *dir = NULL;
    fixture_open(&f);
    make_files(&f, ROOT, 10);
    ck_ok(kvfs_dir_open(f.fs, ROOT, &dir));
    struct reader all = read_some(dir, 0, 64);
    uint64_t behind_3 = all.offsets[2 + 3];
    ck_ok(kvfs_unlink(f.fs, ROOT, "f000003"));
    ck_ok(kvfs_unlink(f.fs, ROOT, "f000005"));
    fixture_file(&f, ROOT, "f0000035");
    fixture_file(&f, ROOT, "a");
    struct reader r = read_some(dir, behind_3, 64);
    ck_assert_uint_eq(r.count, 5);
    ck_assert_str_eq(r.names[0], "f000004");
    ck_assert_uint_eq(r.offsets[0], all.offsets[2 + 4]);
    ck_assert_str_eq(r.names[1], "f000006");
    ck_assert_uint_eq(r.offsets[1], all.offsets[2 + 6]);
    fixture_file(&f, ROOT, "z");
    r = read_some(dir, r.offset, 64);
    ck_assert_uint_eq(r.count, 1);
    ck_assert_str_eq(r.names[0], "z");
    r = read_some(dir, 0, 64); /* rewinding shows the new ones */
    ck_assert_uint_eq(r.count, 2 + 11);
    ck_assert_str_eq(r.names[2], "a");
    kvfs_dir_close(dir);
    fixture_close(&f);
}
END_TEST

START_TEST(removing_while_reading_skips_nothing)
{
    struct fs_fixture f;
    struct kvfs_dir *dir = NULL;
    fixture_open(&f);
    make_files(&f, ROOT, 200);
    ck_ok(kvfs_dir_open(f.fs, ROOT, &dir));
    uint64_t offset = 2;
    unsigned removed = 0;
    for (;;) {
        struct reader r = read_some(dir, offset, 7);
        for (unsigned i = 0; i < r.count; i++) {
            ck_ok(kvfs_unlink(f.fs, ROOT, r.names[i]));
            removed++;
        }
        if (r.count == 0) {
            break;
        }
        offset = r.offset;
    }
    ck_assert_uint_eq(removed, 200);
    kvfs_dir_close(dir);
    fixture_close(&f);
}
END_TEST

START_TEST(full_entries_take_references_and_show_the_present)
{
    struct fs_fixture f;
    struct kvfs_dir *dir = NULL;
    fixture_open(&f);
    uint64_t ino = fixture_file(&f, ROOT, "f");
    fixture_write(&f, ino, 0, "12345");
    ck_ok(kvfs_dir_open(f.fs, ROOT, &dir));
    struct reader r = {.room = 3};
    ck_ok(kvfs_dir_read(dir, 0, true, take, &r));
    ck_assert_int_eq(r.last.stat.st_size, 5);
    ck_assert_uint_eq(r.last.ino, ino);
    ck_ok(kvfs_unlink(f.fs, ROOT, "f"));
    ck_assert_str_eq(fixture_text(&f, ino), "12345"); /* the reference keeps it */
    kvfs_forget(f.fs, ino, 1);
    struct kvfs_entry e;
    ck_fails(kvfs_getattr(f.fs, ino, &e), ENOENT);
    /* An entry that is not taken leaves no reference. */
    ino = fixture_file(&f, ROOT, "g");
    r = (struct reader){.room = 2};
    ck_ok(kvfs_dir_read(dir, 0, true, take, &r));
    ck_ok(kvfs_unlink(f.fs, ROOT, "g"));
    ck_fails(kvfs_getattr(f.fs, ino, &e), ENOENT);
    kvfs_dir_close(dir);
    fixture_close(&f);
}
END_TEST

START_TEST(a_very_large_directory_is_read_exactly_in_order)
{
    enum { FILES = DIR_OFFSETS_EXACT + 2 * DIR_OFFSETS_RECENT + 1000 };
    struct fs_fixture f;
    struct kvfs_dir *dir = NULL;
    fixture_open(&f);
    make_files(&f, ROOT, FILES);
    ck_ok(kvfs_dir_open(f.fs, ROOT, &dir));
    uint64_t offset = 2;
    char expected[16];
    for (unsigned i = 0; i < FILES;) {
        struct reader r = read_some(dir, offset, 61);
        ck_assert_uint_gt(r.count, 0);
        for (unsigned j = 0; j < r.count; j++, i++) {
            snprintf(expected, sizeof expected, "f%06u", i);
            ck_assert_str_eq(r.names[j], expected);
        }
        offset = r.offset;
    }
    /* Going back to where only some names are remembered counts from one of them. */
    unsigned far = DIR_OFFSETS_EXACT + 333;
    struct reader r = read_some(dir, far + 2, 3);
    snprintf(expected, sizeof expected, "f%06u", far);
    ck_assert_str_eq(r.names[0], expected);
    ck_assert_uint_eq(r.offset, far + 5);
    /* After a change nothing is skipped; some may come twice. */
    ck_ok(kvfs_unlink(f.fs, ROOT, "f065850"));
    r = read_some(dir, far + 2, 64);
    ck_assert_str_le(r.names[0], expected);
    ck_assert_uint_eq(r.count, 64);
    offset = r.offset;
    r = read_some(dir, offset, 1);
    ck_assert_str_gt(r.names[0], expected);
    ck_assert_uint_gt(r.offset, offset);
    kvfs_dir_close(dir);
    fixture_close(&f);
}
END_TEST

/* The kernel is given more than a program takes, and goes back a few names then. Of these one was
 * removed meanwhile, and others come and go. */
START_TEST(going_back_a_little_is_exact_in_a_very_large_directory_that_changes)
{
    enum { FILES = DIR_OFFSETS_EXACT + 3 * DIR_OFFSETS_RECENT, GIVEN = 61, TAKEN = 40 };
    struct fs_fixture f;
    struct kvfs_dir *dir = NULL;
    char name[16];
    uint64_t offset = 2;
    unsigned gone = FILES;
    fixture_open(&f);
    make_files(&f, ROOT, FILES);
    ck_ok(kvfs_dir_open(f.fs, ROOT, &dir));
    for (unsigned i = 0; i < FILES;) {
        struct reader r = read_some(dir, offset, GIVEN);
        ck_assert_uint_gt(r.count, 0);
        for (unsigned j = 0; j < r.count && j < TAKEN; j++, i++) {
            i += i == gone ? 1 : 0;
            snprintf(name, sizeof name, "f%06u", i);
            ck_assert_str_eq(r.names[j], name);
            ck_assert_uint_eq(r.offsets[j], i + 3);
            offset = r.offsets[j];
        }
        gone = i + GIVEN < FILES ? i + 3 : FILES;
        if (gone < FILES) {
            snprintf(name, sizeof name, "f%06u", gone);
            ck_ok(kvfs_unlink(f.fs, ROOT, name));
        }
        snprintf(name, sizeof name, "a%06u", i); /* before all that is listed */
        fixture_file(&f, ROOT, name);
    }
    ck_assert_uint_eq(read_some(dir, offset, GIVEN).count, 0);
    kvfs_dir_close(dir);
    fixture_close(&f);
}
END_TEST

/* The shortest of some tries, so that a busy machine does not count. */
static uint64_t shortest_listing_ns(struct fs_fixture *f, uint64_t ino)
{
    uint64_t shortest = UINT64_MAX;
    for (int i = 0; i < 10; i++) {
        struct kvfs_dir *dir = NULL;
        struct kvfs_entry entry;
        uint64_t began = clock_monotonic_ns();
        ck_ok(kvfs_dir_open(f->fs, ino, &dir));
        ck_assert_uint_eq(read_some(dir, 0, 64).count, 2);
        kvfs_dir_close(dir);
        ck_fails(kvfs_lookup(f->fs, ino, "f000007", &entry), ENOENT);
        uint64_t took = clock_monotonic_ns() - began;
        shortest = took < shortest ? took : shortest;
    }
    return shortest;
}

START_TEST(a_directory_emptied_of_very_many_files_is_listed_and_removed_at_once)
{
    static const uint64_t ns_per_us = 1000;
    unsigned files = (unsigned)test_steps(100000);
    struct fs_fixture f;
    char name[16];
    fixture_open(&f);
    uint64_t dir = fixture_dir(&f, ROOT, "d");
    uint64_t at_first = shortest_listing_ns(&f, dir);
    make_files(&f, dir, files);
    for (unsigned i = 0; i < files; i++) {
        snprintf(name, sizeof name, "f%06u", i);
        ck_ok(kvfs_unlink(f.fs, dir, name));
    }
    ck_assert_uint_lt(shortest_listing_ns(&f, dir), 100000 * ns_per_us);
    ck_ok(kv_compact(kvfs_store(f.fs)));
    /* Passing the deletes one by one takes hundreds of times as long. */
    ck_assert_uint_lt(shortest_listing_ns(&f, dir), 40 * at_first);
    ck_ok(kvfs_rmdir(f.fs, ROOT, "d"));
    fixture_close(&f);
}
END_TEST

/* Reads one name at a time and renames it to `<prefix><count>`, at most `limit` times. */
static unsigned rename_while_listing(struct fs_fixture *f, const char *prefix, unsigned limit)
{
    struct kvfs_dir *dir = NULL;
    char to[24];
    unsigned count = 0;
    ck_ok(kvfs_dir_open(f->fs, ROOT, &dir));
    struct reader r = read_some(dir, 0, 3);
    while (r.count > 0 && count < limit) {
        const char *from = r.names[r.count - 1];
        snprintf(to, sizeof to, "%s%06u", prefix, count++);
        ck_ok(kvfs_rename(f->fs, ROOT, from, ROOT, to, 0));
        r = read_some(dir, r.offset, 1);
    }
    kvfs_dir_close(dir);
    return count;
}

START_TEST(each_name_renamed_to_a_later_one_is_listed_once)
{
    enum { COUNT = 100 };
    struct fs_fixture f;
    fixture_open(&f);
    make_files(&f, ROOT, COUNT);
    ck_assert_uint_eq(rename_while_listing(&f, "z", 3 * COUNT), COUNT);
    ck_assert_uint_eq(rename_while_listing(&f, "zz", 3 * COUNT), COUNT);
    ck_assert_uint_eq(rename_while_listing(&f, "a", 3 * COUNT), COUNT);
    fixture_close(&f);
}
END_TEST

START_TEST(a_name_not_yet_listed_is_listed_where_it_was_moved_to)
{
    struct fs_fixture f;
    struct kvfs_dir *dir = NULL;
    fixture_open(&f);
    make_files(&f, ROOT, 4);
    ck_ok(kvfs_dir_open(f.fs, ROOT, &dir));
    struct reader r = read_some(dir, 0, 3); /* f000000 */
    ck_ok(kvfs_rename(f.fs, ROOT, "f000002", ROOT, "later", 0));
    ck_ok(kvfs_rename(f.fs, ROOT, "f000000", ROOT, "m", 0));
    ck_ok(kvfs_rename(f.fs, ROOT, "m", ROOT, "n", 0)); /* moved twice, given once */
    fixture_file(&f, ROOT, "m");                       /* a new file may be shown */
    r = read_some(dir, r.offset, 64);
    ck_assert_uint_eq(r.count, 4);
    ck_assert_str_eq(r.names[0], "f000001");
    ck_assert_str_eq(r.names[1], "f000003");
    ck_assert_str_eq(r.names[2], "later");
    ck_assert_str_eq(r.names[3], "m");
    r = read_some(dir, 0, 64); /* from the start all are there */
    ck_assert_uint_eq(r.count, 2 + 5);
    kvfs_dir_close(dir);
    fixture_close(&f);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("fs_readdir");
    suite_add(suite, "renamed to later ones", each_name_renamed_to_a_later_one_is_listed_once);
    suite_add(suite, "renamed ahead", a_name_not_yet_listed_is_listed_where_it_was_moved_to);
    suite_add(suite, "order", a_listing_begins_with_dots_and_goes_on_in_byte_order);
    suite_add(suite, "room", entries_that_did_not_fit_come_next_time);
    suite_add(suite, "offsets", an_offset_stands_behind_its_name_whatever_changes);
    suite_add(suite, "removing", removing_while_reading_skips_nothing);
    suite_add(suite, "plus", full_entries_take_references_and_show_the_present);
    suite_add(suite, "large", a_very_large_directory_is_read_exactly_in_order);
    suite_add(suite, "going back",
              going_back_a_little_is_exact_in_a_very_large_directory_that_changes);
    suite_add(suite, "large", a_directory_emptied_of_very_many_files_is_listed_and_removed_at_once);
    return suite;
}
