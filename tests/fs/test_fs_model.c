/* SPDX-License-Identifier: Apache-2.0 */
/* Random operations against a tree that is as dumb as possible; results and errors must agree, and
 * at intervals the whole tree with all contents. */
#include <dirent.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "kvcore/util/rng.h"
#include "tests/fs/fs_check.h"
#include "tests/fs/fs_fixture.h"

enum {
    NODES_MAX = 400,
    NAMES = 9,
    SIZE_MAX_FILE = 160 * 1024,
};

static const char *const names[NAMES] = {
    "a", "b", "a.b", "a0", "c", "dd", "e e", "f", "\xff\xfe long name"};

struct mentry {
    int node; /* -1: none */
};

/* An inode of the model. */
struct mnode {
    bool used;
    uint64_t ino;
    mode_t type;
    unsigned nlink;
    int parent; /* of a directory */
    struct mentry entries[NAMES];
    uint8_t *bytes;
    uint64_t size;
    char target[16];
    uint8_t xattr[2]; /* value of user.0 and user.1, 0: none */
    uint64_t known;   /* look-up references */
    struct kvfs_file *file;
};

struct model {
    struct fs_fixture f;
    struct rng rng;
    struct mnode nodes[NODES_MAX];
};

static uint64_t pick(struct model *m, uint64_t bound)
{
    return rng_below(&m->rng, bound);
}

static int new_node(struct model *m, uint64_t ino, mode_t type, int parent)
{
    for (int i = 0; i < NODES_MAX; i++) {
        struct mnode *n = &m->nodes[i];
        if (!n->used) {
            *n = (struct mnode){.used = true, .ino = ino, .type = type, .parent = parent};
            n->nlink = type == S_IFDIR ? 2 : 1;
            for (int e = 0; e < NAMES; e++) {
                n->entries[e].node = -1;
            }
            n->bytes = type == S_IFREG ? calloc(1, SIZE_MAX_FILE) : NULL;
            return i;
        }
    }
    return -1;
}

static bool has_room(const struct model *m)
{
    return !m->nodes[NODES_MAX - 20].used;
}

/* Gone for good once nothing refers to it. */
static void settle(struct mnode *n)
{
    if (n->used && n->nlink == 0 && n->known == 0 && n->file == NULL) {
        free(n->bytes);
        *n = (struct mnode){0};
    }
}

/* A node that the kernel could name; any kind. */
static int pick_node(struct model *m)
{
    for (;;) {
        int i = (int)pick(m, NODES_MAX / 4 + 1) * (int)(1 + pick(m, 4)) % NODES_MAX;
        if (m->nodes[i].used && (m->nodes[i].nlink > 0 || m->nodes[i].known > 0)) {
            return i;
        }
    }
}

static int pick_dir(struct model *m)
{
    for (int tries = 0; tries < 50; tries++) {
        int i = pick_node(m);
        if (m->nodes[i].type == S_IFDIR && m->nodes[i].nlink > 0) {
            return i;
        }
    }
    return 0;
}

static void check_result(int got, int expected, const char *what)
{
    ck_assert_msg(got == expected, "%s: got %d (%s), expected %d (%s), seed %" PRIu64, what, got,
                  got < 0 ? kv_strerror(got) : "ok", expected,
                  expected < 0 ? kv_strerror(expected) : "ok", test_seed());
}

static uint64_t count_entries(const struct mnode *n)
{
    uint64_t count = 0;
    for (int e = 0; e < NAMES; e++) {
        count += n->entries[e].node >= 0;
    }
    return count;
}

/* ---- operations -------------------------------------------------------------------------------
 */

static void op_make(struct model *m)
{
    int d = pick_node(m);
    int e = (int)pick(m, NAMES);
    struct mnode *dir = &m->nodes[d];
    struct kvfs_entry entry;
    struct kvfs_file *file = NULL;
    unsigned kind = (unsigned)pick(m, 4);
    const mode_t types[] = {S_IFREG, S_IFDIR, S_IFLNK, S_IFREG};
    char target[16];
    if (!has_room(m)) {
        return;
    }
    int expected = dir->type != S_IFDIR        ? -ENOTDIR
                   : dir->nlink == 0           ? -ENOENT
                   : dir->entries[e].node >= 0 ? -EEXIST
                                               : 0;
    snprintf(target, sizeof target, "t%u", (unsigned)pick(m, 1000));
    int r;
    switch (kind) {
    case 0:
        r = kvfs_create(m->f.fs, dir->ino, names[e],
                        &(struct kvfs_new){.who = fixture_who, .mode = 0644, .flags = O_EXCL},
                        &entry, &file);
        break;
    case 1:
        r = kvfs_mkdir(m->f.fs, &fixture_who, dir->ino, names[e], 0755, &entry);
        break;
    case 2:
        r = kvfs_symlink(m->f.fs, &fixture_who, dir->ino, names[e], target, &entry);
        break;
    default:
        r = kvfs_mknod(m->f.fs, dir->ino, names[e],
                       &(struct kvfs_new){.who = fixture_who, .mode = S_IFREG | 0600}, &entry);
        break;
    }
    check_result(r, expected, "make");
    if (r < 0) {
        return;
    }
    int i = new_node(m, entry.ino, types[kind], d);
    dir->entries[e].node = i;
    dir->nlink += kind == 1;
    m->nodes[i].known = 1;
    m->nodes[i].file = file;
    snprintf(m->nodes[i].target, sizeof m->nodes[i].target, "%s", kind == 2 ? target : "");
}

static void op_lookup(struct model *m)
{
    struct mnode *dir = &m->nodes[pick_node(m)];
    int e = (int)pick(m, NAMES);
    struct kvfs_entry entry;
    int child = dir->type == S_IFDIR ? dir->entries[e].node : -1;
    int r = kvfs_lookup(m->f.fs, dir->ino, names[e], &entry);
    check_result(r, dir->type != S_IFDIR ? -ENOTDIR : child < 0 ? -ENOENT : 0, "lookup");
    if (r == 0) {
        ck_assert_uint_eq(entry.ino, m->nodes[child].ino);
        ck_assert_uint_eq(entry.stat.st_nlink, m->nodes[child].nlink);
        m->nodes[child].known++;
    }
}

static void op_forget(struct model *m)
{
    struct mnode *n = &m->nodes[pick_node(m)];
    uint64_t count = n->known > 0 ? 1 + pick(m, n->known) : 0;
    if (count > 0 && n->ino != KVFS_ROOT_INO) {
        if (pick(m, 2) == 0) {
            kvfs_forget(m->f.fs, n->ino, count);
        } else {
            kvfs_forget_later(m->f.fs, n->ino, count);
        }
        n->known -= count;
        settle(n);
    }
}

static void op_open_close(struct model *m)
{
    struct mnode *n = &m->nodes[pick_node(m)];
    if (n->file != NULL) {
        kvfs_file_close(n->file);
        n->file = NULL;
        settle(n);
        return;
    }
    bool truncate = pick(m, 4) == 0;
    int r = kvfs_file_open(m->f.fs, n->ino, truncate ? O_RDWR | O_TRUNC : O_RDONLY, &n->file);
    check_result(r, n->type == S_IFDIR ? -EISDIR : n->type == S_IFLNK ? -ELOOP : 0, "open");
    if (r == 0 && truncate) {
        memset(n->bytes, 0, SIZE_MAX_FILE);
        n->size = 0;
    }
}

static void op_link(struct model *m)
{
    struct mnode *n = &m->nodes[pick_node(m)];
    struct mnode *dir = &m->nodes[pick_dir(m)];
    int e = (int)pick(m, NAMES);
    struct kvfs_entry entry;
    int expected = dir->entries[e].node >= 0 ? -EEXIST
                   : n->type == S_IFDIR      ? -EPERM
                   : n->nlink == 0           ? -ENOENT
                                             : 0;
    int r = kvfs_link(m->f.fs, n->ino, dir->ino, names[e], &entry);
    check_result(r, expected, "link");
    if (r == 0) {
        n->nlink++;
        n->known++;
        dir->entries[e].node = (int)(n - m->nodes);
        ck_assert_uint_eq(entry.stat.st_nlink, n->nlink);
    }
}

static void drop(struct model *m, struct mnode *dir, int e)
{
    struct mnode *n = &m->nodes[dir->entries[e].node];
    dir->entries[e].node = -1;
    if (n->type == S_IFDIR) {
        n->nlink = 0;
        dir->nlink--;
    } else {
        n->nlink--;
    }
    settle(n);
}

static void op_unlink(struct model *m)
{
    struct mnode *dir = &m->nodes[pick_dir(m)];
    int e = (int)pick(m, NAMES);
    int child = dir->entries[e].node;
    bool is_dir = child >= 0 && m->nodes[child].type == S_IFDIR;
    bool by_rmdir = pick(m, 2) == 0;
    int expected = child < 0 ? -ENOENT : 0;
    if (child >= 0 && by_rmdir) {
        expected = !is_dir ? -ENOTDIR : count_entries(&m->nodes[child]) > 0 ? -ENOTEMPTY : 0;
    } else if (is_dir) {
        expected = -EISDIR;
    }
    int r = by_rmdir ? kvfs_rmdir(m->f.fs, dir->ino, names[e])
                     : kvfs_unlink(m->f.fs, dir->ino, names[e]);
    check_result(r, expected, by_rmdir ? "rmdir" : "unlink");
    if (r == 0) {
        drop(m, dir, e);
    }
}

static bool is_above(const struct model *m, int node, int dir)
{
    while (dir != node && dir != 0) {
        dir = m->nodes[dir].parent;
    }
    return dir == node;
}

static int expected_rename(struct model *m, int d1, int src, int d2, int dst, unsigned flags)
{
    bool exchange = (flags & RENAME_EXCHANGE) != 0;
    if (src < 0) {
        return -ENOENT;
    }
    bool src_dir = m->nodes[src].type == S_IFDIR;
    bool dst_dir = dst >= 0 && m->nodes[dst].type == S_IFDIR;
    if (d1 != d2 && src_dir && is_above(m, src, d2)) {
        return -EINVAL;
    }
    if (d1 != d2 && exchange && dst_dir && is_above(m, dst, d1)) {
        return -EINVAL;
    }
    if (dst < 0) {
        return exchange ? -ENOENT : 0;
    }
    if ((flags & RENAME_NOREPLACE) != 0) {
        return -EEXIST;
    }
    if (src == dst) {
        return 0;
    }
    if (exchange) {
        return 0;
    }
    if (src_dir != dst_dir) {
        return src_dir ? -ENOTDIR : -EISDIR;
    }
    return dst_dir && count_entries(&m->nodes[dst]) > 0 ? -ENOTEMPTY : 0;
}

static void set_entry(struct model *m, int d, int e, int node)
{
    m->nodes[d].entries[e].node = node;
    if (m->nodes[node].type == S_IFDIR) {
        m->nodes[node].parent = d;
        m->nodes[d].nlink++;
    }
}

static void clear_entry(struct model *m, int d, int e)
{
    m->nodes[d].nlink -= m->nodes[m->nodes[d].entries[e].node].type == S_IFDIR;
    m->nodes[d].entries[e].node = -1;
}

static void op_rename(struct model *m)
{
    int d1 = pick_dir(m);
    int d2 = pick(m, 3) == 0 ? d1 : pick_dir(m);
    int e1 = (int)pick(m, NAMES);
    int e2 = (int)pick(m, NAMES);
    unsigned choice = (unsigned)pick(m, 5);
    unsigned flags = choice == 0 ? RENAME_NOREPLACE : choice == 1 ? RENAME_EXCHANGE : 0;
    int src = m->nodes[d1].entries[e1].node;
    int dst = m->nodes[d2].entries[e2].node;
    int expected = expected_rename(m, d1, src, d2, dst, flags);
    int r = kvfs_rename(m->f.fs, m->nodes[d1].ino, names[e1], m->nodes[d2].ino, names[e2], flags);
    check_result(r, expected, "rename");
    if (r < 0 || src == dst) {
        return;
    }
    if (dst >= 0 && flags != RENAME_EXCHANGE) {
        drop(m, &m->nodes[d2], e2);
        dst = -1;
    }
    clear_entry(m, d1, e1);
    if (dst >= 0) {
        clear_entry(m, d2, e2);
        set_entry(m, d1, e1, dst);
    }
    set_entry(m, d2, e2, src);
}

static struct mnode *pick_file(struct model *m)
{
    for (int tries = 0; tries < 20; tries++) {
        struct mnode *n = &m->nodes[pick_node(m)];
        if (n->type == S_IFREG) {
            return n;
        }
    }
    return NULL;
}

/* Positions near the edges of chunks and of what was written come often. */
static uint64_t pick_offset(struct model *m, const struct mnode *n)
{
    switch (pick(m, 5)) {
    case 0:
        return n->size;
    case 1:
        return pick(m, 6) * FORMAT_CHUNK_BYTES / 2;
    case 2:
        return pick(m, n->size + 1);
    case 3:
        return pick(m, 300);
    default:
        return pick(m, SIZE_MAX_FILE);
    }
}

static uint64_t pick_size(struct model *m, uint64_t offset)
{
    uint64_t size = pick(m, 4) == 0   ? 1 + pick(m, 80000)
                    : pick(m, 2) == 0 ? 1 + pick(m, 5000)
                                      : 1 + pick(m, 60);
    return offset + size > SIZE_MAX_FILE ? SIZE_MAX_FILE - offset : size;
}

static void op_write(struct model *m)
{
    static uint8_t bytes[SIZE_MAX_FILE];
    struct mnode *n = pick_file(m);
    if (n == NULL) {
        return;
    }
    uint64_t offset = pick_offset(m, n);
    uint64_t size = pick_size(m, offset);
    bool append = offset == n->size;
    memset(bytes, (int)(1 + pick(m, 255)), size);
    ck_ok(kvfs_write(m->f.fs, n->ino, append ? 7 : offset, kv_slice(bytes, size), append, true));
    memcpy(n->bytes + offset, bytes, size);
    n->size = n->size > offset + size || size == 0 ? n->size : offset + size;
}

static void op_truncate(struct model *m)
{
    struct mnode *n = pick_file(m);
    struct kvfs_entry entry;
    if (n == NULL) {
        return;
    }
    struct stat attr = {.st_size = (off_t)pick_offset(m, n)};
    ck_ok(kvfs_setattr(m->f.fs, n->ino, &attr, KVFS_SET_SIZE, &entry));
    n->size = (uint64_t)attr.st_size;
    memset(n->bytes + n->size, 0, SIZE_MAX_FILE - n->size);
    ck_assert_uint_eq((uint64_t)entry.stat.st_size, n->size);
}

static void op_allocate(struct model *m)
{
    const int modes[] = {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                         FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
    struct mnode *n = pick_file(m);
    if (n == NULL) {
        return;
    }
    int mode = modes[pick(m, 5)];
    uint64_t offset = pick_offset(m, n);
    uint64_t size = pick_size(m, offset);
    check_result(kvfs_fallocate(m->f.fs, n->ino, mode, offset, size), size == 0 ? -EINVAL : 0,
                 "fallocate");
    if ((mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0) {
        memset(n->bytes + offset, 0, size);
    }
    if ((mode & FALLOC_FL_KEEP_SIZE) == 0 && size > 0 && offset + size > n->size) {
        n->size = offset + size;
    }
}

static void op_xattr(struct model *m)
{
    struct mnode *n = &m->nodes[pick_node(m)];
    struct kv_buf value = {0};
    unsigned i = (unsigned)pick(m, 2);
    const char *name = i == 0 ? "user.0" : "user.1";
    uint8_t byte = (uint8_t)(1 + pick(m, 255));
    int present = n->xattr[i] != 0 ? 0 : -ENODATA;
    switch (pick(m, 3)) {
    case 0:
        ck_ok(kvfs_setxattr(m->f.fs, n->ino, name, kv_slice(&byte, 1), 0));
        n->xattr[i] = byte;
        break;
    case 1:
        check_result(kvfs_removexattr(m->f.fs, n->ino, name), present, "removexattr");
        n->xattr[i] = 0;
        break;
    default:
        check_result(kvfs_getxattr(m->f.fs, n->ino, name, &value), present, "getxattr");
        ck_assert(present < 0 || (value.size == 1 && value.data[0] == n->xattr[i]));
        break;
    }
    kv_buf_finish(&value);
}

static void op_chmod(struct model *m)
{
    struct mnode *n = &m->nodes[pick_node(m)];
    struct stat attr = {.st_mode = (mode_t)pick(m, 07777), .st_uid = (uid_t)pick(m, 9)};
    struct kvfs_entry entry;
    ck_ok(kvfs_setattr(m->f.fs, n->ino, &attr, KVFS_SET_MODE | KVFS_SET_UID, &entry));
    ck_assert_uint_eq(entry.stat.st_mode, n->type | attr.st_mode);
}

/* ---- comparing --------------------------------------------------------------------------------
 */

struct listing {
    struct model *m;
    struct mnode *dir;
    const char *last;
    uint64_t count;
};

static bool compare_entry(void *arg, const char *name, const struct kvfs_entry *entry,
                          uint64_t next_offset)
{
    static char last[256];
    struct listing *l = arg;
    if (next_offset <= 2) {
        ck_assert(S_ISDIR(entry->stat.st_mode));
        return true;
    }
    ck_assert(l->count == 0 || strcmp(last, name) < 0);
    snprintf(last, sizeof last, "%s", name);
    l->count++;
    for (int e = 0; e < NAMES; e++) {
        if (strcmp(names[e], name) == 0) {
            ck_assert_int_ge(l->dir->entries[e].node, 0);
            struct mnode *n = &l->m->nodes[l->dir->entries[e].node];
            ck_assert_uint_eq(entry->ino, n->ino);
            ck_assert_uint_eq(entry->stat.st_mode & S_IFMT, n->type);
            ck_assert_uint_eq(entry->stat.st_nlink, n->nlink);
            n->known++;
            return true;
        }
    }
    ck_abort_msg("unknown name %s", name);
}

static void compare_contents(struct model *m, struct mnode *n)
{
    struct kv_buf buf = {0};
    struct kvfs_entry entry = fixture_stat(&m->f, n->ino);
    ck_assert_uint_eq(entry.stat.st_nlink, n->nlink);
    if (n->type == S_IFREG) {
        ck_assert_uint_eq((uint64_t)entry.stat.st_size, n->size);
        ck_ok(kvfs_read(m->f.fs, n->ino, 0, SIZE_MAX_FILE + 10, &buf));
        ck_assert_uint_eq(buf.size, n->size);
        ck_assert(n->size == 0 || memcmp(buf.data, n->bytes, n->size) == 0);
        if (n->size > 0) {
            uint64_t at = pick(m, n->size);
            ck_ok(kvfs_read(m->f.fs, n->ino, at, 1000, &buf));
            ck_assert(memcmp(buf.data, n->bytes + at, buf.size) == 0);
        }
    } else if (n->type == S_IFLNK) {
        ck_ok(kvfs_readlink(m->f.fs, n->ino, &buf));
        ck_assert(kv_slice_equal(kv_buf_slice(&buf), kv_slice_str(n->target)));
    }
    kv_buf_finish(&buf);
}

static void compare(struct model *m)
{
    for (int i = 0; i < NODES_MAX; i++) {
        struct mnode *n = &m->nodes[i];
        if (!n->used) {
            continue;
        }
        compare_contents(m, n);
        if (n->type == S_IFDIR) {
            struct listing l = {.m = m, .dir = n};
            struct kvfs_dir *dir = NULL;
            ck_ok(kvfs_dir_open(m->f.fs, n->ino, &dir));
            ck_ok(kvfs_dir_read(dir, 0, true, compare_entry, &l));
            kvfs_dir_close(dir);
            ck_assert_uint_eq(l.count, count_entries(n));
        }
    }
}

/* Everything in use is given back by closing; unlinked inodes are gone afterwards. */
static void reopen(struct model *m)
{
    for (int i = 0; i < NODES_MAX; i++) {
        struct mnode *n = &m->nodes[i];
        kvfs_file_close(n->file);
        n->file = NULL;
        n->known = i == 0;
        settle(n);
    }
    fixture_reopen(&m->f);
    fs_check(m->f.fs);
}

typedef void op_fn(struct model *m);

static void run(uint64_t memory_bytes, uint64_t steps)
{
    static op_fn *const ops[] = {
        op_make,   op_make,       op_make,  op_lookup,   op_lookup,   op_forget, op_forget,
        op_forget, op_open_close, op_link,  op_unlink,   op_unlink,   op_rename, op_rename,
        op_write,  op_write,      op_write, op_truncate, op_allocate, op_xattr,  op_chmod};
    struct model *m = calloc(1, sizeof *m);
    m->rng.state = test_seed();
    fixture_open(&m->f);
    m->f.memory_bytes = memory_bytes;
    fixture_reopen(&m->f);
    ck_assert_int_eq(new_node(m, KVFS_ROOT_INO, S_IFDIR, 0), 0);
    m->nodes[0].known = 1;
    for (uint64_t i = 1; i <= steps; i++) {
        ops[pick(m, sizeof ops / sizeof ops[0])](m);
        if (i % 2000 == 0) {
            compare(m);
        }
        if (i % 5000 == 0) {
            reopen(m);
            compare(m);
        }
    }
    reopen(m);
    compare(m);
    ck_assert_uint_eq(m->f.damage_messages, 0);
    fixture_close(&m->f);
    for (int i = 0; i < NODES_MAX; i++) {
        free(m->nodes[i].bytes);
    }
    free(m);
}

START_TEST(random_operations_agree_with_a_dumb_tree)
{
    run(8 << 20, test_steps(20000));
}
END_TEST

/* So little memory that every inode is forgotten after each operation and found through its rows.
 */
START_TEST(random_operations_agree_without_an_inode_cache)
{
    run(1, test_steps(10000));
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("fs_model");
    suite_add(suite, "model", random_operations_agree_with_a_dumb_tree);
    suite_add(suite, "no_cache", random_operations_agree_without_an_inode_cache);
    return suite;
}
