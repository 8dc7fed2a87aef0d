/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/view.h"

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

void view_ref(struct view *view)
{
    atomic_fetch_add_explicit(&view->refs, 1, memory_order_relaxed);
}

/* The last reference is gone: reclaim may have waited for that. */
static void unlink_view(struct view *view)
{
    struct kv_store *store = view->store;

    mutex_lock(&store->mu);
    view->prev->next = view->next;
    view->next->prev = view->prev;
    if (store->reclaim_waiting) {
        store->work_count++;
        condvar_broadcast(&store->work);
    }
    mutex_unlock(&store->mu);
}

bool views_before_are_gone(struct kv_store *store, uint64_t stamp)
{
    bool gone;
    mutex_lock(&store->mu);
    gone = store->views.next == &store->views || store->views.next->stamp >= stamp;
    store->reclaim_waiting = !gone;
    mutex_unlock(&store->mu);
    return gone;
}

void view_release(struct view *view)
{
    if (view == NULL || atomic_fetch_sub_explicit(&view->refs, 1, memory_order_acq_rel) > 1) {
        return;
    }
    unlink_view(view);
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
    take_view->store = store;
    take_view->stamp = store->next_stamp++;
    take_view->prev = store->views.prev;
    take_view->next = &store->views;
    store->views.prev->next = take_view;
    store->views.prev = take_view;
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
    if (r == 0 && table_properties(table)->range_delete_count != file->range_delete_count) {
        r = message_damage(&store->sink,
                           "%s: table %08" PRIu64 " holds other range deletes than the manifest "
                           "says; run kvfs fsck",
                           store->storage->ops->name(store->storage), file->number);
        table_close(table);
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
