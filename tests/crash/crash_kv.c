/* SPDX-License-Identifier: Apache-2.0 */
/* Crashes the engine at every change it makes to the file system, in several ways, and judges what
 * is found. Speaks TAP.
 *
 *   crash_kv [--slow N] [--every N] [--jobs N] [--seed N] [--only WORKLOAD] [--round N] [--point N]
 *
 * Each workload runs N times (1), in a process of its own. --every N tries every N-th moment only.
 * --point restricts the run to one version of the file system: the command that is printed with a
 * failure replays exactly that. KV_SEED and KV_SLOW stand for --seed and a long run. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "tests/crash/crash_check.h"
#include "tests/crash/crash_options.h"
#include "tests/crash/tasks.h"

struct workload {
    const char *name;
    const char *script; /* NULL: random */
};

static const struct workload workloads[] = {
    {"logged writes and syncs", "r w10 s w10 s w20 y3 w5 s w1 s w30"},
    {"unlogged writes", "r n30 s n20 w1 n20 y1 n60 s n10"},
    {"every write synced", "r y60"},
    {"writes without a sync", "r w150"},
    {"flushes", "r w15 f w15 f y5 f n10 f w20 f f"},
    {"compactions", "r w30 f w30 f w30 f w30 c w20 f w20 c"},
    {"merges by level",
     "r w20 f w20 f w20 f w20 f m m w20 f w20 f m w20 f w20 f m m m w20 f w9 f m m"},
    {"tables made on the way", "r w10 t w10 s t n10 w3 f w10 t y2"},
    {"opened again and again", "r w5 r w5 r n5 r y5 r w10 r r f r w3"},
    {"opened again with much in the log", "r w60 r w60 r n60 s w10 r"},
    {"large values", "r b2 s w5 b3 w5 y1 b4 n5 f b2 s b1"},
    {"rotations", "r t n40 b1 n40 b1 w40 b1 w40 b1 y2 w40"},
    {"rotations with syncs between", "r b1 s b1 s b1 s n3 b1 y1 b1 w1 s b1 w9"},
    {"merges and large values", "r b3 f b3 f w20 f b2 w20 f c b2 w20 c r w10 c"},
    {"new manifests while writing", "r w10 l f w20 s l f w5 l f l w10 l f l m w5 l c w5 r w5 l f"},
    {"invariant 1: a synced record has synced blob bytes",
     "o r b1 s b1 y1 w5 s b1 n2 s w9 s b2 w2 y2 f b1 s b1 s w1"},
    {"invariant 2: unsynced pointers are verified and end the prefix",
     "o r w20 b1 w5 b1 n4 w20 b1 w3 b1 s b1 w9 b1 w20 r b1 w9 b1"},
    {"invariant 3: blob bytes stay while a log names them",
     "o r b9 f c h w60 f c h d2 n2 d p2 d f d c b6 p3 h w60 f c h d2 s d w3 d r c d h w60 m f c h "
     "d2"},
    {"invariant 4: what nothing points at goes when that is durable",
     "o r b6 f w60 f c b9 h w60 f c d h w9 d f c w60 f c d b6 f h w60 m f c h d r w60 f c d"},
    {"blobs, flushes and merges", "o r b2 f w30 f b1 w20 f c b2 w30 c f w20 f m m r b1 f c"},
    {"blobs and then none, and again", "o r b2 w9 o r b1 w9 f c o r b2 w9 y2 c"},
    {"named snapshots", "r w10 k w10 f w10 k w9 f x w10 f c w5 k r w10 c g x r n5 k w3"},
    {"named snapshots of unlogged writes", "r n20 k n9 x n5 k y1 n9 r n9 x k n5 f x k n5"},
    {"named snapshots and new manifests", "r w5 l k w5 l x w5 l k l k l x l f w3"},
    {"named snapshots and large values",
     "o r b3 w5 k b4 f w30 f c d x b2 h f c d k r b3 d x f c d"},
    {"damage that is remembered", "r w9 z w5 f z r w5 l f z y2 c z r z w3"},
    {"nothing but opening", "r r r r"},
    {"idle syncs", "r s w1 s s f s n1 s c s r s"},
    {"random a", NULL},
    {"random b", NULL},
    {"random c", NULL},
    {"random with blobs a", NULL},
    {"random with blobs b", NULL},
};

enum {
    WORKLOAD_COUNT = sizeof workloads / sizeof workloads[0],
    STATES_MIN = 10000,
};

/* What a process tells its parent, in shared memory. */
struct result {
    struct crash_counts counts;
    char where[256];
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
    const struct task *task;
    struct rig rig;
    struct crash_check check;
    struct crash_images images;
};

static void watch(void *arg, struct sim_fs *sim, const struct sim_event *event)
{
    struct run *run = arg;
    run->task->result->counts.calls[event->call][event->kind]++;
    if (event->changes) {
        crash_images_add(&run->images, sim, &run->rig.bounds);
    }
}

static void random_script(uint64_t seed, char *to, size_t size)
{
    static const char steps[] = "nnwwwyybbsfffmmcdpphrtkkx";
    struct rng rng = {hash_u64(seed + 77)};
    size_t used = (size_t)snprintf(to, size, "r");
    for (int i = 0; i < 24; i++) {
        char step = steps[rng_below(&rng, sizeof steps - 1)];
        bool counted = strchr("nwy", step) != NULL;
        unsigned count = counted ? 1 + (unsigned)rng_below(&rng, 20) : 1;
        used += (size_t)snprintf(to + used, size - used, " %c%u", step, count);
    }
}

static bool check_images(struct run *run)
{
    const struct crash_options *options = run->task->options;
    bool ok = true;
    for (size_t i = 0; i < run->images.count && ok; i++) {
        const struct crash_image *image = &run->images.items[i];
        if (options->point == image->point ||
            (options->point == 0 && image->point % options->every == 0)) {
            snprintf(run->task->result->where, sizeof run->task->result->where, " --point %" PRIu64,
                     image->point);
            ok = crash_check_image(&run->check, image, options->damages);
        }
    }
    crash_images_clear(&run->images);
    return ok;
}

static bool run_step(struct run *run, char step)
{
    int r = rig_step(&run->rig, step);
    if (r < 0) {
        printf("# step '%c' of the workload itself fails: %s\n#   the store said: %s\n", step,
               kv_strerror(r), run->rig.message);
        return false;
    }
    crash_images_add(&run->images, run->rig.sim, &run->rig.bounds); /* acknowledged */
    run->check.model = &run->rig.model;
    return check_images(run);
}

static bool run_script(struct run *run, const char *script)
{
    unsigned count = 0;
    char step;
    bool ok = true;
    while (ok && (step = rig_next_step(&script, &count)) != '\0') {
        for (unsigned i = 0; i < count && ok; i++) {
            ok = run_step(run, step);
        }
    }
    return ok;
}

static bool run_workload(const struct task *task)
{
    struct run run = {.task = task, .check = {.counts = &task->result->counts, .seed = task->seed}};
    char script[512];
    struct sim_fs *sim = NULL;
    bool ok;

    kv_ignore(sim_create(&sim)); /* cannot fail */
    rig_init(&run.rig, sim, task->seed);
    run.rig.bounds.tables = 0;
    sim_watch(sim, watch, &run);
    random_script(task->seed, script, sizeof script);
    run.rig.blobs = strstr(task->workload->name, "with blobs") != NULL;
    ok = run_script(&run, "r t t") &&
         run_script(&run, task->workload->script != NULL ? task->workload->script : script) &&
         run_step(&run, 'r');
    sim_watch(sim, NULL, NULL);
    crash_images_clear(&run.images);
    rig_abandon(&run.rig);
    rig_finish(&run.rig);
    crash_check_finish(&run.check);
    return ok;
}

/* ---- processes ---- */

static bool run_task(void *arg, size_t i)
{
    return run_workload((const struct task *)arg + i);
}

static void report(void *arg, size_t i, unsigned number, int status)
{
    const struct task *task = (const struct task *)arg + i;
    const struct crash_counts *counts = &task->result->counts;
    bool ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;

    printf("%sok %u - %s, round %u: %" PRIu64 " states\n", ok ? "" : "not ", number,
           task->workload->name, task->round, counts->states);
    if (!ok) {
        if (WIFSIGNALED(status)) {
            printf("# killed by signal %d\n", WTERMSIG(status));
        }
        printf("# replay: crash_kv --seed %" PRIu64 " --only '%s' --round %u%s\n",
               task->options->seed, task->workload->name, task->round, task->result->where);
    }
    fflush(stdout);
}

/* ---- the whole ---- */

/* Every kind of I/O that the engine makes the storage do. What is not here it does not use (linking
 * into another store, punching), or only where something fails. */
static const struct {
    enum sim_call call;
    enum sim_kind kind;
} required[] = {
    {SIM_MKDIR, SIM_DIR},         {SIM_OPEN, SIM_DIR},           {SIM_OPEN, SIM_PARENT},
    {SIM_OPEN, SIM_LOCK},         {SIM_OPEN, SIM_ROOT},          {SIM_OPEN, SIM_LOG},
    {SIM_OPEN, SIM_MANIFEST},     {SIM_OPEN, SIM_TABLE},         {SIM_CREATE, SIM_LOCK},
    {SIM_CREATE, SIM_ROOT_TMP},   {SIM_CREATE, SIM_LOG},         {SIM_CREATE, SIM_MANIFEST},
    {SIM_CREATE, SIM_TABLE_TMP},  {SIM_CLOSE, SIM_DIR},          {SIM_FCHMOD, SIM_DIR},
    {SIM_PREAD, SIM_ROOT},        {SIM_PREAD, SIM_LOG},          {SIM_PREAD, SIM_MANIFEST},
    {SIM_PREAD, SIM_TABLE},       {SIM_PWRITEV, SIM_LOCK},       {SIM_PWRITEV, SIM_ROOT},
    {SIM_PWRITEV, SIM_ROOT_TMP},  {SIM_PWRITEV, SIM_LOG},        {SIM_PWRITEV, SIM_MANIFEST},
    {SIM_PWRITEV, SIM_TABLE_TMP}, {SIM_FDATASYNC, SIM_ROOT},     {SIM_FDATASYNC, SIM_ROOT_TMP},
    {SIM_FDATASYNC, SIM_LOG},     {SIM_FDATASYNC, SIM_MANIFEST}, {SIM_FDATASYNC, SIM_TABLE_TMP},
    {SIM_FSYNC, SIM_DIR},         {SIM_FSYNC, SIM_PARENT},       {SIM_FALLOCATE, SIM_LOG},
    {SIM_RENAME, SIM_ROOT},       {SIM_RENAME, SIM_TABLE},       {SIM_RENAME, SIM_LOG},
    {SIM_UNLINK, SIM_LOG},        {SIM_UNLINK, SIM_MANIFEST},    {SIM_UNLINK, SIM_TABLE},
    {SIM_UNLINK, SIM_TABLE_TMP},  {SIM_FLOCK, SIM_LOCK},         {SIM_LIST, SIM_DIR},
    {SIM_LSTAT, SIM_LOCK},        {SIM_FSTAT, SIM_LOG},
};

static void print_calls(const struct crash_counts *sum)
{
    printf("# crashed at:\n");
    for (int c = 0; c < SIM_CALL_COUNT; c++) {
        for (int k = 0; k < SIM_KIND_COUNT; k++) {
            if (sum->calls[c][k] > 0) {
                printf("#   %-16s %-17s %9" PRIu64 "\n", sim_call_name((enum sim_call)c),
                       sim_kind_name((enum sim_kind)k), sum->calls[c][k]);
            }
        }
    }
}

static bool all_calls_crashed_at(const struct crash_counts *sum)
{
    bool all = true;
    for (size_t i = 0; i < sizeof required / sizeof required[0]; i++) {
        if (sum->calls[required[i].call][required[i].kind] == 0) {
            printf("# never crashed at: %s %s\n", sim_call_name(required[i].call),
                   sim_kind_name(required[i].kind));
            all = false;
        }
    }
    return all;
}

static bool finish(const struct task *tasks, size_t count, size_t failed)
{
    struct crash_counts sum = {0};
    const struct crash_options *options = tasks[0].options;
    bool whole = options->only == NULL && options->point == 0 && options->every == 1;
    bool all;

    for (size_t i = 0; i < count; i++) {
        crash_counts_add(&sum, &tasks[i].result->counts);
    }
    crash_counts_print(&sum);
    if (!whole) {
        printf("1..%zu\n", count);
        return failed == 0;
    }
    print_calls(&sum);
    all = all_calls_crashed_at(&sum);
    printf("%sok %zu - every kind of I/O was crashed at\n", all ? "" : "not ", count + 1);
    printf("%sok %zu - at least %d states were tried\n",
           failed > 0 || sum.states >= STATES_MIN ? "" : "not ", count + 2, STATES_MIN);
    printf("1..%zu\n", count + 2);
    return failed == 0 && all && sum.states >= STATES_MIN;
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
    for (unsigned round = 0; round < rounds; round++) {
        for (size_t i = 0; i < WORKLOAD_COUNT; i++) {
            if (crash_options_want(&options, workloads[i].name, round)) {
                tasks[count] = (struct task){
                    .options = &options,
                    .workload = &workloads[i],
                    .round = round,
                    .seed = hash_u64(options.seed + hash_u64(round * 1000 + i)),
                    .result = &results[count],
                };
                count++;
            }
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
