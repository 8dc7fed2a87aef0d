/* SPDX-License-Identifier: Apache-2.0 */
/* Every call of the storage fails once: the error is returned, nothing leaks, and a reader never
 * takes a failed read for an answer. */
#include "tests/lib/check_main.h"

#include "tests/table/table_lib.h"

/* The calls of a storage in memory, the n-th of which fails. The storage interface hands a writer
 * or object to its calls without the storage, so the state cannot travel with them. */
static struct {
    struct kv_storage_ops ops;
    const struct kv_storage_ops *inner;
    int calls;
    int fail_at;     /* 0: none */
    bool short_read; /* instead of an error */
} failing;

static bool fails_now(void)
{
    return ++failing.calls == failing.fail_at;
}

static int failing_begin(struct kv_storage *storage, struct kv_file_id id, uint64_t size_hint_bytes,
                         struct kv_object_writer **ret_writer)
{
    return fails_now() ? -ENOSPC
                       : failing.inner->object_begin(storage, id, size_hint_bytes, ret_writer);
}

static int failing_write(struct kv_object_writer *writer, const struct iovec *parts, int part_count)
{
    return fails_now() ? -ENOSPC : failing.inner->object_write(writer, parts, part_count);
}

static int failing_finish(struct kv_object_writer *take_writer)
{
    if (fails_now()) {
        failing.inner->object_abort(take_writer);
        return -EIO;
    }
    return failing.inner->object_finish(take_writer);
}

static int failing_open(struct kv_storage *storage, struct kv_file_id id,
                        struct kv_object **ret_object)
{
    return fails_now() ? -EMFILE : failing.inner->object_open(storage, id, ret_object);
}

static int failing_read(struct kv_object *object, uint64_t offset, void *to, size_t size,
                        size_t *ret_size)
{
    if (!fails_now()) {
        return failing.inner->object_read(object, offset, to, size, ret_size);
    }
    if (!failing.short_read) {
        return -EIO;
    }
    return failing.inner->object_read(object, offset, to, size / 2, ret_size);
}

static struct kv_storage *failing_create(void)
{
    struct kv_storage *storage = NULL;

    ck_ok(kv_storage_mem_create(&storage));
    failing.inner = storage->ops;
    failing.ops = *storage->ops;
    failing.ops.object_begin = failing_begin;
    failing.ops.object_write = failing_write;
    failing.ops.object_finish = failing_finish;
    failing.ops.object_open = failing_open;
    failing.ops.object_read = failing_read;
    failing.calls = failing.fail_at = 0;
    failing.short_read = false;
    storage->ops = &failing.ops;
    return storage;
}

static void failing_destroy(struct kv_storage *storage)
{
    storage->ops = failing.inner;
    kv_storage_mem_destroy(storage);
}

/* A model whose table is written in several pieces. */
static struct model large_model(void)
{
    const struct model_shape shape = {
        .tail_max = 30, .letters = 200, .value_max = 4000, .sequence_max = 50};
    struct rng rng = {test_seed()};
    return model_create(&rng, &shape, 600);
}

static int try_write(struct kv_storage *storage, const struct model *m)
{
    const struct table_builder_options options = small_blocks(CODEC_NONE);
    const struct table_origin origin = {.table_id = 1};
    struct table_builder *builder = NULL;
    struct table_properties properties;
    uint64_t size;
    int r = table_builder_create(storage, TEST_SEED, TEST_TABLE, &origin, &options, &builder);

    for (size_t i = 0; r == 0 && i < m->count; i++) {
        r = table_builder_add(builder, &m->rows[i]);
    }
    if (r == 0) {
        r = table_builder_finish(builder, 1, &properties, &size);
    }
    if (r == 0) {
        table_properties_finish(&properties);
    }
    table_builder_destroy(builder);
    return r;
}

START_TEST(each_failed_write_is_returned_and_leaves_no_file)
{
    struct kv_storage *storage = failing_create();
    struct model m = large_model();
    struct kv_object *object;
    int at = 0, r;

    do {
        failing.calls = 0;
        failing.fail_at = ++at;
        r = try_write(storage, &m);
        ck_assert(r == 0 || r == -ENOSPC || r == -EIO);
        ck_assert_int_eq(r < 0, failing.calls >= failing.fail_at);
        failing.fail_at = 0;
        if (r < 0) {
            struct kv_file_id id = {KV_FILE_TABLE, TEST_TABLE};
            ck_fails(storage->ops->object_open(storage, id, &object), ENOENT);
        }
    } while (r < 0);
    ck_assert_int_gt(at, 5);
    failing_destroy(storage);
    model_finish(&m);
}
END_TEST

/* Open, get, walk. 0 if all went well; what is answered is right in any case. */
static int try_read(struct kv_storage *storage, const struct model *m)
{
    struct table *table = NULL;
    int r = table_open(storage, TEST_SEED, TEST_TABLE, NULL, NULL, &table);

    for (size_t i = 0; r == 0 && i < m->count; i += 50) {
        r = check_get(table, m, m->rows[i].key, ROW_SEQUENCE_MAX);
    }
    if (r == 0) {
        r = check_scan(table, m, true);
    }
    if (r == 0) {
        r = check_scan(table, m, false);
    }
    if (r == 0) {
        r = table_verify(table, NULL);
    }
    table_close(table);
    return r;
}

static void fail_each_read(int expected)
{
    struct kv_storage *storage = failing_create();
    struct model m = large_model();
    int at = 0, r;

    ck_ok(try_write(storage, &m));
    failing.short_read = expected == -KV_EDAMAGED;
    do {
        failing.calls = 0;
        failing.fail_at = ++at;
        r = try_read(storage, &m);
        ck_assert(r == 0 || r == expected || r == -EMFILE);
        ck_assert_int_eq(r < 0, failing.calls >= failing.fail_at);
        at += at > 100 ? 17 : 0;
    } while (r < 0);
    ck_assert_int_gt(at, 20);
    failing_destroy(storage);
    model_finish(&m);
}

START_TEST(each_failed_read_is_returned)
{
    fail_each_read(-EIO);
}
END_TEST

START_TEST(each_read_that_comes_short_is_damage)
{
    fail_each_read(-KV_EDAMAGED);
}
END_TEST

START_TEST(a_builder_that_is_not_finished_leaves_no_file)
{
    const struct table_builder_options options = small_blocks(CODEC_SNAPPY);
    struct kv_storage *storage = failing_create();
    struct model m = large_model();
    struct table_builder *builder = begin_table(storage, &options);
    struct table *table = NULL;

    for (size_t i = 0; i < m.count; i++) {
        ck_ok(table_builder_add(builder, &m.rows[i]));
    }
    ck_assert_uint_gt(table_builder_size(builder), 100000);
    table_builder_destroy(builder);
    table_builder_destroy(NULL);
    ck_fails(table_open(storage, TEST_SEED, TEST_TABLE, NULL, NULL, &table), ENOENT);
    failing_destroy(storage);
    model_finish(&m);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("table_errors");
    suite_add(s, "write", each_failed_write_is_returned_and_leaves_no_file);
    suite_add(s, "write", a_builder_that_is_not_finished_leaves_no_file);
    suite_add(s, "read", each_failed_read_is_returned);
    suite_add(s, "read", each_read_that_comes_short_is_damage);
    return s;
}
