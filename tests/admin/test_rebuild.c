/* SPDX-License-Identifier: Apache-2.0 */
/* Stores that lost every manifest, and where a log tells the seed ROOT, too: after repair every row
 * that counted is there, and none that was deleted or overwritten. The stores are random; half of
 * them were cut short at a random change of the directory, in the middle of flushes, merges and
 * removals. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvcore/storage/posix_calls.h"
#include "kvcore/util/rng.h"
#include "tests/admin/admin_store.h"
#include "tests/lib/temp_dir.h"

enum { TABLES = 3, KEYS = 240, VALUE_MAX = 8192, DELETED = 0 };

/* ---- calls that stop ---- */

struct crash {
    struct posix_calls calls;
    uint64_t count, stop_at;          /* changes of the directory; 0: never */
    uint64_t removed, stop_at_remove; /* tables */
    uint64_t removals_that_fail;      /* of tables, the next ones */
};

static struct crash crash;

static uint64_t load(const uint64_t *number)
{
    return __atomic_load_n(number, __ATOMIC_SEQ_CST);
}

static int change(void)
{
    uint64_t count = __atomic_add_fetch(&crash.count, 1, __ATOMIC_SEQ_CST);
    uint64_t stop_at = load(&crash.stop_at);
    return stop_at != 0 && count >= stop_at ? -EIO : 0;
}

static bool has_crashed(void)
{
    return load(&crash.stop_at) != 0 && load(&crash.count) >= load(&crash.stop_at);
}

/* Some inputs of a merge are gone then, and others are still there. */
static void note_removal(const char *name)
{
    uint64_t stop_at = load(&crash.stop_at_remove);
    if (strstr(name, ".table") != NULL &&
        __atomic_add_fetch(&crash.removed, 1, __ATOMIC_SEQ_CST) >= stop_at && stop_at != 0) {
        __atomic_store_n(&crash.stop_at, 1, __ATOMIC_SEQ_CST);
    }
}

static int crash_openat(void *arg, int in, const char *name, int flags, mode_t mode)
{
    int r = (flags & O_CREAT) != 0 ? change() : 0;
    return r < 0 ? r : posix_calls_real.openat(arg, in, name, flags, mode);
}

static ssize_t crash_pwritev(void *arg, int fd, const struct iovec *parts, int count,
                             uint64_t offset)
{
    int r = change();
    return r < 0 ? r : posix_calls_real.pwritev(arg, fd, parts, count, offset);
}

static int crash_fallocate(void *arg, int fd, int mode, uint64_t offset, uint64_t size)
{
    int r = change();
    return r < 0 ? r : posix_calls_real.fallocate(arg, fd, mode, offset, size);
}

static int crash_rename(void *arg, int in, const char *from, const char *to, unsigned flags)
{
    int r = change();
    return r < 0 ? r : posix_calls_real.rename(arg, in, from, to, flags);
}

static int crash_linkat(void *arg, int from_dir, const char *from, int to_dir, const char *to)
{
    int r = change();
    return r < 0 ? r : posix_calls_real.linkat(arg, from_dir, from, to_dir, to);
}

static int crash_unlinkat(void *arg, int in, const char *name)
{
    note_removal(name);
    int r = change();
    if (r == 0 && crash.removals_that_fail > 0 && strstr(name, ".table") != NULL) {
        crash.removals_that_fail--;
        r = -EIO;
    }
    return r < 0 ? r : posix_calls_real.unlinkat(arg, in, name);
}

/* The process stops, not the machine: what was written stays, also unsynced. Nearly all
 * of the time would pass here else. */
static int crash_sync(void *arg, int fd)
{
    (void)arg;
    (void)fd;
    return 0;
}

static void begin_calls(uint64_t stop_at)
{
    crash = (struct crash){.calls = posix_calls_real, .stop_at = stop_at};
    crash.calls.openat = crash_openat;
    crash.calls.fdatasync = crash_sync;
    crash.calls.fsync = crash_sync;
    crash.calls.pwritev = crash_pwritev;
    crash.calls.fallocate = crash_fallocate;
    crash.calls.rename = crash_rename;
    crash.calls.linkat = crash_linkat;
    crash.calls.unlinkat = crash_unlinkat;
}

/* ---- the model ---- */

/* Versions of a key's value count up for ever. `may` is what it shows if the last operation, which
 * failed, was made all the same. */
struct model {
    struct {
        unsigned now, may;
    } keys[TABLES][KEYS];
    unsigned next;
};

struct trial {
    struct rng rng;
    char path[512];
    struct kv_options options;
    struct kv_store *store;
    struct kv_table *tables[TABLES];
    struct model model;
    uint64_t live, right, lost, back, old; /* rows; back: deleted ones */
};

static const char *const names[TABLES] = {"one", "two", "three"};

static struct kv_slice key_of(unsigned i, char to[16])
{
    return kv_slice(to, (size_t)snprintf(to, 16, "k%04u", i));
}

static struct kv_slice value_of(unsigned version, char to[VALUE_MAX])
{
    size_t size = version % 11 == 3 ? 3000 + version % 4000 : 20 + version % 150;
    int n = snprintf(to, VALUE_MAX, "%u ", version);
    for (size_t at = (size_t)n; at < size; at++) {
        to[at] = (char)('a' + (at * (version + 7) + at / 13) % 26);
    }
    return kv_slice(to, size);
}

/* What was to be is, or may be. */
static bool settle(struct trial *t, int r)
{
    for (unsigned i = 0; i < TABLES * KEYS; i++) {
        unsigned table = i / KEYS, key = i % KEYS;
        if (r == 0) {
            t->model.keys[table][key].now = t->model.keys[table][key].may;
        }
    }
    return r == 0;
}

/* ---- operations ---- */

static int put(struct trial *t, unsigned table, unsigned key)
{
    char name[16], value[VALUE_MAX];
    unsigned version = ++t->model.next;
    t->model.keys[table][key].may = version;
    return kv_put(t->tables[table], key_of(key, name), value_of(version, value), KV_DURABLE_WRITE);
}

static int delete_one(struct trial *t, unsigned table, unsigned key)
{
    char name[16];
    t->model.keys[table][key].may = DELETED;
    return kv_delete(t->tables[table], key_of(key, name), KV_DURABLE_WRITE);
}

static int delete_many(struct trial *t, unsigned table, unsigned key)
{
    unsigned to = key + 1 + (unsigned)rng_below(&t->rng, 60);
    char from_name[16], to_name[16];
    for (unsigned i = key; i < to && i < KEYS; i++) {
        t->model.keys[table][i].may = DELETED;
    }
    return kv_delete_range(t->tables[table], key_of(key, from_name), key_of(to, to_name),
                           KV_DURABLE_WRITE);
}

static int merge_some(struct trial *t, unsigned table, unsigned key)
{
    char from_name[16], to_name[16];
    return kv_compact_range(t->tables[table], key_of(key, from_name),
                            key_of(key + (unsigned)rng_below(&t->rng, 40), to_name));
}

static int open_store(struct trial *t)
{
    struct kv_storage *storage = NULL;
    int r = storage_posix_open_with_calls(t->path, true, &crash.calls, NULL, &storage);

    if (r < 0) {
        return r;
    }
    r = kv_open(storage, &t->options, &t->store);
    if (r < 0) {
        storage->ops->close(storage); /* it may have been cut short, and hold the lock */
    }
    for (unsigned i = 0; i < TABLES && r == 0; i++) {
        r = kv_table_open(t->store, names[i], NULL, &t->tables[i]);
    }
    return r;
}

static int reopen(struct trial *t)
{
    int r = kv_close(t->store);
    t->store = NULL;
    return r < 0 ? r : open_store(t);
}

static int step(struct trial *t)
{
    unsigned table = (unsigned)rng_below(&t->rng, TABLES);
    unsigned key = (unsigned)rng_below(&t->rng, KEYS);
    unsigned what = (unsigned)rng_below(&t->rng, 1000);

    if (what < 600) {
        return put(t, table, key);
    }
    if (what < 900) {
        return delete_one(t, table, key);
    }
    if (what < 930) {
        return delete_many(t, table, key);
    }
    if (what < 970) {
        return kv_flush(t->store);
    }
    if (what < 990) {
        return merge_some(t, table, key);
    }
    return what < 996 ? kv_compact(t->store) : reopen(t);
}

/* Soon it is cut short: in the middle of a flush or a merge, or between the removal of one table
 * and the next. */
static int arm(struct trial *t)
{
    uint64_t after = 1 + rng_below(&t->rng, 40);
    int r = 0;
    for (unsigned i = 0; i < TABLES && r == 0; i++) {
        r = put(t, i, (unsigned)rng_below(&t->rng, KEYS));
        settle(t, r);
    }
    if (rng_below(&t->rng, 3) == 0) {
        __atomic_store_n(&crash.stop_at_remove, load(&crash.removed) + 1 + after % 7,
                         __ATOMIC_SEQ_CST);
    } else {
        __atomic_store_n(&crash.stop_at, load(&crash.count) + after, __ATOMIC_SEQ_CST);
    }
    if (r == 0) {
        r = after % 2 == 0 ? kv_flush(t->store) : kv_compact(t->store);
    }
    return r;
}

/* Merges, until the store is cut short. */
static int last_step(struct trial *t)
{
    int r = step(t);
    return r == 0 && rng_below(&t->rng, 8) == 0 ? kv_compact(t->store) : r;
}

/* Returns whether the store was closed cleanly. */
static bool make_store(struct trial *t)
{
    uint64_t steps = 100 + rng_below(&t->rng, 900);
    bool crashes = rng_below(&t->rng, 2) == 0;
    int r;

    t->options = (struct kv_options){.create = true,
                                     .memtable_bytes = (size_t)64 << rng_below(&t->rng, 3) << 10,
                                     .file_bytes = (size_t)4 << rng_below(&t->rng, 4) << 10,
                                     .level_base_bytes = (size_t)16 << 10,
                                     .blob_commit_bytes = 2500,
                                     .blob_flush_bytes = 2500,
                                     .no_background = rng_below(&t->rng, 2) == 0};
    begin_calls(0);
    ck_ok(open_store(t));
    r = 0;
    for (uint64_t i = 0; (i < steps || crashes) && r == 0 && !has_crashed(); i++) {
        r = crashes && i == steps / 2 ? arm(t) : i > steps ? last_step(t) : step(t);
        settle(t, r);
    }
    r = kv_close(t->store);
    ck_assert(r == 0 || has_crashed());
    t->store = NULL;
    return r == 0 && !has_crashed();
}

/* ---- loss ---- */

static void lose(const char *path, bool with_root)
{
    char file[1024];
    struct dirent *entry;
    DIR *dir = opendir(path);
    ck_assert_ptr_nonnull(dir);
    while ((entry = readdir(dir)) != NULL) {
        bool goes = strstr(entry->d_name, ".manifest") != NULL ||
                    (with_root && strcmp(entry->d_name, "ROOT") == 0);
        if (goes) {
            snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
            ck_assert(unlink(file) == 0);
        }
    }
    closedir(dir);
}

/* ---- judging ---- */

static unsigned version_in(struct kv_slice value)
{
    char text[16] = {0};
    memcpy(text, value.data, value.size < 15 ? value.size : 15);
    return (unsigned)strtoul(text, NULL, 10);
}

static void judge(struct trial *t, unsigned table, unsigned key, unsigned shown)
{
    unsigned now = t->model.keys[table][key].now, may = t->model.keys[table][key].may;
    t->live += now != DELETED;
    if (shown == now || shown == may) {
        t->right++;
        return;
    }
    t->lost += shown == DELETED;
    t->back += shown != DELETED && now == DELETED;
    t->old += shown != DELETED && now != DELETED;
    printf("# table %s key %u shows version %u instead of %u or %u\n", names[table], key, shown,
           now, may);
    fflush(stdout);
}

static int find_table(struct kv_store *store, unsigned i, struct kv_table **ret_table)
{
    char lost[16];
    snprintf(lost, sizeof lost, "lost-%u", i + 1);
    int r = kv_table_open(store, names[i], NULL, ret_table);
    return r == -ENOENT ? kv_table_open(store, lost, NULL, ret_table) : r;
}

static unsigned look_up(struct kv_table *table, unsigned key)
{
    char name[16], value[VALUE_MAX];
    struct kv_pinned pinned = {0};
    unsigned version;
    int r = kv_get(table, NULL, key_of(key, name), &pinned);

    if (r == -ENOENT) {
        return DELETED;
    }
    ck_ok(r);
    version = version_in(pinned.value);
    ck_assert(kv_slice_equal(pinned.value, value_of(version, value)));
    kv_pinned_release(&pinned);
    return version;
}

/* Once to replay the logs, then read-only, so that a table that is not there is not made. */
static void judge_all(struct trial *t)
{
    struct kv_store *store = NULL;

    t->options.create = false;
    ck_ok(kv_open(store_storage(t->path), &t->options, &store));
    ck_ok(kv_close(store));
    t->options.read_only = true;
    ck_ok(kv_open(store_storage(t->path), &t->options, &store));
    for (unsigned i = 0; i < TABLES; i++) {
        struct kv_table *table = NULL;
        int r = find_table(store, i, &table);
        ck_assert(r == 0 || r == -ENOENT);
        for (unsigned key = 0; key < KEYS; key++) {
            judge(t, i, key, r == 0 ? look_up(table, key) : DELETED);
        }
    }
    ck_ok(kv_close(store));
}

/* ---- merges that are half done ---- */

enum { MERGED_KEYS = 200 };

static void put_merged_keys(struct kv_table *table)
{
    char name[16], value[VALUE_MAX];

    for (unsigned i = 0; i < MERGED_KEYS; i++) {
        ck_ok(kv_put(table, key_of(i, name), value_of(i * 11 + 1, value), KV_DURABLE_WRITE));
    }
}

static void delete_even_keys(struct kv_table *table)
{
    char name[16];

    for (unsigned i = 0; i < MERGED_KEYS; i += 2) {
        ck_ok(kv_delete(table, key_of(i, name), KV_DURABLE_WRITE));
    }
}

/* Before: a table of all keys, and a newer one that deletes every other. After: what a merge of
 * both, which needs no deletes, made of them. */
static void make_merge(const struct temp_dir *dir, char before[512], char after[512])
{
    struct kv_options options = {
        .create = true, .file_bytes = 4096, .blob_commit_bytes = 4500, .no_background = true};
    struct kv_storage *storage = NULL;
    struct kv_store *store = NULL;
    struct kv_table *table = NULL;

    temp_dir_name(dir, "before", before);
    temp_dir_name(dir, "after", after);
    ck_ok(kv_storage_posix_open(after, true, &storage));
    ck_ok(kv_open(storage, &options, &store));
    ck_ok(kv_table_open(store, names[0], NULL, &table));
    put_merged_keys(table);
    ck_ok(kv_compact(store));
    delete_even_keys(table);
    ck_ok(kv_flush(store));
    copy_tree(after, before);
    ck_ok(kv_compact(store));
    ck_ok(kv_close(store));
}

/* Copy the tables that `to` does not have, the largest or the smallest number only, or all. */
enum which { ALL = 1, SMALLEST, LARGEST };

static void add_tables(const char *from, const char *to, enum which which)
{
    static const char *const filters[] = {"", "cat", "head -n 1", "tail -n 1"};
    char command[2048];
    snprintf(command, sizeof command,
             "cd %s && for t in *.table; do test -e %s/$t || echo $t; done | sort | %s | "
             "xargs -I{} cp {} %s/",
             from, to, filters[which], to);
    ck_assert_int_eq(system(command), 0);
}

/* A block of rows of the table of the smallest number. */
static void flip_first_table(const char *path)
{
    char name[64], command[1024];
    FILE *list;

    snprintf(command, sizeof command, "cd %s && ls | grep table$ | head -n 1", path);
    list = popen(command, "r");
    ck_assert_ptr_nonnull(list);
    ck_assert_ptr_nonnull(fgets(name, sizeof name, list));
    name[strcspn(name, "\n")] = '\0';
    ck_assert_int_eq(pclose(list), 0);
    flip(path, name, 100);
}

static void check_merged(const char *path)
{
    struct kv_options options = {.no_background = true};
    struct kv_admin_result result;
    struct kv_store *store = NULL;
    struct kv_table *table = NULL;
    int codes[64];

    lose(path, false);
    ck_ok(store_check(path, KV_ADMIN_REPAIR, false, codes, &result));
    ck_assert_uint_eq(result.repaired, result.problems);
    ck_ok(kv_open(store_storage(path), &options, &store));
    ck_ok(kv_table_open(store, names[0], NULL, &table));
    for (unsigned i = 0; i < MERGED_KEYS; i++) {
        unsigned wanted = i % 2 == 0 ? DELETED : i * 11 + 1;
        ck_assert_msg(look_up(table, i) == wanted, "key %u", i);
    }
    ck_ok(kv_close(store));
}

/* The table of all keys: its deletes are gone, and the outputs need none. */
START_TEST(an_input_that_was_not_removed_yet_does_not_come_back_beside_the_outputs)
{
    struct temp_dir dir;
    char before[512], after[512];
    temp_dir_make(&dir);
    make_merge(&dir, before, after);
    add_tables(before, after, _i == 0 ? SMALLEST : ALL);
    check_merged(after);
    temp_dir_remove(&dir);
}
END_TEST

START_TEST(outputs_of_a_merge_that_was_not_finished_are_left_out)
{
    struct temp_dir dir;
    char before[512], after[512];
    temp_dir_make(&dir);
    make_merge(&dir, before, after);
    add_tables(after, before, _i == 0 ? SMALLEST : LARGEST);
    check_merged(before);
    temp_dir_remove(&dir);
}
END_TEST

/* What it could read of a damaged table: all of it, the table itself, is there. */
START_TEST(a_table_of_a_repair_that_was_cut_short_is_left_out)
{
    struct kv_options options = {
        .create = true, .blob_commit_bytes = 8192, .blob_flush_bytes = 8192, .no_background = true};
    struct kv_storage *storage = NULL;
    struct kv_store *store = NULL;
    struct kv_table *table = NULL;
    struct kv_admin_result result;
    struct temp_dir dir;
    char before[512], repaired[512];
    int codes[64];

    temp_dir_make(&dir);
    ck_ok(kv_storage_posix_open(temp_dir_name(&dir, "before", before), true, &storage));
    ck_ok(kv_open(storage, &options, &store));
    ck_ok(kv_table_open(store, names[0], NULL, &table));
    put_merged_keys(table);
    ck_ok(kv_flush(store));
    delete_even_keys(table);
    ck_ok(kv_close(store));
    copy_tree(before, temp_dir_name(&dir, "repaired", repaired));
    flip_first_table(repaired);
    ck_ok(store_check(repaired, KV_ADMIN_REPAIR, false, codes, &result));
    ck_assert(has_code(codes, KV_PROBLEM_TABLE_BLOCK));
    ck_assert_uint_eq(result.repaired, result.problems);
    add_tables(repaired, before, ALL);
    check_merged(before);
    temp_dir_remove(&dir);
}
END_TEST

/* Two readers keep an input of the merge and an output of it, the other outputs are merged on and
 * gone. That the merge was installed is told by what its output was merged to. */
START_TEST(a_merge_of_which_one_input_and_one_output_are_left_is_known_by_its_successor)
{
    struct kv_options options = {.file_bytes = 4096, .no_background = true};
    struct kv_store *store = NULL;
    struct kv_table *table = NULL;
    struct temp_dir dir;
    char before[512], after[512], on[512];

    temp_dir_make(&dir);
    make_merge(&dir, before, after);
    copy_tree(after, temp_dir_name(&dir, "on", on));
    ck_ok(kv_open(store_storage(on), &options, &store));
    ck_ok(kv_table_open(store, names[0], NULL, &table));
    delete_even_keys(table);
    ck_ok(kv_compact(store));
    ck_ok(kv_close(store));
    add_tables(before, on, SMALLEST);
    add_tables(after, on, SMALLEST);
    check_merged(on);
    temp_dir_remove(&dir);
}
END_TEST

enum { LARGE_KEYS = 12, LARGE_LEFT = 5, LARGE_SIZE = 4400 };

static void put_large(struct kv_table *table)
{
    struct rng rng = {7};
    uint8_t value[LARGE_SIZE];
    char name[16];

    for (unsigned i = 0; i < LARGE_KEYS; i++) {
        for (size_t n = 0; n < sizeof value; n++) {
            value[n] = (uint8_t)rng_next(&rng); /* not to be compressed */
        }
        ck_ok(kv_put(table, key_of(i, name), kv_slice(value, sizeof value), KV_DURABLE_WRITE));
    }
}

/* The last output was cut where only deleted rows followed. It says all the same that it is the
 * last, so that the merge is known for a finished one while inputs of it are there. */
START_TEST(a_merge_that_ends_with_rows_it_drops_knows_its_last_output)
{
    struct kv_options options = {
        .create = true, .file_bytes = 4096, .blob_commit_bytes = 4500, .no_background = true};
    struct kv_admin_result result;
    struct kv_storage *storage = NULL;
    struct kv_store *store = NULL;
    struct kv_table *table = NULL;
    struct temp_dir dir;
    char path[512], before[512], name[16];
    int codes[64];

    temp_dir_make(&dir);
    ck_ok(kv_storage_posix_open(temp_dir_name(&dir, "store", path), true, &storage));
    ck_ok(kv_open(storage, &options, &store));
    ck_ok(kv_table_open(store, names[0], NULL, &table));
    put_large(table);
    ck_ok(kv_compact(store));
    for (unsigned i = LARGE_LEFT; i < LARGE_KEYS; i++) {
        ck_ok(kv_delete(table, key_of(i, name), KV_DURABLE_WRITE));
    }
    ck_ok(kv_flush(store));
    copy_tree(path, temp_dir_name(&dir, "before", before));
    ck_ok(kv_compact(store));
    ck_ok(kv_close(store));
    add_tables(before, path, SMALLEST);

    lose(path, false);
    ck_ok(store_check(path, KV_ADMIN_REPAIR, false, codes, &result));
    ck_assert_uint_eq(result.repaired, result.problems);
    options.create = false;
    ck_ok(kv_open(store_storage(path), &options, &store));
    ck_ok(kv_table_open(store, names[0], NULL, &table));
    for (unsigned i = 0; i < LARGE_KEYS; i++) {
        struct kv_pinned pinned = {0};
        int r = kv_get(table, NULL, key_of(i, name), &pinned);
        ck_assert_int_eq(r, i < LARGE_LEFT ? 0 : -ENOENT);
        kv_pinned_release(&pinned);
    }
    ck_ok(kv_close(store));
    temp_dir_remove(&dir);
}
END_TEST

/* Deletes every other key of a table, and merges that away twice over. */
static void delete_in_parts(struct kv_store *store, struct kv_table *table)
{
    char name[16];
    for (unsigned part = 0; part < 2; part++) {
        for (unsigned i = part * 100; i < part * 100 + 100; i += 2) {
            ck_ok(kv_delete(table, key_of(i, name), KV_DURABLE_WRITE));
        }
        ck_ok(kv_compact(store));
    }
}

/* A table of all keys was merged with deletes, but is there still: an iterator reads it, or it and
 * the deletes cannot be removed. What it was merged to is merged on. Then the process is killed. */
START_TEST(a_table_that_was_replaced_and_stays_does_not_come_back)
{
    struct kv_options options = {.create = true, .no_background = true};
    struct kv_storage *storage = NULL;
    struct kv_store *store = NULL;
    struct kv_table *table = NULL;
    struct kv_iter *reader = NULL;
    struct temp_dir dir;
    char path[512], image[512];

    temp_dir_make(&dir);
    begin_calls(0);
    ck_ok(storage_posix_open_with_calls(temp_dir_name(&dir, "store", path), true, &crash.calls,
                                        NULL, &storage));
    ck_ok(kv_open(storage, &options, &store));
    ck_ok(kv_table_open(store, names[0], NULL, &table));
    put_merged_keys(table);
    ck_ok(kv_compact(store));
    if (_i == 0) {
        ck_ok(kv_iter_create(table, NULL, &reader));
    } else {
        crash.removals_that_fail = 2;
    }
    delete_in_parts(store, table);
    ck_assert_uint_eq(crash.removals_that_fail, 0);
    copy_tree(path, temp_dir_name(&dir, "image", image));
    kv_iter_destroy(reader);
    ck_ok(kv_close(store));
    check_merged(image);
    temp_dir_remove(&dir);
}
END_TEST

/* ---- the random ones ---- */

struct totals {
    uint64_t stores, crashed, live, lost, back, old;
};

static void run_trial(uint64_t number, struct totals *totals)
{
    struct trial *t = calloc(1, sizeof *t);
    struct kv_admin_result result;
    struct temp_dir dir;
    int codes[64];
    bool closed;

    ck_assert_ptr_nonnull(t);
    t->rng.state = test_seed() + number * 0x9e3779b97f4a7c15ULL;
    temp_dir_make(&dir);
    temp_dir_name(&dir, "store", t->path);
    closed = make_store(t);
    lose(t->path, closed);
    printf("# store %u, %s\n", (unsigned)number, closed ? "closed" : "cut short");
    ck_ok(store_check(t->path, KV_ADMIN_REPAIR, false, codes, &result));
    ck_assert(has_code(codes, closed ? KV_PROBLEM_ROOT_MISSING : KV_PROBLEM_MANIFEST_MISSING));
    ck_assert_uint_eq(result.repaired, result.problems);
    ck_ok(store_check(t->path, KV_ADMIN_REPORT, true, codes, &result));
    ck_assert_uint_eq(result.problems, 0);
    judge_all(t);
    totals->stores++;
    totals->crashed += !closed;
    totals->live += t->live;
    totals->lost += t->lost;
    totals->back += t->back;
    totals->old += t->old;
    ck_assert_msg(t->lost + t->back + t->old == 0, "store %u: %u lost, %u back, %u old (seed %llu)",
                  (unsigned)number, (unsigned)t->lost, (unsigned)t->back, (unsigned)t->old,
                  (unsigned long long)test_seed());
    temp_dir_remove(&dir);
    free(t);
}

START_TEST(a_store_without_manifests_comes_back_with_every_row_and_none_too_many)
{
    struct totals totals = {0};
    for (uint64_t i = 0; i < test_steps(20); i++) {
        run_trial(i, &totals);
    }
    printf("# tried: %llu stores (%llu cut short) with %llu live rows: %llu lost, %llu deleted "
           "ones back, "
           "%llu old values\n",
           (unsigned long long)totals.stores, (unsigned long long)totals.crashed,
           (unsigned long long)totals.live, (unsigned long long)totals.lost,
           (unsigned long long)totals.back, (unsigned long long)totals.old);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("rebuild");
    TCase *tcase = tcase_create("rebuild");
    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, a_store_without_manifests_comes_back_with_every_row_and_none_too_many);
    tcase_add_loop_test(
        tcase, an_input_that_was_not_removed_yet_does_not_come_back_beside_the_outputs, 0, 2);
    tcase_add_loop_test(tcase, outputs_of_a_merge_that_was_not_finished_are_left_out, 0, 2);
    tcase_add_test(tcase,
                   a_merge_of_which_one_input_and_one_output_are_left_is_known_by_its_successor);
    tcase_add_test(tcase, a_table_of_a_repair_that_was_cut_short_is_left_out);
    tcase_add_test(tcase, a_merge_that_ends_with_rows_it_drops_knows_its_last_output);
    tcase_add_loop_test(tcase, a_table_that_was_replaced_and_stays_does_not_come_back, 0, 2);
    suite_add_tcase(suite, tcase);
    return suite;
}
