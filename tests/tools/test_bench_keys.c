/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/check_main.h"

#include <math.h>
#include <snappy-c.h>
#include <stdlib.h>

#include "tools/bench/bench_keys.h"

START_TEST(keys_ascend_with_rows_and_missing_ones_lie_between)
{
    uint8_t last[16] = {0};
    uint8_t key[16];
    for (uint64_t row = 0; row < 1000; row++) {
        for (enum bench_place place = BENCH_PLACE_FILL; place <= BENCH_PLACE_INSERTED; place++) {
            bench_key(row, place, key, sizeof key);
            ck_assert_int_gt(memcmp(key, last, sizeof key), 0);
            memcpy(last, key, sizeof key);
        }
    }
    bench_key(0x0102030405060708, BENCH_PLACE_MISSING, key, 10);
    ck_assert_mem_eq(key,
                     "\x04\x08\x0c\x10\x14\x18\x1c\x21"
                     "00",
                     10);
}
END_TEST

START_TEST(a_permutation_has_every_number_once)
{
    static const uint64_t counts[] = {1, 2, 3, 4, 5, 63, 64, 65, 1000, 4097};
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        struct bench_permutation p;
        uint8_t *seen = calloc(counts[c], 1);
        bench_permutation_init(&p, counts[c], test_seed());
        for (uint64_t i = 0; i < counts[c]; i++) {
            uint64_t at = bench_permutation_at(&p, i);
            ck_assert_uint_lt(at, counts[c]);
            ck_assert_msg(!seen[at], "%" PRIu64 " twice (seed %" PRIu64 ")", at, test_seed());
            seen[at] = 1;
        }
        free(seen);
    }
}
END_TEST

/* A random order has a neighbour within a tenth of the rows one time in five or so. */
START_TEST(a_permutation_does_not_keep_neighbours_together)
{
    enum { COUNT = 100000 };
    struct bench_permutation p;
    unsigned near = 0;
    bench_permutation_init(&p, COUNT, test_seed());
    for (uint64_t i = 1; i < COUNT; i++) {
        uint64_t a = bench_permutation_at(&p, i - 1);
        uint64_t b = bench_permutation_at(&p, i);
        near += (a > b ? a - b : b - a) < COUNT / 10;
    }
    ck_assert_uint_gt(near, COUNT * 18 / 100); /* 2 * 0.1 - 0.1 * 0.1 = 0.19 */
    ck_assert_uint_lt(near, COUNT * 20 / 100);
}
END_TEST

/* Against the definition. Ranks beyond the second come from a continuous approximation, so single
 * ones are off by some per cent of themselves, as in YCSB; the first two and groups are not. */
START_TEST(zipfian_draws_have_the_frequencies_of_their_ranks)
{
    enum { RANKS = 1000, DRAWS = 400000 };
    static const unsigned group_ends[] = {1, 2, 10, 30, 100, 300, RANKS};
    double *expected = calloc(RANKS + 1, sizeof *expected); /* sums of the ranks before */
    double *drawn = calloc(RANKS + 1, sizeof *drawn);
    struct rng rng = {test_seed()};
    struct bench_zipf zipf;
    bench_zipf_init(&zipf, RANKS, 0.99);
    for (unsigned i = 0; i < DRAWS; i++) {
        uint64_t rank = bench_zipf_draw(&zipf, &rng);
        ck_assert_uint_lt(rank, RANKS);
        drawn[rank + 1] += 1.0 / DRAWS;
    }
    for (unsigned r = 1; r <= RANKS; r++) {
        expected[r] = expected[r - 1] + pow(r, -0.99) / zipf.zeta;
        drawn[r] += drawn[r - 1];
    }
    ck_assert_double_eq_tol(expected[RANKS], 1, 1e-9);
    for (size_t g = 0; g < sizeof group_ends / sizeof group_ends[0]; g++) {
        unsigned end = group_ends[g];
        ck_assert_msg(fabs(drawn[end] - expected[end]) < 0.02,
                      "first %u ranks: drawn %f, expected %f (seed %" PRIu64 ")", end, drawn[end],
                      expected[end], test_seed());
    }
    ck_assert_double_eq_tol(drawn[1], expected[1], 0.005);
    ck_assert_double_eq_tol(drawn[2] - drawn[1], expected[2] - expected[1], 0.005);
    free(drawn);
    free(expected);
}
END_TEST

START_TEST(zipfian_draws_of_very_few_ranks_stay_within_them)
{
    struct rng rng = {test_seed()};
    for (uint64_t count = 1; count <= 4; count++) {
        struct bench_zipf zipf;
        unsigned seen = 0;
        bench_zipf_init(&zipf, count, 0.99);
        for (unsigned i = 0; i < 10000; i++) {
            uint64_t rank = bench_zipf_draw(&zipf, &rng);
            ck_assert_uint_lt(rank, count);
            seen |= 1u << rank;
        }
        ck_assert_uint_eq(seen, (1u << count) - 1);
    }
}
END_TEST

static size_t compressed_size(const struct bench_values *values)
{
    enum { PIECES = 80 };
    struct kv_buf block = {0};
    size_t size = snappy_max_compressed_length(PIECES * values->value_size);
    char *to = malloc(size);
    for (unsigned i = 0; i < PIECES; i++) {
        ck_ok(kv_buf_append(&block, bench_value_at(values, i)));
    }
    ck_assert_int_eq(snappy_compress((const char *)block.data, block.size, to, &size), SNAPPY_OK);
    free(to);
    kv_buf_finish(&block);
    return size * 100 / (PIECES * values->value_size);
}

START_TEST(values_compress_to_what_was_asked_for)
{
    struct bench_values values;
    ck_ok(bench_values_init(&values, 100, 0.5, 1));
    ck_assert_uint_ge(compressed_size(&values), 48);
    ck_assert_uint_le(compressed_size(&values), 58);
    bench_values_finish(&values);
    ck_ok(bench_values_init(&values, 100, 1, 1));
    ck_assert_uint_ge(compressed_size(&values), 97);
    bench_values_finish(&values);
}
END_TEST

START_TEST(values_are_the_same_each_time_and_differ_from_each_other)
{
    static const size_t sizes[] = {0, 1, 100, 3 << 20};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        struct bench_values a;
        struct bench_values b;
        ck_ok(bench_values_init(&a, sizes[s], 0.5, 7));
        ck_ok(bench_values_init(&b, sizes[s], 0.5, 7));
        for (uint64_t i = 0; i < 5; i++) {
            struct kv_slice value = bench_value_at(&a, i);
            ck_assert_uint_eq(value.size, sizes[s]);
            ck_assert(kv_slice_equal(value, bench_value_at(&b, i)));
            ck_assert(sizes[s] < 100 || !kv_slice_equal(value, bench_value_at(&a, i + 1)));
        }
        bench_values_finish(&a);
        bench_values_finish(&b);
    }
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("bench_keys");
    suite_add(suite, "keys_ascend_with_rows_and_missing_ones_lie_between",
              keys_ascend_with_rows_and_missing_ones_lie_between);
    suite_add(suite, "a_permutation_has_every_number_once", a_permutation_has_every_number_once);
    suite_add(suite, "a_permutation_does_not_keep_neighbours_together",
              a_permutation_does_not_keep_neighbours_together);
    suite_add(suite, "zipfian_draws_have_the_frequencies_of_their_ranks",
              zipfian_draws_have_the_frequencies_of_their_ranks);
    suite_add(suite, "zipfian_draws_of_very_few_ranks_stay_within_them",
              zipfian_draws_of_very_few_ranks_stay_within_them);
    suite_add(suite, "values_compress_to_what_was_asked_for",
              values_compress_to_what_was_asked_for);
    suite_add(suite, "values_are_the_same_each_time_and_differ_from_each_other",
              values_are_the_same_each_time_and_differ_from_each_other);
    return suite;
}
