/* SPDX-License-Identifier: Apache-2.0 */
/* The flushes and merges that run: how far each is, and what is told of them as events. */
#ifndef KVCORE_DB_JOB_H
#define KVCORE_DB_JOB_H

#include "kvcore/db/store.h"

/* Tell that it begins, and keep it in the store's list. The job is the store's until job_end();
 * NULL if the list is full, which all of these accept. `info` needs kind, levels, files and bytes.
 */
struct job *job_begin(struct kv_store *store, const struct kv_job *info);
/* Rows it will read; until that is known no progress shows. */
void job_set_rows(struct job *job, uint64_t rows);
/* Rows read so far. */
void job_advance(struct job *job, uint64_t rows);
/* It ended with `error` (0: well) after what the edit says was written; then tells that. */
void job_end(struct kv_store *store, struct job *job, int error, const struct edit *edit);
/* The jobs of the moment, into an array of KV_JOBS_MAX. Returns their number. */
unsigned job_list(struct kv_store *store, struct kv_job *jobs);

/* Tell the user's function, if there is one. It is called with whatever locks are held. */
void event_tell(const struct kv_store *store, const struct kv_event *event);

#endif
