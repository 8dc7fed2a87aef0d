/* SPDX-License-Identifier: Apache-2.0 */
/* Files in which damage was met. The root record keeps them, so that the next opening knows, also
 * after a kill: see docs/architecture.md, "Damage that was met".
 *
 * A read that meets damage holds locks and must not write, so it only notes the file; the flush
 * thread writes it down within seconds, or a writer does where there are no threads, or closing.
 * Only what is new is written: damage that is met again and again costs one write for each file.
 * A write that fails is tried again, also if nothing else ever changes the root record.
 *
 * Invariants: at most KV_SUSPECTS_MAX files, and beyond that none, which means any. Tables and
 * blobs only: root record, manifest and logs are judged as a whole by each opening. Of a store that
 * was opened for reading nothing is written. */
#ifndef KVCORE_DB_SUSPECT_H
#define KVCORE_DB_SUSPECT_H

#include "kvcore/db/store.h"

/* What the root record says; while the store is being opened. */
void suspects_begin(struct kv_store *store);
/* Damage was met there. With any locks held. */
void suspect_note(struct kv_store *store, const struct message_place *place);
/* Have store->root say what is known, which is about to be written. Returns whether it did not
 * before: if it is not written, suspects_not_written() has it tried again. */
bool suspects_to_root(struct kv_store *store) REQUIRES(&store->manifest_mu);
void suspects_not_written(struct kv_store *store);
/* Make what is new durable. Should that fail, whoever calls this next does it, after a pause that
 * doubles up to ten seconds, and to an hour where each attempt leaves a manifest that only the next
 * opening may remove; or the next change of the root record, if that comes first. */
void suspects_save(struct kv_store *store);

/* A check that begins now, and has found nothing when it ends: then nothing is suspected any more,
 * unless somebody met damage meanwhile. */
uint64_t suspects_stamp(struct kv_store *store);
void suspects_clear(struct kv_store *store, uint64_t stamp);

#endif
