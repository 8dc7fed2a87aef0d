/* SPDX-License-Identifier: Apache-2.0 */
/* The blobs of a store by number: opened when first read, a bounded number of them kept open, and
 * what is known of each only while the store is open (that its values are to be moved elsewhere).
 *
 * Concurrency: any thread; one mutex for the table of numbers, never held across I/O. */
#ifndef KVCORE_BLOB_BLOB_SET_H
#define KVCORE_BLOB_BLOB_SET_H

#include "kvcore/blob/blob_file.h"

struct blob_set;

/* About `open_max` files stay open without being used. `sink` must outlive the set. */
KV_MUST_CHECK int blob_set_create(const struct blob_store *store, unsigned open_max,
                                  struct blob_set **ret_set);
void blob_set_destroy(struct blob_set *set); /* accepts NULL */

/* The open blob, with a reference of the caller's. Errors: -KV_EDAMAGED there is no such blob (told
 * to the sink: somebody has a pointer into it), -EMFILE, -ENOMEM, -EIO. */
KV_MUST_CHECK int blob_set_get(struct blob_set *set, uint64_t number, struct blob_file **ret_file);
/* Make a blob known that is growing, which keeps it open until blob_set_forget(): it may not be
 * opened by name a second time meanwhile. Takes a reference. Errors: -ENOMEM. */
KV_MUST_CHECK int blob_set_add(struct blob_set *set, struct blob_file *file);
/* It grows no more: it may be closed when it is not used. */
void blob_set_settle(struct blob_set *set, uint64_t number);
/* The blob is about to be removed: close it as soon as nobody reads it. Its flag goes too. */
void blob_set_forget(struct blob_set *set, uint64_t number);
/* The smallest number from `from` on that is open or flagged. Returns false: there is none. */
bool blob_set_next(struct blob_set *set, uint64_t from, uint64_t *ret_number);

/* Values of a flagged blob are moved to another one by every job that meets them. Errors: -ENOMEM.
 */
KV_MUST_CHECK int blob_set_flag(struct blob_set *set, uint64_t number);
bool blob_set_is_flagged(struct blob_set *set, uint64_t number);

/* Read one value or part of it. Errors: -KV_EDAMAGED (told to the sink), -ENOMEM, -EIO. */
KV_MUST_CHECK int blob_set_read(struct blob_set *set, const struct blob_pointer *pointer,
                                size_t skip, size_t size, uint8_t *to);
/* Serve many requests, to any blobs; they are sorted on the way. Each gets its result; returns the
 * first error. */
KV_MUST_CHECK int blob_set_read_many(struct blob_set *set, struct blob_request *requests,
                                     size_t count);

#endif
