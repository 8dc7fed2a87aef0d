/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/check_main.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "kvcore/db/edit.h"
#include "kvcore/db/picker.h"

enum { MIB = 1 << 20 };

static struct file_meta *make_file(uint32_t level, uint64_t number, const char *smallest,
                                   const char *largest, uint64_t size)
{
    struct file_meta *file = NULL;
    ck_ok(file_meta_create(&file));
    file->table_id = 1;
    file->level = level;
    file->number = number;
    file->size = size;
    file->row_count = 100;
    file->sequence_min = number * 10;
    file->sequence_max = number * 10 + 9;
    ck_ok(kv_buf_append(&file->smallest, kv_slice_str(smallest)));
    ck_ok(kv_buf_append(&file->largest, kv_slice_str(largest)));
    return file;
}

static void add(struct edit *edit, struct file_meta *file)
{
    ck_ok(edit_add_file(edit, file));
    file_meta_unref(file);
}

static struct version *apply(struct version *base, struct edit *edit)
{
    struct version *version = NULL;
    ck_ok(version_apply(base, edit, &version));
    edit_finish(edit);
    version_unref(base);
    return version;
}

static struct version *empty(void)
{
    struct version *version = NULL;
    ck_ok(version_create_empty(&version));
    return version;
}

static const struct picker_options options = {
    .level_base_bytes = 64 * MIB, .l0_files = 4, .l0_files_max = 10, .file_bytes = 32 * MIB};

/* The numbers of the files that are merged for [from, to), as one text: those of all levels but the
 * deepest first, newest level first. */
static const char *picked(const struct version *version, const char *from, const char *to)
{
    static char text[256];
    struct compaction c = {0};
    size_t used = 0;
    int r = compaction_pick_range(version_table(version, 1), 1, kv_slice_str(from),
                                  kv_slice_str(to), &c);
    text[0] = 0;
    for (int which = 0; which < 2; which++) {
        for (size_t i = 0; i < c.input_counts[which]; i++) {
            used += (size_t)snprintf(text + used, sizeof text - used, "%u ",
                                     (unsigned)c.inputs[which][i]->number);
        }
    }
    ck_assert_int_eq(r, used > 0);
    compaction_finish(&c);
    return text;
}

START_TEST(a_range_is_merged_with_all_that_overlaps_what_is_taken)
{
    struct edit edit = {0};
    struct compaction c = {0};
    struct version *version = empty();
    add(&edit, make_file(0, 9, "k", "m", MIB));
    add(&edit, make_file(5, 1, "a", "c", MIB));
    add(&edit, make_file(5, 2, "j", "n", MIB));
    add(&edit, make_file(6, 3, "a", "b", MIB));
    add(&edit, make_file(6, 4, "c", "e", MIB));
    add(&edit, make_file(6, 5, "f", "g", MIB));
    add(&edit, make_file(6, 6, "h", "j", MIB));
    add(&edit, make_file(6, 7, "p", "z", MIB));
    version = apply(version, &edit);
    ck_assert_str_eq(picked(version, "", ""), "9 1 2 3 4 5 6 7 ");
    ck_assert_str_eq(picked(version, "f", "ff"), "5 ");
    ck_assert_str_eq(picked(version, "a", "aa"), "1 3 4 "); /* 1 reaches into 4 */
    ck_assert_str_eq(picked(version, "l", "la"), "9 2 6 "); /* 2 begins in 6 */
    ck_assert_str_eq(picked(version, "q", ""), "7 ");
    ck_assert_str_eq(picked(version, "", "0"), "");
    ck_assert_str_eq(picked(version, "o", "oo"), "");
    version_table(version, 1)->levels[6].files[3]->busy = true; /* 6 */
    ck_fails(compaction_pick_range(version_table(version, 1), 1, kv_slice_str("l"),
                                   kv_slice_str("m"), &c),
             EBUSY);
    version_unref(version);
}
END_TEST

START_TEST(targets_follow_the_deepest_level_and_level_0_goes_to_the_base)
{
    struct edit edit = {0};
    struct level_targets targets;
    struct version *version = empty();
    add(&edit, make_file(0, 1, "a", "z", MIB));
    version = apply(version, &edit);
    level_targets(version_table(version, 1), 64 * MIB, &targets);
    ck_assert_int_eq(targets.base, LEVEL_DEEPEST); /* a small store has one level below level 0 */

    add(&edit, make_file(LEVEL_DEEPEST, 2, "a", "z", (uint64_t)1000 * MIB));
    version = apply(version, &edit);
    level_targets(version_table(version, 1), 64 * MIB, &targets);
    ck_assert_int_eq(targets.base, LEVEL_DEEPEST - 2);
    ck_assert_uint_eq(targets.bytes[LEVEL_DEEPEST - 2], (uint64_t)16 * MIB + 1); /* not less */
    ck_assert_uint_eq(targets.bytes[LEVEL_DEEPEST - 1], (uint64_t)100 * MIB);
    ck_assert_uint_eq(targets.bytes[LEVEL_DEEPEST - 3], 0);
    version_unref(version);
}
END_TEST

START_TEST(level_0_is_merged_whole_with_what_it_overlaps_and_nothing_else)
{
    struct edit edit = {0};
    struct compaction c = {0};
    double score = 0;
    struct version *version = empty();
    for (uint64_t n = 1; n <= 4; n++) {
        add(&edit, make_file(0, n, "d", "g", MIB));
    }
    add(&edit, make_file(LEVEL_DEEPEST, 10, "a", "c", MIB));
    add(&edit, make_file(LEVEL_DEEPEST, 11, "c1", "d", MIB));
    add(&edit, make_file(LEVEL_DEEPEST, 12, "g", "h", MIB));
    add(&edit, make_file(LEVEL_DEEPEST, 13, "i", "k", MIB));
    version = apply(version, &edit);
    ck_assert_int_eq(compaction_pick(version_table(version, 1), 1, &options, &c, &score), 1);
    ck_assert_int_eq(c.level, 0);
    ck_assert_uint_eq(c.input_counts[0], 4);
    ck_assert_uint_eq(c.input_counts[1], 2);
    ck_assert_uint_eq(c.inputs[1][0]->number, 11);
    ck_assert_uint_eq(c.inputs[1][1]->number, 12);
    ck_assert(!c.trivial_move);
    /* While they are busy there is nothing else to do. */
    compaction_set_busy(&c, true);
    struct compaction none = {0};
    ck_assert_int_eq(compaction_pick(version_table(version, 1), 1, &options, &none, &score), 0);
    compaction_set_busy(&c, false);
    compaction_finish(&c);
    version_unref(version);
}
END_TEST

START_TEST(what_an_attempt_gathered_before_it_met_a_busy_file_is_not_merged)
{
    struct edit edit = {0};
    struct compaction c = {0};
    struct blob_uses flagged = {0};
    struct picker_options with_flagged = options;
    double score = 0;
    struct version *version = empty();
    struct file_meta *tombstones = make_file(0, 9, "d", "g", MIB);
    struct file_meta *below = make_file(LEVEL_DEEPEST, 1, "a", "k", MIB);
    struct file_meta *beside = make_file(LEVEL_DEEPEST, 2, "m", "z", MIB);
    tombstones->tombstone_count = 100;
    below->busy = true;
    ck_ok(blob_uses_add(&flagged, 7, 1));
    ck_ok(blob_uses_copy(&flagged, &beside->blobs));
    with_flagged.flagged = &flagged;
    ck_ok(edit_add_blob(&edit, &(struct blob_info){.number = 7, .file_size = 99, .data_bytes = 1}));
    add(&edit, tombstones);
    add(&edit, below);
    add(&edit, beside);
    version = apply(version, &edit);
    ck_assert_int_eq(compaction_pick(version_table(version, 1), 1, &with_flagged, &c, &score), 1);
    ck_assert_uint_eq(c.table_id, 1);
    ck_assert_uint_eq(c.input_counts[0], 1);
    ck_assert_uint_eq(c.inputs[0][0]->number, 2);
    ck_assert_uint_eq(c.input_counts[1], 0);
    compaction_finish(&c);
    blob_uses_finish(&flagged);
    version_unref(version);
}
END_TEST

START_TEST(a_file_that_overlaps_nothing_below_is_only_moved)
{
    struct edit edit = {0};
    struct compaction c = {0};
    double score = 0;
    struct version *version = empty();
    add(&edit, make_file(LEVEL_DEEPEST - 1, 1, "a", "b", (uint64_t)60 * MIB));
    add(&edit, make_file(LEVEL_DEEPEST - 1, 2, "m", "n", (uint64_t)60 * MIB));
    add(&edit, make_file(LEVEL_DEEPEST, 3, "a", "b", (uint64_t)600 * MIB));
    version = apply(version, &edit);
    ck_assert_int_eq(compaction_pick(version_table(version, 1), 1, &options, &c, &score), 1);
    ck_assert_uint_eq(c.inputs[0][0]->number, 2);
    ck_assert(c.trivial_move);
    compaction_finish(&c);
    version_unref(version);
}
END_TEST

START_TEST(files_that_hide_rows_are_merged_when_nothing_else_is_due)
{
    struct edit edit = {0};
    struct compaction c = {0};
    struct picker_options squeeze = options;
    struct picker_options idle = options;
    double score = 0;
    struct version *version = empty();
    struct file_meta *dense = make_file(LEVEL_DEEPEST - 1, 1, "a", "b", MIB);
    add(&edit, make_file(LEVEL_DEEPEST - 1, 2, "m", "n", MIB));
    add(&edit, make_file(LEVEL_DEEPEST, 3, "a", "n", (uint64_t)20 * MIB));
    dense->tombstone_count = 49;
    add(&edit, dense);
    version = apply(version, &edit);
    ck_assert_int_eq(compaction_pick(version_table(version, 1), 1, &options, &c, &score), 0);
    squeeze.squeeze = true; /* on a full device less is enough */
    ck_assert_int_eq(compaction_pick(version_table(version, 1), 1, &squeeze, &c, &score), 1);
    ck_assert_uint_eq(c.inputs[0][0]->number, 1);
    compaction_finish(&c);
    dense->tombstone_count = 50;
    idle.idle = true;
    ck_assert_int_eq(compaction_pick(version_table(version, 1), 1, &idle, &c, &score), 1);
    ck_assert_uint_eq(c.inputs[0][0]->number, 1);
    ck_assert(score > 0 && score < 1);
    compaction_finish(&c);
    version_unref(version);
}
END_TEST

START_TEST(a_file_with_tombstones_is_rewritten_not_moved_into_the_deepest_level)
{
    struct edit edit = {0};
    struct compaction c = {0};
    double score = 0;
    struct version *version = empty();
    struct file_meta *file = make_file(LEVEL_DEEPEST - 1, 1, "a", "b", MIB);
    file->tombstone_count = 100;
    add(&edit, file);
    add(&edit, make_file(LEVEL_DEEPEST, 3, "x", "z", (uint64_t)20 * MIB));
    version = apply(version, &edit);
    ck_assert_int_eq(compaction_pick(version_table(version, 1), 1, &options, &c, &score), 1);
    ck_assert(!c.trivial_move);
    compaction_finish(&c);
    version_unref(version);
}
END_TEST

START_TEST(many_deletes_side_by_side_are_merged_though_most_rows_are_none)
{
    struct edit edit = {0};
    struct compaction c = {0};
    struct picker_options idle = options;
    double score = 0;
    struct version *version = empty();
    struct file_meta *file = make_file(LEVEL_DEEPEST - 1, 1, "a", "m", MIB);
    file->row_count = 10000;
    file->tombstone_count = 1500;
    file->longest_delete_run = 1200;
    add(&edit, file);
    add(&edit, make_file(LEVEL_DEEPEST, 3, "c", "z", (uint64_t)300 * MIB));
    version = apply(version, &edit);
    idle.idle = true;
    ck_assert_int_eq(compaction_pick(version_table(version, 1), 1, &idle, &c, &score), 1);
    ck_assert_uint_eq(c.inputs[0][0]->number, 1);
    compaction_finish(&c);
    version_unref(version);
}
END_TEST

START_TEST(tombstones_wait_until_they_hide_half_of_what_merging_them_writes)
{
    struct edit edit = {0};
    struct compaction c = {0};
    double score = 0;
    struct version *version = empty();
    struct file_meta *deletes = make_file(0, 1, "a", "k", MIB / 8);
    struct file_meta *below = make_file(LEVEL_DEEPEST, 2, "a", "k", (uint64_t)60 * MIB);
    below->row_count = 10000;
    deletes->row_count = 4000;
    deletes->tombstone_count = 4000;
    deletes->longest_delete_run = 4000; /* of its own rows: those between lie below */
    add(&edit, deletes);
    add(&edit, below);
    version = apply(version, &edit);
    ck_assert_int_eq(compaction_pick(version_table(version, 1), 1, &options, &c, &score), 0);
    deletes = make_file(0, 3, "a", "k", MIB / 8);
    deletes->row_count = 2000;
    deletes->tombstone_count = 2000;
    add(&edit, deletes);
    version = apply(version, &edit);
    ck_assert_int_eq(compaction_pick(version_table(version, 1), 1, &options, &c, &score), 1);
    ck_assert_uint_eq(c.input_counts[0], 2);
    compaction_finish(&c);
    version_unref(version);
}
END_TEST

/* So many files of the size in level 0 above 100 MiB. */
static int pick_above(size_t count, uint64_t size, bool idle)
{
    struct edit edit = {0};
    struct compaction c = {0};
    struct picker_options with = options;
    struct version *version = empty();
    double score = 0;
    int r;

    with.level_base_bytes = (uint64_t)400 * MIB;
    with.idle = idle;
    for (uint64_t n = 0; n < count; n++) {
        add(&edit, make_file(0, 10 + n, "a", "k", size));
    }
    add(&edit, make_file(LEVEL_DEEPEST, 2, "a", "k", (uint64_t)100 * MIB));
    version = apply(version, &edit);
    r = compaction_pick(version_table(version, 1), 1, &with, &c, &score);
    compaction_finish(&c);
    version_unref(version);
    return r;
}

START_TEST(level_0_waits_until_it_is_large_beside_what_merging_it_writes_or_nobody_writes)
{
    ck_assert_int_eq(pick_above(3, (uint64_t)60 * MIB, false), 0);
    ck_assert_int_eq(pick_above(4, (uint64_t)20 * MIB, false), 1);
    ck_assert_int_eq(pick_above(4, (uint64_t)10 * MIB, false), 0);
    ck_assert_int_eq(pick_above(9, (uint64_t)2 * MIB, false), 0);
    ck_assert_int_eq(pick_above(10, (uint64_t)2 * MIB, false), 1);
    ck_assert_int_eq(pick_above(2, (uint64_t)10 * MIB, true), 1);
    ck_assert_int_eq(pick_above(2, (uint64_t)5 * MIB, true), 0);
}
END_TEST

START_TEST(tables_of_rows_that_come_in_order_are_moved_from_level_0_one_by_one)
{
    struct edit edit = {0};
    struct compaction c = {0};
    double score = 0;
    struct version *version = empty();
    add(&edit, make_file(LEVEL_DEEPEST, 1, "a", "c", 30 * MIB));
    add(&edit, make_file(0, 2, "d", "e", 30 * MIB));
    add(&edit, make_file(0, 3, "f", "g", 30 * MIB));
    add(&edit, make_file(0, 4, "h", "i", 30 * MIB));
    version = apply(version, &edit);
    ck_assert_int_eq(compaction_pick(version_table(version, 1), 1, &options, &c, &score), 0);
    add(&edit, make_file(0, 5, "k", "l", 30 * MIB));
    version = apply(version, &edit);
    ck_assert_int_eq(compaction_pick(version_table(version, 1), 1, &options, &c, &score), 1);
    ck_assert(c.trivial_move);
    ck_assert_uint_eq(c.input_counts[0], 1);
    ck_assert_uint_eq(c.inputs[0][0]->number, 2); /* the oldest: what is newer stays above it */
    compaction_finish(&c);
    add(&edit, make_file(0, 6, "a", "d", MIB));
    version = apply(version, &edit);
    ck_assert_int_eq(compaction_pick(version_table(version, 1), 1, &options, &c, &score), 1);
    ck_assert(!c.trivial_move);
    ck_assert_uint_eq(c.input_counts[0], 5);
    compaction_finish(&c);
    version_unref(version);
}
END_TEST

/* One file of range deletes two levels above the deepest, which they cover in part. */
static struct version *with_range_deletes(uint64_t hidden)
{
    struct edit edit = {0};
    struct file_meta *file = make_file(LEVEL_DEEPEST - 1, 5, "c", "m", MIB);
    file->range_delete_count = 3;
    file->hidden_bytes = hidden;
    file->largest_trailer = RANGE_END_TRAILER;
    add(&edit, file);
    add(&edit, make_file(LEVEL_DEEPEST, 3, "a", "g", (uint64_t)300 * MIB));
    add(&edit, make_file(LEVEL_DEEPEST, 4, "m", "z", (uint64_t)300 * MIB));
    return apply(empty(), &edit);
}

static int pick(const struct version *version, uint64_t oldest_snapshot,
                struct compaction *ret_compaction)
{
    struct picker_options with = options;
    double score = 0;
    with.oldest_snapshot = oldest_snapshot;
    return compaction_pick(version_table(version, 1), 1, &with, ret_compaction, &score);
}

START_TEST(range_deletes_are_merged_when_they_hide_much_and_every_snapshot_sees_them)
{
    struct compaction c = {0};
    struct version *version = with_range_deletes((uint64_t)20 * MIB);
    ck_assert_int_eq(pick(version, 40, &c), 0); /* the snapshot is older than the deletes */
    ck_assert_int_eq(pick(version, 59, &c), 1);
    ck_assert_uint_eq(c.inputs[0][0]->number, 5);
    ck_assert(!c.trivial_move);
    compaction_finish(&c);
    version_unref(version);
    version = with_range_deletes(MIB / 8);
    ck_assert_int_eq(pick(version, 59, &c), 0); /* not worth the writing */
    version_unref(version);
}
END_TEST

START_TEST(range_deletes_of_the_deepest_level_are_merged_once_no_snapshot_needs_what_they_hide)
{
    struct edit edit = {0};
    struct compaction c = {0};
    struct file_meta *file = make_file(LEVEL_DEEPEST, 5, "c", "m", MIB);
    struct version *version;
    file->range_delete_count = 3;
    add(&edit, file);
    version = apply(empty(), &edit);
    ck_assert_int_eq(pick(version, 40, &c), 0);
    ck_assert_int_eq(pick(version, 59, &c), 1);
    ck_assert_int_eq(c.output_level, LEVEL_DEEPEST);
    ck_assert_uint_eq(c.input_counts[0], 1);
    compaction_finish(&c);
    version_unref(version);
}
END_TEST

START_TEST(a_file_may_begin_where_a_range_delete_of_the_one_before_ends)
{
    struct edit edit = {0};
    struct version *version = empty();
    struct file_meta *file = make_file(3, 1, "a", "m", MIB);
    const struct file_list *list;
    file->range_delete_count = 1;
    file->largest_trailer = RANGE_END_TRAILER;
    add(&edit, file);
    add(&edit, make_file(3, 2, "m", "z", MIB));
    version = apply(version, &edit);
    list = &version_table(version, 1)->levels[3];
    ck_assert_uint_eq(file_list_find(list, kv_slice_str("lz")), 0);
    ck_assert_uint_eq(file_list_find(list, kv_slice_str("m")), 1);
    ck_assert(list->has_range_deletes);
    ck_assert(file_list_overlaps_range(list, kv_slice_str("z"), kv_slice_str("zz")));
    ck_assert(!file_list_overlaps_range(list, kv_slice_str("0"), kv_slice_str("a")));
    version_unref(version);
}
END_TEST

START_TEST(an_edit_that_would_overlap_or_remove_the_unknown_is_damage)
{
    struct edit edit = {0};
    struct version *version = empty();
    struct version *none = NULL;
    add(&edit, make_file(3, 1, "a", "m", MIB));
    add(&edit, make_file(3, 2, "m", "z", MIB));
    ck_fails(version_apply(version, &edit, &none), KV_EDAMAGED);
    edit_finish(&edit);
    struct file_meta *file = make_file(3, 7, "a", "b", MIB);
    ck_ok(edit_remove_file(&edit, file));
    ck_fails(version_apply(version, &edit, &none), KV_EDAMAGED);
    edit_finish(&edit);
    file_meta_unref(file);
    version_unref(version);
}
END_TEST

START_TEST(versions_share_files_and_free_them_with_the_last_reference)
{
    struct edit edit = {0};
    struct version *old = empty();
    struct version *newer = NULL;
    struct file_meta *file = make_file(0, 1, "a", "b", MIB);
    ck_ok(edit_add_file(&edit, file));
    old = apply(old, &edit);
    ck_ok(edit_remove_file(&edit, file));
    ck_ok(version_apply(old, &edit, &newer));
    edit_finish(&edit);
    ck_assert_uint_eq(atomic_load(&file->refs), 2); /* ours and the old version's */
    ck_assert_uint_eq(version_table(newer, 1)->levels[0].count, 0);
    version_unref(old);
    ck_assert_uint_eq(atomic_load(&file->refs), 1);
    version_unref(newer);
    file_meta_unref(file);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("picker");
    suite_add(s, "targets", targets_follow_the_deepest_level_and_level_0_goes_to_the_base);
    suite_add(s, "pick", level_0_is_merged_whole_with_what_it_overlaps_and_nothing_else);
    suite_add(s, "pick", what_an_attempt_gathered_before_it_met_a_busy_file_is_not_merged);
    suite_add(s, "pick", a_file_that_overlaps_nothing_below_is_only_moved);
    suite_add(s, "pick", files_that_hide_rows_are_merged_when_nothing_else_is_due);
    suite_add(s, "pick", a_file_with_tombstones_is_rewritten_not_moved_into_the_deepest_level);
    suite_add(s, "pick", tombstones_wait_until_they_hide_half_of_what_merging_them_writes);
    suite_add(s, "pick",
              level_0_waits_until_it_is_large_beside_what_merging_it_writes_or_nobody_writes);
    suite_add(s, "pick", tables_of_rows_that_come_in_order_are_moved_from_level_0_one_by_one);
    suite_add(s, "pick", range_deletes_are_merged_when_they_hide_much_and_every_snapshot_sees_them);
    suite_add(s, "pick",
              range_deletes_of_the_deepest_level_are_merged_once_no_snapshot_needs_what_they_hide);
    suite_add(s, "version", a_file_may_begin_where_a_range_delete_of_the_one_before_ends);
    suite_add(s, "version", an_edit_that_would_overlap_or_remove_the_unknown_is_damage);
    suite_add(s, "pick", many_deletes_side_by_side_are_merged_though_most_rows_are_none);
    suite_add(s, "pick", a_range_is_merged_with_all_that_overlaps_what_is_taken);
    suite_add(s, "version", versions_share_files_and_free_them_with_the_last_reference);
    return s;
}
