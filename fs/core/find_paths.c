/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/core/find_paths.h"

#include <stdlib.h>

int find_paths_init(struct find_paths *paths, struct kvfs *fs, const struct kv_snapshot *snapshot)
{
    *paths = (struct find_paths){.fs = fs,
                                 .snapshot = snapshot,
                                 .lower = {.size = 1, .bytes = {ROW_BACKPTR}},
                                 .upper = {.size = 1, .bytes = {ROW_BACKPTR + 1}}};
    paths->dirs = calloc(FIND_DIRS, sizeof *paths->dirs);
    paths->above = malloc(FIND_PATH_SIZE_MAX);
    int r = paths->dirs != NULL && paths->above != NULL ? 0 : -ENOMEM;
    r = r < 0 ? r : fs_iter(fs->meta, snapshot, &paths->lower, &paths->upper, &paths->links);
    if (r < 0) {
        free(paths->dirs);
        free(paths->above);
    }
    return r;
}

void find_paths_finish(struct find_paths *paths)
{
    for (unsigned i = 0; i < FIND_DIRS; i++) {
        kv_buf_finish(&paths->dirs[i].path);
    }
    free(paths->dirs);
    free(paths->above);
    kv_buf_finish(&paths->path);
    kv_iter_destroy(paths->links);
}

/* ---- directories ------------------------------------------------------------------------------
 */

static struct find_dir *place_of(struct find_paths *paths, uint64_t ino)
{
    return &paths->dirs[ino % FIND_DIRS];
}

static int remember(struct find_paths *paths, uint64_t ino, struct kv_slice path)
{
    struct find_dir *dir = place_of(paths, ino);
    if (path.size > FIND_DIR_PATH_SIZE_MAX) {
        return 0;
    }
    dir->ino = 0;
    int r = kv_buf_assign(&dir->path, path);
    dir->ino = r == 0 ? ino : 0;
    return r;
}

/* Put `bytes` before what stands behind `*at` in `above`. -EIO it is too much. */
static int prepend(struct find_paths *paths, size_t *at, struct kv_slice bytes)
{
    if (bytes.size > *at) {
        return -EIO;
    }
    *at -= bytes.size;
    if (bytes.size > 0) {
        memcpy(paths->above + *at, bytes.data, bytes.size);
    }
    return 0;
}

/* The back-pointer of an inode that lives in its entry. `ret_name` lives until `ret_row` is
 * released, which a success calls for. -ENOENT: there is none. */
static int get_backptr(struct find_paths *paths, uint64_t ino, struct kv_pinned *ret_row,
                       uint64_t *ret_parent, struct kv_slice *ret_name)
{
    struct summary summary;
    struct rowkey key;
    rowkey_backptr(&key, ino);
    int r = fs_get(paths->fs->meta, paths->snapshot, &key, ret_row);
    if (r == 0 && backptr_decode(ret_row->value, ret_parent, ret_name, &summary) < 0) {
        kv_pinned_release(ret_row);
        r = fs_row_damaged(paths->fs, rowkey_slice(&key), "it is no back-pointer");
    }
    return r;
}

static int backptr_missing(struct find_paths *paths, uint64_t ino)
{
    struct rowkey key;
    rowkey_backptr(&key, ino);
    return fs_row_damaged(paths->fs, rowkey_slice(&key), "it is missing");
}

/* The name of a directory and a slash; `*ino` becomes the one above. */
static int prepend_name(struct find_paths *paths, size_t *at, uint64_t *ino)
{
    struct kv_pinned row;
    struct kv_slice name;
    uint64_t parent;
    int r = get_backptr(paths, *ino, &row, &parent, &name);
    if (r < 0) {
        return r == -ENOENT ? backptr_missing(paths, *ino) : r;
    }
    r = prepend(paths, at, kv_slice("/", 1));
    r = r < 0 ? r : prepend(paths, at, name);
    *ino = parent;
    kv_pinned_release(&row);
    return r;
}

/* The path of a directory with a slash behind it, empty of the root; lives until the next call. */
static int directory_path(struct find_paths *paths, uint64_t ino, struct kv_slice *ret_path)
{
    size_t at = FIND_PATH_SIZE_MAX;
    uint64_t above = ino;
    int r = 0;
    while (r == 0 && above != KVFS_ROOT_INO) {
        const struct find_dir *known = place_of(paths, above);
        if (known->ino == above) {
            r = prepend(paths, &at, kv_buf_slice(&known->path));
            break;
        }
        r = prepend_name(paths, &at, &above);
    }
    if (r < 0) {
        return r;
    }
    *ret_path = kv_slice(paths->above + at, FIND_PATH_SIZE_MAX - at);
    return ino == KVFS_ROOT_INO || above == ino ? 0 : remember(paths, ino, *ret_path);
}

/* ---- links ------------------------------------------------------------------------------------
 */

static int give(struct find_paths *paths, uint64_t parent, struct kv_slice name, find_path_fn *fn,
                void *arg)
{
    struct kv_slice above;
    int r = directory_path(paths, parent, &above);
    r = r < 0 ? r : kv_buf_assign(&paths->path, above);
    r = r < 0 ? r : kv_buf_append(&paths->path, name);
    return r < 0 ? r : fn(arg, kv_buf_slice(&paths->path));
}

/* The one link of an inode that lives in its entry. -ENOENT: it does not, or is lost. A get, not a
 * seek: filters tell which table holds the row, and most files have one link. */
static int give_only_link(struct find_paths *paths, uint64_t ino, find_path_fn *fn, void *arg)
{
    struct kv_pinned row;
    struct kv_slice name;
    uint64_t parent;
    int r = get_backptr(paths, ino, &row, &parent, &name);
    if (r == 0) {
        r = give(paths, parent, name, fn, arg);
        kv_pinned_release(&row);
    }
    return r;
}

/* Nobody names it: it is unlinked and still open, or its names are lost. */
static int check_orphan(struct find_paths *paths, uint64_t ino)
{
    struct rowkey key;
    rowkey_orphan(&key, ino);
    int r = fs_result(kv_exists(paths->fs->meta, paths->snapshot, rowkey_slice(&key)));
    return r == -ENOENT ? backptr_missing(paths, ino) : r;
}

/* The links of an inode that has a row of its own. */
static int give_links(struct find_paths *paths, uint64_t ino, find_path_fn *fn, void *arg)
{
    struct kv_slice name;
    struct rowkey first;
    uint64_t parent;
    uint64_t at;
    unsigned links = 0;
    int failed = 0;
    int r = 0;
    rowkey_backptr(&first, ino);
    for (kv_iter_seek(paths->links, rowkey_slice(&first)); r == 0 && kv_iter_valid(paths->links);
         kv_iter_next(paths->links)) {
        if (!rowkey_decode_backptr(kv_iter_key(paths->links), &at, &parent, &name) || at != ino) {
            break;
        }
        links++;
        r = give(paths, parent, name, fn, arg);
        failed = r == -EIO ? r : failed;
        r = r == -EIO ? 0 : r;
    }
    if (r == 0 && !kv_iter_valid(paths->links)) {
        r = fs_result(kv_iter_error(paths->links));
    }
    if (r == 0 && links == 0) {
        r = check_orphan(paths, ino);
    }
    return r != 0 ? r : failed;
}

int find_paths_each(struct find_paths *paths, uint64_t ino, find_path_fn *fn, void *arg)
{
    if (ino == KVFS_ROOT_INO) {
        return fn(arg, kv_slice(".", 1));
    }
    int r = give_only_link(paths, ino, fn, arg);
    return r == -ENOENT ? give_links(paths, ino, fn, arg) : r;
}
