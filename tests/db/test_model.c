/* SPDX-License-Identifier: Apache-2.0 */
/* Random operations against the model, with background threads and without, with snapshots and
 * reopening. */
#include "tests/lib/check_main.h"

#include <stdio.h>
#include <stdlib.h>

#include "kvcore/db/dead_probe.h"
#include "kvcore/util/rng.h"
#include "tests/db/model.h"

/* In memory, or with KV_IN_POOL and KV_ON_RADOS of a store in a pool. */
#if defined(KV_IN_POOL) || defined(KV_ON_RADOS)
#include "tests/db/pool_place.h"
#else
enum { PLACE_SLOWNESS = 1 };

static struct kv_storage *place; /* keeps what is in it when it is closed */

static void place_make(void)
{
    ck_ok(kv_storage_mem_create(&place));
}

static void place_remove(void)
{
    kv_storage_mem_destroy(place);
}

static struct kv_storage *place_open(bool create)
{
    (void)create;
    return place;
}
#endif

enum { SNAPSHOTS = 3, NAMES = 3 };

static const char *const names[NAMES] = {"first", "the second", "third"};

struct world {
    struct kv_options options;
    struct kv_store *store;
    struct kv_table *tables[MODEL_TABLES];
    struct model model;
    struct kv_snapshot *snapshots[SNAPSHOTS];
    struct model_state *states[SNAPSHOTS];
    struct model_state *named_states[NAMES]; /* NULL: there is none of that name */
    struct rng rng;
    struct kv_batch *batch;
};

static void print_message(void *arg, enum kv_message_level level, const char *text)
{
    (void)arg;
    if (level <= KV_MESSAGE_WARNING) {
        printf("# %s\n", text);
    }
}

/* So few rows hold no long runs of deleted keys: look for every one. */
static void look_for_short_runs(struct kv_store *store)
{
    store->dead_probe->enabled = true;
    store->dead_probe->pass_after = 1;
    store->dead_probe->ask_after = 1;
    store->dead_probe->streak = 2;
    store->dead_probe->walk = 16;
    store->dead_probe->note_min = 1;
}

static void open_store(struct world *w)
{
    struct kv_table_options prefix = {.prefix_size = 4, .block_bytes = 1024};
    ck_ok(kv_open(place_open(true), &w->options, &w->store));
    look_for_short_runs(w->store);
    ck_ok(kv_table_open(w->store, "first", &prefix, &w->tables[0]));
    ck_ok(kv_table_open(w->store, "second", NULL, &w->tables[1]));
}

static void world_init(struct world *w, bool background)
{
    uint64_t seed = test_seed() + (background ? 1 : 0);
    *w = (struct world){.rng = {seed}};
    w->options = (struct kv_options){.create = true,
                                     .memtable_bytes = 128 << 10,
                                     .cache_bytes = 1 << 20,
                                     .file_bytes = 64 << 10,
                                     .level_base_bytes = 128 << 10,
                                     .blob_commit_bytes = 4096,
                                     .blob_flush_bytes = 200,
                                     .blob_file_bytes = 256 << 10,
                                     .no_background = !background,
                                     .compaction_threads = 2,
                                     .sync_interval_ms = background ? 5 : 0,
                                     .message_fn = print_message};
    model_init(&w->model, seed);
    place_make();
    ck_ok(kv_batch_create(&w->batch));
    open_store(w);
}

static void drop_snapshot(struct world *w, size_t i)
{
    kv_snapshot_release(w->snapshots[i]);
    free(w->states[i]);
    w->snapshots[i] = NULL;
    w->states[i] = NULL;
}

static void world_finish(struct world *w)
{
    for (size_t i = 0; i < SNAPSHOTS; i++) {
        drop_snapshot(w, i);
    }
    for (size_t i = 0; i < NAMES; i++) {
        free(w->named_states[i]);
    }
    ck_ok(kv_close(w->store));
    place_remove();
    kv_batch_destroy(w->batch);
    model_finish(&w->model);
}

/* Mostly a few keys, seldom most of them; the end is a key, or just behind one. */
static void delete_range(struct world *w, size_t t)
{
    uint64_t shape = rng_below(&w->rng, 200);
    size_t most = shape < 170 ? 12 : shape < 199 ? 150 : MODEL_KEYS;
    size_t from = rng_below(&w->rng, MODEL_KEYS - 1);
    size_t to = from + 1 + rng_below(&w->rng, most);
    struct kv_buf end = {0};

    to = to < MODEL_KEYS ? to : MODEL_KEYS - 1;
    ck_ok(kv_buf_append(&end, kv_buf_slice(&w->model.keys[to])));
    if (rng_below(&w->rng, 2) == 0) {
        ck_ok(kv_buf_append(&end, kv_slice("\0", 1)));
        to++;
    }
    ck_ok(kv_batch_delete_range(w->batch, w->tables[t], kv_buf_slice(&w->model.keys[from]),
                                kv_buf_slice(&end)));
    for (size_t key = from; key < to; key++) {
        w->model.value[t][key] = 0;
    }
    kv_buf_finish(&end);
}

static void change(struct world *w)
{
    static uint8_t bytes[MODEL_VALUE_MAX];
    size_t rows = rng_below(&w->rng, 10) == 0 ? 1 + rng_below(&w->rng, 50) : 1;
    kv_batch_clear(w->batch);
    for (size_t i = 0; i < rows; i++) {
        size_t t = rng_below(&w->rng, MODEL_TABLES);
        size_t key = rng_below(&w->rng, MODEL_KEYS);
        if (rng_below(&w->rng, 16) == 0) {
            delete_range(w, t);
        } else if (rng_below(&w->rng, 3) == 0) {
            ck_ok(kv_batch_delete(w->batch, w->tables[t], kv_buf_slice(&w->model.keys[key])));
            w->model.value[t][key] = 0;
        } else {
            uint32_t number = w->model.next_value++;
            ck_ok(kv_batch_put(w->batch, w->tables[t], kv_buf_slice(&w->model.keys[key]),
                               model_value(number, bytes)));
            w->model.value[t][key] = number;
        }
    }
    ck_ok(kv_write(w->store, w->batch, (enum kv_durability)rng_below(&w->rng, 3)));
}

static void toggle_snapshot(struct world *w)
{
    size_t i = rng_below(&w->rng, SNAPSHOTS);
    if (w->snapshots[i] != NULL) {
        model_check(&w->model, w->states[i], w->tables, w->snapshots[i], test_seed());
        drop_snapshot(w, i);
        return;
    }
    ck_ok(kv_snapshot_create(w->store, &w->snapshots[i]));
    w->states[i] = malloc(sizeof *w->states[i]);
    model_state_of(&w->model, w->states[i]);
}

static void check_named(struct world *w, size_t i)
{
    struct kv_snapshot *snapshot = NULL;
    ck_ok(kv_named_snapshot_open(w->store, names[i], &snapshot));
    model_check(&w->model, w->named_states[i], w->tables, snapshot, test_seed());
    kv_snapshot_release(snapshot);
}

static void toggle_named(struct world *w)
{
    size_t i = rng_below(&w->rng, NAMES);
    if (w->named_states[i] != NULL) {
        check_named(w, i);
        ck_ok(kv_named_snapshot_drop(w->store, names[i]));
        free(w->named_states[i]);
        w->named_states[i] = NULL;
        return;
    }
    ck_ok(kv_named_snapshot_create(w->store, names[i]));
    w->named_states[i] = malloc(sizeof *w->named_states[i]);
    model_state_of(&w->model, w->named_states[i]);
}

static void check_now(struct world *w)
{
    struct model_state state;
    model_state_of(&w->model, &state);
    model_check(&w->model, &state, w->tables, NULL, test_seed());
}

static void reopen(struct world *w)
{
    for (size_t i = 0; i < SNAPSHOTS; i++) {
        drop_snapshot(w, i);
    }
    ck_ok(kv_close(w->store));
    open_store(w);
    for (size_t i = 0; i < NAMES; i++) {
        if (w->named_states[i] != NULL) {
            check_named(w, i);
        }
    }
}

static void compact_some(struct world *w)
{
    size_t from = rng_below(&w->rng, MODEL_KEYS);
    size_t to = from + rng_below(&w->rng, MODEL_KEYS - from);
    ck_ok(kv_compact_range(w->tables[rng_below(&w->rng, MODEL_TABLES)],
                           kv_buf_slice(&w->model.keys[from]), kv_buf_slice(&w->model.keys[to])));
}

static void step(struct world *w)
{
    uint64_t what = rng_below(&w->rng, 2000);
    if (what < 4) {
        ck_ok(kv_flush(w->store));
    } else if (what < 5) {
        ck_ok(kv_compact(w->store));
    } else if (what < 7) {
        reopen(w);
    } else if (what < 10) {
        compact_some(w);
    } else if (what < 17) {
        toggle_snapshot(w);
    } else if (what < 20) {
        check_now(w);
    } else if (what < 24) {
        toggle_named(w);
    } else {
        change(w);
    }
}

static void check_runs_were_passed(struct world *w)
{
    struct kv_stats stats;
    check_now(w); /* asks for probes, and passes runs that were found before */
    kv_stats(w->store, &stats);
    ck_assert_uint_gt(stats.deleted_probes, 0);
    ck_assert_uint_gt(stats.deleted_passed, 0);
}

static void run(bool background, uint64_t steps)
{
    struct world *w = malloc(sizeof *w);
    world_init(w, background);
    for (uint64_t i = 0; i < steps; i++) {
        step(w);
        if (!background) {
            dead_probe_step(w->store);
        }
    }
    check_now(w);
    check_runs_were_passed(w);
    reopen(w);
    check_now(w);
    ck_ok(kv_compact(w->store));
    check_now(w);
    world_finish(w);
    free(w);
}

START_TEST(random_operations_agree_with_the_model_without_threads)
{
    run(false, test_steps(6000 / PLACE_SLOWNESS));
}
END_TEST

START_TEST(random_operations_agree_with_the_model_beside_background_work)
{
    run(true, test_steps(12000 / PLACE_SLOWNESS));
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("model");
    suite_add(s, "model", random_operations_agree_with_the_model_without_threads);
    suite_add(s, "model", random_operations_agree_with_the_model_beside_background_work);
    return s;
}
