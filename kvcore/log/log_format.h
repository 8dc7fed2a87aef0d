/* SPDX-License-Identifier: Apache-2.0 */
/* Framing of records in a log: the write-ahead log and the manifest alike. See docs/format.md,
 * "Logs". A record is a header of LOG_HEADER_SIZE bytes, the payload, and zeros up to a multiple of
 * 8:
 *
 *     0  u64 checksum of the payload, seeded with file and offset of the payload
 *     8  u32 checksum of the header: low half of the checksum of bytes 0..8 and 12..40
 *    12  u32 payload size
 *    16  u64 log number            tells a record from stale bytes of a recycled segment
 *    24  u64 first sequence number (manifest: number of the edit)
 *    32  u32 synced-up-to, in units of 8 bytes: this much of the log was durable when written
 *    36  u8  type, enum log_record_type
 *    37  3 zeros */
#ifndef KVCORE_LOG_LOG_FORMAT_H
#define KVCORE_LOG_LOG_FORMAT_H

#include <kv/storage.h>

enum {
    LOG_HEADER_SIZE = 40,
    LOG_ALIGNMENT = 8,
    LOG_PAYLOAD_SIZE_MAX = 1 << 28,
};

/* Largest log: synced-up-to must fit 32 bits of 8-byte units. */
#define LOG_SIZE_MAX ((uint64_t)UINT32_MAX * LOG_ALIGNMENT)

/* On disk, never renumber. */
enum log_record_type {
    LOG_RECORD_HEAD = 1,     /* first of a segment: struct log_end of its predecessor */
    LOG_RECORD_BATCH = 2,    /* rows of one or more batches */
    LOG_RECORD_MARK = 3,     /* nothing but a newer synced-up-to, when idle */
    LOG_RECORD_CLOSE = 4,    /* the store was closed cleanly here */
    LOG_RECORD_SNAPSHOT = 5, /* manifest: the whole state */
    LOG_RECORD_EDIT = 6,     /* manifest: one change */
};

struct log_header {
    uint64_t payload_checksum;
    uint32_t payload_size;
    uint64_t number;
    uint64_t sequence;
    uint64_t synced_bytes; /* a multiple of LOG_ALIGNMENT */
    enum log_record_type type;
};

/* Where a log ends: enough to tell a complete one from one that lost its tail. */
struct log_end {
    uint64_t number;
    uint64_t size;  /* offset behind the last record */
    uint64_t chain; /* hash over all record headers in order, 0 for an empty log */
};

void log_header_encode(const struct log_header *header, uint64_t file_seed, uint64_t offset,
                       uint8_t to[LOG_HEADER_SIZE]);
/* -KV_EDAMAGED if these bytes are not a valid header of a record at `offset` of the log that
 * `file_seed` stands for (stale, torn, rotten or never written). */
KV_MUST_CHECK int log_header_decode(const uint8_t from[LOG_HEADER_SIZE], uint64_t file_seed,
                                    uint64_t offset, struct log_header *ret_header);
/* The chain after one more header. */
uint64_t log_chain_add(uint64_t chain, const uint8_t header[LOG_HEADER_SIZE]);

/* Bytes a record with this payload takes. */
static inline uint64_t log_record_size(uint64_t payload_size)
{
    return (LOG_HEADER_SIZE + payload_size + LOG_ALIGNMENT - 1) & ~(uint64_t)(LOG_ALIGNMENT - 1);
}

/* Payload of LOG_RECORD_HEAD. */
struct log_head {
    struct log_end previous; /* end of the predecessor; number 0: none */
    uint64_t salt;           /* random: tells this life of the log's number from any other */
    uint64_t store_seed;     /* of the root record, should that be lost; 0: not said */
};

/* Checksum seed of the payloads behind the head. All headers, and the head's payload, use the
 * file's seed, so that records are found even where the head is lost. */
uint64_t log_salted_seed(uint64_t file_seed, uint64_t salt);

KV_MUST_CHECK int log_head_encode(const struct log_head *head, struct kv_buf *to);
/* Errors: -KV_EDAMAGED; -KV_EFORMAT a field that this version does not know and must. */
KV_MUST_CHECK int log_head_decode(struct kv_slice from, struct log_head *ret_head);

#endif
