/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/fuse/mount.h"

#include <fcntl.h>
#include <unistd.h>

#include "fs/fuse/session.h"

#if FUSE_VERSION >= 318

/* Of the kernel's part of FUSE, whether that is a module or built in. */
static const char parameter[] = "/sys/module/fuse/parameters/enable_uring";

static bool parameter_is_set(void)
{
    char value = 'N';
    int fd = open(parameter, O_RDONLY | O_CLOEXEC);
    bool set = fd >= 0 && read(fd, &value, 1) == 1 && value == 'Y';
    if (fd >= 0) {
        close(fd);
    }
    return set;
}

/* Only root may; whether it worked is looked at afterwards. */
static void set_parameter(void)
{
    int fd = open(parameter, O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t written = write(fd, "Y", 1);
        (void)written;
        close(fd);
    }
}

const char *kvfs_uring_obstacle(bool set)
{
    if (access(parameter, F_OK) != 0) {
        return "this kernel does not offer it; Linux does from 6.14 on";
    }
    if (set && !parameter_is_set()) {
        set_parameter();
    }
    return parameter_is_set() ? NULL
                              : "the kernel's parameter is off; root turns it on with 'echo Y "
                                ">/sys/module/fuse/parameters/enable_uring'";
}

#else

const char *kvfs_uring_obstacle(bool set)
{
    (void)set;
    return "this build has a libfuse before 3.18; tools/quickstart makes one that has it";
}

#endif

const char *kvfs_mount_transport(const struct kvfs_mount *mount)
{
    /* libfuse goes on with /dev/fuse when it cannot make the rings. */
    bool any = false;
    for (unsigned kind = 0; kind < REQUEST_KIND_COUNT; kind++) {
        any = any || __atomic_load_n(&mount->requests[kind], __ATOMIC_RELAXED) > 0;
    }
    return mount->uring && (!any || atomic_load(&mount->uring_seen)) ? "io_uring" : "dev_fuse";
}
