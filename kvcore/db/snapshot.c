/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/snapshot.h"

#include <stdlib.h>

#include "kvcore/db/view.h"
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

void snapshot_take(struct kv_store *store, struct kv_snapshot *snapshot)
{
    *snapshot = (struct kv_snapshot){.store = store};
    mutex_lock(&store->mu);
    snapshot->sequence = visible_sequence(store);
    snapshot_link(store, snapshot);
    mutex_unlock(&store->mu);
}

int kv_snapshot_create(struct kv_store *store, struct kv_snapshot **ret_snapshot)
{
    struct kv_snapshot *snapshot = malloc(sizeof *snapshot);

    if (snapshot == NULL) {
        return -ENOMEM;
    }
    /* Of a follower's snapshots the writer's merges know nothing. */
    struct view *view = store->options.follow ? view_acquire(store) : NULL;
    snapshot_take(store, snapshot);
    snapshot->view = view;
    *ret_snapshot = snapshot;
    return 0;
}

uint64_t snapshot_oldest(const struct kv_store *store)
{
    const struct kv_snapshot *first = store->snapshots.next;
    return first != &store->snapshots ? first->sequence : visible_sequence(store);
}

/* Range deletes wait for a snapshot to go before they can give space back. */
bool snapshot_unlink(struct kv_store *store, struct kv_snapshot *snapshot)
{
    bool was_first = snapshot->prev == &store->snapshots;

    snapshot->prev->next = snapshot->next;
    snapshot->next->prev = snapshot->prev;
    return was_first && store->view != NULL && store->view->version->has_range_deletes;
}

void snapshot_drop(struct kv_snapshot *snapshot)
{
    struct kv_store *store = snapshot->store;
    bool wake;

    mutex_lock(&store->mu);
    wake = snapshot_unlink(store, snapshot);
    mutex_unlock(&store->mu);
    if (wake) {
        workers_wake(store);
    }
}

void kv_snapshot_release(struct kv_snapshot *snapshot)
{
    if (snapshot != NULL) {
        snapshot_drop(snapshot);
        view_release(snapshot->view);
        free(snapshot);
    }
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
