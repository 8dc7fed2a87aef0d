/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/core/lost_keys.h"

#include <stdlib.h>

static int by_from(const void *a, const void *b)
{
    return kv_slice_compare(((const struct lost_range *)a)->from,
                            ((const struct lost_range *)b)->from);
}

/* The end of the range is `key` or behind it. */
static bool reaches(const struct lost_range *range, struct kv_slice key)
{
    return range->to.size == 0 || kv_slice_compare(range->to, key) >= 0;
}

/* Sorted ranges that overlap become one. */
static void merge(struct lost_keys *keys)
{
    size_t last = 0;
    for (size_t i = 1; i < keys->count; i++) {
        struct lost_range *at = &keys->ranges[last];
        const struct lost_range *next = &keys->ranges[i];
        if (!reaches(at, next->from)) {
            keys->ranges[++last] = *next;
        } else if (next->to.size == 0 || !reaches(at, next->to)) {
            at->to = next->to;
        }
    }
    keys->count = keys->count > 0 ? last + 1 : 0;
}

int lost_keys_init(struct lost_keys *keys, const struct kvfs_lost_keys *from)
{
    *keys = (struct lost_keys){.anywhere = from->anywhere};
    if (from->count == 0) {
        return 0;
    }
    keys->ranges = calloc(from->count, sizeof *keys->ranges);
    if (keys->ranges == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < from->count; i++) {
        keys->ranges[i] = (struct lost_range){kv_buf_slice(&from->ranges[i].from),
                                              kv_buf_slice(&from->ranges[i].to)};
    }
    keys->count = from->count;
    qsort(keys->ranges, keys->count, sizeof *keys->ranges, by_from);
    merge(keys);
    return 0;
}

void lost_keys_finish(struct lost_keys *keys)
{
    free(keys->ranges);
    *keys = (struct lost_keys){0};
}

const struct lost_range *lost_keys_find(const struct lost_keys *keys, struct kv_slice first,
                                        struct kv_slice last)
{
    size_t low = 0, high = keys->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (reaches(&keys->ranges[middle], first)) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    const struct lost_range *range = low < keys->count ? &keys->ranges[low] : NULL;
    return range != NULL && kv_slice_compare(range->from, last) <= 0 ? range : NULL;
}

bool lost_keys_may_have(const struct lost_keys *keys, struct kv_slice key)
{
    return keys->anywhere || lost_keys_find(keys, key, key) != NULL;
}
