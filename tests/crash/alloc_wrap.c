/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/alloc_wrap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvcore/util/rng.h"
#include "tests/sim/sim_impl.h"

/* What the linker calls instead of a function f is __wrap_f, and __real_f is f itself. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
char *__real_strdup(const char *text);
void __real_free(void *memory);
void *__real_sim_alloc(size_t count, size_t size);
void __real_sim_append(void *array_pointer, size_t *count, const void *item, size_t item_size);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
void __wrap_free(void *memory);
void *__wrap_sim_alloc(size_t count, size_t size);
void __wrap_sim_append(void *array_pointer, size_t *count, const void *item, size_t item_size);

extern const char __executable_start[]; /* of the linker: where the program was loaded */

enum { LIVE_SLOTS = 1 << 16 }; /* a power of two */

static struct {
    bool armed;
    uint64_t count;
    uint64_t fail_at;
    enum alloc_how how;
    uint64_t failures;
    const void *failed_at;
    /* A hash set of what the code under test allocated: open addressing, linear probing. */
    void *live[LIVE_SLOTS];
    size_t live_count;
} state;

void alloc_enter(void)
{
    state.armed = true;
}

void alloc_leave(void)
{
    state.armed = false;
    if (state.how == ALLOC_CALL && state.failures > 0) {
        state.fail_at = 0; /* it is over */
    }
}

void alloc_fail_at(uint64_t number, enum alloc_how how)
{
    state.count = 0;
    state.failures = 0;
    state.fail_at = number;
    state.how = how;
}

uint64_t alloc_count(void)
{
    return state.count;
}

uint64_t alloc_failures(void)
{
    return state.failures;
}

uintptr_t alloc_failed_at(void)
{
    return (uintptr_t)state.failed_at - (uintptr_t)__executable_start;
}

size_t alloc_live(void)
{
    return state.live_count;
}

/* ---- the set ---- */

static size_t home_of(const void *memory)
{
    return hash_u64((uint64_t)(uintptr_t)memory) & (LIVE_SLOTS - 1);
}

/* The slot that holds it, or the empty one where it would be. */
static size_t slot_of(const void *memory)
{
    size_t at = home_of(memory);
    while (state.live[at] != NULL && state.live[at] != memory) {
        at = (at + 1) & (LIVE_SLOTS - 1);
    }
    return at;
}

static void *note(void *memory)
{
    if (memory != NULL && state.armed) {
        if (++state.live_count == LIVE_SLOTS) {
            fprintf(stderr, "more allocations than are counted\n");
            abort();
        }
        state.live[slot_of(memory)] = memory;
    }
    return memory;
}

/* Close the gap: who was pushed beyond it moves back. */
static void forget(const void *memory)
{
    size_t gap = slot_of(memory);
    if (memory == NULL || state.live[gap] == NULL) {
        return; /* not one of these */
    }
    state.live[gap] = NULL;
    state.live_count--;
    for (size_t at = (gap + 1) & (LIVE_SLOTS - 1); state.live[at] != NULL;
         at = (at + 1) & (LIVE_SLOTS - 1)) {
        size_t distance = (at - home_of(state.live[at])) & (LIVE_SLOTS - 1);
        if (distance >= ((at - gap) & (LIVE_SLOTS - 1))) {
            state.live[gap] = state.live[at];
            state.live[at] = NULL;
            gap = at;
        }
    }
}

/* ---- the calls ---- */

static bool fails(const void *caller)
{
    if (!state.armed) {
        return false;
    }
    state.count++;
    if (state.fail_at == 0 || state.count < state.fail_at ||
        (state.count > state.fail_at && state.how == ALLOC_ONCE)) {
        return false;
    }
    state.failures++;
    state.failed_at = caller;
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : note(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : note(__real_calloc(count, size));
}

void *__wrap_realloc(void *memory, size_t size)
{
    void *larger;
    if (fails(__builtin_return_address(0))) {
        return NULL;
    }
    forget(memory);
    larger = __real_realloc(memory, size);
    if (larger == NULL) {
        abort(); /* a machine without memory proves nothing */
    }
    return note(larger);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : note(__real_aligned_alloc(alignment, size));
}

char *__wrap_strdup(const char *text)
{
    return fails(__builtin_return_address(0)) ? NULL : note(__real_strdup(text));
}

void __wrap_free(void *memory)
{
    forget(memory);
    __real_free(memory);
}

/* The simulated file system is called by the code under test and is none of it. */
void *__wrap_sim_alloc(size_t count, size_t size)
{
    bool armed = state.armed;
    void *memory;
    state.armed = false;
    memory = __real_sim_alloc(count, size);
    state.armed = armed;
    return memory;
}

void __wrap_sim_append(void *array_pointer, size_t *count, const void *item, size_t item_size)
{
    bool armed = state.armed;
    state.armed = false;
    __real_sim_append(array_pointer, count, item, item_size);
    state.armed = armed;
}
