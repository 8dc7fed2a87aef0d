/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/blob/blob_file.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "kvcore/util/checksum.h"

enum {
    GAP_MAX = 32 * 1024,    /* read over it rather than read twice */
    RUN_SIZE_MAX = 4 << 20, /* of one read of the storage for several requests */
};

struct blob_file {
    _Atomic uint32_t refs;
    struct kv_storage *storage;
    uint64_t store_seed;
    uint64_t file_seed;
    uint64_t number;
    const struct message_sink *sink; /* NULL: silent */
    struct kv_log *log;              /* one of the two */
    struct kv_object *object;
};

static int file_new(const struct blob_store *store, uint64_t number, struct blob_file **ret_file)
{
    struct blob_file *file = calloc(1, sizeof *file);
    if (file == NULL) {
        return -ENOMEM;
    }
    atomic_init(&file->refs, 1);
    file->storage = store->storage;
    file->store_seed = store->seed;
    file->file_seed = checksum_file_seed(store->seed, KV_FILE_BLOB, number);
    file->number = number;
    file->sink = store->sink;
    *ret_file = file;
    return 0;
}

int blob_file_open(const struct blob_store *store, uint64_t number, struct blob_file **ret_file)
{
    struct kv_file_id id = {.kind = KV_FILE_BLOB, .number = number};
    struct blob_file *file = NULL;
    int r = file_new(store, number, &file);

    r = r < 0 ? r : store->storage->ops->object_open(store->storage, id, &file->object);
    if (r < 0) {
        free(file);
        return r;
    }
    *ret_file = file;
    return 0;
}

int blob_file_of_log(const struct blob_store *store, uint64_t number, struct kv_log *take_log,
                     struct blob_file **ret_file)
{
    struct blob_file *file = NULL;
    int r = file_new(store, number, &file);

    if (r < 0) {
        return r;
    }
    file->log = take_log;
    *ret_file = file;
    return 0;
}

struct blob_file *blob_file_ref(struct blob_file *file)
{
    atomic_fetch_add_explicit(&file->refs, 1, memory_order_relaxed);
    return file;
}

void blob_file_unref(struct blob_file *file)
{
    if (file == NULL || atomic_fetch_sub_explicit(&file->refs, 1, memory_order_acq_rel) > 1) {
        return;
    }
    if (file->log != NULL) {
        file->storage->ops->log_close(file->log);
    }
    if (file->object != NULL) {
        file->storage->ops->object_close(file->object);
    }
    free(file);
}

uint64_t blob_file_number(const struct blob_file *file)
{
    return file->number;
}

uint64_t blob_file_size(const struct blob_file *file)
{
    return file->log != NULL ? file->storage->ops->log_size(file->log)
                             : file->storage->ops->object_size(file->object);
}

/* All `size` bytes; -KV_EDAMAGED if the blob ends before. */
static int read_bytes(struct blob_file *file, uint64_t offset, uint8_t *to, size_t size)
{
    const struct kv_storage_ops *ops = file->storage->ops;
    size_t got = 0;
    int r = file->log != NULL ? ops->log_read(file->log, offset, to, size, &got)
                              : ops->object_read(file->object, offset, to, size, &got);
    if (r < 0) {
        return r;
    }
    return got == size ? 0 : -KV_EDAMAGED;
}

static bool unit_is_sound(const struct blob_file *file, const struct blob_unit *unit,
                          const uint8_t *stored)
{
    return blob_unit_is_sound(unit, file->store_seed, file->file_seed,
                              kv_slice(stored, unit->stored_size));
}

/* ---- the bytes of one request ---- */

/* The stored bytes that a request touches. */
struct span {
    uint32_t offset;
    uint32_t size;
};

static struct span span_of(const struct blob_request *request)
{
    const struct blob_pointer *pointer = &request->pointer;
    uint32_t full = blob_unit_size(pointer->codec);
    uint64_t begin = pointer->skip + (uint64_t)request->skip;
    uint32_t first = (uint32_t)(begin / full);
    uint32_t last = (uint32_t)((begin + request->size - 1) / full);
    struct blob_unit_position position = {0};
    struct blob_unit unit;
    struct span span = {0};

    assert(request->size > 0 && request->skip + request->size <= pointer->length);
    while (position.index <= last && blob_pointer_next_unit(pointer, &position, &unit)) {
        if (unit.index == first) {
            span.offset = unit.offset;
        }
        span.size = unit.offset + unit.stored_size - span.offset;
    }
    return span;
}

/* Copy the bytes [skip, skip + size) of a verified unit. */
static int copy_unit(const struct blob_unit *unit, const uint8_t *stored, uint32_t skip,
                     uint32_t size, uint8_t *to)
{
    uint8_t *raw = NULL;
    int r;

    if (unit->stored_size == unit->raw_size) {
        if (to != stored + skip) { /* it was read to where it belongs */
            memcpy(to, stored + skip, size);
        }
        return 0;
    }
    if (size == unit->raw_size) {
        return codec_decompress(CODEC_SNAPPY, kv_slice(stored, unit->stored_size), to, size);
    }
    raw = malloc(unit->raw_size);
    if (raw == NULL) {
        return -ENOMEM;
    }
    r = codec_decompress(CODEC_SNAPPY, kv_slice(stored, unit->stored_size), raw, unit->raw_size);
    if (r == 0) {
        memcpy(to, raw + skip, size);
    }
    free(raw);
    return r;
}

/* Verify the touched units, whose bytes begin at `stored` with those of `span`, and hand out what
 * was asked for. */
static int serve(const struct blob_file *file, const struct blob_request *request, struct span span,
                 const uint8_t *stored)
{
    uint32_t full = blob_unit_size(request->pointer.codec);
    uint64_t begin = request->pointer.skip + (uint64_t)request->skip;
    uint64_t end = begin + request->size;
    struct blob_unit_position position = {0};
    struct blob_unit unit;
    int r = 0;

    while (r == 0 && blob_pointer_next_unit(&request->pointer, &position, &unit)) {
        uint64_t unit_begin = (uint64_t)unit.index * full;
        uint64_t from = begin > unit_begin ? begin : unit_begin;
        uint64_t till = end < unit_begin + unit.raw_size ? end : unit_begin + unit.raw_size;
        const uint8_t *bytes;
        if (from >= till) {
            continue; /* not touched */
        }
        bytes = stored + (unit.offset - span.offset);
        r = !unit_is_sound(file, &unit, bytes)
                ? -KV_EDAMAGED
                : copy_unit(&unit, bytes, (uint32_t)(from - unit_begin), (uint32_t)(till - from),
                            request->to + (from - begin));
    }
    return r;
}

static int report(const struct blob_file *file, struct blob_request *request, int r)
{
    request->result = r;
    if (r == -KV_EDAMAGED && file->sink != NULL) {
        struct span span = span_of(request);
        struct message_place place = {KV_FILE_BLOB, file->number, span.offset};
        return message_damage_at(file->sink, place,
                                 "%s: blob %08" PRIu64 ": the value stored at %" PRIu32 " (%" PRIu32
                                 " bytes) is damaged; reading it fails until it is "
                                 "overwritten or deleted",
                                 file->storage->ops->name(file->storage), file->number, span.offset,
                                 span.size);
    }
    return r;
}

/* A request by itself: read to where the bytes belong if they are stored as they are. */
static int read_one(struct blob_file *file, struct blob_request *request)
{
    struct span span = span_of(request);
    bool direct = request->pointer.codec == CODEC_NONE && span.size == request->size;
    uint8_t *stored = direct ? request->to : malloc(span.size);
    int r = stored != NULL ? 0 : -ENOMEM;

    r = r < 0 ? r : read_bytes(file, span.offset, stored, span.size);
    r = r < 0 ? r : serve(file, request, span, stored);
    if (!direct) {
        free(stored);
    }
    return report(file, request, r);
}

/* ---- several ---- */

/* How many requests, from the first on, one read of the storage serves, and what it reads. */
static size_t run_of(const struct blob_request *requests, size_t count, struct span *ret_span)
{
    struct span all = span_of(&requests[0]);
    size_t n = 1;

    for (; n < count; n++) {
        struct span span = span_of(&requests[n]);
        uint64_t end = (uint64_t)all.offset + all.size;
        uint64_t span_end = (uint64_t)span.offset + span.size;
        uint64_t new_end = span_end > end ? span_end : end;
        if (span.offset < all.offset || span.offset > end + GAP_MAX ||
            new_end - all.offset > RUN_SIZE_MAX) {
            break;
        }
        all.size = (uint32_t)(new_end - all.offset);
    }
    *ret_span = all;
    return n;
}

/* One read for all; -ENOMEM or what the storage said if that failed. */
static int read_run(struct blob_file *file, struct blob_request *requests, size_t count,
                    struct span all)
{
    uint8_t *stored = malloc(all.size);
    int first = 0;
    int r = stored != NULL ? read_bytes(file, all.offset, stored, all.size) : -ENOMEM;

    for (size_t i = 0; r == 0 && i < count; i++) {
        struct span span = span_of(&requests[i]);
        int one = report(file, &requests[i],
                         serve(file, &requests[i], span, stored + (span.offset - all.offset)));
        first = first < 0 ? first : one;
    }
    free(stored);
    return r < 0 ? r : first < 0 ? 1 : 0;
}

int blob_file_read(struct blob_file *file, struct blob_request *requests, size_t count)
{
    int first = 0;

    for (size_t i = 0, n; i < count; i += n) {
        struct span span;
        n = run_of(requests + i, count - i, &span);
        bool together = n > 1 && read_run(file, requests + i, n, span) >= 0;
        for (size_t j = i; j < i + n; j++) {
            /* Where one read for all failed, each fails or succeeds by itself. */
            int r = together ? requests[j].result : read_one(file, &requests[j]);
            first = first < 0 ? first : r;
        }
    }
    return first;
}

int blob_file_read_stored(struct blob_file *file, const struct blob_pointer *pointer,
                          struct kv_buf *stored)
{
    struct blob_unit_position position = {0};
    struct blob_unit unit;
    int r;

    stored->size = 0;
    r = kv_buf_reserve(stored, pointer->stored_size);
    r = r < 0 ? r : read_bytes(file, pointer->offset, stored->data, pointer->stored_size);
    while (r == 0 && blob_pointer_next_unit(pointer, &position, &unit)) {
        if (!unit_is_sound(file, &unit, stored->data + (unit.offset - pointer->offset))) {
            r = -KV_EDAMAGED;
        }
    }
    if (r == 0) {
        stored->size = pointer->stored_size;
    }
    return r;
}
