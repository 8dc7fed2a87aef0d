/* SPDX-License-Identifier: Apache-2.0 */
/* What is made of damaged tables: beside a manifest that says what is older, and without one. There
 * what is left of them is written to tables of its own first, which must never count: not where the
 * repair is cut short, and not where they could not be removed. test_lost_ranges.c has random
 * stores. */
#include <string.h>
#include <unistd.h>

#include "kvcore/db/compact.h"
#include "kvcore/table/table_impl.h"
#include "tests/admin/admin_craft.h"
#include "tests/admin/admin_crash.h"
#include "tests/admin/rebuild_rows.h"
#include "tests/lib/temp_dir.h"

enum { KEYS = 600, ERROR = 1000000 }; /* ERROR: in place of a version */

static struct temp_dir dir;
static char path[512];
static struct kv_store *store;
static struct kv_table *table;
static unsigned now[KEYS], next;

/* ---- a store ---- */

static void setup(void)
{
    temp_dir_make(&dir);
    temp_dir_name(&dir, "store", path);
    memset(now, 0, sizeof now);
    next = 0;
}

static void teardown(void)
{
    temp_dir_remove(&dir);
}

static void open_at(const char *at)
{
    const struct kv_options options = {.create = true,
                                       .file_bytes = (size_t)8 << 10,
                                       .level_base_bytes = (size_t)16 << 10,
                                       .no_background = true};
    struct kv_storage *storage = NULL;
    ck_ok(kv_storage_posix_open(at, true, &storage));
    ck_ok(kv_open(storage, &options, &store));
    ck_ok(kv_table_open(store, "rows", NULL, &table));
}

static void put_keys(unsigned from, unsigned to)
{
    char name[16], value[VALUE_MAX];
    for (unsigned key = from; key < to; key++) {
        next += next % 11 == 2 ? 2 : 1; /* short values alone */
        now[key] = next;
        ck_ok(kv_put(table, key_of(key, name), value_of(next, value), KV_DURABLE_WRITE));
    }
}

static void delete_keys(unsigned from, unsigned to, bool one_by_one)
{
    char name[16], to_name[16];
    for (unsigned key = from; key < to; key++) {
        now[key] = DELETED;
        ck_ok(one_by_one ? kv_delete(table, key_of(key, name), KV_DURABLE_WRITE) : 0);
    }
    if (!one_by_one) {
        ck_ok(kv_delete_range(table, key_of(from, name), key_of(to, to_name), KV_DURABLE_WRITE));
    }
}

/* What every key shows now: a version, DELETED or ERROR. Nothing that it should not. */
static void read_all(const char *at, unsigned shown[KEYS])
{
    open_at(at);
    for (unsigned key = 0; key < KEYS; key++) {
        char name[16];
        struct kv_pinned pinned = {0};
        int r = kv_get(table, NULL, key_of(key, name), &pinned);
        shown[key] = r == -KV_EDAMAGED ? ERROR : DELETED;
        if (r == 0) {
            shown[key] = version_in(pinned.value);
            ck_assert_msg(shown[key] == now[key], "key %u shows version %u instead of %u", key,
                          shown[key], now[key]);
            kv_pinned_release(&pinned);
        } else {
            ck_assert_int_eq(r, shown[key] == ERROR ? -KV_EDAMAGED : -ENOENT);
        }
    }
    ck_ok(kv_close(store));
}

/* ---- its tables ---- */

struct found {
    unsigned number;
    uint32_t level;
    uint64_t data_end, ranges;
};

static unsigned find_tables(const char *at, struct found found[64])
{
    static const struct message_sink silent = {0};
    struct kv_storage *storage = store_storage(at);
    uint64_t seed = store_seed(storage);
    unsigned count = 0;
    for (unsigned number = 1; number < 500 && count < 64; number++) {
        struct table *one = NULL;
        if (table_open(storage, seed, number, NULL, &silent, &one) == 0) {
            const struct table_properties *p = table_properties(one);
            uint64_t behind = p->range_delete_count > 0 ? p->range_deletes.offset : 0;
            found[count++] =
                (struct found){number, p->level, p->filter.size > 0 ? p->filter.offset : behind,
                               p->range_delete_count > 0 ? behind : 0};
        }
        table_close(one);
    }
    storage->ops->close(storage);
    return count;
}

static void flip_in(const char *at, unsigned number, uint64_t offset)
{
    char name[32];
    snprintf(name, sizeof name, "%08u.table", number);
    flip(at, name, offset);
}

/* Returns how many rows it says that it made errors of. */
static uint64_t repair(const char *at)
{
    uint64_t damaged;
    struct kv_admin_result result;
    int codes[64];
    ck_ok(store_check(at, KV_ADMIN_REPAIR, false, codes, &result));
    ck_assert_uint_gt(result.problems, 0);
    ck_assert_uint_eq(result.repaired, result.problems);
    damaged = result.damaged_rows;
    ck_ok(store_check(at, KV_ADMIN_REPORT, false, codes, &result));
    ck_assert_uint_eq(result.problems, 0);
    return damaged;
}

/* ---- beside older tables ---- */

/* Newer rows of some keys in a table of their own, above one of all keys. Returns its number. */
static unsigned add_level(void)
{
    struct found found[64];
    unsigned count, number = 0;
    for (int i = 0; i < 4; i++) {
        put_keys(KEYS / 2, KEYS / 2 + 10);
        put_keys(KEYS - 10, KEYS);
        ck_ok(kv_flush(store));
    }
    while (compact_one(store) > 0) {
    }
    ck_ok(kv_close(store));
    count = find_tables(path, found);
    for (unsigned i = 0; i < count; i++) {
        bool between = found[i].level > 0 && found[i].level < KV_LEVEL_COUNT - 1;
        number = between ? found[i].number : number;
    }
    ck_assert_uint_gt(number, 0);
    return number;
}

static void remove_table(unsigned number)
{
    char file[600];
    snprintf(file, sizeof file, "%s/%08u.table", path, number);
    ck_assert(unlink(file) == 0);
}

/* A damaged row that a repair made has the number of the older row at whose place it stands. Of a
 * table of nothing else that is the largest number, too. */
START_TEST(what_a_damaged_row_hid_stays_hidden_when_that_row_is_lost)
{
    struct found found[64];
    unsigned shown[KEYS], count;
    open_at(path);
    put_keys(0, KEYS);
    ck_ok(kv_compact(store));
    remove_table(add_level());
    repair(path);
    read_all(path, shown);
    ck_assert_uint_eq(shown[KEYS - 1], ERROR);

    count = find_tables(path, found);
    flip_in(path, found[count - 1].number, found[count - 1].data_end - 30);
    lose(path, false);
    repair(path);
    read_all(path, shown);
    ck_assert_uint_eq(shown[KEYS - 1], ERROR);
}
END_TEST

/* Older rows that are deleted are there still as long as a snapshot needs them. */
START_TEST(an_error_at_the_place_of_a_deleted_row_stays_one_when_it_is_merged)
{
    unsigned shown[KEYS];
    open_at(path);
    put_keys(0, KEYS);
    ck_ok(kv_named_snapshot_create(store, "then"));
    delete_keys(KEYS / 2, KEYS / 2 + 20, false);
    ck_ok(kv_compact(store));
    remove_table(add_level());
    repair(path);
    read_all(path, shown);
    ck_assert_uint_eq(shown[KEYS / 2], ERROR);
    open_at(path);
    ck_ok(kv_compact(store));
    ck_ok(kv_close(store));
    read_all(path, shown);
    ck_assert_uint_eq(shown[KEYS / 2], ERROR);
}
END_TEST

/* A block is lost above range deletes of its own table that hide what is older, and then keys were
 * written once more: only where nothing in the table is newer they are known to be deleted. */
START_TEST(an_error_is_not_hidden_by_range_deletes_of_the_table_itself)
{
    struct found found[64];
    unsigned shown[KEYS], count;
    open_at(path);
    put_keys(0, KEYS);
    ck_ok(kv_compact(store));
    delete_keys(100, 120, false);
    put_keys(100, 101 + (unsigned)_i);
    delete_keys(300, 320, false);
    ck_ok(kv_close(store));
    count = find_tables(path, found);
    flip_in(path, found[count - 1].number, found[count - 1].data_end / 2);
    repair(path);
    for (int merged = 0; merged < 2; merged++) {
        read_all(path, shown);
        ck_assert_uint_eq(shown[100], ERROR);
        ck_assert_uint_eq(shown[310], DELETED);
        ck_assert_uint_eq(shown[90], now[90]);
        open_at(path);
        ck_ok(kv_compact(store));
        ck_ok(kv_close(store));
    }
}
END_TEST

/* All that is lost of it is known. */
START_TEST(a_lost_table_of_range_deletes_costs_nothing_between_them)
{
    struct found found[64];
    unsigned shown[KEYS];
    open_at(path);
    put_keys(0, KEYS);
    ck_ok(kv_compact(store));
    delete_keys(100, 120, false);
    delete_keys(300, 320, false);
    ck_ok(kv_close(store));
    remove_table(found[find_tables(path, found) - 1].number);
    repair(path);
    read_all(path, shown);
    ck_assert_mem_eq(shown, now, sizeof shown);
}
END_TEST

/* It ends with a range delete, whose end it cannot have had rows of. */
START_TEST(the_key_behind_a_damaged_table_is_right_without_a_manifest)
{
    struct found found[64];
    unsigned shown[KEYS], count;
    open_at(path);
    put_keys(0, KEYS);
    ck_ok(kv_compact(store));
    put_keys(0, 8);
    delete_keys(400, 420, false);
    put_keys(405, 406);
    ck_ok(kv_close(store));
    count = find_tables(path, found);
    flip_in(path, found[count - 1].number, found[count - 1].data_end - 30);
    lose(path, false);
    repair(path);
    read_all(path, shown);
    ck_assert_uint_eq(shown[405], ERROR);
    ck_assert_uint_eq(shown[420], now[420]);
}
END_TEST

/* Of each key the newest row counts: nobody reads those behind it but at snapshots. */
START_TEST(as_many_errors_are_told_as_there_are_keys_that_cannot_be_read)
{
    struct found found[64];
    unsigned shown[KEYS], count, errors = 0;
    uint64_t told;
    open_at(path);
    put_keys(0, KEYS);
    ck_ok(kv_compact(store));
    delete_keys(100, 150, false);
    put_keys(100, 110);
    ck_ok(kv_close(store));
    craft_ranges_unknown(path);
    count = find_tables(path, found);
    flip_in(path, found[count - 1].number, found[count - 1].ranges + 50);
    told = repair(path);
    read_all(path, shown);
    for (unsigned key = 0; key < KEYS; key++) {
        errors += shown[key] == ERROR;
    }
    ck_assert_uint_ge(errors, 40);
    ck_assert_uint_eq(told, errors);
}
END_TEST

/* ---- what is left of a table, while the repair is not finished ---- */

/* A table of old rows, and newer ones with deletes of both kinds. One lost rows, one its range
 * deletes, and the manifest is gone. */
static void make_damaged(void)
{
    struct found found[64];
    unsigned count;
    open_at(path);
    put_keys(0, 400);
    ck_ok(kv_flush(store));
    delete_keys(20, 60, false);
    put_keys(100, 150);
    ck_ok(kv_flush(store));
    delete_keys(140, 190, true);
    put_keys(30, 35);
    ck_ok(kv_flush(store));
    delete_keys(300, 320, false);
    put_keys(500, 510);
    ck_ok(kv_close(store));
    count = find_tables(path, found);
    ck_assert_uint_eq(count, 4);
    flip_in(path, found[0].number, found[0].data_end / 2);
    ck_assert_uint_gt(found[1].ranges, 0);
    flip_in(path, found[1].number, found[1].ranges + 50);
    lose(path, false);
}

/* Until there is another root record, each file that was there still is. */
static void check_nothing_went(const char *before, const char *after)
{
    char command[4096];
    snprintf(command, sizeof command,
             "cd %s && if cmp -s ROOT %s/ROOT; then for f in *; do [ -e \"%s/$f\" ] || exit 1; "
             "done; fi",
             before, after, after);
    ck_assert_int_eq(system(command), 0);
}

/* Returns whether the repair went through. */
static bool cut_repair(const char *at, uint64_t stop_at)
{
    const struct kv_admin_options with = {.mode = KV_ADMIN_REPAIR};
    struct kv_admin_result result = {0};
    struct kv_storage *storage = NULL;
    crash_begin(stop_at);
    ck_ok(storage_posix_open_with_calls(at, false, &crash.calls, NULL, &storage));
    bool done = kv_admin_check(storage, &with, &result) == 0 && !crash_happened();
    storage->ops->close(storage);
    return done;
}

START_TEST(a_rebuild_that_is_cut_short_anywhere_is_finished_by_the_next)
{
    unsigned should[KEYS], shown[KEYS], errors = 0;
    bool done = false;
    uint64_t stop_at;
    char at[512];

    make_damaged();
    temp_dir_name(&dir, "whole", at);
    copy_tree(path, at);
    repair(at);
    read_all(at, should);
    for (unsigned key = 0; key < KEYS; key++) {
        errors += should[key] == ERROR;
    }
    ck_assert_uint_gt(errors, 0);
    for (stop_at = 1; !done; stop_at++) {
        char name[32];
        struct kv_admin_result result;
        int codes[64];
        snprintf(name, sizeof name, "cut%u", (unsigned)stop_at);
        temp_dir_name(&dir, name, at);
        copy_tree(path, at);
        done = cut_repair(at, stop_at);
        check_nothing_went(path, at);
        ck_ok(store_check(at, KV_ADMIN_REPAIR, false, codes, &result));
        ck_assert_uint_eq(result.repaired, result.problems);
        ck_ok(store_check(at, KV_ADMIN_REPORT, false, codes, &result));
        ck_assert_uint_eq(result.problems, 0);
        read_all(at, shown);
        ck_assert_mem_eq(shown, should, sizeof shown);
    }
    printf("# cut short at %u places, %u keys are errors\n", (unsigned)stop_at - 2, errors);
}
END_TEST

/* The manifest is lost again before an opening has removed it. */
START_TEST(what_was_left_of_a_table_does_not_come_back_if_it_could_not_be_removed)
{
    const struct kv_admin_options with = {.mode = KV_ADMIN_REPAIR};
    struct kv_admin_result result = {0};
    unsigned should[KEYS], shown[KEYS];
    struct kv_storage *storage = NULL;
    char at[512];

    make_damaged();
    temp_dir_name(&dir, "whole", at);
    copy_tree(path, at);
    repair(at);
    read_all(at, should);
    crash_begin(0);
    crash.removals_that_fail = 2; /* of both damaged tables */
    ck_ok(storage_posix_open_with_calls(path, false, &crash.calls, NULL, &storage));
    ck_ok(kv_admin_check(storage, &with, &result));
    storage->ops->close(storage);
    ck_assert_uint_eq(crash.removals_that_fail, 0);
    lose(path, false);
    repair(path);
    read_all(path, shown);
    ck_assert_mem_eq(shown, should, sizeof shown);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("rescue");
    TCase *tcase = tcase_create("rescue");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 0);
    tcase_add_test(tcase, what_a_damaged_row_hid_stays_hidden_when_that_row_is_lost);
    tcase_add_test(tcase, an_error_at_the_place_of_a_deleted_row_stays_one_when_it_is_merged);
    tcase_add_loop_test(tcase, an_error_is_not_hidden_by_range_deletes_of_the_table_itself, 0, 2);
    tcase_add_test(tcase, a_lost_table_of_range_deletes_costs_nothing_between_them);
    tcase_add_test(tcase, the_key_behind_a_damaged_table_is_right_without_a_manifest);
    tcase_add_test(tcase, as_many_errors_are_told_as_there_are_keys_that_cannot_be_read);
    tcase_add_test(tcase, a_rebuild_that_is_cut_short_anywhere_is_finished_by_the_next);
    tcase_add_test(tcase, what_was_left_of_a_table_does_not_come_back_if_it_could_not_be_removed);
    suite_add_tcase(suite, tcase);
    return suite;
}
