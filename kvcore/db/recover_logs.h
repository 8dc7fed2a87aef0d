/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, the part about logs: which segments count, where each ends, and what is in them.
 *
 * All segments from the first one on are looked at before any is replayed. Their names became
 * durable in order and they were synced oldest first, so: a gap in the numbers is damage; and where
 * a segment ends earlier than its successor's head says (or has no head), that is a tail lost with
 * the power, unless a later segment, or the manifest, proves that it had been durable. */
#ifndef KVCORE_DB_RECOVER_LOGS_H
#define KVCORE_DB_RECOVER_LOGS_H

#include "kvcore/db/store.h"

struct recovery_file {
    uint64_t number, size;
};

/* Files of one kind, sorted by number. */
struct recovery_list {
    struct recovery_file *items;
    size_t count;
};

/* What the storage holds, by one listing. */
struct recovery_files {
    struct recovery_list tables, blobs;
    uint64_t highest_log, highest_manifest;
    int error;
};

KV_MUST_CHECK int recovery_list_files(struct kv_storage *storage, struct recovery_files *ret_files);
void recovery_files_finish(struct recovery_files *files);
/* Size of a file, or UINT64_MAX if there is none of that number. */
uint64_t recovery_file_size(const struct recovery_list *list, uint64_t number);
/* The largest number in the list, 0 if it is empty. */
uint64_t recovery_highest(const struct recovery_list *list);

/* Put all rows that the logs hold and the tables do not into `generation`, and set
 * store->last_sequence. What large values they point at is judged by `blobs` (recover_blobs.h).
 * `highest` is the largest log number that exists. Errors: -KV_EDAMAGED (with a message). */
struct recovered_blobs;
KV_MUST_CHECK int recover_logs(struct kv_store *store, uint64_t highest,
                               struct generation *generation, struct recovered_blobs *blobs);

#endif
