/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/core/fs_internal.h"
#include "fs/core/unlinked.h"

#include <stdlib.h>
#include <unistd.h>

#include "fs/core/lost_table.h"
#include "fs/core/orphan.h"
#include "kvcore/util/coding.h"

#define MEMORY_DEFAULT ((uint64_t)512 << 20)
#define MEMTABLE_MIN   ((uint64_t)1 << 20)
#define MEMTABLE_MAX   ((uint64_t)64 << 20)
#define CACHE_MIN      ((uint64_t)2 << 20)

enum { NAME_HINTS_MIN = 1024, NAME_HINT_SHARE = 4096 }; /* one hint for so many bytes of memory */

/* ---- what the modules share -------------------------------------------------------------------
 */

int fs_result(int r)
{
    return r == -KV_EDAMAGED ? -EIO : r;
}

int fs_get(struct kv_table *table, const struct kv_snapshot *snapshot, const struct rowkey *key,
           struct kv_pinned *ret_value)
{
    return fs_result(kv_get(table, snapshot, rowkey_slice(key), ret_value));
}

int fs_row_damaged(struct kvfs *fs, struct kv_slice key, const char *why)
{
    char text[512];
    rowkey_print(key, text, sizeof text);
    return fs_result(message_damage(
        &fs->sink, "damaged row '%s': %s. Run 'kvfs fsck' on the store.", text, why));
}

int fs_iter(struct kv_table *table, const struct kv_snapshot *snapshot, const struct rowkey *lower,
            const struct rowkey *upper, struct kv_iter **ret_iter)
{
    struct kv_iter_options options = {
        .snapshot = snapshot, .lower = rowkey_slice(lower), .upper = rowkey_slice(upper)};
    return fs_result(kv_iter_create(table, &options, ret_iter));
}

int fs_iter_result(const struct kv_iter *iter)
{
    return kv_iter_valid(iter) ? 0 : fs_result(kv_iter_error(iter));
}

int fs_name(const char *name, struct kv_slice *ret_name)
{
    struct kv_slice bytes = kv_slice(name, strnlen(name, KVFS_NAME_SIZE_MAX + 1));
    if (bytes.size == 0) {
        return -ENOENT;
    }
    if (bytes.size > KVFS_NAME_SIZE_MAX) {
        return -ENAMETOOLONG;
    }
    if (!rowkey_name_is_valid(bytes)) {
        return -EINVAL;
    }
    *ret_name = bytes;
    return 0;
}

/* ---- facts ------------------------------------------------------------------------------------
 */

/* -ENOENT no such fact; -KV_EFORMAT it has another size. */
static int read_fact(struct kvfs *fs, const char *name, size_t size, uint8_t *ret_value)
{
    struct rowkey key;
    struct kv_pinned pinned;
    rowkey_fact(&key, name);
    int r = kv_get(fs->meta, NULL, rowkey_slice(&key), &pinned);
    if (r < 0) {
        return r;
    }
    if (pinned.value.size == size) {
        memcpy(ret_value, pinned.value.data, size);
    } else {
        r = -KV_EFORMAT;
    }
    kv_pinned_release(&pinned);
    return r;
}

/* Whether there are rows that only a filesystem has, also if its facts were lost. */
static bool has_rows(struct kvfs *fs)
{
    return lost_table_has_rows(fs->meta, LOST_TABLE_META_KINDS) == 1 ||
           lost_table_has_rows(fs->data, LOST_TABLE_DATA_KINDS) == 1;
}

static int read_facts(struct kvfs *fs)
{
    uint8_t schema[4];
    uint8_t next[8];
    int r = read_fact(fs, FORMAT_FACT_SCHEMA, sizeof schema, schema);
    if (r < 0) {
        return r;
    }
    if (coding_get_u32(schema) != FORMAT_SCHEMA && coding_get_u32(schema) != FORMAT_SCHEMA_INDEX) {
        message(&fs->sink, KV_MESSAGE_ERROR,
                "the filesystem has schema %u, this version knows those up to %d. Use a newer "
                "kvfs.",
                coding_get_u32(schema), FORMAT_SCHEMA_INDEX);
        return -KV_EFORMAT;
    }
    r = read_fact(fs, FORMAT_FACT_NEXT_INODE, sizeof next, next);
    uint64_t mark = r == 0 ? coding_get_u64(next) : 0;
    if (r == -ENOENT || (r == 0 && (mark < FORMAT_INO_FIRST || mark > FORMAT_INO_LIMIT))) {
        return message_damage(&fs->sink, "the next inode number is missing or impossible. "
                                         "Run 'kvfs fsck' on the store.");
    }
    if (r == 0) {
        ino_source_init(&fs->inos, mark);
    }
    return r;
}

/* The rows of an empty filesystem, in one batch. */
static int make_filesystem(struct kvfs *fs)
{
    struct kv_batch *batch = NULL;
    struct rowkey key;
    uint8_t value[INODE_SIZE_MAX];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct inode root = {.mode = S_IFDIR | 0755,
                         .nlink = 2,
                         .uid = geteuid(),
                         .gid = getegid(),
                         .mtime = now,
                         .ctime = now,
                         .atime = now,
                         .btime = now};
    int r = kv_batch_create(&batch);
    if (r < 0) {
        return r;
    }
    rowkey_fact(&key, FORMAT_FACT_SCHEMA);
    coding_put_u32(value, FORMAT_SCHEMA);
    r = kv_batch_put(batch, fs->meta, rowkey_slice(&key), kv_slice(value, 4));
    if (r == 0) {
        rowkey_fact(&key, FORMAT_FACT_NEXT_INODE);
        coding_put_u64(value, FORMAT_INO_FIRST);
        r = kv_batch_put(batch, fs->meta, rowkey_slice(&key), kv_slice(value, 8));
    }
    if (r == 0) {
        rowkey_inode(&key, KVFS_ROOT_INO);
        size_t size = inode_encode(value, &root);
        r = kv_batch_put(batch, fs->meta, rowkey_slice(&key), kv_slice(value, size));
    }
    if (r == 0) {
        r = kv_write(fs->store, batch, KV_DURABLE_SYNC);
    }
    kv_batch_destroy(batch);
    return r;
}

/* ---- opening ----------------------------------------------------------------------------------
 */

static uint64_t default_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES);
    long page_bytes = sysconf(_SC_PAGESIZE);
    uint64_t quarter =
        pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes / 4 : MEMORY_DEFAULT;
    return quarter < MEMORY_DEFAULT ? quarter : MEMORY_DEFAULT;
}

static uint64_t clamp(uint64_t v, uint64_t low, uint64_t high)
{
    return v < low ? low : v > high ? high : v;
}

static int init_memory(struct kvfs *fs, uint64_t memory)
{
    uint32_t hints = NAME_HINTS_MIN;
    while (hints < memory / NAME_HINT_SHARE && hints < (uint32_t)1 << 24) {
        hints *= 2;
    }
    fs->name_hints = calloc(hints, sizeof *fs->name_hints);
    if (fs->name_hints == NULL) {
        return -ENOMEM;
    }
    fs->name_hint_count = hints;
    mutex_init(&fs->rename_mu, LOCK_RANK_FS_RENAME, "directory rename");
    stripes_init(&fs->stripes, (size_t)(memory / 16));
    fs->unlinked_max =
        memory / 64 < UNLINKED_BYTES_MAX ? (size_t)(memory / 64) : UNLINKED_BYTES_MAX;
    lookup_table_init(&fs->lookups);
    listings_init(&fs->listings);
    txn_pool_init(&fs->txns);
    orphan_group_init(&fs->orphans);
    loss_init(&fs->loss);
    return 0;
}

static void finish_memory(struct kvfs *fs)
{
    if (fs->name_hints != NULL) {
        loss_finish(&fs->loss);
        orphan_group_finish(&fs->orphans);
        unlinked_drop_all(fs);
        txn_pool_finish(&fs->txns);
        lookup_table_finish(&fs->lookups);
        listings_finish(&fs->listings);
        stripes_finish(&fs->stripes);
        mutex_finish(&fs->rename_mu);
    }
    free(fs->name_hints);
    free(fs);
}

/* The metadata first: that is also the order in which the option `warm` reads ahead. */
static int open_tables(struct kvfs *fs)
{
    struct kv_table_options options = {.prefix_size = FORMAT_PREFIX_SIZE};
    struct kvfs_lost_table lost;
    int r = kvfs_lost_table(fs->store, &lost);
    if (r == 1) {
        return message_damage(&fs->sink,
                              "there are files, and the table '%s' of them is lost as a whole. "
                              "Run 'kvfs fsck -y' on the store.",
                              lost.name);
    }
    if (r < 0) {
        return r;
    }
    r = kv_table_open(fs->store, FORMAT_TABLE_META, &options, &fs->meta);
    if (r == 0) {
        r = kv_table_open(fs->store, FORMAT_TABLE_DATA, &options, &fs->data);
    }
    /* A store opened for reading only does not get the tables it lacks. */
    return r < 0 && fs->read_only && r != -KV_EDAMAGED ? -KV_EFORMAT : r;
}

/* Whether no table of the engine, which was just opened for writing, has a row: opening leaves none
 * outside of sorted tables. The sequence number would not tell: it jumps at every opening that
 * follows a crash, also one in the midst of making the filesystem. */
static bool has_no_rows(struct kvfs *fs)
{
    struct kv_stats stats;
    uint64_t rows = 0;
    kv_stats(fs->store, &stats);
    for (int level = 0; level < KV_LEVEL_COUNT; level++) {
        rows += stats.levels[level].rows + stats.levels[level].tombstones;
    }
    return rows == 0;
}

/* What a crash left is finished; from here on rows change, and with them the index. */
static int begin_work(struct kvfs *fs, const struct kvfs_options *options)
{
    int r = attr_index_open(fs, options->index);
    if (r == 0 && !fs->read_only) {
        r = orphan_finish_all(fs);
    }
    if (r == 0 && !options->no_background) {
        r = attr_index_start(fs);
    }
    if (r < 0) {
        ino_source_finish(&fs->inos);
    }
    return r;
}

/* The engine is open: find the filesystem in it, or make it in an engine without a row. */
static int open_contents(struct kvfs *fs, const struct kvfs_options *options)
{
    bool make = options->create && !fs->read_only && has_no_rows(fs);
    int r = open_tables(fs);
    if (r < 0) {
        return r;
    }
    r = make ? make_filesystem(fs) : 0;
    if (r == 0) {
        r = read_facts(fs);
    }
    if ((r == -ENOENT || r == -KV_EDAMAGED) && fs->read_only && options->without_facts &&
        has_rows(fs)) {
        ino_source_init(&fs->inos, FORMAT_INO_LIMIT); /* gives none */
        r = 0;
    }
    if (r == -ENOENT) {
        message(&fs->sink, KV_MESSAGE_ERROR,
                "the store holds no filesystem. Make one in an empty directory with 'kvfs mkfs'.");
        return -KV_EFORMAT;
    }
    return r == 0 ? begin_work(fs, options) : r;
}

static int open_engine(struct kvfs *fs, struct kv_storage *storage,
                       const struct kvfs_options *options, uint64_t memory)
{
    struct kv_options engine = {
        .create = options->create,
        .read_only = options->read_only,
        .memtable_bytes = (size_t)clamp(memory / 16, MEMTABLE_MIN, MEMTABLE_MAX), /* up to four */
        .cache_bytes = (size_t)(memory / 2 < CACHE_MIN ? CACHE_MIN : memory / 2),
        .sync_interval_ms = options->sync_interval_ms != 0 ? options->sync_interval_ms : 1000,
        .warm = options->warm,
        .no_background = options->no_background,
        .refuse_unchecked = !options->without_facts, /* what rows held would be holes to us */
        .holder = options->holder,
        .label = options->label,
        .store_id = options->store_id,
        .message_fn = options->message_fn,
        .message_arg = options->message_arg,
        .event_fn = loss_hear,
        .event_arg = &fs->loss,
    };
    return kv_open(storage, &engine, &fs->store);
}

/* Closes `storage` on failure. */
static int open_all(struct kvfs *fs, struct kv_storage *storage, const struct kvfs_options *options)
{
    uint64_t memory = options->memory_bytes != 0 ? options->memory_bytes : default_memory();
    fs->read_only = options->read_only;
    fs->sink = (struct message_sink){.fn = options->message_fn, .arg = options->message_arg};
    fs->walk_fn = options->walk_fn;
    fs->walk_arg = options->walk_arg;
    int r = init_memory(fs, memory);
    if (r == 0) {
        r = open_engine(fs, storage, options, memory);
    }
    if (r < 0) {
        storage->ops->close(storage);
        return r;
    }
    r = open_contents(fs, options);
    if (r < 0) {
        kv_ignore(kv_close(fs->store)); /* closes the storage; the first error is the one to tell */
    }
    return r;
}

int kvfs_open_storage(struct kv_storage *storage, const struct kvfs_options *options,
                      struct kvfs **ret_fs)
{
    struct kvfs *fs = calloc(1, sizeof *fs);
    if (fs == NULL) {
        storage->ops->close(storage);
        return -ENOMEM;
    }
    int r = open_all(fs, storage, options);
    if (r < 0) {
        finish_memory(fs);
        return r;
    }
    *ret_fs = fs;
    return 0;
}

int kvfs_open(const char *path, const struct kvfs_options *options, struct kvfs **ret_fs)
{
    struct kv_storage *storage = NULL;
    int r = kv_storage_posix_open(path, options->create && !options->read_only, &storage);
    return r < 0 ? r : kvfs_open_storage(storage, options, ret_fs);
}

int kvfs_close(struct kvfs *fs)
{
    int r = 0;
    attr_index_close(fs);
    if (!fs->read_only) {
        r = orphan_finish_all(fs); /* what the kernel did not forget is of no use any more */
    }
    int closed = fs_result(kv_close(fs->store));
    ino_source_finish(&fs->inos);
    finish_memory(fs);
    return r < 0 ? r : closed;
}

struct kv_store *kvfs_store(struct kvfs *fs)
{
    return fs->store;
}

int kvfs_sync(struct kvfs *fs)
{
    return fs->read_only ? 0 : fs_result(kv_sync(fs->store));
}

#define SPACE_UNKNOWN ((uint64_t)1 << 50)

int kvfs_statfs(struct kvfs *fs, struct statvfs *ret_stat)
{
    enum { UNIT = 4096 };
    struct kv_space space;
    int r = kv_space(fs->store, &space);
    if (r == -EOPNOTSUPP) {
        /* It cannot tell: what matters is that nobody takes it for full. */
        space = (struct kv_space){.total_bytes = SPACE_UNKNOWN, .free_bytes = SPACE_UNKNOWN};
        r = 0;
    }
    r = fs_result(r);
    if (r < 0) {
        return r;
    }
    uint64_t used_inodes = ino_next(fs);
    /* Size as this filesystem could see it: what it uses and what the device has free. */
    *ret_stat = (struct statvfs){
        .f_bsize = UNIT,
        .f_frsize = UNIT,
        .f_blocks = (space.used_bytes + space.free_bytes) / UNIT,
        .f_bfree = space.free_bytes / UNIT,
        .f_bavail = space.free_bytes / UNIT,
        .f_files = FORMAT_INO_LIMIT,
        .f_ffree = FORMAT_INO_LIMIT - used_inodes,
        .f_favail = FORMAT_INO_LIMIT - used_inodes,
        .f_namemax = KVFS_NAME_SIZE_MAX,
    };
    return 0;
}

void kvfs_memory(struct kvfs *fs, struct kvfs_memory *ret_memory)
{
    *ret_memory = (struct kvfs_memory){
        .lookup_bytes = lookup_table_bytes(&fs->lookups),
        .inode_bytes = stripes_cache_bytes(&fs->stripes),
        .unlinked_bytes = atomic_load(&fs->unlinked_bytes),
    };
}

void kvfs_on_change(struct kvfs *fs, kvfs_changed_fn *fn, void *arg)
{
    fs->changed_fn = fn;
    fs->changed_arg = arg;
}

void kvfs_keep_sizes(struct kvfs *fs)
{
    fs->keeps_sizes = true;
}
