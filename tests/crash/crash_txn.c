/* SPDX-License-Identifier: Apache-2.0 */
/* Crashes the engine at every change it makes to the file system while transactions commit and
 * others are open: what is found must hold whole transactions, in their order, and nothing of those
 * that did not commit. Speaks TAP.
 *
 *   crash_txn [--slow N] [--every N] [--jobs N] [--seed N] [--only WORKLOAD] [--round N] [--point
 * N]
 *
 * A workload is a script for rig_step() (rig.h) with more letters:
 *   N, T, Y   a transaction committed with KV_DURABLE_NONE, WRITE, SYNC, savepoints on the way
 *   B         one with a large value
 *   O         begin one, write in it, and leave it open
 *   Z         roll all open ones back; so do R, which opens the store again, and the end
 *   C         one that must not commit, as another one changed what it read
 *   R         close and open again */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <kv/txn.h>

#include "tests/crash/crash_check.h"
#include "tests/crash/crash_options.h"
#include "tests/crash/rig_impl.h"
#include "tests/crash/tasks.h"

struct workload {
    const char *name;
    const char *script; /* NULL: random */
};

static const struct workload workloads[] = {
    {"commits", "T20 s T10 Y5 T20"},
    {"unlogged commits", "N30 s N20 T1 N20 Y1 N30"},
    {"every commit synced", "Y40"},
    {"commits beside open transactions", "O T10 O Y2 O T10 s Z O Y3 T9"},
    {"commits that fail", "T5 C T5 C2 Y1 C s C T9 C"},
    {"commits and flushes", "O T15 f T15 f C Y5 f O N10 f Z T20 f f"},
    {"commits and merges", "O T20 f T20 f T20 f m O T20 c C T20 f m m Z T5 c"},
    {"opened again and again", "O T5 R O T5 R N5 C R Y5 R T10 R R f R T3"},
    {"large values", "B2 s T5 B3 O T5 Y1 B4 C N5 f B2 s Z B1 c R B1"},
    {"plain batches between", "w5 T5 w5 O n5 T5 C y1 N5 w9 f T5 w5"},
    {"random a", NULL},
    {"random b", NULL},
    {"random c", NULL},
};

enum {
    WORKLOAD_COUNT = sizeof workloads / sizeof workloads[0],
    STATES_MIN = 5000,
    OPEN_MAX = 4,
};

/* What a process tells its parent, in shared memory. */
struct result {
    struct crash_counts counts;
    uint64_t open_states; /* moments at which a transaction was open besides */
    char where[256];
};

struct task {
    const struct crash_options *options;
    const struct workload *workload;
    unsigned round;
    uint64_t seed;
    struct result *result;
};

struct run {
    const struct task *task;
    struct rig rig;
    struct kv_txn_manager *manager;
    struct kv_txn *open[OPEN_MAX];
    unsigned open_count;
    struct crash_check check;
    struct crash_images images;
};

/* ---- transactions ---- */

static int begin(struct run *run, struct kv_txn **ret_txn)
{
    struct rng *rng = &run->rig.rng;
    const struct kv_txn_options options = {
        .mode = rng_below(rng, 2) == 0 ? KV_TXN_OPTIMISTIC : KV_TXN_PESSIMISTIC,
        .isolation = rng_below(rng, 2) == 0 ? KV_TXN_SNAPSHOT : KV_TXN_SERIALIZABLE,
        .read_now = rng_below(rng, 2) == 0,
        .lock_timeout_ms = 1}; /* nobody else is there to give a lock up */
    int r = run->manager != NULL ? 0 : kv_txn_manager_open(run->rig.store, &run->manager);
    return r < 0 ? r : kv_txn_begin(run->manager, &options, ret_txn);
}

static int change(struct rig *rig, struct kv_txn *txn, const struct rig_change *change)
{
    static uint8_t bytes[RIG_VALUE_MAX];
    char bytes_of_key[16];
    char bytes_of_end[16];
    struct kv_table *table = rig->tables[change->table];
    struct kv_slice key = rig_key(change->key, bytes_of_key);

    if (change->value != 0) {
        return kv_txn_put(txn, table, key, rig_value(change->value, bytes));
    }
    if (change->end != 0) {
        return kv_txn_delete_range(txn, table, key, rig_key(change->end, bytes_of_end));
    }
    return kv_txn_delete(txn, table, key);
}

/* Changes that a savepoint undoes. */
static int detour(struct run *run, struct kv_txn *txn)
{
    struct rig_batch batch;
    int r = kv_txn_savepoint(txn);
    rig_draw_batch(&run->rig, run->rig.bounds.tables, &batch);
    for (size_t i = 0; i < batch.count && r == 0; i++) {
        r = change(&run->rig, txn, &batch.changes[i]);
    }
    r = r == -ETIMEDOUT ? 0 : r; /* an open one has the lock */
    return r < 0 ? r : kv_txn_rollback_to_savepoint(txn);
}

static int fill(struct run *run, struct kv_txn *txn, const struct rig_batch *batch)
{
    int r = 0;
    for (size_t i = 0; i < batch->count && r == 0; i++) {
        r = rng_below(&run->rig.rng, 4) == 0 ? detour(run, txn) : 0;
        r = r < 0 ? r : change(&run->rig, txn, &batch->changes[i]);
    }
    return r;
}

/* Open ones with locks would be in the way. */
static void roll_back(struct run *run)
{
    while (run->open_count > 0) {
        kv_txn_rollback(run->open[--run->open_count]);
    }
}

static int commit(struct run *run, struct kv_txn *txn, const struct rig_batch *batch,
                  enum kv_durability durability)
{
    struct rig *rig = &run->rig;
    int r;

    rig_model_add(&rig->model, batch);
    rig->bounds.issued = rig->model.batch_count;
    r = kv_txn_commit(txn, durability);
    if (r == 0) {
        rig->held_back = durability == KV_DURABLE_NONE;
        rig->bounds.written =
            durability != KV_DURABLE_NONE ? rig->bounds.issued : rig->bounds.written;
        rig->bounds.synced =
            durability == KV_DURABLE_SYNC ? rig->bounds.issued : rig->bounds.synced;
    }
    return r;
}

static int step_commit(struct run *run, char step)
{
    enum kv_durability durability = step == 'N'   ? KV_DURABLE_NONE
                                    : step == 'Y' ? KV_DURABLE_SYNC
                                                  : KV_DURABLE_WRITE;
    struct kv_txn *txn = NULL;
    struct rig_batch batch;
    int r;

    rig_draw_batch(&run->rig, run->rig.bounds.tables, &batch);
    if (step == 'B') {
        batch.changes[0].end = 0;
        batch.changes[0].value = RIG_LARGE_FIRST + run->rig.model.next_value++;
    }
    r = begin(run, &txn);
    r = r < 0 ? r : fill(run, txn, &batch);
    if (r == -ETIMEDOUT) { /* again without those that are in the way */
        kv_txn_rollback(txn);
        txn = NULL;
        roll_back(run);
        r = begin(run, &txn);
        r = r < 0 ? r : fill(run, txn, &batch);
    }
    if (r < 0) {
        kv_txn_rollback(txn);
        return r;
    }
    return commit(run, txn, &batch, durability);
}

static int step_open(struct run *run)
{
    struct kv_txn *txn = NULL;
    struct rig_batch batch;
    int r;

    if (run->open_count == OPEN_MAX) {
        return 0;
    }
    rig_draw_batch(&run->rig, run->rig.bounds.tables, &batch);
    r = begin(run, &txn);
    r = r < 0 ? r : fill(run, txn, &batch);
    if (r < 0) {
        kv_txn_rollback(txn);
        return r == -ETIMEDOUT ? 0 : r;
    }
    run->open[run->open_count++] = txn;
    return 0;
}

/* One reads a key, another changes it: the first must not commit what it writes to it. */
static int step_conflict(struct run *run)
{
    struct rig_batch batch = {.count = 1};
    struct kv_table *table = run->rig.tables[0];
    struct kv_txn *loser = NULL;
    struct kv_txn *winner = NULL;
    struct kv_buf value = {0};
    char key[16];
    int r;

    roll_back(run);
    batch.changes[0].value = run->rig.model.next_value++;
    r = begin(run, &loser);
    r = r < 0 ? r : kv_txn_get(loser, table, rig_key(0, key), &value);
    kv_buf_finish(&value);
    r = r == -ENOENT ? 0 : r;
    r = r < 0 ? r : begin(run, &winner);
    r = r < 0 ? r : fill(run, winner, &batch);
    r = r < 0 ? r : commit(run, winner, &batch, KV_DURABLE_WRITE);
    if (r < 0) {
        kv_txn_rollback(loser);
        return r;
    }
    r = kv_txn_put(loser, table, rig_key(0, key), kv_slice_str("lost"));
    r = r < 0 && r != -EAGAIN ? r : kv_txn_put(loser, table, rig_key(1, key), kv_slice_str("lost"));
    r = kv_txn_commit(loser, KV_DURABLE_WRITE);
    return r == -EAGAIN ? 0 : r == 0 ? -EPROTO : r;
}

static int end_all(struct run *run)
{
    int r;
    roll_back(run);
    r = kv_txn_manager_close(run->manager);
    run->manager = NULL;
    return r;
}

static int do_step(struct run *run, char step)
{
    int r;
    switch (step) {
    case 'N':
    case 'T':
    case 'Y':
    case 'B':
        return step_commit(run, step);
    case 'O':
        return step_open(run);
    case 'C':
        return step_conflict(run);
    case 'Z':
        roll_back(run);
        return 0;
    case 'R':
        r = end_all(run);
        return r < 0 ? r : rig_step(&run->rig, 'r');
    default:
        return rig_step(&run->rig, step);
    }
}

/* ---- one workload ---- */

static void watch(void *arg, struct sim_fs *sim, const struct sim_event *event)
{
    struct run *run = arg;
    run->task->result->counts.calls[event->call][event->kind]++;
    if (event->changes) {
        run->task->result->open_states += run->open_count > 0;
        crash_images_add(&run->images, sim, &run->rig.bounds);
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
    int r = do_step(run, step);
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

static void random_script(uint64_t seed, char *to, size_t size)
{
    static const char steps[] = "NNTTTYYBOOCCwnyfffmcsZR";
    struct rng rng = {hash_u64(seed + 77)};
    size_t used = 0;
    for (int i = 0; i < 24; i++) {
        char step = steps[rng_below(&rng, sizeof steps - 1)];
        unsigned count = strchr("NTY", step) != NULL ? 1 + (unsigned)rng_below(&rng, 12) : 1;
        used += (size_t)snprintf(to + used, size - used, " %c%u", step, count);
    }
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
    run.rig.blobs = task->seed % 2 == 0 || strchr(task->workload->name, 'v') != NULL;
    ok = run_script(&run, "r t t") &&
         run_script(&run, task->workload->script != NULL ? task->workload->script : script) &&
         run_step(&run, 'R');
    sim_watch(sim, NULL, NULL);
    crash_images_clear(&run.images);
    kv_ignore(end_all(&run)); /* what failed was told */
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
    bool ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;

    printf("%sok %u - %s, round %u: %" PRIu64 " states\n", ok ? "" : "not ", number,
           task->workload->name, task->round, task->result->counts.states);
    if (!ok) {
        if (WIFSIGNALED(status)) {
            printf("# killed by signal %d\n", WTERMSIG(status));
        }
        printf("# replay: crash_txn --seed %" PRIu64 " --only '%s' --round %u%s\n",
               task->options->seed, task->workload->name, task->round, task->result->where);
    }
    fflush(stdout);
}

static bool finish(const struct task *tasks, size_t count, size_t failed)
{
    struct crash_counts sum = {0};
    const struct crash_options *options = tasks[0].options;
    bool whole = options->only == NULL && options->point == 0 && options->every <= 2;
    uint64_t open_states = 0;
    bool enough;

    for (size_t i = 0; i < count; i++) {
        crash_counts_add(&sum, &tasks[i].result->counts);
        open_states += tasks[i].result->open_states;
    }
    crash_counts_print(&sum);
    printf("# at %" PRIu64 " moments other transactions were open\n", open_states);
    enough = !whole || failed > 0 || sum.states >= STATES_MIN;
    printf("%sok %zu - at least %d states were tried\n1..%zu\n", enough ? "" : "not ", count + 1,
           STATES_MIN, count + 1);
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
    for (unsigned round = 0; round < rounds; round++) {
        for (size_t i = 0; i < WORKLOAD_COUNT; i++) {
            if (crash_options_want(&options, workloads[i].name, round)) {
                tasks[count] =
                    (struct task){.options = &options,
                                  .workload = &workloads[i],
                                  .round = round,
                                  .seed = hash_u64(options.seed + hash_u64(round * 1000 + i)),
                                  .result = &results[count]};
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
