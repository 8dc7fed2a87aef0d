/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fs/fs_fixture.h"

#include <stdio.h>

#include <kv/index_entry.h>

#include "tests/fs/fs_check.h"

/* In memory, or with KV_IN_POOL and KV_ON_RADOS in a pool. */
#if defined(KV_IN_POOL) || defined(KV_ON_RADOS)
#include "tests/db/pool_place.h"

static void make_storage(struct fs_fixture *f)
{
    place_make();
}

struct kv_storage *fixture_storage(const struct fs_fixture *f)
{
    return place_open(true);
}

static void remove_storage(struct fs_fixture *f)
{
    place_remove();
}
#else
static void make_storage(struct fs_fixture *f)
{
    ck_ok(kv_storage_mem_create(&f->storage));
}

struct kv_storage *fixture_storage(const struct fs_fixture *f)
{
    return f->storage;
}

static void remove_storage(struct fs_fixture *f)
{
    kv_storage_mem_destroy(f->storage);
}
#endif

const struct kvfs_who fixture_who = {.uid = 1000, .gid = 100, .umask = 022};

static void count_damage(void *arg, enum kv_message_level level, const char *text)
{
    struct fs_fixture *f = arg;
    f->damage_messages += strncmp(text, "damaged row", 11) == 0;
    (void)level;
}

void fixture_open_again(struct fs_fixture *f)
{
    struct kvfs_options options = {.create = true,
                                   .memory_bytes = f->memory_bytes,
                                   .index = f->index,
                                   .no_background = f->no_background,
                                   .read_only = f->read_only,
                                   .message_fn = count_damage,
                                   .message_arg = f};
    ck_ok(kvfs_open_storage(fixture_storage(f), &options, &f->fs));
}

void fixture_open(struct fs_fixture *f)
{
    *f = (struct fs_fixture){.memory_bytes = 8 << 20};
    make_storage(f);
    fixture_open_again(f);
}

void fixture_reopen(struct fs_fixture *f)
{
    ck_ok(kvfs_close(f->fs));
    fixture_open_again(f);
}

void fixture_close(struct fs_fixture *f)
{
    fixture_reopen(f);
    fs_check(f->fs);
    ck_ok(kvfs_close(f->fs));
    remove_storage(f);
}

uint64_t fixture_file(struct fs_fixture *f, uint64_t parent, const char *name)
{
    struct kvfs_entry entry;
    ck_ok(kvfs_mknod(f->fs, parent, name,
                     &(struct kvfs_new){.who = fixture_who, .mode = S_IFREG | 0666}, &entry));
    kvfs_forget(f->fs, entry.ino, 1);
    return entry.ino;
}

uint64_t fixture_dir(struct fs_fixture *f, uint64_t parent, const char *name)
{
    struct kvfs_entry entry;
    ck_ok(kvfs_mkdir(f->fs, &fixture_who, parent, name, 0777, &entry));
    kvfs_forget(f->fs, entry.ino, 1);
    return entry.ino;
}

void fixture_write(struct fs_fixture *f, uint64_t ino, uint64_t offset, const char *text)
{
    ck_ok(kvfs_write(f->fs, ino, offset, kv_slice_str(text), false, false));
}

struct kvfs_entry fixture_stat(struct fs_fixture *f, uint64_t ino)
{
    struct kvfs_entry entry;
    ck_ok(kvfs_getattr(f->fs, ino, &entry));
    return entry;
}

const char *fixture_text(struct fs_fixture *f, uint64_t ino)
{
    static char text[65536];
    struct kv_buf buf = {0};
    ck_ok(kvfs_read(f->fs, ino, 0, sizeof text - 1, &buf));
    if (buf.size > 0) {
        memcpy(text, buf.data, buf.size);
    }
    text[buf.size] = 0;
    kv_buf_finish(&buf);
    return text;
}

enum { LIST_SIZE = 65536 };

static bool add_name(void *arg, const char *name, const struct kvfs_entry *entry,
                     uint64_t next_offset)
{
    char *text = arg;
    size_t size = strlen(text);
    (void)entry;
    if (next_offset > 2) {
        snprintf(text + size, LIST_SIZE - size, "%s%s", size > 0 ? " " : "", name);
    }
    return true;
}

const char *fixture_list(struct fs_fixture *f, uint64_t ino)
{
    static char text[LIST_SIZE];
    struct kvfs_dir *dir = NULL;
    text[0] = 0;
    ck_ok(kvfs_dir_open(f->fs, ino, &dir));
    ck_ok(kvfs_dir_read(dir, 0, false, add_name, text));
    kvfs_dir_close(dir);
    return text;
}

struct kv_table *fixture_table(struct fs_fixture *f, const char *name)
{
    struct kv_table *table = NULL;
    ck_ok(kv_table_open(kvfs_store(f->fs), name, NULL, &table));
    return table;
}

uint64_t fixture_count_entries(struct kvfs *fs)
{
    struct kv_iter_options options = {.lower = kv_index_entries_from(),
                                      .upper = kv_index_entries_to()};
    struct kv_table *table = NULL;
    struct kv_iter *iter = NULL;
    uint64_t count = 0;
    ck_ok(kv_table_open(kvfs_store(fs), FORMAT_TABLE_INDEX, NULL, &table));
    ck_ok(kv_iter_create(table, &options, &iter));
    for (kv_iter_seek_first(iter); kv_iter_valid(iter); kv_iter_next(iter)) {
        count++;
    }
    ck_ok(kv_iter_error(iter));
    kv_iter_destroy(iter);
    return count;
}

uint64_t fixture_count_rows(struct fs_fixture *f, const char *table, enum row_kind kind)
{
    struct kv_iter *iter = NULL;
    uint64_t count = 0;
    ck_ok(kv_iter_create(fixture_table(f, table), NULL, &iter));
    for (kv_iter_seek_first(iter); kv_iter_valid(iter); kv_iter_next(iter)) {
        count += kv_iter_key(iter).data[0] == (uint8_t)kind;
    }
    ck_ok(kv_iter_error(iter));
    kv_iter_destroy(iter);
    return count;
}

void fixture_put_lost_below(struct fs_fixture *f)
{
    const uint8_t zero = 0;
    struct rowkey key;
    rowkey_fact(&key, FORMAT_FACT_LOST_BELOW);
    ck_ok(
        kv_put(fixture_table(f, "meta"), rowkey_slice(&key), kv_slice(&zero, 1), KV_DURABLE_WRITE));
}
