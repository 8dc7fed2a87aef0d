/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/iter_bounds.h"

/* Is `upper` at most the first key behind all that begin with the prefix? That is the prefix with
 * its last byte that is not 0xff counted up, and what follows cut off:
 *
 *   prefix 61 62 ff   behind it 61 63      upper 61 63     it is: the keys below it begin with the
 *                                                          prefix if they are not below that
 *                                          upper 61 63 00  not: the key 61 63 is below it
 *   prefix ff ff      there is none        any upper is, also none at all */
static bool ends_with_prefix(struct kv_slice upper, struct kv_slice prefix)
{
    size_t same = prefix.size; /* bytes that both have */
    size_t common;
    int c;

    while (same > 0 && prefix.data[same - 1] == 0xff) {
        same--;
    }
    if (same == 0) {
        return true;
    }
    if (upper.size == 0) {
        return false;
    }
    same--; /* prefix[same] is counted up */
    common = upper.size < same ? upper.size : same;
    c = common > 0 ? memcmp(upper.data, prefix.data, common) : 0;
    if (c != 0 || upper.size <= same) {
        return c <= 0;
    }
    return upper.data[same] <= prefix.data[same] ||
           (upper.data[same] == prefix.data[same] + 1 && upper.size == same + 1);
}

struct iter_bounds iter_bounds_make(struct kv_slice lower, struct kv_slice upper,
                                    size_t prefix_size)
{
    struct iter_bounds bounds = {.lower = lower, .upper = upper};
    struct kv_slice prefix = kv_slice(lower.data, prefix_size);

    if (prefix_size > 0 && lower.size >= prefix_size && ends_with_prefix(upper, prefix)) {
        bounds.prefix_size = prefix_size;
        bounds.prefix_hash = filter_hash_prefix(prefix);
    }
    return bounds;
}

static bool begins_within(const struct iter_bounds *bounds, const struct file_meta *file)
{
    return bounds->upper.size == 0 ||
           kv_slice_compare(kv_buf_slice(&file->smallest), bounds->upper) < 0;
}

bool iter_bounds_meet(const struct iter_bounds *bounds, const struct file_meta *file)
{
    return begins_within(bounds, file) &&
           (bounds->lower.size == 0 || file_compare_end(file, bounds->lower) >= 0);
}

bool iter_bounds_may_hold(const struct iter_bounds *bounds, const struct table *table)
{
    return table_may_contain_prefix(table, bounds->prefix_hash, bounds->prefix_size);
}

struct file_slice iter_bounds_slice(const struct iter_bounds *bounds, const struct file_list *list)
{
    struct file_slice slice = {0, list->count};
    size_t high = list->count;

    if (bounds->lower.size > 0) {
        slice.from = file_list_find(list, bounds->lower);
    }
    slice.to = slice.from;
    while (slice.to < high) { /* to the first file that begins behind the bounds */
        size_t middle = slice.to + (high - slice.to) / 2;
        if (begins_within(bounds, list->files[middle])) {
            slice.to = middle + 1;
        } else {
            high = middle;
        }
    }
    return slice;
}
