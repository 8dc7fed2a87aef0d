/* SPDX-License-Identifier: Apache-2.0 */
#include <kv/slice.h>

#include <stdlib.h>

enum { BUF_CAPACITY_MIN = 64 };

int kv_buf_reserve(struct kv_buf *buf, size_t more)
{
    size_t need;
    size_t capacity = buf->capacity > 0 ? buf->capacity : BUF_CAPACITY_MIN;
    uint8_t *data;

    if (__builtin_add_overflow(buf->size, more, &need) || need > SIZE_MAX / 4) {
        return -ENOMEM;
    }
    if (need <= buf->capacity) {
        return 0;
    }
    while (capacity < need) {
        capacity *= 2;
    }
    data = realloc(buf->data, capacity);
    if (data == NULL) {
        return -ENOMEM;
    }
    buf->data = data;
    buf->capacity = capacity;
    return 0;
}

int kv_buf_append(struct kv_buf *buf, struct kv_slice bytes)
{
    int r = kv_buf_reserve(buf, bytes.size);
    if (r < 0) {
        return r;
    }
    if (bytes.size > 0) {
        memcpy(buf->data + buf->size, bytes.data, bytes.size);
    }
    buf->size += bytes.size;
    return 0;
}

int kv_buf_assign(struct kv_buf *buf, struct kv_slice bytes)
{
    buf->size = 0;
    return kv_buf_append(buf, bytes);
}

void kv_buf_finish(struct kv_buf *buf)
{
    free(buf->data);
    *buf = (struct kv_buf){0};
}
