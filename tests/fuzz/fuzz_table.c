/* SPDX-License-Identifier: Apache-2.0 */
/* Input: u8 flags (bit 0: make all checksums fit, wherever a block or the footer is seen; bit 1:
 * with a cache), then a table file. So mutations of a sound table get behind its checksums. */
#include "kvcore/table/table.h"
#include "tests/fuzz/fuzz_table_file.h"

enum { ROWS_MAX = 256, CACHE_BYTES = 1 << 16 };

/* ---- reading ---- */

struct seen {
    struct kv_buf keys[ROWS_MAX];
    uint64_t trailers[ROWS_MAX];
    size_t count;
};

/* Walk forwards. Returns how the iterator ended; `ret_rows` counts what it gave. */
static int walk_forwards(struct iter *it, struct seen *seen, uint64_t *ret_rows)
{
    struct kv_buf last = {0};
    uint64_t last_trailer = 0, rows = 0;

    for (iter_seek_first(it); it->valid; iter_next(it)) {
        fuzz_touch(it->row->value);
        assert(rows == 0 ||
               row_compare(kv_buf_slice(&last), last_trailer, it->row->key, it->row->trailer) < 0);
        fuzz_need(kv_buf_assign(&last, it->row->key));
        last_trailer = it->row->trailer;
        if (seen->count < ROWS_MAX) {
            fuzz_need(kv_buf_assign(&seen->keys[seen->count], it->row->key));
            seen->trailers[seen->count++] = it->row->trailer;
        }
        rows++;
    }
    kv_buf_finish(&last);
    *ret_rows = rows;
    fuzz_expect_verdict(it->error);
    return it->error;
}

static int walk_backwards(struct iter *it, uint64_t *ret_rows)
{
    uint64_t rows = 0;

    for (iter_seek_last(it); it->valid; iter_prev(it)) {
        fuzz_touch(it->row->key);
        fuzz_touch(it->row->value);
        rows++;
    }
    *ret_rows = rows;
    fuzz_expect_verdict(it->error);
    return it->error;
}

/* Find each row that was seen, by get and by seek. In a table that is `sound` all are found. */
static void find_rows(struct table *table, struct iter *it, const struct seen *seen, bool sound)
{
    for (size_t i = 0; i < seen->count; i++) {
        struct kv_slice key = kv_buf_slice(&seen->keys[i]), value;
        struct cached_block *block = NULL;
        uint64_t trailer = 0;
        int r = table_get(table, key, row_sequence(seen->trailers[i]), &trailer, &value, &block);

        fuzz_expect_verdict(r);
        assert(!sound || (r == 1 && row_sequence(trailer) == row_sequence(seen->trailers[i])));
        if (r == 1) {
            fuzz_touch(value);
            cached_block_unref(block);
        }
        assert(!sound || table_may_contain(table, filter_hash_key(key)));
        iter_seek(it, key, seen->trailers[i]);
        fuzz_expect_verdict(it->error);
        assert(!sound || (it->valid && kv_slice_equal(it->row->key, key) &&
                          it->row->trailer == seen->trailers[i]));
    }
}

/* Range deletes that are there are found, at both ends of each. */
static void read_ranges(const struct table *table)
{
    const struct range_dels *dels = table_range_dels(table);
    struct range_window window;

    assert((dels != NULL) == (table_properties(table)->range_delete_count > 0));
    for (size_t i = 0; dels != NULL && i < dels->count; i++) {
        fuzz_touch(dels->fragments[i].from);
        range_dels_window(dels, dels->fragments[i].from, UINT64_MAX, &window);
        assert(window.sequence == dels->fragments[i].sequences[0]);
        range_dels_window(dels, dels->fragments[i].to, UINT64_MAX, &window);
        assert(kv_slice_equal(window.from, dels->fragments[i].to));
    }
}

static void read_table(struct table *table)
{
    struct seen seen = {0};
    struct iter *it = NULL;
    uint64_t forwards = 0, backwards = 0;
    int verdict = table_verify(table, NULL);

    fuzz_expect_verdict(verdict);
    fuzz_need(table_iter_create(table, false, &it));
    int r = walk_forwards(it, &seen, &forwards);
    int s = walk_backwards(it, &backwards);
    assert(verdict < 0 || (r == 0 && s == 0));
    assert(r < 0 || s < 0 || forwards == backwards);
    assert(verdict < 0 || forwards == table_properties(table)->row_count);
    find_rows(table, it, &seen, verdict == 0);
    read_ranges(table);
    iter_destroy(it);
    for (size_t i = 0; i < seen.count; i++) {
        kv_buf_finish(&seen.keys[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct block_cache *cache = NULL;
    struct table *table = NULL;

    if (size < 1) {
        return 0;
    }
    struct kv_storage *storage =
        fuzz_table_storage(kv_slice(data + 1, size - 1), (data[0] & 1) != 0);
    if (data[0] & 2) {
        fuzz_need(block_cache_create(CACHE_BYTES, &cache));
    }
    int r = table_open(storage, FUZZ_STORE_SEED, FUZZ_TABLE_NUMBER, cache, NULL, &table);
    fuzz_expect_verdict(r);
    if (r == 0) {
        read_table(table);
        table_close(table);
    }
    block_cache_destroy(cache);
    kv_storage_mem_destroy(storage);
    return 0;
}
