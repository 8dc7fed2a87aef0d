/* SPDX-License-Identifier: Apache-2.0 */
/* Files are found by an attribute, as of the last operation, whatever happened to them. */
#include <fcntl.h>
#include <glob.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <kv/admin.h>
#include <kv/index_entry.h>

#include "fs/core/find_hits.h"
#include "fs/core/fs_internal.h"
#include "tests/fs/fs_fixture.h"
#include "tests/lib/temp_dir.h"

enum { ROOT = KVFS_ROOT_INO, TEXT_SIZE = 1 << 16 };

#define TAG "user.tag"

static void open_indexed(struct fs_fixture *f)
{
    *f = (struct fs_fixture){.memory_bytes = 8 << 20, .index = TAG, .no_background = true};
    ck_ok(kv_storage_mem_create(&f->storage));
    fixture_open_again(f);
    ck_ok(kvfs_index_build(f->fs));
}

static void set_bytes(struct fs_fixture *f, uint64_t ino, struct kv_slice value)
{
    ck_ok(kvfs_setxattr(f->fs, ino, TAG, value, 0));
}

static void set(struct fs_fixture *f, uint64_t ino, const char *value)
{
    set_bytes(f, ino, kv_slice_str(value));
}

/* ---- what is found ----------------------------------------------------------------------------
 */

static bool add_hit(void *arg, struct kv_slice value, struct kv_slice path)
{
    char *text = arg;
    size_t size = strlen(text);
    snprintf(text + size, TEXT_SIZE - size, "%s%.*s=%.*s", size > 0 ? " " : "", (int)path.size,
             (const char *)path.data, value.size > 20 ? 20 : (int)value.size,
             value.size > 0 ? (const char *)value.data : "");
    return true;
}

static char found_text[TEXT_SIZE];

static int search(struct fs_fixture *f, const struct kvfs_find_options *options)
{
    found_text[0] = 0;
    return kvfs_find(f->fs, options, add_hit, found_text);
}

/* "PATH=VALUE PATH=VALUE" of all that have the value; reused by the next call. */
static const char *find(struct fs_fixture *f, const char *value)
{
    struct kvfs_find_options o = {.attribute = TAG, .value = kv_slice_str(value)};
    ck_ok(search(f, &o));
    return found_text;
}

static const char *find_prefix(struct fs_fixture *f, const char *prefix, uint64_t limit)
{
    struct kvfs_find_options o = {
        .attribute = TAG, .value = kv_slice_str(prefix), .by_prefix = true, .limit = limit};
    ck_ok(search(f, &o));
    return found_text;
}

START_TEST(files_of_a_value_come_in_the_order_of_their_paths)
{
    struct fs_fixture f;
    open_indexed(&f);
    uint64_t b = fixture_dir(&f, ROOT, "b");
    uint64_t in_b = fixture_file(&f, b, "file");
    uint64_t last = fixture_file(&f, ROOT, "c");
    uint64_t first = fixture_file(&f, ROOT, "a");
    uint64_t other = fixture_file(&f, ROOT, "b.x");
    set(&f, in_b, "red");
    set(&f, last, "red");
    set(&f, first, "red");
    set(&f, other, "reddish");
    set(&f, b, "red");
    set(&f, ROOT, "red");
    ck_assert_str_eq(find(&f, "red"), ".=red a=red b=red b/file=red c=red");
    ck_assert_str_eq(find(&f, "reddish"), "b.x=reddish");
    ck_assert_str_eq(find(&f, "re"), "");
    ck_assert_str_eq(find(&f, ""), "");
    fixture_close(&f);
}
END_TEST

START_TEST(values_come_in_the_order_of_their_bytes)
{
    struct fs_fixture f;
    open_indexed(&f);
    set(&f, fixture_file(&f, ROOT, "1"), "red");
    set(&f, fixture_file(&f, ROOT, "2"), "blue");
    set_bytes(&f, fixture_file(&f, ROOT, "3"), kv_slice("re\0", 3));
    set(&f, fixture_file(&f, ROOT, "4"), "");
    set(&f, fixture_file(&f, ROOT, "5"), "re");
    set(&f, fixture_file(&f, ROOT, "6"), "\xff");
    ck_assert_str_eq(find_prefix(&f, "", 0), "4= 2=blue 5=re 3=re 1=red 6=\xff");
    ck_assert_str_eq(find_prefix(&f, "re", 0), "5=re 3=re 1=red");
    ck_assert_str_eq(find_prefix(&f, "\xff", 0), "6=\xff");
    ck_assert_str_eq(find_prefix(&f, "", 3), "4= 2=blue 5=re");
    ck_assert_str_eq(find(&f, ""), "4=");
    ck_assert_str_eq(find(&f, "re"), "5=re");
    fixture_close(&f);
}
END_TEST

/* Longer than what an entry holds, and different only behind that. */
START_TEST(long_values_are_told_apart)
{
    enum { SIZE = 3000 };
    struct fs_fixture f;
    char values[3][SIZE];
    char *text = found_text;
    open_indexed(&f);
    for (int i = 0; i < 3; i++) {
        memset(values[i], 'x', SIZE);
        values[i][SIZE - 1] = (char)('c' - i);
        set_bytes(&f, fixture_file(&f, ROOT, (const char *[]){"f0", "f1", "f2"}[i]),
                  kv_slice(values[i], SIZE));
    }
    set_bytes(&f, fixture_file(&f, ROOT, "short"), kv_slice(values[0], 1024));
    struct kvfs_find_options o = {.attribute = TAG, .value = kv_slice(values[1], SIZE)};
    ck_ok(search(&f, &o));
    ck_assert_int_eq(strncmp(text, "f1=", 3), 0);
    ck_assert_ptr_null(strchr(text, ' '));
    o.value = kv_slice(values[1], 1024);
    ck_ok(search(&f, &o));
    ck_assert_int_eq(strncmp(text, "short=", 6), 0);
    ck_assert_ptr_null(strchr(text, ' '));
    o.by_prefix = true;
    ck_ok(search(&f, &o));
    ck_assert_str_eq(text, "short=xxxxxxxxxxxxxxxxxxxx f2=xxxxxxxxxxxxxxxxxxxx "
                           "f1=xxxxxxxxxxxxxxxxxxxx f0=xxxxxxxxxxxxxxxxxxxx");
    o.value = kv_slice(values[1], SIZE);
    ck_ok(search(&f, &o));
    ck_assert_int_eq(strncmp(text, "f1=", 3), 0);
    ck_assert_ptr_null(strchr(text, ' '));
    fixture_close(&f);
}
END_TEST

/* A hit of value and path, in which N says the order. */
static void add_number(struct find_hits *hits, unsigned n)
{
    char text[16];
    snprintf(text, sizeof text, "%06u", n);
    ck_ok(find_hits_add(hits, kv_slice(text, 3), kv_slice(text + 3, 3)));
}

START_TEST(hits_that_do_not_fit_come_in_further_passes)
{
    enum { HITS = 1000, STEP = 7919 };
    struct find_hits hits = {.bytes_max = 2000};
    unsigned given = 0;
    unsigned passes = 0;
    do {
        for (unsigned i = 0; i < HITS; i++) {
            add_number(&hits, i * STEP % HITS * 997);
        }
        ck_assert_uint_le(hits.bytes, hits.bytes_max);
        find_hits_sort(&hits);
        for (size_t i = 0; i < hits.count; i++, given++) {
            char text[16];
            snprintf(text, sizeof text, "%06u", given * 997);
            ck_assert(kv_slice_equal(find_hit_value(hits.hits[i]), kv_slice(text, 3)));
            ck_assert(kv_slice_equal(find_hit_path(hits.hits[i]), kv_slice(text + 3, 3)));
        }
        passes++;
    } while (find_hits_next_pass(&hits));
    ck_assert_uint_eq(given, HITS);
    ck_assert_uint_gt(passes, 5);
    find_hits_finish(&hits);
}
END_TEST

/* ---- as fresh as the last operation -----------------------------------------------------------
 */

START_TEST(each_operation_is_seen_by_the_next_search)
{
    struct fs_fixture f;
    struct kvfs_entry entry;
    open_indexed(&f);
    uint64_t dir = fixture_dir(&f, ROOT, "d");
    uint64_t a = fixture_file(&f, dir, "a");
    uint64_t b = fixture_file(&f, ROOT, "b");
    set(&f, a, "red");
    set(&f, b, "blue");
    ck_ok(kvfs_setxattr(f.fs, b, "user.other", kv_slice_str("red"), 0));
    ck_assert_str_eq(find(&f, "red"), "d/a=red");
    set(&f, a, "blue");
    ck_assert_str_eq(find(&f, "red"), "");
    ck_assert_str_eq(find(&f, "blue"), "b=blue d/a=blue");
    ck_ok(kvfs_removexattr(f.fs, b, TAG));
    ck_assert_str_eq(find(&f, "blue"), "d/a=blue");
    ck_fails(kvfs_setxattr(f.fs, a, TAG, kv_slice_str("x"), XATTR_CREATE), EEXIST);
    ck_fails(kvfs_setxattr(f.fs, b, TAG, kv_slice_str("x"), XATTR_REPLACE), ENODATA);
    ck_assert_str_eq(find_prefix(&f, "", 0), "d/a=blue");
    ck_ok(kvfs_rename(f.fs, ROOT, "d", ROOT, "e", 0));
    ck_assert_str_eq(find(&f, "blue"), "e/a=blue");
    ck_ok(kvfs_link(f.fs, a, ROOT, "z", &entry));
    kvfs_forget(f.fs, entry.ino, 1);
    ck_assert_str_eq(find(&f, "blue"), "e/a=blue z=blue");
    ck_ok(kvfs_unlink(f.fs, dir, "a"));
    ck_assert_str_eq(find(&f, "blue"), "z=blue");
    ck_ok(kvfs_unlink(f.fs, ROOT, "z"));
    ck_assert_str_eq(find(&f, "blue"), "");
    ck_assert_uint_eq(fixture_count_entries(f.fs), 0);
    fixture_close(&f);
}
END_TEST

START_TEST(replaced_and_exchanged_files_are_found_where_they_are)
{
    struct fs_fixture f;
    open_indexed(&f);
    set(&f, fixture_file(&f, ROOT, "a"), "red");
    set(&f, fixture_file(&f, ROOT, "b"), "blue");
    ck_ok(kvfs_rename(f.fs, ROOT, "a", ROOT, "b", RENAME_EXCHANGE));
    ck_assert_str_eq(find_prefix(&f, "", 0), "a=blue b=red");
    ck_ok(kvfs_rename(f.fs, ROOT, "a", ROOT, "b", 0));
    ck_assert_str_eq(find_prefix(&f, "", 0), "b=blue");
    ck_assert_uint_eq(fixture_count_entries(f.fs), 1);
    ck_ok(kvfs_key_put(f.fs, &fixture_who, kv_slice_str("b"), kv_slice_str("contents")));
    ck_assert_str_eq(find(&f, "blue"), "b=blue");
    ck_ok(kvfs_key_delete(f.fs, kv_slice_str("b")));
    ck_assert_uint_eq(fixture_count_entries(f.fs), 0);
    fixture_close(&f);
}
END_TEST

START_TEST(a_batch_of_keys_keeps_the_index)
{
    struct fs_fixture f;
    struct kvfs_batch *batch = NULL;
    open_indexed(&f);
    set(&f, fixture_file(&f, ROOT, "a"), "red");
    set(&f, fixture_file(&f, ROOT, "b"), "red");
    ck_ok(kvfs_batch_create(&batch));
    ck_ok(kvfs_batch_put(batch, kv_slice_str("b"), kv_slice_str("new")));
    ck_ok(kvfs_batch_delete(batch, kv_slice_str("a"), false));
    ck_ok(kvfs_batch_put(batch, kv_slice_str("a"), kv_slice_str("another file")));
    ck_ok(kvfs_batch_commit(f.fs, &fixture_who, batch));
    kvfs_batch_destroy(batch);
    ck_assert_str_eq(find(&f, "red"), "b=red");
    ck_assert_uint_eq(fixture_count_entries(f.fs), 1);
    fixture_close(&f);
}
END_TEST

START_TEST(unlinked_files_that_are_open_are_not_found)
{
    struct fs_fixture f;
    struct kvfs_file *file = NULL;
    struct kvfs_entry entry;
    open_indexed(&f);
    uint64_t a = fixture_file(&f, ROOT, "a");
    set(&f, a, "red");
    ck_ok(kvfs_file_open(f.fs, a, O_RDONLY, &file));
    ck_ok(kvfs_unlink(f.fs, ROOT, "a"));
    ck_assert_str_eq(find(&f, "red"), "");
    set(&f, a, "blue");
    ck_assert_str_eq(find_prefix(&f, "", 0), "");
    kvfs_file_close(file);
    ck_assert_uint_eq(fixture_count_entries(f.fs), 0);
    /* Without a name from the start, and named later. */
    struct kvfs_new what = {.who = fixture_who, .mode = 0600, .flags = O_RDWR};
    ck_ok(kvfs_create_unnamed(f.fs, ROOT, &what, &entry, &file));
    set(&f, entry.ino, "green");
    ck_assert_str_eq(find(&f, "green"), "");
    ck_ok(kvfs_link(f.fs, entry.ino, ROOT, "named", &entry));
    ck_assert_str_eq(find(&f, "green"), "named=green");
    kvfs_forget(f.fs, entry.ino, 2);
    kvfs_file_close(file);
    fixture_close(&f);
}
END_TEST

START_TEST(a_file_with_very_many_attributes_leaves_no_entry)
{
    struct fs_fixture f;
    char name[32];
    open_indexed(&f);
    uint64_t a = fixture_file(&f, ROOT, "a");
    for (int i = 0; i < TXN_DELETE_MAX * 2; i++) {
        snprintf(name, sizeof name, "user.%d", i);
        ck_ok(kvfs_setxattr(f.fs, a, name, kv_slice_str("x"), 0));
    }
    set(&f, a, "red");
    ck_ok(kvfs_unlink(f.fs, ROOT, "a"));
    ck_assert_uint_eq(fixture_count_entries(f.fs), 0);
    fixture_close(&f);
}
END_TEST

/* ---- the option -------------------------------------------------------------------------------
 */

static void reopen_with(struct fs_fixture *f, const char *index)
{
    f->index = index;
    fixture_reopen(f);
}

START_TEST(the_index_is_remembered_changed_and_dropped)
{
    struct fs_fixture f;
    struct kvfs_index_status status;
    struct kvfs_find_options other = {.attribute = "user.other", .by_prefix = true};
    open_indexed(&f);
    uint64_t a = fixture_file(&f, ROOT, "a");
    set(&f, a, "red");
    ck_ok(kvfs_setxattr(f.fs, a, "user.other", kv_slice_str("blue"), 0));
    reopen_with(&f, NULL);
    ck_assert_str_eq(find(&f, "red"), "a=red");
    ck_assert(kvfs_index_status(f.fs, &status));
    ck_assert_str_eq(status.attribute, TAG);
    ck_assert(status.built);
    ck_fails(search(&f, &other), EOPNOTSUPP);
    reopen_with(&f, "user.other");
    ck_fails(search(&f, &other), EINPROGRESS);
    ck_ok(kvfs_index_build(f.fs));
    ck_ok(search(&f, &other));
    ck_assert_str_eq(found_text, "a=blue");
    reopen_with(&f, "");
    ck_assert(!kvfs_index_status(f.fs, &status));
    ck_fails(search(&f, &other), EOPNOTSUPP);
    ck_assert_uint_eq(fixture_count_entries(f.fs), 0);
    ck_ok(kvfs_setxattr(f.fs, a, "user.other", kv_slice_str("green"), 0));
    reopen_with(&f, NULL);
    ck_assert(!kvfs_index_status(f.fs, &status));
    fixture_close(&f);
}
END_TEST

START_TEST(only_attributes_of_users_are_indexed)
{
    static const char *const bad[] = {"tag", "user.", "trusted.a", "security.capability",
                                      "user.a=b"};
    struct fs_fixture f;
    struct kvfs *fs = NULL;
    char name[KVFS_XATTR_NAME_SIZE_MAX + 2];
    fixture_open(&f);
    ck_ok(kvfs_close(f.fs));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct kvfs_options options = {.index = bad[i]};
        ck_fails(kvfs_open_storage(f.storage, &options, &fs), EINVAL);
    }
    memset(name, 'n', sizeof name);
    memcpy(name, "user.", 5);
    name[sizeof name - 1] = '\0';
    ck_assert(!kvfs_index_name_is_valid(name));
    name[KVFS_XATTR_NAME_SIZE_MAX] = '\0';
    f.index = name;
    f.no_background = true;
    fixture_open_again(&f);
    uint64_t a = fixture_file(&f, ROOT, "a");
    ck_ok(kvfs_setxattr(f.fs, a, name, kv_slice_str("x"), 0));
    ck_ok(kvfs_index_build(f.fs));
    struct kvfs_find_options o = {.attribute = name, .value = kv_slice_str("x")};
    ck_ok(search(&f, &o));
    ck_assert_str_eq(found_text, "a=x");
    fixture_close(&f);
}
END_TEST

START_TEST(a_read_only_opening_reads_the_index_and_makes_none)
{
    struct fs_fixture f;
    struct kvfs *fs = NULL;
    open_indexed(&f);
    set(&f, fixture_file(&f, ROOT, "a"), "red");
    f.read_only = true;
    reopen_with(&f, NULL);
    ck_assert_str_eq(find(&f, "red"), "a=red");
    reopen_with(&f, TAG);
    ck_assert_str_eq(find(&f, "red"), "a=red");
    ck_ok(kvfs_close(f.fs));
    struct kvfs_options options = {.index = "user.other", .read_only = true};
    ck_fails(kvfs_open_storage(f.storage, &options, &fs), EROFS);
    f.read_only = false;
    fixture_open_again(&f);
    fixture_close(&f);
}
END_TEST

/* ---- building ---------------------------------------------------------------------------------
 */

START_TEST(files_that_were_there_are_indexed_in_the_background)
{
    enum { FILES = 1000 };
    struct fs_fixture f;
    struct kvfs_index_status status;
    char name[16];
    fixture_open(&f);
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "%04d", i);
        uint64_t ino = fixture_file(&f, ROOT, name);
        set(&f, ino, i % 2 == 0 ? "even" : "odd");
        ck_ok(kvfs_setxattr(f.fs, ino, "user.zz", kv_slice_str("x"), 0));
    }
    reopen_with(&f, TAG);
    /* Whether it is done already or not: what is written now is in it. */
    for (int i = 0; i < FILES; i += 10) {
        struct kvfs_entry entry;
        snprintf(name, sizeof name, "%04d", FILES - 10 - i);
        ck_ok(kvfs_lookup(f.fs, ROOT, name, &entry));
        set(&f, entry.ino, "ten");
        kvfs_forget(f.fs, entry.ino, 1);
    }
    uint64_t waited_ms = 0;
    while (kvfs_index_status(f.fs, &status) && !status.built && waited_ms < test_patience_ms()) {
        usleep(10 * 1000);
        waited_ms += 10;
    }
    ck_assert(status.built);
    ck_assert_uint_eq(status.percent, 100);
    ck_assert_uint_eq(fixture_count_entries(f.fs), FILES);
    const char *text = find(&f, "ten");
    ck_assert_int_eq(strncmp(text, "0000=ten 0010=ten 0020=ten ", 27), 0);
    text = find(&f, "even");
    ck_assert_int_eq(strncmp(text, "0002=even 0004=even ", 20), 0);
    fixture_close(&f);
}
END_TEST

/* ---- damage -----------------------------------------------------------------------------------
 */

static void make_lost(struct fs_fixture *f, const char *table, struct kv_slice key)
{
    struct kv_batch *batch = NULL;
    ck_ok(kv_batch_create(&batch));
    ck_ok(kv_batch_put_lost(batch, fixture_table(f, table), key));
    ck_ok(kv_write(kvfs_store(f->fs), batch, KV_DURABLE_WRITE));
    kv_batch_destroy(batch);
}

static void lose_row(struct fs_fixture *f, uint64_t ino)
{
    struct rowkey key;
    rowkey_xattr(&key, ino, kv_slice_str(TAG));
    make_lost(f, "meta", rowkey_slice(&key));
}

START_TEST(a_damaged_attribute_can_be_replaced_removed_and_unlinked)
{
    struct fs_fixture f;
    open_indexed(&f);
    uint64_t inos[3];
    for (int i = 0; i < 3; i++) {
        inos[i] = fixture_file(&f, ROOT, (const char *[]){"a", "b", "c"}[i]);
        set(&f, inos[i], "red");
        lose_row(&f, inos[i]);
    }
    set(&f, fixture_file(&f, ROOT, "d"), "red");
    set(&f, inos[0], "blue");
    ck_ok(kvfs_removexattr(f.fs, inos[1], TAG));
    ck_ok(kvfs_unlink(f.fs, ROOT, "c"));
    ck_assert_str_eq(find_prefix(&f, "", 0), "a=blue d=red");
    ck_assert_uint_eq(fixture_count_entries(f.fs), 2);
    fixture_close(&f);
}
END_TEST

static void open_in(const struct temp_dir *dir, struct fs_fixture *f)
{
    *f = (struct fs_fixture){.memory_bytes = 8 << 20, .index = TAG, .no_background = true};
    ck_ok(kv_storage_posix_open(dir->path, true, &f->storage));
    fixture_open_again(f);
    ck_ok(kvfs_index_build(f->fs));
}

/* Changes the first byte of `text` in each table that has it. Returns in how many. */
static unsigned damage_tables_with(const struct temp_dir *dir, const char *text)
{
    static char bytes[1 << 20];
    char pattern[512];
    glob_t tables;
    unsigned count = 0;
    ck_assert_int_eq(glob(temp_dir_name(dir, "*.table", pattern), 0, NULL, &tables), 0);
    for (size_t i = 0; i < tables.gl_pathc; i++) {
        int fd = open(tables.gl_pathv[i], O_RDWR | O_CLOEXEC);
        ssize_t size = read(fd, bytes, sizeof bytes);
        ck_assert_int_gt(size, 0);
        char *at = memmem(bytes, (size_t)size, text, strlen(text));
        if (at != NULL) {
            count++;
            ck_assert_int_eq(pwrite(fd, "?", 1, at - bytes), 1);
        }
        close(fd);
    }
    globfree(&tables);
    return count;
}

START_TEST(a_file_can_be_removed_though_its_attribute_and_the_index_are_damaged)
{
    enum { FILES = 100, VALUE_BYTES = 900 };
    struct temp_dir dir;
    struct fs_fixture f;
    temp_dir_make(&dir);
    open_in(&dir, &f);
    uint64_t a = fixture_file(&f, ROOT, "a");
    set(&f, a, "tangerine");
    for (int i = 0; i < FILES; i++) { /* so that other blocks of the index are sound */
        char name[8], value[VALUE_BYTES + 1];
        snprintf(name, sizeof name, "b%d", i);
        memset(value, 'r', VALUE_BYTES);
        value[VALUE_BYTES] = '\0';
        set(&f, fixture_file(&f, ROOT, name), value);
    }
    ck_ok(kv_flush(kvfs_store(f.fs)));
    lose_row(&f, a);
    ck_ok(kv_compact(kvfs_store(f.fs))); /* so that only the entry still has the value */
    ck_ok(kvfs_close(f.fs));
    ck_assert_uint_eq(damage_tables_with(&dir, "tangerine"), 1);
    open_in(&dir, &f);
    ck_fails(kvfs_removexattr(f.fs, a, TAG), EIO);
    ck_fails(kvfs_setxattr(f.fs, a, TAG, kv_slice_str("blue"), 0), EIO);
    ck_ok(kvfs_unlink(f.fs, ROOT, "a"));
    ck_ok(kvfs_unlink(f.fs, ROOT, "b1"));
    ck_assert_ptr_null(strchr(fixture_list(&f, ROOT), 'a'));
    struct kvfs_find_options o = {.attribute = TAG, .by_prefix = true};
    ck_fails(search(&f, &o), EIO); /* not a result without what cannot be read */
    ck_ok(kvfs_close(f.fs));
    temp_dir_remove(&dir);
}
END_TEST

START_TEST(a_lost_back_pointer_costs_its_own_path_only)
{
    struct fs_fixture f;
    struct rowkey key;
    struct kv_buf row = {0};
    open_indexed(&f);
    uint64_t dir = fixture_dir(&f, ROOT, "d");
    uint64_t a = fixture_file(&f, ROOT, "a");
    set(&f, a, "red");
    set(&f, fixture_file(&f, dir, "b"), "red");
    set(&f, fixture_file(&f, ROOT, "c"), "red");
    struct kvfs_find_options o = {.attribute = TAG, .value = kv_slice_str("red")};
    for (int i = 0; i < 2; i++) {
        rowkey_backptr(&key, i == 0 ? a : dir);
        struct kv_table *meta = fixture_table(&f, "meta");
        ck_ok(kv_get_copy(meta, NULL, rowkey_slice(&key), &row));
        ck_ok(kv_delete(meta, rowkey_slice(&key), KV_DURABLE_WRITE));
        ck_fails(search(&f, &o), KV_EDAMAGED);
        ck_assert_str_eq(found_text, i == 0 ? "c=red d/b=red" : "a=red c=red");
        ck_assert_uint_eq(f.damage_messages, 1 + (unsigned)i);
        ck_ok(kv_put(meta, rowkey_slice(&key), kv_buf_slice(&row), KV_DURABLE_WRITE));
    }
    kv_buf_finish(&row);
    fixture_close(&f);
}
END_TEST

static void note_code(void *arg, int code, const char *text)
{
    int *last = arg;
    ck_assert_ptr_nonnull(strstr(text, TAG));
    *last = code;
}

static int check_code(struct fs_fixture *f)
{
    struct kvfs_check_counts counts;
    int code = 0;
    ck_ok(kvfs_check(f->fs, note_code, &code, &counts));
    ck_assert_uint_eq(counts.faults, code != 0);
    return code;
}

START_TEST(the_check_tells_what_the_index_lacks_and_has_too_much)
{
    struct fs_fixture f;
    struct kv_buf entry = {0};
    open_indexed(&f);
    uint64_t a = fixture_file(&f, ROOT, "a");
    set(&f, a, "red");
    set(&f, fixture_file(&f, ROOT, "b"), "red");
    struct kv_table *index = fixture_table(&f, FORMAT_TABLE_INDEX);
    ck_assert_int_eq(check_code(&f), 0);
    ck_ok(attr_index_entry(kv_slice_str("blue"), a, &entry));
    ck_ok(kv_put(index, kv_buf_slice(&entry), kv_slice(NULL, 0), KV_DURABLE_WRITE));
    ck_assert_int_eq(check_code(&f), KV_PROBLEM_FS_INDEX_SURPLUS);
    ck_ok(attr_index_reset(f.fs));
    ck_ok(kvfs_index_build(f.fs));
    ck_assert_int_eq(check_code(&f), 0);
    ck_ok(attr_index_entry(kv_slice_str("red"), a, &entry));
    ck_ok(kv_delete(index, kv_buf_slice(&entry), KV_DURABLE_WRITE));
    ck_assert_int_eq(check_code(&f), KV_PROBLEM_FS_INDEX_MISSING);
    ck_ok(attr_index_reset(f.fs));
    ck_ok(kvfs_index_build(f.fs));
    ck_assert_int_eq(check_code(&f), 0);
    ck_ok(kv_put(index, kv_index_state_key(), kv_slice_str("?"), KV_DURABLE_WRITE));
    ck_assert_int_eq(check_code(&f), KV_PROBLEM_FS_INDEX_UNREADABLE);
    fixture_reopen(&f); /* which begins it anew */
    ck_ok(kvfs_index_build(f.fs));
    ck_assert_int_eq(check_code(&f), 0);
    ck_assert_str_eq(find(&f, "red"), "a=red b=red");
    kv_buf_finish(&entry);
    fixture_close(&f);
}
END_TEST

/* ---- on disk ----------------------------------------------------------------------------------
 */

START_TEST(the_rows_are_those_that_the_format_names)
{
    static const uint8_t entry[] = {1, 'r', 0, 0xff, 0, 1, 0, 0, 0, 0, 0, 0, 0, 16};
    static const uint8_t state[] = {1, 0, 0, 0, 0, 0, 0, 0, 1};
    struct fs_fixture f;
    struct kv_buf value = {0};
    struct rowkey key;
    open_indexed(&f);
    uint64_t a = fixture_file(&f, ROOT, "a");
    ck_assert_uint_eq(a, 16);
    set_bytes(&f, a, kv_slice("r\0", 2));
    struct kv_table *meta = fixture_table(&f, "meta");
    struct kv_table *index = fixture_table(&f, "index:meta:xattr");
    ck_ok(kv_get_copy(index, NULL, kv_slice(entry, sizeof entry), &value));
    ck_assert_uint_eq(value.size, 0);
    ck_ok(kv_get_copy(index, NULL, kv_slice("\0", 1), &value));
    ck_assert(kv_slice_equal(kv_buf_slice(&value), kv_slice(state, sizeof state)));
    rowkey_fact(&key, "index");
    ck_ok(kv_get_copy(meta, NULL, rowkey_slice(&key), &value));
    ck_assert(kv_slice_equal(kv_buf_slice(&value), kv_slice_str(TAG)));
    rowkey_fact(&key, "schema");
    ck_ok(kv_get_copy(meta, NULL, rowkey_slice(&key), &value));
    ck_assert(kv_slice_equal(kv_buf_slice(&value), kv_slice("\2\0\0\0", 4)));
    reopen_with(&f, "");
    meta = fixture_table(&f, "meta");
    ck_ok(kv_get_copy(meta, NULL, rowkey_slice(&key), &value));
    ck_assert(kv_slice_equal(kv_buf_slice(&value), kv_slice("\1\0\0\0", 4)));
    kv_buf_finish(&value);
    fixture_close(&f);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("fs_index");
    suite_add(suite, "paths", files_of_a_value_come_in_the_order_of_their_paths);
    suite_add(suite, "values", values_come_in_the_order_of_their_bytes);
    suite_add(suite, "long values", long_values_are_told_apart);
    suite_add(suite, "passes", hits_that_do_not_fit_come_in_further_passes);
    suite_add(suite, "operations", each_operation_is_seen_by_the_next_search);
    suite_add(suite, "rename", replaced_and_exchanged_files_are_found_where_they_are);
    suite_add(suite, "batch", a_batch_of_keys_keeps_the_index);
    suite_add(suite, "orphans", unlinked_files_that_are_open_are_not_found);
    suite_add(suite, "many", a_file_with_very_many_attributes_leaves_no_entry);
    suite_add(suite, "option", the_index_is_remembered_changed_and_dropped);
    suite_add(suite, "names", only_attributes_of_users_are_indexed);
    suite_add(suite, "read-only", a_read_only_opening_reads_the_index_and_makes_none);
    suite_add(suite, "building", files_that_were_there_are_indexed_in_the_background);
    suite_add(suite, "damaged rows", a_damaged_attribute_can_be_replaced_removed_and_unlinked);
    suite_add(suite, "damaged index",
              a_file_can_be_removed_though_its_attribute_and_the_index_are_damaged);
    suite_add(suite, "lost names", a_lost_back_pointer_costs_its_own_path_only);
    suite_add(suite, "check", the_check_tells_what_the_index_lacks_and_has_too_much);
    suite_add(suite, "format", the_rows_are_those_that_the_format_names);
    return suite;
}
