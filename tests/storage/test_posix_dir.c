/* SPDX-License-Identifier: Apache-2.0 */
/* What storage_posix leaves in the directory, and what it accepts there. */
#include "tests/storage/posix_rig.h"

#include "kvcore/storage/posix_names.h"

START_TEST(files_have_the_names_of_the_format)
{
    struct temp_dir dir;
    struct kv_log *log = NULL;

    temp_dir_make(&dir);
    struct kv_storage *storage = rig_open(&dir);
    ck_ok(rig_swap(storage, 0, "root"));
    for (int kind = KV_FILE_LOG; kind <= KV_FILE_MANIFEST; kind++) {
        struct kv_file_id id = {(enum kv_file_kind)kind, 123456789};
        ck_ok(storage->ops->log_create(storage, id, 0, 0, &log));
        storage->ops->log_close(log);
    }
    ck_ok(rig_make_object(storage, (struct kv_file_id){KV_FILE_TABLE, 42}, "table"));
    ck_ok(rig_make_object(storage, (struct kv_file_id){KV_FILE_BLOB, UINT64_MAX}, "blob"));
    ck_assert(rig_exists(&dir, "ROOT"));
    ck_assert(rig_exists(&dir, "LOCK"));
    ck_assert(rig_exists(&dir, "123456789.log"));
    ck_assert(rig_exists(&dir, "123456789.manifest"));
    ck_assert(rig_exists(&dir, "00000042.table"));
    ck_assert(rig_exists(&dir, "18446744073709551615.blob"));
    ck_assert(!rig_exists(&dir, "00000042.table.tmp"));
    ck_assert(!rig_exists(&dir, "ROOT.tmp"));
    ck_assert_uint_eq(rig_stat(&dir, "ROOT").st_size, 8192);
    ck_assert_uint_eq(rig_stat(&dir, "LOCK").st_size, 256);
    rig_close(storage);
    temp_dir_remove(&dir);
}
END_TEST

START_TEST(a_file_has_one_name_and_other_spellings_are_foreign)
{
    struct kv_file_id id = {0};
    static const char *const foreign[] = {"1.log",
                                          "000000001.log",
                                          "00000001.log.tmp2",
                                          "00000001.LOG",
                                          "+0000001.log",
                                          "00000001",
                                          "0000000a.log",
                                          "18446744073709551616.log",
                                          "99999999999999999999999999999999999999999999999999.log",
                                          "root",
                                          "ROOT2",
                                          "",
                                          "lost+found"};
    ck_assert_int_eq(posix_name_parse("00000001.log", &id), POSIX_NAME_FILE);
    ck_assert(id.kind == KV_FILE_LOG && id.number == 1);
    ck_assert_int_eq(posix_name_parse("123456789012.blob", &id), POSIX_NAME_FILE);
    ck_assert(id.kind == KV_FILE_BLOB && id.number == 123456789012);
    ck_assert_int_eq(posix_name_parse("00000001.table.tmp", &id), POSIX_NAME_LEFTOVER);
    ck_assert_int_eq(posix_name_parse("ROOT.tmp", &id), POSIX_NAME_LEFTOVER);
    ck_assert_int_eq(posix_name_parse("control", &id), POSIX_NAME_FIXED);
    ck_assert_int_eq(posix_name_parse("lost+found.d", &id), POSIX_NAME_FIXED);
    ck_assert_int_eq(posix_name_parse("RESERVE", &id), POSIX_NAME_FIXED);
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
        ck_assert_msg(posix_name_parse(foreign[i], &id) == POSIX_NAME_FOREIGN, "%s", foreign[i]);
    }
}
END_TEST

START_TEST(the_directory_is_0700_and_the_files_are_0600)
{
    struct temp_dir dir;
    struct temp_dir inner;
    char path[512];
    struct kv_log *log = NULL;

    temp_dir_make(&dir);
    snprintf(inner.path, sizeof inner.path, "%.200s/store", dir.path);
    mode_t before = umask(0);
    struct kv_storage *storage = rig_open(&inner);
    ck_ok(rig_swap(storage, 0, "root"));
    ck_ok(rig_make_object(storage, rig_table, "table"));
    ck_ok(storage->ops->log_create(storage, rig_log, 0, 0, &log));
    storage->ops->log_close(log);
    rig_close(storage);
    umask(before);
    ck_assert_uint_eq(rig_stat(&dir, "store").st_mode & 07777, 0700);
    ck_assert_uint_eq(rig_stat(&inner, "ROOT").st_mode & 07777, 0600);
    ck_assert_uint_eq(rig_stat(&inner, "LOCK").st_mode & 07777, 0600);
    ck_assert_uint_eq(rig_stat(&inner, "00000001.log").st_mode & 07777, 0600);
    ck_assert_uint_eq(rig_stat(&inner, "00000001.table").st_mode & 07777, 0600);
    /* An empty directory that others can look into is closed to them. */
    temp_dir_name(&dir, "open", path);
    ck_assert_int_eq(mkdir(path, 0755), 0);
    ck_ok(kv_storage_posix_open(path, true, &storage));
    rig_close(storage);
    ck_assert_uint_eq(rig_stat(&dir, "open").st_mode & 07777, 0700);
    temp_dir_remove(&dir);
}
END_TEST

START_TEST(a_store_is_made_only_where_nothing_else_is)
{
    struct temp_dir dir;
    char path[512];
    struct kv_storage *storage = NULL;

    temp_dir_make(&dir);
    ck_fails(kv_storage_posix_open(temp_dir_name(&dir, "none", path), false, &storage), ENOENT);
    ck_fails(kv_storage_posix_open(temp_dir_name(&dir, "none/deep", path), true, &storage), ENOENT);
    rig_write_raw(&dir, "letter.txt", 0, kv_slice_str("dear"));
    ck_fails(kv_storage_posix_open(dir.path, true, &storage), ENOTEMPTY);
    ck_fails(kv_storage_posix_open(temp_dir_name(&dir, "letter.txt", path), true, &storage),
             ENOTDIR);
    ck_fails(kv_storage_posix_open(temp_dir_name(&dir, "letter.txt", path), false, &storage),
             ENOTDIR);
    ck_assert_int_eq(unlink(temp_dir_name(&dir, "letter.txt", path)), 0);
    storage = rig_open(&dir);
    ck_ok(rig_swap(storage, 0, "root"));
    rig_close(storage);
    /* A store is accepted again: `create` means "if it is missing". */
    storage = rig_open(&dir);
    rig_expect_root(storage, "root", 1);
    rig_close(storage);
    temp_dir_remove(&dir);
}
END_TEST

START_TEST(a_symbolic_link_in_the_store_is_not_followed)
{
    struct temp_dir dir;
    struct temp_dir outside;
    char path[512];
    char target[512];
    struct kv_object *object = NULL;
    struct kv_log *log = NULL;
    struct kv_buf bytes = {0};
    uint64_t version = 0;
    unsigned count = 0;

    temp_dir_make(&dir);
    temp_dir_make(&outside);
    rig_write_raw(&outside, "secret", 0, kv_slice_str("secret"));
    temp_dir_name(&outside, "secret", target);
    struct kv_storage *storage = rig_open(&dir);
    ck_assert_int_eq(symlink(target, temp_dir_name(&dir, "00000001.table", path)), 0);
    ck_assert_int_eq(symlink(target, temp_dir_name(&dir, "00000001.log", path)), 0);
    ck_assert_int_eq(symlink(target, temp_dir_name(&dir, "00000002.table.tmp", path)), 0);
    ck_assert_int_eq(symlink(target, temp_dir_name(&dir, "ROOT", path)), 0);
    ck_fails(storage->ops->object_open(storage, rig_table, &object), ELOOP);
    ck_fails(storage->ops->log_open(storage, rig_log, &log), ELOOP);
    ck_fails(storage->ops->log_create(storage, rig_log, 0, 0, &log), EEXIST);
    ck_fails(storage->ops->log_create(storage, (struct kv_file_id){KV_FILE_LOG, 2}, 1, 0, &log),
             ELOOP);
    ck_fails(rig_make_object(storage, (struct kv_file_id){KV_FILE_TABLE, 2}, "x"), EEXIST);
    ck_fails(storage->ops->root_read(storage, &bytes, &version), ELOOP);
    ck_fails(rig_swap(storage, 0, "x"), ELOOP);
    /* The list tells them all the same: a link is no reason to believe a log had never been. */
    ck_ok(storage->ops->list(storage, rig_count_file, &count));
    ck_assert_uint_eq(count, 2);
    ck_assert(!rig_exists(&dir, "00000002.table.tmp"));
    rig_close(storage);
    ck_assert_uint_eq(rig_stat(&outside, "secret").st_size, 6);
    temp_dir_remove(&dir);
    temp_dir_remove(&outside);
}
END_TEST

START_TEST(what_is_not_a_regular_file_of_ours_is_refused)
{
    struct temp_dir dir;
    char path[512];
    struct kv_object *object = NULL;
    struct kv_log *log = NULL;

    temp_dir_make(&dir);
    struct kv_storage *storage = rig_open(&dir);
    ck_assert_int_eq(mkdir(temp_dir_name(&dir, "00000001.table", path), 0700), 0);
    ck_assert_int_eq(mkfifo(temp_dir_name(&dir, "00000001.log", path), 0600), 0);
    ck_fails(storage->ops->object_open(storage, rig_table, &object), KV_EDAMAGED);
    ck_fails(storage->ops->log_open(storage, rig_log, &log), KV_EDAMAGED);
    if (geteuid() == 0) {
        rig_write_raw(&dir, "00000002.table", 0, kv_slice_str("from elsewhere"));
        ck_assert_int_eq(chown(temp_dir_name(&dir, "00000002.table", path), 12345, 12345), 0);
        struct kv_file_id id = {KV_FILE_TABLE, 2};
        ck_fails(storage->ops->object_open(storage, id, &object), KV_EDAMAGED);
    }
    rig_close(storage);
    temp_dir_remove(&dir);
}
END_TEST

START_TEST(leftovers_are_removed_by_the_list_of_an_exclusive_holder_only)
{
    struct temp_dir dir;
    unsigned count = 0;
    struct kv_storage *reader = NULL;

    temp_dir_make(&dir);
    struct kv_storage *storage = rig_open(&dir);
    ck_ok(rig_swap(storage, 0, "root"));
    ck_ok(rig_make_object(storage, rig_table, "table"));
    rig_close(storage);
    rig_write_raw(&dir, "00000009.table.tmp", 0, kv_slice_str("half"));
    rig_write_raw(&dir, "ROOT.tmp", 0, kv_slice_str("half"));
    rig_write_raw(&dir, "unknown", 0, kv_slice_str("of somebody"));

    ck_ok(kv_storage_posix_open(dir.path, false, &reader));
    ck_ok(reader->ops->lease_acquire(reader, KV_LEASE_SHARED, "a reader"));
    ck_ok(reader->ops->list(reader, rig_count_file, &count));
    ck_assert_uint_eq(count, 1);
    rig_close(reader);
    ck_assert(rig_exists(&dir, "00000009.table.tmp"));

    ck_ok(kv_storage_posix_open(dir.path, false, &storage));
    ck_ok(storage->ops->lease_acquire(storage, KV_LEASE_EXCLUSIVE, "a writer"));
    ck_ok(storage->ops->list(storage, rig_count_file, &count));
    ck_assert_uint_eq(count, 2);
    rig_close(storage);
    ck_assert(!rig_exists(&dir, "00000009.table.tmp"));
    ck_assert(!rig_exists(&dir, "ROOT.tmp"));
    ck_assert(rig_exists(&dir, "00000001.table"));
    ck_assert(rig_exists(&dir, "unknown"));
    temp_dir_remove(&dir);
}
END_TEST

START_TEST(a_preallocated_log_has_its_size_and_a_recycled_one_keeps_it)
{
    struct temp_dir dir;
    struct kv_log *log = NULL;

    temp_dir_make(&dir);
    struct kv_storage *storage = rig_open(&dir);
    ck_ok(storage->ops->log_create(storage, rig_log, 0, 1 << 20, &log));
    ck_ok(rig_append(storage, log, "text"));
    storage->ops->log_close(log);
    struct stat before = rig_stat(&dir, "00000001.log");
    ck_assert_uint_eq(before.st_size, 1 << 20);
    struct kv_file_id second = {KV_FILE_LOG, 2};
    ck_ok(storage->ops->log_create(storage, second, 1, 1 << 20, &log));
    storage->ops->log_close(log);
    struct stat after = rig_stat(&dir, "00000002.log");
    ck_assert_uint_eq(after.st_ino, before.st_ino);
    ck_assert_uint_eq(after.st_size, before.st_size);
    ck_assert(!rig_exists(&dir, "00000001.log"));
    /* Nothing of that number: a new one is made. */
    ck_ok(storage->ops->log_create(storage, rig_log, 77, 0, &log));
    storage->ops->log_close(log);
    ck_assert_uint_eq(rig_stat(&dir, "00000001.log").st_size, 0);
    rig_close(storage);
    temp_dir_remove(&dir);
}
END_TEST

START_TEST(the_descriptor_of_an_object_serves_its_bytes)
{
    struct temp_dir dir;
    struct kv_object *object = NULL;
    char bytes[4];

    temp_dir_make(&dir);
    struct kv_storage *storage = rig_open(&dir);
    ck_ok(rig_make_object(storage, rig_table, "0123456789"));
    ck_ok(storage->ops->object_open(storage, rig_table, &object));
    int fd = storage->ops->object_descriptor(object);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pread(fd, bytes, 4, 3), 4);
    ck_assert_mem_eq(bytes, "3456", 4);
    storage->ops->object_close(object);
    rig_close(storage);
    temp_dir_remove(&dir);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("posix_dir");
    suite_add(s, "names", files_have_the_names_of_the_format);
    suite_add(s, "names", a_file_has_one_name_and_other_spellings_are_foreign);
    suite_add(s, "modes", the_directory_is_0700_and_the_files_are_0600);
    suite_add(s, "create", a_store_is_made_only_where_nothing_else_is);
    suite_add(s, "foreign", a_symbolic_link_in_the_store_is_not_followed);
    suite_add(s, "foreign", what_is_not_a_regular_file_of_ours_is_refused);
    suite_add(s, "leftovers", leftovers_are_removed_by_the_list_of_an_exclusive_holder_only);
    suite_add(s, "log", a_preallocated_log_has_its_size_and_a_recycled_one_keeps_it);
    suite_add(s, "object", the_descriptor_of_an_object_serves_its_bytes);
    return s;
}
