/* SPDX-License-Identifier: Apache-2.0 */
/* The control protocol: how other processes ask the daemon that holds a store. Byte by byte in
 * docs/control.md. A connection starts with a hello in each direction, then the client sends
 * requests and the server answers each with any number of data or row frames and one done frame.
 *
 * Everything received is validated before use; a peer can make the other side hold at most
 * CONTROL_FRAME_SIZE_MAX bytes, and only by sending them. */
#ifndef KVFS_TOOLS_CONTROL_H
#define KVFS_TOOLS_CONTROL_H

#include <kv/slice.h>

enum {
    CONTROL_VERSION = 1,
    CONTROL_HELLO_SIZE = 16,
    CONTROL_HEADER_SIZE = 4,
    CONTROL_FRAME_SIZE_MAX = (64 << 20) + (64 << 10), /* the largest value and its key */
    CONTROL_DATA_SIZE_MAX = 1 << 20,                  /* one data frame of a long answer */
};

/* On the wire, never renumber. */
enum control_op {
    CONTROL_STATUS = 1, /* data: a JSON object */
    CONTROL_STATS = 2,  /* data: a JSON object */
    CONTROL_SYNC = 3,
    CONTROL_GET = 4,             /* data: the value, in pieces */
    CONTROL_PUT = 5,             /* key, value */
    CONTROL_DELETE = 6,          /* key; flag prune */
    CONTROL_EXISTS = 7,          /* done without error, or ENOENT */
    CONTROL_SCAN = 8,            /* rows */
    CONTROL_SNAPSHOT_CREATE = 9, /* key: its name */
    CONTROL_SNAPSHOT_DROP = 10,  /* key: its name */
    CONTROL_SNAPSHOT_LIST = 11,  /* data: a JSON object */
    CONTROL_VERIFY = 12,         /* data: JSON objects, one in each: findings and progress */
    CONTROL_CHECKPOINT = 13,     /* flag copy; asks: what to do with the place of the copy */
    CONTROL_COMPACT = 14,        /* data: JSON objects, one in each: progress */
    CONTROL_BATCH = 15,          /* value: changes; rows: deleted keys that were not there */
    CONTROL_FIND = 16,           /* key: an attribute, value: its value; rows: paths */
};
enum { CONTROL_OP_MAX = CONTROL_FIND };

enum control_reply_type {
    CONTROL_DONE = 128,
    CONTROL_DATA = 129,
    CONTROL_ROW = 130,
    CONTROL_ASK = 131, /* the client does what it says, and answers with a done frame */
};

enum control_flag {
    CONTROL_KEYS_ONLY = 1 << 0, /* scan: rows without values */
    CONTROL_REVERSE = 1 << 1,   /* scan: descending */
    CONTROL_PRUNE = 1 << 2,     /* delete, batch: directories that became empty go too */
    CONTROL_MAY_MISS = 1 << 3,  /* batch: a key to delete that is not there is no failure */
    CONTROL_BY_PREFIX = 1 << 4, /* find: all values that begin so; rows: path and value */
    CONTROL_COPY = 1 << 5,      /* checkpoint: bytes are copied, files are not shared; data: JSON
                                   objects: progress */
};
enum {
    CONTROL_FLAGS_KNOWN = CONTROL_KEYS_ONLY | CONTROL_REVERSE | CONTROL_PRUNE | CONTROL_MAY_MISS |
                          CONTROL_BY_PREFIX | CONTROL_COPY
};

/* What a batch consists of. On the wire, never renumber. */
enum control_change_kind {
    CONTROL_CHANGE_PUT = 1,
    CONTROL_CHANGE_DELETE = 2,
    CONTROL_CHANGE_IF_ABSENT = 3,
    CONTROL_CHANGE_IF_EQUAL = 4,
};

struct control_change {
    enum control_change_kind kind;
    struct kv_slice key, value; /* borrowed; a value only of put and if-equal */
};

/* What is asked. Slices are borrowed: from the frame after decoding. */
struct control_request {
    enum control_op op;
    struct kv_slice key, value;
    struct kv_slice prefix, from, to; /* scan */
    uint64_t limit;                   /* scan, find: rows; verify: bytes per second; 0: none */
    unsigned flags;
    unsigned umask; /* put, batch: of who asks */
};

struct control_reply {
    enum control_reply_type type;
    int error;             /* done: 0 or a negative errno */
    struct kv_slice key;   /* row; ask: struct copy_ask */
    struct kv_slice bytes; /* row: the value; data, ask: bytes; done: what went wrong, or empty */
};

/* Takes one reply; 0, or a negative errno to end the answer early, which of an ask tells only how
 * that went. */
typedef int control_reply_fn(void *arg, const struct control_reply *reply);

void control_hello_encode(uint32_t version, uint8_t to[CONTROL_HELLO_SIZE]);
/* -EPROTO: not this protocol. */
KV_MUST_CHECK int control_hello_decode(const uint8_t from[CONTROL_HELLO_SIZE],
                                       uint32_t *ret_version);

/* Append a whole frame. Errors: -E2BIG, -ENOMEM. */
KV_MUST_CHECK int control_request_encode(const struct control_request *request,
                                         struct kv_buf *frame);
KV_MUST_CHECK int control_reply_encode(const struct control_reply *reply, struct kv_buf *frame);

/* Append to the value of a batch. Errors: -ENOMEM. */
KV_MUST_CHECK int control_change_append(const struct control_change *change,
                                        struct kv_buf *changes);
/* Take the next one off the front. Returns 1, or 0 at the end. -EPROTO malformed; -EOPNOTSUPP a
 * kind that this version does not know. */
KV_MUST_CHECK int control_change_take(struct kv_slice *changes, struct control_change *ret_change);

/* Size of a frame's body from its header. -EPROTO: 0 or too large. */
KV_MUST_CHECK int control_frame_size(const uint8_t header[CONTROL_HEADER_SIZE], size_t *ret_size);
/* Decode a body (what follows the header). -EPROTO malformed; -EOPNOTSUPP an operation, flag or
 * field that this version does not know. */
KV_MUST_CHECK int control_request_decode(struct kv_slice body, struct control_request *ret_request);
KV_MUST_CHECK int control_reply_decode(struct kv_slice body, struct control_reply *ret_reply);

#endif
