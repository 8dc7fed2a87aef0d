/* SPDX-License-Identifier: Apache-2.0 */
/* Large values that are lost. Their keys stay, as rows that cannot be read until they are written
 * or deleted; whatever else happens to the store meanwhile, no older value shows in their place. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <kv/verify.h>

#include "kvcore/util/rng.h"
#include "tests/admin/admin_store.h"
#include "tests/lib/temp_dir.h"

enum { KEYS = 24, VALUE_SIZE = 20000, VERSIONS = 2, PATH_SIZE = 600 };

static struct temp_dir dir;
static char store[512], before[512];
static uint8_t values[VERSIONS][KEYS][VALUE_SIZE]; /* no codec gains anything with these */

static struct kv_slice key_of(unsigned i, char to[16])
{
    return kv_slice(to, (size_t)snprintf(to, 16, "key%02u", i));
}

static struct kv_slice value_of(unsigned i, unsigned version)
{
    return kv_slice(values[version][i], VALUE_SIZE);
}

struct opened {
    struct kv_store *store;
    struct kv_table *table;
};

static struct opened open_store(bool create)
{
    struct kv_options options = {.create = create, .no_background = true};
    struct kv_storage *storage = NULL;
    struct opened opened = {NULL, NULL};
    ck_ok(kv_storage_posix_open(store, create, &storage));
    ck_ok(kv_open(storage, &options, &opened.store));
    ck_ok(kv_table_open(opened.store, "rows", NULL, &opened.table));
    return opened;
}

/* Every key was written twice, the first time to the deepest level. */
static void setup(void)
{
    struct rng rng = {7};
    struct opened opened;
    char key[16];
    temp_dir_make(&dir);
    temp_dir_name(&dir, "store", store);
    temp_dir_name(&dir, "before", before);
    opened = open_store(true);
    for (unsigned version = 0; version < VERSIONS; version++) {
        for (unsigned i = 0; i < KEYS; i++) {
            for (unsigned at = 0; at < VALUE_SIZE; at++) {
                values[version][i][at] = (uint8_t)rng_next(&rng);
            }
            ck_ok(kv_put(opened.table, key_of(i, key), value_of(i, version), KV_DURABLE_WRITE));
        }
        ck_ok(version == 0 ? kv_compact(opened.store) : kv_flush(opened.store));
    }
    ck_ok(kv_close(opened.store));
}

static void teardown(void)
{
    temp_dir_remove(&dir);
}

/* ---- damage ---- */

static bool find_in_blob(uint64_t number, struct kv_slice value, uint64_t *ret_offset)
{
    static uint8_t bytes[4 << 20];
    char file[PATH_SIZE];
    const uint8_t *at;
    ssize_t n;
    int fd;
    snprintf(file, sizeof file, "%s/%08llu.blob", store, (unsigned long long)number);
    fd = open(file, O_RDONLY);
    if (fd < 0) {
        return false;
    }
    n = read(fd, bytes, sizeof bytes);
    close(fd);
    at = n > 0 ? memmem(bytes, (size_t)n, value.data, value.size) : NULL;
    *ret_offset = at != NULL ? (uint64_t)(at - bytes) : 0;
    return at != NULL;
}

static void damage_value(unsigned i, unsigned version)
{
    char name[32];
    uint64_t offset = 0, number = 1;
    while (number < 50 && !find_in_blob(number, value_of(i, version), &offset)) {
        number++;
    }
    ck_assert_uint_lt(number, 50);
    snprintf(name, sizeof name, "%08llu.blob", (unsigned long long)number);
    flip(store, name, offset + VALUE_SIZE / 2);
}

static void repair(int code, char archive[32])
{
    struct kv_admin_result result;
    int codes[64];
    ck_ok(store_check(store, KV_ADMIN_REPAIR, true, codes, &result));
    ck_assert(has_code(codes, code));
    ck_assert_uint_eq(result.repaired, result.problems);
    snprintf(archive, 32, "%s", result.archive);
    ck_ok(store_check(store, KV_ADMIN_REPORT, true, codes, &result));
    ck_assert_uint_eq(result.problems, 0);
}

/* ---- what must be so ---- */

static void expect_lost(const struct opened *opened, unsigned i)
{
    struct kv_pinned pinned;
    char key[16];
    ck_fails(kv_get(opened->table, NULL, key_of(i, key), &pinned), KV_EDAMAGED);
}

static void expect_value(const struct opened *opened, unsigned i, unsigned version)
{
    struct kv_pinned pinned;
    char key[16];
    ck_ok(kv_get(opened->table, NULL, key_of(i, key), &pinned));
    ck_assert(kv_slice_equal(pinned.value, value_of(i, version)));
    kv_pinned_release(&pinned);
}

/* Keys `lost` cannot be read, and nothing else is wrong with the store. */
static void expect_lost_only(const struct opened *opened, const bool lost[KEYS])
{
    for (unsigned i = 0; i < KEYS; i++) {
        if (lost[i]) {
            expect_lost(opened, i);
        } else {
            expect_value(opened, i, 1);
        }
    }
    ck_ok(kv_verify(opened->store, NULL));
}

static void undo(const char *archive)
{
    struct kv_storage *storage = store_storage(store);
    ck_ok(kv_admin_undo(storage, archive));
    storage->ops->close(storage);
}

START_TEST(a_damaged_value_costs_its_key_and_nothing_else)
{
    const bool lost[KEYS] = {[3] = true, [17] = true};
    char archive[32];
    struct opened opened;
    damage_value(3, 1);
    damage_value(17, 1);
    copy_tree(store, before);
    repair(KV_PROBLEM_BLOB_VALUE, archive);
    undo(archive);
    ck_assert(same_tree(store, before, true));
    repair(KV_PROBLEM_BLOB_VALUE, archive);
    opened = open_store(false);
    expect_lost_only(&opened, lost);
    ck_ok(kv_close(opened.store));
}
END_TEST

START_TEST(a_damaged_value_that_nobody_sees_any_more_costs_nothing)
{
    const bool lost[KEYS] = {false};
    char archive[32];
    struct opened opened;
    damage_value(5, 0);
    repair(KV_PROBLEM_BLOB_VALUE, archive);
    opened = open_store(false);
    expect_lost_only(&opened, lost);
    ck_ok(kv_close(opened.store));
}
END_TEST

START_TEST(no_merge_takes_a_lost_value_for_one_that_never_was)
{
    const bool lost[KEYS] = {[3] = true};
    char archive[32], key[16];
    struct opened opened;
    damage_value(3, 1);
    repair(KV_PROBLEM_BLOB_VALUE, archive);
    opened = open_store(false);
    ck_ok(kv_compact(opened.store));
    expect_lost_only(&opened, lost);
    ck_ok(kv_close(opened.store));
    opened = open_store(false);
    ck_ok(kv_put(opened.table, key_of(4, key), value_of(4, 1), KV_DURABLE_WRITE));
    ck_ok(kv_compact(opened.store)); /* once more, now that it lies deepest */
    expect_lost_only(&opened, lost);
    ck_ok(kv_close(opened.store));
}
END_TEST

START_TEST(a_lost_value_is_gone_once_its_key_is_written_or_deleted)
{
    char archive[32], key[16];
    struct kv_pinned pinned;
    struct opened opened;
    damage_value(3, 1);
    damage_value(9, 1);
    repair(KV_PROBLEM_BLOB_VALUE, archive);
    opened = open_store(false);
    ck_ok(kv_put(opened.table, key_of(3, key), value_of(3, 0), KV_DURABLE_WRITE));
    ck_ok(kv_delete(opened.table, key_of(9, key), KV_DURABLE_WRITE));
    for (int merged = 0; merged < 2; merged++) {
        expect_value(&opened, 3, 0);
        ck_fails(kv_get(opened.table, NULL, key_of(9, key), &pinned), ENOENT);
        ck_ok(kv_compact(opened.store));
    }
    ck_ok(kv_close(opened.store));
}
END_TEST

START_TEST(a_missing_blob_costs_the_keys_whose_values_it_held)
{
    bool lost[KEYS];
    char archive[32], file[PATH_SIZE];
    uint64_t offset, number = 1;
    struct opened opened;
    while (number < 50 && !find_in_blob(number, value_of(0, 1), &offset)) {
        number++;
    }
    for (unsigned i = 0; i < KEYS; i++) {
        lost[i] = find_in_blob(number, value_of(i, 1), &offset);
    }
    snprintf(file, sizeof file, "%s/%08llu.blob", store, (unsigned long long)number);
    ck_assert(unlink(file) == 0);
    repair(KV_PROBLEM_BLOB_MISSING, archive);
    opened = open_store(false);
    expect_lost_only(&opened, lost);
    ck_ok(kv_close(opened.store));
}
END_TEST

START_TEST(a_lost_manifest_is_rebuilt_with_lost_values)
{
    const bool lost[KEYS] = {[3] = true, [17] = true};
    char archive[32], command[PATH_SIZE];
    struct opened opened;
    damage_value(3, 1);
    repair(KV_PROBLEM_BLOB_VALUE, archive);
    damage_value(17, 1);
    snprintf(command, sizeof command, "rm %s/*.manifest", store);
    ck_assert_int_eq(system(command), 0);
    repair(KV_PROBLEM_MANIFEST_MISSING, archive);
    opened = open_store(false);
    expect_lost_only(&opened, lost);
    ck_ok(kv_close(opened.store));
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("lost_values");
    TCase *tcase = tcase_create("lost_values");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_damaged_value_costs_its_key_and_nothing_else);
    tcase_add_test(tcase, a_damaged_value_that_nobody_sees_any_more_costs_nothing);
    tcase_add_test(tcase, no_merge_takes_a_lost_value_for_one_that_never_was);
    tcase_add_test(tcase, a_lost_value_is_gone_once_its_key_is_written_or_deleted);
    tcase_add_test(tcase, a_missing_blob_costs_the_keys_whose_values_it_held);
    tcase_add_test(tcase, a_lost_manifest_is_rebuilt_with_lost_values);
    suite_add_tcase(suite, tcase);
    return suite;
}
