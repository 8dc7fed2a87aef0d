/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of the simulated file system. A file of its own, so that a test that lets allocations
 * fail can tell these from those of the store. */
#include "tests/sim/sim_impl.h"

#include <stdio.h>
#include <stdlib.h>

void *sim_alloc(size_t count, size_t size)
{
    void *memory = calloc(count > 0 ? count : 1, size);
    if (memory == NULL) {
        fprintf(stderr, "the simulated file system has no memory\n");
        abort();
    }
    return memory;
}

void sim_free(void *memory)
{
    free(memory);
}

void sim_append(void *array_pointer, size_t *count, const void *item, size_t item_size)
{
    uint8_t *array;
    memcpy(&array, array_pointer, sizeof array);
    array = realloc(array, (*count + 1) * item_size);
    if (array == NULL) {
        abort();
    }
    memcpy(array + *count * item_size, item, item_size);
    memcpy(array_pointer, &array, sizeof array);
    *count += 1;
}
