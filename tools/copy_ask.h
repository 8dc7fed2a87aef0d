/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon asks whoever wants a copy of its store to do with the place of the copy, in the
 * key of an ask frame (docs/control.md, "Copies"). */
#ifndef KVFS_TOOLS_COPY_ASK_H
#define KVFS_TOOLS_COPY_ASK_H

#include <kv/storage.h>

/* On the wire, never renumber. */
enum copy_verb {
    COPY_BEGIN = 1,    /* take the place, which must be empty */
    COPY_LOG = 2,      /* make the log, or the blob, `id` with room for `size` bytes, which then is
                          what is open */
    COPY_OBJECT = 3,   /* make the object `id` of about `size` bytes, which then is */
    COPY_WRITE = 4,    /* bytes: append them to what is open */
    COPY_SYNC = 5,     /* the log that is open */
    COPY_CLOSE = 6,    /* the log that is open */
    COPY_FINISH = 7,   /* the object that is open */
    COPY_ABORT = 8,    /* the object that is open */
    COPY_LINK = 9,     /* make the file `id` of the store appear */
    COPY_ROOT = 10,    /* bytes: the root record */
    COPY_COMPLETE = 11 /* give the copy its name; durable when that is answered */
};

struct copy_ask {
    enum copy_verb verb;
    struct kv_file_id id; /* of log, object and link; kind 0 otherwise */
    uint64_t size;        /* of log and object; 0: nobody knows */
};

enum { COPY_ASK_SIZE = 18 };

void copy_ask_encode(const struct copy_ask *ask, uint8_t to[COPY_ASK_SIZE]);
/* Errors: -EPROTO malformed; -EOPNOTSUPP a verb that this version does not know. */
KV_MUST_CHECK int copy_ask_decode(struct kv_slice bytes, struct copy_ask *ret_ask);

#endif
