/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/util/coding.h"

size_t coding_put_varint(uint8_t *to, uint64_t v)
{
    size_t n = 0;
    while (v >= 0x80) {
        to[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    to[n++] = (uint8_t)v;
    return n;
}

int coding_append_u8(struct kv_buf *buf, uint8_t v)
{
    return kv_buf_append(buf, kv_slice(&v, 1));
}

int coding_append_u16(struct kv_buf *buf, uint16_t v)
{
    uint8_t bytes[2];
    coding_put_u16(bytes, v);
    return kv_buf_append(buf, kv_slice(bytes, sizeof bytes));
}

int coding_append_u32(struct kv_buf *buf, uint32_t v)
{
    uint8_t bytes[4];
    coding_put_u32(bytes, v);
    return kv_buf_append(buf, kv_slice(bytes, sizeof bytes));
}

int coding_append_u64(struct kv_buf *buf, uint64_t v)
{
    uint8_t bytes[8];
    coding_put_u64(bytes, v);
    return kv_buf_append(buf, kv_slice(bytes, sizeof bytes));
}

int coding_append_be64(struct kv_buf *buf, uint64_t v)
{
    uint8_t bytes[8];
    coding_put_be64(bytes, v);
    return kv_buf_append(buf, kv_slice(bytes, sizeof bytes));
}

int coding_append_varint(struct kv_buf *buf, uint64_t v)
{
    uint8_t bytes[CODING_VARINT_MAX];
    return kv_buf_append(buf, kv_slice(bytes, coding_put_varint(bytes, v)));
}

int coding_append_string(struct kv_buf *buf, struct kv_slice s)
{
    size_t before = buf->size;
    int r = coding_append_varint(buf, s.size);
    if (r < 0) {
        return r;
    }
    r = kv_buf_append(buf, s);
    if (r < 0) {
        buf->size = before;
    }
    return r;
}

int coding_append_field(struct kv_buf *buf, uint64_t tag, struct kv_slice value)
{
    size_t before = buf->size;
    int r = coding_append_varint(buf, tag);
    if (r < 0) {
        return r;
    }
    r = coding_append_string(buf, value);
    if (r < 0) {
        buf->size = before;
    }
    return r;
}

int coding_append_field_varint(struct kv_buf *buf, uint64_t tag, uint64_t value)
{
    uint8_t bytes[CODING_VARINT_MAX];
    return coding_append_field(buf, tag, kv_slice(bytes, coding_put_varint(bytes, value)));
}

struct kv_slice coding_read_bytes(struct coding_cursor *c, size_t size)
{
    struct kv_slice s = {0};
    if (c->bad || coding_left(c) < size) {
        c->bad = true;
        return s;
    }
    s = kv_slice(c->at, size);
    c->at = kv_slice_behind(s, size).data;
    return s;
}

uint8_t coding_read_u8(struct coding_cursor *c)
{
    struct kv_slice s = coding_read_bytes(c, 1);
    return s.size == 1 ? s.data[0] : 0;
}

uint16_t coding_read_u16(struct coding_cursor *c)
{
    struct kv_slice s = coding_read_bytes(c, 2);
    return s.size == 2 ? coding_get_u16(s.data) : 0;
}

uint32_t coding_read_u32(struct coding_cursor *c)
{
    struct kv_slice s = coding_read_bytes(c, 4);
    return s.size == 4 ? coding_get_u32(s.data) : 0;
}

uint64_t coding_read_u64(struct coding_cursor *c)
{
    struct kv_slice s = coding_read_bytes(c, 8);
    return s.size == 8 ? coding_get_u64(s.data) : 0;
}

uint64_t coding_read_be64(struct coding_cursor *c)
{
    struct kv_slice s = coding_read_bytes(c, 8);
    return s.size == 8 ? coding_get_be64(s.data) : 0;
}

uint64_t coding_read_varint(struct coding_cursor *c)
{
    uint64_t v = 0;
    for (unsigned shift = 0; !c->bad && c->at < c->end && shift < 64; shift += 7) {
        uint8_t byte = *c->at++;
        if (shift == 63 && byte > 1) {
            break; /* would not fit in 64 bits */
        }
        v |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            return v;
        }
    }
    c->bad = true;
    return 0;
}

uint64_t coding_read_varint_max(struct coding_cursor *c, uint64_t max)
{
    uint64_t v = coding_read_varint(c);
    if (v > max) {
        c->bad = true;
        return 0;
    }
    return v;
}

struct kv_slice coding_read_string(struct coding_cursor *c)
{
    uint64_t size = coding_read_varint_max(c, coding_left(c));
    return coding_read_bytes(c, (size_t)size);
}

void coding_read_zeros(struct coding_cursor *c, size_t size)
{
    struct kv_slice s = coding_read_bytes(c, size);
    for (size_t i = 0; i < s.size; i++) {
        if (s.data[i] != 0) {
            c->bad = true;
            return;
        }
    }
}

bool coding_read_field(struct coding_cursor *c, uint64_t *ret_tag, struct kv_slice *ret_value)
{
    if (c->bad || c->at == c->end) {
        return false;
    }
    uint64_t tag = coding_read_varint(c);
    struct kv_slice value = coding_read_string(c);
    if (c->bad) {
        return false;
    }
    *ret_tag = tag;
    *ret_value = value;
    return true;
}

uint64_t coding_field_varint(struct coding_cursor *c, struct kv_slice value)
{
    struct coding_cursor field = coding_cursor(value);
    uint64_t v = coding_read_varint(&field);
    if (!coding_done(&field)) {
        c->bad = true;
        return 0;
    }
    return v;
}
