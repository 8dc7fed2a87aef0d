/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/table/range_dels.h"

#include <stdlib.h>

void range_dels_destroy(struct range_dels *dels)
{
    if (dels == NULL) {
        return;
    }
    free(dels->fragments);
    free(dels->sequences);
    free(dels->bytes);
    free(dels);
}

/* ---- searching ---- */

size_t range_dels_find(const struct range_dels *dels, struct kv_slice key)
{
    size_t low = 0;
    size_t high = dels->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (kv_slice_compare(dels->fragments[middle].to, key) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static uint64_t newest_visible(const struct range_fragment *fragment, uint64_t sequence)
{
    for (size_t i = 0; i < fragment->count; i++) {
        if (fragment->sequences[i] <= sequence) {
            return fragment->sequences[i];
        }
    }
    return 0;
}

void range_dels_window(const struct range_dels *dels, struct kv_slice key, uint64_t sequence,
                       struct range_window *ret_window)
{
    size_t i = range_dels_find(dels, key);
    const struct range_fragment *f = &dels->fragments[i];

    if (i < dels->count && kv_slice_compare(f->from, key) <= 0) {
        *ret_window = (struct range_window){
            .from = f->from, .to = f->to, .sequence = newest_visible(f, sequence)};
        return;
    }
    *ret_window = (struct range_window){0};
    if (i > 0) {
        ret_window->from = dels->fragments[i - 1].to;
    }
    if (i < dels->count) {
        ret_window->to = f->from;
    }
}

void range_window_narrow(struct range_window *window, const struct range_window *other)
{
    if (kv_slice_compare(other->from, window->from) > 0) {
        window->from = other->from;
    }
    if (other->to.size > 0 &&
        (window->to.size == 0 || kv_slice_compare(other->to, window->to) < 0)) {
        window->to = other->to;
    }
}

/* ---- from a block ---- */

static int dels_create(size_t fragments, size_t deletes, struct range_dels **ret_dels)
{
    struct range_dels *dels = calloc(1, sizeof *dels);
    if (dels == NULL) {
        return -ENOMEM;
    }
    dels->fragments = calloc(fragments + 1, sizeof *dels->fragments);
    dels->sequences = calloc(deletes + 1, sizeof *dels->sequences);
    dels->memory_bytes = sizeof *dels + (fragments + 1) * sizeof *dels->fragments +
                         (deletes + 1) * sizeof *dels->sequences;
    if (dels->fragments == NULL || dels->sequences == NULL) {
        range_dels_destroy(dels);
        return -ENOMEM;
    }
    dels->sequence_min = UINT64_MAX;
    *ret_dels = dels;
    return 0;
}

/* One more sequence number for the last fragment. There is room. */
static void push_sequence(struct range_dels *dels, uint64_t sequence)
{
    struct range_fragment *last = &dels->fragments[dels->count - 1];
    if (last->count == 0) {
        last->sequences = &dels->sequences[dels->delete_count];
    }
    dels->sequences[dels->delete_count++] = sequence;
    last->count++;
    dels->sequence_min = sequence < dels->sequence_min ? sequence : dels->sequence_min;
    dels->sequence_max = sequence > dels->sequence_max ? sequence : dels->sequence_max;
}

/* Both keys of row `index`, copied behind `*at`. */
static struct range_delete copy_row(const struct rows_block *rows, uint32_t index, uint8_t **at)
{
    struct kv_slice suffix = rows_block_suffix(rows, index);
    struct kv_slice end = rows_block_value(rows, index);
    struct range_delete row = {.sequence = row_sequence(rows_block_trailer(rows, index))};

    row.from = kv_slice(*at, rows->prefix.size + suffix.size);
    memcpy(*at, rows->prefix.data, rows->prefix.size);
    memcpy(*at + rows->prefix.size, suffix.data, suffix.size);
    *at += row.from.size;
    row.to = kv_slice(*at, end.size);
    memcpy(*at, end.data, end.size);
    *at += end.size;
    return row;
}

bool range_dels_push(struct range_dels *dels, const struct range_delete *row)
{
    const struct range_fragment *last = dels->count > 0 ? &dels->fragments[dels->count - 1] : NULL;

    if (row->from.size == 0 || row->sequence == 0 || kv_slice_compare(row->from, row->to) >= 0) {
        return false;
    }
    if (last == NULL || !kv_slice_equal(last->from, row->from)) {
        if (last != NULL && kv_slice_compare(last->to, row->from) > 0) {
            return false;
        }
        dels->fragments[dels->count++] = (struct range_fragment){.from = row->from, .to = row->to};
    } else if (!kv_slice_equal(last->to, row->to)) {
        return false;
    }
    push_sequence(dels, row->sequence); /* rows of a block ascend: newest first */
    return true;
}

int range_dels_create(size_t deletes, size_t key_bytes, struct range_dels **ret_dels)
{
    struct range_dels *dels = NULL;
    int r = dels_create(deletes, deletes, &dels);

    if (r < 0) {
        return r;
    }
    dels->bytes = malloc(key_bytes + 1);
    if (dels->bytes == NULL) {
        range_dels_destroy(dels);
        return -ENOMEM;
    }
    dels->memory_bytes += key_bytes + 1;
    *ret_dels = dels;
    return 0;
}

int range_dels_from_block(const struct rows_block *rows, struct range_dels **ret_dels)
{
    struct range_dels *dels = NULL;
    size_t bytes = (size_t)rows->count * rows->prefix.size +
                   (size_t)(rows->bytes + rows->size - rows->suffixes);
    uint8_t *at;
    int r = rows->single_kind == ROW_RANGE_DELETE ? range_dels_create(rows->count, bytes, &dels)
                                                  : -KV_EDAMAGED;

    if (r < 0) {
        return r;
    }
    at = dels->bytes;
    for (uint32_t i = 0; i < rows->count; i++) {
        struct range_delete row = copy_row(rows, i, &at);
        if (!range_dels_push(dels, &row)) {
            range_dels_destroy(dels);
            return -KV_EDAMAGED;
        }
    }
    *ret_dels = dels;
    return 0;
}

/* ---- building ---- */

void range_builder_finish(struct range_builder *builder)
{
    free(builder->deletes);
    free(builder->cuts);
    *builder = (struct range_builder){0};
}

int range_builder_add(struct range_builder *builder, const struct range_delete *range_delete)
{
    if (builder->count == builder->capacity) {
        size_t capacity = builder->capacity > 0 ? 2 * builder->capacity : 16;
        struct range_delete *larger = realloc(builder->deletes, capacity * sizeof *larger);
        if (larger == NULL) {
            return -ENOMEM;
        }
        builder->deletes = larger;
        builder->capacity = capacity;
    }
    builder->deletes[builder->count++] = *range_delete;
    return 0;
}

int range_builder_add_all(struct range_builder *builder, const struct range_dels *dels)
{
    int r = 0;
    for (size_t i = 0; i < dels->count; i++) {
        const struct range_fragment *f = &dels->fragments[i];
        for (size_t k = 0; k < f->count && r == 0; k++) {
            struct range_delete one = {.from = f->from, .to = f->to, .sequence = f->sequences[k]};
            r = range_builder_add(builder, &one);
        }
    }
    return r;
}

int range_builder_cut(struct range_builder *builder, struct kv_slice key)
{
    if (builder->cut_count == builder->cut_capacity) {
        size_t capacity = builder->cut_capacity > 0 ? 2 * builder->cut_capacity : 16;
        struct kv_slice *larger = realloc(builder->cuts, capacity * sizeof *larger);
        if (larger == NULL) {
            return -ENOMEM;
        }
        builder->cuts = larger;
        builder->cut_capacity = capacity;
    }
    builder->cuts[builder->cut_count++] = key;
    return 0;
}

size_t snapshot_stripe(const uint64_t *snapshots, size_t count, uint64_t sequence)
{
    size_t i = count;
    while (i > 0 && snapshots[i - 1] >= sequence) {
        i--;
    }
    return i;
}

static int compare_keys(const void *a, const void *b)
{
    return kv_slice_compare(*(const struct kv_slice *)a, *(const struct kv_slice *)b);
}

static int compare_newest_first(const void *a, const void *b)
{
    uint64_t sa = ((const struct range_delete *)a)->sequence;
    uint64_t sb = ((const struct range_delete *)b)->sequence;
    return (sa < sb) - (sa > sb);
}

/* Every place where a fragment may begin or end, in order. */
static size_t sort_bounds(struct kv_slice *bounds, size_t count)
{
    size_t kept = 0;
    qsort(bounds, count, sizeof *bounds, compare_keys);
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || !kv_slice_equal(bounds[kept - 1], bounds[i])) {
            bounds[kept++] = bounds[i];
        }
    }
    return kept;
}

/* One delete shows between bounds `piece` and `piece` + 1. */
struct shown {
    size_t piece;
    uint64_t sequence;
};

static int compare_shown(const void *a, const void *b)
{
    const struct shown *sa = a;
    const struct shown *sb = b;
    if (sa->piece != sb->piece) {
        return sa->piece < sb->piece ? -1 : 1;
    }
    return (sa->sequence < sb->sequence) - (sa->sequence > sb->sequence);
}

/* What is worked on while deletes are painted over the pieces between bounds, newest first: of the
 * deletes that look alike the first one to reach a piece stays. */
struct painter {
    struct kv_slice *bounds;
    size_t bound_count;
    size_t *next; /* for each piece the first one from it on that is not painted */
    struct shown *shown;
    size_t shown_count, shown_capacity;
};

static size_t next_unpainted(struct painter *p, size_t piece)
{
    size_t root = piece;
    while (p->next[root] != root) {
        root = p->next[root];
    }
    while (p->next[piece] != root) { /* shorten the way for those who come later */
        size_t behind = p->next[piece];
        p->next[piece] = root;
        piece = behind;
    }
    return root;
}

static int show(struct painter *p, size_t piece, uint64_t sequence)
{
    if (p->shown_count == p->shown_capacity) {
        size_t capacity = p->shown_capacity > 0 ? 2 * p->shown_capacity : 64;
        struct shown *larger = realloc(p->shown, capacity * sizeof *larger);
        if (larger == NULL) {
            return -ENOMEM;
        }
        p->shown = larger;
        p->shown_capacity = capacity;
    }
    p->shown[p->shown_count++] = (struct shown){.piece = piece, .sequence = sequence};
    return 0;
}

static size_t bound_index(const struct painter *p, struct kv_slice key)
{
    const struct kv_slice *at =
        bsearch(&key, p->bounds, p->bound_count, sizeof *p->bounds, compare_keys);
    return (size_t)(at - p->bounds);
}

static int paint(struct painter *p, const struct range_delete *range_delete)
{
    size_t end = bound_index(p, range_delete->to);
    size_t piece = next_unpainted(p, bound_index(p, range_delete->from));
    int r = 0;

    while (piece < end && r == 0) {
        r = show(p, piece, range_delete->sequence);
        p->next[piece] = piece + 1;
        piece = next_unpainted(p, piece + 1);
    }
    return r;
}

static int paint_all(struct painter *p, const struct range_builder *b, const uint64_t *snapshots,
                     size_t snapshot_count)
{
    size_t last_stripe = 0;
    int r = 0;

    for (size_t i = 0; i < b->count && r == 0; i++) {
        size_t stripe = snapshot_stripe(snapshots, snapshot_count, b->deletes[i].sequence);
        if (i == 0 || stripe != last_stripe) {
            for (size_t piece = 0; piece < p->bound_count; piece++) {
                p->next[piece] = piece;
            }
        }
        last_stripe = stripe;
        r = paint(p, &b->deletes[i]);
    }
    return r;
}

static int dels_from_shown(struct painter *p, struct range_dels **ret_dels)
{
    struct range_dels *dels = NULL;
    int r = dels_create(p->shown_count, p->shown_count, &dels);

    if (r < 0) {
        return r;
    }
    if (p->shown_count > 0) {
        qsort(p->shown, p->shown_count, sizeof *p->shown, compare_shown);
    }
    for (size_t i = 0; i < p->shown_count; i++) {
        size_t piece = p->shown[i].piece;
        if (i == 0 || p->shown[i - 1].piece != piece) {
            dels->fragments[dels->count++] =
                (struct range_fragment){.from = p->bounds[piece], .to = p->bounds[piece + 1]};
        }
        push_sequence(dels, p->shown[i].sequence);
    }
    *ret_dels = dels;
    return 0;
}

int range_builder_make(const struct range_builder *builder, const uint64_t *snapshots,
                       size_t snapshot_count, struct range_dels **ret_dels)
{
    const struct range_builder *b = builder;
    struct painter p = {0};
    size_t count = 0;
    int r = -ENOMEM;

    p.bounds = calloc(2 * b->count + b->cut_count + 1, sizeof *p.bounds);
    p.next = calloc(2 * b->count + b->cut_count + 1, sizeof *p.next);
    if (p.bounds == NULL || p.next == NULL) {
        goto out;
    }
    for (size_t i = 0; i < b->count; i++) {
        p.bounds[count++] = b->deletes[i].from;
        p.bounds[count++] = b->deletes[i].to;
    }
    for (size_t i = 0; i < b->cut_count; i++) {
        p.bounds[count++] = b->cuts[i];
    }
    p.bound_count = sort_bounds(p.bounds, count);
    if (b->count > 0) {
        qsort(b->deletes, b->count, sizeof *b->deletes, compare_newest_first);
    }
    r = paint_all(&p, b, snapshots, snapshot_count);
    r = r < 0 ? r : dels_from_shown(&p, ret_dels);
out:
    free(p.bounds);
    free(p.next);
    free(p.shown);
    return r;
}
