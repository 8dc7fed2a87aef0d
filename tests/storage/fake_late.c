/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/storage/fake_late.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

static void must(int r)
{
    assert(r >= 0);
}

static size_t values_size(const struct pool_value *values, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        size += strlen(values[i].name) + 1 + values[i].value.size;
    }
    return size;
}

static struct kv_slice keep(struct kv_buf *arena, struct kv_slice bytes)
{
    size_t at = arena->size;
    assert(arena->capacity - arena->size >= bytes.size);
    must(kv_buf_append(arena, bytes));
    return kv_slice(arena->data + at, bytes.size);
}

static struct pool_value keep_value(struct kv_buf *arena, const struct pool_value *value)
{
    struct kv_slice name = keep(arena, kv_slice(value->name, strlen(value->name) + 1));
    return (struct pool_value){(const char *)name.data, keep(arena, value->value)};
}

struct late *late_copy(unsigned client, const char *name, const struct pool_change *change)
{
    struct late *late = calloc(1, sizeof *late);
    size_t bytes = 0;

    assert(late != NULL && change->guard_count <= 4 && change->attribute_count <= 8 &&
           change->key_count <= 4);
    snprintf(late->object, sizeof late->object, "%s", name);
    late->client = client;
    late->change = *change;
    for (int i = 0; i < change->part_count; i++) {
        bytes += change->parts[i].iov_len;
    }
    must(kv_buf_reserve(&late->arena, bytes + 4 * POOL_VALUE_MAX +
                                          values_size(change->attributes, change->attribute_count) +
                                          values_size(change->keys, change->key_count)));
    for (size_t i = 0; i < change->guard_count; i++) {
        late->guards[i] = change->guards[i]; /* attribute names are literals */
        late->guards[i].value = keep(&late->arena, change->guards[i].value);
    }
    for (size_t i = 0; i < change->attribute_count; i++) {
        late->attributes[i] = keep_value(&late->arena, &change->attributes[i]);
    }
    for (size_t i = 0; i < change->key_count; i++) {
        late->keys[i] = keep_value(&late->arena, &change->keys[i]);
    }
    late->part.iov_base = late->arena.data + late->arena.size;
    late->part.iov_len = bytes;
    for (int i = 0; i < change->part_count; i++) {
        keep(&late->arena, kv_slice(change->parts[i].iov_base, change->parts[i].iov_len));
    }
    if (change->key_removed != NULL) {
        snprintf(late->key_removed, sizeof late->key_removed, "%s", change->key_removed);
        late->change.key_removed = late->key_removed;
    }
    late->change.guards = late->guards;
    late->change.attributes = late->attributes;
    late->change.keys = late->keys;
    late->change.parts = &late->part;
    late->change.part_count = bytes > 0 ? 1 : 0;
    return late;
}

void late_free(struct late *late)
{
    kv_buf_finish(&late->arena);
    free(late);
}
