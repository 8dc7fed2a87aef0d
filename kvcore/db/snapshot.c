/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/snapshot.h"

#include <stdlib.h>

#include "kvcore/db/worker.h"

void snapshot_link(struct kv_store *store, struct kv_snapshot *snapshot)
{
    struct kv_snapshot *after = store->snapshots.prev;

    /* The list's head is before the first: it ends the search. New ones belong to the end. */
    while (after != &store->snapshots && after->sequence > snapshot->sequence) {
        after = after->prev;
    }
    snapshot->prev = after;
    snapshot->next = after->next;
    after->next->prev = snapshot;
    after->next = snapshot;
}

int kv_snapshot_create(struct kv_store *store, struct kv_snapshot **ret_snapshot)
{
    struct kv_snapshot *snapshot = calloc(1, sizeof *snapshot);

    if (snapshot == NULL) {
        return -ENOMEM;
    }
    snapshot->store = store;
    mutex_lock(&store->mu);
    snapshot->sequence = visible_sequence(store);
    snapshot_link(store, snapshot);
    mutex_unlock(&store->mu);
    *ret_snapshot = snapshot;
    return 0;
}

uint64_t snapshot_oldest(const struct kv_store *store)
{
    const struct kv_snapshot *first = store->snapshots.next;
    return first != &store->snapshots ? first->sequence : visible_sequence(store);
}

/* Range deletes that wait for a snapshot to go before they can give space back. */
static bool range_deletes_wait(const struct kv_store *store) REQUIRES(&store->mu)
{
    for (uint32_t id = 1; id <= KV_TABLE_COUNT_MAX; id++) {
        const struct table_files *files = version_table(store->view->version, id);
        for (int level = 0; files != NULL && level < KV_LEVEL_COUNT; level++) {
            if (files->levels[level].has_range_deletes) {
                return true;
            }
        }
    }
    return false;
}

bool snapshot_unlink(struct kv_store *store, struct kv_snapshot *snapshot)
{
    bool was_first = snapshot->prev == &store->snapshots;

    snapshot->prev->next = snapshot->next;
    snapshot->next->prev = snapshot->prev;
    return was_first && store->view != NULL && range_deletes_wait(store);
}

void kv_snapshot_release(struct kv_snapshot *snapshot)
{
    struct kv_store *store;
    bool wake;
    if (snapshot == NULL) {
        return;
    }
    store = snapshot->store;
    mutex_lock(&store->mu);
    wake = snapshot_unlink(store, snapshot);
    mutex_unlock(&store->mu);
    if (wake) {
        workers_wake(store);
    }
    free(snapshot);
}

uint64_t kv_snapshot_sequence(const struct kv_snapshot *snapshot)
{
    return snapshot->sequence;
}

int snapshot_list(struct kv_store *store, uint64_t **ret_sequences, size_t *ret_count)
{
    uint64_t *sequences = NULL;
    size_t count = 0;
    size_t i = 0;

    mutex_lock(&store->mu);
    for (struct kv_snapshot *s = store->snapshots.next; s != &store->snapshots; s = s->next) {
        count++;
    }
    sequences = calloc(count + 1, sizeof *sequences);
    if (sequences != NULL) {
        for (struct kv_snapshot *s = store->snapshots.next; s != &store->snapshots; s = s->next) {
            sequences[i++] = s->sequence;
        }
        sequences[i++] = visible_sequence(store);
    }
    mutex_unlock(&store->mu);
    if (sequences == NULL) {
        return -ENOMEM;
    }
    *ret_sequences = sequences;
    *ret_count = i;
    return 0;
}
