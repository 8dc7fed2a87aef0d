/* SPDX-License-Identifier: Apache-2.0 */
/* The answer to STATX, which libfuse has no type for before 3.18. */
#ifndef KVFS_FUSE_STATX_H
#define KVFS_FUSE_STATX_H

#include <stdint.h>
#include <sys/stat.h>

/* As the kernel lays it out. */
struct statx_time {
    int64_t seconds;
    uint32_t nanoseconds;
    int32_t reserved;
};
struct statx_reply {
    uint64_t valid_s;
    uint32_t valid_ns, flags;
    uint64_t spare[2];
    uint32_t mask, block_size;
    uint64_t attributes;
    uint32_t nlink, uid, gid;
    uint16_t mode, spare_mode;
    uint64_t ino, size, blocks, attributes_mask;
    struct statx_time atime, btime, ctime, mtime;
    uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
    uint64_t spare_end[14];
};

/* The attributes and the birth time, good for `cache_s` seconds. */
void statx_fill(const struct stat *st, struct timespec btime, uint64_t cache_s,
                struct statx_reply *ret_statx);

#endif
