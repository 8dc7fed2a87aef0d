/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/txn/spans.h"

#include <stdlib.h>

void spans_init(struct spans *spans, struct rows *rows)
{
    *spans = (struct spans){.rows = rows};
}

static size_t span_bytes(const struct span *span)
{
    return sizeof *span + span->from.size + span->to.size;
}

static void span_free(struct spans *spans, struct span *span)
{
    rows_discharge(spans->rows, span_bytes(span));
    kv_buf_finish(&span->from);
    kv_buf_finish(&span->to);
}

void spans_clear(struct spans *spans)
{
    for (size_t i = 0; i < spans->count; i++) {
        span_free(spans, &spans->items[i]);
    }
    spans->count = 0;
}

void spans_finish(struct spans *spans)
{
    spans_clear(spans);
    free(spans->items);
    spans->items = NULL;
}

/* Does the span end before the key, without touching it? */
static bool is_before(const struct span *span, const struct kv_table *table, struct kv_slice key)
{
    if (span->table != table) {
        return (uintptr_t)span->table < (uintptr_t)table;
    }
    return span->to.size > 0 && kv_slice_compare(kv_buf_slice(&span->to), key) < 0;
}

/* Does the span begin behind `to`, without touching it? */
static bool is_behind(const struct span *span, const struct kv_table *table, struct kv_slice to)
{
    if (span->table != table) {
        return (uintptr_t)span->table > (uintptr_t)table;
    }
    return to.size > 0 && kv_slice_compare(kv_buf_slice(&span->from), to) > 0;
}

/* Index of the first span that does not end before the key. */
static size_t search(const struct spans *spans, const struct kv_table *table, struct kv_slice key)
{
    size_t low = 0;
    size_t high = spans->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (is_before(&spans->items[middle], table, key)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

const struct span *spans_find(const struct spans *spans, const struct kv_table *table,
                              struct kv_slice key)
{
    /* One that ends just at the key may come before the one that holds it, as they do not touch
     * there is no second such. */
    for (size_t i = search(spans, table, key); i < spans->count; i++) {
        const struct span *span = &spans->items[i];
        if (span->table != table || kv_slice_compare(kv_buf_slice(&span->from), key) > 0) {
            return NULL;
        }
        if (span->to.size == 0 || kv_slice_compare(key, kv_buf_slice(&span->to)) < 0) {
            return span;
        }
    }
    return NULL;
}

static int reserve(struct spans *spans)
{
    size_t capacity = spans->capacity * 2 + 4;
    struct span *items;

    if (spans->count < spans->capacity) {
        return 0;
    }
    items = reallocarray(spans->items, capacity, sizeof *items);
    if (items == NULL) {
        return -ENOMEM;
    }
    spans->items = items;
    spans->capacity = capacity;
    return 0;
}

/* Copy the bounds of what the new span and items [first, last) make together. */
static int join(const struct spans *spans, size_t first, size_t last, struct kv_slice from,
                struct kv_slice to, struct span *span)
{
    int r;
    if (first < last) {
        struct kv_slice begin = kv_buf_slice(&spans->items[first].from);
        struct kv_slice end = kv_buf_slice(&spans->items[last - 1].to);
        from = kv_slice_compare(begin, from) < 0 ? begin : from;
        if (end.size == 0 || (to.size > 0 && kv_slice_compare(end, to) > 0)) {
            to = end;
        }
    }
    r = kv_buf_assign(&span->from, from);
    return r < 0 ? r : kv_buf_assign(&span->to, to);
}

int spans_add(struct spans *spans, struct kv_table *table, struct kv_slice from, struct kv_slice to)
{
    size_t first = search(spans, table, from);
    size_t last = first;
    struct span span = {.table = table};
    int r = reserve(spans);

    while (last < spans->count && !is_behind(&spans->items[last], table, to)) {
        last++;
    }
    r = r < 0 ? r : join(spans, first, last, from, to, &span);
    r = r < 0 ? r : rows_charge(spans->rows, span_bytes(&span));
    if (r < 0) {
        kv_buf_finish(&span.from);
        kv_buf_finish(&span.to);
        return r;
    }
    for (size_t i = first; i < last; i++) {
        span_free(spans, &spans->items[i]);
    }
    memmove(&spans->items[first + 1], &spans->items[last],
            (spans->count - last) * sizeof *spans->items);
    spans->items[first] = span;
    spans->count = spans->count - (last - first) + 1;
    return 0;
}
