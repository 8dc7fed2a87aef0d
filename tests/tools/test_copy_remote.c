/* SPDX-License-Identifier: Apache-2.0 */
/* A copy whose command fails at any step, or is gone from then on: the store that is copied goes on
 * whatever is answered. */
#include "tests/lib/check_main.h"

#include <string.h>

#include <kv/kv.h>

#include "tests/lib/temp_dir.h"
#include "tools/copy_ask.h"
#include "tools/copy_remote.h"

enum { KEYS = 12, LARGE_SIZE = 12 * 1024, ASKS_MAX = 1000 };

static struct temp_dir dir;
static struct kv_store *store;

static void setup(void)
{
    struct kv_options options = {.create = true, .blob_commit_bytes = 4096, .no_background = true};
    static uint8_t value[LARGE_SIZE];
    struct kv_storage *storage = NULL;
    struct kv_table *table = NULL;
    char name[512];
    char key[16];
    temp_dir_make(&dir);
    ck_ok(kv_storage_posix_open(temp_dir_name(&dir, "store", name), true, &storage));
    ck_ok(kv_open(storage, &options, &store));
    ck_ok(kv_table_open(store, "t", NULL, &table));
    for (int i = 0; i < KEYS; i++) {
        size_t size = (size_t)snprintf(key, sizeof key, "key%d", i);
        memset(value, i, sizeof value);
        ck_ok(kv_put(table, kv_slice(key, size), kv_slice(value, i % 2 == 0 ? LARGE_SIZE : 100),
                     KV_DURABLE_WRITE));
    }
}

static void teardown(void)
{
    ck_ok(kv_close(store));
    temp_dir_remove(&dir);
}

/* The command: does nothing, and says that it did. */
struct command {
    int asks;
    int fails_at; /* the ask that fails, from 1; 0: none */
    int error;
    bool ends;          /* there is nobody from then on */
    uint64_t blob_size; /* announced of the last blob */
};

static int answer(void *arg, const struct control_reply *reply)
{
    struct command *command = arg;
    struct copy_ask ask;
    ck_assert_int_eq(reply->type, CONTROL_ASK);
    ck_ok(copy_ask_decode(reply->key, &ask));
    command->asks++;
    if (ask.verb == COPY_LOG && ask.id.kind == KV_FILE_BLOB) {
        command->blob_size = ask.size;
    }
    bool fails = command->fails_at != 0 && (command->asks == command->fails_at ||
                                            (command->ends && command->asks > command->fails_at));
    return fails ? command->error : 0;
}

static int copy(struct command *command, bool bytes)
{
    struct copy_remote remote;
    copy_remote_init(&remote, answer, command);
    return bytes ? kv_copy(store, &remote.base, NULL, NULL) : kv_checkpoint(store, &remote.base);
}

static void fail_at_each(bool bytes, int error, bool ends)
{
    struct command all = {0};
    ck_ok(copy(&all, bytes));
    ck_assert_int_gt(all.asks, 8);
    ck_assert_int_lt(all.asks, ASKS_MAX);
    for (int at = 1; at <= all.asks; at++) {
        struct command command = {.fails_at = at, .error = error, .ends = ends};
        int r = copy(&command, bytes);
        /* That a file could not be closed tells nothing: what matters was synced. */
        ck_assert_msg(r == error || (r == 0 && !ends), "ask %d: %s", at, kv_strerror(r));
        ck_assert_int_ge(command.asks, at);
    }
    ck_ok(copy(&all, bytes)); /* and again one that works */
}

START_TEST(each_ask_may_fail)
{
    fail_at_each(false, -ENOSPC, false);
    fail_at_each(true, -ENOSPC, false);
}
END_TEST

START_TEST(the_command_may_be_gone_at_each_ask)
{
    fail_at_each(false, -EPIPE, true);
    fail_at_each(true, -EPIPE, true);
}
END_TEST

START_TEST(room_for_a_blob_is_asked_for_at_once)
{
    struct command command = {0};
    ck_ok(copy(&command, true));
    ck_assert_uint_gt(command.blob_size, 0);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("copy_remote");
    TCase *tcase = tcase_create("asks");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, each_ask_may_fail);
    tcase_add_test(tcase, the_command_may_be_gone_at_each_ask);
    tcase_add_test(tcase, room_for_a_blob_is_asked_for_at_once);
    suite_add_tcase(suite, tcase);
    return suite;
}
