/* SPDX-License-Identifier: Apache-2.0 */
/* Inode numbers: each is given out once in the life of a store. The fact `next_inode` is a mark
 * above every number in use; it is moved ahead in large steps, durably, before a number beyond the
 * old mark is used. Numbers between the last one used and the mark are lost when the store is
 * closed; 2^48 are enough for that. */
#ifndef FS_CORE_INO_H
#define FS_CORE_INO_H

#include "kvcore/util/thread.h"

struct kvfs;

enum { INO_MARK_STEP = 65536 };

struct ino_source {
    struct mutex mu;
    uint64_t next GUARDED_BY(mu);
    uint64_t mark GUARDED_BY(mu); /* durable */
};

void ino_source_init(struct ino_source *source, uint64_t mark);
void ino_source_finish(struct ino_source *source);
/* `count` consecutive numbers. May wait for the device: call it before taking other locks.
 * Errors: -ENOSPC no numbers left; those of writing. */
KV_MUST_CHECK int ino_alloc(struct kvfs *fs, uint64_t count, uint64_t *ret_first);
/* The next number that would be given out. */
uint64_t ino_next(struct kvfs *fs);

#endif
