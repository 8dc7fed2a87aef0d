/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/check_main.h"

#include <string.h>

#include "kvcore/util/arena.h"
#include "kvcore/util/pages.h"

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

START_TEST(chunks_of_huge_pages_are_aligned_and_counted_whole)
{
    struct arena arena;
    uint8_t *first;

    arena_init(&arena, PAGES_HUGE_BYTES);
    first = arena_alloc(&arena, 8);
    ck_assert_ptr_nonnull(first);
    ck_assert_uint_eq(arena_bytes(&arena), PAGES_HUGE_BYTES);
    for (size_t used = 0; used < 3 * (size_t)PAGES_HUGE_BYTES; used += 100000) {
        memset(arena_alloc(&arena, 100000), 1, 100000);
    }
    ck_assert_uint_eq(arena_bytes(&arena), 4 * (size_t)PAGES_HUGE_BYTES);
    /* A request above a chunk: with the header it ends in the third huge page. */
    memset(arena_alloc(&arena, PAGES_HUGE_BYTES + 8), 2, PAGES_HUGE_BYTES + 8);
    ck_assert_uint_eq(arena_bytes(&arena), 7 * (size_t)PAGES_HUGE_BYTES);
    ck_assert_uint_lt((uintptr_t)first % PAGES_HUGE_BYTES, 64);
    arena_finish(&arena);
}
END_TEST

START_TEST(pages_are_aligned_zeroed_and_do_not_overlap)
{
    uint8_t *pages[5] = {0};
    for (size_t i = 0; i < 5; i++) {
        size_t size = (1 + i % 3) * (size_t)PAGES_HUGE_BYTES;
        pages[i] = pages_alloc(size);
        ck_assert_ptr_nonnull(pages[i]);
        ck_assert_uint_eq((uintptr_t)pages[i] % PAGES_HUGE_BYTES, 0);
        for (size_t at = 0; at < size; at += 512) {
            ck_assert_uint_eq(pages[i][at], 0);
        }
        memset(pages[i], (int)(1 + i), size);
    }
    for (size_t i = 0; i < 5; i++) {
        size_t size = (1 + i % 3) * (size_t)PAGES_HUGE_BYTES;
        ck_assert_uint_eq(pages[i][0], 1 + i);
        ck_assert_uint_eq(pages[i][size - 1], 1 + i);
        pages_free(pages[i], size);
    }
    pages_free(NULL, PAGES_HUGE_BYTES);
    ck_assert_ptr_null(pages_alloc(SIZE_MAX - SIZE_MAX % PAGES_HUGE_BYTES));
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("arena");
    suite_add(s, "arena", threads_never_get_the_same_bytes);
    suite_add(s, "arena", a_request_larger_than_a_chunk_is_served);
    suite_add(s, "arena", chunks_of_huge_pages_are_aligned_and_counted_whole);
    suite_add(s, "pages", pages_are_aligned_zeroed_and_do_not_overlap);
    return s;
}
