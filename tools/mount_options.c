/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/mount_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/kvfs.h"
#include "tools/text.h"
#include "tools/words.h"

enum {
    THREADS_MAX = 64,
    SYNC_INTERVAL_MS_MAX = 3600 * 1000,
    TIMEOUT_S_MAX = 24 * 3600,
    CLIENT_SIZE_MAX = 127,
};
static const uint64_t memory_min_bytes = 16 << 20;

/* Read by mount(8), systemd and others; they say nothing to a filesystem. */
static const char *const ignored[] = {
    "defaults", "auto",    "noauto",   "user",        "nouser",   "users", "owner", "group",
    "nofail",   "_netdev", "relatime", "strictatime", "diratime", "async", "atime", "lazytime",
};
/* Handed to mount(2); the later of two that contradict each other wins there. */
static const char *const for_kernel[] = {
    "suid", "nosuid", "dev", "nodev", "exec", "noexec", "sync", "noatime", "nodiratime", "dirsync",
};
static const char *const ours[] = {
    "memory",    "threads", "sync_interval", "ro",   "rw",    "allow_other", "noallow_other",
    "writeback", "log",     "uring",         "warm", "index", "id",          "timeout",
    "idle_poll",
};

/* What says something of a store that is served without a mount. */
static const char *const without_mount[] = {"memory", "sync_interval", "log", "warm", "index",
                                            "id",     "timeout"};

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

void mount_options_init(struct mount_options *options, bool is_root)
{
    *options = (struct mount_options){.allow_other = is_root};
    snprintf(options->kernel, sizeof options->kernel, "nosuid,nodev");
}

void mount_options_finish(struct mount_options *options)
{
    free(options->log);
    free(options->index);
    free(options->client);
    options->log = options->index = options->client = NULL;
}

static bool is_among(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_known(const char *name)
{
    return is_among(name, ours, COUNT_OF(ours)) ||
           is_among(name, for_kernel, COUNT_OF(for_kernel)) ||
           is_among(name, ignored, COUNT_OF(ignored));
}

static int unknown(const char *name, char *fault, size_t fault_size)
{
    const char *nearest = words_nearest(name, ours, COUNT_OF(ours));
    nearest = nearest != NULL ? nearest : words_nearest(name, for_kernel, COUNT_OF(for_kernel));
    snprintf(fault, fault_size, "unknown mount option '%s'%s%s%s", name,
             nearest != NULL ? ". Did you mean '" : "", nearest != NULL ? nearest : "",
             nearest != NULL ? "'?" : "");
    return -EINVAL;
}

static int needs_mount(const char *name, char *fault, size_t fault_size)
{
    snprintf(fault, fault_size,
             "option '%s' is one of mounts. Without a mount there are memory, sync_interval, log, "
             "warm, index, id and timeout",
             name);
    return -EINVAL;
}

static int bad_value(const char *name, const char *value, const char *wanted, char *fault,
                     size_t fault_size)
{
    snprintf(fault, fault_size, "mount option '%s=%s': wanted is %s", name,
             value != NULL ? value : "", wanted);
    return -EINVAL;
}

static int parse_number(unsigned *to, const char *value, unsigned min, unsigned max)
{
    uint64_t number = 0;
    if (value == NULL || text_parse_number(value, max, &number) < 0 || number < min) {
        return -EINVAL;
    }
    *to = (unsigned)number;
    return 0;
}

static int apply_memory(struct mount_options *options, const char *value)
{
    uint64_t bytes = 0;
    if (value == NULL || text_parse_size(value, &bytes) < 0 || bytes < memory_min_bytes) {
        return -EINVAL;
    }
    options->memory_bytes = bytes;
    return 0;
}

static int parse_choice(enum mount_choice *to, const char *value)
{
    static const char *const names[] = {
        [MOUNT_AUTO] = "auto", [MOUNT_OFF] = "off", [MOUNT_ON] = "on"};
    for (unsigned i = 0; value != NULL && i < COUNT_OF(names); i++) {
        if (strcmp(value, names[i]) == 0) {
            *to = (enum mount_choice)i;
            return 0;
        }
    }
    return -EINVAL;
}

static int replace(char **text, const char *value)
{
    char *copy = strdup(value);
    if (copy == NULL) {
        return -ENOMEM;
    }
    free(*text);
    *text = copy;
    return 0;
}

static int apply_log(struct mount_options *options, const char *value)
{
    return value == NULL || *value == '\0' ? -EINVAL : replace(&options->log, value);
}

static int apply_index(struct mount_options *options, const char *value)
{
    if (value == NULL || (*value != '\0' && !kvfs_index_name_is_valid(value))) {
        return -EINVAL;
    }
    return replace(&options->index, value);
}

/* It goes among other words that are separated by blanks. */
static int apply_client(struct mount_options *options, const char *value)
{
    if (value == NULL || *value == '\0' || strlen(value) > CLIENT_SIZE_MAX ||
        strpbrk(value, " \t\n") != NULL) {
        return -EINVAL;
    }
    return replace(&options->client, value);
}

/* Options with a value. Returns 1 if `name` is none of them. */
static int apply_valued(struct mount_options *options, const char *name, const char *value,
                        char *fault, size_t fault_size)
{
    const char *wanted = NULL;
    int r = 0;
    if (strcmp(name, "memory") == 0) {
        r = apply_memory(options, value);
        wanted = "a size of at least 16M, such as 256M or 1G";
    } else if (strcmp(name, "threads") == 0) {
        r = parse_number(&options->threads, value, 1, THREADS_MAX);
        wanted = "a number from 1 to 64";
    } else if (strcmp(name, "sync_interval") == 0) {
        r = parse_number(&options->sync_interval_ms, value, 1, SYNC_INTERVAL_MS_MAX);
        wanted = "milliseconds from 1 to 3600000";
    } else if (strcmp(name, "uring") == 0) {
        r = parse_choice(&options->uring, value);
        wanted = "auto, on or off";
    } else if (strcmp(name, "idle_poll") == 0) {
        r = parse_choice(&options->idle_poll, value);
        wanted = "auto, on or off";
    } else if (strcmp(name, "log") == 0) {
        r = apply_log(options, value);
        wanted = "syslog or the name of a file";
    } else if (strcmp(name, "index") == 0) {
        r = apply_index(options, value);
        wanted = "an attribute such as user.tag, without '=', or nothing";
    } else if (strcmp(name, "id") == 0) {
        r = apply_client(options, value);
        wanted = "the name of a Ceph user, such as kvfs for client.kvfs";
    } else if (strcmp(name, "timeout") == 0) {
        r = parse_number(&options->timeout_s, value, 1, TIMEOUT_S_MAX);
        wanted = "seconds from 1 to 86400";
    } else {
        return 1;
    }
    return r == -EINVAL ? bad_value(name, value, wanted, fault, fault_size) : r;
}

/* Options that are on or off. Returns 1 if `name` is none of them. */
static int apply_switch(struct mount_options *options, const char *name)
{
    if (strcmp(name, "ro") == 0 || strcmp(name, "rw") == 0) {
        options->read_only = name[1] == 'o';
    } else if (strcmp(name, "allow_other") == 0) {
        options->allow_other = true;
    } else if (strcmp(name, "noallow_other") == 0) {
        options->allow_other = false;
    } else if (strcmp(name, "writeback") == 0) {
        options->writeback = true;
    } else if (strcmp(name, "warm") == 0) {
        options->warm = true;
    } else if (is_among(name, for_kernel, COUNT_OF(for_kernel))) {
        size_t used = strlen(options->kernel);
        int need = snprintf(options->kernel + used, sizeof options->kernel - used, ",%s", name);
        return (size_t)need < sizeof options->kernel - used ? 0 : -E2BIG;
    } else if (!is_among(name, ignored, COUNT_OF(ignored))) {
        return 1;
    }
    return 0;
}

static int apply(struct mount_options *options, char *option, char *fault, size_t fault_size)
{
    char *equals = strchr(option, '=');
    char *value = equals != NULL ? equals + 1 : NULL;
    if (strncmp(option, "x-", 2) == 0 || strncmp(option, "X-", 2) == 0) {
        return 0;
    }
    if (equals != NULL) {
        *equals = '\0';
    }
    if (strcmp(option, "comment") == 0) {
        return 0;
    }
    if (options->no_mount && is_known(option) &&
        !is_among(option, without_mount, COUNT_OF(without_mount))) {
        return needs_mount(option, fault, fault_size);
    }
    int r = apply_valued(options, option, value, fault, fault_size);
    if (r == 1 && value == NULL) {
        r = apply_switch(options, option);
    }
    if (r == -E2BIG) {
        snprintf(fault, fault_size, "too many mount options");
        return -EINVAL;
    }
    return r == 1 ? unknown(option, fault, fault_size) : r;
}

/* Cut the first option off `*list`, in place, and undo its escapes. */
static char *next_option(char **list)
{
    char *start = *list;
    char *to = start;
    char *from = start;
    while (*from != '\0' && *from != ',') {
        if (*from == '\\' && (from[1] == ',' || from[1] == '\\')) {
            from++;
        }
        *to++ = *from++;
    }
    *list = *from == ',' ? from + 1 : from;
    *to = '\0';
    return start;
}

int mount_options_parse(struct mount_options *options, const char *list, char *fault,
                        size_t fault_size)
{
    char *copy = strdup(list);
    char *rest = copy;
    int r = 0;
    if (copy == NULL) {
        snprintf(fault, fault_size, "out of memory");
        return -ENOMEM;
    }
    while (*rest != '\0' && r == 0) {
        char *option = next_option(&rest);
        r = *option != '\0' ? apply(options, option, fault, fault_size) : 0;
    }
    free(copy);
    return r;
}
