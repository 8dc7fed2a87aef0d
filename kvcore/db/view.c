/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/store.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

struct view *view_acquire(struct kv_store *store)
{
    struct view *view;
    mutex_lock(&store->mu);
    view = store->view;
    atomic_fetch_add_explicit(&view->refs, 1, memory_order_relaxed);
    mutex_unlock(&store->mu);
    return view;
}

void view_release(struct view *view)
{
    if (view == NULL || atomic_fetch_sub_explicit(&view->refs, 1, memory_order_acq_rel) > 1) {
        return;
    }
    generation_unref(view->active);
    for (unsigned i = 0; i < view->immutable_count; i++) {
        generation_unref(view->immutable[i]);
    }
    version_unref(view->version);
    free(view);
}

static unsigned most_l0_files(const struct version *version)
{
    size_t most = 0;
    for (uint32_t id = 1; id <= KV_TABLE_COUNT_MAX; id++) {
        const struct table_files *files = version_table(version, id);
        if (files != NULL && files->levels[0].count > most) {
            most = files->levels[0].count;
        }
    }
    return (unsigned)most;
}

int view_prepare(struct view **ret_view)
{
    struct view *view = calloc(1, sizeof *view);
    if (view == NULL) {
        return -ENOMEM;
    }
    *ret_view = view;
    return 0;
}

struct view *view_install(struct kv_store *store, struct view *take_view, struct generation *active,
                          struct generation *const *immutable, unsigned immutable_count,
                          struct version *version)
{
    struct view *old = store->view;

    mutex_assert_held(&store->mu);
    assert(immutable_count <= IMMUTABLE_MAX);
    atomic_init(&take_view->refs, 1);
    generation_ref(active);
    take_view->active = active;
    for (unsigned i = 0; i < immutable_count; i++) {
        generation_ref(immutable[i]);
        take_view->immutable[i] = immutable[i];
    }
    take_view->immutable_count = immutable_count;
    version_ref(version);
    take_view->version = version;
    store->view = take_view;
    atomic_store_explicit(&store->l0_files, most_l0_files(version), memory_order_relaxed);
    return old;
}

int file_table(struct kv_store *store, struct file_meta *file, struct table **ret_table)
{
    struct table *table = atomic_load_explicit(&file->table, memory_order_acquire);
    struct table *expected = NULL;
    int r;

    if (table != NULL) {
        *ret_table = table;
        return 0;
    }
    r = table_open(store->storage, store->seed, file->number, store->cache, &store->sink, &table);
    if (r == -ENOENT) {
        r = message_damage(&store->sink,
                           "%s: table %08" PRIu64 ", which the manifest names, is missing; "
                           "run kvfs fsck",
                           store->storage->ops->name(store->storage), file->number);
    }
    if (r < 0) {
        return r;
    }
    /* Two threads may have opened it at once: the first stays. */
    if (!atomic_compare_exchange_strong_explicit(&file->table, &expected, table,
                                                 memory_order_acq_rel, memory_order_acquire)) {
        table_close(table);
        table = expected;
    } else {
        count_add(&store->counters.resident_bytes, table_resident_bytes(table));
    }
    *ret_table = table;
    return 0;
}

/* ---- snapshots ---- */

int kv_snapshot_create(struct kv_store *store, struct kv_snapshot **ret_snapshot)
{
    struct kv_snapshot *snapshot = calloc(1, sizeof *snapshot);
    struct kv_snapshot *head = &store->snapshots;

    if (snapshot == NULL) {
        return -ENOMEM;
    }
    snapshot->store = store;
    mutex_lock(&store->mu);
    snapshot->sequence = visible_sequence(store); /* never below an earlier one: append */
    snapshot->prev = head->prev;
    snapshot->next = head;
    head->prev->next = snapshot;
    head->prev = snapshot;
    mutex_unlock(&store->mu);
    *ret_snapshot = snapshot;
    return 0;
}

void kv_snapshot_release(struct kv_snapshot *snapshot)
{
    struct kv_store *store;
    if (snapshot == NULL) {
        return;
    }
    store = snapshot->store;
    mutex_lock(&store->mu);
    snapshot->prev->next = snapshot->next;
    snapshot->next->prev = snapshot->prev;
    mutex_unlock(&store->mu);
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
