/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/check_main.h"

#include <stdio.h>

#include "kvcore/db/edit.h"

/* A table of one key that refers to so many bytes of up to two blobs (0: none). */
static void add_table(struct edit *edit, uint64_t number, const struct blob_use uses[2])
{
    struct file_meta *file = NULL;
    char key[24];
    snprintf(key, sizeof key, "%" PRIu64, number);
    ck_ok(file_meta_create(&file));
    file->table_id = 1;
    file->level = 6;
    file->number = number;
    file->size = 100;
    file->row_count = 1;
    ck_ok(kv_buf_append(&file->smallest, kv_slice_str(key)));
    ck_ok(kv_buf_append(&file->largest, kv_slice_str(key)));
    for (int i = 0; i < 2 && uses[i].number != 0; i++) {
        ck_ok(blob_uses_add(&file->blobs, uses[i].number, uses[i].bytes));
    }
    ck_ok(edit_add_file(edit, file));
    file_meta_unref(file);
}

static void remove_table(struct edit *edit, uint64_t number)
{
    struct file_meta file = {.table_id = 1, .level = 6, .number = number};
    ck_ok(edit_remove_file(edit, &file));
}

static void add_blob(struct edit *edit, uint64_t number, uint64_t punched)
{
    ck_ok(edit_add_blob(edit, &(struct blob_info){number, 10000, 9000, punched}));
}

/* The version after the edit, which is emptied; `base` stays. */
static int apply(const struct version *base, struct edit *edit, struct version **ret_version)
{
    int r = version_apply(base, edit, ret_version);
    edit_finish(edit);
    return r;
}

/* Tables 1 {blob 4: 100, blob 7: 50} and 2 {blob 7: 30}; blobs 4, 5, 7. */
static struct version *make_version(void)
{
    struct version *empty = NULL;
    struct version *version = NULL;
    struct edit edit = {0};
    ck_ok(version_create_empty(&empty));
    add_table(&edit, 1, (struct blob_use[2]){{4, 100}, {7, 50}});
    add_table(&edit, 2, (struct blob_use[2]){{7, 30}});
    add_blob(&edit, 7, 0);
    add_blob(&edit, 4, 0);
    add_blob(&edit, 5, 0);
    ck_ok(apply(empty, &edit, &version));
    version_unref(empty);
    return version;
}

static uint64_t referenced(const struct version *version, uint64_t number)
{
    const struct version_blob *blob = version_find_blob(version, number);
    ck_assert_ptr_nonnull(blob);
    return blob->referenced;
}

START_TEST(live_bytes_are_the_sums_over_the_tables_of_the_version)
{
    struct version *version = make_version();
    struct version *next = NULL;
    struct edit edit = {0};

    ck_assert_uint_eq(referenced(version, 4), 100);
    ck_assert_uint_eq(referenced(version, 5), 0);
    ck_assert_uint_eq(referenced(version, 7), 80);
    ck_assert_uint_eq(version_blob_live_bytes(version), 180);
    ck_assert_uint_eq(version_blob_garbage(version_find_blob(version, 7)), 8920);
    remove_table(&edit, 1);
    add_table(&edit, 3, (struct blob_use[2]){{5, 1000}, {7, 20}});
    add_blob(&edit, 7, 4096);
    ck_ok(apply(version, &edit, &next));
    ck_assert_uint_eq(referenced(next, 4), 0);
    ck_assert_uint_eq(referenced(next, 5), 1000);
    ck_assert_uint_eq(referenced(next, 7), 50);
    ck_assert_uint_eq(version_blob_garbage(version_find_blob(next, 7)), 9000 - 50 - 4096);
    ck_assert_uint_eq(referenced(version, 4), 100); /* the old one is as it was */
    version_unref(version);
    version_unref(next);
}
END_TEST

START_TEST(a_blob_goes_only_when_no_table_refers_to_it)
{
    struct version *version = make_version();
    struct version *next = NULL;
    struct edit edit = {0};

    ck_ok(edit_remove_blob(&edit, 4));
    ck_fails(apply(version, &edit, &next), KV_EDAMAGED);
    ck_ok(edit_remove_blob(&edit, 5));
    ck_ok(apply(version, &edit, &next));
    ck_assert_ptr_null(version_find_blob(next, 5));
    ck_assert_ptr_nonnull(version_find_blob(next, 4));
    ck_assert_ptr_nonnull(version_find_blob(next, 7));
    version_unref(next);
    ck_ok(edit_remove_blob(&edit, 4));
    remove_table(&edit, 1);
    ck_ok(apply(version, &edit, &next)); /* together with the last table that refers to it */
    version_unref(next);
    version_unref(version);
}
END_TEST

START_TEST(an_edit_that_names_unknown_blobs_or_changes_known_ones_is_damage)
{
    struct version *version = make_version();
    struct version *next = NULL;
    struct edit edit = {0};

    add_table(&edit, 3, (struct blob_use[2]){{6, 1}});
    ck_fails(apply(version, &edit, &next), KV_EDAMAGED);
    ck_ok(edit_remove_blob(&edit, 6));
    ck_fails(apply(version, &edit, &next), KV_EDAMAGED);
    ck_ok(edit_add_blob(&edit, &(struct blob_info){5, 10001, 9000, 0}));
    ck_fails(apply(version, &edit, &next), KV_EDAMAGED);
    ck_ok(edit_add_blob(&edit, &(struct blob_info){5, 10000, 8999, 0}));
    ck_fails(apply(version, &edit, &next), KV_EDAMAGED);
    add_blob(&edit, 5, 4096);
    add_blob(&edit, 5, 0);
    ck_fails(apply(version, &edit, &next), KV_EDAMAGED);
    version_unref(version);
}
END_TEST

START_TEST(versions_share_the_list_of_blobs_while_it_does_not_change)
{
    struct version *version = make_version();
    struct version *next = NULL;
    struct edit edit = {0};

    add_table(&edit, 3, (struct blob_use[2]){{0}});
    ck_ok(apply(version, &edit, &next));
    ck_assert_ptr_eq(next->blobs, version->blobs);
    version_unref(version);
    ck_assert_uint_eq(version_blob_live_bytes(next), 180);
    version_unref(next);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("version_blobs");
    suite_add(s, "blobs", live_bytes_are_the_sums_over_the_tables_of_the_version);
    suite_add(s, "blobs", a_blob_goes_only_when_no_table_refers_to_it);
    suite_add(s, "blobs", an_edit_that_names_unknown_blobs_or_changes_known_ones_is_damage);
    suite_add(s, "blobs", versions_share_the_list_of_blobs_while_it_does_not_change);
    return s;
}
