/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/archive/archive_walk.h"

#include <stdio.h>

#include "fs/core/key.h"
#include "tests/fs/fs_fixture.h"

struct seen {
    char paths[256];
    unsigned failed;
};

static int note(void *arg, const char *path, const struct kvfs_entry *entry)
{
    struct seen *seen = arg;
    size_t size = strlen(seen->paths);
    ck_assert_uint_lt(size + strlen(path) + 2, sizeof seen->paths);
    snprintf(seen->paths + size, sizeof seen->paths - size, "%s%s", size > 0 ? " " : "", path);
    (void)entry;
    return 0;
}

static int note_failure(void *arg, const char *path, int error)
{
    struct seen *seen = arg;
    ck_assert_str_eq(path, "./outer/inner/again");
    ck_assert_int_eq(error, -EIO);
    seen->failed++;
    return 0;
}

/* Only damage puts a directory into one that lies in it. */
START_TEST(a_directory_that_lies_in_itself_is_not_entered_again)
{
    struct fs_fixture f;
    struct seen seen = {0};
    struct kv_buf row = {0};
    struct rowkey key;
    fixture_open(&f);
    uint64_t inner = fixture_dir(&f, fixture_dir(&f, KVFS_ROOT_INO, "outer"), "inner");
    fixture_file(&f, inner, "file");
    rowkey_dirent(&key, KVFS_ROOT_INO, kv_slice_str("outer"));
    ck_ok(kv_get_copy(fixture_table(&f, "meta"), NULL, rowkey_slice(&key), &row));
    rowkey_dirent(&key, inner, kv_slice_str("again"));
    ck_ok(kv_put(fixture_table(&f, "meta"), rowkey_slice(&key), kv_buf_slice(&row),
                 KV_DURABLE_WRITE));
    ck_ok(archive_walk(f.fs, note, note_failure, &seen));
    ck_assert_str_eq(seen.paths, ". ./outer ./outer/inner ./outer/inner/again ./outer/inner/file");
    ck_assert_uint_eq(seen.failed, 1);
    ck_ok(kv_delete(fixture_table(&f, "meta"), rowkey_slice(&key), KV_DURABLE_WRITE));
    kv_buf_finish(&row);
    fixture_close(&f);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("archive_walk");
    suite_add(suite, "damage", a_directory_that_lies_in_itself_is_not_entered_again);
    return suite;
}
