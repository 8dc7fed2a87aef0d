/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/control_ops.h"

#include <stdio.h>
#include <stdlib.h>

#include "kvcore/util/clock.h"
#include "tools/compact_job.h"
#include "tools/copy_remote.h"
#include "tools/report.h"
#include "tools/report_json.h"
#include "tools/text.h"

struct execution {
    const struct control_host *host;
    const struct control_request *request;
    const struct kvfs_who *who;
    control_reply_fn *fn;
    void *arg;
    int fn_result;
    char detail[512]; /* for the done reply */
    uint64_t told_ns; /* when progress was, monotonic */
};

static const uint64_t progress_interval_ns = (uint64_t)200 * 1000 * 1000;

static int send_data(struct execution *e, struct kv_slice bytes)
{
    while (bytes.size > 0 && e->fn_result == 0) {
        size_t size = bytes.size < CONTROL_DATA_SIZE_MAX ? bytes.size : CONTROL_DATA_SIZE_MAX;
        struct control_reply reply = {.type = CONTROL_DATA, .bytes = kv_slice(bytes.data, size)};
        e->fn_result = e->fn(e->arg, &reply);
        bytes = kv_slice(bytes.data + size, bytes.size - size);
    }
    return 0;
}

static int send_json(struct execution *e, json_t *take_json)
{
    char *text = take_json != NULL ? json_dumps(take_json, JSON_COMPACT) : NULL;
    json_decref(take_json);
    if (text == NULL) {
        return -ENOMEM;
    }
    int r = send_data(e, kv_slice_str(text));
    free(text);
    return r;
}

static int do_get(struct execution *e)
{
    struct kv_buf value = {0};
    int r = kvfs_key_get(e->host->fs, e->request->key, &value);
    if (r == 0) {
        r = send_data(e, kv_buf_slice(&value));
    }
    kv_buf_finish(&value);
    return r;
}

/* Remove the directories above a deleted key that are empty now, innermost first. */
static void prune(struct execution *e, struct kv_slice key)
{
    char name[KVFS_NAME_SIZE_MAX + 1];
    for (;;) {
        const uint8_t *slash = memrchr(key.data, '/', key.size);
        if (slash == NULL) {
            return;
        }
        key.size = (size_t)(slash - key.data);
        const uint8_t *above = memrchr(key.data, '/', key.size);
        size_t parent_size = above != NULL ? (size_t)(above - key.data) : 0;
        size_t skip = above != NULL ? parent_size + 1 : 0;
        struct kvfs_entry parent;
        if (key.size - skip > KVFS_NAME_SIZE_MAX ||
            kvfs_key_stat(e->host->fs, kv_slice(key.data, parent_size), &parent) < 0) {
            return;
        }
        memcpy(name, key.data + skip, key.size - skip);
        name[key.size - skip] = '\0';
        if (kvfs_rmdir(e->host->fs, parent.ino, name) < 0) {
            return; /* not empty: the usual end */
        }
        if (e->host->mount != NULL) {
            kvfs_mount_tell(e->host->mount, parent.ino, name);
        }
    }
}

static int do_delete(struct execution *e)
{
    int r = kvfs_key_delete(e->host->fs, e->request->key);
    if (r == 0 && (e->request->flags & CONTROL_PRUNE) != 0) {
        prune(e, e->request->key);
    }
    return r;
}

/* Why a put over a file fails with -EBUSY, see kvfs_keep_sizes(). */
static const char kept_by_kernel[] =
    "it is there, and the mount keeps what is written in the kernel (option writeback). Write the "
    "file through the mount";

static int do_put(struct execution *e)
{
    if (e->request->value.size > KV_VALUE_SIZE_MAX) {
        return -E2BIG;
    }
    int r = kvfs_key_put(e->host->fs, e->who, e->request->key, e->request->value);
    if (r == -EBUSY) {
        snprintf(e->detail, sizeof e->detail, "%s", kept_by_kernel);
    }
    return r;
}

/* ---- batch ----------------------------------------------------------------------------------- */

static int add_change(struct execution *e, const struct control_change *change,
                      struct kvfs_batch *batch)
{
    switch (change->kind) {
    case CONTROL_CHANGE_PUT:
        return kvfs_batch_put(batch, change->key, change->value);
    case CONTROL_CHANGE_DELETE:
        return kvfs_batch_delete(batch, change->key, (e->request->flags & CONTROL_MAY_MISS) != 0);
    case CONTROL_CHANGE_IF_ABSENT:
        return kvfs_batch_if_absent(batch, change->key);
    case CONTROL_CHANGE_IF_EQUAL:
        return kvfs_batch_if_equal(batch, change->key, change->value);
    }
    return -EOPNOTSUPP;
}

/* The sentence for a batch that failed at `change`. */
static void name_change(struct execution *e, const struct control_change *change, int error)
{
    static const char *const names[] = {"", "put", "del", "if-absent", "if-equal"};
    struct kv_buf shown = {0};
    char fault[128];
    const char *why = key_reason_of(error);
    if (kvfs_key_check(change->key, fault, sizeof fault) < 0) {
        why = fault;
    } else if (error == -ECANCELED) {
        why = change->kind == CONTROL_CHANGE_IF_ABSENT ? "it is there" : "that is not its value";
    } else if (error == -EBUSY) {
        why = kept_by_kernel;
    }
    if (text_append(&shown, change->key, TEXT_AUTO) < 0) {
        shown.size = 0;
    }
    snprintf(e->detail, sizeof e->detail, "%s %.*s: %s. Nothing was changed", names[change->kind],
             shown.size > 256 ? 256 : (int)shown.size,
             shown.size > 0 ? (const char *)shown.data : "", why);
    kv_buf_finish(&shown);
}

static void explain_too_large(struct execution *e)
{
    snprintf(e->detail, sizeof e->detail,
             "it is too large: at most %d changes and conditions, %d keys and directories, and 128 "
             "MiB as they are "
             "stored. Nothing was changed",
             KVFS_BATCH_ITEMS_MAX, KVFS_BATCH_NAMES_MAX);
}

static int build_batch(struct execution *e, struct kvfs_batch *batch)
{
    struct kv_slice rest = e->request->value;
    struct control_change change;
    int more = control_change_take(&rest, &change);
    while (more == 1) {
        int r = add_change(e, &change, batch);
        if (r == -E2BIG) {
            explain_too_large(e);
        } else if (r < 0) {
            name_change(e, &change, r);
        }
        if (r < 0) {
            return r;
        }
        more = control_change_take(&rest, &change);
    }
    return more;
}

static void explain_batch(struct execution *e, const struct kvfs_batch *batch, int error)
{
    struct kv_slice rest = e->request->value;
    struct control_change change;
    long failed_at = kvfs_batch_failed_at(batch);
    if (error == -E2BIG) {
        explain_too_large(e);
        return;
    }
    for (long i = 0; i <= failed_at; i++) {
        if (control_change_take(&rest, &change) != 1) {
            return;
        }
    }
    if (failed_at >= 0) {
        name_change(e, &change, error);
    }
}

/* Tell what was not there, and prune above what was. */
static int finish_batch(struct execution *e, const struct kvfs_batch *batch)
{
    struct kv_slice rest = e->request->value;
    struct control_change change;
    for (size_t i = 0; control_change_take(&rest, &change) == 1 && e->fn_result == 0; i++) {
        if (change.kind == CONTROL_CHANGE_DELETE && kvfs_batch_missed(batch, i)) {
            struct control_reply row = {.type = CONTROL_ROW, .key = change.key};
            e->fn_result = e->fn(e->arg, &row);
        } else if (change.kind == CONTROL_CHANGE_DELETE &&
                   (e->request->flags & CONTROL_PRUNE) != 0) {
            prune(e, change.key);
        }
    }
    return 0;
}

static int do_batch(struct execution *e)
{
    struct kvfs_batch *batch = NULL;
    int r = kvfs_batch_create(&batch);
    if (r == 0) {
        r = build_batch(e, batch);
    }
    if (r == 0) {
        r = kvfs_batch_commit(e->host->fs, e->who, batch);
        if (r < 0) {
            explain_batch(e, batch, r);
        } else {
            r = finish_batch(e, batch);
        }
    }
    kvfs_batch_destroy(batch);
    return r;
}

/* ---- other operations of keys ---------------------------------------------------------------- */

static int do_exists(struct execution *e)
{
    struct kvfs_entry entry;
    int r = kvfs_key_stat(e->host->fs, e->request->key, &entry);
    /* A key is a regular file; a directory on the way to others is none. */
    return r == 0 && !S_ISREG(entry.stat.st_mode) ? -ENOENT : r;
}

static bool send_row(void *arg, struct kv_slice key, struct kv_slice value)
{
    struct execution *e = arg;
    struct control_reply reply = {.type = CONTROL_ROW, .key = key, .bytes = value};
    e->fn_result = e->fn(e->arg, &reply);
    return e->fn_result == 0;
}

static int do_scan(struct execution *e)
{
    struct kvfs_scan_options options = {
        .prefix = e->request->prefix,
        .from = e->request->from,
        .to = e->request->to,
        .limit = e->request->limit,
        .reverse = (e->request->flags & CONTROL_REVERSE) != 0,
        .keys_only = (e->request->flags & CONTROL_KEYS_ONLY) != 0,
    };
    return kvfs_scan(e->host->fs, &options, send_row, e);
}

static bool send_hit(void *arg, struct kv_slice value, struct kv_slice path)
{
    struct execution *e = arg;
    bool with_value = (e->request->flags & CONTROL_BY_PREFIX) != 0;
    return send_row(e, path, with_value ? value : kv_slice(NULL, 0));
}

static void explain_find(struct execution *e, const char *attribute, int error)
{
    struct kvfs_index_status status;
    if (error == -EOPNOTSUPP) {
        snprintf(e->detail, sizeof e->detail,
                 "there is no index of %s. Mount or serve the store once with -o index=%s",
                 attribute, attribute);
    } else if (error == -EINPROGRESS && kvfs_index_status(e->host->fs, &status)) {
        snprintf(
            e->detail, sizeof e->detail,
            "the index of %s is being built, %u %% so far%s. 'kvfs status' tells how far it is",
            attribute, status.percent,
            e->host->pid == 0 ? "; mount or serve the store, which goes on with it" : "");
    }
}

static int do_find(struct execution *e)
{
    char attribute[KVFS_XATTR_NAME_SIZE_MAX + 1] = {0};
    struct kv_slice key = e->request->key;
    if (key.size == 0 || key.size >= sizeof attribute || memchr(key.data, 0, key.size) != NULL) {
        return -EINVAL;
    }
    memcpy(attribute, key.data, key.size);
    struct kvfs_find_options options = {
        .attribute = attribute,
        .value = e->request->value,
        .by_prefix = (e->request->flags & CONTROL_BY_PREFIX) != 0,
        .limit = e->request->limit,
    };
    int r = kvfs_find(e->host->fs, &options, send_hit, e);
    explain_find(e, attribute, r);
    return r;
}

/* Its errors read differently than those of keys. */
static void say_why(struct execution *e, int error)
{
    const char *why = error == -EEXIST   ? "there is a snapshot of that name"
                      : error == -ENOENT ? "there is no snapshot of that name"
                      : error == -EMLINK ? "there are as many snapshots as there can be. Drop one"
                      : error == -EINVAL
                          ? "the name of a snapshot has 1 to 64 bytes, none of them 0"
                          : "";
    snprintf(e->detail, sizeof e->detail, "%s", why);
}

static int do_snapshot(struct execution *e)
{
    struct kv_slice key = e->request->key;
    char name[KV_SNAPSHOT_NAME_SIZE_MAX + 1] = {0};
    int r = -EINVAL;

    if (key.size > 0 && key.size < sizeof name && memchr(key.data, 0, key.size) == NULL) {
        memcpy(name, key.data, key.size);
        r = e->request->op == CONTROL_SNAPSHOT_CREATE
                ? kv_named_snapshot_create(e->host->engine, name)
                : kv_named_snapshot_drop(e->host->engine, name);
    }
    say_why(e, r);
    return r;
}

/* ---- upkeep ---------------------------------------------------------------------------------- */

/* 0, or an end to the run: who asked has gone, say. */
static int tell(struct execution *e, json_t *take_json)
{
    return send_json(e, take_json) < 0 || e->fn_result != 0;
}

static int tell_finding(void *arg, const struct kv_verify_finding *finding)
{
    return tell(arg, report_finding_json(finding));
}

static int tell_progress(void *arg, const struct kv_verify_progress *progress)
{
    struct execution *e = arg;
    uint64_t now = clock_monotonic_ns();
    if (now - e->told_ns < progress_interval_ns && progress->files < progress->files_all) {
        return 0;
    }
    e->told_ns = now;
    return tell(e, report_progress_json(progress));
}

static int do_verify(struct execution *e)
{
    struct kv_verify_options options = {.bytes_per_second = e->request->limit,
                                        .finding_fn = tell_finding,
                                        .progress_fn = tell_progress,
                                        .arg = e};
    return kv_verify(e->host->engine, &options);
}

static void tell_compaction(void *arg, uint64_t bytes, uint64_t bytes_all)
{
    /* Who asked may have gone; the merge goes on, and nothing more is sent. */
    kv_ignore(tell(arg, json_pack("{s:{s:I, s:I}}", "progress", "bytes", (json_int_t)bytes,
                                  "bytes_all", (json_int_t)bytes_all)));
}

static int tell_copying(void *arg, uint64_t bytes, uint64_t bytes_all)
{
    struct execution *e = arg;
    uint64_t now = clock_monotonic_ns();
    if (now - e->told_ns < progress_interval_ns && bytes < bytes_all) {
        return 0;
    }
    e->told_ns = now;
    return tell(e, json_pack("{s:{s:I, s:I}}", "progress", "bytes", (json_int_t)bytes, "bytes_all",
                             (json_int_t)bytes_all));
}

static int send_ask(void *arg, const struct control_reply *ask)
{
    const struct execution *e = arg;
    return e->fn_result != 0 ? e->fn_result : e->fn(e->arg, ask);
}

/* What the filesystem still has in memory comes too. */
static int do_checkpoint(struct execution *e)
{
    struct copy_remote to;
    if (e->request->key.size > 0) {
        snprintf(
            e->detail, sizeof e->detail,
            "the command that asks is of an older version than this daemon: it gives the place "
            "of the copy, and cannot make that itself");
        return -EOPNOTSUPP;
    }
    copy_remote_init(&to, send_ask, e);
    int r = kvfs_sync(e->host->fs);
    if (r < 0) {
        return r;
    }
    return (e->request->flags & CONTROL_COPY) != 0
               ? kv_copy(e->host->engine, &to.base, tell_copying, e)
               : kv_checkpoint(e->host->engine, &to.base);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static bool takes_key(enum control_op op)
{
    return op == CONTROL_GET || op == CONTROL_PUT || op == CONTROL_DELETE || op == CONTROL_EXISTS;
}

static bool changes_keys(enum control_op op)
{
    return op == CONTROL_PUT || op == CONTROL_DELETE || op == CONTROL_BATCH;
}

static int carry_out(struct execution *e)
{
    if (takes_key(e->request->op)) {
        int r = kvfs_key_check(e->request->key, e->detail, sizeof e->detail);
        if (r < 0) {
            return r;
        }
        e->detail[0] = '\0';
    }
    switch (e->request->op) {
    case CONTROL_STATUS:
        return send_json(e, report_status_json(e->host));
    case CONTROL_STATS:
        return send_json(e, report_stats_json(e->host));
    case CONTROL_SYNC:
        return kvfs_sync(e->host->fs);
    case CONTROL_GET:
        return do_get(e);
    case CONTROL_PUT:
        return do_put(e);
    case CONTROL_DELETE:
        return do_delete(e);
    case CONTROL_EXISTS:
        return do_exists(e);
    case CONTROL_BATCH:
        return do_batch(e);
    case CONTROL_SCAN:
        return do_scan(e);
    case CONTROL_FIND:
        return do_find(e);
    case CONTROL_SNAPSHOT_CREATE:
    case CONTROL_SNAPSHOT_DROP:
        return do_snapshot(e);
    case CONTROL_SNAPSHOT_LIST:
        return send_json(e, report_snapshots_json(e->host));
    case CONTROL_VERIFY:
        return do_verify(e);
    case CONTROL_CHECKPOINT:
        return do_checkpoint(e);
    case CONTROL_COMPACT:
        return compact_job(e->host->engine, tell_compaction, e);
    }
    return -EOPNOTSUPP;
}

/* The filesystem says EIO for damage as for a failing disk, as system calls must; here the two are
 * told apart, because the way out differs. */
static int name_damage(struct execution *e, uint64_t damage_before, int r)
{
    struct kv_stats stats;
    if (r != -EIO && r != -KV_EDAMAGED) {
        return r;
    }
    if (e->host->log != NULL) {
        log_last_error(e->host->log, e->detail, sizeof e->detail);
    }
    kv_stats(e->host->engine, &stats);
    return stats.damage_seen > damage_before ? -KV_EDAMAGED : r;
}

int control_execute(const struct control_host *host, const struct control_request *request,
                    const struct kvfs_who *who, control_reply_fn *fn, void *arg)
{
    struct execution e = {.host = host, .request = request, .who = who, .fn = fn, .arg = arg};
    struct kv_stats before;
    kv_stats(host->engine, &before);
    int r = name_damage(&e, before.damage_seen, carry_out(&e));
    if (host->mount != NULL && changes_keys(request->op)) {
        kvfs_mount_flush_changes(host->mount);
    }
    if (e.fn_result != 0) {
        return e.fn_result;
    }
    struct control_reply done = {
        .type = CONTROL_DONE, .error = r, .bytes = kv_slice_str(r < 0 ? e.detail : "")};
    return fn(arg, &done);
}
