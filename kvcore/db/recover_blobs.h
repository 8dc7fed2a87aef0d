/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, the part about large values: what the rows of the logs point at.
 *
 * Blob bytes are written before the record that points at them and synced before the record counts
 * as synced. So where a record is proven durable its bytes are, and looking for them would only
 * find damage that reading finds as well. Where it is not, each may be there without the other:
 * every pointer is then read and verified, and the log ends before the first record with a bad one.
 * A blob that the manifest names was synced before it was named.
 *
 * Bytes that can be read may yet be in the page cache only, and if a sync of them had failed before
 * the process died, no later one would make them durable. So verified bytes are written again where
 * they stand: a crash in the middle changes nothing, and it needs no room on a full device. */
#ifndef KVCORE_DB_RECOVER_BLOBS_H
#define KVCORE_DB_RECOVER_BLOBS_H

#include "kvcore/db/batch.h"
#include "kvcore/db/recover_logs.h"

struct recovered_blobs;

/* `files` and `version` must outlive it. */
KV_MUST_CHECK int recovered_blobs_create(struct kv_store *store, const struct recovery_list *files,
                                         const struct version *version,
                                         struct recovered_blobs **ret_blobs);
void recovered_blobs_destroy(struct recovered_blobs *blobs); /* accepts NULL */
/* Judge the pointers of a record's rows, of which `is_durable` says whether it is proven durable: 1
 * if the log ends before it, 0 if all is well. Errors: -KV_EDAMAGED durable bytes are missing (told
 * to the message function), -EIO, -ENOMEM. */
KV_MUST_CHECK int recovered_blobs_check(struct recovered_blobs *blobs, struct kv_slice payload,
                                        bool is_durable);
/* Seal every blob that such rows point at and the manifest does not name, and add it to the edit.
 */
KV_MUST_CHECK int recovered_blobs_seal(struct recovered_blobs *blobs, struct edit *edit);

#endif
