/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers for the bytes of READ requests, kept from one request to the next: memory that is new
 * costs a page fault for every 4 KiB, which shows when a file is streamed. */
#ifndef KVFS_FUSE_BUFFERS_H
#define KVFS_FUSE_BUFFERS_H

#include <kv/slice.h>

#include "kvcore/util/thread.h"

enum { BUFFERS_MAX = 8 }; /* as many as there are workers at most */

struct buffers {
    struct mutex mu;
    unsigned count; /* guarded by mu, as those below */
    struct kv_buf idle[BUFFERS_MAX];
};

void buffers_init(struct buffers *buffers);
void buffers_finish(struct buffers *buffers);
/* An empty one, perhaps with memory. */
struct kv_buf buffers_take(struct buffers *buffers);
/* Consumes it. */
void buffers_give(struct buffers *buffers, struct kv_buf *buffer);

#endif
