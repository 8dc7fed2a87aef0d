/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/followers.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "kvcore/db/obsolete.h"
#include "kvcore/db/worker.h"
#include "kvcore/util/clock.h"

#define LOOK_INTERVAL_NS (2 * 1000000000ULL)

void followers_note_state(struct kv_store *store)
{
    mutex_assert_held(&store->manifest_mu);
    atomic_store(&store->mark, state_mark(store->root.manifest, store->manifest_edits));
}

uint64_t followers_limit(struct kv_store *store)
{
    uint64_t newest = atomic_load(&store->mark); /* before anybody is asked for */
    uint64_t oldest = UINT64_MAX;
    int r = 0;

    if (store->storage->ops->followers_oldest != NULL) {
        r = store->storage->ops->followers_oldest(store->storage, &oldest);
    }
    if (r < 0) {
        return 0; /* there may be one */
    }
    return oldest < newest ? oldest : newest;
}

void followers_wait(struct kv_store *store)
{
    atomic_store(&store->followers_waited_for, true);
}

static int keep(struct kv_store *store, struct kept_file file)
{
    int r = -ENOMEM;
    mutex_lock(&store->mu);
    struct kept_file *larger =
        reallocarray(store->kept, store->kept_count + 1, sizeof store->kept[0]);
    if (larger != NULL) {
        store->kept = larger;
        larger[store->kept_count++] = file;
        r = 0;
    }
    mutex_unlock(&store->mu);
    return r;
}

bool followers_remove(struct kv_store *store, struct kv_file_id id)
{
    struct kept_file file = {.id = id, .gone = atomic_load(&store->mark)};
    bool is_read = id.kind == KV_FILE_TABLE || id.kind == KV_FILE_BLOB;
    if (!is_read || followers_limit(store) >= file.gone) {
        obsolete_remove_now(store, id);
        return true;
    }
    if (keep(store, file) == 0) { /* else it is there until the next opening */
        followers_wait(store);
    }
    return false;
}

/* Takes one that nobody reads off the list. */
static bool take_free(struct kv_store *store, uint64_t limit, struct kv_file_id *ret_id)
{
    bool found = false;
    mutex_lock(&store->mu);
    for (size_t i = 0; i < store->kept_count && !found; i++) {
        if (store->kept[i].gone <= limit) {
            *ret_id = store->kept[i].id;
            store->kept[i] = store->kept[--store->kept_count];
            found = true;
        }
    }
    bool left = store->kept_count > 0;
    mutex_unlock(&store->mu);
    if (!found && left) {
        followers_wait(store);
    }
    return found;
}

void followers_look(struct kv_store *store)
{
    struct kv_file_id id;

    if (!atomic_exchange(&store->followers_waited_for, false)) {
        return;
    }
    uint64_t limit = followers_limit(store);
    while (take_free(store, limit, &id)) {
        obsolete_remove_now(store, id);
    }
    obsolete_purge(store);
    workers_wake(store); /* a pass over blobs may wait */
}

void followers_look_in_turn(struct kv_store *store)
{
    uint64_t now = clock_monotonic_ns();
    uint64_t last = atomic_load(&store->followers_looked_ns);
    if (atomic_load(&store->followers_waited_for) && now - last >= LOOK_INTERVAL_NS &&
        atomic_compare_exchange_strong(&store->followers_looked_ns, &last, now)) {
        followers_look(store);
    }
}

void followers_finish(struct kv_store *store) NO_LOCK_ANALYSIS
{
    free(store->kept);
}
