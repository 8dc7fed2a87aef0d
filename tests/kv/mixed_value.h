/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and values of the mixed load. A value follows from its part, its key and its version alone,
 * and names them: who meets it knows what it must be, without knowing what was written. */
#ifndef TESTS_KV_MIXED_VALUE_H
#define TESTS_KV_MIXED_VALUE_H

#include <kv/slice.h>

enum { MIXED_KEY_SIZE = 20 };

struct mixed_id {
    uint64_t part, index, version;
};

struct mixed_key {
    char text[MIXED_KEY_SIZE];
    struct kv_slice slice; /* the text */
};

/* Writes the key, whose slice points into `to`. Keys of a part ascend by index and lie before those
 * of the next part. */
void mixed_key_make(uint64_t part, uint64_t index, struct mixed_key *to);
/* The version is set to 0. Returns false if it is no such key. */
bool mixed_key_parse(struct kv_slice key, struct mixed_id *ret_id);
/* Replace the contents of `value`: 24 bytes to some 100 KiB. Errors: -ENOMEM. */
KV_MUST_CHECK int mixed_value_make(const struct mixed_id *id, struct kv_buf *value);
/* Which version of the value of `id` these bytes are; 0 if they are none, or with one wrong byte.
 * `scratch` is overwritten. */
uint64_t mixed_value_version(const struct mixed_id *id, struct kv_slice value,
                             struct kv_buf *scratch);

#endif
