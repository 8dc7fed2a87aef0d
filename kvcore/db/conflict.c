/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/conflict.h"

#include "kvcore/db/value.h"
#include "kvcore/db/view.h"
#include "kvcore/db/write.h"

enum { ANEW = 1 }; /* a result of the check: what came since is not all in memory any more */

/* What one question is about. */
struct question {
    struct kv_store *store;
    const struct view *view;
    uint64_t sequence; /* rows above it are changes */
};

static bool ends_before(const struct conflict_claim *claim, struct kv_slice key)
{
    return claim->to.size > 0 && kv_slice_compare(key, claim->to) >= 0;
}

/* ---- ranges ---- */

/* Is one of the source's rows in the range a change? Destroys the iterator. */
static int rows_changed(const struct question *q, const struct conflict_claim *claim,
                        struct iter *take_iter)
{
    int r = 0;
    for (iter_seek(take_iter, claim->key, UINT64_MAX);
         take_iter->valid && !ends_before(claim, take_iter->row->key); iter_next(take_iter)) {
        if (row_sequence(take_iter->row->trailer) > q->sequence) {
            r = -EAGAIN;
            break;
        }
    }
    r = take_iter->valid || r < 0 ? r : take_iter->error;
    iter_destroy(take_iter);
    return r;
}

/* Keys that range deletes cover alike, around `key`; of a memtable or of a table. */
static void window_at(const struct range_node *map, const struct range_dels *dels,
                      struct kv_slice key, struct range_window *ret_window)
{
    if (dels != NULL) {
        range_dels_window(dels, key, ROW_SEQUENCE_MAX, ret_window);
    } else {
        range_node_window(map, key, ret_window);
    }
}

/* Is one of the source's range deletes that meet the claim a change? */
static bool cover_changed(const struct question *q, const struct conflict_claim *claim,
                          const struct range_node *map, const struct range_dels *dels)
{
    struct range_window window = {.to = claim->key};

    if (map == NULL && dels == NULL) {
        return false;
    }
    do {
        window_at(map, dels, window.to, &window);
        if (window.sequence > q->sequence) {
            return true;
        }
    } while (claim->is_range && window.to.size > 0 && !ends_before(claim, window.to));
    return false;
}

/* ---- memtables ---- */

static int memtable_changed(const struct question *q, const struct conflict_claim *claim,
                            const struct memtable *memtable, uint64_t hash)
{
    struct iter *iter = NULL;
    struct kv_slice value;
    uint64_t trailer;
    int r;

    if (memtable == NULL) {
        return 0;
    }
    if (cover_changed(q, claim, range_map_at(memtable_ranges(memtable), ROW_SEQUENCE_MAX), NULL)) {
        return -EAGAIN;
    }
    if (!claim->is_range) {
        return memtable_get(memtable, claim->key, hash, ROW_SEQUENCE_MAX, &trailer, &value) &&
                       row_sequence(trailer) > q->sequence
                   ? -EAGAIN
                   : 0;
    }
    r = memtable_iter_create(memtable, &iter);
    return r < 0 ? r : rows_changed(q, claim, iter);
}

static int memory_changed(const struct question *q, const struct conflict_claim *claim)
{
    uint64_t hash = claim->is_range ? 0 : filter_hash_key(claim->key);
    uint32_t id = claim->table->id;
    int r = memtable_changed(q, claim, q->view->active->memtables[id - 1], hash);

    for (unsigned i = q->view->immutable_count; i-- > 0 && r == 0;) {
        const struct generation *generation = q->view->immutable[i];
        if (generation->sequence_last <= q->sequence) {
            break; /* nor do older ones hold changes */
        }
        r = memtable_changed(q, claim, generation->memtables[id - 1], hash);
    }
    return r;
}

/* Is everything above the sequence number in memory? */
static bool memory_reaches(const struct view *view, uint64_t sequence)
{
    const struct generation *oldest = view->immutable_count > 0 ? view->immutable[0] : view->active;
    return oldest->sequence_first <= sequence + 1;
}

/* ---- tables ---- */

static int key_in_table_changed(const struct question *q, const struct conflict_claim *claim,
                                struct table *table)
{
    struct cached_block *block = NULL;
    struct kv_slice value;
    uint64_t trailer = 0;
    int r = 0;

    if (table_may_contain(table, filter_hash_key(claim->key))) {
        r = table_get(table, claim->key, ROW_SEQUENCE_MAX, &trailer, &value, &block);
    }
    cached_block_unref(block);
    return r > 0 ? row_sequence(trailer) > q->sequence ? -EAGAIN : 0 : r;
}

static bool file_meets(const struct file_meta *file, const struct conflict_claim *claim)
{
    if (claim->is_range) {
        return !ends_before(claim, kv_buf_slice(&file->smallest)) &&
               file_compare_end(file, claim->key) >= 0;
    }
    return kv_slice_compare(claim->key, kv_buf_slice(&file->smallest)) >= 0 &&
           file_compare_end(file, claim->key) >= 0;
}

static int file_changed(const struct question *q, const struct conflict_claim *claim,
                        struct file_meta *file)
{
    struct table *table = NULL;
    struct iter *iter = NULL;
    int r;

    if (file->sequence_max <= q->sequence || !file_meets(file, claim)) {
        return 0;
    }
    r = file_table(q->store, file, &table);
    if (r < 0) {
        return r;
    }
    if (cover_changed(q, claim, NULL, table_range_dels(table))) {
        return -EAGAIN;
    }
    if (!claim->is_range) {
        return key_in_table_changed(q, claim, table);
    }
    r = table_iter_create(table, true, &iter);
    return r < 0 ? r : rows_changed(q, claim, iter);
}

static int tables_changed(const struct question *q, const struct conflict_claim *claim)
{
    const struct table_files *files = version_table(q->view->version, claim->table->id);
    int r = 0;

    for (int level = 0; files != NULL && level < KV_LEVEL_COUNT && r == 0; level++) {
        const struct file_list *list = &files->levels[level];
        for (size_t i = 0; i < list->count && r == 0; i++) {
            r = file_changed(q, claim, list->files[i]);
        }
    }
    return r == 0 || r == -EAGAIN ? r : value_failed(q->store, r);
}

/* ---- both ---- */

static int anything_changed(const struct question *q, const struct conflict_claims *claims,
                            bool with_tables)
{
    int r = 0;
    for (size_t i = 0; i < claims->count && r == 0; i++) {
        const struct conflict_claim *claim = &claims->items[i];
        r = table_check(claim->table);
        r = r < 0 ? r : memory_changed(q, claim);
        if (r == 0 && with_tables) {
            r = tables_changed(q, claim);
        }
    }
    return r;
}

int conflict_find(struct kv_store *store, const struct conflict_claims *claims, uint64_t sequence)
{
    struct question q = {.store = store, .sequence = sequence};
    struct view *view;
    int r;

    if (visible_sequence(store) == sequence) {
        return 0;
    }
    view = view_acquire(store);
    q.view = view;
    r = anything_changed(&q, claims, !memory_reaches(view, sequence));
    view_release(view);
    return r;
}

/* The second answer. */
struct check {
    const struct conflict_claims *claims;
    uint64_t sequence; /* nothing changed up to it */
};

static int check_as_leader(struct kv_store *store, void *arg)
{
    const struct check *check = arg;
    struct question q = {.store = store, .sequence = check->sequence};
    struct view *view;
    int r = ANEW;

    if (store->last_sequence == check->sequence) {
        return 0;
    }
    view = view_acquire(store);
    q.view = view;
    if (memory_reaches(view, check->sequence)) {
        r = anything_changed(&q, check->claims, false);
    }
    view_release(view);
    return r;
}

int conflict_write(struct kv_store *store, struct kv_batch *batch, enum kv_durability durability,
                   const struct conflict_claims *claims, uint64_t sequence)
{
    struct check check = {.claims = claims, .sequence = sequence};
    int r;

    do {
        /* Read before the view is taken, so that all rows up to it are in the view. */
        uint64_t seen = visible_sequence(store);
        r = conflict_find(store, claims, check.sequence);
        if (r < 0) {
            return r;
        }
        check.sequence = seen;
        r = write_checked(store, batch, durability, check_as_leader, &check);
    } while (r == ANEW);
    return r;
}
