/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/fs_judge.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/fs/fs_check.h"
#include "tests/lib/check_main.h"

enum {
    NEST_ONE_IN = 10, /* so many of the states are crashed again while they are opened */
    NEST_FIRST = 2,   /* crashes tried inside one opening, at the first depth */
    WORK_STEPS = 7,
    WORK_ONE_IN = 2, /* so many of the states are worked on */
    MODE_KILL = SIM_MODE_COUNT,
};

static const char *const mode_names[] = {
    [SIM_DROP_ALL] = "drop all", [SIM_KEEP_ALL] = "keep all", [SIM_PREFIX] = "keep a prefix",
    [SIM_RANDOM] = "random",     [MODE_KILL] = "kill",
};

/* How a filesystem came to be. */
struct history {
    struct rig_bounds bounds;
    unsigned depth;
    bool power_lost; /* at any crash since the workload */
    bool killed;     /* the last crash was the death of the process that opened it */
};

struct attempt {
    struct crash_check *check;
    const struct fs_rig *work;
    struct fs_rig rig;
    struct history history;
    struct crash_images images; /* moments of the first opening, if it is to be crashed at */
};

/* ---- comparing ---- */

static void give_up(const struct attempt *attempt, const char *what, int error)
{
    ck_abort_msg("%s%s%s; the store said: %s", what, error < 0 ? ": " : "",
                 error < 0 ? kv_strerror(error) : "",
                 attempt->rig.message[0] != '\0' ? attempt->rig.message : "nothing");
}

/* The first lines in which two texts differ. */
static void print_difference(const char *got, const char *expected)
{
    size_t line = 0;
    for (size_t i = 0; got[i] == expected[i] && got[i] != '\0'; i++) {
        line = got[i] == '\n' ? i + 1 : line;
    }
    printf("# there is   %.*s\n# instead of %.*s\n", (int)strcspn(got + line, "\n"), got + line,
           (int)strcspn(expected + line, "\n"), expected + line);
    fflush(stdout);
}

/* Take over the tree that is there. */
static char *read_tree(struct attempt *attempt)
{
    tree_finish(&attempt->rig.tree);
    tree_read(attempt->rig.fs, &attempt->rig.tree);
    return tree_text(&attempt->rig.tree);
}

/* The tree is the one after some number of operations within the bounds. */
static void check_prefix(const struct attempt *attempt, const char *got)
{
    const struct rig_bounds *bounds = &attempt->history.bounds;
    size_t lowest = attempt->history.power_lost ? bounds->synced : bounds->written;
    for (size_t n = bounds->issued + 1; n-- > lowest;) {
        if (strcmp(attempt->work->texts[n], got) == 0) {
            return;
        }
    }
    for (size_t n = lowest; n-- > 0;) {
        if (strcmp(attempt->work->texts[n], got) == 0) {
            ck_abort_msg("acknowledged operations are lost: the tree is that after %zu, %zu were "
                         "acknowledged, %zu begun",
                         n, lowest, bounds->issued);
        }
    }
    print_difference(got, attempt->work->texts[lowest]);
    ck_abort_msg("the tree is not that after any number of operations; %zu were acknowledged, %zu "
                 "begun",
                 lowest, bounds->issued);
}

static void check_same(struct attempt *attempt, const char *expected, const char *what)
{
    char *got = read_tree(attempt);
    if (strcmp(got, expected) != 0) {
        print_difference(got, expected);
        give_up(attempt, what, 0);
    }
    free(got);
}

/* ---- one state ---- */

static void watch_opening(void *arg, struct sim_fs *sim, const struct sim_event *event)
{
    struct attempt *attempt = arg;
    attempt->check->counts->calls[event->call][event->kind]++;
    if (event->changes) {
        crash_images_add(&attempt->images, sim, &attempt->history.bounds);
    }
}

static void lose_power(struct attempt *attempt, enum sim_mode mode)
{
    struct sim_fs *after = NULL;
    uint64_t damage = 0;

    fs_rig_abandon(&attempt->rig);
    kv_ignore(sim_crash(attempt->rig.sim, rng_next(&attempt->check->rng), mode, &after, &damage));
    sim_destroy(attempt->rig.sim);
    attempt->rig.sim = after;
}

/* End the filesystem in one of the ways there are and open it again: the tree is the same. */
static void reopen(struct attempt *attempt, const char *expected)
{
    static const char *const ways[] = {"closing", "the process's death",
                                       "power loss that drops everything unsynced",
                                       "power loss that tears what is unsynced"};
    uint64_t way = rng_below(&attempt->check->rng, 4);
    char what[128];
    int r = 0;

    if (way == 0) {
        r = fs_rig_close(&attempt->rig);
    } else if (way == 1) {
        fs_rig_abandon(&attempt->rig);
    } else {
        lose_power(attempt, way == 2 ? SIM_DROP_ALL : SIM_RANDOM);
    }
    snprintf(what, sizeof what, "a recovered filesystem cannot be opened again after %s",
             ways[way]);
    attempt->check->counts->opens++;
    r = r < 0 ? r : fs_rig_open(&attempt->rig, false);
    if (r < 0) {
        give_up(attempt, what, r);
    }
    snprintf(what, sizeof what, "another tree when opened again after %s", ways[way]);
    check_same(attempt, expected, what);
    fs_check(attempt->rig.fs);
}

/* Whatever can be done; the last thing is a sync. */
static void work_on(struct attempt *attempt)
{
    static const char steps[] = "cdlhummMxowwatTTepvgkKkfC";
    struct fs_rig *rig = &attempt->rig;

    free(rig->texts[0]);
    rig->texts[0] = tree_text(&rig->tree); /* what was found */
    rig->next_number = 1 << 20;
    for (int i = 0; i < WORK_STEPS; i++) {
        fs_rig_step(rig, steps[rng_below(&rig->rng, sizeof steps - 1)]);
    }
    fs_rig_step(rig, 's');
    reopen(attempt, rig->texts[rig->bounds.written]);
}

static void judge_damage(struct attempt *attempt, const struct crash_image *image, int mode);

/* Crash again at random moments of the opening that was watched. */
static void crash_opening(struct attempt *attempt)
{
    struct crash_check *check = attempt->check;
    unsigned tries = attempt->history.depth == 0 ? NEST_FIRST : 1;

    for (unsigned i = 0; i < tries && attempt->images.count > 0; i++) {
        size_t n = rng_below(&check->rng, attempt->images.count);
        int mode = 1 + (int)rng_below(&check->rng, MODE_KILL);
        char *end = check->where + strlen(check->where);
        struct attempt next = {.check = check, .work = attempt->work, .history = attempt->history};
        check->counts->two_openings += next.history.killed && mode != MODE_KILL;
        next.history.killed = mode == MODE_KILL;
        next.history.depth++;
        check->counts->nested[next.history.depth - 1]++;
        judge_damage(&next, &attempt->images.items[n], mode);
        *end = '\0';
    }
}

static void open_found(struct attempt *attempt)
{
    attempt->check->counts->opens++;
    int r = fs_rig_open(&attempt->rig, !attempt->history.bounds.opened);
    sim_watch(attempt->rig.sim, NULL, NULL);
    if (r < 0) {
        give_up(attempt, "the filesystem cannot be opened again", r);
    }
}

/* A crash of what opening it made was survived too; then the tree read before it is still there. */
static void judge_state(struct attempt *attempt, struct sim_fs *take_sim)
{
    struct crash_check *check = attempt->check;
    unsigned depth = attempt->history.depth;
    bool nest = depth < CRASH_DEPTH_MAX && (depth > 0 || rng_below(&check->rng, NEST_ONE_IN) == 0);
    char *text;

    fs_rig_init(&attempt->rig, take_sim, rng_next(&check->rng));
    attempt->rig.index = attempt->work->index;
    if (nest) {
        sim_watch(attempt->rig.sim, watch_opening, attempt);
    }
    open_found(attempt);
    text = read_tree(attempt);
    check_prefix(attempt, text);
    fs_check(attempt->rig.fs);
    crash_opening(attempt);
    if (depth == 0) {
        reopen(attempt, text);
    }
    if (depth == 0 && rng_below(&check->rng, WORK_ONE_IN) == 0) {
        work_on(attempt);
    }
    free(text);
    crash_images_clear(&attempt->images);
    fs_rig_abandon(&attempt->rig);
    fs_rig_finish(&attempt->rig);
}

static void judge_damage(struct attempt *attempt, const struct crash_image *image, int mode)
{
    struct crash_check *check = attempt->check;
    struct sim_fs *after = NULL;
    uint64_t damage = 0;
    uint64_t seed = rng_next(&check->rng);
    bool first = attempt->history.depth == 0;
    size_t used = strlen(check->where);

    if (mode == MODE_KILL) {
        kv_ignore(sim_kill(image->sim, &after)); /* neither can fail */
        damage = 1;
    } else {
        kv_ignore(sim_crash(image->sim, seed, (enum sim_mode)mode, &after, &damage));
        attempt->history.power_lost = true;
    }
    if (first && !crash_check_is_new(check, hash_u64(damage + hash_u64(image->point)))) {
        sim_destroy(after);
        return;
    }
    check->counts->states += first;
    check->counts->lost_changes += sim_unsynced(image->sim);
    check->counts->partly += first && (mode == SIM_PREFIX || mode == SIM_RANDOM);
    snprintf(check->where + used, sizeof check->where - used, "%s%s at version %" PRIu64,
             used > 0 ? ", then " : "", mode_names[mode], image->point);
    judge_state(attempt, after);
}

void fs_judge_image(struct crash_check *check, const struct fs_rig *work,
                    const struct crash_image *image, unsigned random_damages)
{
    check->rng = (struct rng){hash_u64(check->seed + image->point)};
    for (int mode = SIM_DROP_ALL; mode <= MODE_KILL; mode++) {
        unsigned tries = mode == SIM_RANDOM || mode == SIM_PREFIX ? random_damages : 1;
        for (unsigned i = 0; i < tries; i++) {
            struct attempt attempt = {
                .check = check, .work = work, .history = {.bounds = image->bounds}};
            check->where[0] = '\0';
            judge_damage(&attempt, image, mode);
        }
    }
}
