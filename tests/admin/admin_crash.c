/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/admin/admin_crash.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

struct crash crash;

uint64_t crash_load(const uint64_t *number)
{
    return __atomic_load_n(number, __ATOMIC_SEQ_CST);
}

static int change(void)
{
    uint64_t count = __atomic_add_fetch(&crash.count, 1, __ATOMIC_SEQ_CST);
    uint64_t stop_at = crash_load(&crash.stop_at);
    return stop_at != 0 && count >= stop_at ? -EIO : 0;
}

bool crash_happened(void)
{
    return crash_load(&crash.stop_at) != 0 &&
           crash_load(&crash.count) >= crash_load(&crash.stop_at);
}

/* Some inputs of a merge are gone then, and others are still there. */
static void note_removal(const char *name)
{
    uint64_t stop_at = crash_load(&crash.stop_at_remove);
    if (strstr(name, ".table") != NULL &&
        __atomic_add_fetch(&crash.removed, 1, __ATOMIC_SEQ_CST) >= stop_at && stop_at != 0) {
        __atomic_store_n(&crash.stop_at, 1, __ATOMIC_SEQ_CST);
    }
}

static bool fails_to_be_made(const char *name)
{
    if (strstr(name, ".manifest") != NULL) {
        return crash.manifests_fail;
    }
    return strstr(name, ".table") != NULL &&
           __atomic_add_fetch(&crash.made, 1, __ATOMIC_SEQ_CST) == crash.fail_at_make;
}

static int crash_openat(void *arg, int in, const char *name, int flags, mode_t mode)
{
    int r = (flags & O_CREAT) != 0 ? change() : 0;
    if (r == 0 && (flags & O_CREAT) != 0 && fails_to_be_made(name)) {
        r = -EIO;
    }
    r = r < 0 ? r : posix_calls_real.openat(arg, in, name, flags, mode);
    if (r >= 0 && r < 64) {
        uint64_t bit = UINT64_C(1) << r;
        if (strstr(name, ".manifest") != NULL) {
            __atomic_or_fetch(&crash.manifests, bit, __ATOMIC_SEQ_CST);
        } else {
            __atomic_and_fetch(&crash.manifests, ~bit, __ATOMIC_SEQ_CST);
        }
    }
    return r;
}

static ssize_t crash_pwritev(void *arg, int fd, const struct iovec *parts, int count,
                             uint64_t offset)
{
    int r = change();
    if (crash.manifests_fail && fd < 64 && (crash_load(&crash.manifests) >> fd & 1) != 0) {
        r = -EIO;
    }
    return r < 0 ? r : posix_calls_real.pwritev(arg, fd, parts, count, offset);
}

static int crash_fallocate(void *arg, int fd, int mode, uint64_t offset, uint64_t size)
{
    int r = change();
    return r < 0 ? r : posix_calls_real.fallocate(arg, fd, mode, offset, size);
}

static int crash_rename(void *arg, int in, const char *from, const char *to, unsigned flags)
{
    int r = change();
    return r < 0 ? r : posix_calls_real.rename(arg, in, from, to, flags);
}

static int crash_linkat(void *arg, int from_dir, const char *from, int to_dir, const char *to)
{
    int r = change();
    return r < 0 ? r : posix_calls_real.linkat(arg, from_dir, from, to_dir, to);
}

static int crash_unlinkat(void *arg, int in, const char *name)
{
    note_removal(name);
    int r = change();
    if (r == 0 && crash.removals_that_fail > 0 && strstr(name, ".table") != NULL) {
        crash.removals_that_fail--;
        r = -EIO;
    }
    return r < 0 ? r : posix_calls_real.unlinkat(arg, in, name);
}

/* The process stops, not the machine: what was written stays, also unsynced. Nearly all
 * of the time would pass here else. */
static int crash_sync(void *arg, int fd)
{
    (void)arg;
    (void)fd;
    return 0;
}

void crash_begin(uint64_t stop_at)
{
    crash = (struct crash){.calls = posix_calls_real, .stop_at = stop_at};
    crash.calls.openat = crash_openat;
    crash.calls.fdatasync = crash_sync;
    crash.calls.fsync = crash_sync;
    crash.calls.pwritev = crash_pwritev;
    crash.calls.fallocate = crash_fallocate;
    crash.calls.rename = crash_rename;
    crash.calls.linkat = crash_linkat;
    crash.calls.unlinkat = crash_unlinkat;
}
