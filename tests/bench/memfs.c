/* SPDX-License-Identifier: Apache-2.0 */
/* usage: memfs MOUNTPOINT [-f] [-o OPTIONS]
 *
 * A file system whose files are gone with it: what remains of FUSE when nothing is stored. So it is
 * the limit of a transport, to which benchmarks hold a mount. The kernel may keep what it was told
 * for a day and asks for no FLUSH; OPEN it asks. Permissions are not looked at, nor are there hard
 * links, special files and extended attributes.
 *
 * A node id is the address of the node. One mutex guards names, attributes and the table of a
 * file's bytes; the bytes themselves are copied without it, as segments never move: segment 0 is
 * the first 4 KiB, each further one as large as all before it together. They go with the node. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include "kvcore/util/checksum.h"
#include "kvcore/util/thread.h"

enum { BUCKETS = 1 << 20, SEGMENT_BITS = 12, SEGMENTS = 36, WORKERS = 4, BACKGROUND_MAX = 64 };
#define CACHE_S 86400.0

struct node {
    struct node *parent;  /* NULL: the root, or it has no name any more */
    struct node *chained; /* next in the bucket */
    size_t slot;          /* its place among the entries of the parent */
    uint64_t lookups;
    struct stat st;
    struct node **entries; /* of a directory; NULL where one went */
    size_t entry_count, entries_max, live;
    uint8_t *segments[SEGMENTS]; /* of a file; of a symbolic link the target lies in the first */
    char name[NAME_MAX + 1];
};

struct memory {
    struct mutex mu;
    struct node *root;
    struct node **buckets;
};

/* ---- nodes and names: all with the mutex held -------------------------------------------------
 */

static struct memory *memory_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

static struct node *node_of(fuse_req_t req, fuse_ino_t ino)
{
    union {
        uintptr_t number;
        struct node *address;
    } same = {.number = ino};
    return ino == FUSE_ROOT_ID ? memory_of(req)->root : same.address;
}

static struct node **bucket_of(const struct memory *m, const struct node *parent, const char *name)
{
    uint64_t hash = hash_bytes(kv_slice_str(name), (uint64_t)(uintptr_t)parent);
    return &m->buckets[hash % BUCKETS];
}

static struct node *find(const struct memory *m, const struct node *parent, const char *name)
{
    struct node *at = *bucket_of(m, parent, name);
    while (at != NULL && (at->parent != parent || strcmp(at->name, name) != 0)) {
        at = at->chained;
    }
    return at;
}

static void touch(struct node *node, bool content)
{
    clock_gettime(CLOCK_REALTIME, &node->st.st_ctim);
    if (content) {
        node->st.st_mtim = node->st.st_ctim;
    }
}

static struct node *node_new(const char *name, mode_t mode, const struct fuse_ctx *ctx)
{
    struct node *node = calloc(1, sizeof *node);
    if (node != NULL) {
        memcpy(node->name, name, strlen(name) + 1);
        node->st.st_ino = (uintptr_t)node;
        node->st.st_mode = mode;
        node->st.st_nlink = S_ISDIR(mode) ? 2 : 1;
        node->st.st_uid = ctx != NULL ? ctx->uid : 0;
        node->st.st_gid = ctx != NULL ? ctx->gid : 0;
        touch(node, true);
        node->st.st_atim = node->st.st_mtim;
    }
    return node;
}

static void node_free(struct node *node)
{
    for (unsigned i = 0; i < SEGMENTS; i++) {
        free(node->segments[i]);
    }
    free(node->entries);
    free(node);
}

static int node_attach(struct memory *m, struct node *parent, struct node *node)
{
    if (parent->entry_count == parent->entries_max) {
        size_t max = parent->entries_max * 2 + 16;
        struct node **entries = reallocarray(parent->entries, max, sizeof(struct node *));
        if (entries == NULL) {
            return -ENOMEM;
        }
        parent->entries = entries;
        parent->entries_max = max;
    }
    struct node **bucket = bucket_of(m, parent, node->name);
    node->parent = parent;
    node->chained = *bucket;
    *bucket = node;
    node->slot = parent->entry_count++;
    parent->entries[node->slot] = node;
    parent->live++;
    touch(parent, true);
    return 0;
}

static void node_detach(struct memory *m, struct node *node)
{
    struct node *parent = node->parent;
    struct node **at = bucket_of(m, parent, node->name);
    while (*at != node) {
        at = &(*at)->chained;
    }
    *at = node->chained;
    node->parent = NULL;
    parent->entries[node->slot] = NULL;
    parent->live--;
    parent->entry_count = parent->live == 0 ? 0 : parent->entry_count;
    touch(parent, true);
    touch(node, false);
}

static void node_release(struct memory *m, struct node *node)
{
    if (node->lookups == 0 && node->parent == NULL && node != m->root) {
        node_free(node);
    }
}

/* Take the name away, and the node with it if the kernel does not know it. */
static void node_remove(struct memory *m, struct node *node)
{
    node_detach(m, node);
    node->st.st_nlink = 0;
    node_release(m, node);
}

static struct fuse_entry_param entry_of(struct node *node)
{
    node->lookups++;
    return (struct fuse_entry_param){.ino = node->st.st_ino,
                                     .generation = 1,
                                     .attr = node->st,
                                     .attr_timeout = CACHE_S,
                                     .entry_timeout = CACHE_S};
}

/* ---- bytes ------------------------------------------------------------------------------------
 */

/* The segment that holds `offset`, where that begins and how large it is. */
static unsigned segment_at(uint64_t offset, uint64_t *ret_begin, uint64_t *ret_size)
{
    unsigned index = 0;
    if (offset >> SEGMENT_BITS != 0) {
        index = 64 - (unsigned)__builtin_clzll(offset) - SEGMENT_BITS;
    }
    *ret_begin = index == 0 ? 0 : 1ULL << (SEGMENT_BITS + index - 1);
    *ret_size = index == 0 ? 1ULL << SEGMENT_BITS : *ret_begin;
    return index;
}

/* The pieces of [offset, offset + size), with the mutex held. Returns how many there are, or a
 * negative errno. `make`: the memory is to be there; else pieces without any are NULL. */
static int pieces_of(struct node *node, uint64_t offset, uint64_t size, bool make,
                     struct iovec pieces[SEGMENTS])
{
    int count = 0;
    while (size > 0) {
        uint64_t begin, room;
        unsigned index = segment_at(offset, &begin, &room);
        if (index >= SEGMENTS) {
            return -EFBIG;
        }
        if (make && node->segments[index] == NULL) {
            node->segments[index] = calloc(1, room);
        }
        uint8_t *at = node->segments[index];
        if (make && at == NULL) {
            return -ENOMEM;
        }
        uint64_t length = begin + room - offset < size ? begin + room - offset : size;
        pieces[count++] = (struct iovec){.iov_base = at != NULL ? at + (offset - begin) : NULL,
                                         .iov_len = length};
        offset += length;
        size -= length;
    }
    return count;
}

static void cut(struct node *node, uint64_t size)
{
    struct iovec pieces[SEGMENTS];
    uint64_t old = (uint64_t)node->st.st_size;
    int count = size < old ? pieces_of(node, size, old - size, false, pieces) : 0;
    for (int i = 0; i < count; i++) {
        if (pieces[i].iov_base != NULL) {
            memset(pieces[i].iov_base, 0, pieces[i].iov_len);
        }
    }
    node->st.st_size = (off_t)size;
    node->st.st_blocks = (blkcnt_t)((size + 511) / 512);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
                     struct fuse_file_info *fi)
{
    struct memory *m = memory_of(req);
    struct node *node = node_of(req, ino);
    struct iovec pieces[SEGMENTS];
    mutex_lock(&m->mu);
    int count = pieces_of(node, (uint64_t)offset, size, true, pieces);
    if (count >= 0) {
        if (offset + (off_t)size > node->st.st_size) {
            cut(node, (uint64_t)offset + size);
        }
        touch(node, true);
    }
    mutex_unlock(&m->mu);
    for (int i = 0; i < count; i++) {
        memcpy(pieces[i].iov_base, data, pieces[i].iov_len);
        data += pieces[i].iov_len;
    }
    if (count < 0) {
        fuse_reply_err(req, -count);
    } else {
        fuse_reply_write(req, size);
    }
}

/* With a piece that was never written. */
static void reply_with_holes(fuse_req_t req, const struct iovec *pieces, int count, size_t size)
{
    char *bytes = calloc(1, size + 1);
    size_t at = 0;
    for (int i = 0; bytes != NULL && i < count; i++) {
        if (pieces[i].iov_base != NULL) {
            memcpy(bytes + at, pieces[i].iov_base, pieces[i].iov_len);
        }
        at += pieces[i].iov_len;
    }
    if (bytes == NULL) {
        fuse_reply_err(req, ENOMEM);
    } else {
        fuse_reply_buf(req, bytes, size);
    }
    free(bytes);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                    struct fuse_file_info *fi)
{
    struct memory *m = memory_of(req);
    struct node *node = node_of(req, ino);
    struct iovec pieces[SEGMENTS];
    mutex_lock(&m->mu);
    uint64_t left = offset < node->st.st_size ? (uint64_t)(node->st.st_size - offset) : 0;
    size = left < size ? left : size;
    int count = pieces_of(node, (uint64_t)offset, size, false, pieces);
    mutex_unlock(&m->mu);
    bool whole = count == 1 && pieces[0].iov_base != NULL;
    if (count < 0) {
        fuse_reply_err(req, -count);
    } else if (whole || count == 0) {
        fuse_reply_buf(req, whole ? pieces[0].iov_base : NULL, size);
    } else {
        reply_with_holes(req, pieces, count, size);
    }
}

/* ---- the other requests -----------------------------------------------------------------------
 */

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct memory *m = memory_of(req);
    struct fuse_entry_param entry = {.ino = 0};
    mutex_lock(&m->mu);
    struct node *node = find(m, node_of(req, parent), name);
    if (node != NULL) {
        entry = entry_of(node);
    }
    mutex_unlock(&m->mu);
    if (node == NULL) {
        fuse_reply_err(req, ENOENT);
    } else {
        fuse_reply_entry(req, &entry);
    }
}

static void forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
    struct memory *m = memory_of(req);
    struct node *node = node_of(req, ino);
    mutex_lock(&m->mu);
    node->lookups -= count < node->lookups ? count : node->lookups;
    node_release(m, node);
    mutex_unlock(&m->mu);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
    forget(req, ino, count);
    fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    for (size_t i = 0; i < count; i++) {
        forget(req, forgets[i].ino, forgets[i].nlookup);
    }
    fuse_reply_none(req);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct memory *m = memory_of(req);
    mutex_lock(&m->mu);
    struct stat st = node_of(req, ino)->st;
    mutex_unlock(&m->mu);
    fuse_reply_attr(req, &st, CACHE_S);
}

static struct timespec now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return time;
}

static void set_attributes(struct node *node, const struct stat *to, int which)
{
    if ((which & FUSE_SET_ATTR_SIZE) != 0) {
        cut(node, (uint64_t)to->st_size);
    }
    touch(node, (which & FUSE_SET_ATTR_SIZE) != 0);
    if ((which & FUSE_SET_ATTR_MODE) != 0) {
        node->st.st_mode = (node->st.st_mode & S_IFMT) | (to->st_mode & ~(mode_t)S_IFMT);
    }
    node->st.st_uid = (which & FUSE_SET_ATTR_UID) != 0 ? to->st_uid : node->st.st_uid;
    node->st.st_gid = (which & FUSE_SET_ATTR_GID) != 0 ? to->st_gid : node->st.st_gid;
    if ((which & FUSE_SET_ATTR_ATIME) != 0) {
        node->st.st_atim = (which & FUSE_SET_ATTR_ATIME_NOW) != 0 ? now() : to->st_atim;
    }
    if ((which & FUSE_SET_ATTR_MTIME) != 0) {
        node->st.st_mtim = (which & FUSE_SET_ATTR_MTIME_NOW) != 0 ? now() : to->st_mtim;
    }
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *to, int which,
                       struct fuse_file_info *fi)
{
    struct memory *m = memory_of(req);
    struct node *node = node_of(req, ino);
    mutex_lock(&m->mu);
    set_attributes(node, to, which);
    struct stat st = node->st;
    mutex_unlock(&m->mu);
    fuse_reply_attr(req, &st, CACHE_S);
}

/* A new node with a name. Errors: -EEXIST, -ENAMETOOLONG, -ENOMEM. `target`: of a symbolic link, or
 * NULL. */
static int make(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                const char *target, struct fuse_entry_param *ret_entry)
{
    struct memory *m = memory_of(req);
    struct node *directory = node_of(req, parent);
    if (strlen(name) > NAME_MAX) {
        return -ENAMETOOLONG;
    }
    struct node *node = node_new(name, mode, fuse_req_ctx(req));
    int r = node != NULL ? 0 : -ENOMEM;
    if (r == 0 && target != NULL) {
        node->segments[0] = (uint8_t *)strdup(target);
        node->st.st_size = (off_t)strlen(target);
        r = node->segments[0] != NULL ? 0 : -ENOMEM;
    }
    mutex_lock(&m->mu);
    if (r == 0) {
        r = find(m, directory, name) != NULL ? -EEXIST : node_attach(m, directory, node);
    }
    if (r == 0) {
        *ret_entry = entry_of(node);
    }
    mutex_unlock(&m->mu);
    if (r < 0 && node != NULL) {
        node_free(node);
    }
    return r;
}

static void reply_made(fuse_req_t req, int result, const struct fuse_entry_param *entry)
{
    if (result < 0) {
        fuse_reply_err(req, -result);
    } else {
        fuse_reply_entry(req, entry);
    }
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    struct fuse_entry_param entry;
    reply_made(req, make(req, parent, name, mode | S_IFDIR, NULL, &entry), &entry);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    struct fuse_entry_param entry;
    reply_made(req, make(req, parent, name, 0777 | S_IFLNK, target, &entry), &entry);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
    fuse_reply_readlink(req, (const char *)node_of(req, ino)->segments[0]);
}

static void fill_open(struct fuse_file_info *fi)
{
    fi->keep_cache = 1;
    fi->noflush = 1;
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                      struct fuse_file_info *fi)
{
    struct fuse_entry_param entry;
    int r = make(req, parent, name, mode | S_IFREG, NULL, &entry);
    if (r < 0) {
        fuse_reply_err(req, -r);
    } else {
        fill_open(fi);
        fuse_reply_create(req, &entry, fi);
    }
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    fill_open(fi);
    fuse_reply_open(req, fi);
}

static void op_done(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    fuse_reply_err(req, 0);
}

static void op_sync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
    fuse_reply_err(req, 0);
}

/* Errors: -ENOENT, -ENOTEMPTY. */
static int drop(struct memory *m, struct node *directory, const char *name)
{
    struct node *node = find(m, directory, name);
    if (node == NULL || node->live > 0) {
        return node == NULL ? -ENOENT : -ENOTEMPTY;
    }
    node_remove(m, node);
    return 0;
}

/* The kernel has seen to it that unlink(2) gets files and rmdir(2) directories. */
static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct memory *m = memory_of(req);
    mutex_lock(&m->mu);
    int r = drop(m, node_of(req, parent), name);
    mutex_unlock(&m->mu);
    fuse_reply_err(req, -r);
}

static int rename_node(struct memory *m, struct node *from, const char *name, struct node *to,
                       const char *new_name)
{
    struct node *node = find(m, from, name);
    struct node *old = find(m, to, new_name);
    if (strlen(new_name) > NAME_MAX) {
        return -ENAMETOOLONG;
    }
    if (node == NULL || (old != NULL && old->live > 0)) {
        return node == NULL ? -ENOENT : -ENOTEMPTY;
    }
    if (old == node) {
        return 0;
    }
    if (old != NULL) {
        node_remove(m, old);
    }
    node_detach(m, node);
    memcpy(node->name, new_name, strlen(new_name) + 1);
    return node_attach(m, to, node);
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                      const char *new_name, unsigned flags)
{
    struct memory *m = memory_of(req);
    if (flags != 0) {
        fuse_reply_err(req, EINVAL);
        return;
    }
    mutex_lock(&m->mu);
    int r = rename_node(m, node_of(req, parent), name, node_of(req, new_parent), new_name);
    mutex_unlock(&m->mu);
    fuse_reply_err(req, -r);
}

/* An offset is the place behind an entry. What was removed leaves its place empty. */
static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                           struct fuse_file_info *fi)
{
    struct memory *m = memory_of(req);
    const struct node *directory = node_of(req, ino);
    char *bytes = malloc(size);
    size_t used = 0;
    if (bytes == NULL) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    mutex_lock(&m->mu);
    for (size_t at = (size_t)offset; at < directory->entry_count; at++) {
        struct node *node = directory->entries[at];
        if (node == NULL) {
            continue;
        }
        struct fuse_entry_param entry = entry_of(node);
        size_t need = fuse_add_direntry_plus(req, bytes + used, size - used, node->name, &entry,
                                             (off_t)at + 1);
        if (need > size - used) {
            node->lookups--;
            break;
        }
        used += need;
    }
    mutex_unlock(&m->mu);
    fuse_reply_buf(req, bytes, used);
    free(bytes);
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
    conn->max_background = BACKGROUND_MAX;
    /* Times that changed, by writing, do not mean that the kernel's pages are stale. */
    conn->want &= ~(unsigned)(FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_AUTO_INVAL_DATA);
    conn->want |= conn->capable & FUSE_CAP_EXPLICIT_INVAL_DATA;
}

static const struct fuse_lowlevel_ops operations = {
    .init = op_init,
    .lookup = op_lookup,
    .forget = op_forget,
    .forget_multi = op_forget_multi,
    .getattr = op_getattr,
    .setattr = op_setattr,
    .mkdir = op_mkdir,
    .symlink = op_symlink,
    .readlink = op_readlink,
    .create = op_create,
    .open = op_open,
    .read = op_read,
    .write = op_write,
    .release = op_done,
    .fsync = op_sync,
    .unlink = op_unlink,
    .rmdir = op_unlink,
    .rename = op_rename,
    .readdirplus = op_readdirplus,
};

/* ---- the mount --------------------------------------------------------------------------------
 */

static int serve(struct fuse_session *session, const struct fuse_cmdline_opts *options)
{
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    int r = -1;
    if (config != NULL && fuse_set_signal_handlers(session) == 0) {
        if (fuse_session_mount(session, options->mountpoint) == 0) {
            fuse_daemonize(options->foreground);
            fuse_loop_cfg_set_max_threads(config, WORKERS);
            r = fuse_session_loop_mt(session, config);
            fuse_session_unmount(session);
        }
        fuse_remove_signal_handlers(session);
    }
    fuse_loop_cfg_destroy(config);
    return r;
}

int main(int argc, char **argv)
{
    struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
    struct fuse_cmdline_opts options;
    struct memory memory = {.root = node_new("", S_IFDIR | 0755, NULL),
                            .buckets = calloc(BUCKETS, sizeof *memory.buckets)};
    if (fuse_parse_cmdline(&args, &options) != 0 || options.mountpoint == NULL) {
        fprintf(stderr, "usage: memfs MOUNTPOINT [-f] [-o OPTIONS]\n");
        return 2;
    }
    if (memory.root == NULL || memory.buckets == NULL) {
        fprintf(stderr, "memfs: out of memory\n");
        return 1;
    }
    mutex_init(&memory.mu, LOCK_RANK_LEAF, "memfs");
    memory.root->st.st_ino = FUSE_ROOT_ID;
    struct fuse_session *session = fuse_session_new(&args, &operations, sizeof operations, &memory);
    int r = session != NULL ? serve(session, &options) : -1;
    if (session != NULL) {
        fuse_session_destroy(session);
    }
    mutex_finish(&memory.mu);
    return r == 0 ? 0 : 1;
}
