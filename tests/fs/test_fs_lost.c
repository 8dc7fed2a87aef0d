/* SPDX-License-Identifier: Apache-2.0 */
/* The store is lost to another holder while the filesystem is open. */
#include <stdio.h>

#include "tests/fs/fs_fixture.h"
#include "tests/lib/losable.h"

enum { ROOT = KVFS_ROOT_INO };

static void begin(struct fs_fixture *f)
{
    *f = (struct fs_fixture){.memory_bytes = 8 << 20};
    ck_ok(kv_storage_mem_create(&f->storage));
    losable_wrap(f->storage);
    fixture_open_again(f);
}

static void end(struct fs_fixture *f)
{
    kv_ignore(kvfs_close(f->fs));
    losable_unwrap();
    kv_storage_mem_destroy(f->storage);
}

static bool take_any(void *arg, const char *name, const struct kvfs_entry *entry,
                     uint64_t next_offset)
{
    unsigned *count = arg;
    ++*count;
    return true;
}

static void expect_no_names(struct fs_fixture *f, struct kvfs_dir *dir)
{
    struct kvfs_dir *late = NULL;
    unsigned count = 0;
    ck_fails(kvfs_dir_read(dir, 0, false, take_any, &count), ESHUTDOWN);
    ck_fails(kvfs_dir_read(dir, 0, true, take_any, &count), ESHUTDOWN);
    ck_assert_uint_eq(count, 0);
    ck_fails(kvfs_dir_open(f->fs, ROOT, &late), ESHUTDOWN);
}

START_TEST(a_store_that_is_lost_answers_nothing_from_memory)
{
    struct fs_fixture f;
    struct kv_buf bytes = {0};
    struct kvfs_entry entry;
    struct kvfs_dir *dir = NULL;
    struct stat mode = {.st_mode = 0600};

    begin(&f);
    uint64_t ino = fixture_file(&f, ROOT, "file");
    fixture_write(&f, ino, 0, "old");
    ck_ok(kvfs_symlink(f.fs, &fixture_who, ROOT, "link", "target", &entry));
    uint64_t link = entry.ino;
    ck_ok(kvfs_dir_open(f.fs, ROOT, &dir));
    ck_assert_str_eq(fixture_list(&f, ROOT), "file link"); /* all of it is in memory now */
    ck_assert_int_eq(fixture_stat(&f, ino).stat.st_size, 3);
    losable_lose(-ESHUTDOWN);
    ck_fails(kvfs_getattr(f.fs, ino, &entry), ESHUTDOWN);
    ck_fails(kvfs_getattr(f.fs, ROOT, &entry), ESHUTDOWN);
    ck_fails(kvfs_lookup(f.fs, ROOT, "file", &entry), ESHUTDOWN);
    ck_fails(kvfs_lookup(f.fs, ROOT, "none", &entry), ESHUTDOWN);
    ck_fails(kvfs_readlink(f.fs, link, &bytes), ESHUTDOWN);
    ck_fails(kvfs_read(f.fs, ino, 0, 10, &bytes), ESHUTDOWN);
    ck_fails(kvfs_key_get(f.fs, kv_slice_str("file"), &bytes), ESHUTDOWN);
    ck_fails(kvfs_listxattr(f.fs, ino, &bytes), ESHUTDOWN);
    ck_fails(kvfs_write(f.fs, ino, 0, kv_slice_str("new"), false, false), ESHUTDOWN);
    ck_fails(kvfs_setattr(f.fs, ino, &mode, KVFS_SET_MODE, &entry), ESHUTDOWN);
    ck_fails(kvfs_mkdir(f.fs, &fixture_who, ROOT, "dir", 0777, &entry), ESHUTDOWN);
    ck_fails(kvfs_unlink(f.fs, ROOT, "file"), ESHUTDOWN);
    ck_assert_int_lt(kvfs_fsync(f.fs, ino), 0);
    expect_no_names(&f, dir);
    kvfs_dir_close(dir);
    kv_buf_finish(&bytes);
    ck_assert_int_lt(kvfs_close(f.fs), 0);
    losable_unwrap();
    kv_storage_mem_destroy(f.storage);
}
END_TEST

static void count_call(void *arg)
{
    unsigned *calls = arg;
    ++*calls;
}

START_TEST(who_asks_is_told_once_that_the_store_is_lost)
{
    struct fs_fixture f;
    unsigned before = 0;
    unsigned early = 0;
    unsigned late = 0;

    begin(&f);
    kvfs_on_store_lost(f.fs, count_call, &before);
    kvfs_on_store_lost(f.fs, count_call, &early); /* instead */
    ck_assert_int_eq(kvfs_store_lost(f.fs), 0);
    losable_lose(-ETIMEDOUT);
    ck_assert_int_eq(kvfs_store_lost(f.fs), -ETIMEDOUT);
    kvfs_on_store_lost(f.fs, NULL, NULL);
    kvfs_on_store_lost(f.fs, count_call, &late); /* it is lost already */
    ck_assert_uint_eq(before, 0);
    ck_assert_uint_eq(early, 1);
    ck_assert_uint_eq(late, 1);
    end(&f);
    ck_assert_uint_eq(early + late, 2);
}
END_TEST

/* ---- what the kernel knows --------------------------------------------------------------------
 */

enum { FILES = 500, INO_MAX = 2000 };

struct known {
    struct kvfs *fs;
    unsigned times[INO_MAX];
    uint64_t forgotten; /* at each call the kernel forgets one, from here downward */
    uint64_t first;
};

static void note_known(void *arg, uint64_t ino)
{
    struct known *known = arg;
    ck_assert_uint_lt(ino, INO_MAX);
    known->times[ino]++;
    if (known->forgotten > known->first) {
        kvfs_forget(known->fs, known->forgotten--, 1);
    }
}

START_TEST(all_inodes_are_listed_that_the_kernel_knows_while_it_forgets_some)
{
    static struct known known;
    struct fs_fixture f;
    struct kvfs_entry entry;
    char name[16];

    begin(&f);
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "%u", i);
        uint64_t ino = fixture_file(&f, ROOT, name);
        known.first = i == 0 ? ino : known.first;
        ck_ok(kvfs_lookup(f.fs, ROOT, name, &entry));
        ck_assert_uint_eq(ino, known.first + i);
    }
    uint64_t last = known.first + FILES - 1;
    kvfs_forget(f.fs, last, 1);
    known.fs = f.fs;
    known.forgotten = known.first + FILES / 2;
    kvfs_known_inodes(f.fs, note_known, &known);
    ck_assert_uint_eq(known.times[ROOT], 1);
    ck_assert_uint_eq(known.times[last], 0);
    for (uint64_t ino = known.first + FILES / 2 + 1; ino < last; ino++) {
        ck_assert_uint_ge(known.times[ino], 1);
    }
    kvfs_forget(f.fs, known.first, 1);
    for (uint64_t ino = known.first + FILES / 2 + 1; ino < last; ino++) {
        kvfs_forget(f.fs, ino, 1);
    }
    ck_ok(kvfs_close(f.fs));
    losable_unwrap();
    kv_storage_mem_destroy(f.storage);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("fs_lost");
    suite_add(s, "answers", a_store_that_is_lost_answers_nothing_from_memory);
    suite_add(s, "told", who_asks_is_told_once_that_the_store_is_lost);
    suite_add(s, "known", all_inodes_are_listed_that_the_kernel_knows_while_it_forgets_some);
    return s;
}
