/* SPDX-License-Identifier: Apache-2.0 */
/* Seeds of tables and of what they are made of. */
#include "tests/fuzz/corpus.h"

#include <stdio.h>

#include "kvcore/table/filter.h"
#include "kvcore/table/rows_block.h"
#include "kvcore/table/table_builder.h"
#include "kvcore/util/codec.h"

enum { NUMBER = 12, ROWS = 14, RANGES = 4, OFFSET = 4096 };

static const struct kv_slice nothing = {0};

/* Row `i` of the seeds: pairs of versions of one key, of every kind. */
static struct row seed_row(unsigned i, char text[16])
{
    static const enum row_kind kinds[] = {ROW_PUT, ROW_DELETE, ROW_PUT, ROW_DAMAGED};
    snprintf(text, 16, "prefix%02u", i / 2 % 100);
    enum row_kind kind = kinds[i % 4];
    return (struct row){.key = kv_slice_str(text),
                        .trailer = row_trailer(500 - i, kind),
                        .value = kind == ROW_PUT ? kv_slice_str("aaaaaaaabbbbbbbb") : nothing};
}

/* Fragments, the first with two deletes. */
static struct range_delete seed_range(unsigned i)
{
    static const struct {
        const char *from, *to;
        uint64_t sequence;
    } ranges[RANGES] = {{"prefix01", "prefix03", 495},
                        {"prefix01", "prefix03", 480},
                        {"prefix03", "prefix04", 470},
                        {"prefix06", "q", 600}};
    return (struct range_delete){kv_slice_str(ranges[i].from), kv_slice_str(ranges[i].to),
                                 ranges[i].sequence};
}

static void put_rows_blocks(const struct corpus *corpus)
{
    const uint8_t head[] = {3, 'p', 'r', 'e'};
    struct rows_builder *builder = NULL;
    struct kv_buf bytes = {0};
    char text[16];

    fuzz_need(rows_builder_create(&builder));
    for (unsigned i = 0; i < ROWS; i++) {
        struct row row = seed_row(i, text);
        fuzz_need(rows_builder_add(builder, &row));
    }
    fuzz_need(rows_builder_finish(builder, &bytes));
    corpus_put(corpus, "rows_block/kinds", kv_slice(head, sizeof head), kv_buf_slice(&bytes));
    for (unsigned i = 0; i < ROWS; i += 4) {
        struct row row = seed_row(i, text);
        fuzz_need(rows_builder_add(builder, &row));
    }
    fuzz_need(rows_builder_finish(builder, &bytes));
    corpus_put(corpus, "rows_block/puts", kv_slice(head, sizeof head), kv_buf_slice(&bytes));
    for (unsigned i = 0; i < RANGES; i++) {
        struct range_delete range = seed_range(i);
        struct row row = {range.from, row_trailer(range.sequence, ROW_RANGE_DELETE), range.to};
        fuzz_need(rows_builder_add(builder, &row));
    }
    fuzz_need(rows_builder_finish(builder, &bytes));
    corpus_put(corpus, "rows_block/ranges", kv_slice(head, sizeof head), kv_buf_slice(&bytes));
    rows_builder_destroy(builder);
    kv_buf_finish(&bytes);
}

static void put_filter(const struct corpus *corpus)
{
    struct filter_builder builder = {0};
    struct kv_buf bytes = {0};

    for (uint64_t i = 1; i <= 40; i++) {
        fuzz_need(filter_builder_add(&builder, i * UINT64_C(0x9e3779b97f4a7c15)));
    }
    fuzz_need(filter_builder_finish(&builder, 10, &bytes));
    corpus_put(corpus, "filter/forty_keys", nothing, kv_buf_slice(&bytes));
    filter_builder_clear(&builder);
    kv_buf_finish(&bytes);
}

static void put_codecs(const struct corpus *corpus)
{
    uint8_t raw[300], head[3] = {CODEC_SNAPPY};
    struct kv_buf packed = {0};

    for (size_t i = 0; i < sizeof raw; i++) {
        raw[i] = (uint8_t)(i % 11);
    }
    coding_put_u16(head + 1, sizeof raw);
    assert(codec_compress(CODEC_SNAPPY, kv_slice(raw, sizeof raw), &packed) == CODEC_SNAPPY);
    corpus_put(corpus, "codec/snappy", kv_slice(head, sizeof head), kv_buf_slice(&packed));
    head[0] = CODEC_NONE;
    coding_put_u16(head + 1, 5);
    corpus_put(corpus, "codec/none", kv_slice(head, sizeof head), kv_slice(raw, 5));
    kv_buf_finish(&packed);
}

/* A seed that is a table file. */
struct seed_file {
    const char *path;
    uint8_t flags;
    size_t cut;  /* so many bytes of its end are left out */
    size_t hole; /* a byte here is another one; 0: none is */
};

static void put_file(const struct corpus *corpus, struct kv_storage *storage,
                     const struct seed_file *file)
{
    struct kv_object *object = NULL;
    uint8_t bytes[8192];
    size_t size = 0;

    fuzz_need(
        storage->ops->object_open(storage, (struct kv_file_id){KV_FILE_TABLE, NUMBER}, &object));
    assert(storage->ops->object_size(object) <= sizeof bytes);
    fuzz_need(storage->ops->object_read(object, 0, bytes, sizeof bytes, &size));
    storage->ops->object_close(object);
    if (file->hole > 0) {
        bytes[file->hole] ^= 1;
    }
    corpus_put_flagged(corpus, file->path, file->flags, kv_slice(bytes, size - file->cut));
}

/* What a table of seeds holds. */
struct contents {
    unsigned rows, ranges;
};

static void fill_table(struct table_builder *builder, struct contents contents)
{
    char text[16];

    for (unsigned i = 0; i < contents.rows; i++) {
        struct row row = seed_row(i, text);
        fuzz_need(table_builder_add(builder, &row));
        fuzz_need(table_builder_note_blob(builder, 7 + i % 3, 100));
    }
    for (unsigned i = 0; i < contents.ranges; i++) {
        struct range_delete range = seed_range(i);
        fuzz_need(table_builder_add_range_delete(builder, &range));
    }
}

static void put_table(const struct corpus *corpus, enum codec codec, struct contents contents,
                      const struct seed_file *file)
{
    const struct table_origin origin = {.store_id = "a store of seeds",
                                        .table_id = 1,
                                        .level = 2,
                                        .job = 12,
                                        .output_index = 1,
                                        .flushed_sequence = 600,
                                        .released_log = 4,
                                        .table_name = kv_slice_str("meta"),
                                        .inputs = kv_slice_str("\3\4")};
    const struct table_builder_options options = {
        .block_bytes = 160, .filter_bits_per_key = 10, .prefix_size = 6, .codec = codec};
    struct kv_storage *storage = NULL;
    struct table_builder *builder = NULL;
    struct table_properties properties;
    uint64_t size = 0;

    fuzz_need(kv_storage_mem_create(&storage));
    fuzz_need(table_builder_create(storage, FUZZ_STORE_SEED, NUMBER, &origin, &options, &builder));
    fill_table(builder, contents);
    fuzz_need(table_builder_finish(builder, 1, &properties, &size));
    table_builder_destroy(builder);
    put_file(corpus, storage, file);
    if (strcmp(file->path, "table/plain") == 0) {
        struct kv_buf bytes = {0};
        properties.created_s = 1000;
        fuzz_need(table_properties_encode(&properties, &bytes));
        corpus_put_flagged(corpus, "table_format/properties", 0, kv_buf_slice(&bytes));
        kv_buf_finish(&bytes);
    }
    table_properties_finish(&properties);
    kv_storage_mem_destroy(storage);
}

static void put_frames(const struct corpus *corpus)
{
    const struct table_footer footer = {
        .number = NUMBER, .properties = {600, 200}, .index = {400, 200}};
    const struct block_header header = {.type = BLOCK_DATA,
                                        .codec = CODEC_NONE,
                                        .stored_size = 100,
                                        .raw_size = 100,
                                        .row_count = 3,
                                        .sequence_min = 4,
                                        .sequence_max = 9,
                                        .payload_checksum = 77};
    uint8_t bytes[TABLE_FOOTER_SIZE];

    table_footer_encode(&footer, FUZZ_STORE_SEED, OFFSET, bytes);
    corpus_put_flagged(corpus, "table_format/footer", 17, kv_slice(bytes, TABLE_FOOTER_SIZE));
    block_header_encode(&header, FUZZ_STORE_SEED, OFFSET, bytes);
    corpus_put_flagged(corpus, "table_format/header", 18, kv_slice(bytes, BLOCK_HEADER_SIZE));
}

void corpus_table(const struct corpus *corpus)
{
    static const struct {
        enum codec codec;
        struct contents contents;
        struct seed_file file;
    } files[] = {
        {CODEC_NONE, {ROWS, 0}, {"table/plain", 0, 0, 0}},
        {CODEC_NONE, {ROWS, 0}, {"table/plain_made_to_fit", 3, 0, 0}},
        {CODEC_SNAPPY, {ROWS, 0}, {"table/snappy_made_to_fit", 1, 0, 0}},
        {CODEC_NONE, {ROWS, RANGES}, {"table/ranges", 1, 0, 0}},
        {CODEC_NONE, {0, RANGES}, {"table/ranges_alone", 1, 0, 0}},
        {CODEC_NONE, {ROWS, RANGES}, {"salvage/sound", 0, 0, 0}},
        {CODEC_SNAPPY, {ROWS, RANGES}, {"salvage/made_to_fit", 1, 0, 0}},
        {CODEC_NONE, {ROWS, RANGES}, {"salvage/header_lost", 0, 0, 4}},
        {CODEC_NONE, {ROWS, RANGES}, {"salvage/rows_lost", 0, 0, BLOCK_HEADER_SIZE + 20}},
        {CODEC_NONE, {ROWS, RANGES}, {"salvage/end_lost", 0, TABLE_FOOTER_SIZE + 100, 0}},
    };
    put_rows_blocks(corpus);
    put_filter(corpus);
    put_codecs(corpus);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        put_table(corpus, files[i].codec, files[i].contents, &files[i].file);
    }
    put_frames(corpus);
}
