/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a table ahead of those who will ask for it. */
#include "kvcore/table/table_impl.h"

static int warm_block(struct table *table, uint32_t index, struct table_window *window,
                      size_t *ret_bytes, bool *ret_cached)
{
    uint64_t offset = table->index.handles[index].offset;
    struct cached_block *block = block_cache_peek(table->cache, table->number, offset);
    int r;

    *ret_bytes = 0;
    *ret_cached = true;
    if (block == NULL) {
        r = table_read_block(table, index, window, &block);
        if (r < 0) {
            return r;
        }
        *ret_bytes = block->size;
        *ret_cached = block_cache_offer(table->cache, table->number, offset, block);
    }
    cached_block_unref(block);
    return 0;
}

int table_warm(struct table *table, table_warm_fn *fn, void *arg)
{
    struct table_window window = {0};
    int r = 0;

    for (uint32_t i = 0; i < table->index.rows.count && r == 0; i++) {
        size_t bytes;
        bool cached;
        r = warm_block(table, i, &window, &bytes, &cached);
        r = r < 0 ? r : fn(arg, bytes, cached);
    }
    kv_buf_finish(&window.bytes);
    return r;
}
