/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/named_snapshot.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "kvcore/db/manifest.h"
#include "kvcore/db/snapshot.h"
#include "kvcore/db/worker.h"

/* The one of that name in one of the states from `first` to `last`, or NULL. */
static struct kv_snapshot *find(struct kv_store *store, const char *name, enum named_state first,
                                enum named_state last) REQUIRES(&store->mu)
{
    struct kv_snapshot *head = &store->snapshots;
    for (struct kv_snapshot *s = head->next; s != head; s = s->next) {
        if (s->named >= first && s->named <= last && strcmp(s->name, name) == 0) {
            return s;
        }
    }
    return NULL;
}

/* The one of that name that is there. Waits where it is being made or dropped. */
static struct kv_snapshot *find_settled(struct kv_store *store, const char *name)
    REQUIRES(&store->mu)
{
    struct kv_snapshot *snapshot = find(store, name, NAMED_MADE, NAMED_DROPPED);
    while (snapshot != NULL && snapshot->named != NAMED_THERE) {
        condvar_wait(&store->progress, &store->mu);
        snapshot = find(store, name, NAMED_MADE, NAMED_DROPPED);
    }
    return snapshot;
}

static size_t count_names(struct kv_store *store) REQUIRES(&store->mu)
{
    struct kv_snapshot *head = &store->snapshots;
    size_t count = 0;
    for (struct kv_snapshot *s = head->next; s != head; s = s->next) {
        count += s->named >= NAMED_MADE && s->named <= NAMED_DROPPED;
    }
    return count;
}

/* ---- what the manifest says ---- */

int named_snapshots_state(struct kv_store *store, struct edit *edit)
{
    struct kv_snapshot *head = &store->snapshots;
    int r = 0;
    for (struct kv_snapshot *s = head->next; s != head && r == 0; s = s->next) {
        if (named_snapshot_is_listed(s)) {
            struct edit_snapshot entry = {.sequence = s->sequence, .time_s = s->time_s};
            memcpy(entry.name, s->name, sizeof entry.name);
            r = edit_add_snapshot(edit, &entry);
        }
    }
    return r;
}

/* Whoever makes or drops one holds it, and broadcasts. */
void named_snapshots_install(struct kv_store *store, const struct edit *edit)
{
    for (size_t i = 0; i < edit->snapshot_count; i++) {
        struct kv_snapshot *made = find(store, edit->snapshots[i].name, NAMED_MADE, NAMED_MADE);
        assert(made != NULL);
        made->named = NAMED_THERE;
    }
    for (size_t i = 0; i < edit->dropped_snapshot_count; i++) {
        struct kv_snapshot *dropped =
            find(store, edit->dropped_snapshots[i].name, NAMED_DROPPED, NAMED_DROPPED);
        assert(dropped != NULL);
        dropped->named = NAMED_FORGOTTEN;
    }
}

static int restore_one(struct kv_store *store, const struct edit_snapshot *entry) NO_LOCK_ANALYSIS
{
    struct kv_snapshot *snapshot;

    if (find(store, entry->name, NAMED_THERE, NAMED_THERE) != NULL) {
        return -KV_EDAMAGED;
    }
    if (count_names(store) == KV_NAMED_SNAPSHOT_COUNT_MAX) {
        return -KV_EFORMAT;
    }
    snapshot = calloc(1, sizeof *snapshot);
    if (snapshot == NULL) {
        return -ENOMEM;
    }
    snapshot->store = store;
    snapshot->sequence = entry->sequence;
    snapshot->named = NAMED_THERE;
    snapshot->time_s = entry->time_s;
    memcpy(snapshot->name, entry->name, sizeof snapshot->name);
    snapshot_link(store, snapshot);
    return 0;
}

static int forget_one(struct kv_store *store, const char *name) NO_LOCK_ANALYSIS
{
    struct kv_snapshot *snapshot = find(store, name, NAMED_THERE, NAMED_THERE);
    if (snapshot == NULL) {
        return -KV_EDAMAGED;
    }
    snapshot_unlink(store, snapshot);
    free(snapshot);
    return 0;
}

int named_snapshots_restore(struct kv_store *store, const struct edit *edit)
{
    int r = 0;
    for (size_t i = 0; i < edit->snapshot_count && r == 0; i++) {
        r = restore_one(store, &edit->snapshots[i]);
    }
    for (size_t i = 0; i < edit->dropped_snapshot_count && r == 0; i++) {
        r = forget_one(store, edit->dropped_snapshots[i].name);
    }
    return r;
}

int named_snapshots_check(struct kv_store *store) NO_LOCK_ANALYSIS
{
    const struct kv_snapshot *last = store->snapshots.prev;

    if (last == &store->snapshots || last->sequence <= store->last_sequence) {
        return 0;
    }
    return message_damage(&store->sink,
                          "%s: the snapshot '%s' sees rows up to number %" PRIu64
                          ", but those found end at %" PRIu64
                          ": durable rows are missing; run kvfs fsck",
                          store->storage->ops->name(store->storage), last->name, last->sequence,
                          store->last_sequence);
}

void named_snapshots_free(struct kv_store *store) NO_LOCK_ANALYSIS
{
    struct kv_snapshot *head = &store->snapshots;
    struct kv_snapshot *next;
    for (struct kv_snapshot *s = head->next; s != head; s = next) {
        next = s->next;
        if (s->named != NAMED_NOT) { /* whoever left another one open has it still */
            free(s);
        }
    }
}

/* ---- making ---- */

static int may_change(struct kv_store *store)
{
    return store->options.read_only ? -EROFS : -atomic_load(&store->read_only_error);
}

/* Its rows are kept from now on, and its name is nobody else's. */
static int begin_making(struct kv_store *store, struct kv_snapshot *snapshot)
{
    int r = 0;

    mutex_lock(&store->mu);
    if (find_settled(store, snapshot->name) != NULL) {
        r = -EEXIST;
    } else if (count_names(store) >= KV_NAMED_SNAPSHOT_COUNT_MAX) {
        r = -EMLINK;
    } else {
        snapshot->named = NAMED_MADE;
        snapshot->sequence = visible_sequence(store);
        snapshot_link(store, snapshot);
    }
    mutex_unlock(&store->mu);
    return r;
}

/* Write down that its rows are kept. They must be durable before. */
static int name_it(struct kv_store *store, const struct kv_snapshot *snapshot)
{
    struct edit_snapshot entry = {.sequence = snapshot->sequence, .time_s = snapshot->time_s};
    struct edit edit = {0};
    int r = kv_sync(store);

    memcpy(entry.name, snapshot->name, sizeof entry.name);
    r = r < 0 ? r : edit_add_snapshot(&edit, &entry);
    r = r < 0 ? r : manifest_commit(store, &edit, NULL);
    edit_finish(&edit);
    return r;
}

/* Whoever waits for the name finds it free. */
static void let_go(struct kv_store *store, struct kv_snapshot *take_snapshot)
{
    bool wake;
    mutex_lock(&store->mu);
    wake = snapshot_unlink(store, take_snapshot);
    condvar_broadcast(&store->progress);
    mutex_unlock(&store->mu);
    if (wake) {
        workers_wake(store);
    }
    free(take_snapshot);
}

int kv_named_snapshot_create(struct kv_store *store, const char *name)
{
    struct kv_snapshot *snapshot;
    size_t size = strlen(name);
    int r;

    if (size == 0 || size > KV_SNAPSHOT_NAME_SIZE_MAX) {
        return -EINVAL;
    }
    r = may_change(store);
    if (r < 0) {
        return r;
    }
    snapshot = calloc(1, sizeof *snapshot);
    if (snapshot == NULL) {
        return -ENOMEM;
    }
    snapshot->store = store;
    snapshot->time_s = (uint64_t)time(NULL);
    memcpy(snapshot->name, name, size);
    r = begin_making(store, snapshot);
    if (r < 0) {
        free(snapshot);
        return r;
    }
    r = name_it(store, snapshot); /* when it went well the store's list owns it */
    if (r < 0) {
        let_go(store, snapshot);
    }
    return r;
}

/* ---- dropping ---- */

int kv_named_snapshot_drop(struct kv_store *store, const char *name)
{
    struct kv_snapshot *snapshot;
    struct edit edit = {0};
    int r = may_change(store);

    if (r < 0) {
        return r;
    }
    mutex_lock(&store->mu);
    snapshot = find_settled(store, name);
    if (snapshot != NULL) {
        snapshot->named = NAMED_DROPPED;
    }
    mutex_unlock(&store->mu);
    if (snapshot == NULL) {
        return -ENOENT;
    }
    r = edit_drop_snapshot(&edit, name);
    r = r < 0 ? r : manifest_commit(store, &edit, NULL);
    edit_finish(&edit);
    if (r == 0) {
        let_go(store, snapshot);
        return 0;
    }
    mutex_lock(&store->mu);
    snapshot->named = NAMED_THERE;
    condvar_broadcast(&store->progress);
    mutex_unlock(&store->mu);
    return r;
}

/* ---- reading ---- */

int kv_named_snapshot_open(struct kv_store *store, const char *name,
                           struct kv_snapshot **ret_snapshot)
{
    struct kv_snapshot *snapshot = calloc(1, sizeof *snapshot);
    const struct kv_snapshot *named;

    if (snapshot == NULL) {
        return -ENOMEM;
    }
    snapshot->store = store;
    mutex_lock(&store->mu);
    named = find_settled(store, name);
    if (named != NULL) {
        snapshot->sequence = named->sequence;
        snapshot_link(store, snapshot);
    }
    mutex_unlock(&store->mu);
    if (named == NULL) {
        free(snapshot);
        return -ENOENT;
    }
    *ret_snapshot = snapshot;
    return 0;
}

int kv_named_snapshot_list(struct kv_store *store, kv_named_snapshot_list_fn *fn, void *arg)
{
    struct edit state = {0};
    int r;

    mutex_lock(&store->mu);
    r = named_snapshots_state(store, &state);
    mutex_unlock(&store->mu);
    for (size_t i = 0; i < state.snapshot_count && r == 0; i++) {
        const struct edit_snapshot *at = &state.snapshots[i];
        struct kv_named_snapshot shown = {at->name, at->sequence, at->time_s};
        r = fn(arg, &shown);
    }
    edit_finish(&state);
    return r;
}
