/* SPDX-License-Identifier: Apache-2.0 */
/* Each attribute is looked up in the index. If there are as many entries as were found so, there is
 * none too many; only otherwise the entries are gone through. */
#include "fs/core/check_index.h"

#include <inttypes.h>
#include <stdio.h>

#include <kv/admin.h>
#include <kv/index_entry.h>

struct index_check {
    struct kvfs *fs;
    const struct kv_snapshot *snapshot;
    kvfs_fault_fn *fn;
    void *arg;
    uint64_t matched;
    struct kv_buf entry, value;
};

static void fault(struct index_check *c, int code, uint64_t ino, const char *what)
{
    char text[512];
    snprintf(text, sizeof text, "inode %" PRIu64 ": %s of %s", ino, what, c->fs->index.name);
    c->fn(c->arg, code, text);
}

static void unreadable(struct index_check *c)
{
    char text[512];
    snprintf(text, sizeof text, "the index of %s cannot be read", c->fs->index.name);
    c->fn(c->arg, KV_PROBLEM_FS_INDEX_UNREADABLE, text);
}

/* 1: nobody can expect it to be whole. */
static int read_state(const struct index_check *c)
{
    struct kv_index_state state;
    struct kv_buf bytes = {0};
    int r = fs_result(kv_get_copy(c->fs->index.table, c->snapshot, kv_index_state_key(), &bytes));
    if (r == 0) {
        r = kv_index_state_get(kv_buf_slice(&bytes), &state) < 0 ? -EIO : !state.built;
    }
    kv_buf_finish(&bytes);
    return r == -ENOENT ? 1 : r;
}

static int check_row(struct index_check *c, uint64_t ino, struct kv_slice row)
{
    int r = attr_index_entry(kv_slice_behind(row, 1), ino, &c->entry);
    if (r == 0) {
        r = fs_result(kv_exists(c->fs->index.table, c->snapshot, kv_buf_slice(&c->entry)));
        c->matched += r == 0;
    }
    if (r == -ENOENT) {
        fault(c, KV_PROBLEM_FS_INDEX_MISSING, ino, "the index lacks its");
        r = 0;
    }
    return r;
}

static int check_rows(struct index_check *c)
{
    const struct rowkey lower = {.size = 1, .bytes = {ROW_XATTR}};
    const struct rowkey upper = {.size = 1, .bytes = {ROW_XATTR + 1}};
    struct kv_iter *iter = NULL;
    struct kv_slice row;
    struct kv_slice name;
    uint64_t ino;
    int r = fs_iter(c->fs->meta, c->snapshot, &lower, &upper, &iter);
    if (r < 0) {
        return r;
    }
    for (kv_iter_seek_first(iter); r == 0 && kv_iter_valid(iter); kv_iter_next(iter)) {
        if (rowkey_decode_xattr(kv_iter_key(iter), &ino, &name) &&
            attr_index_has(&c->fs->index, name) && kv_iter_value(iter, &row) == 0 && row.size > 0) {
            r = check_row(c, ino, row);
        }
    }
    r = r != 0 ? r : fs_iter_result(iter);
    kv_iter_destroy(iter);
    return r;
}

/* Of a row that cannot be read nobody knows what it said. */
static int check_entry(struct index_check *c, struct kv_slice entry)
{
    struct kv_pinned pinned;
    struct rowkey key;
    uint64_t ino = 0;
    int r = attr_index_entry_get(entry, &c->value, &ino);
    if (r == -ENOMEM) {
        return r;
    }
    if (r == 0) {
        rowkey_xattr(&key, ino, attr_index_name(&c->fs->index));
        r = fs_get(c->fs->meta, c->snapshot, &key, &pinned);
    }
    if (r == 0) {
        struct kv_slice value = attr_index_key(kv_slice_behind(pinned.value, 1));
        bool same = pinned.value.size > 0 && kv_slice_equal(value, kv_buf_slice(&c->value));
        r = same ? 0 : -ENOENT;
        kv_pinned_release(&pinned);
    }
    if (r == -ENOENT || r == -EBADMSG) {
        fault(c, KV_PROBLEM_FS_INDEX_SURPLUS, ino, "the index has another");
    }
    return 0;
}

typedef int entry_fn(struct index_check *c, struct kv_slice entry);

static int each_entry(struct index_check *c, entry_fn *fn, uint64_t *ret_count)
{
    struct kv_iter_options options = {.snapshot = c->snapshot,
                                      .lower = kv_index_entries_from(),
                                      .upper = kv_index_entries_to(),
                                      .keep_cache = true};
    struct kv_iter *iter = NULL;
    int r = fs_result(kv_iter_create(c->fs->index.table, &options, &iter));
    if (r < 0) {
        return r;
    }
    *ret_count = 0;
    for (kv_iter_seek_first(iter); r == 0 && kv_iter_valid(iter); kv_iter_next(iter)) {
        r = fn != NULL ? fn(c, kv_iter_key(iter)) : 0;
        ++*ret_count;
    }
    r = r != 0 ? r : fs_iter_result(iter);
    kv_iter_destroy(iter);
    return r;
}

int check_index(struct kvfs *fs, const struct kv_snapshot *snapshot, kvfs_fault_fn *fn, void *arg)
{
    struct index_check c = {.fs = fs, .snapshot = snapshot, .fn = fn, .arg = arg};
    uint64_t entries = 0;
    if (fs->index.table == NULL) {
        return 0;
    }
    int r = read_state(&c);
    r = r != 0 ? r : check_rows(&c);
    r = r != 0 ? r : each_entry(&c, NULL, &entries);
    if (r == 0 && entries != c.matched) {
        r = each_entry(&c, check_entry, &entries);
    }
    if (r == -EIO) {
        unreadable(&c);
    }
    kv_buf_finish(&c.entry);
    kv_buf_finish(&c.value);
    return r == -EIO || r == 1 ? 0 : r;
}
