/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/range_iter.h"

#include <stdlib.h>

#include "kvcore/db/view.h"

/* ---- sources ---- */

int range_sources_create(struct kv_store *store, uint64_t sequence,
                         struct range_sources **ret_sources)
{
    struct range_sources *sources = calloc(1, sizeof *sources);
    if (sources == NULL) {
        return -ENOMEM;
    }
    sources->store = store;
    sources->sequence = sequence;
    sources->refs = 1;
    sources->first = SIZE_MAX;
    *ret_sources = sources;
    return 0;
}

void range_sources_unref(struct range_sources *sources)
{
    if (sources != NULL && --sources->refs == 0) {
        free(sources->items);
        free(sources);
    }
}

int range_sources_add(struct range_sources *sources, const struct range_source *source)
{
    if (sources->count == sources->capacity) {
        size_t capacity = sources->capacity > 0 ? 2 * sources->capacity : 16;
        struct range_source *larger = realloc(sources->items, capacity * sizeof *larger);
        if (larger == NULL) {
            return -ENOMEM;
        }
        sources->items = larger;
        sources->capacity = capacity;
    }
    if (sources->first == SIZE_MAX &&
        (source->map != NULL || source->dels != NULL || source->level != NULL)) {
        sources->first = sources->count;
    }
    sources->items[sources->count++] = *source;
    return 0;
}

/* Of a level: what the file around the key says, within the file; and nothing between files. (A
 * file's last key itself is covered by none of its deletes, or the file would reach further.) */
static int level_window(const struct range_sources *sources, const struct file_list *list,
                        struct kv_slice key, struct range_window *ret_window)
{
    size_t i = file_list_find(list, key);
    struct range_window window = {0};
    struct range_window limits = {0};
    struct file_meta *file = i < list->count ? list->files[i] : NULL;
    struct table *table = NULL;
    int r;

    if (i > 0) {
        limits.from = kv_buf_slice(&list->files[i - 1]->largest);
    }
    if (file != NULL && kv_slice_compare(kv_buf_slice(&file->smallest), key) > 0) {
        limits.to = kv_buf_slice(&file->smallest);
    } else if (file != NULL) {
        limits.from = kv_buf_slice(&file->smallest);
        limits.to = i + 1 < list->count ? kv_buf_slice(&list->files[i + 1]->smallest) : limits.to;
        if (file->range_delete_count > 0) {
            r = file_table(sources->store, file, &table);
            if (r < 0) {
                return r;
            }
            range_dels_window(table_range_dels(table), key, sources->sequence, &window);
        }
    }
    range_window_narrow(&window, &limits);
    *ret_window = window;
    return 0;
}

static int source_window(const struct range_sources *sources, size_t index, struct kv_slice key,
                         struct range_window *ret_window)
{
    const struct range_source *source = &sources->items[index];

    *ret_window = (struct range_window){0};
    if (source->map != NULL) {
        range_node_window(source->map, key, ret_window);
    } else if (source->dels != NULL) {
        range_dels_window(source->dels, key, sources->sequence, ret_window);
    } else if (source->level != NULL) {
        return level_window(sources, source->level, key, ret_window);
    }
    return 0;
}

/* ---- the wrapper ---- */

struct range_iter {
    struct iter base;
    struct range_sources *sources;
    size_t index;
    struct iter *child;
    bool known;  /* `window` says something */
    bool passed; /* a newer source covers it: every row of the child in it is hidden */
    struct range_window window; /* sequence: of the source's own deletes */
};

/* Look up what covers the key, unless it is known. */
static int look(struct range_iter *it, struct kv_slice key)
{
    struct range_window all = {0};
    struct range_window own = {0};
    int r;

    if (it->known && range_window_holds(&it->window, key)) {
        return 0;
    }
    it->known = false;
    for (size_t i = it->sources->first; i <= it->index; i++) {
        struct range_window one;
        r = source_window(it->sources, i, key, &one);
        if (r < 0) {
            return r;
        }
        if (i < it->index && one.sequence > 0) {
            it->window = one;
            it->passed = it->known = true;
            return 0;
        }
        range_window_narrow(&all, &one);
        own = one;
    }
    all.sequence = own.sequence;
    it->window = all;
    it->passed = false;
    it->known = true;
    return 0;
}

static void fail(struct range_iter *it, int error)
{
    it->base.valid = false;
    it->base.error = error;
}

/* The child goes to the last row before the key. */
static void seek_before(struct iter *child, struct kv_slice key)
{
    iter_seek(child, key, UINT64_MAX);
    if (child->valid) {
        iter_prev(child);
    } else if (child->error == 0) {
        iter_seek_last(child);
    }
}

/* Leave a range that is hidden as a whole. False: the child has no row beyond it. */
static bool pass(struct range_iter *it, bool forward)
{
    struct kv_slice beyond = forward ? it->window.to : it->window.from;
    if (forward) {
        iter_seek(it->child, beyond, UINT64_MAX); /* a delete has an end: never empty */
    } else {
        seek_before(it->child, beyond);
    }
    return it->child->valid;
}

/* From the child's row on to the first that is not hidden. */
static void settle(struct range_iter *it, bool forward)
{
    struct iter *child = it->child;

    while (child->valid) {
        int r = look(it, child->row->key);
        if (r < 0) {
            fail(it, r);
            return;
        }
        if (it->passed) {
            pass(it, forward);
        } else if (row_sequence(child->row->trailer) < it->window.sequence) {
            forward ? iter_next(child) : iter_prev(child);
        } else {
            it->base.valid = true;
            it->base.row = child->row;
            return;
        }
    }
    fail(it, child->error);
}

static void range_iter_seek(struct iter *base, struct kv_slice key, uint64_t trailer)
{
    struct range_iter *it = (struct range_iter *)base;
    int r = look(it, key);

    base->error = 0;
    if (r < 0) {
        fail(it, r);
        return;
    }
    if (it->passed) {
        pass(it, true); /* without touching what is hidden */
    } else {
        iter_seek(it->child, key, trailer);
    }
    settle(it, true);
}

static void range_iter_seek_first(struct iter *base)
{
    struct range_iter *it = (struct range_iter *)base;
    base->error = 0;
    iter_seek_first(it->child);
    settle(it, true);
}

static void range_iter_seek_last(struct iter *base)
{
    struct range_iter *it = (struct range_iter *)base;
    base->error = 0;
    iter_seek_last(it->child);
    settle(it, false);
}

static void range_iter_next(struct iter *base)
{
    struct range_iter *it = (struct range_iter *)base;
    iter_next(it->child);
    settle(it, true);
}

static void range_iter_prev(struct iter *base)
{
    struct range_iter *it = (struct range_iter *)base;
    iter_prev(it->child);
    settle(it, false);
}

static void range_iter_destroy(struct iter *base)
{
    struct range_iter *it = (struct range_iter *)base;
    iter_destroy(it->child);
    range_sources_unref(it->sources);
    free(it);
}

int range_iter_create(struct range_sources *sources, size_t index, struct iter *take_iter,
                      struct iter **ret_iter)
{
    static const struct iter_ops ops = {.seek = range_iter_seek,
                                        .seek_first = range_iter_seek_first,
                                        .seek_last = range_iter_seek_last,
                                        .next = range_iter_next,
                                        .prev = range_iter_prev,
                                        .destroy = range_iter_destroy};
    struct range_iter *it = calloc(1, sizeof *it);
    if (it == NULL) {
        return -ENOMEM;
    }
    it->base.ops = &ops;
    it->sources = sources;
    it->index = index;
    it->child = take_iter;
    sources->refs++;
    *ret_iter = &it->base;
    return 0;
}
