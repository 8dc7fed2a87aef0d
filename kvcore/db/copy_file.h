/* SPDX-License-Identifier: Apache-2.0 */
/* A file of one storage made again in another, byte by byte: what object_link() does where both can
 * share. What is zeros in it, because it was given back, takes room in the other. */
#ifndef KVCORE_DB_COPY_FILE_H
#define KVCORE_DB_COPY_FILE_H

#include <kv/kv.h>

struct copy_progress {
    kv_copy_progress_fn *fn; /* NULL: nobody is told */
    void *arg;
    uint64_t bytes, bytes_all;
};

/* A finished table or blob; in `to` it is durable once that gets its root. Errors: of reading and
 * writing; -ECANCELED by the function. */
KV_MUST_CHECK int copy_file(struct kv_storage *from, struct kv_file_id id, struct kv_storage *to,
                            struct copy_progress *progress);
/* How long it is. */
KV_MUST_CHECK int copy_file_size(struct kv_storage *from, struct kv_file_id id, uint64_t *ret_size);

#endif
