/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/tree.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "kvcore/util/checksum.h"
#include "tests/lib/check_main.h"

/* In byte order. */
static const char *const names[TREE_NAMES] = {"a", "a.b", "b", "c", "dd", "e e", "\xff long name"};
static const char *const xattr_names[TREE_XATTRS] = {"user.0", "user.one"};

const char *tree_name(int name)
{
    return names[name];
}

const char *tree_xattr_name(int xattr)
{
    return xattr_names[xattr];
}

size_t tree_xattr(uint32_t number, uint8_t to[TREE_XATTR_MAX])
{
    size_t size = sizeof number + number % (TREE_XATTR_MAX - sizeof number);
    memset(to, (int)(number & 0xff), size);
    memcpy(to, &number, sizeof number);
    return size;
}

void tree_target(uint32_t number, char to[TREE_TARGET_MAX])
{
    int used = snprintf(to, TREE_TARGET_MAX, "%" PRIu32 "/", number);
    size_t more = number % (TREE_TARGET_MAX - 20);
    memset(to + used, 't', more);
    to[(size_t)used + more] = '\0';
}

/* ---- changing ---- */

static void init_node(struct tree_node *node, uint64_t ino, mode_t mode)
{
    *node = (struct tree_node){.ino = ino, .mode = mode, .nlink = S_ISDIR(mode) ? 2 : 0};
    for (int i = 0; i < TREE_NAMES; i++) {
        node->entries[i] = -1;
    }
}

void tree_init(struct tree *tree, mode_t root_mode)
{
    *tree = (struct tree){0};
    init_node(&tree->nodes[0], KVFS_ROOT_INO, root_mode);
}

void tree_finish(struct tree *tree)
{
    for (int i = 0; i < TREE_NODES; i++) {
        free(tree->nodes[i].bytes);
    }
    *tree = (struct tree){0};
}

int tree_add(struct tree *tree, uint64_t ino, mode_t mode)
{
    for (int i = 1; i < TREE_NODES; i++) {
        if (tree->nodes[i].ino == 0) {
            init_node(&tree->nodes[i], ino, mode);
            return i;
        }
    }
    return -1;
}

void tree_settle(struct tree *tree, int node)
{
    struct tree_node *n = &tree->nodes[node];
    if (n->nlink == 0 && n->file == NULL) {
        free(n->bytes);
        *n = (struct tree_node){0};
    }
}

void tree_put(struct tree *tree, int dir, int name, int node)
{
    tree->nodes[dir].entries[name] = node;
    if (S_ISDIR(tree->nodes[node].mode)) {
        tree->nodes[node].parent = dir;
        tree->nodes[dir].nlink++;
    } else {
        tree->nodes[node].nlink++;
    }
}

void tree_take(struct tree *tree, int dir, int name)
{
    struct tree_node *node = &tree->nodes[tree->nodes[dir].entries[name]];
    tree->nodes[dir].entries[name] = -1;
    if (S_ISDIR(node->mode)) {
        tree->nodes[dir].nlink--;
    } else {
        node->nlink--;
    }
}

void tree_drop(struct tree *tree, int dir, int name)
{
    int node = tree->nodes[dir].entries[name];
    tree_take(tree, dir, name);
    if (S_ISDIR(tree->nodes[node].mode)) {
        tree->nodes[node].nlink = 0;
    }
    tree_settle(tree, node);
}

void tree_resize(struct tree_node *node, size_t size)
{
    if (node->bytes == NULL) {
        node->bytes = calloc(1, TREE_FILE_MAX);
        ck_assert_ptr_nonnull(node->bytes);
    }
    if (size < node->size) {
        memset(node->bytes + size, 0, node->size - size);
    }
    node->size = size;
}

bool tree_is_empty(const struct tree_node *dir)
{
    for (int i = 0; i < TREE_NAMES; i++) {
        if (dir->entries[i] >= 0) {
            return false;
        }
    }
    return true;
}

bool tree_is_below(const struct tree *tree, int dir, int node)
{
    while (dir != node && dir != 0) {
        dir = tree->nodes[dir].parent;
    }
    return dir == node;
}

/* ---- reading ---- */

struct reading {
    struct kvfs *fs;
    struct tree *tree;
    int dir;
};

static void read_file(struct kvfs *fs, struct tree_node *node, size_t size)
{
    struct kv_buf bytes = {0};
    ck_assert_uint_le(size, TREE_FILE_MAX);
    ck_ok(kvfs_read(fs, node->ino, 0, size + 10, &bytes));
    ck_assert_uint_eq(bytes.size, size);
    tree_resize(node, size);
    memcpy(node->bytes, bytes.size > 0 ? bytes.data : node->bytes, bytes.size);
    kv_buf_finish(&bytes);
}

static void read_target(struct kvfs *fs, struct tree_node *node)
{
    struct kv_buf bytes = {0};
    char text[TREE_TARGET_MAX] = "";
    ck_ok(kvfs_readlink(fs, node->ino, &bytes));
    ck_ok(kv_buf_append(&bytes, kv_slice("", 1)));
    node->target = (uint32_t)strtoul((const char *)bytes.data, NULL, 10);
    tree_target(node->target, text);
    ck_assert_str_eq((const char *)bytes.data, text);
    kv_buf_finish(&bytes);
}

static void read_xattrs(struct kvfs *fs, struct tree_node *node)
{
    struct kv_buf bytes = {0};
    uint8_t value[TREE_XATTR_MAX];
    size_t names_size = 0;
    for (int i = 0; i < TREE_XATTRS; i++) {
        int r = kvfs_getxattr(fs, node->ino, xattr_names[i], &bytes);
        if (r == -ENODATA) {
            continue;
        }
        ck_ok(r);
        ck_assert_uint_ge(bytes.size, sizeof node->xattr[i]);
        memcpy(&node->xattr[i], bytes.data, sizeof node->xattr[i]);
        ck_assert(kv_slice_equal(kv_buf_slice(&bytes),
                                 kv_slice(value, tree_xattr(node->xattr[i], value))));
        names_size += strlen(xattr_names[i]) + 1;
    }
    ck_ok(kvfs_listxattr(fs, node->ino, &bytes));
    ck_assert_uint_eq(bytes.size, names_size);
    kv_buf_finish(&bytes);
}

static void read_node(struct kvfs *fs, struct tree_node *node, size_t size)
{
    if (S_ISREG(node->mode)) {
        read_file(fs, node, size);
    } else if (S_ISLNK(node->mode)) {
        read_target(fs, node);
    }
    read_xattrs(fs, node);
}

static int find_name(const char *name)
{
    for (int i = 0; i < TREE_NAMES; i++) {
        if (strcmp(names[i], name) == 0) {
            return i;
        }
    }
    ck_abort_msg("unknown name %s", name);
}

static bool read_entry(void *arg, const char *name, const struct kvfs_entry *entry,
                       uint64_t next_offset)
{
    const struct reading *reading = arg;
    struct tree *tree = reading->tree;
    int node = -1;
    if (next_offset <= 2) {
        return true;
    }
    kvfs_forget(reading->fs, entry->ino, 1);
    for (int i = 0; i < TREE_NODES; i++) {
        node = tree->nodes[i].ino == entry->ino ? i : node;
    }
    if (node < 0) {
        node = tree_add(tree, entry->ino, entry->stat.st_mode);
        ck_assert_msg(node > 0, "more files than there can be");
    } else {
        ck_assert_msg(!S_ISDIR(entry->stat.st_mode), "a directory has two names");
    }
    tree_put(tree, reading->dir, find_name(name), node);
    return true;
}

static void read_dir(struct kvfs *fs, struct tree *tree, int dir)
{
    struct reading reading = {.fs = fs, .tree = tree, .dir = dir};
    struct kvfs_dir *open = NULL;
    ck_ok(kvfs_dir_open(fs, tree->nodes[dir].ino, &open));
    ck_ok(kvfs_dir_read(open, 0, true, read_entry, &reading));
    kvfs_dir_close(open);
}

void tree_read(struct kvfs *fs, struct tree *ret_tree)
{
    bool done[TREE_NODES] = {false};
    bool more = true;
    struct kvfs_entry entry;

    ck_ok(kvfs_getattr(fs, KVFS_ROOT_INO, &entry));
    tree_init(ret_tree, entry.stat.st_mode);
    while (more) {
        more = false;
        for (int i = 0; i < TREE_NODES; i++) {
            struct tree_node *node = &ret_tree->nodes[i];
            if (node->ino != 0 && S_ISDIR(node->mode) && !done[i]) {
                read_dir(fs, ret_tree, i);
                done[i] = true;
                more = true;
            }
        }
    }
    /* Names are counted now; the inodes must say the same. */
    for (int i = 0; i < TREE_NODES; i++) {
        struct tree_node *node = &ret_tree->nodes[i];
        if (node->ino != 0) {
            ck_ok(kvfs_getattr(fs, node->ino, &entry));
            ck_assert_uint_eq(entry.stat.st_nlink, node->nlink);
            ck_assert_uint_eq(entry.stat.st_mode, node->mode);
            read_node(fs, node, (size_t)entry.stat.st_size);
        }
    }
}

/* ---- text ---- */

struct text {
    const struct tree *tree;
    int numbers[TREE_NODES]; /* of inodes, by their first name; 0: not met */
    int met;
    FILE *out;
};

static void print_node(struct text *text, const char *path, int node)
{
    const struct tree_node *n = &text->tree->nodes[node];
    bool first = text->numbers[node] == 0;
    if (first) {
        text->numbers[node] = ++text->met;
    }
    fprintf(text->out, "%s: #%d", path, text->numbers[node]);
    if (first) {
        fprintf(text->out, " mode %o, %u links, %zu bytes %016" PRIx64 ", target %u, xattrs %u %u",
                (unsigned)n->mode, n->nlink, n->size, hash_bytes(kv_slice(n->bytes, n->size), 0),
                n->target, n->xattr[0], n->xattr[1]);
    }
    fprintf(text->out, "\n");
}

static void print_dir(struct text *text, const char *path, int dir)
{
    char below[512];
    for (int i = 0; i < TREE_NAMES; i++) {
        int node = text->tree->nodes[dir].entries[i];
        if (node >= 0) {
            bool is_text = (names[i][0] & 0x80) == 0;
            snprintf(below, sizeof below, "%s/%s", path, is_text ? names[i] : "(no text)");
            print_node(text, below, node);
            if (S_ISDIR(text->tree->nodes[node].mode)) {
                print_dir(text, below, node);
            }
        }
    }
}

char *tree_text(const struct tree *tree)
{
    struct text text = {.tree = tree};
    char *bytes = NULL;
    size_t size = 0;
    text.out = open_memstream(&bytes, &size);
    ck_assert_ptr_nonnull(text.out);
    print_node(&text, "", 0);
    print_dir(&text, "", 0);
    ck_assert_int_eq(fclose(text.out), 0);
    return bytes;
}
