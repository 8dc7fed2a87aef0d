/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KVCORE_UTIL_CLOCK_H
#define KVCORE_UTIL_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Nanoseconds on the monotonic clock, for intervals and time-outs. */
static inline uint64_t clock_monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

/* Seconds since 1970, for records that people read. */
static inline uint64_t clock_wall_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec;
}

#endif
