/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/util/histogram.h"

#include <assert.h>

enum { SUB_COUNT = 1 << HISTOGRAM_SUB_BITS };

/* With `shift` the number of low bits that are dropped, bucket = shift * 32 + (value >> shift): the
 * shifted value lies in 32..63 (in 0..63 for shift 0), so neighbouring powers of two join without
 * a gap. */
static unsigned bucket_of(uint64_t value)
{
    const uint64_t limit = (uint64_t)1 << HISTOGRAM_VALUE_BITS;
    if (value >= limit) {
        return HISTOGRAM_BUCKETS - 1;
    }
    unsigned bits = 64 - (unsigned)__builtin_clzll(value | SUB_COUNT);
    unsigned shift = bits - HISTOGRAM_SUB_BITS - 1;
    return (shift << HISTOGRAM_SUB_BITS) + (unsigned)(value >> shift);
}

/* The largest value that falls into the bucket. */
static uint64_t bucket_last(unsigned bucket)
{
    unsigned shift = bucket < 2 * SUB_COUNT ? 0 : (bucket >> HISTOGRAM_SUB_BITS) - 1;
    uint64_t top = bucket - (shift << HISTOGRAM_SUB_BITS);
    return ((top + 1) << shift) - 1;
}

void histogram_record(struct histogram *histogram, uint64_t value)
{
    if (histogram->count == 0 || value < histogram->min) {
        histogram->min = value;
    }
    if (value > histogram->max) {
        histogram->max = value;
    }
    histogram->count++;
    histogram->sum += value;
    histogram->buckets[bucket_of(value)]++;
}

void histogram_merge(struct histogram *to, const struct histogram *from)
{
    if (from->count == 0) {
        return;
    }
    if (to->count == 0 || from->min < to->min) {
        to->min = from->min;
    }
    if (from->max > to->max) {
        to->max = from->max;
    }
    to->count += from->count;
    to->sum += from->sum;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        to->buckets[i] += from->buckets[i];
    }
}

uint64_t histogram_percentile(const struct histogram *histogram, double fraction)
{
    assert(fraction >= 0 && fraction <= 1);
    /* Rounded up: the median of three records is the second. */
    double exact = fraction * (double)histogram->count;
    uint64_t wanted = (uint64_t)exact;
    wanted += (double)wanted < exact || wanted == 0;
    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen >= wanted && seen > 0) {
            uint64_t last = bucket_last(i);
            return i == HISTOGRAM_BUCKETS - 1 || last > histogram->max ? histogram->max : last;
        }
    }
    return histogram->max;
}

double histogram_mean(const struct histogram *histogram)
{
    return histogram->count > 0 ? (double)histogram->sum / (double)histogram->count : 0;
}
