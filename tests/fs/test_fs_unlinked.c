/* SPDX-License-Identifier: Apache-2.0 */
/* Small files that are unlinked while they are in use: no rows are left of them, and whoever has
 * them open finds them as they were. */
#include <fcntl.h>
#include <stdio.h>

#include "fs/core/unlinked.h"
#include "tests/fs/fs_fixture.h"

enum { ROOT = KVFS_ROOT_INO };

static uint64_t kept_bytes(struct fs_fixture *f)
{
    struct kvfs_memory memory;
    kvfs_memory(f->fs, &memory);
    return memory.unlinked_bytes;
}

static uint64_t rows(struct fs_fixture *f)
{
    return fixture_count_rows(f, "meta", ROW_ORPHAN) + fixture_count_rows(f, "meta", ROW_BACKPTR) +
           fixture_count_rows(f, "data", ROW_EXTENT);
}

/* One reference is left, to be given back with kvfs_forget(). */
static void unlink_in_use(struct fs_fixture *f, const char *name)
{
    struct kvfs_entry entry;
    ck_ok(kvfs_lookup(f->fs, ROOT, name, &entry));
    ck_ok(kvfs_unlink(f->fs, ROOT, name));
}

static uint64_t make_unlinked(struct fs_fixture *f, const char *text)
{
    uint64_t ino = fixture_file(f, ROOT, "gone");
    fixture_write(f, ino, 0, text);
    unlink_in_use(f, "gone");
    return ino;
}

START_TEST(of_a_small_file_in_use_no_row_is_left_and_nothing_once_it_is_forgotten)
{
    struct fs_fixture f;
    fixture_open(&f);
    uint64_t ino = make_unlinked(&f, "some bytes");
    ck_assert_uint_eq(rows(&f), 0);
    ck_assert_uint_gt(kept_bytes(&f), 0);
    kvfs_forget(f.fs, ino, 1);
    ck_assert_uint_eq(kept_bytes(&f), 0);
    ck_assert_uint_eq(rows(&f), 0);
    fixture_close(&f);
}
END_TEST

START_TEST(who_has_it_open_finds_its_attributes_and_bytes)
{
    struct fs_fixture f;
    struct kv_buf part = {0};
    uint64_t hole;
    fixture_open(&f);
    uint64_t ino = make_unlinked(&f, "some bytes");
    struct kvfs_entry entry = fixture_stat(&f, ino);
    ck_assert_uint_eq(entry.stat.st_nlink, 0);
    ck_assert_int_eq(entry.stat.st_size, 10);
    ck_assert_uint_eq(entry.stat.st_uid, fixture_who.uid);
    ck_assert_str_eq(fixture_text(&f, ino), "some bytes");
    ck_ok(kvfs_read(f.fs, ino, 5, 100, &part));
    ck_assert(kv_slice_equal(kv_buf_slice(&part), kv_slice_str("bytes")));
    ck_ok(kvfs_seek(f.fs, ino, 2, SEEK_HOLE, &hole));
    ck_assert_uint_eq(hole, 10);
    ck_assert_uint_eq(rows(&f), 0); /* looking does not store it */
    kvfs_forget(f.fs, ino, 1);
    ck_assert_uint_eq(kept_bytes(&f), 0);
    kv_buf_finish(&part);
    fixture_close(&f);
}
END_TEST

START_TEST(a_file_of_one_hole_is_read_as_zeros)
{
    struct fs_fixture f;
    struct kvfs_entry entry;
    struct stat to = {.st_size = 3};
    fixture_open(&f);
    uint64_t ino = fixture_file(&f, ROOT, "gone");
    ck_ok(kvfs_setattr(f.fs, ino, &to, KVFS_SET_SIZE, &entry));
    unlink_in_use(&f, "gone");
    struct kv_buf bytes = {0};
    ck_ok(kvfs_read(f.fs, ino, 0, 10, &bytes));
    ck_assert(kv_slice_equal(kv_buf_slice(&bytes), kv_slice("\0\0", 3)));
    ck_assert_uint_eq(rows(&f), 0);
    kvfs_forget(f.fs, ino, 1);
    kv_buf_finish(&bytes);
    fixture_close(&f);
}
END_TEST

START_TEST(who_changes_it_makes_it_an_orphan)
{
    struct fs_fixture f;
    fixture_open(&f);
    uint64_t ino = make_unlinked(&f, "some bytes");
    fixture_write(&f, ino, 5, "more bytes");
    ck_assert_str_eq(fixture_text(&f, ino), "some more bytes");
    ck_assert_uint_eq(kept_bytes(&f), 0);
    ck_assert_uint_eq(fixture_count_rows(&f, "meta", ROW_ORPHAN), 1);
    kvfs_forget(f.fs, ino, 1);
    ino = make_unlinked(&f, "");
    fixture_write(&f, ino, 0, "first bytes");
    ck_assert_str_eq(fixture_text(&f, ino), "first bytes");
    kvfs_forget(f.fs, ino, 1);
    ck_assert_uint_eq(rows(&f), 0);
    fixture_close(&f);
}
END_TEST

START_TEST(what_is_not_a_file_is_kept_as_well)
{
    struct fs_fixture f;
    struct kvfs_entry link;
    struct kvfs_entry dir;
    struct kvfs_entry entry;
    struct kv_buf target = {0};
    fixture_open(&f);
    ck_ok(kvfs_symlink(f.fs, &fixture_who, ROOT, "link", "where it leads", &link));
    ck_ok(kvfs_mkdir(f.fs, &fixture_who, ROOT, "dir", 0755, &dir));
    ck_ok(kvfs_unlink(f.fs, ROOT, "link"));
    ck_ok(kvfs_rmdir(f.fs, ROOT, "dir"));
    ck_assert_uint_eq(rows(&f), 0);
    ck_ok(kvfs_readlink(f.fs, link.ino, &target));
    ck_assert(kv_slice_equal(kv_buf_slice(&target), kv_slice_str("where it leads")));
    ck_fails(kvfs_lookup(f.fs, dir.ino, "name", &entry), ENOENT);
    ck_fails(kvfs_mkdir(f.fs, &fixture_who, dir.ino, "name", 0755, &entry), ENOENT);
    ck_assert_uint_eq(fixture_stat(&f, dir.ino).stat.st_nlink, 0);
    kvfs_forget(f.fs, link.ino, 1);
    kvfs_forget(f.fs, dir.ino, 1);
    ck_assert_uint_eq(rows(&f), 0);
    kv_buf_finish(&target);
    fixture_close(&f);
}
END_TEST

START_TEST(the_last_of_two_links_and_what_a_rename_replaces_are_kept)
{
    struct fs_fixture f;
    struct kvfs_entry entry;
    fixture_open(&f);
    uint64_t ino = fixture_file(&f, ROOT, "one");
    fixture_write(&f, ino, 0, "linked");
    ck_ok(kvfs_link(f.fs, ino, ROOT, "two", &entry));
    ck_ok(kvfs_unlink(f.fs, ROOT, "one"));
    ck_assert_uint_eq(kept_bytes(&f), 0);
    uint64_t other = fixture_file(&f, ROOT, "other");
    ck_ok(kvfs_rename(f.fs, ROOT, "other", ROOT, "two", 0));
    ck_assert_uint_gt(kept_bytes(&f), 0);
    ck_assert_uint_eq(rows(&f), 1); /* the back-pointer of the other one */
    ck_assert_str_eq(fixture_text(&f, ino), "linked");
    ck_assert_str_eq(fixture_text(&f, other), "");
    kvfs_forget(f.fs, ino, 1);
    ck_assert_uint_eq(rows(&f), 1);
    fixture_close(&f);
}
END_TEST

START_TEST(a_large_file_or_one_with_attributes_becomes_an_orphan)
{
    static char text[UNLINKED_DATA_MAX + 2];
    struct fs_fixture f;
    fixture_open(&f);
    memset(text, 'x', UNLINKED_DATA_MAX + 1);
    uint64_t large = make_unlinked(&f, text);
    uint64_t noted = fixture_file(&f, ROOT, "noted");
    ck_ok(kvfs_setxattr(f.fs, noted, "user.note", kv_slice_str("red"), 0));
    unlink_in_use(&f, "noted");
    ck_assert_uint_eq(kept_bytes(&f), 0);
    ck_assert_uint_eq(fixture_count_rows(&f, "meta", ROW_ORPHAN), 2);
    kvfs_forget(f.fs, large, 1);
    kvfs_forget(f.fs, noted, 1);
    ck_assert_uint_eq(rows(&f), 0);
    fixture_close(&f);
}
END_TEST

START_TEST(all_that_are_kept_take_bounded_memory)
{
    enum { FILES = 100, MEMORY = 16 << 20 };
    static char text[UNLINKED_DATA_MAX + 1];
    static uint64_t inos[FILES];
    struct fs_fixture f;
    fixture_open(&f);
    f.memory_bytes = MEMORY;
    fixture_reopen(&f);
    memset(text, 'x', UNLINKED_DATA_MAX);
    for (int i = 0; i < FILES; i++) {
        inos[i] = make_unlinked(&f, text);
    }
    ck_assert_uint_le(kept_bytes(&f), MEMORY / 64 + 2 * UNLINKED_DATA_MAX);
    uint64_t orphans = fixture_count_rows(&f, "meta", ROW_ORPHAN);
    ck_assert_uint_gt(orphans, 0);
    ck_assert_uint_lt(orphans, FILES / 2);
    ck_assert_str_eq(fixture_text(&f, inos[0]), text);
    ck_assert_str_eq(fixture_text(&f, inos[FILES - 1]), text);
    for (int i = 0; i < FILES; i++) {
        kvfs_forget(f.fs, inos[i], 1);
    }
    ck_assert_uint_eq(kept_bytes(&f), 0);
    ck_assert_uint_eq(rows(&f), 0);
    fixture_close(&f);
}
END_TEST

START_TEST(what_is_kept_when_the_filesystem_is_closed_is_gone)
{
    struct fs_fixture f;
    fixture_open(&f);
    uint64_t ino = make_unlinked(&f, "some bytes");
    struct kvfs_entry entry;
    fixture_reopen(&f);
    ck_assert_uint_eq(rows(&f), 0);
    ck_fails(kvfs_getattr(f.fs, ino, &entry), ENOENT);
    fixture_close(&f);
}
END_TEST

static int failing_append(struct kv_log *log, const struct iovec *parts, int part_count)
{
    return -EIO;
}

START_TEST(where_nothing_can_be_written_unlinking_fails_and_what_is_kept_is_read)
{
    struct fs_fixture f;
    struct kvfs_entry entry;
    fixture_open(&f);
    uint64_t gone = make_unlinked(&f, "kept bytes");
    uint64_t before = kept_bytes(&f);
    uint64_t ino = fixture_file(&f, ROOT, "stays");
    fixture_write(&f, ino, 0, "some bytes");
    ck_ok(kvfs_lookup(f.fs, ROOT, "stays", &entry));
    const struct kv_storage_ops *sound = f.storage->ops;
    struct kv_storage_ops failing = *sound;
    failing.log_append = failing_append;
    f.storage->ops = &failing;
    ck_fails(kvfs_unlink(f.fs, ROOT, "stays"), EIO);
    ck_assert_str_eq(fixture_text(&f, gone), "kept bytes");
    f.storage->ops = sound;
    ck_assert_uint_eq(kept_bytes(&f), before);
    ck_assert_str_eq(fixture_text(&f, ino), "some bytes");
    kvfs_forget(f.fs, gone, 1);
    kvfs_forget(f.fs, ino, 1);
    fixture_close(&f);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("fs_unlinked");
    suite_add(suite, "forgotten",
              of_a_small_file_in_use_no_row_is_left_and_nothing_once_it_is_forgotten);
    suite_add(suite, "open", who_has_it_open_finds_its_attributes_and_bytes);
    suite_add(suite, "changed", who_changes_it_makes_it_an_orphan);
    suite_add(suite, "hole", a_file_of_one_hole_is_read_as_zeros);
    suite_add(suite, "kinds", what_is_not_a_file_is_kept_as_well);
    suite_add(suite, "links", the_last_of_two_links_and_what_a_rename_replaces_are_kept);
    suite_add(suite, "large", a_large_file_or_one_with_attributes_becomes_an_orphan);
    suite_add(suite, "bounded", all_that_are_kept_take_bounded_memory);
    suite_add(suite, "failed",
              where_nothing_can_be_written_unlinking_fails_and_what_is_kept_is_read);
    suite_add(suite, "closed", what_is_kept_when_the_filesystem_is_closed_is_gone);
    return suite;
}
