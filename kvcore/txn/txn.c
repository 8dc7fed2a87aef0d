/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/txn/txn.h"

#include <assert.h>
#include <stdlib.h>

#include "kvcore/db/conflict.h"
#include "kvcore/db/snapshot.h"

enum {
    LOCK_TIMEOUT_MS = 1000,
    LOCK_BYTES = 96, /* about what one takes besides its key */
};

static void count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static uint64_t value_of(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* ---- manager ---- */

int kv_txn_manager_open(struct kv_store *store, struct kv_txn_manager **ret_manager)
{
    struct kv_txn_manager *manager = calloc(1, sizeof *manager);
    int r;

    if (manager == NULL) {
        return -ENOMEM;
    }
    manager->store = store;
    r = locks_init(&manager->locks);
    if (r < 0) {
        free(manager);
        return r;
    }
    *ret_manager = manager;
    return 0;
}

/* What has ended is read first: it had begun. Acquire: pairs with the release of each that ended.
 */
static uint64_t open_count(const struct kv_txn_manager *manager)
{
    uint64_t ended = atomic_load_explicit(&manager->committed, memory_order_acquire) +
                     atomic_load_explicit(&manager->rolled_back, memory_order_acquire);
    return value_of(&manager->begun) - ended;
}

int kv_txn_manager_close(struct kv_txn_manager *manager)
{
    if (manager == NULL) {
        return 0;
    }
    if (open_count(manager) > 0) {
        return -EBUSY;
    }
    locks_finish(&manager->locks);
    free(manager);
    return 0;
}

void kv_txn_manager_stats(struct kv_txn_manager *manager, struct kv_txn_stats *ret_stats)
{
    const struct lock_counters *locks = &manager->locks.counters;
    *ret_stats = (struct kv_txn_stats){.open = open_count(manager),
                                       .committed = value_of(&manager->committed),
                                       .rolled_back = value_of(&manager->rolled_back),
                                       .conflicts = value_of(&manager->conflicts),
                                       .deadlocks = value_of(&locks->deadlocks),
                                       .timeouts = value_of(&locks->timeouts),
                                       .waits = value_of(&locks->waits),
                                       .locks = value_of(&locks->held)};
}

/* ---- beginning and ending ---- */

void txn_pin(struct kv_txn *txn)
{
    if (txn->snapshot == NULL) {
        snapshot_take(txn->manager->store, &txn->pinned);
        txn->snapshot = &txn->pinned;
    }
}

int kv_txn_begin(struct kv_txn_manager *manager, const struct kv_txn_options *options,
                 struct kv_txn **ret_txn)
{
    static const struct kv_txn_options defaults = {0};
    struct kv_txn *txn;

    options = options != NULL ? options : &defaults;
    if (options->bytes_max > KV_TXN_BYTES_MAX) {
        return -EINVAL;
    }
    txn = malloc(sizeof *txn);
    if (txn == NULL) {
        return -ENOMEM;
    }
    memset(txn, 0, offsetof(struct kv_txn, pinned));
    txn->manager = manager;
    txn->options = *options;
    if (options->lock_timeout_ms == 0) {
        txn->options.lock_timeout_ms = LOCK_TIMEOUT_MS;
    }
    rows_init(&txn->rows, options->bytes_max != 0 ? options->bytes_max : KV_TXN_BYTES_DEFAULT);
    spans_init(&txn->deleted, &txn->rows);
    spans_init(&txn->read, &txn->rows);
    if (options->read_now) {
        txn_pin(txn);
    }
    lock_party_init(&txn->party,
                    atomic_fetch_add_explicit(&manager->begun, 1, memory_order_relaxed));
    *ret_txn = txn;
    return 0;
}

static size_t range_bytes(size_t from_size, size_t to_size)
{
    return sizeof(struct range_written) + from_size + to_size;
}

static void forget_ranges(struct kv_txn *txn, uint64_t number)
{
    while (txn->range_count > 0 && txn->ranges[txn->range_count - 1].number > number) {
        struct range_written *range = &txn->ranges[--txn->range_count];
        rows_discharge(&txn->rows, range_bytes(range->from.size, range->to.size));
        kv_buf_finish(&range->from);
        kv_buf_finish(&range->to);
    }
}

/* The locks go last: who gets one sees what was committed. */
static void end(struct kv_txn *txn, bool committed)
{
    struct kv_txn_manager *manager = txn->manager;

    assert(txn->iter_count == 0);
    locks_release(&manager->locks, &txn->party);
    lock_party_finish(&txn->party);
    if (txn->snapshot != NULL) {
        snapshot_drop(txn->snapshot);
    }
    spans_finish(&txn->deleted);
    spans_finish(&txn->read);
    rows_finish(&txn->rows);
    forget_ranges(txn, 0);
    free(txn->ranges);
    free(txn->savepoints);
    free(txn);
    /* Release: pairs with open_count(). */
    atomic_fetch_add_explicit(committed ? &manager->committed : &manager->rolled_back, 1,
                              memory_order_release);
}

int txn_fail(struct kv_txn *txn, int error)
{
    if (error == -EAGAIN) {
        count(&txn->manager->conflicts);
    }
    txn->failed = error;
    locks_release(&txn->manager->locks, &txn->party);
    return error;
}

int kv_txn_commit(struct kv_txn *txn, enum kv_durability durability)
{
    int r = txn->failed;

    if (r == 0) {
        r = txn_write(txn, durability);
        if (r == -EAGAIN) {
            count(&txn->manager->conflicts);
        }
    }
    end(txn, r == 0);
    return r;
}

void kv_txn_rollback(struct kv_txn *txn)
{
    if (txn != NULL) {
        end(txn, false);
    }
}

/* ---- reading ---- */

int txn_check(const struct kv_txn *txn, const struct kv_table *table)
{
    if (txn->failed != 0) {
        return txn->failed;
    }
    return table->store == txn->manager->store ? table_check(table) : -EINVAL;
}

/* What it wrote itself to the key: 1 and the version (NULL: deleted), or 0. */
static int own_version(const struct kv_txn *txn, const struct kv_table *table, struct kv_slice key,
                       const struct row_version **ret_version)
{
    const struct row_entry *entry = rows_find(&txn->rows, table, key);

    if (entry != NULL && entry->newest != NULL) {
        *ret_version = entry->newest->is_delete ? NULL : entry->newest;
        return 1;
    }
    if (spans_find(&txn->deleted, table, key) != NULL) {
        *ret_version = NULL;
        return 1;
    }
    return 0;
}

static int note_read(struct kv_txn *txn, struct kv_table *table, struct kv_slice key)
{
    struct row_entry *entry = NULL;
    int r;

    if (!txn_is_serializable(txn) || key.size == 0 || key.size > KV_KEY_SIZE_MAX) {
        return 0; /* there can be no such key */
    }
    r = rows_touch(&txn->rows, table, key, &entry);
    if (r == 0) {
        entry->read = true;
    }
    return r;
}

static int read_key(struct kv_txn *txn, struct kv_table *table, struct kv_slice key,
                    struct kv_buf *value)
{
    const struct row_version *own = NULL;
    int r;

    if (own_version(txn, table, key, &own) > 0) {
        return own == NULL ? -ENOENT : kv_buf_assign(value, row_version_value(own));
    }
    txn_pin(txn);
    r = note_read(txn, table, key);
    return r < 0 ? r : kv_get_copy(table, txn->snapshot, key, value);
}

int kv_txn_get(struct kv_txn *txn, struct kv_table *table, struct kv_slice key,
               struct kv_buf *value)
{
    int r = txn_check(txn, table);
    return r < 0 ? r : read_key(txn, table, key, value);
}

/* ---- claiming keys ---- */

/* Lock the key of a pessimistic transaction. Where others changed it since the first read it is
 * lost already; there is no need to do the rest of the work before that is said. */
static int lock_entry(struct kv_txn *txn, struct row_entry *entry)
{
    struct conflict_claim claim = {.table = entry->table, .key = row_entry_key(entry)};
    const struct conflict_claims claims = {.items = &claim, .count = 1};
    int r;

    if (txn->options.mode != KV_TXN_PESSIMISTIC || entry->locked) {
        return 0;
    }
    r = rows_charge(&txn->rows, LOCK_BYTES + entry->key_size);
    if (r < 0) {
        return r;
    }
    r = locks_take(&txn->manager->locks, &txn->party, entry->table->id, row_entry_key(entry),
                   txn->options.lock_timeout_ms);
    if (r < 0) {
        rows_discharge(&txn->rows, LOCK_BYTES + entry->key_size);
        return r == -EDEADLK ? txn_fail(txn, r) : r;
    }
    entry->locked = true;
    if (txn->snapshot != NULL) {
        r = conflict_find(txn->manager->store, &claims, kv_snapshot_sequence(txn->snapshot));
    }
    return r == -EAGAIN ? txn_fail(txn, r) : r;
}

static int claim(struct kv_txn *txn, struct kv_table *table, struct kv_slice key,
                 struct row_entry **ret_entry)
{
    struct row_entry *entry = NULL;
    int r = txn_check(txn, table);

    r = r < 0 ? r : rows_touch(&txn->rows, table, key, &entry);
    r = r < 0 ? r : lock_entry(txn, entry);
    if (r == 0) {
        *ret_entry = entry;
    }
    return r;
}

int kv_txn_get_for_update(struct kv_txn *txn, struct kv_table *table, struct kv_slice key,
                          struct kv_buf *value)
{
    struct row_entry *entry = NULL;
    int r = claim(txn, table, key, &entry);

    if (r < 0) {
        return r;
    }
    r = read_key(txn, table, key, value);
    if (r == 0 || r == -ENOENT) {
        entry->claimed = true;
    }
    return r;
}

/* ---- writing ---- */

static uint64_t last_savepoint(const struct kv_txn *txn)
{
    return txn->savepoint_count > 0 ? txn->savepoints[txn->savepoint_count - 1] : 0;
}

static int write_key(struct kv_txn *txn, struct kv_table *table, struct kv_slice key,
                     const struct kv_slice *value)
{
    struct row_entry *entry = NULL;
    int r = value != NULL && value->size > KV_VALUE_SIZE_MAX ? -E2BIG : 0;

    r = r < 0 ? r : claim(txn, table, key, &entry);
    r = r < 0 ? r : rows_write(&txn->rows, entry, value, txn->number + 1, last_savepoint(txn));
    if (r == 0) {
        txn->number++;
    }
    return r;
}

int kv_txn_put(struct kv_txn *txn, struct kv_table *table, struct kv_slice key,
               struct kv_slice value)
{
    return write_key(txn, table, key, &value);
}

int kv_txn_delete(struct kv_txn *txn, struct kv_table *table, struct kv_slice key)
{
    return write_key(txn, table, key, NULL);
}

/* Give own rows of the range that are there a version that deletes them: number `number`. */
static int delete_own(struct kv_txn *txn, const struct kv_table *table, struct kv_slice from,
                      struct kv_slice to, uint64_t number)
{
    struct row_entry *entry = rows_seek(&txn->rows, table, from, false);
    int r = 0;

    while (entry != NULL && kv_slice_compare(row_entry_key(entry), to) < 0 && r == 0) {
        if (entry->newest != NULL && !entry->newest->is_delete) {
            r = rows_write(&txn->rows, entry, NULL, number, number - 1);
        }
        entry = rows_seek(&txn->rows, table, row_entry_key(entry), true);
    }
    return r;
}

static int note_range(struct kv_txn *txn, struct kv_table *table, struct kv_slice from,
                      struct kv_slice to, uint64_t number)
{
    struct range_written range = {.table = table, .number = number};
    int r;

    if (txn->range_count == txn->range_capacity) {
        size_t capacity = txn->range_capacity * 2 + 4;
        struct range_written *ranges = reallocarray(txn->ranges, capacity, sizeof *ranges);
        if (ranges == NULL) {
            return -ENOMEM;
        }
        txn->ranges = ranges;
        txn->range_capacity = capacity;
    }
    r = rows_charge(&txn->rows, range_bytes(from.size, to.size));
    if (r < 0) {
        return r;
    }
    r = kv_buf_assign(&range.from, from);
    r = r < 0 ? r : kv_buf_assign(&range.to, to);
    if (r < 0) {
        kv_buf_finish(&range.from);
        rows_discharge(&txn->rows, range_bytes(from.size, to.size));
        return r;
    }
    txn->ranges[txn->range_count++] = range;
    return 0;
}

int kv_txn_delete_range(struct kv_txn *txn, struct kv_table *table, struct kv_slice from,
                        struct kv_slice to)
{
    uint64_t number = txn->number + 1;
    int r = txn_check(txn, table);

    if (r == 0 && (from.size == 0 || from.size > KV_KEY_SIZE_MAX || to.size > KV_KEY_SIZE_MAX ||
                   kv_slice_compare(from, to) >= 0)) {
        r = -EINVAL;
    }
    r = r < 0 ? r : delete_own(txn, table, from, to, number);
    r = r < 0 ? r : note_range(txn, table, from, to, number);
    r = r < 0 ? r : spans_add(&txn->deleted, table, from, to);
    if (r < 0) {
        rows_undo(&txn->rows, txn->number);
        forget_ranges(txn, txn->number);
        return r;
    }
    txn->number = number;
    return 0;
}

/* ---- savepoints ---- */

int kv_txn_savepoint(struct kv_txn *txn)
{
    int r = txn->failed;

    if (r == 0 && txn->savepoint_count == txn->savepoint_capacity) {
        size_t capacity = txn->savepoint_capacity * 2 + 4;
        uint64_t *savepoints = NULL;
        r = rows_charge(&txn->rows, (capacity - txn->savepoint_capacity) * sizeof *savepoints);
        if (r < 0) {
            return r;
        }
        savepoints = reallocarray(txn->savepoints, capacity, sizeof *savepoints);
        if (savepoints == NULL) {
            return -ENOMEM;
        }
        txn->savepoints = savepoints;
        txn->savepoint_capacity = capacity;
    }
    if (r == 0) {
        txn->savepoints[txn->savepoint_count++] = txn->number;
    }
    return r;
}

/* The spans that are deleted, from what was asked for. */
static int delete_spans_anew(struct kv_txn *txn)
{
    int r = 0;
    spans_clear(&txn->deleted);
    for (size_t i = 0; i < txn->range_count && r == 0; i++) {
        const struct range_written *range = &txn->ranges[i];
        r = spans_add(&txn->deleted, range->table, kv_buf_slice(&range->from),
                      kv_buf_slice(&range->to));
    }
    return r;
}

int kv_txn_rollback_to_savepoint(struct kv_txn *txn)
{
    size_t ranges = txn->range_count;
    uint64_t number;
    int r = txn->failed;

    if (r < 0) {
        return r;
    }
    if (txn->savepoint_count == 0) {
        return -ENOENT;
    }
    number = txn->savepoints[--txn->savepoint_count];
    txn->undos++;
    rows_undo(&txn->rows, number);
    forget_ranges(txn, number);
    if (txn->range_count < ranges) {
        r = delete_spans_anew(txn);
    }
    return r < 0 ? txn_fail(txn, r) : 0;
}

int kv_txn_release_savepoint(struct kv_txn *txn)
{
    if (txn->failed < 0) {
        return txn->failed;
    }
    if (txn->savepoint_count == 0) {
        return -ENOENT;
    }
    txn->savepoint_count--;
    return 0;
}
