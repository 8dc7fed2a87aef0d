/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of a pool in memory that are on their way. */
#ifndef TESTS_STORAGE_FAKE_LATE_H
#define TESTS_STORAGE_FAKE_LATE_H

#include "kvcore/storage/pool.h"

/* A call that is on its way: the change and copies of all it points to. */
struct late {
    unsigned client;
    char object[80];
    struct pool_change change;
    struct pool_guard guards[4];
    struct pool_value attributes[8], keys[4];
    struct iovec part;
    char key_removed[64];
    struct kv_buf arena; /* never moved once filled */
    pool_done_fn *done;  /* of one that was begun */
    void *done_arg;
    int result;
    bool made;  /* only to be told */
    bool lands; /* later */
    struct late *next;
};

/* Of the client of that number; in no list. */
struct late *late_copy(unsigned client, const char *name, const struct pool_change *change);
void late_free(struct late *late);

#endif
