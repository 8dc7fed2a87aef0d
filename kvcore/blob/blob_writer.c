/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/blob/blob_writer.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "kvcore/util/thread.h"

/* Bytes that were put and not yet appended. */
enum { HELD_BACK_MAX = 1 << 20 };

struct blob_writer {
    struct kv_storage *storage; /* constant after creation, as are the next four */
    uint64_t seed;
    uint64_t number;
    struct kv_log *log; /* the file's, which is ours */
    struct blob_file *file;
    /* Of the adding thread, and of the one that seals, which comes after it. */
    struct kv_buf held_back;
    struct blob_pack pack; /* of put */
    struct blob_directory directory;
    uint64_t data_bytes; /* stored bytes of values, without gaps */
    bool broken;         /* an append failed */
    /* Stored by the adding thread, read anywhere. */
    _Atomic uint64_t size;     /* appended and put */
    _Atomic uint64_t appended; /* release after the append; acquire before a sync that covers it */
    _Atomic bool suspect;      /* a sync failed */

    struct mutex sync_mu; /* one sync at a time; held across it */
    uint64_t synced GUARDED_BY(&sync_mu);
    bool sealed GUARDED_BY(&sync_mu);
    struct blob_meta meta GUARDED_BY(&sync_mu); /* once sealed */
};

int blob_writer_create(const struct blob_store *store, uint64_t number,
                       struct blob_writer **ret_writer)
{
    struct kv_file_id id = {.kind = KV_FILE_BLOB, .number = number};
    struct kv_storage *storage = store->storage;
    struct blob_writer *writer = calloc(1, sizeof *writer);
    int r;

    if (writer == NULL) {
        return -ENOMEM;
    }
    *writer = (struct blob_writer){.storage = storage, .seed = store->seed, .number = number};
    mutex_init(&writer->sync_mu, LOCK_RANK_LOG, "blob writer");
    r = storage->ops->log_create(storage, id, 0, 0, &writer->log);
    if (r < 0) {
        goto fail;
    }
    r = blob_file_of_log(store, number, writer->log, &writer->file);
    if (r < 0) {
        storage->ops->log_close(writer->log);
        kv_ignore(storage->ops->remove(storage, id)); /* else the next opening does */
        goto fail;
    }
    *ret_writer = writer;
    return 0;
fail:
    blob_writer_destroy(writer);
    return r;
}

void blob_writer_destroy(struct blob_writer *writer)
{
    if (writer == NULL) {
        return;
    }
    blob_file_unref(writer->file);
    kv_buf_finish(&writer->held_back);
    blob_pack_finish(&writer->pack);
    blob_directory_finish(&writer->directory);
    mutex_finish(&writer->sync_mu);
    free(writer);
}

void blob_writer_stand_alone(struct blob_writer *writer)
{
    if (writer->storage->ops->log_stand_alone != NULL) {
        writer->storage->ops->log_stand_alone(writer->log);
    }
}

uint64_t blob_writer_number(const struct blob_writer *writer)
{
    return writer->number;
}

uint64_t blob_writer_size(const struct blob_writer *writer)
{
    return atomic_load_explicit(&writer->size, memory_order_relaxed);
}

struct blob_file *blob_writer_file(const struct blob_writer *writer)
{
    return blob_file_ref(writer->file);
}

/* ---- appending ---- */

static struct iovec part_of(struct kv_slice bytes)
{
    return (struct iovec){.iov_base = (void *)(uintptr_t)bytes.data, .iov_len = bytes.size};
}

/* Bytes between the present end and the first aligned value. */
static size_t gap_before(const struct blob_writer *writer, const struct blob_pack *pack)
{
    uint64_t size = blob_writer_size(writer);
    return pack->aligned.size > 0 ? (size_t)(-size % BLOB_ALIGNMENT) : 0;
}

static int place_pack(const struct blob_writer *writer, const struct blob_pack *pack,
                      struct blob_place *ret_place)
{
    uint64_t begin = blob_writer_size(writer) + gap_before(writer, pack);

    if (writer->broken || blob_writer_is_suspect(writer)) {
        return -EIO;
    }
    if (begin + blob_pack_size(pack) > BLOB_DATA_SIZE_MAX) {
        return -EFBIG;
    }
    *ret_place = (struct blob_place){.number = writer->number,
                                     .aligned_offset = (uint32_t)begin,
                                     .packed_offset = (uint32_t)(begin + pack->aligned.size)};
    return 0;
}

typedef int append_fn(struct kv_log *log, const struct iovec *parts, int part_count);

/* Hand what is held back, and the parts behind it, to the storage. */
static int hand_over_by(struct blob_writer *writer, const struct iovec parts[3], append_fn *append)
{
    struct iovec all[4] = {part_of(kv_buf_slice(&writer->held_back))};
    uint64_t appended = atomic_load_explicit(&writer->appended, memory_order_relaxed);
    int count = 1;
    int r;

    for (int i = 0; parts != NULL && i < 3; i++) {
        all[count++] = parts[i];
    }
    for (int i = 0; i < count; i++) {
        appended += all[i].iov_len;
    }
    r = append(writer->log, all, count);
    if (r < 0) {
        writer->broken = true;
        return r;
    }
    writer->held_back.size = 0;
    atomic_store_explicit(&writer->appended, appended, memory_order_release);
    atomic_store_explicit(&writer->size, appended, memory_order_relaxed);
    return 0;
}

static int hand_over(struct blob_writer *writer, const struct iovec parts[3])
{
    return hand_over_by(writer, parts, writer->storage->ops->log_append);
}

static const uint8_t zeros[BLOB_ALIGNMENT] = {0};

int blob_writer_append(struct blob_writer *writer, const struct blob_pack *pack,
                       struct blob_place *ret_place)
{
    struct blob_place place;
    struct iovec parts[3] = {
        part_of(kv_slice(zeros, gap_before(writer, pack))),
        part_of(kv_buf_slice(&pack->aligned)),
        part_of(kv_buf_slice(&pack->packed)),
    };
    int r = place_pack(writer, pack, &place);

    r = r < 0 ? r : hand_over(writer, parts);
    if (r == 0) {
        writer->data_bytes += blob_pack_size(pack);
        *ret_place = place;
    }
    return r;
}

int blob_writer_note(struct blob_writer *writer, uint32_t table_id, struct kv_slice key,
                     struct kv_slice pointer)
{
    struct blob_pointer decoded;
    struct blob_entry entry = {.table_id = table_id, .key = key};
    int r = blob_pointer_decode(pointer, &decoded);

    assert(r == 0 && decoded.number == writer->number);
    entry.offset = decoded.offset;
    entry.stored_size = decoded.stored_size;
    entry.length = decoded.length;
    entry.codec = decoded.codec;
    return blob_directory_add(&writer->directory, &entry);
}

/* Take the pack of put into what is held back. */
static int hold_back(struct blob_writer *writer, struct blob_place *ret_place)
{
    struct kv_slice gap = kv_slice(zeros, gap_before(writer, &writer->pack));
    size_t size = gap.size + blob_pack_size(&writer->pack);
    struct blob_place place;
    int r = place_pack(writer, &writer->pack, &place);

    r = r < 0 ? r : kv_buf_reserve(&writer->held_back, size);
    r = r < 0 ? r : kv_buf_append(&writer->held_back, gap);
    r = r < 0 ? r : kv_buf_append(&writer->held_back, kv_buf_slice(&writer->pack.aligned));
    r = r < 0 ? r : kv_buf_append(&writer->held_back, kv_buf_slice(&writer->pack.packed));
    if (r < 0) {
        return r;
    }
    atomic_store_explicit(&writer->size, blob_writer_size(writer) + size, memory_order_relaxed);
    writer->data_bytes += blob_pack_size(&writer->pack);
    *ret_place = place;
    if (writer->held_back.size >= HELD_BACK_MAX) {
        r = hand_over(writer, NULL);
        blob_writer_write_out(writer);
    }
    return r;
}

int blob_writer_put(struct blob_writer *writer, uint32_t table_id, struct kv_slice key,
                    enum codec wanted, struct kv_slice value, struct kv_buf *pointer)
{
    size_t before = pointer->size;
    struct blob_place place;
    int r;

    blob_pack_clear(&writer->pack, HELD_BACK_MAX);
    r = blob_pack_add(&writer->pack, writer->seed, wanted, value, pointer);
    r = r < 0 ? r : hold_back(writer, &place);
    if (r == 0) {
        struct kv_slice added = kv_slice(pointer->data + before, pointer->size - before);
        blob_pack_place(pointer->data + before, added.size, writer->seed, &place);
        r = blob_writer_note(writer, table_id, key, added);
    }
    if (r < 0) {
        pointer->size = before;
    }
    return r;
}

/* ---- making durable ---- */

void blob_writer_write_out(struct blob_writer *writer)
{
    writer->storage->ops->log_write_out(writer->log);
}

bool blob_writer_is_suspect(const struct blob_writer *writer)
{
    return atomic_load(&writer->suspect);
}

static int sync_locked(struct blob_writer *writer) REQUIRES(&writer->sync_mu)
{
    uint64_t appended = atomic_load_explicit(&writer->appended, memory_order_acquire);
    int r;

    if (blob_writer_is_suspect(writer)) {
        return -EIO;
    }
    if (appended == writer->synced) {
        return 0;
    }
    r = writer->storage->ops->log_sync(writer->log);
    if (r < 0) {
        /* What a storage keeps that it has no room for now is in no doubt. */
        if (r != -ENOSPC || !writer->storage->ops->log_sync_keeps) {
            atomic_store(&writer->suspect, true);
        }
        return r;
    }
    writer->synced = appended;
    return 0;
}

int blob_writer_sync(struct blob_writer *writer)
{
    mutex_lock(&writer->sync_mu);
    int r = sync_locked(writer);
    mutex_unlock(&writer->sync_mu);
    return r;
}

/* What is held back, directory and footer. Values can do without the latter two: where they find no
 * room the blob ends with its last value. */
static int append_end(struct blob_writer *writer)
{
    struct kv_buf bytes = {0};
    struct blob_end end = {.number = writer->number, .data_bytes = writer->data_bytes};
    int r = writer->held_back.size > 0 ? hand_over(writer, NULL) : 0;

    if (r < 0) {
        return r;
    }
    end.offset = blob_writer_size(writer);
    r = blob_directory_encode(&writer->directory, writer->seed, &end, &bytes);
    if (r == 0 && !writer->broken && !blob_writer_is_suspect(writer)) {
        const struct kv_storage_ops *ops = writer->storage->ops;
        struct iovec parts[3] = {part_of(kv_buf_slice(&bytes))};
        append_fn *through = ops->log_append_through;
        kv_ignore(hand_over_by(writer, parts, through != NULL ? through : ops->log_append));
    }
    kv_buf_finish(&bytes);
    return r;
}

static int seal_locked(struct blob_writer *writer) REQUIRES(&writer->sync_mu)
{
    int r = append_end(writer);

    r = r < 0 ? r : sync_locked(writer);
    if (r < 0) {
        return r;
    }
    writer->sealed = true;
    writer->meta = (struct blob_meta){
        .number = writer->number, .file_size = writer->synced, .data_bytes = writer->data_bytes};
    kv_buf_finish(&writer->held_back);
    blob_pack_finish(&writer->pack);
    blob_directory_finish(&writer->directory);
    return 0;
}

int blob_writer_seal(struct blob_writer *writer, struct blob_meta *ret_meta)
{
    int r = 0;

    mutex_lock(&writer->sync_mu);
    if (!writer->sealed) {
        r = seal_locked(writer);
    }
    if (r == 0) {
        *ret_meta = writer->meta;
    }
    mutex_unlock(&writer->sync_mu);
    return r;
}
