/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/table/blob_use.h"

#include <stdlib.h>

/* More than any blob holds, so that sums of sound lists do not overflow. */
#define USE_BYTES_MAX ((uint64_t)1 << 48)

void blob_uses_finish(struct blob_uses *uses)
{
    free(uses->items);
    *uses = (struct blob_uses){0};
}

size_t blob_uses_find(const struct blob_uses *uses, uint64_t number)
{
    size_t low = 0;
    size_t high = uses->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (uses->items[middle].number < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool blob_uses_have(const struct blob_uses *uses, uint64_t number)
{
    size_t i = blob_uses_find(uses, number);
    return i < uses->count && uses->items[i].number == number;
}

static int insert(struct blob_uses *uses, size_t at, struct blob_use use)
{
    struct blob_use *larger = realloc(uses->items, (uses->count + 1) * sizeof *larger);
    if (larger == NULL) {
        return -ENOMEM;
    }
    uses->items = larger;
    memmove(larger + at + 1, larger + at, (uses->count - at) * sizeof *larger);
    larger[at] = use;
    uses->count++;
    return 0;
}

int blob_uses_add(struct blob_uses *uses, uint64_t number, uint64_t bytes)
{
    size_t i = blob_uses_find(uses, number);
    if (i < uses->count && uses->items[i].number == number) {
        uses->items[i].bytes += bytes;
        return 0;
    }
    return insert(uses, i, (struct blob_use){.number = number, .bytes = bytes});
}

uint64_t blob_uses_sum(const struct blob_uses *uses)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < uses->count; i++) {
        sum += uses->items[i].bytes;
    }
    return sum;
}

int blob_uses_copy(const struct blob_uses *from, struct blob_uses *to)
{
    if (from->count == 0) {
        return 0;
    }
    to->items = malloc(from->count * sizeof *to->items);
    if (to->items == NULL) {
        return -ENOMEM;
    }
    memcpy(to->items, from->items, from->count * sizeof *to->items);
    to->count = from->count;
    return 0;
}

int blob_uses_encode(const struct blob_uses *uses, struct kv_buf *to)
{
    int r = 0;
    for (size_t i = 0; i < uses->count && r == 0; i++) {
        r = coding_append_varint(to, uses->items[i].number);
        r = r < 0 ? r : coding_append_varint(to, uses->items[i].bytes);
    }
    return r;
}

int blob_uses_decode(struct kv_slice from, struct blob_uses *ret_uses)
{
    struct coding_cursor c = coding_cursor(from);
    struct blob_uses uses = {0};
    uint64_t last = 0;
    int r = 0;

    while (r == 0 && coding_ok(&c) && coding_left(&c) > 0) {
        struct blob_use use = {.number = coding_read_varint(&c)};
        use.bytes = coding_read_varint_max(&c, USE_BYTES_MAX);
        if (!coding_ok(&c) || use.number <= last || use.bytes == 0) {
            r = -KV_EDAMAGED;
        } else {
            r = insert(&uses, uses.count, use);
            last = use.number;
        }
    }
    if (r < 0 || !coding_ok(&c)) {
        blob_uses_finish(&uses);
        return r < 0 ? r : -KV_EDAMAGED;
    }
    *ret_uses = uses;
    return 0;
}
