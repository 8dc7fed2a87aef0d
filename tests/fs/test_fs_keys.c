/* SPDX-License-Identifier: Apache-2.0 */
/* Keys as paths, opening, and the small tables of fs/core. */
#include <stdio.h>
#include <stdlib.h>

#include "fs/core/lookup_table.h"
#include "fs/core/stripes.h"
#include "kvcore/util/coding.h"
#include "tests/fs/fs_fixture.h"

enum { ROOT = KVFS_ROOT_INO };

static int put(struct fs_fixture *f, const char *key, const char *value)
{
    return kvfs_key_put(f->fs, &fixture_who, kv_slice_str(key), kv_slice_str(value));
}

static void check_value(struct fs_fixture *f, const char *key, const char *value)
{
    struct kv_buf buf = {0};
    ck_ok(kvfs_key_get(f->fs, kv_slice_str(key), &buf));
    ck_assert(kv_slice_equal(kv_buf_slice(&buf), kv_slice_str(value)));
    kv_buf_finish(&buf);
}

START_TEST(malformed_keys_are_refused_with_the_fault_named)
{
    static const char *const bad[] = {"/a", "a/", "a//b", ".", "a/..", "a/./b", "", "/"};
    char fault[128];
    char key[KVFS_KEY_SIZE_MAX + 2];
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        fault[0] = 0;
        ck_fails(kvfs_key_check(kv_slice_str(bad[i]), fault, sizeof fault), EINVAL);
        ck_assert_uint_gt(strlen(fault), 0);
    }
    ck_fails(kvfs_key_check(kv_slice("a\0b", 3), fault, sizeof fault), EINVAL);
    memset(key, 'k', sizeof key);
    ck_fails(kvfs_key_check(kv_slice(key, 256), fault, sizeof fault), ENAMETOOLONG);
    ck_ok(kvfs_key_check(kv_slice(key, 255), fault, sizeof fault));
    for (unsigned i = 100; i < sizeof key; i += 101) {
        key[i] = '/';
    }
    ck_ok(kvfs_key_check(kv_slice(key, KVFS_KEY_SIZE_MAX), fault, sizeof fault));
    ck_fails(kvfs_key_check(kv_slice(key, KVFS_KEY_SIZE_MAX + 1), fault, sizeof fault),
             ENAMETOOLONG);
}
END_TEST

START_TEST(put_makes_parents_and_replaces_contents)
{
    struct fs_fixture f;
    struct kvfs_entry e;
    fixture_open(&f);
    ck_ok(put(&f, "users/42/name", "first and long"));
    check_value(&f, "users/42/name", "first and long");
    ck_ok(put(&f, "users/42/name", "second"));
    check_value(&f, "users/42/name", "second");
    ck_ok(kvfs_key_stat(f.fs, kv_slice_str("users"), &e));
    ck_assert_uint_eq(e.stat.st_mode, S_IFDIR | 0755);
    ck_assert_uint_eq(e.stat.st_nlink, 3);
    ck_assert_uint_eq(e.stat.st_uid, 1000);
    ck_ok(kvfs_key_stat(f.fs, kv_slice_str("users/42/name"), &e));
    ck_assert_uint_eq(e.stat.st_mode, S_IFREG | 0644);
    ck_assert_int_eq(e.stat.st_size, 6);
    ck_ok(kvfs_key_stat(f.fs, kv_slice(NULL, 0), &e));
    ck_assert_uint_eq(e.ino, ROOT);
    fixture_reopen(&f);
    check_value(&f, "users/42/name", "second");
    fixture_close(&f);
}
END_TEST

START_TEST(keys_that_meet_the_wrong_kind_are_errors)
{
    struct fs_fixture f;
    struct kvfs_entry e;
    struct kv_buf buf = {0};
    fixture_open(&f);
    ck_ok(put(&f, "d/f", "x"));
    ck_ok(kvfs_symlink(f.fs, &fixture_who, ROOT, "link", "d", &e));
    ck_fails(put(&f, "d", "x"), EISDIR);
    ck_fails(put(&f, "d/f/g", "x"), ENOTDIR);
    ck_fails(put(&f, "link", "x"), EINVAL);
    ck_fails(put(&f, "a//b", "x"), EINVAL);
    ck_fails(kvfs_key_get(f.fs, kv_slice_str("d"), &buf), EISDIR);
    ck_fails(kvfs_key_get(f.fs, kv_slice_str("d/f/g"), &buf), ENOTDIR);
    ck_fails(kvfs_key_get(f.fs, kv_slice_str("link"), &buf), EINVAL);
    ck_fails(kvfs_key_get(f.fs, kv_slice_str("d/none/x"), &buf), ENOENT);
    ck_fails(kvfs_key_delete(f.fs, kv_slice_str("d")), EISDIR);
    ck_fails(kvfs_key_delete(f.fs, kv_slice_str("d/none")), ENOENT);
    ck_ok(kvfs_key_delete(f.fs, kv_slice_str("d/f")));
    ck_fails(kvfs_key_get(f.fs, kv_slice_str("d/f"), &buf), ENOENT);
    kv_buf_finish(&buf);
    fixture_close(&f);
}
END_TEST

START_TEST(a_sparse_file_beyond_any_memory_is_no_value)
{
    struct fs_fixture f;
    struct kv_buf buf = {0};
    fixture_open(&f);
    fixture_write(&f, fixture_file(&f, ROOT, "sparse"), (uint64_t)1 << 50, "x");
    ck_fails(kvfs_key_get(f.fs, kv_slice_str("sparse"), &buf), EFBIG);
    kv_buf_finish(&buf);
    fixture_close(&f);
}
END_TEST

START_TEST(large_values_are_replaced_whole)
{
    struct fs_fixture f;
    struct kv_buf buf = {0};
    enum { SIZE = 5 * 1000 * 1000 };
    uint8_t *bytes = malloc((size_t)KV_VALUE_SIZE_MAX + 1);
    fixture_open(&f);
    memset(bytes, 1, (size_t)KV_VALUE_SIZE_MAX + 1);
    struct kv_slice key = kv_slice_str("big");
    ck_fails(kvfs_key_put(f.fs, &fixture_who, key, kv_slice(bytes, (size_t)KV_VALUE_SIZE_MAX + 1)),
             EFBIG);
    ck_ok(kvfs_key_put(f.fs, &fixture_who, key, kv_slice(bytes, SIZE)));
    ck_ok(kvfs_key_get(f.fs, key, &buf));
    ck_assert(buf.size == SIZE && memcmp(buf.data, bytes, SIZE) == 0);
    memset(bytes, 2, 100000);
    ck_ok(kvfs_key_put(f.fs, &fixture_who, key, kv_slice(bytes, 100000)));
    ck_ok(kvfs_key_get(f.fs, key, &buf));
    ck_assert(buf.size == 100000 && memcmp(buf.data, bytes, 100000) == 0);
    ck_ok(kvfs_key_put(f.fs, &fixture_who, key, kv_slice(NULL, 0)));
    ck_assert_uint_eq(fixture_count_rows(&f, "data", ROW_EXTENT), 0);
    kv_buf_finish(&buf);
    free(bytes);
    fixture_close(&f);
}
END_TEST

static void note_change(void *arg, uint64_t ino, const char *name)
{
    char *text = arg;
    size_t at = strlen(text);
    snprintf(text + at, 200 - at, "%" PRIu64 ":%s ", ino, name != NULL ? name : "-");
}

START_TEST(changes_by_key_are_told)
{
    struct fs_fixture f;
    char told[200] = "";
    fixture_open(&f);
    kvfs_on_change(f.fs, note_change, told);
    ck_ok(put(&f, "a/b/c", "x"));
    ck_assert_str_eq(told, "1:a 16:b 17:c ");
    told[0] = 0;
    ck_ok(put(&f, "a/b/c", "y"));
    ck_assert_str_eq(told, "17:c 18:- ");
    told[0] = 0;
    ck_ok(kvfs_key_delete(f.fs, kv_slice_str("a/b/c")));
    ck_assert_str_eq(told, "17:c 18:- ");
    kvfs_on_change(f.fs, NULL, NULL);
    fixture_close(&f);
}
END_TEST

START_TEST(a_read_only_filesystem_refuses_every_change)
{
    struct fs_fixture f;
    struct kvfs_entry e;
    struct kvfs_options options = {.read_only = true};
    struct stat attr = {0};
    fixture_open(&f);
    ck_ok(put(&f, "f", "text"));
    ck_ok(kvfs_key_stat(f.fs, kv_slice_str("f"), &e));
    uint64_t ino = e.ino;
    ck_ok(kvfs_close(f.fs));
    ck_ok(kvfs_open_storage(f.storage, &options, &f.fs));
    check_value(&f, "f", "text");
    ck_fails(put(&f, "g", "x"), EROFS);
    ck_fails(kvfs_mkdir(f.fs, &fixture_who, ROOT, "d", 0755, &e), EROFS);
    ck_fails(kvfs_unlink(f.fs, ROOT, "f"), EROFS);
    ck_fails(kvfs_rename(f.fs, ROOT, "f", ROOT, "g", 0), EROFS);
    ck_fails(kvfs_write(f.fs, ino, 0, kv_slice("x", 1), false, false), EROFS);
    ck_fails(kvfs_setattr(f.fs, ino, &attr, KVFS_SET_SIZE, &e), EROFS);
    ck_fails(kvfs_removexattr(f.fs, ino, "user.a"), EROFS);
    ck_ok(kvfs_sync(f.fs));
    fixture_close(&f);
}
END_TEST

START_TEST(stores_that_are_no_filesystem_are_refused)
{
    struct kv_storage *storage = NULL;
    struct kv_store *store = NULL;
    struct kv_table *table = NULL;
    struct kvfs *fs = NULL;
    struct kv_options engine = {.create = true};
    struct kvfs_options options = {.create = true};
    struct rowkey key;
    uint8_t schema[4];
    ck_ok(kv_storage_mem_create(&storage));
    ck_ok(kv_open(storage, &engine, &store));
    ck_ok(kv_table_open(store, "other", NULL, &table));
    ck_ok(kv_put(table, kv_slice_str("k"), kv_slice_str("v"), KV_DURABLE_WRITE));
    ck_ok(kv_close(store));
    ck_fails(kvfs_open_storage(storage, &options, &fs), KV_EFORMAT);
    kv_storage_mem_destroy(storage);
    /* A newer schema. */
    ck_ok(kv_storage_mem_create(&storage));
    ck_ok(kvfs_open_storage(storage, &options, &fs));
    ck_ok(kv_table_open(kvfs_store(fs), FORMAT_TABLE_META, NULL, &table));
    rowkey_fact(&key, FORMAT_FACT_SCHEMA);
    coding_put_u32(schema, FORMAT_SCHEMA_INDEX + 1);
    ck_ok(kv_put(table, rowkey_slice(&key), kv_slice(schema, 4), KV_DURABLE_WRITE));
    ck_ok(kvfs_close(fs));
    ck_fails(kvfs_open_storage(storage, &options, &fs), KV_EFORMAT);
    kv_storage_mem_destroy(storage);
}
END_TEST

/* As after a crash before the first row was durable: the next opening counts on from a gap. */
START_TEST(a_filesystem_whose_making_was_cut_short_is_made_again)
{
    struct kv_storage *storage = NULL;
    struct kv_store *store = NULL;
    struct kv_table *table = NULL;
    struct kvfs *fs = NULL;
    struct kv_options engine = {.create = true};
    struct kvfs_options options = {.create = true};
    struct kv_stats stats;
    ck_ok(kv_storage_mem_create(&storage));
    ck_ok(kv_open(storage, &engine, &store));
    ck_ok(kv_table_open(store, FORMAT_TABLE_META, NULL, &table));
    ck_ok(kv_put(table, kv_slice_str("k"), kv_slice_str("v"), KV_DURABLE_WRITE));
    ck_ok(kv_delete(table, kv_slice_str("k"), KV_DURABLE_WRITE));
    ck_ok(kv_compact(store));
    kv_stats(store, &stats);
    ck_assert_uint_ne(stats.sequence, 0);
    ck_ok(kv_close(store));
    ck_ok(kvfs_open_storage(storage, &options, &fs));
    ck_ok(kvfs_close(fs));
    kv_storage_mem_destroy(storage);
}
END_TEST

START_TEST(the_size_of_the_filesystem_is_told)
{
    struct fs_fixture f;
    struct statvfs s;
    fixture_open(&f);
    ck_ok(kvfs_statfs(f.fs, &s));
    ck_assert_uint_eq(s.f_namemax, 255);
    ck_assert_uint_ge(s.f_blocks, s.f_bfree);
    ck_assert_uint_gt(s.f_files, s.f_ffree);
    fixture_close(&f);
}
END_TEST

START_TEST(look_up_counts_come_and_go)
{
    struct lookup_table table;
    enum { INODES = 20000 };
    lookup_table_init(&table);
    for (uint64_t i = 1; i <= INODES; i++) {
        for (uint64_t n = 0; n <= i % 3; n++) {
            ck_ok(lookup_table_add(&table, i));
        }
    }
    ck_assert(lookup_table_mark_orphan(&table, 5));
    ck_assert(!lookup_table_mark_orphan(&table, INODES + 1));
    ck_assert_uint_le(table.used, INODES / 16 + 1); /* neighbours take little memory */
    for (uint64_t i = 1; i <= INODES; i++) {
        ck_assert(lookup_table_has(&table, i));
        if (i % 3 > 0) {
            ck_assert(!lookup_table_sub(&table, i, i % 3));
            ck_assert(lookup_table_has(&table, i));
        }
        ck_assert(lookup_table_sub(&table, i, 7) == (i == 5)); /* too many counts as all */
        ck_assert(!lookup_table_has(&table, i));
    }
    ck_assert_uint_eq(table.used, 0);
    ck_assert_uint_le(table.slot_count, 2048);
    lookup_table_finish(&table);
}
END_TEST

/* Counts beyond a byte are kept exactly, beside those of neighbours and their marks. */
START_TEST(a_look_up_count_may_be_large)
{
    struct lookup_table table;
    enum { HOT = 35, NEIGHBOUR = 34, LARGE = 100000 };
    lookup_table_init(&table);
    ck_ok(lookup_table_add(&table, NEIGHBOUR));
    lookup_table_mark_unnamed(&table, NEIGHBOUR, true);
    for (int i = 0; i < LARGE; i++) {
        ck_ok(lookup_table_add(&table, HOT));
    }
    ck_assert(lookup_table_is_linkable(&table, NEIGHBOUR));
    ck_assert(!lookup_table_is_linkable(&table, HOT));
    ck_assert(lookup_table_mark_orphan(&table, HOT));
    ck_assert(!lookup_table_sub(&table, HOT, LARGE - 1));
    ck_assert(lookup_table_has(&table, HOT));
    ck_assert(lookup_table_sub(&table, HOT, 1));
    ck_assert(!lookup_table_has(&table, HOT));
    /* Its mark went with it. */
    ck_ok(lookup_table_add(&table, HOT));
    ck_assert(!lookup_table_sub(&table, HOT, 1));
    lookup_table_unmark(&table, NEIGHBOUR);
    ck_assert(!lookup_table_sub(&table, NEIGHBOUR, 1));
    ck_assert_uint_eq(table.used, 0);
    lookup_table_finish(&table);
}
END_TEST

START_TEST(the_inode_cache_keeps_to_its_budget)
{
    struct icache cache;
    struct node node = {0};
    icache_init(&cache, 10000);
    for (uint64_t i = 1; i <= 1000; i++) {
        node.ino = i;
        node.inode.size = i;
        location_set(&node.loc, ROOT, kv_slice("a longer name", 1 + i % 13));
        ck_ok(icache_put(&cache, &node));
        ck_assert(icache_get(&cache, 1, &node) || i > 1);
        icache_trim(&cache);
        ck_assert_uint_le(cache.bytes, 10000);
    }
    ck_assert(icache_get(&cache, 1, &node)); /* used all the time */
    ck_assert(!icache_get(&cache, 2, &node));
    ck_assert(icache_get(&cache, 1000, &node));
    ck_assert_uint_eq(node.inode.size, 1000);
    ck_assert_uint_eq(node.loc.name_size, 1 + 1000 % 13);
    node.inode.mode = S_IFLNK;
    node.inode.target = kv_slice_str("target");
    ck_ok(icache_put(&cache, &node));
    ck_assert(icache_get(&cache, 1000, &node));
    location_set(&node.loc, ROOT, kv_slice_str("renamed"));
    ck_ok(icache_put(&cache, &node)); /* with the target of the entry it replaces */
    ck_assert(icache_get(&cache, 1000, &node));
    ck_assert(kv_slice_equal(node.inode.target, kv_slice_str("target")));
    icache_drop(&cache, 1000);
    ck_assert(!icache_get(&cache, 1000, &node));
    icache_finish(&cache);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("fs_keys");
    suite_add(suite, "check", malformed_keys_are_refused_with_the_fault_named);
    suite_add(suite, "put", put_makes_parents_and_replaces_contents);
    suite_add(suite, "kinds", keys_that_meet_the_wrong_kind_are_errors);
    suite_add(suite, "sparse", a_sparse_file_beyond_any_memory_is_no_value);
    suite_add(suite, "large", large_values_are_replaced_whole);
    suite_add(suite, "changes", changes_by_key_are_told);
    suite_add(suite, "read_only", a_read_only_filesystem_refuses_every_change);
    suite_add(suite, "open", stores_that_are_no_filesystem_are_refused);
    suite_add(suite, "make", a_filesystem_whose_making_was_cut_short_is_made_again);
    suite_add(suite, "statfs", the_size_of_the_filesystem_is_told);
    suite_add(suite, "counts", look_up_counts_come_and_go);
    suite_add(suite, "large counts", a_look_up_count_may_be_large);
    suite_add(suite, "cache", the_inode_cache_keeps_to_its_budget);
    return suite;
}
