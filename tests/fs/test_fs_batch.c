/* SPDX-License-Identifier: Apache-2.0 */
/* Batches of keys: against a model and against the same changes made one by one, under conditions,
 * beside other threads. */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "kvcore/util/rng.h"
#include "kvcore/util/thread.h"
#include "tests/fs/fs_fixture.h"

static struct kvfs_batch *make_batch(void)
{
    struct kvfs_batch *batch = NULL;
    ck_ok(kvfs_batch_create(&batch));
    return batch;
}

static void add_put(struct kvfs_batch *batch, const char *key, const char *value)
{
    ck_ok(kvfs_batch_put(batch, kv_slice_str(key), kv_slice_str(value)));
}

static void add_delete(struct kvfs_batch *batch, const char *key)
{
    ck_ok(kvfs_batch_delete(batch, kv_slice_str(key), false));
}

static void add_if_equal(struct kvfs_batch *batch, const char *key, const char *value)
{
    ck_ok(kvfs_batch_if_equal(batch, kv_slice_str(key), kv_slice_str(value)));
}

static int commit(struct fs_fixture *f, struct kvfs_batch *batch)
{
    int r = kvfs_batch_commit(f->fs, &fixture_who, batch);
    kvfs_batch_destroy(batch);
    return r;
}

static void put(struct fs_fixture *f, const char *key, const char *value)
{
    ck_ok(kvfs_key_put(f->fs, &fixture_who, kv_slice_str(key), kv_slice_str(value)));
}

static void check_value(struct fs_fixture *f, const char *key, const char *value)
{
    struct kv_buf buf = {0};
    int r = kvfs_key_get(f->fs, kv_slice_str(key), &buf);
    if (value == NULL) {
        ck_assert_msg(r == -ENOENT || r == -ENOTDIR || r == -EISDIR, "%s: %d", key, r);
    } else {
        ck_ok(r);
        ck_assert_msg(kv_slice_equal(kv_buf_slice(&buf), kv_slice_str(value)), "%s is %.*s", key,
                      (int)buf.size, (const char *)buf.data);
    }
    kv_buf_finish(&buf);
}

/* ---- single batches -------------------------------------------------------------------------- */

START_TEST(changes_take_effect_in_their_order)
{
    struct fs_fixture f;
    fixture_open(&f);
    put(&f, "old", "1");
    struct kvfs_batch *batch = make_batch();
    add_put(batch, "a/b/c", "first");
    add_put(batch, "a/b/d", "other");
    add_put(batch, "a/b/c", "second");
    add_put(batch, "gone", "x");
    add_delete(batch, "gone");
    add_delete(batch, "old");
    add_put(batch, "old/below", "it was a file");
    ck_ok(commit(&f, batch));
    check_value(&f, "a/b/c", "second");
    check_value(&f, "a/b/d", "other");
    check_value(&f, "gone", NULL);
    check_value(&f, "old/below", "it was a file");
    fixture_close(&f);
}
END_TEST

START_TEST(one_impossible_change_undoes_all_and_is_named)
{
    struct fs_fixture f;
    struct kvfs_entry entry;
    fixture_open(&f);
    put(&f, "file", "1");
    struct kvfs_batch *batch = make_batch();
    add_put(batch, "new/dir/key", "1");
    add_delete(batch, "file");
    add_put(batch, "new", "a directory by now");
    ck_fails(kvfs_batch_commit(f.fs, &fixture_who, batch), EISDIR);
    ck_assert_int_eq(kvfs_batch_failed_at(batch), 2);
    kvfs_batch_destroy(batch);
    check_value(&f, "file", "1");
    ck_fails(kvfs_key_stat(f.fs, kv_slice_str("new"), &entry), ENOENT);
    batch = make_batch();
    add_put(batch, "k", "1");
    add_put(batch, "k/below", "1");
    ck_fails(commit(&f, batch), ENOTDIR);
    batch = make_batch();
    add_delete(batch, "file");
    add_delete(batch, "file");
    ck_fails(commit(&f, batch), ENOENT);
    check_value(&f, "file", "1");
    fixture_close(&f);
}
END_TEST

START_TEST(conditions_are_about_what_was_there_before)
{
    struct fs_fixture f;
    fixture_open(&f);
    put(&f, "lock", "me");
    put(&f, "dir/file", "x");
    struct kvfs_batch *batch = make_batch();
    add_delete(batch, "lock");
    add_put(batch, "done", "1");
    add_if_equal(batch, "lock", "me");
    ck_ok(kvfs_batch_if_absent(batch, kv_slice_str("done")));
    ck_ok(kvfs_batch_if_absent(batch, kv_slice_str("dir/file/below")));
    ck_ok(commit(&f, batch));
    check_value(&f, "lock", NULL);
    static const char *const refused[][2] = {
        {"done", "2"}, {"done", "11"}, {"lock", ""}, {"dir", ""}, {"dir/file/below", ""}};
    for (unsigned i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        batch = make_batch();
        add_delete(batch, "none"); /* impossible, but the condition is what counts */
        add_if_equal(batch, refused[i][0], refused[i][1]);
        ck_fails(kvfs_batch_commit(f.fs, &fixture_who, batch), ECANCELED);
        ck_assert_int_eq(kvfs_batch_failed_at(batch), 1);
        kvfs_batch_destroy(batch);
    }
    batch = make_batch();
    add_put(batch, "more", "1");
    ck_ok(kvfs_batch_if_absent(batch, kv_slice_str("dir")));
    ck_fails(commit(&f, batch), ECANCELED);
    check_value(&f, "more", NULL);
    fixture_close(&f);
}
END_TEST

START_TEST(a_missing_key_may_be_no_failure)
{
    struct fs_fixture f;
    fixture_open(&f);
    put(&f, "a", "1");
    struct kvfs_batch *batch = make_batch();
    ck_ok(kvfs_batch_delete(batch, kv_slice_str("none/below"), true));
    ck_ok(kvfs_batch_delete(batch, kv_slice_str("a"), true));
    ck_ok(kvfs_batch_commit(f.fs, &fixture_who, batch));
    ck_assert(kvfs_batch_missed(batch, 0));
    ck_assert(!kvfs_batch_missed(batch, 1));
    kvfs_batch_destroy(batch);
    check_value(&f, "a", NULL);
    fixture_close(&f);
}
END_TEST

START_TEST(malformed_keys_and_empty_batches)
{
    struct fs_fixture f;
    fixture_open(&f);
    struct kvfs_batch *batch = make_batch();
    ck_fails(kvfs_batch_put(batch, kv_slice_str("a//b"), kv_slice_str("")), EINVAL);
    ck_ok(commit(&f, batch));
    fixture_close(&f);
}
END_TEST

START_TEST(ten_thousand_keys_are_one_batch)
{
    enum { COUNT = 10000 };
    static char keys[COUNT][32];
    struct fs_fixture f;
    struct kvfs_entry entry;
    fixture_open(&f);
    struct kvfs_batch *batch = make_batch();
    for (int i = 0; i < COUNT; i++) {
        snprintf(keys[i], sizeof keys[i], "d%d/e%d/key%d", i % 300, i % 7, i);
        add_put(batch, keys[i], keys[i]);
    }
    ck_ok(commit(&f, batch));
    for (int i = 0; i < COUNT; i += 97) {
        check_value(&f, keys[i], keys[i]);
    }
    ck_ok(kvfs_key_stat(f.fs, kv_slice_str("d0"), &entry));
    batch = make_batch();
    for (int i = 0; i < COUNT; i++) {
        add_delete(batch, keys[i]);
    }
    ck_ok(commit(&f, batch));
    check_value(&f, keys[0], NULL);
    fixture_close(&f);
}
END_TEST

START_TEST(a_batch_has_no_more_than_so_many_changes)
{
    struct fs_fixture f;
    fixture_open(&f);
    struct kvfs_batch *batch = make_batch();
    for (int i = 1; i < KVFS_BATCH_ITEMS_MAX; i++) {
        ck_ok(kvfs_batch_delete(batch, kv_slice_str("none"), true));
    }
    add_put(batch, "last", "fits");
    ck_fails(kvfs_batch_put(batch, kv_slice_str("more"), kv_slice_str("")), E2BIG);
    ck_ok(commit(&f, batch));
    check_value(&f, "last", "fits");
    check_value(&f, "more", NULL);
    fixture_close(&f);
}
END_TEST

struct told {
    char text[512];
};

static void note_told(void *arg, uint64_t ino, const char *name)
{
    struct told *told = arg;
    size_t used = strlen(told->text);
    snprintf(told->text + used, sizeof told->text - used, "%s%s", name != NULL ? name : "#", " ");
    (void)ino;
}

START_TEST(every_changed_name_is_told_before_the_inodes)
{
    struct fs_fixture f;
    struct told told = {0};
    fixture_open(&f);
    put(&f, "kept/replaced", "1");
    put(&f, "dropped", "1");
    kvfs_on_change(f.fs, note_told, &told);
    struct kvfs_batch *batch = make_batch();
    add_put(batch, "kept/replaced", "2");
    add_put(batch, "made/below", "2");
    add_delete(batch, "dropped");
    ck_ok(commit(&f, batch));
    ck_assert_str_eq(told.text, "replaced made below dropped # # ");
    batch = make_batch();
    add_put(batch, "more", "2");
    add_delete(batch, "none");
    ck_fails(commit(&f, batch), ENOENT);
    ck_assert_str_eq(told.text, "replaced made below dropped # # ");
    fixture_close(&f);
}
END_TEST

START_TEST(a_file_deleted_while_it_is_open_leaves_nothing_behind)
{
    struct fs_fixture f;
    struct kvfs_entry entry;
    struct kvfs_file *file = NULL;
    fixture_open(&f);
    put(&f, "open", "1");
    ck_ok(kvfs_key_stat(f.fs, kv_slice_str("open"), &entry));
    ck_ok(kvfs_file_open(f.fs, entry.ino, O_RDWR, &file));
    struct kvfs_batch *batch = make_batch();
    add_delete(batch, "open");
    add_put(batch, "open", "another file");
    ck_ok(commit(&f, batch));
    ck_assert_str_eq(fixture_text(&f, entry.ino), "1");
    check_value(&f, "open", "another file");
    fixture_write(&f, entry.ino, 1, "2"); /* so that more is left of it than memory */
    ck_assert_str_eq(fixture_text(&f, entry.ino), "12");
    ck_assert_uint_eq(fixture_count_rows(&f, "meta", ROW_ORPHAN), 1);
    kvfs_file_close(file);
    ck_assert_uint_eq(fixture_count_rows(&f, "meta", ROW_ORPHAN), 0);
    fixture_close(&f);
}
END_TEST

/* ---- against a model ------------------------------------------------------------------------- */

enum { PLACES = 14, FILES_MAX = 20000, NOTHING = -1, DIRECTORY = -2 };

/* The places of a tree two names wide and three deep, parents first. */
static const char *const places[PLACES] = {"a",     "b",     "a/a",   "a/b",   "b/a",
                                           "b/b",   "a/a/a", "a/a/b", "a/b/a", "a/b/b",
                                           "b/a/a", "b/a/b", "b/b/a", "b/b/b"};
static const int parents[PLACES] = {-1, -1, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5};

struct model {
    int at[PLACES];    /* NOTHING, DIRECTORY or a file */
    int of[FILES_MAX]; /* contents */
    int files;
};

static void text_of(int value, char to[40])
{
    snprintf(to, 40, "value %d %.*s", value, value % 20, "--------------------");
}

static int model_put(struct model *m, int place, int value)
{
    int parent = parents[place];
    if (parent >= 0 && m->at[parent] >= 0) {
        return -ENOTDIR;
    }
    if (parent >= 0 && m->at[parent] == NOTHING) {
        int above = parents[parent];
        if (above >= 0 && m->at[above] >= 0) {
            return -ENOTDIR;
        }
        if (above >= 0) {
            m->at[above] = DIRECTORY;
        }
        m->at[parent] = DIRECTORY;
    }
    if (m->at[place] == DIRECTORY) {
        return -EISDIR;
    }
    if (m->at[place] == NOTHING) {
        m->at[place] = m->files++;
    }
    m->of[m->at[place]] = value;
    return 0;
}

static int model_delete(struct model *m, int place)
{
    for (int above = parents[place]; above >= 0; above = parents[above]) {
        if (m->at[above] >= 0) {
            return -ENOTDIR;
        }
    }
    if (m->at[place] < 0) {
        return m->at[place] == DIRECTORY ? -EISDIR : -ENOENT;
    }
    m->at[place] = NOTHING;
    return 0;
}

struct rig {
    struct fs_fixture batched, single;
    struct model model, next;
    struct rng rng;
    int value;
    int opened; /* file of the model that is open in `batched`, or NOTHING */
    uint64_t opened_ino;
    struct kvfs_file *handle;
};

static void check_place(struct rig *rig, int place)
{
    struct kvfs_entry one;
    struct kvfs_entry other;
    struct kv_slice key = kv_slice_str(places[place]);
    char text[40];
    int r = kvfs_key_stat(rig->batched.fs, key, &one);
    ck_assert_int_eq(r, kvfs_key_stat(rig->single.fs, key, &other));
    ck_assert_msg((r == 0) == (rig->model.at[place] != NOTHING), "%s: %d (seed %" PRIu64 ")",
                  places[place], r, test_seed());
    if (r < 0) {
        return;
    }
    ck_assert_uint_eq(one.stat.st_mode, other.stat.st_mode);
    ck_assert_uint_eq(one.stat.st_nlink, other.stat.st_nlink);
    ck_assert_int_eq(one.stat.st_size, other.stat.st_size);
    ck_assert_int_eq(one.stat.st_blocks, other.stat.st_blocks);
    if (rig->model.at[place] >= 0) {
        text_of(rig->model.of[rig->model.at[place]], text);
        check_value(&rig->batched, places[place], text);
    }
}

static void check_open(struct rig *rig)
{
    struct kv_buf buf = {0};
    char text[40];
    if (rig->opened >= 0) {
        text_of(rig->model.of[rig->opened], text);
        ck_ok(kvfs_read(rig->batched.fs, rig->opened_ino, 0, 100, &buf));
        ck_assert(kv_slice_equal(kv_buf_slice(&buf), kv_slice_str(text)));
    }
    kv_buf_finish(&buf);
}

/* Open another file, or none: what batches do to it while it is open must be seen through it. */
static void open_another(struct rig *rig)
{
    struct kvfs_entry entry;
    int place = (int)rng_below(&rig->rng, PLACES);
    kvfs_file_close(rig->handle);
    rig->handle = NULL;
    rig->opened = NOTHING;
    if (rig->model.at[place] >= 0) {
        ck_ok(kvfs_key_stat(rig->batched.fs, kv_slice_str(places[place]), &entry));
        ck_ok(kvfs_file_open(rig->batched.fs, entry.ino, O_RDWR, &rig->handle));
        rig->opened = rig->model.at[place];
        rig->opened_ino = entry.ino;
    }
}

static void link_in(struct fs_fixture *f, const char *from, int to)
{
    struct kvfs_entry file;
    struct kvfs_entry dir;
    struct kv_slice above = kv_slice_str(parents[to] >= 0 ? places[parents[to]] : "");
    ck_ok(kvfs_key_stat(f->fs, kv_slice_str(from), &file));
    ck_ok(kvfs_key_stat(f->fs, above, &dir));
    ck_ok(kvfs_link(f->fs, file.ino, dir.ino,
                    strrchr(places[to], '/') != NULL ? strrchr(places[to], '/') + 1 : places[to],
                    &file));
    kvfs_forget(f->fs, file.ino, 1);
}

static void make_link(struct rig *rig)
{
    int from = (int)rng_below(&rig->rng, PLACES);
    int to = (int)rng_below(&rig->rng, PLACES);
    if (rig->model.at[from] < 0 || rig->model.at[to] != NOTHING ||
        (parents[to] >= 0 && rig->model.at[parents[to]] != DIRECTORY)) {
        return;
    }
    link_in(&rig->batched, places[from], to);
    link_in(&rig->single, places[from], to);
    rig->model.at[to] = rig->model.at[from];
}

enum { CHANGES_MAX = 12 };

struct change {
    bool is_put;
    int at;
    char text[40];
};

/* Make a change in the model. Mostly one that is possible: returns false if it is to be left out.
 */
static bool pick_change(struct rig *rig, struct change *change, int *ret_result)
{
    struct model before = rig->next;
    change->at = (int)rng_below(&rig->rng, PLACES);
    change->is_put = rng_below(&rig->rng, 3) > 0;
    text_of(++rig->value, change->text);
    *ret_result = change->is_put ? model_put(&rig->next, change->at, rig->value)
                                 : model_delete(&rig->next, change->at);
    if (*ret_result < 0 && rng_below(&rig->rng, 40) > 0) {
        rig->next = before;
        return false;
    }
    return true;
}

static void make_batched(struct rig *rig, const struct change *changes, int count, int expected)
{
    struct kvfs_batch *batch = make_batch();
    for (int i = 0; i < count; i++) {
        if (changes[i].is_put) {
            add_put(batch, places[changes[i].at], changes[i].text);
        } else {
            add_delete(batch, places[changes[i].at]);
        }
    }
    int r = kvfs_batch_commit(rig->batched.fs, &fixture_who, batch);
    ck_assert_msg(r == expected, "got %d, wanted %d (seed %" PRIu64 ")", r, expected, test_seed());
    ck_assert_int_eq(kvfs_batch_failed_at(batch), expected < 0 ? count - 1 : -1);
    kvfs_batch_destroy(batch);
}

/* The same batch in the one store, and unless it is impossible its changes in the other. */
static void change(struct rig *rig)
{
    static struct change changes[CHANGES_MAX];
    int count = 0;
    int expected = 0;
    rig->next = rig->model;
    for (int tries = 0; tries < 2 * CHANGES_MAX && count < CHANGES_MAX && expected == 0; tries++) {
        int r;
        if (pick_change(rig, &changes[count], &r)) {
            expected = r;
            count++;
        }
    }
    make_batched(rig, changes, count, expected);
    for (int i = 0; i < count && expected == 0; i++) {
        struct kv_slice key = kv_slice_str(places[changes[i].at]);
        ck_ok(changes[i].is_put
                  ? kvfs_key_put(rig->single.fs, &fixture_who, key, kv_slice_str(changes[i].text))
                  : kvfs_key_delete(rig->single.fs, key));
    }
    if (expected == 0) {
        rig->model = rig->next;
    }
}

START_TEST(batches_do_what_their_changes_do_one_by_one)
{
    static struct rig rig;
    uint64_t steps = test_steps(600);
    rig = (struct rig){.rng = {test_seed()}, .opened = NOTHING};
    for (int i = 0; i < PLACES; i++) {
        rig.model.at[i] = NOTHING;
    }
    fixture_open(&rig.batched);
    fixture_open(&rig.single);
    for (uint64_t step = 0; step < steps && rig.model.files < FILES_MAX - 20; step++) {
        change(&rig);
        if (rng_below(&rig.rng, 3) == 0) {
            make_link(&rig);
        }
        check_open(&rig);
        if (rng_below(&rig.rng, 3) == 0) {
            open_another(&rig);
        }
        for (int i = 0; i < PLACES; i++) {
            check_place(&rig, i);
        }
        if (rng_below(&rig.rng, 50) == 0) {
            kvfs_file_close(rig.handle);
            rig.handle = NULL;
            rig.opened = NOTHING;
            fixture_reopen(&rig.batched);
        }
    }
    kvfs_file_close(rig.handle);
    fixture_close(&rig.batched);
    fixture_close(&rig.single);
}
END_TEST

/* ---- threads --------------------------------------------------------------------------------- */

enum { THREADS = 4, ROUNDS = 60 };

struct counting {
    struct kvfs *fs;
    struct thread thread;
    unsigned number, counted;
    _Atomic int *holders;
    int result;
};

/* Raise two counters, in directories that another thread renames, from what they were found at. */
static int count_once(struct counting *c)
{
    struct kv_buf found = {0};
    struct kvfs_batch *batch = NULL;
    const char *one = c->number % 2 == 0 ? "left/count" : "right/count";
    const char *other = c->number % 2 == 0 ? "right/count" : "left/count";
    char next[16];
    int r = kvfs_key_get(c->fs, kv_slice_str(one), &found);
    if (r == 0) {
        r = kvfs_batch_create(&batch);
    }
    if (r < 0) {
        kv_buf_finish(&found);
        return r;
    }
    snprintf(next, sizeof next, "%d", (int)strtol((const char *)found.data, NULL, 10) + 1);
    struct kv_slice value = kv_slice(next, strlen(next) + 1);
    kv_ignore(kvfs_batch_if_equal(batch, kv_slice_str(one), kv_buf_slice(&found)));
    kv_ignore(kvfs_batch_if_equal(batch, kv_slice_str(other), kv_buf_slice(&found)));
    kv_ignore(kvfs_batch_put(batch, kv_slice_str(one), value));
    kv_ignore(kvfs_batch_put(batch, kv_slice_str(other), value));
    r = kvfs_batch_commit(c->fs, &fixture_who, batch);
    kvfs_batch_destroy(batch);
    kv_buf_finish(&found);
    return r;
}

static void *count(void *arg)
{
    struct counting *c = arg;
    while (c->counted < ROUNDS && c->result == 0) {
        int r = count_once(c);
        c->counted += r == 0;
        /* Others were faster, or a directory was away. */
        c->result = r == -ECANCELED || r == -ENOENT || r == -EBUSY ? 0 : r;
    }
    return NULL;
}

/* Make a key if nobody has, and remove it again: only one can hold it. */
static int hold_once(struct counting *c)
{
    struct kv_slice key = kv_slice_str("left/lock");
    struct kvfs_batch *batch = NULL;
    int r = kvfs_batch_create(&batch);
    if (r == 0) {
        kv_ignore(kvfs_batch_if_absent(batch, key));
        kv_ignore(kvfs_batch_put(batch, key, kv_slice_str("held")));
        kv_ignore(kvfs_batch_if_equal(batch, kv_slice_str("left/there"), kv_slice_str("yes")));
        r = kvfs_batch_commit(c->fs, &fixture_who, batch);
        kvfs_batch_destroy(batch);
    }
    if (r < 0) {
        return r;
    }
    if (atomic_fetch_add(c->holders, 1) != 0) {
        return -EDEADLK;
    }
    atomic_fetch_sub(c->holders, 1);
    do {
        r = kvfs_key_delete(c->fs, key);
    } while (r == -ENOENT); /* the directory is away */
    return r;
}

static void *hold(void *arg)
{
    struct counting *c = arg;
    while (c->counted < ROUNDS && c->result == 0) {
        int r = hold_once(c);
        c->counted += r == 0;
        c->result = r == -ECANCELED || r == -ENOENT ? 0 : r;
    }
    return NULL;
}

START_TEST(a_key_made_if_it_is_absent_is_held_by_one)
{
    struct counting threads[THREADS] = {0};
    _Atomic int holders = 0;
    struct fs_fixture f;
    fixture_open(&f);
    put(&f, "left/there", "yes");
    for (unsigned i = 0; i < THREADS; i++) {
        threads[i].fs = f.fs;
        threads[i].holders = &holders;
        ck_ok(thread_start(&threads[i].thread, "hold", hold, &threads[i]));
    }
    for (int i = 0; i < 2000; i++) {
        ck_ok(kvfs_rename(f.fs, KVFS_ROOT_INO, "left", KVFS_ROOT_INO, "away", 0));
        ck_ok(kvfs_rename(f.fs, KVFS_ROOT_INO, "away", KVFS_ROOT_INO, "left", 0));
    }
    for (unsigned i = 0; i < THREADS; i++) {
        thread_join(&threads[i].thread);
        ck_ok(threads[i].result);
    }
    fixture_close(&f);
}
END_TEST

START_TEST(batches_under_conditions_lose_no_count_beside_each_other)
{
    struct counting threads[THREADS] = {0};
    struct fs_fixture f;
    struct kv_buf found = {0};
    fixture_open(&f);
    for (int i = 0; i < 2; i++) {
        ck_ok(kvfs_key_put(f.fs, &fixture_who, kv_slice_str(i == 0 ? "left/count" : "right/count"),
                           kv_slice("0", 2)));
    }
    for (unsigned i = 0; i < THREADS; i++) {
        threads[i].fs = f.fs;
        threads[i].number = i;
        ck_ok(thread_start(&threads[i].thread, "count", count, &threads[i]));
    }
    for (int i = 0; i < 200; i++) {
        ck_ok(kvfs_rename(f.fs, KVFS_ROOT_INO, "left", KVFS_ROOT_INO, "away", 0));
        ck_ok(kvfs_rename(f.fs, KVFS_ROOT_INO, "away", KVFS_ROOT_INO, "left", 0));
    }
    for (unsigned i = 0; i < THREADS; i++) {
        thread_join(&threads[i].thread);
        ck_ok(threads[i].result);
    }
    for (int i = 0; i < 2; i++) {
        ck_ok(kvfs_key_get(f.fs, kv_slice_str(i == 0 ? "left/count" : "right/count"), &found));
        ck_assert_int_eq((int)strtol((const char *)found.data, NULL, 10), THREADS * ROUNDS);
    }
    kv_buf_finish(&found);
    fixture_close(&f);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("fs_batch");
    suite_add(suite, "order", changes_take_effect_in_their_order);
    suite_add(suite, "impossible", one_impossible_change_undoes_all_and_is_named);
    suite_add(suite, "conditions", conditions_are_about_what_was_there_before);
    suite_add(suite, "missing", a_missing_key_may_be_no_failure);
    suite_add(suite, "malformed", malformed_keys_and_empty_batches);
    suite_add(suite, "many", ten_thousand_keys_are_one_batch);
    suite_add(suite, "limit", a_batch_has_no_more_than_so_many_changes);
    suite_add(suite, "told", every_changed_name_is_told_before_the_inodes);
    suite_add(suite, "open", a_file_deleted_while_it_is_open_leaves_nothing_behind);
    suite_add(suite, "model", batches_do_what_their_changes_do_one_by_one);
    suite_add(suite, "held", a_key_made_if_it_is_absent_is_held_by_one);
    suite_add(suite, "threads", batches_under_conditions_lose_no_count_beside_each_other);
    return suite;
}
