/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/row_filter.h"

int row_filter_init(struct row_filter *filter, struct arena *arena, size_t bytes)
{
    size_t count = bytes / sizeof *filter->words;

    count = count < 1 ? 1 : count;
    count = count > UINT32_MAX ? UINT32_MAX : count;
    filter->words = arena_alloc(arena, count * sizeof *filter->words);
    if (filter->words == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        atomic_init(&filter->words[i], 0);
    }
    filter->word_count = (uint32_t)count;
    return 0;
}
