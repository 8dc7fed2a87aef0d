/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/reclaim.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "kvcore/blob/blob_directory.h"
#include "kvcore/blob/blob_set.h"
#include "kvcore/db/batch.h"
#include "kvcore/db/followers.h"
#include "kvcore/db/manifest.h"
#include "kvcore/db/reclaim_punch.h"
#include "kvcore/db/reclaim_walk.h"
#include "kvcore/db/sync.h"
#include "kvcore/db/view.h"
#include "kvcore/db/write.h"
#include "kvcore/util/clock.h"

enum {
    SLACK_SHARE = 64,      /* of the size of a blob: garbage that may always be there */
    SPARSE_SHARE = 16,     /* a blob with less than this part of its bytes live is emptied */
    RESIDUE_SHARE = 16,    /* of live bytes: garbage that may stay since it shares pages */
    GARBAGE_PART = 8,      /* of a blob's live bytes: less garbage is not worth emptying it */
    EVACUATION_SHARE = 32, /* of all live bytes, in blobs that are being emptied at once */
};

/* Giving back pages can take milliseconds each (a device that is told at once). Meanwhile whole
 * blobs become garbage, which are given back at once: so a pass is not longer than this. */
static const uint64_t punch_ns = 1000000000;

struct reclaim {
    /* State mutex. */
    bool busy;                /* somebody is in reclaim_step */
    uint64_t stamp;           /* of the view of the pass that waits; 0: none */
    uint64_t mark;            /* of the state of that view: what it names, or an older one */
    struct blob_uses flagged; /* blobs being emptied; the bytes mean nothing */
    /* Of the one who is busy; `touched` of the candidates under the state mutex, and they neither
     * come nor go while `stamp` is set. */
    struct candidates candidates;
    struct known_blobs known;
    uint64_t punch_until_ns; /* monotonic */
    uint64_t last_stamp; /* of the view after the last pass, if nothing came in between; else 0 */
};

int reclaim_create(struct kv_store *store)
{
    store->reclaim = calloc(1, sizeof *store->reclaim);
    return store->reclaim != NULL ? 0 : -ENOMEM;
}

void reclaim_destroy(struct kv_store *store)
{
    struct reclaim *reclaim = store->reclaim;
    if (reclaim == NULL) {
        return;
    }
    candidates_finish(&reclaim->candidates);
    known_blobs_finish(&reclaim->known);
    blob_uses_finish(&reclaim->flagged);
    free(reclaim);
    store->reclaim = NULL;
}

/* ---- what others tell ---- */

/* Take the blobs that rows of the payload name out of the pass. */
static void touch(struct kv_store *store, struct kv_slice payload) REQUIRES(&store->mu)
{
    struct coding_cursor cursor = coding_cursor(payload);
    struct batch_row row;

    while (batch_next(&cursor, &row) > 0) {
        struct candidate *candidate = NULL;
        if (row.kind == ROW_BLOB && row.value.size >= sizeof(uint64_t)) {
            candidate =
                candidates_find(&store->reclaim->candidates, coding_get_u64(row.value.data));
        }
        if (candidate != NULL) {
            candidate->touched = true;
        }
    }
}

void reclaim_note_batch(struct kv_store *store, const struct kv_batch *batch)
{
    if (batch->view == NULL) {
        return;
    }
    mutex_lock(&store->mu);
    if (batch->view->stamp < store->reclaim->stamp) {
        touch(store, kv_buf_slice(&batch->payload));
    }
    mutex_unlock(&store->mu);
}

static void forget_flag(struct reclaim *reclaim, uint64_t number)
{
    size_t i = blob_uses_find(&reclaim->flagged, number);
    if (blob_uses_have(&reclaim->flagged, number)) {
        reclaim->flagged.count--;
        memmove(&reclaim->flagged.items[i], &reclaim->flagged.items[i + 1],
                (reclaim->flagged.count - i) * sizeof reclaim->flagged.items[0]);
    }
}

void reclaim_keep(struct kv_store *store, uint64_t number)
{
    mutex_lock(&store->mu);
    forget_flag(store->reclaim, number);
    mutex_unlock(&store->mu);
}

const struct blob_uses *reclaim_flagged(const struct kv_store *store)
{
    return &store->reclaim->flagged;
}

/* ---- beginning ---- */

/* As the only writer: a new view, which is the pass's. */
static int take_view(struct kv_store *store, void *arg)
{
    struct view **ret_view = arg;
    struct view *view = NULL;
    struct view *old;
    int r = atomic_load(&store->log_failed) ? -EAGAIN : view_prepare(&view);

    if (r < 0) {
        return r;
    }
    mutex_lock(&store->mu);
    old = view_install(store, view, store->view->active, store->view->immutable,
                       store->view->immutable_count, store->view->version);
    view_ref(view);
    store->reclaim->stamp = view->stamp;
    store->reclaim->mark = atomic_load(&store->mark);
    mutex_unlock(&store->mu);
    view_release(old);
    *ret_view = view;
    return 0;
}

static bool state_is_certain(struct kv_store *store)
{
    bool suspect;
    mutex_lock(&store->manifest_mu);
    suspect = store->manifest_suspect;
    mutex_unlock(&store->manifest_mu);
    return !suspect && atomic_load(&store->read_only_error) == 0;
}

static void end_pass(struct kv_store *store)
{
    struct reclaim *reclaim = store->reclaim;
    mutex_lock(&store->mu);
    reclaim->stamp = 0;
    store->reclaim_waiting = false;
    mutex_unlock(&store->mu);
    candidates_finish(&reclaim->candidates);
}

/* 1: there are candidates. */
static int choose(struct kv_store *store, bool eager)
{
    struct reclaim *reclaim = store->reclaim;
    struct choice_rules rules = {.eager = eager,
                                 .slack_bytes = store->options.blob_file_bytes / SLACK_SHARE,
                                 .flushes = atomic_load(&store->counters.flushes)};
    uint64_t numbers[RECLAIM_BLOBS_MAX];
    struct view *view = view_acquire(store);
    size_t count = 0;
    int r = 0;

    known_blobs_prune(&reclaim->known, view->version);
    if (view->stamp != reclaim->last_stamp) {
        count = reclaim_choose(view->version, &reclaim->known, &rules, numbers);
    }
    if (count > 0) {
        r = candidates_create(view->version, numbers, count, &reclaim->candidates);
        r = r < 0 ? r : 1;
    }
    view_release(view);
    return r;
}

static int begin_pass(struct kv_store *store, bool eager)
{
    struct view *view = NULL;
    int r = choose(store, eager);

    if (r <= 0) {
        return r;
    }
    r = write_exclusive(store, take_view, &view);
    r = r < 0 ? r : sync_all_logs(store);
    if (r == 0) {
        candidates_look(&store->reclaim->candidates, view->version);
        r = reclaim_walk(store, view, &store->reclaim->candidates);
    }
    view_release(view);
    if (r < 0) {
        end_pass(store);
        return r == -EAGAIN || r == -ECANCELED ? 0 : r;
    }
    return 1;
}

/* ---- ending ---- */

/* The pass did not do what it could have: another one is to look at the blob. */
static bool is_left(const struct candidate *candidate)
{
    return candidate->touched || candidate->unfinished;
}

static bool any_left(const struct candidates *candidates)
{
    bool left = false;
    for (size_t i = 0; i < candidates->count; i++) {
        left = left || is_left(&candidates->items[i]);
    }
    return left;
}

/* What of the garbage there was at the time of the pass's view could not be given back, so that no
 * pass is made for it again. */
static int remember(struct kv_store *store, const struct version *version)
{
    struct reclaim *reclaim = store->reclaim;
    int r = 0;

    for (size_t i = 0; i < reclaim->candidates.count && r == 0; i++) {
        const struct candidate *candidate = &reclaim->candidates.items[i];
        const struct version_blob *blob = version_find_blob(version, candidate->info.number);
        struct version_blob then = {.referenced = candidate->referenced};
        struct known_blob *known = NULL;
        if (blob != NULL && !is_left(candidate)) {
            then.info = blob->info;
            r = known_blobs_get(&reclaim->known, candidate->info.number, &known);
        }
        if (known != NULL) {
            known->garbage = version_blob_garbage(&then);
            known->flushes = atomic_load(&store->counters.flushes);
        }
    }
    return r;
}

/* ---- emptying blobs ---- */

/* What a blob costs beside what is live in it, and could not be given back. */
struct sparse {
    uint64_t number;
    uint64_t live;
    uint64_t garbage;
};

/* Most garbage per live byte first. */
static int compare_sparse(const void *a, const void *b)
{
    const struct sparse *sa = a;
    const struct sparse *sb = b;
    double ra = (double)sa->garbage / (double)sa->live;
    double rb = (double)sb->garbage / (double)sb->live;
    return (ra < rb) - (ra > rb);
}

/* The blobs of which passes left garbage, worst first. Returns how many; adds up the garbage of
 * those not flagged, and the live bytes of those that are. */
static size_t list_sparse(const struct reclaim *reclaim, const struct version *version,
                          struct sparse *list, uint64_t *ret_garbage, uint64_t *ret_flagged)
{
    size_t count = 0;

    *ret_garbage = *ret_flagged = 0;
    for (size_t i = 0; i < reclaim->known.count; i++) {
        const struct known_blob *known = &reclaim->known.items[i];
        const struct version_blob *blob = version_find_blob(version, known->number);
        bool few = blob != NULL && blob->referenced < blob->info.data_bytes / SPARSE_SHARE;
        if (blob == NULL || blob->referenced == 0) {
            continue;
        }
        if (blob_uses_have(&reclaim->flagged, known->number)) {
            *ret_flagged += blob->referenced;
            continue;
        }
        *ret_garbage += known->garbage;
        if (known->garbage > blob->referenced / GARBAGE_PART || few) {
            list[count++] = (struct sparse){known->number, blob->referenced,
                                            few ? blob->info.data_bytes : known->garbage};
        }
    }
    if (count > 0) {
        qsort(list, count, sizeof *list, compare_sparse);
    }
    return count;
}

static int flag(struct kv_store *store, uint64_t number)
{
    int r = blob_set_flag(store->blobs, number);
    mutex_lock(&store->mu);
    r = r < 0 ? r : blob_uses_add(&store->reclaim->flagged, number, 1);
    mutex_unlock(&store->mu);
    return r;
}

/* Flag blobs that are to be emptied: those with next to nothing left, and the worst of those with
 * garbage that could not be given back while that is much altogether. So many at once that it stays
 * little work. */
static int flag_sparse(struct kv_store *store, const struct version *version)
{
    struct reclaim *reclaim = store->reclaim;
    uint64_t live = version_blob_live_bytes(version);
    uint64_t limit = live / EVACUATION_SHARE;
    uint64_t garbage = 0;
    uint64_t flagged = 0;
    struct sparse *list = calloc(reclaim->known.count + 1, sizeof *list);
    size_t count;
    int r = list != NULL ? 0 : -ENOMEM;

    if (r < 0) {
        return r;
    }
    count = list_sparse(reclaim, version, list, &garbage, &flagged);
    limit = limit > store->options.blob_file_bytes ? limit : store->options.blob_file_bytes;
    for (size_t i = 0; i < count && r == 0 && flagged < limit; i++) {
        const struct version_blob *blob = version_find_blob(version, list[i].number);
        bool few = blob->referenced < blob->info.data_bytes / SPARSE_SHARE;
        if (few || garbage > live / RESIDUE_SHARE) {
            r = flag(store, list[i].number);
            flagged += list[i].live;
            garbage -= list[i].garbage < garbage ? list[i].garbage : garbage;
        }
    }
    free(list);
    return r;
}

/* The manifest names it no more. */
static void remove_blob(struct kv_store *store, uint64_t number)
{
    struct kv_file_id id = {.kind = KV_FILE_BLOB, .number = number};
    mutex_lock(&store->mu);
    forget_flag(store->reclaim, number);
    mutex_unlock(&store->mu);
    blob_set_forget(store->blobs, number);
    kv_ignore(store->storage->ops->remove(store->storage, id)); /* else the next opening does */
}

static bool may_be_given_back(const struct version *version, const struct candidate *candidate)
{
    return !candidate->out && !candidate->touched &&
           version_find_blob(version, candidate->info.number) != NULL;
}

/* Blobs that nothing points at go first: that is one call each. */
static int give_back_whole(struct kv_store *store, const struct version *version,
                           struct candidate *candidate, struct edit *edit)
{
    (void)store;
    if (candidate->rows > 0 || version_find_blob(version, candidate->info.number)->referenced > 0) {
        return 0;
    }
    return edit_remove_blob(edit, candidate->info.number);
}

/* Give back the dead pages of one candidate; the edit tells of it. */
static int give_back_pages(struct kv_store *store, const struct version *version,
                           struct candidate *candidate, struct edit *edit)
{
    struct blob_info info = candidate->info;
    struct known_blob *known = NULL;
    int r = 0;

    (void)version;
    if (candidate->rows > 0) {
        r = known_blobs_get(&store->reclaim->known, info.number, &known);
        r = r < 0 ? r
                  : reclaim_punch(store, candidate, store->reclaim->punch_until_ns, &known->free,
                                  &info.punched_bytes);
        candidate->unfinished = r > 0;
    }
    if (r >= 0 && info.punched_bytes > candidate->info.punched_bytes) {
        r = edit_add_blob(edit, &info);
    }
    return r < 0 ? r : 0;
}

/* Do this to all candidates, and remember it in the manifest. */
static int give_back(struct kv_store *store,
                     int (*fn)(struct kv_store *, const struct version *, struct candidate *,
                               struct edit *),
                     unsigned *edits)
{
    struct candidates *candidates = &store->reclaim->candidates;
    struct view *view = view_acquire(store);
    struct edit edit = {0};
    int r = 0;

    for (size_t i = 0; i < candidates->count && r == 0; i++) {
        if (may_be_given_back(view->version, &candidates->items[i])) {
            r = fn(store, view->version, &candidates->items[i], &edit);
        }
    }
    view_release(view);
    if (r == 0 && edit.blob_count + edit.removed_blob_count > 0) {
        r = manifest_commit(store, &edit, NULL);
        *edits += r == 0;
    }
    for (size_t i = 0; i < edit.removed_blob_count && r == 0; i++) {
        remove_blob(store, edit.removed_blobs[i]);
    }
    edit_finish(&edit);
    return r;
}

/* The outcome is in the manifest, after so many edits. */
static int settle(struct kv_store *store, unsigned edits)
{
    struct view *view = view_acquire(store);
    /* Only if nothing happened meanwhile but the edits there is nothing new to look at. */
    bool done =
        view->stamp == store->reclaim->stamp + edits && !any_left(&store->reclaim->candidates);
    int r;

    store->reclaim->last_stamp = done ? view->stamp : 0;
    r = remember(store, view->version);
    r = r < 0 ? r : flag_sparse(store, view->version);
    view_release(view);
    return r;
}

/* Whether nobody reads what the pass did not walk over: a view that is older, or a follower. */
static bool none_is_older(struct kv_store *store)
{
    if (!views_before_are_gone(store, store->reclaim->stamp)) {
        return false;
    }
    if (followers_limit(store) < store->reclaim->mark) {
        followers_wait(store);
        return false;
    }
    return true;
}

/* 1 the pass is over, 0 somebody still holds an older view. */
static int finish_pass(struct kv_store *store, bool eager)
{
    uint64_t now = clock_monotonic_ns();
    unsigned edits = 0;
    int r = 0;

    if (!none_is_older(store)) {
        return 0;
    }
    store->reclaim->punch_until_ns = eager ? UINT64_MAX : now + punch_ns;
    if (state_is_certain(store)) {
        r = give_back(store, give_back_whole, &edits);
        r = r < 0 ? r : give_back(store, give_back_pages, &edits);
        r = r < 0 ? r : settle(store, edits);
    }
    end_pass(store);
    return r < 0 ? r : 1;
}

static int step(struct kv_store *store, bool eager)
{
    int begun = 1;

    if (store->reclaim->stamp == 0) {
        if (!state_is_certain(store)) {
            return 0;
        }
        begun = begin_pass(store, eager);
    }
    if (begun <= 0) {
        return begun;
    }
    return finish_pass(store, eager);
}

static void end_turn(struct kv_store *store)
{
    mutex_lock(&store->mu);
    store->reclaim->busy = false;
    condvar_broadcast(&store->progress);
    mutex_unlock(&store->mu);
}

int reclaim_step(struct kv_store *store, bool eager)
{
    bool busy;
    int r;

    mutex_lock(&store->mu);
    busy = store->reclaim->busy;
    store->reclaim->busy = true;
    mutex_unlock(&store->mu);
    if (busy) {
        return 0;
    }
    r = step(store, eager);
    end_turn(store);
    return r;
}

int reclaim_now(struct kv_store *store)
{
    bool waited;
    int r;

    mutex_lock(&store->mu);
    while (store->reclaim->busy) {
        condvar_wait(&store->progress, &store->mu);
    }
    store->reclaim->busy = true;
    waited = store->reclaim->stamp != 0; /* a pass that knows nothing of the latest garbage */
    mutex_unlock(&store->mu);
    r = step(store, true);
    if (r == 1 && waited) {
        r = step(store, true);
    }
    end_turn(store);
    return r < 0 ? r : 0;
}
