/* SPDX-License-Identifier: Apache-2.0 */
/* What `kvfs health` says of a store, from the objects that `kvfs status` and `kvfs stats` give. */
#ifndef KVFS_TOOLS_HEALTH_JSON_H
#define KVFS_TOOLS_HEALTH_JSON_H

#include <jansson.h>

#include "tools/health.h"

/* The texts in the result are borrowed from `status`. */
struct health_facts health_facts_of(const json_t *status, const json_t *stats);

/* A new reference: store, health ("ok" or "degraded") and reasons; NULL when out of memory. */
json_t *health_json(const json_t *status, const json_t *stats);

#endif
