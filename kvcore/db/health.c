/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/health.h"

#include <stdatomic.h>

#include "kvcore/db/job.h"

static void tell_changed(struct kv_store *store, enum kv_health_state state, int error,
                         const char *reason)
{
    struct kv_event event = {
        .kind = KV_EVENT_HEALTH_CHANGED, .error = error, .health = state, .text = reason};
    event_tell(store, &event);
}

void health_set(struct kv_store *store, enum kv_health_state state, int error, const char *reason)
{
    bool changed;
    bool final;
    mutex_lock(&store->mu);
    changed = store->health.state != state || store->health.error != error;
    final = store->health.state == KV_HEALTH_READ_ONLY;
    if (!final) {
        store->health.state = state;
        store->health.error = error;
        strncpy(store->health.reason, reason, sizeof store->health.reason - 1);
    }
    condvar_broadcast(&store->progress);
    mutex_unlock(&store->mu);
    if (changed) {
        message(&store->sink, KV_MESSAGE_ERROR, "%s: %s (%s)",
                store->storage->ops->name(store->storage), reason, kv_strerror(error));
    }
    if (changed && !final) {
        tell_changed(store, state, error, reason);
    }
}

void health_clear(struct kv_store *store)
{
    bool changed;
    mutex_lock(&store->mu);
    changed = store->health.state == KV_HEALTH_DEGRADED && !atomic_load(&store->full);
    if (changed) {
        store->health = (struct kv_health){.state = KV_HEALTH_OK};
    }
    mutex_unlock(&store->mu);
    if (changed) {
        message(&store->sink, KV_MESSAGE_INFO, "%s: works again",
                store->storage->ops->name(store->storage));
        tell_changed(store, KV_HEALTH_OK, 0, "works again");
    }
}

void kv_health(struct kv_store *store, struct kv_health *ret_health)
{
    mutex_lock(&store->mu);
    *ret_health = store->health;
    mutex_unlock(&store->mu);
}
