/* SPDX-License-Identifier: Apache-2.0 */
/* Is the store well? One state with a reason, for users and for writers that would wait in vain. */
#ifndef KVCORE_DB_HEALTH_H
#define KVCORE_DB_HEALTH_H

#include "kvcore/db/store.h"

void health_set(struct kv_store *store, enum kv_health_state state, int error, const char *reason);
void health_clear(struct kv_store *store); /* back to ok, unless read-only */

#endif
