/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/compact_job.h"

#include "kvcore/util/clock.h"
#include "kvcore/util/thread.h"

static const uint64_t interval_ns = (uint64_t)200 * 1000 * 1000;

struct job {
    struct kv_store *engine; /* constant */
    struct mutex mu;
    struct condvar ended_now;
    bool ended GUARDED_BY(mu);
    int result GUARDED_BY(mu);
};

static void *job_main(void *arg)
{
    struct job *job = arg;
    int r = kv_compact(job->engine);
    mutex_lock(&job->mu);
    job->result = r;
    job->ended = true;
    condvar_broadcast(&job->ended_now);
    mutex_unlock(&job->mu);
    return NULL;
}

static bool wait_a_while(struct job *job)
{
    uint64_t until = clock_monotonic_ns() + interval_ns;
    mutex_lock(&job->mu);
    while (!job->ended && condvar_wait_until(&job->ended_now, &job->mu, until)) {
    }
    bool ended = job->ended;
    mutex_unlock(&job->mu);
    return ended;
}

static uint64_t bytes_to_read(const struct kv_stats *stats)
{
    uint64_t bytes = stats->memtable_bytes;
    for (int level = 0; level < KV_LEVEL_COUNT; level++) {
        bytes += stats->levels[level].bytes;
    }
    return bytes;
}

static void watch(struct job *job, compact_tell_fn *fn, void *arg)
{
    struct kv_stats before;
    struct kv_stats now;
    kv_stats(job->engine, &before);
    uint64_t all = bytes_to_read(&before);
    while (!wait_a_while(job)) {
        kv_stats(job->engine, &now);
        uint64_t read = now.compaction_bytes_read - before.compaction_bytes_read;
        fn(arg, read < all ? read : all, all);
    }
}

int compact_job(struct kv_store *engine, compact_tell_fn *fn, void *arg)
{
    struct job job = {.engine = engine};
    struct thread thread;
    mutex_init(&job.mu, LOCK_RANK_LEAF, "compaction");
    condvar_init(&job.ended_now);
    int r = thread_start(&thread, "kvfs-compact", job_main, &job);
    if (r == 0) {
        watch(&job, fn, arg);
        thread_join(&thread);
        mutex_lock(&job.mu);
        r = job.result;
        mutex_unlock(&job.mu);
    }
    condvar_finish(&job.ended_now);
    mutex_finish(&job.mu);
    return r;
}
