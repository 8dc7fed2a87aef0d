/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/check_main.h"

#include <stdlib.h>

#include "kvcore/util/histogram.h"
#include "kvcore/util/rng.h"

START_TEST(an_empty_histogram_answers_zero)
{
    struct histogram h = {0};
    ck_assert_uint_eq(histogram_percentile(&h, 0), 0);
    ck_assert_uint_eq(histogram_percentile(&h, 1), 0);
    ck_assert_double_eq(histogram_mean(&h), 0);
}
END_TEST

START_TEST(small_values_are_exact)
{
    struct histogram h = {0};
    for (uint64_t v = 0; v < 64; v++) {
        histogram_record(&h, v);
    }
    for (unsigned v = 1; v <= 64; v++) {
        ck_assert_uint_eq(histogram_percentile(&h, v / 64.0), v - 1);
    }
    ck_assert_double_eq(histogram_mean(&h), 31.5);
    ck_assert_uint_eq(h.min, 0);
    ck_assert_uint_eq(h.max, 63);
}
END_TEST

START_TEST(the_median_of_three_is_the_second)
{
    struct histogram h = {0};
    histogram_record(&h, 10);
    histogram_record(&h, 30);
    histogram_record(&h, 20);
    ck_assert_uint_eq(histogram_percentile(&h, 0.5), 20);
    ck_assert_uint_eq(histogram_percentile(&h, 0.34), 20);
    ck_assert_uint_eq(histogram_percentile(&h, 0.33), 10);
    ck_assert_uint_eq(histogram_percentile(&h, 0), 10);
    ck_assert_uint_eq(histogram_percentile(&h, 1), 30);
}
END_TEST

/* Around each power of two, where a wrong shift would show; a large neighbour keeps the maximum
 * from hiding the bucket's end. */
START_TEST(no_value_is_told_smaller_or_more_than_one_32nd_larger)
{
    for (unsigned bits = 1; bits < HISTOGRAM_VALUE_BITS; bits++) {
        for (int delta = -2; delta <= 2; delta++) {
            uint64_t value = ((uint64_t)1 << bits) + (uint64_t)delta;
            struct histogram h = {0};
            histogram_record(&h, value);
            histogram_record(&h, UINT64_MAX / 4);
            uint64_t told = histogram_percentile(&h, 0.5);
            if (value >> HISTOGRAM_VALUE_BITS == 0) {
                ck_assert_uint_ge(told, value);
                ck_assert_uint_le(told - value, value / 32);
            }
        }
    }
}
END_TEST

START_TEST(values_beyond_the_range_count_and_the_maximum_stays_exact)
{
    struct histogram h = {0};
    uint64_t huge = ((uint64_t)1 << 50) + 12345;
    histogram_record(&h, 5);
    histogram_record(&h, huge);
    ck_assert_uint_eq(h.max, huge);
    ck_assert_uint_eq(histogram_percentile(&h, 1), huge);
    ck_assert_uint_eq(histogram_percentile(&h, 0.5), 5);
}
END_TEST

static int compare(const void *a, const void *b)
{
    const uint64_t *x = a;
    const uint64_t *y = b;
    return (*x > *y) - (*x < *y);
}

START_TEST(percentiles_of_random_values_match_the_sorted_list)
{
    enum { COUNT = 20000 };
    static const double fractions[] = {0.01, 0.5, 0.9, 0.99, 0.999, 1};
    uint64_t *values = calloc(COUNT, sizeof *values);
    struct histogram h = {0};
    struct rng rng = {test_seed()};
    for (unsigned i = 0; i < COUNT; i++) {
        values[i] = rng_next(&rng) >> (28 + rng_below(&rng, 30));
        histogram_record(&h, values[i]);
    }
    qsort(values, COUNT, sizeof *values, compare);
    for (unsigned i = 0; i < sizeof fractions / sizeof fractions[0]; i++) {
        uint64_t exact = values[(unsigned)(fractions[i] * COUNT) - 1];
        uint64_t told = histogram_percentile(&h, fractions[i]);
        ck_assert_msg(told >= exact && told <= exact + exact / 32 + 1,
                      "%f: told %" PRIu64 ", exact %" PRIu64 " (seed %" PRIu64 ")", fractions[i],
                      told, exact, test_seed());
    }
    free(values);
}
END_TEST

START_TEST(merged_histograms_equal_one_that_recorded_all)
{
    struct histogram parts[3] = {0};
    struct histogram whole = {0};
    struct histogram merged = {0};
    struct rng rng = {test_seed()};
    for (unsigned i = 0; i < 3000; i++) {
        uint64_t value = rng_next(&rng) >> rng_below(&rng, 64);
        value >>= 8; /* the sum must not overflow */
        histogram_record(&whole, value);
        histogram_record(&parts[i % 2], value); /* the third stays empty */
    }
    for (unsigned i = 0; i < 3; i++) {
        histogram_merge(&merged, &parts[i]);
    }
    ck_assert_mem_eq(&merged, &whole, sizeof whole);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("histogram");
    suite_add(suite, "an_empty_histogram_answers_zero", an_empty_histogram_answers_zero);
    suite_add(suite, "small_values_are_exact", small_values_are_exact);
    suite_add(suite, "the_median_of_three_is_the_second", the_median_of_three_is_the_second);
    suite_add(suite, "no_value_is_told_smaller_or_more_than_one_32nd_larger",
              no_value_is_told_smaller_or_more_than_one_32nd_larger);
    suite_add(suite, "values_beyond_the_range_count_and_the_maximum_stays_exact",
              values_beyond_the_range_count_and_the_maximum_stays_exact);
    suite_add(suite, "percentiles_of_random_values_match_the_sorted_list",
              percentiles_of_random_values_match_the_sorted_list);
    suite_add(suite, "merged_histograms_equal_one_that_recorded_all",
              merged_histograms_equal_one_that_recorded_all);
    return suite;
}
