/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/control.h"

#include "kvcore/util/coding.h"

static const char hello_magic[8] = "kvfsctl";

/* Fields of a request. An unknown odd one makes it incompatible, an unknown even one is ignored. */
enum {
    FIELD_KEY = 1,
    FIELD_VALUE = 3,
    FIELD_PREFIX = 5,
    FIELD_FROM = 7,
    FIELD_TO = 9,
    FIELD_LIMIT = 11,
    FIELD_FLAGS = 13,
    FIELD_UMASK = 15,
};

void control_hello_encode(uint32_t version, uint8_t to[CONTROL_HELLO_SIZE])
{
    memcpy(to, hello_magic, sizeof hello_magic);
    coding_put_u32(to + 8, version);
    coding_put_u32(to + 12, 0);
}

int control_hello_decode(const uint8_t from[CONTROL_HELLO_SIZE], uint32_t *ret_version)
{
    if (memcmp(from, hello_magic, sizeof hello_magic) != 0 || coding_get_u32(from + 8) == 0 ||
        coding_get_u32(from + 12) != 0) {
        return -EPROTO;
    }
    *ret_version = coding_get_u32(from + 8);
    return 0;
}

/* Start a frame: room for the header, then the kind. */
static int frame_begin(struct kv_buf *frame, uint8_t kind, size_t *ret_start)
{
    size_t start = frame->size;
    int r = coding_append_u32(frame, 0);
    if (r == 0) {
        r = coding_append_u8(frame, kind);
    }
    if (r == 0) {
        *ret_start = start;
    }
    return r;
}

static int frame_end(struct kv_buf *frame, size_t start)
{
    size_t size = frame->size - start - CONTROL_HEADER_SIZE;
    if (size > CONTROL_FRAME_SIZE_MAX) {
        frame->size = start;
        return -E2BIG;
    }
    coding_put_u32(frame->data + start, (uint32_t)size);
    return 0;
}

static int append_slice(struct kv_buf *frame, uint64_t tag, struct kv_slice value)
{
    return value.size > 0 ? coding_append_field(frame, tag, value) : 0;
}

static int append_number(struct kv_buf *frame, uint64_t tag, uint64_t value)
{
    return value != 0 ? coding_append_field_varint(frame, tag, value) : 0;
}

int control_request_encode(const struct control_request *request, struct kv_buf *frame)
{
    const struct {
        uint64_t tag;
        struct kv_slice value;
    } slices[] = {
        {FIELD_KEY, request->key},   {FIELD_VALUE, request->value}, {FIELD_PREFIX, request->prefix},
        {FIELD_FROM, request->from}, {FIELD_TO, request->to},
    };
    const struct {
        uint64_t tag, value;
    } numbers[] = {
        {FIELD_LIMIT, request->limit},
        {FIELD_FLAGS, request->flags},
        {FIELD_UMASK, request->umask},
    };
    size_t start = 0;
    int r = frame_begin(frame, (uint8_t)request->op, &start);
    for (size_t i = 0; i < sizeof slices / sizeof slices[0] && r == 0; i++) {
        r = append_slice(frame, slices[i].tag, slices[i].value);
    }
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0] && r == 0; i++) {
        r = append_number(frame, numbers[i].tag, numbers[i].value);
    }
    return r == 0 ? frame_end(frame, start) : r;
}

int control_reply_encode(const struct control_reply *reply, struct kv_buf *frame)
{
    size_t start = 0;
    int r = frame_begin(frame, (uint8_t)reply->type, &start);
    if (r == 0 && reply->type == CONTROL_DONE) {
        r = coding_append_u32(frame, (uint32_t)-reply->error);
    }
    if (r == 0 && (reply->type == CONTROL_ROW || reply->type == CONTROL_ASK)) {
        r = coding_append_string(frame, reply->key);
    }
    if (r == 0) {
        r = kv_buf_append(frame, reply->bytes);
    }
    return r == 0 ? frame_end(frame, start) : r;
}

static bool has_value(enum control_change_kind kind)
{
    return kind == CONTROL_CHANGE_PUT || kind == CONTROL_CHANGE_IF_EQUAL;
}

int control_change_append(const struct control_change *change, struct kv_buf *changes)
{
    size_t start = changes->size;
    int r = coding_append_u8(changes, (uint8_t)change->kind);
    if (r == 0) {
        r = coding_append_string(changes, change->key);
    }
    if (r == 0 && has_value(change->kind)) {
        r = coding_append_string(changes, change->value);
    }
    if (r < 0) {
        changes->size = start;
    }
    return r;
}

int control_change_take(struct kv_slice *changes, struct control_change *ret_change)
{
    struct coding_cursor c = coding_cursor(*changes);
    if (changes->size == 0) {
        return 0;
    }
    struct control_change change = {.kind = coding_read_u8(&c)};
    if (change.kind < CONTROL_CHANGE_PUT || change.kind > CONTROL_CHANGE_IF_EQUAL) {
        return -EOPNOTSUPP;
    }
    change.key = coding_read_string(&c);
    if (has_value(change.kind)) {
        change.value = coding_read_string(&c);
    }
    struct kv_slice rest = coding_read_bytes(&c, coding_left(&c));
    if (!coding_done(&c)) {
        return -EPROTO;
    }
    *changes = rest;
    *ret_change = change;
    return 1;
}

int control_frame_size(const uint8_t header[CONTROL_HEADER_SIZE], size_t *ret_size)
{
    uint32_t size = coding_get_u32(header);
    if (size == 0 || size > CONTROL_FRAME_SIZE_MAX) {
        return -EPROTO;
    }
    *ret_size = size;
    return 0;
}

static int decode_field(struct coding_cursor *c, struct control_request *request, uint64_t tag,
                        struct kv_slice value)
{
    switch (tag) {
    case FIELD_KEY:
        request->key = value;
        return 0;
    case FIELD_VALUE:
        request->value = value;
        return 0;
    case FIELD_PREFIX:
        request->prefix = value;
        return 0;
    case FIELD_FROM:
        request->from = value;
        return 0;
    case FIELD_TO:
        request->to = value;
        return 0;
    case FIELD_LIMIT:
        request->limit = coding_field_varint(c, value);
        return 0;
    case FIELD_FLAGS: {
        uint64_t flags = coding_field_varint(c, value);
        request->flags = (unsigned)(flags & CONTROL_FLAGS_KNOWN);
        return flags > CONTROL_FLAGS_KNOWN ? -EOPNOTSUPP : 0;
    }
    case FIELD_UMASK:
        request->umask = (unsigned)coding_field_varint(c, value) & 0777;
        return 0;
    default:
        return tag % 2 == 1 ? -EOPNOTSUPP : 0;
    }
}

int control_request_decode(struct kv_slice body, struct control_request *ret_request)
{
    struct coding_cursor c = coding_cursor(body);
    uint8_t op = coding_read_u8(&c);
    struct control_request request = {.op = op};
    struct kv_slice value;
    uint64_t tag = 0;
    int r = 0;
    while (coding_read_field(&c, &tag, &value)) {
        int fault = decode_field(&c, &request, tag, value);
        r = r == 0 ? fault : r;
    }
    if (!coding_done(&c)) {
        return -EPROTO;
    }
    if (r == 0 && (op == 0 || op > CONTROL_OP_MAX)) {
        r = -EOPNOTSUPP;
    }
    if (r == 0) {
        *ret_request = request;
    }
    return r;
}

int control_reply_decode(struct kv_slice body, struct control_reply *ret_reply)
{
    struct coding_cursor c = coding_cursor(body);
    uint8_t type = coding_read_u8(&c);
    struct control_reply reply = {.type = type};
    if (type == CONTROL_DONE) {
        uint32_t error = coding_read_u32(&c);
        if (error > 4095) {
            return -EPROTO; /* no errno is that large */
        }
        reply.error = -(int)error;
    } else if (type == CONTROL_ROW || type == CONTROL_ASK) {
        reply.key = coding_read_string(&c);
    } else if (type != CONTROL_DATA) {
        return -EPROTO;
    }
    reply.bytes = coding_read_bytes(&c, coding_left(&c));
    if (!coding_done(&c)) {
        return -EPROTO;
    }
    *ret_reply = reply;
    return 0;
}
