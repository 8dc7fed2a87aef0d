/* SPDX-License-Identifier: Apache-2.0 */
/* The contract of kvcore/storage/pool.h: of the pool in memory that other tests build on, and in
 * the suite `rados` of a real one. What holds of both is what those tests prove. */
#include "tests/lib/check_main.h"

#include <stdio.h>
#include <time.h>

#include "kvcore/util/thread.h"

#ifdef KV_ON_RADOS
#include "tests/rados/cluster_pool.h"
#else
#include "tests/storage/fake_pool.h"
#endif

enum { LOCK_MS = 1000 };

struct rig {
    struct pool_rig pool;
    struct pool *one;
    struct pool *two;
};

static void make_rig(struct rig *rig)
{
    pool_rig_make(&rig->pool);
    rig->one = pool_rig_connect(&rig->pool);
    rig->two = pool_rig_connect(&rig->pool);
}

static void finish_rig(struct rig *rig)
{
    rig->one->ops->close(rig->one);
    rig->two->ops->close(rig->two);
    pool_rig_finish(&rig->pool);
}

static struct pool_value value(const char *name, const char *text)
{
    return (struct pool_value){name, kv_slice_str(text)};
}

static struct pool_guard guard(const char *attribute, int relation, const char *text)
{
    struct pool_guard guard = {.attribute = attribute, .value = kv_slice_str(text)};
    guard.relation = relation;
    return guard;
}

static int create(struct pool *pool, const char *object, const char *epoch)
{
    struct pool_value attribute = value("epoch", epoch);
    return pool->ops->change(
        pool, object,
        &(struct pool_change){.create = true, .attributes = &attribute, .attribute_count = 1});
}

static int write_guarded(struct pool *pool, const char *object, struct pool_guard wanted,
                         uint64_t offset, const char *text)
{
    struct iovec part = {(void *)(uintptr_t)text, strlen(text)};
    return pool->ops->change(pool, object,
                             &(struct pool_change){.guards = &wanted,
                                                   .guard_count = 1,
                                                   .parts = &part,
                                                   .part_count = 1,
                                                   .offset = offset});
}

static void expect_bytes(struct pool *pool, const char *object, const char *text)
{
    char bytes[64];
    size_t size = 0;
    uint64_t told = 0;
    ck_ok(pool->ops->read(pool, object, 0, bytes, sizeof bytes, &size));
    ck_assert_uint_eq(size, strlen(text));
    ck_assert_mem_eq(bytes, text, size);
    ck_ok(pool->ops->stat(pool, object, &told));
    ck_assert_uint_eq(told, size);
}

START_TEST(what_is_not_there_is_told_and_not_made)
{
    struct rig rig;
    struct kv_buf bytes = {0};
    char byte;
    size_t size = 0;
    uint64_t told = 0;

    make_rig(&rig);
    const struct pool_ops *ops = rig.one->ops;
    ck_fails(write_guarded(rig.one, "none", guard("epoch", POOL_IS, ""), 0, "x"), ENOENT);
    ck_fails(ops->change(rig.one, "none", &(struct pool_change){.remove = true}), ENOENT);
    ck_fails(ops->change(rig.one, "none", &(struct pool_change){.zero_bytes = 1}), ENOENT);
    ck_fails(ops->change(rig.one, "none", &(struct pool_change){.key_removed = "key"}), ENOENT);
    ck_fails(ops->read(rig.one, "none", 0, &byte, 1, &size), ENOENT);
    ck_fails(ops->stat(rig.one, "none", &told), ENOENT);
    ck_fails(ops->attribute(rig.one, "none", "epoch", &bytes), ENOENT);
    ck_fails(ops->key(rig.one, "none", "key", &bytes), ENOENT);
    ck_ok(create(rig.one, "some", "1"));
    ck_fails(ops->attribute(rig.one, "some", "other", &bytes), ENODATA);
    ck_fails(ops->key(rig.one, "some", "key", &bytes), ENODATA);
    ck_ok(ops->change(rig.one, "some", &(struct pool_change){.key_removed = "key"}));
    ck_ok(ops->read(rig.one, "some", 0, &byte, 1, &size));
    ck_assert_uint_eq(size, 0);
    finish_rig(&rig);
}
END_TEST

START_TEST(a_change_is_made_only_if_its_guards_hold)
{
    struct rig rig;

    make_rig(&rig);
    ck_ok(create(rig.one, "o", "0005"));
    ck_fails(create(rig.two, "o", "0006"), EEXIST);
    ck_ok(write_guarded(rig.two, "o", guard("epoch", POOL_IS, "0005"), 0, "abc"));
    ck_fails(write_guarded(rig.two, "o", guard("epoch", POOL_IS, "0004"), 0, "x"), ECANCELED);
    ck_fails(write_guarded(rig.two, "o", guard("epoch", POOL_IS, "0006"), 0, "x"), ECANCELED);
    ck_fails(write_guarded(rig.two, "o", guard("epoch", POOL_IS, "000"), 0, "x"), ECANCELED);
    ck_fails(write_guarded(rig.two, "o", guard("other", POOL_IS, "0005"), 0, "x"), ECANCELED);
    ck_fails(write_guarded(rig.two, "o", guard("epoch", POOL_IS_BELOW, "0004"), 0, "x"), ECANCELED);
    ck_fails(write_guarded(rig.two, "o", guard("epoch", POOL_IS_BELOW, "0005"), 0, "x"), ECANCELED);
    expect_bytes(rig.one, "o", "abc");
    ck_ok(write_guarded(rig.two, "o", guard("epoch", POOL_IS_BELOW, "0006"), 1, "BCD"));
    ck_ok(write_guarded(rig.two, "o", guard("other", POOL_IS_BELOW, "0"), 6, "g"));
    ck_ok(write_guarded(rig.two, "o", guard("other", POOL_IS, ""), 4, "EF"));
    expect_bytes(rig.one, "o", "aBCDEFg");
    finish_rig(&rig);
}
END_TEST

START_TEST(a_change_is_whole_or_nothing)
{
    struct rig rig;
    struct pool_value attributes[] = {value("epoch", "2"), value("version", "7")};
    struct pool_value keys[] = {value("k1", "v1"), value("k2", "v2")};
    char bytes_of_parts[] = "one two";
    struct iovec parts[] = {{bytes_of_parts, 4}, {NULL, 0}, {bytes_of_parts + 4, 3}};
    struct pool_guard guards[] = {guard("epoch", POOL_IS, "1"), guard("version", POOL_IS, "")};
    struct pool_change all = {.guards = guards,
                              .guard_count = 2,
                              .attributes = attributes,
                              .attribute_count = 2,
                              .keys = keys,
                              .key_count = 2,
                              .parts = parts,
                              .part_count = 3};
    struct kv_buf bytes = {0};

    make_rig(&rig);
    const struct pool_ops *ops = rig.one->ops;
    ck_ok(create(rig.one, "o", "1"));
    guards[1].value = kv_slice_str("x");
    ck_fails(ops->change(rig.one, "o", &all), ECANCELED);
    ck_fails(ops->key(rig.one, "o", "k1", &bytes), ENODATA);
    ck_fails(ops->attribute(rig.one, "o", "version", &bytes), ENODATA);
    expect_bytes(rig.one, "o", "");
    guards[1].value = kv_slice_str("");
    ck_ok(ops->change(rig.one, "o", &all));
    ck_ok(ops->key(rig.two, "o", "k2", &bytes));
    ck_assert(kv_slice_equal(kv_buf_slice(&bytes), kv_slice_str("v2")));
    ck_ok(ops->attribute(rig.two, "o", "version", &bytes));
    ck_assert(kv_slice_equal(kv_buf_slice(&bytes), kv_slice_str("7")));
    expect_bytes(rig.two, "o", "one two");
    ck_ok(ops->change(rig.one, "o", &(struct pool_change){.remove = true}));
    ck_fails(ops->stat(rig.two, "o", &(uint64_t){0}), ENOENT);
    kv_buf_finish(&bytes);
    finish_rig(&rig);
}
END_TEST

/* ---- changes that are begun -------------------------------------------------------------------
 */

enum { BEGUN = 60 };

struct told {
    struct mutex mu;
    struct condvar changed;
    unsigned count;
    int results[BEGUN];
};

struct teller {
    struct told *told;
    unsigned index;
};

static void tell(void *arg, int result)
{
    struct teller *teller = (struct teller *)arg;
    mutex_lock(&teller->told->mu);
    teller->told->results[teller->index] = result;
    teller->told->count++;
    condvar_broadcast(&teller->told->changed);
    mutex_unlock(&teller->told->mu);
}

/* Each writes over what those before wrote, and every seventh expects another epoch, one the object
 * has had, and some there is no object for. What they point to is gone when they are made. */
static void begin_one(struct pool *pool, unsigned i, struct teller *teller)
{
    char text[8];
    char epoch[2] = {i % 7 == 6 ? '0' : '1', 0};
    struct iovec part = {text, sizeof text};
    struct pool_guard wanted = guard("epoch", POOL_IS, epoch);

    snprintf(text, sizeof text, "%07u", i);
    ck_ok(pool->ops->begin(
        pool, i % 10 == 9 ? "none" : "o",
        &(struct pool_change){
            .guards = &wanted, .guard_count = 1, .parts = &part, .part_count = 1, .offset = i},
        tell, teller));
    memset(text, 'x', sizeof text);
    epoch[0] = 'x';
}

START_TEST(changes_of_an_object_are_made_in_the_order_in_which_they_were_begun)
{
    struct teller tellers[BEGUN];
    struct told told = {.count = 0};
    char expected[BEGUN + 8] = "";
    char bytes[BEGUN + 8] = "";
    struct rig rig;
    size_t size = 0;

    make_rig(&rig);
    mutex_init(&told.mu, LOCK_RANK_LEAF, "told");
    condvar_init(&told.changed);
    ck_ok(create(rig.one, "o", "1"));
    for (unsigned i = 0; i < BEGUN; i++) {
        tellers[i] = (struct teller){&told, i};
        begin_one(rig.one, i, &tellers[i]);
        if (i % 7 != 6 && i % 10 != 9) {
            snprintf(expected + i, 8, "%07u", i);
        }
    }
    mutex_lock(&told.mu);
    while (told.count < BEGUN) {
        condvar_wait(&told.changed, &told.mu);
    }
    mutex_unlock(&told.mu);
    for (unsigned i = 0; i < BEGUN; i++) {
        int r = i % 10 == 9 ? -ENOENT : i % 7 == 6 ? -ECANCELED : 0;
        ck_assert_msg(told.results[i] == r, "%u: %d", i, told.results[i]);
    }
    ck_ok(rig.two->ops->read(rig.two, "o", 0, bytes, sizeof bytes, &size));
    for (size_t i = 0; i < size; i++) {
        ck_assert_int_eq(bytes[i], expected[i]);
    }
    condvar_finish(&told.changed);
    mutex_finish(&told.mu);
    finish_rig(&rig);
}
END_TEST

START_TEST(a_range_made_zero_is_zeros_and_nothing_else)
{
    struct rig rig;
    char bytes[16];
    size_t size = 0;

    make_rig(&rig);
    ck_ok(create(rig.one, "o", "1"));
    ck_ok(write_guarded(rig.one, "o", guard("epoch", POOL_IS, "1"), 0, "abcdefgh"));
    ck_ok(rig.one->ops->change(rig.one, "o", &(struct pool_change){.offset = 2, .zero_bytes = 6}));
    ck_ok(rig.two->ops->read(rig.two, "o", 0, bytes, sizeof bytes, &size));
    ck_assert_uint_eq(size, 8);
    ck_assert_mem_eq(bytes, "ab\0\0\0\0\0\0", 8);
    finish_rig(&rig);
}
END_TEST

struct walk {
    unsigned count;
    char last[32];
};

static int check_key(void *arg, const char *name, struct kv_slice bytes)
{
    struct walk *walk = (struct walk *)arg;
    ck_assert_int_lt(strcmp(walk->last, name), 0);
    ck_assert(kv_slice_equal(bytes, kv_slice_str(name)));
    snprintf(walk->last, sizeof walk->last, "%s", name);
    walk->count++;
    return walk->count == 1500 ? -EDOM : 0;
}

START_TEST(keys_are_listed_in_order_however_many_there_are)
{
    struct rig rig;
    struct walk walk = {0};

    make_rig(&rig);
    ck_ok(create(rig.one, "o", "1"));
    ck_ok(rig.one->ops->keys(rig.one, "o", check_key, &walk));
    ck_assert_uint_eq(walk.count, 0);
    for (unsigned i = 0; i < 1100; i++) {
        char name[32];
        snprintf(name, sizeof name, "key %05u", i * 37 % 1100);
        struct pool_value key = value(name, name);
        ck_ok(rig.one->ops->change(rig.one, "o",
                                   &(struct pool_change){.keys = &key, .key_count = 1}));
    }
    ck_ok(rig.one->ops->change(rig.one, "o", &(struct pool_change){.key_removed = "key 00005"}));
    ck_ok(rig.two->ops->keys(rig.two, "o", check_key, &walk));
    ck_assert_uint_eq(walk.count, 1099);
    walk = (struct walk){.count = 1490};
    ck_fails(rig.two->ops->keys(rig.two, "o", check_key, &walk), EDOM);
    finish_rig(&rig);
}
END_TEST

static int lock(struct pool *pool, bool exclusive, bool renew)
{
    return pool->ops->lock(pool, "lease", exclusive, renew, LOCK_MS);
}

static void wait_for_end(void)
{
    struct timespec pause = {.tv_sec = 1, .tv_nsec = 300 * 1000 * 1000};
    nanosleep(&pause, NULL);
}

START_TEST(an_exclusive_lock_excludes_until_it_ends)
{
    struct rig rig;

    make_rig(&rig);
    ck_assert_int_eq(rig.two->ops->is_locked(rig.two, "lease"), 0);
    ck_fails(lock(rig.one, true, true), ENOENT);
    ck_ok(lock(rig.one, true, false));
    ck_fails(lock(rig.one, true, false), EEXIST);
    ck_ok(lock(rig.one, true, true));
    ck_fails(lock(rig.two, true, false), EBUSY);
    ck_fails(lock(rig.two, false, false), EBUSY);
    ck_fails(lock(rig.two, true, true), ENOENT);
    ck_assert_int_eq(rig.two->ops->is_locked(rig.two, "lease"), 1);
    wait_for_end();
    ck_assert_int_eq(rig.two->ops->is_locked(rig.two, "lease"), 0);
    ck_fails(lock(rig.one, true, true), ENOENT);
    ck_ok(lock(rig.two, true, false));
    ck_fails(lock(rig.one, true, false), EBUSY);
    ck_ok(rig.one->ops->unlock(rig.one, "lease")); /* not its own: nothing happens */
    ck_fails(lock(rig.one, true, false), EBUSY);
    ck_ok(rig.two->ops->unlock(rig.two, "lease"));
    ck_ok(lock(rig.one, true, false));
    finish_rig(&rig);
}
END_TEST

START_TEST(shared_locks_exclude_exclusive_ones)
{
    struct rig rig;

    make_rig(&rig);
    ck_ok(lock(rig.one, false, false));
    ck_ok(lock(rig.two, false, false));
    ck_assert_int_eq(rig.two->ops->is_locked(rig.two, "lease"), 0);
    ck_ok(lock(rig.two, false, true));
    ck_ok(rig.one->ops->unlock(rig.one, "lease"));
    ck_fails(lock(rig.one, true, false), EBUSY);
    ck_ok(rig.two->ops->unlock(rig.two, "lease"));
    ck_ok(lock(rig.one, true, false));
    finish_rig(&rig);
}
END_TEST

START_TEST(who_was_shut_out_changes_nothing_any_more)
{
    struct rig rig;

    make_rig(&rig);
    ck_ok(create(rig.one, "o", "1"));
    ck_ok(rig.two->ops->shut_out(rig.two, rig.one->ops->address(rig.one)));
    expect_bytes(rig.two, "o", "");
    ck_fails(write_guarded(rig.one, "o", guard("epoch", POOL_IS, "1"), 0, "x"), ESHUTDOWN);
    ck_fails(rig.one->ops->stat(rig.one, "o", &(uint64_t){0}), ESHUTDOWN);
    expect_bytes(rig.two, "o", "");
    finish_rig(&rig);
}
END_TEST

START_TEST(what_is_no_address_of_a_client_shuts_nobody_out)
{
    static const char *const wrong[] = {"", "127.0.0.1", "127.0.0.1:0/0", "127.0.0.0/8", "nobody"};
    struct rig rig;

    make_rig(&rig);
    ck_ok(create(rig.one, "o", "1"));
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        ck_fails(rig.two->ops->shut_out(rig.two, wrong[i]), EINVAL);
    }
    expect_bytes(rig.two, "o", "");
    ck_ok(write_guarded(rig.one, "o", guard("epoch", POOL_IS, "1"), 0, "x"));
    finish_rig(&rig);
}
END_TEST

static void add(Suite *s, const char *name, const TTest *test)
{
    TCase *tc = tcase_create(name);
    tcase_set_timeout(tc, 0);
    tcase_add_test(tc, test);
    suite_add_tcase(s, tc);
}

Suite *test_suite(void)
{
    Suite *s = suite_create("pool");
    add(s, "change", what_is_not_there_is_told_and_not_made);
    add(s, "change", a_change_is_made_only_if_its_guards_hold);
    add(s, "change", a_change_is_whole_or_nothing);
    add(s, "change", a_range_made_zero_is_zeros_and_nothing_else);
    add(s, "begin", changes_of_an_object_are_made_in_the_order_in_which_they_were_begun);
    add(s, "keys", keys_are_listed_in_order_however_many_there_are);
    add(s, "lock", an_exclusive_lock_excludes_until_it_ends);
    add(s, "lock", shared_locks_exclude_exclusive_ones);
    add(s, "client", who_was_shut_out_changes_nothing_any_more);
    add(s, "client", what_is_no_address_of_a_client_shuts_nobody_out);
    return s;
}
