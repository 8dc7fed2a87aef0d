/* SPDX-License-Identifier: Apache-2.0 */
/* Fails every n-th allocation of the engine, once and for ever, and looks whether the failure is
 * told, whether anything acknowledged is lost and whether anything leaks. Speaks TAP.
 *
 *   fail_alloc [--slow N] [--every N] [--jobs N] [--seed N] [--only SCRIPT] [--round N] [--point N]
 *
 * A case is one allocation of one script, failing alone, with the later ones of that call of the
 * engine, or with all later ones. A call of the engine during
 * which one fails returns -ENOMEM, or does its work all the same; every other call goes well. After
 * the call that was hit first, and at the end, the store holds every acknowledged batch when opened
 * with memory: after the death of the process, and after power loss as far as acknowledged by a
 * sync. With memory the store goes on without reopening, and closes; after closing, nothing that
 * the engine allocated is left. The options are those of fail_kv. */
#include <stdio.h>

#include "tests/crash/alloc_wrap.h"
#include "tests/crash/fail_tests.h"

/* What is done with memory again: everything works. */
static const char *const steps_after = "t n1 w1 y1 f m w1 c s g";

/* One run of the script. */
struct run {
    struct fail_run base;
    struct fail_test *test;
    bool fails;               /* an allocation is to fail */
    uint64_t failures_before; /* the present call of the engine */
    bool made_manifest;       /* that call */
    bool struck;
    char wrong[200]; /* the first call that did not do as it must */
};

/* ---- each call of the engine ---- */

static void note_call(void *arg, struct sim_fs *sim, const struct sim_event *event)
{
    struct run *run = arg;
    run->made_manifest =
        run->made_manifest || (event->call == SIM_CREATE && event->kind == SIM_MANIFEST);
}

static void enter(void *arg, enum rig_call call)
{
    struct run *run = arg;
    run->failures_before = alloc_failures();
    run->made_manifest = false;
    alloc_enter();
}

/* The call did its work though an allocation failed. It may if the edit that could not be appended
 * to the manifest is in a new one, or if it read, and what it read is only not cached. Whether the
 * work was really done is looked at anyway. */
static bool may_go_well(const struct run *run, enum rig_call call)
{
    return call == RIG_READ || (run->made_manifest && call != RIG_OPEN);
}

static void note_wrong(struct run *run, enum rig_call call, const char *what, int error)
{
    if (run->wrong[0] == '\0') {
        snprintf(run->wrong, sizeof run->wrong,
                 "%s %s%s%s; the last that failed was called from %#" PRIxPTR, rig_call_name(call),
                 what, error < 0 ? ": " : "", error < 0 ? kv_strerror(error) : "",
                 alloc_failed_at());
    }
}

static void leave(void *arg, enum rig_call call, int r)
{
    struct run *run = arg;
    uint64_t failures = alloc_failures() - run->failures_before;
    bool closed =
        call == RIG_CLOSE || call == RIG_STORAGE_CLOSE || (call == RIG_STORAGE_OPEN && r < 0);

    alloc_leave();
    run->test->result->strikes += failures;
    run->test->result->mended += failures > 0 && r >= 0;
    if (r < 0 && r != -ENOMEM) {
        note_wrong(run, call, "ends with the wrong error", r);
    } else if (r < 0 && failures == 0) {
        note_wrong(run, call, "fails though every allocation went well", r);
    } else if (r >= 0 && failures > 0 && !may_go_well(run, call)) {
        note_wrong(run, call, "tells nothing of an allocation that failed", 0);
    } else if (closed && alloc_live() > 0) {
        note_wrong(run, call, "leaves memory allocated", 0);
    }
}

/* ---- a run ---- */

/* A step; looks at what is left if the failure struck first in it. */
static bool run_step(struct run *run, char step)
{
    struct rig *rig = &run->base.rig;
    int r = rig_step(rig, step);
    bool first = !run->struck && alloc_failures() > 0;

    run->struck = run->struck || first;
    if (run->wrong[0] != '\0') {
        return fail_say(&run->base, run->wrong, 0);
    }
    if (r < 0 && r != -ENOMEM) {
        return fail_say(&run->base, "a failed allocation is told as something else", r);
    }
    if (rig->store == NULL && sim_count_open(rig->sim) > 0) {
        return fail_say(&run->base, "descriptors are open though the store is not", 0);
    }
    return !first || fail_check_now(&run->base);
}

/* Until the end, or until there is no store to go on with. */
static bool run_steps(struct run *run, const char *script, bool must_work)
{
    unsigned count = 0;
    bool ok = true;
    char step;

    while (ok && (step = rig_next_step(&script, &count)) != '\0') {
        for (unsigned i = 0; i < count && ok; i++) {
            bool gone = run->base.rig.store == NULL || run->base.rig.bounds.tables == 0;
            if (gone && strchr("rt", step) == NULL) {
                continue;
            }
            if (run->base.rig.store == NULL && step != 'r') {
                continue;
            }
            ok = run_step(run, step);
            if (ok && must_work && alloc_failures() > 0) {
                ok = fail_say(&run->base, "allocations fail that should not", 0);
            }
        }
    }
    return ok;
}

/* A store that goes on tidies up: there is nothing that its next opening would have to remove but
 * one log, kept to be used again. */
static bool check_tidy(const struct run *run)
{
    const struct sim_fs *sim = run->base.rig.sim;
    size_t tables = fail_count_tables(run->base.rig.store);
    char what[160];

    if (sim_count_names(sim, SIM_LOG) <= 2 && sim_count_names(sim, SIM_MANIFEST) == 1 &&
        sim_count_names(sim, SIM_TABLE) == tables && sim_count_names(sim, SIM_TABLE_TMP) == 0) {
        return true;
    }
    snprintf(
        what, sizeof what,
        "a store that goes on leaves %zu logs, %zu manifests, %zu tables where %zu are needed, "
        "and %zu leftovers",
        sim_count_names(sim, SIM_LOG), sim_count_names(sim, SIM_MANIFEST),
        sim_count_names(sim, SIM_TABLE), tables, sim_count_names(sim, SIM_TABLE_TMP));
    return fail_say(&run->base, what, 0);
}

static bool run_script(struct fail_test *test, uint64_t at, enum alloc_how how)
{
    struct run run = {.base.result = test->result, .test = test, .fails = at > 0};
    struct rig *rig = &run.base.rig;
    struct sim_fs *sim = NULL;
    bool ok;

    kv_ignore(sim_create(&sim)); /* cannot fail */
    rig_init(rig, sim, test->options->seed);
    rig->observer = (struct rig_observer){.enter = enter, .leave = leave, .arg = &run};
    sim_watch(sim, note_call, &run);
    alloc_fail_at(at, how);
    ok = run_steps(&run, test->script.steps, at == 0);
    test->result->calls = at == 0 ? alloc_count() : test->result->calls;
    alloc_fail_at(0, ALLOC_ONCE);
    if (ok && rig->store == NULL) {
        ok = run_steps(&run, "r", true);
    }
    ok = ok && run_steps(&run, steps_after, true) && check_tidy(&run) &&
         fail_check_now(&run.base) && run_steps(&run, "r", true) && fail_check_close(&run.base);
    rig->observer = (struct rig_observer){0};
    rig_abandon(rig);
    ok = ok && (alloc_live() == 0 || fail_say(&run.base, "memory is left allocated", 0));
    rig_finish(rig);
    return ok;
}

static bool run_case(struct fail_test *test, uint64_t at, enum alloc_how how)
{
    static const char *const how_texts[] = {
        [ALLOC_ONCE] = "",
        [ALLOC_CALL] = ", and every later one of that call of the engine",
        [ALLOC_FOREVER] = ", and every later one",
    };
    struct fail_result *result = test->result;

    if (!fail_test_begin(test, (at - 1) * ALLOC_HOW_COUNT + (uint64_t)how + 1)) {
        return true;
    }
    snprintf(result->what, sizeof result->what, "allocation %" PRIu64 " fails%s", at,
             how_texts[how]);
    return run_script(test, at, how);
}

static bool run_test(struct fail_test *test)
{
    bool ok = run_script(test, 0, ALLOC_ONCE);

    for (uint64_t at = 1; at <= test->result->calls && ok; at++) {
        for (int how = 0; how < (int)ALLOC_HOW_COUNT && ok; how++) {
            ok = run_case(test, at, (enum alloc_how)how);
        }
    }
    return ok;
}

int main(int argc, char **argv)
{
    struct crash_options options = crash_options_parse(argc, argv);
    struct fail_tests tests = {
        .program = "fail_alloc", .points = "allocations", .run = run_test, .options = &options};
    size_t failed = fail_tests_run(&tests);

    printf("1..%zu\n", tests.count);
    fail_tests_finish(&tests);
    return failed == 0 && tests.count > 0 ? 0 : 1;
}
