/* SPDX-License-Identifier: Apache-2.0 */
/* Results. A fallible function returns 0 (or a documented positive number) or a negative errno.
 * ENOENT means one thing per function. The few codes with a meaning of their own here: */
#ifndef KV_ERROR_H
#define KV_ERROR_H

#include <errno.h>

#define KV_MUST_CHECK __attribute__((warn_unused_result))
#define KV_PUBLIC     __attribute__((visibility("default")))

enum {
    KV_EDAMAGED =
        EUCLEAN, /* stored bytes are damaged: wrong checksum, wrong structure, lost range */
    KV_EFORMAT = EOPNOTSUPP, /* the store uses a format or feature this version does not know */
};

/* Text of a negative errno, for messages. Never NULL, static storage. */
KV_PUBLIC const char *kv_strerror(int error);

/* For the rare result that may be ignored; say why beside each use. */
static inline void kv_ignore(int result)
{
    (void)result;
}

#endif
