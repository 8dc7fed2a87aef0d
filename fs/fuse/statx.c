/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/fuse/statx.h"

#include <sys/sysmacros.h>

enum { STATX_REPLY_BASIC = 0x7ff, STATX_REPLY_BTIME = 0x800 };

_Static_assert(sizeof(struct statx_reply) == 288, "as the kernel has it");

static struct statx_time statx_time(struct timespec time)
{
    return (struct statx_time){.seconds = time.tv_sec, .nanoseconds = (uint32_t)time.tv_nsec};
}

void statx_fill(const struct stat *st, struct timespec btime, uint64_t cache_s,
                struct statx_reply *ret_statx)
{
    *ret_statx = (struct statx_reply){
        .valid_s = cache_s,
        .mask = STATX_REPLY_BASIC | STATX_REPLY_BTIME,
        .block_size = (uint32_t)st->st_blksize,
        .nlink = (uint32_t)st->st_nlink,
        .uid = st->st_uid,
        .gid = st->st_gid,
        .mode = (uint16_t)st->st_mode,
        .ino = st->st_ino,
        .size = (uint64_t)st->st_size,
        .blocks = (uint64_t)st->st_blocks,
        .atime = statx_time(st->st_atim),
        .btime = statx_time(btime),
        .ctime = statx_time(st->st_ctim),
        .mtime = statx_time(st->st_mtim),
        .rdev_major = major(st->st_rdev),
        .rdev_minor = minor(st->st_rdev),
    };
}
