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

/* Each is one kind of damage to a file of the store that the target makes, by the file's place in
 * the listing: ROOT is the first of capitals, behind the numbers. */
static void put_damage(const struct corpus *corpus)
{
    static const struct {
        const char *path;
        uint8_t bytes[4]; /* file, what, offset, argument */
    } damages[] = {
        {"damage/byte_of_a_manifest", {0, 0, 80, 1}},
        {"damage/byte_of_a_table", {1, 0, 90, 1}},
        {"damage/zeros_in_a_table", {3, 1, 20, 100}},
        {"damage/cut_log", {2, 2, 100, 0}},
        {"damage/grown", {4, 3, 0, 50}},
        {"damage/moved", {1, 4, 0, 100}},
        {"damage/removed", {1, 5, 0, 0}},
        {"damage/swapped", {3, 6, 0, 4}},
    };
    struct kv_buf all = {0}; /* so that the fuzzer tries several at once from the beginning */
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        struct kv_slice bytes = kv_slice(damages[i].bytes, sizeof damages[i].bytes);
        corpus_put(corpus, damages[i].path, kv_slice(NULL, 0), bytes);
        fuzz_need(kv_buf_append(&all, bytes));
    }
    corpus_put(corpus, "damage/all", kv_slice(NULL, 0), kv_buf_slice(&all));
    kv_buf_finish(&all);
}

void corpus_admin(const struct corpus *corpus)
{
    put_journal(corpus);
    put_index(corpus);
    put_damage(corpus);
}
