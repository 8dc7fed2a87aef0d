/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "kvcore/db/compact.h"
#include "kvcore/db/reclaim.h"
#include "kvcore/db/store.h"

static const char *const table_names[RIG_TABLES] = {"first", "second", "third"};

/* ---- rows ---- */

static struct kv_slice value_of(uint32_t number, uint8_t to[RIG_VALUE_MAX])
{
    struct rng rng = {number};
    uint64_t shape = rng_below(&rng, 100);
    size_t limit = shape < 75 ? 300 : shape < 97 ? 3000 : 24 * 1024;
    size_t size = 8 + rng_below(&rng, limit);
    bool compressible = rng_below(&rng, 2) == 0;

    for (size_t i = 0; i < size; i++) {
        to[i] = compressible ? (uint8_t)(number + i % 7) : (uint8_t)rng_next(&rng);
    }
    memcpy(to, &number, sizeof number);
    return kv_slice(to, size);
}

/* Numbers from here on stand for large values. */
enum { LARGE_FIRST = 1 << 24 };

static struct kv_slice any_value(uint32_t number, uint8_t to[RIG_VALUE_MAX])
{
    struct kv_slice value = value_of(number, to);
    if (number < LARGE_FIRST) {
        return value;
    }
    if (number % 3 == 0) { /* whole pages that do not shrink */
        struct rng rng = {number};
        for (size_t i = sizeof number; i < RIG_VALUE_MAX; i++) {
            to[i] = (uint8_t)rng_next(&rng);
        }
        return kv_slice(to, RIG_VALUE_MAX);
    }
    memset(to + value.size, (int)(number & 0xff), RIG_VALUE_MAX - value.size);
    return kv_slice(to, RIG_VALUE_MAX);
}

static struct kv_slice key_of(int key, char to[16])
{
    return kv_slice(to, (size_t)snprintf(to, 16, "key%04d", key));
}

/* The sum of a hash per row: independent of their order. */
uint64_t rig_digest(const struct rig_rows *rows)
{
    uint64_t digest = 0;
    for (uint64_t t = 0; t < RIG_TABLES; t++) {
        for (uint64_t k = 0; k < RIG_KEYS; k++) {
            uint64_t value = rows->value[t][k];
            digest += value != 0 ? hash_u64(hash_u64(t << 32 | k) + value) : 0;
        }
    }
    return digest;
}

void rig_apply(struct rig_rows *rows, const struct rig_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct rig_change *change = &batch->changes[i];
        for (int key = change->key + 1; key < change->end; key++) {
            rows->value[change->table][key] = 0;
        }
        rows->value[change->table][change->key] = change->value;
    }
}

void rig_rows_at(const struct rig_model *model, size_t count, struct rig_rows *ret_rows)
{
    *ret_rows = (struct rig_rows){0};
    for (size_t i = 0; i < count; i++) {
        rig_apply(ret_rows, &model->batches[i]);
    }
}

static void *grow(void *array, size_t count, size_t size)
{
    void *larger = realloc(array, count * size);
    if (larger == NULL) {
        abort();
    }
    return larger;
}

static void model_add(struct rig_model *model, const struct rig_batch *batch)
{
    model->batches = grow(model->batches, model->batch_count + 1, sizeof *model->batches);
    model->digests = grow(model->digests, model->batch_count + 2, sizeof *model->digests);
    model->batches[model->batch_count++] = *batch;
    rig_apply(&model->rows, batch);
    model->digests[model->batch_count] = rig_digest(&model->rows);
}

/* ---- the store ---- */

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
    };
    return names[call];
}

static void enter(const struct rig *rig, enum rig_call call)
{
    if (rig->observer.enter != NULL) {
        rig->observer.enter(rig->observer.arg, call);
    }
}

static int leave(const struct rig *rig, enum rig_call call, int r)
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
    rig->model.next_value = 1;
    rig->model.digests = grow(NULL, 1, sizeof *rig->model.digests);
    rig->model.digests[0] = 0;
}

void rig_finish(struct rig *rig)
{
    free(rig->model.batches);
    free(rig->model.digests);
    sim_destroy(rig->sim);
    *rig = (struct rig){0};
}

/* Open the table; if it should be there, without a single call to the file system. */
static int open_table(struct rig *rig, int i, bool must_exist)
{
    uint64_t version = sim_version(rig->sim);
    int r;

    enter(rig, RIG_TABLE_OPEN);
    r = kv_table_open(rig->store, table_names[i], NULL, &rig->tables[i]);
    r = leave(rig, RIG_TABLE_OPEN, r);
    return r == 0 && must_exist && sim_version(rig->sim) != version ? -ENOENT : r;
}

/* A storage, and the store on it. */
static int open_store(struct rig *rig, const struct kv_options *options)
{
    struct kv_storage *storage = NULL;
    int r;

    enter(rig, RIG_STORAGE_OPEN);
    r = leave(rig, RIG_STORAGE_OPEN, sim_storage_open(rig->sim, options->create, &storage));
    if (r < 0) {
        return r;
    }
    enter(rig, RIG_OPEN);
    r = leave(rig, RIG_OPEN, kv_open(storage, options, &rig->store));
    if (r < 0) {
        enter(rig, RIG_STORAGE_CLOSE);
        storage->ops->close(storage);
        kv_ignore(leave(rig, RIG_STORAGE_CLOSE, 0));
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
        r = open_table(rig, i, true);
    }
    return r;
}

int rig_make_tables(struct rig *rig)
{
    int r = 0;
    for (int i = 0; i < RIG_TABLES && r == 0; i++) {
        r = open_table(rig, i, false);
    }
    return r;
}

static void drop_late(struct rig *rig)
{
    kv_batch_destroy(rig->late);
    rig->late = NULL;
}

int rig_close(struct rig *rig)
{
    struct kv_store *store = rig->store;
    drop_late(rig);
    rig->store = NULL;
    memset(rig->tables, 0, sizeof rig->tables);
    enter(rig, RIG_CLOSE);
    return leave(rig, RIG_CLOSE, kv_close(store));
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

/* ---- reading ---- */

static int judge_value(struct kv_slice got, uint32_t *ret_number)
{
    static uint8_t bytes[RIG_VALUE_MAX];
    uint32_t number = 0;

    if (got.size < 8) {
        return -KV_EDAMAGED;
    }
    memcpy(&number, got.data, sizeof number);
    if (number == 0 || !kv_slice_equal(any_value(number, bytes), got)) {
        return -KV_EDAMAGED;
    }
    *ret_number = number;
    return 0;
}

static int judge_row(struct kv_iter *it, int *ret_key, uint32_t *ret_value)
{
    struct kv_slice key = kv_iter_key(it);
    struct kv_slice value;
    char expected[16];
    int r = kv_iter_value(it, &value);
    if (r < 0) {
        return r;
    }
    for (int k = 0; k < RIG_KEYS; k++) {
        if (kv_slice_equal(key_of(k, expected), key)) {
            *ret_key = k;
            return judge_value(value, ret_value);
        }
    }
    return -KV_EDAMAGED;
}

static int scan(struct kv_table *table, uint32_t values[RIG_KEYS])
{
    struct kv_iter *it = NULL;
    int last = -1;
    int r = kv_iter_create(table, &(struct kv_iter_options){0}, &it);

    if (r < 0) {
        return r;
    }
    for (kv_iter_seek_first(it); kv_iter_valid(it) && r == 0; kv_iter_next(it)) {
        int key = 0;
        uint32_t value = 0;
        r = judge_row(it, &key, &value);
        if (r == 0 && key <= last) {
            r = -KV_EDAMAGED;
        }
        values[key] = value;
        last = key;
    }
    r = r < 0 ? r : kv_iter_error(it);
    kv_iter_destroy(it);
    return r;
}

static int get(struct kv_table *table, int key, uint32_t *ret_value)
{
    struct kv_pinned pinned = {0};
    char bytes[16];
    int r = kv_get(table, NULL, key_of(key, bytes), &pinned);
    if (r == -ENOENT) {
        *ret_value = 0;
        return 0;
    }
    r = r < 0 ? r : judge_value(pinned.value, ret_value);
    kv_pinned_release(&pinned);
    return r;
}

static int read_tables(struct rig *rig, struct rig_rows *ret_rows)
{
    struct rig_rows rows = {0};
    int r = 0;

    for (int t = 0; t < RIG_TABLES && r == 0; t++) {
        if (rig->tables[t] != NULL) {
            r = scan(rig->tables[t], rows.value[t]);
        }
        /* Point reads of a few, by other code than the scan. */
        for (int k = 0; k < RIG_KEYS && r == 0 && rig->tables[t] != NULL; k += 5) {
            uint32_t value = 0;
            r = get(rig->tables[t], k, &value);
            if (r == 0 && value != rows.value[t][k]) {
                r = -KV_EDAMAGED;
            }
        }
    }
    if (r == 0) {
        *ret_rows = rows;
    }
    return r;
}

int rig_read(struct rig *rig, struct rig_rows *ret_rows)
{
    enter(rig, RIG_READ);
    return leave(rig, RIG_READ, read_tables(rig, ret_rows));
}

/* ---- writing ---- */

/* Mostly a few keys, sometimes all that follow. */
static void draw_range(struct rig *rig, struct rig_change *change)
{
    uint64_t most = rng_below(&rig->rng, 6) == 0 ? RIG_KEYS : 6;
    uint64_t end = change->key + 1 + rng_below(&rig->rng, most);
    change->end = (uint8_t)(end < RIG_KEYS ? end : RIG_KEYS);
}

void rig_draw_batch(struct rig *rig, int tables, struct rig_batch *ret_batch)
{
    *ret_batch = (struct rig_batch){.count = 1};
    if (rng_below(&rig->rng, 4) == 0) {
        ret_batch->count = 2 + rng_below(&rig->rng, RIG_BATCH_MAX - 1);
    }
    for (size_t i = 0; i < ret_batch->count; i++) {
        struct rig_change *change = &ret_batch->changes[i];
        uint64_t shape = rng_below(&rig->rng, 12);
        *change = (struct rig_change){
            .table = (uint8_t)rng_below(&rig->rng, (uint64_t)tables),
            .key = (uint8_t)rng_below(&rig->rng, RIG_KEYS),
            .value = shape < 3 ? 0 : rig->model.next_value++,
        };
        if (shape == 0) {
            draw_range(rig, change);
        }
    }
}

bool rig_draw_part(struct rig *rig, struct rig_batch *ret_batch)
{
    uint64_t table = rng_below(&rig->rng, (uint64_t)rig->bounds.tables);
    uint64_t first = rng_below(&rig->rng, RIG_KEYS);
    const uint32_t *values = rig->model.rows.value[table];
    int from = -1;

    for (size_t i = 0; i < rig->model.batch_count; i++) {
        if (rig->model.batches[i].failed) {
            return false;
        }
    }
    for (uint64_t n = 0; n < RIG_KEYS; n++) {
        int key = (int)((first + n) % RIG_KEYS);
        if (values[key] != 0 && (from < 0 || values[from] < LARGE_FIRST)) {
            from = key;
        }
    }
    if (from < 0) {
        return false;
    }
    *ret_batch = (struct rig_batch){.count = 1};
    ret_batch->changes[0] = (struct rig_change){.table = (uint8_t)table,
                                                .key = (uint8_t)rng_below(&rig->rng, RIG_KEYS),
                                                .value = values[from],
                                                .shared = true,
                                                .from = (uint8_t)from};
    return true;
}

static int fill_part(struct rig *rig, const struct rig_change *change, struct kv_batch *to)
{
    struct kv_table *table = rig->tables[change->table];
    struct kv_iter *it = NULL;
    char bytes[16];
    int r = kv_iter_create(table, NULL, &it);

    if (r < 0) {
        return r;
    }
    kv_iter_seek(it, key_of(change->from, bytes));
    r = kv_iter_valid(it) ? 0 : kv_iter_error(it);
    if (kv_iter_valid(it)) {
        r = kv_batch_put_part(to, table, key_of(change->key, bytes), it, 0, kv_iter_value_size(it));
    }
    kv_iter_destroy(it);
    return r;
}

static int fill_batch(struct rig *rig, const struct rig_batch *from, struct kv_batch *to)
{
    static uint8_t bytes[RIG_VALUE_MAX];
    char bytes_of_key[16];
    char bytes_of_end[16];
    int r = 0;
    for (size_t i = 0; i < from->count && r == 0; i++) {
        const struct rig_change *change = &from->changes[i];
        struct kv_table *table = rig->tables[change->table];
        struct kv_slice key = key_of(change->key, bytes_of_key);
        if (change->shared) {
            r = fill_part(rig, change, to);
        } else if (change->value != 0) {
            r = kv_batch_put(to, table, key, any_value(change->value, bytes));
        } else if (change->end != 0) {
            r = kv_batch_delete_range(to, table, key, key_of(change->end, bytes_of_end));
        } else {
            r = kv_batch_delete(to, table, key);
        }
    }
    return r;
}

int rig_write(struct rig *rig, const struct rig_batch *batch, enum kv_durability durability)
{
    struct kv_batch *encoded = NULL;
    int r;

    enter(rig, RIG_WRITE);
    r = kv_batch_create(&encoded);
    r = r < 0 ? r : fill_batch(rig, batch, encoded);
    r = r < 0 ? r : kv_write(rig->store, encoded, durability);
    kv_batch_destroy(encoded);
    return leave(rig, RIG_WRITE, r);
}

/* ---- steps ---- */

char rig_next_step(const char **script, unsigned *ret_count)
{
    char step;
    char *end;

    while (**script == ' ') {
        *script += 1;
    }
    step = **script;
    if (step == '\0') {
        return step;
    }
    *ret_count = (unsigned)strtoul(*script + 1, &end, 10);
    *ret_count = end == *script + 1 ? 1 : *ret_count;
    *script = end;
    return step;
}

/* Begun in the model; the caller writes it. */
static void note_issued(struct rig *rig, const struct rig_batch *batch)
{
    model_add(&rig->model, batch);
    rig->bounds.issued = rig->model.batch_count;
}

static int note_written(struct rig *rig, int r)
{
    rig->held_back = r == 0 ? false : rig->held_back;
    rig->model.batches[rig->model.batch_count - 1].failed = r < 0;
    if (r == 0) {
        rig->bounds.written = rig->bounds.issued;
    }
    return r;
}

/* The first time fill a batch with a part, the second time write it, whatever came in between. */
static int step_late(struct rig *rig)
{
    int r = 0;

    if (rig->late != NULL) {
        note_issued(rig, &rig->late_change);
        enter(rig, RIG_WRITE);
        r = leave(rig, RIG_WRITE, kv_write(rig->store, rig->late, KV_DURABLE_WRITE));
        drop_late(rig);
        return note_written(rig, r);
    }
    if (rig_draw_part(rig, &rig->late_change)) {
        enter(rig, RIG_WRITE);
        r = kv_batch_create(&rig->late);
        r = leave(rig, RIG_WRITE, r < 0 ? r : fill_batch(rig, &rig->late_change, rig->late));
    }
    if (r < 0) {
        drop_late(rig);
    }
    return r;
}

static int step_part(struct rig *rig)
{
    struct rig_batch batch;
    if (!rig_draw_part(rig, &batch)) {
        return 0;
    }
    note_issued(rig, &batch);
    return note_written(rig, rig_write(rig, &batch, KV_DURABLE_WRITE));
}

static int step_write(struct rig *rig, char step)
{
    static const struct {
        char step;
        enum kv_durability durability;
    } kinds[] = {{'n', KV_DURABLE_NONE}, {'w', KV_DURABLE_WRITE}, {'y', KV_DURABLE_SYNC}};
    enum kv_durability durability = KV_DURABLE_WRITE;
    struct rig_batch batch;
    int r;

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        durability = kinds[i].step == step ? kinds[i].durability : durability;
    }
    rig_draw_batch(rig, rig->bounds.tables, &batch);
    if (step == 'b') {
        batch.count = 1;
        batch.changes[0].end = 0;
        batch.changes[0].value = LARGE_FIRST + rig->model.next_value++;
    }
    model_add(&rig->model, &batch);
    rig->bounds.issued = rig->model.batch_count;
    r = rig_write(rig, &batch, durability);
    rig->held_back = r == 0 ? durability == KV_DURABLE_NONE : rig->held_back;
    rig->model.batches[rig->model.batch_count - 1].failed = r < 0;
    if (r == 0 && durability != KV_DURABLE_NONE) {
        rig->bounds.written = rig->bounds.issued;
    }
    if (r == 0 && durability == KV_DURABLE_SYNC) {
        rig->bounds.synced = rig->bounds.issued;
    }
    return r;
}

static int step_table(struct rig *rig)
{
    int r = 0;
    if (rig->bounds.tables < RIG_TABLES) {
        r = open_table(rig, rig->bounds.tables, false);
        rig->bounds.tables += r == 0;
    }
    return r;
}

static int step_open(struct rig *rig)
{
    int r = 0;
    if (rig->store != NULL) {
        r = rig_close(rig);
        if (r == 0) {
            rig->bounds.synced = rig->bounds.issued;
            rig->bounds.written = rig->bounds.issued;
        }
    }
    r = r < 0 ? r : rig_open(rig, !rig->bounds.opened, rig->bounds.tables);
    rig->bounds.opened = rig->bounds.opened || r == 0;
    return r;
}

static int step_read(struct rig *rig)
{
    struct rig_rows rows = {0};
    bool sure = true;
    int r = rig_read(rig, &rows);

    for (size_t i = 0; i < rig->model.batch_count; i++) {
        sure = sure && !rig->model.batches[i].failed;
    }
    return r == 0 && sure && rig_digest(&rows) != rig_digest(&rig->model.rows) ? -KV_EDAMAGED : r;
}

/* Steps after whose success everything is durable. */
static int step_settle(struct rig *rig, char step)
{
    enum rig_call call = step == 's' ? RIG_SYNC : step == 'f' ? RIG_FLUSH : RIG_COMPACT;
    int r;

    enter(rig, call);
    r = step == 's'   ? kv_sync(rig->store)
        : step == 'f' ? kv_flush(rig->store)
                      : kv_compact(rig->store);
    if (leave(rig, call, r) == 0) {
        rig->bounds.synced = rig->bounds.issued;
        rig->bounds.written = rig->bounds.issued;
        rig->held_back = false;
    }
    return r;
}

/* As when the manifest has outgrown its snapshot by far. */
static int step_roll(struct rig *rig)
{
    mutex_lock(&rig->store->manifest_mu);
    rig->store->manifest_roll_bytes = 0;
    mutex_unlock(&rig->store->manifest_mu);
    return 0;
}

int rig_step(struct rig *rig, char step)
{
    int r;
    switch (step) {
    case 's':
    case 'f':
    case 'c':
        return step_settle(rig, step);
    case 'm':
        enter(rig, RIG_MERGE);
        r = leave(rig, RIG_MERGE, compact_one(rig->store));
        return r < 0 ? r : 0;
    case 'd':
        enter(rig, RIG_RECLAIM);
        r = leave(rig, RIG_RECLAIM, reclaim_step(rig->store, true));
        return r < 0 ? r : 0;
    case 'p':
        return step_part(rig);
    case 'h':
        return step_late(rig);
    case 'g':
        return step_read(rig);
    case 'l':
        return step_roll(rig);
    case 't':
        return step_table(rig);
    case 'o':
        rig->blobs = !rig->blobs;
        return 0;
    case 'r':
        return step_open(rig);
    default:
        return step_write(rig, step);
    }
}
