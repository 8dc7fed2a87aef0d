/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/log/log_check.h"

#include <inttypes.h>
#include <stdlib.h>

#include "kvcore/util/checksum.h"
#include "kvcore/util/coding.h"

enum { PIECE_SIZE = 64 * 1024, HEAD_PAYLOAD_MAX = 4096 };

struct checking {
    const struct log_check *check;
    struct kv_file_id id;
    struct kv_log *log;
    struct checksum_stream *stream;
    uint8_t *piece; /* PIECE_SIZE bytes */
    uint64_t size;
    uint64_t file_seed;
    uint64_t payload_seed; /* salted once the head was read */
    bool has_salt;
    bool damaged;
};

static int damage(struct checking *c, uint64_t offset, const char *fault)
{
    bool manifest = c->id.kind == KV_FILE_MANIFEST;
    struct message_place place = {(int)c->id.kind, c->id.number, offset};
    c->damaged = true;
    return message_damage_at(
        c->check->sink, place, "%s: %s %08" PRIu64 ": the record at %" PRIu64 " %s. %s",
        c->check->storage->ops->name(c->check->storage), manifest ? "manifest" : "log",
        c->id.number, offset, fault,
        manifest ? "The store may not open again: make a copy with 'kvfs checkpoint' before it is "
                   "closed"
                 : "Should the process die now, what was written from there on could not be read "
                   "back: close the store cleanly, which puts it into tables");
}

/* All `size` bytes, which are before the end that is known: fewer are damage of the record at
 * `record`. */
static int read_piece(struct checking *c, uint64_t record, uint64_t offset, size_t size)
{
    const struct log_check *check = c->check;
    size_t got = 0;
    int r = check->read_fn != NULL ? check->read_fn(check->arg, size) : 0;

    r = r != 0 ? r : check->storage->ops->log_read(c->log, offset, c->piece, size, &got);
    return r == 0 && got < size ? damage(c, record, "is cut off") : r;
}

static int check_payload(struct checking *c, uint64_t record, const struct log_header *header)
{
    uint64_t at = record + LOG_HEADER_SIZE;
    uint64_t end = at + header->payload_size;
    int r = 0;

    checksum_stream_begin(c->stream, c->payload_seed, at);
    while (r == 0 && at < end) {
        size_t size = end - at < PIECE_SIZE ? (size_t)(end - at) : PIECE_SIZE;
        r = read_piece(c, record, at, size);
        if (r == 0) {
            checksum_stream_add(c->stream, kv_slice(c->piece, size));
        }
        at += size;
    }
    if (r == 0 && checksum_stream_end(c->stream) != header->payload_checksum) {
        r = damage(c, record, "has another checksum than its bytes");
    }
    return r;
}

/* The payload of the head, which is small and was checked, gives the salt of the others. */
static int read_salt(struct checking *c, const struct log_header *header)
{
    struct log_head head;
    int r = header->payload_size <= HEAD_PAYLOAD_MAX
                ? read_piece(c, 0, LOG_HEADER_SIZE, header->payload_size)
                : -KV_EDAMAGED;

    r = r != 0 ? r : log_head_decode(kv_slice(c->piece, header->payload_size), &head);
    if (r == 0) {
        c->payload_seed = log_salted_seed(c->file_seed, head.salt);
        c->has_salt = true;
    }
    return r == -KV_EDAMAGED && !c->damaged ? damage(c, 0, "is no head of a log") : r;
}

/* A valid header of this log at `offset`, which reaches no farther than the end. */
static bool is_header(const struct checking *c, const uint8_t *bytes, uint64_t offset,
                      struct log_header *ret_header)
{
    struct log_header header;

    if (coding_get_u64(bytes + 16) != c->id.number ||
        log_header_decode(bytes, c->file_seed, offset, &header) < 0 ||
        (header.type == LOG_RECORD_HEAD) != (offset == 0) ||
        log_record_size(header.payload_size) > c->size - offset) {
        return false;
    }
    *ret_header = header;
    return true;
}

/* The first header behind a damaged one; the end if there is none. */
static int search_header(struct checking *c, uint64_t bad, uint64_t *ret_offset)
{
    uint64_t offset = bad + LOG_ALIGNMENT;
    struct log_header header;

    while (offset + LOG_HEADER_SIZE <= c->size) {
        size_t size = c->size - offset < PIECE_SIZE ? (size_t)(c->size - offset) : PIECE_SIZE;
        int r = read_piece(c, bad, offset, size);
        if (r != 0) {
            return r;
        }
        for (size_t i = 0; i + LOG_HEADER_SIZE <= size; i += LOG_ALIGNMENT) {
            if (is_header(c, c->piece + i, offset + i, &header)) {
                *ret_offset = offset + i;
                return 0;
            }
        }
        offset += ((size - LOG_HEADER_SIZE) / LOG_ALIGNMENT + 1) * LOG_ALIGNMENT;
    }
    *ret_offset = c->size;
    return 0;
}

/* One record, or what should be one. `*offset` is moved behind it. */
static int check_record(struct checking *c, uint64_t *offset)
{
    uint64_t at = *offset;
    struct log_header header = {0};
    int r = 0;

    if (c->size - at < LOG_HEADER_SIZE) {
        *offset = c->size;
        return damage(c, at, "is cut off");
    }
    r = read_piece(c, at, at, LOG_HEADER_SIZE);
    if (r != 0) {
        *offset = c->size;
        return r;
    }
    if (!is_header(c, c->piece, at, &header)) {
        kv_ignore(damage(c, at, "has a damaged header"));
        return search_header(c, at, offset);
    }
    *offset = at + log_record_size(header.payload_size);
    if (header.type != LOG_RECORD_HEAD && !c->has_salt) {
        return 0; /* nobody can tell: the head is damaged, and that was said */
    }
    r = check_payload(c, at, &header);
    return r == 0 && header.type == LOG_RECORD_HEAD ? read_salt(c, &header) : r;
}

int log_check(const struct log_check *check, struct kv_file_id id, uint64_t size)
{
    struct checking c = {.check = check, .id = id, .size = size};
    uint64_t offset = 0;
    int r = check->storage->ops->log_open(check->storage, id, &c.log);

    if (r < 0) {
        return r;
    }
    c.file_seed = checksum_file_seed(check->store_seed, id.kind, id.number);
    c.payload_seed = c.file_seed;
    c.piece = malloc(PIECE_SIZE);
    r = c.piece != NULL ? checksum_stream_create(&c.stream) : -ENOMEM;
    while (r == 0 && offset < size) {
        r = check_record(&c, &offset);
        r = r == -KV_EDAMAGED ? 0 : r;
    }
    checksum_stream_destroy(c.stream);
    free(c.piece);
    check->storage->ops->log_close(c.log);
    return r == 0 && c.damaged ? -KV_EDAMAGED : r;
}
