/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/follow.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "kvcore/blob/blob_set.h"
#include "kvcore/db/followers.h"
#include "kvcore/db/recover.h"
#include "kvcore/db/view.h"

enum {
    LOOKS = 8, /* so often the manifest may be replaced while it is read */
    LOOK_PAUSE_NS = 5 * 1000 * 1000,
};

/* ---- looking ----------------------------------------------------------------------------------
 */

/* What stands in the storage now, read into a store of its own. */
struct seen {
    struct kv_store *store;
    struct version *version;
    uint64_t mark;
};

static void seen_finish(struct seen *seen)
{
    version_unref(seen->version);
    if (seen->store != NULL) {
        store_destroy(seen->store);
    }
    *seen = (struct seen){0};
}

static int look_once(struct kv_store *store, bool silent, struct seen *ret_seen) NO_LOCK_ANALYSIS
{
    struct seen seen = {0};
    int r = store_create_beside(store, silent, &seen.store);

    r = r < 0 ? r : recover_look(seen.store, &seen.version);
    if (r < 0) {
        seen_finish(&seen);
        return r;
    }
    seen.mark = state_mark(seen.store->root.manifest, seen.store->manifest_edits);
    *ret_seen = seen;
    return 0;
}

/* Between the root record and the end of the manifest the writer may begin another one, and remove
 * that. What is found so is no damage unless it is found again; and if the last step ended so, it
 * was said. */
static int look(struct kv_store *store, struct seen *ret_seen) NO_LOCK_ANALYSIS
{
    const struct timespec pause = {.tv_nsec = LOOK_PAUSE_NS};
    int r = -EAGAIN;

    for (int i = 1; i <= LOOKS && r < 0; i++) {
        if (i > 1) {
            nanosleep(&pause, NULL);
        }
        r = look_once(store, i < LOOKS || r == store->follow.error, ret_seen);
    }
    return r;
}

/* Whether root record and manifest are those of the last look, also if what was seen then was
 * passed over; `ret_now` says what they are. */
static int is_unchanged(struct kv_store *store, struct follow *ret_now)
    REQUIRES(&store->manifest_mu)
{
    const struct kv_storage_ops *ops = store->storage->ops;
    struct kv_file_id id = {.kind = KV_FILE_MANIFEST};
    struct kv_buf bytes = {0};
    struct root root = {0};
    struct kv_log *manifest = NULL;
    struct follow now = store->follow;
    int r = ops->root_read(store->storage, &bytes, &now.root_version);

    r = r < 0 ? r : root_decode(kv_buf_slice(&bytes), &root);
    kv_buf_finish(&bytes);
    if (r == 0) {
        id.number = root.manifest;
        r = ops->log_open(store->storage, id, &manifest);
    }
    if (r == -ENOENT || r == -KV_EDAMAGED) {
        return 0; /* manifest or root record are being replaced: look */
    }
    if (r < 0) {
        return r;
    }
    now.manifest_bytes = ops->log_size(manifest);
    ops->log_close(manifest);
    *ret_now = now;
    return now.root_version == store->follow.root_version &&
           now.manifest_bytes == store->follow.manifest_bytes;
}

/* ---- showing ----------------------------------------------------------------------------------
 */

static bool is_same_file(const struct file_meta *a, const struct file_meta *b)
{
    return a->size == b->size && a->row_count == b->row_count &&
           a->sequence_min == b->sequence_min && a->sequence_max == b->sequence_max &&
           kv_slice_equal(kv_buf_slice(&a->smallest), kv_buf_slice(&b->smallest)) &&
           kv_slice_equal(kv_buf_slice(&a->largest), kv_buf_slice(&b->largest));
}

static int adopt_list(struct file_list *list, const struct version *shown)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct file_meta *file = list->files[i];
        struct file_meta *open =
            version_find_file(shown, file->table_id, file->level, file->number);
        if (open != NULL && !is_same_file(open, file)) {
            return -ESTALE;
        }
        if (open != NULL) {
            file_meta_ref(open);
            file_meta_unref(list->files[i]);
            list->files[i] = open;
        }
    }
    return 0;
}

/* Tables that are open stay so. The version is nobody else's yet. Errors: -ESTALE a number was
 * given twice, so that this is not what became of what is shown. */
static int adopt_files(struct version *version, const struct version *shown)
{
    int r = 0;
    for (size_t id = 1; id <= KV_TABLE_COUNT_MAX && r == 0; id++) {
        struct table_files *files = version->tables[id - 1];
        for (int level = 0; files != NULL && level < KV_LEVEL_COUNT && r == 0; level++) {
            r = adopt_list(&files->levels[level], shown);
        }
    }
    return r;
}

static bool is_same_table(const struct kv_table *a, const struct kv_table *b)
{
    return strcmp(a->name, b->name) == 0 && a->options.prefix_size == b->options.prefix_size &&
           a->options.filter_bits_per_key == b->options.filter_bits_per_key &&
           a->options.block_bytes == b->options.block_bytes &&
           a->options.no_compression == b->options.no_compression;
}

/* Handles of tables that are gone stay for who has them. */
static void install_tables(struct kv_store *store, struct kv_store *from) NO_LOCK_ANALYSIS
{
    mutex_assert_held(&store->mu);
    for (size_t i = 0; i < KV_TABLE_COUNT_MAX; i++) {
        struct kv_table *mine = store->tables[i];
        struct kv_table *theirs = from->tables[i];
        if (mine != NULL && theirs != NULL && is_same_table(mine, theirs)) {
            continue;
        }
        if (mine != NULL) {
            atomic_store(&mine->gone, -EIDRM);
            mine->next = store->dropped_tables;
            store->dropped_tables = mine;
        }
        if (theirs != NULL) {
            theirs->store = store;
        }
        store->tables[i] = theirs;
        from->tables[i] = NULL;
    }
}

static int show(struct kv_store *store, struct seen *seen) NO_LOCK_ANALYSIS
{
    struct view *shown = view_acquire(store);
    struct view *view = NULL;
    int r = adopt_files(seen->version, shown->version);

    r = r < 0 ? r : view_prepare(&view);
    if (r < 0) {
        view_release(shown);
        return r;
    }
    view->mark = seen->mark;
    atomic_store(&store->visible_sequence, seen->store->flushed_sequence);
    mutex_lock(&store->mu);
    install_tables(store, seen->store);
    struct view *old = view_install(store, view, store->active, NULL, 0, seen->version);
    mutex_unlock(&store->mu);
    view_release(old);
    view_release(shown);
    store->follow.mark = seen->mark;
    store->follow.salt = seen->store->manifest_salt;
    return 0;
}

/* Blobs that are gone from the newest state need not stay open. Who reads an older one opens them
 * again, and they are forgotten again once that is gone: nobody can open them then. */
static void forget_blobs(struct kv_store *store)
{
    struct view *newest = view_acquire(store);

    for (uint64_t number = 0; blob_set_next(store->blobs, number + 1, &number);) {
        if (version_find_blob(newest->version, number) == NULL) {
            blob_set_forget(store->blobs, number);
        }
    }
    view_release(newest);
}

/* What the oldest view needs is all that the writer has to keep. */
static int register_oldest(struct kv_store *store) REQUIRES(&store->manifest_mu)
{
    mutex_lock(&store->mu);
    uint64_t oldest = store->views.next->mark;
    mutex_unlock(&store->mu);
    if (oldest == store->follow.registered) {
        return 0;
    }
    forget_blobs(store);
    int r = store->storage->ops->follow_move(store->storage, oldest);
    if (r == 0) {
        store->follow.registered = oldest;
    }
    return r;
}

/* ---- moving -----------------------------------------------------------------------------------
 */

/* Whether it is of the store that is followed, and came after the state that is shown. A store that
 * was put back to an older state gives the same numbers again, but no manifest the same salt. */
static bool comes_later(const struct kv_store *store, const struct seen *seen) NO_LOCK_ANALYSIS
{
    const struct kv_store *found = seen->store;
    const struct follow *follow = &store->follow;

    return memcmp(found->root.store_id, store->root.store_id, sizeof store->root.store_id) == 0 &&
           seen->mark >= follow->mark &&
           (found->root.manifest != follow->mark >> 32 || found->manifest_salt == follow->salt);
}

/* 1 it is to be shown, 0 it is not. */
static int judge(const struct kv_store *store, const struct seen *seen) NO_LOCK_ANALYSIS
{
    if (!comes_later(store, seen)) {
        return -ESTALE;
    }
    /* A state that the writer made for want of knowing what became of the last one. */
    return seen->mark > store->follow.mark &&
           seen->store->flushed_sequence >= visible_sequence(store);
}

/* Show what was seen if it comes later. Once it did not, nothing later says that it does: what is
 * known by number may be something else by then. */
static int take(struct kv_store *store, struct seen *seen) REQUIRES(&store->manifest_mu)
{
    int r = judge(store, seen);

    if (r == 1) {
        int shown = show(store, seen);
        r = shown < 0 ? shown : 1;
    }
    store->follow.stale = r == -ESTALE;
    return r;
}

static int step(struct kv_store *store) REQUIRES(&store->manifest_mu)
{
    struct seen seen = {0};
    struct follow now = store->follow;
    int r = now.stale ? -ESTALE : is_unchanged(store, &now);

    if (r != 0) {
        return r < 0 ? r : 0;
    }
    r = look(store, &seen);
    r = r < 0 ? r : take(store, &seen);
    if (r >= 0) { /* as they were before they were read: what came since is seen next time */
        store->follow.root_version = now.root_version;
        store->follow.manifest_bytes = now.manifest_bytes;
    }
    seen_finish(&seen);
    return r;
}

int follow_step(struct kv_store *store)
{
    mutex_lock(&store->manifest_mu);
    int r = step(store);
    store->follow.error = r < 0 ? r : 0;
    int registered = register_oldest(store);
    mutex_unlock(&store->manifest_mu);
    return r < 0 ? r : registered < 0 ? registered : r;
}

int kv_refresh(struct kv_store *store)
{
    int r = store->options.follow ? follow_step(store) : 0;
    return r < 0 ? r : 0;
}

/* ---- beginning --------------------------------------------------------------------------------
 */

/* The first state, in a store that has none. */
static int begin(struct kv_store *store, struct seen *seen) NO_LOCK_ANALYSIS
{
    struct view *view = NULL;
    int r = generation_create(store->options.memtable_bytes, &store->active);

    store->root = seen->store->root;
    store->was_clean = store->root.clean;
    r = r < 0 ? r : recover_set_seed(store);
    r = r < 0 ? r : view_prepare(&view);
    if (r < 0) {
        return r;
    }
    view->mark = seen->mark;
    store->follow.mark = seen->mark;
    store->follow.salt = seen->store->manifest_salt;
    atomic_store(&store->visible_sequence, seen->store->flushed_sequence);
    mutex_lock(&store->mu);
    install_tables(store, seen->store);
    struct view *none = view_install(store, view, store->active, NULL, 0, seen->version);
    mutex_unlock(&store->mu);
    assert(none == NULL);
    mutex_lock(&store->manifest_mu);
    r = register_oldest(store);
    mutex_unlock(&store->manifest_mu);
    return r;
}

int follow_begin(struct kv_store *store, const struct kv_options *options)
{
    const struct kv_storage_ops *ops = store->storage->ops;
    struct seen seen = {0};
    int r = ops->lease_acquire(store->storage, KV_LEASE_FOLLOW,
                               options->holder != NULL ? options->holder : "a follower");

    r = r < 0 ? r : look(store, &seen);
    r = r < 0 ? r : begin(store, &seen);
    seen_finish(&seen);
    return r;
}
