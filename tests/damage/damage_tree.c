/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/damage/damage_tree.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "kvcore/util/rng.h"

enum { CONTENT_MAX = 100100, SPARSE_OFFSET = 100000, SPARSE_BYTES = 100 };

const char *const tree_dirs[TREE_DIRS] = {"", "a directory/", "a directory/in another/", "b/"};
const char tree_tag[] = "user.tag";

static const struct kvfs_who who = {.uid = 1000, .gid = 100, .umask = 022};

/* ---- contents -------------------------------------------------------------------------------- */

static uint32_t size_of(unsigned path, unsigned version)
{
    static const uint32_t sizes[] = {700, 1200, 10, 2000, 300, 0, 3000, 900};
    if (path == 7) {
        return 40000; /* one extent in a blob, and one that is not */
    }
    return sizes[(path + version) % (sizeof sizes / sizeof sizes[0])];
}

/* The bytes of a state; the next call writes over them. */
static struct kv_slice bytes_of(const struct tree_path *path, const struct tree_state *state)
{
    static uint8_t bytes[CONTENT_MAX];
    struct rng rng = {state->seed};
    uint32_t from = 0;

    if (path->sparse) {
        memset(bytes, 0, state->size);
        from = SPARSE_OFFSET;
    }
    for (uint32_t i = from; i < state->size; i++) {
        bytes[i] = (uint8_t)(rng_next(&rng) >> 56);
    }
    return kv_slice(bytes, state->size);
}

/* ---- writing --------------------------------------------------------------------------------- */

static void need(int r)
{
    if (r < 0) {
        fprintf(stderr, "%s\n", kv_strerror(r));
    }
    assert(r >= 0);
}

static struct tree_state *new_state(struct tree *tree, unsigned number, bool there)
{
    struct tree_path *path = &tree->paths[number];
    struct tree_state *state = &path->states[path->count++];
    assert(path->count <= TREE_STATES);
    *state = (struct tree_state){.part = tree->part, .there = there};
    if (there) {
        state->size =
            path->sparse ? SPARSE_OFFSET + SPARSE_BYTES : size_of(number, path->count - 1);
        state->seed = tree->seed * 1000003 + number * 8 + path->count;
    }
    return state;
}

/* Long names without a pattern, so that the table of names has several blocks. */
static void name_path(struct tree_path *path, unsigned number)
{
    struct rng rng = {number + 77};
    int size;

    path->dir = number % TREE_DIRS;
    path->sparse = number % 16 == 9;
    path->tagged = number % 5 == 0;
    size = snprintf(path->name, sizeof path->name, "%s%02u-", tree_dirs[path->dir], number);
    for (unsigned i = 0; i < 8 + number % 5 * 12; i++) {
        path->name[size++] = (char)('a' + rng_below(&rng, 26));
    }
    path->name[size] = '\0';
}

static const char *last_name(const struct tree_path *path)
{
    return path->name + strlen(tree_dirs[path->dir]);
}

static void put(struct tree *tree, struct kvfs *fs, unsigned number)
{
    struct tree_path *path = &tree->paths[number];
    bool is_new = path->ino == 0;
    struct kv_slice bytes = bytes_of(path, new_state(tree, number, true));
    struct kvfs_entry entry;

    if (path->sparse) {
        need(kvfs_key_put(fs, &who, kv_slice_str(path->name), kv_slice(NULL, 0)));
    } else {
        need(kvfs_key_put(fs, &who, kv_slice_str(path->name), bytes));
    }
    need(kvfs_lookup(fs, tree->dirs[path->dir], last_name(path), &entry));
    if (path->sparse) {
        need(kvfs_write(fs, entry.ino, SPARSE_OFFSET, kv_slice_behind(bytes, SPARSE_OFFSET), false,
                        false));
    }
    if (path->tagged && is_new) {
        need(kvfs_setxattr(fs, entry.ino, tree_tag, kv_slice_str(last_name(path)), 0));
    }
    path->ino = entry.ino;
    kvfs_forget(fs, entry.ino, 1);
}

static void drop(struct tree *tree, struct kvfs *fs, unsigned number)
{
    new_state(tree, number, false);
    tree->paths[number].ino = 0;
    need(kvfs_key_delete(fs, kv_slice_str(tree->paths[number].name)));
}

static void make_dirs(struct tree *tree, struct kvfs *fs)
{
    struct kvfs_entry entry;
    tree->dirs[0] = KVFS_ROOT_INO;
    need(kvfs_mkdir(fs, &who, KVFS_ROOT_INO, "a directory", 0755, &entry));
    tree->dirs[1] = entry.ino;
    need(kvfs_mkdir(fs, &who, entry.ino, "in another", 0755, &entry));
    tree->dirs[2] = entry.ino;
    need(kvfs_mkdir(fs, &who, KVFS_ROOT_INO, "b", 0755, &entry));
    tree->dirs[3] = entry.ino;
    for (unsigned i = 1; i < TREE_DIRS; i++) {
        kvfs_forget(fs, tree->dirs[i], 1);
    }
}

static void put_range(struct tree *tree, struct kvfs *fs, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        put(tree, fs, i);
    }
}

static void drop_range(struct tree *tree, struct kvfs *fs, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        drop(tree, fs, i);
    }
}

/* A second name for a file, and a symbolic link, neither of which is read. */
static void make_links(const struct tree *tree, struct kvfs *fs)
{
    struct kvfs_entry entry;
    need(kvfs_link(fs, tree->paths[3].ino, KVFS_ROOT_INO, "another name", &entry));
    kvfs_forget(fs, entry.ino, 1);
    need(kvfs_symlink(fs, &who, KVFS_ROOT_INO, "link", "b", &entry));
    kvfs_forget(fs, entry.ino, 1);
}

void tree_write(struct tree *tree, struct kvfs *fs, enum tree_part part)
{
    tree->part = part;
    if (part == TREE_MERGED) {
        for (unsigned i = 0; i < TREE_PATHS; i++) {
            name_path(&tree->paths[i], i);
        }
        make_dirs(tree, fs);
        put_range(tree, fs, 0, 44);
        make_links(tree, fs);
        need(kv_compact(kvfs_store(fs)));
    } else if (part == TREE_FLUSHED) {
        put_range(tree, fs, 10, 18);
        drop_range(tree, fs, 20, 24);
        put_range(tree, fs, 44, 54);
        need(kv_flush(kvfs_store(fs)));
    } else {
        put_range(tree, fs, 14, 22); /* of which two were removed */
        drop_range(tree, fs, 24, 26);
        drop_range(tree, fs, 44, 46);
        put_range(tree, fs, 54, TREE_PATHS);
        need(kvfs_sync(fs));
    }
}

/* ---- reading --------------------------------------------------------------------------------- */

const char *tree_verdict_name(enum tree_verdict verdict)
{
    static const char *const names[] = {
        "right", "an error", "older", "away", "gone", "shorter", "right, but with other attributes",
        "stale", "wrong"};
    return names[verdict];
}

static int resolve(const struct tree *tree, struct kvfs *fs, const struct tree_path *path,
                   struct kvfs_entry *ret_entry)
{
    int r = kvfs_lookup(fs, tree->dirs[path->dir], last_name(path), ret_entry);
    if (r == 0) {
        kvfs_forget(fs, ret_entry->ino, 1);
    }
    return r;
}

static enum tree_verdict judge_attributes(const struct tree *tree, struct kvfs *fs,
                                          const struct tree_path *path)
{
    struct kvfs_entry entry;
    struct kv_buf value = {0};
    enum tree_verdict verdict = TREE_RIGHT;

    if (resolve(tree, fs, path, &entry) < 0) {
        return TREE_ERROR;
    }
    if (entry.stat.st_mode != (S_IFREG | 0644) || entry.stat.st_uid != who.uid) {
        verdict = TREE_UNLIKE;
    } else if (path->tagged) {
        int r = kvfs_getxattr(fs, entry.ino, tree_tag, &value);
        if (r == -ENODATA) {
            verdict = TREE_UNLIKE;
        } else if (r < 0) {
            verdict = TREE_ERROR;
        } else if (!kv_slice_equal(kv_buf_slice(&value), kv_slice_str(last_name(path)))) {
            verdict = TREE_WRONG;
        }
    }
    kv_buf_finish(&value);
    return verdict;
}

/* Whether it may have been so when the log was at some place: all that came later is in it. */
static bool is_before_log(const struct tree_path *path, int state)
{
    for (unsigned i = (unsigned)(state + 1); i < path->count; i++) {
        if (path->states[i].part != TREE_LOGGED) {
            return false;
        }
    }
    return true;
}

static enum tree_verdict judge_bytes(const struct tree_path *path, struct kv_slice value)
{
    const int last = (int)path->count - 1;
    enum tree_verdict verdict = TREE_WRONG;

    for (int i = last; i >= 0; i--) {
        const struct tree_state *state = &path->states[i];
        if (!state->there) {
            continue;
        }
        struct kv_slice wanted = bytes_of(path, state);
        if (i == last && kv_slice_starts_with(wanted, value)) {
            verdict = kv_slice_equal(wanted, value) ? TREE_RIGHT : TREE_SHORT;
        } else if (kv_slice_equal(wanted, value)) {
            bool is_older = is_before_log(path, i);
            verdict = is_older ? TREE_OLDER : verdict == TREE_WRONG ? TREE_STALE : verdict;
        }
        if (verdict == TREE_RIGHT || verdict == TREE_OLDER) {
            break;
        }
    }
    return verdict;
}

static enum tree_verdict judge_absence(const struct tree_path *path)
{
    const int last = (int)path->count - 1;

    for (int i = last; i >= -1; i--) {
        if (i >= 0 && path->states[i].there) {
            continue;
        }
        if (i == last || is_before_log(path, i)) {
            return i == last ? TREE_RIGHT : TREE_AWAY;
        }
    }
    return TREE_GONE;
}

enum tree_verdict tree_judge(const struct tree *tree, struct kvfs *fs, unsigned number)
{
    const struct tree_path *path = &tree->paths[number];
    struct kv_buf value = {0};
    int r = kvfs_key_get(fs, kv_slice_str(path->name), &value);
    enum tree_verdict verdict = TREE_ERROR;

    if (r == 0) {
        verdict = judge_bytes(path, kv_buf_slice(&value));
    } else if (r == -ENOENT) {
        verdict = judge_absence(path);
    }
    if (verdict == TREE_RIGHT && r == 0) {
        verdict = judge_attributes(tree, fs, path);
    }
    kv_buf_finish(&value);
    return verdict;
}
