/* SPDX-License-Identifier: Apache-2.0 */
/* A writer that meets a full pool, and goes on once there is room.
 *
 * usage: full
 *
 * On a store of its own in the pool `kvfs` of the cluster of CEPH_CONF. It says `ready`, and
 * expects a line once somebody has begun to make the pool full; then `full`, and a line once there
 * is room again; then `ended`. A cluster takes some seconds until it notices either. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "kvcore/storage/pool_rados.h"
#include "kvcore/storage/pooled_store.h"
#include "kvcore/util/clock.h"

enum {
    RECORD_SIZE = 4096,
    RESERVE_BYTES = 4 << 20,
    PAUSE_MS = 100,
    PATIENCE_MS = 90 * 1000,
};

static void need(int r, const char *what)
{
    if (r < 0) {
        fprintf(stderr, "%s: %s\n", what, kv_strerror(r));
        exit(EXIT_FAILURE);
    }
}

static void need_full(int r, const char *what)
{
    if (r != -ENOSPC) {
        fprintf(stderr, "%s: %s, and not a full pool\n", what, kv_strerror(r));
        exit(EXIT_FAILURE);
    }
}

static void pause_a_while(void)
{
    struct timespec pause = {.tv_nsec = (long)PAUSE_MS * 1000000};
    nanosleep(&pause, NULL);
}

static void say_and_wait(const char *what)
{
    char line[16];

    puts(what);
    fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL) {
        need(-EPIPE, "waiting for a line");
    }
}

static struct kv_storage *open_store(void)
{
    struct pooled_options options = {
        .create = true, .lease_ms = POOLED_LEASE_DEFAULT_MS, .piece_bytes = 1 << 20};
    struct kv_storage *storage = NULL;
    struct rados_url url;
    struct pool *pool = NULL;
    char text[64];

    snprintf(text, sizeof text, "rados://kvfs/full-%d", (int)getpid());
    need(rados_url_parse(text, &url), text);
    need(pool_rados_connect(&url, NULL, &pool), "connecting");
    need(pooled_storage_open(pool, text, &options, &storage), "opening");
    need(storage->ops->lease_acquire(storage, KV_LEASE_EXCLUSIVE, "full"), "lease");
    need(storage->ops->root_swap(storage, 0, kv_slice_str("full")), "root");
    return storage;
}

static int append(struct kv_storage *storage, struct kv_log *log)
{
    static uint8_t bytes[RECORD_SIZE];
    struct iovec part = {bytes, sizeof bytes};
    return storage->ops->log_append(log, &part, 1);
}

/* A record of a log whose appends do not wait. */
static int append_synced(struct kv_storage *storage, struct kv_log *log)
{
    int r = append(storage, log);
    return r < 0 ? r : storage->ops->log_sync(log);
}

static void fill(struct kv_storage *storage, struct kv_log *log)
{
    int r = 0;
    for (unsigned ms = 0; r == 0 && ms < PATIENCE_MS; ms += PAUSE_MS) {
        r = append(storage, log);
        pause_a_while();
    }
    need_full(r, "appending");
    need(storage->ops->log_sync(log), "syncing what was appended before");
}

/* Meanwhile a log that gathers is refused, and has what it was told it has. */
static void fill_gathering(struct kv_storage *storage)
{
    struct kv_file_id id = {KV_FILE_LOG, 1};
    struct kv_log *log = NULL;
    uint64_t synced = 0;
    int r = 0;

    need(storage->ops->log_create(storage, id, 0, 0, &log), "a log that gathers");
    for (; r == 0 && synced < (uint64_t)1000 * RECORD_SIZE; synced += r == 0 ? RECORD_SIZE : 0) {
        r = append_synced(storage, log);
    }
    need_full(r, "syncing what gathered");
    storage->ops->log_close(log);
    need(storage->ops->log_open(storage, id, &log), "opening the log that gathered");
    if (storage->ops->log_size(log) != synced) {
        need(-EIO, "what was synced");
    }
    storage->ops->log_close(log);
}

/* And a blob, whose writes do not wait. */
static void fill_flying(struct kv_storage *storage)
{
    struct kv_file_id id = {KV_FILE_BLOB, 1};
    struct kv_log *log = NULL;
    int r = 0;

    need(storage->ops->log_create(storage, id, 0, 0, &log), "a blob");
    for (unsigned i = 0; r == 0 && i < 1000; i++) {
        r = append_synced(storage, log);
    }
    need_full(r, "syncing a blob");
    need(storage->ops->remove(storage, id), "removing the blob");
    storage->ops->log_close(log);
}

/* Nobody else is told of this room, for the pool stays fuller than it may be. */
static void make_room(struct kv_storage *storage, struct kv_file_id id)
{
    need(storage->ops->remove(storage, id), "removing on a full pool");
    need(storage->ops->reserve(storage, 0), "giving back the reserve");
    need_full(storage->ops->reserve(storage, RESERVE_BYTES), "keeping a reserve");
}

static void go_on(struct kv_storage *storage)
{
    struct kv_file_id id = {KV_FILE_LOG, 2};
    struct kv_log *log = NULL;
    int r = -ENOSPC;

    for (unsigned ms = 0; r == -ENOSPC && ms < PATIENCE_MS; ms += PAUSE_MS, id.number++) {
        need(storage->ops->log_create(storage, id, 0, 0, &log), "making a log");
        r = append_synced(storage, log);
        storage->ops->log_close(log);
        pause_a_while();
    }
    need(r, "appending where there is room");
    r = -ENOSPC; /* it is not tried all the time */
    for (unsigned ms = 0; r == -ENOSPC && ms < PATIENCE_MS; ms += PAUSE_MS) {
        r = storage->ops->reserve(storage, RESERVE_BYTES);
        pause_a_while();
    }
    need(r, "keeping a reserve where there is room");
}

int main(void)
{
    struct kv_file_id id = {KV_FILE_MANIFEST, 1}; /* its appends wait */
    struct kv_storage *storage = open_store();
    struct kv_log *log = NULL;

    need(storage->ops->reserve(storage, RESERVE_BYTES), "a reserve");
    need(storage->ops->log_create(storage, id, 0, 0, &log), "a log");
    need(append(storage, log), "a record");
    say_and_wait("ready");
    fill(storage, log);
    storage->ops->log_close(log);
    fill_gathering(storage);
    fill_flying(storage);
    make_room(storage, id);
    say_and_wait("full");
    go_on(storage);
    storage->ops->close(storage);
    puts("ended");
    return EXIT_SUCCESS;
}
