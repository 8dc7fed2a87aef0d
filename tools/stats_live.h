/* SPDX-License-Identifier: Apache-2.0 */
/* What a store does from moment to moment: a row for each interval between two statistics. */
#ifndef KVFS_TOOLS_STATS_LIVE_H
#define KVFS_TOOLS_STATS_LIVE_H

#include <stdint.h>

struct json_t; /* of jansson */

/* Print a row about what happened between two objects of `kvfs stats --json`; a heading before the
 * first and then every so many rows. `row` counts from 0. */
void stats_live_print(const struct json_t *before, const struct json_t *now, uint64_t row);

#endif
