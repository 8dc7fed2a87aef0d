/* SPDX-License-Identifier: Apache-2.0 */
/* How much the usual operations on small files ask of the engine. */
#include <fcntl.h>

#include "kvcore/util/rng.h"
#include "tests/fs/fs_check.h"
#include "tests/fs/fs_fixture.h"

enum { ROOT = KVFS_ROOT_INO, FILE_SIZE = 1024 };

struct watched {
    struct fs_fixture f;
    struct kv_stats before;
};

/* What was asked for since the call before. */
static void ck_cost(struct watched *w, uint64_t gets, uint64_t seeks, uint64_t batches)
{
    struct kv_stats now;
    kv_stats(kvfs_store(w->f.fs), &now);
    ck_assert_uint_eq(now.gets - w->before.gets, gets);
    ck_assert_uint_eq(now.seeks - w->before.seeks, seeks);
    ck_assert_uint_eq(now.batches - w->before.batches, batches);
    w->before = now;
}

static void watch(struct watched *w)
{
    w->f.no_background = true;
    fixture_reopen(&w->f);
    fixture_file(&w->f, ROOT, "first"); /* sets numbers for inodes aside */
    kv_stats(kvfs_store(w->f.fs), &w->before);
}

static uint64_t make_known(struct watched *w, const char *name)
{
    struct kvfs_new new = {.who = fixture_who, .mode = 0644, .flags = O_EXCL};
    struct kvfs_entry e;
    ck_ok(kvfs_create(w->f.fs, ROOT, name, &new, &e, NULL));
    return e.ino;
}

START_TEST(a_small_file_is_made_renamed_and_removed_with_few_reads)
{
    static const uint8_t bytes[FILE_SIZE];
    struct watched w;
    struct kvfs_entry e;
    fixture_open(&w.f);
    watch(&w);
    ck_fails(kvfs_lookup(w.f.fs, ROOT, "f", &e), ENOENT);
    ck_cost(&w, 1, 0, 0);
    uint64_t ino = make_known(&w, "f");
    ck_cost(&w, 1, 0, 1);
    ck_ok(kvfs_write(w.f.fs, ino, 0, kv_slice(bytes, sizeof bytes), false, false));
    ck_cost(&w, 0, 0, 1);
    ck_ok(kvfs_lookup(w.f.fs, ROOT, "f", &e));
    ck_cost(&w, 0, 0, 0);
    ck_fails(kvfs_lookup(w.f.fs, ROOT, "g", &e), ENOENT);
    ck_cost(&w, 1, 0, 0);
    ck_ok(kvfs_rename(w.f.fs, ROOT, "f", ROOT, "g", 0));
    ck_cost(&w, 1, 0, 1);
    ck_ok(kvfs_unlink(w.f.fs, ROOT, "g"));
    ck_cost(&w, 1, 0, 1);
    kvfs_forget(w.f.fs, ino, 2);
    ck_cost(&w, 0, 0, 0);
    fixture_close(&w.f);
}
END_TEST

/* A file of `size` bytes that is unlinked and was looked up once more. */
static uint64_t make_unlinked(struct watched *w, size_t size)
{
    static const uint8_t bytes[64 * 1024];
    uint64_t ino = make_known(w, "unlinked");
    ck_ok(kvfs_write(w->f.fs, ino, 0, kv_slice(bytes, size), false, false));
    ck_ok(kvfs_unlink(w->f.fs, ROOT, "unlinked"));
    return ino;
}

START_TEST(files_of_some_kilobytes_that_are_forgotten_later_go_together)
{
    enum { FILES = 16, SIZE = 5000 };
    struct watched w;
    uint64_t inos[FILES];
    fixture_open(&w.f);
    watch(&w);
    for (int i = 0; i < FILES; i++) {
        inos[i] = make_unlinked(&w, i == 0 ? 32 * 1024 : SIZE + (size_t)i);
    }
    kv_stats(kvfs_store(w.f.fs), &w.before);
    for (int i = 0; i < FILES - 1; i++) {
        kvfs_forget_later(w.f.fs, inos[i], 1);
    }
    ck_cost(&w, 0, 0, 0);
    kvfs_forget_later(w.f.fs, inos[FILES - 1], 1);
    ck_cost(&w, 0, FILES, 1);
    ck_assert_uint_eq(fixture_count_rows(&w.f, "data", ROW_EXTENT), 0);
    ck_assert_uint_eq(fixture_count_rows(&w.f, "meta", ROW_ORPHAN), 0);
    uint64_t large = make_unlinked(&w, 64 * 1024);
    kvfs_forget_later(w.f.fs, large, 1);
    ck_assert_uint_eq(fixture_count_rows(&w.f, "data", ROW_EXTENT), 0);
    kvfs_forget_later(w.f.fs, make_unlinked(&w, SIZE), 1);
    ck_assert_uint_eq(fixture_count_rows(&w.f, "meta", ROW_ORPHAN), 1);
    fixture_reopen(&w.f);
    ck_assert_uint_eq(fixture_count_rows(&w.f, "meta", ROW_ORPHAN), 0);
    fixture_close(&w.f);
}
END_TEST

START_TEST(a_rename_in_a_directory_looks_at_each_name_once)
{
    struct watched w;
    struct kvfs_entry e;
    fixture_open(&w.f);
    watch(&w);
    uint64_t file = make_known(&w, "file");
    ck_fails(kvfs_lookup(w.f.fs, ROOT, "free", &e), ENOENT);
    kvfs_forget(w.f.fs, file, 1);
    fixture_reopen(&w.f);
    kv_stats(kvfs_store(w.f.fs), &w.before);
    ck_ok(kvfs_rename(w.f.fs, ROOT, "file", ROOT, "free", 0));
    ck_cost(&w, 4, 0, 1); /* with the inodes of the directory and of the file */
    fixture_close(&w.f);
}
END_TEST

/* ---- bytes that are read ---- */

static const struct kv_storage_ops *plain;
static uint64_t bytes_read;

static int counted_read(struct kv_object *object, uint64_t offset, void *to, size_t size,
                        size_t *ret_size)
{
    bytes_read += size;
    return plain->object_read(object, offset, to, size, ret_size);
}

START_TEST(the_walk_over_all_rows_reads_no_large_values)
{
    static uint8_t bytes[1 << 20];
    struct rng rng = {test_seed()};
    struct kv_storage_ops counting;
    struct kv_buf found = {0};
    struct fs_fixture f;
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)rng_next(&rng);
    }
    fixture_open(&f);
    uint64_t ino = fixture_file(&f, ROOT, "large");
    ck_ok(kvfs_write(f.fs, ino, 0, kv_slice(bytes, sizeof bytes), false, false));
    f.no_background = true;
    fixture_reopen(&f);
    plain = f.storage->ops;
    counting = *plain;
    counting.object_read = counted_read;
    f.storage->ops = &counting;
    fs_check(f.fs);
    ck_assert_uint_lt(bytes_read, sizeof bytes / 8);
    ck_ok(kvfs_read(f.fs, ino, 0, sizeof bytes, &found));
    ck_assert(kv_slice_equal(kv_buf_slice(&found), kv_slice(bytes, sizeof bytes)));
    ck_assert_uint_ge(bytes_read, sizeof bytes);
    f.storage->ops = plain;
    kv_buf_finish(&found);
    fixture_close(&f);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("fs_cost");
    suite_add(suite, "small file", a_small_file_is_made_renamed_and_removed_with_few_reads);
    suite_add(suite, "together", files_of_some_kilobytes_that_are_forgotten_later_go_together);
    suite_add(suite, "walk", the_walk_over_all_rows_reads_no_large_values);
    suite_add(suite, "rename", a_rename_in_a_directory_looks_at_each_name_once);
    return suite;
}
