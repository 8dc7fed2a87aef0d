/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/crash/rig_impl.h"

static const char *const table_names[RIG_TABLES] = {"first", "second", "third"};

const char *rig_call_name(enum rig_call call)
{
    static const char *const names[RIG_CALL_COUNT] = {
        [RIG_STORAGE_OPEN] = "kv_storage_posix_open",
        [RIG_STORAGE_CLOSE] = "closing the storage",
        [RIG_OPEN] = "kv_open",
        [RIG_CLOSE] = "kv_close",
        [RIG_TABLE_OPEN] = "kv_table_open",
        [RIG_WRITE] = "kv_write",
        [RIG_READ] = "reading",
        [RIG_SYNC] = "kv_sync",
        [RIG_FLUSH] = "kv_flush",
        [RIG_COMPACT] = "kv_compact",
        [RIG_MERGE] = "a merge",
        [RIG_RECLAIM] = "giving back blobs",
        [RIG_NAME_CREATE] = "kv_named_snapshot_create",
        [RIG_NAME_DROP] = "kv_named_snapshot_drop",
    };
    return names[call];
}

void rig_enter(const struct rig *rig, enum rig_call call)
{
    if (rig->observer.enter != NULL) {
        rig->observer.enter(rig->observer.arg, call);
    }
}

int rig_leave(const struct rig *rig, enum rig_call call, int r)
{
    if (rig->observer.leave != NULL) {
        rig->observer.leave(rig->observer.arg, call, r);
    }
    return r;
}

static void note_message(void *arg, enum kv_message_level level, const char *text)
{
    struct rig *rig = arg;
    rig->warnings += level == KV_MESSAGE_WARNING;
    if (level == KV_MESSAGE_ERROR && rig->message[0] == 0) {
        snprintf(rig->message, sizeof rig->message, "%s", text);
    }
}

void rig_init(struct rig *rig, struct sim_fs *take_sim, uint64_t seed)
{
    *rig = (struct rig){.sim = take_sim, .rng = {seed}};
    rig_model_init(&rig->model);
}

void rig_finish(struct rig *rig)
{
    free(rig->model.batches);
    free(rig->model.digests);
    sim_destroy(rig->sim);
    *rig = (struct rig){0};
}

/* Open the table; if it should be there, without a single call to the file system. */
int rig_open_table(struct rig *rig, int i, bool must_exist)
{
    uint64_t version = sim_version(rig->sim);
    int r;

    rig_enter(rig, RIG_TABLE_OPEN);
    r = kv_table_open(rig->store, table_names[i], NULL, &rig->tables[i]);
    r = rig_leave(rig, RIG_TABLE_OPEN, r);
    return r == 0 && must_exist && sim_version(rig->sim) != version ? -ENOENT : r;
}

/* A storage, and the store on it. */
static int open_store(struct rig *rig, const struct kv_options *options)
{
    struct kv_storage *storage = NULL;
    int r;

    rig_enter(rig, RIG_STORAGE_OPEN);
    r = rig_leave(rig, RIG_STORAGE_OPEN, sim_storage_open(rig->sim, options->create, &storage));
    if (r < 0) {
        return r;
    }
    rig_enter(rig, RIG_OPEN);
    r = rig_leave(rig, RIG_OPEN, kv_open(storage, options, &rig->store));
    if (r < 0) {
        rig_enter(rig, RIG_STORAGE_CLOSE);
        storage->ops->close(storage);
        kv_ignore(rig_leave(rig, RIG_STORAGE_CLOSE, 0));
    }
    return r;
}

int rig_open(struct rig *rig, bool create, int tables)
{
    static const size_t cache_bytes = (size_t)1 << 20;
    struct kv_options options = {
        .create = create,
        .memtable_bytes = (size_t)64 << 10,
        .cache_bytes = cache_bytes,
        .memtables_max = 3,
        .file_bytes = (size_t)16 << 10,
        .level_base_bytes = (size_t)24 << 10,
        .blob_commit_bytes = rig->blobs ? (size_t)2000 : SIZE_MAX,
        .blob_flush_bytes = rig->blobs ? (size_t)200 : SIZE_MAX,
        .blob_file_bytes = (size_t)64 << 10,
        .no_background = true,
        .holder = "the crash test",
        .message_fn = note_message,
        .message_arg = rig,
    };
    int r = open_store(rig, &options);

    rig->held_back = false;
    for (int i = 0; i < tables && r == 0; i++) {
        r = rig_open_table(rig, i, true);
    }
    return r;
}

int rig_make_tables(struct rig *rig)
{
    int r = 0;
    for (int i = 0; i < RIG_TABLES && r == 0; i++) {
        r = rig_open_table(rig, i, false);
    }
    return r;
}

void rig_drop_late(struct rig *rig)
{
    kv_batch_destroy(rig->late);
    rig->late = NULL;
}

int rig_close(struct rig *rig)
{
    struct kv_store *store = rig->store;
    rig_drop_late(rig);
    rig->store = NULL;
    memset(rig->tables, 0, sizeof rig->tables);
    rig_enter(rig, RIG_CLOSE);
    return rig_leave(rig, RIG_CLOSE, kv_close(store));
}

void rig_abandon(struct rig *rig)
{
    if (rig->store != NULL) {
        struct sim_fs *kept = NULL;
        kv_ignore(sim_kill(rig->sim, &kept));
        sim_watch(rig->sim, NULL, NULL);
        sim_stop_at(rig->sim, sim_calls_made(rig->sim) + 1);
        kv_ignore(rig_close(rig)); /* it cannot: the world has stopped */
        sim_destroy(rig->sim);
        rig->sim = kept;
    }
}
