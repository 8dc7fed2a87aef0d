/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of damaged stores: nothing of the original is changed, what can be read is in the copy,
 * and its repair saves no less than that of the original would have. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvcore/storage/posix_calls.h"
#include "kvcore/storage/posix_raw.h"
#include "tests/admin/admin_store.h"
#include "tests/lib/temp_dir.h"

enum { PAGE = 4096 };

static struct temp_dir dir;
static char clean[512], not_closed[512], damaged[512], work[512], copy[512];

static void setup(void)
{
    temp_dir_make(&dir);
    temp_dir_name(&dir, "clean", clean);
    temp_dir_name(&dir, "open", not_closed);
    temp_dir_name(&dir, "damaged", damaged);
    temp_dir_name(&dir, "work", work);
    temp_dir_name(&dir, "copy", copy);
    store_make_both(dir.path);
}

static void teardown(void)
{
    temp_dir_remove(&dir);
}

/* ---- copying ---- */

struct told {
    int codes[64];
    unsigned count;
    struct kv_problem last; /* of KV_PROBLEM_FILE_NOT_COPIED */
    uint64_t stop_at;       /* bytes of progress; 0: never */
};

static int take(void *arg, const struct kv_problem *problem)
{
    struct told *told = arg;
    if (told->count < 63) {
        told->codes[told->count++] = problem->kind->code;
    }
    if (problem->kind->code == KV_PROBLEM_FILE_NOT_COPIED) {
        told->last = *problem;
    }
    return 0;
}

static int take_progress(void *arg, const struct kv_admin_progress *progress)
{
    const struct told *told = arg;
    ck_assert_uint_le(progress->bytes, progress->bytes_all);
    return told->stop_at != 0 && progress->bytes >= told->stop_at;
}

static int copy_store(struct kv_storage *from, struct told *told, struct kv_admin_result *result)
{
    struct kv_admin_options with = {
        .mode = KV_ADMIN_REPAIR, .problem_fn = take, .progress_fn = take_progress, .arg = told};
    int r = kv_admin_copy(from, copy, &with, result);
    from->ops->close(from);
    return r;
}

static void all_right(struct verdict *verdict, const char *path)
{
    store_judge(path, verdict);
    ck_assert_uint_eq(verdict->stale, 0);
}

START_TEST(the_copy_of_a_sound_store_is_the_store)
{
    struct told told = {0};
    struct kv_admin_result result;
    copy_tree(not_closed, work);
    ck_ok(copy_store(store_storage(not_closed), &told, &result));
    ck_assert_uint_eq(told.count, 0);
    ck_assert_uint_eq(result.problems, 0);
    ck_assert(same_tree(not_closed, work, false));
    ck_assert(same_tree(not_closed, copy, true));
}
END_TEST

/* What repair makes of it in its place, and of its copy. */
START_TEST(the_copy_of_a_damaged_store_saves_no_less)
{
    const struct damage *d = &damages[_i];
    bool has_link = d->code == KV_PROBLEM_ROOT_NOT_A_FILE ||
                    d->code == KV_PROBLEM_FILE_NOT_A_FILE || d->code == KV_PROBLEM_FILE_UNREADABLE;
    struct kv_admin_result result;
    struct verdict here = {0}, there = {0};
    struct told told = {0};
    int codes[64];

    printf("# %s\n", d->name);
    copy_tree(d->open ? not_closed : clean, damaged);
    d->apply(damaged);
    copy_tree(damaged, work);
    ck_ok(copy_store(store_storage(damaged), &told, &result));
    ck_assert_uint_eq(result.problems, has_link);
    ck_assert_uint_eq(result.repaired, has_link);
    ck_assert(has_link || same_tree(damaged, work, false));
    if (!d->repaired) {
        return; /* it cannot be opened again, wherever it is */
    }
    ck_ok(store_check(damaged, KV_ADMIN_REPAIR, d->deep, codes, &result));
    ck_ok(store_check(copy, KV_ADMIN_REPAIR, d->deep, codes, &result));
    ck_assert_uint_eq(result.repaired, result.problems);
    all_right(&here, damaged);
    all_right(&there, copy);
    ck_assert_uint_eq(there.right, here.right);
}
END_TEST

/* ---- pages that cannot be read ---- */

static struct {
    struct posix_calls calls;
    const char *name;  /* of the file */
    uint64_t from, to; /* bytes of it */
    int fd;
} bad;

static int bad_openat(void *arg, int in, const char *name, int flags, mode_t mode)
{
    int fd = posix_calls_real.openat(arg, in, name, flags, mode);
    if (fd >= 0 && strcmp(name, bad.name) == 0) {
        bad.fd = fd;
    }
    return fd;
}

static int bad_close(void *arg, int fd)
{
    bad.fd = fd == bad.fd ? -1 : bad.fd;
    return posix_calls_real.close(arg, fd);
}

static ssize_t bad_pread(void *arg, int fd, void *to, size_t size, uint64_t offset)
{
    bool hit = fd == bad.fd && offset < bad.to && offset + size > bad.from;
    return hit ? -EIO : posix_calls_real.pread(arg, fd, to, size, offset);
}

static struct kv_storage *bad_storage(const char *path, const char *name, uint64_t from,
                                      uint64_t to)
{
    struct kv_storage *storage = NULL;
    bad.calls = posix_calls_real;
    bad.calls.openat = bad_openat;
    bad.calls.close = bad_close;
    bad.calls.pread = bad_pread;
    bad.name = name;
    bad.from = from;
    bad.to = to;
    bad.fd = -1;
    ck_ok(storage_posix_open_with_calls(path, false, &bad.calls, NULL, &storage));
    return storage;
}

static size_t read_file(const char *path, const char *name, uint8_t **ret_bytes)
{
    char file[600];
    struct stat st;
    snprintf(file, sizeof file, "%s/%s", path, name);
    int fd = open(file, O_RDONLY);
    ck_assert(fd >= 0 && fstat(fd, &st) == 0);
    *ret_bytes = malloc((size_t)st.st_size + 1);
    ck_assert(read(fd, *ret_bytes, (size_t)st.st_size) == st.st_size);
    close(fd);
    return (size_t)st.st_size;
}

/* Every byte but those of the pages is the original's. */
static void check_bytes(const char *original, const char *name, uint64_t from, uint64_t to)
{
    uint8_t *a = NULL, *b = NULL;
    size_t size = read_file(original, name, &a);
    ck_assert_uint_eq(read_file(copy, name, &b), size);
    to = to < size ? to : size;
    ck_assert(memcmp(a, b, from) == 0);
    ck_assert(memcmp(a + to, b + to, size - to) == 0);
    for (uint64_t i = from; i < to; i++) {
        ck_assert_uint_eq(b[i], RAW_COPY_FILL);
    }
    free(a);
    free(b);
}

static void find_name(const char *path, const char *end, char to[64])
{
    char command[1200];
    snprintf(command, sizeof command, "cd %s && ls -S | grep '%s$' | head -n 1", path, end);
    FILE *list = popen(command, "r");
    ck_assert(list != NULL && fscanf(list, "%63s", to) == 1);
    pclose(list);
}

static const struct unreadable {
    const char *end; /* of the file's name */
    bool open;
    uint64_t from, to;
    unsigned may_cost;
} unreadables[] = {
    {".table", false, 0, PAGE, 600},
    {".table", false, PAGE, 3 * (uint64_t)PAGE, 600},
    {".table", false, 0, UINT64_MAX, 600},
    {".blob", false, 0, PAGE, 14},
    {".manifest", false, 0, UINT64_MAX, 0},
    {"3.log", true, 0, UINT64_MAX, 40},
    {"3.log", true, PAGE, 2 * (uint64_t)PAGE, 40},
    {"ROOT", false, 0, PAGE, 0},
    {"ROOT", false, PAGE, 2 * (uint64_t)PAGE, 0},
    {"ROOT", false, 0, UINT64_MAX, 0},
};

START_TEST(what_cannot_be_read_is_damage_of_the_copy_and_nothing_else_is)
{
    const struct unreadable *u = &unreadables[_i];
    const char *from = u->open ? not_closed : clean;
    struct kv_admin_result result;
    struct verdict verdict = {0};
    struct told told = {0};
    char name[64], text[600];
    struct stat st;
    int codes[64];

    copy_tree(from, work);
    find_name(from, u->end, name);
    snprintf(text, sizeof text, "%s/%s", from, name);
    ck_assert(stat(text, &st) == 0);
    ck_ok(copy_store(bad_storage(from, name, u->from, u->to), &told, &result));
    ck_assert(same_tree(from, work, false));
    ck_assert_uint_eq(told.count, 1); /* neighbours are one */
    ck_assert_uint_eq(told.codes[0], KV_PROBLEM_FILE_NOT_COPIED);
    ck_assert_str_eq(told.last.file, name);
    ck_assert_uint_eq(told.last.offset, u->from);
    ck_assert_int_eq(told.last.error, -EIO);
    ck_assert(told.last.will_repair);
    ck_assert_uint_eq(result.problems, 1);
    check_bytes(from, name, u->from, u->to);
    ck_ok(store_check(copy, KV_ADMIN_REPAIR, true, codes, &result));
    if (strcmp(u->end, ".blob") == 0) { /* a deep check tells of values, which stay as they are */
        ck_assert(has_code(codes, KV_PROBLEM_BLOB_VALUE));
        ck_ok(store_check(copy, KV_ADMIN_REPAIR, false, codes, &result));
    }
    ck_assert_uint_eq(result.repaired, result.problems);
    all_right(&verdict, copy);
    ck_assert_uint_le(verdict.lost + verdict.unreadable, u->may_cost);
}
END_TEST

START_TEST(holes_stay_holes)
{
    struct told told = {0};
    struct kv_admin_result result;
    char file[600];
    struct stat st;
    const char *name = "00000099.blob";
    snprintf(file, sizeof file, "%s/%s", clean, name);
    int fd = open(file, O_WRONLY | O_CREAT | O_EXCL, 0600);
    ck_assert(fd >= 0 && pwrite(fd, "x", 1, 3 << 20) == 1 && ftruncate(fd, 8 << 20) == 0);
    close(fd);
    ck_ok(copy_store(store_storage(clean), &told, &result));
    ck_assert(same_tree(clean, copy, true));
    snprintf(file, sizeof file, "%s/%s", copy, name);
    ck_assert(stat(file, &st) == 0);
    ck_assert_int_eq(st.st_size, 8 << 20);
    ck_assert_int_lt(st.st_blocks, 256); /* of 512 bytes: 128 KiB */
}
END_TEST

/* ---- refused ---- */

START_TEST(a_store_in_use_is_not_copied)
{
    struct told told = {0};
    struct kv_admin_result result;
    struct kv_storage *first = store_storage(clean);
    struct stat st;
    ck_ok(first->ops->lease_acquire(first, KV_LEASE_EXCLUSIVE, "somebody"));
    ck_fails(copy_store(store_storage(clean), &told, &result), EBUSY);
    ck_assert(stat(copy, &st) != 0 && errno == ENOENT);
    first->ops->close(first);
}
END_TEST

START_TEST(nothing_is_copied_over_another_store)
{
    struct told told = {0};
    struct kv_admin_result result;
    copy_tree(not_closed, copy);
    copy_tree(not_closed, work);
    ck_fails(copy_store(store_storage(clean), &told, &result), EEXIST);
    ck_assert(same_tree(copy, work, false));
}
END_TEST

START_TEST(an_empty_directory_is_taken_and_one_without_a_store_refused)
{
    struct told told = {0};
    struct kv_admin_result result;
    struct stat st;
    ck_assert(mkdir(work, 0700) == 0);
    ck_fails(copy_store(store_storage(work), &told, &result), ENOENT);
    ck_assert(stat(copy, &st) != 0 && errno == ENOENT);
    ck_assert(mkdir(copy, 0700) == 0);
    ck_ok(copy_store(store_storage(clean), &told, &result));
    ck_assert(same_tree(clean, copy, true));
}
END_TEST

START_TEST(a_copy_that_is_cut_short_is_no_store)
{
    struct told told = {.stop_at = 40000};
    struct kv_admin_result result;
    char file[600];
    struct stat st;
    copy_tree(clean, work);
    ck_fails(copy_store(store_storage(clean), &told, &result), ECANCELED);
    ck_assert(same_tree(clean, work, false));
    snprintf(file, sizeof file, "%s/ROOT", copy);
    ck_assert(stat(copy, &st) == 0 && stat(file, &st) != 0 && errno == ENOENT);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("copy");
    TCase *tcase = tcase_create("copy");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, the_copy_of_a_sound_store_is_the_store);
    tcase_add_loop_test(tcase, the_copy_of_a_damaged_store_saves_no_less, 0, (int)damage_count);
    tcase_add_loop_test(tcase, what_cannot_be_read_is_damage_of_the_copy_and_nothing_else_is, 0,
                        (int)(sizeof unreadables / sizeof unreadables[0]));
    tcase_add_test(tcase, holes_stay_holes);
    tcase_add_test(tcase, a_store_in_use_is_not_copied);
    tcase_add_test(tcase, nothing_is_copied_over_another_store);
    tcase_add_test(tcase, an_empty_directory_is_taken_and_one_without_a_store_refused);
    tcase_add_test(tcase, a_copy_that_is_cut_short_is_no_store);
    suite_add_tcase(suite, tcase);
    return suite;
}
