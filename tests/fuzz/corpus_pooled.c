/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/corpus.h"

#include "kvcore/storage/pooled_entry.h"
#include "kvcore/storage/pooled_lines.h"

enum { ENTRY, HOLDER, COUNT, URL, LINES };

static void put_entry(const struct corpus *corpus, const char *path, struct pooled_entry entry)
{
    struct kv_buf bytes = {0};
    fuzz_need(pooled_entry_encode(&entry, &bytes));
    corpus_put_flagged(corpus, path, ENTRY, kv_buf_slice(&bytes));
    kv_buf_finish(&bytes);
}

static void put_lines(const struct corpus *corpus)
{
    struct pooled_lines lines = {
        .count = 2,
        .lines = {{.id = 0x1234, .mark = (uint64_t)7 << 32 | 300, .beat = 2}, {.id = 1}}};
    uint8_t bytes[POOLED_LINES_SIZE_MAX];
    corpus_put_flagged(corpus, "pooled/lines", LINES,
                       kv_slice(bytes, pooled_lines_encode(&lines, bytes)));
}

void corpus_pooled(const struct corpus *corpus)
{
    struct pooled_entry entry = {
        .state = POOLED_OPEN, .epoch = 3, .piece_bytes = POOLED_PIECE_DEFAULT, .pieces = 2};
    struct pooled_holder holder = {kv_slice_str("127.0.0.1:0/1234567"),
                                   kv_slice_str("kvfs[42] on host, mounted on /mnt")};
    struct pooled_count count = pooled_count_encode(0x1234);
    struct kv_buf bytes = {0};

    put_entry(corpus, "pooled/open", entry);
    entry.state = POOLED_FINISHED;
    entry.size = POOLED_PIECE_DEFAULT + 5;
    put_entry(corpus, "pooled/finished", entry);
    fuzz_need(pooled_holder_encode(holder, &bytes));
    corpus_put_flagged(corpus, "pooled/holder", HOLDER, kv_buf_slice(&bytes));
    corpus_put_flagged(corpus, "pooled/count", COUNT, pooled_count_slice(&count));
    corpus_put_flagged(corpus, "pooled/url", URL, kv_slice_str("rados://pool/store"));
    put_lines(corpus);
    kv_buf_finish(&bytes);
}
