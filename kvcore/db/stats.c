/* SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>

#include "kvcore/db/job.h"
#include "kvcore/db/named_snapshot.h"
#include "kvcore/db/picker.h"
#include "kvcore/db/view.h"
#include "kvcore/db/write.h"
#include "kvcore/util/clock.h"

static uint64_t value_of(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void add_levels(const struct table_files *files, struct kv_stats *stats)
{
    for (int level = 0; level < KV_LEVEL_COUNT; level++) {
        const struct file_list *list = &files->levels[level];
        stats->levels[level].files += list->count;
        stats->levels[level].bytes += list->bytes;
        for (size_t i = 0; i < list->count; i++) {
            stats->levels[level].rows += list->files[i]->row_count;
            stats->levels[level].tombstones += list->files[i]->tombstone_count;
            stats->levels[level].range_deletes += list->files[i]->range_delete_count;
        }
    }
}

/* Levels that a merge should make smaller. */
static uint64_t levels_over_aim(const struct kv_store *store, const struct table_files *files)
{
    struct level_targets targets;
    uint64_t count = files->levels[0].count >= L0_COMPACT_FILES;
    level_targets(files, store->options.level_base_bytes, &targets);
    for (int level = 1; level < LEVEL_DEEPEST; level++) {
        count += targets.bytes[level] > 0 && files->levels[level].bytes > targets.bytes[level];
    }
    return count;
}

static void add_counters(const struct counters *c, struct kv_stats *stats)
{
    stats->batches = value_of(&c->batches);
    stats->rows_written = value_of(&c->rows_written);
    stats->bytes_written_user = value_of(&c->bytes_written_user);
    stats->log_bytes = value_of(&c->log_bytes);
    stats->log_syncs = value_of(&c->log_syncs);
    stats->flushes = value_of(&c->flushes);
    stats->flush_bytes = value_of(&c->flush_bytes);
    stats->compactions = value_of(&c->compactions);
    stats->compaction_bytes_read = value_of(&c->compaction_read);
    stats->compaction_bytes_written = value_of(&c->compaction_written);
    stats->trivial_moves = value_of(&c->trivial_moves);
    stats->files_dropped = value_of(&c->files_dropped);
    stats->bytes_dropped = value_of(&c->bytes_dropped);
    stats->stalls = value_of(&c->stalls);
    stats->stall_ns = value_of(&c->stall_ns);
    stats->slowdowns = value_of(&c->slowdowns);
    stats->slowdown_ns = value_of(&c->slowdown_ns);
    stats->read_errors = value_of(&c->read_errors);
    stats->write_errors = value_of(&c->write_errors) + value_of(&c->sync_errors);
    stats->damage_seen = value_of(&c->damage_seen);
    stats->blob_relocated_bytes = value_of(&c->blob_relocated);
    stats->blob_commit_bytes = value_of(&c->blob_commit_bytes);
    stats->deleted_passed = value_of(&c->deleted_passed);
    stats->deleted_probes = value_of(&c->deleted_probes);
}

static void add_blobs(const struct version *version, struct kv_stats *stats)
{
    const struct version_blobs *blobs = version->blobs;
    for (size_t i = 0; blobs != NULL && i < blobs->count; i++) {
        const struct version_blob *blob = &blobs->items[i];
        stats->blobs++;
        stats->blob_bytes += blob->info.file_size - blob->info.punched_bytes;
        stats->blob_live_bytes += blob->referenced;
        stats->blob_garbage_bytes += version_blob_garbage(blob);
        stats->blob_punched_bytes += blob->info.punched_bytes;
    }
}

static void add_readers(const struct kv_store *store, struct kv_stats *stats)
{
    for (size_t i = 0; i < READER_PLACES; i++) {
        stats->gets += value_of(&store->readers[i].gets);
        stats->gets_found += value_of(&store->readers[i].gets_found);
        stats->seeks += value_of(&store->readers[i].seeks);
        stats->writes += value_of(&store->readers[i].writes);
        stats->deleted_stepped += value_of(&store->readers[i].deleted_stepped);
        stats->filter_useful += value_of(&store->readers[i].filter_useful);
        stats->prefix_useful += value_of(&store->readers[i].prefix_useful);
    }
}

static void add_cache(const struct kv_store *store, struct kv_stats *stats)
{
    struct block_cache_stats cache;
    stats->warm_running = atomic_load_explicit(&store->warming, memory_order_acquire);
    stats->warm_files = value_of(&store->counters.warm_files);
    stats->warm_files_opened = value_of(&store->counters.warm_files_opened);
    stats->warm_files_read = value_of(&store->counters.warm_files_read);
    stats->warm_bytes = value_of(&store->counters.warm_bytes);
    block_cache_stats(store->cache, &cache);
    stats->cache_bytes = cache.bytes;
    stats->cache_hits = cache.hits;
    stats->cache_misses = cache.misses;
    stats->cache_budget_bytes = cache.budget;
    stats->cache_excess_bytes = cache.excess;
    stats->resident_bytes = resident_sum(&cache.resident);
    stats->index_bytes = cache.resident.of[RESIDENT_INDEX];
    stats->filter_bytes = cache.resident.of[RESIDENT_FILTER];
}

static void add_snapshots(struct kv_store *store, struct kv_stats *stats)
{
    mutex_lock(&store->mu);
    for (struct kv_snapshot *s = store->snapshots.next; s != &store->snapshots; s = s->next) {
        stats->snapshots += s->named == NAMED_NOT;
        stats->named_snapshots += named_snapshot_is_listed(s);
    }
    mutex_unlock(&store->mu);
}

void kv_stats(struct kv_store *store, struct kv_stats *ret_stats)
{
    struct kv_stats stats = {.sequence = visible_sequence(store)};
    struct kv_suspects suspects;
    struct view *view = view_acquire(store);

    stats.memtable_bytes = generation_bytes(view->active);
    for (unsigned i = 0; i < view->immutable_count; i++) {
        stats.memtable_bytes += generation_bytes(view->immutable[i]);
    }
    stats.memtables_waiting = view->immutable_count;
    for (uint32_t id = 1; id <= KV_TABLE_COUNT_MAX; id++) {
        const struct table_files *files = version_table(view->version, id);
        if (files != NULL) {
            add_levels(files, &stats);
            stats.merges_pending += levels_over_aim(store, files);
        }
    }
    add_blobs(view->version, &stats);
    view_release(view);
    add_counters(&store->counters, &stats);
    add_readers(store, &stats);
    add_cache(store, &stats);
    add_snapshots(store, &stats);
    kv_suspects(store, &suspects);
    stats.check_needed = suspects.check_needed;
    stats.writers_waiting = writers_waiting(store);
    stats.open_ns = clock_monotonic_ns() - store->opened_ns;
    stats.job_count = job_list(store, stats.jobs);
    for (unsigned i = 0; i < stats.job_count; i++) {
        stats.merges_running += stats.jobs[i].kind == KV_JOB_MERGE;
    }
    *ret_stats = stats;
}

double kv_stats_write_amplification(const struct kv_stats *stats)
{
    uint64_t written = stats->log_bytes + stats->blob_commit_bytes + stats->flush_bytes +
                       stats->compaction_bytes_written;
    return stats->bytes_written_user > 0 ? (double)written / (double)stats->bytes_written_user : 0;
}
