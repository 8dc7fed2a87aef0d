/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest hits of a search, in bounded memory: of more than fit the largest are left out, and
 * come in a further pass over the same entries, in which those that were given are passed over. */
#ifndef FS_CORE_FIND_HITS_H
#define FS_CORE_FIND_HITS_H

#include <kv/error.h>
#include <kv/slice.h>

enum { FIND_HITS_BYTES_MAX = 16 << 20 };

struct find_hit {
    size_t value_size, path_size;
    uint8_t bytes[]; /* the value, then the path */
};

/* All zero, but for `bytes_max`, is empty. */
struct find_hits {
    size_t bytes_max;
    struct find_hit **hits;
    size_t count, capacity, bytes;
    struct find_hit *given; /* the last of the pass before; NULL: this is the first */
    struct find_hit *bound; /* hits from here on are left out; NULL: none were */
};

void find_hits_finish(struct find_hits *hits);
/* Errors: -ENOMEM. */
KV_MUST_CHECK int find_hits_add(struct find_hits *hits, struct kv_slice value,
                                struct kv_slice path);
/* By value, then by path. */
void find_hits_sort(struct find_hits *hits);
/* Forget them, sorted; true: some were left out, and another pass is needed. */
bool find_hits_next_pass(struct find_hits *hits);

static inline struct kv_slice find_hit_value(const struct find_hit *hit)
{
    return kv_slice(hit->bytes, hit->value_size);
}
static inline struct kv_slice find_hit_path(const struct find_hit *hit)
{
    return kv_slice(hit->bytes + hit->value_size, hit->path_size);
}

#endif
