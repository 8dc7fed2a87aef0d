/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/fuse/buffers.h"

void buffers_init(struct buffers *buffers)
{
    *buffers = (struct buffers){0};
    mutex_init(&buffers->mu, LOCK_RANK_LEAF, "read buffers");
}

void buffers_finish(struct buffers *buffers)
{
    while (buffers->count > 0) {
        kv_buf_finish(&buffers->idle[--buffers->count]);
    }
    mutex_finish(&buffers->mu);
}

struct kv_buf buffers_take(struct buffers *buffers)
{
    struct kv_buf buffer = {0};
    mutex_lock(&buffers->mu);
    if (buffers->count > 0) {
        buffer = buffers->idle[--buffers->count];
    }
    mutex_unlock(&buffers->mu);
    buffer.size = 0;
    return buffer;
}

void buffers_give(struct buffers *buffers, struct kv_buf *buffer)
{
    mutex_lock(&buffers->mu);
    if (buffers->count < BUFFERS_MAX && buffer->capacity > 0) {
        buffers->idle[buffers->count++] = *buffer;
        *buffer = (struct kv_buf){0};
    }
    mutex_unlock(&buffers->mu);
    kv_buf_finish(buffer);
}
