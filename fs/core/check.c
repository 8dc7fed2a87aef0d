/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over all rows: whether they fit together as docs/format.md says.
 *
 * All rows of an inode carry its number behind their kind, so one cursor for each kind, all going
 * up, meet the rows of one inode at the same time. What an inode is compared with elsewhere (the
 * entry that a back-pointer names) is one look-up. Each back-pointer that fits names another entry;
 * so if there are as many of the one as of the other no entry is without, and only otherwise the
 * entries are gone through again. Memory is needed for directories alone: a few words each, to see
 * in the end whether they hang together. */
#include "fs/core/check.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <kv/admin.h>

#include "fs/core/acl.h"
#include "fs/core/check_facts.h"
#include "fs/core/check_index.h"
#include "fs/core/mend.h"
#include "kvcore/util/coding.h"

static const enum row_kind cursor_kinds[CURSORS] = {
    ROW_DIRENT, ROW_INODE, ROW_BACKPTR, ROW_XATTR, ROW_ORPHAN, ROW_EXTENT,
};

#define NO_INO UINT64_MAX

/* ---- faults -----------------------------------------------------------------------------------
 */

__attribute__((format(printf, 4, 5))) static void fault(struct check *c, int code, uint64_t ino,
                                                        const char *format, ...)
{
    char text[512];
    va_list arguments;
    int at = snprintf(text, sizeof text, "inode %" PRIu64 ": ", ino);
    va_start(arguments, format);
    vsnprintf(text + at, sizeof text - (size_t)at, format, arguments);
    va_end(arguments);
    c->counts.faults++;
    c->fn(c->arg, code, text);
}

void check_tell_row(struct check *c, int code, struct kv_slice key, const char *why)
{
    char printed[400];
    char text[512];
    rowkey_print(key, printed, sizeof printed);
    snprintf(text, sizeof text, "row '%s': %s", printed, why);
    c->counts.faults++;
    c->fn(c->arg, code, text);
}

/* ---- cursors ----------------------------------------------------------------------------------
 */

static struct kv_table *cursor_table(const struct check *c, const struct cursor *cursor)
{
    return cursor == &c->cursors[EXTENTS] ? c->fs->data : c->fs->meta;
}

/* The number of the row where the cursor stands. No bytes but those of a valid number are an inode;
 * such rows are told and passed. */
static void cursor_settle(struct check *c, struct cursor *cursor)
{
    while (kv_iter_valid(cursor->iter)) {
        struct kv_slice key = kv_iter_key(cursor->iter);
        uint64_t ino = key.size >= FORMAT_PREFIX_SIZE ? coding_get_be64(key.data + 1) : 0;
        if (rowkey_ino_is_valid(ino)) {
            cursor->ino = ino;
            return;
        }
        check_tell_row(c, KV_PROBLEM_FS_ROW_UNKNOWN, key, "it belongs to no inode");
        mend_delete_row(c, cursor_table(c, cursor), key);
        kv_iter_next(cursor->iter);
    }
    cursor->ino = NO_INO;
}

static int open_cursors(struct check *c)
{
    int r = 0;
    for (int i = 0; i < CURSORS && r == 0; i++) {
        struct cursor *cursor = &c->cursors[i];
        cursor->lower = (struct rowkey){.size = 1, .bytes = {(uint8_t)cursor_kinds[i]}};
        cursor->upper = (struct rowkey){.size = 1, .bytes = {(uint8_t)(cursor_kinds[i] + 1)}};
        r = fs_iter(cursor_table(c, cursor), c->snapshot, &cursor->lower, &cursor->upper,
                    &cursor->iter);
        if (r == 0) {
            kv_iter_seek_first(cursor->iter);
            cursor_settle(c, cursor);
        }
    }
    return r;
}

/* The smallest number that any cursor stands at. */
static uint64_t next_ino(const struct check *c)
{
    uint64_t ino = NO_INO;
    for (int i = 0; i < CURSORS; i++) {
        ino = c->cursors[i].ino < ino ? c->cursors[i].ino : ino;
    }
    return ino;
}

bool check_is_gone(struct check *c, int error)
{
    bool gone = error == -ENOENT || check_is_lost(error);
    if (!gone && c->error == 0) {
        c->error = error;
    }
    return gone;
}

typedef void row_fn(struct check *c, struct subject *s, struct kv_slice key, struct kv_slice value);

/* Of an extent its size says all; so large values are not read. What has no size is no extent, and
 * reading tells why. */
static int read_value(const struct cursor *cursor, enum cursor_id id, struct kv_slice *ret_value)
{
    size_t size = id == EXTENTS ? kv_iter_value_size(cursor->iter) : 0;
    if (size > 0) {
        *ret_value = kv_slice(NULL, size);
        return 0;
    }
    return kv_iter_value(cursor->iter, ret_value);
}

/* All rows of one kind of the inode. A value that cannot be read is a fault, but for an extent that
 * is known to be lost. */
static void each_row(struct check *c, enum cursor_id id, struct subject *s, row_fn *fn)
{
    struct cursor *cursor = &c->cursors[id];
    while (cursor->ino == s->ino) {
        struct kv_slice value = kv_slice(NULL, 0);
        bool lost = id == EXTENTS && kv_iter_is_lost(cursor->iter);
        int r = lost ? 0 : read_value(cursor, id, &value);
        if (r == 0) {
            c->counts.lost_extents += lost;
            fn(c, s, kv_iter_key(cursor->iter), value);
        } else if (check_is_gone(c, r)) {
            check_tell_row(c, KV_PROBLEM_FS_ROW_LOST, kv_iter_key(cursor->iter),
                           "it cannot be read");
            mend_lost_row(c, id, kv_iter_key(cursor->iter));
            if (id == EXTENTS) { /* its key tells of it */
                fn(c, s, kv_iter_key(cursor->iter), value);
            }
        }
        kv_iter_next(cursor->iter);
        cursor_settle(c, cursor);
    }
}

/* ---- rows of one inode ------------------------------------------------------------------------
 */

static void take_inode(struct subject *s, const struct inode *inode, const struct rowkey *home,
                       bool own_row)
{
    s->home = *home;
    s->inode = *inode;
    s->inode.target = kv_slice(NULL, 0);
    s->known = true;
    s->own_row = own_row;
}

static void read_inode_row(struct check *c, struct subject *s, struct kv_slice key,
                           struct kv_slice value)
{
    struct inode inode;
    struct rowkey home;
    uint64_t ino;
    if (!rowkey_decode_ino(key, ROW_INODE, &ino) || inode_decode(value, &inode) < 0) {
        check_tell_row(c, KV_PROBLEM_FS_INODE, key, "it is no inode");
        mend_lost_row(c, INODES, key);
        return;
    }
    rowkey_inode(&home, ino);
    take_inode(s, &inode, &home, true);
}

static void read_orphan_row(struct check *c, struct subject *s, struct kv_slice key,
                            struct kv_slice value)
{
    uint64_t ino;
    if (!rowkey_decode_ino(key, ROW_ORPHAN, &ino) || value.size != 1 || value.data[0] != 0) {
        check_tell_row(c, KV_PROBLEM_FS_ORPHAN, key, "it is no mark of an orphan");
        mend_lost_row(c, ORPHANS, key);
        return;
    }
    s->orphan = true;
    c->counts.orphans++;
}

/* A back-pointer, and where it points. */
struct backptr {
    struct kv_slice key;
    uint64_t parent;
    struct kv_slice name;
    struct rowkey entry;
    bool is_link; /* of an inode with an I row */
};

/* The entry that a back-pointer names. */
static void check_named_entry(struct check *c, struct subject *s, const struct backptr *pointer,
                              struct kv_slice value)
{
    struct kv_slice backptr = pointer->key;
    struct dir_entry entry;
    bool senseless = dirent_decode(value, &entry) < 0;
    if (senseless || entry.ino != s->ino) {
        check_tell_row(c, KV_PROBLEM_FS_BACK_POINTER_ENTRY, backptr,
                       "the entry it names is not one of this inode");
        if (senseless) {
            mend_missing_entry(c, s, &pointer->entry, backptr, pointer->is_link);
        } else {
            mend_delete_row(c, c->fs->meta, backptr);
        }
        return;
    }
    if (entry.has_inode == s->own_row) {
        check_tell_row(c, KV_PROBLEM_FS_BACK_POINTER_ENTRY, backptr,
                       "the inode must stand either in its entry or in a row of its own");
        return;
    }
    if (entry.has_inode && s->known) {
        check_tell_row(c, KV_PROBLEM_FS_BACK_POINTER_ENTRY, backptr,
                       "it is one of several entries that hold the inode");
        return;
    }
    if (entry.has_inode) {
        take_inode(s, &entry.inode, &pointer->entry, false);
    }
    if ((mode_t)DTTOIF(entry.type) != (s->inode.mode & S_IFMT)) {
        check_tell_row(c, KV_PROBLEM_FS_TYPE, backptr,
                       "the entry tells another type than the inode");
        mend_type(c, s, &pointer->entry);
    }
    s->links++;
    c->matched++;
}

static void read_backptr(struct check *c, struct subject *s, struct kv_slice key,
                         struct kv_slice value)
{
    struct kv_pinned pinned;
    struct summary summary;
    struct backptr pointer = {.key = key};
    uint64_t ino;
    int r = rowkey_decode_backptr(key, &ino, &pointer.parent, &pointer.name) ? 0 : -KV_EDAMAGED;
    pointer.is_link = r == 0 && pointer.parent != 0;
    if (r == 0) {
        r = pointer.is_link ? summary_decode(value, &summary)
                            : backptr_decode(value, &pointer.parent, &pointer.name, &summary);
    }
    if (r < 0) {
        check_tell_row(c, KV_PROBLEM_FS_BACK_POINTER, key, "it is no back-pointer");
        mend_lost_row(c, BACKPTRS, key);
        return;
    }
    s->parent = pointer.parent;
    s->summary = summary;
    s->has_summary = true;
    s->link_pointers += pointer.is_link;
    rowkey_dirent(&pointer.entry, pointer.parent, pointer.name);
    r = fs_get(c->fs->meta, c->snapshot, &pointer.entry, &pinned);
    if (r < 0 && check_is_gone(c, r)) {
        check_tell_row(c, KV_PROBLEM_FS_BACK_POINTER_ENTRY, key, "the entry it names is missing");
        mend_missing_entry(c, s, &pointer.entry, key, pointer.is_link);
    }
    if (r < 0) {
        return;
    }
    check_named_entry(c, s, &pointer, pinned.value);
    kv_pinned_release(&pinned);
    if (s->known && (summary.mode != s->inode.mode || summary.uid != s->inode.uid ||
                     summary.gid != s->inode.gid)) {
        check_tell_row(c, KV_PROBLEM_FS_BACK_POINTER_SUMMARY, key,
                       "its mode or owner are not the inode's");
        mend_summary(c, s, pointer.parent, pointer.name, pointer.is_link);
    }
}

static void read_entry(struct check *c, struct subject *s, struct kv_slice key,
                       struct kv_slice value)
{
    struct dir_entry entry;
    struct kv_slice name;
    uint64_t parent;
    c->counts.entries++;
    s->entries++;
    if (!rowkey_decode_dirent(key, &parent, &name) || dirent_decode(value, &entry) < 0) {
        check_tell_row(c, KV_PROBLEM_FS_ENTRY, key, "it is no entry");
        mend_lost_row(c, ENTRIES, key);
        return;
    }
    s->subdirectories += entry.type == DT_DIR;
}

/* What makes an extent of that size lost, as it does for who reads; false: nothing. */
static bool tell_extent(struct check *c, const struct subject *s, struct kv_slice key, uint64_t end,
                        uint64_t size)
{
    uint64_t chunk = (end - 1) / FORMAT_CHUNK_BYTES * FORMAT_CHUNK_BYTES;
    bool is_none = size > end;
    bool overlaps = !is_none && end - size < s->extent_end;
    bool crosses = !is_none && end - size < chunk;
    if (is_none) {
        check_tell_row(c, KV_PROBLEM_FS_EXTENT, key, "it is no extent");
    }
    if (overlaps) {
        check_tell_row(c, KV_PROBLEM_FS_EXTENT_OVERLAP, key, "it overlaps the extent before it");
    }
    if (crosses) {
        check_tell_row(c, KV_PROBLEM_FS_EXTENT, key, "it crosses the border of a chunk");
    }
    return is_none || overlaps || crosses;
}

/* `value` has no bytes, only a size; none: it is lost. */
static void read_extent(struct check *c, struct subject *s, struct kv_slice key,
                        struct kv_slice value)
{
    uint64_t ino;
    uint64_t end;
    c->counts.extents++;
    if (!rowkey_decode_extent(key, &ino, &end)) {
        check_tell_row(c, KV_PROBLEM_FS_EXTENT, key, "it is no extent");
        mend_delete_row(c, c->fs->data, key);
        return;
    }
    uint64_t start = end - value.size;
    bool is_lost = value.size == 0;
    if (!is_lost && tell_extent(c, s, key, end, value.size)) {
        mend_lost_extent(c, key);
        is_lost = true;
    }
    if (is_lost) {
        uint64_t chunk = (end - 1) / FORMAT_CHUNK_BYTES * FORMAT_CHUNK_BYTES;
        start = s->extent_end > chunk ? s->extent_end : chunk;
        s->lost_bytes += end - start;
    }
    if (s->known && end > s->inode.size) {
        check_tell_row(c, KV_PROBLEM_FS_EXTENT_BEYOND, key, "it ends beyond the end of the file");
    }
    s->extent_end = end;
    s->extent_bytes += end - start;
}

static void read_xattr(struct check *c, struct subject *s, struct kv_slice key,
                       struct kv_slice value)
{
    struct kv_slice name;
    uint64_t ino;
    c->counts.xattrs++;
    if (!rowkey_decode_xattr(key, &ino, &name) || value.size < 1 || value.data[0] != 0) {
        check_tell_row(c, KV_PROBLEM_FS_XATTR, key, "it is no extended attribute");
        mend_lost_row(c, XATTRS, key);
        return;
    }
    enum acl_kind kind = acl_kind(name);
    s->hints |= INODE_HINT_XATTRS | acl_hint(kind);
    if (!s->known) {
        return;
    }
    if ((s->inode.hints & INODE_HINT_XATTRS) == 0) {
        check_tell_row(c, KV_PROBLEM_FS_XATTR_HINT, key,
                       "the inode says that it has no extended attributes");
    }
    if (kind == ACL_NONE) {
        return;
    }
    struct kv_slice acl = kv_slice(value.data + 1, value.size - 1);
    bool fits = acl_check(acl) == 0 &&
                (kind != ACL_ACCESS || acl_mode(acl) == (s->inode.mode & 0777)) &&
                (kind != ACL_DEFAULT || S_ISDIR(s->inode.mode));
    if (!fits || !acl_may_exist(&s->inode, kind)) {
        check_tell_row(c, KV_PROBLEM_FS_ACL, key, "it is no ACL that this inode can have");
    }
    if (!fits) {
        mend_lost_row(c, XATTRS, key);
    }
}

/* ---- one inode --------------------------------------------------------------------------------
 */

static int note_directory(struct check *c, const struct subject *s)
{
    if (c->directory_count == c->directory_capacity) {
        size_t capacity = c->directory_capacity * 2 + 64;
        struct directory *grown = realloc(c->directories, capacity * sizeof *grown);
        if (grown == NULL) {
            return -ENOMEM;
        }
        c->directories = grown;
        c->directory_capacity = capacity;
    }
    c->directories[c->directory_count++] = (struct directory){
        .ino = s->ino, .parent = s->parent, .hangs_on = s->ino == KVFS_ROOT_INO || s->orphan};
    return 0;
}

static void expect(struct check *c, const struct subject *s, const char *what, uint64_t said,
                   uint64_t found)
{
    if (said != found) {
        fault(c, KV_PROBLEM_FS_COUNT, s->ino, "%s is said to be %" PRIu64 " and is %" PRIu64, what,
              said, found);
    }
}

static int check_directory(struct check *c, const struct subject *s)
{
    c->counts.directories++;
    if (s->ino != KVFS_ROOT_INO && !s->orphan) {
        expect(c, s, "the number of names of the directory", 1, s->links);
        if (s->own_row) {
            fault(c, KV_PROBLEM_FS_BACK_POINTER_ENTRY, s->ino,
                  "the directory does not live in its entry");
        }
    }
    if (!s->orphan) {
        expect(c, s, "the link count", s->inode.nlink, 2 + s->subdirectories);
    }
    expect(c, s, "the number of entries", s->inode.size, s->entries);
    return note_directory(c, s);
}

/* Without the fact the next repair takes holes of a lost inode for holes. */
static void check_lost_below(struct check *c, const struct subject *s)
{
    struct rowkey key;
    if (s->inode.lost_below == 0) {
        return;
    }
    c->counts.lost_holes++;
    if (!c->has_lost_below_fact) {
        rowkey_fact(&key, FORMAT_FACT_LOST_BELOW);
        check_tell_row(c, KV_PROBLEM_FS_FACT, rowkey_slice(&key), "it is missing");
        mend_note_lost_below(c);
        c->has_lost_below_fact = true;
    }
}

static int check_totals(struct check *c, const struct subject *s)
{
    c->counts.inodes++;
    if (s->ino != KVFS_ROOT_INO && (s->ino < FORMAT_INO_FIRST || s->ino >= c->ino_limit)) {
        fault(c, KV_PROBLEM_FS_INODE_NUMBER, s->ino,
              "the number was never given (the next one is %" PRIu64 ")", c->ino_limit);
    }
    if (s->orphan && (!s->own_row || s->inode.nlink != 0 || s->links != 0)) {
        fault(c, KV_PROBLEM_FS_ORPHAN, s->ino, "it is marked as an orphan and is none");
    }
    if (S_ISREG(s->inode.mode)) {
        expect(c, s, "the number of bytes allocated", s->inode.allocated, s->extent_bytes);
        check_lost_below(c, s);
    } else if (s->extent_end != 0) {
        fault(c, KV_PROBLEM_FS_TYPE, s->ino, "it has extents and is no regular file");
    }
    if (S_ISDIR(s->inode.mode)) {
        return check_directory(c, s);
    }
    if (s->entries != 0) {
        fault(c, KV_PROBLEM_FS_TYPE, s->ino, "it has entries and is no directory");
    }
    if (s->inode.nlink == 0 && !s->orphan) {
        fault(c, KV_PROBLEM_FS_NO_LINKS, s->ino, "it has no links and is not marked as an orphan");
    }
    expect(c, s, "the link count", s->inode.nlink, s->links);
    return 0;
}

static int check_inode(struct check *c, uint64_t ino)
{
    struct subject s = {.ino = ino};
    each_row(c, INODES, &s, read_inode_row);
    each_row(c, ORPHANS, &s, read_orphan_row);
    each_row(c, BACKPTRS, &s, read_backptr);
    each_row(c, ENTRIES, &s, read_entry);
    each_row(c, XATTRS, &s, read_xattr);
    each_row(c, EXTENTS, &s, read_extent);
    mend_note_number(c, ino);
    if (s.known) {
        mend_totals(c, &s);
        return check_totals(c, &s);
    }
    fault(c, KV_PROBLEM_FS_NO_INODE, ino, "there are rows of it, and no inode");
    mend_no_inode(c, &s);
    return 0;
}

/* Whether whoever is told how far it is wants it to go on. */
static int goes_on(const struct check *c, uint64_t ino)
{
    const struct kvfs *fs = c->fs;
    return fs->walk_fn != NULL && fs->walk_fn(fs->walk_arg, ino, c->ino_limit) != 0 ? -ECANCELED
                                                                                    : 0;
}

static int check_inodes(struct check *c)
{
    int r = 0;
    for (uint64_t ino = next_ino(c); r == 0 && ino != NO_INO; ino = next_ino(c)) {
        r = goes_on(c, ino);
        r = r < 0 ? r : check_inode(c, ino);
    }
    for (int i = 0; i < CURSORS && r == 0; i++) {
        r = fs_iter_result(c->cursors[i].iter);
    }
    return r;
}

/* ---- between inodes ---------------------------------------------------------------------------
 */

/* The back-pointer that belongs to an entry, which is decoded. */
static bool entry_is_matched(struct check *c, struct kv_slice key, struct kv_slice value,
                             struct dir_entry *ret_entry)
{
    struct kv_pinned pinned;
    struct dir_entry entry;
    struct summary summary;
    struct kv_slice name;
    struct kv_slice back_name;
    struct rowkey backptr;
    uint64_t parent;
    uint64_t back_parent = 0;
    if (!rowkey_decode_dirent(key, &parent, &name) || dirent_decode(value, &entry) < 0) {
        return true; /* told before */
    }
    *ret_entry = entry;
    if (entry.has_inode) {
        rowkey_backptr(&backptr, entry.ino);
    } else {
        rowkey_backlink(&backptr, entry.ino, parent, name);
    }
    int r = fs_get(c->fs->meta, c->snapshot, &backptr, &pinned);
    if (r < 0) {
        return !check_is_gone(c, r);
    }
    bool matched = !entry.has_inode ||
                   (backptr_decode(pinned.value, &back_parent, &back_name, &summary) == 0 &&
                    back_parent == parent && kv_slice_equal(back_name, name));
    kv_pinned_release(&pinned);
    return matched;
}

static int find_unmatched_entries(struct check *c)
{
    struct kv_iter *iter = c->cursors[ENTRIES].iter;
    struct kv_slice value;
    struct dir_entry entry;
    for (kv_iter_seek_first(iter); kv_iter_valid(iter); kv_iter_next(iter)) {
        if (kv_iter_value(iter, &value) == 0 &&
            !entry_is_matched(c, kv_iter_key(iter), value, &entry)) {
            check_tell_row(c, KV_PROBLEM_FS_ENTRY_UNNAMED, kv_iter_key(iter),
                           "no back-pointer of its inode names it");
            mend_unnamed_entry(c, kv_iter_key(iter), &entry);
        }
    }
    return fs_iter_result(iter);
}

static int by_ino(const void *a, const void *b)
{
    uint64_t x = ((const struct directory *)a)->ino;
    uint64_t y = ((const struct directory *)b)->ino;
    return (x > y) - (x < y);
}

static struct directory *find_directory(struct check *c, uint64_t ino)
{
    struct directory wanted = {.ino = ino};
    return c->directory_count == 0
               ? NULL
               : bsearch(&wanted, c->directories, c->directory_count, sizeof wanted, by_ino);
}

/* Go up until something that is known to hang on the root, then the same way again and note it. */
static void check_connected(struct check *c, struct directory *from)
{
    size_t steps = 0;
    struct directory *at = from;
    while (at != NULL && !at->hangs_on && steps++ < c->directory_count) {
        at = find_directory(c, at->parent);
    }
    if (at == NULL || !at->hangs_on) {
        fault(c, KV_PROBLEM_FS_DISCONNECTED, from->ino, "the directory does not hang on the root");
        mend_ring(c, at);
    }
    for (at = from; at != NULL && !at->hangs_on; at = find_directory(c, at->parent)) {
        at->hangs_on = true; /* or is told once */
    }
}

/* Kinds that this version does not write. */
static int check_kinds(struct check *c, struct kv_table *table, const char *kinds)
{
    struct kv_iter_options options = {.snapshot = c->snapshot};
    struct kv_iter *iter = NULL;
    int r = fs_result(kv_iter_create(table, &options, &iter));
    if (r < 0) {
        return r;
    }
    kv_iter_seek_first(iter);
    while (kv_iter_valid(iter)) {
        struct kv_slice key = kv_iter_key(iter);
        uint8_t kind = key.size == 0 ? 0 : key.data[0];
        if (kind == 0 || strchr(kinds, kind) == NULL) {
            check_tell_row(c, KV_PROBLEM_FS_ROW_UNKNOWN, key, "no row of this kind belongs here");
            mend_delete_row(c, table, key);
            kv_iter_next(iter);
            continue;
        }
        uint8_t behind = (uint8_t)(kind + 1);
        kv_iter_seek(iter, kv_slice(&behind, 1));
    }
    r = fs_iter_result(iter);
    kv_iter_destroy(iter);
    return r;
}

static void index_fault(void *arg, int code, const char *text)
{
    struct check *c = arg;
    c->counts.faults++;
    c->fn(c->arg, code, text);
    mend_index(c);
}

static int check_all(struct check *c)
{
    int r = check_kinds(c, c->fs->meta, "MDIPXO");
    if (r == 0) {
        r = check_kinds(c, c->fs->data, "B");
    }
    if (r == 0) {
        r = open_cursors(c);
    }
    if (r == 0) {
        r = check_inodes(c);
    }
    if (r == 0 && c->matched != c->counts.entries) {
        r = find_unmatched_entries(c);
    }
    if (r == 0 && find_directory(c, KVFS_ROOT_INO) == NULL) {
        fault(c, KV_PROBLEM_FS_NO_ROOT, KVFS_ROOT_INO, "there is no root directory");
        mend_no_root(c);
    }
    for (size_t i = 0; r == 0 && i < c->directory_count; i++) {
        check_connected(c, &c->directories[i]);
    }
    return r == 0 ? check_index(c->fs, c->snapshot, index_fault, c) : r;
}

static int check(struct check *c, struct kvfs_check_counts *ret_counts)
{
    int r = kv_snapshot_create(c->fs->store, &c->snapshot);
    if (r == 0) {
        check_facts(c);
        mend_begin(c);
        r = check_all(c);
    }
    r = r == 0 ? c->error : r;
    if (r == 0) {
        r = mend_end(c);
    }
    for (int i = 0; i < CURSORS; i++) {
        if (c->cursors[i].iter != NULL) {
            kv_iter_destroy(c->cursors[i].iter);
        }
    }
    kv_snapshot_release(c->snapshot);
    free(c->directories);
    if (r == 0) {
        *ret_counts = c->counts;
    }
    return fs_result(r);
}

int kvfs_check(struct kvfs *fs, kvfs_fault_fn *fn, void *arg, struct kvfs_check_counts *ret_counts)
{
    struct check c = {.fs = fs, .fn = fn, .arg = arg};
    return check(&c, ret_counts);
}

static void tell_nobody(void *arg, int code, const char *text)
{
    (void)arg;
    (void)code;
    (void)text;
}

static int mend(struct kvfs *fs, kvfs_fault_fn *fn, void *arg, const struct mend *how,
                struct kvfs_check_counts *ret_counts)
{
    struct mend once = *how;
    struct check c = {.fs = fs, .fn = fn, .arg = arg, .mend = &once};
    int r = check(&c, ret_counts);
    if (r == 0 && ret_counts->faults > 0 && kv_batch_is_empty(how->batch)) {
        struct mend last = *how;
        last.last_resort = true;
        c = (struct check){.fs = fs, .fn = tell_nobody, .mend = &last};
        r = check(&c, ret_counts);
    }
    return r;
}

int kvfs_mend(struct kvfs *fs, kvfs_fault_fn *fn, void *arg, const struct kvfs_lost_rows *lost,
              struct kv_batch *rows, struct kvfs_check_counts *ret_counts)
{
    const struct kvfs_lost_rows none = {0};
    struct mend how = {
        .batch = rows, .knows_lost = lost != NULL, .notes_lost = lost == NULL || lost->repaired};
    int r = lost_keys_init(&how.data, lost != NULL ? &lost->data : &none.data);
    r = r < 0 ? r : lost_keys_init(&how.meta, lost != NULL ? &lost->meta : &none.meta);
    r = r < 0 ? r : mend(fs, fn, arg, &how, ret_counts);
    lost_keys_finish(&how.data);
    lost_keys_finish(&how.meta);
    return r;
}
