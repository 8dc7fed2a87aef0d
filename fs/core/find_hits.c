/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/core/find_hits.h"

#include <stdlib.h>

void find_hits_finish(struct find_hits *hits)
{
    for (size_t i = 0; i < hits->count; i++) {
        free(hits->hits[i]);
    }
    free((void *)hits->hits);
    free(hits->given);
    free(hits->bound);
    *hits = (struct find_hits){0};
}

static int compare(const struct find_hit *a, const struct find_hit *b)
{
    int r = kv_slice_compare(find_hit_value(a), find_hit_value(b));
    return r != 0 ? r : kv_slice_compare(find_hit_path(a), find_hit_path(b));
}

static int compare_places(const void *a, const void *b)
{
    return compare(*(struct find_hit *const *)a, *(struct find_hit *const *)b);
}

void find_hits_sort(struct find_hits *hits)
{
    if (hits->count > 1) {
        qsort((void *)hits->hits, hits->count, sizeof *hits->hits, compare_places);
    }
}

static size_t size_of(const struct find_hit *hit)
{
    return sizeof *hit + hit->value_size + hit->path_size;
}

/* Leave the larger half out. */
static void shrink(struct find_hits *hits)
{
    size_t keep = (hits->count + 1) / 2;
    find_hits_sort(hits);
    free(hits->bound);
    hits->bound = hits->hits[keep];
    while (hits->count > keep) {
        struct find_hit *last = hits->hits[--hits->count];
        hits->bytes -= size_of(last);
        if (last != hits->bound) {
            free(last);
        }
    }
}

static int reserve(struct find_hits *hits)
{
    if (hits->count < hits->capacity) {
        return 0;
    }
    size_t capacity = hits->capacity * 2 + 64;
    struct find_hit **grown = realloc((void *)hits->hits, capacity * sizeof(struct find_hit *));
    if (grown == NULL) {
        return -ENOMEM;
    }
    hits->hits = grown;
    hits->capacity = capacity;
    return 0;
}

int find_hits_add(struct find_hits *hits, struct kv_slice value, struct kv_slice path)
{
    int r = reserve(hits);
    struct find_hit *hit = r == 0 ? malloc(sizeof *hit + value.size + path.size) : NULL;
    if (hit == NULL) {
        return -ENOMEM;
    }
    hit->value_size = value.size;
    hit->path_size = path.size;
    if (value.size > 0) {
        memcpy(hit->bytes, value.data, value.size);
    }
    memcpy(hit->bytes + value.size, path.data, path.size);
    if ((hits->given != NULL && compare(hit, hits->given) <= 0) ||
        (hits->bound != NULL && compare(hit, hits->bound) >= 0)) {
        free(hit);
        return 0;
    }
    hits->hits[hits->count++] = hit;
    hits->bytes += size_of(hit);
    if (hits->bytes > hits->bytes_max && hits->count > 1) {
        shrink(hits);
    }
    return 0;
}

bool find_hits_next_pass(struct find_hits *hits)
{
    bool more = hits->bound != NULL;
    if (hits->count > 0) {
        free(hits->given);
        hits->given = hits->hits[--hits->count];
    }
    while (hits->count > 0) {
        free(hits->hits[--hits->count]);
    }
    free(hits->bound);
    hits->bound = NULL;
    hits->bytes = 0;
    return more;
}
