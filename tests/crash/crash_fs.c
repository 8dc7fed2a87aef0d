/* SPDX-License-Identifier: Apache-2.0 */
/* Crashes the filesystem at every change that the engine makes to the file system below, in several
 * ways, and judges what is found. Speaks TAP.
 *
 *   crash_fs [--slow N] [--every N] [--jobs N] [--seed N] [--only WORKLOAD] [--round N] [--point N]
 *
 * The options are those of crash_kv. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "tests/crash/crash_options.h"
#include "tests/crash/fs_judge.h"
#include "tests/crash/tasks.h"
#include "tests/fs/fs_check.h"
#include "tests/lib/check_main.h"

struct workload {
    const char *name;
    const char *script; /* NULL: random */
};

static const struct workload workloads[] = {
    {"making names", "c5 d3 l3 s c5 d2 l2 c5 s d2 l3 r c3 l1 d1"},
    {"hard links", "c4 s h6 w3 h4 u3 s h3 u4 a2 g4 h2 m4 u4 s u4"},
    {"unlinking", "c8 d3 l2 w6 v4 s u6 s c4 w4 u8 r c3 u9"},
    {"renames", "c6 d4 w4 s m8 s m8 r m6 s m4"},
    {"renames over what is there", "c9 d5 l2 w9 s M8 c4 w3 s M6 f c4 M5 r M3"},
    {"exchanges", "c6 d4 l2 w5 s x8 m3 x5 s x6 r x3"},
    {"directories moved into each other", "d6 c5 w3 s m6 d3 M5 x4 s m6 u3 d3 x3 m5 r m3"},
    {"writing here and there", "c3 s w12 s w10 a5 s w10 f w8 r w4"},
    {"appending", "c2 a12 s a10 r a8 s a3 f a5"},
    {"shrinking and extending", "c3 w8 W1 s t4 e4 w2 s T5 s w3 T4 f T4 r T3"},
    {"holes", "c3 w6 W2 s p8 s w3 p6 f p5 w2 p3 r p3"},
    {"pages of large extents", "c2 W3 s b12 s b10 f b8 t2 b6 p4 s b6 C b6 r b8 u1 s b3"},
    {"copies", "c4 W3 s y6 s b6 y5 u1 y4 f w4 y5 p3 s y4 t3 C y5 r y5 b4 u2 s y4"},
    {"attributes", "c4 d2 l1 v9 s v8 g6 s h2 v5 g4 u2 v6 r v4 g3"},
    {"unlinked while open", "c5 w5 v3 o4 u7 w4 a2 s T2 w2 q2 s W1 o4 u5 q1 s r c3 w3 o2 u4 q2"},
    {"files made without a name",
     "n3 w3 s N2 n4 w6 v3 N3 s q1 n2 W1 N1 u2 h2 s q3 r n3 w4 f N2 q2"},
    {"large files unlinked and replaced", "c4 W3 s u4 c3 W2 M3 o2 W1 u4 s q2 f c2 W1 u4 q"},
    {"keys", "k6 s k5 K3 s k6 K3 f k3 K3 r k3 K2"},
    {"keys and names", "k4 d2 c3 w3 s m4 k4 K2 h3 k4 s x2 K4 u2 r k3"},
    {"batches of keys", "c5 d2 w5 B3 s B4 h2 B3 f B3 r k3 B3 o2 B4 s B2 C k2 B3"},
    {"every operation synced", "c s w s d s m s h s u s a s t s T s k s l s v s x s M s p s K s"},
    {"no sync at all", "c4 w5 d3 m4 h3 u3 T3 k4 x2 M3 K2 a3 v3 p2 w4"},
    {"opened again and again", "c3 r w3 r r m2 o1 u3 r T2 r f r k2 r"},
    {"flushes and merges", "c4 w6 f w5 k3 f u3 T2 f C m3 w4 s f x2 u2 C k2 r w2 C"},
    {"rotations", "c5 W12 s W6 u2 W8 m2 s W3"},
    {"attributes with an index", "i c4 d2 l1 v9 s v8 h2 v5 m3 M3 v6 u3 v2 r v6 x2 u2 v4"},
    {"unlinked with an index", "i c6 w3 v9 o4 u7 v3 q2 s n2 v4 N1 q2 r v6 o2 u4 q1 B3 K2"},
    {"an index that comes and goes", "c8 d2 v9 v9 s i v6 u2 i v5 m2 i f v4 C i v3 r i v2"},
    {"random a", NULL},
    {"random b", NULL},
    {"random c", NULL},
    {"random d", NULL},
};

enum {
    WORKLOAD_COUNT = sizeof workloads / sizeof workloads[0],
    STATES_MIN = 10000,
};

/* What a process tells its parent, in shared memory. */
struct result {
    struct crash_counts counts;
    struct crash_check check; /* says what is under test */
    uint64_t operations;
    uint64_t point; /* under test; 0: none */
};

struct task {
    const struct crash_options *options;
    const struct workload *workload;
    unsigned round;
    uint64_t seed;
    struct result *result;
};

/* ---- one workload ---- */

struct run {
    struct fs_rig rig;
    struct crash_check *check;
    struct crash_images images;
};

/* Check hands nothing to a test: the task of this process. */
static const struct task *current;

uint64_t test_seed(void)
{
    return current != NULL ? current->options->seed : 0;
}

static void watch(void *arg, struct sim_fs *sim, const struct sim_event *event)
{
    struct run *run = arg;
    run->check->counts->calls[event->call][event->kind]++;
    if (event->changes) {
        crash_images_add(&run->images, sim, &run->rig.bounds);
    }
}

static void random_script(uint64_t seed, char *to, size_t size)
{
    static const char steps[] = "cccddlhhuumMMxowwwwbbyyaattTTepvvvgkkKsssfCriq";
    struct rng rng = {hash_u64(seed + 77)};
    size_t used = (size_t)snprintf(to, size, "c3 d2 w2");
    for (int i = 0; i < 60; i++) {
        char step = steps[rng_below(&rng, sizeof steps - 1)];
        used += (size_t)snprintf(to + used, size - used, " %c", step);
    }
}

static void check_images(struct run *run)
{
    const struct crash_options *options = current->options;
    for (size_t i = 0; i < run->images.count; i++) {
        const struct crash_image *image = &run->images.items[i];
        if (options->point == image->point ||
            (options->point == 0 && image->point % options->every == 0)) {
            current->result->point = image->point;
            fs_judge_image(run->check, &run->rig, image, options->damages);
        }
    }
    current->result->point = 0;
    crash_images_clear(&run->images);
}

static void run_script(struct run *run, const char *script)
{
    unsigned count = 0;
    char step;
    while ((step = rig_next_step(&script, &count)) != '\0') {
        for (unsigned i = 0; i < count; i++) {
            fs_rig_step(&run->rig, step);
            crash_images_add(&run->images, run->rig.sim, &run->rig.bounds); /* acknowledged */
            check_images(run);
        }
    }
}

/* What is open at the end shows what was done to it. */
static void check_live(struct run *run)
{
    struct tree tree;
    char *text;
    tree_read(run->rig.fs, &tree);
    text = tree_text(&tree);
    ck_assert_str_eq(text, run->rig.texts[run->rig.bounds.written]);
    free(text);
    tree_finish(&tree);
    fs_check(run->rig.fs);
}

START_TEST(after_every_crash_the_tree_is_one_that_once_was)
{
    struct run run = {.check = &current->result->check};
    char script[512];
    struct sim_fs *sim = NULL;

    run.check->counts = &current->result->counts;
    run.check->seed = current->seed;
    kv_ignore(sim_create(&sim)); /* cannot fail */
    fs_rig_init(&run.rig, sim, current->seed);
    sim_watch(sim, watch, &run);
    random_script(current->seed, script, sizeof script);
    run_script(&run, "r");
    run_script(&run, current->workload->script != NULL ? current->workload->script : script);
    run_script(&run, "r");
    sim_watch(sim, NULL, NULL);
    check_live(&run);
    current->result->operations = run.rig.bounds.written;
    crash_images_clear(&run.images);
    fs_rig_abandon(&run.rig);
    fs_rig_finish(&run.rig);
    crash_check_finish(run.check);
}
END_TEST

static bool run_workload(const struct task *task)
{
    Suite *suite = suite_create("crash_fs");
    TCase *tc = tcase_create("workload");
    SRunner *runner = srunner_create(suite);
    int failed;

    current = task;
    tcase_set_timeout(tc, 0);
    tcase_add_test(tc, after_every_crash_the_tree_is_one_that_once_was);
    suite_add_tcase(suite, tc);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_SILENT);
    failed = srunner_ntests_failed(runner);
    if (failed > 0) {
        TestResult **results = srunner_failures(runner);
        printf("# %s:%d: %s\n", tr_lfile(results[0]), tr_lno(results[0]), tr_msg(results[0]));
        free(results);
    }
    srunner_free(runner);
    return failed == 0;
}

/* ---- processes ---- */

static bool run_task(void *arg, size_t i)
{
    return run_workload((const struct task *)arg + i);
}

static void report(void *arg, size_t i, unsigned number, int status)
{
    const struct task *task = (const struct task *)arg + i;
    const struct result *result = task->result;
    bool ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;

    printf("%sok %u - %s, round %u: %" PRIu64 " operations, %" PRIu64 " states\n", ok ? "" : "not ",
           number, task->workload->name, task->round, result->operations, result->counts.states);
    if (WIFSIGNALED(status)) {
        printf("# killed by signal %d\n", WTERMSIG(status));
    }
    if (!ok) {
        printf("# after: %s\n", result->point != 0 ? result->check.where : "no crash");
        printf("# replay: crash_fs --seed %" PRIu64 " --only '%s' --round %u", task->options->seed,
               task->workload->name, task->round);
        if (result->point != 0) {
            printf(" --point %" PRIu64, result->point);
        }
        printf("\n");
    }
    fflush(stdout);
}

/* ---- the whole ---- */

static bool finish(const struct task *tasks, size_t count, size_t failed)
{
    struct crash_counts sum = {0};
    const struct crash_options *options = tasks[0].options;
    bool whole = options->only == NULL && options->point == 0 && options->every == 1;
    bool enough;

    for (size_t i = 0; i < count; i++) {
        crash_counts_add(&sum, &tasks[i].result->counts);
    }
    enough = !whole || failed > 0 || sum.states >= STATES_MIN;
    crash_counts_print(&sum);
    if (whole) {
        printf("%sok %zu - at least %d states were tried\n", enough ? "" : "not ", count + 1,
               STATES_MIN);
    }
    printf("1..%zu\n", count + whole);
    return failed == 0 && enough;
}

int main(int argc, char **argv)
{
    struct crash_options options = crash_options_parse(argc, argv);
    unsigned rounds = options.round >= 0 ? (unsigned)options.round + 1 : options.rounds;
    size_t most = (size_t)rounds * WORKLOAD_COUNT;
    struct task *tasks = calloc(most, sizeof *tasks);
    struct result *results = tasks_share(most * sizeof *results);
    struct tasks run = {.run = run_task, .report = report, .jobs = options.jobs, .arg = tasks};
    size_t count = 0;
    bool ok;

    if (tasks == NULL) {
        printf("Bail out! no memory\n");
        return 1;
    }
    printf("# seed %" PRIu64 "\n", options.seed);
    for (size_t i = 0; i < most; i++) {
        unsigned round = (unsigned)(i / WORKLOAD_COUNT);
        if (crash_options_want(&options, workloads[i % WORKLOAD_COUNT].name, round)) {
            tasks[count] = (struct task){
                .options = &options,
                .workload = &workloads[i % WORKLOAD_COUNT],
                .round = round,
                .seed = hash_u64(options.seed + hash_u64(i)),
                .result = &results[count],
            };
            count++;
        }
    }
    if (count == 0) {
        printf("Bail out! no such workload\n");
        return 1;
    }
    run.count = count;
    ok = finish(tasks, count, tasks_run(&run));
    free(tasks);
    return ok ? 0 : 1;
}
