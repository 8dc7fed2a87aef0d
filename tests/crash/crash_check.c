/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/crash_check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    NEST_ONE_IN = 5,         /* so many of the states are crashed again while they are opened */
    NEST_FIRST = 3,          /* crashes tried inside one opening, at the first depth */
    NEST_EVERY_ONE_IN = 100, /* of the openings: crashed at each of its changes */
    NEST_PAIR_ONE_IN = 1500, /* killed at each, and power lost at each of the next opening */
    MODE_KILL = SIM_MODE_COUNT,
};

static const char *const mode_names[] = {
    [SIM_DROP_ALL] = "drop all", [SIM_KEEP_ALL] = "keep all", [SIM_PREFIX] = "keep a prefix",
    [SIM_RANDOM] = "random",     [MODE_KILL] = "kill",
};

/* ---- counts ---- */

void crash_counts_add(struct crash_counts *sum, const struct crash_counts *counts)
{
    sum->states += counts->states;
    sum->two_openings += counts->two_openings;
    sum->opens += counts->opens;
    sum->lost_changes += counts->lost_changes;
    sum->partly += counts->partly;
    for (int i = 0; i < CRASH_DEPTH_MAX; i++) {
        sum->nested[i] += counts->nested[i];
    }
    for (int c = 0; c < SIM_CALL_COUNT; c++) {
        for (int k = 0; k < SIM_KIND_COUNT; k++) {
            sum->calls[c][k] += counts->calls[c][k];
        }
    }
}

void crash_counts_print(const struct crash_counts *counts)
{
    printf("# tried: %" PRIu64 " distinct states, %" PRIu64
           " of them torn or partly kept; crashes while opening, one, two, three deep: %" PRIu64
           ", %" PRIu64 ", %" PRIu64 ", %" PRIu64
           " of them losses of power behind an opening that was killed\n# %" PRIu64
           " openings, %" PRIu64 " unsynced changes at stake\n",
           counts->states, counts->partly, counts->nested[0], counts->nested[1], counts->nested[2],
           counts->two_openings, counts->opens, counts->lost_changes);
}

/* ---- images ---- */

void crash_images_add(struct crash_images *images, const struct sim_fs *sim,
                      const struct rig_bounds *bounds)
{
    struct crash_image *last = images->count > 0 ? &images->items[images->count - 1] : NULL;
    struct crash_image *larger;

    if (last != NULL && last->point == sim_version(sim)) {
        last->bounds = *bounds;
        return;
    }
    larger = realloc(images->items, (images->count + 1) * sizeof *larger);
    if (larger == NULL) {
        abort();
    }
    images->items = larger;
    larger[images->count] = (struct crash_image){.bounds = *bounds, .point = sim_version(sim)};
    kv_ignore(sim_kill(sim, &larger[images->count].sim)); /* cannot fail */
    images->count++;
}

void crash_images_clear(struct crash_images *images)
{
    for (size_t i = 0; i < images->count; i++) {
        sim_destroy(images->items[i].sim);
    }
    free(images->items);
    *images = (struct crash_images){0};
}

/* ---- distinct states ---- */

void crash_check_finish(struct crash_check *check)
{
    free(check->seen);
}

static bool insert(struct crash_check *check, uint64_t state)
{
    size_t i = (size_t)(state % check->seen_capacity);
    while (check->seen[i] != 0) {
        if (check->seen[i] == state) {
            return false;
        }
        i = (i + 1) % check->seen_capacity;
    }
    check->seen[i] = state;
    check->seen_count++;
    return true;
}

bool crash_check_is_new(struct crash_check *check, uint64_t state)
{
    if (2 * (check->seen_count + 1) > check->seen_capacity) {
        uint64_t *old = check->seen;
        size_t old_capacity = check->seen_capacity;
        check->seen_capacity = old_capacity > 0 ? 2 * old_capacity : 1024;
        check->seen_count = 0;
        check->seen = calloc(check->seen_capacity, sizeof *check->seen);
        if (check->seen == NULL) {
            abort();
        }
        for (size_t i = 0; i < old_capacity; i++) {
            if (old[i] != 0) {
                insert(check, old[i]);
            }
        }
        free(old);
    }
    return insert(check, state | 1);
}

/* ---- one state ---- */

/* How a store came to be, for the reports and the bounds. */
struct history {
    struct rig_bounds bounds;
    unsigned depth;
    bool power_lost; /* at any crash since the workload */
    bool killed;     /* the last crash was the death of the process that opened it */
    bool pairs;      /* try every pair of a kill in an opening and power loss in the next one */
};

struct attempt {
    struct crash_check *check;
    struct rig rig;
    struct history history;
    struct crash_images images; /* moments of the first opening, if it is to be crashed at */
};

static bool fail(struct attempt *attempt, const char *what, int error)
{
    printf("# %s\n#   after: %s\n", what, attempt->check->where);
    if (error < 0) {
        printf("#   error: %s\n", kv_strerror(error));
    }
    if (attempt->rig.message[0] != '\0') {
        printf("#   the store said: %s\n", attempt->rig.message);
    }
    fflush(stdout);
    return false;
}

static void watch_opening(void *arg, struct sim_fs *sim, const struct sim_event *event)
{
    struct attempt *attempt = arg;
    attempt->check->counts->calls[event->call][event->kind]++;
    if (event->changes) {
        crash_images_add(&attempt->images, sim, &attempt->history.bounds);
    }
}

static void print_difference(const struct rig_rows *got, const struct rig_rows *expected,
                             size_t count)
{
    for (int t = 0; t < RIG_TABLES; t++) {
        for (int k = 0; k < RIG_KEYS; k++) {
            if (got->value[t][k] != expected->value[t][k]) {
                printf("#   table %d key %d: value %u, not %u as after %zu batches\n", t, k,
                       got->value[t][k], expected->value[t][k], count);
                return;
            }
        }
    }
}

/* The rows are those after some number of batches within the bounds. */
static bool check_prefix(struct attempt *attempt, const struct rig_rows *rows)
{
    const struct rig_model *model = attempt->check->model;
    const struct rig_bounds *bounds = &attempt->history.bounds;
    size_t lowest = attempt->history.power_lost ? bounds->synced : bounds->written;
    uint64_t digest = rig_digest(rows);
    struct rig_rows expected;

    for (size_t n = bounds->issued + 1; n-- > lowest;) {
        if (model->digests[n] == digest) {
            return true;
        }
    }
    for (size_t n = lowest; n-- > 0;) {
        if (model->digests[n] == digest) {
            printf("# the state after %zu batches: %zu were acknowledged, %zu begun\n", n, lowest,
                   bounds->issued);
            return fail(attempt, "acknowledged batches are lost", 0);
        }
    }
    rig_rows_at(model, lowest, &expected);
    print_difference(rows, &expected, lowest);
    return fail(attempt, "the rows are not those after any number of batches", 0);
}

static bool check_rows(struct attempt *attempt, const struct rig_rows *expected, const char *what)
{
    struct rig_rows rows;
    int r = rig_read(&attempt->rig, &rows);
    if (r < 0) {
        return fail(attempt, what, r);
    }
    if (rig_digest(&rows) != rig_digest(expected)) {
        print_difference(&rows, expected, 0);
        return fail(attempt, what, 0);
    }
    return true;
}

/* Each named snapshot that was made is there, unless it was dropped, and shows the rows of then. */
static bool check_names(struct attempt *attempt)
{
    const struct rig_model *model = attempt->check->model;
    for (int i = 0; i < RIG_NAMES; i++) {
        const struct rig_name *name = &attempt->history.bounds.names[i];
        struct rig_rows rows;
        bool right = false;
        int r = rig_read_name(&attempt->rig, i, &rows);
        if (r == -ENOENT && name->state != RIG_NAME_THERE) {
            continue;
        }
        if (r < 0) {
            return fail(attempt, r == -ENOENT ? "a named snapshot is lost" : "one cannot be read",
                        r);
        }
        for (size_t n = name->from; n <= name->to; n++) {
            right = right || model->digests[n] == rig_digest(&rows);
        }
        if (!right || name->state == RIG_NAME_ABSENT) {
            return fail(
                attempt,
                right ? "a dropped name is there again" : "a named snapshot shows other rows", 0);
        }
    }
    return true;
}

/* Lose the power with the store open. */
static void lose_power(struct attempt *attempt, enum sim_mode mode)
{
    struct sim_fs *after = NULL;
    uint64_t damage = 0;
    uint64_t seed = rng_next(&attempt->check->rng);

    rig_abandon(&attempt->rig);
    kv_ignore(sim_crash(attempt->rig.sim, seed, mode, &after, &damage));
    sim_destroy(attempt->rig.sim);
    attempt->rig.sim = after;
}

/* End the store in one of the ways there are and open it again: it must show the same rows. */
static bool reopen(struct attempt *attempt, const struct rig_rows *expected)
{
    static const char *const ways[] = {"closing", "the process's death",
                                       "power loss that drops everything unsynced",
                                       "power loss that tears what is unsynced"};
    uint64_t way = rng_below(&attempt->check->rng, 4);
    char what[128];
    int r = 0;

    snprintf(what, sizeof what, "the store shows other rows when opened again after %s", ways[way]);
    if (way == 0) {
        r = rig_close(&attempt->rig);
    } else if (way == 1) {
        rig_abandon(&attempt->rig);
    } else {
        lose_power(attempt, way == 2 ? SIM_DROP_ALL : SIM_RANDOM);
    }
    if (r < 0) {
        return fail(attempt, "a recovered store cannot be closed", r);
    }
    attempt->check->counts->opens++;
    r = rig_open(&attempt->rig, !attempt->history.bounds.opened, RIG_TABLES);
    if (r < 0) {
        snprintf(what, sizeof what, "a recovered store cannot be opened again after %s", ways[way]);
        return fail(attempt, what, r);
    }
    return check_rows(attempt, expected, what);
}

/* Write, overwrite, delete; the last batch is synced. */
static bool work_on(struct attempt *attempt, struct rig_rows *rows)
{
    struct rig *rig = &attempt->rig;
    struct rig_batch batch;
    int r = 0;

    rig->model.next_value = 1 << 20;
    for (int i = 0; i < 6 && r == 0; i++) {
        rig_draw_batch(rig, RIG_TABLES, &batch);
        r = rig_write(rig, &batch, i == 5 ? KV_DURABLE_SYNC : KV_DURABLE_NONE);
        rig_apply(rows, &batch);
    }
    if (r == 0 && rng_below(&attempt->check->rng, 4) == 0) {
        r = kv_compact(rig->store);
    }
    if (r < 0) {
        return fail(attempt, "a recovered store cannot be written to", r);
    }
    return check_rows(attempt, rows, "a recovered store does not show what is written to it");
}

static bool check_suspects(struct attempt *attempt)
{
    struct kv_suspects suspects;
    kv_suspects(attempt->rig.store, &suspects);
    return suspects.count >= attempt->history.bounds.suspects ||
           fail(attempt, "damage that was met and remembered is forgotten", 0);
}

static bool check_found(struct attempt *attempt, struct rig_rows *ret_rows)
{
    struct rig *rig = &attempt->rig;
    const struct rig_bounds *bounds = &attempt->history.bounds;
    int r;

    attempt->check->counts->opens++;
    r = rig_open(rig, !bounds->opened, bounds->tables);
    sim_watch(rig->sim, NULL, NULL);
    if (r < 0) {
        return fail(attempt,
                    rig->store != NULL ? "a table is lost" : "the store cannot be opened again", r);
    }
    r = rig_read(rig, ret_rows);
    if (r < 0) {
        return fail(attempt, "the store cannot be read after a crash", r);
    }
    if (!check_prefix(attempt, ret_rows) || !check_names(attempt) || !check_suspects(attempt)) {
        return false;
    }
    r = rig_make_tables(rig);
    return r < 0 ? fail(attempt, "a recovered store makes no tables", r) : true;
}

static bool check_damage(struct crash_check *check, const struct crash_image *image,
                         const struct history *before, int mode);

/* Crash again at a change of the opening that was watched. */
static bool check_nested_at(struct attempt *attempt, size_t n)
{
    struct crash_check *check = attempt->check;
    struct history history = attempt->history;
    bool kill = history.pairs ? history.depth == 0 : rng_below(&check->rng, MODE_KILL) == 0;
    int mode = kill ? MODE_KILL : 1 + (int)rng_below(&check->rng, MODE_KILL - 1);
    char *end = check->where + strlen(check->where);
    bool ok;

    check->counts->two_openings += history.killed && !kill;
    history.killed = kill;
    history.depth++;
    check->counts->nested[history.depth - 1]++;
    ok = check_damage(check, &attempt->images.items[n], &history, mode);
    if (ok) {
        *end = '\0';
    }
    return ok;
}

static bool check_nested(struct attempt *attempt)
{
    struct crash_check *check = attempt->check;
    size_t count = attempt->images.count;
    bool first = attempt->history.depth == 0;
    bool ok = true;

    if (first) {
        attempt->history.pairs = rng_below(&check->rng, NEST_PAIR_ONE_IN / NEST_ONE_IN) == 0;
    }
    bool each = attempt->history.pairs ||
                (first && rng_below(&check->rng, NEST_EVERY_ONE_IN / NEST_ONE_IN) == 0);
    size_t tries = each ? count : first ? NEST_FIRST : attempt->history.killed ? 2 : 1;

    for (size_t i = 0; i < tries && ok && count > 0; i++) {
        ok = check_nested_at(attempt, each ? i : rng_below(&check->rng, count));
    }
    return ok;
}

/* Open, compare, crash while opening, open again, work on. Takes the file system. */
static bool check_state(struct crash_check *check, struct sim_fs *take_sim,
                        const struct history *history)
{
    struct attempt attempt = {.check = check, .history = *history};
    bool nest = history->depth < (history->pairs ? 2 : CRASH_DEPTH_MAX) &&
                (history->depth > 0 || rng_below(&check->rng, NEST_ONE_IN) == 0);
    struct rig_rows rows = {0};
    bool ok;

    rig_init(&attempt.rig, take_sim, rng_next(&check->rng));
    if (nest) {
        sim_watch(attempt.rig.sim, watch_opening, &attempt);
    }
    ok = check_found(&attempt, &rows);
    ok = ok && check_nested(&attempt);
    if (ok && history->depth == 0) {
        attempt.history.bounds.opened = true;
        ok = reopen(&attempt, &rows) && work_on(&attempt, &rows) && check_names(&attempt) &&
             reopen(&attempt, &rows) && check_names(&attempt);
    }
    crash_images_clear(&attempt.images);
    rig_abandon(&attempt.rig);
    rig_finish(&attempt.rig);
    return ok;
}

static void describe(struct crash_check *check, const struct crash_image *image, int mode)
{
    size_t used = strlen(check->where);
    snprintf(check->where + used, sizeof check->where - used, "%s%s at version %" PRIu64,
             used > 0 ? ", then " : "", mode_names[mode], image->point);
}

static bool check_damage(struct crash_check *check, const struct crash_image *image,
                         const struct history *before, int mode)
{
    struct history history = *before;
    struct sim_fs *after = NULL;
    uint64_t damage = 0;
    uint64_t seed = rng_next(&check->rng);

    if (mode == MODE_KILL) {
        kv_ignore(sim_kill(image->sim, &after)); /* neither can fail */
        damage = 1;
    } else {
        kv_ignore(sim_crash(image->sim, seed, (enum sim_mode)mode, &after, &damage));
        history.power_lost = true;
    }
    if (history.depth == 0 &&
        !crash_check_is_new(check, hash_u64(damage + hash_u64(image->point)))) {
        sim_destroy(after);
        return true;
    }
    check->counts->states += history.depth == 0;
    check->counts->lost_changes += sim_unsynced(image->sim);
    check->counts->partly += history.depth == 0 && (mode == SIM_PREFIX || mode == SIM_RANDOM);
    describe(check, image, mode);
    return check_state(check, after, &history);
}

bool crash_check_image(struct crash_check *check, const struct crash_image *image,
                       unsigned random_damages)
{
    const struct history history = {.bounds = image->bounds};
    bool ok = true;

    check->rng = (struct rng){hash_u64(check->seed + image->point)};
    for (int mode = SIM_DROP_ALL; mode <= MODE_KILL && ok; mode++) {
        unsigned tries = mode == SIM_RANDOM || mode == SIM_PREFIX ? random_damages : 1;
        for (unsigned i = 0; i < tries && ok; i++) {
            check->where[0] = '\0';
            ok = check_damage(check, image, &history, mode);
        }
    }
    return ok;
}
