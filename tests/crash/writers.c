/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/writers.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    CHANGES_MAX = 6,
    VALUE_MAX = 12 * 1024,
    HEAD_SIZE = 4 + 4 * WRITERS,
    SYNC_ONE_IN = 40, /* a writer syncs by itself after so many batches */
    UPKEEP_PAUSE_MS = 3,
    READ_PAUSE_MS = 2,
};

static const char *const table_names[WRITERS_TABLES] = {"first", "second"};

static void sleep_ms(unsigned ms)
{
    struct timespec pause = {.tv_nsec = (long)ms * 1000000};
    nanosleep(&pause, NULL);
}

/* ---- what a batch holds ---- */

struct change {
    unsigned table, key;
    bool is_delete;
};

struct changes {
    struct change items[CHANGES_MAX];
    unsigned count;
    enum kv_durability durability;
};

static void draw_changes(uint64_t seed, unsigned writer, uint32_t number, struct changes *ret)
{
    struct rng rng = {hash_u64(seed + hash_u64((uint64_t)writer << 32 | number))};
    uint64_t durability = rng_below(&rng, 100);

    ret->count = rng_below(&rng, 3) > 0 ? 1 : 2 + (unsigned)rng_below(&rng, CHANGES_MAX - 1);
    ret->durability = durability < 40   ? KV_DURABLE_NONE
                      : durability < 85 ? KV_DURABLE_WRITE
                                        : KV_DURABLE_SYNC;
    for (unsigned i = 0; i < ret->count; i++) {
        ret->items[i] = (struct change){
            .table = (unsigned)rng_below(&rng, WRITERS_TABLES),
            .key = (unsigned)rng_below(&rng, WRITERS_KEYS),
            .is_delete = rng_below(&rng, 6) == 0,
        };
    }
}

static struct kv_slice key_of(unsigned writer, unsigned key, char to[24])
{
    return kv_slice(to, (size_t)snprintf(to, 24, "w%u/%03u", writer, key));
}

static struct kv_slice head_key(unsigned writer, char to[24])
{
    return kv_slice(to, (size_t)snprintf(to, 24, "w%u/head", writer));
}

/* The value that batch `number` of the writer gives to a key. */
static struct kv_slice value_of(unsigned writer, uint32_t number, unsigned key,
                                uint8_t to[VALUE_MAX])
{
    struct rng rng = {hash_u64((uint64_t)number << 16 | key << 4 | writer)};
    uint64_t shape = rng_below(&rng, 100);
    size_t limit = shape < 80 ? 400 : shape < 97 ? 2500 : VALUE_MAX - 8;
    size_t size = 8 + rng_below(&rng, limit);

    for (size_t i = 0; i < size; i++) {
        to[i] = (uint8_t)rng_next(&rng);
    }
    memcpy(to, &number, sizeof number);
    return kv_slice(to, size);
}

/* ---- the store ---- */

static void note_message(void *arg, enum kv_message_level level, const char *text)
{
    struct writers_store *store = arg;
    mutex_lock(&store->mu);
    if (level == KV_MESSAGE_ERROR && store->message[0] == '\0') {
        snprintf(store->message, sizeof store->message, "%s", text);
    }
    mutex_unlock(&store->mu);
}

int writers_open(struct sim_fs *sim, bool background, struct writers_store *ret_store)
{
    struct kv_options options = {
        .create = true,
        .memtable_bytes = (size_t)64 << 10,
        .cache_bytes = (size_t)1 << 20,
        .memtables_max = 3,
        .compaction_threads = 2,
        .file_bytes = (uint64_t)16 << 10,
        .level_base_bytes = (uint64_t)32 << 10,
        .blob_commit_bytes = 700, /* about a sixth of the values */
        .blob_flush_bytes = 100,
        .blob_file_bytes = (uint64_t)64 << 10,
        .sync_interval_ms = background ? 2 : 0,
        .no_background = !background,
        .holder = "the crash test",
        .message_fn = note_message,
        .message_arg = ret_store,
    };
    struct kv_storage *storage = NULL;
    int r = sim_storage_open(sim, true, &storage);

    *ret_store = (struct writers_store){0};
    mutex_init(&ret_store->mu, LOCK_RANK_LEAF, "message of the store");
    r = r < 0 ? r : kv_open(storage, &options, &ret_store->store);
    if (r < 0) {
        if (storage != NULL) {
            storage->ops->close(storage);
        }
        return r;
    }
    for (int i = 0; i < WRITERS_TABLES && r == 0; i++) {
        r = kv_table_open(ret_store->store, table_names[i], NULL, &ret_store->tables[i]);
    }
    return r;
}

int writers_close(struct writers_store *store)
{
    struct kv_store *open = store->store;
    store->store = NULL;
    return kv_close(open);
}

/* ---- checking ---- */

/* Number of the batch that each row is of; 0: absent. */
struct rows {
    uint32_t value[WRITERS][WRITERS_TABLES][WRITERS_KEYS];
    struct writers_marks found;
    struct writers_marks before[WRITERS]; /* acknowledged when the writer's last batch was begun */
};

/* Note what is wrong, before what is known of it already. */
static bool fault(struct writers_store *store, const char *what, unsigned writer, uint64_t got,
                  uint64_t expected)
{
    snprintf(store->fault, sizeof store->fault, "%s: writer %u, %" PRIu64 " instead of %" PRIu64,
             what, writer, got, expected);
    return false;
}

static bool take_head(struct writers_store *store, struct rows *rows, unsigned writer,
                      struct kv_slice value)
{
    if (value.size != HEAD_SIZE) {
        return fault(store, "a first row of another size", writer, value.size, HEAD_SIZE);
    }
    memcpy(&rows->found.count[writer], value.data, 4);
    memcpy(&rows->before[writer], value.data + 4, sizeof rows->before[writer]);
    return true;
}

static bool take_row(struct writers_store *store, struct rows *rows, int table, struct kv_iter *it)
{
    uint8_t expected[VALUE_MAX];
    uint32_t number = 0;
    unsigned writer = 0;
    unsigned index = 0;
    struct kv_slice key = kv_iter_key(it);
    struct kv_slice value;
    char text[24];
    int r = kv_iter_value(it, &value);
    if (r < 0) {
        return fault(store, "a value cannot be read", 0, (uint64_t)-r, 0);
    }

    snprintf(text, sizeof text, "%.*s", (int)key.size, (const char *)key.data);
    if (strstr(text, "/head") != NULL && sscanf(text, "w%u/", &writer) == 1 && writer < WRITERS) {
        return take_head(store, rows, writer, value);
    }
    if (sscanf(text, "w%u/%u", &writer, &index) != 2 || writer >= WRITERS ||
        index >= WRITERS_KEYS || value.size < sizeof number) {
        return fault(store, "a row that nobody wrote", writer, index, 0);
    }
    memcpy(&number, value.data, sizeof number);
    if (!kv_slice_equal(value, value_of(writer, number, index, expected))) {
        return fault(store, "a value that nobody wrote", writer, number, index);
    }
    rows->value[writer][table][index] = number;
    return true;
}

static bool read_table(struct writers_store *store, int table, const struct kv_snapshot *snapshot,
                       struct rows *rows)
{
    struct kv_iter *it = NULL;
    int r =
        kv_iter_create(store->tables[table], &(struct kv_iter_options){.snapshot = snapshot}, &it);
    bool ok = true;

    if (r < 0) {
        return fault(store, "no iterator", 0, (uint64_t)-r, 0);
    }
    for (kv_iter_seek_first(it); kv_iter_valid(it) && ok; kv_iter_next(it)) {
        ok = take_row(store, rows, table, it);
    }
    r = kv_iter_error(it);
    kv_iter_destroy(it);
    return r < 0 ? fault(store, "a scan fails", 0, (uint64_t)-r, 0) : ok;
}

/* A few rows by the other way of reading. */
static bool check_gets(struct writers_store *store, const struct kv_snapshot *snapshot,
                       const struct rows *rows)
{
    for (unsigned writer = 0; writer < WRITERS; writer++) {
        unsigned index = (rows->found.count[0] + writer * 5) % WRITERS_KEYS;
        uint32_t expected = rows->value[writer][1][index];
        uint32_t number = 0;
        struct kv_pinned pinned = {0};
        char key[24];
        int r = kv_get(store->tables[1], snapshot, key_of(writer, index, key), &pinned);
        if (r == 0) {
            memcpy(&number, pinned.value.data, sizeof number);
        }
        kv_pinned_release(&pinned);
        if ((r < 0 && r != -ENOENT) || number != expected) {
            return fault(store, "a get contradicts the scan", writer, number, expected);
        }
    }
    return true;
}

static bool check_writer(struct writers_store *store, uint64_t seed, unsigned writer,
                         const struct rows *rows)
{
    uint32_t expected[WRITERS_TABLES][WRITERS_KEYS] = {{0}};
    struct changes changes;

    for (uint32_t n = 1; n <= rows->found.count[writer]; n++) {
        draw_changes(seed, writer, n, &changes);
        for (unsigned i = 0; i < changes.count; i++) {
            const struct change *change = &changes.items[i];
            expected[change->table][change->key] = change->is_delete ? 0 : n;
        }
    }
    for (int t = 0; t < WRITERS_TABLES; t++) {
        for (unsigned k = 0; k < WRITERS_KEYS; k++) {
            if (rows->value[writer][t][k] != expected[t][k]) {
                return fault(store, "a row is of another batch", writer, rows->value[writer][t][k],
                             expected[t][k]);
            }
        }
    }
    return true;
}

static bool check_bounds(struct writers_store *store, unsigned writer, const struct rows *rows,
                         const struct writers_marks *lowest, const struct writers_marks *highest)
{
    uint32_t found = rows->found.count[writer];
    if (found < lowest->count[writer]) {
        return fault(store, "acknowledged batches are lost", writer, found, lowest->count[writer]);
    }
    if (found > highest->count[writer]) {
        return fault(store, "more batches than were begun", writer, found, highest->count[writer]);
    }
    for (unsigned other = 0; other < WRITERS; other++) {
        if (rows->found.count[other] < rows->before[writer].count[other]) {
            return fault(store, "a batch is lost that another's later one knew", other,
                         rows->found.count[other], rows->before[writer].count[other]);
        }
    }
    return true;
}

bool writers_check(struct writers_store *store, uint64_t seed, const struct kv_snapshot *snapshot,
                   const struct writers_marks *lowest, const struct writers_marks *highest,
                   struct writers_marks *ret_found)
{
    struct rows rows = {0};
    bool ok = true;

    for (int t = 0; t < WRITERS_TABLES && ok; t++) {
        ok = read_table(store, t, snapshot, &rows);
    }
    ok = ok && check_gets(store, snapshot, &rows);
    for (unsigned writer = 0; writer < WRITERS && ok; writer++) {
        ok = check_writer(store, seed, writer, &rows) &&
             check_bounds(store, writer, &rows, lowest, highest);
    }
    *ret_found = rows.found;
    return ok;
}

/* ---- progress ---- */

static struct writers_marks load_marks(const _Atomic uint32_t counts[WRITERS])
{
    struct writers_marks marks;
    for (int i = 0; i < WRITERS; i++) {
        marks.count[i] = atomic_load(&counts[i]);
    }
    return marks;
}

static void raise_mark(_Atomic uint32_t *mark, uint32_t to)
{
    uint32_t now = atomic_load(mark);
    while (now < to && !atomic_compare_exchange_weak(mark, &now, to)) {
    }
}

struct writers_bounds writers_bounds(const struct writers *writers)
{
    return (struct writers_bounds){.synced = load_marks(writers->synced),
                                   .written = load_marks(writers->written),
                                   .issued = load_marks(writers->issued)};
}

/* An operation ended with `r`: is that all right? */
static bool judge(struct writers *writers, const char *what, int r)
{
    if (r < 0 && !atomic_load(&writers->may_fail)) {
        mutex_lock(&writers->store->mu);
        printf("# %s fails: %s; the store said: %s\n", what, kv_strerror(r),
               writers->store->message);
        mutex_unlock(&writers->store->mu);
        fflush(stdout);
        atomic_store(&writers->faulty, true);
    }
    return r >= 0;
}

/* ---- the threads ---- */

static int fill(const struct writers *writers, unsigned writer, uint32_t number,
                const struct changes *changes, struct kv_batch *batch)
{
    struct kv_table *const *tables = writers->store->tables;
    struct writers_marks before = load_marks(writers->visible);
    uint8_t value[VALUE_MAX];
    char key[24];
    int r;

    memcpy(value, &number, 4);
    memcpy(value + 4, &before, sizeof before);
    kv_batch_clear(batch);
    r = kv_batch_put(batch, tables[0], head_key(writer, key), kv_slice(value, HEAD_SIZE));
    for (unsigned i = 0; i < changes->count && r == 0; i++) {
        const struct change *change = &changes->items[i];
        struct kv_slice name = key_of(writer, change->key, key);
        r = change->is_delete ? kv_batch_delete(batch, tables[change->table], name)
                              : kv_batch_put(batch, tables[change->table], name,
                                             value_of(writer, number, change->key, value));
    }
    return r;
}

static bool sync_all(struct writers *writers)
{
    struct writers_marks marks = load_marks(writers->visible);
    if (!judge(writers, "a sync", kv_sync(writers->store->store))) {
        return false;
    }
    for (int i = 0; i < WRITERS; i++) {
        raise_mark(&writers->written[i], marks.count[i]);
        raise_mark(&writers->synced[i], marks.count[i]);
    }
    return true;
}

static bool write_one(struct writers *writers, unsigned writer, uint32_t number,
                      struct kv_batch *batch)
{
    struct changes changes;

    draw_changes(writers->seed, writer, number, &changes);
    if (!judge(writers, "making a batch", fill(writers, writer, number, &changes, batch))) {
        return false;
    }
    atomic_store(&writers->issued[writer], number);
    if (!judge(writers, "a write", kv_write(writers->store->store, batch, changes.durability))) {
        return false;
    }
    atomic_store(&writers->visible[writer], number);
    if (changes.durability != KV_DURABLE_NONE) {
        raise_mark(&writers->written[writer], number);
    }
    if (changes.durability == KV_DURABLE_SYNC) {
        raise_mark(&writers->synced[writer], number);
    }
    return number % SYNC_ONE_IN != 0 || sync_all(writers);
}

static void *writer_main(void *arg)
{
    const struct writers_thread *self = arg;
    struct writers *writers = self->writers;
    struct kv_batch *batch = NULL;
    bool ok = kv_batch_create(&batch) == 0;

    for (uint32_t n = 1; n <= writers->batches && ok && !atomic_load(&writers->stop); n++) {
        ok = write_one(writers, self->number, n, batch);
    }
    kv_batch_destroy(batch);
    atomic_fetch_sub(&writers->running, 1);
    return NULL;
}

/* Read a snapshot twice, with time for flushes and merges in between. */
static bool read_snapshot(struct writers *writers, struct kv_snapshot *snapshot,
                          const struct writers_marks *lowest)
{
    struct writers_marks highest = load_marks(writers->issued);
    struct writers_marks first;
    struct writers_marks second;

    if (!writers_check(writers->store, writers->seed, snapshot, lowest, &highest, &first)) {
        return false;
    }
    sleep_ms(READ_PAUSE_MS);
    return writers_check(writers->store, writers->seed, snapshot, &first, &first, &second);
}

static void *reader_main(void *arg)
{
    struct writers *writers = ((const struct writers_thread *)arg)->writers;
    bool ok = true;

    while (ok && atomic_load(&writers->running) > 0 && !atomic_load(&writers->may_fail)) {
        struct writers_marks lowest = load_marks(writers->visible);
        struct kv_snapshot *snapshot = NULL;
        ok = judge(writers, "a snapshot", kv_snapshot_create(writers->store->store, &snapshot)) &&
             read_snapshot(writers, snapshot, &lowest);
        kv_snapshot_release(snapshot);
        atomic_fetch_add(&writers->snapshots_read, 1);
    }
    if (!ok && !atomic_load(&writers->may_fail)) {
        printf("# a snapshot: %s\n", writers->store->fault);
        fflush(stdout);
        atomic_store(&writers->faulty, true);
    }
    return NULL;
}

static void *upkeep_main(void *arg)
{
    struct writers *writers = ((const struct writers_thread *)arg)->writers;
    struct kv_store *store = writers->store->store;
    struct rng rng = {hash_u64(writers->seed + 5)};
    bool ok = true;

    while (ok && atomic_load(&writers->running) > 0) {
        uint64_t what = rng_below(&rng, 8);
        sleep_ms(UPKEEP_PAUSE_MS);
        if (what == 0) {
            ok = judge(writers, "compacting", kv_compact(store));
        } else if (what < 3) {
            ok = judge(writers, "flushing", kv_flush(store));
        } else if (what < 5) {
            ok = sync_all(writers);
        }
    }
    return NULL;
}

int writers_start(struct writers *writers, uint64_t seed, uint32_t batches,
                  struct writers_store *store)
{
    int r = 0;
    memset(writers, 0, sizeof *writers);
    writers->seed = seed;
    writers->batches = batches;
    writers->store = store;
    atomic_store(&writers->running, WRITERS);
    for (unsigned i = 0; i < WRITERS + 2 && r == 0; i++) {
        struct writers_thread *thread = &writers->threads[i];
        *thread = (struct writers_thread){.writers = writers, .number = i};
        r = thread_start(&thread->thread, i < WRITERS ? "writer" : "other",
                         i < WRITERS    ? writer_main
                         : i == WRITERS ? reader_main
                                        : upkeep_main,
                         thread);
    }
    return r;
}

void writers_join(struct writers *writers)
{
    for (int i = 0; i < WRITERS + 2; i++) {
        thread_join(&writers->threads[i].thread);
    }
}
