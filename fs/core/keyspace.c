/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/core/keyspace.h"

#include <dirent.h>
#include <stdio.h>

#include "fs/core/acl.h"
#include "fs/core/contents.h"
#include "fs/core/file.h"
#include "fs/core/flags.h"
#include "fs/core/fs_internal.h"
#include "fs/core/namei.h"

/* ---- keys -------------------------------------------------------------------------------------
 */

struct kv_slice key_next_component(struct kv_slice *rest)
{
    const uint8_t *slash = rest->size > 0 ? memchr(rest->data, '/', rest->size) : NULL;
    struct kv_slice name = *rest;
    if (slash == NULL) {
        *rest = kv_slice(rest->data + rest->size, 0);
        return name;
    }
    name.size = (size_t)(slash - rest->data);
    *rest = kv_slice(slash + 1, rest->size - name.size - 1);
    return name;
}

static const char *component_fault(struct kv_slice name)
{
    if (name.size == 0) {
        return "an empty component: '//' , or '/' at the start or the end";
    }
    if (memchr(name.data, 0, name.size) != NULL) {
        return "a NUL byte";
    }
    return rowkey_name_is_valid(name) ? NULL : "a component '.' or '..'";
}

int kvfs_key_check(struct kv_slice key, char *fault, size_t fault_size)
{
    if (key.size == 0) {
        snprintf(fault, fault_size, "the key is empty");
        return -EINVAL;
    }
    if (key.size > KVFS_KEY_SIZE_MAX) {
        snprintf(fault, fault_size, "the key has %zu bytes, at most %d are possible", key.size,
                 KVFS_KEY_SIZE_MAX);
        return -ENAMETOOLONG;
    }
    const uint8_t *end = key.data + key.size;
    for (const uint8_t *at = key.data; at <= end;) {
        const uint8_t *slash = at < end ? memchr(at, '/', (size_t)(end - at)) : NULL;
        struct kv_slice name = kv_slice(at, (size_t)((slash != NULL ? slash : end) - at));
        if (name.size > KVFS_NAME_SIZE_MAX) {
            snprintf(fault, fault_size, "a component of the key has %zu bytes, at most %d may",
                     name.size, KVFS_NAME_SIZE_MAX);
            return -ENAMETOOLONG;
        }
        const char *what = component_fault(name);
        if (what != NULL) {
            snprintf(fault, fault_size, "the key has %s", what);
            return -EINVAL;
        }
        at += name.size + 1;
    }
    return 0;
}

static int check_key(struct kv_slice key)
{
    char fault[128];
    return kvfs_key_check(key, fault, sizeof fault);
}

int key_walk(struct kvfs *fs, struct kv_slice key, struct key_walk *ret_walk)
{
    struct key_walk walk = {.at = {.parent = KVFS_ROOT_INO}, .rest = key};
    for (;;) {
        walk.at.name = key_next_component(&walk.rest);
        int r = dir_get(fs, NULL, walk.at, &walk.link);
        if (r < 0 && r != -ENOENT) {
            return r;
        }
        walk.missing = r == -ENOENT;
        if (walk.missing || walk.rest.size == 0) {
            *ret_walk = walk;
            return 0;
        }
        if (walk.link.type != DT_DIR) {
            return -ENOTDIR;
        }
        walk.at.parent = walk.link.ino;
    }
}

/* -EISDIR and -EINVAL for what is no regular file. */
static int check_regular(const struct key_walk *walk)
{
    if (walk->link.type == DT_REG) {
        return 0;
    }
    return walk->link.type == DT_DIR ? -EISDIR : -EINVAL;
}

/* ---- reading ----------------------------------------------------------------------------------
 */

int kvfs_key_get(struct kvfs *fs, struct kv_slice key, struct kv_buf *value)
{
    struct key_walk walk;
    struct node node;
    struct location hint;
    int r = check_key(key);
    if (r == 0) {
        r = key_walk(fs, key, &walk);
    }
    if (r == 0) {
        r = walk.missing ? -ENOENT : check_regular(&walk);
    }
    if (r < 0) {
        return r;
    }
    location_set(&hint, walk.at.parent, walk.at.name);
    stripe_lock(&fs->stripes, walk.link.ino);
    r = node_load(fs, walk.link.ino, &hint, &node);
    if (r == 0) {
        r = file_read_all(fs, NULL, &node, value);
    }
    stripe_unlock(&fs->stripes, walk.link.ino);
    return r;
}

int kvfs_key_stat(struct kvfs *fs, struct kv_slice key, struct kvfs_entry *ret_entry)
{
    struct key_walk walk;
    if (key.size == 0) {
        return kvfs_getattr(fs, KVFS_ROOT_INO, ret_entry);
    }
    int r = check_key(key);
    if (r == 0) {
        r = key_walk(fs, key, &walk);
    }
    if (r == 0 && walk.missing) {
        r = -ENOENT;
    }
    return r < 0 ? r : kvfs_getattr(fs, walk.link.ino, ret_entry);
}

/* ---- writing ----------------------------------------------------------------------------------
 */

void key_tell(struct kvfs *fs, uint64_t ino, struct kv_slice name)
{
    char text[KVFS_NAME_SIZE_MAX + 1];
    if (fs->changed_fn == NULL) {
        return;
    }
    if (name.size == 0) {
        fs->changed_fn(fs->changed_arg, ino, NULL);
        return;
    }
    memcpy(text, name.data, name.size);
    text[name.size] = 0;
    fs->changed_fn(fs->changed_arg, ino, text);
}

/* Returns 1 if the file was removed in between. */
static int put_existing(struct txn *txn, const struct key_walk *walk, struct kv_slice value)
{
    struct txn_node *node;
    struct location hint;
    location_set(&hint, walk->at.parent, walk->at.name);
    txn_lock_inodes(txn, &walk->link.ino, 1);
    int r = txn_load(txn, walk->link.ino, &hint, &node);
    if (r == -ENOENT || (r == 0 && node->node.inode.nlink == 0)) {
        return 1;
    }
    struct inode *inode = &node->node.inode;
    if (r == 0) {
        r = flags_check_change(inode);
    }
    if (r == 0) {
        r = contents_cut(txn, node, 0);
    }
    if (r < 0) {
        return r;
    }
    inode->size = 0;
    inode->allocated = inode->lost_bytes = 0;
    r = contents_write(txn, node, 0, value);
    if (r == 0) {
        inode->size = value.size;
        file_touch(txn, node);
        r = txn_commit(txn);
    }
    return r;
}

/* What a put makes: the directories from walk.at on, and the file. */
struct making {
    const struct kvfs_who *who;
    const struct key_walk *walk;
    struct kv_slice value;
    uint64_t first_ino; /* consecutive, the file's is the last */
    unsigned count;
    struct kv_buf acl; /* the default ACL of the first directory that is there, for all of them */
};

static unsigned count_components(struct kv_slice rest)
{
    unsigned count = 0;
    while (rest.size > 0) {
        key_next_component(&rest);
        count++;
    }
    return count;
}

/* The new directories, which nobody can reach before the commit; their inodes are not cached.
 * `at` becomes the place of the file, `parent` the inode of its directory. */
static int put_directories(struct txn *txn, const struct making *making, struct dir_name *at,
                           struct inode *parent)
{
    struct new_node new_node = {.who = making->who, .mode = S_IFDIR | 0755};
    struct kv_slice rest = making->walk->rest;
    for (unsigned i = 0; i + 1 < making->count; i++) {
        struct node node = {.ino = making->first_ino + i};
        namei_new_inode(&new_node, parent, txn->now, &node.inode);
        int r = acl_inherit(txn, kv_buf_slice(&making->acl), new_node.mode, &node);
        if (r < 0) {
            return r;
        }
        location_set(&node.loc, at->parent, at->name);
        node.inode.size = node.inode.allocated = 1;
        node.inode.nlink += i + 2 < making->count ? 1 : 0;
        txn_put_inode(txn, &node);
        txn_put_backptr(txn, &node);
        *parent = node.inode;
        *at = dir_name(node.ino, key_next_component(&rest));
    }
    return 0;
}

/* Returns 1 if the name was made, or the directory removed, in between. */
static int put_new(struct txn *txn, struct making *making)
{
    struct dir_name at = making->walk->at;
    struct new_node new_node = {.who = making->who, .mode = S_IFREG | 0644};
    struct txn_node *dir;
    struct dir_link link;
    uint64_t ino = making->first_ino + making->count - 1;
    uint64_t inos[] = {at.parent, ino};
    txn_lock_dirs(txn, &at.parent, 1);
    int r = dir_get(txn->fs, NULL, at, &link);
    if (r != -ENOENT) {
        return r == 0 ? 1 : r;
    }
    txn_lock_inodes(txn, inos, 2);
    r = txn_load_dir(txn, at.parent, &dir);
    if (r < 0) {
        return r == -ENOENT ? 1 : r;
    }
    struct inode parent = dir->node.inode;
    r = flags_check_add(&parent);
    if (r == 0) {
        r = acl_read_default(txn->fs, &dir->node, &making->acl);
    }
    if (r < 0) {
        return r;
    }
    dir_touch(txn, dir, 1, making->count > 1 ? 1 : 0);
    r = put_directories(txn, making, &at, &parent);
    if (r < 0) {
        return r;
    }
    struct txn_node *file = txn_add(txn, ino);
    namei_new_inode(&new_node, &parent, txn->now, &file->node.inode);
    r = acl_inherit(txn, kv_buf_slice(&making->acl), new_node.mode, &file->node);
    if (r < 0) {
        return r;
    }
    dir_add_first(txn, file, at);
    r = contents_write(txn, file, 0, making->value);
    file->node.inode.size = making->value.size;
    return r < 0 ? r : txn_commit(txn);
}

static void tell_new(struct kvfs *fs, const struct making *making)
{
    struct dir_name at = making->walk->at;
    struct kv_slice rest = making->walk->rest;
    for (unsigned i = 0; i < making->count; i++) {
        key_tell(fs, at.parent, at.name);
        at = dir_name(making->first_ino + i, key_next_component(&rest));
    }
}

/* Returns 1 to start over. */
static int put_once(struct kvfs *fs, const struct kvfs_who *who, struct kv_slice key,
                    struct kv_slice value)
{
    struct key_walk walk;
    struct making making = {.who = who, .walk = &walk, .value = value};
    struct txn *txn = NULL;
    int r = key_walk(fs, key, &walk);
    if (r == 0 && !walk.missing) {
        r = fs->keeps_sizes ? -EBUSY : check_regular(&walk);
    }
    if (r == 0 && walk.missing) {
        making.count = 1 + count_components(walk.rest);
        r = ino_alloc(fs, making.count, &making.first_ino);
    }
    if (r == 0) {
        r = txn_begin(fs, &txn);
    }
    if (r < 0) {
        return r;
    }
    r = walk.missing ? put_new(txn, &making) : put_existing(txn, &walk, value);
    txn_end(txn);
    kv_buf_finish(&making.acl);
    if (r == 0 && walk.missing) {
        tell_new(fs, &making);
    } else if (r == 0) {
        /* The name, too, and first: the kernel does not go on before it has taken over the answers
         * to look-ups that are under way in the directory. One may hold the old size, and make the
         * inode only after it was told that the inode changed. */
        key_tell(fs, walk.at.parent, walk.at.name);
        key_tell(fs, walk.link.ino, kv_slice(NULL, 0));
    }
    return r;
}

int kvfs_key_put(struct kvfs *fs, const struct kvfs_who *who, struct kv_slice key,
                 struct kv_slice value)
{
    int r = check_key(key);
    if (r < 0) {
        return r;
    }
    if (value.size > KV_VALUE_SIZE_MAX) {
        return -EFBIG;
    }
    if (fs->read_only) {
        return -EROFS;
    }
    do {
        r = put_once(fs, who, key, value);
    } while (r == 1);
    return r;
}

int kvfs_key_delete(struct kvfs *fs, struct kv_slice key)
{
    struct key_walk walk;
    int r = check_key(key);
    if (r == 0) {
        r = key_walk(fs, key, &walk);
    }
    if (r == 0) {
        r = walk.missing ? -ENOENT : namei_unlink(fs, walk.at);
    }
    if (r == 0) {
        key_tell(fs, walk.at.parent, walk.at.name);
        key_tell(fs, walk.link.ino, kv_slice(NULL, 0)); /* other links show a smaller count */
    }
    return r;
}
