/* SPDX-License-Identifier: Apache-2.0 */
/* Histogram of durations or sizes with a bounded relative error, of fixed size and without
 * allocation (the idea of HdrHistogram: linear buckets inside each power of two).
 *
 *   values      0..63 | 64..127 | 128..255 | ...   | 2^39..2^40-1 | above
 *   bucket width    1 |       2 |        4 | ...   |         2^34 | counted in the last bucket
 *
 * So a percentile is at most 1/32 above the value that was recorded, below 64 it is exact; count,
 * sum, minimum and maximum are always exact. All zero is an empty histogram.
 *
 * Concurrency: none of its own. Give each thread one and merge them, or guard it. */
#ifndef KVCORE_UTIL_HISTOGRAM_H
#define KVCORE_UTIL_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_SUB_BITS = 5,
    HISTOGRAM_VALUE_BITS = 40, /* in nanoseconds 18 minutes */
    HISTOGRAM_BUCKETS = (HISTOGRAM_VALUE_BITS - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS,
};

struct histogram {
    uint64_t count;
    uint64_t sum;
    uint64_t min; /* undefined while count is 0 */
    uint64_t max;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_record(struct histogram *histogram, uint64_t value);
/* Add all that `from` recorded. */
void histogram_merge(struct histogram *to, const struct histogram *from);
/* The smallest value, as far as buckets tell, that at least `fraction` (0 to 1) of all records do
 * not exceed: 0.5 is the median, 1 the maximum. Never above the maximum. 0 if empty. */
uint64_t histogram_percentile(const struct histogram *histogram, double fraction);
/* 0 if empty. */
double histogram_mean(const struct histogram *histogram);

#endif
