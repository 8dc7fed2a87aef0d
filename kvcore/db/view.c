/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/view.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Readers take a view for every lookup. To count references at the view itself, under the store's
 * mutex, they would pass two cache lines around; instead a reader leaves the reference it is done
 * with in a place of its thread, where the next lookup finds it. Whoever takes a reference out of a
 * place, by an atomic exchange, owns it; all references are alike, so that threads may share a
 * place, find it empty (then they take a reference under the mutex) or full (then they drop
 * theirs).
 *
 * A place must not keep a view that was replaced: it would keep files from being removed, and what
 * waits for older views would wait for a reader that may never come. view_install() first stores
 * the new stamp and then empties the places of the old view; a reader first puts its view into the
 * place and then reads the stamp. All four are sequentially consistent: if view_install() came too
 * early to find the view in the place, the reader sees the new stamp and takes the view out again.
 * A view older than the old one can be in a place for that moment only, and is left to its reader.
 *
 * A reader who takes a view out of a place uses it only if it has the present stamp. A write that
 * returned before was made with a view of that stamp or an older one, and the store of the stamp
 * happened before that write was seen, so that a reader finds what it knows to be written. */
static struct view *take_left(struct kv_store *store)
{
    struct reader_place *place = reader_place(store);
    return atomic_exchange_explicit(&place->view, NULL, memory_order_acquire);
}

/* The reader must not look at the view behind the exchange that gives its reference away. */
static bool leave(struct view *view)
{
    struct kv_store *store = view->store;
    struct reader_place *place = reader_place(store);
    uint64_t stamp = view->stamp;
    struct view *expected = NULL;

    if (atomic_load_explicit(&store->view_stamp, memory_order_relaxed) != stamp ||
        !atomic_compare_exchange_strong_explicit(&place->view, &expected, view,
                                                 memory_order_seq_cst, memory_order_relaxed)) {
        return false;
    }
    if (atomic_load_explicit(&store->view_stamp, memory_order_seq_cst) == stamp) {
        return true;
    }
    /* It was replaced meanwhile. Somebody else may have taken it out, and will see that. */
    expected = view;
    return !atomic_compare_exchange_strong_explicit(&place->view, &expected, NULL,
                                                    memory_order_acq_rel, memory_order_relaxed);
}

/* No place keeps the view, which has been replaced and to which the caller has a reference. */
static void empty_places(struct kv_store *store, struct view *view)
{
    for (size_t i = 0; i < READER_PLACES; i++) {
        struct view *expected = view;
        if (atomic_compare_exchange_strong_explicit(&store->readers[i].view, &expected, NULL,
                                                    memory_order_seq_cst, memory_order_seq_cst)) {
            uint32_t before = atomic_fetch_sub_explicit(&view->refs, 1, memory_order_acq_rel);
            assert(before > 1);
        }
    }
}

static void drop(struct view *view);

struct view *view_acquire(struct kv_store *store)
{
    struct view *view = take_left(store);

    if (view != NULL) {
        if (view->stamp == atomic_load_explicit(&store->view_stamp, memory_order_acquire)) {
            return view;
        }
        drop(view);
    }
    mutex_lock(&store->mu);
    view = store->view;
    atomic_fetch_add_explicit(&view->refs, 1, memory_order_relaxed);
    mutex_unlock(&store->mu);
    return view;
}

struct view *view_acquire_at(struct kv_store *store, const struct kv_snapshot *snapshot)
{
    if (snapshot == NULL || snapshot->view == NULL) {
        return view_acquire(store);
    }
    view_ref(snapshot->view);
    return snapshot->view;
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

static void drop(struct view *view)
{
    if (atomic_fetch_sub_explicit(&view->refs, 1, memory_order_acq_rel) > 1) {
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

void view_release(struct view *view)
{
    if (view != NULL && !leave(view)) {
        drop(view);
    }
}

/* Its place is right behind the other's, so that the list stays in the order of stamps. */
int view_pin_tables(struct view *view, struct view **ret_pinned)
{
    struct kv_store *store = view->store;
    struct view *pinned = calloc(1, sizeof *pinned);

    if (pinned == NULL) {
        return -ENOMEM;
    }
    atomic_init(&pinned->refs, 1);
    pinned->stamp = view->stamp;
    pinned->mark = view->mark;
    pinned->store = store;
    version_ref(view->version);
    pinned->version = view->version;
    mutex_lock(&store->mu);
    pinned->prev = view;
    pinned->next = view->next;
    view->next->prev = pinned;
    view->next = pinned;
    mutex_unlock(&store->mu);
    *ret_pinned = pinned;
    return 0;
}

void view_unpin_tables(struct view *pinned)
{
    if (pinned != NULL) {
        drop(pinned); /* never left for other readers, who want memtables */
    }
}

void view_list_memtables(struct kv_store *store, const struct generation *generation,
                         const struct memtable *ret_memtables[KV_TABLE_COUNT_MAX])
{
    mutex_lock(&store->mu);
    for (size_t i = 0; i < KV_TABLE_COUNT_MAX; i++) {
        ret_memtables[i] = generation->memtables[i];
    }
    mutex_unlock(&store->mu);
}

void views_close(struct kv_store *store) NO_LOCK_ANALYSIS
{
    if (store->view != NULL) {
        atomic_store(&store->view_stamp, 0); /* no view's */
        empty_places(store, store->view);
        drop(store->view);
    }
}

void view_count_l0_files(struct kv_store *store)
{
    size_t most = 0;
    for (uint32_t id = 1; id <= KV_TABLE_COUNT_MAX; id++) {
        const struct table_files *files = version_table(store->view->version, id);
        const struct kv_table *table = store->tables[id - 1];
        /* Nothing is merged in one that is being dropped: nobody may wait for that. */
        bool counts = files != NULL && table != NULL && !table->dropping;
        if (counts && files->levels[0].count > most) {
            most = files->levels[0].count;
        }
    }
    atomic_store_explicit(&store->l0_files, (unsigned)most, memory_order_relaxed);
}

static uint64_t large_per_row(const struct version *version)
{
    uint64_t rows = 1;
    uint64_t bytes = 0;
    for (uint32_t id = 1; id <= KV_TABLE_COUNT_MAX; id++) {
        const struct table_files *files = version_table(version, id);
        for (int level = 0; files != NULL && level < KV_LEVEL_COUNT; level++) {
            rows += files->levels[level].row_count;
            bytes += files->levels[level].blob_bytes;
        }
    }
    return bytes / rows;
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
    atomic_store_explicit(&store->view_stamp, take_view->stamp, memory_order_seq_cst);
    if (old != NULL) {
        empty_places(store, old);
    }
    view_count_l0_files(store);
    atomic_store_explicit(&store->large_per_row, large_per_row(version), memory_order_relaxed);
    return old;
}

static int wrong_table(const struct kv_store *store, const struct file_meta *file,
                       const char *fault)
{
    struct message_place place = {KV_FILE_TABLE, file->number, MESSAGE_NO_OFFSET};
    return message_damage_at(&store->sink, place, "%s: table %08" PRIu64 "%s; run kvfs fsck",
                             store->storage->ops->name(store->storage), file->number, fault);
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
        r = wrong_table(store, file, ", which the manifest names, is missing");
    }
    if (r == 0 && table_properties(table)->range_delete_count != file->range_delete_count) {
        r = wrong_table(store, file, " holds other range deletes than the manifest says");
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
    }
    *ret_table = table;
    return 0;
}
