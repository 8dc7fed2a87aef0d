/* SPDX-License-Identifier: Apache-2.0 */
/* Scans against brute force: all keys sorted, then filtered. */
#include <stdio.h>
#include <stdlib.h>

#include "fs/core/key.h"
#include "kvcore/util/rng.h"
#include "tests/fs/fs_fixture.h"

enum { KEYS_MAX = 600, KEY_SIZE = 64 };

struct keys {
    unsigned count;
    char keys[KEYS_MAX][KEY_SIZE];
};

static int compare(const void *a, const void *b)
{
    return kv_slice_compare(kv_slice_str(a), kv_slice_str(b));
}

static void put(struct fs_fixture *f, struct keys *all, const char *key)
{
    ck_ok(kvfs_key_put(f->fs, &fixture_who, kv_slice_str(key), kv_slice_str(key)));
    snprintf(all->keys[all->count++], KEY_SIZE, "%s", key);
}

struct collecting {
    struct keys *keys;
    unsigned stop_after; /* 0: never */
    bool keys_only;
};

static bool collect(void *arg, struct kv_slice key, struct kv_slice value)
{
    struct collecting *c = arg;
    ck_assert_uint_lt(key.size, KEY_SIZE);
    ck_assert_uint_lt(c->keys->count, KEYS_MAX);
    ck_assert(c->keys_only ? value.size == 0 : kv_slice_equal(key, value));
    memcpy(c->keys->keys[c->keys->count], key.data, key.size);
    c->keys->keys[c->keys->count++][key.size] = 0;
    return c->keys->count != c->stop_after;
}

static bool in_range(const char *key, const struct kvfs_scan_options *o)
{
    struct kv_slice k = kv_slice_str(key);
    return kv_slice_starts_with(k, o->prefix) &&
           (o->from.size == 0 || kv_slice_compare(k, o->from) >= 0) &&
           (o->to.size == 0 || kv_slice_compare(k, o->to) < 0);
}

/* `all` is sorted. */
static void check_scan(struct fs_fixture *f, const struct keys *all,
                       const struct kvfs_scan_options *o)
{
    static struct keys got;
    struct collecting c = {.keys = &got, .keys_only = o->keys_only};
    unsigned n = 0;
    got.count = 0;
    ck_ok(kvfs_scan(f->fs, o, collect, &c));
    for (unsigned i = 0; i < all->count; i++) {
        const char *key = all->keys[o->reverse ? all->count - 1 - i : i];
        if (!in_range(key, o) || (o->limit != 0 && n == o->limit)) {
            continue;
        }
        ck_assert_msg(n < got.count && strcmp(got.keys[n], key) == 0,
                      "place %u: got %s, expected %s; prefix '%.*s' from '%.*s' to '%.*s' "
                      "reverse %d limit %" PRIu64 ", seed %" PRIu64,
                      n, n < got.count ? got.keys[n] : "nothing", key, (int)o->prefix.size,
                      (const char *)o->prefix.data, (int)o->from.size, (const char *)o->from.data,
                      (int)o->to.size, (const char *)o->to.data, o->reverse, o->limit, test_seed());
        n++;
    }
    ck_assert_msg(n == got.count, "got %s too much, prefix '%.*s' reverse %d, seed %" PRIu64,
                  got.keys[n], (int)o->prefix.size, (const char *)o->prefix.data, o->reverse,
                  test_seed());
}

START_TEST(a_directory_is_entered_where_its_slash_sorts)
{
    static const char *const expected[] = {"a!/x", "a!x", "a.b", "a.b.c/d", "a/b", "a/c", "a0"};
    struct fs_fixture f;
    struct keys all = {0};
    fixture_open(&f);
    for (unsigned i = 7; i-- > 0;) {
        put(&f, &all, expected[i]);
    }
    qsort(all.keys, all.count, KEY_SIZE, compare);
    for (unsigned i = 0; i < 7; i++) {
        ck_assert_str_eq(all.keys[i], expected[i]);
    }
    struct kvfs_scan_options o = {0};
    check_scan(&f, &all, &o);
    o.reverse = true;
    check_scan(&f, &all, &o);
    fixture_close(&f);
}
END_TEST

/* Few letters, so that names are often prefixes of each other; bytes below and above '/'. */
static void random_key(struct rng *rng, char *key)
{
    static const char letters[] = "ab.!0\xff-";
    unsigned parts = 1 + (unsigned)rng_below(rng, 4);
    unsigned n = 0;
    for (unsigned p = 0; p < parts; p++) {
        unsigned size = 1 + (unsigned)rng_below(rng, 3);
        if (p > 0) {
            key[n++] = '/';
        }
        key[n++] = letters[rng_below(rng, 2)];
        for (unsigned i = 1; i < size; i++) {
            key[n++] = letters[rng_below(rng, sizeof letters - 1)];
        }
    }
    key[n] = 0;
}

/* A key, often a malformed one: cut anywhere, or with a slash at its end. */
static struct kv_slice random_bound(struct rng *rng, char *key)
{
    if (rng_below(rng, 3) == 0) {
        return kv_slice(NULL, 0);
    }
    random_key(rng, key);
    size_t size = strlen(key);
    if (rng_below(rng, 3) == 0) {
        size = 1 + rng_below(rng, size);
    }
    if (rng_below(rng, 4) == 0) {
        key[size++] = '/';
    }
    return kv_slice(key, size);
}

START_TEST(scans_of_every_range_agree_with_sorted_paths)
{
    struct fs_fixture f;
    struct rng rng = {.state = test_seed()};
    static struct keys all;
    char key[KEY_SIZE];
    all.count = 0;
    fixture_open(&f);
    for (unsigned i = 0; i < 500; i++) {
        random_key(&rng, key);
        int r = kvfs_key_put(f.fs, &fixture_who, kv_slice_str(key), kv_slice_str(key));
        ck_assert(r == 0 || r == -EISDIR || r == -ENOTDIR);
        if (r == 0) {
            snprintf(all.keys[all.count++], KEY_SIZE, "%s", key);
        }
    }
    qsort(all.keys, all.count, KEY_SIZE, compare);
    unsigned n = 0;
    for (unsigned i = 0; i < all.count; i++) {
        if (n == 0 || strcmp(all.keys[n - 1], all.keys[i]) != 0) {
            memmove(all.keys[n++], all.keys[i], KEY_SIZE);
        }
    }
    all.count = n;
    for (uint64_t i = 0; i < test_steps(3000); i++) {
        char bounds[3][KEY_SIZE + 1];
        struct kvfs_scan_options o = {.reverse = rng_below(&rng, 2) == 0,
                                      .keys_only = rng_below(&rng, 2) == 0,
                                      .limit = rng_below(&rng, 3) == 0 ? rng_below(&rng, 9) : 0};
        o.from = random_bound(&rng, bounds[0]);
        o.to = random_bound(&rng, bounds[1]);
        if (rng_below(&rng, 2) == 0) {
            o.prefix = random_bound(&rng, bounds[2]);
        }
        check_scan(&f, &all, &o);
    }
    fixture_close(&f);
}
END_TEST

START_TEST(symlinks_and_special_files_are_passed_over)
{
    struct fs_fixture f;
    struct keys all = {0};
    struct kvfs_entry entry;
    fixture_open(&f);
    put(&f, &all, "a");
    put(&f, &all, "z/z");
    ck_ok(kvfs_symlink(f.fs, &fixture_who, KVFS_ROOT_INO, "b", "a", &entry));
    ck_ok(kvfs_mknod(f.fs, KVFS_ROOT_INO, "c",
                     &(struct kvfs_new){.who = fixture_who, .mode = S_IFIFO | 0600}, &entry));
    fixture_dir(&f, KVFS_ROOT_INO, "empty");
    struct kvfs_scan_options o = {0};
    check_scan(&f, &all, &o);
    fixture_close(&f);
}
END_TEST

START_TEST(the_caller_stops_a_scan)
{
    struct fs_fixture f;
    struct keys all = {0};
    struct keys got = {0};
    struct collecting c = {.keys = &got, .stop_after = 2};
    struct kvfs_scan_options o = {0};
    fixture_open(&f);
    put(&f, &all, "a/1");
    put(&f, &all, "a/2");
    put(&f, &all, "a/3");
    ck_ok(kvfs_scan(f.fs, &o, collect, &c));
    ck_assert_uint_eq(got.count, 2);
    ck_assert_str_eq(got.keys[1], "a/2");
    fixture_close(&f);
}
END_TEST

/* Only damage puts a directory into one that lies in it. */
START_TEST(a_directory_that_lies_in_itself_ends_a_scan)
{
    struct fs_fixture f;
    struct keys all = {0};
    struct keys got = {0};
    struct kv_buf row = {0};
    struct rowkey key;
    fixture_open(&f);
    uint64_t inner = fixture_dir(&f, fixture_dir(&f, KVFS_ROOT_INO, "outer"), "inner");
    put(&f, &all, "outer/inner/file");
    rowkey_dirent(&key, KVFS_ROOT_INO, kv_slice_str("outer"));
    ck_ok(kv_get_copy(fixture_table(&f, "meta"), NULL, rowkey_slice(&key), &row));
    rowkey_dirent(&key, inner, kv_slice_str("again"));
    ck_ok(kv_put(fixture_table(&f, "meta"), rowkey_slice(&key), kv_buf_slice(&row),
                 KV_DURABLE_WRITE));
    for (unsigned reverse = 0; reverse < 2; reverse++) {
        struct collecting c = {.keys = &got, .keys_only = true};
        struct kvfs_scan_options o = {.reverse = reverse != 0, .keys_only = true};
        got.count = 0;
        ck_fails(kvfs_scan(f.fs, &o, collect, &c), EIO);
        ck_assert_uint_le(got.count, 1); /* the entry stands before the file */
        ck_assert_uint_eq(f.damage_messages, 1 + reverse);
    }
    ck_ok(kv_delete(fixture_table(&f, "meta"), rowkey_slice(&key), KV_DURABLE_WRITE));
    kv_buf_finish(&row);
    fixture_close(&f);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("fs_scan");
    suite_add(suite, "order", a_directory_is_entered_where_its_slash_sorts);
    suite_add(suite, "random", scans_of_every_range_agree_with_sorted_paths);
    suite_add(suite, "kinds", symlinks_and_special_files_are_passed_over);
    suite_add(suite, "stop", the_caller_stops_a_scan);
    suite_add(suite, "damage", a_directory_that_lies_in_itself_ends_a_scan);
    return suite;
}
