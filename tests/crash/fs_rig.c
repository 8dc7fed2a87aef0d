/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/fs_rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/crash/fs_rig_impl.h"
#include "tests/lib/check_main.h"

enum {
    DRAWS = 30,             /* until a step gives up finding what it can be done to */
    MEMORY_BYTES = 1 << 20, /* the least memtable there is; some inodes are forgotten */
    PATH_SIZE = 512,
};

static const struct kvfs_who who = {.uid = 1000, .gid = 100, .umask = 022};

uint64_t fs_rig_pick(struct fs_rig *rig, uint64_t bound)
{
    return rng_below(&rig->rng, bound);
}

/* ---- the filesystem ---- */

static void note_message(void *arg, enum kv_message_level level, const char *text)
{
    struct fs_rig *rig = arg;
    if (level == KV_MESSAGE_ERROR && rig->message[0] == '\0') {
        snprintf(rig->message, sizeof rig->message, "%s", text);
    }
}

static void add_text(struct fs_rig *rig, size_t number)
{
    rig->texts = realloc(rig->texts, (number + 1) * sizeof *rig->texts);
    ck_assert_ptr_nonnull(rig->texts);
    rig->texts[number] = tree_text(&rig->tree);
}

void fs_rig_init(struct fs_rig *rig, struct sim_fs *take_sim, uint64_t seed)
{
    *rig = (struct fs_rig){.sim = take_sim, .rng = {seed}, .next_number = 1};
    tree_init(&rig->tree, S_IFDIR | 0755);
    add_text(rig, 0);
}

void fs_rig_finish(struct fs_rig *rig)
{
    for (size_t i = 0; i <= rig->bounds.written; i++) {
        free(rig->texts[i]);
    }
    free(rig->texts);
    tree_finish(&rig->tree);
    sim_destroy(rig->sim);
    *rig = (struct fs_rig){0};
}

int fs_rig_open(struct fs_rig *rig, bool create)
{
    struct kvfs_options options = {
        .create = create,
        .memory_bytes = MEMORY_BYTES,
        .no_background = true,
        .index = rig->index,
        .holder = "the crash test",
        .message_fn = note_message,
        .message_arg = rig,
    };
    struct kv_storage *storage = NULL;
    int r = sim_storage_open(rig->sim, create, &storage);
    r = r < 0 ? r : kvfs_open_storage(storage, &options, &rig->fs);
    return r < 0 ? r : kvfs_index_build(rig->fs);
}

static void close_files(struct fs_rig *rig)
{
    for (int i = 0; i < TREE_NODES; i++) {
        struct tree_node *node = &rig->tree.nodes[i];
        if (node->file != NULL) {
            kvfs_file_close(node->file);
            node->file = NULL;
            tree_settle(&rig->tree, i);
        }
    }
}

int fs_rig_close(struct fs_rig *rig)
{
    struct kvfs *fs = rig->fs;
    close_files(rig);
    rig->fs = NULL;
    return kvfs_close(fs);
}

void fs_rig_abandon(struct fs_rig *rig)
{
    if (rig->fs != NULL) {
        struct sim_fs *kept = NULL;
        kv_ignore(sim_kill(rig->sim, &kept));
        sim_watch(rig->sim, NULL, NULL);
        sim_stop_at(rig->sim, sim_calls_made(rig->sim) + 1);
        bool had_said = rig->message[0] != '\0';
        kv_ignore(fs_rig_close(rig));                        /* it cannot: the world has stopped */
        rig->message[0] = had_said ? rig->message[0] : '\0'; /* nobody heard its complaints */
        sim_destroy(rig->sim);
        rig->sim = kept;
    }
}

/* ---- what an operation is done to ---- */

struct place {
    int dir, name;
    int node; /* -1: nothing is there */
};

static int pick_dir(struct fs_rig *rig)
{
    for (int i = 0; i < DRAWS; i++) {
        int node = (int)fs_rig_pick(rig, TREE_NODES / 2);
        if (rig->tree.nodes[node].ino != 0 && S_ISDIR(rig->tree.nodes[node].mode)) {
            return node;
        }
    }
    return 0;
}

static struct place pick_place(struct fs_rig *rig)
{
    struct place place = {.dir = pick_dir(rig), .name = (int)fs_rig_pick(rig, TREE_NAMES)};
    place.node = rig->tree.nodes[place.dir].entries[place.name];
    return place;
}

/* False if none was found. */
static bool pick_used(struct fs_rig *rig, bool used, struct place *ret_place)
{
    for (int i = 0; i < DRAWS; i++) {
        struct place place = pick_place(rig);
        if ((place.node >= 0) == used) {
            *ret_place = place;
            return true;
        }
    }
    return false;
}

/* A node of one of the types, a bit set; unlinked ones too. -1 if none was found. */
int fs_rig_pick_node(struct fs_rig *rig, bool (*is_wanted)(const struct tree_node *node))
{
    int first = (int)fs_rig_pick(rig, TREE_NODES);
    for (int i = 0; i < TREE_NODES; i++) {
        int node = (first + i) % TREE_NODES;
        if (rig->tree.nodes[node].ino != 0 && is_wanted(&rig->tree.nodes[node])) {
            return node;
        }
    }
    return -1;
}

bool fs_rig_is_file(const struct tree_node *node)
{
    return S_ISREG(node->mode);
}

static bool is_closed_file(const struct tree_node *node)
{
    return S_ISREG(node->mode) && node->file == NULL;
}

static bool is_open_file(const struct tree_node *node)
{
    return node->file != NULL;
}

static bool is_unnamed(const struct tree_node *node)
{
    return node->unnamed && node->file != NULL;
}

static bool is_linked(const struct tree_node *node)
{
    return !S_ISDIR(node->mode) && node->nlink > 0;
}

static bool is_any(const struct tree_node *node)
{
    return node->ino != 0;
}

void fs_rig_issue(struct fs_rig *rig)
{
    ck_assert_uint_eq(rig->bounds.issued, rig->bounds.written);
    rig->bounds.issued++;
}

void fs_rig_acknowledge(struct fs_rig *rig)
{
    add_text(rig, rig->bounds.issued);
    rig->bounds.written = rig->bounds.issued;
}

/* ---- names ---- */

static void step_make(struct fs_rig *rig, char step)
{
    struct kvfs_new what = {.who = who, .mode = S_IFREG | 0644};
    struct kvfs *fs = rig->fs;
    struct kvfs_entry entry = {0};
    struct place place;
    char target[TREE_TARGET_MAX];
    int node = -1;

    if (!pick_used(rig, false, &place) || rig->tree.nodes[TREE_NODES - 4].ino != 0) {
        return;
    }
    uint64_t parent = rig->tree.nodes[place.dir].ino;
    const char *name = tree_name(place.name);
    fs_rig_issue(rig);
    if (step == 'c') {
        ck_ok(kvfs_mknod(fs, parent, name, &what, &entry));
    } else if (step == 'd') {
        ck_ok(kvfs_mkdir(fs, &who, parent, name, 0755, &entry));
    } else {
        tree_target(rig->next_number, target);
        ck_ok(kvfs_symlink(fs, &who, parent, name, target, &entry));
    }
    kvfs_forget(fs, entry.ino, 1);
    node = tree_add(&rig->tree, entry.ino, entry.stat.st_mode);
    ck_assert_int_gt(node, 0);
    rig->tree.nodes[node].target = step == 'l' ? rig->next_number++ : 0;
    tree_put(&rig->tree, place.dir, place.name, node);
    fs_rig_acknowledge(rig);
}

static void step_make_unnamed(struct fs_rig *rig)
{
    struct kvfs_new what = {.who = who, .mode = S_IFREG | 0644};
    struct kvfs_entry entry;
    struct kvfs_file *file = NULL;
    uint64_t parent = rig->tree.nodes[pick_dir(rig)].ino;

    if (rig->tree.nodes[TREE_NODES - 4].ino != 0) {
        return;
    }
    fs_rig_issue(rig);
    ck_ok(kvfs_create_unnamed(rig->fs, parent, &what, &entry, &file));
    kvfs_forget(rig->fs, entry.ino, 1);
    int node = tree_add(&rig->tree, entry.ino, entry.stat.st_mode);
    ck_assert_int_gt(node, 0);
    rig->tree.nodes[node].file = file;
    rig->tree.nodes[node].unnamed = true;
    fs_rig_acknowledge(rig);
}

/* Give a node that `fits` says is right another name, or its first one. */
static void link_one(struct fs_rig *rig, bool (*fits)(const struct tree_node *))
{
    int node = fs_rig_pick_node(rig, fits);
    struct kvfs_entry entry;
    struct place place;

    if (node >= 0 && pick_used(rig, false, &place)) {
        fs_rig_issue(rig);
        ck_ok(kvfs_link(rig->fs, rig->tree.nodes[node].ino, rig->tree.nodes[place.dir].ino,
                        tree_name(place.name), &entry));
        kvfs_forget(rig->fs, entry.ino, 1);
        rig->tree.nodes[node].unnamed = false;
        tree_put(&rig->tree, place.dir, place.name, node);
        fs_rig_acknowledge(rig);
    }
}

static void step_link(struct fs_rig *rig)
{
    link_one(rig, is_linked);
}

static void step_name(struct fs_rig *rig)
{
    link_one(rig, is_unnamed);
}

static bool is_removable(const struct fs_rig *rig, int node)
{
    return !S_ISDIR(rig->tree.nodes[node].mode) || tree_is_empty(&rig->tree.nodes[node]);
}

static void step_unlink(struct fs_rig *rig)
{
    struct place place;
    if (!pick_used(rig, true, &place) || !is_removable(rig, place.node)) {
        return;
    }
    uint64_t parent = rig->tree.nodes[place.dir].ino;
    fs_rig_issue(rig);
    if (S_ISDIR(rig->tree.nodes[place.node].mode)) {
        ck_ok(kvfs_rmdir(rig->fs, parent, tree_name(place.name)));
    } else {
        ck_ok(kvfs_unlink(rig->fs, parent, tree_name(place.name)));
    }
    tree_drop(&rig->tree, place.dir, place.name);
    fs_rig_acknowledge(rig);
}

static bool rename_is_possible(const struct fs_rig *rig, const struct place *from,
                               const struct place *to, bool exchange)
{
    const struct tree *tree = &rig->tree;
    if (from->node == to->node || tree_is_below(tree, to->dir, from->node)) {
        return false;
    }
    if (exchange) {
        return !tree_is_below(tree, from->dir, to->node);
    }
    return to->node < 0 ||
           (S_ISDIR(tree->nodes[from->node].mode) == S_ISDIR(tree->nodes[to->node].mode) &&
            is_removable(rig, to->node));
}

static void rename_now(struct fs_rig *rig, const struct place *from, const struct place *to,
                       bool exchange)
{
    struct tree *tree = &rig->tree;
    fs_rig_issue(rig);
    ck_ok(kvfs_rename(rig->fs, tree->nodes[from->dir].ino, tree_name(from->name),
                      tree->nodes[to->dir].ino, tree_name(to->name),
                      exchange ? RENAME_EXCHANGE : 0));
    tree_take(tree, from->dir, from->name);
    if (exchange) {
        tree_take(tree, to->dir, to->name);
        tree_put(tree, from->dir, from->name, to->node);
    } else if (to->node >= 0) {
        tree_drop(tree, to->dir, to->name);
    }
    tree_put(tree, to->dir, to->name, from->node);
    fs_rig_acknowledge(rig);
}

static void step_rename(struct fs_rig *rig, char step)
{
    for (int i = 0; i < DRAWS; i++) {
        struct place from;
        struct place to;
        if (pick_used(rig, true, &from) && pick_used(rig, step != 'm', &to) &&
            rename_is_possible(rig, &from, &to, step == 'x')) {
            rename_now(rig, &from, &to, step == 'x');
            return;
        }
    }
}

static void step_open(struct fs_rig *rig)
{
    int node = fs_rig_pick_node(rig, is_closed_file);
    if (node >= 0) {
        struct tree_node *n = &rig->tree.nodes[node];
        ck_ok(kvfs_file_open(rig->fs, n->ino, 0, &n->file));
    }
}

static void step_close(struct fs_rig *rig)
{
    int node = fs_rig_pick_node(rig, is_open_file);
    if (node >= 0) {
        fs_rig_issue(rig);
        kvfs_file_close(rig->tree.nodes[node].file);
        rig->tree.nodes[node].file = NULL;
        tree_settle(&rig->tree, node);
        fs_rig_acknowledge(rig);
    }
}

/* ---- attributes ---- */

static void step_attr(struct fs_rig *rig, char step)
{
    struct tree_node *n = &rig->tree.nodes[fs_rig_pick_node(rig, is_any)];
    struct stat attr = {.st_mode = (mode_t)fs_rig_pick(rig, 01000)};
    struct kvfs_entry entry;
    uint8_t value[TREE_XATTR_MAX];
    int i = (int)fs_rig_pick(rig, TREE_XATTRS);

    fs_rig_issue(rig);
    if (step == 'g') {
        ck_ok(kvfs_setattr(rig->fs, n->ino, &attr, KVFS_SET_MODE, &entry));
        n->mode = (n->mode & S_IFMT) | attr.st_mode;
    } else if (n->xattr[i] != 0 && fs_rig_pick(rig, 2) == 0) {
        ck_ok(kvfs_removexattr(rig->fs, n->ino, tree_xattr_name(i)));
        n->xattr[i] = 0;
    } else {
        n->xattr[i] = rig->next_number++;
        size_t size = tree_xattr(n->xattr[i], value);
        ck_ok(kvfs_setxattr(rig->fs, n->ino, tree_xattr_name(i), kv_slice(value, size), 0));
    }
    fs_rig_acknowledge(rig);
}

/* ---- keys ---- */

static int name_of(const struct tree *tree, int dir, int node)
{
    int name = 0;
    while (tree->nodes[dir].entries[name] != node) {
        name++;
    }
    return name;
}

/* The key of a name in a directory. */
static void print_key(const struct tree *tree, int dir, int name, char key[PATH_SIZE])
{
    char rest[PATH_SIZE];
    snprintf(key, PATH_SIZE, "%s", tree_name(name));
    while (dir != 0) {
        int parent = tree->nodes[dir].parent;
        snprintf(rest, sizeof rest, "%s", key);
        snprintf(key, PATH_SIZE, "%s/%.400s", tree_name(name_of(tree, parent, dir)), rest);
        dir = parent;
    }
}

/* What a put has made at the place. */
static int add_at_key(struct fs_rig *rig, int dir, int name)
{
    struct kvfs_entry entry;
    char key[PATH_SIZE];
    print_key(&rig->tree, dir, name, key);
    ck_ok(kvfs_key_stat(rig->fs, kv_slice_str(key), &entry));
    int node = tree_add(&rig->tree, entry.ino, entry.stat.st_mode);
    ck_assert_int_gt(node, 0);
    tree_put(&rig->tree, dir, name, node);
    return node;
}

static void step_key_put(struct fs_rig *rig)
{
    static uint8_t bytes[TREE_FILE_MAX];
    struct place place = pick_place(rig);
    size_t size = fs_rig_pick(rig, 5) == 0 ? fs_rig_pick(rig, 50000) : fs_rig_pick(rig, 300);
    char key[PATH_SIZE];
    size_t used;
    int below = place.node < 0 && fs_rig_pick(rig, 2) == 0 ? (int)fs_rig_pick(rig, TREE_NAMES) : -1;

    if (rig->tree.nodes[TREE_NODES - 4].ino != 0 ||
        (place.node >= 0 && !S_ISREG(rig->tree.nodes[place.node].mode))) {
        return;
    }
    fs_rig_fill(rig, bytes, size);
    print_key(&rig->tree, place.dir, place.name, key);
    used = strlen(key);
    if (below >= 0) {
        snprintf(key + used, sizeof key - used, "/%s", tree_name(below));
    }
    fs_rig_issue(rig);
    ck_ok(kvfs_key_put(rig->fs, &who, kv_slice_str(key), kv_slice(bytes, size)));
    if (place.node < 0) {
        place.node = add_at_key(rig, place.dir, place.name);
    }
    if (below >= 0) {
        place.node = add_at_key(rig, place.node, below);
    }
    tree_resize(&rig->tree.nodes[place.node], size);
    memcpy(rig->tree.nodes[place.node].bytes, bytes, size);
    fs_rig_acknowledge(rig);
}

static void step_key_delete(struct fs_rig *rig)
{
    struct place place;
    char key[PATH_SIZE];
    if (pick_used(rig, true, &place) && !S_ISDIR(rig->tree.nodes[place.node].mode)) {
        print_key(&rig->tree, place.dir, place.name, key);
        fs_rig_issue(rig);
        ck_ok(kvfs_key_delete(rig->fs, kv_slice_str(key)));
        tree_drop(&rig->tree, place.dir, place.name);
        fs_rig_acknowledge(rig);
    }
}

/* Two keys at once: one made or replaced, one deleted. */
static void step_batch(struct fs_rig *rig)
{
    static uint8_t bytes[TREE_FILE_MAX];
    struct tree *tree = &rig->tree;
    struct kvfs_batch *batch = NULL;
    struct place put = pick_place(rig);
    struct place drop;
    char put_key[PATH_SIZE];
    char drop_key[PATH_SIZE];
    size_t size = fs_rig_pick(rig, 3) == 0 ? fs_rig_pick(rig, 50000) : fs_rig_pick(rig, 300);

    if (tree->nodes[TREE_NODES - 4].ino != 0 || !pick_used(rig, true, &drop) ||
        S_ISDIR(tree->nodes[drop.node].mode) || (put.dir == drop.dir && put.name == drop.name) ||
        (put.node >= 0 && !S_ISREG(tree->nodes[put.node].mode))) {
        return;
    }
    fs_rig_fill(rig, bytes, size);
    print_key(tree, put.dir, put.name, put_key);
    print_key(tree, drop.dir, drop.name, drop_key);
    ck_ok(kvfs_batch_create(&batch));
    ck_ok(kvfs_batch_put(batch, kv_slice_str(put_key), kv_slice(bytes, size)));
    ck_ok(kvfs_batch_delete(batch, kv_slice_str(drop_key), false));
    fs_rig_issue(rig);
    ck_ok(kvfs_batch_commit(rig->fs, &who, batch));
    kvfs_batch_destroy(batch);
    tree_drop(tree, drop.dir, drop.name);
    if (put.node < 0) {
        put.node = add_at_key(rig, put.dir, put.name);
    }
    tree_resize(&tree->nodes[put.node], size);
    memcpy(tree->nodes[put.node].bytes, bytes, size);
    fs_rig_acknowledge(rig);
}

/* ---- steps ---- */

static void step_reopen(struct fs_rig *rig)
{
    if (rig->fs != NULL) {
        ck_ok(fs_rig_close(rig));
        rig->bounds.synced = rig->bounds.issued;
    }
    ck_ok(fs_rig_open(rig, !rig->bounds.opened));
    rig->bounds.opened = true;
}

static void step_index(struct fs_rig *rig)
{
    bool keeps_one = rig->index != NULL && *rig->index != '\0';
    rig->index = keeps_one ? "" : tree_xattr_name(0);
    step_reopen(rig);
}

static void step_sync(struct fs_rig *rig, char step)
{
    struct tree_node *n = &rig->tree.nodes[fs_rig_pick_node(rig, is_any)];
    if (step == 's') {
        ck_ok(kvfs_fsync(rig->fs, n->ino));
    } else if (step == 'f') {
        ck_ok(kv_flush(kvfs_store(rig->fs)));
    } else {
        ck_ok(kv_compact(kvfs_store(rig->fs)));
    }
    rig->bounds.synced = rig->bounds.issued;
}

void fs_rig_step(struct fs_rig *rig, char step)
{
    static const struct {
        const char *steps;
        void (*fn)(struct fs_rig *rig, char step);
        void (*plain_fn)(struct fs_rig *rig);
    } kinds[] = {
        {"cdl", step_make, NULL},
        {"h", NULL, step_link},
        {"u", NULL, step_unlink},
        {"mMx", step_rename, NULL},
        {"n", NULL, step_make_unnamed},
        {"N", NULL, step_name},
        {"o", NULL, step_open},
        {"q", NULL, step_close},
        {"wWa", fs_rig_step_write, NULL},
        {"p", NULL, fs_rig_step_punch},
        {"y", NULL, fs_rig_step_copy},
        {"b", NULL, fs_rig_step_page},
        {"teT", fs_rig_step_truncate, NULL},
        {"vg", step_attr, NULL},
        {"k", NULL, step_key_put},
        {"K", NULL, step_key_delete},
        {"B", NULL, step_batch},
        {"sfC", step_sync, NULL},
        {"r", NULL, step_reopen},
        {"i", NULL, step_index},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strchr(kinds[i].steps, step) != NULL) {
            if (kinds[i].fn != NULL) {
                kinds[i].fn(rig, step);
            } else {
                kinds[i].plain_fn(rig);
            }
            return;
        }
    }
    ck_abort_msg("no such step: %c", step);
}
