/* SPDX-License-Identifier: Apache-2.0 */
/* Being a follower: a store that is open for reading while another process writes it. It shows one
 * state of the manifest after the other, each a longer prefix of what was written; rows in logs it
 * does not see. docs/architecture.md, "Life of a follower", says why that is sound.
 *
 * Invariants
 *  1. It is registered at the storage before it reads anything, and always with a mark that no view
 *     of it is older than. So the writer removes nothing that somebody here may still read.
 *  2. visible_sequence is at least the newest row of every view: it rises before a view is
 *     installed. In a newer view rows may be missing that were there at an older number.
 *  3. It never falls: a state that is a shorter prefix is passed over.
 *  4. What is kept by number (open tables and blobs, blocks) is of one history of the store. In
 *     another one, which an undone repair or a backup begins, numbers are given again.
 *
 * There is no lease of a writer and nothing is written: not one byte, into no file.
 *
 * Concurrency: one step at a time, under the manifest mutex, with I/O. */
#ifndef KVCORE_DB_FOLLOW_H
#define KVCORE_DB_FOLLOW_H

#include "kvcore/db/store.h"

enum { FOLLOW_INTERVAL_MS = 1000 }; /* between looks at what the writer did */

/* In the place of recover(). Errors: those of it; -ENOSYS the storage has no followers. */
KV_MUST_CHECK int follow_begin(struct kv_store *store, const struct kv_options *options);
/* Show the newest state. 1 another one is shown than before, 0 not. Errors: -ESTALE it is another
 * store by now, or one from before, which is so for ever; those of reading. Then the state that was
 * shown stays. */
KV_MUST_CHECK int follow_step(struct kv_store *store);

#endif
