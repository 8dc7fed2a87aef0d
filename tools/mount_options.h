/* SPDX-License-Identifier: Apache-2.0 */
/* What may stand behind `-o`: ours, the kernel's, and what other programs read from fstab. */
#ifndef KVFS_TOOLS_MOUNT_OPTIONS_H
#define KVFS_TOOLS_MOUNT_OPTIONS_H

#include <kv/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MOUNT_KERNEL_OPTIONS_SIZE = 512 };

/* Of what this machine may not offer. */
enum mount_choice {
    MOUNT_AUTO, /* where it is to be had */
    MOUNT_OFF,
    MOUNT_ON, /* or fail */
};

struct mount_options {
    uint64_t memory_bytes; /* 0: default */
    unsigned threads;      /* 0: default */
    unsigned sync_interval_ms;
    bool read_only;
    bool allow_other;
    bool writeback;
    bool warm;
    bool no_mount;           /* the store is served without one: what only mounts have is refused */
    enum mount_choice uring; /* FUSE over io_uring; with `on` root turns it on in the kernel */
    enum mount_choice idle_poll; /* idle processors poll; with `on` on machines of any kind */
    char *log;          /* owned; a file, or "syslog"; NULL: syslog, or stderr in the foreground */
    char *client;       /* owned; who asks the cluster of a URL; NULL: as the environment says */
    unsigned timeout_s; /* how long it is waited for; 0: likewise */
    char *index;        /* owned; an attribute, "" for none; NULL: as the store has it */
    char kernel[MOUNT_KERNEL_OPTIONS_SIZE]; /* for mount(2), comma-separated */
};

/* Defaults: what root mounts everybody may enter, under the usual permissions and without setuid
 * programs and devices. */
void mount_options_init(struct mount_options *options, bool is_root);
void mount_options_finish(struct mount_options *options);

/* Apply a comma-separated list (`\,` is a comma inside a value) over what is there. Errors: -EINVAL
 * with a sentence in `fault` that names the option; -ENOMEM. */
KV_MUST_CHECK int mount_options_parse(struct mount_options *options, const char *list, char *fault,
                                      size_t fault_size);

#endif
