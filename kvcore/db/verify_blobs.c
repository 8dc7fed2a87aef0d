/* SPDX-License-Identifier: Apache-2.0 */
/* Large values. Those of the rows of one block are read together, as they mostly stand together;
 * only where that fails each is read by itself, so that it is known whose it is. */
#include "kvcore/blob/blob_check.h"
#include "kvcore/db/verify.h"

enum { REQUESTS_MAX = 64 };

struct batch {
    struct verify *v;
    const struct rows_block *rows; /* NULL: a single row of this key */
    struct kv_slice key;
    struct blob_request requests[REQUESTS_MAX];
    size_t count;
    size_t bytes; /* they take of v->value */
};

static const char *name_of(const struct verify *v)
{
    return v->store->storage->ops->name(v->store->storage);
}

/* The row whose value the pointer was decoded from: its bytes are the row's own. */
static uint32_t row_of(const struct rows_block *rows, const struct blob_pointer *pointer)
{
    uint32_t i = 0;
    for (; i + 1 < rows->count; i++) {
        struct kv_slice value = rows_block_value(rows, i);
        if (pointer->units >= value.data && pointer->units < value.data + value.size) {
            break;
        }
    }
    return i;
}

/* Tell of one that cannot be read. The finding is the blob's, not the table's. */
static int tell_unreadable(struct batch *batch, const struct blob_request *failed)
{
    struct verify *v = batch->v;
    struct blob_request request = *failed;
    struct kv_slice key = batch->key;
    int kind = v->kind;
    uint64_t number = v->number;
    uint64_t files = v->progress.files;
    int r = 0;

    if (batch->rows != NULL) {
        r = rows_block_key(batch->rows, row_of(batch->rows, &request.pointer), &v->key);
        key = kv_buf_slice(&v->key);
    }
    v->kind = KV_FILE_BLOB;
    v->number = request.pointer.number;
    v->text[0] = '\0';
    r = r < 0 ? r : blob_set_read_many(v->blobs, &request, 1);
    if (r == -KV_EDAMAGED) {
        verify_lost(v, key, key);
    }
    r = r < 0 ? verify_file_end(v, r) : 0;
    v->progress.files = files;
    v->kind = kind;
    v->number = number;
    return r;
}

static int run(struct batch *batch)
{
    struct verify *v = batch->v;
    int r = 0;

    if (batch->count == 0) {
        return 0;
    }
    v->muted = true;
    if (blob_set_read_many(v->blobs, batch->requests, batch->count) == 0) {
        batch->count = 0;
    }
    v->muted = false;
    for (size_t i = 0; i < batch->count && r == 0; i++) {
        r = batch->requests[i].result < 0 ? tell_unreadable(batch, &batch->requests[i]) : 0;
    }
    batch->count = 0;
    batch->bytes = 0;
    return r;
}

/* In pieces that end with a unit, so that none is read twice. */
static int add_value(struct batch *batch, const struct blob_pointer *pointer)
{
    struct verify *v = batch->v;
    size_t size;
    int r = 0;

    if (!verify_wants_blob(v, pointer->number)) {
        return 0;
    }
    v->progress.values++;
    for (size_t skip = 0; skip < pointer->length && r == 0; skip += size) {
        size_t most = VERIFY_VALUE_BYTES - (skip == 0 ? pointer->skip : 0);
        size = pointer->length - skip < most ? pointer->length - skip : most;
        r = verify_spend(v, (uint64_t)pointer->stored_size * size / pointer->raw_size);
        if (r == 0 && (batch->count == REQUESTS_MAX || batch->bytes + size > VERIFY_VALUE_BYTES)) {
            r = run(batch);
        }
        batch->requests[batch->count++] = (struct blob_request){
            .pointer = *pointer, .skip = skip, .size = size, .to = v->value + batch->bytes};
        batch->bytes += size;
    }
    return r;
}

/* The block is sound, so somebody wrote it so. */
static void tell_senseless(const struct batch *batch, struct kv_slice key)
{
    struct verify *v = batch->v;
    kv_ignore(message_damage(&v->sink,
                             "%s: a row of table %s has a pointer to a large value that makes no "
                             "sense; write or delete its key to clear it",
                             name_of(v), v->table != NULL ? v->table : "?"));
    verify_lost(v, key, key);
}

int verify_values(struct verify *v, const struct rows_block *rows)
{
    struct batch batch = {.v = v, .rows = rows};
    int r = 0;

    for (uint32_t i = 0; i < rows->count && r == 0; i++) {
        struct blob_pointer pointer;
        if (row_kind(rows_block_trailer(rows, i)) != ROW_BLOB) {
            continue;
        }
        if (blob_pointer_decode(rows_block_value(rows, i), &pointer) == 0) {
            r = add_value(&batch, &pointer);
        } else {
            r = rows_block_key(rows, i, &v->key);
            tell_senseless(&batch, kv_buf_slice(&v->key));
        }
    }
    return r < 0 ? r : run(&batch);
}

int verify_value(struct verify *v, const struct row *row)
{
    struct batch batch = {.v = v, .key = row->key};
    struct blob_pointer pointer;
    int r;

    if (blob_pointer_decode(row->value, &pointer) < 0) {
        tell_senseless(&batch, row->key);
        return 0;
    }
    r = add_value(&batch, &pointer);
    return r < 0 ? r : run(&batch);
}

static int verify_directory(struct verify *v, const struct version_blob *blob)
{
    struct blob_check check = {
        .store = {.storage = v->store->storage, .seed = v->store->seed, .sink = &v->sink},
        .read_fn = verify_spend,
        .arg = v};
    int r = verify_file_begin(v, KV_FILE_BLOB, blob->info.number, NULL);

    r = r < 0 ? r : blob_check_end(&check, blob->info.number, blob->info.file_size);
    if (r == -ENOENT && blob->referenced == 0) {
        r = 0; /* garbage that is gone by now */
    } else if (r == -ENOENT) {
        r = message_damage(&v->sink,
                           "%s: blob %08" PRIu64 " is missing, but rows refer to it. Run 'kvfs "
                           "fsck' on the store",
                           name_of(v), blob->info.number);
    }
    return verify_file_end(v, r);
}

int verify_directories(struct verify *v)
{
    const struct version_blobs *blobs = v->pinned->version->blobs;
    int r = 0;

    for (size_t i = 0; blobs != NULL && i < blobs->count && r == 0; i++) {
        if (verify_wants_blob(v, blobs->items[i].info.number)) {
            r = verify_directory(v, &blobs->items[i]);
        }
    }
    return r;
}
