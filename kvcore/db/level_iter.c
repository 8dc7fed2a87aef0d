/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/merge_iter.h"
#include "kvcore/db/range_iter.h"
#include "kvcore/db/view.h"

#include <stdlib.h>

struct level_iter {
    struct iter base;
    struct kv_store *store;
    const struct file_list *list;
    struct file_slice slice; /* of the list */
    bool keep_cache;
    size_t index;      /* of the file that `file` walks */
    struct iter *file; /* NULL: none open */
};

/* Walk file `index` from now on. False: past the ends, also below 0, or an error. */
static bool open_file(struct level_iter *l, size_t index)
{
    struct table *table;
    int r;

    if (l->file != NULL && l->index == index) {
        return true;
    }
    iter_destroy(l->file);
    l->file = NULL;
    if (index < l->slice.from || index >= l->slice.to) {
        return false;
    }
    r = file_table(l->store, l->list->files[index], &table);
    r = r < 0 ? r : table_iter_create(table, l->keep_cache, &l->file);
    if (r < 0) {
        l->base.error = r;
        l->file = NULL;
        return false;
    }
    l->index = index;
    return true;
}

/* Show the file's row, or its error, or go on to the first (last) row of the next (previous) file.
 */
static void settle(struct level_iter *l, bool forward)
{
    l->base.valid = false;
    while (l->file != NULL) {
        if (l->file->valid) {
            l->base.valid = true;
            l->base.row = l->file->row;
            return;
        }
        l->base.error = l->file->error;
        if (l->base.error != 0 || !open_file(l, forward ? l->index + 1 : l->index - 1)) {
            return;
        }
        if (forward) {
            iter_seek_first(l->file);
        } else {
            iter_seek_last(l->file);
        }
    }
}

static void level_seek(struct iter *base, struct kv_slice key, uint64_t trailer)
{
    struct level_iter *l = (struct level_iter *)base;
    size_t index = file_list_find(l->list, key);
    base->error = 0;
    if (open_file(l, index > l->slice.from ? index : l->slice.from)) {
        iter_seek(l->file, key, trailer);
    }
    settle(l, true);
}

static void level_seek_first(struct iter *base)
{
    struct level_iter *l = (struct level_iter *)base;
    base->error = 0;
    if (open_file(l, l->slice.from)) {
        iter_seek_first(l->file);
    }
    settle(l, true);
}

static void level_seek_last(struct iter *base)
{
    struct level_iter *l = (struct level_iter *)base;
    base->error = 0;
    if (open_file(l, l->slice.to - 1)) { /* none: an index past the ends */
        iter_seek_last(l->file);
    }
    settle(l, false);
}

static void level_next(struct iter *base)
{
    struct level_iter *l = (struct level_iter *)base;
    iter_next(l->file);
    if (l->file->valid) {
        base->row = l->file->row;
        return;
    }
    settle(l, true);
}

static void level_prev(struct iter *base)
{
    struct level_iter *l = (struct level_iter *)base;
    iter_prev(l->file);
    if (l->file->valid) {
        base->row = l->file->row;
        return;
    }
    settle(l, false);
}

static void level_destroy(struct iter *base)
{
    struct level_iter *l = (struct level_iter *)base;
    iter_destroy(l->file);
    free(l);
}

int level_iter_create(struct kv_store *store, const struct file_list *list, struct file_slice slice,
                      bool keep_cache, struct iter **ret_iter)
{
    static const struct iter_ops ops = {.seek = level_seek,
                                        .seek_first = level_seek_first,
                                        .seek_last = level_seek_last,
                                        .next = level_next,
                                        .prev = level_prev,
                                        .destroy = level_destroy};
    struct level_iter *l = calloc(1, sizeof *l);
    if (l == NULL) {
        return -ENOMEM;
    }
    l->base.ops = &ops;
    l->store = store;
    l->list = list;
    l->slice = slice;
    l->keep_cache = keep_cache;
    *ret_iter = &l->base;
    return 0;
}

/* ---- all sources of a view ---- */

/* The iterators of a view and, beside each, its range deletes. */
struct collector {
    struct kv_store *store;
    struct iter_list list;
    struct range_sources *ranges; /* NULL: no source has any */
    const struct view_iter_options *options;
    uint64_t filtered; /* tables whose rows are passed over, as their filters say */
};

static int add(struct collector *c, struct iter *take_iter, const struct range_source *ranges)
{
    int r = iter_list_add(&c->list, take_iter);
    return r < 0 || c->ranges == NULL ? r : range_sources_add(c->ranges, ranges);
}

static int add_memtable(struct collector *c, const struct generation *generation, uint32_t table_id)
{
    const struct memtable *memtable = generation->memtables[table_id - 1];
    struct range_source ranges = {0};
    struct iter *it = NULL;
    int r;

    if (memtable == NULL || memtable_is_empty(memtable)) {
        return 0;
    }
    ranges.map = range_map_at(memtable_ranges(memtable), c->options->sequence);
    r = memtable_iter_create(memtable, &it);
    return r < 0 ? r : add(c, it, &ranges);
}

/* The table's rows matter, as far as its filter tells. One that cannot be opened does: whoever
 * reads it finds out. */
static bool has_rows(struct collector *c, struct file_meta *file)
{
    struct table *table = NULL;
    bool has = c->options->bounds.prefix_size == 0 || file_table(c->store, file, &table) < 0 ||
               iter_bounds_may_hold(&c->options->bounds, table);
    c->filtered += !has;
    return has;
}

static int add_l0_file(struct collector *c, const struct file_list *list, size_t i)
{
    struct range_source ranges = {0};
    struct table *table = NULL;
    struct iter *it = NULL;
    bool rows;
    int r;

    if (!iter_bounds_meet(&c->options->bounds, list->files[i])) {
        return 0;
    }
    rows = has_rows(c, list->files[i]);
    r = file_table(c->store, list->files[i], &table);
    if (r == 0 && !rows && table_range_dels(table) == NULL) {
        return 0;
    }
    if (r == 0 && rows) {
        r = table_iter_create(table, c->options->keep_cache, &it);
    } else if (r == 0) {
        r = level_iter_create(c->store, list, (struct file_slice){0}, false, &it);
    }
    if (r < 0) {
        return r;
    }
    ranges.dels = table_range_dels(table);
    return add(c, it, &ranges);
}

/* Between the first and the last file whatever a file holds is within the bounds, so that filters
 * have nothing to say of those. */
static struct file_slice slice_level(struct collector *c, const struct file_list *list)
{
    struct file_slice slice = iter_bounds_slice(&c->options->bounds, list);
    if (slice.from < slice.to && !has_rows(c, list->files[slice.from])) {
        slice.from++;
    }
    if (slice.from < slice.to && !has_rows(c, list->files[slice.to - 1])) {
        slice.to--;
    }
    return slice;
}

static int add_level(struct collector *c, const struct file_list *list)
{
    struct range_source ranges = {.level = list->has_range_deletes ? list : NULL};
    struct file_slice slice = slice_level(c, list);
    struct iter *it = NULL;
    int r;

    if (slice.from == slice.to && ranges.level == NULL) {
        return 0;
    }
    r = level_iter_create(c->store, list, slice, c->options->keep_cache, &it);
    return r < 0 ? r : add(c, it, &ranges);
}

static int add_levels(struct collector *c, const struct table_files *files)
{
    int r = 0;
    for (size_t i = 0; i < files->levels[0].count && r == 0; i++) {
        r = add_l0_file(c, &files->levels[0], i);
    }
    for (int level = 1; level < KV_LEVEL_COUNT && r == 0; level++) {
        if (files->levels[level].count > 0) {
            r = add_level(c, &files->levels[level]);
        }
    }
    if (c->filtered > 0) {
        count_add(&reader_place(c->store)->prefix_useful, c->filtered);
    }
    return r;
}

static bool memtable_deletes_ranges(const struct generation *generation, uint32_t table_id)
{
    const struct memtable *memtable = generation->memtables[table_id - 1];
    return memtable != NULL && !range_map_is_empty(memtable_ranges(memtable));
}

static bool any_range_deletes(const struct view *view, uint32_t table_id)
{
    const struct table_files *files = version_table(view->version, table_id);
    bool any = memtable_deletes_ranges(view->active, table_id);

    for (unsigned i = 0; i < view->immutable_count; i++) {
        any |= memtable_deletes_ranges(view->immutable[i], table_id);
    }
    return any || (files != NULL && files->has_range_deletes);
}

/* Sources that are newer than every range delete stay as they are. */
static int hide_ranges(struct collector *c)
{
    int r = 0;
    if (c->ranges == NULL) {
        return 0;
    }
    for (size_t i = c->ranges->first; i < c->list.count && r == 0; i++) {
        r = range_iter_create(c->ranges, i, c->list.items[i], &c->list.items[i]);
    }
    return r;
}

int view_iter_create(struct kv_store *store, const struct view *view, uint32_t table_id,
                     const struct view_iter_options *options, struct iter **ret_iter)
{
    struct collector c = {.store = store, .options = options};
    const struct table_files *files = version_table(view->version, table_id);
    int r = 0;

    if (any_range_deletes(view, table_id)) {
        r = range_sources_create(store, options->sequence, &c.ranges);
    }
    r = r < 0 ? r : add_memtable(&c, view->active, table_id);
    for (unsigned i = view->immutable_count; i-- > 0 && r == 0;) {
        r = add_memtable(&c, view->immutable[i], table_id);
    }
    if (files != NULL && r == 0) {
        r = add_levels(&c, files);
    }
    r = r < 0 ? r : hide_ranges(&c);
    r = r < 0 ? r : iter_list_merge(&c.list, ret_iter);
    iter_list_finish(&c.list);
    range_sources_unref(c.ranges);
    return r;
}
