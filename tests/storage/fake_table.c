/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/storage/fake_table.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

void table_finish(struct table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        kv_buf_finish(&table->named[i].value);
    }
    free(table->named);
}

struct named *table_find(const struct table *table, const char *name)
{
    for (size_t i = 0; i < table->count; i++) {
        if (strcmp(table->named[i].name, name) == 0) {
            return &table->named[i];
        }
    }
    return NULL;
}

/* Room for a new name, in its place. */
static struct named *table_insert(struct table *table, const char *name)
{
    size_t at = table->count;

    if (table->count == table->capacity) {
        table->capacity = table->capacity * 2 + 8;
        table->named = reallocarray(table->named, table->capacity, sizeof *table->named);
        assert(table->named != NULL);
    }
    for (; at > 0 && strcmp(table->named[at - 1].name, name) > 0; at--) {
        table->named[at] = table->named[at - 1];
    }
    table->named[at] = (struct named){0};
    assert(strlen(name) < sizeof table->named[at].name);
    snprintf(table->named[at].name, sizeof table->named[at].name, "%s", name);
    table->count++;
    return &table->named[at];
}

void table_set(struct table *table, const struct pool_value *value)
{
    struct named *named = table_find(table, value->name);
    named = named != NULL ? named : table_insert(table, value->name);
    int r = kv_buf_assign(&named->value, value->value);
    assert(r >= 0);
    kv_ignore(r);
}

void table_remove(struct table *table, const char *name)
{
    struct named *named = table_find(table, name);
    if (named != NULL) {
        kv_buf_finish(&named->value);
        memmove(named, named + 1,
                (size_t)(table->named + table->count - named - 1) * sizeof *named);
        table->count--;
    }
}
