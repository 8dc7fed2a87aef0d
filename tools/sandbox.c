/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/sandbox.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <kv/error.h>

/* ---- Landlock, which may be newer than the headers ------------------------------------------- */

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule       445
#define SYS_landlock_restrict_self  446
#endif

enum {
    CREATE_RULESET_VERSION = 1 << 0,
    RULE_PATH_BENEATH = 1,
    SCOPE_ABSTRACT_SOCKETS = 1 << 0,
    SCOPE_SIGNALS = 1 << 1,
};

enum access {
    ACCESS_EXECUTE = 1 << 0,
    ACCESS_WRITE_FILE = 1 << 1,
    ACCESS_READ_FILE = 1 << 2,
    ACCESS_READ_DIR = 1 << 3,
    ACCESS_REMOVE_FILE = 1 << 5,
    ACCESS_MAKE_REG = 1 << 8,
    ACCESS_MAKE_SOCK = 1 << 9,
    ACCESS_TRUNCATE = 1 << 14, /* of version 3 */
    /* Those that a rule may give for what is no directory. */
    ACCESS_OF_FILES = ACCESS_EXECUTE | ACCESS_WRITE_FILE | ACCESS_READ_FILE | ACCESS_TRUNCATE,
};

struct ruleset {
    uint64_t access_fs, access_net, scoped;
};

struct path_rule {
    uint64_t access;
    int32_t fd;
} __attribute__((packed));

/* All rights to files that the version knows, as a set of bits. */
static uint64_t all_access(int version)
{
    unsigned bits = version >= 5 ? 16 : version >= 3 ? 15 : version == 2 ? 14 : 13;
    return ((uint64_t)1 << bits) - 1;
}

/* A service manager may listen at an abstract name. */
static bool notifies_abstract_socket(void)
{
    const char *name = getenv("NOTIFY_SOCKET");
    return name != NULL && *name == '@';
}

static struct ruleset ruleset_of(int version)
{
    struct ruleset set = {.access_fs = all_access(version)};
    if (version >= 4) {
        set.access_net = 3; /* TCP: to bind, to connect */
    }
    if (version >= 6) {
        set.scoped = SCOPE_SIGNALS | (notifies_abstract_socket() ? 0 : SCOPE_ABSTRACT_SOCKETS);
    }
    return set;
}

/* What is not there, or not to be reached, needs no rule. The kernel holds on to the file that the
 * path means now. */
static int allow(int ruleset, uint64_t handled, const char *path, uint64_t access)
{
    struct path_rule rule = {.fd = open(path, O_PATH | O_CLOEXEC)};
    struct stat st;
    int r = 0;
    if (rule.fd < 0) {
        return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? 0 : -errno;
    }
    if (fstat(rule.fd, &st) != 0) {
        r = -errno;
    } else {
        rule.access = access & handled & (S_ISDIR(st.st_mode) ? UINT64_MAX : ACCESS_OF_FILES);
        r = syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0) != 0 ? -errno : 0;
    }
    close(rule.fd);
    return r;
}

static const struct {
    const char *path;
    uint64_t access;
} common_rules[] = {
    /* The C library's own: libgcc_s when a thread is cancelled, time zones, tables of locales. */
    {"/usr", ACCESS_READ_FILE | ACCESS_READ_DIR},
    {"/lib", ACCESS_READ_FILE | ACCESS_READ_DIR},
    {"/lib64", ACCESS_READ_FILE | ACCESS_READ_DIR},
    {"/nix/store", ACCESS_READ_FILE | ACCESS_READ_DIR},
    {"/etc/ld.so.cache", ACCESS_READ_FILE},
    {"/etc/localtime", ACCESS_READ_FILE},
    /* Memory in use, mounts, and the groups of whoever makes a request, of which the kernel tells
     * one. */
    {"/proc", ACCESS_READ_FILE | ACCESS_READ_DIR},
    {"/sys/devices/system", ACCESS_READ_FILE | ACCESS_READ_DIR},
    {"/sys/kernel/mm", ACCESS_READ_FILE | ACCESS_READ_DIR},
    {"/sys/fs/cgroup", ACCESS_READ_FILE | ACCESS_READ_DIR},
    /* How far the kernel reads ahead on the mount, whose number is not known yet. */
    {"/sys/devices/virtual/bdi", ACCESS_READ_FILE | ACCESS_WRITE_FILE | ACCESS_READ_DIR},
    {"/dev/null", ACCESS_READ_FILE | ACCESS_WRITE_FILE},
    {"/dev/urandom", ACCESS_READ_FILE},
};

/* The names of threads, which their maker writes. A directory of /proc becomes another inode, for
 * which no rule holds, once the kernel has dropped its name from memory: so it is kept open as long
 * as the process is. */
static int allow_own_process(int ruleset, uint64_t handled)
{
    static const char own[] = "/proc/self";
    int kept = open(own, O_PATH | O_CLOEXEC);
    return kept < 0 ? 0
                    : allow(ruleset, handled, own,
                            ACCESS_READ_FILE | ACCESS_READ_DIR | ACCESS_WRITE_FILE);
}

static int add_rules(int ruleset, uint64_t handled, const char *store)
{
    int r = allow(ruleset, handled, store,
                  ACCESS_READ_FILE | ACCESS_READ_DIR | ACCESS_WRITE_FILE | ACCESS_TRUNCATE |
                      ACCESS_MAKE_REG | ACCESS_MAKE_SOCK | ACCESS_REMOVE_FILE);
    r = r < 0 ? r : allow_own_process(ruleset, handled);
    for (size_t i = 0; r == 0 && i < sizeof common_rules / sizeof common_rules[0]; i++) {
        r = allow(ruleset, handled, common_rules[i].path, common_rules[i].access);
    }
    return r;
}

/* Returns the version in force. */
static int restrict_files(const char *store)
{
    int version = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);
    if (version <= 0) {
        return version < 0 ? -errno : -ENOSYS;
    }
    struct ruleset set = ruleset_of(version);
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &set, sizeof set, 0);
    if (ruleset < 0) {
        return -errno;
    }
    int r = add_rules(ruleset, set.access_fs, store);
    if (r == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) != 0) {
        r = -errno;
    }
    close(ruleset);
    return r < 0 ? r : version;
}

/* ---- all of it ------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static void tell(struct sandbox *sandbox, const char *format,
                                                       ...)
{
    size_t used = strlen(sandbox->text);
    va_list args;
    va_start(args, format);
    if (used > 0 && used + 2 < sizeof sandbox->text) {
        memcpy(sandbox->text + used, ", ", 3);
        used += 2;
    }
    vsnprintf(sandbox->text + used, sizeof sandbox->text - used, format, args);
    va_end(args);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(KV_COVERAGE)
#define SANDBOX_LEFT_OUT
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define SANDBOX_LEFT_OUT
#endif
#endif

#ifdef SANDBOX_LEFT_OUT

void sandbox_enter(const struct sandbox_plan *plan, struct sandbox *ret_sandbox)
{
    *ret_sandbox = (struct sandbox){.complete = true};
    tell(ret_sandbox, "off: %s", "this build is for tests that look into the process");
    (void)plan;
    (void)restrict_files;
}

#else

static void leave_no_dumps(struct sandbox *sandbox)
{
    static const struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0) {
        tell(sandbox, "no core dumps");
    } else {
        sandbox->complete = false;
        tell(sandbox, "core dumps: %s", kv_strerror(-errno));
    }
}

/* The rest without it would be undone by the first setuid program. */
static bool gain_nothing(struct sandbox *sandbox)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0) {
        tell(sandbox, "no new privileges");
        return true;
    }
    sandbox->complete = false;
    tell(sandbox, "new privileges: %s", kv_strerror(-errno));
    return false;
}

/* Those that a store of another user, a quota, memory that is locked and the priorities of threads
 * may take. */
static const uint32_t kept_capabilities =
    1U << CAP_CHOWN | 1U << CAP_DAC_OVERRIDE | 1U << CAP_DAC_READ_SEARCH | 1U << CAP_FOWNER |
    1U << CAP_FSETID | 1U << CAP_IPC_LOCK | 1U << CAP_SYS_NICE | 1U << CAP_SYS_RESOURCE;

/* Of root, and of whoever was given some. A file can be asked for more than its bytes, such as to
 * freeze its file system. */
static void drop_capabilities(struct sandbox *sandbox)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[2]; /* the lower half, the upper half */
    bool known = syscall(SYS_capget, &header, sets) == 0;
    if (known && (sets[0].permitted & ~kept_capabilities) == 0 && sets[1].permitted == 0) {
        return; /* there is nothing to drop */
    }
    sets[0].permitted &= kept_capabilities;
    sets[0].effective &= kept_capabilities;
    sets[0].inheritable = 0;
    sets[1] = (struct __user_cap_data_struct){0};
    if (known && syscall(SYS_capset, &header, sets) == 0) {
        tell(sandbox, "no capabilities but of files");
    } else {
        sandbox->complete = false;
        tell(sandbox, "capabilities: %s", kv_strerror(-errno));
    }
}

void sandbox_enter(const struct sandbox_plan *plan, struct sandbox *ret_sandbox)
{
    struct sandbox *sandbox = ret_sandbox;
    *sandbox = (struct sandbox){.complete = true};
    tzset(); /* what it reads is read once */
    leave_no_dumps(sandbox);
    if (!gain_nothing(sandbox)) {
        return;
    }
    if (plan->store != NULL) {
        drop_capabilities(sandbox);
    }
    int r = plan->store != NULL ? restrict_files(plan->store) : 0;
    if (r > 0) {
        tell(sandbox, "landlock %d", r);
    } else if (r < 0) {
        sandbox->complete = false;
        tell(sandbox, "no landlock: %s", kv_strerror(r));
    } else {
        tell(sandbox, "no landlock: the store is in a pool");
    }
    r = sandbox_refuse_calls(plan);
    if (r == 0) {
        tell(sandbox, "seccomp");
    } else if (r == -ENOTSUP) {
        tell(sandbox, "no seccomp: not on this processor"); /* of which nobody is to hear daily */
    } else {
        sandbox->complete = false;
        tell(sandbox, "no seccomp: %s", kv_strerror(r));
    }
}

#endif
