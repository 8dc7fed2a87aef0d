/* SPDX-License-Identifier: Apache-2.0 */
/* Followers beside a writer whose changes of the manifest or the root record fail, though they may
 * last, or which changes something just while it asks for followers. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kv/kv.h>
#include <kv/message.h>

#include "kvcore/db/obsolete.h"
#include "tests/lib/check_main.h"
#include "tests/lib/temp_dir.h"

static struct temp_dir dir;

/* ---- the writer's storage ---------------------------------------------------------------------
 */

/* Fails, and calls a test, when it is told so. One at a time. */
static struct {
    const struct kv_storage_ops *before;
    struct kv_storage_ops ops;
    struct kv_log *manifest; /* that was created last */
    struct kv_log *failing;  /* takes nothing; and new root records last without its being said */
    void (*asked_fn)(void);  /* called once, when followers were asked for */
} storage_of_writer;

static int create_log(struct kv_storage *storage, struct kv_file_id id, uint64_t recycle,
                      uint64_t preallocate_bytes, struct kv_log **ret_log)
{
    int r = storage_of_writer.before->log_create(storage, id, recycle, preallocate_bytes, ret_log);
    if (r == 0 && id.kind == KV_FILE_MANIFEST) {
        storage_of_writer.manifest = *ret_log;
    }
    return r;
}

static int append(struct kv_log *log, const struct iovec *parts, int part_count)
{
    return log == storage_of_writer.failing
               ? -EIO
               : storage_of_writer.before->log_append(log, parts, part_count);
}

static int swap_root(struct kv_storage *storage, uint64_t expected_version, struct kv_slice bytes)
{
    int r = storage_of_writer.before->root_swap(storage, expected_version, bytes);
    return storage_of_writer.failing != NULL ? -EIO : r;
}

static int oldest(struct kv_storage *storage, uint64_t *ret_mark)
{
    int r = storage_of_writer.before->followers_oldest(storage, ret_mark);
    void (*fn)(void) = storage_of_writer.asked_fn;
    storage_of_writer.asked_fn = NULL;
    if (fn != NULL) {
        fn();
    }
    return r;
}

static void wrap(struct kv_storage *storage)
{
    storage_of_writer.manifest = NULL;
    storage_of_writer.before = storage->ops;
    storage_of_writer.ops = *storage->ops;
    storage_of_writer.ops.log_create = create_log;
    storage_of_writer.ops.log_append = append;
    storage_of_writer.ops.root_swap = swap_root;
    storage_of_writer.ops.followers_oldest = oldest;
    storage->ops = &storage_of_writer.ops;
}

/* ---- stores -----------------------------------------------------------------------------------
 */

struct side {
    struct kv_store *store;
    struct kv_table *table;
};

static struct side writer, follower;
static unsigned lines, removed; /* messages, and what the last opening says that it removed */

static void say(void *arg, enum kv_message_level level, const char *text)
{
    lines++;
    const char *count = strstr(text, ": removed ");
    removed = count != NULL ? (unsigned)strtoul(count + strlen(": removed "), NULL, 10) : removed;
}

static struct side open_side(bool follow)
{
    struct kv_options options = {
        .create = !follow, .follow = follow, .no_background = true, .message_fn = say};
    struct kv_storage *storage = NULL;
    struct side side = {0};
    ck_ok(kv_storage_posix_open(dir.path, !follow, &storage));
    if (!follow) {
        wrap(storage);
    }
    ck_ok(kv_open(storage, &options, &side.store));
    ck_ok(kv_table_open(side.store, "t", NULL, &side.table));
    return side;
}

static void setup(void)
{
    temp_dir_make(&dir);
    writer = open_side(false);
}

static void teardown(void)
{
    ck_ok(kv_close(writer.store));
    temp_dir_remove(&dir);
}

static void put(const char *value)
{
    ck_ok(kv_put(writer.table, kv_slice_str("k"), kv_slice_str(value), KV_DURABLE_WRITE));
}

static void expect(const char *value)
{
    struct kv_buf got = {0};
    ck_ok(kv_get_copy(follower.table, NULL, kv_slice_str("k"), &got));
    ck_assert(kv_slice_equal(kv_buf_slice(&got), kv_slice_str(value)));
    kv_buf_finish(&got);
}

/* ---- tests ------------------------------------------------------------------------------------
 */

/* The follower takes for made what the writer takes for not made. */
START_TEST(a_change_of_unknown_outcome_is_shown_or_not_but_never_taken_back)
{
    struct kv_table *other = NULL;
    put("1");
    ck_ok(kv_flush(writer.store));
    follower = open_side(true);
    put("2");
    storage_of_writer.failing = storage_of_writer.manifest;
    ck_fails(kv_flush(writer.store), EIO);
    storage_of_writer.failing = NULL;
    ck_ok(kv_refresh(follower.store));

    /* A state without the second row; the table that has it was in doubt until now. */
    ck_ok(kv_table_open(writer.store, "other", NULL, &other));
    ck_ok(kv_refresh(follower.store));
    ck_fails(kv_table_open(follower.store, "other", NULL, &other), ENOENT);
    expect("2");

    /* The manifest grows that was passed over. */
    ck_ok(kv_flush(writer.store));
    ck_ok(kv_refresh(follower.store));
    ck_ok(kv_table_open(follower.store, "other", NULL, &other));
    expect("2");
    put("3");
    ck_ok(kv_flush(writer.store));
    ck_ok(kv_refresh(follower.store));
    expect("3");
    ck_ok(kv_close(follower.store));
}
END_TEST

static void follow_and_replace(void)
{
    follower = open_side(true);
    put("2");
    ck_ok(kv_compact(writer.store));
}

START_TEST(what_goes_while_followers_are_asked_for_stays_for_who_came_meanwhile)
{
    put("1");
    ck_ok(kv_compact(writer.store));
    storage_of_writer.asked_fn = follow_and_replace;
    obsolete_purge(writer.store);
    ck_assert(storage_of_writer.asked_fn == NULL);
    expect("1");
    ck_ok(kv_close(follower.store));
}
END_TEST

START_TEST(a_follower_that_no_writer_can_see_says_so)
{
    char path[512];
    put("1");
    ck_ok(kv_flush(writer.store));
    follower = open_side(true);
    ck_ok(kv_close(writer.store));
    ck_assert_int_eq(unlink(temp_dir_name(&dir, "LOCK", path)), 0);
    writer = open_side(false);
    put("2");
    ck_ok(kv_flush(writer.store));

    ck_fails(kv_refresh(follower.store), ESTALE);
    ck_fails(kv_refresh(follower.store), ESTALE);
    ck_ok(kv_close(follower.store));
}
END_TEST

/* There is one. */
static void find_manifest(char to[512])
{
    DIR *stream = opendir(dir.path);
    const struct dirent *entry;
    to[0] = '\0';
    ck_assert_ptr_nonnull(stream);
    while ((entry = readdir(stream)) != NULL) {
        if (strstr(entry->d_name, ".manifest") != NULL) {
            temp_dir_name(&dir, entry->d_name, to);
        }
    }
    closedir(stream);
    ck_assert_str_ne(to, "");
}

START_TEST(what_a_follower_cannot_read_for_long_is_said_once)
{
    char name[512], away[512];
    put("1");
    ck_ok(kv_flush(writer.store));
    follower = open_side(true);
    find_manifest(name);
    temp_dir_name(&dir, "away", away);
    lines = 0;
    for (unsigned times = 1; times <= 2; times++) {
        ck_assert_int_eq(rename(name, away), 0);
        ck_fails(kv_refresh(follower.store), EUCLEAN);
        ck_fails(kv_refresh(follower.store), EUCLEAN);
        ck_fails(kv_refresh(follower.store), EUCLEAN);
        ck_assert_uint_eq(lines, times);
        ck_assert_int_eq(rename(away, name), 0);
        ck_ok(kv_refresh(follower.store));
    }
    expect("1");
    ck_ok(kv_close(follower.store));
}
END_TEST

/* How many leftovers it says that it removed: the log before, and what else. */
static unsigned open_again(void)
{
    ck_ok(kv_close(writer.store));
    removed = 0;
    writer = open_side(false);
    return removed;
}

START_TEST(an_opening_says_of_no_file_that_it_keeps_that_it_removed_it)
{
    put("1");
    ck_ok(kv_compact(writer.store));
    follower = open_side(true);
    put("2");
    ck_ok(kv_compact(writer.store));
    (void)open_again(); /* there were other logs, too */
    unsigned beside = open_again();
    ck_assert_uint_eq(open_again(), beside); /* tables are kept */
    expect("1");
    ck_ok(kv_close(follower.store));
    ck_assert_uint_gt(open_again(), beside);
}
END_TEST

Suite *test_suite(void)
{
    const struct {
        const char *name;
        const TTest *test;
    } tests[] = {
        {"doubt", a_change_of_unknown_outcome_is_shown_or_not_but_never_taken_back},
        {"asked", what_goes_while_followers_are_asked_for_stays_for_who_came_meanwhile},
        {"lock", a_follower_that_no_writer_can_see_says_so},
        {"said", what_a_follower_cannot_read_for_long_is_said_once},
        {"said", an_opening_says_of_no_file_that_it_keeps_that_it_removed_it},
    };
    Suite *s = suite_create("follow_doubt");
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        TCase *t = tcase_create(tests[i].name);
        tcase_add_checked_fixture(t, setup, teardown);
        tcase_add_test(t, tests[i].test);
        suite_add_tcase(s, t);
    }
    return s;
}
