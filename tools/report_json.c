/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/report_json.h"

#include <stdio.h>

#include "tools/store_open.h"
#include "tools/store_url.h"
#include "tools/suspect_check.h"
#include "tools/text.h"

enum { FORMAT_VERSION = 1 };

static const char *health_name(enum kv_health_state state)
{
    switch (state) {
    case KV_HEALTH_OK:
        return "ok";
    case KV_HEALTH_DEGRADED:
        return "degraded";
    case KV_HEALTH_READ_ONLY:
        return "read-only";
    }
    return "unknown";
}

/* Bytes in a form that is text. */
static json_t *shown_json(struct kv_slice bytes, enum text_format format)
{
    struct kv_buf shown = {0};
    json_t *json = NULL;
    if (text_append(&shown, bytes, format) == 0) {
        json = json_stringn(shown.size > 0 ? (const char *)shown.data : "", shown.size);
    }
    kv_buf_finish(&shown);
    return json;
}

/* Paths and reasons are bytes; JSON wants UTF-8. */
static json_t *text_json(const char *text)
{
    if (text == NULL) {
        return json_null();
    }
    return text_is_utf8(kv_slice_str(text)) ? json_string(text)
                                            : shown_json(kv_slice_str(text), TEXT_UTF8);
}

/* null where there is none, or the filesystem is not open. */
static json_t *index_json(struct kvfs *fs)
{
    struct kvfs_index_status status;
    if (fs == NULL || !kvfs_index_status(fs, &status)) {
        return json_null();
    }
    return json_pack("{s:o, s:b, s:i, s:s?}", "attribute", text_json(status.attribute), "built",
                     status.built, "percent", (int)status.percent, "error",
                     status.error < 0 ? kv_strerror(status.error) : NULL);
}

static json_t *suspects_json(struct kv_store *engine)
{
    struct kv_suspects suspects;
    char names[SUSPECTS_TEXT_SIZE];
    kv_suspects(engine, &suspects);
    suspects_print(&suspects, names);
    return suspects.check_needed ? json_string(names) : json_null();
}

json_t *report_lease_json(struct kv_storage *storage)
{
    struct kv_lease_state lease;
    if (storage->ops->lease_state == NULL || storage->ops->lease_state(storage, &lease) < 0) {
        return json_null();
    }
    return json_pack("{s:I, s:I, s:I}", "epoch", (json_int_t)lease.epoch, "duration_ms",
                     (json_int_t)lease.duration_ms, "left_ms", (json_int_t)lease.left_ms);
}

/* What others find who come to the store; asking it may take as long as a cluster is away. */
static json_t *holder_json(const struct control_host *host)
{
    char rest[512];
    char holder[768];
    if (host->pid == 0) {
        return json_null();
    }
    snprintf(rest, sizeof rest, ", mounted on %s",
             host->mountpoint != NULL ? host->mountpoint : "");
    store_holder_describe(host->store, host->mountpoint != NULL ? rest : STORE_HOLDER_SERVING,
                          holder, sizeof holder);
    return text_json(holder);
}

json_t *report_status_json(const struct control_host *host)
{
    struct kv_identity identity;
    struct kv_health health;
    char id[37];
    kv_identify(host->engine, &identity);
    kv_health(host->engine, &health);
    text_uuid(identity.store_id, id);
    return json_pack("{s:i, s:s, s:o, s:o, s:s?, s:s?, s:o, s:s?, s:o, s:s, s:o, "
                     "s:i, s:s, s:o, s:o, s:o, s:o, s:s, s:o, s:o}",
                     "format_version", FORMAT_VERSION, "state", host->state, "pid",
                     host->pid != 0 ? json_integer(host->pid) : json_null(), "mountpoint",
                     text_json(host->mountpoint), "transport",
                     host->mount != NULL ? kvfs_mount_transport(host->mount) : NULL,
                     "transport_reason", host->no_uring, "idle_poll",
                     host->mount != NULL ? json_boolean(host->idle_poll) : json_null(), "sandbox",
                     host->sandbox, "store", text_json(host->store), "store_id", id, "label",
                     text_json(identity.label), "store_format", (int)identity.format_version,
                     "health", health_name(health.state), "health_reason", text_json(health.reason),
                     "suspects", suspects_json(host->engine), "index", index_json(host->fs), "log",
                     text_json(host->log != NULL ? host->log->target : NULL), "version",
                     KVFS_VERSION, "holder", holder_json(host), "lease",
                     report_lease_json(kv_storage_of(host->engine)));
}

static json_t *counters_json(const struct kv_stats *s)
{
    const struct {
        const char *name;
        uint64_t value;
    } counters[] = {
        {"sequence", s->sequence},
        {"memtable_bytes", s->memtable_bytes},
        {"memtables_waiting", s->memtables_waiting},
        {"cache_bytes", s->cache_bytes},
        {"cache_hits", s->cache_hits},
        {"cache_misses", s->cache_misses},
        {"cache_budget_bytes", s->cache_budget_bytes},
        {"cache_excess_bytes", s->cache_excess_bytes},
        {"resident_bytes", s->resident_bytes},
        {"index_bytes", s->index_bytes},
        {"filter_bytes", s->filter_bytes},
        {"warm_running", s->warm_running},
        {"warm_files", s->warm_files},
        {"warm_files_opened", s->warm_files_opened},
        {"warm_files_read", s->warm_files_read},
        {"warm_bytes", s->warm_bytes},
        {"batches", s->batches},
        {"rows_written", s->rows_written},
        {"bytes_written_user", s->bytes_written_user},
        {"log_bytes", s->log_bytes},
        {"log_syncs", s->log_syncs},
        {"flushes", s->flushes},
        {"flush_bytes", s->flush_bytes},
        {"compactions", s->compactions},
        {"compaction_bytes_read", s->compaction_bytes_read},
        {"compaction_bytes_written", s->compaction_bytes_written},
        {"trivial_moves", s->trivial_moves},
        {"files_dropped", s->files_dropped},
        {"bytes_dropped", s->bytes_dropped},
        {"gets", s->gets},
        {"gets_found", s->gets_found},
        {"filter_useful", s->filter_useful},
        {"prefix_useful", s->prefix_useful},
        {"seeks", s->seeks},
        {"deleted_stepped", s->deleted_stepped},
        {"deleted_passed", s->deleted_passed},
        {"deleted_probes", s->deleted_probes},
        {"writes", s->writes},
        {"writers_waiting", s->writers_waiting},
        {"stalls", s->stalls},
        {"stall_ns", s->stall_ns},
        {"slowdowns", s->slowdowns},
        {"slowdown_ns", s->slowdown_ns},
        {"merges_running", s->merges_running},
        {"merges_pending", s->merges_pending},
        {"read_errors", s->read_errors},
        {"write_errors", s->write_errors},
        {"damage_seen", s->damage_seen},
        {"snapshots", s->snapshots},
        {"named_snapshots", s->named_snapshots},
        {"blobs", s->blobs},
        {"blob_bytes", s->blob_bytes},
        {"blob_live_bytes", s->blob_live_bytes},
        {"blob_garbage_bytes", s->blob_garbage_bytes},
        {"blob_punched_bytes", s->blob_punched_bytes},
        {"blob_relocated_bytes", s->blob_relocated_bytes},
        {"blob_commit_bytes", s->blob_commit_bytes},
        {"open_ns", s->open_ns},
    };
    json_t *json = json_object();
    for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++) {
        json_object_set_new(json, counters[i].name, json_integer((json_int_t)counters[i].value));
    }
    return json;
}

/* What the filesystem keeps in memory beside its engine. */
static void add_memory(json_t *counters, struct kvfs *fs)
{
    struct kvfs_memory memory;
    if (fs == NULL) {
        return;
    }
    kvfs_memory(fs, &memory);
    json_object_set_new(counters, "lookup_bytes", json_integer((json_int_t)memory.lookup_bytes));
    json_object_set_new(counters, "inode_bytes", json_integer((json_int_t)memory.inode_bytes));
    json_object_set_new(counters, "unlinked_bytes",
                        json_integer((json_int_t)memory.unlinked_bytes));
}

static json_t *levels_json(const struct kv_stats *s)
{
    json_t *levels = json_array();
    for (int level = 0; level < KV_LEVEL_COUNT; level++) {
        const struct kv_level_stats *l = &s->levels[level];
        json_array_append_new(levels, json_pack("{s:i, s:I, s:I, s:I, s:I, s:I}", "level", level,
                                                "files", (json_int_t)l->files, "bytes",
                                                (json_int_t)l->bytes, "rows", (json_int_t)l->rows,
                                                "tombstones", (json_int_t)l->tombstones,
                                                "range_deletes", (json_int_t)l->range_deletes));
    }
    return levels;
}

/* The flushes and merges that run. Level -1: memtables. */
static json_t *jobs_json(const struct kv_stats *s)
{
    json_t *jobs = json_array();
    for (unsigned i = 0; i < s->job_count; i++) {
        const struct kv_job *job = &s->jobs[i];
        json_array_append_new(jobs,
                              json_pack("{s:s, s:i, s:i, s:I, s:I, s:I, s:I}", "kind",
                                        job->kind == KV_JOB_FLUSH ? "flush" : "merge", "level_from",
                                        job->level_from, "level_to", job->level_to, "files",
                                        (json_int_t)job->files, "bytes", (json_int_t)job->bytes,
                                        "bytes_done", (json_int_t)job->bytes_done, "running_ns",
                                        (json_int_t)job->running_ns));
    }
    return jobs;
}

static json_t *latencies_json(struct kv_store *engine)
{
    static const char *const names[KV_LATENCY_COUNT] = {
        [KV_LATENCY_GET] = "get",   [KV_LATENCY_WRITE] = "write", [KV_LATENCY_SEEK] = "seek",
        [KV_LATENCY_SYNC] = "sync", [KV_LATENCY_FLUSH] = "flush", [KV_LATENCY_MERGE] = "merge",
    };
    struct kv_latency_stats latencies[KV_LATENCY_COUNT];
    json_t *json = json_object();
    kv_latencies(engine, latencies);
    for (size_t i = 0; i < KV_LATENCY_COUNT; i++) {
        const struct kv_latency_stats *l = &latencies[i];
        json_object_set_new(
            json, names[i],
            json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "count", (json_int_t)l->count,
                      "sum_ns", (json_int_t)l->sum_ns, "p50_ns", (json_int_t)l->p50_ns, "p90_ns",
                      (json_int_t)l->p90_ns, "p99_ns", (json_int_t)l->p99_ns, "p999_ns",
                      (json_int_t)l->p999_ns, "max_ns", (json_int_t)l->max_ns));
    }
    return json;
}

static json_t *requests_json(const struct control_host *host)
{
    json_t *requests = json_object();
    const char *name;
    uint64_t count = 0;
    for (unsigned kind = 0; host->mount != NULL; kind++) {
        name = kvfs_mount_request_count(host->mount, kind, &count);
        if (name == NULL) {
            break;
        }
        json_object_set_new(requests, name, json_integer((json_int_t)count));
    }
    return requests;
}

json_t *report_stats_json(const struct control_host *host)
{
    struct kv_stats stats;
    struct kv_health health;
    struct kv_space space = {0};
    kv_stats(host->engine, &stats);
    json_t *counters = counters_json(&stats);
    json_object_set_new(counters, "check_needed", json_integer((json_int_t)stats.check_needed));
    add_memory(counters, host->fs);
    kv_health(host->engine, &health);
    /* A device that does not tell leaves zeros, which the table shows as such. */
    kv_ignore(kv_space(host->engine, &space));
    return json_pack("{s:i, s:o, s:o, s:s, s:f, s:o, s:o, s:o, s:o, s:o, s:{s:I, s:I, s:I}}",
                     "format_version", FORMAT_VERSION, "store", text_json(host->store),
                     "mountpoint", text_json(host->mountpoint), "health", health_name(health.state),
                     "write_amplification", kv_stats_write_amplification(&stats), "counters",
                     counters, "levels", levels_json(&stats), "jobs", jobs_json(&stats),
                     "latencies", latencies_json(host->engine), "requests", requests_json(host),
                     "space", "total_bytes", (json_int_t)space.total_bytes, "free_bytes",
                     (json_int_t)space.free_bytes, "used_bytes", (json_int_t)space.used_bytes);
}

static int add_snapshot(void *arg, const struct kv_named_snapshot *snapshot)
{
    struct kv_buf shown = {0};
    json_t *name = json_string(snapshot->name);
    int r = 0;

    if (name == NULL) { /* not UTF-8 */
        r = text_append(&shown, kv_slice_str(snapshot->name), TEXT_AUTO);
        name = json_stringn((const char *)shown.data, shown.size);
        kv_buf_finish(&shown);
    }
    json_t *entry = json_pack("{s:o, s:I, s:I}", "name", name, "sequence",
                              (json_int_t)snapshot->sequence, "time", (json_int_t)snapshot->time_s);
    return r < 0 || json_array_append_new(arg, entry) < 0 ? -ENOMEM : 0;
}

json_t *report_snapshots_json(const struct control_host *host)
{
    json_t *snapshots = json_array();
    if (snapshots != NULL && kv_named_snapshot_list(host->engine, add_snapshot, snapshots) < 0) {
        json_decref(snapshots);
        return NULL;
    }
    return json_pack("{s:i, s:o}", "format_version", FORMAT_VERSION, "snapshots", snapshots);
}

/* ---- verify ---------------------------------------------------------------------------------- */

static const char *file_kind_name(int kind)
{
    switch (kind) {
    case KV_FILE_LOG:
        return "log";
    case KV_FILE_MANIFEST:
        return "manifest";
    case KV_FILE_TABLE:
        return "table";
    case KV_FILE_BLOB:
        return "blob";
    default:
        return "root";
    }
}

/* A key of the engine: bytes, shown with escapes. */
static json_t *key_json(struct kv_slice key)
{
    return key.size > 0 ? shown_json(key, TEXT_AUTO) : json_null();
}

json_t *report_finding_json(const struct kv_verify_finding *f)
{
    return json_pack("{s:{s:s, s:I, s:o, s:i, s:o, s:o, s:o, s:o}}", "finding", "kind",
                     file_kind_name(f->kind), "number", (json_int_t)f->number, "offset",
                     f->offset != UINT64_MAX ? json_integer((json_int_t)f->offset) : json_null(),
                     "error", -f->error, "table", text_json(f->table), "from", key_json(f->from),
                     "to", key_json(f->to), "text", text_json(f->text));
}

json_t *report_progress_json(const struct kv_verify_progress *p)
{
    return json_pack("{s:{s:I, s:I, s:I, s:I, s:I, s:I, s:I}}", "progress", "files",
                     (json_int_t)p->files, "files_all", (json_int_t)p->files_all, "bytes",
                     (json_int_t)p->bytes, "bytes_all", (json_int_t)p->bytes_all, "rows",
                     (json_int_t)p->rows, "values", (json_int_t)p->values, "findings",
                     (json_int_t)p->findings);
}
