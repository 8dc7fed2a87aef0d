/* SPDX-License-Identifier: Apache-2.0 */
/* Tables that are read by several threads: what is told is what one thread tells. */
#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvcore/util/rng.h"
#include "tests/admin/admin_store.h"
#include "tests/lib/temp_dir.h"

enum { TEXT_SIZE = 1 << 18 };

static struct temp_dir dir;
static char clean[512], not_closed[512], work[512];

static void setup(void)
{
    temp_dir_make(&dir);
    temp_dir_name(&dir, "clean", clean);
    temp_dir_name(&dir, "open", not_closed);
    store_make_both(dir.path);
}

static void teardown(void)
{
    temp_dir_remove(&dir);
}

/* Several bytes of every other table, and now and then a whole one; each in a directory of its own.
 */
static void damage(struct rng *rng, unsigned round)
{
    char name[32], pattern[600];
    glob_t tables;
    snprintf(name, sizeof name, "work%u", round);
    copy_tree(clean, temp_dir_name(&dir, name, work));
    snprintf(pattern, sizeof pattern, "%s/*.table", work);
    ck_assert_int_eq(glob(pattern, 0, NULL, &tables), 0);
    ck_assert_uint_ge(tables.gl_pathc, 4);
    for (size_t i = 0; i < tables.gl_pathc; i++) {
        struct stat st;
        ck_assert_int_eq(stat(tables.gl_pathv[i], &st), 0);
        for (uint64_t n = rng_below(rng, 4); n > 0; n--) {
            flip(work, strrchr(tables.gl_pathv[i], '/') + 1, rng_below(rng, (uint64_t)st.st_size));
        }
        if (rng_below(rng, 10) == 0) {
            ck_assert_int_eq(unlink(tables.gl_pathv[i]), 0);
        }
    }
    globfree(&tables);
}

/* ---- one check ---- */

struct told {
    unsigned problems_left, calls_left; /* then it is ended; 0: never */
    struct kv_admin_result result;
    uint64_t bytes;
    char text[TEXT_SIZE];
};

static int add_problem(void *arg, const struct kv_problem *problem)
{
    struct told *told = arg;
    size_t size = strlen(told->text);
    snprintf(told->text + size, TEXT_SIZE - size, "%s %s %" PRIu64 " %s %.*s to %.*s: %s\n",
             problem->kind->name, problem->file, problem->offset,
             problem->table != NULL ? problem->table : "", (int)problem->from.size,
             problem->from.size > 0 ? (const char *)problem->from.data : "", (int)problem->to.size,
             problem->to.size > 0 ? (const char *)problem->to.data : "", problem->text);
    return told->problems_left > 0 && --told->problems_left == 0;
}

static int note_progress(void *arg, const struct kv_admin_progress *progress)
{
    struct told *told = arg;
    ck_assert_uint_ge(progress->bytes, told->bytes);
    told->bytes = progress->bytes;
    return told->calls_left > 0 && --told->calls_left == 0;
}

static int check_with(unsigned threads, struct told *told)
{
    struct kv_admin_options options = {.mode = KV_ADMIN_REPORT,
                                       .deep = true,
                                       .threads = threads,
                                       .problem_fn = add_problem,
                                       .progress_fn = note_progress,
                                       .arg = told};
    struct kv_storage *storage = store_storage(work);
    int r = kv_admin_check(storage, &options, &told->result);
    storage->ops->close(storage);
    return r;
}

static void expect_same(const struct told *a, const struct told *b)
{
    ck_assert_str_eq(a->text, b->text);
    ck_assert_uint_eq(a->result.problems, b->result.problems);
    ck_assert_uint_eq(a->result.notes, b->result.notes);
}

static struct told one, many;

static void forget(unsigned problems_left)
{
    memset(&one, 0, sizeof one);
    memset(&many, 0, sizeof many);
    one.problems_left = many.problems_left = problems_left;
}

/* ---- tests ---- */

START_TEST(threads_tell_the_same_in_the_same_order)
{
    struct rng rng = {test_seed()};
    uint64_t problems = 0;
    for (uint64_t i = 0; i < test_steps(12); i++) {
        damage(&rng, (unsigned)i);
        forget(0);
        ck_ok(check_with(1, &one));
        ck_ok(check_with(4, &many));
        expect_same(&one, &many);
        ck_assert_uint_eq(one.bytes, many.bytes);
        problems += one.result.problems;
    }
    ck_assert_uint_gt(problems, 0);
}
END_TEST

START_TEST(whoever_is_told_of_a_problem_ends_it_there)
{
    struct rng rng = {test_seed()};
    damage(&rng, 0);
    forget(0);
    ck_ok(check_with(1, &one));
    uint64_t problems = one.result.problems + one.result.notes;
    for (unsigned i = 1; i <= problems; i++) {
        forget(i);
        ck_fails(check_with(1, &one), ECANCELED);
        ck_fails(check_with(4, &many), ECANCELED);
        ck_assert_str_eq(one.text, many.text);
    }
}
END_TEST

/* However far it is: threads end, and nothing is left of them. */
START_TEST(whoever_is_told_how_far_it_is_ends_it_there)
{
    struct rng rng = {test_seed()};
    damage(&rng, 0);
    int r = -ECANCELED;
    for (unsigned i = 1; r == -ECANCELED; i++) {
        forget(0);
        many.calls_left = i;
        r = check_with(4, &many);
        ck_assert_uint_lt(i, 10000);
    }
    ck_ok(r);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("scan_threads");
    TCase *tcase = tcase_create("scan_threads");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, threads_tell_the_same_in_the_same_order);
    tcase_add_test(tcase, whoever_is_told_of_a_problem_ends_it_there);
    tcase_add_test(tcase, whoever_is_told_how_far_it_is_ends_it_there);
    suite_add_tcase(suite, tcase);
    return suite;
}
