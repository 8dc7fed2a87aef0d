/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench/bench_gate.h"

void bench_gate_init(struct bench_gate *gate)
{
    *gate = (struct bench_gate){.waiting = 0};
    mutex_init(&gate->lock, LOCK_RANK_LEAF, "bench gate");
    condvar_init(&gate->changed);
}

void bench_gate_finish(struct bench_gate *gate)
{
    condvar_finish(&gate->changed);
    mutex_finish(&gate->lock);
}

void bench_gate_pass(struct bench_gate *gate)
{
    mutex_lock(&gate->lock);
    gate->waiting++;
    condvar_broadcast(&gate->changed);
    while (!gate->is_open) {
        condvar_wait(&gate->changed, &gate->lock);
    }
    mutex_unlock(&gate->lock);
}

void bench_gate_open(struct bench_gate *gate, unsigned count)
{
    mutex_lock(&gate->lock);
    while (gate->waiting < count) {
        condvar_wait(&gate->changed, &gate->lock);
    }
    gate->is_open = true;
    condvar_broadcast(&gate->changed);
    mutex_unlock(&gate->lock);
}
