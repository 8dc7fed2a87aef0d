/* SPDX-License-Identifier: Apache-2.0 */
/* Looking into the files of a store: sound ones are told as they are, each damaged byte with the
 * place of its block or record, and nothing is changed. */
#include <dirent.h>
#include <fcntl.h>
#include <kv/inspect.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/admin/admin_craft.h"
#include "tests/lib/inspect_fact.h"
#include "tests/lib/temp_dir.h"

enum { PARTS_MAX = 512, NAME_SIZE = 64, PATH_SIZE = 600, FOOTER = 64 };

static struct temp_dir dir;
static char clean[512], not_closed[512], work[512];

static void setup(void)
{
    temp_dir_make(&dir);
    temp_dir_name(&dir, "clean", clean);
    temp_dir_name(&dir, "open", not_closed);
    temp_dir_name(&dir, "work", work);
    store_make_both(dir.path);
}

static void teardown(void)
{
    temp_dir_remove(&dir);
}

/* ---- looking ---- */

struct seen {
    uint64_t parts[PARTS_MAX]; /* offsets */
    unsigned part_count;
    uint64_t rows, values; /* items; of these the ones that hold a value */
    uint64_t bytes;        /* of progress */
    unsigned damages;
    uint64_t damage_offset; /* of the first */
    char damage[256];       /* text of the last */
    uint64_t row_count;     /* facts of the file */
    uint64_t end_offset, directory_offset;
    char end[32];
    unsigned files, snapshots, levels;
};

static uint64_t number(const struct kv_inspect_item *item, const char *name)
{
    const struct kv_inspect_fact *found = inspect_fact(item, name);
    return found != NULL ? found->number : UINT64_MAX;
}

static void text(const struct kv_inspect_item *item, const char *name, char *to, size_t size)
{
    const struct kv_inspect_fact *found = inspect_fact(item, name);
    snprintf(to, size, "%.*s", found != NULL ? (int)found->bytes.size : 0,
             found != NULL ? (const char *)found->bytes.data : "");
}

static void see_file(struct seen *seen, const struct kv_inspect_item *item)
{
    seen->files++;
    seen->row_count = number(item, "row_count");
    seen->end_offset = number(item, "end_offset");
    seen->directory_offset = number(item, "directory_offset");
    text(item, "end", seen->end, sizeof seen->end);
}

static int see(void *arg, const struct kv_inspect_item *item)
{
    struct seen *seen = arg;
    switch (item->level) {
    case KV_INSPECT_FILE:
        see_file(seen, item);
        break;
    case KV_INSPECT_SUMMARY:
        seen->levels += strcmp(item->type, "level") == 0;
        seen->snapshots += strcmp(item->type, "snapshot") == 0;
        break;
    case KV_INSPECT_PART:
        ck_assert_uint_lt(seen->part_count, PARTS_MAX);
        seen->parts[seen->part_count++] = number(item, "offset");
        break;
    case KV_INSPECT_ROW:
        seen->rows++;
        seen->values += inspect_fact(item, "value") != NULL;
        break;
    case KV_INSPECT_DAMAGE:
        if (seen->damages++ == 0) {
            seen->damage_offset = number(item, "offset");
        }
        text(item, "text", seen->damage, sizeof seen->damage);
        break;
    }
    return 0;
}

static int see_progress(void *arg, uint64_t bytes, uint64_t bytes_all)
{
    struct seen *seen = arg;
    (void)bytes_all;
    seen->bytes = bytes;
    return 0;
}

static int look(const char *path, const char *name, struct seen *seen)
{
    struct kv_inspect_options options = {
        .parts = true, .rows = true, .item_fn = see, .progress_fn = see_progress, .arg = seen};
    struct kv_storage *storage = store_storage(path);
    struct kv_file_id id;
    *seen = (struct seen){0};
    ck_ok(kv_inspect_id(name, &id));
    int r = kv_inspect(storage, id, &options);
    storage->ops->close(storage);
    return r;
}

/* The largest file whose name ends so. */
static void find(const char *path, const char *end, char to[NAME_SIZE])
{
    char command[1200];
    snprintf(command, sizeof command, "cd %s && ls -S | grep '%s$' | head -n 1", path, end);
    FILE *list = popen(command, "r");
    ck_assert(list != NULL && fscanf(list, "%63s", to) == 1);
    pclose(list);
}

static uint64_t size_of(const char *path, const char *name)
{
    char file[PATH_SIZE];
    struct stat st;
    snprintf(file, sizeof file, "%s/%s", path, name);
    ck_assert(stat(file, &st) == 0);
    return (uint64_t)st.st_size;
}

static void resize(const char *path, const char *name, uint64_t size)
{
    char file[PATH_SIZE];
    snprintf(file, sizeof file, "%s/%s", path, name);
    ck_assert(truncate(file, (off_t)size) == 0);
}

/* ---- sound files ---- */

static unsigned look_at_all(const char *path)
{
    DIR *list = opendir(path);
    struct dirent *entry;
    struct kv_file_id id;
    unsigned count = 0;
    ck_assert_ptr_nonnull(list);
    while ((entry = readdir(list)) != NULL) {
        struct seen seen;
        if (kv_inspect_id(entry->d_name, &id) == 0) {
            ck_assert_msg(look(path, entry->d_name, &seen) == 0, "%s: %s", entry->d_name,
                          seen.damage);
            ck_assert_uint_eq(seen.files, 1);
            ck_assert_uint_eq(seen.damages, 0);
            count++;
        }
    }
    closedir(list);
    return count;
}

START_TEST(every_file_of_a_sound_store_is_sound_and_keeps_its_bytes)
{
    const char *path = _i == 0 ? clean : not_closed;
    copy_tree(path, work);
    ck_assert_uint_ge(look_at_all(path), 5);
    ck_assert(same_tree(path, work, false));
}
END_TEST

START_TEST(each_kind_tells_what_it_holds)
{
    struct seen seen;
    char name[NAME_SIZE];

    find(clean, ".table", name);
    ck_ok(look(clean, name, &seen));
    ck_assert_uint_gt(seen.rows, 0);
    ck_assert_uint_eq(seen.rows, seen.row_count);
    ck_assert_uint_gt(seen.values, 0);
    ck_assert_uint_ge(seen.part_count, 4);
    ck_assert_uint_ge(seen.bytes, size_of(clean, name) - FOOTER);

    find(clean, ".blob", name);
    ck_ok(look(clean, name, &seen));
    ck_assert_uint_gt(seen.rows, 0);

    ck_ok(look(not_closed, "00000003.log", &seen));
    ck_assert_uint_eq(seen.rows, 40);
    ck_assert_uint_eq(seen.row_count, 40);
    ck_assert_str_eq(seen.end, "complete");

    find(clean, ".manifest", name);
    ck_ok(look(clean, name, &seen));
    ck_assert_uint_gt(seen.rows, 0);
    ck_assert_uint_gt(seen.levels, 0);
}
END_TEST

START_TEST(a_log_tells_why_it_ends)
{
    struct seen seen;
    craft_log_torn(not_closed);
    ck_ok(look(not_closed, "00000003.log", &seen));
    ck_assert_str_eq(seen.end, "unfinished");
    ck_assert_uint_gt(seen.row_count, 0);
}
END_TEST

START_TEST(a_store_in_use_is_looked_into)
{
    struct kv_storage *storage = store_storage(clean);
    struct kv_options options = {.no_background = true};
    struct kv_store *store = NULL;
    ck_ok(kv_open(storage, &options, &store));
    ck_assert_uint_ge(look_at_all(clean), 5);
    ck_ok(kv_close(store));
}
END_TEST

START_TEST(named_snapshots_are_told)
{
    struct kv_storage *storage = store_storage(clean);
    struct kv_options options = {.no_background = true};
    struct kv_store *store = NULL;
    struct seen seen;
    char name[NAME_SIZE];
    ck_ok(kv_open(storage, &options, &store));
    ck_ok(kv_named_snapshot_create(store, "monday"));
    ck_ok(kv_close(store));
    find(clean, ".manifest", name);
    ck_ok(look(clean, name, &seen));
    ck_assert_uint_eq(seen.snapshots, 1);
}
END_TEST

/* ---- damage ---- */

/* Where the part begins that the byte lies in; behind the last one stands the footer. */
static uint64_t part_of(const struct seen *sound, uint64_t at, uint64_t size)
{
    uint64_t found = 0;
    for (unsigned i = 0; i < sound->part_count; i++) {
        found = sound->parts[i] <= at ? sound->parts[i] : found;
    }
    return at >= size - FOOTER ? size - FOOTER : found;
}

START_TEST(each_damaged_byte_of_a_table_is_told_with_its_block)
{
    struct seen sound, seen;
    char name[NAME_SIZE];
    find(clean, ".table", name);
    uint64_t size = size_of(clean, name);
    ck_ok(look(clean, name, &sound));
    for (uint64_t at = 0; at < size; at += 11) {
        flip(clean, name, at);
        ck_fails(look(clean, name, &seen), KV_EDAMAGED);
        ck_assert_uint_eq(seen.damages, 1);
        ck_assert_uint_eq(seen.damage_offset, part_of(&sound, at, size));
        flip(clean, name, at);
    }
    ck_ok(look(clean, name, &seen));
}
END_TEST

/* Values are not the blob's to check, and nor is what pads them. */
START_TEST(each_damaged_byte_of_a_blobs_directory_is_told)
{
    struct seen sound, seen;
    char name[NAME_SIZE];
    find(clean, ".blob", name);
    uint64_t size = size_of(clean, name);
    ck_ok(look(clean, name, &sound));
    ck_assert_uint_lt(sound.directory_offset, size);
    for (uint64_t at = sound.directory_offset; at < size; at++) {
        flip(clean, name, at);
        ck_fails(look(clean, name, &seen), KV_EDAMAGED);
        ck_assert_uint_eq(seen.damage_offset,
                          at >= size - FOOTER ? size - FOOTER : sound.directory_offset);
        flip(clean, name, at);
    }
}
END_TEST

/* Of a store that was closed it is known where log and manifest end. What pads a record to 8 bytes
 * carries nothing. */
START_TEST(each_damaged_byte_of_a_log_or_manifest_is_told_with_its_record)
{
    struct seen sound, seen;
    char name[NAME_SIZE];
    unsigned padding = 0, told = 0;
    find(clean, _i == 0 ? ".log" : ".manifest", name);
    uint64_t size = size_of(clean, name);
    ck_ok(look(clean, name, &sound));
    size = sound.end_offset < size ? sound.end_offset : size;
    for (uint64_t at = 0; at < size; at++) {
        flip(clean, name, at);
        int r = look(clean, name, &seen);
        flip(clean, name, at);
        if (r == 0) {
            padding++;
            ck_assert_uint_eq(seen.rows, sound.rows);
            continue;
        }
        ck_fails(r, KV_EDAMAGED);
        told++;
        ck_assert_uint_ge(seen.damages, 1);
        ck_assert_uint_le(seen.damage_offset, at);
        /* What is shown ends where the damage begins. */
        ck_assert(seen.part_count == 0 || seen.parts[seen.part_count - 1] < seen.damage_offset);
    }
    ck_assert_uint_gt(told, 60);
    ck_assert_uint_le(padding, 7 * (sound.part_count + 1));
}
END_TEST

START_TEST(a_file_that_is_cut_short_is_damaged)
{
    static const char *const ends[] = {".table", ".blob", ".log", ".manifest"};
    struct seen seen;
    char name[NAME_SIZE];
    find(clean, ends[_i], name);
    ck_ok(look(clean, name, &seen));
    uint64_t size = size_of(clean, name);
    size = seen.end_offset < size ? seen.end_offset : size;
    for (uint64_t cut = size - 1; cut < size; cut = cut < 64 ? cut - 1 : cut - 61) {
        resize(clean, name, cut);
        ck_fails(look(clean, name, &seen), KV_EDAMAGED);
        ck_assert_uint_ge(seen.damages, 1);
        ck_assert(seen.damage_offset == UINT64_MAX || seen.damage_offset <= cut);
    }
}
END_TEST

START_TEST(sizes_and_names_that_cannot_be_are_survived)
{
    struct kv_file_id id;
    struct seen seen;
    char name[NAME_SIZE];
    char command[1200];
    find(clean, ".table", name);
    resize(clean, name, (uint64_t)96 << 20);
    ck_fails(look(clean, name, &seen), KV_EDAMAGED);
    find(clean, ".blob", name);
    resize(clean, name, (uint64_t)96 << 30);
    ck_ok(look(clean, name, &seen)); /* the manifest says where it ends */
    snprintf(command, sizeof command,
             "cd %s && truncate -s 8G 00000077.blob && truncate -s 0 00000078.table && "
             "truncate -s 30 00000079.log && truncate -s 1M 00000080.manifest && "
             "ln -s 00000078.table 00000081.table",
             clean);
    ck_assert_int_eq(system(command), 0);
    ck_ok(look(clean, "00000077.blob", &seen)); /* not sealed */
    ck_fails(look(clean, "00000078.table", &seen), KV_EDAMAGED);
    ck_ok(look(clean, "00000079.log", &seen));
    ck_assert_str_eq(seen.end, "headless");
    ck_fails(look(clean, "00000080.manifest", &seen), KV_EDAMAGED);
    ck_fails(look(clean, "00000081.table", &seen), ELOOP);
    ck_fails(look(clean, "18446744073709551615.table", &seen), ENOENT);
    ck_fails(kv_inspect_id("12.table", &id), EINVAL);
    ck_fails(kv_inspect_id("00000012.tables", &id), EINVAL);
}
END_TEST

START_TEST(a_file_of_another_store_is_told_as_one)
{
    char other[512], command[4096], name[NAME_SIZE];
    struct seen seen;
    temp_dir_name(&dir, "other", other);
    ck_assert(mkdir(other, 0700) == 0);
    store_make_both(other);
    find(clean, ".table", name);
    snprintf(command, sizeof command, "cp %s/clean/%s %s/%s", other, name, clean, name);
    ck_assert_int_eq(system(command), 0);
    ck_fails(look(clean, name, &seen), KV_EDAMAGED);
    ck_assert_ptr_nonnull(strstr(seen.damage, "another store"));
    ck_assert_uint_eq(seen.rows, 0);
    /* And under another number. */
    snprintf(command, sizeof command, "cp %s/%s %s/00000099.table", not_closed, name, clean);
    ck_assert_int_eq(system(command), 0);
    ck_fails(look(clean, "00000099.table", &seen), KV_EDAMAGED);
    ck_assert_ptr_nonnull(strstr(seen.damage, "another number"));
}
END_TEST

/* Checksums are right, what they cover is not. */
START_TEST(what_makes_no_sense_is_told)
{
    static const struct {
        void (*craft)(const char *path);
        const char *end;
        bool open;
        int error;
    } crafts[] = {
        {craft_table_sums, ".table", false, KV_EDAMAGED},
        {craft_manifest_senseless, ".manifest", false, KV_EDAMAGED},
        {craft_manifest_newer, ".manifest", false, KV_EFORMAT},
        {craft_log_senseless, "3.log", true, KV_EDAMAGED},
        {craft_log_newer, "3.log", true, KV_EFORMAT},
    };
    const char *path = crafts[_i].open ? not_closed : clean;
    DIR *list;
    struct dirent *entry;
    bool told = false;
    crafts[_i].craft(path);
    list = opendir(path);
    ck_assert_ptr_nonnull(list);
    while ((entry = readdir(list)) != NULL) {
        size_t size = strlen(entry->d_name), end = strlen(crafts[_i].end);
        struct seen seen;
        if (size >= end && strcmp(entry->d_name + size - end, crafts[_i].end) == 0) {
            told |= look(path, entry->d_name, &seen) == -crafts[_i].error && seen.damages == 1;
        }
    }
    closedir(list);
    ck_assert(told);
}
END_TEST

/* ---- without a root record ---- */

START_TEST(without_a_root_record_logs_and_manifests_tell_the_seed)
{
    struct seen seen;
    char name[NAME_SIZE], command[1200];
    find(clean, ".table", name);
    snprintf(command, sizeof command, "rm %s/ROOT", clean);
    ck_assert_int_eq(system(command), 0);
    ck_ok(look(clean, name, &seen));
    ck_assert_uint_eq(seen.rows, seen.row_count);
    snprintf(command, sizeof command, "rm %s/*.log", clean);
    ck_assert_int_eq(system(command), 0);
    ck_ok(look(clean, name, &seen));
    snprintf(command, sizeof command, "rm %s/*.manifest", clean);
    ck_assert_int_eq(system(command), 0);
    ck_fails(look(clean, name, &seen), ENODATA);
    ck_assert_uint_eq(seen.files, 0);
}
END_TEST

START_TEST(a_seed_counts_that_verifies_its_record_and_that_most_of_them_tell)
{
    enum { SEED_OFFSET = 74 }; /* of the head record of a log */
    static const uint8_t one[8] = {1};
    struct seen seen;
    char name[NAME_SIZE], log[NAME_SIZE], path[PATH_SIZE], command[2400];

    find(clean, ".table", name);
    find(clean, ".log", log);
    if (_i == 0) {
        snprintf(path, sizeof path, "%s/%s", clean, log);
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        ck_assert_int_eq(pwrite(fd, one, sizeof one, SEED_OFFSET), sizeof one);
        close(fd);
        snprintf(command, sizeof command, "rm %s/ROOT", clean);
    } else {
        ck_assert_int_eq(mkdir(work, 0700), 0);
        store_make_both(work);
        snprintf(command, sizeof command, "cp %s/clean/*.log %s/00000900.log && rm %s/ROOT", work,
                 clean, clean);
    }
    ck_assert_int_eq(system(command), 0);
    ck_ok(look(clean, name, &seen));
    ck_assert_uint_eq(seen.rows, seen.row_count);
}
END_TEST

START_TEST(a_file_elsewhere_is_looked_into_with_the_store_named)
{
    struct seen seen = {0};
    struct kv_inspect_options options = {.rows = true, .item_fn = see, .arg = &seen};
    struct kv_file_id id;
    char name[NAME_SIZE], command[2400];
    find(clean, ".table", name);
    snprintf(command, sizeof command, "mkdir %s && cp %s/%s %s", work, clean, name, work);
    ck_assert_int_eq(system(command), 0);
    ck_ok(kv_inspect_id(name, &id));
    struct kv_storage *storage = store_storage(work);
    ck_fails(kv_inspect(storage, id, &options), ENODATA);
    options.store = store_storage(clean);
    ck_ok(kv_inspect(storage, id, &options));
    ck_assert_uint_eq(seen.rows, seen.row_count);
    options.store->ops->close(options.store);
    storage->ops->close(storage);
}
END_TEST

static int stop(void *arg, const struct kv_inspect_item *item)
{
    unsigned *left = arg;
    (void)item;
    return (*left)-- == 0;
}

START_TEST(the_caller_ends_it_where_it_likes)
{
    struct kv_storage *storage = store_storage(clean);
    struct kv_file_id id;
    char name[NAME_SIZE];
    find(clean, _i == 0 ? ".table" : ".manifest", name);
    ck_ok(kv_inspect_id(name, &id));
    for (unsigned after = 0; after < 6; after++) {
        unsigned left = after;
        struct kv_inspect_options options = {
            .parts = true, .rows = true, .item_fn = stop, .arg = &left};
        ck_fails(kv_inspect(storage, id, &options), ECANCELED);
    }
    storage->ops->close(storage);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("inspect");
    TCase *tcase = tcase_create("inspect");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, every_file_of_a_sound_store_is_sound_and_keeps_its_bytes, 0, 2);
    tcase_add_test(tcase, each_kind_tells_what_it_holds);
    tcase_add_test(tcase, a_log_tells_why_it_ends);
    tcase_add_test(tcase, a_store_in_use_is_looked_into);
    tcase_add_test(tcase, named_snapshots_are_told);
    tcase_add_test(tcase, each_damaged_byte_of_a_table_is_told_with_its_block);
    tcase_add_test(tcase, each_damaged_byte_of_a_blobs_directory_is_told);
    tcase_add_loop_test(tcase, each_damaged_byte_of_a_log_or_manifest_is_told_with_its_record, 0,
                        2);
    tcase_add_loop_test(tcase, a_file_that_is_cut_short_is_damaged, 0, 4);
    tcase_add_test(tcase, sizes_and_names_that_cannot_be_are_survived);
    tcase_add_test(tcase, a_file_of_another_store_is_told_as_one);
    tcase_add_loop_test(tcase, what_makes_no_sense_is_told, 0, 5);
    tcase_add_test(tcase, without_a_root_record_logs_and_manifests_tell_the_seed);
    tcase_add_loop_test(tcase, a_seed_counts_that_verifies_its_record_and_that_most_of_them_tell, 0,
                        2);
    tcase_add_test(tcase, a_file_elsewhere_is_looked_into_with_the_store_named);
    tcase_add_loop_test(tcase, the_caller_ends_it_where_it_likes, 0, 2);
    suite_add_tcase(suite, tcase);
    return suite;
}
