/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over all rows: it is content with what the filesystem writes, and tells each way in
 * which rows can contradict each other. Rows are changed behind the filesystem's back. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "kvcore/util/coding.h"
#include "tests/fs/fs_fixture.h"

enum { ROOT = KVFS_ROOT_INO, TEXT_SIZE = 8192 };

/* A tree with one of each: directories in each other, a file that lives in its entry, one with two
 * links, contents, an attribute. */
struct tree {
    struct fs_fixture f;
    uint64_t dir, inner, file, linked;
    struct kvfs_check_counts counts;
    char faults[TEXT_SIZE]; /* of the last walk, one a line */
};

static void tell(void *arg, int code, const char *text)
{
    struct tree *t = arg;
    size_t size = strlen(t->faults);
    snprintf(t->faults + size, TEXT_SIZE - size, "%s\n", text);
}

static void walk(struct tree *t)
{
    t->faults[0] = 0;
    ck_ok(kvfs_check(t->f.fs, tell, t, &t->counts));
}

static void make_tree(struct tree *t)
{
    struct kvfs_entry entry;
    fixture_open(&t->f);
    t->dir = fixture_dir(&t->f, ROOT, "dir");
    t->inner = fixture_dir(&t->f, t->dir, "inner");
    t->file = fixture_file(&t->f, t->inner, "file");
    fixture_write(&t->f, t->file, 0, "0123456789");
    fixture_write(&t->f, t->file, (uint64_t)3 * FORMAT_CHUNK_BYTES, "behind a hole");
    ck_ok(kvfs_setxattr(t->f.fs, t->file, "user.a", kv_slice_str("x"), 0));
    t->linked = fixture_file(&t->f, t->dir, "one");
    ck_ok(kvfs_link(t->f.fs, t->linked, ROOT, "two", &entry));
    kvfs_forget(t->f.fs, entry.ino, 1);
    walk(t);
    ck_assert_str_eq(t->faults, "");
}

/* The rows are wrong: no check as fixture_close() makes it. */
static void drop_tree(struct tree *t)
{
    ck_ok(kvfs_close(t->f.fs));
    kv_storage_mem_destroy(t->f.storage);
}

/* Changes one row; `value` NULL deletes it. */
static void change(struct tree *t, const char *table, const struct rowkey *key,
                   const struct kv_slice *value)
{
    struct kv_batch *batch = NULL;
    ck_ok(kv_batch_create(&batch));
    if (value != NULL) {
        ck_ok(kv_batch_put(batch, fixture_table(&t->f, table), rowkey_slice(key), *value));
    } else {
        ck_ok(kv_batch_delete(batch, fixture_table(&t->f, table), rowkey_slice(key)));
    }
    ck_ok(kv_write(kvfs_store(t->f.fs), batch, KV_DURABLE_WRITE));
    kv_batch_destroy(batch);
}

static struct kv_buf get(struct tree *t, const struct rowkey *key)
{
    struct kv_buf value = {0};
    ck_ok(kv_get_copy(fixture_table(&t->f, "meta"), NULL, rowkey_slice(key), &value));
    return value;
}

/* The inode in an entry, or of an I row (name NULL), is changed by `fn` and written again. */
typedef void inode_fn(struct inode *inode);

static void change_entry(struct tree *t, uint64_t parent, const char *name, inode_fn *fn)
{
    uint8_t bytes[DIRENT_SIZE_MAX];
    struct dir_entry entry;
    struct rowkey key;
    rowkey_dirent(&key, parent, kv_slice_str(name));
    struct kv_buf old = get(t, &key);
    ck_ok(dirent_decode(kv_buf_slice(&old), &entry));
    fn(&entry.inode);
    struct kv_slice value = kv_slice(bytes, dirent_encode_inode(bytes, entry.ino, &entry.inode));
    change(t, "meta", &key, &value);
    kv_buf_finish(&old);
}

static void change_inode(struct tree *t, uint64_t ino, inode_fn *fn)
{
    uint8_t bytes[INODE_SIZE_MAX];
    struct inode inode;
    struct rowkey key;
    rowkey_inode(&key, ino);
    struct kv_buf old = get(t, &key);
    ck_ok(inode_decode(kv_buf_slice(&old), &inode));
    fn(&inode);
    struct kv_slice value = kv_slice(bytes, inode_encode(bytes, &inode));
    change(t, "meta", &key, &value);
    kv_buf_finish(&old);
}

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

static void link_count(struct tree *t)
{
    change_inode(t, t->linked, more_links);
}

static void no_link_no_orphan(struct tree *t)
{
    change_inode(t, t->linked, no_links);
}

static void link_count_of_directory(struct tree *t)
{
    change_entry(t, ROOT, "dir", more_links);
}

static void size_of_directory(struct tree *t)
{
    change_entry(t, t->dir, "inner", larger);
}

static void size_of_file(struct tree *t)
{
    change_entry(t, t->inner, "file", shorter);
}

static void allocated(struct tree *t)
{
    change_entry(t, t->inner, "file", allocates_more);
}

static void hints(struct tree *t)
{
    change_entry(t, t->inner, "file", forgets_attributes);
}

static void summary(struct tree *t)
{
    change_entry(t, t->inner, "file", another_owner);
}

static void directory_is_a_file(struct tree *t)
{
    change_entry(t, t->dir, "inner", a_file);
}

static void backptr_missing(struct tree *t)
{
    struct rowkey key;
    rowkey_backlink(&key, t->linked, ROOT, kv_slice_str("two"));
    change(t, "meta", &key, NULL);
}

static void entry_missing(struct tree *t)
{
    struct rowkey key;
    rowkey_dirent(&key, t->inner, kv_slice_str("file"));
    change(t, "meta", &key, NULL);
}

static void inode_missing(struct tree *t)
{
    struct rowkey key;
    rowkey_inode(&key, t->linked);
    change(t, "meta", &key, NULL);
}

static void root_missing(struct tree *t)
{
    struct rowkey key;
    rowkey_inode(&key, ROOT);
    change(t, "meta", &key, NULL);
}

static void entry_of_another(struct tree *t)
{
    uint8_t bytes[DIRENT_SIZE_MAX];
    struct rowkey key;
    rowkey_dirent(&key, ROOT, kv_slice_str("two"));
    struct kv_slice value =
        kv_slice(bytes, dirent_encode_reference(bytes, t->linked + 1000, DT_REG));
    change(t, "meta", &key, &value);
}

static void type_of_entry(struct tree *t)
{
    uint8_t bytes[DIRENT_SIZE_MAX];
    struct rowkey key;
    rowkey_dirent(&key, ROOT, kv_slice_str("two"));
    struct kv_slice value = kv_slice(bytes, dirent_encode_reference(bytes, t->linked, DT_FIFO));
    change(t, "meta", &key, &value);
}

static void extent_overlaps(struct tree *t)
{
    struct rowkey key;
    struct kv_slice value = kv_slice_str("abcde");
    rowkey_extent(&key, t->file, 12);
    change(t, "data", &key, &value);
}

static void extent_crosses(struct tree *t)
{
    struct rowkey key;
    struct kv_slice value = kv_slice_str("abcde");
    rowkey_extent(&key, t->file, FORMAT_CHUNK_BYTES + 2);
    change(t, "data", &key, &value);
}

static void extent_of_nothing(struct tree *t)
{
    struct rowkey key;
    struct kv_slice value = kv_slice_str("abcde");
    rowkey_extent(&key, 5000, 5);
    change(t, "data", &key, &value);
}

static void orphan_with_links(struct tree *t)
{
    struct rowkey key;
    struct kv_slice value = kv_slice("", 1);
    rowkey_orphan(&key, t->linked);
    change(t, "meta", &key, &value);
}

static void number_never_given(struct tree *t)
{
    uint8_t bytes[8];
    struct rowkey key;
    struct kv_slice value = kv_slice(bytes, sizeof bytes);
    coding_put_u64(bytes, FORMAT_INO_FIRST + 1);
    rowkey_fact(&key, FORMAT_FACT_NEXT_INODE);
    change(t, "meta", &key, &value);
}

static void unknown_kind(struct tree *t)
{
    struct rowkey key = {.size = 2, .bytes = "Qx"};
    struct kv_slice value = kv_slice_str("abc");
    change(t, "meta", &key, &value);
}

static void key_of_no_inode(struct tree *t)
{
    struct rowkey key = {.size = 2, .bytes = "Ix"};
    struct kv_slice value = kv_slice_str("abc");
    change(t, "meta", &key, &value);
}

static void value_that_is_none(struct tree *t)
{
    struct rowkey key;
    struct kv_slice value = kv_slice_str("abc");
    rowkey_inode(&key, t->linked);
    change(t, "meta", &key, &value);
}

/* `dir` is moved into `inner`, which lies in it: entry, back-pointer and counts agree. */
static void ring(struct tree *t)
{
    uint8_t entry_bytes[DIRENT_SIZE_MAX];
    uint8_t bytes[BACKPTR_SIZE_MAX];
    struct dir_entry entry;
    struct rowkey key;
    rowkey_dirent(&key, ROOT, kv_slice_str("dir"));
    struct kv_buf old = get(t, &key);
    ck_ok(dirent_decode(kv_buf_slice(&old), &entry));
    change(t, "meta", &key, NULL);
    struct kv_slice value =
        kv_slice(entry_bytes, dirent_encode_inode(entry_bytes, entry.ino, &entry.inode));
    rowkey_dirent(&key, t->inner, kv_slice_str("dir"));
    change(t, "meta", &key, &value);
    value = kv_slice(bytes, backptr_encode(bytes, t->inner, kv_slice_str("dir"), &entry.inode));
    rowkey_backptr(&key, t->dir);
    change(t, "meta", &key, &value);
    kv_buf_finish(&old);
}

static const struct contradiction {
    void (*make)(struct tree *t);
    const char *told;
} contradictions[] = {
    {link_count, "the link count is said to be 3 and is 2"},
    {no_link_no_orphan, "it has no links and is not marked as an orphan"},
    {link_count_of_directory, "the link count is said to be 4 and is 3"},
    {size_of_directory, "the number of entries is said to be 2 and is 1"},
    {size_of_file, "it ends beyond the end of the file"},
    {allocated, "the number of bytes allocated is said to be 24 and is 23"},
    {hints, "the inode says that it has no extended attributes"},
    {summary, "its mode or owner are not the inode's"},
    {directory_is_a_file, "it has entries and is no directory"},
    {backptr_missing, "no back-pointer of its inode names it"},
    {entry_missing, "the entry it names is missing"},
    {inode_missing, "there are rows of it, and no inode"},
    {root_missing, "there is no root directory"},
    {entry_of_another, "the entry it names is not one of this inode"},
    {type_of_entry, "the entry tells another type than the inode"},
    {extent_overlaps, "it overlaps the extent before it"},
    {extent_crosses, "it crosses the border of a chunk"},
    {extent_of_nothing, "there are rows of it, and no inode"},
    {orphan_with_links, "it is marked as an orphan and is none"},
    {number_never_given, "the number was never given"},
    {unknown_kind, "no row of this kind belongs here"},
    {key_of_no_inode, "it belongs to no inode"},
    {value_that_is_none, "it is no inode"},
    {ring, "the directory does not hang on the root"},
};

START_TEST(each_contradiction_between_rows_is_told)
{
    const struct contradiction *c = &contradictions[_i];
    struct tree t;
    make_tree(&t);
    c->make(&t);
    walk(&t);
    ck_assert_uint_gt(t.counts.faults, 0);
    if (strstr(t.faults, c->told) == NULL) {
        ck_abort_msg("contradiction %d was told as:\n%s", _i, t.faults);
    }
    drop_tree(&t);
}
END_TEST

START_TEST(all_rows_are_counted)
{
    struct tree t;
    make_tree(&t);
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
    struct tree t;
    struct kvfs_file *file = NULL;
    make_tree(&t);
    ck_ok(kvfs_file_open(t.f.fs, t.file, 0, &file));
    ck_ok(kvfs_unlink(t.f.fs, t.inner, "file"));
    walk(&t);
    ck_assert_str_eq(t.faults, "");
    ck_assert_uint_eq(t.counts.orphans, 1);
    kvfs_file_close(file);
    walk(&t);
    ck_assert_uint_eq(t.counts.orphans, 0);
    fixture_close(&t.f);
}
END_TEST

START_TEST(a_directory_removed_while_in_use_is_an_orphan_and_no_fault)
{
    struct tree t;
    struct kvfs_entry entry;
    make_tree(&t);
    ck_ok(kvfs_mkdir(t.f.fs, &fixture_who, ROOT, "used", 0755, &entry));
    ck_ok(kvfs_rmdir(t.f.fs, ROOT, "used"));
    walk(&t);
    ck_assert_str_eq(t.faults, "");
    ck_assert_uint_eq(t.counts.orphans, 1);
    kvfs_forget(t.f.fs, entry.ino, 1);
    fixture_close(&t.f);
}
END_TEST

START_TEST(directories_in_each_other_a_thousand_deep_hang_together)
{
    struct tree t;
    make_tree(&t);
    uint64_t at = t.inner;
    for (int i = 0; i < 1000; i++) {
        at = fixture_dir(&t.f, at, "d");
    }
    walk(&t);
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
    suite_add_tcase(suite, told);
    suite_add(suite, "counts", all_rows_are_counted);
    suite_add(suite, "orphan", a_file_unlinked_while_open_is_an_orphan_and_no_fault);
    suite_add(suite, "orphan_dir", a_directory_removed_while_in_use_is_an_orphan_and_no_fault);
    suite_add(suite, "deep", directories_in_each_other_a_thousand_deep_hang_together);
    return suite;
}
