/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/reclaim_walk.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "kvcore/blob/blob_pointer.h"
#include "kvcore/db/view.h"

void candidates_finish(struct candidates *candidates)
{
    for (size_t i = 0; i < candidates->count; i++) {
        free(candidates->items[i].live.words);
    }
    free(candidates->items);
    *candidates = (struct candidates){0};
}

int candidates_create(const struct version *version, const uint64_t *numbers, size_t count,
                      struct candidates *ret_candidates)
{
    struct candidates candidates = {0};

    candidates.items = calloc(count + 1, sizeof *candidates.items);
    if (candidates.items == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        const struct version_blob *blob = version_find_blob(version, numbers[i]);
        struct candidate *candidate = &candidates.items[candidates.count];
        if (blob == NULL) {
            continue;
        }
        candidate->info = blob->info;
        candidate->live.pages = (size_t)((blob->info.file_size + RECLAIM_PAGE - 1) / RECLAIM_PAGE);
        candidate->live.words = calloc(candidate->live.pages / 64 + 1, sizeof(uint64_t));
        if (candidate->live.words == NULL) {
            candidates_finish(&candidates);
            return -ENOMEM;
        }
        candidates.count++;
    }
    *ret_candidates = candidates;
    return 0;
}

void candidates_look(const struct candidates *candidates, const struct version *version)
{
    for (size_t i = 0; i < candidates->count; i++) {
        const struct version_blob *blob =
            version_find_blob(version, candidates->items[i].info.number);
        candidates->items[i].referenced = blob != NULL ? blob->referenced : 0;
    }
}

struct candidate *candidates_find(const struct candidates *candidates, uint64_t number)
{
    size_t low = 0;
    size_t high = candidates->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (candidates->items[middle].info.number < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < candidates->count && candidates->items[low].info.number == number
               ? &candidates->items[low]
               : NULL;
}

static void mark_page(struct page_map *map, uint64_t page)
{
    if (page < map->pages) {
        map->words[page / 64] |= (uint64_t)1 << page % 64;
    }
}

/* `in_table`: the row is one of those that the manifest has counted. */
static void mark_row(const struct candidates *candidates, const struct row *row, bool in_table)
{
    struct candidate *candidate;
    struct blob_pointer pointer;

    if (row_kind(row->trailer) != ROW_BLOB || row->value.size < BLOB_POINTER_NUMBER_SIZE) {
        return;
    }
    candidate = candidates_find(candidates, coding_get_u64(row->value.data));
    if (candidate == NULL) {
        return;
    }
    candidate->rows++;
    if (blob_pointer_decode(row->value, &pointer) < 0) {
        candidate->out = true;
        return;
    }
    candidate->table_bytes += in_table ? pointer.stored_size : 0;
    for (uint64_t at = pointer.offset - pointer.offset % RECLAIM_PAGE;
         at < (uint64_t)pointer.offset + pointer.stored_size; at += RECLAIM_PAGE) {
        mark_page(&candidate->live, at / RECLAIM_PAGE);
    }
}

static int walk_rows(const struct kv_store *store, const struct candidates *candidates,
                     struct iter *it, bool in_table)
{
    for (iter_seek_first(it); it->valid; iter_next(it)) {
        if (atomic_load_explicit(&store->stopping, memory_order_relaxed)) {
            return -ECANCELED;
        }
        mark_row(candidates, it->row, in_table);
    }
    return it->error;
}

/* A table that is made meanwhile has newer rows only, which do not matter. */
static int walk_generation(struct kv_store *store, const struct candidates *candidates,
                           const struct generation *generation)
{
    const struct memtable *memtables[KV_TABLE_COUNT_MAX];
    int r = 0;

    view_list_memtables(store, generation, memtables);
    for (uint32_t id = 1; id <= KV_TABLE_COUNT_MAX && r == 0; id++) {
        struct iter *it = NULL;
        if (memtables[id - 1] != NULL) {
            r = memtable_iter_create(memtables[id - 1], &it);
            r = r < 0 ? r : walk_rows(store, candidates, it, false);
            iter_destroy(it);
        }
    }
    return r;
}

static bool names_one(const struct file_meta *file, const struct candidates *candidates)
{
    for (size_t i = 0; i < file->blobs.count; i++) {
        const struct candidate *candidate =
            candidates_find(candidates, file->blobs.items[i].number);
        if (candidate != NULL && !candidate->out) {
            return true;
        }
    }
    return false;
}

static void take_out(const struct file_meta *file, const struct candidates *candidates)
{
    for (size_t i = 0; i < file->blobs.count; i++) {
        struct candidate *candidate = candidates_find(candidates, file->blobs.items[i].number);
        if (candidate != NULL) {
            candidate->out = true;
        }
    }
}

static int walk_file(struct kv_store *store, const struct candidates *candidates,
                     struct file_meta *file)
{
    struct table *table = NULL;
    struct iter *it = NULL;
    int r = file_table(store, file, &table);

    r = r < 0 ? r : table_iter_create(table, true, &it);
    r = r < 0 ? r : walk_rows(store, candidates, it, true);
    iter_destroy(it);
    if (r < 0 && r != -ENOMEM && r != -ECANCELED) {
        take_out(file, candidates);
        r = 0;
    }
    return r;
}

static int walk_files(struct kv_store *store, const struct candidates *candidates,
                      const struct table_files *files)
{
    int r = 0;
    for (int level = 0; level < KV_LEVEL_COUNT; level++) {
        const struct file_list *list = &files->levels[level];
        for (size_t i = 0; i < list->count && r == 0; i++) {
            if (names_one(list->files[i], candidates)) {
                r = walk_file(store, candidates, list->files[i]);
            }
        }
    }
    return r;
}

static void check_sums(const struct kv_store *store, const struct candidates *candidates)
{
    for (size_t i = 0; i < candidates->count; i++) {
        struct candidate *candidate = &candidates->items[i];
        if (!candidate->out && candidate->table_bytes != candidate->referenced) {
            candidate->out = true;
            message(&store->sink, KV_MESSAGE_ERROR,
                    "%s: rows point at %" PRIu64 " bytes of blob %08" PRIu64
                    ", the manifest says %" PRIu64 "; nothing of it is given back, run kvfs fsck",
                    store->storage->ops->name(store->storage), candidate->table_bytes,
                    candidate->info.number, candidate->referenced);
        }
    }
}

int reclaim_walk(struct kv_store *store, const struct view *view,
                 const struct candidates *candidates)
{
    int r = walk_generation(store, candidates, view->active);

    for (unsigned i = 0; i < view->immutable_count && r == 0; i++) {
        r = walk_generation(store, candidates, view->immutable[i]);
    }
    for (uint32_t id = 1; id <= KV_TABLE_COUNT_MAX && r == 0; id++) {
        const struct table_files *files = version_table(view->version, id);
        if (files != NULL) {
            r = walk_files(store, candidates, files);
        }
    }
    if (r == 0) {
        check_sums(store, candidates);
    }
    return r;
}
