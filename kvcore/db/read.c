/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/read.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "kvcore/db/latency.h"
#include "kvcore/db/value.h"
#include "kvcore/db/view.h"

enum { CANDIDATES_MAX = L0_STOP_FILES + KV_LEVEL_COUNT + IMMUTABLE_MAX };

struct candidates {
    struct table *tables[CANDIDATES_MAX];
    size_t count;
};

static int add_candidate(struct kv_store *store, struct candidates *candidates,
                         struct file_meta *file, struct kv_slice key, uint64_t hash)
{
    struct table *table = NULL;
    int r;

    if (kv_slice_compare(key, kv_buf_slice(&file->smallest)) < 0 ||
        file_compare_end(file, key) < 0) {
        return 0;
    }
    r = file_table(store, file, &table);
    if (r < 0) {
        return r;
    }
    assert(candidates->count < CANDIDATES_MAX);
    table_prefetch_filter(table, hash);
    candidates->tables[candidates->count++] = table;
    return 0;
}

/* What one lookup found, before it is handed out. */
struct found {
    uint64_t trailer;
    struct kv_slice value;
    struct cached_block *block; /* referenced; NULL: in a memtable */
};

/* Newest range delete of a table that covers the key, as its sequence number; 0: none. */
static uint64_t covered_by(const struct table *table, struct kv_slice key, uint64_t sequence)
{
    const struct range_dels *dels = table_range_dels(table);
    struct range_window window;

    if (dels == NULL) {
        return 0;
    }
    range_dels_window(dels, key, sequence, &window);
    return window.sequence;
}

/* A range delete came up that is newer than `found`, if there is one: it decides, as all that was
 * not looked at yet is older still. */
static int take_cover(struct found *found, bool any, uint64_t cover)
{
    if (cover == 0 || (any && row_sequence(found->trailer) > cover)) {
        return any;
    }
    cached_block_unref(found->block);
    *found = (struct found){.trailer = row_trailer(cover, ROW_RANGE_DELETE)};
    return 1;
}

static int probe(struct kv_store *store, const struct candidates *candidates, struct kv_slice key,
                 uint64_t hash, uint64_t sequence, struct found *found)
{
    for (size_t i = 0; i < candidates->count; i++) {
        struct table *table = candidates->tables[i];
        int r = 0;
        if (table_may_contain(table, hash)) {
            r = table_get(table, key, sequence, &found->trailer, &found->value, &found->block);
        } else {
            count_add(&reader_place(store)->filter_useful, 1);
        }
        r = r < 0 ? r : take_cover(found, r > 0, covered_by(table, key, sequence));
        if (r != 0) {
            return r;
        }
    }
    return 0;
}

/* At most one table of each level below level 0. */
static int add_deep_candidates(struct kv_store *store, const struct table_files *files,
                               struct kv_slice key, uint64_t hash, struct candidates *candidates)
{
    int r = 0;
    for (int level = 1; level < KV_LEVEL_COUNT && r == 0; level++) {
        const struct file_list *list = &files->levels[level];
        size_t i = file_list_find(list, key);
        if (i < list->count) {
            r = add_candidate(store, candidates, list->files[i], key, hash);
        }
    }
    return r;
}

/* 1 found, 0 not, or an error. Level 0 first: its tables may overlap and are newer. */
static int search_tables(struct kv_store *store, const struct table_files *files,
                         struct kv_slice key, uint64_t hash, uint64_t sequence, struct found *found)
{
    struct candidates candidates = {.count = 0};
    const struct file_list *l0 = &files->levels[0];
    int r = 0;

    for (size_t i = 0; i < l0->count && r == 0; i++) {
        if (candidates.count == CANDIDATES_MAX - KV_LEVEL_COUNT) {
            r = probe(store, &candidates, key, hash, sequence, found);
            if (r != 0) {
                return r;
            }
            candidates.count = 0;
        }
        r = add_candidate(store, &candidates, l0->files[i], key, hash);
    }
    r = r < 0 ? r : add_deep_candidates(store, files, key, hash, &candidates);
    return r < 0 ? r : probe(store, &candidates, key, hash, sequence, found);
}

/* All tables that may hold the key, in the order in which they are to be asked, with their filters
 * on the way to the processor. 1, 0: there are too many at once, or an error. */
static int gather_candidates(struct kv_store *store, const struct table_files *files,
                             struct kv_slice key, uint64_t hash, struct candidates *candidates)
{
    const struct file_list *l0 = &files->levels[0];
    int r = 0;

    candidates->count = 0;
    if (l0->count > CANDIDATES_MAX - KV_LEVEL_COUNT) {
        return 0;
    }
    for (size_t i = 0; i < l0->count && r == 0; i++) {
        r = add_candidate(store, candidates, l0->files[i], key, hash);
    }
    r = r < 0 ? r : add_deep_candidates(store, files, key, hash, candidates);
    return r < 0 ? r : 1;
}

static bool search_memtable(const struct memtable *memtable, struct kv_slice key, uint64_t hash,
                            uint64_t sequence, struct found *found)
{
    const struct range_node *ranges;
    struct range_window window;
    bool any;

    if (memtable == NULL) {
        return false;
    }
    any = memtable_get(memtable, key, hash, sequence, &found->trailer, &found->value);
    ranges = range_map_at(memtable_ranges(memtable), sequence);
    if (ranges == NULL) {
        return any;
    }
    range_node_window(ranges, key, &window);
    return take_cover(found, any, window.sequence);
}

static bool search_memtables(const struct view *view, uint32_t table_id, struct kv_slice key,
                             uint64_t hash, uint64_t sequence, struct found *found)
{
    if (search_memtable(view->active->memtables[table_id - 1], key, hash, sequence, found)) {
        return true;
    }
    for (unsigned i = view->immutable_count; i-- > 0;) {
        if (search_memtable(view->immutable[i]->memtables[table_id - 1], key, hash, sequence,
                            found)) {
            return true;
        }
    }
    return false;
}

static void unpin_view(void *pin)
{
    view_release(pin);
}

static void unpin_block(void *pin)
{
    cached_block_unref(pin);
}

int damaged_row(struct kv_table *table)
{
    struct kv_store *store = table->store;
    return message_damage(
        &store->sink,
        "%s: a row of table %s was lost to damage that was found before; write or "
        "delete its key to clear it",
        store->storage->ops->name(store->storage), table->name);
}

static void unpin_copy(void *pin)
{
    free(pin);
}

/* The bytes of a large value are the caller's own. */
static int hand_out_large(struct kv_table *table, struct kv_slice stored,
                          struct kv_pinned *ret_value)
{
    struct blob_pointer pointer;
    struct kv_buf bytes = {0};
    int r = value_pointer(table, stored, &pointer);

    r = r < 0 ? r : value_read(table->store, &pointer, &bytes);
    if (r < 0) {
        kv_buf_finish(&bytes);
        return r;
    }
    *ret_value =
        (struct kv_pinned){.value = kv_buf_slice(&bytes), .pin = bytes.data, .unpin = unpin_copy};
    return 0;
}

/* Turn what was found into the answer. Takes over the references that the answer keeps. */
static int hand_out(struct kv_table *table, struct found *found, struct view **view,
                    struct kv_pinned *ret_value)
{
    switch (row_kind(found->trailer)) {
    case ROW_PUT:
        if (found->block != NULL) {
            *ret_value = (struct kv_pinned){
                .value = found->value, .pin = found->block, .unpin = unpin_block};
            found->block = NULL;
        } else {
            *ret_value =
                (struct kv_pinned){.value = found->value, .pin = *view, .unpin = unpin_view};
            *view = NULL;
        }
        return 0;
    case ROW_BLOB:
        return hand_out_large(table, found->value, ret_value);
    case ROW_DELETE:
    case ROW_RANGE_DELETE:
        return -ENOENT;
    default:
        return damaged_row(table);
    }
}

/* The newest row of the key, whatever its kind. 1, 0 none, or an error. */
static int find_row(struct kv_table *table, const struct kv_snapshot *snapshot, struct kv_slice key,
                    const struct view *view, struct found *found)
{
    uint64_t sequence = snapshot != NULL ? snapshot->sequence : visible_sequence(table->store);
    const struct table_files *files = version_table(view->version, table->id);
    uint64_t hash = filter_hash_key(key);
    int r = table_check(table);

    r = r < 0 ? r : search_memtables(view, table->id, key, hash, sequence, found);
    if (r == 0 && files != NULL) {
        r = search_tables(table->store, files, key, hash, sequence, found);
    }
    return r < 0 ? value_failed(table->store, r) : r;
}

int kv_exists(struct kv_table *table, const struct kv_snapshot *snapshot, struct kv_slice key)
{
    struct reader_place *place = reader_place(table->store);
    struct view *view = view_acquire_at(table->store, snapshot);
    struct found found = {0};
    int r = find_row(table, snapshot, key, view, &found);
    enum row_kind kind = row_kind(found.trailer);

    if (r > 0 && kind != ROW_PUT && kind != ROW_BLOB) {
        r = kind == ROW_DELETE || kind == ROW_RANGE_DELETE ? 0 : damaged_row(table);
    }
    count_add(&place->gets, 1);
    count_add(&place->gets_found, r > 0);
    cached_block_unref(found.block);
    view_release(view);
    return r > 0 ? 0 : r < 0 ? r : -ENOENT;
}

int kv_get(struct kv_table *table, const struct kv_snapshot *snapshot, struct kv_slice key,
           struct kv_pinned *ret_value)
{
    struct kv_store *store = table->store;
    struct reader_place *place = reader_place(store);
    uint64_t began = latency_begin(&place->gets, LATENCY_GET_ONE_IN);
    struct view *view = view_acquire_at(store, snapshot);
    struct found found = {0};
    int r = find_row(table, snapshot, key, view, &found);

    count_add(&place->gets, 1);
    if (r > 0) {
        r = hand_out(table, &found, &view, ret_value);
    } else if (r == 0) {
        r = -ENOENT;
    }
    if (r == 0) {
        count_add(&place->gets_found, 1);
    }
    cached_block_unref(found.block);
    view_release(view);
    latency_end(store, place, KV_LATENCY_GET, began);
    return r;
}

/* ---- several keys ----
 *
 * What one lookup waits for most is memory: lines of filters. So of each key it is first said what
 * will be looked at, and only then is it looked at. */

enum { LOOKUPS = 16 }; /* at a time: about as many lines as a processor has on the way at once */

struct lookup {
    uint64_t hash;
    struct found found;
    struct candidates candidates;
    int result; /* 1 found, 0 the candidates are to be asked, or an error */
    bool gathered;
};

/* What all keys of one call have in common. */
struct many {
    struct kv_table *table;
    struct view *view;
    const struct table_files *files;
    uint64_t sequence;
    uint64_t found_count;
};

static void prefetch_memtables(const struct view *view, uint64_t hash)
{
    __builtin_prefetch(row_filter_word(&view->active->filter, hash));
    for (unsigned i = 0; i < view->immutable_count; i++) {
        __builtin_prefetch(row_filter_word(&view->immutable[i]->filter, hash));
    }
}

static void lookup_begin(const struct many *many, struct kv_slice key, struct lookup *lookup)
{
    lookup->result = search_memtables(many->view, many->table->id, key, lookup->hash,
                                      many->sequence, &lookup->found);
    if (lookup->result == 0 && many->files != NULL) {
        int r = gather_candidates(many->table->store, many->files, key, lookup->hash,
                                  &lookup->candidates);
        lookup->gathered = r > 0;
        lookup->result = r < 0 ? r : 0;
    }
}

/* Ask the tables and hand out what there is. */
static void lookup_end(struct many *many, struct kv_slice key, struct lookup *lookup,
                       struct kv_get_result *ret_result)
{
    struct kv_store *store = many->table->store;
    struct view *view = many->view;
    int r = lookup->result;

    if (r == 0 && many->files != NULL) {
        r = lookup->gathered ? probe(store, &lookup->candidates, key, lookup->hash, many->sequence,
                                     &lookup->found)
                             : search_tables(store, many->files, key, lookup->hash, many->sequence,
                                             &lookup->found);
    }
    if (r > 0 && lookup->found.block == NULL) {
        view_ref(view); /* which the value keeps */
        r = hand_out(many->table, &lookup->found, &view, &ret_result->value);
        view_release(view);
    } else if (r > 0) {
        r = hand_out(many->table, &lookup->found, &view, &ret_result->value);
    } else {
        r = r == 0 ? -ENOENT : value_failed(store, r);
    }
    cached_block_unref(lookup->found.block);
    ret_result->error = r;
    many->found_count += r == 0;
}

int kv_multi_get(struct kv_table *table, const struct kv_snapshot *snapshot,
                 const struct kv_slice *keys, size_t count, struct kv_get_result *ret_results)
{
    struct kv_store *store = table->store;
    struct lookup lookups[LOOKUPS];
    struct many many = {.table = table};

    many.view = view_acquire_at(store, snapshot);
    int r = table_check(table);
    if (r < 0) {
        view_release(many.view);
        return r;
    }
    many.sequence = snapshot != NULL ? snapshot->sequence : visible_sequence(store);
    many.files = version_table(many.view->version, table->id);
    for (size_t from = 0; from < count; from += LOOKUPS) {
        size_t n = count - from < LOOKUPS ? count - from : LOOKUPS;
        for (size_t i = 0; i < n; i++) {
            ret_results[from + i] = (struct kv_get_result){0};
            lookups[i].found = (struct found){0};
            lookups[i].gathered = false;
            lookups[i].hash = filter_hash_key(keys[from + i]);
            prefetch_memtables(many.view, lookups[i].hash);
        }
        for (size_t i = 0; i < n; i++) {
            lookup_begin(&many, keys[from + i], &lookups[i]);
        }
        for (size_t i = 0; i < n; i++) {
            lookup_end(&many, keys[from + i], &lookups[i], &ret_results[from + i]);
        }
    }
    view_release(many.view);
    count_add(&reader_place(store)->gets, count);
    count_add(&reader_place(store)->gets_found, many.found_count);
    return 0;
}

void kv_pinned_release(struct kv_pinned *value)
{
    if (value->unpin != NULL) {
        value->unpin(value->pin);
    }
    *value = (struct kv_pinned){0};
}

int kv_get_copy(struct kv_table *table, const struct kv_snapshot *snapshot, struct kv_slice key,
                struct kv_buf *value)
{
    struct kv_pinned pinned = {0};
    int r = kv_get(table, snapshot, key, &pinned);
    if (r < 0) {
        return r;
    }
    r = kv_buf_assign(value, pinned.value);
    kv_pinned_release(&pinned);
    return r;
}
