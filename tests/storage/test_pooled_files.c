/* SPDX-License-Identifier: Apache-2.0 */
/* Files of a store in a pool, of which two things happen at once: the second of them between two
 * calls of the first. */
#include "tests/storage/takeover_rig.h"

static const struct kv_file_id log_id = {KV_FILE_LOG, 1};
static const struct kv_file_id object_id = {KV_FILE_TABLE, 2};

/* What is to be done before a call, once. */
struct between {
    unsigned skip; /* so many calls before */
    void (*act)(struct between *between);
    struct kv_storage *storage;
    struct kv_object_writer *writer;
};

static enum fake_fate act_once(void *arg, unsigned index)
{
    struct between *between = (struct between *)arg;
    void (*act)(struct between *) = between->act;

    if (act != NULL && between->skip-- == 0) {
        between->act = NULL;
        act(between);
    }
    return FAKE_DONE;
}

static void append(struct kv_storage *storage, struct kv_log *log, size_t size)
{
    static uint8_t bytes[2 * RIG_PIECE_BYTES];
    struct iovec part = {bytes, size};

    ck_assert_uint_le(size, sizeof bytes);
    ck_ok(storage->ops->log_append(log, &part, 1));
}

static void count_name(void *arg, const char *name)
{
    unsigned *count = (unsigned *)arg;
    *count += 1;
}

/* Objects of the cluster beside the two that each store has. */
static unsigned count_pieces(struct fake_cluster *cluster)
{
    unsigned count = 0;
    fake_cluster_objects(cluster, count_name, &count);
    return count - 2;
}

static void count_file(void *arg, struct kv_file_id id, uint64_t size_bytes)
{
    unsigned *count = (unsigned *)arg;
    *count += 1;
}

/* Looking for the size of the log is a call after the names were read. */
static void finish_object(struct between *between)
{
    ck_ok(between->storage->ops->object_finish(between->writer));
}

START_TEST(an_object_that_is_finished_beside_a_listing_is_not_taken_for_a_leftover)
{
    struct fake_cluster *cluster = fake_cluster_create();
    struct between between = {0};
    struct kv_object *object = NULL;
    struct kv_log *log = NULL;
    char byte = 'x';
    struct iovec part = {&byte, 1};
    unsigned count = 0;

    ck_ok(rig_acquire(cluster, act_once, &between, &between.storage));
    struct kv_storage *storage = between.storage;
    ck_ok(storage->ops->log_create(storage, log_id, 0, 0, &log));
    append(storage, log, 10);
    ck_ok(storage->ops->object_begin(storage, object_id, 0, &between.writer));
    ck_ok(storage->ops->object_write(between.writer, &part, 1));
    between.skip = 1;
    between.act = finish_object;
    ck_ok(storage->ops->list(storage, count_file, &count));
    ck_assert(between.act == NULL);
    ck_ok(storage->ops->object_open(storage, object_id, &object));
    ck_assert_uint_eq(storage->ops->object_size(object), 1);
    storage->ops->object_close(object);
    ck_assert_uint_eq(count_pieces(cluster), 2);
    storage->ops->log_close(log);
    storage->ops->close(storage);
    fake_cluster_destroy(cluster);
}
END_TEST

static void remove_log(struct between *between)
{
    ck_ok(between->storage->ops->remove(between->storage, log_id));
}

/* Closing says that it is finished; growing says how many pieces it has. */
START_TEST(a_log_that_is_removed_while_its_entry_is_written_stays_removed)
{
    struct fake_cluster *cluster = fake_cluster_create();
    struct between between = {0};
    struct kv_log *log = NULL;
    struct kv_log *again = NULL;
    unsigned count = 0;

    ck_ok(rig_acquire(cluster, act_once, &between, &between.storage));
    struct kv_storage *storage = between.storage;
    ck_ok(storage->ops->log_create(storage, log_id, 0, 0, &log));
    append(storage, log, RIG_PIECE_BYTES);
    ck_ok(storage->ops->log_sync(log)); /* nothing is on its way any more */
    between.skip = _i == 0 ? 1 : 0;     /* a new piece is made, then counted */
    between.act = remove_log;
    if (_i == 0) {
        append(storage, log, 10);
        ck_ok(storage->ops->log_sync(log));
        ck_fails(storage->ops->log_open(storage, log_id, &again), ENOENT);
    }
    storage->ops->log_close(log);
    ck_assert(between.act == NULL);
    ck_fails(storage->ops->log_open(storage, log_id, &again), ENOENT);
    ck_ok(storage->ops->list(storage, count_file, &count));
    ck_assert_uint_eq(count, 0);
    ck_assert_uint_eq(count_pieces(cluster), 0);
    storage->ops->close(storage);
    fake_cluster_destroy(cluster);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("pooled_files");
    TCase *removed = tcase_create("remove");
    suite_add(s, "list", an_object_that_is_finished_beside_a_listing_is_not_taken_for_a_leftover);
    tcase_add_loop_test(removed, a_log_that_is_removed_while_its_entry_is_written_stays_removed, 0,
                        2);
    suite_add_tcase(s, removed);
    return s;
}
