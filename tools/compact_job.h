/* SPDX-License-Identifier: Apache-2.0 */
/* Merging a whole store while whoever asked for it is told how far it is. */
#ifndef KVFS_TOOLS_COMPACT_JOB_H
#define KVFS_TOOLS_COMPACT_JOB_H

#include <kv/kv.h>

/* About `bytes` of `bytes_all` have been read. */
typedef void compact_tell_fn(void *arg, uint64_t bytes, uint64_t bytes_all);

/* kv_compact(), with `fn` called several times a second by the calling thread. It cannot be ended
 * early. Errors: of kv_compact() and thread_start(). */
KV_MUST_CHECK int compact_job(struct kv_store *engine, compact_tell_fn *fn, void *arg);

#endif
