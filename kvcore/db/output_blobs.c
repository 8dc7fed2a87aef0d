/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/output_blobs.h"

#include <assert.h>
#include <stdlib.h>

#include "kvcore/blob/blob_set.h"
#include "kvcore/db/reclaim.h"
#include "kvcore/db/value.h"

enum { BLOB_MIN_VALUES = 256 }; /* of the smallest size that is large */

uint64_t output_blobs_min_bytes(const struct kv_store *store)
{
    size_t flush_bytes = store->options.blob_flush_bytes;
    return flush_bytes > SIZE_MAX / BLOB_MIN_VALUES ? UINT64_MAX : flush_bytes * BLOB_MIN_VALUES;
}

/* ---- the blobs ---- */

static int begin_blob(struct kv_store *store, struct output_blobs *blobs)
{
    struct blob_store files = {
        .storage = store->storage, .seed = store->seed, .sink = &store->sink};
    uint64_t number;

    mutex_lock(&store->mu);
    number = store->next_blob_number++;
    mutex_unlock(&store->mu);
    int r = blob_writer_create(&files, number, &blobs->writer);
    if (r == 0) {
        blob_writer_stand_alone(blobs->writer);
    }
    return r;
}

static void remove_blob(struct kv_store *store, uint64_t number)
{
    struct kv_file_id id = {.kind = KV_FILE_BLOB, .number = number};
    /* A leftover is harmless: the next opening removes it. */
    kv_ignore(store->storage->ops->remove(store->storage, id));
}

static int seal_blob(struct output_blobs *blobs)
{
    struct blob_info *larger = realloc(blobs->done, (blobs->done_count + 1) * sizeof *larger);
    struct blob_meta meta;
    int r;

    if (larger == NULL) {
        return -ENOMEM;
    }
    blobs->done = larger;
    r = blob_writer_seal(blobs->writer, &meta);
    if (r < 0) {
        return r;
    }
    larger[blobs->done_count++] = (struct blob_info){
        .number = meta.number, .file_size = meta.file_size, .data_bytes = meta.data_bytes};
    blobs->bytes_written += meta.file_size;
    blob_writer_destroy(blobs->writer);
    blobs->writer = NULL;
    return 0;
}

int output_blobs_finish(struct kv_store *store, struct output_blobs *blobs, struct edit *edit)
{
    int r = blobs->writer != NULL ? seal_blob(blobs) : 0;
    for (size_t i = 0; i < blobs->done_count && r == 0; i++) {
        r = edit_add_blob(edit, &blobs->done[i]);
    }
    if (r == 0) {
        count_add(&store->counters.blob_relocated, blobs->relocated_bytes);
    }
    return r;
}

void output_blobs_remove(struct kv_store *store, struct output_blobs *blobs)
{
    if (blobs->writer != NULL) {
        /* First: what a full device has no room for is then needed by nobody. */
        remove_blob(store, blob_writer_number(blobs->writer));
        blob_writer_destroy(blobs->writer);
        blobs->writer = NULL;
    }
    for (size_t i = 0; i < blobs->done_count; i++) {
        remove_blob(store, blobs->done[i].number);
    }
    blobs->done_count = 0;
}

void output_blobs_destroy(struct output_blobs *blobs)
{
    assert(blobs->writer == NULL);
    free(blobs->done);
    kv_buf_finish(&blobs->value);
    kv_buf_finish(&blobs->pointer);
    *blobs = (struct output_blobs){0};
}

/* ---- rows ---- */

/* Move the value to the blob being filled. */
static int put(struct kv_store *store, struct output_blobs *blobs, const struct kv_table *table,
               const struct row *row, struct kv_slice value, struct row *ret_row)
{
    enum codec codec = table->options.no_compression ? CODEC_NONE : CODEC_SNAPPY;
    int r = 0;

    if (blobs->writer != NULL &&
        blob_writer_size(blobs->writer) >= store->options.blob_file_bytes) {
        r = seal_blob(blobs);
    }
    if (r == 0 && blobs->writer == NULL) {
        r = begin_blob(store, blobs);
    }
    blobs->pointer.size = 0;
    r = r < 0 ? r
              : blob_writer_put(blobs->writer, table->id, row->key, codec, value, &blobs->pointer);
    if (r < 0) {
        return r;
    }
    *ret_row = (struct row){.key = row->key,
                            .trailer = row_trailer(row_sequence(row->trailer), ROW_BLOB),
                            .value = kv_buf_slice(&blobs->pointer)};
    return 0;
}

/* A row whose value is there as bytes: inline or in a blob. */
static int place(struct kv_store *store, struct output_blobs *blobs, const struct kv_table *table,
                 const struct row *row, struct kv_slice value, struct row *ret_row)
{
    if (value.size > 0 && value.size >= store->options.blob_flush_bytes) {
        uint64_t sum = blobs->inline_bytes + value.size;
        if (blobs->separate || sum > output_blobs_min_bytes(store)) {
            return put(store, blobs, table, row, value, ret_row);
        }
        blobs->inline_bytes = sum;
    }
    *ret_row = (struct row){.key = row->key,
                            .trailer = row_trailer(row_sequence(row->trailer), ROW_PUT),
                            .value = value};
    return 0;
}

/* The value lies in a blob: move it if that is to go. */
static int relocate(struct kv_store *store, struct output_blobs *blobs,
                    const struct kv_table *table, const struct row *row, struct row *ret_row)
{
    struct blob_pointer pointer;
    int r = blob_pointer_decode(row->value, &pointer);

    if (r == 0 && !blob_set_is_flagged(store->blobs, pointer.number)) {
        *ret_row = *row;
        return 0;
    }
    r = r < 0 ? r : value_read(store, &pointer, &blobs->value);
    if (r == -KV_EDAMAGED && !blobs->must_read) {
        reclaim_keep(store, pointer.number);
        *ret_row = *row; /* reading it goes on to fail until it is overwritten */
        return 0;
    }
    if (r < 0) {
        return r;
    }
    blobs->relocated_bytes += pointer.length;
    return place(store, blobs, table, row, kv_buf_slice(&blobs->value), ret_row);
}

int output_blobs_row(struct kv_store *store, struct output_blobs *blobs,
                     const struct kv_table *table, const struct row *row, struct row *ret_row)
{
    switch (row_kind(row->trailer)) {
    case ROW_PUT:
        return place(store, blobs, table, row, row->value, ret_row);
    case ROW_BLOB:
        return relocate(store, blobs, table, row, ret_row);
    default:
        *ret_row = *row;
        return 0;
    }
}
