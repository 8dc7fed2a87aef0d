/* SPDX-License-Identifier: Apache-2.0 */
/* The calls of the simulated file system. */
#include "tests/sim/sim_impl.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h> /* RENAME_NOREPLACE */
#include <sys/file.h>
#include <unistd.h>

enum { FD_BASE = 1000 }; /* such numbers are no descriptors of this process */

/* ---- around each call ---- */

static bool needs_space(const struct sim_event *event)
{
    switch (event->call) {
    case SIM_CREATE:
    case SIM_MKDIR:
    case SIM_PWRITEV:
    case SIM_FDATASYNC:
    case SIM_FSYNC:
    case SIM_FALLOCATE:
    case SIM_RENAME:
    case SIM_LINK:
        return true;
    default:
        return false;
    }
}

bool sim_can_fail(const struct sim_event *event, enum sim_failure failure)
{
    switch (failure) {
    case SIM_FAIL_EIO:
        return true;
    case SIM_FAIL_ENOSPC:
        return needs_space(event);
    case SIM_FAIL_EIO_LATE:
        return event->changes;
    default:
        return event->call == SIM_PWRITEV;
    }
}

/* What the fault makes of this call: 0, a negative errno, or 1: a short write. */
static int strike(struct sim_fs *sim, const struct sim_event *event)
{
    const struct sim_fault *fault = &sim->fault;
    if (sim->write_fails_next && needs_space(event)) {
        sim->write_fails_next = fault->forever;
        return -ENOSPC;
    }
    if (fault->failure == 0 || event->number < fault->at ||
        (!fault->forever && event->number > fault->at) || !sim_can_fail(event, fault->failure)) {
        return 0;
    }
    switch (fault->failure) {
    case SIM_FAIL_EIO:
        return -EIO;
    case SIM_FAIL_ENOSPC:
        return -ENOSPC;
    case SIM_FAIL_EIO_LATE:
        sim->late = event->number;
        return 0;
    case SIM_FAIL_SHORT_ENOSPC:
        sim->write_fails_next = true;
        return 1;
    default:
        return 1;
    }
}

static void note_strike(struct sim_fs *sim, const struct sim_event *event, int r)
{
    struct sim_event struck = *event;
    struck.error = r < 0 ? r : event->number == sim->late ? -EIO : 0;
    if (sim->fault_event.number == 0) {
        sim->fault_event = struck;
    }
    if (sim->fault_fn != NULL) {
        sim->fault_fn(sim->fault_arg, sim, &struck);
    }
}

/* Begin a call. 0, 1 (a write is to be short) or the error it ends with at once. */
static int enter(struct sim_fs *sim, enum sim_call call, enum sim_kind kind, bool changes,
                 struct sim_event *ret_event)
{
    *ret_event = (struct sim_event){
        .number = ++sim->call_count, .call = call, .kind = kind, .changes = changes};
    if (sim->stop_at != 0 && ret_event->number > sim->stop_at) {
        return -EIO;
    }
    int r = strike(sim, ret_event);
    if (r < 0 || ret_event->number == sim->late) {
        note_strike(sim, ret_event, r);
    }
    return r;
}

/* The moment of the call at which the power may go: its change is noted and not durable. */
static int moment(struct sim_fs *sim, const struct sim_event *event)
{
    if (sim->watch_fn != NULL) {
        sim->watch_fn(sim->watch_arg, sim, event);
    }
    bool stopped = sim->stop_at != 0 && event->number >= sim->stop_at;
    return stopped || event->number == sim->late ? -EIO : 0;
}

/* A call that fails by itself, since there is no such file, or already one. */
static int refuse(struct sim_fs *sim, struct sim_event *event, int error)
{
    event->changes = false;
    int r = moment(sim, event);
    return r < 0 ? r : error;
}

/* A call that changes nothing. */
static int look(struct sim_fs *sim, enum sim_call call, enum sim_kind kind)
{
    struct sim_event event;
    int r = enter(sim, call, kind, false, &event);
    return r < 0 ? r : moment(sim, &event);
}

/* ---- descriptors ---- */

static struct sim_fd *fd_of(struct sim_fs *sim, int fd)
{
    assert(fd >= FD_BASE && fd < FD_BASE + SIM_FD_MAX && sim->fds[fd - FD_BASE].type != 0);
    return &sim->fds[fd - FD_BASE];
}

static struct sim_inode *inode_of(struct sim_fs *sim, int fd)
{
    const struct sim_fd *open = fd_of(sim, fd);
    assert(open->type == SIM_FD_FILE);
    return &sim->inodes[open->inode];
}

static int fd_new(struct sim_fs *sim, const struct sim_fd *open)
{
    for (int i = 0; i < SIM_FD_MAX; i++) {
        if (sim->fds[i].type == SIM_FD_FREE) {
            sim->fds[i] = *open;
            if (open->type == SIM_FD_FILE) {
                sim->inodes[open->inode].open_count++;
            }
            return FD_BASE + i;
        }
    }
    return -EMFILE;
}

static int fd_new_file(struct sim_fs *sim, enum sim_kind kind, int inode)
{
    struct sim_fd open = {.type = SIM_FD_FILE, .kind = kind, .inode = inode};
    return fd_new(sim, &open);
}

/* The directory in which a call names something; a whole path names one of the parent. */
static int dir_of(struct sim_fs *sim, int dir, const char **name)
{
    if (dir == AT_FDCWD) {
        const char *slash = strrchr(*name, '/');
        *name = slash != NULL ? slash + 1 : *name;
        return SIM_PARENT_DIR;
    }
    assert(fd_of(sim, dir)->type != SIM_FD_FILE);
    return fd_of(sim, dir)->dir;
}

static enum sim_kind kind_in(int dir, const char *name)
{
    return dir == SIM_PARENT_DIR ? SIM_DIR : sim_kind_of(name);
}

/* ---- changes ---- */

static void change_file(struct sim_fs *sim, struct sim_inode *inode, enum sim_change_type type,
                        uint64_t offset, struct kv_slice bytes)
{
    size_t stored = type == SIM_CHANGE_WRITE ? bytes.size : 0;
    struct sim_change *change = sim_alloc(1, sizeof *change + stored);

    change->refs = 1;
    change->order = ++sim->change_order;
    change->type = type;
    change->offset = offset;
    change->size = bytes.size;
    if (stored > 0) {
        memcpy(change->data, bytes.data, stored);
    }
    sim_change_apply(change, &inode->current);
    sim_append(&inode->changes, &inode->change_count, &change, sizeof(struct sim_change *));
    sim->version++;
}

static void change_names(struct sim_fs *sim, struct sim_name_change *change)
{
    change->order = ++sim->change_order;
    sim_names_apply(&sim->current, change);
    sim_append(&sim->name_changes, &sim->name_change_count, change, sizeof *change);
    sim->version++;
}

static void set_name(struct sim_name *to, int dir, const char *name, int inode)
{
    size_t size = strlen(name);
    assert(size < sizeof to->name);
    to->dir = dir;
    memcpy(to->name, name, size + 1);
    to->inode = inode;
}

static int new_inode(struct sim_fs *sim)
{
    struct sim_inode inode = {0};
    size_t count = (size_t)sim->inode_count;
    inode.current = sim_bytes_new(0);
    inode.durable = sim_bytes_ref(inode.current);
    sim_append(&sim->inodes, &count, &inode, sizeof inode);
    sim->inode_count = (int)count;
    return sim->inode_count - 1;
}

/* ---- the calls ---- */

static int open_directory(struct sim_fs *sim, int dir, const char *name)
{
    struct sim_fd open = {.type = SIM_FD_PARENT, .kind = SIM_PARENT, .inode = SIM_NO_INODE};
    bool parent = strcmp(name, "..") == 0;
    const struct sim_name *found;
    int r = look(sim, SIM_OPEN, parent ? SIM_PARENT : SIM_DIR);

    if (r < 0 || parent) {
        return r < 0 ? r : fd_new(sim, &open);
    }
    dir = dir_of(sim, dir, &name);
    found = sim_names_find(&sim->current, dir, name);
    if (found == NULL) {
        return -ENOENT;
    }
    assert(dir == SIM_PARENT_DIR);
    open = (struct sim_fd){
        .type = SIM_FD_DIR, .kind = SIM_DIR, .inode = SIM_NO_INODE, .dir = found->inode};
    return fd_new(sim, &open);
}

static int create_file(struct sim_fs *sim, int dir, const char *name)
{
    struct sim_name_change change = {.count = 1};
    struct sim_event event;
    int r = enter(sim, SIM_CREATE, sim_kind_of(name), true, &event);
    int inode;

    if (r < 0) {
        return r;
    }
    inode = new_inode(sim);
    set_name(&change.names[0], dir, name, inode);
    change_names(sim, &change);
    r = moment(sim, &event);
    return r < 0 ? r : fd_new_file(sim, event.kind, inode);
}

static int sim_openat(void *arg, int dir, const char *name, int flags, mode_t mode)
{
    struct sim_fs *sim = arg;
    const struct sim_name *found;
    struct sim_event event;
    int inode;
    int r;

    if ((flags & O_DIRECTORY) != 0) {
        return open_directory(sim, dir, name);
    }
    assert(fd_of(sim, dir)->type == SIM_FD_DIR);
    dir = dir_of(sim, dir, &name);
    found = sim_names_find(&sim->current, dir, name);
    if (found == NULL && (flags & O_CREAT) != 0) {
        return create_file(sim, dir, name);
    }
    r = enter(sim, SIM_OPEN, sim_kind_of(name), (flags & O_TRUNC) != 0, &event);
    if (r < 0) {
        return r;
    }
    if (found == NULL || ((flags & O_CREAT) != 0 && (flags & O_EXCL) != 0)) {
        return refuse(sim, &event, found == NULL ? -ENOENT : -EEXIST);
    }
    inode = found->inode;
    if ((flags & O_TRUNC) != 0) {
        change_file(sim, &sim->inodes[inode], SIM_CHANGE_EMPTY, 0, kv_slice(NULL, 0));
    }
    r = moment(sim, &event);
    return r < 0 ? r : fd_new_file(sim, event.kind, inode);
}

static void unlock(struct sim_fs *sim, struct sim_fd *open)
{
    if (open->lock != 0) {
        sim->inodes[open->inode].lock_count += open->lock == LOCK_EX ? 1 : -1;
        open->lock = 0;
    }
}

static int sim_close(void *arg, int fd)
{
    struct sim_fs *sim = arg;
    struct sim_fd *open = fd_of(sim, fd);
    int r = look(sim, SIM_CLOSE, open->kind);
    unlock(sim, open);
    if (open->type == SIM_FD_FILE) {
        sim->inodes[open->inode].open_count--;
    }
    *open = (struct sim_fd){0}; /* as on Linux, also when an error is returned */
    return r;
}

static int sim_mkdirat(void *arg, int dir, const char *name, mode_t mode)
{
    struct sim_fs *sim = arg;
    struct sim_name_change change = {.count = 1};
    struct sim_event event;
    int r = enter(sim, SIM_MKDIR, SIM_DIR, true, &event);
    if (r < 0) {
        return r;
    }
    dir = dir_of(sim, dir, &name);
    assert(dir == SIM_PARENT_DIR);
    if (sim_names_find(&sim->current, dir, name) != NULL) {
        return refuse(sim, &event, -EEXIST);
    }
    set_name(&change.names[0], dir, name, ++sim->dir_count);
    change_names(sim, &change);
    return moment(sim, &event);
}

static int sim_fchmod(void *arg, int fd, mode_t mode)
{
    struct sim_fs *sim = arg;
    return look(sim, SIM_FCHMOD, fd_of(sim, fd)->kind);
}

static ssize_t sim_pread(void *arg, int fd, void *to, size_t size, uint64_t offset)
{
    struct sim_fs *sim = arg;
    const struct sim_bytes *bytes = inode_of(sim, fd)->current;
    int r = look(sim, SIM_PREAD, fd_of(sim, fd)->kind);
    if (r < 0) {
        return r;
    }
    if (offset >= bytes->size) {
        return 0;
    }
    size = size < bytes->size - offset ? size : (size_t)(bytes->size - offset);
    memcpy(to, bytes->data + offset, size);
    return (ssize_t)size;
}

static struct kv_slice gather(const struct iovec *parts, int part_count)
{
    uint8_t *bytes;
    size_t size = 0;
    size_t used = 0;

    for (int i = 0; i < part_count; i++) {
        size += parts[i].iov_len;
    }
    bytes = sim_alloc(size, 1);
    for (int i = 0; i < part_count; i++) {
        if (parts[i].iov_len > 0) {
            memcpy(bytes + used, parts[i].iov_base, parts[i].iov_len);
            used += parts[i].iov_len;
        }
    }
    return kv_slice(bytes, size);
}

static ssize_t sim_pwritev(void *arg, int fd, const struct iovec *parts, int part_count,
                           uint64_t offset)
{
    struct sim_fs *sim = arg;
    struct kv_slice bytes;
    struct sim_event event;
    int r = enter(sim, SIM_PWRITEV, fd_of(sim, fd)->kind, true, &event);

    if (r < 0) {
        return r;
    }
    bytes = gather(parts, part_count);
    if (r == 1 && bytes.size > 1) {
        bytes.size = (bytes.size + 1) / 2;
        note_strike(sim, &event, 0);
    }
    change_file(sim, inode_of(sim, fd), SIM_CHANGE_WRITE, offset, bytes);
    sim_free((void *)(uintptr_t)bytes.data);
    r = moment(sim, &event);
    return r < 0 ? r : (ssize_t)bytes.size;
}

static void drop_changes(struct sim_inode *inode)
{
    for (size_t i = 0; i < inode->change_count; i++) {
        sim_change_unref(inode->changes[i]);
    }
    inode->change_count = 0;
}

/* As Linux does after a sync that failed: the pages count as clean. They can still be read, and the
 * next sync says that all is well, but power loss takes them. */
static void lose_changes(struct sim_inode *inode)
{
    inode->lost = inode->lost || inode->change_count > 0;
    drop_changes(inode);
}

static void make_file_durable(struct sim_inode *inode)
{
    if (inode->lost) {
        for (size_t i = 0; i < inode->change_count; i++) {
            sim_change_apply(inode->changes[i], &inode->durable);
        }
    } else {
        sim_bytes_unref(inode->durable);
        inode->durable = sim_bytes_ref(inode->current);
    }
    drop_changes(inode);
}

/* Bytes of files that are open nowhere and can never have a name again. */
static void forget_unnamed(struct sim_fs *sim)
{
    for (int i = 0; i < sim->inode_count; i++) {
        sim->inodes[i].used = sim->inodes[i].open_count > 0;
    }
    for (size_t i = 0; i < sim->current.count; i++) {
        if (sim->current.items[i].dir != SIM_PARENT_DIR) {
            sim->inodes[sim->current.items[i].inode].used = true;
        }
    }
    for (int i = 0; i < sim->inode_count; i++) {
        struct sim_inode *inode = &sim->inodes[i];
        if (!inode->used && inode->current != NULL && inode->current->size > 0) {
            drop_changes(inode);
            sim_bytes_unref(inode->current);
            sim_bytes_unref(inode->durable);
            inode->current = sim_bytes_new(0);
            inode->durable = sim_bytes_ref(inode->current);
        }
    }
}

static void make_dir_durable(struct sim_fs *sim, int dir)
{
    size_t kept = 0;
    sim_names_copy_dir(&sim->current, dir, &sim->durable);
    for (size_t i = 0; i < sim->name_change_count; i++) {
        if (sim->name_changes[i].names[0].dir != dir) {
            sim->name_changes[kept++] = sim->name_changes[i];
        }
    }
    sim->name_change_count = kept;
    if (kept == 0) {
        forget_unnamed(sim);
    }
}

static void make_durable(struct sim_fs *sim, const struct sim_fd *open)
{
    if (open->type == SIM_FD_FILE) {
        make_file_durable(&sim->inodes[open->inode]);
    } else {
        make_dir_durable(sim, open->dir);
    }
    sim->version++;
}

static int sync_fd(struct sim_fs *sim, enum sim_call call, int fd)
{
    const struct sim_fd *open = fd_of(sim, fd);
    struct sim_event event;
    int r = enter(sim, call, open->kind, true, &event);

    if (sim->late == event.number) {
        make_durable(sim, open);
    }
    if (r < 0 && sim->fault_event.number != 0 && open->type == SIM_FD_FILE) {
        lose_changes(&sim->inodes[open->inode]);
        return r;
    }
    r = r < 0 ? r : moment(sim, &event);
    if (r == 0) {
        make_durable(sim, open);
    }
    return r;
}

static int sim_fdatasync(void *arg, int fd)
{
    return sync_fd(arg, SIM_FDATASYNC, fd);
}

static int sim_fsync(void *arg, int fd)
{
    return sync_fd(arg, SIM_FSYNC, fd);
}

static int sim_fallocate(void *arg, int fd, int mode, uint64_t offset, uint64_t size)
{
    struct sim_fs *sim = arg;
    struct sim_inode *inode = inode_of(sim, fd);
    struct sim_event event;
    int r = enter(sim, SIM_FALLOCATE, fd_of(sim, fd)->kind, true, &event);

    if (r < 0) {
        return r;
    }
    if ((mode & FALLOC_FL_PUNCH_HOLE) != 0) {
        change_file(sim, inode, SIM_CHANGE_ZERO, offset, kv_slice(NULL, (size_t)size));
    } else if (offset + size > inode->current->size) {
        change_file(sim, inode, SIM_CHANGE_GROW, offset + size, kv_slice(NULL, 0));
    }
    return moment(sim, &event);
}

static int sim_sync_range(void *arg, int fd, uint64_t offset, uint64_t size, bool wait)
{
    struct sim_fs *sim = arg;
    int r = look(sim, SIM_SYNC_RANGE, fd_of(sim, fd)->kind);
    if (r < 0 && wait && sim->fault_event.number != 0) {
        lose_changes(inode_of(sim, fd)); /* and this was the only report */
    }
    return r;
}

static int sim_fadvise(void *arg, int fd, uint64_t offset, uint64_t size, int advice)
{
    struct sim_fs *sim = arg;
    return look(sim, SIM_FADVISE, fd_of(sim, fd)->kind);
}

static int sim_rename(void *arg, int dir, const char *from, const char *to, unsigned flags)
{
    struct sim_fs *sim = arg;
    int in = dir_of(sim, dir, &from);
    const struct sim_name *found = sim_names_find(&sim->current, in, from);
    struct sim_name_change change = {.count = 2};
    struct sim_event event;
    int r = enter(sim, SIM_RENAME, kind_in(in, to), true, &event);

    if (r < 0) {
        return r;
    }
    if (found == NULL) {
        return refuse(sim, &event, -ENOENT);
    }
    if ((flags & RENAME_NOREPLACE) != 0 && sim_names_find(&sim->current, in, to) != NULL) {
        return refuse(sim, &event, -EEXIST);
    }
    set_name(&change.names[0], in, to, found->inode);
    set_name(&change.names[1], in, from, SIM_NO_INODE);
    change_names(sim, &change);
    return moment(sim, &event);
}

static int sim_linkat(void *arg, int from_dir, const char *from, int to_dir, const char *to)
{
    struct sim_fs *sim = arg;
    int to_in = dir_of(sim, to_dir, &to);
    const struct sim_name *found =
        sim_names_find(&sim->current, dir_of(sim, from_dir, &from), from);
    struct sim_name_change change = {.count = 1};
    struct sim_event event;
    int r = enter(sim, SIM_LINK, sim_kind_of(to), true, &event);

    if (r < 0) {
        return r;
    }
    if (found == NULL || sim_names_find(&sim->current, to_in, to) != NULL) {
        return refuse(sim, &event, found == NULL ? -ENOENT : -EEXIST);
    }
    set_name(&change.names[0], to_in, to, found->inode);
    change_names(sim, &change);
    return moment(sim, &event);
}

/* A directory that holds nothing more, or a file. */
static int remove_name(struct sim_fs *sim, int dir, const char *name)
{
    int in = dir_of(sim, dir, &name);
    const struct sim_name *found = sim_names_find(&sim->current, in, name);
    struct sim_name_change change = {.count = 1};
    struct sim_event event;
    int r = enter(sim, SIM_UNLINK, kind_in(in, name), true, &event);

    if (r < 0) {
        return r;
    }
    if (found == NULL) {
        return refuse(sim, &event, -ENOENT);
    }
    for (size_t i = 0; in == SIM_PARENT_DIR && i < sim->current.count; i++) {
        if (sim->current.items[i].dir == found->inode) {
            return refuse(sim, &event, -ENOTEMPTY);
        }
    }
    set_name(&change.names[0], in, name, SIM_NO_INODE);
    change_names(sim, &change);
    return moment(sim, &event);
}

static int sim_unlinkat(void *arg, int dir, const char *name)
{
    struct sim_fs *sim = arg;
    assert(fd_of(sim, dir)->type == SIM_FD_DIR);
    return remove_name(sim, dir, name);
}

static int sim_rmdirat(void *arg, int dir, const char *name)
{
    struct sim_fs *sim = arg;
    assert(fd_of(sim, dir)->type == SIM_FD_PARENT);
    return remove_name(sim, dir, name);
}

static struct stat stat_of(const struct sim_fs *sim, int inode)
{
    struct stat st = {.st_dev = 1, .st_ino = 1, .st_mode = S_IFDIR | 0700, .st_nlink = 2};
    st.st_uid = geteuid();
    if (inode == SIM_NO_INODE) {
        return st;
    }
    st.st_ino = (ino_t)inode + 2;
    st.st_mode = S_IFREG | 0600;
    st.st_size = (off_t)sim->inodes[inode].current->size;
    st.st_blocks = (st.st_size + SIM_SECTOR_SIZE - 1) / SIM_SECTOR_SIZE;
    st.st_nlink = 0;
    for (size_t i = 0; i < sim->current.count; i++) {
        const struct sim_name *name = &sim->current.items[i];
        st.st_nlink += name->dir != SIM_PARENT_DIR && name->inode == inode;
    }
    return st;
}

static int sim_fstat(void *arg, int fd, struct stat *ret_stat)
{
    struct sim_fs *sim = arg;
    const struct sim_fd *open = fd_of(sim, fd);
    int r = look(sim, SIM_FSTAT, open->kind);
    if (r == 0) {
        *ret_stat = stat_of(sim, open->inode);
    }
    return r;
}

static int sim_lstatat(void *arg, int dir, const char *name, struct stat *ret_stat)
{
    struct sim_fs *sim = arg;
    int in = dir_of(sim, dir, &name);
    const struct sim_name *found = sim_names_find(&sim->current, in, name);
    int r = look(sim, SIM_LSTAT, kind_in(in, name));
    if (r < 0 || found == NULL) {
        return r < 0 ? r : -ENOENT;
    }
    *ret_stat = stat_of(sim, in == SIM_PARENT_DIR ? SIM_NO_INODE : found->inode);
    return 0;
}

static int sim_fstatvfs(void *arg, int fd, struct statvfs *ret_stat)
{
    struct sim_fs *sim = arg;
    int r = look(sim, SIM_FSTATVFS, fd_of(sim, fd)->kind);
    if (r == 0) {
        *ret_stat = (struct statvfs){
            .f_frsize = 4096, .f_bsize = 4096, .f_blocks = 1 << 20, .f_bavail = 1 << 10};
    }
    return r;
}

static int sim_flock(void *arg, int fd, int operation)
{
    struct sim_fs *sim = arg;
    struct sim_fd *open = fd_of(sim, fd);
    struct sim_inode *inode = inode_of(sim, fd);
    int wanted = operation & ~LOCK_NB;
    int r = look(sim, SIM_FLOCK, open->kind);

    if (r < 0) {
        return r;
    }
    unlock(sim, open);
    if (inode->lock_count != 0 && (wanted == LOCK_EX || inode->lock_count < 0)) {
        return -EWOULDBLOCK;
    }
    inode->lock_count += wanted == LOCK_EX ? -1 : 1;
    open->lock = wanted;
    return 0;
}

/* Nobody follows a store here. */
static int sim_lock_range(void *arg, int fd, int command, struct flock *lock)
{
    if (command != F_OFD_GETLK) {
        return -EINVAL;
    }
    lock->l_type = F_UNLCK;
    return 0;
}

int sim_list_names(struct sim_fs *sim, int dir, struct sim_names *ret_names)
{
    int r = look(sim, SIM_LIST, fd_of(sim, dir)->kind);
    if (r == 0) {
        sim_names_copy_dir(&sim->current, fd_of(sim, dir)->dir, ret_names);
    }
    return r;
}

const struct posix_calls sim_calls = {
    .openat = sim_openat,
    .close = sim_close,
    .mkdirat = sim_mkdirat,
    .fchmod = sim_fchmod,
    .pread = sim_pread,
    .pwritev = sim_pwritev,
    .fdatasync = sim_fdatasync,
    .fsync = sim_fsync,
    .fallocate = sim_fallocate,
    .sync_range = sim_sync_range,
    .fadvise = sim_fadvise,
    .rename = sim_rename,
    .linkat = sim_linkat,
    .unlinkat = sim_unlinkat,
    .rmdirat = sim_rmdirat,
    .fstat = sim_fstat,
    .lstatat = sim_lstatat,
    .fstatvfs = sim_fstatvfs,
    .flock = sim_flock,
    .lock_range = sim_lock_range,
};
