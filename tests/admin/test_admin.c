/* SPDX-License-Identifier: Apache-2.0 */
/* Checking and repairing stores that are damaged in every way there is a code for. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kv/verify.h>

#include "kvcore/admin/seed.h"
#include "kvcore/storage/posix_calls.h"
#include "kvcore/util/checksum.h"
#include "kvcore/util/rng.h"
#include "tests/admin/admin_store.h"
#include "tests/lib/temp_dir.h"

static struct temp_dir dir;
static char clean[512], not_closed[512], damaged[512], work[512];

static void setup(void)
{
    temp_dir_make(&dir);
    temp_dir_name(&dir, "clean", clean);
    temp_dir_name(&dir, "open", not_closed);
    temp_dir_name(&dir, "damaged", damaged);
    temp_dir_name(&dir, "work", work);
    store_make_both(dir.path);
}

static void teardown(void)
{
    temp_dir_remove(&dir);
}

START_TEST(a_sound_store_has_no_problem)
{
    struct kv_admin_result result;
    int codes[64];

    ck_ok(store_check(clean, KV_ADMIN_REPORT, true, codes, &result));
    ck_assert_uint_eq(result.problems, 0);
    ck_assert(!result.needs_replay);
    ck_ok(store_check(not_closed, KV_ADMIN_REPORT, true, codes, &result));
    ck_assert_uint_eq(result.problems, 0);
    ck_assert(result.needs_replay && has_code(codes, KV_PROBLEM_LOG_REPLAY));
}
END_TEST

START_TEST(a_store_in_use_is_left_alone)
{
    struct kv_admin_options with = {.mode = KV_ADMIN_REPORT};
    struct kv_admin_result result;
    struct kv_storage *first = store_storage(clean);
    struct kv_storage *second = store_storage(clean);

    ck_ok(first->ops->lease_acquire(first, KV_LEASE_EXCLUSIVE, "somebody"));
    ck_fails(kv_admin_check(second, &with, &result), EBUSY);
    first->ops->close(first);
    second->ops->close(second);
}
END_TEST

START_TEST(an_empty_directory_is_no_store)
{
    struct kv_admin_result result;
    int codes[64];
    ck_assert(mkdir(work, 0700) == 0);
    ck_fails(store_check(work, KV_ADMIN_REPORT, false, codes, &result), ENOENT);
}
END_TEST

static bool is_newer(int code)
{
    return code == KV_PROBLEM_ROOT_NEWER || code == KV_PROBLEM_MANIFEST_NEWER ||
           code == KV_PROBLEM_LOG_NEWER || code == KV_PROBLEM_TABLE_NEWER;
}

/* Everything that must be so of one way to damage a store. */
START_TEST(damage_is_told_repaired_and_taken_back)
{
    const struct damage *d = &damages[_i];
    struct kv_admin_result result;
    struct verdict verdict = {0};
    int codes[64];
    int r;

    printf("# %s\n", d->name);
    copy_tree(d->open ? not_closed : clean, damaged);
    d->apply(damaged);
    copy_tree(damaged, work);
    r = store_check(damaged, KV_ADMIN_REPORT, d->deep, codes, &result);
    ck_assert_msg(has_code(codes, d->code), "%s: %d is not told", d->name, d->code);
    if (is_newer(d->code)) {
        ck_fails(r, KV_EFORMAT);
        ck_fails(store_check(damaged, KV_ADMIN_REPAIR, d->deep, codes, &result), KV_EFORMAT);
        ck_assert(same_tree(damaged, work, true));
        return;
    }
    ck_ok(r);
    ck_assert(has_code(codes, KV_PROBLEM_ROOT_NOT_A_FILE) ||
              has_code(codes, KV_PROBLEM_FILE_NOT_A_FILE) || same_tree(damaged, work, false));
    ck_ok(store_check(damaged, KV_ADMIN_REPAIR, d->deep, codes, &result));
    ck_assert_uint_eq(result.repaired == result.problems, d->repaired);
    char archive[32];
    snprintf(archive, sizeof archive, "%s", result.archive);
    if (d->repaired) {
        ck_ok(store_check(damaged, KV_ADMIN_REPORT, true, codes, &result));
        ck_assert_uint_eq(result.problems, 0);
    }
    if (d->repaired && archive[0] != '\0') {
        char second[512];
        copy_tree(damaged, temp_dir_name(&dir, "second", second));
        store_judge(second, &verdict);
        ck_assert_uint_eq(verdict.stale, 0);
        ck_assert_uint_le(verdict.lost + verdict.unreadable, d->may_cost);
        printf("# %u right, %u lost, %u unreadable\n", verdict.right, verdict.lost,
               verdict.unreadable);
    }
    if (archive[0] != '\0') {
        struct kv_storage *storage = store_storage(damaged);
        ck_ok(kv_admin_undo(storage, archive));
        storage->ops->close(storage);
        ck_assert(same_tree(damaged, work, true));
    }
}
END_TEST

/* What is older than a damaged table is looked up in what was made anew of it. */
START_TEST(what_lies_above_a_table_without_range_deletes_is_repaired_as_well)
{
    struct kv_admin_result result;
    struct verdict verdict;
    char name[600];
    unsigned newest = 0;
    int codes[64];

    copy_tree(clean, damaged);
    store_write_again(damaged, 2, 1);
    for (unsigned n = 1; n < 200; n++) {
        snprintf(name, sizeof name, "%s/%08u.table", damaged, n);
        newest = access(name, F_OK) == 0 ? n : newest;
    }
    find_damage("damaged range deletes")->apply(damaged);
    snprintf(name, sizeof name, "%08u.table", newest);
    flip(damaged, name, 100);
    find_damage("one root copy")->apply(damaged);
    ck_ok(store_check(damaged, KV_ADMIN_REPAIR, false, codes, &result));
    ck_assert(has_code(codes, KV_PROBLEM_TABLE_RANGE_DELETES));
    ck_assert(has_code(codes, KV_PROBLEM_TABLE_BLOCK));
    ck_assert(has_code(codes, KV_PROBLEM_ROOT_COPY_DAMAGED));
    ck_assert_uint_eq(result.repaired, result.problems);
    ck_ok(store_check(damaged, KV_ADMIN_REPORT, false, codes, &result));
    ck_assert_uint_eq(result.problems, 0);
    struct kv_table *table = NULL;
    struct kv_store *store = store_open(damaged, false, &table);
    store_judge_table(table, 2, &verdict);
    ck_ok(kv_close(store));
    ck_assert_uint_eq(verdict.stale, 0);
}
END_TEST

START_TEST(every_code_has_a_kind_and_no_two_are_alike)
{
    size_t count;
    const struct kv_problem_kind *kinds = kv_problem_kinds(&count);
    for (size_t i = 0; i < count; i++) {
        ck_assert_ptr_eq(kv_problem_kind(kinds[i].code), &kinds[i]);
        ck_assert(i == 0 || kinds[i - 1].code < kinds[i].code);
    }
    ck_assert_ptr_null(kv_problem_kind(1));
}
END_TEST

START_TEST(a_repair_is_not_taken_back_once_the_store_was_written_to)
{
    struct kv_admin_result result;
    struct verdict verdict;
    int codes[64];
    struct kv_storage *storage;

    flip(clean, "ROOT", 40);
    ck_ok(store_check(clean, KV_ADMIN_REPAIR, false, codes, &result));
    ck_assert_str_eq(result.archive, "00000001");
    store_judge(clean, &verdict); /* opens it for writing */
    storage = store_storage(clean);
    ck_fails(kv_admin_undo(storage, result.archive), ESTALE);
    storage->ops->close(storage);
}
END_TEST

static void meet_damage(const char *path)
{
    struct kv_options options = {.no_background = true};
    struct kv_store *store = NULL;
    ck_ok(kv_open(store_storage(path), &options, &store));
    ck_fails(kv_verify(store, NULL), KV_EDAMAGED);
    ck_ok(kv_close(store));
}

/* Else the mark would go although nobody looked. */
START_TEST(the_values_of_a_suspected_blob_are_read_without_being_asked_to)
{
    struct kv_admin_result result;
    int codes[64];

    find_damage("a damaged value")->apply(clean);
    ck_ok(store_check(clean, KV_ADMIN_REPORT, false, codes, &result));
    ck_assert_uint_eq(result.problems, 0);
    meet_damage(clean);
    ck_ok(store_check(clean, KV_ADMIN_SAFE, false, codes, &result));
    ck_assert(has_code(codes, KV_PROBLEM_BLOB_VALUE));
    ck_assert_uint_eq(result.repaired, 0);
    ck_ok(store_check(clean, KV_ADMIN_REPAIR, false, codes, &result));
    ck_assert_uint_eq(result.problems, result.repaired);
    ck_ok(store_check(clean, KV_ADMIN_REPORT, true, codes, &result));
    ck_assert_uint_eq(result.problems, 0);
}
END_TEST

START_TEST(what_is_made_anew_is_not_suspected_any_more)
{
    static const char *const names[] = {"damaged range deletes", "a damaged footer"};
    struct kv_admin_result result;
    int codes[64];

    find_damage(names[_i])->apply(clean);
    meet_damage(clean);
    ck_ok(store_check(clean, KV_ADMIN_REPAIR, false, codes, &result));
    ck_assert(has_code(codes, KV_PROBLEM_ROOT_CHECK_NEEDED));
    ck_assert(has_code(codes, find_damage(names[_i])->code));
    ck_ok(store_check(clean, KV_ADMIN_REPORT, false, codes, &result));
    ck_assert_uint_eq(result.problems, 0);
}
END_TEST

START_TEST(a_seed_id_that_is_made_stands_for_its_seed)
{
    struct rng rng = {test_seed()};
    for (int i = 0; i < 1000; i++) {
        uint64_t seed = rng_next(&rng);
        uint8_t id[16];
        seed_make_id(seed, id);
        ck_assert_uint_eq(checksum_store_seed(id), seed);
    }
}
END_TEST

START_TEST(a_store_of_which_nothing_tells_the_seed_is_told_and_left_alone)
{
    struct kv_admin_result result;
    char command[1200];
    int codes[64];
    snprintf(command, sizeof command, "cd %s && rm *.log *.manifest ROOT", clean);
    ck_assert_int_eq(system(command), 0);
    copy_tree(clean, work);
    ck_ok(store_check(clean, KV_ADMIN_REPAIR, false, codes, &result));
    ck_assert(has_code(codes, KV_PROBLEM_ROOT_MISSING));
    ck_assert_uint_eq(result.repaired, 0);
    ck_assert(same_tree(clean, work, true));
}
END_TEST

START_TEST(what_loses_rows_is_not_repaired_unattended)
{
    struct kv_admin_result result;
    int codes[64];
    find_damage("a damaged block of newer rows")->apply(clean);
    flip(clean, "ROOT", 40);
    copy_tree(clean, work);
    ck_ok(store_check(clean, KV_ADMIN_SAFE, false, codes, &result));
    ck_assert_uint_eq(result.repaired, 0);
    ck_assert(same_tree(clean, work, true));
}
END_TEST

/* ---- cut short ---- */

struct cutting {
    struct posix_calls calls;
    uint64_t count, stop_at; /* changes of the directory */
};

static struct cutting cutting;

static int change(void)
{
    cutting.count++;
    return cutting.stop_at != 0 && cutting.count >= cutting.stop_at ? -EIO : 0;
}

static int cut_openat(void *arg, int in, const char *name, int flags, mode_t mode)
{
    int r = (flags & 0100) != 0 ? change() : 0; /* O_CREAT */
    return r < 0 ? r : posix_calls_real.openat(arg, in, name, flags, mode);
}

static int cut_mkdirat(void *arg, int in, const char *name, mode_t mode)
{
    int r = change();
    return r < 0 ? r : posix_calls_real.mkdirat(arg, in, name, mode);
}

static ssize_t cut_pwritev(void *arg, int fd, const struct iovec *parts, int count, uint64_t offset)
{
    int r = change();
    return r < 0 ? r : posix_calls_real.pwritev(arg, fd, parts, count, offset);
}

static int cut_rename(void *arg, int in, const char *from, const char *to, unsigned flags)
{
    int r = change();
    return r < 0 ? r : posix_calls_real.rename(arg, in, from, to, flags);
}

static int cut_linkat(void *arg, int from_dir, const char *from, int to_dir, const char *to)
{
    int r = change();
    return r < 0 ? r : posix_calls_real.linkat(arg, from_dir, from, to_dir, to);
}

static int cut_unlinkat(void *arg, int in, const char *name)
{
    int r = change();
    return r < 0 ? r : posix_calls_real.unlinkat(arg, in, name);
}

static struct kv_storage *cut_storage(const char *path, uint64_t stop_at)
{
    struct kv_storage *storage = NULL;
    cutting = (struct cutting){.calls = posix_calls_real, .stop_at = stop_at};
    cutting.calls.openat = cut_openat;
    cutting.calls.mkdirat = cut_mkdirat;
    cutting.calls.pwritev = cut_pwritev;
    cutting.calls.rename = cut_rename;
    cutting.calls.linkat = cut_linkat;
    cutting.calls.unlinkat = cut_unlinkat;
    ck_ok(storage_posix_open_with_calls(path, false, &cutting.calls, NULL, &storage));
    return storage;
}

/* Until there is another root record, each file that was there still is. */
static void check_nothing_went_early(const char *before, const char *path)
{
    char command[4096];
    snprintf(command, sizeof command,
             "cd %s && if cmp -s ROOT %s/ROOT || [ ! -e ROOT -a ! -e %s/ROOT ]; then "
             "for f in *; do [ -e \"%s/$f\" ] || exit 1; done; fi",
             before, path, path, path);
    ck_assert_int_eq(system(command), 0);
}

/* Every change from some number on fails, as if the process had died there; then it is begun again.
 * Returns whether the repair went through. */
static bool cut_repair(const struct damage *d, const char *path, uint64_t stop_at)
{
    struct kv_admin_options with = {.mode = KV_ADMIN_REPAIR, .deep = d->deep};
    struct kv_admin_result result = {0};
    struct verdict verdict;
    int codes[64];
    struct kv_storage *storage = cut_storage(path, stop_at);
    bool done = kv_admin_check(storage, &with, &result) == 0 && cutting.count < stop_at;

    storage->ops->close(storage);
    check_nothing_went_early(damaged, path);
    ck_ok(store_check(path, KV_ADMIN_REPAIR, d->deep, codes, &result));
    ck_assert_uint_eq(result.repaired, result.problems);
    ck_ok(store_check(path, KV_ADMIN_REPORT, true, codes, &result));
    ck_assert_uint_eq(result.problems, 0);
    store_judge(path, &verdict);
    ck_assert_uint_eq(verdict.stale, 0);
    ck_assert_uint_le(verdict.lost + verdict.unreadable, d->may_cost);
    return done;
}

/* One for each way in which a repair goes; the others are cut short, too, where there is time. */
static bool is_usual(const struct damage *d)
{
    static const char *const names[] = {"a damaged block of newer rows", "a damaged log",
                                        "one root copy", "the root record is missing",
                                        "no root and no manifest"};
    bool usual = false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        usual |= strcmp(d->name, names[i]) == 0;
    }
    return usual || test_steps(1) > 1;
}

START_TEST(a_repair_that_is_cut_short_anywhere_is_finished_by_the_next)
{
    const struct damage *d = &damages[_i];
    bool done = !d->repaired || !is_usual(d);
    copy_tree(d->open ? not_closed : clean, damaged);
    d->apply(damaged);
    for (uint64_t stop_at = 1; !done; stop_at++) {
        char name[32], path[512];
        snprintf(name, sizeof name, "cut%u", (unsigned)stop_at);
        temp_dir_name(&dir, name, path);
        copy_tree(damaged, path);
        done = cut_repair(d, path, stop_at);
        ck_assert_uint_lt(stop_at, 500);
    }
}
END_TEST

/* ---- any byte ---- */

/* Of any file but LOCK, whose bytes are a message to people. */
static void flip_any(struct rng *rng, const char *path)
{
    char names[64][64];
    unsigned count = 0;
    struct dirent *entry;
    struct stat st;
    DIR *list = opendir(path);
    ck_assert_ptr_nonnull(list);
    while (count < 64 && (entry = readdir(list)) != NULL) {
        if (entry->d_type == DT_REG && strcmp(entry->d_name, "LOCK") != 0) {
            snprintf(names[count++], sizeof names[0], "%.63s", entry->d_name);
        }
    }
    count = (unsigned)rng_below(rng, count);
    ck_assert(fstatat(dirfd(list), names[count], &st, 0) == 0);
    closedir(list);
    printf("# byte of %s\n", names[count]);
    flip(path, names[count], rng_below(rng, (uint64_t)st.st_size));
}

/* Whatever byte it is: nothing is shown that is wrong, repair leaves nothing or says so, and what
 * it repaired opens. */
START_TEST(a_flipped_byte_is_repaired_or_told)
{
    struct rng rng = {test_seed()};
    uint64_t repaired = 0;
    for (uint64_t i = 0; i < test_steps(60); i++) {
        struct kv_admin_result result;
        struct verdict verdict;
        int codes[64];
        char name[32], path[512];
        snprintf(name, sizeof name, "flip%u", (unsigned)i);
        temp_dir_name(&dir, name, path);
        copy_tree(i % 2 == 0 ? clean : not_closed, path);
        flip_any(&rng, path);
        ck_ok(store_check(path, KV_ADMIN_REPAIR, true, codes, &result));
        if (result.repaired < result.problems) {
            continue;
        }
        bool was_sound = result.problems == 0;
        repaired += !was_sound;
        ck_ok(store_check(path, KV_ADMIN_REPORT, true, codes, &result));
        ck_assert_uint_eq(result.problems, 0);
        store_judge(path, &verdict);
        ck_assert_uint_eq(verdict.stale, 0);
        /* At the end of a log that was not closed nothing tells a rotten record from a torn one. */
        if (was_sound && i % 2 == 0) {
            ck_assert_uint_eq(verdict.lost + verdict.unreadable, 0);
        }
    }
    printf("# %u repaired\n", (unsigned)repaired);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("admin");
    TCase *tcase = tcase_create("admin");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_sound_store_has_no_problem);
    tcase_add_test(tcase, a_store_in_use_is_left_alone);
    tcase_add_test(tcase, an_empty_directory_is_no_store);
    tcase_add_loop_test(tcase, damage_is_told_repaired_and_taken_back, 0, (int)damage_count);
    tcase_add_test(tcase, every_code_has_a_kind_and_no_two_are_alike);
    tcase_add_test(tcase, a_repair_is_not_taken_back_once_the_store_was_written_to);
    tcase_add_test(tcase, a_seed_id_that_is_made_stands_for_its_seed);
    tcase_add_test(tcase, a_store_of_which_nothing_tells_the_seed_is_told_and_left_alone);
    tcase_add_test(tcase, what_loses_rows_is_not_repaired_unattended);
    tcase_add_test(tcase, the_values_of_a_suspected_blob_are_read_without_being_asked_to);
    tcase_add_test(tcase, what_lies_above_a_table_without_range_deletes_is_repaired_as_well);
    tcase_add_loop_test(tcase, what_is_made_anew_is_not_suspected_any_more, 0, 2);
    tcase_add_loop_test(tcase, a_repair_that_is_cut_short_anywhere_is_finished_by_the_next, 0,
                        (int)damage_count);
    tcase_add_test(tcase, a_flipped_byte_is_repaired_or_told);
    suite_add_tcase(suite, tcase);
    return suite;
}
