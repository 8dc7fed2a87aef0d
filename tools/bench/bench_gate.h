/* SPDX-License-Identifier: Apache-2.0 */
/* Where the threads of a measurement wait until everybody is ready. */
#ifndef KVFS_TOOLS_BENCH_GATE_H
#define KVFS_TOOLS_BENCH_GATE_H

#include "kvcore/util/thread.h"

struct bench_gate {
    struct mutex lock;
    struct condvar changed;
    unsigned waiting; /* guarded by lock */
    bool is_open;     /* guarded by lock */
};

void bench_gate_init(struct bench_gate *gate);
/* Nobody may be waiting. */
void bench_gate_finish(struct bench_gate *gate);
/* Wait until the gate is open. */
void bench_gate_pass(struct bench_gate *gate);
/* Wait until `count` threads are waiting, then let them all go. */
void bench_gate_open(struct bench_gate *gate, unsigned count);

#endif
