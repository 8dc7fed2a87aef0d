/* SPDX-License-Identifier: Apache-2.0 */
/* A root record for a store that has lost its own.
 *
 * The seed comes from a log (seed.h), the state from the manifest with the largest number that
 * begins with a whole snapshot. A manifest is durable as a whole before the root names it, and
 * complete by itself: so one that the lost root did not name yet says the same as the one before
 * it. Without any, the state is rebuilt from the tables (rebuild.h). What is gone for good is the
 * label, whether the store was closed cleanly, and the counters.
 */
#include "kvcore/admin/seed.h"
#include "kvcore/log/log_reader.h"
#include "kvcore/table/table.h"
#include "kvcore/util/rng.h"

/* Whether the manifest begins with its head and a snapshot. */
static int is_whole(struct scan *scan, uint64_t number, bool *ret_whole)
{
    struct kv_file_id id = {.kind = KV_FILE_MANIFEST, .number = number};
    struct log_reader *reader = NULL;
    struct log_record record;
    int r = log_reader_open(scan->storage, id, scan->seed, NULL, &scan->sink, &reader);

    r = r < 0 ? r : log_reader_next(reader, &record);
    *ret_whole = r == 1 && record.type == LOG_RECORD_SNAPSHOT;
    log_reader_close(reader);
    return r == -ENOMEM ? r : 0;
}

static int find_manifest(struct scan *scan, uint64_t *ret_number)
{
    bool whole = false;
    int r = 0;
    for (size_t i = scan->file_count; i > 0 && !whole && r == 0; i--) {
        const struct scan_file *file = &scan->files[i - 1];
        if (file->id.kind == KV_FILE_MANIFEST && file->is_ours) {
            r = is_whole(scan, file->id.number, &whole);
            *ret_number = file->id.number;
        }
    }
    return r < 0 ? r : whole;
}

/* Tables say whose they are. */
static int find_store_id(struct scan *scan, uint8_t ret_id[16])
{
    int r = -KV_EDAMAGED;
    for (size_t i = 0; i < scan->file_count && r < 0 && r != -ENOMEM; i++) {
        struct table *table = NULL;
        if (scan->files[i].id.kind != KV_FILE_TABLE || !scan->files[i].is_ours) {
            continue;
        }
        r = table_open(scan->storage, scan->seed, scan->files[i].id.number, NULL, &scan->sink,
                       &table);
        if (r == 0) {
            memcpy(ret_id, table_properties(table)->store_id, 16);
        }
        table_close(table);
    }
    return r == -ENOMEM ? r : 0;
}

int scan_find_root(struct scan *scan)
{
    struct root root = {.format_version = ROOT_FORMAT_VERSION, .lease_epoch = 1};
    int r = seed_search(scan, &scan->seed);

    if (r == 1) {
        seed_make_id(scan->seed, root.seed_id);
        r = find_manifest(scan, &root.manifest);
        root.manifest = root.manifest != 0 ? root.manifest : 1;
    }
    if (r < 0 || root.manifest == 0) {
        return r;
    }
    coding_put_u64(root.store_id, rng_entropy());
    coding_put_u64(root.store_id + 8, rng_entropy());
    r = find_store_id(scan, root.store_id);
    if (r == 0) {
        scan->root = root;
        scan->root_version = 0;
        scan->has_root = true;
        scan->root_bad = true;
        scan->result.needs_replay = true;
    }
    return r;
}
