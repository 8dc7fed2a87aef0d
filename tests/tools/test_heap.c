/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/check_main.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvcore/util/thread.h"
#include "tools/heap.h"

/* A sanitizer brings an allocator of its own. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && defined(__GLIBC__)

enum {
    THREADS = 16,
    BLOCKS = 2048,
    BLOCK_BYTES = 4000,
    ALL_BYTES = THREADS * BLOCKS * BLOCK_BYTES,
    KEPT_EACH = 64, /* of so many blocks one is not freed: the last of a thread is among them */
};

struct load {
    struct mutex mu;
    struct condvar changed;
    unsigned filled; /* threads; guarded by mu */
    void *blocks[THREADS][BLOCKS];
};

struct filler {
    struct load *load;
    struct thread thread;
    unsigned number;
};

/* No thread ends before all have allocated, so that none gets the arena of another that ended. */
static void *fill(void *arg)
{
    struct filler *filler = arg;
    struct load *load = filler->load;
    for (unsigned i = 0; i < BLOCKS; i++) {
        void *block = malloc(BLOCK_BYTES);
        memset(block, 1, block != NULL ? BLOCK_BYTES : 0);
        load->blocks[filler->number][i] = block;
    }
    mutex_lock(&load->mu);
    load->filled++;
    condvar_broadcast(&load->changed);
    while (load->filled < THREADS) {
        condvar_wait(&load->changed, &load->mu);
    }
    mutex_unlock(&load->mu);
    return NULL;
}

static struct load *load_create(void)
{
    struct filler fillers[THREADS];
    struct load *load = calloc(1, sizeof *load);
    ck_assert_ptr_nonnull(load);
    mutex_init(&load->mu, LOCK_RANK_LEAF, "load");
    condvar_init(&load->changed);
    for (unsigned i = 0; i < THREADS; i++) {
        fillers[i] = (struct filler){.load = load, .number = i};
        ck_ok(thread_start(&fillers[i].thread, "fill", fill, &fillers[i]));
    }
    for (unsigned i = 0; i < THREADS; i++) {
        thread_join(&fillers[i].thread);
    }
    return load;
}

static void load_free_most(struct load *load)
{
    for (unsigned thread = 0; thread < THREADS; thread++) {
        for (unsigned i = 0; i < BLOCKS; i++) {
            if (i % KEPT_EACH != KEPT_EACH - 1) {
                free(load->blocks[thread][i]);
                load->blocks[thread][i] = NULL;
            }
        }
    }
}

static void load_destroy(struct load *load)
{
    for (unsigned thread = 0; thread < THREADS; thread++) {
        for (unsigned i = 0; i < BLOCKS; i++) {
            free(load->blocks[thread][i]);
        }
    }
    condvar_finish(&load->changed);
    mutex_finish(&load->mu);
    free(load);
}

static unsigned count_arenas(void)
{
    static const char mark[] = "<heap nr=";
    char *text = NULL;
    size_t size = 0;
    unsigned arenas = 0;
    FILE *to = open_memstream(&text, &size);
    ck_assert_ptr_nonnull(to);
    ck_assert_int_eq(malloc_info(0, to), 0);
    fclose(to);
    for (const char *at = strstr(text, mark); at != NULL; at = strstr(at + 1, mark)) {
        arenas++;
    }
    free(text);
    return arenas;
}

START_TEST(freed_memory_is_given_back_once_it_is_much)
{
    struct heap heap = {0};
    heap_setup();
    uint64_t before = heap_resident_bytes();
    struct load *load = load_create();
    ck_assert_uint_gt(heap_resident_bytes(), before + ALL_BYTES);
    ck_assert(!heap_look(&heap, before + ALL_BYTES)); /* all is in use */
    load_free_most(load);
    ck_assert_uint_gt(heap_resident_bytes(), before + ALL_BYTES / 2); /* it is kept */
    ck_assert(heap_look(&heap, before));
    ck_assert_uint_lt(heap_resident_bytes(), before + ALL_BYTES / 8);
    ck_assert(!heap_look(&heap, before)); /* there is no more to give */
    load_destroy(load);
}
END_TEST

static unsigned tries_in_rest(struct heap *heap, uint64_t used_bytes)
{
    unsigned tries = 0;
    for (unsigned i = 0; i < 4 * HEAP_STILL_LOOKS; i++) {
        tries += heap_look(heap, used_bytes);
    }
    return tries;
}

START_TEST(what_was_in_use_at_the_last_try_is_given_back_at_rest)
{
    struct heap heap = {0};
    heap_setup();
    uint64_t before = heap_resident_bytes();
    struct load *load = load_create();
    ck_assert(heap_look(&heap, before)); /* nothing is free, though all is too much */
    ck_assert_uint_gt(heap_resident_bytes(), before + ALL_BYTES);
    load_free_most(load);
    ck_assert(!heap_look(&heap, before)); /* no more than was left */
    ck_assert_uint_gt(heap_resident_bytes(), before + ALL_BYTES / 2);
    ck_assert_uint_eq(tries_in_rest(&heap, before), 1);
    ck_assert_uint_lt(heap_resident_bytes(), before + ALL_BYTES / 8);
    ck_assert_uint_eq(tries_in_rest(&heap, before), 0); /* it is still at rest */
    load_destroy(load);
}
END_TEST

START_TEST(little_is_kept_at_the_ends_of_arenas)
{
    heap_setup();
    uint64_t before = heap_resident_bytes();
    /* A block mapped by itself: once it is freed glibc would keep twice as much, see heap.h. */
    void *volatile mapped = malloc(30 << 20); /* not optimized away */
    free(mapped);
    struct load *load = load_create();
    ck_assert_uint_gt(heap_resident_bytes(), before + ALL_BYTES);
    load_destroy(load);
    ck_assert_uint_lt(heap_resident_bytes(), before + (HEAP_ARENAS_MAX + 1) * HEAP_END_MAX);
}
END_TEST

START_TEST(many_threads_have_few_arenas)
{
    heap_setup();
    struct load *load = load_create();
    ck_assert_uint_le(count_arenas(), HEAP_ARENAS_MAX);
    load_destroy(load);
}
END_TEST

#endif

START_TEST(nothing_is_given_back_while_little_is_kept)
{
    struct heap heap = {0};
    uint64_t resident = heap_resident_bytes();
    ck_assert_uint_gt(resident, 0);
    ck_assert(!heap_look(&heap, resident));
    for (unsigned i = 0; i < 4 * HEAP_STILL_LOOKS; i++) {
        ck_assert(!heap_look(&heap, UINT64_MAX));
    }
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("heap");
    suite_add(suite, "little", nothing_is_given_back_while_little_is_kept);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && defined(__GLIBC__)
    suite_add(suite, "given back", freed_memory_is_given_back_once_it_is_much);
    suite_add(suite, "rest", what_was_in_use_at_the_last_try_is_given_back_at_rest);
    suite_add(suite, "ends", little_is_kept_at_the_ends_of_arenas);
    suite_add(suite, "arenas", many_threads_have_few_arenas);
#endif
    return suite;
}
