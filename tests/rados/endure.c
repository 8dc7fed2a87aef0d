/* SPDX-License-Identifier: Apache-2.0 */
/* A load that tells how long it was ever held up, and checks at its end that everything is there.
 *
 * usage: endure SECONDS
 *
 * On a store of its own in the pool `kvfs` of the cluster of CEPH_CONF, for that long: synced
 * appends to a log, and every now and then an object. Any call that fails ends it. The last line is
 * `N appends, N objects, longest pause N ms`. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "kvcore/storage/pool_rados.h"
#include "kvcore/storage/pooled_store.h"
#include "kvcore/util/clock.h"

enum {
    RECORD_SIZE = 2000,
    OBJECT_SIZE = 3 << 20,
    APPENDS_PER_OBJECT = 200,
    NS_PER_MS = 1000000,
};

static const struct kv_file_id log_id = {KV_FILE_LOG, 1};

struct load {
    struct kv_storage *storage;
    struct kv_log *log;
    uint64_t appends;
    uint64_t objects;
    uint64_t longest_ns;
};

static void need(int r, const char *what)
{
    if (r < 0) {
        fprintf(stderr, "%s: %s\n", what, kv_strerror(r));
        exit(EXIT_FAILURE);
    }
}

static void fill(uint8_t *bytes, size_t size, uint64_t number)
{
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)(number * 17 + i + i / 255);
    }
}

static void open_store(struct load *load)
{
    struct pooled_options options = {
        .create = true, .lease_ms = POOLED_LEASE_DEFAULT_MS, .piece_bytes = 1 << 20};
    struct rados_url url;
    struct pool *pool = NULL;
    char text[64];

    snprintf(text, sizeof text, "rados://kvfs/endure-%d", (int)getpid());
    need(rados_url_parse(text, &url), text);
    need(pool_rados_connect(&url, NULL, &pool), "connecting");
    need(pooled_storage_open(pool, text, &options, &load->storage), "opening");
    need(load->storage->ops->lease_acquire(load->storage, KV_LEASE_EXCLUSIVE, "a load"), "lease");
    need(load->storage->ops->root_swap(load->storage, 0, kv_slice_str("a load")), "root");
    need(load->storage->ops->log_create(load->storage, log_id, 0, 0, &load->log), "log");
}

static void append(struct load *load)
{
    uint8_t bytes[RECORD_SIZE];
    struct iovec part = {bytes, sizeof bytes};
    fill(bytes, sizeof bytes, load->appends);
    need(load->storage->ops->log_append(load->log, &part, 1), "append");
    need(load->storage->ops->log_sync(load->log), "sync");
    load->appends++;
}

static void make_object(struct load *load, uint8_t *bytes)
{
    struct kv_object_writer *writer = NULL;
    struct iovec part = {bytes, OBJECT_SIZE};
    struct kv_file_id id = {KV_FILE_TABLE, load->objects + 1};
    fill(bytes, OBJECT_SIZE, load->objects);
    need(load->storage->ops->object_begin(load->storage, id, 0, &writer), "object");
    need(load->storage->ops->object_write(writer, &part, 1), "object's bytes");
    need(load->storage->ops->object_finish(writer), "object's end");
    load->objects++;
}

static void work(struct load *load, uint64_t seconds, uint8_t *bytes)
{
    uint64_t before_ns = clock_monotonic_ns();
    uint64_t end_ns = before_ns + seconds * 1000 * NS_PER_MS;

    while (before_ns < end_ns) {
        append(load);
        if (load->appends % APPENDS_PER_OBJECT == 0) {
            make_object(load, bytes);
        }
        uint64_t now_ns = clock_monotonic_ns();
        uint64_t took_ns = now_ns - before_ns;
        load->longest_ns = took_ns > load->longest_ns ? took_ns : load->longest_ns;
        before_ns = now_ns;
    }
}

static void expect(const uint8_t *bytes, size_t got, size_t size, uint64_t number)
{
    static uint8_t expected[OBJECT_SIZE];
    fill(expected, size, number);
    if (got != size || memcmp(bytes, expected, size) != 0) {
        fprintf(stderr, "bytes of %llu are not what was written\n", (unsigned long long)number);
        exit(EXIT_FAILURE);
    }
}

static void check(struct load *load, uint8_t *bytes)
{
    const struct kv_storage_ops *ops = load->storage->ops;
    size_t got = 0;

    for (uint64_t i = 0; i < load->appends; i++) {
        need(ops->log_read(load->log, i * RECORD_SIZE, bytes, RECORD_SIZE, &got), "log");
        expect(bytes, got, RECORD_SIZE, i);
    }
    for (uint64_t i = 0; i < load->objects; i++) {
        struct kv_object *object = NULL;
        need(ops->object_open(load->storage, (struct kv_file_id){KV_FILE_TABLE, i + 1}, &object),
             "opening an object");
        need(ops->object_read(object, 0, bytes, OBJECT_SIZE, &got), "reading an object");
        expect(bytes, got, OBJECT_SIZE, i);
        ops->object_close(object);
    }
}

int main(int argc, char **argv)
{
    struct load load = {0};
    uint8_t *bytes = malloc(OBJECT_SIZE);
    if (argc != 2 || bytes == NULL) {
        fprintf(stderr, "usage: %s SECONDS\n", argv[0]);
        return EXIT_FAILURE;
    }
    open_store(&load);
    work(&load, strtoull(argv[1], NULL, 10), bytes);
    check(&load, bytes);
    load.storage->ops->log_close(load.log);
    load.storage->ops->close(load.storage);
    free(bytes);
    printf("%llu appends, %llu objects, longest pause %llu ms\n", (unsigned long long)load.appends,
           (unsigned long long)load.objects, (unsigned long long)(load.longest_ns / NS_PER_MS));
    return EXIT_SUCCESS;
}
