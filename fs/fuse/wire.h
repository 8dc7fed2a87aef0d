/* SPDX-License-Identifier: Apache-2.0 */
/* Between libfuse and /dev/fuse: requests that the packaged library (3.14) would refuse are turned,
 * as they are read, into ones that it decodes and our handlers tell apart. Refused was answering
 * them here: the library counts its idle threads and may cancel one that reads.
 *
 *   TMPFILE  becomes CREATE, whose bytes are the same, of the name WIRE_NO_NAME.
 *   STATX    becomes GETATTR of the handle WIRE_STATX_HANDLE, which no open gives; both begin with
 *            the same bytes.
 *
 * The library's answer to INIT is completed with what it was told to want and does not say. A
 * library from 3.18 on does all this itself: then nothing is installed. */
#ifndef KVFS_FUSE_WIRE_H
#define KVFS_FUSE_WIRE_H

#include <stdatomic.h>
#include <stdint.h>

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

/* Once the session is mounted, before its first request; `struct kvfs_mount` is its user data.
 * Errors: -ENOMEM. */
KV_MUST_CHECK int wire_install(struct fuse_session *session);

#endif
