/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a store is well: what its statistics say, against thresholds that docs/operations.md
 * lists. */
#ifndef KVFS_TOOLS_HEALTH_H
#define KVFS_TOOLS_HEALTH_H

#include <stdint.h>

/* As kvfs stats tells them; zeros where nothing is known. */
struct health_facts {
    const char *engine_reason; /* why the engine is not well; NULL: it is */
    const char *suspects;      /* files in which damage was met before it was opened; NULL: none */
    uint64_t read_errors, write_errors, damage_seen;
    uint64_t total_bytes, free_bytes; /* of the device */
    uint64_t open_ns, stall_ns;       /* so long writers were stopped */
    uint64_t bytes_written_user;
    double write_amplification;
    uint64_t syncs, sync_p99_ns;
};

/* One reason: a word for programs, and a sentence without a dot. */
typedef void health_reason_fn(void *arg, const char *kind, const char *text);

/* Tell every reason why the store is not well; returns how many there are. */
unsigned health_judge(const struct health_facts *facts, health_reason_fn *fn, void *arg);

#endif
