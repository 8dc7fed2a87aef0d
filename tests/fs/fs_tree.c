/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fs/fs_tree.h"

#include <stdio.h>

enum { ROOT = KVFS_ROOT_INO };

void fs_tree_tell(void *arg, int code, const char *text)
{
    struct fs_tree *t = arg;
    size_t size = strlen(t->faults);
    snprintf(t->faults + size, FS_TREE_TEXT_SIZE - size, "%d %s\n", code, text);
}

void fs_tree_walk(struct fs_tree *t)
{
    t->faults[0] = 0;
    ck_ok(kvfs_check(t->f.fs, fs_tree_tell, t, &t->counts));
}

void fs_tree_make(struct fs_tree *t)
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
    fs_tree_walk(t);
    ck_assert_str_eq(t->faults, "");
}

void fs_tree_drop(struct fs_tree *t)
{
    ck_ok(kvfs_close(t->f.fs));
    kv_storage_mem_destroy(t->f.storage);
}

void fs_tree_change(struct fs_tree *t, const char *table, const struct rowkey *key,
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

struct kv_buf fs_tree_get(struct fs_tree *t, const struct rowkey *key)
{
    struct kv_buf value = {0};
    ck_ok(kv_get_copy(fixture_table(&t->f, "meta"), NULL, rowkey_slice(key), &value));
    return value;
}

void fs_tree_change_entry(struct fs_tree *t, uint64_t parent, const char *name,
                          fs_tree_inode_fn *fn)
{
    uint8_t bytes[DIRENT_SIZE_MAX];
    struct dir_entry entry;
    struct rowkey key;
    rowkey_dirent(&key, parent, kv_slice_str(name));
    struct kv_buf old = fs_tree_get(t, &key);
    ck_ok(dirent_decode(kv_buf_slice(&old), &entry));
    fn(&entry.inode);
    struct kv_slice value = kv_slice(bytes, dirent_encode_inode(bytes, entry.ino, &entry.inode));
    fs_tree_change(t, "meta", &key, &value);
    kv_buf_finish(&old);
}

void fs_tree_change_inode(struct fs_tree *t, uint64_t ino, fs_tree_inode_fn *fn)
{
    uint8_t bytes[INODE_SIZE_MAX];
    struct inode inode;
    struct rowkey key;
    rowkey_inode(&key, ino);
    struct kv_buf old = fs_tree_get(t, &key);
    ck_ok(inode_decode(kv_buf_slice(&old), &inode));
    fn(&inode);
    struct kv_slice value = kv_slice(bytes, inode_encode(bytes, &inode));
    fs_tree_change(t, "meta", &key, &value);
    kv_buf_finish(&old);
}

void fs_tree_lose(struct fs_tree *t, const char *table, const struct rowkey *key)
{
    struct kv_batch *batch = NULL;
    ck_ok(kv_batch_create(&batch));
    ck_ok(kv_batch_put_lost(batch, fixture_table(&t->f, table), rowkey_slice(key)));
    ck_ok(kv_write(kvfs_store(t->f.fs), batch, KV_DURABLE_WRITE));
    kv_batch_destroy(batch);
}

/* False: there was nothing to write. */
static bool mend_once(struct fs_tree *t, const struct kvfs_lost_rows *lost)
{
    struct kv_batch *rows = NULL;
    ck_ok(kv_batch_create(&rows));
    t->faults[0] = 0;
    ck_ok(kvfs_mend(t->f.fs, fs_tree_tell, t, lost, rows, &t->counts));
    bool any = !kv_batch_is_empty(rows);
    ck_ok(any ? kv_write(kvfs_store(t->f.fs), rows, KV_DURABLE_WRITE) : 0);
    kv_batch_destroy(rows);
    return any;
}

void fs_tree_mend_once(struct fs_tree *t)
{
    ck_assert(mend_once(t, NULL));
}

unsigned fs_tree_mend_lost(struct fs_tree *t, const struct kvfs_lost_rows *lost)
{
    unsigned rounds = 1;
    while (mend_once(t, lost)) {
        ck_assert_uint_lt(rounds++, 8);
    }
    return rounds;
}

unsigned fs_tree_mend(struct fs_tree *t)
{
    return fs_tree_mend_lost(t, NULL);
}

void fs_tree_lose_entry(struct fs_tree *t)
{
    struct rowkey key;
    rowkey_dirent(&key, t->inner, kv_slice_str("file"));
    fs_tree_lose(t, "meta", &key);
}

void fs_tree_drop_extent(struct fs_tree *t)
{
    struct rowkey key;
    rowkey_extent(&key, t->file, 10);
    fs_tree_change(t, "data", &key, NULL);
}

void fs_tree_unname_directory(struct fs_tree *t)
{
    struct rowkey key;
    rowkey_dirent(&key, ROOT, kv_slice_str("dir"));
    fs_tree_change(t, "meta", &key, NULL);
    rowkey_backptr(&key, t->dir);
    fs_tree_change(t, "meta", &key, NULL);
}

void fs_tree_lose_index_name(struct fs_tree *t)
{
    struct rowkey key;
    rowkey_fact(&key, FORMAT_FACT_INDEX);
    fs_tree_lose(t, "meta", &key);
}
