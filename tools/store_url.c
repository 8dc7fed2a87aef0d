/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/store_url.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tools/mount_table.h"
#include "tools/text.h"

enum {
    TIMEOUT_S_MAX = 24 * 3600,
    HOLDER_SIZE_MAX = 256, /* what a store in a pool keeps of such a line, and a NUL */
};

/* ---- names ----------------------------------------------------------------------------------- */

static int refuse_form(const char *url, struct fault *fault)
{
    return fault_set(fault, -EINVAL,
                     "cannot open %s: a URL is rados://POOL/NAME, both of 1 to 64 of the bytes A-Z "
                     "a-z 0-9 . _ - and beginning with neither . nor -.",
                     url);
}

int store_resolve(const char *argument, char **ret_store, struct fault *fault)
{
    char *store = NULL;
    int r = kv_storage_is_url(argument);
    if (r < 0) {
        return refuse_form(argument, fault);
    }
    if (r == 0) {
        r = path_resolve(argument, &store);
    } else {
        store = strdup(argument);
        r = store == NULL ? -ENOMEM : 0;
    }
    if (r < 0) {
        return fault_set(fault, r, "cannot open %s: %s", argument, kv_strerror(r));
    }
    *ret_store = store;
    return 0;
}

/* ---- reaching a cluster ---------------------------------------------------------------------- */

/* What makes no sense there is as good as nothing: it may be meant for a later version. */
static unsigned timeout_wanted(void)
{
    const char *value = getenv("KVFS_TIMEOUT");
    uint64_t seconds = 0;
    if (value == NULL || text_parse_number(value, TIMEOUT_S_MAX, &seconds) < 0) {
        return 0;
    }
    return (unsigned)seconds;
}

int store_storage_open(const char *store, bool create, struct kv_storage **ret_storage)
{
    struct kv_storage_options options = {.create = create, .timeout_s = timeout_wanted()};
    return kv_storage_open(store, &options, ret_storage);
}

int store_reach_set(const char *client, unsigned timeout_s)
{
    const char *before = getenv("CEPH_ARGS");
    char *arguments = NULL;
    char seconds[16];
    int r = 0;
    if (timeout_s > 0) {
        snprintf(seconds, sizeof seconds, "%u", timeout_s);
        r = setenv("KVFS_TIMEOUT", seconds, 1);
    }
    if (r == 0 && client != NULL) {
        /* The last one that is named counts. */
        r = asprintf(&arguments, "%s --id %s", before != NULL ? before : "", client) < 0 ? -1 : 0;
        r = r < 0 ? r : setenv("CEPH_ARGS", arguments, 1);
    }
    free(arguments);
    return r < 0 ? -ENOMEM : 0;
}

/* ---- who holds it ---------------------------------------------------------------------------- */

static void name_machine(char *to, size_t size)
{
    if (gethostname(to, size) != 0 || to[0] == '\0') {
        snprintf(to, size, "localhost");
    }
    to[size - 1] = '\0';
    to[strcspn(to, ", \n")] = '\0';
}

void store_holder_describe(const char *store, const char *rest, char *to, size_t size)
{
    char machine[128] = "";
    bool is_url = store_is_url(store);
    if (is_url) {
        name_machine(machine, sizeof machine);
    }
    size = is_url && size > HOLDER_SIZE_MAX ? HOLDER_SIZE_MAX : size;
    snprintf(to, size, "process %d%s%s%s", (int)getpid(), is_url ? " on " : "", machine, rest);
}

/* One that is dead and not waited for by its parent has ended. */
static bool runs(int pid)
{
    struct pollfd ended = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
    if (ended.fd < 0) {
        return false;
    }
    bool has_ended = poll(&ended, 1, 0) > 0;
    close(ended.fd);
    return !has_ended;
}

bool store_holder_runs_here(const char *holder)
{
    char machine[128];
    char named[128] = "";
    int pid = 0;
    name_machine(machine, sizeof machine);
    return sscanf(holder, "process %d on %127[^, ]", &pid, named) == 2 && pid > 0 &&
           strcmp(named, machine) == 0 && runs(pid);
}

/* ---- saying why ------------------------------------------------------------------------------ */

static const struct {
    int error;
    const char *reason;
} reasons[] = {
    {EINVAL, "CEPH_ARGS or ceph.conf holds something that makes no sense to Ceph."},
    {ENOPKG, "this kvfs cannot speak to Ceph. Install librados2, and a kvfs that was built with "
             "librados-dev."},
    {EDESTADDRREQ,
     "nothing says where the cluster is, or there is no key for it. Put ceph.conf and "
     "a keyring into /etc/ceph, or name them by CEPH_CONF and CEPH_ARGS."},
    {ETIMEDOUT, "the cluster does not answer in time; 'ceph -s' says how it is. KVFS_TIMEOUT=S, or "
                "the mount option timeout=S, sets how long to wait."},
    {EACCES, "the cluster does not let this user in. Name another by CEPH_ARGS='--id NAME', or the "
             "mount option id=NAME, or give it the capabilities it needs."},
    {EPERM, "the cluster does not let this user in. Name another by CEPH_ARGS='--id NAME', or the "
            "mount option id=NAME, or give it the capabilities it needs."},
    {ENXIO, "the cluster has no pool of that name. Make it with 'ceph osd pool create POOL'."},
    {ESHUTDOWN, "another machine took the store over, or shut this one out. Look who has it, and "
                "try again."},
    {ENOSPC, "the pool is full. Make room in it, or give it more, and try again."},
};

bool store_url_explain(const char *url, int error, struct fault *fault)
{
    if (error == -ENOENT) {
        fault_set(fault, error,
                  "cannot open %s: the pool holds no store of that name. Make one with 'kvfs mkfs "
                  "%s'.",
                  url, url);
        return true;
    }
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (error == -reasons[i].error) {
            fault_set(fault, error, "cannot open %s: %s", url, reasons[i].reason);
            return true;
        }
    }
    return false;
}

int store_url_refuse(const char *command, const char *url, const char *instead, struct fault *fault)
{
    return fault_set(fault, -EOPNOTSUPP, "%s works on stores in directories, not on %s. %s",
                     command, url, instead);
}
