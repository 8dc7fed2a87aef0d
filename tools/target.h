/* SPDX-License-Identifier: Apache-2.0 */
/* What a STORE argument stands for: the daemon that holds the store, or else the store itself,
 * opened here. Commands ask either in the same way. */
#ifndef KVFS_TOOLS_TARGET_H
#define KVFS_TOOLS_TARGET_H

#include "tools/control_client.h"
#include "tools/control_ops.h"
#include "tools/log.h"
#include "tools/report.h"

enum target_mode {
    TARGET_READ = 1, /* changes not a byte of a store that is opened here */
    TARGET_WRITE,
    TARGET_LOAD,   /* as write, of very much: nothing need be durable before target_close() */
    TARGET_ENGINE, /* as read; also a store that holds no filesystem. Only its state and statistics
                      can be asked */
};

struct target {
    char *store;                   /* resolved path, or URL */
    struct control_client *client; /* NULL: opened here */
    struct kvfs *fs;               /* NULL: asked through the client, or the engine alone */
    struct kv_store *engine;       /* opened alone, or NULL */
    struct control_host host;
    struct log log;
    bool log_ready;
    char detail[512]; /* what the last failed call said beside its errno; may be empty */
};

/* Find the store behind `argument`: its directory or URL, or where it is mounted. The result is
 * owned by the caller. */
KV_MUST_CHECK int target_find(const char *argument, char **ret_store, struct fault *fault);

/* Open what `argument` names. On failure `target` is finished already. */
KV_MUST_CHECK int target_open(struct target *target, const char *argument, enum target_mode mode,
                              struct fault *fault);
/* Sync and close. Errors only of a store opened here for writing. */
KV_MUST_CHECK int target_close(struct target *target, struct fault *fault);

/* Carry out `request`; rows and data go to `fn`, which may be NULL if none can come. Errors: the
 * operation's, the connection's, or `fn`'s. */
KV_MUST_CHECK int target_call(struct target *target, const struct control_request *request,
                              control_reply_fn *fn, void *arg);

#endif
