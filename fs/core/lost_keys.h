/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of one table among which rows were lost, as ranges that neither meet nor overlap, so that
 * one search tells whether a key is among them. A repair may know as many as there were blocks. */
#ifndef FS_CORE_LOST_KEYS_H
#define FS_CORE_LOST_KEYS_H

#include "fs/kvfs.h"

/* Both included; `to` empty: no bound. */
struct lost_range {
    struct kv_slice from, to; /* borrowed */
};

struct lost_keys {
    struct lost_range *ranges; /* ascending */
    size_t count;
    bool anywhere; /* and among others, too */
};

/* `from` must outlive the keys; they are to be finished also after a failure. Errors: -ENOMEM. */
KV_MUST_CHECK int lost_keys_init(struct lost_keys *keys, const struct kvfs_lost_keys *from);
void lost_keys_finish(struct lost_keys *keys); /* accepts an all-zero one */

/* The first range that has a key of [first, last]; NULL: none. */
const struct lost_range *lost_keys_find(const struct lost_keys *keys, struct kv_slice first,
                                        struct kv_slice last);
/* Whether a row of the key may have been lost. */
bool lost_keys_may_have(const struct lost_keys *keys, struct kv_slice key);

#endif
