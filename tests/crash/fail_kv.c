/* SPDX-License-Identifier: Apache-2.0 */
/* Fails every n-th call of the engine to the file system, in several ways, once and for ever, and
 * looks whether anything acknowledged is lost. Speaks TAP.
 *
 *   fail_kv [--slow] [--seed N] [--only SCRIPT] [--case N]
 *
 * A case is one call of one script failing in one way. After the step that the failure struck, the
 * next two, and at the end, the store must hold every acknowledged batch when opened with the
 * failure gone: after the death of the process, and after power loss as far as acknowledged by a
 * sync. A batch whose writing failed may be there or not. No failure may be told as damage. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/crash/rig.h"

struct script {
    const char *name;
    const char *steps;
};

static const struct script scripts[] = {
    {"logging", "r t t n3 w3 s y2 b1 n2 s w2 r y1"},
    {"flushes and merges", "r t t w4 f w4 f w4 f w4 f m c y1 n1 f"},
    {"rotations", "r t t b1 n3 b1 w2 b1 s b1 n2 b1 y1 f w1"},
};

enum {
    SCRIPT_COUNT = sizeof scripts / sizeof scripts[0],
    RANDOM_COUNT = 27, /* so many random scripts more in a long run */
    TEST_MAX = SCRIPT_COUNT + RANDOM_COUNT,
    STEPS_MAX = 256,
};

enum { CALLS_MAX = 1024, STEPS_CHECKED = 3 };

struct failure_way {
    const char *name;
    enum sim_failure failure;
    bool forever;
};

static const struct failure_way ways[] = {
    {"EIO once", SIM_FAIL_EIO, false},
    {"EIO for ever", SIM_FAIL_EIO, true},
    {"EIO after the change was made, once", SIM_FAIL_EIO_LATE, false},
    {"EIO after each change was made", SIM_FAIL_EIO_LATE, true},
    {"ENOSPC once", SIM_FAIL_ENOSPC, false},
    {"ENOSPC for ever", SIM_FAIL_ENOSPC, true},
    {"a short write", SIM_FAIL_SHORT, false},
    {"short writes for ever", SIM_FAIL_SHORT, true},
    {"a short write, then ENOSPC once", SIM_FAIL_SHORT_ENOSPC, false},
    {"a short write, then ENOSPC for ever", SIM_FAIL_SHORT_ENOSPC, true},
};

enum { WAY_COUNT = sizeof ways / sizeof ways[0] };

/* What a process tells its parent, in shared memory. */
struct result {
    uint64_t calls, cases, openings;
    uint64_t unreported; /* the step that was struck returned success all the same */
    uint64_t current;    /* case */
    char what[128];
};

struct options {
    uint64_t seed;
    const char *only;
    bool slow;         /* random scripts too */
    int64_t only_case; /* -1: all */
};

struct test {
    const struct options *options;
    const char *name;
    char steps[STEPS_MAX];
    struct result *result;
    struct sim_event calls[CALLS_MAX]; /* of the run without a failure */
    size_t call_count;
};

/* One run of the script. */
struct run {
    struct test *test;
    struct rig rig;
    const struct failure_way *way; /* NULL: nothing fails */
    bool struck;                   /* the failure has happened */
    unsigned steps_since;
};

static bool fail(const struct run *run, const char *what, int error)
{
    struct sim_event event = {0};
    if (run->rig.sim != NULL) {
        sim_fault_hit(run->rig.sim, &event);
    }
    printf("# %s%s%s\n#   case %" PRIu64 ": %s\n", what, error < 0 ? ": " : "",
           error < 0 ? kv_strerror(error) : "", run->test->result->current,
           run->test->result->what);
    if (run->rig.message[0] != '\0') {
        printf("#   the store said: %s\n", run->rig.message);
    }
    fflush(stdout);
    return false;
}

/* ---- what may be there ---- */

/* May the key have this value after the first `count` batches? */
static bool value_fits(const struct rig_model *model, size_t count, struct rig_change got)
{
    for (size_t n = count; n-- > 0;) {
        const struct rig_batch *batch = &model->batches[n];
        bool set = false;
        for (size_t i = batch->count; i-- > 0 && !set;) {
            const struct rig_change *change = &batch->changes[i];
            set = change->table == got.table && change->key == got.key;
            if (set && change->value == got.value) {
                return true;
            }
        }
        if (set && !batch->failed) {
            return false;
        }
    }
    return got.value == 0;
}

static bool rows_fit(const struct rig_model *model, size_t count, const struct rig_rows *rows)
{
    for (uint8_t t = 0; t < RIG_TABLES; t++) {
        for (uint8_t k = 0; k < RIG_KEYS; k++) {
            if (!value_fits(model, count, (struct rig_change){t, k, rows->value[t][k]})) {
                return false;
            }
        }
    }
    return true;
}

/* The rows are those after some number of batches, at least `lowest`. */
static bool check_rows(const struct run *run, const struct rig_rows *rows, size_t lowest,
                       const char *when)
{
    char what[160];
    for (size_t n = run->rig.model.batch_count + 1; n-- > lowest;) {
        if (rows_fit(&run->rig.model, n, rows)) {
            return true;
        }
    }
    snprintf(what, sizeof what, "acknowledged batches are lost, or others there, %s", when);
    return fail(run, what, 0);
}

/* What was read once survives power loss, also if it was in memory only because a sync had failed.
 */
static bool check_stays(const struct run *run, struct rig *rig, const struct rig_rows *rows)
{
    struct sim_fs *after = NULL;
    struct rig_rows again = {0};
    uint64_t damage;
    int r;

    rig_abandon(rig);
    kv_ignore(sim_crash(rig->sim, 1, SIM_DROP_ALL, &after, &damage)); /* cannot fail */
    sim_destroy(rig->sim);
    rig->sim = after;
    r = rig_open(rig, false, run->rig.bounds.tables);
    r = r < 0 ? r : rig_read(rig, &again);
    run->test->result->openings++;
    if (r < 0) {
        return fail(run, "a reopened store cannot be opened after power loss", r);
    }
    return rig_digest(rows) == rig_digest(&again) ||
           fail(run, "rows that were read are gone after power loss", 0);
}

/* Open what is there with nothing failing any more, and compare. Takes the file system. */
static bool check_left(const struct run *run, struct sim_fs *take_sim, size_t lowest,
                       const char *when)
{
    struct rig rig;
    struct rig_rows rows = {0};
    char what[400];
    bool ok;
    int r;

    rig_init(&rig, take_sim, 1);
    sim_fail(rig.sim, NULL);
    r = rig_open(&rig, !run->rig.bounds.opened, run->rig.bounds.tables);
    r = r < 0 ? r : rig_read(&rig, &rows);
    run->test->result->openings++;
    if (r < 0) {
        snprintf(what, sizeof what, "the store cannot be opened or read %s (%s)", when,
                 rig.message);
        ok = fail(run, what, r);
    } else {
        ok = check_rows(run, &rows, lowest, when) && check_stays(run, &rig, &rows);
    }
    rig_abandon(&rig);
    rig_finish(&rig);
    return ok;
}

/* Let the process die, or the power go, at this moment. */
static bool check_now(struct run *run)
{
    static const enum sim_mode modes[] = {SIM_DROP_ALL, SIM_RANDOM};
    struct sim_fs *after = NULL;
    uint64_t damage;
    bool ok;

    kv_ignore(sim_kill(run->rig.sim, &after)); /* cannot fail, nor can a crash */
    ok = check_left(run, after, run->rig.bounds.written, "after the death of the process");
    for (int i = 0; i < 2 && ok; i++) {
        kv_ignore(sim_crash(run->rig.sim, rng_next(&run->rig.rng), modes[i], &after, &damage));
        ok = check_left(run, after, run->rig.bounds.synced, "after power loss");
    }
    return ok;
}

/* ---- a run ---- */

static bool judge_step(struct run *run, char step, int r)
{
    struct sim_event event;
    bool struck_before = run->struck;
    char what[128];

    if (run->way == NULL) {
        return r == 0 ? true : fail(run, "a step fails though nothing else did", r);
    }
    run->struck = sim_fault_hit(run->rig.sim, &event);
    if (r == -KV_EDAMAGED || r == -ENOENT) {
        return fail(run, "a failed call is told as damage", r);
    }
    if (r < 0 && !run->struck) {
        return fail(run, "a step fails though nothing else did", r);
    }
    if (r < 0 && struck_before && !run->way->forever) {
        snprintf(what, sizeof what, "step '%c' fails after a failure that was over", step);
        return fail(run, what, r);
    }
    if (run->struck && !struck_before) {
        run->test->result->unreported += r == 0;
    }
    run->steps_since += run->struck;
    return run->steps_since == 0 || run->steps_since > STEPS_CHECKED || check_now(run);
}

/* A step; a store that could not be opened is tried again as long as that may help. */
static bool run_step(struct run *run, char step, bool *ret_gone)
{
    int r = rig_step(&run->rig, step);
    bool ok = judge_step(run, step, r);

    if (ok && run->rig.store == NULL && !run->way->forever) {
        r = rig_step(&run->rig, 'r');
        ok = r == 0 || fail(run, "the store cannot be opened with the failure gone", r);
    }
    *ret_gone = run->rig.store == NULL || (step == 't' && run->rig.bounds.tables == 0);
    return ok;
}

static bool run_steps(struct run *run)
{
    const char *script = run->test->steps;
    unsigned count = 0;
    bool gone = false;
    bool ok = true;
    char step;

    while (ok && !gone && (step = rig_next_step(&script, &count)) != '\0') {
        for (unsigned i = 0; i < count && ok && !gone; i++) {
            ok = run_step(run, step, &gone);
        }
    }
    return ok;
}

/* Close with the failure gone, and open again: the same rows, if closing said it went well. */
static bool run_close(struct run *run)
{
    struct rig_rows before = {0};
    struct rig_rows after = {0};
    int r;

    sim_fail(run->rig.sim, NULL);
    r = rig_read(&run->rig, &before);
    if (r < 0) {
        return fail(run, "the store cannot be read", r);
    }
    if (!check_rows(run, &before, run->rig.model.batch_count, "while the store was open")) {
        return false;
    }
    if (rig_close(&run->rig) < 0) {
        return true; /* it said so */
    }
    r = rig_open(&run->rig, false, run->rig.bounds.tables);
    r = r < 0 ? r : rig_read(&run->rig, &after);
    run->test->result->openings++;
    if (r < 0) {
        return fail(run, "the store cannot be opened after it was closed", r);
    }
    return rig_digest(&before) == rig_digest(&after) ||
           fail(run, "the store shows other rows after it was closed", 0);
}

static void note_call(void *arg, struct sim_fs *sim, const struct sim_event *event)
{
    struct test *test = arg;
    if (test->call_count < CALLS_MAX) {
        test->calls[test->call_count++] = *event;
    }
}

static bool run_script(struct test *test, const struct failure_way *way, uint64_t at)
{
    struct run run = {.test = test, .way = way};
    struct sim_fs *sim = NULL;
    bool ok;

    kv_ignore(sim_create(&sim)); /* cannot fail */
    rig_init(&run.rig, sim, test->options->seed);
    if (way != NULL) {
        struct sim_fault fault = {.at = at, .failure = way->failure, .forever = way->forever};
        sim_fail(sim, &fault);
    } else {
        sim_watch(sim, note_call, test);
    }
    ok = run_steps(&run);
    sim_watch(run.rig.sim, NULL, NULL);
    ok = ok && check_now(&run);
    ok = ok && (run.rig.store == NULL || run_close(&run));
    rig_abandon(&run.rig);
    ok = ok && check_left(&run, run.rig.sim, run.rig.bounds.written, "at the end");
    run.rig.sim = ok ? NULL : run.rig.sim;
    rig_finish(&run.rig);
    return ok;
}

static bool run_case(struct test *test, size_t call, size_t way)
{
    const struct sim_event *event = &test->calls[call];
    struct result *result = test->result;
    uint64_t number = call * WAY_COUNT + way;

    if (!sim_can_fail(event, ways[way].failure) ||
        (test->options->only_case >= 0 && (uint64_t)test->options->only_case != number)) {
        return true;
    }
    result->current = number;
    result->cases++;
    snprintf(result->what, sizeof result->what, "%s at call %" PRIu64 ", %s %s", ways[way].name,
             event->number, sim_call_name(event->call), sim_kind_name(event->kind));
    return run_script(test, &ways[way], event->number);
}

static bool run_test(struct test *test)
{
    bool ok = run_script(test, NULL, 0);
    test->result->calls = test->call_count;
    for (size_t call = 0; call < test->call_count && ok; call++) {
        for (size_t way = 0; way < WAY_COUNT && ok; way++) {
            ok = run_case(test, call, way);
        }
    }
    return ok;
}

/* ---- processes ---- */

static bool report(const struct test *test, unsigned number, int status)
{
    const struct result *result = test->result;
    bool ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;

    printf("%sok %u - %s: %" PRIu64 " failures at %" PRIu64 " calls, %" PRIu64 " openings; %" PRIu64
           " were mended in the step they struck\n",
           ok ? "" : "not ", number, test->name, result->cases, result->calls, result->openings,
           result->unreported);
    if (!ok) {
        if (WIFSIGNALED(status)) {
            printf("# killed by signal %d during %s\n", WTERMSIG(status), result->what);
        }
        printf("# steps: %s\n# replay: fail_kv%s --seed %" PRIu64 " --only '%s' --case %" PRIu64
               "\n",
               test->steps, test->options->slow ? " --slow" : "", test->options->seed, test->name,
               result->current);
    }
    fflush(stdout);
    return ok;
}

static pid_t start(struct test *test)
{
    pid_t pid;
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        exit(run_test(test) ? 0 : 1);
    }
    return pid;
}

static struct options parse(int argc, char **argv)
{
    static const struct option longs[] = {{"slow", no_argument, NULL, 'n'},
                                          {"seed", required_argument, NULL, 's'},
                                          {"only", required_argument, NULL, 'o'},
                                          {"case", required_argument, NULL, 'c'},
                                          {NULL, 0, NULL, 0}};
    const char *seed = getenv("KV_SEED");
    struct options options = {
        .seed = seed != NULL ? strtoull(seed, NULL, 0) : clock_monotonic_ns() % 1000000,
        .slow = getenv("KV_SLOW") != NULL,
        .only_case = -1,
    };
    int option;

    while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (option) {
        case 'n':
            options.slow = true;
            break;
        case 's':
            options.seed = strtoull(optarg, NULL, 0);
            break;
        case 'o':
            options.only = optarg;
            break;
        case 'c':
            options.only_case = strtoll(optarg, NULL, 0);
            break;
        default:
            exit(2);
        }
    }
    return options;
}

static void random_steps(uint64_t seed, char to[STEPS_MAX])
{
    static const char steps[] = "nnwwyybsffmcrt";
    struct rng rng = {hash_u64(seed)};
    size_t used = (size_t)snprintf(to, STEPS_MAX, "r t t");
    for (int i = 0; i < 16; i++) {
        char step = steps[rng_below(&rng, sizeof steps - 1)];
        unsigned count = strchr("nwy", step) != NULL ? 1 + (unsigned)rng_below(&rng, 4) : 1;
        used += (size_t)snprintf(to + used, STEPS_MAX - used, " %c%u", step, count);
    }
}

static size_t make_tests(const struct options *options, struct result *results,
                         struct test tests[TEST_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < (options->slow ? TEST_MAX : SCRIPT_COUNT); i++) {
        struct test *test = &tests[count];
        const char *name = i < SCRIPT_COUNT ? scripts[i].name : "random";
        if (options->only != NULL && strcmp(options->only, name) != 0) {
            continue;
        }
        *test = (struct test){.options = options, .name = name, .result = &results[count]};
        if (i < SCRIPT_COUNT) {
            snprintf(test->steps, sizeof test->steps, "%s", scripts[i].steps);
        } else {
            random_steps(options->seed + i, test->steps);
        }
        count++;
    }
    return count;
}

int main(int argc, char **argv)
{
    struct options options = parse(argc, argv);
    struct test *tests = calloc(TEST_MAX, sizeof *tests);
    struct result *results = mmap(NULL, TEST_MAX * sizeof *results, PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    size_t count;
    bool ok = true;

    if (tests == NULL || results == MAP_FAILED) {
        printf("Bail out! no memory\n");
        return 1;
    }
    printf("# seed %" PRIu64 "\n", options.seed);
    count = make_tests(&options, results, tests);
    for (size_t i = 0; i < count; i++) {
        int status = 1;
        pid_t pid = start(&tests[i]);
        if (waitpid(pid, &status, 0) != pid) {
            status = 1;
        }
        ok = report(&tests[i], (unsigned)i + 1, status) && ok;
    }
    printf("1..%zu\n", count);
    free(tests);
    return ok && count > 0 ? 0 : 1;
}
