/* SPDX-License-Identifier: Apache-2.0 */
/* Filling the cache of a store that was just opened (the option `warm`), so that the first readers
 * do not wait for the device: indexes and filters of all tables, then data blocks, keyspaces in the
 * order they were made, newest levels first, as far as there is room.
 *
 * Runs in a thread of its own, beside readers and writers. Each table is looked up in the present
 * view, which is let go again behind it: what merges replace meanwhile is passed over and not kept
 * from being removed.
 *
 * Invariant: nothing that a reader brought into the cache is evicted. A block read here comes in
 * where there is room, and goes first; a table is opened while there is room for more than indexes
 * and filters take. */
#ifndef KVCORE_DB_WARM_H
#define KVCORE_DB_WARM_H

#include "kvcore/db/store.h"

/* Main function of the thread; `arg` is the store. Ends when all is read, when the cache is full,
 * or when the store is closed. */
void *warm_main(void *arg);

#endif
