/* SPDX-License-Identifier: Apache-2.0 */
/* Who follows a store in a pool: the bytes of the attribute of the object `followers`, a line for
 * each. See docs/format.md, "The store on RADOS"; what they are used for is told in
 * pooled_follow.c. */
#ifndef KVCORE_STORAGE_POOLED_LINES_H
#define KVCORE_STORAGE_POOLED_LINES_H

#include <kv/slice.h>

#define POOLED_FOLLOWERS  "followers"
#define POOLED_LINES_ATTR "lines"

enum {
    POOLED_LINES_LAYOUT = 1,
    POOLED_LINES_MAX = 50,
    POOLED_LINE_SIZE = 20,
    POOLED_LINES_SIZE_MAX = 1 + POOLED_LINES_MAX * POOLED_LINE_SIZE, /* fits an attribute */
};

struct pooled_line {
    uint64_t id;   /* drawn at random; not 0 */
    uint64_t mark; /* below 2^63: of the oldest state that it may still read */
    uint32_t beat; /* raised by it again and again, for as long as it lives */
};

struct pooled_lines {
    size_t count;
    struct pooled_line lines[POOLED_LINES_MAX];
};

/* Returns how many bytes. */
size_t pooled_lines_encode(const struct pooled_lines *lines, uint8_t to[POOLED_LINES_SIZE_MAX]);
/* No bytes are no lines. Errors: -KV_EDAMAGED; -KV_EFORMAT another layout. */
KV_MUST_CHECK int pooled_lines_decode(struct kv_slice bytes, struct pooled_lines *ret_lines);

/* NULL: there is none of that id. */
struct pooled_line *pooled_lines_find(struct pooled_lines *lines, uint64_t id);

#endif
