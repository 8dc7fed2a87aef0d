/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers and strings to bytes and back.
 *
 * Writing: coding_put_* stores into memory the caller has sized; coding_append_* grows a kv_buf.
 * Reading: a `struct coding_cursor` walks a slice. Each coding_read_* consumes bytes; past the end
 * or on a malformed number the cursor turns bad, stays bad, and yields zeros, so that a decoder
 * reads everything and checks coding_ok() once. A struct is never laid over bytes. */
#ifndef KVCORE_UTIL_CODING_H
#define KVCORE_UTIL_CODING_H

#include <endian.h>

#include <kv/slice.h>

enum { CODING_VARINT_MAX = 10 };

static inline void coding_put_u16(uint8_t *to, uint16_t v)
{
    v = htole16(v);
    memcpy(to, &v, sizeof v);
}

static inline void coding_put_u32(uint8_t *to, uint32_t v)
{
    v = htole32(v);
    memcpy(to, &v, sizeof v);
}

static inline void coding_put_u64(uint8_t *to, uint64_t v)
{
    v = htole64(v);
    memcpy(to, &v, sizeof v);
}

/* Big-endian: keys whose numbers must sort. */
static inline void coding_put_be64(uint8_t *to, uint64_t v)
{
    v = htobe64(v);
    memcpy(to, &v, sizeof v);
}

static inline uint16_t coding_get_u16(const uint8_t *from)
{
    uint16_t v;
    memcpy(&v, from, sizeof v);
    return le16toh(v);
}

static inline uint32_t coding_get_u32(const uint8_t *from)
{
    uint32_t v;
    memcpy(&v, from, sizeof v);
    return le32toh(v);
}

static inline uint64_t coding_get_u64(const uint8_t *from)
{
    uint64_t v;
    memcpy(&v, from, sizeof v);
    return le64toh(v);
}

static inline uint64_t coding_get_be64(const uint8_t *from)
{
    uint64_t v;
    memcpy(&v, from, sizeof v);
    return be64toh(v);
}

/* LEB128, at most CODING_VARINT_MAX bytes. Returns the number of bytes written. */
size_t coding_put_varint(uint8_t *to, uint64_t v);

KV_MUST_CHECK int coding_append_u8(struct kv_buf *buf, uint8_t v);
KV_MUST_CHECK int coding_append_u16(struct kv_buf *buf, uint16_t v);
KV_MUST_CHECK int coding_append_u32(struct kv_buf *buf, uint32_t v);
KV_MUST_CHECK int coding_append_u64(struct kv_buf *buf, uint64_t v);
KV_MUST_CHECK int coding_append_be64(struct kv_buf *buf, uint64_t v);
KV_MUST_CHECK int coding_append_varint(struct kv_buf *buf, uint64_t v);
/* varint length, then the bytes */
KV_MUST_CHECK int coding_append_string(struct kv_buf *buf, struct kv_slice s);
/* A tagged field: varint tag, varint length, value. Fields may come in any order; see format.md. */
KV_MUST_CHECK int coding_append_field(struct kv_buf *buf, uint64_t tag, struct kv_slice value);
KV_MUST_CHECK int coding_append_field_varint(struct kv_buf *buf, uint64_t tag, uint64_t value);

struct coding_cursor {
    const uint8_t *at;
    const uint8_t *end;
    bool bad; /* sticky */
};

static inline struct coding_cursor coding_cursor(struct kv_slice s)
{
    return (struct coding_cursor){.at = s.data, .end = kv_slice_behind(s, s.size).data};
}

static inline size_t coding_left(const struct coding_cursor *c)
{
    return (size_t)(c->end - c->at);
}

/* Nothing went wrong so far. */
static inline bool coding_ok(const struct coding_cursor *c)
{
    return !c->bad;
}

/* Nothing went wrong and every byte was consumed. */
static inline bool coding_done(const struct coding_cursor *c)
{
    return !c->bad && c->at == c->end;
}

uint8_t coding_read_u8(struct coding_cursor *c);
uint16_t coding_read_u16(struct coding_cursor *c);
uint32_t coding_read_u32(struct coding_cursor *c);
uint64_t coding_read_u64(struct coding_cursor *c);
uint64_t coding_read_be64(struct coding_cursor *c);
uint64_t coding_read_varint(struct coding_cursor *c);
/* A varint no larger than `max`; a larger one turns the cursor bad. */
uint64_t coding_read_varint_max(struct coding_cursor *c, uint64_t max);
/* The next `size` bytes; the slice points into what the cursor walks. */
struct kv_slice coding_read_bytes(struct coding_cursor *c, size_t size);
struct kv_slice coding_read_string(struct coding_cursor *c);
/* Every byte of the next `size` must be zero (reserved fields). */
void coding_read_zeros(struct coding_cursor *c, size_t size);
/* One tagged field. Returns false at the end or when the cursor is bad. */
bool coding_read_field(struct coding_cursor *c, uint64_t *ret_tag, struct kv_slice *ret_value);
/* A slice that must hold exactly one varint; anything else turns `c` bad and yields 0. */
uint64_t coding_field_varint(struct coding_cursor *c, struct kv_slice value);

#endif
