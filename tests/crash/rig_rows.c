/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/rig_impl.h"

#include <stdio.h>
#include <stdlib.h>

static struct kv_slice value_of(uint32_t number, uint8_t to[RIG_VALUE_MAX])
{
    struct rng rng = {number};
    uint64_t shape = rng_below(&rng, 100);
    size_t limit = shape < 75 ? 300 : shape < 97 ? 3000 : 24 * 1024;
    size_t size = 8 + rng_below(&rng, limit);
    bool compressible = rng_below(&rng, 2) == 0;

    for (size_t i = 0; i < size; i++) {
        to[i] = compressible ? (uint8_t)(number + i % 7) : (uint8_t)rng_next(&rng);
    }
    memcpy(to, &number, sizeof number);
    return kv_slice(to, size);
}

struct kv_slice rig_value(uint32_t number, uint8_t to[RIG_VALUE_MAX])
{
    struct kv_slice value = value_of(number, to);
    if (number < RIG_LARGE_FIRST) {
        return value;
    }
    if (number % 3 == 0) { /* whole pages that do not shrink */
        struct rng rng = {number};
        for (size_t i = sizeof number; i < RIG_VALUE_MAX; i++) {
            to[i] = (uint8_t)rng_next(&rng);
        }
        return kv_slice(to, RIG_VALUE_MAX);
    }
    memset(to + value.size, (int)(number & 0xff), RIG_VALUE_MAX - value.size);
    return kv_slice(to, RIG_VALUE_MAX);
}

struct kv_slice rig_key(int key, char to[16])
{
    return kv_slice(to, (size_t)snprintf(to, 16, "key%04d", key));
}

/* The sum of a hash per row: independent of their order. */
uint64_t rig_digest(const struct rig_rows *rows)
{
    uint64_t digest = 0;
    for (uint64_t t = 0; t < RIG_TABLES; t++) {
        for (uint64_t k = 0; k < RIG_KEYS; k++) {
            uint64_t value = rows->value[t][k];
            digest += value != 0 ? hash_u64(hash_u64(t << 32 | k) + value) : 0;
        }
    }
    return digest;
}

void rig_apply(struct rig_rows *rows, const struct rig_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct rig_change *change = &batch->changes[i];
        for (int key = change->key + 1; key < change->end; key++) {
            rows->value[change->table][key] = 0;
        }
        rows->value[change->table][change->key] = change->value;
    }
}

void rig_rows_at(const struct rig_model *model, size_t count, struct rig_rows *ret_rows)
{
    *ret_rows = (struct rig_rows){0};
    for (size_t i = 0; i < count; i++) {
        rig_apply(ret_rows, &model->batches[i]);
    }
}

static void *grow(void *array, size_t count, size_t size)
{
    void *larger = realloc(array, count * size);
    if (larger == NULL) {
        abort();
    }
    return larger;
}

void rig_model_init(struct rig_model *model)
{
    model->next_value = 1;
    model->digests = grow(NULL, 1, sizeof *model->digests);
    model->digests[0] = 0;
}

void rig_model_add(struct rig_model *model, const struct rig_batch *batch)
{
    model->batches = grow(model->batches, model->batch_count + 1, sizeof *model->batches);
    model->digests = grow(model->digests, model->batch_count + 2, sizeof *model->digests);
    model->batches[model->batch_count++] = *batch;
    rig_apply(&model->rows, batch);
    model->digests[model->batch_count] = rig_digest(&model->rows);
}
