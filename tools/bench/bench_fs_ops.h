/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls of which the workloads of a file system are made. All return 0, or a descriptor,
 * or a negative errno; `verb` and `name` of the thread say what failed. */
#ifndef KVFS_TOOLS_BENCH_FS_OPS_H
#define KVFS_TOOLS_BENCH_FS_OPS_H

#include "tools/bench/bench_fs_work.h"

const struct bench_fs_config *bench_fs_config_of(const struct bench_fs_thread *t);
/* An operation that counts as `done` has ended: note how long it took. Errors: -EINTR, the work is
 * to end. */
KV_MUST_CHECK int bench_fs_finish_op(struct bench_fs_thread *t, uint64_t done);

/* Open the file `name` of the thread. */
KV_MUST_CHECK int bench_fs_open(struct bench_fs_thread *t, int flags);
/* close(2) may be what tells that a write failed; `r` is what was found so far. */
KV_MUST_CHECK int bench_fs_close(struct bench_fs_thread *t, int fd, int r);
KV_MUST_CHECK int bench_fs_write(struct bench_fs_thread *t, int fd, size_t size);
/* Errors: -EIO it holds less, or something else. */
KV_MUST_CHECK int bench_fs_read(struct bench_fs_thread *t, int fd, size_t size);
KV_MUST_CHECK int bench_fs_sync(struct bench_fs_thread *t, int fd);

/* With the small file `name`. */
KV_MUST_CHECK int bench_fs_create_one(struct bench_fs_thread *t);
KV_MUST_CHECK int bench_fs_stat_one(struct bench_fs_thread *t);
KV_MUST_CHECK int bench_fs_read_one(struct bench_fs_thread *t);
KV_MUST_CHECK int bench_fs_overwrite_one(struct bench_fs_thread *t);
KV_MUST_CHECK int bench_fs_rename_one(struct bench_fs_thread *t); /* `name` is the new one then */
KV_MUST_CHECK int bench_fs_unlink_one(struct bench_fs_thread *t);

#endif
