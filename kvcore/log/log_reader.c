/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/log/log_reader.h"

#include <inttypes.h>
#include <stdlib.h>

#include "kvcore/util/checksum.h"
#include "kvcore/util/coding.h"

enum { READ_SIZE = 1024 * 1024, SECTOR_SIZE = 4096 };

struct log_reader {
    struct kv_storage *storage;
    const struct message_sink *sink;
    struct kv_log *log;
    struct kv_file_id id;
    uint64_t store_seed;
    uint64_t file_seed;
    uint64_t payload_seed; /* salted once the head was read */
    uint64_t file_size;
    bool has_expected;
    struct log_end expected;
    /* A window of the file. */
    struct kv_buf window;
    uint64_t window_offset;
    uint64_t unreadable_end; /* no reading ahead before this, since there is a bad sector */
    /* Progress. */
    uint64_t position; /* behind the last good record */
    uint64_t chain;
    uint64_t synced_bytes; /* largest synced-up-to seen */
    bool has_head;
    uint64_t salt;
    struct log_end previous;
    bool closed;   /* the last good record was a close record */
    bool finished; /* the end was found, or an error */
    bool torn;
    int error;
};

static const char *kind_text(const struct log_reader *reader)
{
    return reader->id.kind == KV_FILE_MANIFEST ? "manifest" : "log";
}

/* ---- the window -------------------------------------------------------------------------------
 */

/* Drop what is before `offset`; afterwards the window begins there. */
static void window_drop(struct log_reader *reader, uint64_t offset)
{
    struct kv_buf *window = &reader->window;
    uint64_t window_end = reader->window_offset + window->size;
    size_t kept = 0;

    if (offset >= reader->window_offset && offset < window_end) {
        kept = (size_t)(window_end - offset);
        memmove(window->data, window->data + window->size - kept, kept);
    }
    window->size = kept;
    reader->window_offset = offset;
}

/* How far to read from `offset`, of whose bytes at least `size` are asked for and `left` are there.
 */
static size_t window_want(const struct log_reader *reader, uint64_t offset, uint64_t size,
                          uint64_t left)
{
    uint64_t ahead =
        offset < reader->unreadable_end ? SECTOR_SIZE - offset % SECTOR_SIZE : READ_SIZE;
    uint64_t want = size > ahead ? size : ahead;
    return (size_t)(want < left ? want : left);
}

/* Read on behind what the window holds. */
static int window_fill(struct log_reader *reader, size_t want)
{
    struct kv_buf *window = &reader->window;
    size_t got = 0;
    int r = kv_buf_reserve(window, want - window->size);
    if (r == 0) {
        r = reader->storage->ops->log_read(reader->log, reader->window_offset + window->size,
                                           window->data + window->size, want - window->size, &got);
        window->size += r == 0 ? got : 0;
    }
    return r;
}

/* One further on is no reason not to read what lies before it. */
static void tell_bad_sector(struct log_reader *reader, uint64_t offset, size_t want)
{
    if (offset >= reader->unreadable_end) {
        message(reader->sink, KV_MESSAGE_WARNING,
                "%s: %s %" PRIu64 ": the device cannot read all of the %zu bytes at offset %" PRIu64
                "; they are read in small pieces. Look after the device; save the store with "
                "'kvfs recover' if it gets worse",
                reader->storage->ops->name(reader->storage), kind_text(reader), reader->id.number,
                want, offset);
    }
    reader->unreadable_end = offset + want;
}

/* The bytes from `offset` on, at least `size` of them unless the file ends before. Valid until the
 * next call. */
static int window_get(struct log_reader *reader, uint64_t offset, uint64_t size,
                      struct kv_slice *ret_bytes)
{
    struct kv_buf *window = &reader->window;
    uint64_t left = offset < reader->file_size ? reader->file_size - offset : 0;

    if (left == 0) {
        *ret_bytes = kv_slice(NULL, 0);
        return 0;
    }
    size = size < left ? size : left;
    if (offset < reader->window_offset || offset + size > reader->window_offset + window->size) {
        size_t want = window_want(reader, offset, size, left);
        window_drop(reader, offset);
        int r = window_fill(reader, want);
        if (r == -EIO && want > size) {
            tell_bad_sector(reader, offset, want);
            r = window_fill(reader, window_want(reader, offset, size, left));
        }
        if (r < 0) {
            return r;
        }
    }
    size_t skip = (size_t)(offset - reader->window_offset);
    *ret_bytes = skip < window->size ? kv_slice(window->data + skip, window->size - skip)
                                     : kv_slice(NULL, 0);
    return 0;
}

/* ---- what a bad place means -------------------------------------------------------------------
 */

/* Whether the bytes are a valid header at `offset` of this log. The number is compared first: it
 * makes the search of a whole file as cheap as reading it. */
static bool is_own_header(const struct log_reader *reader, const uint8_t *bytes, uint64_t offset,
                          struct log_header *ret_header)
{
    return coding_get_u64(bytes + 16) == reader->id.number &&
           log_header_decode(bytes, reader->file_seed, offset, ret_header) == 0;
}

/* A record of the log that this file was before it was recycled. */
static bool is_stale_header(const struct log_reader *reader, const uint8_t *bytes)
{
    struct log_header header;
    uint64_t number = coding_get_u64(bytes + 16);
    uint64_t seed = checksum_file_seed(reader->store_seed, reader->id.kind, number);
    return number != reader->id.number &&
           log_header_decode(bytes, seed, reader->position, &header) == 0;
}

static bool all_zero(struct kv_slice bytes)
{
    for (size_t i = 0; i < bytes.size; i++) {
        if (bytes.data[i] != 0) {
            return false;
        }
    }
    return true;
}

struct later_records {
    bool found;
    uint64_t proof_offset; /* of one whose synced-up-to is beyond the bad place; 0: none */
};

static void search_piece(const struct log_reader *reader, struct kv_slice bytes, uint64_t offset,
                         struct later_records *later)
{
    for (size_t i = 0; i + LOG_HEADER_SIZE <= bytes.size; i += LOG_ALIGNMENT) {
        struct log_header header;
        if (!is_own_header(reader, bytes.data + i, offset + i, &header)) {
            continue;
        }
        later->found = true;
        if (header.synced_bytes > reader->position) {
            later->proof_offset = offset + i;
            return;
        }
    }
}

/* Test every place behind the bad one, up to the end of the file, once. */
static int search_later_records(struct log_reader *reader, struct later_records *ret_later)
{
    struct later_records later = {0};
    uint64_t offset = reader->position + LOG_ALIGNMENT;

    while (offset < reader->file_size && later.proof_offset == 0) {
        struct kv_slice bytes;
        int r = window_get(reader, offset, READ_SIZE, &bytes);
        if (r < 0) {
            return r;
        }
        if (bytes.size < LOG_HEADER_SIZE) {
            break;
        }
        search_piece(reader, bytes, offset, &later);
        /* The first place whose header is not wholly in this piece. */
        offset += ((bytes.size - LOG_HEADER_SIZE) / LOG_ALIGNMENT + 1) * LOG_ALIGNMENT;
    }
    *ret_later = later;
    return 0;
}

/* Whether something of this log stands at the bad place: a begun record, or its remains. */
static int looks_begun(struct log_reader *reader, bool *ret_begun)
{
    struct kv_slice bytes;
    int r = window_get(reader, reader->position, LOG_HEADER_SIZE, &bytes);
    if (r < 0) {
        return r;
    }
    if (bytes.size > LOG_HEADER_SIZE) {
        bytes.size = LOG_HEADER_SIZE;
    }
    *ret_begun =
        !all_zero(bytes) && !(bytes.size == LOG_HEADER_SIZE && is_stale_header(reader, bytes.data));
    return 0;
}

static int damage(struct log_reader *reader, const char *why, uint64_t other)
{
    struct message_place place = {(int)reader->id.kind, reader->id.number, reader->position};
    reader->error =
        message_damage_at(reader->sink, place,
                          "%s: %s %" PRIu64 " is damaged at offset %" PRIu64 ": %s %" PRIu64
                          ". What was written from there on cannot be read; run fsck on the store",
                          reader->storage->ops->name(reader->storage), kind_text(reader),
                          reader->id.number, reader->position, why, other);
    return reader->error;
}

/* No valid record at the present position: end, torn end, or damage. */
static int judge(struct log_reader *reader)
{
    struct later_records later = {0};
    bool begun = false;
    int r;

    if (reader->has_expected) {
        return damage(reader, "its records should go on to", reader->expected.size);
    }
    r = looks_begun(reader, &begun);
    if (r < 0) {
        return r;
    }
    r = search_later_records(reader, &later);
    if (r < 0) {
        return r;
    }
    if (later.proof_offset != 0) {
        return damage(reader, "this was durable, says the record at", later.proof_offset);
    }
    reader->torn = later.found || (begun && !reader->closed);
    return 0;
}

/* ---- records ----------------------------------------------------------------------------------
 */

/* Read the record at the present position. 1 and the record, or 0 if there is no valid one. */
static int read_record(struct log_reader *reader, struct log_record *ret_record,
                       struct log_header *ret_header)
{
    struct kv_slice bytes;
    struct log_header header;
    uint64_t size;
    int r = window_get(reader, reader->position, LOG_HEADER_SIZE, &bytes);

    if (r < 0) {
        return r;
    }
    if (bytes.size < LOG_HEADER_SIZE ||
        !is_own_header(reader, bytes.data, reader->position, &header)) {
        return 0;
    }
    if ((header.type == LOG_RECORD_HEAD) != (reader->position == 0)) {
        return 0;
    }
    size = log_record_size(header.payload_size);
    if (size > reader->file_size - reader->position) {
        return 0;
    }
    r = window_get(reader, reader->position, size, &bytes);
    if (r < 0) {
        return r;
    }
    if (bytes.size < size) {
        return 0; /* the file became shorter while we read it */
    }
    struct kv_slice payload = kv_slice(bytes.data + LOG_HEADER_SIZE, header.payload_size);
    if (header.payload_checksum !=
        checksum_at(reader->payload_seed, reader->position + LOG_HEADER_SIZE, payload)) {
        return 0;
    }
    reader->chain = log_chain_add(reader->chain, bytes.data);
    *ret_header = header;
    *ret_record = (struct log_record){
        .type = header.type,
        .sequence = header.sequence,
        .offset = reader->position,
        .payload = payload,
    };
    return 1;
}

/* 1 and the next record, the head included; 0 at the end. */
static int next_record(struct log_reader *reader, struct log_record *ret_record)
{
    struct log_header header = {0};
    int r;

    if (reader->has_expected && reader->position >= reader->expected.size) {
        if (reader->position == reader->expected.size && reader->chain == reader->expected.chain) {
            return 0;
        }
        return damage(reader, "its records are not those it was closed with, size",
                      reader->expected.size);
    }
    r = read_record(reader, ret_record, &header);
    if (r < 0) {
        return r;
    }
    if (r == 0) {
        return judge(reader);
    }
    reader->position += log_record_size(header.payload_size);
    reader->closed = header.type == LOG_RECORD_CLOSE;
    if (header.synced_bytes > reader->synced_bytes) {
        reader->synced_bytes = header.synced_bytes;
    }
    return 1;
}

int log_reader_next(struct log_reader *reader, struct log_record *ret_record)
{
    int r;

    if (reader->finished) {
        return reader->error;
    }
    r = next_record(reader, ret_record);
    if (r <= 0) {
        reader->finished = true;
        reader->error = r;
    }
    return r;
}

static int read_head(struct log_reader *reader)
{
    struct log_record head;
    struct log_head contents;
    int r = log_reader_next(reader, &head);
    if (r <= 0) {
        return r;
    }
    r = log_head_decode(head.payload, &contents);
    if (r == -KV_EFORMAT || r == -ENOMEM) {
        return r;
    }
    if (r < 0) {
        reader->position = 0;
        return damage(reader, "its head record is malformed, size", head.payload.size);
    }
    reader->previous = contents.previous;
    reader->salt = contents.salt;
    reader->payload_seed = log_salted_seed(reader->file_seed, contents.salt);
    reader->has_head = true;
    return 0;
}

int log_reader_open(struct kv_storage *storage, struct kv_file_id id, uint64_t store_seed,
                    const struct log_end *expected, const struct message_sink *sink,
                    struct log_reader **ret_reader)
{
    struct log_reader *reader = calloc(1, sizeof *reader);
    int r;

    if (reader == NULL) {
        return -ENOMEM;
    }
    reader->storage = storage;
    reader->sink = sink;
    reader->id = id;
    reader->store_seed = store_seed;
    reader->file_seed = checksum_file_seed(store_seed, id.kind, id.number);
    reader->payload_seed = reader->file_seed;
    if (expected != NULL) {
        reader->has_expected = true;
        reader->expected = *expected;
    }
    r = storage->ops->log_open(storage, id, &reader->log);
    if (r == 0) {
        reader->file_size = storage->ops->log_size(reader->log);
        r = read_head(reader);
    }
    if (r < 0) {
        log_reader_close(reader);
        return r;
    }
    *ret_reader = reader;
    return 0;
}

void log_reader_close(struct log_reader *reader)
{
    if (reader == NULL) {
        return;
    }
    if (reader->log != NULL) {
        reader->storage->ops->log_close(reader->log);
    }
    kv_buf_finish(&reader->window);
    free(reader);
}

bool log_reader_has_head(const struct log_reader *reader)
{
    return reader->has_head;
}

struct log_end log_reader_previous(const struct log_reader *reader)
{
    return reader->previous;
}

uint64_t log_reader_salt(const struct log_reader *reader)
{
    return reader->salt;
}

struct log_end log_reader_end(const struct log_reader *reader)
{
    return (struct log_end){
        .number = reader->id.number, .size = reader->position, .chain = reader->chain};
}

bool log_reader_was_torn(const struct log_reader *reader)
{
    return reader->torn;
}

uint64_t log_reader_synced_bytes(const struct log_reader *reader)
{
    return reader->synced_bytes;
}
