/* SPDX-License-Identifier: Apache-2.0 */
/* What readers pin: the memtables and the version of one moment (struct view). */
#ifndef KVCORE_DB_VIEW_H
#define KVCORE_DB_VIEW_H

#include "kvcore/db/store.h"

/* The present view with a reference. A reader takes the view first and reads visible_sequence
 * after: whatever a compaction dropped from the view is hidden at that sequence number too. */
struct view *view_acquire(struct kv_store *store);
/* The same for who reads at a snapshot (NULL: at none): a follower's has its own view. */
struct view *view_acquire_at(struct kv_store *store, const struct kv_snapshot *snapshot);
void view_ref(struct view *view);
void view_release(struct view *view); /* accepts NULL. Not with the state mutex held */
/* A view of the same moment as `view` that holds its tables and, with them, the blobs that rows of
 * them refer to, but none of its memtables: for those who take long. It is nobody's to read
 * memtables from, and goes with view_unpin_tables(). Errors: -ENOMEM. */
KV_MUST_CHECK int view_pin_tables(struct view *view, struct view **ret_pinned);
void view_unpin_tables(struct view *pinned); /* accepts NULL. Not with the state mutex held */
/* The memtables of a generation by table id - 1, as they are now: tables that are made later add
 * theirs to it. As long as the generation. */
void view_list_memtables(struct kv_store *store, const struct generation *generation,
                         const struct memtable *ret_memtables[KV_TABLE_COUNT_MAX]);
/* The store is closed: let go of its view, if it has one. */
void views_close(struct kv_store *store);
/* Whether all views that are older than this stamp are gone. If not, workers are woken when one
 * goes. */
bool views_before_are_gone(struct kv_store *store, uint64_t stamp);
/* Memory for a view, so that view_install() cannot fail; free() it if it is not installed. */
KV_MUST_CHECK int view_prepare(struct view **ret_view);
/* Make the prepared view the store's, with these parts (references are taken). With the state
 * mutex; returns the old view, which the caller releases after giving the mutex up: that may close
 * files. */
KV_MUST_CHECK struct view *
view_install(struct kv_store *store, struct view *take_view, struct generation *active,
             struct generation *const *immutable, unsigned immutable_count, struct version *version)
    REQUIRES(&store->mu);
/* Count the tables of level 0 anew, which writers look at. */
void view_count_l0_files(struct kv_store *store) REQUIRES(&store->mu);
/* The table of a file, opened at first use. Valid as long as a reference on the file. */
KV_MUST_CHECK int file_table(struct kv_store *store, struct file_meta *file,
                             struct table **ret_table);

#endif
