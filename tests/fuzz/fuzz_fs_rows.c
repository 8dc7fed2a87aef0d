/* SPDX-License-Identifier: Apache-2.0 */
/* Input: rows that are put into a new filesystem behind its back, each
 *     u8 kind, an index into `kinds` (beyond: the next string is the whole key)
 *     fact, raw key:  string
 *     extent:         varint inode, varint end; the value is a varint: so many bytes,
 *                     0: lost
 *     others:         varint inode, string: what follows in the key
 *     string value, but for extents
 * Then the filesystem is opened, read and changed: whatever the rows say, it must answer or refuse.
 */
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "fs/core/key.h"

enum {
    ROWS_MAX = 24,
    SEEN_MAX = 12,
    EXTENT_MAX = 40000,
    READ_SIZE = 70000,
    MENDED_MAX = 3,
    VALUE_MAX = 1 << 20, /* larger files are not read whole */
};

static const uint8_t kinds[] = {ROW_DIRENT, ROW_INODE, ROW_BACKPTR, ROW_EXTENT,
                                ROW_XATTR,  ROW_FACT,  ROW_ORPHAN};

/* ---- putting rows in ---- */

struct raw_row {
    struct kv_buf key, value;
};

static void read_extent(struct coding_cursor *c, struct raw_row *row)
{
    fuzz_need(coding_append_be64(&row->key, coding_read_varint(c)));
    fuzz_need(coding_append_be64(&row->key, coding_read_varint(c)));
    size_t length = (size_t)coding_read_varint(c) % EXTENT_MAX;
    fuzz_need(kv_buf_reserve(&row->value, 1 + length));
    memset(row->value.data, 'x', 1 + length);
    row->value.size = length;
}

static uint8_t read_row(struct coding_cursor *c, struct raw_row *row)
{
    uint8_t at = coding_read_u8(c);
    uint8_t kind = at < sizeof kinds ? kinds[at] : 0;

    row->key.size = row->value.size = 0;
    if (kind != 0) {
        fuzz_need(coding_append_u8(&row->key, kind));
    }
    if (kind == ROW_EXTENT) {
        read_extent(c, row);
        return kind;
    }
    if (kind != 0 && kind != ROW_FACT) {
        fuzz_need(coding_append_be64(&row->key, coding_read_varint(c)));
    }
    struct kv_slice tail = coding_read_string(c);
    fuzz_need(kv_buf_append(&row->key, tail));
    struct kv_slice value = coding_read_string(c);
    fuzz_need(kv_buf_assign(&row->value, value));
    return kind;
}

static void put_lost(struct kv_store *store, struct kv_table *table, struct kv_slice key)
{
    struct kv_batch *batch = NULL;

    fuzz_need(kv_batch_create(&batch));
    fuzz_need(kv_batch_put_lost(batch, table, key));
    fuzz_need(kv_write(store, batch, KV_DURABLE_WRITE));
    kv_batch_destroy(batch);
}

static void put_rows(struct kvfs *fs, struct coding_cursor *c)
{
    struct raw_row row = {0};
    struct kv_table *meta = NULL, *data = NULL;

    fuzz_need(kv_table_open(kvfs_store(fs), FORMAT_TABLE_META, NULL, &meta));
    fuzz_need(kv_table_open(kvfs_store(fs), FORMAT_TABLE_DATA, NULL, &data));
    for (int i = 0; i < ROWS_MAX && coding_left(c) > 0 && coding_ok(c); i++) {
        uint8_t kind = read_row(c, &row);
        if (kind == ROW_EXTENT && row.value.size == 0) {
            put_lost(kvfs_store(fs), data, kv_buf_slice(&row.key));
        } else if (row.key.size > 0) {
            fuzz_need(kv_put(kind == ROW_EXTENT ? data : meta, kv_buf_slice(&row.key),
                             kv_buf_slice(&row.value), KV_DURABLE_WRITE));
        }
    }
    kv_buf_finish(&row.key);
    kv_buf_finish(&row.value);
}

/* ---- using the filesystem ---- */

struct seen {
    size_t count;
    struct {
        uint64_t parent, ino;
        mode_t mode;
        char name[KVFS_NAME_SIZE_MAX + 1];
    } entries[SEEN_MAX];
    struct kvfs *fs;
    uint64_t parent;
};

static bool see_entry(void *arg, const char *name, const struct kvfs_entry *entry,
                      uint64_t next_offset)
{
    struct seen *seen = arg;

    (void)next_offset;
    assert(strlen(name) <= KVFS_NAME_SIZE_MAX);
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        return true;
    }
    if (seen->count == SEEN_MAX) {
        return false;
    }
    seen->entries[seen->count].parent = seen->parent;
    seen->entries[seen->count].ino = entry->ino;
    seen->entries[seen->count].mode = entry->stat.st_mode;
    snprintf(seen->entries[seen->count].name, sizeof seen->entries[0].name, "%s", name);
    seen->count++;
    return true;
}

static void list(struct seen *seen, uint64_t ino)
{
    struct kvfs_dir *dir = NULL;

    seen->parent = ino;
    if (kvfs_dir_open(seen->fs, ino, &dir) == 0) {
        kv_ignore(kvfs_dir_read(dir, 0, false, see_entry, seen));
        kvfs_dir_close(dir);
    }
}

static void read_attributes(struct kvfs *fs, uint64_t ino)
{
    struct kv_buf names = {0}, value = {0};

    if (kvfs_listxattr(fs, ino, &names) == 0) {
        for (size_t at = 0; at < names.size; at += strlen((char *)names.data + at) + 1) {
            assert(memchr(names.data + at, 0, names.size - at) != NULL);
            kv_ignore(kvfs_getxattr(fs, ino, (char *)names.data + at, &value));
        }
    }
    kv_buf_finish(&names);
    kv_buf_finish(&value);
}

static void read_file(struct kvfs *fs, uint64_t ino, uint64_t size)
{
    struct kv_buf bytes = {0};
    uint64_t offset = 0;
    const uint64_t starts[] = {0, 30000, size > 100 ? size - 100 : 0};

    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        if (kvfs_read(fs, ino, starts[i], READ_SIZE, &bytes) == 0) {
            assert(bytes.size <= READ_SIZE);
            fuzz_touch(kv_buf_slice(&bytes));
        }
    }
    kv_ignore(kvfs_seek(fs, ino, 0, SEEK_DATA, &offset));
    kv_ignore(kvfs_seek(fs, ino, 0, SEEK_HOLE, &offset));
    kv_buf_finish(&bytes);
}

/* Read everything of an inode, whatever it is. */
static void read_inode(struct kvfs *fs, uint64_t ino)
{
    struct kv_buf target = {0};
    struct kvfs_entry entry;

    read_attributes(fs, ino);
    kv_ignore(kvfs_readlink(fs, ino, &target));
    kv_buf_finish(&target);
    if (kvfs_getattr(fs, ino, &entry) == 0) {
        assert(entry.ino == ino);
        read_file(fs, ino, (uint64_t)entry.stat.st_size);
    }
}

static bool take_key(void *arg, struct kv_slice key, struct kv_slice value)
{
    struct kvfs *fs = arg;
    struct kvfs_entry entry;
    struct kv_buf bytes = {0};

    (void)value;
    fuzz_touch(key);
    if (kvfs_key_stat(fs, key, &entry) == 0 && entry.stat.st_size <= VALUE_MAX) {
        kv_ignore(kvfs_key_get(fs, key, &bytes));
    }
    kv_buf_finish(&bytes);
    return true;
}

static void change_inode(struct kvfs *fs, uint64_t ino)
{
    const struct stat small = {.st_size = 10};
    const struct kvfs_copy aligned = {
        .ino_in = ino, .offset_in = 4096, .ino_out = ino, .offset_out = 1 << 20, .size = 100000};
    const struct kvfs_copy odd = {
        .ino_in = ino, .offset_in = 30000, .ino_out = ino, .offset_out = 1, .size = 5000};
    uint64_t copied = 0;
    struct kvfs_entry entry;

    kv_ignore(kvfs_write(fs, ino, 5000, kv_slice_str("changed"), false, true));
    kv_ignore(kvfs_write(fs, ino, 0, kv_slice_str("appended"), true, false));
    kv_ignore(kvfs_fallocate(fs, ino, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100, 40000));
    kv_ignore(kvfs_copy_range(fs, &aligned, &copied));
    kv_ignore(kvfs_copy_range(fs, &odd, &copied));
    kv_ignore(kvfs_setattr(fs, ino, &small, KVFS_SET_SIZE | KVFS_SET_MTIME_NOW, &entry));
    kv_ignore(kvfs_setxattr(fs, ino, "user.new", kv_slice_str("value"), 0));
    kv_ignore(kvfs_removexattr(fs, ino, "user.a"));
}

static void change_names(const struct seen *seen)
{
    struct kvfs_entry entry;

    for (size_t i = 0; i < seen->count; i++) {
        uint64_t parent = seen->entries[i].parent;
        const char *name = seen->entries[i].name;
        if (kvfs_lookup(seen->fs, parent, name, &entry) == 0) {
            change_inode(seen->fs, entry.ino);
            if (kvfs_link(seen->fs, entry.ino, KVFS_ROOT_INO, "linked", &entry) == 0) {
                kvfs_forget(seen->fs, entry.ino, 1);
            }
            kvfs_forget(seen->fs, entry.ino, 1);
        }
        kv_ignore(kvfs_rename(seen->fs, parent, name, KVFS_ROOT_INO, "renamed", 0));
        kv_ignore(kvfs_unlink(seen->fs, parent, i % 2 == 0 ? name : "renamed"));
        kv_ignore(kvfs_rmdir(seen->fs, parent, name));
    }
}

static void ignore_fault(void *arg, int code, const char *text)
{
    (void)arg;
    (void)code;
    fuzz_touch(kv_slice_str(text));
}

static void use(struct kvfs *fs)
{
    const struct kvfs_scan_options keys = {.keys_only = true};
    struct seen seen = {.fs = fs};

    list(&seen, KVFS_ROOT_INO);
    for (size_t i = 0; i < seen.count; i++) {
        if (S_ISDIR(seen.entries[i].mode)) {
            list(&seen, seen.entries[i].ino);
        }
        read_inode(fs, seen.entries[i].ino);
    }
    kv_ignore(kvfs_scan(fs, &keys, take_key, fs));
    change_names(&seen);
}

/* Write what mends the rows; whatever these are, it comes to an end. */
static void mend(struct kvfs *fs)
{
    struct kvfs_check_counts counts;
    struct kv_batch *rows = NULL;

    fuzz_need(kv_batch_create(&rows));
    for (int i = 0; i < MENDED_MAX; i++) {
        kv_batch_clear(rows);
        if (kvfs_mend(fs, ignore_fault, NULL, NULL, rows, &counts) < 0 || kv_batch_is_empty(rows)) {
            break;
        }
        fuzz_need(kv_write(kvfs_store(fs), rows, KV_DURABLE_WRITE));
    }
    kv_batch_destroy(rows);
}

static int open_fs(struct kv_storage *storage, struct kvfs **ret_fs)
{
    const struct kvfs_options options = {.create = true, .memory_bytes = 8 << 20};
    return kvfs_open_storage(storage, &options, ret_fs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct coding_cursor c = coding_cursor(kv_slice(data, size));
    struct kv_storage *storage = NULL;
    struct kvfs *fs = NULL;

    fuzz_need(kv_storage_mem_create(&storage));
    fuzz_need(open_fs(storage, &fs));
    put_rows(fs, &c);
    kv_ignore(kvfs_close(fs));
    for (int i = 0; i < 2 && open_fs(storage, &fs) == 0; i++) {
        use(fs);
        mend(fs);
        kv_ignore(kvfs_close(fs));
    }
    kv_storage_mem_destroy(storage);
    return 0;
}
