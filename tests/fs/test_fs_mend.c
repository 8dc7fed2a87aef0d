/* SPDX-License-Identifier: Apache-2.0 */
/* Mending rows: what comes back of files whose rows were lost or contradict each other, and under
 * which names. */
#include <linux/falloc.h>
#include <stdio.h>

#include "fs/core/extent.h"
#include "fs/core/mend_holes.h"
#include "tests/fs/fs_tree.h"

enum { ROOT = KVFS_ROOT_INO };

static void mend_all(struct fs_tree *t)
{
    fs_tree_mend(t);
    fs_tree_walk(t);
    ck_assert_str_eq(t->faults, "");
    fixture_reopen(&t->f);
}

static uint64_t find(struct fs_tree *t, uint64_t parent, const char *name)
{
    struct kvfs_entry entry;
    ck_ok(kvfs_lookup(t->f.fs, parent, name, &entry));
    kvfs_forget(t->f.fs, entry.ino, 1);
    return entry.ino;
}

START_TEST(a_file_whose_entry_is_lost_comes_back_with_name_mode_and_contents)
{
    struct kvfs_entry before, after;
    struct kv_buf value = {0};
    struct fs_tree t;
    fs_tree_make(&t);
    before = fixture_stat(&t.f, t.file);
    fs_tree_lose_entry(&t);
    mend_all(&t);
    ck_assert_uint_eq(find(&t, t.inner, "file"), t.file);
    after = fixture_stat(&t.f, t.file);
    ck_assert_uint_eq(after.stat.st_mode, before.stat.st_mode);
    ck_assert_uint_eq(after.stat.st_uid, before.stat.st_uid);
    ck_assert_int_eq(after.stat.st_size, before.stat.st_size);
    ck_assert_int_eq(after.stat.st_blocks, before.stat.st_blocks);
    ck_assert_str_eq(fixture_text(&t.f, t.file), "0123456789");
    ck_ok(kvfs_getxattr(t.f.fs, t.file, "user.a", &value));
    ck_assert(kv_slice_equal(kv_buf_slice(&value), kv_slice_str("x")));
    kv_buf_finish(&value);
    fixture_close(&t.f);
}
END_TEST

START_TEST(a_directory_whose_entry_is_lost_comes_back_with_what_is_in_it)
{
    struct rowkey key;
    struct fs_tree t;
    fs_tree_make(&t);
    rowkey_dirent(&key, ROOT, kv_slice_str("dir"));
    fs_tree_change(&t, "meta", &key, NULL);
    mend_all(&t);
    ck_assert_str_eq(fixture_list(&t.f, ROOT), "dir two");
    ck_assert_str_eq(fixture_list(&t.f, find(&t, ROOT, "dir")), "inner one");
    ck_assert_uint_eq(find(&t, t.dir, "one"), find(&t, ROOT, "two"));
    fixture_close(&t.f);
}
END_TEST

START_TEST(what_no_row_names_goes_to_lost_and_found)
{
    char name[32];
    struct fs_tree t;
    uint64_t lost_found;
    fs_tree_make(&t);
    fs_tree_unname_directory(&t);
    mend_all(&t);
    ck_assert_str_eq(fixture_list(&t.f, ROOT), "lost+found two");
    lost_found = find(&t, ROOT, "lost+found");
    snprintf(name, sizeof name, "#%llu", (unsigned long long)t.dir);
    ck_assert_str_eq(fixture_list(&t.f, lost_found), name);
    ck_assert_str_eq(fixture_list(&t.f, find(&t, lost_found, name)), "inner one");
    ck_assert_uint_gt(fixture_file(&t.f, ROOT, "new"), lost_found);
    fixture_close(&t.f);
}
END_TEST

START_TEST(a_name_that_is_lost_for_good_is_absent_and_may_be_made_again)
{
    struct kvfs_entry entry;
    struct rowkey key;
    struct fs_tree t;
    fs_tree_make(&t);
    rowkey_dirent(&key, t.inner, kv_slice_str("gone"));
    fs_tree_lose(&t, "meta", &key);
    ck_fails(kvfs_lookup(t.f.fs, t.inner, "gone", &entry), EIO);
    mend_all(&t);
    ck_fails(kvfs_lookup(t.f.fs, t.inner, "gone", &entry), ENOENT);
    fixture_file(&t.f, t.inner, "gone");
    ck_assert_str_eq(fixture_list(&t.f, t.inner), "file gone");
    fixture_close(&t.f);
}
END_TEST

/* Reading [offset, offset + size) gives `wanted`, a size or an error. */
static void expect_read(struct fs_tree *t, uint64_t offset, size_t size, int wanted)
{
    struct kv_buf bytes = {0};
    int r = kvfs_read(t->f.fs, t->file, offset, size, &bytes);
    ck_assert_int_eq(r < 0 ? r : (int)bytes.size, wanted);
    kv_buf_finish(&bytes);
}

START_TEST(bytes_that_were_lost_are_errors_and_never_zeros)
{
    struct fs_tree t;
    fs_tree_make(&t);
    fs_tree_drop_extent(&t);
    mend_all(&t);
    expect_read(&t, 0, 10, -EIO);
    expect_read(&t, (uint64_t)3 * FORMAT_CHUNK_BYTES, 13, 13);
    fixture_write(&t.f, t.file, 0, "written again");
    expect_read(&t, 0, 13, 13);
    fixture_close(&t.f);
}
END_TEST

/* As a repair makes it anew that finds nothing of the old one. */
static void empty_contents(struct fs_tree *t)
{
    const struct kv_options options = {.no_background = true};
    const struct kv_table_options like = {.prefix_size = FORMAT_PREFIX_SIZE};
    struct kv_store *store = NULL;
    struct kv_table *table = NULL;
    ck_ok(kvfs_close(t->f.fs));
    ck_ok(kv_open(t->f.storage, &options, &store));
    ck_ok(kv_table_drop(store, FORMAT_TABLE_DATA));
    ck_ok(kv_table_open(store, FORMAT_TABLE_DATA, &like, &table));
    ck_ok(kv_close(store));
    fixture_open_again(&t->f);
}

START_TEST(a_file_without_any_of_its_contents_keeps_all_else_and_cannot_be_read)
{
    uint64_t at = (uint64_t)3 * FORMAT_CHUNK_BYTES;
    struct kvfs_entry before, after;
    struct fs_tree t;
    fs_tree_make(&t);
    before = fixture_stat(&t.f, t.file);
    empty_contents(&t);
    mend_all(&t);
    after = fixture_stat(&t.f, t.file);
    ck_assert_int_eq(after.stat.st_size, before.stat.st_size);
    ck_assert_int_eq(after.stat.st_mtim.tv_nsec, before.stat.st_mtim.tv_nsec);
    expect_read(&t, 0, 10, -EIO);
    expect_read(&t, FORMAT_CHUNK_BYTES, 10, -EIO); /* nobody knows of holes any more */
    expect_read(&t, at, 13, -EIO);
    ck_assert_str_eq(fixture_text(&t.f, t.linked), "");
    fixture_write(&t.f, t.file, at, "written again");
    expect_read(&t, at, 13, 13);
    expect_read(&t, 0, 10, -EIO);
    fixture_close(&t.f);
}
END_TEST

/* ---- more than is told by rows ----------------------------------------------------------------
 */

enum { CHUNK = FORMAT_CHUNK_BYTES, BOUND = MEND_LOST_EXTENTS_MAX };

static void set_size(struct fs_tree *t, uint64_t ino, uint64_t size)
{
    const struct stat attr = {.st_size = (off_t)size};
    struct kvfs_entry entry;
    ck_ok(kvfs_setattr(t->f.fs, ino, &attr, KVFS_SET_SIZE, &entry));
}

static void huge(struct inode *inode)
{
    inode->size = inode->allocated = KVFS_FILE_SIZE_MAX;
}

static void expect_lost_below(struct fs_tree *t, const uint64_t *offsets)
{
    for (; *offsets != UINT64_MAX; offsets++) {
        expect_read(t, *offsets, 10, -EIO);
    }
}

/* A damaged size may be any number, and so may what is said to be allocated. */
START_TEST(a_file_of_any_size_is_mended_in_one_walk_by_a_few_rows)
{
    static const uint64_t lost[] = {10,         (uint64_t)3 * CHUNK - 10, (uint64_t)3 * CHUNK + 13,
                                    1ULL << 61, KVFS_FILE_SIZE_MAX - 10,  UINT64_MAX};
    struct fs_tree t;
    fs_tree_make(&t);
    fs_tree_change_entry(&t, t.inner, "file", huge);
    fixture_reopen(&t.f);
    ck_assert_uint_eq(fs_tree_mend(&t), 2);
    mend_all(&t);
    ck_assert_uint_eq(t.counts.lost_holes, 1);
    ck_assert_uint_eq(t.counts.lost_extents, 0);
    ck_assert_uint_eq(fixture_count_rows(&t.f, "data", ROW_EXTENT), 2);
    ck_assert_str_eq(fixture_text(&t.f, t.linked), "");
    expect_lost_below(&t, lost);
    expect_read(&t, 0, 10, 10);
    expect_read(&t, (uint64_t)3 * CHUNK, 13, 13);
    set_size(&t, t.file, 20);
    expect_read(&t, 10, 10, -EIO);
    fixture_close(&t.f);
}
END_TEST

START_TEST(a_sparse_file_without_its_contents_has_no_zeros)
{
    uint64_t at = (uint64_t)1 << 40;
    const uint64_t lost[] = {0, at / 2, at - (uint64_t)3 * CHUNK, at, UINT64_MAX};
    struct fs_tree t;
    fs_tree_make(&t);
    fixture_write(&t.f, t.file, at, "at the end");
    empty_contents(&t);
    ck_assert_uint_eq(fs_tree_mend(&t), 2);
    mend_all(&t);
    ck_assert_uint_eq(fixture_count_rows(&t.f, "data", ROW_EXTENT), 0);
    expect_lost_below(&t, lost);
    set_size(&t, t.file, 2 * at);
    ck_assert_uint_eq(fs_tree_mend(&t), 1); /* what came later is a hole */
    expect_read(&t, at + 10, 10, 10);
    fixture_close(&t.f);
}
END_TEST

/* With a byte in the last chunk, which is lost. */
static void mend_file_of(struct fs_tree *t, uint64_t chunks)
{
    fs_tree_make(t);
    fixture_write(&t->f, t->file, chunks * CHUNK - 1, "x");
    empty_contents(t);
    mend_all(t);
    expect_read(t, 0, 10, -EIO);
    expect_read(t, chunks * CHUNK - 1, 1, -EIO);
    expect_read(t, chunks * CHUNK / 2, 1, -EIO);
}

START_TEST(a_file_has_lost_extents_up_to_a_bound)
{
    struct fs_tree t;
    mend_file_of(&t, BOUND);
    ck_assert_uint_eq(t.counts.lost_extents, BOUND);
    ck_assert_uint_eq(t.counts.lost_holes, 0);
    ck_ok(kvfs_fallocate(t.f.fs, t.file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 10));
    expect_read(&t, 0, 10, 10);
    fixture_close(&t.f);
    mend_file_of(&t, BOUND + 1);
    ck_assert_uint_eq(t.counts.lost_extents, 0);
    ck_assert_uint_eq(t.counts.lost_holes, 1);
    fixture_close(&t.f);
}
END_TEST

/* The inode counts the lost extents there are: they were in one batch. */
static void expect_whole(struct fs_tree *t, const char *name, uint64_t ino)
{
    uint64_t bytes, lost;
    struct dir_entry entry;
    struct rowkey key;
    rowkey_dirent(&key, ROOT, kv_slice_str(name));
    struct kv_buf value = fs_tree_get(t, &key);
    ck_ok(dirent_decode(kv_buf_slice(&value), &entry));
    kv_buf_finish(&value);
    ck_ok(extent_count(t->f.fs, ino, &bytes, &lost));
    ck_assert_uint_eq(entry.inode.lost_bytes, lost);
}

/* All files together take more lost extents than a batch does, and no file is mended in part. */
START_TEST(files_that_take_several_batches_have_no_zeros_in_the_end)
{
    enum { FILES = 220 };
    uint64_t size = (uint64_t)BOUND * CHUNK;
    uint64_t inos[FILES];
    char name[16];
    struct fs_tree t;
    fs_tree_make(&t);
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "%u", i);
        inos[i] = fixture_file(&t.f, ROOT, name);
        fixture_write(&t.f, inos[i], size - 1, "x");
    }
    empty_contents(&t);
    fs_tree_mend_once(&t);
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "%u", i);
        expect_whole(&t, name, inos[i]);
    }
    ck_assert_uint_gt(fs_tree_mend(&t), 1);
    mend_all(&t);
    ck_assert_uint_eq(t.counts.lost_holes, 0);
    for (unsigned i = 0; i < FILES; i++) {
        t.file = inos[i];
        expect_read(&t, 0, 10, -EIO);
        expect_read(&t, size / 2, 10, -EIO);
        expect_read(&t, size - 1, 1, -EIO);
    }
    fixture_close(&t.f);
}
END_TEST

/* The file of the tree, of 3 chunks and 13 bytes and once more 2,000 chunks, in which all that has
 * no extent is lost but for what was added since: 4 chunks. */
static void make_lost_holes(struct fs_tree *t)
{
    uint64_t size = (uint64_t)2000 * CHUNK;
    fs_tree_make(t);
    fixture_write(&t->f, t->file, size - 1, "x");
    empty_contents(t);
    mend_all(t);
    ck_assert_uint_eq(t->counts.lost_holes, 1);
    fixture_write(&t->f, t->file, 0, "0123456789");
    set_size(t, t->file, size + (uint64_t)4 * CHUNK);
    expect_read(t, 10, 1, -EIO);
    expect_read(t, size, 1, 1);
}

START_TEST(what_is_lost_of_such_a_file_later_is_lost_as_well)
{
    uint64_t size = (uint64_t)2000 * CHUNK;
    struct rowkey key;
    struct fs_tree t;
    make_lost_holes(&t);
    fixture_write(&t.f, t.file, size + CHUNK, "behind");
    fs_tree_drop_extent(&t); /* of the ten bytes at the beginning */
    mend_all(&t);
    ck_assert_uint_eq(t.counts.lost_holes, 1);
    expect_read(&t, 0, 10, -EIO);
    expect_read(&t, size, 1, -EIO); /* nobody knows where they were */
    expect_read(&t, size + CHUNK, 6, 6);
    rowkey_extent(&key, t.file, size + CHUNK + 6);
    fs_tree_change(&t, "data", &key, NULL);
    mend_all(&t);
    expect_read(&t, size + CHUNK, 1, -EIO);
    ck_assert_uint_eq(t.counts.lost_extents, 4);
    fixture_close(&t.f);
}
END_TEST

/* What the inode said is lost with it; a fact tells that there was such a one. */
START_TEST(holes_of_a_lost_inode_are_lost_where_one_may_have_said_so)
{
    struct rowkey key;
    struct fs_tree t;
    make_lost_holes(&t);
    fixture_write(&t.f, t.file, (uint64_t)1500 * CHUNK, "last");
    rowkey_fact(&key, FORMAT_FACT_LOST_BELOW);
    if (_i == 1) {
        fs_tree_lose(&t, "meta", &key);
    } else if (_i == 2) {
        fs_tree_change(&t, "meta", &key, NULL);
        rowkey_fact(&key, FORMAT_FACT_NEXT_INODE);
        fs_tree_change(&t, "meta", &key, NULL);
    }
    fs_tree_lose_entry(&t);
    mend_all(&t);
    ck_assert_uint_eq(find(&t, t.inner, "file"), t.file);
    expect_read(&t, 0, 10, 10);
    expect_read(&t, 10, 1, -EIO);
    expect_read(&t, (uint64_t)1000 * CHUNK, 10, -EIO);
    expect_read(&t, (uint64_t)1500 * CHUNK, 4, 4);
    fixture_close(&t.f);
}
END_TEST

static void huge_and_not_allocated(struct inode *inode)
{
    inode->size = KVFS_FILE_SIZE_MAX;
}

START_TEST(a_hole_that_lacks_nothing_stays_one_whatever_its_size)
{
    struct fs_tree t;
    fs_tree_make(&t);
    fs_tree_change_entry(&t, t.inner, "file", huge_and_not_allocated);
    fixture_reopen(&t.f);
    ck_assert_uint_eq(fs_tree_mend(&t), 1);
    expect_read(&t, 10, 10, 10);
    fixture_close(&t.f);
}
END_TEST

START_TEST(an_inode_without_a_name_keeps_what_is_lost_of_it)
{
    struct rowkey key;
    char name[32];
    struct fs_tree t;
    fs_tree_make(&t);
    fs_tree_change_inode(&t, t.linked, huge);
    rowkey_dirent(&key, ROOT, kv_slice_str("two"));
    fs_tree_change(&t, "meta", &key, NULL);
    rowkey_backlink(&key, t.linked, ROOT, kv_slice_str("two"));
    fs_tree_change(&t, "meta", &key, NULL);
    rowkey_dirent(&key, t.dir, kv_slice_str("one"));
    fs_tree_change(&t, "meta", &key, NULL);
    rowkey_backlink(&key, t.linked, t.dir, kv_slice_str("one"));
    fs_tree_change(&t, "meta", &key, NULL);
    mend_all(&t);
    snprintf(name, sizeof name, "#%llu", (unsigned long long)t.linked);
    t.file = find(&t, find(&t, ROOT, "lost+found"), name);
    ck_assert_uint_eq(t.file, t.linked);
    expect_read(&t, (uint64_t)1 << 50, 10, -EIO);
    ck_assert_uint_eq(t.counts.lost_holes, 1);
    ck_assert_uint_eq(t.counts.lost_extents, 0);
    fixture_close(&t.f);
}
END_TEST

START_TEST(bytes_in_front_of_a_lost_extent_are_lost_with_it)
{
    uint64_t at = (uint64_t)3 * FORMAT_CHUNK_BYTES;
    struct rowkey key;
    struct fs_tree t;
    fs_tree_make(&t);
    fs_tree_drop_extent(&t);
    rowkey_extent(&key, t.file, at + 13);
    fs_tree_lose(&t, "data", &key);
    mend_all(&t);
    expect_read(&t, 0, 10, -EIO);
    expect_read(&t, at, 13, -EIO);
    fixture_close(&t.f);
}
END_TEST

START_TEST(a_store_whose_index_has_no_name_any_more_is_opened_without_one)
{
    struct fs_tree t;
    fs_tree_make(&t);
    fs_tree_lose_index_name(&t);
    fixture_reopen(&t.f);
    ck_assert_uint_eq(find(&t, t.inner, "file"), t.file);
    mend_all(&t);
    fixture_close(&t.f);
}
END_TEST

START_TEST(nothing_in_lost_and_found_makes_way_for_what_comes_there)
{
    char name[32], wanted[80];
    struct fs_tree t;
    uint64_t lost_found, taken;
    fs_tree_make(&t);
    lost_found = fixture_dir(&t.f, ROOT, "lost+found");
    snprintf(name, sizeof name, "#%llu", (unsigned long long)t.dir);
    snprintf(wanted, sizeof wanted, "%s %s.1", name, name);
    taken = fixture_file(&t.f, lost_found, name);
    fs_tree_unname_directory(&t);
    mend_all(&t);
    ck_assert_str_eq(fixture_list(&t.f, lost_found), wanted);
    ck_assert_uint_eq(find(&t, lost_found, name), taken);
    fixture_close(&t.f);
}
END_TEST

/* As if rows had been lost among the extents of the file that end in [from, to]; `to` 0: no bound.
 */
static void mend_between(struct fs_tree *t, uint64_t from, uint64_t to)
{
    struct kvfs_key_range range = {{0}, {0}};
    struct kvfs_lost_rows lost = {.data = {&range, 1, false}};
    struct kv_batch *rows = NULL;
    struct rowkey key;
    rowkey_extent(&key, t->file, from);
    ck_ok(kv_buf_assign(&range.from, rowkey_slice(&key)));
    rowkey_extent(&key, t->file, to);
    ck_ok(to != 0 ? kv_buf_assign(&range.to, rowkey_slice(&key)) : 0);
    ck_ok(kv_batch_create(&rows));
    ck_ok(kvfs_mend(t->f.fs, fs_tree_tell, t, &lost, rows, &t->counts));
    ck_ok(kv_write(kvfs_store(t->f.fs), rows, KV_DURABLE_WRITE));
    kv_batch_destroy(rows);
    kv_buf_finish(&range.from);
    kv_buf_finish(&range.to);
}

START_TEST(holes_outside_of_the_lost_keys_stay_holes)
{
    struct fs_tree t;
    fs_tree_make(&t);
    fs_tree_drop_extent(&t);
    mend_between(&t, 1, 40);
    mend_all(&t);
    expect_read(&t, 0, 10, -EIO);
    expect_read(&t, FORMAT_CHUNK_BYTES, 10, 10);
    fixture_close(&t.f);
}
END_TEST

START_TEST(a_hole_is_passed_over_at_once_up_to_the_lost_keys_in_it)
{
    uint64_t at = (uint64_t)1 << 50;
    struct rowkey key;
    struct fs_tree t;
    fs_tree_make(&t);
    fixture_write(&t.f, t.file, at, "at the end");
    rowkey_extent(&key, t.file, at + 10);
    fs_tree_change(&t, "data", &key, NULL);
    mend_between(&t, at - 10, 0);
    mend_all(&t);
    ck_assert_uint_eq(t.counts.lost_extents, 2);
    expect_read(&t, at, 10, -EIO);
    expect_read(&t, at - 10, 10, -EIO);
    expect_read(&t, at - 2 * FORMAT_CHUNK_BYTES, 10, 10);
    expect_read(&t, (uint64_t)3 * FORMAT_CHUNK_BYTES, 13, 13);
    fixture_close(&t.f);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("fs_mend");
    suite_add(suite, "file_back",
              a_file_whose_entry_is_lost_comes_back_with_name_mode_and_contents);
    suite_add(suite, "dir_back", a_directory_whose_entry_is_lost_comes_back_with_what_is_in_it);
    suite_add(suite, "lost_found", what_no_row_names_goes_to_lost_and_found);
    suite_add(suite, "absent", a_name_that_is_lost_for_good_is_absent_and_may_be_made_again);
    suite_add(suite, "lost_bytes", bytes_that_were_lost_are_errors_and_never_zeros);
    suite_add(suite, "no_contents",
              a_file_without_any_of_its_contents_keeps_all_else_and_cannot_be_read);
    suite_add(suite, "huge", a_file_of_any_size_is_mended_in_one_walk_by_a_few_rows);
    suite_add(suite, "sparse", a_sparse_file_without_its_contents_has_no_zeros);
    suite_add(suite, "bound", a_file_has_lost_extents_up_to_a_bound);
    suite_add(suite, "batches", files_that_take_several_batches_have_no_zeros_in_the_end);
    suite_add(suite, "again", what_is_lost_of_such_a_file_later_is_lost_as_well);
    TCase *forgotten = tcase_create("forgotten");
    tcase_add_loop_test(forgotten, holes_of_a_lost_inode_are_lost_where_one_may_have_said_so, 0, 3);
    suite_add_tcase(suite, forgotten);
    suite_add(suite, "huge_hole", a_hole_that_lacks_nothing_stays_one_whatever_its_size);
    suite_add(suite, "nameless", an_inode_without_a_name_keeps_what_is_lost_of_it);
    suite_add(suite, "lost_before", bytes_in_front_of_a_lost_extent_are_lost_with_it);
    suite_add(suite, "index_name", a_store_whose_index_has_no_name_any_more_is_opened_without_one);
    suite_add(suite, "taken", nothing_in_lost_and_found_makes_way_for_what_comes_there);
    suite_add(suite, "holes", holes_outside_of_the_lost_keys_stay_holes);
    suite_add(suite, "large_hole", a_hole_is_passed_over_at_once_up_to_the_lost_keys_in_it);
    return suite;
}
