/* SPDX-License-Identifier: Apache-2.0 */
/* The oracle of the engine's random tests: a fixed set of sorted keys and, per table, which value
 * each has now. Dumb and obviously right. A value is made from its number, so none has to be kept.
 */
#ifndef TESTS_DB_MODEL_H
#define TESTS_DB_MODEL_H

#include <kv/kv.h>

enum { MODEL_KEYS = 1500, MODEL_TABLES = 2, MODEL_VALUE_MAX = 300 << 10 };

struct model {
    struct kv_buf keys[MODEL_KEYS];           /* ascending */
    uint32_t value[MODEL_TABLES][MODEL_KEYS]; /* number of the value; 0: absent */
    uint32_t next_value;
};

/* The state at a snapshot. */
struct model_state {
    uint32_t value[MODEL_TABLES][MODEL_KEYS];
};

void model_init(struct model *model, uint64_t seed);
void model_finish(struct model *model);
/* The value with this number: size and bytes depend on nothing else. Written to `to`. */
struct kv_slice model_value(uint32_t number, uint8_t to[MODEL_VALUE_MAX]);
/* Every read there is (get, scans both ways, bounded scans) shows exactly `state`. Aborts the test
 * if not. */
void model_check(const struct model *model, const struct model_state *state,
                 struct kv_table *const tables[MODEL_TABLES], const struct kv_snapshot *snapshot,
                 uint64_t seed);
void model_state_of(const struct model *model, struct model_state *ret_state);

#endif
