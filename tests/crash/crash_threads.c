/* SPDX-License-Identifier: Apache-2.0 */
/* Several threads write to a store whose own threads flush, merge and sync, on the simulated file
 * system; the power goes at random calls, and what is found then is judged. Speaks TAP.
 *
 *   crash_threads [--slow N] [--every N] [--jobs N] [--seed N] [--round N] [--damages N]
 *
 * What the threads do first differs from run to run, so that a seed repeats what is written, but
 * not the moments: this test finds by being run often. --every N makes it so many times shorter. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/crash/crash_check.h"
#include "tests/crash/crash_options.h"
#include "tests/crash/tasks.h"
#include "tests/crash/writers.h"

enum {
    ROUNDS = 30,
    BATCHES = 600,      /* of each writer in a round */
    IMAGES_MAX = 24,    /* moments kept of a round */
    LOG_ONE_IN = 120,   /* of the writes to a log, so many are such moments */
    OTHER_ONE_IN = 30,  /* of the other changes */
    NEST_ONE_IN = 3,    /* of the states, so many are crashed again while they are opened */
    SYNC_LATE_US = 200, /* so that writes fall between the end of a sync and what is made of it */
    ROUND_SECONDS = 300,
    STATES_MIN = 1000,
    MODE_KILL = SIM_MODE_COUNT,
};

/* What a process tells its parent, in shared memory. */
struct result {
    uint64_t calls, states, nested, snapshots;
    uint64_t flushes, compactions, syncs;
};

struct image {
    struct sim_fs *sim;
    struct writers_bounds bounds;
    struct sim_event event;
};

struct round {
    const struct crash_options *options;
    uint64_t seed;
    unsigned number;
    struct result *result;
};

struct run {
    struct round *round;
    struct rng rng;     /* of the watcher, then of the judge */
    _Atomic bool armed; /* the store is open and the writers run */
    bool stops;         /* at the last moment everything begins to fail */
    struct writers writers;
    struct image images[IMAGES_MAX];
    unsigned image_count;
    struct crash_check seen; /* which states there were */
};

/* ---- the writers run ---- */

/* Called with the lock of the simulation held, from the thread that makes the call. */
static void watch(void *arg, struct sim_fs *sim, const struct sim_event *event)
{
    struct run *run = arg;
    bool is_log_write = event->call == SIM_PWRITEV && event->kind == SIM_LOG;
    struct image *image = &run->images[run->image_count];

    if (!atomic_load(&run->armed) || !event->changes || run->image_count == IMAGES_MAX ||
        rng_below(&run->rng, is_log_write ? LOG_ONE_IN : OTHER_ONE_IN) != 0) {
        return;
    }
    image->bounds = writers_bounds(&run->writers);
    image->event = *event;
    kv_ignore(sim_kill(sim, &image->sim)); /* cannot fail */
    run->image_count++;
    if (run->image_count == IMAGES_MAX) {
        atomic_store(&run->writers.stop, true);
        if (run->stops) {
            atomic_store(&run->writers.may_fail, true);
            sim_stop_at(sim, event->number + 1);
        }
    }
}

static bool fail(const struct run *run, const struct image *image, const char *what, int error)
{
    printf("# %s%s%s\n", what, error < 0 ? ": " : "", error < 0 ? kv_strerror(error) : "");
    if (image != NULL) {
        printf("#   seed %" PRIu64 ", round %u, at call %" PRIu64 ": %s %s\n",
               run->round->options->seed, run->round->number, image->event.number,
               sim_call_name(image->event.call), sim_kind_name(image->event.kind));
    }
    fflush(stdout);
    return false;
}

/* Let the writers run, and close the store. */
static bool run_writers(struct run *run, struct sim_fs *sim)
{
    struct result *result = run->round->result;
    struct writers_store store;
    struct kv_stats stats;
    int r = writers_open(sim, true, &store);

    if (r < 0) {
        return fail(run, NULL, "the store cannot be made", r);
    }
    r = writers_start(&run->writers, run->round->seed, BATCHES, &store);
    if (r < 0) {
        return fail(run, NULL, "no threads", r);
    }
    atomic_store(&run->armed, true);
    writers_join(&run->writers);
    kv_stats(store.store, &stats);
    result->flushes += stats.flushes;
    result->compactions += stats.compactions + stats.trivial_moves;
    result->syncs += stats.log_syncs;
    result->snapshots += atomic_load(&run->writers.snapshots_read);
    r = writers_close(&store);
    atomic_store(&run->armed, false);
    sim_watch(sim, NULL, NULL);
    result->calls += sim_calls_made(sim);
    if (r < 0 && !atomic_load(&run->writers.may_fail)) {
        return fail(run, NULL, "the store cannot be closed", r);
    }
    return !atomic_load(&run->writers.faulty);
}

/* ---- judging ---- */

struct attempt {
    struct run *run;
    const struct image *image;
    struct sim_fs *sim;
    struct writers_store store;
    struct writers_marks lowest;
    struct crash_images moments; /* of the opening, if it is to be crashed at */
    bool power_lost;             /* else the process died */
};

static bool fail_check(const struct attempt *attempt, const char *when)
{
    printf("# %s\n", attempt->store.fault);
    if (attempt->store.message[0] != '\0') {
        printf("#   the store said: %s\n", attempt->store.message);
    }
    printf("#   at first the %s\n", attempt->power_lost ? "power was lost" : "process died");
    return fail(attempt->run, attempt->image, when, 0);
}

/* Open, and find what must be there. */
static bool open_and_check(struct attempt *attempt, bool background, const char *when,
                           struct writers_marks *ret_found)
{
    const struct image *image = attempt->image;
    int r = writers_open(attempt->sim, background, &attempt->store);
    if (!background) {
        sim_watch(attempt->sim, NULL, NULL);
    }
    if (r < 0) {
        printf("#   the store said: %s\n", attempt->store.message);
        return fail(attempt->run, image, when, r);
    }
    return writers_check(&attempt->store, attempt->run->round->seed, NULL, &attempt->lowest,
                         &image->bounds.issued, ret_found) ||
           fail_check(attempt, when);
}

/* Let the process of the open store die, or the power go. No other thread may use it. */
static void abandon(struct attempt *attempt, int mode)
{
    struct sim_fs *after = NULL;
    uint64_t damage = 0;
    if (mode == MODE_KILL) {
        kv_ignore(sim_kill(attempt->sim, &after)); /* neither can fail */
    } else {
        kv_ignore(sim_crash(attempt->sim, rng_next(&attempt->run->rng), (enum sim_mode)mode, &after,
                            &damage));
    }
    sim_stop_at(attempt->sim, sim_calls_made(attempt->sim) + 1);
    if (attempt->store.store != NULL) {
        kv_ignore(writers_close(&attempt->store)); /* it cannot: the world has stopped */
    }
    sim_destroy(attempt->sim);
    attempt->sim = after;
}

static void watch_opening(void *arg, struct sim_fs *sim, const struct sim_event *event)
{
    struct attempt *attempt = arg;
    if (event->changes) {
        crash_images_add(&attempt->moments, sim, &(struct rig_bounds){0});
    }
}

/* Lose the power, or the process, at a change of the opening. */
static bool judge_nested(struct attempt *attempt)
{
    struct attempt nested = {
        .run = attempt->run, .image = attempt->image, .lowest = attempt->lowest};
    struct writers_marks found;
    size_t count = attempt->moments.count;
    int mode = 1 + (int)rng_below(&attempt->run->rng, MODE_KILL);
    bool ok;

    if (count == 0) {
        return true;
    }
    if (mode != MODE_KILL) {
        nested.lowest = attempt->image->bounds.synced; /* also if a process had died before */
    }
    kv_ignore(sim_kill(attempt->moments.items[rng_below(&attempt->run->rng, count)].sim,
                       &nested.sim)); /* cannot fail */
    abandon(&nested, mode);
    attempt->run->round->result->nested++;
    ok = open_and_check(&nested, false, "after a crash while opening", &found);
    abandon(&nested, MODE_KILL);
    sim_destroy(nested.sim);
    return ok;
}

/* End the store in a way there is, open it again: what was found stays. */
static bool judge_again(struct attempt *attempt, bool background, const struct writers_marks *found)
{
    int mode = 1 + (int)rng_below(&attempt->run->rng, MODE_KILL);
    struct writers_marks again;
    int r = 0;

    if (background) {
        r = writers_close(&attempt->store);
    } else {
        abandon(attempt, mode);
    }
    if (r < 0) {
        return fail(attempt->run, attempt->image, "a recovered store cannot be closed", r);
    }
    attempt->lowest = *found;
    if (!open_and_check(attempt, false, "when opened again", &again)) {
        return false;
    }
    return memcmp(&again, found, sizeof again) == 0 ||
           fail(attempt->run, attempt->image, "other rows when opened again", 0);
}

/* The store takes writes, and they last. */
static bool judge_work(struct attempt *attempt)
{
    struct kv_table *table = attempt->store.tables[1];
    struct kv_buf value = {0};
    struct writers_marks found;
    int r = 0;

    for (int i = 0; i < 8 && r == 0; i++) {
        char key[16];
        snprintf(key, sizeof key, "more%d", i);
        r = kv_put(table, kv_slice_str(key), kv_slice_str("more"),
                   i == 7 ? KV_DURABLE_SYNC : KV_DURABLE_NONE);
    }
    abandon(attempt, SIM_DROP_ALL);
    r = r < 0 ? r : writers_open(attempt->sim, true, &attempt->store);
    for (int i = 0; i < 8 && r == 0; i++) {
        char key[16];
        snprintf(key, sizeof key, "more%d", i);
        r = kv_get_copy(attempt->store.tables[1], NULL, kv_slice_str(key), &value);
        r = r < 0 ? r : kv_delete(attempt->store.tables[1], kv_slice_str(key), KV_DURABLE_NONE);
    }
    kv_buf_finish(&value);
    r = r < 0 ? r : kv_compact(attempt->store.store);
    if (r < 0) {
        return fail(attempt->run, attempt->image, "a recovered store cannot be worked with", r);
    }
    return writers_check(&attempt->store, attempt->run->round->seed, NULL, &attempt->lowest,
                         &attempt->lowest, &found) ||
           fail_check(attempt, "after work");
}

static bool judge_state(struct run *run, const struct image *image, struct sim_fs *take_sim,
                        bool power_lost)
{
    struct attempt attempt = {
        .run = run, .image = image, .sim = take_sim, .power_lost = power_lost};
    bool background = rng_below(&run->rng, 2) == 0;
    struct writers_marks found;
    bool ok;

    attempt.lowest = power_lost ? image->bounds.synced : image->bounds.written;
    if (!background && rng_below(&run->rng, NEST_ONE_IN) == 0) {
        sim_watch(attempt.sim, watch_opening, &attempt);
    }
    ok = open_and_check(&attempt, background, "after a crash", &found) && judge_nested(&attempt) &&
         judge_again(&attempt, background, &found) && judge_work(&attempt);
    crash_images_clear(&attempt.moments);
    if (attempt.store.store != NULL) {
        kv_ignore(writers_close(&attempt.store)); /* what it is worth was judged */
    }
    sim_destroy(attempt.sim);
    return ok;
}

static bool judge_image(struct run *run, const struct image *image, uint64_t number)
{
    bool ok = true;
    for (int mode = SIM_DROP_ALL; mode <= MODE_KILL && ok; mode++) {
        unsigned tries =
            mode == SIM_RANDOM || mode == SIM_PREFIX ? run->round->options->damages : 1;
        for (unsigned i = 0; i < tries && ok; i++) {
            struct sim_fs *after = NULL;
            uint64_t damage = 1;
            if (mode == MODE_KILL) {
                kv_ignore(sim_kill(image->sim, &after)); /* neither can fail */
            } else {
                kv_ignore(sim_crash(image->sim, rng_next(&run->rng), (enum sim_mode)mode, &after,
                                    &damage));
            }
            if (!crash_check_is_new(&run->seen, hash_u64(damage + hash_u64(number)))) {
                sim_destroy(after);
                continue;
            }
            run->round->result->states++;
            ok = judge_state(run, image, after, mode != MODE_KILL);
        }
    }
    return ok;
}

/* What was left when nothing was cut off any more. */
static bool judge_end(struct run *run, struct sim_fs *sim)
{
    struct image end = {.bounds = writers_bounds(&run->writers)};
    struct attempt attempt = {.run = run, .image = &end};
    struct writers_marks found;
    bool ok;

    if (!run->stops) {
        end.bounds.synced = end.bounds.issued; /* it was closed */
        end.bounds.written = end.bounds.issued;
    }
    kv_ignore(sim_kill(sim, &attempt.sim)); /* cannot fail */
    attempt.lowest = end.bounds.written;
    ok = open_and_check(&attempt, false, "after the end", &found);
    abandon(&attempt, MODE_KILL);
    sim_destroy(attempt.sim);
    return ok;
}

static bool run_round(struct round *round)
{
    struct run *run = calloc(1, sizeof *run);
    struct sim_fs *sim = NULL;
    bool ok;

    if (run == NULL) {
        return false;
    }
    run->round = round;
    run->rng = (struct rng){hash_u64(round->seed + 1)};
    run->stops = round->number % 2 == 1;
    kv_ignore(sim_create(&sim)); /* cannot fail */
    sim_watch(sim, watch, run);
    sim_return_late(sim, SYNC_LATE_US);
    ok = run_writers(run, sim) && judge_end(run, sim);
    for (unsigned i = 0; i < run->image_count; i++) {
        ok = ok && judge_image(run, &run->images[i], i);
        sim_destroy(run->images[i].sim);
    }
    sim_destroy(sim);
    crash_check_finish(&run->seen);
    free(run);
    return ok;
}

/* ---- the whole ---- */

static bool run_task(void *arg, size_t i)
{
    alarm(ROUND_SECONDS); /* a store that hangs has failed */
    return run_round((struct round *)arg + i);
}

static void report(void *arg, size_t i, unsigned number, int status)
{
    const struct round *round = (const struct round *)arg + i;
    if (status != 0) {
        printf("# round %u of seed %" PRIu64 " failed%s\n", round->number, round->options->seed,
               WIFSIGNALED(status) ? ", killed by a signal: it crashed or hung" : "");
    }
}

static bool finish(const struct crash_options *options, const struct result *results, size_t count,
                   size_t failed)
{
    struct result sum = {0};
    bool whole = options->every == 1 && options->round < 0;
    bool busy;

    for (size_t i = 0; i < count; i++) {
        sum.calls += results[i].calls;
        sum.states += results[i].states;
        sum.nested += results[i].nested;
        sum.snapshots += results[i].snapshots;
        sum.flushes += results[i].flushes;
        sum.compactions += results[i].compactions;
        sum.syncs += results[i].syncs;
    }
    printf("# tried: %zu rounds, %" PRIu64 " distinct states, %" PRIu64
           " crashes while opening\n# the threads made %" PRIu64 " calls, %" PRIu64
           " flushes, %" PRIu64 " merges, %" PRIu64 " syncs; %" PRIu64 " snapshots were read\n",
           count, sum.states, sum.nested, sum.calls, sum.flushes, sum.compactions, sum.syncs,
           sum.snapshots);
    busy = sum.flushes > count && sum.compactions > count && sum.syncs > count &&
           sum.snapshots > count;
    printf("%sok 1 - the state after each crash is a prefix and holds what was acknowledged\n",
           failed == 0 ? "" : "not ");
    printf("%sok 2 - the store's threads flushed, merged and synced meanwhile\n",
           busy ? "" : "not ");
    if (whole) {
        printf("%sok 3 - at least %d states were tried\n",
               failed > 0 || sum.states >= STATES_MIN ? "" : "not ", STATES_MIN);
    }
    printf("1..%d\n", whole ? 3 : 2);
    return failed == 0 && busy && (!whole || sum.states >= STATES_MIN);
}

int main(int argc, char **argv)
{
    struct crash_options options = crash_options_parse(argc, argv);
    size_t most = (size_t)((options.rounds * ROUNDS + options.every - 1) / options.every);
    struct round *rounds = calloc(most, sizeof *rounds);
    struct result *results = tasks_share(most * sizeof *results);
    struct tasks tasks = {.run = run_task, .report = report, .jobs = options.jobs, .arg = rounds};
    size_t count = 0;
    bool ok;

    if (rounds == NULL) {
        printf("Bail out! no memory\n");
        return 1;
    }
    printf("# seed %" PRIu64 "\n", options.seed);
    for (unsigned i = 0; i < most; i++) {
        if (options.round < 0 || options.round == i) {
            rounds[count] = (struct round){.options = &options,
                                           .seed = hash_u64(options.seed + hash_u64(i)),
                                           .number = i,
                                           .result = &results[count]};
            count++;
        }
    }
    tasks.count = count;
    ok = finish(&options, results, count, tasks_run(&tasks));
    free(rounds);
    return ok ? 0 : 1;
}
