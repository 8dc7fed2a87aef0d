/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/job.h"

#include "kvcore/db/latency.h"
#include "kvcore/util/probe.h"

/* The same, for who traces the process. */
static void probe_event(const struct kv_store *store, const struct kv_event *event)
{
    switch (event->kind) {
    case KV_EVENT_FLUSH_BEGUN:
        KV_PROBE(2, flush__start, event->files_in, event->bytes_in);
        break;
    case KV_EVENT_FLUSH_ENDED:
        KV_PROBE(4, flush__done, event->files_out, event->bytes_out, event->error,
                 event->duration_ns);
        break;
    case KV_EVENT_MERGE_BEGUN:
        KV_PROBE(4, merge__start, event->level_from, event->level_to, event->files_in,
                 event->bytes_in);
        break;
    case KV_EVENT_MERGE_ENDED:
        KV_PROBE(6, merge__done, event->level_from, event->level_to, event->files_out,
                 event->bytes_out, event->error, event->duration_ns);
        break;
    case KV_EVENT_STALL_BEGUN:
        KV_PROBE(1, stall__start, store);
        break;
    case KV_EVENT_STALL_ENDED:
        KV_PROBE(1, stall__done, event->duration_ns);
        break;
    case KV_EVENT_HEALTH_CHANGED:
        KV_PROBE(3, health, event->health, event->error, event->text);
        break;
    case KV_EVENT_DAMAGE_FOUND:
        KV_PROBE(1, damage, event->text);
        break;
    case KV_EVENT_STORE_LOST:
        break; /* the health changes with it */
    }
}

void event_tell(const struct kv_store *store, const struct kv_event *event)
{
    probe_event(store, event);
    if (store->options.event_fn != NULL) {
        store->options.event_fn(store->options.event_arg, event);
    }
}

static struct job *take_free(struct kv_store *store, const struct kv_job *info) REQUIRES(&store->mu)
{
    for (size_t i = 0; i < KV_JOBS_MAX; i++) {
        struct job *job = &store->jobs[i];
        if (job->info.kind == 0) {
            job->info = *info;
            job->began_ns = clock_monotonic_ns();
            atomic_store(&job->rows_all, 0);
            atomic_store(&job->rows_done, 0);
            return job;
        }
    }
    return NULL;
}

static struct kv_event event_of(const struct kv_job *info)
{
    return (struct kv_event){.level_from = info->level_from,
                             .level_to = info->level_to,
                             .files_in = info->files,
                             .bytes_in = info->bytes};
}

struct job *job_begin(struct kv_store *store, const struct kv_job *info)
{
    struct kv_event event = event_of(info);
    struct job *job;

    mutex_lock(&store->mu);
    job = take_free(store, info);
    mutex_unlock(&store->mu);
    if (job != NULL) {
        event.kind = info->kind == KV_JOB_FLUSH ? KV_EVENT_FLUSH_BEGUN : KV_EVENT_MERGE_BEGUN;
        event_tell(store, &event);
    }
    return job;
}

void job_set_rows(struct job *job, uint64_t rows)
{
    if (job != NULL) {
        atomic_store_explicit(&job->rows_all, rows, memory_order_relaxed);
    }
}

void job_advance(struct job *job, uint64_t rows)
{
    if (job != NULL) {
        atomic_fetch_add_explicit(&job->rows_done, rows, memory_order_relaxed);
    }
}

void job_end(struct kv_store *store, struct job *job, int error, const struct edit *edit)
{
    struct kv_event event;

    if (job == NULL) {
        return;
    }
    event = event_of(&job->info); /* constant while the job runs */
    event.kind = job->info.kind == KV_JOB_FLUSH ? KV_EVENT_FLUSH_ENDED : KV_EVENT_MERGE_ENDED;
    event.error = error;
    event.duration_ns = clock_monotonic_ns() - job->began_ns;
    for (size_t i = 0; i < edit->added_count && error == 0; i++) {
        event.files_out++;
        event.bytes_out += edit->added[i]->size;
    }
    if (error == 0) {
        latency_record(store, NULL,
                       job->info.kind == KV_JOB_FLUSH ? KV_LATENCY_FLUSH : KV_LATENCY_MERGE,
                       event.duration_ns);
    }
    mutex_lock(&store->mu);
    job->info = (struct kv_job){0};
    mutex_unlock(&store->mu);
    event_tell(store, &event);
}

static uint64_t bytes_done(const struct job *job)
{
    uint64_t all = atomic_load_explicit(&job->rows_all, memory_order_relaxed);
    uint64_t done = atomic_load_explicit(&job->rows_done, memory_order_relaxed);
    if (all == 0) {
        return 0;
    }
    return done >= all ? job->info.bytes
                       : (uint64_t)((double)job->info.bytes * ((double)done / (double)all));
}

unsigned job_list(struct kv_store *store, struct kv_job *jobs)
{
    uint64_t now = clock_monotonic_ns();
    unsigned count = 0;

    mutex_lock(&store->mu);
    for (size_t i = 0; i < KV_JOBS_MAX; i++) {
        const struct job *job = &store->jobs[i];
        if (job->info.kind != 0) {
            jobs[count] = job->info;
            jobs[count].bytes_done = bytes_done(job);
            jobs[count++].running_ns = now - job->began_ns;
        }
    }
    mutex_unlock(&store->mu);
    return count;
}
