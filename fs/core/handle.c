/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/core/handle.h"

#include <fcntl.h>
#include <stdlib.h>

#include "fs/core/flags.h"
#include "fs/core/fs_internal.h"

struct kvfs_file {
    struct kvfs *fs;
    uint64_t ino; /* 0: none yet */
};

int handle_create(struct kvfs *fs, struct kvfs_file **ret_file)
{
    struct kvfs_file *file = calloc(1, sizeof *file);
    if (file == NULL) {
        return -ENOMEM;
    }
    file->fs = fs;
    *ret_file = file;
    return 0;
}

void handle_attach(struct kvfs_file *file, uint64_t ino)
{
    file->ino = ino;
}

static int reference_regular(struct kvfs *fs, uint64_t ino, int flags)
{
    struct node node;
    stripe_lock(&fs->stripes, ino);
    int r = node_load(fs, ino, NULL, &node);
    if (r == 0 && !S_ISREG(node.inode.mode)) {
        r = S_ISDIR(node.inode.mode) ? -EISDIR : S_ISLNK(node.inode.mode) ? -ELOOP : -ENXIO;
    }
    if (r == 0) {
        r = flags_check_open(&node.inode, flags);
    }
    if (r == 0) {
        r = lookup_table_add(&fs->lookups, ino);
    }
    stripe_unlock(&fs->stripes, ino);
    return r;
}

int kvfs_file_open(struct kvfs *fs, uint64_t ino, int flags, struct kvfs_file **ret_file)
{
    struct kvfs_file *file = NULL;
    struct kvfs_entry entry;
    struct stat empty = {0};
    int r = handle_create(fs, &file);
    if (r < 0) {
        return r;
    }
    if (fs->read_only && (flags & (O_ACCMODE | O_TRUNC)) != O_RDONLY) {
        r = -EROFS;
    }
    if (r == 0) {
        r = reference_regular(fs, ino, flags);
    }
    if (r == 0) {
        handle_attach(file, ino);
        if ((flags & O_TRUNC) != 0) {
            unsigned kill = (flags & KVFS_OPEN_KILL_PRIV) != 0 ? KVFS_KILL_PRIV : 0;
            r = kvfs_setattr(fs, ino, &empty, KVFS_SET_SIZE | kill, &entry);
        }
    }
    if (r < 0) {
        kvfs_file_close(file);
        return r;
    }
    *ret_file = file;
    return 0;
}

void kvfs_file_close(struct kvfs_file *file)
{
    if (file == NULL) {
        return;
    }
    if (file->ino != 0) {
        kvfs_forget(file->fs, file->ino, 1);
    }
    free(file);
}
