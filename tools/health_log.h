/* SPDX-License-Identifier: Apache-2.0 */
/* Telling changes of a store's health once each, from looks at it that are made again and again. */
#ifndef KVFS_TOOLS_HEALTH_LOG_H
#define KVFS_TOOLS_HEALTH_LOG_H

#include <stdbool.h>

#include "tools/health.h"

/* So many looks in a row must find nothing before the store is well again: what comes and goes with
 * every look is one trouble, not many. */
enum { HEALTH_LOG_LOOKS = 3 };

/* All zero: the store is well. */
struct health_log {
    char told[256];      /* kinds of reasons that were told, each between commas */
    unsigned well_looks; /* that found nothing since the last that did */
};

/* `text` is a sentence without a dot, such as "health: degraded: REASON; REASON". */
typedef void health_change_fn(void *arg, bool is_well, const char *text);

/* Take a look: `fn` is called if the store is no longer well, with all reasons; if there is a
 * reason of a kind that there was not since, again with all of them; and if it is well again. */
void health_log_look(struct health_log *log, const struct health_facts *facts, health_change_fn *fn,
                     void *arg);

#endif
