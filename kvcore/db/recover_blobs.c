/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/recover_blobs.h"

#include <assert.h>
#include <stdlib.h>

#include "kvcore/blob/blob_directory.h"
#include "kvcore/blob/blob_file.h"
#include "kvcore/db/version_blobs.h"

/* A blob that the manifest does not name and rows of the logs point at. */
struct unnamed {
    uint64_t number;
    struct kv_log *log; /* of the file */
    struct blob_file *file;
    struct blob_directory directory;
};

struct recovered_blobs {
    struct kv_store *store;
    const struct recovery_list *files;
    const struct version *version;
    struct unnamed *items;
    size_t count;
    struct kv_buf stored; /* of the value being verified */
};

int recovered_blobs_create(struct kv_store *store, const struct recovery_list *files,
                           const struct version *version, struct recovered_blobs **ret_blobs)
{
    struct recovered_blobs *blobs = calloc(1, sizeof *blobs);
    if (blobs == NULL) {
        return -ENOMEM;
    }
    *blobs = (struct recovered_blobs){.store = store, .files = files, .version = version};
    *ret_blobs = blobs;
    return 0;
}

void recovered_blobs_destroy(struct recovered_blobs *blobs)
{
    if (blobs == NULL) {
        return;
    }
    for (size_t i = 0; i < blobs->count; i++) {
        blob_file_unref(blobs->items[i].file);
        blob_directory_finish(&blobs->items[i].directory);
    }
    free(blobs->items);
    kv_buf_finish(&blobs->stored);
    free(blobs);
}

static int open_log(const struct kv_store *store, uint64_t number, struct kv_log **ret_log)
{
    const struct kv_storage_ops *ops = store->storage->ops;
    struct kv_file_id id = {.kind = KV_FILE_BLOB, .number = number};
    return store->options.read_only ? ops->log_open(store->storage, id, ret_log)
                                    : ops->log_resume(store->storage, id, ret_log);
}

/* The blob of this number, opened when it is met first. */
static int need_unnamed(struct recovered_blobs *blobs, uint64_t number, struct unnamed **ret_blob)
{
    struct kv_store *store = blobs->store;
    struct blob_store files = {.storage = store->storage, .seed = store->seed};
    struct unnamed blob = {.number = number};
    struct unnamed *larger;
    int r;

    for (size_t i = 0; i < blobs->count; i++) {
        if (blobs->items[i].number == number) {
            *ret_blob = &blobs->items[i];
            return 0;
        }
    }
    larger = reallocarray(blobs->items, blobs->count + 1, sizeof *larger);
    if (larger == NULL) {
        return -ENOMEM;
    }
    blobs->items = larger;
    r = open_log(store, number, &blob.log);
    if (r < 0) {
        return r;
    }
    r = blob_file_of_log(&files, number, blob.log, &blob.file);
    if (r < 0) {
        store->storage->ops->log_close(blob.log);
        return r;
    }
    larger[blobs->count] = blob;
    *ret_blob = &larger[blobs->count++];
    return 0;
}

/* ---- judging ---- */

static int missing(const struct recovered_blobs *blobs, const struct blob_pointer *pointer)
{
    const struct kv_store *store = blobs->store;
    return message_damage(&store->sink,
                          "%s: a durable row of the log points at bytes %" PRIu32 " to %" PRIu64
                          " of blob %08" PRIu64 ", which is missing or shorter; run kvfs fsck",
                          store->storage->ops->name(store->storage), pointer->offset,
                          pointer->offset + (uint64_t)pointer->stored_size, pointer->number);
}

static bool reaches(const struct blob_pointer *pointer, uint64_t file_size)
{
    return pointer->offset + (uint64_t)pointer->stored_size <= file_size;
}

/* Whether the bytes are those that were written: then write them again. 1: they are not. */
static int verify(struct recovered_blobs *blobs, const struct blob_pointer *pointer)
{
    struct unnamed *blob = NULL;
    int r = need_unnamed(blobs, pointer->number, &blob);

    r = r < 0 ? r : blob_file_read_stored(blob->file, pointer, &blobs->stored);
    if (r == -KV_EDAMAGED) {
        return 1;
    }
    if (r < 0 || blobs->store->options.read_only) {
        return r;
    }
    return blobs->store->storage->ops->log_rewrite(blob->log, pointer->offset,
                                                   kv_buf_slice(&blobs->stored));
}

static int check_pointer(struct recovered_blobs *blobs, const struct blob_pointer *pointer,
                         bool is_durable)
{
    const struct version_blob *named = version_find_blob(blobs->version, pointer->number);
    uint64_t size = recovery_file_size(blobs->files, pointer->number);

    if (named != NULL) {
        return reaches(pointer, named->info.file_size) ? 0 : missing(blobs, pointer);
    }
    if (size == UINT64_MAX || !reaches(pointer, size)) {
        return is_durable ? missing(blobs, pointer) : 1;
    }
    return is_durable ? 0 : verify(blobs, pointer);
}

/* Note in the directory of its blob that the row's value was born there, as far as we know. */
static int note_row(struct recovered_blobs *blobs, const struct batch_row *row,
                    const struct blob_pointer *pointer)
{
    struct unnamed *blob = NULL;
    struct blob_entry entry = {.table_id = row->table_id,
                               .key = row->key,
                               .offset = pointer->offset,
                               .stored_size = pointer->stored_size,
                               .length = pointer->length,
                               .codec = pointer->codec};
    int r;

    if (version_find_blob(blobs->version, pointer->number) != NULL) {
        return 0;
    }
    r = need_unnamed(blobs, pointer->number, &blob);
    return r < 0 ? r : blob_directory_add(&blob->directory, &entry);
}

typedef int row_fn(struct recovered_blobs *blobs, const struct batch_row *row,
                   const struct blob_pointer *pointer, bool is_durable);

static int check_row(struct recovered_blobs *blobs, const struct batch_row *row,
                     const struct blob_pointer *pointer, bool is_durable)
{
    (void)row;
    return check_pointer(blobs, pointer, is_durable);
}

static int keep_row(struct recovered_blobs *blobs, const struct batch_row *row,
                    const struct blob_pointer *pointer, bool is_durable)
{
    (void)is_durable;
    return note_row(blobs, row, pointer);
}

/* Call `fn` for every pointer of the record until it returns something else than 0. */
static int for_each(struct recovered_blobs *blobs, struct kv_slice payload, bool is_durable,
                    row_fn *fn)
{
    struct coding_cursor cursor = coding_cursor(payload);
    struct batch_row row;
    int r;

    while ((r = batch_next(&cursor, &row)) == 1) {
        struct blob_pointer pointer;
        if (row.kind != ROW_BLOB) {
            continue;
        }
        r = blob_pointer_decode(row.value, &pointer);
        r = r < 0 ? r : fn(blobs, &row, &pointer, is_durable);
        if (r != 0) {
            return r;
        }
    }
    return r;
}

int recovered_blobs_check(struct recovered_blobs *blobs, struct kv_slice payload, bool is_durable)
{
    int r = for_each(blobs, payload, is_durable, check_row);
    return r == 0 ? for_each(blobs, payload, is_durable, keep_row) : r;
}

/* ---- sealing ---- */

static int append_through(const struct kv_storage_ops *ops, struct kv_log *log,
                          const struct iovec *part)
{
    return ops->log_append_through != NULL ? ops->log_append_through(log, part, 1)
                                           : ops->log_append(log, part, 1);
}

static int seal(struct recovered_blobs *blobs, struct unnamed *blob, struct edit *edit)
{
    const struct kv_store *store = blobs->store;
    const struct kv_storage_ops *ops = store->storage->ops;
    uint64_t size = ops->log_size(blob->log);
    /* What lies between the values that are known is garbage: it counts as data nobody refers to.
     */
    struct blob_end end = {.number = blob->number, .offset = size, .data_bytes = size};
    struct blob_info info = {.number = blob->number, .file_size = size, .data_bytes = size};
    struct kv_buf bytes = {0};
    struct iovec part;
    int r = blob_directory_encode(&blob->directory, store->seed, &end, &bytes);

    part = (struct iovec){.iov_base = bytes.data, .iov_len = bytes.size};
    if (r == 0 && append_through(ops, blob->log, &part) == 0) {
        info.file_size += bytes.size; /* a full device does without */
    }
    r = r < 0 ? r : ops->log_sync(blob->log);
    r = r < 0 ? r : edit_add_blob(edit, &info);
    kv_buf_finish(&bytes);
    return r;
}

int recovered_blobs_seal(struct recovered_blobs *blobs, struct edit *edit)
{
    int r = 0;
    for (size_t i = 0; i < blobs->count && r == 0; i++) {
        r = seal(blobs, &blobs->items[i], edit);
    }
    return r;
}
