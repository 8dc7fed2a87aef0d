/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/check_main.h"

#include <string.h>

#include "kvcore/util/arena.h"

enum { THREADS = 4, ROUNDS = 20000 };

static void *fill_many(void *arg)
{
    struct arena *arena = arg;
    uint64_t *mine[64] = {0};
    for (uint64_t i = 0; i < ROUNDS; i++) {
        size_t words = 1 + i % 9;
        uint64_t *p = arena_alloc(arena, words * sizeof *p);
        ck_assert_ptr_nonnull(p);
        ck_assert_uint_eq((uintptr_t)p % 8, 0);
        for (size_t w = 0; w < words; w++) {
            p[w] = (uintptr_t)p;
        }
        mine[i % 64] = p;
    }
    for (size_t i = 0; i < 64; i++) {
        ck_assert_uint_eq(*mine[i], (uintptr_t)mine[i]); /* nobody else got the same bytes */
    }
    return NULL;
}

START_TEST(threads_never_get_the_same_bytes)
{
    struct arena arena;
    struct thread threads[THREADS];
    arena_init(&arena, 4096);
    for (int i = 0; i < THREADS; i++) {
        ck_ok(thread_start(&threads[i], "fill", fill_many, &arena));
    }
    for (int i = 0; i < THREADS; i++) {
        thread_join(&threads[i]);
    }
    ck_assert_uint_ge(arena_bytes(&arena), (size_t)THREADS * ROUNDS * 8);
    arena_finish(&arena);
}
END_TEST

START_TEST(a_request_larger_than_a_chunk_is_served)
{
    struct arena arena;
    arena_init(&arena, 4096);
    memset(arena_alloc(&arena, 100000), 1, 100000);
    memset(arena_alloc(&arena, 8), 2, 8);
    arena_finish(&arena);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("arena");
    suite_add(s, "arena", threads_never_get_the_same_bytes);
    suite_add(s, "arena", a_request_larger_than_a_chunk_is_served);
    return s;
}
