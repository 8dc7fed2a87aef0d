/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/health.h"

#include <stdatomic.h>

void health_set(struct kv_store *store, enum kv_health_state state, int error, const char *reason)
{
    bool changed;
    mutex_lock(&store->mu);
    changed = store->health.state != state || store->health.error != error;
    if (store->health.state != KV_HEALTH_READ_ONLY) {
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
    }
}

void kv_health(struct kv_store *store, struct kv_health *ret_health)
{
    mutex_lock(&store->mu);
    *ret_health = store->health;
    mutex_unlock(&store->mu);
}
