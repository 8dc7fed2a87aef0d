/* SPDX-License-Identifier: Apache-2.0 */
/* The place of a copy as the command sees it that wants the copy: carries out what the daemon, or
 * the store opened here, asks for (copy_remote.h). What comes from the daemon is judged like bytes
 * from a stranger: it names files by kind and number, and nothing lands outside of the place. */
#ifndef KVFS_TOOLS_COPY_PLACE_H
#define KVFS_TOOLS_COPY_PLACE_H

#include "tools/control.h"
#include "tools/target.h"

/* Have the store of `target` copied to `to`: its files shared, or with `copies` their bytes, also
 * to another file system or to a URL. `fn` gets what tells how far it is; it may be NULL. Durable
 * when 0 is returned; after a failure nothing is left and target->detail is the sentence. Errors:
 * -EEXIST there is something; -ENOENT no directory above it; -EXDEV; -EBUSY; what reading and
 * writing may say. */
KV_MUST_CHECK int copy_to_place(struct target *target, const char *to, bool copies,
                                control_reply_fn *fn, void *arg);

/* SIGINT, SIGTERM and SIGHUP end a copy that is being made, as a failure: -ECANCELED. A second one
 * ends the process where it is; what that leaves the next copy to the same place takes over. Then,
 * when all is put in order, end as the signal would have: returns if there was none. */
void copy_end_by_signal(void);

#endif
