/* SPDX-License-Identifier: Apache-2.0 */
/* Large values on their way in: their bytes go to the blob of the active generation, before the
 * record of the log that points at them.
 *
 * A batch packs them (compresses and hashes, in the thread that makes it) and keeps a row with a
 * pointer that has no place yet. The leader of the write group appends the packs of the group to
 * the blob, then knows the places and fills them into the rows. Placing as the leader makes it
 * plain which generation the bytes belong to: its log is the only one that can name them first.
 * Should the batch fail afterwards, its bytes are garbage and harm nobody.
 *
 * A generation has one blob at most, made when it first needs one. A flush of the generation seals
 * it and names it in the edit that adds the tables; recovery does the same for a generation that
 * was never flushed (recover_blobs.h).
 *
 * Invariant: the log's synced-up-to never covers a record whose blob bytes are not durable; see
 * sync.c. */
#ifndef KVCORE_DB_LARGE_H
#define KVCORE_DB_LARGE_H

#include "kvcore/db/batch.h"
#include "kvcore/db/store.h"

/* Whether a value of this size goes to a blob at once. */
bool large_is(const struct kv_store *store, size_t value_size);
/* Add a row with such a value to the batch. Errors: as kv_batch_put(). */
KV_MUST_CHECK int large_put(struct kv_batch *batch, struct kv_table *table, struct kv_slice key,
                            struct kv_slice value);
/* As the leader: append the packs of the batches to the blob of the active generation and place
 * their pointers. Nothing happens for batches without large values. Errors: -ENOSPC, -EIO, -ENOMEM;
 * the batches can be written again later. */
KV_MUST_CHECK int large_place(struct kv_store *store, struct kv_batch *const *batches,
                              size_t count);
/* Behind a write with large values, and not as the leader, for it may wait for the device: have
 * what the active blob got written out early. Gives way to those who sync. */
void large_write_out(struct kv_store *store);
/* How large the blob of a generation that begins now should grow: overwritten values can be given
 * back only once the log that names them is gone. `version` is the present one. */
uint64_t large_limit(const struct kv_store *store, const struct version *version);
/* Whether the blob of the active generation is `factor` times as large as it should grow, and the
 * generation so old that it may end for that alone. */
bool large_is_enough(const struct kv_store *store, const struct generation *active,
                     unsigned factor);
/* Seal the blob of a generation that is rotated out, and add it to the edit that adds its tables. A
 * blob that cannot be trusted is flagged instead: flushing then moves its values elsewhere. */
KV_MUST_CHECK int large_seal(struct kv_store *store, const struct generation *generation,
                             struct edit *edit);

#endif
