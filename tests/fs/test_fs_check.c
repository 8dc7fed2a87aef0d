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

/* The row is known to be lost, as rows are that a repair of the engine could not keep. */
static void lose(struct tree *t, const char *table, const struct rowkey *key)
{
    struct kv_batch *batch = NULL;
    ck_ok(kv_batch_create(&batch));
    ck_ok(kv_batch_put_lost(batch, fixture_table(&t->f, table), rowkey_slice(key)));
    ck_ok(kv_write(kvfs_store(t->f.fs), batch, KV_DURABLE_WRITE));
    kv_batch_destroy(batch);
}

static void entry_lost(struct tree *t)
{
    struct rowkey key;
    rowkey_dirent(&key, t->inner, kv_slice_str("file"));
    lose(t, "meta", &key);
}

static void entry_lost_for_good(struct tree *t)
{
    struct rowkey key;
    entry_lost(t);
    rowkey_backptr(&key, t->file);
    change(t, "meta", &key, NULL);
}

static void inode_lost(struct tree *t)
{
    struct rowkey key;
    rowkey_inode(&key, t->linked);
    lose(t, "meta", &key);
}

static void backptr_lost(struct tree *t)
{
    struct rowkey key;
    rowkey_backptr(&key, t->file);
    lose(t, "meta", &key);
}

static void index_name_lost(struct tree *t)
{
    struct rowkey key;
    rowkey_fact(&key, FORMAT_FACT_INDEX);
    lose(t, "meta", &key);
}

static void index_name_empty(struct tree *t)
{
    struct kv_slice none = kv_slice_str("");
    struct rowkey key;
    rowkey_fact(&key, FORMAT_FACT_INDEX);
    change(t, "meta", &key, &none);
}

static void xattr_lost(struct tree *t)
{
    struct rowkey key;
    rowkey_xattr(&key, t->file, kv_slice_str("user.a"));
    lose(t, "meta", &key);
}

static void directory_without_name(struct tree *t)
{
    struct rowkey key;
    rowkey_dirent(&key, ROOT, kv_slice_str("dir"));
    change(t, "meta", &key, NULL);
    rowkey_backptr(&key, t->dir);
    change(t, "meta", &key, NULL);
}

static void extent_missing(struct tree *t)
{
    struct rowkey key;
    rowkey_extent(&key, t->file, 10);
    change(t, "data", &key, NULL);
}

static void facts_missing(struct tree *t)
{
    struct rowkey key;
    rowkey_fact(&key, FORMAT_FACT_NEXT_INODE);
    change(t, "meta", &key, NULL);
    rowkey_fact(&key, FORMAT_FACT_SCHEMA);
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
    bool mended;
} contradictions[] = {
    {link_count, "the link count is said to be 3 and is 2", true},
    {no_link_no_orphan, "it has no links and is not marked as an orphan", true},
    {link_count_of_directory, "the link count is said to be 4 and is 3", true},
    {size_of_directory, "the number of entries is said to be 2 and is 1", true},
    {size_of_file, "it ends beyond the end of the file", true},
    {allocated, "the number of bytes allocated is said to be 24 and is 23", true},
    {hints, "the inode says that it has no extended attributes", true},
    {summary, "its mode or owner are not the inode's", true},
    {directory_is_a_file, "it has entries and is no directory", false},
    {backptr_missing, "no back-pointer of its inode names it", true},
    {entry_missing, "the entry it names is missing", true},
    {inode_missing, "there are rows of it, and no inode", true},
    {root_missing, "there is no root directory", true},
    {entry_of_another, "the entry it names is not one of this inode", true},
    {type_of_entry, "the entry tells another type than the inode", true},
    {extent_overlaps, "it overlaps the extent before it", true},
    {extent_crosses, "it crosses the border of a chunk", true},
    {extent_of_nothing, "there are rows of it, and no inode", true},
    {orphan_with_links, "it is marked as an orphan and is none", true},
    {number_never_given, "the number was never given", true},
    {unknown_kind, "no row of this kind belongs here", true},
    {key_of_no_inode, "it belongs to no inode", true},
    {value_that_is_none, "it is no inode", true},
    {entry_lost, "it cannot be read", true},
    {entry_lost_for_good, "it cannot be read", true},
    {inode_lost, "it cannot be read", true},
    {backptr_lost, "it cannot be read", true},
    {xattr_lost, "it cannot be read", true},
    {index_name_lost, "it is no name of an attribute", true},
    {index_name_empty, "it is no name of an attribute", true},
    {directory_without_name, "there are rows of it, and no inode", true},
    {extent_missing, "the number of bytes allocated is said to be 23 and is 13", true},
    {facts_missing, "it is missing", true},
    {ring, "the directory does not hang on the root", true},
};

/* Walk and write what mends it until nothing is left to write. Returns how often that took. */
static unsigned mend(struct tree *t)
{
    struct kv_batch *rows = NULL;
    unsigned rounds = 0;
    bool done = false;
    ck_ok(kv_batch_create(&rows));
    while (!done) {
        kv_batch_clear(rows);
        t->faults[0] = 0;
        ck_ok(kvfs_mend(t->f.fs, tell, t, NULL, rows, &t->counts));
        done = kv_batch_is_empty(rows);
        ck_ok(done ? 0 : kv_write(kvfs_store(t->f.fs), rows, KV_DURABLE_WRITE));
        ck_assert_uint_lt(rounds++, 8);
    }
    kv_batch_destroy(rows);
    return rounds;
}

START_TEST(a_sound_tree_needs_no_mending)
{
    struct tree t;
    make_tree(&t);
    ck_assert_uint_eq(mend(&t), 1);
    ck_assert_str_eq(t.faults, "");
    fixture_close(&t.f);
}
END_TEST

START_TEST(each_contradiction_between_rows_is_mended)
{
    const struct contradiction *c = &contradictions[_i];
    struct tree t;
    make_tree(&t);
    c->make(&t);
    mend(&t);
    walk(&t);
    if (c->mended) {
        ck_assert_str_eq(t.faults, "");
        ck_assert_uint_eq(t.counts.faults, 0);
    } else {
        ck_assert_uint_gt(t.counts.faults, 0);
    }
    drop_tree(&t);
}
END_TEST

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

/* ---- what comes back --------------------------------------------------------------------------
 */

static void mend_all(struct tree *t)
{
    mend(t);
    walk(t);
    ck_assert_str_eq(t->faults, "");
    fixture_reopen(&t->f);
}

static uint64_t find(struct tree *t, uint64_t parent, const char *name)
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
    struct tree t;
    make_tree(&t);
    before = fixture_stat(&t.f, t.file);
    entry_lost(&t);
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
    struct tree t;
    make_tree(&t);
    rowkey_dirent(&key, ROOT, kv_slice_str("dir"));
    change(&t, "meta", &key, NULL);
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
    struct tree t;
    uint64_t lost_found;
    make_tree(&t);
    directory_without_name(&t);
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
    struct tree t;
    make_tree(&t);
    rowkey_dirent(&key, t.inner, kv_slice_str("gone"));
    lose(&t, "meta", &key);
    ck_fails(kvfs_lookup(t.f.fs, t.inner, "gone", &entry), EIO);
    mend_all(&t);
    ck_fails(kvfs_lookup(t.f.fs, t.inner, "gone", &entry), ENOENT);
    fixture_file(&t.f, t.inner, "gone");
    ck_assert_str_eq(fixture_list(&t.f, t.inner), "file gone");
    fixture_close(&t.f);
}
END_TEST

/* Reading [offset, offset + size) gives `wanted`, a size or an error. */
static void expect_read(struct tree *t, uint64_t offset, size_t size, int wanted)
{
    struct kv_buf bytes = {0};
    int r = kvfs_read(t->f.fs, t->file, offset, size, &bytes);
    ck_assert_int_eq(r < 0 ? r : (int)bytes.size, wanted);
    kv_buf_finish(&bytes);
}

START_TEST(bytes_that_were_lost_are_errors_and_never_zeros)
{
    struct tree t;
    make_tree(&t);
    extent_missing(&t);
    mend_all(&t);
    expect_read(&t, 0, 10, -EIO);
    expect_read(&t, (uint64_t)3 * FORMAT_CHUNK_BYTES, 13, 13);
    fixture_write(&t.f, t.file, 0, "written again");
    expect_read(&t, 0, 13, 13);
    fixture_close(&t.f);
}
END_TEST

START_TEST(bytes_in_front_of_a_lost_extent_are_lost_with_it)
{
    uint64_t at = (uint64_t)3 * FORMAT_CHUNK_BYTES;
    struct rowkey key;
    struct tree t;
    make_tree(&t);
    extent_missing(&t);
    rowkey_extent(&key, t.file, at + 13);
    lose(&t, "data", &key);
    mend_all(&t);
    expect_read(&t, 0, 10, -EIO);
    expect_read(&t, at, 13, -EIO);
    fixture_close(&t.f);
}
END_TEST

START_TEST(a_store_whose_index_has_no_name_any_more_is_opened_without_one)
{
    struct tree t;
    make_tree(&t);
    index_name_lost(&t);
    fixture_reopen(&t.f);
    ck_assert_uint_eq(find(&t, t.inner, "file"), t.file);
    mend_all(&t);
    fixture_close(&t.f);
}
END_TEST

START_TEST(nothing_in_lost_and_found_makes_way_for_what_comes_there)
{
    char name[32], wanted[80];
    struct tree t;
    uint64_t lost_found, taken;
    make_tree(&t);
    lost_found = fixture_dir(&t.f, ROOT, "lost+found");
    snprintf(name, sizeof name, "#%llu", (unsigned long long)t.dir);
    snprintf(wanted, sizeof wanted, "%s %s.1", name, name);
    taken = fixture_file(&t.f, lost_found, name);
    directory_without_name(&t);
    mend_all(&t);
    ck_assert_str_eq(fixture_list(&t.f, lost_found), wanted);
    ck_assert_uint_eq(find(&t, lost_found, name), taken);
    fixture_close(&t.f);
}
END_TEST

START_TEST(holes_outside_of_the_lost_keys_stay_holes)
{
    struct rowkey key;
    struct kvfs_key_range range = {{0}, {0}};
    struct kvfs_lost_keys lost = {&range, 1, false};
    struct kv_batch *rows = NULL;
    struct tree t;
    make_tree(&t);
    extent_missing(&t);
    rowkey_extent(&key, t.file, 1);
    ck_ok(kv_buf_assign(&range.from, rowkey_slice(&key)));
    rowkey_extent(&key, t.file, 40);
    ck_ok(kv_buf_assign(&range.to, rowkey_slice(&key)));
    ck_ok(kv_batch_create(&rows));
    ck_ok(kvfs_mend(t.f.fs, tell, &t, &lost, rows, &t.counts));
    ck_ok(kv_write(kvfs_store(t.f.fs), rows, KV_DURABLE_WRITE));
    mend_all(&t);
    expect_read(&t, 0, 10, -EIO);
    expect_read(&t, FORMAT_CHUNK_BYTES, 10, 10);
    kv_batch_destroy(rows);
    kv_buf_finish(&range.from);
    kv_buf_finish(&range.to);
    fixture_close(&t.f);
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
    tcase_add_loop_test(told, each_contradiction_between_rows_is_mended, 0,
                        (int)(sizeof contradictions / sizeof contradictions[0]));
    suite_add_tcase(suite, told);
    suite_add(suite, "sound", a_sound_tree_needs_no_mending);
    suite_add(suite, "file_back",
              a_file_whose_entry_is_lost_comes_back_with_name_mode_and_contents);
    suite_add(suite, "dir_back", a_directory_whose_entry_is_lost_comes_back_with_what_is_in_it);
    suite_add(suite, "lost_found", what_no_row_names_goes_to_lost_and_found);
    suite_add(suite, "absent", a_name_that_is_lost_for_good_is_absent_and_may_be_made_again);
    suite_add(suite, "lost_bytes", bytes_that_were_lost_are_errors_and_never_zeros);
    suite_add(suite, "lost_before", bytes_in_front_of_a_lost_extent_are_lost_with_it);
    suite_add(suite, "index_name", a_store_whose_index_has_no_name_any_more_is_opened_without_one);
    suite_add(suite, "taken", nothing_in_lost_and_found_makes_way_for_what_comes_there);
    suite_add(suite, "holes", holes_outside_of_the_lost_keys_stay_holes);
    suite_add(suite, "counts", all_rows_are_counted);
    suite_add(suite, "orphan", a_file_unlinked_while_open_is_an_orphan_and_no_fault);
    suite_add(suite, "orphan_dir", a_directory_removed_while_in_use_is_an_orphan_and_no_fault);
    suite_add(suite, "deep", directories_in_each_other_a_thousand_deep_hang_together);
    return suite;
}
