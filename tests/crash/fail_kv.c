/* SPDX-License-Identifier: Apache-2.0 */
/* Fails every n-th call of the engine to the file system, in several ways, once and for ever, and
 * looks whether the failure is told and whether anything acknowledged is lost. Speaks TAP.
 *
 *   fail_kv [--slow N] [--every N] [--jobs N] [--seed N] [--only SCRIPT] [--round N] [--point N]
 *
 * A case is one call of one script failing in one way. The call of the engine during which it fails
 * must return an error, but for the exceptions of fail_rules.c. After the step that the failure
 * struck, the next two, and at the end, the store must hold every acknowledged batch when opened
 * with the failure gone: after the death of the process, and after power loss as far as
 * acknowledged by a sync. No failure may be told as damage. --slow N runs N - 1 random scripts too,
 * of which --round picks one; --every N tries every N-th case; --point tries one case. */
#include <stdio.h>

#include "tests/crash/fail_rules.h"
#include "tests/crash/fail_tests.h"

enum { CALLS_MAX = 1024, CALLS_OF_A_SCRIPT_MAX = 200, DRAWS = 20, STEPS_CHECKED = 3 };

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

/* What is known of a script before anything fails in it. */
struct plan {
    struct fail_test *test;
    uint64_t seed;                     /* of the rows */
    struct sim_event calls[CALLS_MAX]; /* of the run without a failure */
    size_t call_count;
};

/* One run of the script. */
struct run {
    struct fail_run base;
    struct plan *plan;
    const struct failure_way *way; /* NULL: nothing fails */
    bool struck;                   /* the failure has happened */
    unsigned steps_since;
    struct fail_call now; /* the engine call under way */
    bool within;          /* there is one */
    char wrong[200];      /* the first call that did not tell of a failure as it must */
};

/* ---- who tells of a failure ---- */

static void note_strike(void *arg, struct sim_fs *sim, const struct sim_event *event)
{
    struct run *run = arg;
    if (run->within && run->now.strike_count < FAIL_STRIKES_MAX) {
        run->now.strikes[run->now.strike_count] = *event;
    }
    run->now.strike_count += run->within;
    run->base.result->strikes += run->within;
}

static void note_call(void *arg, struct sim_fs *sim, const struct sim_event *event)
{
    struct run *run = arg;
    struct plan *plan = run->plan;
    size_t strikes =
        run->now.strike_count < FAIL_STRIKES_MAX ? run->now.strike_count : FAIL_STRIKES_MAX;
    /* One that fails late has been struck before it comes here. */
    bool good = strikes == 0 || run->now.strikes[strikes - 1].number != event->number;

    if (run->way == NULL && plan->call_count < CALLS_MAX) {
        plan->calls[plan->call_count++] = *event;
    }
    if (good && run->within) {
        run->now.last_good[event->call][event->kind] = event->number;
    }
}

static void enter(void *arg, enum rig_call call)
{
    struct run *run = arg;
    run->now = (struct fail_call){.rig = &run->base.rig,
                                  .call = call,
                                  .held_back = run->base.rig.held_back,
                                  .warnings_before = run->base.rig.warnings};
    run->within = true;
}

/* An error that stands for what failed, and for nothing else. */
static bool error_fits(const struct run *run, int r)
{
    struct kv_health health;
    switch (r) {
    case -EIO:
        return true;
    case -ENOSPC:
        return run->way->failure == SIM_FAIL_ENOSPC || run->way->failure == SIM_FAIL_SHORT_ENOSPC;
    case -EROFS:
        if (run->base.rig.store == NULL) {
            return false;
        }
        kv_health(run->base.rig.store, &health);
        return health.state == KV_HEALTH_READ_ONLY && health.error < 0;
    default:
        return false;
    }
}

/* The call ends: if something failed below it, it returns an error or is one of the exceptions. */
static void leave(void *arg, enum rig_call call, int r)
{
    struct run *run = arg;
    struct fail_result *result = run->base.result;
    bool right = r >= 0 || (run->way != NULL && error_fits(run, r));

    run->within = false;
    for (size_t i = 0; i < run->now.strike_count && i < FAIL_STRIKES_MAX && r >= 0 && right; i++) {
        const struct sim_event *strike = &run->now.strikes[i];
        int rule = fail_rule_find(&run->now, strike);
        right = rule >= 0;
        if (right) {
            result->exceptions[rule]++;
        }
        if (!right && run->wrong[0] == '\0') {
            snprintf(run->wrong, sizeof run->wrong, "%s tells nothing of a failed %s %s (%s)",
                     rig_call_name(call), sim_call_name(strike->call), sim_kind_name(strike->kind),
                     strike->error < 0 ? kv_strerror(strike->error) : "cut short");
        }
    }
    result->mended += run->now.strike_count > 0 && r >= 0;
    if (!right && run->wrong[0] == '\0') {
        snprintf(run->wrong, sizeof run->wrong, "%s ends with the wrong error: %s",
                 rig_call_name(call), kv_strerror(r));
    }
}

/* ---- a run ---- */

static bool judge_step(struct run *run, char step, int r)
{
    struct sim_event event;
    bool struck_before = run->struck;
    char what[128];

    if (run->way == NULL) {
        return r == 0 || fail_say(&run->base, "a step fails though nothing else did", r);
    }
    run->struck = sim_fault_hit(run->base.rig.sim, &event);
    if (r == -KV_EDAMAGED || r == -ENOENT) {
        return fail_say(&run->base, "a failed call is told as damage", r);
    }
    if (r < 0 && !run->struck) {
        return fail_say(&run->base, "a step fails though nothing else did", r);
    }
    if (r < 0 && struck_before && !run->way->forever) {
        snprintf(what, sizeof what, "step '%c' fails after a failure that was over", step);
        return fail_say(&run->base, what, r);
    }
    if (run->wrong[0] != '\0') {
        return fail_say(&run->base, run->wrong, 0);
    }
    if (run->base.rig.store == NULL && sim_count_open(run->base.rig.sim) > 0) {
        return fail_say(&run->base, "descriptors are open though the store is not", 0);
    }
    run->steps_since += run->struck;
    return run->steps_since == 0 || run->steps_since > STEPS_CHECKED || fail_check_now(&run->base);
}

/* A step; a store that could not be opened is tried again as long as that may help. */
static bool run_step(struct run *run, char step, bool *ret_gone)
{
    struct rig *rig = &run->base.rig;
    int r = rig_step(rig, step);
    bool ok = judge_step(run, step, r);

    if (ok && rig->store == NULL && !run->way->forever) {
        r = rig_step(rig, 'r');
        ok = r == 0 || fail_say(&run->base, "the store cannot be opened with the failure gone", r);
    }
    *ret_gone = rig->store == NULL || (step == 't' && rig->bounds.tables == 0);
    return ok;
}

static bool run_steps(struct run *run)
{
    const char *script = run->plan->test->script.steps;
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

static bool run_script(struct plan *plan, const struct failure_way *way, uint64_t at)
{
    struct run run = {.base.result = plan->test->result, .plan = plan, .way = way};
    struct rig *rig = &run.base.rig;
    struct sim_fs *sim = NULL;
    bool ok;

    kv_ignore(sim_create(&sim)); /* cannot fail */
    rig_init(rig, sim, plan->seed);
    rig->observer = (struct rig_observer){.enter = enter, .leave = leave, .arg = &run};
    sim_watch(sim, note_call, &run);
    sim_watch_fault(sim, note_strike, &run);
    if (way != NULL) {
        struct sim_fault fault = {.at = at, .failure = way->failure, .forever = way->forever};
        sim_fail(sim, &fault);
    }
    ok = run_steps(&run);
    sim_watch(rig->sim, NULL, NULL);
    sim_watch_fault(rig->sim, NULL, NULL);
    rig->observer = (struct rig_observer){0};
    ok = ok && fail_check_now(&run.base);
    ok = ok && (rig->store == NULL || fail_check_close(&run.base));
    rig_abandon(rig);
    ok = ok && fail_check_left(&run.base, rig->sim, rig->bounds.written, "at the end");
    rig->sim = ok ? NULL : rig->sim;
    rig_finish(rig);
    return ok;
}

static bool run_case(struct plan *plan, size_t call, size_t way)
{
    const struct sim_event *event = &plan->calls[call];
    struct fail_result *result = plan->test->result;

    if (!sim_can_fail(event, ways[way].failure) ||
        !fail_test_begin(plan->test, call * WAY_COUNT + way + 1)) {
        return true;
    }
    snprintf(result->what, sizeof result->what, "%s at call %" PRIu64 ", %s %s", ways[way].name,
             event->number, sim_call_name(event->call), sim_kind_name(event->kind));
    return run_script(plan, &ways[way], event->number);
}

/* Run the script without a failure. How many calls it makes depends on how large the rows are: for
 * a fixed script they are drawn until there are few enough. */
static bool draw_rows(struct plan *plan)
{
    for (int i = 0; i < DRAWS; i++) {
        plan->seed = i == 0 ? plan->test->options->seed : hash_u64(plan->seed);
        plan->call_count = 0;
        if (!run_script(plan, NULL, 0)) {
            return false;
        }
        if (plan->test->random || plan->call_count <= CALLS_OF_A_SCRIPT_MAX) {
            return true;
        }
    }
    printf("# the script makes more than %d calls\n", CALLS_OF_A_SCRIPT_MAX);
    return false;
}

static bool run_test(struct fail_test *test)
{
    struct plan plan = {.test = test};
    bool ok = draw_rows(&plan);

    test->result->calls = plan.call_count;
    for (size_t call = 0; call < plan.call_count && ok; call++) {
        for (size_t way = 0; way < WAY_COUNT && ok; way++) {
            ok = run_case(&plan, call, way);
        }
    }
    return ok;
}

/* Each of them happens: one that does not is no exception any more. */
static bool print_exceptions(const struct fail_tests *tests)
{
    const char *text;
    bool all = true;
    for (int rule = 0; (text = fail_rule_text(rule)) != NULL; rule++) {
        uint64_t sum = 0;
        for (size_t i = 0; i < tests->count; i++) {
            sum += tests->items[i].result->exceptions[rule];
        }
        printf("# %6" PRIu64 " x %s\n", sum, text);
        all = all && sum > 0;
    }
    return all;
}

int main(int argc, char **argv)
{
    struct crash_options options = crash_options_parse(argc, argv);
    struct fail_tests tests = {
        .program = "fail_kv", .points = "calls", .run = run_test, .options = &options};
    size_t failed = fail_tests_run(&tests);
    bool all = print_exceptions(&tests);
    bool whole = failed == 0 && options.only == NULL && options.point == 0 && options.every == 1;

    if (whole) {
        printf("%sok %zu - every exception to telling of a failure happens\n", all ? "" : "not ",
               tests.count + 1);
    }
    printf("1..%zu\n", tests.count + whole);
    fail_tests_finish(&tests);
    return failed == 0 && tests.count > 0 && (all || !whole) ? 0 : 1;
}
