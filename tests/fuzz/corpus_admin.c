/* SPDX-License-Identifier: Apache-2.0 */
/* Seeds of what stands around rows: journals of repairs, entries and states of indexes. */
#include "tests/fuzz/corpus.h"

#include "kvcore/admin/journal.h"
#include <kv/index_entry.h>

static void put_journal(const struct corpus *corpus)
{
    struct journal journal = {
        .highest = {[KV_FILE_LOG] = 10, [KV_FILE_MANIFEST] = 5, [KV_FILE_TABLE] = 12}};
    struct kv_buf bytes = {0};

    fuzz_need(journal_encode(&journal, &bytes));
    corpus_put(corpus, "journal/repair", kv_slice(NULL, 0), kv_buf_slice(&bytes));
    kv_buf_finish(&bytes);
}

static void put_index(const struct corpus *corpus)
{
    struct kv_index_state state = {.version = 7, .done = kv_slice_str("row")};
    struct kv_buf bytes = {0};

    fuzz_need(kv_index_entry_put(&bytes, kv_slice("a\0b", 3), kv_slice_str("row")));
    corpus_put_flagged(corpus, "index/entry", 0, kv_buf_slice(&bytes));
    bytes.size = 0;
    fuzz_need(kv_index_state_put(&bytes, &state));
    corpus_put_flagged(corpus, "index/state", 1, kv_buf_slice(&bytes));
    kv_buf_finish(&bytes);
}

void corpus_admin(const struct corpus *corpus)
{
    put_journal(corpus);
    put_index(corpus);
}
