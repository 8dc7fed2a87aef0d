/* SPDX-License-Identifier: Apache-2.0 */
/* Byte strings: a slice borrows its bytes, a buffer owns them. */
#ifndef KV_SLICE_H
#define KV_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <kv/error.h>

/* Borrowed bytes. `data` may be NULL only when `size` is 0. */
struct kv_slice {
    const uint8_t *data;
    size_t size;
};

/* Owned bytes. All zero is an empty buffer; release with kv_buf_finish(). */
struct kv_buf {
    uint8_t *data;
    size_t size;
    size_t capacity;
};

static inline struct kv_slice kv_slice(const void *data, size_t size)
{
    return (struct kv_slice){.data = (const uint8_t *)data, .size = size};
}

static inline struct kv_slice kv_slice_str(const char *text)
{
    return kv_slice(text, strlen(text));
}

static inline struct kv_slice kv_buf_slice(const struct kv_buf *buf)
{
    return kv_slice(buf->data, buf->size);
}

/* Compare as unsigned bytes; a proper prefix sorts first. Returns <0, 0 or >0. */
static inline int kv_slice_compare(struct kv_slice a, struct kv_slice b)
{
    size_t n = a.size < b.size ? a.size : b.size;
    int r = n > 0 ? memcmp(a.data, b.data, n) : 0;
    if (r != 0) {
        return r;
    }
    return (a.size > b.size) - (a.size < b.size);
}

static inline bool kv_slice_equal(struct kv_slice a, struct kv_slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* What follows the first `size` bytes, of which there are at least so many. To an empty slice,
 * whose data may be NULL, nothing is added: C does not define that even for 0. */
static inline struct kv_slice kv_slice_behind(struct kv_slice s, size_t size)
{
    return kv_slice(size > 0 ? s.data + size : s.data, s.size - size);
}

static inline bool kv_slice_starts_with(struct kv_slice s, struct kv_slice prefix)
{
    return s.size >= prefix.size &&
           (prefix.size == 0 || memcmp(s.data, prefix.data, prefix.size) == 0);
}

/* Make room for `more` bytes beyond the present size. Errors: -ENOMEM. */
KV_PUBLIC KV_MUST_CHECK int kv_buf_reserve(struct kv_buf *buf, size_t more);
/* Append a copy of `bytes`. Errors: -ENOMEM, and then the buffer is as before. */
KV_PUBLIC KV_MUST_CHECK int kv_buf_append(struct kv_buf *buf, struct kv_slice bytes);
/* Replace the contents by a copy of `bytes`, which must not lie in `buf`. Errors: -ENOMEM. */
KV_PUBLIC KV_MUST_CHECK int kv_buf_assign(struct kv_buf *buf, struct kv_slice bytes);
/* Free the bytes and leave an empty buffer. */
KV_PUBLIC void kv_buf_finish(struct kv_buf *buf);

#endif
