/* SPDX-License-Identifier: Apache-2.0 */
/* Tables that lost their range deletes, alone or with all they held. Nothing that was deleted or
 * overwritten shows again, neither now nor at a named snapshot; where the manifest repeats the
 * range deletes nothing else is lost with them, and where it does not a key is an error or right.
 * So it is where tables are damaged and the manifest is lost, too. The stores are random, and what
 * they should hold is kept beside them. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kv/verify.h>

#include "kvcore/db/compact.h"
#include "kvcore/table/table_impl.h"
#include "kvcore/util/rng.h"
#include "tests/admin/admin_craft.h"
#include "tests/admin/rebuild_rows.h"
#include "tests/lib/temp_dir.h"

enum { KEYS = 160, TABLES_MAX = 200 };

/* What the manifest knows of the range deletes. */
enum knows { KNOWS_ALL, KNOWS_A_COVER, KNOWS_NOTHING };
/* What becomes of the table. */
enum loss { LOSS_OF_RANGES, LOSS_OF_ALL, LOSS_OF_THE_END };

static const char snapshot_name[] = "then";

struct trial {
    struct rng rng;
    char path[512], kept[512];
    struct kv_store *store;
    struct kv_table *table;
    struct kv_snapshot *reader; /* keeps rows that range deletes hide */
    unsigned now[KEYS], then[KEYS];
    bool has_then;
    unsigned next;
    enum knows knows;
    enum loss loss;
    uint64_t tried, right, errors, gone;
    uint64_t unreadable; /* keys, of errors without those at the snapshot */
    uint64_t damaged;    /* rows, as the repair counts them */
};

/* ---- a store ---- */

static void open_store(struct trial *t)
{
    const struct kv_options options = {.create = true,
                                       .file_bytes = (size_t)8 << 10,
                                       .level_base_bytes = (size_t)16 << 10,
                                       .no_background = true};
    struct kv_storage *storage = NULL;
    ck_ok(kv_storage_posix_open(t->path, true, &storage));
    ck_ok(kv_open(storage, &options, &t->store));
    ck_ok(kv_table_open(t->store, "rows", NULL, &t->table));
}

static void put(struct trial *t, unsigned key)
{
    char name[16], value[VALUE_MAX];
    t->now[key] = ++t->next;
    ck_ok(kv_put(t->table, key_of(key, name), value_of(t->next, value), KV_DURABLE_WRITE));
}

static void delete_many(struct trial *t, unsigned key)
{
    unsigned to = key + 1 + (unsigned)rng_below(&t->rng, 25);
    char from_name[16], to_name[16];
    for (unsigned i = key; i < to && i < KEYS; i++) {
        t->now[i] = DELETED;
    }
    ck_ok(kv_delete_range(t->table, key_of(key, from_name), key_of(to, to_name), KV_DURABLE_WRITE));
}

static void read_on(struct trial *t)
{
    if (t->reader != NULL) {
        kv_snapshot_release(t->reader);
        t->reader = NULL;
    } else {
        ck_ok(kv_snapshot_create(t->store, &t->reader));
    }
}

static void merge_some(struct trial *t, unsigned key)
{
    char from_name[16], to_name[16];
    ck_ok(kv_compact_range(t->table, key_of(key, from_name), key_of(key + 10, to_name)));
}

static void name_snapshot(struct trial *t)
{
    if (t->has_then) {
        ck_ok(kv_named_snapshot_drop(t->store, snapshot_name));
    }
    ck_ok(kv_named_snapshot_create(t->store, snapshot_name));
    memcpy(t->then, t->now, sizeof t->then);
    t->has_then = true;
}

static void step(struct trial *t)
{
    unsigned key = (unsigned)rng_below(&t->rng, KEYS);
    unsigned what = (unsigned)rng_below(&t->rng, 1000);
    char name[16];

    if (what < 650) {
        put(t, key);
    } else if (what < 750) {
        t->now[key] = DELETED;
        ck_ok(kv_delete(t->table, key_of(key, name), KV_DURABLE_WRITE));
    } else if (what < 800) {
        delete_many(t, key);
    } else if (what < 830) {
        ck_ok(kv_flush(t->store));
    } else if (what < 845) {
        merge_some(t, key);
    } else if (what < 860) {
        ck_ok(compact_one(t->store) < 0 ? -1 : 0);
    } else if (what < 863) {
        ck_ok(kv_compact(t->store));
    } else if (what < 866) {
        name_snapshot(t);
    } else if (what < 880) {
        read_on(t);
    }
}

static void make_store(struct trial *t)
{
    uint64_t steps = 200 + rng_below(&t->rng, 1500);
    open_store(t);
    for (uint64_t i = 0; i < steps; i++) {
        step(t);
    }
    delete_many(t, (unsigned)rng_below(&t->rng, KEYS));
    kv_snapshot_release(t->reader);
    t->reader = NULL;
    ck_ok(kv_close(t->store));
    if (t->knows == KNOWS_A_COVER) {
        craft_ranges_covered(t->path);
    } else if (t->knows == KNOWS_NOTHING) {
        craft_ranges_unknown(t->path);
    }
}

/* ---- loss ---- */

struct victim {
    unsigned number;
    uint64_t range_offset, first_block; /* of the blocks at the end, too */
};

static unsigned find_victims(const char *path, struct victim victims[TABLES_MAX])
{
    static const struct message_sink silent = {0};
    struct kv_storage *storage = store_storage(path);
    uint64_t seed = store_seed(storage);
    unsigned count = 0;
    for (unsigned number = 1; number < 2000 && count < TABLES_MAX; number++) {
        struct table *table = NULL;
        if (table_open(storage, seed, number, NULL, &silent, &table) == 0 &&
            table_properties(table)->range_delete_count > 0) {
            const struct table_properties *p = table_properties(table);
            victims[count++] =
                (struct victim){number, p->range_deletes.offset,
                                p->filter.size > 0 ? p->filter.offset : p->range_deletes.offset};
        }
        table_close(table);
    }
    storage->ops->close(storage);
    return count;
}

static void lose_some(const struct trial *t, const struct victim *victim)
{
    char name[32], file[600];
    snprintf(name, sizeof name, "%08u.table", victim->number);
    snprintf(file, sizeof file, "%s/%s", t->path, name);
    if (t->loss == LOSS_OF_RANGES) {
        flip(t->path, name, victim->range_offset + 50);
    } else if (t->loss == LOSS_OF_ALL) {
        ck_assert(unlink(file) == 0);
    } else {
        ck_assert(truncate(file, (off_t)(victim->first_block / 2)) == 0);
    }
}

/* ---- judging ---- */

static void judge_key(struct trial *t, const struct kv_snapshot *at, unsigned key, unsigned should)
{
    char name[16], value[VALUE_MAX];
    struct kv_pinned pinned = {0};
    int r = kv_get(t->table, at, key_of(key, name), &pinned);
    bool exact = t->knows == KNOWS_ALL && t->loss == LOSS_OF_RANGES;

    t->tried++;
    if (r == -KV_EDAMAGED && !exact) {
        t->errors++;
        t->unreadable += at == NULL;
        return;
    }
    if (r == -ENOENT) {
        t->gone += should != DELETED;
        ck_assert_msg(should == DELETED || t->loss != LOSS_OF_RANGES,
                      "key %u is gone (seed %" PRIu64 ")", key, test_seed());
        t->right += should == DELETED;
        return;
    }
    ck_ok(r);
    ck_assert_msg(version_in(pinned.value) == should,
                  "key %u%s shows version %u instead of %u (seed %" PRIu64 ")", key,
                  at != NULL ? ", then," : "", version_in(pinned.value), should, test_seed());
    ck_assert(kv_slice_equal(pinned.value, value_of(should, value)));
    kv_pinned_release(&pinned);
    t->right++;
}

static void judge_all(struct trial *t)
{
    struct kv_snapshot *then = NULL;
    for (unsigned key = 0; key < KEYS; key++) {
        judge_key(t, NULL, key, t->now[key]);
    }
    if (t->has_then) {
        ck_ok(kv_named_snapshot_open(t->store, snapshot_name, &then));
        for (unsigned key = 0; key < KEYS; key++) {
            judge_key(t, then, key, t->then[key]);
        }
        kv_snapshot_release(then);
    }
}

static void repair(struct trial *t)
{
    struct kv_admin_result result;
    int codes[64];
    ck_ok(store_check(t->path, KV_ADMIN_REPAIR, false, codes, &result));
    ck_assert_uint_gt(result.problems, 0);
    ck_assert(t->loss != LOSS_OF_RANGES || has_code(codes, KV_PROBLEM_TABLE_RANGE_DELETES));
    ck_assert_uint_eq(result.repaired, result.problems);
    t->damaged += result.damaged_rows;
    ck_ok(store_check(t->path, KV_ADMIN_REPORT, false, codes, &result));
    ck_assert_uint_eq(result.problems, 0);
}

static void run(struct trial *t, struct temp_dir *dir)
{
    struct victim victims[TABLES_MAX];
    temp_dir_name(dir, "store", t->path);
    temp_dir_name(dir, "kept", t->kept);
    make_store(t);
    unsigned count = find_victims(t->path, victims);
    if (count > 0) {
        unsigned losses = 1 + (unsigned)rng_below(&t->rng, 2);
        copy_tree(t->path, t->kept);
        for (unsigned i = 0; i < losses && i < count; i++) {
            lose_some(t, &victims[(rng_below(&t->rng, count / losses) + i * (count / losses))]);
        }
        repair(t);
        open_store(t);
        judge_all(t);
        ck_assert_uint_le(t->unreadable, t->damaged);
        ck_ok(kv_compact(t->store));
        judge_all(t);
        ck_ok(kv_verify(t->store, NULL));
        ck_ok(kv_close(t->store));
    }
}

START_TEST(range_deletes_that_are_lost_show_nothing_again)
{
    struct rng rng = {test_seed()};
    struct trial sum = {.knows = (enum knows)(_i / 3), .loss = (enum loss)(_i % 3)};
    uint64_t steps = test_steps(25);

    for (uint64_t i = 0; i < steps; i++) {
        struct temp_dir dir;
        struct trial t = {.rng = {rng_next(&rng)}, .knows = sum.knows, .loss = sum.loss};
        temp_dir_make(&dir);
        run(&t, &dir);
        temp_dir_remove(&dir);
        sum.tried += t.tried;
        sum.right += t.right;
        sum.errors += t.errors;
        sum.gone += t.gone;
        sum.damaged += t.damaged;
    }
    printf("# knows %d, loss %d: %" PRIu64 " keys read, %" PRIu64 " right, %" PRIu64
           " errors, %" PRIu64 " gone\n",
           (int)sum.knows, (int)sum.loss, sum.tried, sum.right, sum.errors, sum.gone);
    ck_assert_uint_gt(sum.tried, 0);
    ck_assert_int_eq(sum.damaged > 0, sum.knows != KNOWS_ALL || sum.loss != LOSS_OF_RANGES);
}
END_TEST

/* The end of a range delete is not covered: a table may end there, and the next one begin. In the
 * second round the table has a row, too, so that older ones may be hidden by rows that are lost. */
START_TEST(a_lost_table_costs_nothing_of_the_key_behind_it)
{
    enum { FROM = 2, TO = 5, END = 9 };
    struct trial t = {.knows = KNOWS_ALL, .loss = LOSS_OF_ALL};
    struct victim victims[TABLES_MAX];
    struct temp_dir dir;
    char from[16], to[16];

    temp_dir_make(&dir);
    temp_dir_name(&dir, "store", t.path);
    open_store(&t);
    for (unsigned key = 0; key < END; key++) {
        put(&t, key);
    }
    ck_ok(kv_compact(t.store));
    ck_ok(kv_delete_range(t.table, key_of(FROM, from), key_of(TO, to), KV_DURABLE_WRITE));
    if (_i == 1) {
        put(&t, FROM);
    }
    ck_ok(kv_flush(t.store));
    ck_ok(kv_close(t.store));
    ck_assert_uint_eq(find_victims(t.path, victims), 1);
    lose_some(&t, &victims[0]);
    repair(&t);
    open_store(&t);
    for (unsigned key = 0; key < END; key++) {
        bool behind = key < FROM || key >= TO;
        if (behind || _i == 0) { /* else it is an error */
            ck_assert_uint_eq(look_up(t.table, key), behind ? t.now[key] : DELETED);
        }
    }
    ck_ok(kv_close(t.store));
    temp_dir_remove(&dir);
}
END_TEST

/* ---- with the manifest ---- */

/* One to three bytes of one or two tables. */
static void damage_tables(struct trial *t)
{
    char names[TABLES_MAX][32], file[600];
    unsigned count = 0;
    uint64_t flips = 1 + rng_below(&t->rng, 3);
    for (unsigned number = 1; number < 2000 && count < TABLES_MAX; number++) {
        snprintf(names[count], sizeof names[0], "%08u.table", number);
        snprintf(file, sizeof file, "%s/%s", t->path, names[count]);
        count += access(file, F_OK) == 0;
    }
    for (uint64_t i = 0; i < flips && count > 0; i++) {
        const char *name = names[rng_below(&t->rng, count < 2 ? count : 2) * (count / 2)];
        struct stat st;
        snprintf(file, sizeof file, "%s/%s", t->path, name);
        ck_assert(stat(file, &st) == 0);
        flip(t->path, name, rng_below(&t->rng, (uint64_t)st.st_size));
    }
}

/* Returns whether the tables tell what belongs. */
static bool rebuild(struct trial *t)
{
    struct kv_admin_result result;
    int codes[64];
    ck_ok(store_check(t->path, KV_ADMIN_REPAIR, false, codes, &result));
    ck_assert(has_code(codes, KV_PROBLEM_MANIFEST_MISSING));
    if (has_code(codes, KV_PROBLEM_FILE_UNREADABLE)) { /* one does not say what it is */
        ck_assert_uint_eq(result.repaired, 0);
        return false;
    }
    ck_assert_uint_eq(result.repaired, result.problems);
    ck_ok(store_check(t->path, KV_ADMIN_REPORT, false, codes, &result));
    ck_assert_uint_eq(result.problems, 0);
    return true;
}

/* Nobody knows any more at which level a damaged table stood, and so what is older. */
START_TEST(damaged_tables_show_nothing_again_when_the_manifest_is_lost)
{
    struct rng rng = {test_seed()};
    uint64_t steps = test_steps(60), rebuilt = 0, right = 0, errors = 0, gone = 0;

    for (uint64_t i = 0; i < steps; i++) {
        struct temp_dir dir;
        struct trial t = {.rng = {rng_next(&rng)}, .knows = KNOWS_NOTHING, .loss = LOSS_OF_THE_END};
        temp_dir_make(&dir);
        temp_dir_name(&dir, "store", t.path);
        make_store(&t);
        damage_tables(&t);
        lose(t.path, false);
        if (rebuild(&t)) {
            t.has_then = false; /* named snapshots went with the manifest */
            open_store(&t);
            judge_all(&t);
            ck_ok(kv_close(t.store));
            rebuilt++;
        }
        temp_dir_remove(&dir);
        right += t.right;
        errors += t.errors;
        gone += t.gone;
    }
    printf("# %" PRIu64 " of %" PRIu64 " rebuilt: %" PRIu64 " keys right, %" PRIu64
           " errors, %" PRIu64 " gone\n",
           rebuilt, steps, right, errors, gone);
    ck_assert_uint_gt(rebuilt, steps / 2);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("lost_ranges");
    TCase *tcase = tcase_create("lost_ranges");
    tcase_set_timeout(tcase, 0);
    tcase_add_loop_test(tcase, range_deletes_that_are_lost_show_nothing_again, 0, 9);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("end");
    tcase_add_loop_test(tcase, a_lost_table_costs_nothing_of_the_key_behind_it, 0, 2);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("manifest");
    tcase_set_timeout(tcase, 0);
    tcase_add_test(tcase, damaged_tables_show_nothing_again_when_the_manifest_is_lost);
    suite_add_tcase(suite, tcase);
    return suite;
}
