/* SPDX-License-Identifier: Apache-2.0 */
/* The place of a copy as the daemon sees it: a storage each step of which is done by the command
 * that wants the copy (copy_place.h), with the rights of whoever runs that. So the daemon needs no
 * right to any directory but its store's. The storage holds one open file at a time and serves
 * kv_checkpoint() and kv_copy() alone.
 *
 * Refused: the daemon makes the copy inside its store and the command moves it away. That wants a
 * name in the store which every reader knows, somebody who clears what a dead command left, and
 * works on one file system only. */
#ifndef KVFS_TOOLS_COPY_REMOTE_H
#define KVFS_TOOLS_COPY_REMOTE_H

#include <kv/storage.h>

#include "tools/control.h"

struct copy_remote {
    struct kv_storage base;
    control_reply_fn *fn; /* gives an ask to the command and returns what that answers */
    void *arg;
};

/* Nothing has to be given back. `remote` must not move. */
void copy_remote_init(struct copy_remote *remote, control_reply_fn *fn, void *arg);

#endif
