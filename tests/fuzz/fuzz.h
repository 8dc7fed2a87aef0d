/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzz targets share. A target is one file that defines LLVMFuzzerTestOneInput(): linked
 * with libFuzzer it searches for inputs that break the decoder, linked with replay.c it reads the
 * inputs of tests/fuzz/corpus. Asserts state what must hold for any bytes; the rest is left to the
 * sanitizers. docs/testing.md, "Fuzzing". */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <assert.h>
#include <stdlib.h>

#include <kv/slice.h>

#include "kvcore/util/coding.h"

/* One input. The bytes are a heap block of exactly this size. Always returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What checksums and file seeds of the inputs are made with. */
#define FUZZ_STORE_SEED UINT64_C(0x5eed)

/* Read every byte, so that a slice that reaches too far is seen by the sanitizer. */
static inline void fuzz_touch(struct kv_slice bytes)
{
    static volatile uint8_t sink;
    uint8_t sum = 0;
    for (size_t i = 0; i < bytes.size; i++) {
        sum = (uint8_t)(sum + bytes.data[i]);
    }
    sink = sum;
    (void)sink;
}

/* A decoder may only accept, or refuse with one of the two errors that stand for bytes. */
static inline void fuzz_expect_verdict(int r)
{
    assert(r >= 0 || r == -KV_EDAMAGED || r == -KV_EFORMAT);
}

/* For what can only fail for want of memory. */
static inline void fuzz_need(int r)
{
    assert(r >= 0);
}

/* A heap copy of exactly these bytes, aligned to 8; release with free(). */
static inline uint8_t *fuzz_copy(struct kv_slice bytes)
{
    uint8_t *copy = malloc(bytes.size > 0 ? bytes.size : 1);
    assert(copy != NULL);
    if (bytes.size > 0) {
        memcpy(copy, bytes.data, bytes.size);
    }
    return copy;
}

/* What the cursor has left. */
static inline struct kv_slice fuzz_rest(const struct coding_cursor *c)
{
    return kv_slice(c->at, coding_left(c));
}

#endif
