/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/large.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "kvcore/blob/blob_set.h"
#include "kvcore/blob/blob_writer.h"
#include "kvcore/db/sync.h"
#include "kvcore/db/version_blobs.h"
#include "kvcore/db/view.h"
#include "kvcore/util/clock.h"

/* Of the live bytes of all blobs, as much as a generation should hold, and at least this. */
enum { LIVE_PART = 32 };
#define LIMIT_MIN ((uint64_t)16 << 20)

/* But it lives so long, unless its blob has outgrown the size of one or two: who syncs while a
 * generation ends waits for two logs, two blobs and their names. Of those who sync beside a fast
 * stream that should be about one in a hundred, or less. */
static const uint64_t life_min_ns = 2000000000;

bool large_is(const struct kv_store *store, size_t value_size)
{
    return value_size > 0 && value_size >= store->options.blob_commit_bytes;
}

uint64_t large_limit(const struct kv_store *store, const struct version *version)
{
    uint64_t limit = version_blob_live_bytes(version) / LIVE_PART;
    limit = limit > LIMIT_MIN ? limit : LIMIT_MIN;
    return limit < store->options.blob_file_bytes ? limit : store->options.blob_file_bytes;
}

bool large_is_enough(const struct kv_store *store, const struct generation *active, unsigned factor)
{
    uint64_t bytes = generation_blob_bytes(active);
    /* One more where space is not scarce: several generations wait for a merge of their rows. */
    uint64_t blobs = atomic_load(&store->reserved) ? factor : factor + 1;

    if (bytes / factor < active->blob_limit) {
        return false;
    }
    return store->options.no_background || bytes >= blobs * store->options.blob_file_bytes ||
           clock_monotonic_ns() - atomic_load(&store->rotated_ns) >= life_min_ns;
}

/* ---- in a batch ---- */

static int grow(struct kv_batch *batch)
{
    size_t capacity = batch->large_capacity * 2 + 8;
    struct batch_large *larges;

    if (batch->large_count < batch->large_capacity) {
        return 0;
    }
    larges = reallocarray(batch->larges, capacity, sizeof *larges);
    if (larges == NULL) {
        return -ENOMEM;
    }
    batch->larges = larges;
    batch->large_capacity = capacity;
    return 0;
}

static size_t varint_size(uint64_t v)
{
    uint8_t bytes[CODING_VARINT_MAX];
    return coding_put_varint(bytes, v);
}

/* Where the parts of the row lie that was added last. */
static void note_row(struct kv_batch *batch, const struct kv_table *table, struct kv_slice key,
                     size_t unplaced_at)
{
    size_t pointer_size = batch->unplaced.size - unplaced_at;
    size_t pointer_at = batch->payload.size - pointer_size;

    batch->larges[batch->large_count++] =
        (struct batch_large){.table_id = table->id,
                             .key_at = pointer_at - varint_size(pointer_size) - key.size,
                             .key_size = key.size,
                             .pointer_at = pointer_at,
                             .pointer_size = pointer_size,
                             .unplaced_at = unplaced_at};
}

int large_put(struct kv_batch *batch, struct kv_table *table, struct kv_slice key,
              struct kv_slice value)
{
    enum codec codec = table->options.no_compression ? CODEC_NONE : CODEC_SNAPPY;
    size_t aligned = batch->pack.aligned.size;
    size_t packed = batch->pack.packed.size;
    size_t unplaced = batch->unplaced.size;
    int r;

    if (value.size > KV_VALUE_SIZE_MAX ||
        batch_bytes(batch) + key.size + value.size > KV_BATCH_SIZE_MAX) {
        return -E2BIG;
    }
    r = grow(batch);
    r = r < 0 ? r : blob_pack_add(&batch->pack, table->store->seed, codec, value, &batch->unplaced);
    r = r < 0 ? r
              : batch_put_pointer(
                    batch, table, key,
                    kv_slice(batch->unplaced.data + unplaced, batch->unplaced.size - unplaced));
    if (r < 0) {
        batch->pack.aligned.size = aligned;
        batch->pack.packed.size = packed;
        batch->unplaced.size = unplaced;
        return r;
    }
    note_row(batch, table, key, unplaced);
    batch->large_bytes += value.size;
    return 0;
}

/* ---- by the leader ---- */

/* The blob of the active generation, made if there is none. */
static int need_blob(struct kv_store *store, struct blob_writer **ret_writer)
{
    struct generation *active = store->active;
    struct blob_writer *writer = atomic_load_explicit(&active->blob, memory_order_relaxed);
    struct blob_store files = {
        .storage = store->storage, .seed = store->seed, .sink = &store->sink};
    struct blob_file *file;
    uint64_t number;
    int r = 0;

    if (writer == NULL) {
        mutex_lock(&store->mu);
        number = store->next_blob_number++;
        mutex_unlock(&store->mu);
        r = blob_writer_create(&files, number, &writer);
        if (r < 0) {
            return r;
        }
        file = blob_writer_file(writer);
        r = blob_set_add(store->blobs, file);
        blob_file_unref(file);
        if (r < 0) {
            blob_writer_destroy(writer); /* the next opening removes the file */
            return r;
        }
        /* Release: pairs with the acquire of those who sync. */
        atomic_store_explicit(&active->blob, writer, memory_order_release);
    }
    *ret_writer = writer;
    return 0;
}

/* Fill in the places, each time anew from the pointers without one: a batch whose write failed may
 * be written again. */
static int place_rows(struct kv_store *store, struct blob_writer *writer, struct kv_batch *batch,
                      const struct blob_place *place)
{
    int r = 0;
    for (size_t i = 0; i < batch->large_count && r == 0; i++) {
        const struct batch_large *large = &batch->larges[i];
        uint8_t *pointer = batch->payload.data + large->pointer_at;
        memcpy(pointer, batch->unplaced.data + large->unplaced_at, large->pointer_size);
        blob_pack_place(pointer, large->pointer_size, store->seed, place);
        r = blob_writer_note(writer, large->table_id,
                             kv_slice(batch->payload.data + large->key_at, large->key_size),
                             kv_slice(pointer, large->pointer_size));
    }
    return r;
}

int large_place(struct kv_store *store, struct kv_batch *const *batches, size_t count)
{
    struct blob_writer *writer = NULL;
    int r = 0;

    for (size_t i = 0; i < count && r == 0; i++) {
        struct kv_batch *batch = batches[i];
        struct blob_place place;
        if (batch->large_count == 0) {
            continue;
        }
        r = need_blob(store, &writer);
        r = r < 0 ? r : blob_writer_append(writer, &batch->pack, &place);
        r = r < 0 ? r : place_rows(store, writer, batch, &place);
    }
    if (r < 0 && r != -ENOMEM) {
        store->active->blob_failed = true; /* the next large value begins another generation */
    }
    return r == -EFBIG ? -ENOSPC : r; /* it grew so only because there was no room to rotate */
}

/* ---- behind a write ---- */

void large_write_out(struct kv_store *store)
{
    struct view *view = view_acquire(store);
    struct blob_writer *writer = atomic_load_explicit(&view->active->blob, memory_order_acquire);

    if (writer != NULL) {
        sync_give_way(store);
        blob_writer_write_out(writer);
    }
    view_release(view);
}

/* ---- by the flush ---- */

int large_seal(struct kv_store *store, const struct generation *generation, struct edit *edit)
{
    struct blob_writer *writer = atomic_load_explicit(&generation->blob, memory_order_acquire);
    struct blob_meta meta;
    struct blob_info info;
    bool was_suspect;
    int r;

    if (writer == NULL) {
        return 0;
    }
    was_suspect = blob_writer_is_suspect(writer);
    r = blob_writer_seal(writer, &meta);
    if (r < 0 && blob_writer_is_suspect(writer)) {
        if (!was_suspect) {
            sync_failed(store, r);
        }
        return blob_set_flag(store->blobs, blob_writer_number(writer));
    }
    if (r < 0) {
        return r;
    }
    blob_set_settle(store->blobs, meta.number);
    info = (struct blob_info){
        .number = meta.number, .file_size = meta.file_size, .data_bytes = meta.data_bytes};
    return edit_add_blob(edit, &info);
}
