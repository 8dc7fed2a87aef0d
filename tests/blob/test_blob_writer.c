/* SPDX-License-Identifier: Apache-2.0 */
/* Writing, reading, and finding by number: blob_writer, blob_file and blob_set together. */
#include "tests/blob/blob_lib.h"

#include "kvcore/util/coding.h"

enum { VALUE_COUNT = 60 };

struct written {
    struct kv_buf value;
    struct kv_buf pointer;
};

/* Sizes around the limits of units and pages. */
static size_t some_size(struct rng *rng)
{
    static const size_t around[] = {1, 4096, 8192, 32768, 65536, 131072, 200000};
    size_t base = around[rng_below(rng, 7)];
    size_t delta = (size_t)rng_below(rng, 3);
    return rng_below(rng, 2) == 0 ? base : base + delta - (base > 1 ? 1 : 0);
}

static void append_one(struct blob_writer *writer, struct written *w)
{
    struct blob_pack pack = {0};
    struct blob_place place;

    ck_ok(blob_pack_add(&pack, TEST_SEED, CODEC_SNAPPY, kv_buf_slice(&w->value), &w->pointer));
    ck_ok(blob_writer_append(writer, &pack, &place));
    blob_pack_place(w->pointer.data, w->pointer.size, TEST_SEED, &place);
    ck_ok(blob_writer_note(writer, 1, kv_slice_str("appended"), kv_buf_slice(&w->pointer)));
    blob_pack_finish(&pack);
}

/* A blob of random values, some of them put and some appended. */
static struct blob_writer *write_values(struct blob_rig *rig, struct written *all, struct rng *rng)
{
    struct blob_writer *writer = NULL;
    struct blob_file *file;

    ck_ok(blob_writer_create(&rig->store, TEST_BLOB, &writer));
    file = blob_writer_file(writer);
    ck_ok(blob_set_add(rig->set, file));
    blob_file_unref(file);
    for (size_t i = 0; i < VALUE_COUNT; i++) {
        struct written *w = &all[i];
        w->value = make_value(some_size(rng), i + 1, rng_below(rng, 2) == 0);
        if (rng_below(rng, 2) == 0) {
            append_one(writer, w);
        } else {
            ck_ok(blob_writer_put(writer, 1, kv_slice_str("put"), CODEC_SNAPPY,
                                  kv_buf_slice(&w->value), &w->pointer));
        }
    }
    return writer;
}

static void free_values(struct written *all)
{
    for (size_t i = 0; i < VALUE_COUNT; i++) {
        kv_buf_finish(&all[i].value);
        kv_buf_finish(&all[i].pointer);
    }
}

static void expect_values(struct blob_rig *rig, const struct written *all)
{
    for (size_t i = 0; i < VALUE_COUNT; i++) {
        struct blob_pointer pointer = decode_pointer(kv_buf_slice(&all[i].pointer));
        expect_bytes(rig, &pointer, 0, all[i].value.size, all[i].value.data);
    }
}

START_TEST(values_can_be_read_while_the_blob_grows_and_once_it_is_sealed)
{
    struct rng rng = {.state = test_seed()};
    struct written all[VALUE_COUNT] = {0};
    struct blob_pack none = {0};
    struct blob_place place;
    struct blob_meta meta, again;
    struct blob_rig rig;

    rig_init(&rig);
    struct blob_writer *writer = write_values(&rig, all, &rng);
    ck_ok(blob_writer_append(writer, &none, &place)); /* what was held back */
    expect_values(&rig, all);
    ck_ok(blob_writer_sync(writer));
    ck_ok(blob_writer_seal(writer, &meta));
    ck_ok(blob_writer_seal(writer, &again));
    ck_assert_mem_eq(&meta, &again, sizeof meta);
    ck_assert_uint_eq(meta.number, TEST_BLOB);
    expect_values(&rig, all);
    blob_writer_destroy(writer);
    blob_set_forget(rig.set, TEST_BLOB); /* then it is opened by its name */
    expect_values(&rig, all);
    ck_assert_int_eq(rig.heard.count, 0);
    free_values(all);
    rig_finish(&rig);
}
END_TEST

START_TEST(a_sealed_blob_ends_with_its_footer)
{
    struct rng rng = {.state = test_seed()};
    struct written all[VALUE_COUNT] = {0};
    struct kv_object *object = NULL;
    struct kv_file_id id = {.kind = KV_FILE_BLOB, .number = TEST_BLOB};
    struct blob_footer footer;
    struct blob_meta meta;
    struct blob_rig rig;
    uint8_t bytes[BLOB_FOOTER_SIZE];
    size_t got = 0;

    rig_init(&rig);
    struct blob_writer *writer = write_values(&rig, all, &rng);
    ck_ok(blob_writer_seal(writer, &meta));
    ck_ok(rig.storage->ops->object_open(rig.storage, id, &object));
    ck_assert_uint_eq(rig.storage->ops->object_size(object), meta.file_size);
    ck_ok(rig.storage->ops->object_read(object, meta.file_size - sizeof bytes, bytes, sizeof bytes,
                                        &got));
    ck_ok(blob_footer_decode(bytes, checksum_file_seed(TEST_SEED, KV_FILE_BLOB, TEST_BLOB),
                             meta.file_size - sizeof bytes, &footer));
    ck_assert_uint_eq(footer.data_bytes, meta.data_bytes);
    ck_assert_uint_eq(footer.value_count, VALUE_COUNT);
    rig.storage->ops->object_close(object);
    blob_writer_destroy(writer);
    free_values(all);
    rig_finish(&rig);
}
END_TEST

START_TEST(parts_of_parts_give_the_bytes_of_the_value)
{
    struct rng rng = {.state = test_seed()};
    struct written all[VALUE_COUNT] = {0};
    struct blob_meta meta;
    struct blob_rig rig;

    rig_init(&rig);
    struct blob_writer *writer = write_values(&rig, all, &rng);
    ck_ok(blob_writer_seal(writer, &meta));
    for (uint64_t step = 0; step < test_steps(1000); step++) {
        const struct written *w = &all[rng_below(&rng, VALUE_COUNT)];
        struct blob_pointer pointer = decode_pointer(kv_buf_slice(&w->pointer));
        struct kv_buf parts[3] = {{0}};
        size_t at = 0;
        for (int depth = 0; depth < 3; depth++) {
            size_t skip = (size_t)rng_below(&rng, pointer.length);
            size_t size = 1 + (size_t)rng_below(&rng, pointer.length - skip);
            expect_bytes(&rig, &pointer, skip, size, w->value.data + at + skip);
            ck_ok(blob_pointer_part(&pointer, skip, size, &parts[depth]));
            pointer = decode_pointer(kv_buf_slice(&parts[depth]));
            at += skip;
        }
        expect_bytes(&rig, &pointer, 0, pointer.length, w->value.data + at);
        for (int depth = 0; depth < 3; depth++) {
            kv_buf_finish(&parts[depth]);
        }
    }
    blob_writer_destroy(writer);
    free_values(all);
    rig_finish(&rig);
}
END_TEST

START_TEST(many_requests_are_served_in_any_order)
{
    enum { REQUEST_COUNT = 40 };
    struct rng rng = {.state = test_seed()};
    struct written all[VALUE_COUNT] = {0};
    struct blob_request requests[REQUEST_COUNT];
    const uint8_t *expected[REQUEST_COUNT];
    uint8_t *to[REQUEST_COUNT];
    struct blob_meta meta;
    struct blob_rig rig;

    rig_init(&rig);
    struct blob_writer *writer = write_values(&rig, all, &rng);
    ck_ok(blob_writer_seal(writer, &meta));
    for (uint64_t step = 0; step < test_steps(50); step++) {
        for (size_t i = 0; i < REQUEST_COUNT; i++) {
            const struct written *w = &all[rng_below(&rng, VALUE_COUNT)];
            struct blob_pointer pointer = decode_pointer(kv_buf_slice(&w->pointer));
            size_t skip = (size_t)rng_below(&rng, pointer.length);
            size_t size = 1 + (size_t)rng_below(&rng, pointer.length - skip);
            to[i] = malloc(size);
            expected[i] = w->value.data + skip;
            requests[i] = (struct blob_request){
                .pointer = pointer, .skip = skip, .size = size, .to = to[i], .result = -1};
        }
        ck_ok(blob_set_read_many(rig.set, requests, REQUEST_COUNT));
        for (size_t i = 0; i < REQUEST_COUNT; i++) {
            size_t r = 0; /* they were sorted */
            while (requests[r].to != to[i]) {
                r++;
            }
            ck_assert_int_eq(requests[r].result, 0);
            ck_assert_mem_eq(to[i], expected[i], requests[r].size);
            free(to[i]);
        }
    }
    blob_writer_destroy(writer);
    free_values(all);
    rig_finish(&rig);
}
END_TEST

/* The same blob in another storage with one bit changed. */
static void copy_damaged(struct blob_rig *from, struct blob_rig *to, uint64_t bit)
{
    struct kv_file_id id = {.kind = KV_FILE_BLOB, .number = TEST_BLOB};
    struct kv_log *log = NULL;
    struct blob_file *file = NULL;
    size_t got = 0;

    ck_ok(blob_set_get(from->set, TEST_BLOB, &file));
    uint64_t size = blob_file_size(file);
    uint8_t *bytes = malloc(size);
    ck_ok(from->storage->ops->log_open(from->storage, id, &log));
    ck_ok(from->storage->ops->log_read(log, 0, bytes, size, &got));
    from->storage->ops->log_close(log);
    blob_file_unref(file);
    bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    struct iovec part = {.iov_base = bytes, .iov_len = size};
    ck_ok(to->storage->ops->log_create(to->storage, id, 0, 0, &log));
    ck_ok(to->storage->ops->log_append(log, &part, 1));
    to->storage->ops->log_close(log);
    free(bytes);
}

/* Whether byte `at` of the blob is one of the stored bytes of the pointer. */
static bool holds(const struct blob_pointer *pointer, uint64_t at)
{
    return at >= pointer->offset && at < (uint64_t)pointer->offset + pointer->stored_size;
}

START_TEST(a_damaged_unit_fails_the_reads_that_touch_it_and_no_others)
{
    struct rng rng = {.state = test_seed()};
    struct written all[VALUE_COUNT] = {0};
    struct blob_meta meta;
    struct blob_rig rig;

    rig_init(&rig);
    struct blob_writer *writer = write_values(&rig, all, &rng);
    ck_ok(blob_writer_seal(writer, &meta));
    for (uint64_t step = 0; step < test_steps(20); step++) {
        struct blob_rig bad;
        uint64_t bit = rng_below(&rng, meta.file_size * 8);
        int failed = 0;
        rig_init(&bad);
        copy_damaged(&rig, &bad, bit);
        for (size_t i = 0; i < VALUE_COUNT; i++) {
            struct blob_pointer pointer = decode_pointer(kv_buf_slice(&all[i].pointer));
            uint8_t *to = malloc(pointer.length);
            int r = blob_set_read(bad.set, &pointer, 0, pointer.length, to);
            ck_assert_int_eq(r, holds(&pointer, bit / 8) ? -KV_EDAMAGED : 0);
            failed += r < 0;
            free(to);
        }
        ck_assert_int_eq(bad.heard.count, failed);
        rig_finish(&bad);
    }
    blob_writer_destroy(writer);
    free_values(all);
    rig_finish(&rig);
}
END_TEST

START_TEST(a_pointer_to_a_missing_blob_or_beyond_its_end_is_damage)
{
    struct rng rng = {.state = test_seed()};
    struct written all[VALUE_COUNT] = {0};
    struct kv_buf missing = {0};
    struct blob_rig rig;
    uint8_t byte;

    rig_init(&rig);
    struct blob_writer *writer = write_values(&rig, all, &rng);
    blob_writer_destroy(writer); /* what was held back is not there */
    struct blob_pointer pointer = decode_pointer(kv_buf_slice(&all[0].pointer));
    pointer.offset = BLOB_DATA_SIZE_MAX - pointer.stored_size;
    ck_fails(blob_set_read(rig.set, &pointer, 0, 1, &byte), KV_EDAMAGED);
    ck_assert_int_eq(rig.heard.count, 1);
    ck_ok(kv_buf_assign(&missing, kv_buf_slice(&all[0].pointer)));
    coding_put_u64(missing.data, TEST_BLOB + 1);
    pointer = decode_pointer(kv_buf_slice(&missing));
    ck_fails(blob_set_read(rig.set, &pointer, 0, 1, &byte), KV_EDAMAGED);
    ck_assert_int_eq(rig.heard.count, 2);
    kv_buf_finish(&missing);
    free_values(all);
    rig_finish(&rig);
}
END_TEST

START_TEST(few_blobs_stay_open_and_flags_outlive_closing)
{
    struct blob_rig rig;
    struct kv_buf value = make_value(100, 5, false);
    struct kv_buf pointers[6] = {{0}};

    rig_init(&rig);
    ck_ok(blob_set_flag(rig.set, 3));
    for (uint64_t number = 1; number <= 6; number++) {
        struct blob_writer *writer = NULL;
        struct blob_meta meta;
        ck_ok(blob_writer_create(&rig.store, number, &writer));
        ck_ok(blob_writer_put(writer, 1, kv_slice_str("k"), CODEC_NONE, kv_buf_slice(&value),
                              &pointers[number - 1]));
        ck_ok(blob_writer_seal(writer, &meta));
        blob_writer_destroy(writer);
    }
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 6; i++) {
            struct blob_pointer pointer = decode_pointer(kv_buf_slice(&pointers[i]));
            expect_bytes(&rig, &pointer, 0, 100, value.data);
        }
    }
    ck_assert(blob_set_is_flagged(rig.set, 3));
    ck_assert(!blob_set_is_flagged(rig.set, 4));
    blob_set_forget(rig.set, 3);
    ck_assert(!blob_set_is_flagged(rig.set, 3));
    for (size_t i = 0; i < 6; i++) {
        kv_buf_finish(&pointers[i]);
    }
    kv_buf_finish(&value);
    rig_finish(&rig);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("blob writer");
    suite_add(s, "write", values_can_be_read_while_the_blob_grows_and_once_it_is_sealed);
    suite_add(s, "write", a_sealed_blob_ends_with_its_footer);
    suite_add(s, "read", parts_of_parts_give_the_bytes_of_the_value);
    suite_add(s, "read", many_requests_are_served_in_any_order);
    suite_add(s, "damage", a_damaged_unit_fails_the_reads_that_touch_it_and_no_others);
    suite_add(s, "damage", a_pointer_to_a_missing_blob_or_beyond_its_end_is_damage);
    suite_add(s, "set", few_blobs_stay_open_and_flags_outlive_closing);
    return s;
}
