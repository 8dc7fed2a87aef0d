/* SPDX-License-Identifier: Apache-2.0 */
/* What one input may cost while libFuzzer searches: a second of processor time, and 256 MiB
 * allocated at a time. Both are counted here rather than by libFuzzer, whose limits are by the
 * clock, which a busy machine makes too short, and over all that it and the sanitizer hold. Linked
 * with --wrap=LLVMFuzzerTestOneInput. */
#include <sanitizer/allocator_interface.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "tests/fuzz/fuzz.h"

enum { LIMIT_MS = 1000 };
#define LIMIT_BYTES (INT64_C(256) << 20)

int __real_LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int __wrap_LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static _Atomic int64_t allocated, before; /* bytes */

/* Ends with the input kept, as every other failure. */
static void check_allocated(int64_t bytes)
{
    if (bytes > LIMIT_BYTES) {
        fprintf(stderr, "the input makes it allocate %lld bytes at a time\n", (long long)bytes);
        abort();
    }
}

static void on_malloc(const volatile void *block, size_t size)
{
    int64_t now = atomic_fetch_add(&allocated, (int64_t)size) + (int64_t)size;
    check_allocated(now - atomic_load(&before));
    (void)block;
}

static void on_free(const volatile void *block)
{
    const void *freed = (const void *)(uintptr_t)block; /* volatile only by its declaration */
    atomic_fetch_sub(&allocated, (int64_t)__sanitizer_get_allocated_size(freed));
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    int installed = __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
    assert(installed != 0);
    (void)installed;
    (void)argc;
    (void)argv;
    return 0;
}

static int64_t processor_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int __wrap_LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int64_t begin = processor_ms();
    atomic_store(&before, atomic_load(&allocated));
    int r = __real_LLVMFuzzerTestOneInput(data, size);
    int64_t took = processor_ms() - begin;

    if (took > LIMIT_MS) {
        fprintf(stderr, "the input takes %lld ms of processor time\n", (long long)took);
        abort();
    }
    return r;
}
