/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench/bench_config.h"

const char *bench_distribution_name(enum bench_distribution distribution)
{
    switch (distribution) {
    case BENCH_UNIFORM:
        return "uniform";
    case BENCH_ZIPFIAN:
        return "zipfian";
    case BENCH_LATEST:
        return "latest";
    }
    return "unknown";
}

const char *bench_durability_name(enum bench_durability durability)
{
    switch (durability) {
    case BENCH_DURABLE_NONE:
        return "none";
    case BENCH_DURABLE_WRITE:
        return "write";
    case BENCH_DURABLE_SYNC:
        return "sync";
    }
    return "unknown";
}
