/* SPDX-License-Identifier: Apache-2.0 */
/* The root record, the manifest and the logs.
 *
 * Whoever has the store for writing knows how much of each log was written, and how much of that is
 * durable. A log may be released meanwhile, and its file written over as a new one. So damage of a
 * log counts only if it was not released when the damage had been seen.
 *
 * A store that is open for reading only has nobody who writes: there the logs are read as at the
 * opening. */
#include <stdlib.h>

#include "kvcore/db/verify.h"
#include "kvcore/log/log_check.h"
#include "kvcore/log/log_reader.h"

/* Only what the manifest lists is needed of the logs below the released mark. */
static bool is_needed(const struct kv_store *store, uint64_t number) REQUIRES(&store->manifest_mu)
{
    bool listed = false;
    for (size_t i = 0; i < store->closed_log_count; i++) {
        listed = listed || store->closed_logs[i].number == number;
    }
    return listed || (number >= store->released_log && number >= store->first_log);
}

/* ---- the moment ---- */

static int add_log(struct verify *v, uint64_t number, uint64_t size)
{
    struct verify_log *larger = realloc(v->logs, (v->log_count + 1) * sizeof *larger);
    if (larger == NULL) {
        return -ENOMEM;
    }
    v->logs = larger;
    larger[v->log_count++] = (struct verify_log){.number = number, .size = size};
    v->progress.bytes_all += size;
    return 0;
}

static int add_log_of(struct verify *v, const struct generation *generation)
{
    uint64_t durable = generation->log != NULL ? log_writer_synced_bytes(generation->log) : 0;
    return durable > 0 ? add_log(v, generation->log_number, durable) : 0;
}

static int take_logs(struct verify *v)
{
    int r = 0;
    for (unsigned i = 0; i < v->view->immutable_count && r == 0; i++) {
        r = add_log_of(v, v->view->immutable[i]);
    }
    return r < 0 ? r : add_log_of(v, v->view->active);
}

/* The newest copy of the record is the one that was written last. After a swap that failed nobody
 * knows which that is. */
static int check_root(struct verify *v) REQUIRES(&v->store->manifest_mu)
{
    struct kv_store *store = v->store;
    const char *name = store->storage->ops->name(store->storage);
    struct kv_buf bytes = {0};
    struct root root;
    uint64_t version = 0;
    int r = store->storage->ops->root_read(store->storage, &bytes, &version);

    if (r == 0 && !store->manifest_suspect && version != store->root_version) {
        r = message_damage(&v->sink,
                           "%s: the newest copy of the root record is damaged, and an older one "
                           "stands in for it. Close the store cleanly, which writes it anew",
                           name);
    } else if (r == -KV_EDAMAGED || r == -ENOENT ||
               (r == 0 && root_decode(kv_buf_slice(&bytes), &root) < 0)) {
        r = message_damage(&v->sink,
                           "%s: both copies of the root record are damaged. The store cannot be "
                           "opened again: make a copy with 'kvfs checkpoint' before it is closed",
                           name);
    }
    kv_buf_finish(&bytes);
    return r;
}

static void take_names(struct verify *v)
{
    struct kv_store *store = v->store;
    mutex_lock(&store->mu);
    for (int i = 0; i < KV_TABLE_COUNT_MAX; i++) {
        v->tables[i] = store->tables[i] != NULL ? store->tables[i]->name : NULL;
    }
    mutex_unlock(&store->mu);
}

static void count_table(struct verify *v, const struct file_meta *file)
{
    if (verify_wants_table(v, file)) {
        v->progress.files_all++;
        v->progress.bytes_all += file->size;
    }
}

static void count_tables(struct verify *v, const struct table_files *files)
{
    for (int level = 0; files != NULL && level < KV_LEVEL_COUNT; level++) {
        for (size_t i = 0; i < files->levels[level].count; i++) {
            count_table(v, files->levels[level].files[i]);
        }
    }
}

static void count_files(struct verify *v)
{
    const struct version *version = v->pinned->version;
    const struct version_blobs *blobs = version->blobs;

    v->progress.files_all++; /* the root record */
    if (v->only.count == 0) {
        v->progress.files_all += 1 + v->log_count;
        v->progress.bytes_all += v->manifest_size;
    }
    for (uint32_t id = 1; id <= KV_TABLE_COUNT_MAX; id++) {
        count_tables(v, version_table(version, id));
    }
    for (size_t i = 0; blobs != NULL && i < blobs->count; i++) {
        if (verify_wants_blob(v, blobs->items[i].info.number)) {
            v->progress.files_all++;
            v->progress.bytes_all += blobs->items[i].referenced;
        }
    }
}

int verify_take(struct verify *v)
{
    struct kv_store *store = v->store;
    int r = verify_file_begin(v, KV_VERIFY_ROOT, 0, NULL);
    int root;

    if (r < 0) {
        return r;
    }
    mutex_lock(&v->store->manifest_mu);
    v->view = view_acquire(store); /* its version and logs change under this mutex only */
    root = check_root(v);
    v->manifest = store->root.manifest;
    v->manifest_size = store->manifest != NULL ? log_writer_end(store->manifest).size : 0;
    r = v->only.count == 0 ? take_logs(v) : 0;
    mutex_unlock(&v->store->manifest_mu);
    v->sequence = visible_sequence(store);
    take_names(v);
    r = r < 0 ? r : view_pin_tables(v->view, &v->pinned);
    if (r == 0) {
        count_files(v);
        r = verify_file_end(v, root);
    }
    return r;
}

/* ---- beside the writer ---- */

bool verify_log_is_released(struct verify *v)
{
    bool released;
    mutex_lock(&v->store->manifest_mu);
    released = !is_needed(v->store, v->number);
    mutex_unlock(&v->store->manifest_mu);
    return released;
}

static int missing(struct verify *v, const char *kind)
{
    struct kv_storage *storage = v->store->storage;
    return message_damage(&v->sink,
                          "%s: %s %08" PRIu64 " is missing. Close the store cleanly, and look into "
                          "what removed it",
                          storage->ops->name(storage), kind, v->number);
}

static int check_log(struct verify *v, const struct verify_log *log)
{
    struct log_check check = {.storage = v->store->storage,
                              .store_seed = v->store->seed,
                              .sink = &v->sink,
                              .read_fn = verify_spend,
                              .arg = v};
    struct kv_file_id id = {.kind = KV_FILE_LOG, .number = log->number};
    int r = verify_file_begin(v, KV_FILE_LOG, log->number, NULL);

    r = r < 0 ? r : log_check(&check, id, log->size);
    if (r == -ENOENT) {
        r = verify_log_is_released(v) ? 0 : missing(v, "log");
    }
    return verify_file_end(v, r);
}

/* A newer manifest may have taken its place, and this one is gone then. */
static bool is_replaced(struct verify *v)
{
    bool replaced;
    mutex_lock(&v->store->manifest_mu);
    replaced = v->store->root.manifest != v->manifest;
    mutex_unlock(&v->store->manifest_mu);
    return replaced;
}

static int check_manifest(struct verify *v)
{
    struct log_check check = {.storage = v->store->storage,
                              .store_seed = v->store->seed,
                              .sink = &v->sink,
                              .read_fn = verify_spend,
                              .arg = v};
    struct kv_file_id id = {.kind = KV_FILE_MANIFEST, .number = v->manifest};
    int r = verify_file_begin(v, KV_FILE_MANIFEST, v->manifest, NULL);

    r = r < 0 ? r : log_check(&check, id, v->manifest_size);
    if (r == -ENOENT) {
        r = is_replaced(v) ? 0 : missing(v, "manifest");
    }
    return verify_file_end(v, r);
}

/* ---- nobody writes ---- */

static int read_all(struct verify *v, struct kv_file_id id, const struct log_end *expected)
{
    struct log_reader *reader = NULL;
    struct log_record record;
    uint64_t before = 0;
    int r = verify_file_begin(v, (int)id.kind, id.number, NULL);

    if (r < 0) {
        return r;
    }
    r = log_reader_open(v->store->storage, id, v->store->seed, expected, &v->sink, &reader);
    r = r == 0 && log_reader_has_head(reader) ? 1 : r;
    while (r == 1 && (r = log_reader_next(reader, &record)) == 1) {
        uint64_t end = log_reader_end(reader).size;
        r = verify_spend(v, end - before) < 0 ? -ECANCELED : 1;
        before = end;
    }
    log_reader_close(reader);
    return verify_file_end(v, r);
}

struct listing {
    struct verify *v;
    int error;
};

static void note_log(void *arg, struct kv_file_id id, uint64_t size_bytes) NO_LOCK_ANALYSIS
{
    struct listing *listing = arg;
    if (id.kind == KV_FILE_LOG && listing->error == 0 && is_needed(listing->v->store, id.number)) {
        listing->error = add_log(listing->v, id.number, size_bytes);
    }
}

/* What is closed is constant: no mutex is needed for what opening found out. */
static int check_unwritten(struct verify *v) NO_LOCK_ANALYSIS
{
    struct kv_store *store = v->store;
    struct kv_file_id id = {.kind = KV_FILE_MANIFEST, .number = v->manifest};
    struct listing listing = {.v = v};
    int r = read_all(v, id, store->root.clean ? &store->root.last_manifest : NULL);

    r = r < 0 ? r : store->storage->ops->list(store->storage, note_log, &listing);
    r = r < 0 ? r : listing.error;
    v->progress.files_all += v->log_count;
    id.kind = KV_FILE_LOG;
    for (size_t i = 0; i < v->log_count && r == 0; i++) {
        id.number = v->logs[i].number;
        r = read_all(v, id, NULL);
    }
    return r;
}

int verify_logs(struct verify *v)
{
    int r = 0;

    if (v->only.count > 0) {
        return 0;
    }

    if (v->store->options.read_only) {
        return check_unwritten(v);
    }
    r = check_manifest(v);
    for (size_t i = 0; i < v->log_count && r == 0; i++) {
        r = check_log(v, &v->logs[i]);
    }
    return r;
}
