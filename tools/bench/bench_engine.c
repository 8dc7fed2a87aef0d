/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench/bench_engine.h"

#include <stdarg.h>
#include <stdio.h>

const struct bench_engine_ops *const *bench_engines(unsigned *ret_count)
{
    static const struct bench_engine_ops *const engines[] = {
        &bench_engine_kvfs,
#ifdef BENCH_PEERS
        &bench_engine_rocksdb,
        &bench_engine_leveldb,
        &bench_engine_lmdb,
#endif
    };
    *ret_count = sizeof engines / sizeof engines[0];
    return engines;
}

int bench_print(struct kv_buf *to, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (size < 0 || (size_t)size >= sizeof text) {
        return -EINVAL;
    }
    return kv_buf_append(to, kv_slice(text, (size_t)size));
}
