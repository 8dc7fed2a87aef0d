/* SPDX-License-Identifier: Apache-2.0 */
/* Where the library's messages go, and the last error among them, which says more than an errno. */
#ifndef KVFS_TOOLS_LOG_H
#define KVFS_TOOLS_LOG_H

#include <kv/message.h>
#include <stdbool.h>
#include <stddef.h>

#include "kvcore/util/thread.h"

enum log_kind {
    LOG_NOWHERE = 1, /* only the last error is kept */
    LOG_SYSLOG,
    LOG_FILE, /* also stderr */
};

struct log {
    enum log_kind kind;         /* constant */
    const char *target;         /* constant; as log_init() was given it, borrowed */
    int fd;                     /* constant; for LOG_FILE */
    enum kv_message_level most; /* constant: the most talkative level that is kept */
    struct mutex mu;
    char last_error[512]; /* guarded by mu */
};

/* `target` NULL: nowhere; "syslog"; "stderr"; else a file to append to. It must outlive the log.
 * Errors: of open(2). */
KV_MUST_CHECK int log_init(struct log *log, const char *target, bool debug);
void log_finish(struct log *log);
/* A kv_message_fn; `arg` is the log. */
void log_message(void *arg, enum kv_message_level level, const char *text);
/* Copy the last error; empty if there was none. */
void log_last_error(struct log *log, char *to, size_t size);

#endif
