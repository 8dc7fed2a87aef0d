/* SPDX-License-Identifier: Apache-2.0 */
/* Rows are indexed by the words of their values, which commas part. */
#include "tests/lib/check_main.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <kv/index.h>

#include "kvcore/util/rng.h"
#include "kvcore/util/thread.h"
#include <kv/index_entry.h>

enum { KEYS = 60, WORDS = 6, ROUNDS = 400 };

struct world {
    struct kv_storage *storage;
    struct kv_store *store;
    struct kv_table *table;
    struct kv_txn_manager *manager;
    struct kv_indexed *indexed;
    struct kv_index *index;
    uint64_t version;
    bool meddle; /* when the first row is mapped next, somebody changes it */
};

static struct world w;

static struct kv_slice s(const char *text)
{
    return kv_slice_str(text);
}

static void write_row(const char *key, const char *value);

static int words_of(void *arg, struct kv_slice key, struct kv_slice value, struct kv_index_keys *to)
{
    int r = 0;
    (void)arg;
    if (w.meddle && kv_slice_equal(key, s("row00000"))) {
        w.meddle = false;
        write_row("row00000", "changed");
    }
    while (value.size > 0 && r == 0) {
        const uint8_t *comma = memchr(value.data, ',', value.size);
        size_t size = comma != NULL ? (size_t)(comma - value.data) : value.size;
        r = kv_index_keys_add(to, kv_slice(value.data, size));
        value = kv_slice_behind(value, comma != NULL ? size + 1 : size);
    }
    return r;
}

static void open_store(bool with_index)
{
    const struct kv_options options = {.create = true, .no_background = true};
    const struct kv_index_options words = {.name = "words", .fn = words_of, .version = w.version};
    ck_ok(kv_open(w.storage, &options, &w.store));
    ck_ok(kv_table_open(w.store, "rows", NULL, &w.table));
    ck_ok(kv_txn_manager_open(w.store, &w.manager));
    ck_ok(kv_indexed_open(w.manager, w.table, "rows", &w.indexed));
    if (with_index) {
        ck_ok(kv_indexed_add(w.indexed, &words, &w.index));
    }
}

static void close_store(void)
{
    kv_indexed_close(w.indexed);
    ck_ok(kv_txn_manager_close(w.manager));
    ck_ok(kv_close(w.store));
}

static void reopen(void)
{
    close_store();
    open_store(true);
}

static void begin(void)
{
    w = (struct world){.version = 1};
    ck_ok(kv_storage_mem_create(&w.storage));
    open_store(true);
}

static void end(void)
{
    close_store();
    kv_storage_mem_destroy(w.storage);
}

/* One row in a transaction of its own; `value` NULL: it is deleted. */
static void write_row(const char *key, const char *value)
{
    struct kv_txn *txn = NULL;
    ck_ok(kv_txn_begin(w.manager, NULL, &txn));
    if (value != NULL) {
        ck_ok(kv_indexed_put(txn, w.indexed, s(key), s(value)));
    } else {
        ck_ok(kv_indexed_delete(txn, w.indexed, s(key)));
    }
    ck_ok(kv_txn_commit(txn, KV_DURABLE_WRITE));
}

/* Entries of words in [lower, upper) as "word:key ...". */
static void expect_entries(const char *lower, const char *upper, const char *expected)
{
    struct kv_index_iter *it = NULL;
    struct kv_txn *txn = NULL;
    struct kv_slice word;
    struct kv_slice key;
    struct kv_buf text = {0};
    int r;

    ck_ok(kv_txn_begin(w.manager, NULL, &txn));
    ck_ok(kv_index_iter_create(txn, w.index, s(lower), s(upper), &it));
    while ((r = kv_index_iter_next(it, &word, &key)) > 0) {
        ck_ok(kv_buf_append(&text, word));
        ck_ok(kv_buf_append(&text, s(":")));
        ck_ok(kv_buf_append(&text, key));
        ck_ok(kv_buf_append(&text, s(" ")));
    }
    ck_ok(r);
    kv_index_iter_destroy(it);
    kv_txn_rollback(txn);
    ck_assert_msg(kv_slice_equal(kv_buf_slice(&text), s(expected)), "got '%.*s', not '%s'",
                  (int)text.size, (const char *)text.data, expected);
    kv_buf_finish(&text);
}

static void expect_sound(uint64_t rows)
{
    struct kv_index_verdict verdict = {0};
    int r = kv_index_verify(w.index, &verdict);
    ck_assert_msg(r == 0, "%s: missing %" PRIu64 ", surplus %" PRIu64 " (seed %" PRIu64 ")",
                  kv_strerror(r), verdict.missing, verdict.surplus, test_seed());
    ck_assert_uint_eq(verdict.rows, rows);
}

/* ---- bytes ---- */

START_TEST(entries_and_states_have_the_bytes_of_the_format)
{
    static const uint8_t entry[] = {1, 'a', 0, 0xff, 'b', 0, 1, 'k', 0};
    static const uint8_t state[] = {0x34, 0x12, 0, 0, 0, 0, 0, 0, 1, 'k'};
    const struct kv_index_state given = {.version = 0x1234, .built = true, .done = s("k")};
    struct kv_index_state got = {0};
    struct kv_slice row_key;
    struct kv_buf bytes = {0};
    struct kv_buf index_key = {0};

    ck_ok(kv_index_entry_put(&bytes, kv_slice("a\0b", 3), kv_slice("k\0", 2)));
    ck_assert(kv_slice_equal(kv_buf_slice(&bytes), kv_slice(entry, sizeof entry)));
    ck_ok(kv_index_entry_get(kv_buf_slice(&bytes), &index_key, &row_key));
    ck_assert(kv_slice_equal(kv_buf_slice(&index_key), kv_slice("a\0b", 3)));
    ck_assert(kv_slice_equal(row_key, kv_slice("k\0", 2)));
    bytes.size = 0;
    ck_ok(kv_index_state_put(&bytes, &given));
    ck_assert(kv_slice_equal(kv_buf_slice(&bytes), kv_slice(state, sizeof state)));
    ck_ok(kv_index_state_get(kv_buf_slice(&bytes), &got));
    ck_assert(got.built && got.version == 0x1234 && kv_slice_equal(got.done, s("k")));
    ck_assert(kv_slice_equal(kv_index_state_key(), kv_slice("\0", 1)));
    kv_buf_finish(&bytes);
    kv_buf_finish(&index_key);
}
END_TEST

START_TEST(bytes_that_are_no_entry_or_state_are_refused)
{
    static const struct {
        const char *bytes;
        size_t size;
    } bad[] = {{"", 0},      {"\0", 1},       {"\2a\0\1k", 5}, {"\1a", 2},
               {"\1a\0", 3}, {"\1a\0\2k", 5}, {"\1a\0\1", 4},  {"\1a\0\377", 4}};
    struct kv_index_state state;
    struct kv_slice row_key;
    struct kv_buf index_key = {0};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ck_fails(kv_index_entry_get(kv_slice(bad[i].bytes, bad[i].size), &index_key, &row_key),
                 EBADMSG);
    }
    ck_fails(kv_index_state_get(kv_slice("12345678", 8), &state), EBADMSG);
    ck_fails(kv_index_state_get(kv_slice("12345678\2", 9), &state), EBADMSG);
    kv_buf_finish(&index_key);
}
END_TEST

/* ---- writing ---- */

START_TEST(entries_follow_their_rows_in_the_order_of_index_keys)
{
    ck_ok(kv_index_build(w.index, NULL, NULL));
    write_row("2", "red,blue");
    write_row("1", "red,red");
    write_row("3", "redder");
    expect_entries("", "", "blue:2 red:1 red:2 redder:3 ");
    expect_entries("red", "redder", "red:1 red:2 ");
    expect_entries("blue", "red", "blue:2 ");
    write_row("2", "green");
    write_row("1", NULL);
    write_row("absent", NULL);
    expect_entries("", "", "green:2 redder:3 ");
    expect_sound(2);
    reopen();
    expect_entries("", "", "green:2 redder:3 ");
}
END_TEST

START_TEST(a_transaction_sees_its_own_entries_and_a_rollback_takes_them_back)
{
    struct kv_index_iter *it = NULL;
    struct kv_txn *txn = NULL;
    struct kv_slice word;
    struct kv_slice key;

    ck_ok(kv_index_build(w.index, NULL, NULL));
    write_row("1", "red");
    ck_ok(kv_txn_begin(w.manager, NULL, &txn));
    ck_ok(kv_indexed_put(txn, w.indexed, s("1"), s("blue")));
    ck_ok(kv_index_iter_create(txn, w.index, s(""), s(""), &it));
    ck_assert_int_eq(kv_index_iter_next(it, &word, &key), 1);
    ck_assert(kv_slice_equal(word, s("blue")));
    ck_assert_int_eq(kv_index_iter_next(it, &word, &key), 0);
    ck_assert_int_eq(kv_index_iter_next(it, &word, &key), 0);
    kv_index_iter_destroy(it);
    kv_txn_rollback(txn);
    expect_entries("", "", "red:1 ");
}
END_TEST

static void draw_row(struct rng *rng, char key[16], char value[64])
{
    size_t used = 0;
    unsigned count = (unsigned)rng_below(rng, 4);
    snprintf(key, 16, "k%02u", (unsigned)rng_below(rng, KEYS));
    value[0] = '\0';
    for (unsigned i = 0; i < count; i++) {
        used += (size_t)snprintf(value + used, 64 - used, "%sw%u", i > 0 ? "," : "",
                                 (unsigned)rng_below(rng, WORDS));
    }
}

/* A few rows in one transaction. 0, or -EAGAIN. */
static int write_rows(struct rng *rng)
{
    const struct kv_txn_options options = {.mode = rng_below(rng, 2) == 0 ? KV_TXN_OPTIMISTIC
                                                                          : KV_TXN_PESSIMISTIC};
    struct kv_txn *txn = NULL;
    char key[16];
    char value[64];
    int r = kv_txn_begin(w.manager, &options, &txn);

    for (unsigned i = 0; i < 3 && r == 0; i++) {
        draw_row(rng, key, value);
        r = rng_below(rng, 4) == 0 ? kv_indexed_delete(txn, w.indexed, s(key))
                                   : kv_indexed_put(txn, w.indexed, s(key), s(value));
    }
    if (r < 0) {
        kv_txn_rollback(txn);
        return r;
    }
    return kv_txn_commit(txn, KV_DURABLE_NONE);
}

static uint64_t count_rows(void)
{
    struct kv_iter *it = NULL;
    uint64_t rows = 0;
    ck_ok(kv_iter_create(w.table, NULL, &it));
    for (kv_iter_seek_first(it); kv_iter_valid(it); kv_iter_next(it)) {
        rows++;
    }
    kv_iter_destroy(it);
    return rows;
}

START_TEST(rows_and_entries_never_differ)
{
    struct rng rng = {test_seed()};
    uint64_t rounds = test_steps(ROUNDS);
    ck_ok(kv_index_build(w.index, NULL, NULL));
    for (uint64_t i = 0; i < rounds; i++) {
        ck_ok(write_rows(&rng));
        if (i % 16 == 0) {
            expect_sound(count_rows());
        }
        if (i % 64 == 0) {
            ck_ok(kv_flush(w.store));
            reopen();
        }
    }
}
END_TEST

/* ---- building ---- */

static void fill(unsigned rows)
{
    char key[16];
    for (unsigned i = 0; i < rows; i++) {
        snprintf(key, sizeof key, "row%05u", i);
        ck_ok(kv_put(w.table, s(key), i % 2 == 0 ? s("even") : s("odd,odd"), KV_DURABLE_NONE));
    }
}

static int stop_after(void *arg, uint64_t rows, struct kv_slice key)
{
    const uint64_t *most = arg;
    ck_assert_uint_gt(key.size, 0);
    return rows >= *most ? -ECANCELED : 0;
}

START_TEST(a_build_that_was_cut_short_goes_on_where_it_was)
{
    struct kv_index_verdict verdict;
    struct kv_index_iter *it = NULL;
    struct kv_txn *txn = NULL;
    uint64_t most = 600;
    uint64_t all = 1300; /* which would end it if it began anew */

    fill(1300);
    ck_fails(kv_index_build(w.index, stop_after, &most), ECANCELED);
    reopen();
    ck_fails(kv_index_verify(w.index, &verdict), EINPROGRESS);
    ck_ok(kv_txn_begin(w.manager, NULL, &txn));
    ck_fails(kv_index_iter_create(txn, w.index, s(""), s(""), &it), EINPROGRESS);
    kv_txn_rollback(txn);
    ck_ok(kv_index_build(w.index, stop_after, &all));
    expect_sound(1300);
}
END_TEST

START_TEST(a_row_that_is_changed_while_it_is_indexed_gets_no_entry_of_its_past)
{
    fill(2);
    w.meddle = true;
    ck_ok(kv_index_build(w.index, NULL, NULL));
    ck_assert(!w.meddle);
    expect_entries("", "", "changed:row00000 odd:row00001 ");
    expect_sound(2);
}
END_TEST

struct builder {
    struct thread thread;
    uint64_t seed;
    _Atomic bool stop;
    int error;
    uint64_t commits;
};

static void *write_beside(void *arg)
{
    struct builder *b = arg;
    struct rng rng = {b->seed};
    while (!atomic_load(&b->stop) && b->error == 0) {
        int r = write_rows(&rng);
        b->error = r == -EAGAIN || r == -EDEADLK ? 0 : r;
        b->commits += r == 0;
    }
    return NULL;
}

START_TEST(an_index_is_built_beside_writers)
{
    struct builder writers[2];
    fill(2000);
    for (unsigned round = 0; round < 4; round++) {
        for (unsigned i = 0; i < 2; i++) {
            writers[i] = (struct builder){.seed = test_seed() + round * 2 + i};
            ck_ok(thread_start(&writers[i].thread, "writer", write_beside, &writers[i]));
        }
        ck_ok(kv_index_build(w.index, NULL, NULL));
        for (unsigned i = 0; i < 2; i++) {
            atomic_store(&writers[i].stop, true);
            thread_join(&writers[i].thread);
            ck_ok(writers[i].error);
        }
        expect_sound(count_rows());
        ck_ok(kv_index_reset(w.index));
    }
}
END_TEST

START_TEST(what_was_written_past_the_index_is_found_and_mended)
{
    struct kv_index_verdict verdict = {0};
    ck_ok(kv_index_build(w.index, NULL, NULL));
    write_row("1", "red");
    write_row("2", "red,blue");
    ck_ok(kv_put(w.table, s("1"), s("green"), KV_DURABLE_WRITE));
    ck_ok(kv_delete(w.table, s("2"), KV_DURABLE_WRITE));
    ck_fails(kv_index_verify(w.index, &verdict), EUCLEAN);
    ck_assert_uint_eq(verdict.rows, 1);
    ck_assert_uint_eq(verdict.entries, 3);
    ck_assert_uint_eq(verdict.missing, 1);
    ck_assert_uint_eq(verdict.surplus, 3);
    ck_ok(kv_index_reset(w.index));
    ck_fails(kv_index_verify(w.index, &verdict), EINPROGRESS);
    ck_ok(kv_index_build(w.index, NULL, NULL));
    expect_entries("", "", "green:1 ");
    expect_sound(1);
}
END_TEST

START_TEST(an_index_of_another_version_is_built_anew)
{
    struct kv_index_verdict verdict;
    ck_ok(kv_index_build(w.index, NULL, NULL));
    write_row("1", "red");
    w.version = 2;
    reopen();
    ck_fails(kv_index_verify(w.index, &verdict), EINPROGRESS);
    ck_ok(kv_index_build(w.index, NULL, NULL));
    expect_entries("", "", "red:1 ");
}
END_TEST

START_TEST(a_dropped_index_is_gone_and_may_be_made_again)
{
    struct kv_index_verdict verdict;
    ck_ok(kv_index_build(w.index, NULL, NULL));
    write_row("1", "red");
    ck_ok(kv_index_drop(w.index));
    close_store();
    open_store(false);
    write_row("2", "blue");
    close_store();
    open_store(true);
    ck_fails(kv_index_verify(w.index, &verdict), EINPROGRESS);
    ck_ok(kv_index_build(w.index, NULL, NULL));
    expect_entries("", "", "blue:2 red:1 ");
}
END_TEST

static int refuse(void *arg, struct kv_slice key, struct kv_slice value, struct kv_index_keys *to)
{
    (void)arg;
    (void)key;
    (void)to;
    return value.size > 3 ? -EDOM : 0;
}

START_TEST(an_error_of_the_function_and_keys_that_are_too_large_are_told)
{
    const struct kv_index_options strict = {.name = "strict", .fn = refuse};
    const struct kv_index_options nameless = {.name = "", .fn = refuse};
    struct kv_index *index = NULL;
    struct kv_txn *txn = NULL;
    char *large = calloc(1, KV_KEY_SIZE_MAX + 1);

    ck_assert_ptr_nonnull(large);
    memset(large, 'x', KV_KEY_SIZE_MAX);
    ck_fails(kv_indexed_add(w.indexed, &nameless, &index), EINVAL);
    ck_ok(kv_txn_begin(w.manager, NULL, &txn));
    ck_fails(kv_indexed_put(txn, w.indexed, s("1"), s(large)), E2BIG);
    kv_txn_rollback(txn);
    ck_ok(kv_indexed_add(w.indexed, &strict, &index));
    ck_ok(kv_txn_begin(w.manager, NULL, &txn));
    ck_ok(kv_indexed_put(txn, w.indexed, s("1"), s("abc")));
    ck_fails(kv_indexed_put(txn, w.indexed, s("2"), s("abcd")), EDOM);
    kv_txn_rollback(txn);
    free(large);
}
END_TEST

Suite *test_suite(void)
{
    const TTest *const tests[] = {
        entries_and_states_have_the_bytes_of_the_format,
        bytes_that_are_no_entry_or_state_are_refused,
        entries_follow_their_rows_in_the_order_of_index_keys,
        a_transaction_sees_its_own_entries_and_a_rollback_takes_them_back,
        rows_and_entries_never_differ,
        a_build_that_was_cut_short_goes_on_where_it_was,
        a_row_that_is_changed_while_it_is_indexed_gets_no_entry_of_its_past,
        an_index_is_built_beside_writers,
        what_was_written_past_the_index_is_found_and_mended,
        an_index_of_another_version_is_built_anew,
        a_dropped_index_is_gone_and_may_be_made_again,
        an_error_of_the_function_and_keys_that_are_too_large_are_told,
    };
    Suite *suite = suite_create("index");
    TCase *tc = tcase_create("index");
    tcase_add_checked_fixture(tc, begin, end);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        tcase_add_test(tc, tests[i]);
    }
    suite_add_tcase(suite, tc);
    return suite;
}
