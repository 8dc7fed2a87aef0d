/* SPDX-License-Identifier: Apache-2.0 */
/* What the filesystem keeps in memory for files that the kernel remembers: it is bounded, and given
 * back when they are forgotten. */
#include <stdio.h>

#include "fs/core/dir_offsets.h"
#include "fs/core/lookup_table.h"
#include "kvcore/util/rng.h"
#include "tests/fs/fs_fixture.h"

enum {
    ROOT = KVFS_ROOT_INO,
    EMPTY_BYTES = 128 << 10, /* of the table of look-ups while nothing is in use */
};

/* ---- the table of look-ups -------------------------------------------------------------------
 */

enum { MODEL_INODES = 3000, MODEL_STEPS = 200000, OFTEN = 1000 };

struct look_up_model {
    struct lookup_table table;
    uint64_t counts[MODEL_INODES];
    bool orphans[MODEL_INODES];
};

/* Half of the numbers are neighbours, the others stand alone. */
static uint64_t number_of(uint64_t i)
{
    return i % 2 == 0 ? 1 + i / 2 : 1000000 + i * 977;
}

static void model_add(struct look_up_model *m, uint64_t i, uint64_t times)
{
    for (uint64_t n = 0; n < times; n++) {
        ck_ok(lookup_table_add(&m->table, number_of(i)));
    }
    m->counts[i] += times;
}

static void model_sub(struct look_up_model *m, uint64_t i, uint64_t count)
{
    bool is_last = m->counts[i] > 0 && count >= m->counts[i];
    bool ends_orphan = lookup_table_sub(&m->table, number_of(i), count);
    ck_assert_msg(ends_orphan == (is_last && m->orphans[i]), "(seed %" PRIu64 ")", test_seed());
    m->orphans[i] = m->orphans[i] && !is_last;
    m->counts[i] -= is_last ? m->counts[i] : m->counts[i] > 0 ? count : 0;
}

static void model_step(struct look_up_model *m, struct rng *rng)
{
    uint64_t i = rng_below(rng, MODEL_INODES);
    switch (rng_below(rng, 8)) {
    case 0:
    case 1:
    case 2:
        model_add(m, i, rng_below(rng, 500) == 0 ? OFTEN : 1);
        break;
    case 3:
        m->orphans[i] = lookup_table_mark_orphan(&m->table, number_of(i));
        break;
    case 4:
        model_sub(m, i, OFTEN);
        break;
    default:
        model_sub(m, i, 1 + rng_below(rng, 2));
        break;
    }
    ck_assert_msg(lookup_table_has(&m->table, number_of(i)) == (m->counts[i] > 0),
                  "(seed %" PRIu64 ")", test_seed());
}

START_TEST(look_ups_are_counted_as_in_a_model)
{
    static struct look_up_model m;
    struct rng rng = {.state = test_seed()};
    lookup_table_init(&m.table);
    for (uint64_t step = 0; step < MODEL_STEPS; step++) {
        model_step(&m, &rng);
    }
    for (uint64_t i = 0; i < MODEL_INODES; i++) {
        ck_assert(lookup_table_has(&m.table, number_of(i)) == (m.counts[i] > 0));
        model_sub(&m, i, UINT64_MAX);
    }
    ck_assert_uint_eq(m.table.used, 0);
    ck_assert_uint_le(lookup_table_bytes(&m.table), EMPTY_BYTES);
    lookup_table_finish(&m.table);
}
END_TEST

START_TEST(look_ups_of_many_neighbours_take_three_bytes_each)
{
    enum { INODES = 400000, APART = 7919 };
    struct lookup_table table;
    lookup_table_init(&table);
    for (uint64_t i = 0; i < INODES; i++) {
        ck_ok(lookup_table_add(&table, i + 2));
    }
    ck_assert_uint_le(lookup_table_bytes(&table), INODES * 3);
    /* In another order than that of their making. */
    for (uint64_t i = 0; i < INODES; i++) {
        ck_assert(!lookup_table_sub(&table, i * APART % INODES + 2, 1));
    }
    ck_assert_uint_le(lookup_table_bytes(&table), EMPTY_BYTES);
    lookup_table_finish(&table);
}
END_TEST

/* ---- the offsets of a listing -----------------------------------------------------------------
 */

enum { LISTED_NAMES = 1500000, LISTED_SIZE = 8 };

static struct kv_slice listed_name(uint64_t index, char name[LISTED_SIZE])
{
    for (int at = LISTED_SIZE - 1; at >= 0; at--, index /= 10) {
        name[at] = (char)('0' + index % 10);
    }
    return kv_slice(name, LISTED_SIZE);
}

static void list_up_to(struct dir_offsets *table, uint64_t count)
{
    char name[LISTED_SIZE];
    int r = 0;
    while (table->count < count && r == 0) {
        r = dir_offsets_add(table, listed_name(table->count, name));
    }
    ck_ok(r);
}

/* Where the name is that was found for it. */
static uint64_t found_at(const struct dir_offsets *table, uint64_t wanted)
{
    char name[LISTED_SIZE];
    uint64_t index;
    struct kv_slice found = dir_offsets_find(table, wanted, &index);
    ck_assert(kv_slice_equal(found, listed_name(index, name)));
    ck_assert_uint_le(index, wanted);
    return index;
}

static void offsets_are_right(const struct dir_offsets *table, struct rng *rng)
{
    uint64_t step = (uint64_t)DIR_OFFSETS_STEP << table->doublings;
    for (int i = 0; i < 1000; i++) {
        uint64_t wanted = rng_below(rng, table->count);
        ck_assert_uint_lt(wanted - found_at(table, wanted), step);
        wanted = rng_below(rng, DIR_OFFSETS_EXACT);
        ck_assert_uint_eq(found_at(table, wanted), wanted);
        wanted = table->count - 1 - rng_below(rng, DIR_OFFSETS_RECENT);
        ck_assert_uint_eq(found_at(table, wanted), wanted);
    }
}

START_TEST(a_listing_of_millions_of_names_remembers_some)
{
    struct dir_offsets table = {0};
    struct rng rng = {.state = test_seed()};
    list_up_to(&table, DIR_OFFSETS_EXACT);
    ck_assert_uint_eq(found_at(&table, DIR_OFFSETS_EXACT - 1), DIR_OFFSETS_EXACT - 1);
    list_up_to(&table, LISTED_NAMES);
    offsets_are_right(&table, &rng);
    ck_assert_uint_le(table.bytes.capacity + table.start_capacity * sizeof table.starts[0],
                      4 << 20);
    /* Back to one that is remembered, and on with other names. */
    uint64_t index = found_at(&table, LISTED_NAMES / 2);
    dir_offsets_truncate(&table, index);
    ck_assert_uint_eq(table.count, index);
    list_up_to(&table, index + 10);
    ck_assert_uint_eq(found_at(&table, index + 9), index + 9);
    list_up_to(&table, LISTED_NAMES);
    offsets_are_right(&table, &rng);
    dir_offsets_truncate(&table, 5);
    ck_assert_uint_eq(found_at(&table, 4), 4);
    dir_offsets_finish(&table);
}
END_TEST

/* ---- the filesystem --------------------------------------------------------------------------
 */

enum { NAMES = 30000, MEMORY = 8 << 20, LISTED = 1, MADE = 1 };

static void name_of(unsigned i, char name[32])
{
    snprintf(name, 32, "name-%08x", i * 2654435761U);
}

static bool take_name(void *arg, const char *name, const struct kvfs_entry *entry,
                      uint64_t next_offset)
{
    (void)name;
    (void)entry;
    *(unsigned *)arg += next_offset > 2;
    return true;
}

static void within_memory(struct fs_fixture *f, uint64_t lookup_bytes_max)
{
    struct kvfs_memory memory;
    struct kv_stats stats;
    kvfs_memory(f->fs, &memory);
    kv_stats(kvfs_store(f->fs), &stats);
    ck_assert_uint_le(memory.lookup_bytes, lookup_bytes_max);
    ck_assert_uint_le(memory.inode_bytes, MEMORY / 16);
    ck_assert_uint_le(stats.cache_bytes + stats.resident_bytes, stats.cache_budget_bytes);
    ck_assert_uint_le(stats.memtable_bytes, MEMORY / 2);
}

/* As by a program that makes, lists and removes, while the kernel remembers all it saw. */
static void make_list_and_remove(struct fs_fixture *f, uint64_t dir_ino)
{
    static uint64_t inos[NAMES];
    struct kvfs_dir *dir = NULL;
    struct kvfs_entry entry;
    char name[32];
    unsigned listed = 0;
    for (unsigned i = 0; i < NAMES; i++) {
        name_of(i, name);
        ck_ok(kvfs_mknod(f->fs, dir_ino, name,
                         &(struct kvfs_new){.who = fixture_who, .mode = S_IFREG | 0666}, &entry));
        inos[i] = entry.ino;
    }
    within_memory(f, EMPTY_BYTES + 3 * NAMES);
    ck_ok(kvfs_dir_open(f->fs, dir_ino, &dir));
    ck_ok(kvfs_dir_read(dir, 0, true, take_name, &listed));
    kvfs_dir_close(dir);
    ck_assert_uint_eq(listed, NAMES);
    for (unsigned i = 0; i < NAMES; i++) {
        name_of(i, name);
        ck_ok(kvfs_unlink(f->fs, dir_ino, name));
    }
    within_memory(f, EMPTY_BYTES + 3 * NAMES);
    for (unsigned i = 0; i < NAMES; i++) {
        kvfs_forget(f->fs, inos[i], MADE + LISTED);
    }
    within_memory(f, EMPTY_BYTES);
}

START_TEST(many_names_are_made_and_removed_within_memory)
{
    struct fs_fixture f;
    struct kvfs_memory memory;
    fixture_open(&f);
    ck_assert_uint_eq(f.memory_bytes, MEMORY);
    uint64_t dir = fixture_dir(&f, ROOT, "many");
    make_list_and_remove(&f, dir);
    make_list_and_remove(&f, dir);
    kvfs_memory(f.fs, &memory);
    ck_assert_uint_le(memory.lookup_bytes, EMPTY_BYTES);
    ck_assert_str_eq(fixture_list(&f, dir), "");
    fixture_close(&f);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("fs_memory");
    suite_add(suite, "model", look_ups_are_counted_as_in_a_model);
    suite_add(suite, "neighbours", look_ups_of_many_neighbours_take_three_bytes_each);
    suite_add(suite, "offsets", a_listing_of_millions_of_names_remembers_some);
    suite_add(suite, "many names", many_names_are_made_and_removed_within_memory);
    return suite;
}
