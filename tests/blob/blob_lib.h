/* SPDX-License-Identifier: Apache-2.0 */
/* Values and blobs in memory for the tests of kvcore/blob. */
#ifndef TESTS_BLOB_BLOB_LIB_H
#define TESTS_BLOB_BLOB_LIB_H

#include <stdio.h>
#include <stdlib.h>

#include "kvcore/blob/blob_set.h"
#include "kvcore/blob/blob_writer.h"
#include "kvcore/util/checksum.h"
#include "kvcore/util/rng.h"
#include "tests/lib/check_main.h"

enum { TEST_BLOB = 7 };

#define TEST_SEED UINT64_C(0x5eed)

/* The messages: how many, and the last. */
struct heard {
    int count;
    char last[400];
};

static inline void hear(void *arg, enum kv_message_level level, const char *text)
{
    struct heard *heard = arg;
    heard->count++;
    snprintf(heard->last, sizeof heard->last, "%d %s", (int)level, text);
}

struct blob_rig {
    struct kv_storage *storage;
    struct heard heard;
    struct message_sink sink;
    struct blob_store store;
    struct blob_set *set;
};

static inline void rig_init(struct blob_rig *rig)
{
    *rig = (struct blob_rig){0};
    ck_ok(kv_storage_mem_create(&rig->storage));
    rig->sink = (struct message_sink){.fn = hear, .arg = &rig->heard};
    rig->store =
        (struct blob_store){.storage = rig->storage, .seed = TEST_SEED, .sink = &rig->sink};
    ck_ok(blob_set_create(&rig->store, 2, &rig->set));
}

static inline void rig_finish(struct blob_rig *rig)
{
    blob_set_destroy(rig->set);
    kv_storage_mem_destroy(rig->storage);
}

/* Bytes that differ by `tag`; compressible ones repeat. */
static inline struct kv_buf make_value(size_t size, uint64_t tag, bool compressible)
{
    struct kv_buf value = {0};
    struct rng rng = {.state = tag};

    ck_ok(kv_buf_reserve(&value, size + 8));
    while (value.size < size) {
        uint64_t word = compressible ? tag : rng_next(&rng);
        memcpy(value.data + value.size, &word, sizeof word);
        value.size += sizeof word;
    }
    value.size = size;
    return value;
}

static inline struct blob_pointer decode_pointer(struct kv_slice bytes)
{
    struct blob_pointer pointer;
    ck_ok(blob_pointer_decode(bytes, &pointer));
    return pointer;
}

/* The bytes [skip, skip + size) behind the pointer are those of `value` from `at` on. */
static inline void expect_bytes(struct blob_rig *rig, const struct blob_pointer *pointer,
                                size_t skip, size_t size, const uint8_t *expected)
{
    uint8_t *got = malloc(size);
    ck_assert(got != NULL);
    ck_ok(blob_set_read(rig->set, pointer, skip, size, got));
    ck_assert_mem_eq(got, expected, size);
    free(got);
}

#endif
