/* SPDX-License-Identifier: Apache-2.0 */
/* Which holes of a file are lost after a repair, by what is left of its inode and of its extents,
 * and by what is known of the keys that were lost: the table in docs/architecture.md, "Lost bytes
 * are never zeros". */
#include <linux/falloc.h>

#include "fs/core/lost_keys.h"
#include "fs/core/txn.h"
#include "tests/fs/fs_tree.h"

enum {
    ROOT = KVFS_ROOT_INO,
    CHUNK = FORMAT_CHUNK_BYTES,
    PUNCH = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
};

/* The tree, in which `file` has 10 bytes at its beginning and 13 in its fourth chunk, and what a
 * repair knows. */
struct damage {
    struct fs_tree t;
    uint64_t file;
    struct kvfs_key_range data[4], meta[4];
    struct kvfs_lost_rows lost;
};

static void begin(struct damage *d)
{
    *d = (struct damage){
        .lost = {.data = {.ranges = d->data}, .meta = {.ranges = d->meta}, .repaired = true}};
    fs_tree_make(&d->t);
    d->file = d->t.file;
}

static void add_range(struct kvfs_lost_keys *keys, const struct rowkey *from,
                      const struct rowkey *to)
{
    struct kvfs_key_range *range = &keys->ranges[keys->count++];
    ck_ok(kv_buf_assign(&range->from, rowkey_slice(from)));
    ck_ok(kv_buf_assign(&range->to, rowkey_slice(to)));
}

static void finish(struct damage *d)
{
    for (unsigned i = 0; i < 4; i++) {
        kv_buf_finish(&d->data[i].from);
        kv_buf_finish(&d->data[i].to);
        kv_buf_finish(&d->meta[i].from);
        kv_buf_finish(&d->meta[i].to);
    }
    fixture_close(&d->t.f);
}

/* Rows may be lost that have this key. */
static void know_data(struct damage *d, uint64_t ino, uint64_t from, uint64_t to)
{
    struct rowkey first, last;
    rowkey_extent(&first, ino, from);
    rowkey_extent(&last, ino, to);
    add_range(&d->lost.data, &first, &last);
}

static void know_meta(struct damage *d, const struct rowkey *key)
{
    add_range(&d->lost.meta, key, key);
}

/* The row is gone without a trace. */
static void drop(struct damage *d, uint64_t ino, uint64_t end)
{
    struct rowkey key;
    rowkey_extent(&key, ino, end);
    fs_tree_change(&d->t, "data", &key, NULL);
}

/* The row is there, its value is not. */
static void lose(struct damage *d, uint64_t ino, uint64_t end)
{
    struct rowkey key;
    rowkey_extent(&key, ino, end);
    fs_tree_lose(&d->t, "data", &key);
}

static struct rowkey fact_key(void)
{
    struct rowkey key;
    rowkey_fact(&key, FORMAT_FACT_LOST_BELOW);
    return key;
}

static void drop_fact(struct damage *d)
{
    struct rowkey key = fact_key();
    fs_tree_change(&d->t, "meta", &key, NULL);
}

static bool has_fact(struct damage *d)
{
    struct rowkey key = fact_key();
    return kv_exists(fixture_table(&d->t.f, "meta"), NULL, rowkey_slice(&key)) == 0;
}

static struct rowkey file_key(struct damage *d)
{
    struct rowkey key;
    rowkey_dirent(&key, d->t.inner, kv_slice_str("file"));
    return key;
}

static struct inode stored(struct damage *d)
{
    struct rowkey key = file_key(d);
    struct dir_entry entry;
    struct kv_buf value = fs_tree_get(&d->t, &key);
    ck_ok(dirent_decode(kv_buf_slice(&value), &entry));
    kv_buf_finish(&value);
    return entry.inode;
}

static void mend(struct damage *d, const struct kvfs_lost_rows *lost)
{
    fixture_reopen(&d->t.f);
    fs_tree_mend_lost(&d->t, lost);
    fs_tree_walk(&d->t);
    ck_assert_str_eq(d->t.faults, "");
    fixture_reopen(&d->t.f);
}

static void write_bytes(struct damage *d, uint64_t offset, size_t size)
{
    static const char bytes[CHUNK] = {1};
    ck_ok(kvfs_write(d->t.f.fs, d->file, offset, kv_slice(bytes, size), false, false));
}

static void set_size(struct damage *d, uint64_t size)
{
    const struct stat attr = {.st_size = (off_t)size};
    struct kvfs_entry entry;
    ck_ok(kvfs_setattr(d->t.f.fs, d->file, &attr, KVFS_SET_SIZE, &entry));
}

static int read_byte(struct damage *d, uint64_t ino, uint64_t offset)
{
    struct kv_buf bytes = {0};
    int r = kvfs_read(d->t.f.fs, ino, offset, 1, &bytes);
    kv_buf_finish(&bytes);
    return r;
}

static void expect_lost(struct damage *d, uint64_t offset)
{
    ck_assert_int_eq(read_byte(d, d->file, offset), -EIO);
}

static void expect_readable(struct damage *d, uint64_t offset)
{
    ck_assert_int_eq(read_byte(d, d->file, offset), 0);
}

/* ---- bytes that add up by chance --------------------------------------------------------------
 */

/* 12,000 bytes are no part of a lost extent, and count as one: the file has as many bytes as it
 * had, or more, although other bytes are gone. */
START_TEST(a_lost_extent_hides_no_other_one_that_is_gone)
{
    static const size_t gone[] = {9, 12000, 12001};
    uint64_t at = (uint64_t)5 * CHUNK, none = (uint64_t)9 * CHUNK;
    struct damage d;
    begin(&d);
    write_bytes(&d, at + 12000, 20000);
    write_bytes(&d, none, gone[_i / 2]);
    set_size(&d, none + 2 * CHUNK);
    drop(&d, d.file, none + gone[_i / 2]);
    lose(&d, d.file, at + 32000);
    if (_i % 2 == 0) {
        know_data(&d, d.file, none + gone[_i / 2], none + gone[_i / 2]);
    } else {
        d.lost.data.anywhere = true;
    }
    mend(&d, &d.lost);
    expect_lost(&d, none);
    expect_lost(&d, at + 20000);
    expect_readable(&d, 0);
    if (_i % 2 == 0) {
        expect_readable(&d, none + CHUNK);
        expect_readable(&d, CHUNK);
    }
    finish(&d);
}
END_TEST

START_TEST(a_lost_extent_that_grows_over_a_hole_hides_none)
{
    uint64_t at = (uint64_t)5 * CHUNK, none = (uint64_t)9 * CHUNK;
    struct damage d;
    begin(&d);
    write_bytes(&d, at + 100, 6000);
    write_bytes(&d, at + 6100, 6000);
    write_bytes(&d, none, 100);
    lose(&d, d.file, at + 12100);
    mend(&d, NULL);
    expect_readable(&d, at + 100);
    drop(&d, d.file, at + 6100);
    drop(&d, d.file, none + 100);
    know_data(&d, d.file, at + 6100, none + 100);
    mend(&d, &d.lost);
    expect_lost(&d, at + 100);
    expect_lost(&d, none);
    expect_readable(&d, CHUNK);
    finish(&d);
}
END_TEST

/* What the documentation promises: a damaged value costs a piece of the file, and no more. */
START_TEST(a_lost_extent_alone_takes_no_holes_along)
{
    uint64_t at = (uint64_t)5 * CHUNK;
    struct damage d;
    begin(&d);
    fixture_put_lost_below(&d.t.f);
    write_bytes(&d, at + 12000, 20000);
    lose(&d, d.file, at + 32000);
    know_data(&d, d.t.linked, 1, 100); /* of another file */
    for (unsigned i = 0; i < 3; i++) {
        mend(&d, &d.lost);
        expect_lost(&d, at + 20000);
        expect_readable(&d, CHUNK);
        expect_readable(&d, (uint64_t)4 * CHUNK);
    }
    finish(&d);
}
END_TEST

START_TEST(a_store_that_needs_no_repair_is_not_written_to)
{
    uint64_t at = (uint64_t)5 * CHUNK;
    struct damage d;
    begin(&d);
    write_bytes(&d, at, CHUNK);
    lose(&d, d.file, at + CHUNK); /* while it was in use, or before there was the field */
    d.lost.repaired = false;
    ck_assert_uint_eq(fs_tree_mend_lost(&d.t, &d.lost), 1);
    ck_assert_uint_eq(stored(&d).lost_bytes, 0);
    d.lost.repaired = true;
    ck_assert_uint_eq(fs_tree_mend_lost(&d.t, &d.lost), 2);
    ck_assert_uint_eq(stored(&d).lost_bytes, CHUNK);
    finish(&d);
}
END_TEST

/* Nor where another repair knows less: the first one noted what was lost. */
START_TEST(holes_of_a_file_that_was_mended_stay)
{
    uint64_t at = (uint64_t)5 * CHUNK;
    struct damage d;
    begin(&d);
    write_bytes(&d, at, CHUNK);
    if (_i == 0) {
        lose(&d, d.file, at + CHUNK); /* as many bytes as it had */
    } else {
        drop(&d, d.file, at + CHUNK);
        know_data(&d, d.file, at + CHUNK, at + CHUNK);
    }
    mend(&d, &d.lost);
    expect_lost(&d, at);
    write_bytes(&d, at + 100, 200);
    d.lost.data.anywhere = d.lost.meta.anywhere = true;
    mend(&d, &d.lost);
    expect_lost(&d, at);
    expect_readable(&d, at + 100);
    expect_lost(&d, at + 300);
    expect_readable(&d, CHUNK);
    expect_readable(&d, at - 1);
    ck_assert_uint_eq(d.t.counts.lost_extents, 2);
    finish(&d);
}
END_TEST

/* The row that stood for lost bytes is gone itself. */
START_TEST(a_lost_extent_that_is_gone_is_missed)
{
    uint64_t at = (uint64_t)5 * CHUNK;
    struct damage d;
    begin(&d);
    write_bytes(&d, at, 100);
    lose(&d, d.file, at + 100);
    mend(&d, &d.lost);
    ck_assert_uint_eq(stored(&d).lost_bytes, 100);
    drop(&d, d.file, at + 100);
    know_data(&d, d.file, at + 1, at + CHUNK);
    mend(&d, &d.lost);
    expect_lost(&d, at);
    finish(&d);
}
END_TEST

START_TEST(lost_bytes_that_are_taken_away_are_counted_no_more)
{
    enum { CHUNKS = 40 };
    uint64_t end = (uint64_t)CHUNKS * CHUNK;
    struct damage d;
    begin(&d);
    for (uint64_t at = 0; at < end; at += CHUNK) {
        write_bytes(&d, at, CHUNK);
    }
    for (uint64_t i = 1; i <= 4; i++) {
        lose(&d, d.file, i * 8 * CHUNK);
    }
    mend(&d, &d.lost);
    ck_assert_uint_eq(stored(&d).lost_bytes, 4 * CHUNK);
    write_bytes(&d, 8 * CHUNK - 100, 50);
    ck_assert_uint_eq(stored(&d).lost_bytes, 4 * CHUNK - 50);
    ck_ok(kvfs_fallocate(d.t.f.fs, d.file, PUNCH, 0, 16 * CHUNK));
    ck_assert_uint_eq(stored(&d).lost_bytes, 2 * CHUNK);
    set_size(&d, 31 * CHUNK + 10);
    ck_assert_uint_eq(stored(&d).lost_bytes, CHUNK + 10);
    fixture_reopen(&d.t.f);
    set_size(&d, 0);
    ck_assert_uint_eq(stored(&d).lost_bytes, 0);
    finish(&d);
}
END_TEST

/* Rows that are deleted by their range are not looked at. */
START_TEST(lost_bytes_of_a_file_without_holes_are_counted_when_they_go)
{
    uint64_t chunks = TXN_DELETE_MAX + 4;
    struct damage d;
    begin(&d);
    for (uint64_t i = 0; i < chunks; i++) {
        write_bytes(&d, i * CHUNK, CHUNK);
    }
    lose(&d, d.file, 3 * CHUNK);
    mend(&d, &d.lost);
    ck_assert_uint_eq(stored(&d).lost_bytes, CHUNK);
    set_size(&d, _i == 0 ? CHUNK : 0);
    ck_assert_uint_eq(stored(&d).lost_bytes, 0);
    finish(&d);
}
END_TEST

START_TEST(holes_of_a_file_whose_bytes_add_up_stay)
{
    struct damage d;
    begin(&d);
    fixture_put_lost_below(&d.t.f);
    d.lost.data.anywhere = d.lost.meta.anywhere = true;
    mend(&d, &d.lost);
    expect_readable(&d, CHUNK);
    ck_assert_uint_eq(d.t.counts.lost_extents + d.t.counts.lost_holes, 0);
    finish(&d);
}
END_TEST

/* ---- keys that do not tell it -----------------------------------------------------------------
 */

START_TEST(lost_keys_that_do_not_explain_what_is_gone_tell_nothing)
{
    struct damage d;
    begin(&d);
    drop(&d, d.file, 10);
    if (_i == 0) {
        know_data(&d, d.t.linked, 1, 100);
    } else if (_i == 1) {
        write_bytes(&d, (uint64_t)5 * CHUNK, 20); /* there is no hole */
        know_data(&d, d.file, (uint64_t)5 * CHUNK + 1, (uint64_t)5 * CHUNK + 20);
    }
    mend(&d, &d.lost);
    expect_lost(&d, 0);
    expect_lost(&d, CHUNK);
    finish(&d);
}
END_TEST

static void lose_below(struct inode *inode)
{
    inode->lost_below = CHUNK;
}

START_TEST(what_is_gone_where_all_is_lost_anyway_takes_no_other_holes)
{
    struct damage d;
    begin(&d);
    fixture_put_lost_below(&d.t.f);
    fs_tree_change_entry(&d.t, d.t.inner, "file", lose_below);
    drop(&d, d.file, 10);
    know_data(&d, d.file, 10, 10);
    mend(&d, &d.lost);
    expect_lost(&d, 0);
    expect_lost(&d, CHUNK - 1);
    expect_readable(&d, CHUNK);
    finish(&d);
}
END_TEST

/* Reading takes it for a lost extent in its last chunk. */
START_TEST(an_extent_that_makes_no_sense_is_lost_and_no_hole_with_it)
{
    static const uint8_t bytes[2 * CHUNK] = {1};
    const struct kv_slice crossing = kv_slice(bytes, 20000), senseless = kv_slice(bytes, 100);
    uint64_t at = (uint64_t)6 * CHUNK;
    struct rowkey key;
    struct damage d;
    begin(&d);
    write_bytes(&d, at, 10000);
    rowkey_extent(&key, d.file, at + 10000);
    fs_tree_change(&d.t, "data", &key, &crossing);
    rowkey_extent(&key, d.file, 10);
    fs_tree_change(&d.t, "data", &key, &senseless);
    mend(&d, &d.lost);
    expect_lost(&d, 0);
    expect_lost(&d, at);
    expect_readable(&d, at - 1);
    expect_readable(&d, 10);
    finish(&d);
}
END_TEST

START_TEST(lost_keys_are_found_in_any_order)
{
    struct lost_keys keys;
    struct damage d;
    begin(&d);
    know_data(&d, d.file, 50, 60);
    know_data(&d, d.file, 10, 40);
    know_data(&d, d.file, 20, 30);
    know_data(&d, d.file, 60, 70);
    ck_ok(lost_keys_init(&keys, &d.lost.data));
    ck_assert_uint_eq(keys.count, 2);
    for (uint64_t end = 1; end < 80; end++) {
        struct rowkey key;
        rowkey_extent(&key, d.file, end);
        ck_assert_int_eq(lost_keys_may_have(&keys, rowkey_slice(&key)),
                         (end >= 10 && end <= 40) || (end >= 50 && end <= 70));
    }
    lost_keys_finish(&keys);
    kv_buf_finish(&d.data[2].to);
    d.data[2].to = (struct kv_buf){0}; /* no bound */
    ck_ok(lost_keys_init(&keys, &d.lost.data));
    ck_assert_uint_eq(keys.count, 1);
    struct rowkey last = fact_key();
    ck_assert(lost_keys_may_have(&keys, rowkey_slice(&last)));
    lost_keys_finish(&keys);
    finish(&d);
}
END_TEST

/* ---- inodes that are lost ---------------------------------------------------------------------
 */

/* The file has 2,000 chunks more, in which all that has no extent is lost, and ten bytes. */
static void lose_holes(struct damage *d)
{
    uint64_t size = (uint64_t)2000 * CHUNK;
    begin(d);
    write_bytes(d, size - 1, 1);
    drop(d, d->file, size);
    mend(d, NULL);
    ck_assert_uint_eq(d->t.counts.lost_holes, 1);
    ck_assert(has_fact(d));
    expect_lost(d, CHUNK);
    set_size(d, size + CHUNK);
}

START_TEST(a_missing_fact_of_lost_holes_is_told_and_made_anew)
{
    struct damage d;
    lose_holes(&d);
    drop_fact(&d);
    fs_tree_walk(&d.t);
    ck_assert_str_eq(strchr(d.t.faults, ' '), " row 'Mlost_below': it is missing\n");
    mend(&d, &d.lost);
    ck_assert(has_fact(&d));
    fs_tree_lose_entry(&d.t);
    mend(&d, &d.lost);
    expect_lost(&d, CHUNK);
    finish(&d);
}
END_TEST

/* In one table that is lost as a whole. */
START_TEST(an_inode_that_is_lost_with_the_fact_may_have_had_lost_holes)
{
    struct rowkey home, fact = fact_key();
    struct damage d;
    lose_holes(&d);
    home = file_key(&d);
    write_bytes(&d, (uint64_t)1500 * CHUNK, 10);
    drop_fact(&d);
    fs_tree_change(&d.t, "meta", &home, NULL);
    if (_i == 0) {
        add_range(&d.lost.meta, &home, &fact);
    } else if (_i == 1) {
        d.lost.meta.anywhere = true;
    } else {
        know_meta(&d, &home); /* there was no fact */
    }
    mend(&d, &d.lost);
    if (_i == 2) {
        expect_readable(&d, CHUNK);
        ck_assert(!has_fact(&d));
    } else {
        expect_lost(&d, CHUNK);
        expect_lost(&d, (uint64_t)1000 * CHUNK);
    }
    expect_readable(&d, 0);
    expect_readable(&d, (uint64_t)1500 * CHUNK);
    finish(&d);
}
END_TEST

/* The newest row of the inode is lost, and shows what the file was before a repair. */
START_TEST(an_older_inode_does_not_know_which_holes_are_lost)
{
    struct rowkey home;
    struct damage d;
    begin(&d);
    write_bytes(&d, (uint64_t)2000 * CHUNK, 20);
    home = file_key(&d);
    struct kv_buf old = fs_tree_get(&d.t, &home);
    drop(&d, d.file, (uint64_t)2000 * CHUNK + 20);
    mend(&d, NULL);
    expect_lost(&d, (uint64_t)1000 * CHUNK);
    if (_i == 0) { /* it counts less than there is */
        write_bytes(&d, CHUNK, 100);
    } else if (_i == 1) { /* it counts more: what is lost since could be all of it */
        know_meta(&d, &home);
        write_bytes(&d, CHUNK, 30);
        drop(&d, d.file, 10);
        drop(&d, d.file, CHUNK + 30);
        know_data(&d, d.file, 10, CHUNK + 30);
    } else { /* nothing can be said of what it counts */
        know_meta(&d, &home);
        write_bytes(&d, CHUNK + 50, 100);
        lose(&d, d.file, CHUNK + 150);
    }
    struct kv_slice value = kv_buf_slice(&old);
    fs_tree_change(&d.t, "meta", &home, &value);
    kv_buf_finish(&old);
    mend(&d, &d.lost);
    expect_lost(&d, (uint64_t)1000 * CHUNK);
    expect_lost(&d, (uint64_t)2000 * CHUNK);
    finish(&d);
}
END_TEST

static void add_loop(Suite *suite, const char *name, const TTest *test, int count)
{
    TCase *loop = tcase_create(name);
    tcase_add_loop_test(loop, test, 0, count);
    suite_add_tcase(suite, loop);
}

Suite *test_suite(void)
{
    Suite *suite = suite_create("fs_mend_lost");
    add_loop(suite, "hides", a_lost_extent_hides_no_other_one_that_is_gone, 6);
    add_loop(suite, "mended", holes_of_a_file_that_was_mended_stay, 2);
    suite_add(suite, "clean", a_store_that_needs_no_repair_is_not_written_to);
    suite_add(suite, "gone", a_lost_extent_that_is_gone_is_missed);
    suite_add(suite, "taken", lost_bytes_that_are_taken_away_are_counted_no_more);
    add_loop(suite, "range", lost_bytes_of_a_file_without_holes_are_counted_when_they_go, 2);
    add_loop(suite, "unexplained", lost_keys_that_do_not_explain_what_is_gone_tell_nothing, 3);
    add_loop(suite, "forgotten", an_inode_that_is_lost_with_the_fact_may_have_had_lost_holes, 3);
    add_loop(suite, "older", an_older_inode_does_not_know_which_holes_are_lost, 3);
    suite_add(suite, "grows", a_lost_extent_that_grows_over_a_hole_hides_none);
    suite_add(suite, "alone", a_lost_extent_alone_takes_no_holes_along);
    suite_add(suite, "sound", holes_of_a_file_whose_bytes_add_up_stay);
    suite_add(suite, "below", what_is_gone_where_all_is_lost_anyway_takes_no_other_holes);
    suite_add(suite, "senseless", an_extent_that_makes_no_sense_is_lost_and_no_hole_with_it);
    suite_add(suite, "keys", lost_keys_are_found_in_any_order);
    suite_add(suite, "fact", a_missing_fact_of_lost_holes_is_told_and_made_anew);
    return suite;
}
