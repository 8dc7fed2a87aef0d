/* SPDX-License-Identifier: Apache-2.0 */
/* The attributes, or the keys, of an object of a pool in memory. */
#ifndef TESTS_STORAGE_FAKE_TABLE_H
#define TESTS_STORAGE_FAKE_TABLE_H

#include "kvcore/storage/pool.h"

/* An attribute or a key. */
struct named {
    char name[80];
    struct kv_buf value;
};

struct table { /* ascending */
    struct named *named;
    size_t count, capacity;
};

void table_finish(struct table *table);
/* NULL: there is none. */
struct named *table_find(const struct table *table, const char *name);
void table_set(struct table *table, const struct pool_value *value);
void table_remove(struct table *table, const char *name);

#endif
