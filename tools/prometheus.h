/* SPDX-License-Identifier: Apache-2.0 */
/* Statistics in the text format that Prometheus reads (exposition format 0.0.4). */
#ifndef KVFS_TOOLS_PROMETHEUS_H
#define KVFS_TOOLS_PROMETHEUS_H

#include <jansson.h>
#include <stdio.h>

/* Write the object that report_stats_json() makes. Every sample has the label `store`; durations
 * are in seconds. Names that an older daemon does not give are left out. */
void prometheus_print(FILE *to, json_t *stats);

#endif
