/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over all rows: it is content with what the filesystem writes, and tells each way in
 * which rows can contradict each other. Rows are changed behind the filesystem's back. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include <kv/admin.h>

#include "kvcore/util/coding.h"
#include "tests/fs/fs_tree.h"

enum { ROOT = KVFS_ROOT_INO };

/* ---- one contradiction each -------------------------------------------------------------------
 */

static void more_links(struct inode *inode)
{
    inode->nlink++;
}

static void no_links(struct inode *inode)
{
    inode->nlink = 0;
}

static void larger(struct inode *inode)
{
    inode->size++;
    inode->allocated = inode->size;
}

static void shorter(struct inode *inode)
{
    inode->size -= 5;
}

static void allocates_more(struct inode *inode)
{
    inode->allocated++;
}

static void forgets_attributes(struct inode *inode)
{
    inode->hints = 0;
}

static void another_owner(struct inode *inode)
{
    inode->uid++;
}

static void a_file(struct inode *inode)
{
    inode->mode = S_IFREG | 0644;
    inode->nlink = 1;
    inode->size = 0;
    inode->allocated = 0;
}

static void link_count(struct fs_tree *t)
{
    fs_tree_change_inode(t, t->linked, more_links);
}

static void no_link_no_orphan(struct fs_tree *t)
{
    fs_tree_change_inode(t, t->linked, no_links);
}

static void link_count_of_directory(struct fs_tree *t)
{
    fs_tree_change_entry(t, ROOT, "dir", more_links);
}

static void size_of_directory(struct fs_tree *t)
{
    fs_tree_change_entry(t, t->dir, "inner", larger);
}

static void size_of_file(struct fs_tree *t)
{
    fs_tree_change_entry(t, t->inner, "file", shorter);
}

static void allocated(struct fs_tree *t)
{
    fs_tree_change_entry(t, t->inner, "file", allocates_more);
}

static void hints(struct fs_tree *t)
{
    fs_tree_change_entry(t, t->inner, "file", forgets_attributes);
}

static void summary(struct fs_tree *t)
{
    fs_tree_change_entry(t, t->inner, "file", another_owner);
}

static void directory_is_a_file(struct fs_tree *t)
{
    fs_tree_change_entry(t, t->dir, "inner", a_file);
}

static void backptr_missing(struct fs_tree *t)
{
    struct rowkey key;
    rowkey_backlink(&key, t->linked, ROOT, kv_slice_str("two"));
    fs_tree_change(t, "meta", &key, NULL);
}

static void entry_missing(struct fs_tree *t)
{
    struct rowkey key;
    rowkey_dirent(&key, t->inner, kv_slice_str("file"));
    fs_tree_change(t, "meta", &key, NULL);
}

static void inode_missing(struct fs_tree *t)
{
    struct rowkey key;
    rowkey_inode(&key, t->linked);
    fs_tree_change(t, "meta", &key, NULL);
}

static void entry_lost_for_good(struct fs_tree *t)
{
    struct rowkey key;
    fs_tree_lose_entry(t);
    rowkey_backptr(&key, t->file);
    fs_tree_change(t, "meta", &key, NULL);
}

static void inode_lost(struct fs_tree *t)
{
    struct rowkey key;
    rowkey_inode(&key, t->linked);
    fs_tree_lose(t, "meta", &key);
}

static void backptr_lost(struct fs_tree *t)
{
    struct rowkey key;
    rowkey_backptr(&key, t->file);
    fs_tree_lose(t, "meta", &key);
}

static void index_name_empty(struct fs_tree *t)
{
    struct kv_slice none = kv_slice_str("");
    struct rowkey key;
    rowkey_fact(&key, FORMAT_FACT_INDEX);
    fs_tree_change(t, "meta", &key, &none);
}

static void xattr_lost(struct fs_tree *t)
{
    struct rowkey key;
    rowkey_xattr(&key, t->file, kv_slice_str("user.a"));
    fs_tree_lose(t, "meta", &key);
}

static void facts_missing(struct fs_tree *t)
{
    struct rowkey key;
    rowkey_fact(&key, FORMAT_FACT_NEXT_INODE);
    fs_tree_change(t, "meta", &key, NULL);
    rowkey_fact(&key, FORMAT_FACT_SCHEMA);
    fs_tree_change(t, "meta", &key, NULL);
}

static void root_missing(struct fs_tree *t)
{
    struct rowkey key;
    rowkey_inode(&key, ROOT);
    fs_tree_change(t, "meta", &key, NULL);
}

static void entry_of_another(struct fs_tree *t)
{
    uint8_t bytes[DIRENT_SIZE_MAX];
    struct rowkey key;
    rowkey_dirent(&key, ROOT, kv_slice_str("two"));
    struct kv_slice value =
        kv_slice(bytes, dirent_encode_reference(bytes, t->linked + 1000, DT_REG));
    fs_tree_change(t, "meta", &key, &value);
}

static void type_of_entry(struct fs_tree *t)
{
    uint8_t bytes[DIRENT_SIZE_MAX];
    struct rowkey key;
    rowkey_dirent(&key, ROOT, kv_slice_str("two"));
    struct kv_slice value = kv_slice(bytes, dirent_encode_reference(bytes, t->linked, DT_FIFO));
    fs_tree_change(t, "meta", &key, &value);
}

static void extent_overlaps(struct fs_tree *t)
{
    struct rowkey key;
    struct kv_slice value = kv_slice_str("abcde");
    rowkey_extent(&key, t->file, 12);
    fs_tree_change(t, "data", &key, &value);
}

static void extent_crosses(struct fs_tree *t)
{
    struct rowkey key;
    struct kv_slice value = kv_slice_str("abcde");
    rowkey_extent(&key, t->file, FORMAT_CHUNK_BYTES + 2);
    fs_tree_change(t, "data", &key, &value);
}

static void extent_of_nothing(struct fs_tree *t)
{
    struct rowkey key;
    struct kv_slice value = kv_slice_str("abcde");
    rowkey_extent(&key, 5000, 5);
    fs_tree_change(t, "data", &key, &value);
}

static void orphan_with_links(struct fs_tree *t)
{
    struct rowkey key;
    struct kv_slice value = kv_slice("", 1);
    rowkey_orphan(&key, t->linked);
    fs_tree_change(t, "meta", &key, &value);
}

static void number_never_given(struct fs_tree *t)
{
    uint8_t bytes[8];
    struct rowkey key;
    struct kv_slice value = kv_slice(bytes, sizeof bytes);
    coding_put_u64(bytes, FORMAT_INO_FIRST + 1);
    rowkey_fact(&key, FORMAT_FACT_NEXT_INODE);
    fs_tree_change(t, "meta", &key, &value);
}

static void unknown_kind(struct fs_tree *t)
{
    struct rowkey key = {.size = 2, .bytes = "Qx"};
    struct kv_slice value = kv_slice_str("abc");
    fs_tree_change(t, "meta", &key, &value);
}

static void key_of_no_inode(struct fs_tree *t)
{
    struct rowkey key = {.size = 2, .bytes = "Ix"};
    struct kv_slice value = kv_slice_str("abc");
    fs_tree_change(t, "meta", &key, &value);
}

static void value_that_is_none(struct fs_tree *t)
{
    struct rowkey key;
    struct kv_slice value = kv_slice_str("abc");
    rowkey_inode(&key, t->linked);
    fs_tree_change(t, "meta", &key, &value);
}

/* Of the file that has no bytes one is lost. */
static void lost_behind_the_end(struct fs_tree *t)
{
    const uint8_t field[] = {INODE_TAG_LOST_BELOW, 1, 1};
    struct rowkey key;
    rowkey_inode(&key, t->linked);
    struct kv_buf value = fs_tree_get(t, &key);
    ck_ok(kv_buf_append(&value, kv_slice(field, sizeof field)));
    struct kv_slice bytes = kv_buf_slice(&value);
    fs_tree_change(t, "meta", &key, &bytes);
    kv_buf_finish(&value);
}

/* `dir` is moved into `inner`, which lies in it: entry, back-pointer and counts agree. */
static void ring(struct fs_tree *t)
{
    uint8_t entry_bytes[DIRENT_SIZE_MAX];
    uint8_t bytes[BACKPTR_SIZE_MAX];
    struct dir_entry entry;
    struct rowkey key;
    rowkey_dirent(&key, ROOT, kv_slice_str("dir"));
    struct kv_buf old = fs_tree_get(t, &key);
    ck_ok(dirent_decode(kv_buf_slice(&old), &entry));
    fs_tree_change(t, "meta", &key, NULL);
    struct kv_slice value =
        kv_slice(entry_bytes, dirent_encode_inode(entry_bytes, entry.ino, &entry.inode));
    rowkey_dirent(&key, t->inner, kv_slice_str("dir"));
    fs_tree_change(t, "meta", &key, &value);
    value = kv_slice(bytes, backptr_encode(bytes, t->inner, kv_slice_str("dir"), &entry.inode));
    rowkey_backptr(&key, t->dir);
    fs_tree_change(t, "meta", &key, &value);
    kv_buf_finish(&old);
}

static void entry_senseless(struct fs_tree *t)
{
    struct kv_slice value = kv_slice_str("abc");
    struct rowkey key;
    rowkey_dirent(&key, t->inner, kv_slice_str("file"));
    fs_tree_change(t, "meta", &key, &value);
}

static void backptr_senseless(struct fs_tree *t)
{
    struct kv_slice value = kv_slice_str("abc");
    struct rowkey key;
    rowkey_backptr(&key, t->file);
    fs_tree_change(t, "meta", &key, &value);
}

static void xattr_senseless(struct fs_tree *t)
{
    struct kv_slice value = kv_slice_str("");
    struct rowkey key;
    rowkey_xattr(&key, t->file, kv_slice_str("user.a"));
    fs_tree_change(t, "meta", &key, &value);
}

static void acl_senseless(struct fs_tree *t)
{
    struct kv_slice value = kv_slice("\0abc", 4);
    struct rowkey key;
    rowkey_xattr(&key, t->file, kv_slice_str("system.posix_acl_access"));
    fs_tree_change(t, "meta", &key, &value);
}

static const struct contradiction {
    void (*make)(struct fs_tree *t);
    int code;
    const char *told;
    bool mended;
} contradictions[] = {
    {link_count, KV_PROBLEM_FS_COUNT, "the link count is said to be 3 and is 2", true},
    {no_link_no_orphan, KV_PROBLEM_FS_NO_LINKS, "it has no links and is not marked as an orphan",
     true},
    {link_count_of_directory, KV_PROBLEM_FS_COUNT, "the link count is said to be 4 and is 3", true},
    {size_of_directory, KV_PROBLEM_FS_COUNT, "the number of entries is said to be 2 and is 1",
     true},
    {size_of_file, KV_PROBLEM_FS_EXTENT_BEYOND, "it ends beyond the end of the file", true},
    {allocated, KV_PROBLEM_FS_COUNT, "the number of bytes allocated is said to be 24 and is 23",
     true},
    {hints, KV_PROBLEM_FS_XATTR_HINT, "the inode says that it has no extended attributes", true},
    {summary, KV_PROBLEM_FS_BACK_POINTER_SUMMARY, "its mode or owner are not the inode's", true},
    {directory_is_a_file, KV_PROBLEM_FS_TYPE, "it has entries and is no directory", false},
    {backptr_missing, KV_PROBLEM_FS_ENTRY_UNNAMED, "no back-pointer of its inode names it", true},
    {entry_missing, KV_PROBLEM_FS_BACK_POINTER_ENTRY, "the entry it names is missing", true},
    {inode_missing, KV_PROBLEM_FS_NO_INODE, "there are rows of it, and no inode", true},
    {root_missing, KV_PROBLEM_FS_NO_ROOT, "there is no root directory", true},
    {entry_of_another, KV_PROBLEM_FS_BACK_POINTER_ENTRY,
     "the entry it names is not one of this inode", true},
    {type_of_entry, KV_PROBLEM_FS_TYPE, "the entry tells another type than the inode", true},
    {extent_overlaps, KV_PROBLEM_FS_EXTENT_OVERLAP, "it overlaps the extent before it", true},
    {extent_crosses, KV_PROBLEM_FS_EXTENT, "it crosses the border of a chunk", true},
    {extent_of_nothing, KV_PROBLEM_FS_NO_INODE, "there are rows of it, and no inode", true},
    {orphan_with_links, KV_PROBLEM_FS_ORPHAN, "it is marked as an orphan and is none", true},
    {number_never_given, KV_PROBLEM_FS_INODE_NUMBER, "the number was never given", true},
    {unknown_kind, KV_PROBLEM_FS_ROW_UNKNOWN, "no row of this kind belongs here", true},
    {key_of_no_inode, KV_PROBLEM_FS_ROW_UNKNOWN, "it belongs to no inode", true},
    {value_that_is_none, KV_PROBLEM_FS_INODE, "it is no inode", true},
    {lost_behind_the_end, KV_PROBLEM_FS_INODE, "it is no inode", true},
    {fs_tree_lose_entry, KV_PROBLEM_FS_ROW_LOST, "it cannot be read", true},
    {entry_lost_for_good, KV_PROBLEM_FS_ROW_LOST, "it cannot be read", true},
    {inode_lost, KV_PROBLEM_FS_ROW_LOST, "it cannot be read", true},
    {backptr_lost, KV_PROBLEM_FS_ROW_LOST, "it cannot be read", true},
    {xattr_lost, KV_PROBLEM_FS_ROW_LOST, "it cannot be read", true},
    {fs_tree_lose_index_name, KV_PROBLEM_FS_FACT, "it is no name of an attribute", true},
    {index_name_empty, KV_PROBLEM_FS_FACT, "it is no name of an attribute", true},
    {fs_tree_unname_directory, KV_PROBLEM_FS_NO_INODE, "there are rows of it, and no inode", true},
    {fs_tree_drop_extent, KV_PROBLEM_FS_COUNT,
     "the number of bytes allocated is said to be 23 and is 13", true},
    {facts_missing, KV_PROBLEM_FS_FACT, "it is missing", true},
    {ring, KV_PROBLEM_FS_DISCONNECTED, "the directory does not hang on the root", true},
    {entry_senseless, KV_PROBLEM_FS_ENTRY, "it is no entry", true},
    {backptr_senseless, KV_PROBLEM_FS_BACK_POINTER, "it is no back-pointer", true},
    {xattr_senseless, KV_PROBLEM_FS_XATTR, "it is no extended attribute", true},
    {acl_senseless, KV_PROBLEM_FS_ACL, "it is no ACL that this inode can have", true},
};

START_TEST(a_sound_tree_needs_no_mending)
{
    struct fs_tree t;
    fs_tree_make(&t);
    ck_assert_uint_eq(fs_tree_mend(&t), 1);
    ck_assert_str_eq(t.faults, "");
    fixture_close(&t.f);
}
END_TEST

START_TEST(each_contradiction_between_rows_is_mended)
{
    const struct contradiction *c = &contradictions[_i];
    struct fs_tree t;
    fs_tree_make(&t);
    c->make(&t);
    fs_tree_mend(&t);
    fs_tree_walk(&t);
    if (c->mended) {
        ck_assert_str_eq(t.faults, "");
        ck_assert_uint_eq(t.counts.faults, 0);
    } else {
        ck_assert_uint_gt(t.counts.faults, 0);
    }
    fs_tree_drop(&t);
}
END_TEST

/* On a line of its own, with its code. */
static bool is_told(const char *faults, const struct contradiction *c)
{
    const char *at = strstr(faults, c->told);
    while (at != NULL && at > faults && at[-1] != '\n') {
        at--;
    }
    return at != NULL && strtol(at, NULL, 10) == c->code;
}

START_TEST(each_contradiction_between_rows_is_told)
{
    const struct contradiction *c = &contradictions[_i];
    struct fs_tree t;
    fs_tree_make(&t);
    c->make(&t);
    fs_tree_walk(&t);
    ck_assert_uint_gt(t.counts.faults, 0);
    if (!is_told(t.faults, c)) {
        ck_abort_msg("contradiction %d was told as:\n%s", _i, t.faults);
    }
    fs_tree_drop(&t);
}
END_TEST

/* Those of the index are made in test_fs_index.c; the others are told by who asks for the walk, and
 * tests/tools/test_fsck_rows.py sees that it has a store for each of them. */
static bool is_told_elsewhere(int code)
{
    static const int codes[] = {KV_PROBLEM_FS_INDEX_MISSING,    KV_PROBLEM_FS_INDEX_SURPLUS,
                                KV_PROBLEM_FS_INDEX_UNREADABLE, KV_PROBLEM_FS_INDEX_UNBUILT,
                                KV_PROBLEM_FS_LOST_EXTENTS,     KV_PROBLEM_FS_UNREADABLE,
                                KV_PROBLEM_FS_UNCHECKED};
    bool is = false;
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        is |= codes[i] == code;
    }
    return is;
}

START_TEST(every_code_of_rows_has_a_contradiction)
{
    size_t count;
    const struct kv_problem_kind *kinds = kv_problem_kinds(&count);
    for (size_t i = 0; i < count; i++) {
        bool made = kinds[i].code < KV_PROBLEM_FS_NO_ROOT || is_told_elsewhere(kinds[i].code);
        for (size_t j = 0; j < sizeof contradictions / sizeof contradictions[0]; j++) {
            made |= contradictions[j].code == kinds[i].code;
        }
        ck_assert_msg(made, "%s is told of nothing", kinds[i].name);
    }
}
END_TEST

/* The engine alone, beside a filesystem that was closed. */
static struct kv_store *open_engine(struct fs_tree *t)
{
    const struct kv_options options = {.no_background = true};
    struct kv_store *store = NULL;
    ck_ok(kv_open(t->f.storage, &options, &store));
    return store;
}

static void expect_lost(struct kv_store *store, const char *name, const char *found_as)
{
    struct kvfs_lost_table lost;
    ck_assert_int_eq(kvfs_lost_table(store, &lost), 1);
    ck_assert_str_eq(lost.name, name);
    ck_assert_str_eq(lost.found_as, found_as);
    ck_assert_uint_eq(lost.options.prefix_size, FORMAT_PREFIX_SIZE);
}

/* Else all files would be zeros, or there would be none. */
START_TEST(a_filesystem_that_lost_one_of_its_tables_is_not_opened_with_an_empty_one)
{
    static const char *const names[] = {FORMAT_TABLE_META, FORMAT_TABLE_DATA};
    struct kvfs_options options = {.read_only = true, .without_facts = true};
    struct kvfs_lost_table lost;
    struct kvfs *fs = NULL;
    struct fs_tree t;
    fs_tree_make(&t);
    ck_ok(kvfs_close(t.f.fs));
    struct kv_store *store = open_engine(&t);
    ck_assert_int_eq(kvfs_lost_table(store, &lost), 0);
    ck_ok(kv_table_drop(store, names[_i]));
    expect_lost(store, names[_i], "");
    ck_ok(kv_close(store));
    for (int i = 0; i < 2; i++) {
        ck_fails(kvfs_open_storage(t.f.storage, &options, &fs), KV_EDAMAGED);
        options = (struct kvfs_options){.create = true};
    }
    kv_storage_mem_destroy(t.f.storage);
}
END_TEST

static void put_bytes(struct kv_store *store, const char *name, struct kv_slice key)
{
    struct kv_table *table = NULL;
    ck_ok(kv_table_open(store, name, NULL, &table));
    ck_ok(kv_put(table, key, kv_slice_str("x"), KV_DURABLE_WRITE));
}

static void put_row(struct kv_store *store, const char *name, const struct rowkey *key)
{
    put_bytes(store, name, rowkey_slice(key));
}

START_TEST(the_rest_of_a_lost_table_is_known_by_its_rows)
{
    struct kvfs_lost_table lost;
    struct rowkey key;
    struct fs_tree t;
    fs_tree_make(&t);
    ck_ok(kvfs_close(t.f.fs));
    struct kv_store *store = open_engine(&t);
    rowkey_fact(&key, "x");
    put_row(store, "lost-7", &key);
    rowkey_extent(&key, 20, 1);
    put_row(store, "left", &key);
    put_row(store, "lost-8", &key);
    ck_assert_int_eq(kvfs_lost_table(store, &lost), 0);
    ck_ok(kv_table_drop(store, FORMAT_TABLE_DATA));
    expect_lost(store, FORMAT_TABLE_DATA, "lost-8");
    ck_ok(kv_table_drop(store, FORMAT_TABLE_META));
    expect_lost(store, FORMAT_TABLE_DATA, "lost-8");
    rowkey_inode(&key, 20);
    put_row(store, "lost-9", &key);
    expect_lost(store, FORMAT_TABLE_META, "lost-9");
    ck_ok(kv_close(store));
    kv_storage_mem_destroy(t.f.storage);
}
END_TEST

START_TEST(rows_that_make_no_sense_hide_no_table_that_is_lost)
{
    static const uint8_t nobody[FORMAT_PREFIX_SIZE] = {ROW_DIRENT};
    struct kvfs_options options = {.read_only = true, .without_facts = true};
    struct kvfs *fs = NULL;
    struct fs_tree t;
    fs_tree_make(&t);
    ck_ok(kvfs_close(t.f.fs));
    struct kv_store *store = open_engine(&t);
    put_bytes(store, FORMAT_TABLE_META, kv_slice_str("A"));
    put_bytes(store, FORMAT_TABLE_META, kv_slice_str("D"));
    put_bytes(store, FORMAT_TABLE_META, kv_slice(nobody, sizeof nobody));
    ck_ok(kv_table_drop(store, FORMAT_TABLE_DATA));
    expect_lost(store, FORMAT_TABLE_DATA, "");
    ck_assert_int_eq(kvfs_may_have_files(store), 1);
    ck_ok(kv_close(store));
    ck_fails(kvfs_open_storage(t.f.storage, &options, &fs), KV_EDAMAGED);
    kv_storage_mem_destroy(t.f.storage);
}
END_TEST

START_TEST(all_rows_are_counted)
{
    struct fs_tree t;
    fs_tree_make(&t);
    ck_assert_uint_eq(t.counts.inodes, 5);
    ck_assert_uint_eq(t.counts.directories, 3);
    ck_assert_uint_eq(t.counts.entries, 5);
    ck_assert_uint_eq(t.counts.extents, 2);
    ck_assert_uint_eq(t.counts.xattrs, 1);
    ck_assert_uint_eq(t.counts.orphans, 0);
    ck_assert_uint_eq(t.counts.faults, 0);
    fixture_close(&t.f);
}
END_TEST

START_TEST(a_file_unlinked_while_open_is_an_orphan_and_no_fault)
{
    struct fs_tree t;
    struct kvfs_file *file = NULL;
    fs_tree_make(&t);
    ck_ok(kvfs_file_open(t.f.fs, t.file, 0, &file));
    ck_ok(kvfs_unlink(t.f.fs, t.inner, "file"));
    fs_tree_walk(&t);
    ck_assert_str_eq(t.faults, "");
    ck_assert_uint_eq(t.counts.orphans, 1);
    kvfs_file_close(file);
    fs_tree_walk(&t);
    ck_assert_uint_eq(t.counts.orphans, 0);
    fixture_close(&t.f);
}
END_TEST

START_TEST(a_directory_removed_while_in_use_is_an_orphan_and_no_fault)
{
    struct fs_tree t;
    struct kvfs_entry entry;
    fs_tree_make(&t);
    ck_ok(kvfs_mkdir(t.f.fs, &fixture_who, ROOT, "used", 0755, &entry));
    ck_ok(kvfs_setxattr(t.f.fs, entry.ino, "user.note", kv_slice_str("not kept in memory"), 0));
    ck_ok(kvfs_rmdir(t.f.fs, ROOT, "used"));
    fs_tree_walk(&t);
    ck_assert_str_eq(t.faults, "");
    ck_assert_uint_eq(t.counts.orphans, 1);
    kvfs_forget(t.f.fs, entry.ino, 1);
    fixture_close(&t.f);
}
END_TEST

START_TEST(directories_in_each_other_a_thousand_deep_hang_together)
{
    struct fs_tree t;
    fs_tree_make(&t);
    uint64_t at = t.inner;
    for (int i = 0; i < 1000; i++) {
        at = fixture_dir(&t.f, at, "d");
    }
    fs_tree_walk(&t);
    ck_assert_str_eq(t.faults, "");
    ck_assert_uint_eq(t.counts.directories, 1003);
    fixture_close(&t.f);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("fs_check");
    TCase *told = tcase_create("told");
    tcase_add_loop_test(told, each_contradiction_between_rows_is_told, 0,
                        (int)(sizeof contradictions / sizeof contradictions[0]));
    tcase_add_loop_test(told, each_contradiction_between_rows_is_mended, 0,
                        (int)(sizeof contradictions / sizeof contradictions[0]));
    suite_add_tcase(suite, told);
    suite_add(suite, "codes", every_code_of_rows_has_a_contradiction);
    suite_add(suite, "sound", a_sound_tree_needs_no_mending);
    TCase *lost = tcase_create("lost_table");
    tcase_add_loop_test(
        lost, a_filesystem_that_lost_one_of_its_tables_is_not_opened_with_an_empty_one, 0, 2);
    tcase_add_test(lost, the_rest_of_a_lost_table_is_known_by_its_rows);
    tcase_add_test(lost, rows_that_make_no_sense_hide_no_table_that_is_lost);
    suite_add_tcase(suite, lost);
    suite_add(suite, "counts", all_rows_are_counted);
    suite_add(suite, "orphan", a_file_unlinked_while_open_is_an_orphan_and_no_fault);
    suite_add(suite, "orphan_dir", a_directory_removed_while_in_use_is_an_orphan_and_no_fault);
    suite_add(suite, "deep", directories_in_each_other_a_thousand_deep_hang_together);
    return suite;
}
