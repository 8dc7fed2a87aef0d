/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/fail_rig.h"

#include <stdio.h>

#include "tests/crash/crash_check.h"

enum { OPENING_ONE_IN = 3 }; /* so many of the openings lose their power on the way */

/* Together they hold everything the engine does: opening a new store and an old one (which writes
 * the manifest anew), making tables, batches of every durability, syncs, rotation with and without
 * a log to recycle, flushes, merges, reading, and closing. */
static const struct fail_script scripts[FAIL_SCRIPTS] = {
    {"logging", "r t t n3 w3 s y2 b1 n2 s w2 r y1 g"},
    {"flushes and merges", "r t w4 f w4 f w4 f w4 f m c g"},
    {"new manifests", "r t w2 l f w1 l f y1 l f w1"},
    {"rotations", "r t b1 n3 b1 w2 b1 s b1 n2 b1 y1 f w1 g"},
    {"blobs", "r t o r b1 n2 s b1 f b1 y1"},
    {"named snapshots", "r t n2 k w2 x n1 k w1 k f c x r g"},
};

static void random_steps(uint64_t seed, char to[FAIL_STEPS_SIZE])
{
    static const char steps[] = "nnwwyybsffmcrtgkx";
    struct rng rng = {hash_u64(seed)};
    size_t used = (size_t)snprintf(to, FAIL_STEPS_SIZE, "r t t");
    for (int i = 0; i < 16; i++) {
        char step = steps[rng_below(&rng, sizeof steps - 1)];
        unsigned count = strchr("nwy", step) != NULL ? 1 + (unsigned)rng_below(&rng, 4) : 1;
        used += (size_t)snprintf(to + used, FAIL_STEPS_SIZE - used, " %c%u", step, count);
    }
}

void fail_script_make(uint64_t seed, size_t i, struct fail_script *ret_script)
{
    if (i < FAIL_SCRIPTS) {
        *ret_script = scripts[i];
        return;
    }
    ret_script->name = "random";
    random_steps(seed + i, ret_script->steps);
}

bool fail_say(const struct fail_run *run, const char *what, int error)
{
    printf("# %s%s%s\n#   case %" PRIu64 ": %s\n", what, error < 0 ? ": " : "",
           error < 0 ? kv_strerror(error) : "", run->result->current, run->result->what);
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
            set = change->table == got.table &&
                  (change->key == got.key || (change->key < got.key && got.key < change->end));
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
            if (!value_fits(
                    model, count,
                    (struct rig_change){.table = t, .key = k, .value = rows->value[t][k]})) {
                return false;
            }
        }
    }
    return true;
}

bool fail_check_rows(const struct fail_run *run, const struct rig_rows *rows, size_t lowest,
                     const char *when)
{
    char what[160];
    for (size_t n = run->rig.model.batch_count + 1; n-- > lowest;) {
        if (rows_fit(&run->rig.model, n, rows)) {
            return true;
        }
    }
    snprintf(what, sizeof what, "acknowledged batches are lost, or others there, %s", when);
    return fail_say(run, what, 0);
}

/* ---- what is left ---- */

size_t fail_count_tables(struct kv_store *store)
{
    struct kv_stats stats;
    size_t count = 0;

    kv_stats(store, &stats);
    for (int level = 0; level < KV_LEVEL_COUNT; level++) {
        count += stats.levels[level].files;
    }
    return count;
}

/* As far as it is known whether they are there. */
static bool check_names(const struct fail_run *run, struct rig *rig, const char *when)
{
    char what[160];
    for (int i = 0; i < RIG_NAMES; i++) {
        const struct rig_name *name = &run->rig.bounds.names[i];
        struct rig_rows rows = {0};
        int r = rig_read_name(rig, i, &rows);
        bool right = r == 0 ? false : r == -ENOENT && name->state != RIG_NAME_THERE;

        for (size_t n = name->from; n <= name->to && r == 0; n++) {
            right =
                right || (name->state != RIG_NAME_ABSENT && rows_fit(&run->rig.model, n, &rows));
        }
        if (!right) {
            snprintf(what, sizeof what, "a named snapshot is not as it was acknowledged, %s", when);
            return fail_say(run, what, r);
        }
    }
    return true;
}

/* A removal that failed is made up for by the next opening, and so is a reserve that could not be
 * made. */
static bool check_files(const struct fail_run *run, const struct rig *rig)
{
    size_t tables = fail_count_tables(rig->store);
    char what[160];
    const struct sim_fs *sim = rig->sim;

    if (sim_count_names(sim, SIM_LOG) == 1 && sim_count_names(sim, SIM_MANIFEST) == 1 &&
        sim_count_names(sim, SIM_TABLE) == tables && sim_count_names(sim, SIM_TABLE_TMP) == 0 &&
        sim_count_names(sim, SIM_ROOT_TMP) == 0 && sim_count_names(sim, SIM_RESERVE) == 1) {
        return true;
    }
    snprintf(what, sizeof what,
             "a new opening leaves %zu logs, %zu manifests, %zu tables where %zu are needed, %zu "
             "leftovers and %zu reserves",
             sim_count_names(sim, SIM_LOG), sim_count_names(sim, SIM_MANIFEST),
             sim_count_names(sim, SIM_TABLE), tables,
             sim_count_names(sim, SIM_TABLE_TMP) + sim_count_names(sim, SIM_ROOT_TMP),
             sim_count_names(sim, SIM_RESERVE));
    return fail_say(run, what, 0);
}

/* What was read once survives power loss, also if it was in memory only because a sync had failed.
 */
static bool check_stays(const struct fail_run *run, struct rig *rig, const struct rig_rows *rows)
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
    run->result->openings++;
    if (r < 0) {
        return fail_say(run, "a reopened store cannot be opened after power loss", r);
    }
    return rig_digest(rows) == rig_digest(&again) ||
           fail_say(run, "rows that were read are gone after power loss", 0);
}

static void watch_opening(void *arg, struct sim_fs *sim, const struct sim_event *event)
{
    if (event->changes) {
        crash_images_add(arg, sim, &(struct rig_bounds){0});
    }
}

/* Open what is there and compare. The moments of the opening are kept, unless `moments` is NULL. */
static bool open_and_compare(const struct fail_run *run, struct rig *rig, size_t lowest,
                             const char *when, struct crash_images *moments)
{
    struct rig_rows rows = {0};
    char what[400];
    int r;

    sim_watch(rig->sim, moments != NULL ? watch_opening : NULL, moments);
    r = rig_open(rig, !run->rig.bounds.opened, run->rig.bounds.tables);
    sim_watch(rig->sim, NULL, NULL);
    r = r < 0 ? r : rig_read(rig, &rows);
    run->result->openings++;
    if (r < 0) {
        snprintf(what, sizeof what, "the store cannot be opened or read %s (%s)", when,
                 rig->message);
        return fail_say(run, what, r);
    }
    return check_files(run, rig) && fail_check_rows(run, &rows, lowest, when) &&
           check_names(run, rig, when) && check_stays(run, rig, &rows);
}

/* Lose the power at a moment of the opening: what a failed sync left in memory only, and the
 * opening may have built upon, is lost with what the opening has not synced. */
static bool check_opening(struct fail_run *run, const struct crash_images *moments)
{
    static const enum sim_mode modes[] = {SIM_DROP_ALL, SIM_RANDOM};
    struct sim_fs *after = NULL;
    uint64_t damage;
    struct rig rig;
    bool ok;

    if (moments->count == 0 || rng_below(&run->rig.rng, OPENING_ONE_IN) != 0) {
        return true;
    }
    kv_ignore(sim_crash(moments->items[rng_below(&run->rig.rng, moments->count)].sim,
                        rng_next(&run->rig.rng), modes[rng_below(&run->rig.rng, 2)], &after,
                        &damage)); /* cannot fail */
    rig_init(&rig, after, 1);
    ok = open_and_compare(run, &rig, run->rig.bounds.synced, "after power loss in the next opening",
                          NULL);
    rig_abandon(&rig);
    rig_finish(&rig);
    return ok;
}

bool fail_check_left(struct fail_run *run, struct sim_fs *take_sim, size_t lowest, const char *when)
{
    struct crash_images moments = {0};
    struct rig rig;
    bool ok;

    rig_init(&rig, take_sim, 1);
    sim_fail(rig.sim, NULL);
    ok = open_and_compare(run, &rig, lowest, when, &moments) && check_opening(run, &moments);
    crash_images_clear(&moments);
    rig_abandon(&rig);
    rig_finish(&rig);
    return ok;
}

bool fail_check_now(struct fail_run *run)
{
    static const enum sim_mode modes[] = {SIM_DROP_ALL, SIM_RANDOM};
    struct sim_fs *after = NULL;
    uint64_t damage;
    bool ok;

    kv_ignore(sim_kill(run->rig.sim, &after)); /* cannot fail, nor can a crash */
    ok = fail_check_left(run, after, run->rig.bounds.written, "after the death of the process");
    for (int i = 0; i < 2 && ok; i++) {
        kv_ignore(sim_crash(run->rig.sim, rng_next(&run->rig.rng), modes[i], &after, &damage));
        ok = fail_check_left(run, after, run->rig.bounds.synced, "after power loss");
    }
    return ok;
}

/* Nothing fails any more: a store goes on, without being opened again, unless it has said that it
 * can only be read. A full device is no reason to say so. */
static bool check_goes_on(struct fail_run *run)
{
    static const char steps[] = "wynfw";
    struct kv_health health;

    kv_health(run->rig.store, &health);
    if (run->rig.bounds.tables == 0 ||
        (health.state == KV_HEALTH_READ_ONLY && health.error == -EIO)) {
        return true;
    }
    for (const char *step = steps; *step != '\0'; step++) {
        int r = rig_step(&run->rig, *step);
        if (r < 0) {
            return fail_say(run, "a store takes no writes with the failure gone", r);
        }
    }
    return true;
}

bool fail_check_close(struct fail_run *run)
{
    struct rig_rows before = {0};
    struct rig_rows after = {0};
    int r;

    sim_fail(run->rig.sim, NULL);
    r = rig_read(&run->rig, &before);
    if (r < 0) {
        return fail_say(run, "the store cannot be read", r);
    }
    if (!fail_check_rows(run, &before, run->rig.model.batch_count, "while the store was open")) {
        return false;
    }
    if (!check_goes_on(run)) {
        return false;
    }
    r = rig_read(&run->rig, &before);
    if (r < 0 || rig_close(&run->rig) < 0) {
        return r == 0 || fail_say(run, "the store cannot be read", r); /* closing said so */
    }
    r = rig_open(&run->rig, false, run->rig.bounds.tables);
    r = r < 0 ? r : rig_read(&run->rig, &after);
    run->result->openings++;
    if (r < 0) {
        return fail_say(run, "the store cannot be opened after it was closed", r);
    }
    return rig_digest(&before) == rig_digest(&after) ||
           fail_say(run, "the store shows other rows after it was closed", 0);
}
