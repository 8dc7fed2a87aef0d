/* SPDX-License-Identifier: Apache-2.0 */
/* Input: u8 flags (bit 0: make all checksums fit, wherever a block or the footer is seen), then a
 * table file. Repair looks for its blocks without footer and index: what it finds must be parts
 * that follow each other to the end, and in a table that the engine finds sound nothing but sound
 * ones. */
#include "kvcore/admin/salvage.h"
#include "kvcore/table/table.h"
#include "tests/fuzz/fuzz_table_file.h"

/* All rows of a block that was called sound can be read. Returns how many. */
static uint64_t read_rows(struct salvage *s, const struct salvage_part *part)
{
    struct cached_block *block = NULL;
    struct kv_buf key = {0};

    fuzz_need(salvage_rows(s, part, &block));
    uint32_t count = block->rows.count;
    for (uint32_t i = 0; i < count; i++) {
        fuzz_need(rows_block_key(&block->rows, i, &key));
        fuzz_touch(kv_buf_slice(&key));
        fuzz_touch(rows_block_value(&block->rows, i));
        assert(i == 0 || rows_block_compare(&block->rows, i - 1, &block->rows, i) < 0);
    }
    kv_buf_finish(&key);
    cached_block_unref(block);
    return count;
}

static void read_others(const struct salvage *s)
{
    struct kv_buf key = {0};

    for (uint32_t i = 0; s->has_index && i < s->index.rows.count; i++) {
        fuzz_need(rows_block_key(&s->index.rows, i, &key));
        fuzz_touch(kv_buf_slice(&key));
        const struct salvage_part *part = salvage_find(s, s->index.handles[i].offset);
        assert(part == NULL || part->offset == s->index.handles[i].offset);
        (void)(s->has_filter && filter_may_match(&s->filter, filter_hash_key(kv_buf_slice(&key))));
    }
    if (s->has_properties) {
        fuzz_touch(kv_buf_slice(&s->properties.smallest_key));
        fuzz_touch(kv_buf_slice(&s->properties.largest_key));
    }
    for (size_t i = 0; s->has_ranges && s->range_dels != NULL && i < s->range_dels->count; i++) {
        fuzz_touch(s->range_dels->fragments[i].from);
        fuzz_touch(s->range_dels->fragments[i].to);
    }
    kv_buf_finish(&key);
}

/* Without a gap or an overlap. Returns the rows of the sound ones. */
static uint64_t read_parts(struct salvage *s, bool *ret_all_sound)
{
    uint64_t at = 0, rows = 0;

    *ret_all_sound = true;
    for (size_t i = 0; i < s->count; i++) {
        const struct salvage_part *part = &s->parts[i];
        assert(part->offset == at && part->size > 0);
        assert(part->type != 0 || !part->sound);
        assert(salvage_find(s, at) == part && salvage_find(s, at + 1) != part);
        if (part->sound && part->type == BLOCK_DATA) {
            rows += read_rows(s, part);
        }
        *ret_all_sound &= part->sound;
        at += part->size;
    }
    assert(at == s->file_bytes - (s->has_footer ? TABLE_FOOTER_SIZE : 0));
    return rows;
}

/* Whether the engine reads it through; then its rows. */
static bool is_sound(struct kv_storage *storage, uint64_t *ret_rows)
{
    struct table *table = NULL;
    int r = table_open(storage, FUZZ_STORE_SEED, FUZZ_TABLE_NUMBER, NULL, NULL, &table);

    r = r < 0 ? r : table_verify(table, NULL);
    *ret_rows = r == 0 ? table_properties(table)->row_count : 0;
    table_close(table);
    return r == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct salvage *s = NULL;
    uint64_t rows = 0;
    bool all_sound;

    if (size < 1) {
        return 0;
    }
    struct kv_storage *storage =
        fuzz_table_storage(kv_slice(data + 1, size - 1), (data[0] & 1) != 0);
    fuzz_need(salvage_open(storage, FUZZ_STORE_SEED, FUZZ_TABLE_NUMBER, NULL, NULL, &s));
    uint64_t found = read_parts(s, &all_sound);
    read_others(s);
    /* Where checksums were made to fit an index may leave blocks out, or point into others. */
    if (!(data[0] & 1) && is_sound(storage, &rows)) {
        assert(all_sound && found == rows && !s->newer);
        assert(s->has_footer && s->has_properties && (rows == 0 || s->has_index));
    }
    salvage_close(s);
    kv_storage_mem_destroy(storage);
    return 0;
}
