/* SPDX-License-Identifier: Apache-2.0 */
/* Files: a name in the directory, and pieces that hold the bytes. */
#include "kvcore/storage/pooled_store.h"

#include <assert.h>
#include <stdlib.h>

enum {
    WRITE_BYTES = 4 << 20, /* of one change */
    WRITE_PARTS = 16,
};

/* ---- pieces -----------------------------------------------------------------------------------
 */

/* One more piece, empty. No guard can tell whether it is still this writer's turn: the object is
 * not there. What is written to it counts only once the directory names it. */
static int make_piece(struct pooled_storage *storage, const struct pooled_dir_item *item,
                      uint64_t piece)
{
    char name[POOLED_NAME_SIZE];
    struct pool_value epoch = {POOLED_EPOCH_ATTR, pooled_count_slice(&storage->epoch_text)};

    pooled_piece_name(item->id, item->entry.epoch, piece, name);
    return pooled_change_unguarded(
        storage, name,
        &(struct pool_change){.create = true, .attributes = &epoch, .attribute_count = 1});
}

/* The pieces of a file that is no more, then its name. What fails is left to a later sweep. */
static int remove_pieces(struct pooled_storage *storage, const struct pooled_dir_item *item)
{
    int r = 0;

    for (uint64_t piece = 0; piece <= item->entry.pieces && (r == 0 || r == -ENOENT); piece++) {
        char name[POOLED_NAME_SIZE];
        pooled_piece_name(item->id, item->entry.epoch, piece, name);
        r = pooled_change_unguarded(storage, name, &(struct pool_change){.remove = true});
    }
    return r == 0 || r == -ENOENT ? pooled_dir_forget(storage, item->id) : r;
}

/* By the pieces: the last one with a byte in it. All of them are there, or it is not known. */
static int measure(struct pooled_storage *storage, const struct pooled_dir_item *item,
                   uint64_t *ret_size)
{
    for (uint64_t piece = item->entry.pieces; piece-- > 0;) {
        char name[POOLED_NAME_SIZE];
        uint64_t size = 0;
        pooled_piece_name(item->id, item->entry.epoch, piece, name);
        int r = storage->pool->ops->stat(storage->pool, name, &size);
        if (r == -ENOENT) {
            r = pooled_piece_missing(storage);
        }
        if (r < 0) {
            return r;
        }
        if (size > item->entry.piece_bytes) {
            return -KV_EDAMAGED;
        }
        if (size > 0) {
            *ret_size = piece * item->entry.piece_bytes + size;
            return 0;
        }
    }
    *ret_size = 0;
    return 0;
}

int pooled_item_size(struct pooled_storage *storage, const struct pooled_dir_item *item,
                     uint64_t *ret_size)
{
    if (item->entry.state == POOLED_FINISHED) {
        *ret_size = item->entry.size;
        return 0;
    }
    uint64_t size = 0;
    if (item->id.kind == KV_FILE_LOG) { /* it may be one that is appended to here */
        pooled_sender_await(&storage->sender);
    } else if (item->id.kind == KV_FILE_BLOB) {
        pooled_flights_settle(&storage->flights, item->id);
    }
    int r = measure(storage, item, &size);
    if (r == 0) {
        *ret_size = pooled_flights_whole(&storage->flights, item->id, size);
    }
    return r;
}

/* ---- what is open here ------------------------------------------------------------------------
 */

static struct pooled_file *find(struct pooled_storage *storage, struct kv_file_id id)
    REQUIRES(&storage->mu)
{
    struct pooled_file *file = storage->files;
    while (file != NULL && (file->id.kind != id.kind || file->id.number != id.number)) {
        file = file->next;
    }
    return file;
}

/* A reference to the file, under the name it is found by. If somebody has it open, `entry` is not
 * used. */
static int enlist(struct pooled_storage *storage, struct kv_file_id id, struct pooled_entry entry,
                  struct pooled_file **ret_file)
{
    struct pooled_file *fresh = calloc(1, sizeof *fresh);
    if (fresh == NULL) {
        return -ENOMEM;
    }
    mutex_lock(&storage->mu);
    struct pooled_file *file = find(storage, id);
    if (file == NULL) {
        file = fresh;
        fresh = NULL;
        *file = (struct pooled_file){
            .storage = storage, .id = id, .entry = entry, .next = storage->files};
        storage->files = file;
    }
    file->refs++;
    mutex_unlock(&storage->mu);
    free(fresh);
    *ret_file = file;
    return 0;
}

static struct pooled_dir_item item_of(struct pooled_file *file)
{
    mutex_lock(&file->storage->mu);
    struct pooled_dir_item item = {.id = file->id, .entry = file->entry};
    mutex_unlock(&file->storage->mu);
    return item;
}

/* Say it in the directory first, then here. A file that was removed while it is open stays so: also
 * if that was said in the directory between the look and the put. */
static int set_entry(struct pooled_file *file, struct pooled_entry entry)
{
    struct pooled_storage *storage = file->storage;
    bool removed = false;
    bool said_so = false;

    do {
        mutex_lock(&storage->mu);
        said_so = file->removed;
        mutex_unlock(&storage->mu);
        if (said_so) {
            entry.state = POOLED_REMOVED;
            entry.size = 0;
        }
        struct pooled_dir_item item = {.id = file->id, .entry = entry};
        int r = pooled_dir_put(storage, &item, 1);
        if (r < 0) {
            return r;
        }
        mutex_lock(&storage->mu);
        file->entry = entry;
        removed = file->removed;
        mutex_unlock(&storage->mu);
    } while (removed && !said_so);
    return 0;
}

void pooled_file_unref(struct pooled_file *take_file)
{
    struct pooled_storage *storage = take_file->storage;
    struct pooled_file **link = &storage->files;
    struct pooled_dir_item item = {0};

    mutex_lock(&storage->mu);
    bool last = --take_file->refs == 0;
    bool removed = take_file->removed;
    if (last) {
        while (*link != take_file) {
            link = &(*link)->next;
        }
        *link = take_file->next;
        item = (struct pooled_dir_item){.id = take_file->id, .entry = take_file->entry};
    }
    mutex_unlock(&storage->mu);
    if (last && removed) {
        kv_ignore(remove_pieces(storage, &item)); /* the next opening sweeps */
    }
    if (last) {
        free(take_file);
    }
}

/* ---- making and removing ----------------------------------------------------------------------
 */

static bool is_there(const struct pooled_entry *entry)
{
    return entry->state == POOLED_OPEN || entry->state == POOLED_FINISHED;
}

/* The number may have been used by a file of which something is left. */
static int make_way(struct pooled_storage *storage, struct kv_file_id id)
{
    struct pooled_dir_item item = {.id = id};
    int r = pooled_dir_get(storage, id, &item.entry);

    if (r == 0 && is_there(&item.entry)) {
        return -EEXIST;
    }
    if (r == 0) {
        r = pooled_file_sweep(storage, id);
        r = r < 0 ? r : pooled_dir_get(storage, id, &item.entry);
    }
    return r == 0 ? -EEXIST : r == -ENOENT ? 0 : r;
}

/* Whether the file is open here, which is then marked: before the directory says that it is
 * removed, so that nobody who has it open says otherwise afterwards. */
static bool mark_removed(struct pooled_storage *storage, struct kv_file_id id, bool removed)
{
    mutex_lock(&storage->mu);
    struct pooled_file *file = find(storage, id);
    if (file != NULL) {
        file->removed = removed;
    }
    mutex_unlock(&storage->mu);
    return file != NULL;
}

/* The directory is told that a file is removed, and perhaps more: its pieces go now, or with who
 * has it open. */
static int put_removed(struct pooled_storage *storage, const struct pooled_dir_item *removed,
                       const struct pooled_dir_item *items, size_t count)
{
    kv_ignore(mark_removed(storage, removed->id, true));
    int r = pooled_dir_put(storage, items, count);
    if (r < 0) {
        kv_ignore(mark_removed(storage, removed->id, false));
        return r;
    }
    pooled_flights_removed(&storage->flights, removed->id);
    pooled_sender_removed(&storage->sender, removed->id);
    if (!mark_removed(storage, removed->id, true)) {
        kv_ignore(remove_pieces(storage, removed)); /* the next opening sweeps */
    }
    return 0;
}

/* 1 there is such a file, and `ret_item` is what the directory is to say of it once it is removed;
 * 0 there is none. */
static int plan_removal(struct pooled_storage *storage, struct kv_file_id id,
                        struct pooled_dir_item *ret_item)
{
    struct pooled_dir_item item = {.id = id};
    int r = pooled_dir_get(storage, id, &item.entry);

    if (r == -ENOENT || (r == 0 && !is_there(&item.entry))) {
        return 0;
    }
    if (r < 0) {
        return r;
    }
    item.entry.state = POOLED_REMOVED;
    item.entry.size = 0;
    *ret_item = item;
    return 1;
}

/* Name the new file, and let the one that it replaces go. */
static int name_file(struct pooled_storage *storage, const struct pooled_dir_item *item,
                     uint64_t replaced)
{
    struct pooled_dir_item items[POOLED_DIR_PUT_MAX] = {*item};
    int planned = 0;

    if (replaced != 0) {
        planned = plan_removal(storage, (struct kv_file_id){item->id.kind, replaced}, &items[1]);
    }
    if (planned <= 0) {
        return planned < 0 ? planned : pooled_dir_put(storage, items, 1);
    }
    return put_removed(storage, &items[1], items, 2);
}

int pooled_file_create(struct pooled_storage *storage, struct pooled_dir_item item,
                       uint64_t replaced, struct pooled_file **ret_file)
{
    struct pooled_file *file = NULL;

    if (atomic_load(&storage->lease) != KV_LEASE_EXCLUSIVE) {
        return -EROFS;
    }
    item.entry.epoch = storage->epoch;
    item.entry.piece_bytes = storage->options.piece_bytes;
    int r = make_way(storage, item.id);
    r = r < 0 ? r : enlist(storage, item.id, item.entry, &file);
    if (r < 0) {
        return r;
    }
    r = name_file(storage, &item, replaced);
    if (r < 0) {
        pooled_file_abort(file);
        return r;
    }
    *ret_file = file;
    return 0;
}

int pooled_file_remove(struct pooled_storage *storage, struct kv_file_id id)
{
    struct pooled_dir_item item;

    if (atomic_load(&storage->lease) != KV_LEASE_EXCLUSIVE) {
        return -EROFS;
    }
    int r = plan_removal(storage, id, &item);
    if (r == -KV_EDAMAGED) {
        return pooled_dir_forget(storage, id);
    }
    if (r <= 0) {
        return r == 0 ? -ENOENT : r;
    }
    return put_removed(storage, &item, &item, 1);
}

void pooled_file_abort(struct pooled_file *take_file)
{
    mutex_lock(&take_file->storage->mu);
    take_file->removed = true;
    mutex_unlock(&take_file->storage->mu);
    pooled_file_unref(take_file);
}

int pooled_file_sweep(struct pooled_storage *storage, struct kv_file_id id)
{
    struct pooled_dir_item item = {.id = id};

    mutex_lock(&storage->mu);
    bool is_open = find(storage, id) != NULL;
    mutex_unlock(&storage->mu);
    if (is_open) {
        return 0;
    }
    /* Asked for afterwards: whoever saw it unfinished before may have seen it being made. Now
     * nobody makes it any more, and nobody will under that number. */
    int r = pooled_dir_get(storage, id, &item.entry);
    if (r == -KV_EDAMAGED) {
        return pooled_dir_forget(storage, id);
    }
    if (r < 0 || is_there(&item.entry)) {
        return r == -ENOENT ? 0 : r;
    }
    return remove_pieces(storage, &item);
}

/* ---- opening and finishing --------------------------------------------------------------------
 */

int pooled_file_open(struct pooled_storage *storage, struct kv_file_id id,
                     struct pooled_file **ret_file)
{
    struct pooled_entry entry = {0};
    struct pooled_file *file = NULL;

    int r = pooled_dir_get(storage, id, &entry);
    if (r == 0 && !is_there(&entry)) {
        r = -ENOENT;
    }
    r = r < 0 ? r : enlist(storage, id, entry, &file);
    if (r < 0) {
        return r;
    }
    /* Who removed it since may not have seen that it is open, and taken its pieces away. */
    r = pooled_dir_get(storage, id, &entry);
    if (r == 0 && !is_there(&entry)) {
        r = -ENOENT;
    }
    if (r < 0) {
        pooled_file_unref(file);
        return r;
    }
    mutex_lock(&storage->mu);
    if (file->refs == 1) { /* nobody here knows more than the directory does */
        file->entry = entry;
    }
    mutex_unlock(&storage->mu);
    *ret_file = file;
    return 0;
}

int pooled_file_size(struct pooled_file *file, uint64_t *ret_size)
{
    struct pooled_dir_item item = item_of(file);
    return pooled_item_size(file->storage, &item, ret_size);
}

int pooled_file_resume(struct pooled_file *file)
{
    struct pooled_dir_item item = item_of(file);

    if (atomic_load(&file->storage->lease) != KV_LEASE_EXCLUSIVE) {
        return -EROFS;
    }
    /* Open first: from then on whoever takes over fences it, again. */
    item.entry.state = POOLED_OPEN;
    item.entry.size = 0;
    int r = set_entry(file, item.entry);
    return r < 0 ? r : pooled_fence_file(file->storage, &item);
}

int pooled_file_finish(struct pooled_file *file, uint64_t size)
{
    struct pooled_dir_item item = item_of(file);

    item.entry.state = POOLED_FINISHED;
    item.entry.size = size;
    return set_entry(file, item.entry);
}

/* ---- bytes ------------------------------------------------------------------------------------
 */

/* What of an array of parts is still to be written. */
struct rest {
    const struct iovec *parts;
    int count;
    size_t done; /* of the first */
};

/* The next bytes, at most `max` and WRITE_PARTS parts. Returns how many bytes. */
static size_t take(struct rest *rest, size_t max, struct iovec to[WRITE_PARTS], int *ret_count)
{
    size_t taken = 0;
    int count = 0;

    while (rest->count > 0 && taken < max && count < WRITE_PARTS) {
        size_t left = rest->parts[0].iov_len - rest->done;
        size_t size = left < max - taken ? left : max - taken;
        if (size > 0) {
            to[count++] = (struct iovec){(uint8_t *)rest->parts[0].iov_base + rest->done, size};
        }
        taken += size;
        rest->done += size;
        if (rest->done == rest->parts[0].iov_len) {
            rest->parts++;
            rest->count--;
            rest->done = 0;
        }
    }
    *ret_count = count;
    return taken;
}

/* The next piece: made, then named. An earlier writer may have died in between; then it is there,
 * and empty. */
static int grow(struct pooled_file *file)
{
    struct pooled_dir_item item = item_of(file);

    if (item.entry.pieces == POOLED_PIECES_MAX) {
        return -EFBIG;
    }
    int r = make_piece(file->storage, &item, item.entry.pieces);
    if (r == -EEXIST) {
        r = pooled_fence_piece(file->storage, &item, item.entry.pieces);
    }
    if (r < 0) {
        return r;
    }
    item.entry.pieces++;
    return set_entry(file, item.entry);
}

int pooled_file_reach(struct pooled_file *file, uint64_t offset)
{
    struct pooled_dir_item item = item_of(file);
    uint64_t piece = offset / item.entry.piece_bytes;

    assert(piece <= item.entry.pieces);
    return piece == item.entry.pieces ? grow(file) : 0;
}

int pooled_file_begin(struct pooled_file *file, uint64_t offset, struct kv_slice bytes,
                      pool_done_fn *done, void *arg)
{
    struct pooled_dir_item item = item_of(file);
    struct iovec part = {(void *)(uintptr_t)bytes.data, bytes.size};
    char name[POOLED_NAME_SIZE];

    pooled_piece_name(item.id, item.entry.epoch, offset / item.entry.piece_bytes, name);
    return pooled_change_begin(file->storage, name,
                               &(struct pool_change){.parts = &part,
                                                     .part_count = 1,
                                                     .offset = offset % item.entry.piece_bytes},
                               done, arg);
}

uint64_t pooled_file_piece_bytes(struct pooled_file *file)
{
    return item_of(file).entry.piece_bytes;
}

int pooled_file_write(struct pooled_file *file, uint64_t offset, const struct iovec *parts,
                      int part_count)
{
    struct rest rest = {.parts = parts, .count = part_count};

    for (;;) {
        struct iovec some[WRITE_PARTS];
        struct pooled_dir_item item = item_of(file);
        uint64_t at = offset % item.entry.piece_bytes;
        uint64_t room = item.entry.piece_bytes - at;
        char name[POOLED_NAME_SIZE];
        int count = 0;
        size_t size = take(&rest, room < WRITE_BYTES ? (size_t)room : WRITE_BYTES, some, &count);

        if (size == 0 && rest.count == 0) {
            return 0;
        }
        int r = pooled_file_reach(file, offset);
        if (r < 0) {
            return r;
        }
        pooled_piece_name(item.id, item.entry.epoch, offset / item.entry.piece_bytes, name);
        r = pooled_change(file->storage, name,
                          &(struct pool_change){.parts = some, .part_count = count, .offset = at});
        if (r < 0) {
            return r == -ENOENT ? pooled_piece_missing(file->storage) : r;
        }
        offset += size;
    }
}

static int read_pieces(struct pooled_file *file, uint64_t offset, uint8_t *to, size_t size)
{
    struct pooled_dir_item item = item_of(file);

    while (size > 0) {
        uint64_t at = offset % item.entry.piece_bytes;
        uint64_t room = item.entry.piece_bytes - at;
        size_t want = size < room ? size : (size_t)room;
        size_t got = 0;
        char name[POOLED_NAME_SIZE];

        pooled_piece_name(item.id, item.entry.epoch, offset / item.entry.piece_bytes, name);
        int r = file->storage->pool->ops->read(file->storage->pool, name, at, to, want, &got);
        if (r == -ENOENT || (r == 0 && got < want)) {
            return -KV_EDAMAGED;
        }
        if (r < 0) {
            return r;
        }
        to += want;
        offset += want;
        size -= want;
    }
    return 0;
}

int pooled_file_read(struct pooled_file *file, uint64_t end, uint64_t offset, void *to, size_t size,
                     size_t *ret_size)
{
    if (offset >= end) {
        *ret_size = 0;
        return 0;
    }
    if (size > end - offset) {
        size = (size_t)(end - offset);
    }
    int r = read_pieces(file, offset, to, size);
    r = r == -KV_EDAMAGED ? pooled_piece_missing(file->storage) : r;
    /* Afterwards: who took the store over may have removed the file, which is no damage then. */
    int lease = pooled_check_lease(file->storage);
    if (lease < 0) {
        return lease;
    }
    if (r == 0) {
        *ret_size = size;
    }
    return r;
}

int pooled_file_zero(struct pooled_file *file, uint64_t offset, uint64_t size)
{
    struct pooled_dir_item item = item_of(file);

    while (size > 0) {
        uint64_t at = offset % item.entry.piece_bytes;
        uint64_t room = item.entry.piece_bytes - at;
        uint64_t some = size < room ? size : room;
        char name[POOLED_NAME_SIZE];

        pooled_piece_name(item.id, item.entry.epoch, offset / item.entry.piece_bytes, name);
        int r = pooled_change_unguarded(file->storage, name,
                                        &(struct pool_change){.offset = at, .zero_bytes = some});
        if (r < 0) {
            return r == -ENOENT ? -KV_EDAMAGED : r;
        }
        offset += some;
        size -= some;
    }
    return 0;
}
