/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/health_watch.h"

#include <stdlib.h>

#include "kvcore/util/clock.h"
#include "kvcore/util/thread.h"
#include "tools/health_json.h"
#include "tools/health_log.h"
#include "tools/heap.h"
#include "tools/report_json.h"

static const uint64_t interval_ns = 1000000000;

struct health_watch {
    const struct control_host *host;
    struct health_log health; /* thread-private, as is the next */
    struct heap heap;
    struct thread thread;
    struct mutex mu;
    struct condvar changed;
    bool stopping; /* guarded by mu */
};

static void log_change(void *arg, bool is_well, const char *text)
{
    const struct health_watch *watch = arg;
    log_message(watch->host->log, is_well ? KV_MESSAGE_INFO : KV_MESSAGE_WARNING, text);
}

/* Judged from the same objects as by `kvfs health`, so that the two never differ. */
static void look(struct health_watch *watch)
{
    json_t *status = report_status_json(watch->host);
    json_t *stats = report_stats_json(watch->host);
    if (status != NULL && stats != NULL) {
        struct health_facts facts = health_facts_of(status, stats);
        health_log_look(&watch->health, &facts, log_change, watch);
    }
    json_decref(status);
    json_decref(stats);
}

/* What is accounted for: beside it there are some MiB of buffers, stacks and small things. */
static uint64_t used_bytes(const struct control_host *host)
{
    struct kv_stats stats;
    struct kvfs_memory memory;
    kv_stats(host->engine, &stats);
    kvfs_memory(host->fs, &memory);
    return stats.memtable_bytes + stats.cache_bytes + stats.resident_bytes + memory.lookup_bytes +
           memory.inode_bytes + memory.unlinked_bytes;
}

static bool wait_for_stop(struct health_watch *watch)
{
    uint64_t deadline_ns = clock_monotonic_ns() + interval_ns;
    bool in_time = true;
    mutex_lock(&watch->mu);
    while (!watch->stopping && in_time) {
        in_time = condvar_wait_until(&watch->changed, &watch->mu, deadline_ns);
    }
    bool stopping = watch->stopping;
    mutex_unlock(&watch->mu);
    return stopping;
}

static void *watch_main(void *arg)
{
    struct health_watch *watch = arg;
    do {
        look(watch);
        heap_look(&watch->heap, used_bytes(watch->host));
    } while (!wait_for_stop(watch));
    return NULL;
}

int health_watch_start(const struct control_host *host, struct health_watch **ret_watch)
{
    struct health_watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL) {
        return -ENOMEM;
    }
    watch->host = host;
    mutex_init(&watch->mu, LOCK_RANK_LEAF, "health");
    condvar_init(&watch->changed);
    int r = thread_start(&watch->thread, "kvfs-health", watch_main, watch);
    if (r < 0) {
        condvar_finish(&watch->changed);
        mutex_finish(&watch->mu);
        free(watch);
        return r;
    }
    *ret_watch = watch;
    return 0;
}

void health_watch_stop(struct health_watch *watch)
{
    if (watch == NULL) {
        return;
    }
    mutex_lock(&watch->mu);
    watch->stopping = true;
    condvar_signal(&watch->changed);
    mutex_unlock(&watch->mu);
    thread_join(&watch->thread);
    condvar_finish(&watch->changed);
    mutex_finish(&watch->mu);
    free(watch);
}
