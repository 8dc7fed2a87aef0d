/* SPDX-License-Identifier: Apache-2.0 */
/* Stores that lost every manifest, and most of them ROOT, too: after repair every row
 * that counted is there, and none that was deleted or overwritten. The stores are random; half of
 * them were cut short at a random change of the directory, in the middle of flushes, merges and
 * removals. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvcore/db/compact.h"
#include "kvcore/util/rng.h"
#include "tests/admin/admin_crash.h"
#include "tests/admin/admin_store.h"
#include "tests/admin/rebuild_rows.h"
#include "tests/lib/temp_dir.h"

enum { TABLES = 3, READERS = 2, KEYS = 240 };

/* ---- the model ---- */

/* Versions of a key's value count up for ever. `may` is what it shows if the last operation, which
 * failed, was made all the same. */
struct model {
    struct {
        unsigned now, may;
    } keys[TABLES][KEYS];
    unsigned next;
};

struct trial {
    struct rng rng;
    char path[512];
    struct kv_options options;
    struct kv_store *store;
    struct kv_table *tables[TABLES];
    struct kv_iter *readers[READERS]; /* keep tables that were replaced */
    struct model model;
    uint64_t live, right, lost, back, old; /* rows; back: deleted ones */
};

static const char *const names[TABLES] = {"one", "two", "three"};

/* What was to be is, or may be. */
static bool settle(struct trial *t, int r)
{
    for (unsigned i = 0; i < TABLES * KEYS; i++) {
        unsigned table = i / KEYS, key = i % KEYS;
        if (r == 0) {
            t->model.keys[table][key].now = t->model.keys[table][key].may;
        }
    }
    return r == 0;
}

/* ---- operations ---- */

static int put(struct trial *t, unsigned table, unsigned key)
{
    char name[16], value[VALUE_MAX];
    unsigned version = ++t->model.next;
    t->model.keys[table][key].may = version;
    return kv_put(t->tables[table], key_of(key, name), value_of(version, value), KV_DURABLE_WRITE);
}

static int delete_one(struct trial *t, unsigned table, unsigned key)
{
    char name[16];
    t->model.keys[table][key].may = DELETED;
    return kv_delete(t->tables[table], key_of(key, name), KV_DURABLE_WRITE);
}

static int delete_many(struct trial *t, unsigned table, unsigned key)
{
    unsigned to = key + 1 + (unsigned)rng_below(&t->rng, 60);
    char from_name[16], to_name[16];
    for (unsigned i = key; i < to && i < KEYS; i++) {
        t->model.keys[table][i].may = DELETED;
    }
    return kv_delete_range(t->tables[table], key_of(key, from_name), key_of(to, to_name),
                           KV_DURABLE_WRITE);
}

static int merge_some(struct trial *t, unsigned table, unsigned key)
{
    char from_name[16], to_name[16];
    return kv_compact_range(t->tables[table], key_of(key, from_name),
                            key_of(key + (unsigned)rng_below(&t->rng, 40), to_name));
}

static void end_reading(struct trial *t, unsigned i)
{
    kv_iter_destroy(t->readers[i]);
    t->readers[i] = NULL;
}

static int read_on(struct trial *t, unsigned table)
{
    unsigned i = (unsigned)rng_below(&t->rng, READERS);
    if (t->readers[i] != NULL) {
        end_reading(t, i);
        return 0;
    }
    return kv_iter_create(t->tables[table], NULL, &t->readers[i]);
}

/* What a background thread would pick, also moves. */
static int merge_picked(struct trial *t)
{
    int r = compact_one(t->store);
    return r < 0 ? r : 0;
}

static int close_store(struct trial *t)
{
    for (unsigned i = 0; i < READERS; i++) {
        end_reading(t, i);
    }
    int r = kv_close(t->store);
    t->store = NULL;
    return r;
}

static int open_store(struct trial *t)
{
    struct kv_storage *storage = NULL;
    int r = storage_posix_open_with_calls(t->path, true, &crash.calls, NULL, &storage);

    if (r < 0) {
        return r;
    }
    r = kv_open(storage, &t->options, &t->store);
    if (r < 0) {
        storage->ops->close(storage); /* it may have been cut short, and hold the lock */
    }
    for (unsigned i = 0; i < TABLES && r == 0; i++) {
        r = kv_table_open(t->store, names[i], NULL, &t->tables[i]);
    }
    return r;
}

static int reopen(struct trial *t)
{
    int r = close_store(t);
    return r < 0 ? r : open_store(t);
}

static int step(struct trial *t)
{
    unsigned table = (unsigned)rng_below(&t->rng, TABLES);
    unsigned key = (unsigned)rng_below(&t->rng, KEYS);
    unsigned what = (unsigned)rng_below(&t->rng, 1000);

    if (what < 600) {
        return put(t, table, key);
    }
    if (what < 890) {
        return delete_one(t, table, key);
    }
    if (what < 915) {
        return delete_many(t, table, key);
    }
    if (what < 925) {
        return read_on(t, table);
    }
    if (what < 955) {
        return kv_flush(t->store);
    }
    if (what < 970) {
        return merge_picked(t);
    }
    if (what < 990) {
        return merge_some(t, table, key);
    }
    return what < 996 ? kv_compact(t->store) : reopen(t);
}

/* Soon it is cut short: in the middle of a flush or a merge, or between the removal of one table
 * and the next. */
static int arm(struct trial *t)
{
    uint64_t after = 1 + rng_below(&t->rng, 40);
    int r = 0;
    for (unsigned i = 0; i < TABLES && r == 0; i++) {
        r = put(t, i, (unsigned)rng_below(&t->rng, KEYS));
        settle(t, r);
    }
    if (rng_below(&t->rng, 3) == 0) {
        __atomic_store_n(&crash.stop_at_remove, crash_load(&crash.removed) + 1 + after % 7,
                         __ATOMIC_SEQ_CST);
    } else {
        __atomic_store_n(&crash.stop_at, crash_load(&crash.count) + after, __ATOMIC_SEQ_CST);
    }
    if (r == 0) {
        r = after % 2 == 0 ? kv_flush(t->store) : kv_compact(t->store);
    }
    return r;
}

/* Merges, until the store is cut short. */
static int last_step(struct trial *t)
{
    int r = step(t);
    return r == 0 && rng_below(&t->rng, 8) == 0 ? kv_compact(t->store) : r;
}

/* Returns whether the store was closed cleanly. */
static bool make_store(struct trial *t)
{
    uint64_t steps = 100 + rng_below(&t->rng, 900);
    bool crashes = rng_below(&t->rng, 2) == 0;
    int r;

    t->options = (struct kv_options){.create = true,
                                     .memtable_bytes = (size_t)64 << rng_below(&t->rng, 3) << 10,
                                     .file_bytes = (size_t)4 << rng_below(&t->rng, 4) << 10,
                                     .level_base_bytes = (size_t)16 << 10,
                                     .blob_commit_bytes = 2500,
                                     .blob_flush_bytes = 2500,
                                     .no_background = rng_below(&t->rng, 2) == 0};
    crash_begin(0);
    ck_ok(open_store(t));
    r = 0;
    for (uint64_t i = 0; (i < steps || crashes) && r == 0 && !crash_happened(); i++) {
        r = crashes && i == steps / 2 ? arm(t) : i > steps ? last_step(t) : step(t);
        settle(t, r);
    }
    r = close_store(t);
    ck_assert(r == 0 || crash_happened());
    return r == 0 && !crash_happened();
}

/* ---- loss ---- */

/* Every manifest ends anywhere. Of a store that was closed nobody knows so without ROOT. Whether
 * it is lost of one that was not is tossed. */
static void lose_ends(const char *path, struct rng *rng, bool with_root)
{
    char file[1024];
    struct dirent *entry;
    struct stat st;
    DIR *dir = opendir(path);
    ck_assert_ptr_nonnull(dir);
    while ((entry = readdir(dir)) != NULL) {
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        if (with_root && strcmp(entry->d_name, "ROOT") == 0) {
            ck_assert(unlink(file) == 0);
        } else if (strstr(entry->d_name, ".manifest") != NULL) {
            ck_assert(stat(file, &st) == 0);
            ck_assert(truncate(file, (off_t)rng_below(rng, (uint64_t)st.st_size + 1)) == 0);
        }
    }
    closedir(dir);
}

/* ---- judging ---- */

static void judge(struct trial *t, unsigned table, unsigned key, unsigned shown)
{
    unsigned now = t->model.keys[table][key].now, may = t->model.keys[table][key].may;
    t->live += now != DELETED;
    if (shown == now || shown == may) {
        t->right++;
        return;
    }
    t->lost += shown == DELETED;
    t->back += shown != DELETED && now == DELETED;
    t->old += shown != DELETED && now != DELETED;
    printf("# table %s key %u shows version %u instead of %u or %u\n", names[table], key, shown,
           now, may);
    fflush(stdout);
}

static int find_table(struct kv_store *store, unsigned i, struct kv_table **ret_table)
{
    char lost[16];
    snprintf(lost, sizeof lost, "lost-%u", i + 1);
    int r = kv_table_open(store, names[i], NULL, ret_table);
    return r == -ENOENT ? kv_table_open(store, lost, NULL, ret_table) : r;
}

/* Once to replay the logs, then read-only, so that a table that is not there is not made. */
static void judge_all(struct trial *t)
{
    struct kv_store *store = NULL;

    t->options.create = false;
    ck_ok(kv_open(store_storage(t->path), &t->options, &store));
    ck_ok(kv_close(store));
    t->options.read_only = true;
    ck_ok(kv_open(store_storage(t->path), &t->options, &store));
    for (unsigned i = 0; i < TABLES; i++) {
        struct kv_table *table = NULL;
        int r = find_table(store, i, &table);
        ck_assert(r == 0 || r == -ENOENT);
        for (unsigned key = 0; key < KEYS; key++) {
            judge(t, i, key, r == 0 ? look_up(table, key) : DELETED);
        }
    }
    ck_ok(kv_close(store));
}

/* ---- the random ones ---- */

struct totals {
    uint64_t stores, crashed, early, went_back, live, lost, back, old;
};

/* Returns whether the store went back to where its manifest ends: nothing tells what became of a
 * table that was merged to nothing. */
static bool damage(struct trial *t, bool only_ends, bool closed, int codes[64])
{
    bool root = closed || rng_below(&t->rng, 4) > 0;
    struct kv_admin_result result;

    if (only_ends) {
        lose_ends(t->path, &t->rng, root);
    } else {
        lose(t->path, root);
    }
    ck_ok(store_check(t->path, KV_ADMIN_REPAIR, false, codes, &result));
    if (!only_ends) {
        ck_assert(has_code(codes, root ? KV_PROBLEM_ROOT_MISSING : KV_PROBLEM_MANIFEST_MISSING));
    }
    if (only_ends && has_code(codes, KV_PROBLEM_MANIFEST_SHORT) &&
        (has_code(codes, KV_PROBLEM_TABLE_MISSING) || has_code(codes, KV_PROBLEM_LOG_MISSING))) {
        printf("# went back, %u of %u repaired\n", (unsigned)result.repaired,
               (unsigned)result.problems);
        ck_ok(store_check(t->path, KV_ADMIN_REPORT, false, codes, &result));
        ck_assert(!has_code(codes, KV_PROBLEM_MANIFEST_SHORT));
        codes[0] = KV_PROBLEM_MANIFEST_SHORT;
        codes[1] = 0;
        return true;
    }
    ck_assert_uint_eq(result.repaired, result.problems);
    return false;
}

static void run_trial(uint64_t number, bool only_ends, struct totals *totals)
{
    struct trial *t = calloc(1, sizeof *t);
    struct kv_admin_result result;
    struct temp_dir dir;
    int codes[64];
    bool closed, back;

    ck_assert_ptr_nonnull(t);
    t->rng.state = test_seed() + number * 0x9e3779b97f4a7c15ULL;
    temp_dir_make(&dir);
    temp_dir_name(&dir, "store", t->path);
    closed = make_store(t);
    printf("# store %u, %s\n", (unsigned)number, closed ? "closed" : "cut short");
    ck_ok(store_check(t->path, KV_ADMIN_REPORT, false, codes, &result));
    ck_assert_msg(result.problems == 0, "told of a sound store");
    back = damage(t, only_ends, closed, codes);
    totals->early += has_code(codes, KV_PROBLEM_MANIFEST_SHORT);
    if (!back) {
        ck_ok(store_check(t->path, KV_ADMIN_REPORT, true, codes, &result));
        ck_assert_uint_eq(result.problems, 0);
        judge_all(t);
    }
    totals->stores++;
    totals->crashed += !closed;
    totals->live += t->live;
    totals->lost += t->lost;
    totals->back += t->back;
    totals->old += t->old;
    totals->went_back += back;
    ck_assert_msg(t->lost + t->back + t->old == 0, "store %u: %u lost, %u back, %u old (seed %llu)",
                  (unsigned)number, (unsigned)t->lost, (unsigned)t->back, (unsigned)t->old,
                  (unsigned long long)test_seed());
    temp_dir_remove(&dir);
    free(t);
}

static void run_trials(uint64_t count, bool only_ends)
{
    struct totals totals = {0};
    for (uint64_t i = 0; i < count; i++) {
        run_trial(i, only_ends, &totals);
    }
    printf("# tried: %llu stores (%llu cut short, %llu with manifests known to end early, %llu of "
           "these went back) with %llu "
           "live rows: %llu lost, %llu deleted ones back, %llu old values\n",
           (unsigned long long)totals.stores, (unsigned long long)totals.crashed,
           (unsigned long long)totals.early, (unsigned long long)totals.went_back,
           (unsigned long long)totals.live, (unsigned long long)totals.lost,
           (unsigned long long)totals.back, (unsigned long long)totals.old);
    ck_assert_uint_le(totals.went_back * 50, totals.stores + 100);
}

START_TEST(a_store_without_manifests_comes_back_with_every_row_and_none_too_many)
{
    run_trials(test_steps(20), false);
}
END_TEST

START_TEST(a_store_whose_manifests_end_early_comes_back_with_every_row_and_none_too_many)
{
    run_trials(test_steps(20), true);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("rebuild");
    TCase *tcase = tcase_create("rebuild");
    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, a_store_without_manifests_comes_back_with_every_row_and_none_too_many);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("ends");
    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase,
                   a_store_whose_manifests_end_early_comes_back_with_every_row_and_none_too_many);
    suite_add_tcase(suite, tcase);
    return suite;
}
