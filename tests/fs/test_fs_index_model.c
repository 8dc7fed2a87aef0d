/* SPDX-License-Identifier: Apache-2.0 */
/* Random operations on a tree of which some files have the indexed attribute, beside a model that
 * knows what each path's value is. After every few operations a search must list exactly the
 * model's paths, in order; at intervals the process dies, or the index is changed and changed back,
 * and the walk over all rows must find that index and rows never differ. */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>

#include "kvcore/util/rng.h"
#include "tests/fs/fs_check.h"
#include "tests/fs/fs_fixture.h"
#include "tests/sim/sim_fs.h"

enum {
    DIRS = 6, /* in the root, that change their names */
    SLOTS = 30,
    FILES_MAX = DIRS * SLOTS + 16,
    VALUES = 5,
    PATH_SIZE = 64,
    OPEN_MAX = 4,
};

#define TAG   "user.tag"
#define OTHER "user.other"

/* A file of the model; `value` 0: it does not have the attribute. */
struct mfile {
    bool used;
    uint64_t ino;
    unsigned links, value;
    struct kvfs_file *open;
};

struct model {
    struct sim_fs *sim;
    struct kvfs *fs;
    struct rng rng;
    uint64_t dirs[DIRS];
    char dir_names[DIRS][16];
    unsigned renames;
    struct mfile files[FILES_MAX];
    int slots[DIRS][SLOTS]; /* which file has the name; -1: none */
};

static const struct kvfs_who who = {.uid = 1000, .gid = 100, .umask = 022};

static unsigned pick(struct model *m, unsigned bound)
{
    return (unsigned)rng_below(&m->rng, bound);
}

/* The fourth is longer than what an entry holds, and the fifth differs only behind that. */
static struct kv_slice value_of(unsigned number)
{
    static char bytes[2][1500];
    static const char *const texts[] = {"", "red", "re", "blue"};
    if (number < 4) {
        return kv_slice_str(texts[number]);
    }
    memset(bytes[number - 4], 'q', sizeof bytes[0]);
    bytes[number - 4][sizeof bytes[0] - 1] = (char)('0' + number);
    return kv_slice(bytes[number - 4], sizeof bytes[0]);
}

/* ---- opening and dying ------------------------------------------------------------------------
 */

static void open_with(struct model *m, const char *index, bool background)
{
    struct kvfs_options options = {.create = true,
                                   .memory_bytes = 1 << 20,
                                   .index = index,
                                   .no_background = !background,
                                   .holder = "the model test"};
    struct kv_storage *storage = NULL;
    ck_ok(sim_storage_open(m->sim, true, &storage));
    ck_ok(kvfs_open_storage(storage, &options, &m->fs));
}

static void settle(struct mfile *file)
{
    file->used = file->links > 0 || file->open != NULL;
}

static void close_files(struct model *m)
{
    for (int i = 0; i < FILES_MAX; i++) {
        kvfs_file_close(m->files[i].open);
        m->files[i].open = NULL;
        settle(&m->files[i]);
    }
}

/* As a process dies: what it wrote is there, what it would have done is not. */
static void die(struct model *m)
{
    struct sim_fs *kept = NULL;
    kv_ignore(sim_die(m->sim, &kept)); /* cannot fail */
    close_files(m);
    kv_ignore(kvfs_close(m->fs)); /* it cannot: the world has stopped */
    sim_destroy(m->sim);
    m->sim = kept;
}

static void end(struct model *m)
{
    if (pick(m, 2) == 0) {
        die(m);
        return;
    }
    close_files(m);
    ck_ok(kvfs_close(m->fs));
}

/* ---- operations -------------------------------------------------------------------------------
 */

struct slot {
    unsigned dir, at;
    char name[16];
};

static struct slot pick_slot(struct model *m)
{
    struct slot slot = {.dir = pick(m, DIRS), .at = pick(m, SLOTS)};
    snprintf(slot.name, sizeof slot.name, "f%u", slot.at);
    return slot;
}

static int *file_in(struct model *m, const struct slot *slot)
{
    return &m->slots[slot->dir][slot->at];
}

/* -1: nothing was found soon. */
static int pick_file(struct model *m)
{
    for (int tries = 0; tries < 20; tries++) {
        int i = (int)pick(m, FILES_MAX);
        if (m->files[i].used) {
            return i;
        }
    }
    return -1;
}

static void drop_link(struct model *m, int i)
{
    if (i >= 0) {
        m->files[i].links--;
        settle(&m->files[i]);
    }
}

static void op_create(struct model *m)
{
    struct slot slot = pick_slot(m);
    struct kvfs_new what = {.who = who, .mode = S_IFREG | 0644};
    struct kvfs_entry entry;
    int free_file = 0;
    int r = kvfs_mknod(m->fs, m->dirs[slot.dir], slot.name, &what, &entry);
    if (*file_in(m, &slot) >= 0) {
        ck_fails(r, EEXIST);
        return;
    }
    ck_ok(r);
    kvfs_forget(m->fs, entry.ino, 1);
    while (m->files[free_file].used) {
        free_file++;
    }
    m->files[free_file] = (struct mfile){.used = true, .ino = entry.ino, .links = 1};
    *file_in(m, &slot) = free_file;
}

static void op_set(struct model *m)
{
    int i = pick_file(m);
    if (i >= 0) {
        m->files[i].value = 1 + pick(m, VALUES);
        ck_ok(kvfs_setxattr(m->fs, m->files[i].ino, TAG, value_of(m->files[i].value), 0));
    }
}

static void op_remove(struct model *m)
{
    int i = pick_file(m);
    if (i >= 0) {
        int r = kvfs_removexattr(m->fs, m->files[i].ino, TAG);
        ck_assert_int_eq(r, m->files[i].value != 0 ? 0 : -ENODATA);
        m->files[i].value = 0;
    }
}

static void op_other(struct model *m)
{
    int i = pick_file(m);
    if (i >= 0) {
        ck_ok(kvfs_setxattr(m->fs, m->files[i].ino, OTHER, kv_slice_str("red"), 0));
    }
}

static void op_unlink(struct model *m)
{
    struct slot slot = pick_slot(m);
    int r = kvfs_unlink(m->fs, m->dirs[slot.dir], slot.name);
    ck_assert_int_eq(r, *file_in(m, &slot) >= 0 ? 0 : -ENOENT);
    drop_link(m, *file_in(m, &slot));
    *file_in(m, &slot) = -1;
}

static void op_link(struct model *m)
{
    struct slot slot = pick_slot(m);
    struct kvfs_entry entry;
    int i = pick_file(m);
    if (i < 0 || m->files[i].links == 0 || *file_in(m, &slot) >= 0) {
        return;
    }
    ck_ok(kvfs_link(m->fs, m->files[i].ino, m->dirs[slot.dir], slot.name, &entry));
    kvfs_forget(m->fs, entry.ino, 1);
    m->files[i].links++;
    *file_in(m, &slot) = i;
}

static void op_rename(struct model *m)
{
    struct slot from = pick_slot(m);
    struct slot to = pick_slot(m);
    int *a = file_in(m, &from);
    int *b = file_in(m, &to);
    bool exchange = pick(m, 3) == 0;
    int r = kvfs_rename(m->fs, m->dirs[from.dir], from.name, m->dirs[to.dir], to.name,
                        exchange ? RENAME_EXCHANGE : 0);
    if (*a < 0 || (exchange && *b < 0)) {
        ck_fails(r, ENOENT);
        return;
    }
    ck_ok(r);
    int moved = *a;
    if (exchange) {
        *a = *b;
        *b = moved;
    } else if (*a != *b) { /* two links of one file stay */
        drop_link(m, *b);
        *a = -1;
        *b = moved;
    }
}

static void op_rename_dir(struct model *m)
{
    unsigned i = pick(m, DIRS);
    char name[16];
    /* Never a name that there was: those of the first begin with a D. */
    snprintf(name, sizeof name, "%c%u", 'a' + (int)pick(m, 26), m->renames++);
    ck_ok(kvfs_rename(m->fs, KVFS_ROOT_INO, m->dir_names[i], KVFS_ROOT_INO, name, 0));
    snprintf(m->dir_names[i], sizeof m->dir_names[i], "%s", name);
}

static void op_open(struct model *m)
{
    int i = pick_file(m);
    unsigned opened = 0;
    for (int f = 0; f < FILES_MAX; f++) {
        opened += m->files[f].open != NULL;
    }
    if (i >= 0 && m->files[i].links > 0 && m->files[i].open == NULL && opened < OPEN_MAX) {
        ck_ok(kvfs_file_open(m->fs, m->files[i].ino, O_RDONLY, &m->files[i].open));
    }
}

static void op_close(struct model *m)
{
    for (int i = 0; i < FILES_MAX; i++) {
        if (m->files[i].open != NULL && pick(m, 2) == 0) {
            kvfs_file_close(m->files[i].open);
            m->files[i].open = NULL;
            settle(&m->files[i]);
        }
    }
}

static void path_of(const struct model *m, unsigned dir, unsigned at, char path[PATH_SIZE])
{
    snprintf(path, PATH_SIZE, "%s/f%u", m->dir_names[dir], at);
}

/* By key: a batch that deletes one file and writes over another, or makes it. */
static void op_batch(struct model *m)
{
    struct slot gone = pick_slot(m);
    struct slot put = pick_slot(m);
    struct kvfs_batch *batch = NULL;
    char gone_path[PATH_SIZE];
    char put_path[PATH_SIZE];
    if (*file_in(m, &put) < 0 || file_in(m, &put) == file_in(m, &gone)) {
        return;
    }
    path_of(m, gone.dir, gone.at, gone_path);
    path_of(m, put.dir, put.at, put_path);
    ck_ok(kvfs_batch_create(&batch));
    ck_ok(kvfs_batch_delete(batch, kv_slice_str(gone_path), true));
    ck_ok(kvfs_batch_put(batch, kv_slice_str(put_path), kv_slice_str("contents")));
    ck_ok(kvfs_batch_commit(m->fs, &who, batch));
    kvfs_batch_destroy(batch);
    drop_link(m, *file_in(m, &gone));
    *file_in(m, &gone) = -1;
}

/* ---- comparing --------------------------------------------------------------------------------
 */

struct paths {
    char items[DIRS * SLOTS][PATH_SIZE];
    size_t count;
};

static int compare_paths(const void *a, const void *b)
{
    return strcmp(a, b);
}

static bool take_path(void *arg, struct kv_slice value, struct kv_slice path)
{
    struct paths *found = arg;
    ck_assert_uint_lt(found->count, DIRS * SLOTS);
    ck_assert_uint_lt(path.size, PATH_SIZE);
    snprintf(found->items[found->count++], PATH_SIZE, "%.*s", (int)path.size,
             (const char *)path.data);
    return true;
}

static void compare_value(const struct model *m, unsigned value)
{
    static struct paths found;
    static struct paths wanted;
    struct kvfs_find_options options = {.attribute = TAG, .value = value_of(value)};
    found.count = wanted.count = 0;
    ck_ok(kvfs_find(m->fs, &options, take_path, &found));
    for (unsigned dir = 0; dir < DIRS; dir++) {
        for (unsigned at = 0; at < SLOTS; at++) {
            int i = m->slots[dir][at];
            if (i >= 0 && m->files[i].value == value) {
                path_of(m, dir, at, wanted.items[wanted.count++]);
            }
        }
    }
    qsort(wanted.items, wanted.count, PATH_SIZE, compare_paths);
    ck_assert_msg(found.count == wanted.count, "value %u: %zu paths, wanted %zu (seed %" PRIu64 ")",
                  value, found.count, wanted.count, test_seed());
    for (size_t i = 0; i < wanted.count; i++) {
        ck_assert_msg(strcmp(found.items[i], wanted.items[i]) == 0,
                      "value %u: %s, wanted %s (seed %" PRIu64 ")", value, found.items[i],
                      wanted.items[i], test_seed());
    }
}

static void say_fault(void *arg, int code, const char *text)
{
    printf("# %d: %s\n", code, text);
}

static void compare_all(const struct model *m)
{
    struct kvfs_check_counts counts;
    for (unsigned value = 1; value <= VALUES; value++) {
        compare_value(m, value);
    }
    ck_ok(kvfs_check(m->fs, say_fault, NULL, &counts));
    ck_assert_uint_eq(counts.faults, 0);
}

/* ---- runs -------------------------------------------------------------------------------------
 */

/* Nothing is merged in the background. */
static void reopen(struct model *m)
{
    if (pick(m, 4) == 0) {
        ck_ok(kv_compact(kvfs_store(m->fs)));
    }
    end(m);
    if (pick(m, 3) == 0) {
        open_with(m, pick(m, 2) == 0 ? OTHER : "", false);
        end(m);
    }
    open_with(m, TAG, false);
    if (pick(m, 2) == 0) {
        op_set(m); /* before the rest is built */
        op_unlink(m);
    }
    ck_ok(kvfs_index_build(m->fs));
}

typedef void op_fn(struct model *m);

static void begin(struct model *m)
{
    struct kvfs_entry entry;
    m->rng.state = test_seed();
    kv_ignore(sim_create(&m->sim)); /* cannot fail */
    open_with(m, TAG, false);
    ck_ok(kvfs_index_build(m->fs));
    for (unsigned i = 0; i < DIRS; i++) {
        snprintf(m->dir_names[i], sizeof m->dir_names[i], "D%u", i);
        ck_ok(kvfs_mkdir(m->fs, &who, KVFS_ROOT_INO, m->dir_names[i], 0755, &entry));
        m->dirs[i] = entry.ino;
        kvfs_forget(m->fs, entry.ino, 1);
        memset(m->slots[i], -1, sizeof m->slots[i]);
    }
}

START_TEST(searches_find_what_the_model_knows_after_every_operation_and_crash)
{
    static op_fn *const ops[] = {op_create, op_create, op_create, op_create, op_set,
                                 op_set,    op_set,    op_set,    op_remove, op_other,
                                 op_unlink, op_link,   op_rename, op_rename, op_rename_dir,
                                 op_open,   op_close,  op_batch};
    struct model *m = calloc(1, sizeof *m);
    uint64_t steps = test_steps(20000);
    ck_assert_ptr_nonnull(m);
    begin(m);
    for (uint64_t i = 1; i <= steps; i++) {
        ops[pick(m, sizeof ops / sizeof ops[0])](m);
        if (i % 16 == 0) {
            compare_value(m, 1 + pick(m, VALUES));
        }
        if (i % 1000 == 0) {
            compare_all(m);
            reopen(m);
            compare_all(m);
        }
    }
    compare_all(m);
    close_files(m);
    ck_ok(kvfs_close(m->fs));
    open_with(m, NULL, false);
    fs_check(m->fs);
    ck_ok(kvfs_close(m->fs));
    sim_destroy(m->sim);
    free(m);
}
END_TEST

/* A closed store of `count` red files without an index; their inodes are returned. */
static uint64_t *make_red_files(struct model *m, unsigned count)
{
    struct kvfs_new what = {.who = who, .mode = S_IFREG | 0644};
    uint64_t *inos = calloc(count, sizeof *inos);
    struct kvfs_entry entry;
    char name[16];
    ck_assert_ptr_nonnull(inos);
    m->rng.state = test_seed();
    kv_ignore(sim_create(&m->sim)); /* cannot fail */
    open_with(m, NULL, false);
    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof name, "%u", i);
        ck_ok(kvfs_mknod(m->fs, KVFS_ROOT_INO, name, &what, &entry));
        kvfs_forget(m->fs, entry.ino, 1);
        inos[i] = entry.ino;
        ck_ok(kvfs_setxattr(m->fs, entry.ino, TAG, kv_slice_str("red"), 0));
    }
    ck_ok(kvfs_close(m->fs));
    return inos;
}

static void build_to_the_end(struct model *m)
{
    struct kvfs_index_status status;
    open_with(m, TAG, false);
    ck_ok(kvfs_index_build(m->fs));
    ck_assert(kvfs_index_status(m->fs, &status));
    ck_assert(status.built);
    fs_check(m->fs);
    ck_ok(kvfs_close(m->fs));
}

/* A writer and the builder go over the same files, and the process dies in the midst of it. */
START_TEST(an_index_whose_building_is_cut_short_is_built_on)
{
    enum { MANY = 1500 };
    struct model *m = calloc(1, sizeof *m);
    ck_assert_ptr_nonnull(m);
    uint64_t *inos = make_red_files(m, MANY);
    for (int opening = 0; opening < 5; opening++) {
        open_with(m, TAG, true);
        for (unsigned i = 0; i < MANY / 20; i++) {
            struct kv_slice value = value_of(1 + pick(m, VALUES));
            ck_ok(kvfs_setxattr(m->fs, inos[pick(m, MANY)], TAG, value, 0));
        }
        die(m);
    }
    build_to_the_end(m);
    sim_destroy(m->sim);
    free(inos);
    free(m);
}
END_TEST

/* Builder and writer in turns, which threads seldom are: what is written lies before the place to
 * which the index was built, and behind it. */
START_TEST(what_changes_while_the_index_is_built_in_part_is_indexed)
{
    enum { MANY = 400 };
    struct model *m = calloc(1, sizeof *m);
    struct kvfs_index_status status;
    ck_assert_ptr_nonnull(m);
    uint64_t *inos = make_red_files(m, MANY);
    open_with(m, TAG, false);
    sim_stop_at(m->sim, sim_calls_made(m->sim) + 3);
    ck_fails(kvfs_index_build(m->fs), EIO);
    die(m);
    open_with(m, TAG, false);
    ck_assert(kvfs_index_status(m->fs, &status));
    ck_assert(!status.built);
    ck_assert_uint_gt(fixture_count_entries(m->fs), 0);
    for (unsigned i = 0; i < MANY; i += 2) {
        ck_ok(kvfs_setxattr(m->fs, inos[i], TAG, kv_slice_str("blue"), 0));
        ck_ok(kvfs_removexattr(m->fs, inos[i + 1], TAG));
    }
    ck_ok(kvfs_close(m->fs));
    build_to_the_end(m);
    sim_destroy(m->sim);
    free(inos);
    free(m);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("fs_index_model");
    suite_add(suite, "model", searches_find_what_the_model_knows_after_every_operation_and_crash);
    suite_add(suite, "building", an_index_whose_building_is_cut_short_is_built_on);
    suite_add(suite, "building", what_changes_while_the_index_is_built_in_part_is_indexed);
    return suite;
}
