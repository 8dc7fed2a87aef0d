/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/daemon.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "fs/fuse/mount.h"
#include "tools/mount_table.h"
#include "tools/store_url.h"
#include "tools/target.h"

enum {
    PROBE_TRIES = 200,
    PROBE_PAUSE_NS = 10 * 1000 * 1000,
};

void mount_plan_finish(struct mount_plan *plan)
{
    free(plan->store);
    free(plan->mountpoint);
    mount_options_finish(&plan->options);
    plan->store = NULL;
    plan->mountpoint = NULL;
}

/* What is mounted here already, if it is one of ours. */
static int check_mounted(const struct mount_plan *plan, bool dead, struct fault *fault)
{
    struct mount_row row = {0};
    int r = mount_table_find_target(plan->mountpoint, &row);
    if (r == -ENOENT && dead) {
        return fault_set(fault, -EBUSY,
                         "cannot mount on %s: a dead mount of another filesystem is there. Take it "
                         "away with 'umount -l %s'.",
                         plan->mountpoint, plan->mountpoint);
    }
    if (r < 0) {
        return r == -ENOENT
                   ? 0
                   : fault_set(fault, r, "cannot read the table of mounts: %s", kv_strerror(r));
    }
    bool same = strcmp(row.source, plan->store) == 0;
    if (!dead) {
        r = fault_set(
            fault, -EBUSY,
            "cannot mount on %s: busy, %s is mounted there already. Unmount it with 'kvfs "
            "umount %s', or choose another directory.",
            plan->mountpoint, same ? "this store" : row.source, plan->mountpoint);
    } else if (!same) {
        r = fault_set(fault, -EBUSY,
                      "cannot mount on %s: a dead mount of %s is there. Mount that store again, or "
                      "take the mount away with 'kvfs umount %s'.",
                      plan->mountpoint, row.source, plan->mountpoint);
    } else {
        r = kvfs_unmount(plan->mountpoint, true);
        if (r < 0) {
            fault_set(fault, r, "cannot take away the dead mount on %s: %s", plan->mountpoint,
                      kv_strerror(r));
        }
    }
    mount_row_finish(&row);
    return r;
}

static int probe_once(const char *path, struct stat *ret_stat)
{
    struct statfs space;
    if (statfs(path, &space) < 0 || stat(path, ret_stat) < 0) {
        return errno;
    }
    return 0;
}

/* stat(2) of a dead mount may still be answered from the kernel's caches; statfs(2) never is. While
 * the kernel takes the connection of a killed daemon down, and over io_uring it goes on with that
 * after the process was reaped, it gives up what is asked; once done it says that nobody is there.
 */
static int probe(const char *path, struct stat *ret_stat)
{
    int error = probe_once(path, ret_stat);
    for (int i = 0; i < PROBE_TRIES && (error == ECONNABORTED || error == ECANCELED); i++) {
        struct timespec pause = {.tv_nsec = PROBE_PAUSE_NS};
        nanosleep(&pause, NULL);
        error = probe_once(path, ret_stat);
    }
    return error;
}

static int check_mountpoint(const struct mount_plan *plan, struct fault *fault)
{
    struct stat st;
    int error = probe(plan->mountpoint, &st);
    int r = check_mounted(plan, error == ENOTCONN, fault);
    if (r < 0) {
        return r;
    }
    if (error == ENOTCONN) {
        error = probe(plan->mountpoint, &st);
    }
    if (error == ENOENT) {
        return fault_set(fault, -ENOENT,
                         "cannot mount on %s: there is no such directory. Make it with 'mkdir %s'.",
                         plan->mountpoint, plan->mountpoint);
    }
    if (error != 0) {
        return fault_set(fault, -error, "cannot mount on %s: %s", plan->mountpoint,
                         kv_strerror(-error));
    }
    if (!S_ISDIR(st.st_mode)) {
        return fault_set(fault, -ENOTDIR, "cannot mount on %s: it is not a directory.",
                         plan->mountpoint);
    }
    if (path_is_within(plan->store, plan->mountpoint) ||
        path_is_within(plan->mountpoint, plan->store)) {
        return fault_set(
            fault, -EINVAL,
            "cannot mount %s on %s: one lies inside the other. Choose another directory.",
            plan->store, plan->mountpoint);
    }
    return 0;
}

/* An ordinary user's daemon gets the device from fusermount3; here only its absence is told. */
static int check_device(struct fault *fault)
{
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (fd >= 0) {
        close(fd);
        return 0;
    }
    if (errno != ENOENT && errno != ENODEV && errno != ENXIO) {
        return 0;
    }
    return fault_set(
        fault, -ENODEV,
        "cannot mount: there is no /dev/fuse. Load the module with 'modprobe fuse'; in a "
        "container start it with --device /dev/fuse --cap-add SYS_ADMIN. The store can "
        "be used by key without a mount: 'kvfs help'.");
}

/* The daemon works in another directory. */
static int resolve_log(struct mount_plan *plan, struct fault *fault)
{
    const char *log = plan->options.log;
    char *path = NULL;
    if (log == NULL || strcmp(log, "syslog") == 0) {
        return 0;
    }
    int r = path_resolve(log, &path);
    if (r < 0) {
        return fault_set(fault, r, "cannot log to %s: %s", log, kv_strerror(r));
    }
    free(plan->options.log);
    plan->options.log = path;
    return 0;
}

int serve_plan_prepare(struct mount_plan *plan, const char *store, struct fault *fault)
{
    int r = target_find(store, &plan->store, fault);
    return r < 0 ? r : resolve_log(plan, fault);
}

int mount_plan_prepare(struct mount_plan *plan, const char *store, const char *mountpoint,
                       struct fault *fault)
{
    int r = store_resolve(store, &plan->store, fault);
    if (r < 0) {
        return r;
    }
    r = path_resolve(mountpoint, &plan->mountpoint);
    if (r < 0) {
        return fault_set(fault, r, "cannot mount on %s: %s", mountpoint, kv_strerror(r));
    }
    r = resolve_log(plan, fault);
    r = r < 0 ? r : check_device(fault);
    return r < 0 ? r : check_mountpoint(plan, fault);
}
