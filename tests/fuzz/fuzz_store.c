/* SPDX-License-Identifier: Apache-2.0 */
/* Input: what a store consists of, framed here so that every checksum fits
 *     string snapshot of the manifest, u8 count of edits, a string each
 *     records of logs: u8 (1: first go on to the next log), varint sequence, string payload
 * The store is opened, read, changed, compacted, and opened again: it must refuse or go on. */
#include "tests/fuzz/fuzz.h"

#include <kv/kv.h>

#include "kvcore/db/root.h"
#include "kvcore/log/log_writer.h"
#include "kvcore/util/checksum.h"

enum { MANIFEST = 1, LOG_FIRST = 1, LOGS_MAX = 4, RECORDS_MAX = 16, EDITS_MAX = 8 };

static const struct root root = {.format_version = ROOT_FORMAT_VERSION,
                                 .store_id = "a store of seeds",
                                 .seed_id = "checksums' seed.",
                                 .manifest = MANIFEST,
                                 .lease_epoch = 1};

static struct log_writer *begin_log(struct kv_storage *storage, struct kv_file_id id,
                                    const struct log_end *previous)
{
    struct log_writer_options options = {
        .store_seed = checksum_store_seed(root.seed_id), .salt = id.number, .previous = previous};
    struct log_writer *writer = NULL;
    fuzz_need(log_writer_create(storage, id, &options, &writer));
    return writer;
}

static void put_manifest(struct kv_storage *storage, struct coding_cursor *c)
{
    struct log_writer *writer =
        begin_log(storage, (struct kv_file_id){KV_FILE_MANIFEST, MANIFEST}, NULL);
    struct kv_slice payload = coding_read_string(c);
    unsigned edits = coding_read_u8(c) % EDITS_MAX;

    fuzz_need(log_writer_add(writer, LOG_RECORD_SNAPSHOT, 1, &payload, 1, false));
    for (unsigned i = 0; i < edits && coding_ok(c); i++) {
        payload = coding_read_string(c);
        fuzz_need(log_writer_add(writer, LOG_RECORD_EDIT, 2 + i, &payload, 1, false));
    }
    log_writer_destroy(writer);
}

static void put_logs(struct kv_storage *storage, struct coding_cursor *c)
{
    struct kv_file_id id = {KV_FILE_LOG, LOG_FIRST};
    struct log_writer *writer = begin_log(storage, id, NULL);

    for (int i = 0; i < RECORDS_MAX && coding_left(c) > 0 && coding_ok(c); i++) {
        if (coding_read_u8(c) == 1 && id.number < LOG_FIRST + LOGS_MAX) {
            struct log_end end = log_writer_end(writer);
            log_writer_destroy(writer);
            id.number++;
            writer = begin_log(storage, id, &end);
        }
        uint64_t sequence = coding_read_varint(c);
        struct kv_slice payload = coding_read_string(c);
        fuzz_need(log_writer_add(writer, LOG_RECORD_BATCH, sequence, &payload, 1, false));
    }
    log_writer_destroy(writer);
}

static void put_root(struct kv_storage *storage)
{
    struct kv_buf bytes = {0};
    fuzz_need(root_encode(&root, &bytes));
    fuzz_need(storage->ops->root_swap(storage, 0, kv_buf_slice(&bytes)));
    kv_buf_finish(&bytes);
}

static void read_table(struct kv_table *table)
{
    struct kv_iter *it = NULL;
    struct kv_pinned value = {0};
    struct kv_slice shown;
    uint64_t forwards = 0, backwards = 0;

    fuzz_need(kv_iter_create(table, NULL, &it));
    for (kv_iter_seek_first(it); kv_iter_valid(it); kv_iter_next(it)) {
        int r = kv_iter_value(it, &shown);
        assert(kv_get(table, NULL, kv_iter_key(it), &value) == r);
        if (r == 0) {
            fuzz_touch(shown);
            assert(kv_slice_equal(value.value, shown));
            kv_pinned_release(&value);
        }
        forwards++;
    }
    bool whole = kv_iter_error(it) == 0;
    for (kv_iter_seek_last(it); kv_iter_valid(it); kv_iter_prev(it)) {
        backwards++;
    }
    assert(!whole || (kv_iter_error(it) == 0 && forwards == backwards));
    kv_iter_destroy(it);
}

static void use(struct kv_store *store)
{
    struct kv_table *table = NULL;

    if (kv_table_open(store, "meta", NULL, &table) < 0) {
        return;
    }
    read_table(table);
    kv_ignore(kv_put(table, kv_slice_str("key"), kv_slice_str("new"), KV_DURABLE_SYNC));
    kv_ignore(kv_delete(table, kv_slice_str("gone"), KV_DURABLE_WRITE));
    read_table(table);
    kv_ignore(kv_flush(store));
    kv_ignore(kv_compact(store));
    read_table(table);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct kv_options options = {
        .no_background = true, .memtable_bytes = 1 << 20, .cache_bytes = 1 << 20};
    struct coding_cursor c = coding_cursor(kv_slice(data, size));
    struct kv_storage *storage = NULL;
    struct kv_store *store = NULL;

    fuzz_need(kv_storage_mem_create(&storage));
    put_manifest(storage, &c);
    put_logs(storage, &c);
    put_root(storage);
    int r = kv_open(storage, &options, &store);
    fuzz_expect_verdict(r);
    for (int i = 0; i < 2 && r == 0; i++) {
        use(store);
        kv_ignore(kv_close(store));
        r = kv_open(storage, &options, &store);
    }
    if (r == 0) {
        kv_ignore(kv_close(store));
    }
    kv_storage_mem_destroy(storage);
    return 0;
}
