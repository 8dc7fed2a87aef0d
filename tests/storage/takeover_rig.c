/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/storage/takeover_rig.h"

#include <stdio.h>
#include <stdlib.h>

enum { BYTES_MAX = 64 * 1024 };

static const struct kv_file_id go_on_id = {KV_FILE_LOG, 99};

/* ---- opening ----------------------------------------------------------------------------------
 */

struct kv_storage *rig_connect(struct fake_cluster *cluster, fake_plan_fn *plan, void *arg)
{
    struct pooled_options options = {
        .create = true, .lease_ms = RIG_LEASE_MS, .piece_bytes = RIG_PIECE_BYTES};
    struct kv_storage *storage = NULL;
    ck_ok(pooled_storage_open(fake_cluster_connect(cluster, plan, arg), "rados://fake/store",
                              &options, &storage));
    return storage;
}

int rig_acquire(struct fake_cluster *cluster, fake_plan_fn *plan, void *arg,
                struct kv_storage **ret_storage)
{
    struct kv_storage *storage = rig_connect(cluster, plan, arg);
    int r = storage->ops->lease_acquire(storage, KV_LEASE_EXCLUSIVE, "the rig");
    if (r < 0) {
        storage->ops->close(storage);
        return r;
    }
    *ret_storage = storage;
    return 0;
}

/* ---- the script -------------------------------------------------------------------------------
 */

static uint8_t byte_at(struct kv_file_id id, uint64_t offset)
{
    return (uint8_t)(offset * 7 + offset / 251 + id.number * 31 + (uint64_t)id.kind * 101 + 1);
}

static void fill(struct kv_file_id id, uint64_t offset, uint8_t *to, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        to[i] = byte_at(id, offset + i);
    }
}

static int do_swap(struct kv_storage *storage, struct rig_model *model)
{
    char text[32];
    snprintf(text, sizeof text, "root %d", (int)model->version + 1);
    model->version_max = model->version + 1;
    int r = storage->ops->root_swap(storage, model->version, kv_slice_str(text));
    if (r == 0) {
        model->version++;
    }
    return r;
}

static int do_create(struct kv_storage *storage, struct rig_file *file, struct rig_file *recycled,
                     struct kv_log **ret_log)
{
    file->presence = RIG_EITHER;
    if (recycled != NULL) {
        recycled->presence = RIG_EITHER;
    }
    int r = storage->ops->log_create(storage, file->id, recycled != NULL ? recycled->id.number : 0,
                                     0, ret_log);
    if (r == 0) {
        file->presence = RIG_PRESENT;
    }
    if (r == 0 && recycled != NULL) {
        recycled->presence = RIG_ABSENT;
    }
    return r;
}

static int do_append(struct kv_storage *storage, struct rig_file *file, struct kv_log *log,
                     size_t size)
{
    static uint8_t bytes[BYTES_MAX];
    struct iovec parts[2] = {{bytes, size / 3}, {bytes + size / 3, size - size / 3}};

    fill(file->id, file->size, bytes, size);
    file->size_max = file->size + size;
    int r = storage->ops->log_append(log, parts, 2);
    r = r < 0 ? r : storage->ops->log_sync(log);
    if (r == 0) {
        file->size = file->size_max;
    }
    return r;
}

static int do_object(struct kv_storage *storage, struct rig_file *file, size_t size)
{
    static uint8_t bytes[BYTES_MAX];
    struct iovec part = {bytes, size};
    struct kv_object_writer *writer = NULL;

    fill(file->id, 0, bytes, size);
    int r = storage->ops->object_begin(storage, file->id, size, &writer);
    if (r < 0) {
        return r;
    }
    r = storage->ops->object_write(writer, &part, 1);
    if (r < 0) {
        storage->ops->object_abort(writer);
        return r;
    }
    file->presence = RIG_EITHER;
    file->size = size;
    file->size_max = size;
    r = storage->ops->object_finish(writer);
    if (r == 0) {
        file->presence = RIG_PRESENT;
    }
    return r;
}

static int do_remove(struct kv_storage *storage, struct rig_file *file)
{
    file->presence = RIG_EITHER;
    int r = storage->ops->remove(storage, file->id);
    if (r == 0) {
        file->presence = RIG_ABSENT;
    }
    return r;
}

static void close_log(struct kv_storage *storage, struct kv_log *log)
{
    if (log != NULL) {
        storage->ops->log_close(log);
    }
}

/* Two logs, the second in the place of the first; the second goes on after it was closed. */
static int run_logs(struct kv_storage *storage, struct rig_model *model)
{
    struct rig_file *one = &model->files[0];
    struct rig_file *two = &model->files[1];
    struct kv_log *log = NULL;

    int r = do_create(storage, one, NULL, &log);
    r = r < 0 ? r : do_append(storage, one, log, 100);
    r = r < 0 ? r : do_append(storage, one, log, 5000); /* into the second piece */
    r = r < 0 ? r : do_append(storage, one, log, 12000);
    close_log(storage, log);
    log = NULL;
    r = r < 0 ? r : do_create(storage, two, one, &log);
    r = r < 0 ? r : do_append(storage, two, log, 4096); /* a whole piece */
    r = r < 0 ? r : do_append(storage, two, log, 1);
    close_log(storage, log);
    log = NULL;
    r = r < 0 ? r : storage->ops->log_resume(storage, two->id, &log);
    r = r < 0 ? r : do_append(storage, two, log, 9000);
    close_log(storage, log);
    return r;
}

/* A blob, which goes on after it was closed. */
static int run_blob(struct kv_storage *storage, struct rig_model *model)
{
    struct rig_file *blob = &model->files[4];
    struct kv_log *log = NULL;

    int r = do_create(storage, blob, NULL, &log);
    r = r < 0 ? r : do_append(storage, blob, log, 100);
    r = r < 0 ? r : do_append(storage, blob, log, 9000); /* into the third piece */
    close_log(storage, log);
    log = NULL;
    r = r < 0 ? r : storage->ops->log_resume(storage, blob->id, &log);
    r = r < 0 ? r : do_append(storage, blob, log, 5000);
    close_log(storage, log);
    return r;
}

static int run_objects(struct kv_storage *storage, struct rig_model *model)
{
    struct kv_object_writer *writer = NULL;
    struct kv_file_id never = {KV_FILE_TABLE, 50};

    int r = do_object(storage, &model->files[2], 9000);
    r = r < 0 ? r : do_object(storage, &model->files[3], 10);
    r = r < 0 ? r : do_remove(storage, &model->files[2]);
    r = r < 0 ? r : storage->ops->object_begin(storage, never, 0, &writer);
    if (r == 0) {
        storage->ops->object_abort(writer);
    }
    return r;
}

int rig_run_script(struct kv_storage *storage, struct rig_model *model)
{
    *model = (struct rig_model){.files = {{.id = {KV_FILE_LOG, 1}},
                                          {.id = {KV_FILE_LOG, 2}},
                                          {.id = {KV_FILE_TABLE, 1}},
                                          {.id = {KV_FILE_TABLE, 2}},
                                          {.id = {KV_FILE_BLOB, 1}}}};
    int r = storage->ops->lease_acquire(storage, KV_LEASE_EXCLUSIVE, "the writer");
    r = r < 0 ? r : do_swap(storage, model);
    r = r < 0 ? r : run_logs(storage, model);
    r = r < 0 ? r : run_blob(storage, model);
    r = r < 0 ? r : do_swap(storage, model);
    r = r < 0 ? r : run_objects(storage, model);
    r = r < 0 ? r : storage->ops->lease_describe(storage, "the writer, still");
    r = r < 0 ? r : do_swap(storage, model);
    storage->ops->close(storage);
    return r;
}

/* ---- what is found ----------------------------------------------------------------------------
 */

static void verify_root(struct kv_storage *storage, const struct rig_model *model)
{
    struct kv_buf bytes = {0};
    uint64_t version = 0;
    char text[32];
    int r = storage->ops->root_read(storage, &bytes, &version);

    if (r == -ENOENT) {
        ck_assert_uint_eq(model->version, 0);
        return;
    }
    ck_ok(r);
    ck_assert_uint_ge(version, model->version);
    ck_assert_uint_le(version, model->version_max);
    snprintf(text, sizeof text, "root %d", (int)version);
    ck_assert(kv_slice_equal(kv_buf_slice(&bytes), kv_slice_str(text)));
    kv_buf_finish(&bytes);
}

static void expect_bytes(struct kv_file_id id, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != byte_at(id, i)) { /* the assertion costs far more than the byte */
            ck_abort_msg("kind %d number %d: byte %zu of %zu", id.kind, (int)id.number, i, size);
        }
    }
}

static void verify_file(struct kv_storage *storage, const struct rig_file *file)
{
    static uint8_t bytes[BYTES_MAX];
    struct kv_log *log = NULL;
    size_t size = 0;
    int r = storage->ops->log_open(storage, file->id, &log);

    if (r == -ENOENT) {
        ck_assert_int_ne(file->presence, RIG_PRESENT);
        return;
    }
    ck_ok(r);
    ck_assert_int_ne(file->presence, RIG_ABSENT);
    ck_assert_uint_ge(storage->ops->log_size(log), file->size);
    ck_assert_uint_le(storage->ops->log_size(log), file->size_max);
    ck_ok(storage->ops->log_read(log, 0, bytes, sizeof bytes, &size));
    ck_assert_uint_eq(size, storage->ops->log_size(log));
    expect_bytes(file->id, bytes, size);
    storage->ops->log_close(log);
}

struct names {
    char names[128][80];
    size_t count;
};

static void collect_name(void *arg, const char *name)
{
    struct names *names = (struct names *)arg;
    ck_assert_uint_lt(names->count, 128);
    snprintf(names->names[names->count++], sizeof names->names[0], "%s", name);
}

static bool is_piece_of(const char *name, const struct pooled_dir_item *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (uint64_t piece = 0; piece <= items[i].entry.pieces; piece++) {
            char expected[POOLED_NAME_SIZE];
            pooled_piece_name(items[i].id, items[i].entry.epoch, piece, expected);
            if (strcmp(name, expected) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* Every object is one of the two, or a piece of a file that the directory names. */
static void verify_objects(struct fake_cluster *cluster, struct kv_storage *storage,
                           unsigned strays_max)
{
    unsigned strays = 0;
    static struct names names;
    struct pooled_dir_item *items = NULL;
    size_t count = 0;

    names.count = 0;
    ck_ok(pooled_dir_list(pooled_storage(storage), &items, &count));
    for (size_t i = 0; i < count; i++) {
        ck_assert_msg(items[i].entry.state == POOLED_FINISHED ||
                          items[i].entry.state == POOLED_OPEN,
                      "something unfinished was left");
    }
    fake_cluster_objects(cluster, collect_name, &names);
    for (size_t i = 0; i < names.count; i++) {
        bool is_own =
            strcmp(names.names[i], POOLED_ROOT) == 0 || strcmp(names.names[i], POOLED_LEASE) == 0;
        bool is_stray = !is_own && !is_piece_of(names.names[i], items, count);
        strays += is_stray;
        ck_assert_msg(strays <= strays_max, "%s has no name", names.names[i]);
        ck_assert(!is_stray || fake_cluster_bytes(cluster, names.names[i], NULL, 0) == 0);
    }
    free(items);
}

struct listed {
    const struct rig_model *model;
    unsigned count;
};

static void check_listed(void *arg, struct kv_file_id id, uint64_t size_bytes)
{
    struct listed *listed = (struct listed *)arg;
    for (size_t i = 0; i < RIG_FILES; i++) {
        const struct rig_file *file = &listed->model->files[i];
        if (file->id.kind == id.kind && file->id.number == id.number) {
            ck_assert_int_ne(file->presence, RIG_ABSENT);
            ck_assert_uint_ge(size_bytes, file->size);
            ck_assert_uint_le(size_bytes, file->size_max);
            return;
        }
    }
    ck_assert_msg(id.number == go_on_id.number, "a file that nobody made");
}

void rig_verify(struct fake_cluster *cluster, struct kv_storage *storage,
                const struct rig_model *model, unsigned strays_max)
{
    struct listed listed = {.model = model};

    verify_root(storage, model);
    for (size_t i = 0; i < RIG_FILES; i++) {
        verify_file(storage, &model->files[i]);
    }
    ck_ok(storage->ops->list(storage, check_listed, &listed));
    verify_objects(cluster, storage, strays_max);
}

void rig_resume_logs(struct kv_storage *storage, struct rig_model *model)
{
    for (size_t i = 0; i < RIG_FILES; i++) {
        struct rig_file *file = &model->files[i];
        struct kv_log *log = NULL;
        if (file->id.kind != KV_FILE_LOG && file->id.kind != KV_FILE_BLOB) {
            continue;
        }
        int r = storage->ops->log_resume(storage, file->id, &log);
        if (r == -ENOENT) {
            continue;
        }
        ck_ok(r);
        file->size = storage->ops->log_size(log);
        ck_ok(do_append(storage, file, log, 9000));
        storage->ops->log_close(log);
        verify_file(storage, file);
    }
}

void rig_go_on(struct kv_storage *storage)
{
    const struct kv_storage_ops *ops = storage->ops;
    struct rig_file file = {.id = go_on_id};
    struct kv_buf bytes = {0};
    uint64_t version = 0;
    struct kv_log *log = NULL;

    int r = ops->root_read(storage, &bytes, &version);
    ck_assert(r == 0 || r == -ENOENT);
    ck_ok(ops->root_swap(storage, version, kv_slice_str("gone on")));
    ck_ok(do_create(storage, &file, NULL, &log));
    ck_ok(do_append(storage, &file, log, 5000));
    ops->log_close(log);
    verify_file(storage, &file);
    ck_ok(ops->remove(storage, go_on_id));
    kv_buf_finish(&bytes);
}
