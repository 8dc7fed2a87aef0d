/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/core/ino.h"

#include "fs/core/fs_internal.h"
#include "kvcore/util/coding.h"

void ino_source_init(struct ino_source *source, uint64_t mark) NO_LOCK_ANALYSIS
{
    mutex_init(&source->mu, LOCK_RANK_FS_TABLE, "inode numbers");
    source->next = mark;
    source->mark = mark;
}

void ino_source_finish(struct ino_source *source)
{
    mutex_finish(&source->mu);
}

static int move_mark(struct kvfs *fs, uint64_t mark)
{
    struct rowkey key;
    uint8_t value[8];
    rowkey_fact(&key, FORMAT_FACT_NEXT_INODE);
    coding_put_u64(value, mark);
    return fs_result(
        kv_put(fs->meta, rowkey_slice(&key), kv_slice(value, sizeof value), KV_DURABLE_SYNC));
}

int ino_alloc(struct kvfs *fs, uint64_t count, uint64_t *ret_first)
{
    struct ino_source *source = &fs->inos;
    int r = 0;
    mutex_lock(&source->mu);
    uint64_t behind = source->next + count;
    if (behind >= FORMAT_INO_LIMIT - INO_MARK_STEP) {
        r = -ENOSPC;
    } else if (behind > source->mark) {
        r = move_mark(fs, behind + INO_MARK_STEP);
        if (r == 0) {
            source->mark = behind + INO_MARK_STEP;
        }
    }
    if (r == 0) {
        *ret_first = source->next;
        source->next = behind;
    }
    mutex_unlock(&source->mu);
    return r;
}

uint64_t ino_next(struct kvfs *fs)
{
    mutex_lock(&fs->inos.mu);
    uint64_t next = fs->inos.next;
    mutex_unlock(&fs->inos.mu);
    return next;
}
