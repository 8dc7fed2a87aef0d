/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/storage/posix_rig.h"

#include <signal.h>
#include <sys/wait.h>

#include "kvcore/storage/posix_calls.h"

static struct kv_storage *open_only(const struct temp_dir *dir)
{
    struct kv_storage *storage = NULL;
    ck_ok(kv_storage_posix_open(dir->path, false, &storage));
    return storage;
}

static int acquire(struct kv_storage *storage, enum kv_lease_mode mode)
{
    return storage->ops->lease_acquire(storage, mode, "process 1, mounted on /mnt");
}

/* A store that nobody holds. */
static void make_store(struct temp_dir *dir)
{
    temp_dir_make(dir);
    struct kv_storage *storage = rig_open(dir);
    ck_ok(rig_swap(storage, 0, "root"));
    rig_close(storage);
}

static void expect_holder(struct kv_storage *storage, const char *text)
{
    struct kv_buf holder = {0};
    ck_ok(storage->ops->lease_holder(storage, &holder));
    ck_assert_msg(kv_slice_equal(kv_buf_slice(&holder), kv_slice_str(text)), "the holder is '%.*s'",
                  (int)holder.size, (const char *)holder.data);
    kv_buf_finish(&holder);
}

static void expect_no_holder(struct kv_storage *storage)
{
    struct kv_buf holder = {0};
    ck_fails(storage->ops->lease_holder(storage, &holder), ENOENT);
}

START_TEST(a_writer_excludes_writers_and_readers_until_it_closes)
{
    struct temp_dir dir;
    make_store(&dir);
    struct kv_storage *writer = open_only(&dir);
    struct kv_storage *other = open_only(&dir);
    ck_ok(acquire(writer, KV_LEASE_EXCLUSIVE));
    ck_fails(acquire(other, KV_LEASE_EXCLUSIVE), EBUSY);
    ck_fails(acquire(other, KV_LEASE_SHARED), EBUSY);
    expect_holder(other, "process 1, mounted on /mnt");
    rig_close(writer);
    expect_no_holder(other);
    ck_ok(acquire(other, KV_LEASE_EXCLUSIVE));
    rig_close(other);
    temp_dir_remove(&dir);
}
END_TEST

START_TEST(readers_share_and_exclude_a_writer)
{
    struct temp_dir dir;
    make_store(&dir);
    struct kv_storage *one = open_only(&dir);
    struct kv_storage *two = open_only(&dir);
    struct kv_storage *writer = open_only(&dir);
    ck_ok(acquire(one, KV_LEASE_SHARED));
    ck_ok(acquire(two, KV_LEASE_SHARED));
    ck_fails(acquire(writer, KV_LEASE_EXCLUSIVE), EBUSY);
    expect_no_holder(writer);
    rig_close(one);
    ck_fails(acquire(writer, KV_LEASE_EXCLUSIVE), EBUSY);
    rig_close(two);
    ck_ok(acquire(writer, KV_LEASE_EXCLUSIVE));
    rig_close(writer);
    temp_dir_remove(&dir);
}
END_TEST

/* The child holds the lease until the parent closes the pipe, or kills it. */
static pid_t start_holder(const struct temp_dir *dir, int *ret_pipe)
{
    int to_child[2];
    int from_child[2];
    char byte = 0;
    ck_assert_int_eq(pipe(to_child), 0);
    ck_assert_int_eq(pipe(from_child), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        struct kv_storage *storage = NULL;
        close(to_child[1]);
        if (kv_storage_posix_open(dir->path, false, &storage) < 0 ||
            acquire(storage, KV_LEASE_EXCLUSIVE) < 0 || write(from_child[1], &byte, 1) != 1) {
            _exit(1);
        }
        _exit(read(to_child[0], &byte, 1) == 0 ? 0 : 1);
    }
    close(to_child[0]);
    close(from_child[1]);
    ck_assert_int_eq(read(from_child[0], &byte, 1), 1);
    close(from_child[0]);
    *ret_pipe = to_child[1];
    return pid;
}

START_TEST(another_process_excludes_us_and_its_death_frees_the_store)
{
    struct temp_dir dir;
    int to_child;
    int status;
    make_store(&dir);
    struct kv_storage *storage = open_only(&dir);
    pid_t pid = start_holder(&dir, &to_child);
    ck_fails(acquire(storage, KV_LEASE_EXCLUSIVE), EBUSY);
    ck_fails(acquire(storage, KV_LEASE_SHARED), EBUSY);
    expect_holder(storage, "process 1, mounted on /mnt");
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status));
    close(to_child);
    expect_no_holder(storage);
    ck_ok(acquire(storage, KV_LEASE_EXCLUSIVE));
    rig_close(storage);
    temp_dir_remove(&dir);
}
END_TEST

/* A daemon that opened the store and then forked into the background. */
START_TEST(a_lease_lasts_in_a_forked_child_after_the_parent_closed_it)
{
    struct temp_dir dir;
    int to_child[2];
    int status;
    char byte;
    make_store(&dir);
    struct kv_storage *storage = open_only(&dir);
    struct kv_storage *other = open_only(&dir);
    ck_ok(acquire(storage, KV_LEASE_EXCLUSIVE));
    ck_assert_int_eq(pipe(to_child), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        close(to_child[1]);
        _exit(read(to_child[0], &byte, 1) == 0 ? 0 : 1);
    }
    close(to_child[0]);
    rig_close(storage);
    ck_fails(acquire(other, KV_LEASE_EXCLUSIVE), EBUSY);
    close(to_child[1]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_ok(acquire(other, KV_LEASE_EXCLUSIVE));
    rig_close(other);
    temp_dir_remove(&dir);
}
END_TEST

START_TEST(the_line_of_the_holder_is_one_line_of_bounded_size)
{
    struct temp_dir dir;
    char line[600];
    struct kv_buf holder = {0};
    make_store(&dir);
    struct kv_storage *storage = open_only(&dir);
    memset(line, 'h', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    ck_ok(storage->ops->lease_acquire(storage, KV_LEASE_EXCLUSIVE, line));
    ck_ok(storage->ops->lease_holder(storage, &holder));
    ck_assert_uint_eq(holder.size, 255);
    ck_assert_uint_eq(rig_stat(&dir, "LOCK").st_size, 256);
    ck_ok(storage->ops->lease_describe(storage, "short\nand two"));
    ck_assert_uint_eq(rig_stat(&dir, "LOCK").st_size, 256);
    expect_holder(storage, "short and two");
    kv_buf_finish(&holder);
    rig_close(storage);
    temp_dir_remove(&dir);
}
END_TEST

START_TEST(a_directory_that_is_no_store_gets_no_lock_file)
{
    struct temp_dir dir;
    temp_dir_make(&dir);
    struct kv_storage *storage = open_only(&dir);
    ck_fails(acquire(storage, KV_LEASE_EXCLUSIVE), ENOENT);
    ck_fails(acquire(storage, KV_LEASE_SHARED), ENOENT);
    expect_no_holder(storage);
    ck_assert(!rig_exists(&dir, "LOCK"));
    rig_close(storage);
    temp_dir_remove(&dir);
}
END_TEST

START_TEST(without_its_lock_file_a_store_can_be_leased_only_by_a_writer)
{
    struct temp_dir dir;
    char path[512];
    make_store(&dir);
    ck_assert_int_eq(unlink(temp_dir_name(&dir, "LOCK", path)), 0);
    struct kv_storage *storage = open_only(&dir);
    ck_fails(acquire(storage, KV_LEASE_SHARED), ENOLCK);
    ck_assert(!rig_exists(&dir, "LOCK"));
    ck_ok(acquire(storage, KV_LEASE_EXCLUSIVE));
    ck_assert(rig_exists(&dir, "LOCK"));
    rig_close(storage);
    temp_dir_remove(&dir);
}
END_TEST

START_TEST(a_reader_changes_neither_the_lock_file_nor_the_directory)
{
    struct temp_dir dir;
    char path[512];
    char before[256];
    char after[256];
    make_store(&dir);
    rig_read_raw(&dir, "LOCK", 0, before, sizeof before);
    struct stat lock = rig_stat(&dir, "LOCK");
    struct stat whole = rig_stat(&dir, ".");
    ck_assert_int_eq(chmod(temp_dir_name(&dir, "LOCK", path), 0400), 0);
    struct kv_storage *storage = open_only(&dir);
    ck_ok(acquire(storage, KV_LEASE_SHARED));
    rig_expect_root(storage, "root", 1);
    rig_close(storage);
    struct stat lock_after = rig_stat(&dir, "LOCK");
    struct stat whole_after = rig_stat(&dir, ".");
    ck_assert_int_eq(chmod(path, 0600), 0);
    rig_read_raw(&dir, "LOCK", 0, after, sizeof after);
    ck_assert_mem_eq(before, after, sizeof after);
    ck_assert_int_eq(memcmp(&lock.st_mtim, &lock_after.st_mtim, sizeof lock.st_mtim), 0);
    ck_assert_int_eq(memcmp(&whole.st_mtim, &whole_after.st_mtim, sizeof lock.st_mtim), 0);
    temp_dir_remove(&dir);
}
END_TEST

/* ---- followers ---- */

static uint64_t oldest(struct kv_storage *writer)
{
    uint64_t mark = 0;
    ck_ok(writer->ops->followers_oldest(writer, &mark));
    return mark;
}

START_TEST(followers_exclude_nobody_and_are_known_by_the_smallest_of_their_marks)
{
    struct temp_dir dir;
    make_store(&dir);
    struct kv_storage *writer = open_only(&dir);
    struct kv_storage *one = open_only(&dir);
    struct kv_storage *two = open_only(&dir);
    uint64_t large = (uint64_t)7 << 32;
    ck_ok(acquire(one, KV_LEASE_FOLLOW));
    ck_ok(acquire(writer, KV_LEASE_EXCLUSIVE));
    ck_assert_uint_eq(oldest(writer), 0);
    ck_ok(acquire(two, KV_LEASE_FOLLOW));
    ck_ok(one->ops->follow_move(one, large + 1));
    ck_assert_uint_eq(oldest(writer), 0);
    ck_ok(two->ops->follow_move(two, large + 2));
    ck_assert_uint_eq(oldest(writer), large + 1);
    ck_ok(one->ops->follow_move(one, large + 3));
    ck_assert_uint_eq(oldest(writer), large + 2);
    ck_ok(one->ops->follow_move(one, large + 3));
    rig_close(two);
    ck_assert_uint_eq(oldest(writer), large + 3);
    rig_expect_root(one, "root", 1);
    ck_fails(rig_swap(one, 1, "x"), EROFS);
    ck_fails(writer->ops->follow_move(writer, 1), EROFS);
    rig_close(one);
    ck_assert_uint_eq(oldest(writer), UINT64_MAX);
    rig_close(writer);
    temp_dir_remove(&dir);
}
END_TEST

START_TEST(followers_of_other_processes_are_known_until_these_die)
{
    struct temp_dir dir;
    int ready[2];
    char byte;
    make_store(&dir);
    struct kv_storage *writer = open_only(&dir);
    ck_ok(acquire(writer, KV_LEASE_EXCLUSIVE));
    ck_assert_int_eq(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        struct kv_storage *follower = open_only(&dir);
        if (acquire(follower, KV_LEASE_FOLLOW) == 0 &&
            follower->ops->follow_move(follower, 5) == 0 && write(ready[1], "", 1) == 1) {
            pause();
        }
        _exit(1);
    }
    close(ready[1]);
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    ck_assert_uint_eq(oldest(writer), 5);
    kill(child, SIGKILL);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    ck_assert_uint_eq(oldest(writer), UINT64_MAX);
    rig_close(writer);
    temp_dir_remove(&dir);
}
END_TEST

static int lock_error;

static int lock_range(void *arg, int fd, int command, struct flock *lock)
{
    return lock_error != 0 ? -lock_error : posix_calls_real.lock_range(arg, fd, command, lock);
}

START_TEST(no_answer_is_not_taken_for_no_followers_where_there_were_answers)
{
    struct temp_dir dir;
    struct posix_calls calls = posix_calls_real;
    struct kv_storage *writer = NULL;
    uint64_t mark;
    make_store(&dir);
    calls.lock_range = lock_range;
    ck_ok(storage_posix_open_with_calls(dir.path, false, &calls, NULL, &writer));
    ck_ok(acquire(writer, KV_LEASE_EXCLUSIVE));
    lock_error = ENOLCK;
    ck_assert_uint_eq(oldest(writer), UINT64_MAX); /* nobody ever keeps such locks here */
    lock_error = 0;
    ck_assert_uint_eq(oldest(writer), UINT64_MAX);
    lock_error = ENOLCK;
    ck_fails(writer->ops->followers_oldest(writer, &mark), ENOLCK);
    lock_error = EINVAL; /* an old kernel */
    ck_assert_uint_eq(oldest(writer), UINT64_MAX);
    rig_close(writer);
    temp_dir_remove(&dir);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("posix_lease");
    suite_add(s, "followers",
              followers_exclude_nobody_and_are_known_by_the_smallest_of_their_marks);
    suite_add(s, "followers", followers_of_other_processes_are_known_until_these_die);
    suite_add(s, "followers", no_answer_is_not_taken_for_no_followers_where_there_were_answers);
    suite_add(s, "exclusive", a_writer_excludes_writers_and_readers_until_it_closes);
    suite_add(s, "shared", readers_share_and_exclude_a_writer);
    suite_add(s, "processes", another_process_excludes_us_and_its_death_frees_the_store);
    suite_add(s, "processes", a_lease_lasts_in_a_forked_child_after_the_parent_closed_it);
    suite_add(s, "holder", the_line_of_the_holder_is_one_line_of_bounded_size);
    suite_add(s, "missing", a_directory_that_is_no_store_gets_no_lock_file);
    suite_add(s, "missing", without_its_lock_file_a_store_can_be_leased_only_by_a_writer);
    suite_add(s, "shared", a_reader_changes_neither_the_lock_file_nor_the_directory);
    return s;
}
