/* SPDX-License-Identifier: Apache-2.0 */
/* Between libfuse and /dev/fuse: requests that the packaged library (3.14) would refuse are turned,
 * as they are read, into ones that it decodes and our handlers tell apart. Refused was answering
 * them here: the library counts its idle threads and may cancel one that reads.
 *
 *   TMPFILE  becomes CREATE, whose bytes are the same, of the name WIRE_NO_NAME.
 *   STATX    becomes GETATTR of the handle WIRE_STATX_HANDLE, which no open gives; both begin with
 *            the same bytes.
 *
 * The library's answer to INIT is completed with what it was told to want and does not say. */
#ifndef KVFS_FUSE_WIRE_H
#define KVFS_FUSE_WIRE_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/stat.h>

#include <kv/error.h>

struct fuse_session;

/* The kernel's name for a file without one; no name holds a slash. */
#define WIRE_NO_NAME      "/"
#define WIRE_STATX_HANDLE UINT64_MAX

/* All zero before the mount. */
struct wire {
    _Atomic uint64_t init; /* the request whose answer is to be completed, or 0 */
    uint32_t offered;      /* what the kernel can do, as INIT says */
};

/* The answer to STATX, as the kernel lays it out. */
struct wire_time {
    int64_t seconds;
    uint32_t nanoseconds;
    int32_t reserved;
};
struct wire_statx {
    uint64_t valid_s;
    uint32_t valid_ns, flags;
    uint64_t spare[2];
    uint32_t mask, block_size;
    uint64_t attributes;
    uint32_t nlink, uid, gid;
    uint16_t mode, spare_mode;
    uint64_t ino, size, blocks, attributes_mask;
    struct wire_time atime, btime, ctime, mtime;
    uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
    uint64_t spare_end[14];
};

/* Once the session is mounted, before its first request; `struct kvfs_mount` is its user data.
 * Errors: -ENOMEM. */
KV_MUST_CHECK int wire_install(struct fuse_session *session);
/* The attributes and the birth time, good for `cache_s` seconds. */
void wire_statx_fill(const struct stat *st, struct timespec btime, uint64_t cache_s,
                     struct wire_statx *ret_statx);

#endif
