/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/table/range_list.h"

#include <stdio.h>
#include <stdlib.h>

#include "kvcore/util/rng.h"
#include "tests/lib/check_main.h"

/* Fragments of keys "k000000", "k000002"... with `each` deletes, with a hole behind every third. */
static struct range_dels *make_dels(size_t fragments, size_t each, size_t key_size)
{
    struct range_dels *dels = NULL;
    ck_ok(range_dels_create(fragments * each, 2 * fragments * key_size, &dels));
    uint8_t *at = dels->bytes;
    for (size_t i = 0; i < fragments; i++) {
        struct range_delete one = {kv_slice(at, key_size), kv_slice(at + key_size, key_size), 0};
        char text[16];
        memset(at, '_', 2 * key_size);
        snprintf(text, sizeof text, "k%06zu", 4 * i);
        memcpy(at, text, 7);
        snprintf(text, sizeof text, "k%06zu", 4 * i + (i % 3 == 2 ? 2 : 4));
        memcpy(at + key_size, text, 7);
        at += 2 * key_size;
        for (size_t n = each; n > 0; n--) {
            one.sequence = 1000 + i % 7 + 10 * n;
            ck_assert(range_dels_push(dels, &one));
        }
    }
    return dels;
}

static void check_same(const struct range_dels *a, const struct range_dels *b)
{
    ck_assert_uint_eq(a->count, b->count);
    ck_assert_uint_eq(a->delete_count, b->delete_count);
    for (size_t i = 0; i < a->count; i++) {
        const struct range_fragment *fa = &a->fragments[i], *fb = &b->fragments[i];
        ck_assert(kv_slice_equal(fa->from, fb->from) && kv_slice_equal(fa->to, fb->to));
        ck_assert_uint_eq(fa->count, fb->count);
        ck_assert_mem_eq(fa->sequences, fb->sequences, fa->count * sizeof(uint64_t));
    }
}

/* Every key that is deleted lies in a range that is as new. */
static void check_covers(const struct range_dels *cover, const struct range_dels *dels)
{
    for (size_t i = 0; i < dels->count; i++) {
        const struct range_fragment *of = &dels->fragments[i];
        struct range_window window;
        range_dels_window(cover, of->from, ROW_SEQUENCE_MAX, &window);
        ck_assert_uint_ge(window.sequence, of->sequences[0]);
        ck_assert(kv_slice_compare(of->to, window.to) <= 0);
    }
}

START_TEST(few_are_repeated_exactly_and_many_are_covered)
{
    static const size_t counts[] = {1, 2, 31, 32, 33, 63, 64, 100, 1000, 5000};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        for (size_t each = 1; each < 4; each++) {
            struct range_dels *dels = make_dels(counts[i], each, 7 + 40 * (each - 1));
            struct range_list list = {0};
            struct kv_buf bytes = {0};
            ck_ok(range_list_encode(dels, each == 2, &bytes));
            ck_assert(bytes.size > 0 && bytes.size <= RANGE_LIST_BYTES_MAX);
            ck_ok(range_list_decode(kv_buf_slice(&bytes), &list));
            ck_assert_int_eq(list.rows_shown, each == 2);
            ck_assert(counts[i] > (each == 1 ? 100 : 33) || list.is_exact);
            ck_assert(counts[i] < 1000 || !list.is_exact);
            if (list.is_exact) {
                check_same(list.dels, dels);
            } else {
                ck_assert_uint_le(list.dels->count, 32);
                ck_assert_uint_ge(list.dels->count, 8);
                ck_assert_uint_eq(list.dels->delete_count, list.dels->count);
                check_covers(list.dels, dels);
            }
            range_list_finish(&list);
            range_dels_destroy(dels);
            kv_buf_finish(&bytes);
        }
    }
}
END_TEST

/* One range still fits, or not even that. */
START_TEST(long_keys_leave_fewer_ranges_or_none)
{
    static const size_t sizes[] = {500, 2000, 5000};
    for (int i = 0; i < 3; i++) {
        struct range_dels *dels = make_dels(100, 1, sizes[i]);
        struct range_list list = {0};
        struct kv_buf bytes = {0};
        for (size_t n = 0; n < 2 * dels->count; n++) { /* that share nothing but their beginning */
            uint8_t *key = dels->bytes + n * sizes[i];
            memset(key + 7, (int)(n % 2 == 0 ? 'b' : 'a'), sizes[i] - 7);
        }
        ck_ok(range_list_encode(dels, true, &bytes));
        ck_assert_int_eq(bytes.size == 0, i == 2);
        if (bytes.size > 0) {
            ck_ok(range_list_decode(kv_buf_slice(&bytes), &list));
            ck_assert(!list.is_exact);
            ck_assert_uint_eq(list.dels->count, i == 0 ? 4 : 1);
            check_covers(list.dels, dels);
        }
        range_list_finish(&list);
        range_dels_destroy(dels);
        kv_buf_finish(&bytes);
    }
}
END_TEST

static void check_refused(const uint8_t *bytes, size_t size)
{
    struct range_list list = {0};
    ck_fails(range_list_decode(kv_slice(bytes, size), &list), KV_EDAMAGED);
}

START_TEST(what_is_no_list_is_refused)
{
    check_refused((const uint8_t[]){0}, 0);
    check_refused((const uint8_t[]){1}, 1);
    check_refused((const uint8_t[]){1, 0, 1, 'b', 0, 1, 'a', 1, 9}, 9);     /* from behind to */
    check_refused((const uint8_t[]){1, 0, 1, 'a', 0, 1, 'b', 0, 9}, 9);     /* no delete */
    check_refused((const uint8_t[]){1, 0, 1, 'a', 0, 1, 'b', 1, 0}, 9);     /* of no row */
    check_refused((const uint8_t[]){1, 0, 1, 'a', 0, 1, 'b', 2, 9, 0}, 10); /* of one row twice */
    check_refused((const uint8_t[]){1, 0, 1, 'a', 0, 1, 'b', 2, 9, 9}, 10); /* of row 0 */
    check_refused((const uint8_t[]){1, 1, 1, 'a', 0, 1, 'b', 1, 9}, 9); /* shared with nothing */
    check_refused((const uint8_t[]){1, 0, 0, 0, 1, 'b', 1, 9}, 8);      /* an empty key */
    check_refused((const uint8_t[]){1, 0, 1, 'a', 0, 1, 'b', 1, 9, 0}, 10); /* cut */
}
END_TEST

/* Each range behind a long key costs few bytes more. */
static void make_long(int ranges, struct kv_buf *to)
{
    enum { KEY = 60000 };
    uint8_t *key = malloc(KEY);
    memset(key, 'a', KEY);
    to->size = 0;
    ck_ok(coding_append_varint(to, 1));
    for (int i = 0; i < ranges; i++) {
        ck_ok(coding_append_varint(to, i > 0 ? KEY + (uint64_t)i : 0));
        ck_ok(coding_append_string(to, i > 0 ? kv_slice_str("") : kv_slice(key, KEY)));
        ck_ok(coding_append_varint(to, KEY + (uint64_t)i));
        ck_ok(coding_append_string(to, kv_slice_str("b")));
        ck_ok(coding_append_varint(to, 1));
        ck_ok(coding_append_varint(to, 5));
    }
    free(key);
}

START_TEST(a_short_list_does_not_become_much_memory)
{
    struct kv_buf bytes = {0};
    struct range_list list = {0};
    make_long(8, &bytes);
    ck_ok(range_list_decode(kv_buf_slice(&bytes), &list));
    range_list_finish(&list);
    make_long(500, &bytes); /* shorter than a list may be */
    check_refused(bytes.data, bytes.size);
    kv_buf_finish(&bytes);
}
END_TEST

/* One range with a delete for each byte. */
START_TEST(a_list_with_very_many_deletes_is_refused)
{
    static const uint64_t counts[] = {60000, 66000};
    for (int i = 0; i < 2; i++) {
        struct kv_buf bytes = {0};
        struct range_list list = {0};
        ck_ok(kv_buf_append(&bytes, kv_slice("\1\0\1a\0\1b", 7)));
        ck_ok(coding_append_varint(&bytes, counts[i]));
        ck_ok(coding_append_varint(&bytes, counts[i]));
        for (uint64_t n = 1; n < counts[i]; n++) {
            ck_ok(coding_append_varint(&bytes, 1));
        }
        int r = range_list_decode(kv_buf_slice(&bytes), &list);
        ck_assert_int_eq(r, i == 0 ? 0 : -KV_EDAMAGED);
        range_list_finish(&list);
        kv_buf_finish(&bytes);
    }
}
END_TEST

START_TEST(any_bytes_are_a_list_or_refused)
{
    struct rng rng = {test_seed()};
    struct range_dels *dels = make_dels(20, 2, 9);
    struct kv_buf bytes = {0}, again = {0};
    ck_ok(range_list_encode(dels, true, &bytes));
    for (int i = 0; i < 20000; i++) {
        size_t at = rng_below(&rng, bytes.size), size = bytes.size - rng_below(&rng, 20);
        uint8_t kept = bytes.data[at];
        struct range_list list = {0};
        bytes.data[at] = (uint8_t)rng_next(&rng);
        if (range_list_decode(kv_slice(bytes.data, size), &list) == 0) {
            ck_assert_uint_gt(list.dels->count, 0);
            ck_ok(range_list_encode(list.dels, list.rows_shown, &again));
            range_list_finish(&list);
        }
        bytes.data[at] = kept;
    }
    range_dels_destroy(dels);
    kv_buf_finish(&bytes);
    kv_buf_finish(&again);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("range_list");
    TCase *tcase = tcase_create("range_list");
    tcase_add_test(tcase, few_are_repeated_exactly_and_many_are_covered);
    tcase_add_test(tcase, long_keys_leave_fewer_ranges_or_none);
    tcase_add_test(tcase, what_is_no_list_is_refused);
    tcase_add_test(tcase, a_short_list_does_not_become_much_memory);
    tcase_add_test(tcase, a_list_with_very_many_deletes_is_refused);
    tcase_add_test(tcase, any_bytes_are_a_list_or_refused);
    suite_add_tcase(suite, tcase);
    return suite;
}
