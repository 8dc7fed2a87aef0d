/* SPDX-License-Identifier: Apache-2.0 */
/* For functions that kv_inspect() calls. */
#ifndef TESTS_LIB_INSPECT_FACT_H
#define TESTS_LIB_INSPECT_FACT_H

#include <string.h>

#include <kv/inspect.h>

/* The fact of that name, or NULL; lives as long as the item. */
static inline const struct kv_inspect_fact *inspect_fact(const struct kv_inspect_item *item,
                                                         const char *name)
{
    for (size_t i = 0; i < item->fact_count; i++) {
        if (strcmp(item->facts[i].name, name) == 0) {
            return &item->facts[i];
        }
    }
    return NULL;
}

#endif
