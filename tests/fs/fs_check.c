/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fs/fs_check.h"

#include <dirent.h>
#include <stdlib.h>

#include "fs/core/acl.h"
#include "fs/core/record.h"
#include "kvcore/util/coding.h"
#include "tests/lib/check_main.h"

struct seen {
    uint64_t ino;
    uint64_t parent; /* of an inode that lives in its entry */
    struct inode inode;
    bool own_row;
    uint64_t links, backptrs, entries, subdirectories, extent_bytes, extent_end;
};

struct walk {
    struct kv_table *meta, *data;
    struct seen *seen;
    size_t count, capacity;
    uint64_t next_inode;
};

typedef void row_fn(struct walk *walk, struct kv_slice key, struct kv_slice value);

static void each_row(struct walk *walk, struct kv_table *table, row_fn *fn)
{
    struct kv_iter *iter = NULL;
    struct kv_slice value;
    ck_ok(kv_iter_create(table, NULL, &iter));
    for (kv_iter_seek_first(iter); kv_iter_valid(iter); kv_iter_next(iter)) {
        value = kv_slice(NULL, 0);
        if (!kv_iter_is_lost(iter)) {
            ck_ok(kv_iter_value(iter, &value));
        }
        fn(walk, kv_iter_key(iter), value);
    }
    ck_ok(kv_iter_error(iter));
    kv_iter_destroy(iter);
}

static int by_ino(const void *a, const void *b)
{
    uint64_t x = ((const struct seen *)a)->ino;
    uint64_t y = ((const struct seen *)b)->ino;
    return (x > y) - (x < y);
}

static struct seen *find(struct walk *walk, uint64_t ino)
{
    struct seen wanted = {.ino = ino};
    struct seen *s = bsearch(&wanted, walk->seen, walk->count, sizeof wanted, by_ino);
    ck_assert_msg(s != NULL, "inode %" PRIu64 " is missing", ino);
    return s;
}

static void add_inode(struct walk *walk, uint64_t ino, const struct inode *inode, uint64_t parent)
{
    if (walk->count == walk->capacity) {
        walk->capacity = walk->capacity * 2 + 16;
        walk->seen = realloc(walk->seen, walk->capacity * sizeof *walk->seen);
        ck_assert_ptr_nonnull(walk->seen);
    }
    walk->seen[walk->count] =
        (struct seen){.ino = ino, .inode = *inode, .own_row = parent == 0, .parent = parent};
    walk->seen[walk->count++].inode.target = kv_slice(NULL, 0);
}

/* First pass: inodes and facts. */
static void collect(struct walk *walk, struct kv_slice key, struct kv_slice value)
{
    struct dir_entry entry;
    struct inode inode;
    struct kv_slice name;
    uint64_t ino;
    switch (key.data[0]) {
    case ROW_DIRENT:
        ck_assert(rowkey_decode_dirent(key, &ino, &name));
        ck_ok(dirent_decode(value, &entry));
        if (entry.has_inode) {
            add_inode(walk, entry.ino, &entry.inode, ino);
        }
        break;
    case ROW_INODE:
        ck_assert(rowkey_decode_ino(key, ROW_INODE, &ino));
        ck_ok(inode_decode(value, &inode));
        add_inode(walk, ino, &inode, 0);
        break;
    case ROW_FACT:
        if (kv_slice_equal(key, kv_slice_str("M" FORMAT_FACT_NEXT_INODE))) {
            ck_assert_uint_eq(value.size, 8);
            walk->next_inode = coding_get_u64(value.data);
        }
        break;
    default:
        break;
    }
}

static void check_summary(const struct inode *inode, const struct summary *summary)
{
    ck_assert_uint_eq(summary->mode, inode->mode);
    ck_assert_uint_eq(summary->uid, inode->uid);
    ck_assert_uint_eq(summary->gid, inode->gid);
}

static void check_dirent(struct walk *walk, struct kv_slice key, struct kv_slice value)
{
    struct dir_entry entry;
    struct kv_slice name;
    uint64_t parent;
    ck_assert(rowkey_decode_dirent(key, &parent, &name));
    ck_ok(dirent_decode(value, &entry));
    struct seen *dir = find(walk, parent);
    struct seen *child = find(walk, entry.ino);
    ck_assert(S_ISDIR(dir->inode.mode));
    ck_assert_uint_ne(dir->inode.nlink, 0);
    ck_assert_uint_eq(DTTOIF(entry.type), child->inode.mode & S_IFMT);
    ck_assert(entry.has_inode == !child->own_row);
    dir->entries++;
    dir->subdirectories += entry.type == DT_DIR;
    child->links++;
}

static void check_backptr(struct walk *walk, struct kv_slice key, struct kv_slice value)
{
    struct kv_buf row = {0};
    struct dir_entry entry;
    struct summary summary;
    struct kv_slice name;
    struct rowkey dirent;
    uint64_t ino;
    uint64_t parent;
    ck_assert(rowkey_decode_backptr(key, &ino, &parent, &name));
    struct seen *s = find(walk, ino);
    ck_assert(s->own_row == (parent != 0));
    if (parent == 0) {
        ck_ok(backptr_decode(value, &parent, &name, &summary));
    } else {
        ck_ok(summary_decode(value, &summary));
    }
    check_summary(&s->inode, &summary);
    rowkey_dirent(&dirent, parent, name);
    ck_ok(kv_get_copy(walk->meta, NULL, rowkey_slice(&dirent), &row));
    ck_ok(dirent_decode(kv_buf_slice(&row), &entry));
    ck_assert_uint_eq(entry.ino, ino);
    s->backptrs++;
    kv_buf_finish(&row);
}

static void check_extent(struct walk *walk, struct kv_slice key, struct kv_slice value)
{
    uint64_t ino;
    uint64_t end;
    ck_assert(rowkey_decode_extent(key, &ino, &end));
    struct seen *s = find(walk, ino);
    ck_assert(S_ISREG(s->inode.mode));
    uint64_t start = end - value.size;
    if (value.size == 0) {
        uint64_t base = (end - 1) / FORMAT_CHUNK_BYTES * FORMAT_CHUNK_BYTES;
        start = s->extent_end > base ? s->extent_end : base; /* it is lost */
    }
    ck_assert_uint_ge(start, s->extent_end);
    ck_assert_uint_le(end, s->inode.size);
    ck_assert_uint_eq(start / FORMAT_CHUNK_BYTES, (end - 1) / FORMAT_CHUNK_BYTES);
    s->extent_end = end;
    s->extent_bytes += end - start;
}

static void check_xattr(struct walk *walk, struct kv_slice key, struct kv_slice value)
{
    struct kv_slice name;
    uint64_t ino;
    ck_assert(rowkey_decode_xattr(key, &ino, &name));
    ck_assert((find(walk, ino)->inode.hints & INODE_HINT_XATTRS) != 0);
    ck_assert(value.size >= 1 && value.data[0] == 0);
    enum acl_kind kind = acl_kind(name);
    if (kind != ACL_NONE) {
        struct kv_slice acl = kv_slice(value.data + 1, value.size - 1);
        const struct inode *inode = &find(walk, ino)->inode;
        ck_assert(acl_may_exist(inode, kind));
        ck_ok(acl_check(acl));
        ck_assert(kind != ACL_ACCESS || acl_mode(acl) == (inode->mode & 0777));
        ck_assert(kind != ACL_DEFAULT || S_ISDIR(inode->mode));
    }
}

/* Second pass over the metadata. */
static void check_meta_row(struct walk *walk, struct kv_slice key, struct kv_slice value)
{
    switch (key.data[0]) {
    case ROW_DIRENT:
        check_dirent(walk, key, value);
        break;
    case ROW_BACKPTR:
        check_backptr(walk, key, value);
        break;
    case ROW_XATTR:
        check_xattr(walk, key, value);
        break;
    case ROW_INODE:
    case ROW_FACT:
        break;
    default:
        ck_abort_msg("a row of kind '%c' is left", key.data[0]);
    }
}

static void check_connected(struct walk *walk, struct seen *s)
{
    size_t steps = 0;
    while (s->ino != KVFS_ROOT_INO) {
        ck_assert_msg(!s->own_row && steps++ < walk->count, "directory %" PRIu64 " hangs loose",
                      s->ino);
        s = find(walk, s->parent);
    }
}

static void check_totals(struct walk *walk, struct seen *s)
{
    const struct inode *inode = &s->inode;
    bool root = s->ino == KVFS_ROOT_INO;
    ck_assert(root || (s->ino >= FORMAT_INO_FIRST && s->ino < walk->next_inode));
    ck_assert_uint_eq(s->backptrs, root ? 0 : s->links);
    if (S_ISDIR(inode->mode)) {
        ck_assert_uint_eq(s->links, root ? 0 : 1);
        ck_assert_uint_eq(inode->nlink, 2 + s->subdirectories);
        ck_assert_uint_eq(inode->size, s->entries);
        check_connected(walk, s);
    } else {
        ck_assert_uint_eq(s->links, inode->nlink);
    }
    if (S_ISREG(inode->mode)) {
        ck_assert_uint_eq(inode->allocated, s->extent_bytes);
    }
}

void fs_check(struct kvfs *fs)
{
    struct walk walk = {0};
    ck_ok(kv_table_open(kvfs_store(fs), FORMAT_TABLE_META, NULL, &walk.meta));
    ck_ok(kv_table_open(kvfs_store(fs), FORMAT_TABLE_DATA, NULL, &walk.data));
    each_row(&walk, walk.meta, collect);
    qsort(walk.seen, walk.count, sizeof *walk.seen, by_ino);
    for (size_t i = 1; i < walk.count; i++) {
        ck_assert_uint_ne(walk.seen[i - 1].ino, walk.seen[i].ino);
    }
    each_row(&walk, walk.meta, check_meta_row);
    each_row(&walk, walk.data, check_extent);
    for (size_t i = 0; i < walk.count; i++) {
        check_totals(&walk, &walk.seen[i]);
    }
    free(walk.seen);
}
