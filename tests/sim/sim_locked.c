/* SPDX-License-Identifier: Apache-2.0 */
/* The calls of the simulated file system as a store with threads makes them: one at a time. */
#include "tests/sim/sim_impl.h"

#include <time.h>

static const char store_path[] = "/sim/store";
static const char copy_path[] = "/sim/copy";

static int locked_openat(void *arg, int dir, const char *name, int flags, mode_t mode)
{
    struct sim_fs *sim = arg;
    mutex_lock(&sim->mu);
    int r = sim_calls.openat(sim, dir, name, flags, mode);
    mutex_unlock(&sim->mu);
    return r;
}

static int locked_close(void *arg, int fd)
{
    struct sim_fs *sim = arg;
    mutex_lock(&sim->mu);
    int r = sim_calls.close(sim, fd);
    mutex_unlock(&sim->mu);
    return r;
}

static int locked_mkdirat(void *arg, int dir, const char *name, mode_t mode)
{
    struct sim_fs *sim = arg;
    mutex_lock(&sim->mu);
    int r = sim_calls.mkdirat(sim, dir, name, mode);
    mutex_unlock(&sim->mu);
    return r;
}

static int locked_fchmod(void *arg, int fd, mode_t mode)
{
    struct sim_fs *sim = arg;
    mutex_lock(&sim->mu);
    int r = sim_calls.fchmod(sim, fd, mode);
    mutex_unlock(&sim->mu);
    return r;
}

static ssize_t locked_pread(void *arg, int fd, void *to, size_t size, uint64_t offset)
{
    struct sim_fs *sim = arg;
    mutex_lock(&sim->mu);
    ssize_t r = sim_calls.pread(sim, fd, to, size, offset);
    mutex_unlock(&sim->mu);
    return r;
}

static ssize_t locked_pwritev(void *arg, int fd, const struct iovec *parts, int part_count,
                              uint64_t offset)
{
    struct sim_fs *sim = arg;
    mutex_lock(&sim->mu);
    ssize_t r = sim_calls.pwritev(sim, fd, parts, part_count, offset);
    mutex_unlock(&sim->mu);
    return r;
}

static int locked_fdatasync(void *arg, int fd)
{
    struct sim_fs *sim = arg;
    mutex_lock(&sim->mu);
    int r = sim_calls.fdatasync(sim, fd);
    mutex_unlock(&sim->mu);
    if (sim->late_us > 0) {
        struct timespec pause = {.tv_nsec = (long)sim->late_us * 1000};
        nanosleep(&pause, NULL);
    }
    return r;
}

static int locked_fsync(void *arg, int fd)
{
    struct sim_fs *sim = arg;
    mutex_lock(&sim->mu);
    int r = sim_calls.fsync(sim, fd);
    mutex_unlock(&sim->mu);
    return r;
}

static int locked_fallocate(void *arg, int fd, int mode, uint64_t offset, uint64_t size)
{
    struct sim_fs *sim = arg;
    mutex_lock(&sim->mu);
    int r = sim_calls.fallocate(sim, fd, mode, offset, size);
    mutex_unlock(&sim->mu);
    return r;
}

static int locked_sync_range(void *arg, int fd, uint64_t offset, uint64_t size, bool wait)
{
    struct sim_fs *sim = arg;
    mutex_lock(&sim->mu);
    int r = sim_calls.sync_range(sim, fd, offset, size, wait);
    mutex_unlock(&sim->mu);
    return r;
}

static int locked_fadvise(void *arg, int fd, uint64_t offset, uint64_t size, int advice)
{
    struct sim_fs *sim = arg;
    mutex_lock(&sim->mu);
    int r = sim_calls.fadvise(sim, fd, offset, size, advice);
    mutex_unlock(&sim->mu);
    return r;
}

static int locked_rename(void *arg, int dir, const char *from, const char *to, unsigned flags)
{
    struct sim_fs *sim = arg;
    mutex_lock(&sim->mu);
    int r = sim_calls.rename(sim, dir, from, to, flags);
    mutex_unlock(&sim->mu);
    return r;
}

static int locked_linkat(void *arg, int from_dir, const char *from, int to_dir, const char *to)
{
    struct sim_fs *sim = arg;
    mutex_lock(&sim->mu);
    int r = sim_calls.linkat(sim, from_dir, from, to_dir, to);
    mutex_unlock(&sim->mu);
    return r;
}

static int locked_unlinkat(void *arg, int dir, const char *name)
{
    struct sim_fs *sim = arg;
    mutex_lock(&sim->mu);
    int r = sim_calls.unlinkat(sim, dir, name);
    mutex_unlock(&sim->mu);
    return r;
}

static int locked_rmdirat(void *arg, int dir, const char *name)
{
    struct sim_fs *sim = arg;
    mutex_lock(&sim->mu);
    int r = sim_calls.rmdirat(sim, dir, name);
    mutex_unlock(&sim->mu);
    return r;
}

static int locked_fstat(void *arg, int fd, struct stat *ret_stat)
{
    struct sim_fs *sim = arg;
    mutex_lock(&sim->mu);
    int r = sim_calls.fstat(sim, fd, ret_stat);
    mutex_unlock(&sim->mu);
    return r;
}

static int locked_lstatat(void *arg, int dir, const char *name, struct stat *ret_stat)
{
    struct sim_fs *sim = arg;
    mutex_lock(&sim->mu);
    int r = sim_calls.lstatat(sim, dir, name, ret_stat);
    mutex_unlock(&sim->mu);
    return r;
}

static int locked_fstatvfs(void *arg, int fd, struct statvfs *ret_stat)
{
    struct sim_fs *sim = arg;
    mutex_lock(&sim->mu);
    int r = sim_calls.fstatvfs(sim, fd, ret_stat);
    mutex_unlock(&sim->mu);
    return r;
}

static int locked_flock(void *arg, int fd, int operation)
{
    struct sim_fs *sim = arg;
    mutex_lock(&sim->mu);
    int r = sim_calls.flock(sim, fd, operation);
    mutex_unlock(&sim->mu);
    return r;
}

static int locked_lock_range(void *arg, int fd, int command, struct flock *lock)
{
    return sim_calls.lock_range(arg, fd, command, lock);
}

static int locked_list(void *arg, int dir, posix_name_fn *fn, void *fn_arg)
{
    struct sim_fs *sim = arg;
    struct sim_names names = {0};
    mutex_lock(&sim->mu);
    int r = sim_list_names(sim, dir, &names);
    mutex_unlock(&sim->mu);

    for (size_t i = 0; i < names.count && r >= 0; i++) {
        r = fn(fn_arg, names.items[i].name); /* which may remove names */
    }
    sim_free(names.items);
    return r < 0 ? r : 0;
}

static const struct posix_calls locked_calls = {
    .openat = locked_openat,
    .close = locked_close,
    .mkdirat = locked_mkdirat,
    .fchmod = locked_fchmod,
    .pread = locked_pread,
    .pwritev = locked_pwritev,
    .fdatasync = locked_fdatasync,
    .fsync = locked_fsync,
    .fallocate = locked_fallocate,
    .sync_range = locked_sync_range,
    .fadvise = locked_fadvise,
    .rename = locked_rename,
    .linkat = locked_linkat,
    .unlinkat = locked_unlinkat,
    .rmdirat = locked_rmdirat,
    .fstat = locked_fstat,
    .lstatat = locked_lstatat,
    .fstatvfs = locked_fstatvfs,
    .flock = locked_flock,
    .lock_range = locked_lock_range,
    .list = locked_list,
};

int sim_storage_open(struct sim_fs *sim, bool create, struct kv_storage **ret_storage)
{
    return storage_posix_open_with_calls(store_path, create, &locked_calls, sim, ret_storage);
}

int sim_storage_open_copy(struct sim_fs *sim, struct kv_storage **ret_storage)
{
    return storage_posix_open_with_calls(copy_path, false, &locked_calls, sim, ret_storage);
}

int sim_storage_begin_copy(struct sim_fs *sim, struct kv_storage **ret_storage)
{
    return storage_posix_begin_with_calls(copy_path, &locked_calls, sim, ret_storage);
}

/* ---- the end of a process ---- */

int sim_die(struct sim_fs *sim, struct sim_fs **ret_sim)
{
    mutex_lock(&sim->mu);
    int r = sim_kill(sim, ret_sim);
    sim_stop_at(sim, sim_calls_made(sim) + 1);
    mutex_unlock(&sim->mu);
    return r;
}
