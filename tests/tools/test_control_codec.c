/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/check_main.h"

#include "kvcore/util/rng.h"
#include "tools/control.h"
#include "tools/copy_ask.h"

#define BYTES(...) ((const uint8_t[]){__VA_ARGS__}), sizeof((const uint8_t[]){__VA_ARGS__})

static void frame_is(const struct kv_buf *frame, const uint8_t *expected, size_t size)
{
    ck_assert_uint_eq(frame->size, size);
    ck_assert_mem_eq(frame->data, expected, size);
}

static struct kv_slice body_of(const struct kv_buf *frame)
{
    size_t size = 0;
    ck_ok(control_frame_size(frame->data, &size));
    ck_assert_uint_eq(size, frame->size - CONTROL_HEADER_SIZE);
    return kv_slice(frame->data + CONTROL_HEADER_SIZE, size);
}

static struct control_request scan_request(void)
{
    return (struct control_request){
        .op = CONTROL_SCAN,
        .prefix = kv_slice_str("p"),
        .from = kv_slice_str("from"),
        .to = kv_slice_str("to"),
        .limit = 300,
        .flags = CONTROL_KEYS_ONLY | CONTROL_REVERSE,
    };
}

START_TEST(the_hello_has_fixed_bytes)
{
    uint8_t hello[CONTROL_HELLO_SIZE];
    uint32_t version = 0;
    control_hello_encode(1, hello);
    ck_assert_mem_eq(hello, "kvfsctl\0\1\0\0\0\0\0\0\0", sizeof hello);
    ck_ok(control_hello_decode(hello, &version));
    ck_assert_uint_eq(version, 1);
    hello[15] = 1;
    ck_fails(control_hello_decode(hello, &version), EPROTO);
    control_hello_encode(0, hello);
    ck_fails(control_hello_decode(hello, &version), EPROTO);
    control_hello_encode(1, hello);
    hello[0] = 'K';
    ck_fails(control_hello_decode(hello, &version), EPROTO);
}
END_TEST

START_TEST(requests_have_fixed_bytes)
{
    struct kv_buf frame = {0};
    struct control_request put = {
        .op = CONTROL_PUT, .key = kv_slice_str("a/b"), .value = kv_slice_str("xy"), .umask = 022};
    ck_ok(control_request_encode(&put, &frame));
    frame_is(&frame, BYTES(13, 0, 0, 0, 5, 1, 3, 'a', '/', 'b', 3, 2, 'x', 'y', 15, 1, 18));
    frame.size = 0;
    struct control_request scan = scan_request();
    ck_ok(control_request_encode(&scan, &frame));
    frame_is(&frame, BYTES(21, 0, 0, 0, 8, 5, 1, 'p', 7, 4, 'f', 'r', 'o', 'm', 9, 2, 't', 'o', 11,
                           2, 0xac, 2, 13, 1, 3));
    kv_buf_finish(&frame);
}
END_TEST

START_TEST(requests_of_upkeep_have_fixed_bytes)
{
    struct kv_buf frame = {0};
    struct control_request verify = {.op = CONTROL_VERIFY, .limit = 1000};
    ck_ok(control_request_encode(&verify, &frame));
    frame_is(&frame, BYTES(5, 0, 0, 0, 12, 11, 2, 0xe8, 7));
    frame.size = 0;
    struct control_request copy = {.op = CONTROL_CHECKPOINT, .key = kv_slice_str("/b")};
    ck_ok(control_request_encode(&copy, &frame));
    frame_is(&frame, BYTES(5, 0, 0, 0, 13, 1, 2, '/', 'b'));
    frame.size = 0;
    struct control_request compact = {.op = CONTROL_COMPACT};
    ck_ok(control_request_encode(&compact, &frame));
    frame_is(&frame, BYTES(1, 0, 0, 0, 14));
    kv_buf_finish(&frame);
}
END_TEST

START_TEST(changes_of_a_batch_have_fixed_bytes)
{
    static const struct control_change all[] = {
        {.kind = CONTROL_CHANGE_IF_ABSENT, .key = {(const uint8_t *)"n", 1}},
        {.kind = CONTROL_CHANGE_IF_EQUAL,
         .key = {(const uint8_t *)"e", 1},
         .value = {(const uint8_t *)"v1", 2}},
        {.kind = CONTROL_CHANGE_PUT, .key = {(const uint8_t *)"p", 1}},
        {.kind = CONTROL_CHANGE_DELETE, .key = {(const uint8_t *)"d/d", 3}},
    };
    enum { COUNT = sizeof all / sizeof all[0] };
    struct kv_buf changes = {0};
    struct control_change change;
    for (unsigned i = 0; i < COUNT; i++) {
        ck_ok(control_change_append(&all[i], &changes));
    }
    frame_is(&changes, BYTES(3, 1, 'n', 4, 1, 'e', 2, 'v', '1', 1, 1, 'p', 0, 2, 3, 'd', '/', 'd'));
    struct kv_slice rest = kv_buf_slice(&changes);
    for (unsigned i = 0; i < COUNT; i++) {
        ck_assert_int_eq(control_change_take(&rest, &change), 1);
        ck_assert_int_eq(change.kind, all[i].kind);
        ck_assert(kv_slice_equal(change.key, all[i].key));
        ck_assert(kv_slice_equal(change.value, all[i].value));
    }
    ck_ok(control_change_take(&rest, &change));
    for (size_t size = 1; size < 3; size++) {
        rest = kv_slice(changes.data, size);
        ck_fails(control_change_take(&rest, &change), EPROTO);
    }
    rest = kv_slice("\5\1k", 3);
    ck_fails(control_change_take(&rest, &change), EOPNOTSUPP);
    kv_buf_finish(&changes);
}
END_TEST

START_TEST(replies_have_fixed_bytes)
{
    struct kv_buf frame = {0};
    struct control_reply done = {
        .type = CONTROL_DONE, .error = -ENOENT, .bytes = kv_slice_str("gone")};
    ck_ok(control_reply_encode(&done, &frame));
    frame_is(&frame, BYTES(9, 0, 0, 0, 128, 2, 0, 0, 0, 'g', 'o', 'n', 'e'));
    frame.size = 0;
    struct control_reply row = {
        .type = CONTROL_ROW, .key = kv_slice_str("k"), .bytes = kv_slice_str("v1")};
    ck_ok(control_reply_encode(&row, &frame));
    frame_is(&frame, BYTES(5, 0, 0, 0, 130, 1, 'k', 'v', '1'));
    frame.size = 0;
    struct control_reply data = {.type = CONTROL_DATA, .bytes = kv_slice_str("z")};
    ck_ok(control_reply_encode(&data, &frame));
    frame_is(&frame, BYTES(2, 0, 0, 0, 129, 'z'));
    frame.size = 0;
    struct control_reply ask = {
        .type = CONTROL_ASK, .key = kv_slice_str("ab"), .bytes = kv_slice_str("c")};
    ck_ok(control_reply_encode(&ask, &frame));
    frame_is(&frame, BYTES(5, 0, 0, 0, 131, 2, 'a', 'b', 'c'));
    kv_buf_finish(&frame);
}
END_TEST

START_TEST(asks_about_a_copy_have_fixed_bytes)
{
    static const uint8_t fixed[COPY_ASK_SIZE] = {3, 3, 4, 1, 0, 0, 0, 0, 0, 0, 0, 2};
    const struct copy_ask object = {
        .verb = COPY_OBJECT, .id = {.kind = KV_FILE_TABLE, .number = 260}, .size = 512};
    uint8_t bytes[COPY_ASK_SIZE];
    struct copy_ask back;
    copy_ask_encode(&object, bytes);
    ck_assert_mem_eq(bytes, fixed, sizeof fixed);
    ck_ok(copy_ask_decode(kv_slice(bytes, sizeof bytes), &back));
    ck_assert(back.verb == COPY_OBJECT && back.id.kind == KV_FILE_TABLE && back.id.number == 260 &&
              back.size == 512);
}
END_TEST

/* A daemon that was taken over must not have its clients make anything but files of a copy. */
START_TEST(asks_that_make_no_sense_are_refused)
{
    static const uint8_t unfit[][2] = {{0, 0}, {1, 3}, {2, 0}, {2, 3}, {2, 5},  {3, 1}, {3, 4},
                                       {4, 3}, {9, 1}, {9, 2}, {9, 0}, {10, 4}, {11, 1}};
    uint8_t bytes[COPY_ASK_SIZE + 1] = {COPY_COMPLETE};
    struct copy_ask ask;
    ck_ok(copy_ask_decode(kv_slice(bytes, COPY_ASK_SIZE), &ask));
    ck_fails(copy_ask_decode(kv_slice(bytes, COPY_ASK_SIZE - 1), &ask), EPROTO);
    ck_fails(copy_ask_decode(kv_slice(bytes, COPY_ASK_SIZE + 1), &ask), EPROTO);
    for (size_t i = 0; i < sizeof unfit / sizeof unfit[0]; i++) {
        memcpy(bytes, unfit[i], 2);
        ck_fails(copy_ask_decode(kv_slice(bytes, COPY_ASK_SIZE), &ask), EPROTO);
    }
    bytes[0] = COPY_COMPLETE + 1;
    bytes[1] = 0;
    ck_fails(copy_ask_decode(kv_slice(bytes, COPY_ASK_SIZE), &ask), EOPNOTSUPP);
}
END_TEST

START_TEST(what_was_encoded_decodes_to_the_same)
{
    struct kv_buf frame = {0};
    struct control_request scan = scan_request();
    struct control_request request;
    ck_ok(control_request_encode(&scan, &frame));
    ck_ok(control_request_decode(body_of(&frame), &request));
    ck_assert_int_eq(request.op, CONTROL_SCAN);
    ck_assert(kv_slice_equal(request.prefix, scan.prefix));
    ck_assert(kv_slice_equal(request.from, scan.from));
    ck_assert(kv_slice_equal(request.to, scan.to));
    ck_assert_uint_eq(request.limit, 300);
    ck_assert_uint_eq(request.flags, scan.flags);
    ck_assert_uint_eq(request.key.size, 0);
    frame.size = 0;
    struct control_reply done = {.type = CONTROL_DONE, .error = -ENOSPC};
    struct control_reply reply;
    ck_ok(control_reply_encode(&done, &frame));
    ck_ok(control_reply_decode(body_of(&frame), &reply));
    ck_assert_int_eq(reply.type, CONTROL_DONE);
    ck_assert_int_eq(reply.error, -ENOSPC);
    kv_buf_finish(&frame);
}
END_TEST

START_TEST(a_request_cut_anywhere_is_refused_or_has_fewer_fields)
{
    struct kv_buf frame = {0};
    struct control_request scan = scan_request();
    struct control_request request;
    ck_ok(control_request_encode(&scan, &frame));
    struct kv_slice body = body_of(&frame);
    /* Between fields a shorter frame is a whole request with fewer of them; elsewhere it is not. */
    static const size_t whole[] = {1, 4, 10, 14, 18};
    size_t accepted = 0;
    for (size_t size = 0; size < body.size; size++) {
        int r = control_request_decode(kv_slice(body.data, size), &request);
        if (r == 0) {
            ck_assert_uint_lt(accepted, sizeof whole / sizeof whole[0]);
            ck_assert_uint_eq(size, whole[accepted]);
            accepted++;
        } else {
            ck_assert_int_eq(r, -EPROTO);
        }
    }
    ck_assert_uint_eq(accepted, sizeof whole / sizeof whole[0]);
    kv_buf_finish(&frame);
}
END_TEST

START_TEST(a_reply_cut_inside_its_fixed_part_is_refused)
{
    static const uint8_t done[] = {128, 2, 0, 0, 0};
    static const uint8_t row[] = {130, 2, 'k', '1'};
    struct control_reply reply;
    for (size_t size = 0; size < sizeof done; size++) {
        ck_fails(control_reply_decode(kv_slice(done, size), &reply), EPROTO);
    }
    for (size_t size = 0; size < sizeof row; size++) {
        ck_fails(control_reply_decode(kv_slice(row, size), &reply), EPROTO);
    }
    ck_ok(control_reply_decode(kv_slice(row, sizeof row), &reply));
    ck_assert_uint_eq(reply.bytes.size, 0);
}
END_TEST

START_TEST(what_this_version_does_not_know_is_told_apart_from_nonsense)
{
    struct control_request request;
    static const uint8_t operation[] = {100};
    static const uint8_t odd_field[] = {CONTROL_GET, 1, 1, 'k', 101, 1, 0};
    static const uint8_t even_field[] = {CONTROL_GET, 1, 1, 'k', 100, 1, 0};
    static const uint8_t flag[] = {CONTROL_SCAN, 13, 1, 64};
    static const uint8_t error[] = {128, 0, 0, 0, 0x80};
    struct control_reply reply;
    ck_fails(control_request_decode(kv_slice(operation, 1), &request), EOPNOTSUPP);
    ck_fails(control_request_decode(kv_slice(odd_field, sizeof odd_field), &request), EOPNOTSUPP);
    ck_ok(control_request_decode(kv_slice(even_field, sizeof even_field), &request));
    ck_fails(control_request_decode(kv_slice(flag, sizeof flag), &request), EOPNOTSUPP);
    ck_fails(control_reply_decode(kv_slice(error, sizeof error), &reply), EPROTO);
}
END_TEST

START_TEST(frames_out_of_bounds_are_refused_before_they_are_read)
{
    static const uint8_t empty[4] = {0};
    static const uint8_t largest[4] = {0, 0, 1, 4};
    static const uint8_t too_large[4] = {1, 0, 1, 4};
    size_t size = 0;
    ck_fails(control_frame_size(empty, &size), EPROTO);
    ck_ok(control_frame_size(largest, &size));
    ck_assert_uint_eq(size, CONTROL_FRAME_SIZE_MAX);
    ck_fails(control_frame_size(too_large, &size), EPROTO);
}
END_TEST

START_TEST(random_bytes_never_break_the_decoders)
{
    struct rng rng = {.state = test_seed()};
    uint8_t bytes[64];
    for (uint64_t step = 0; step < test_steps(200000); step++) {
        size_t size = rng_below(&rng, sizeof bytes + 1);
        for (size_t i = 0; i < size; i++) {
            bytes[i] = (uint8_t)rng_next(&rng);
        }
        if (size > 1 && rng_below(&rng, 2) == 0) {
            bytes[0] = (uint8_t)(1 + rng_below(&rng, CONTROL_OP_MAX));
            bytes[1] = (uint8_t)(1 + 2 * rng_below(&rng, 8));
        }
        struct control_request request = {0};
        struct control_reply reply = {0};
        if (control_request_decode(kv_slice(bytes, size), &request) == 0) {
            ck_assert(request.op >= 1 && (int)request.op <= CONTROL_OP_MAX);
            ck_assert_uint_le(request.key.size + request.value.size, size);
        }
        if (control_reply_decode(kv_slice(bytes, size), &reply) == 0) {
            ck_assert_uint_le(reply.key.size + reply.bytes.size, size);
            ck_assert_int_le(reply.error, 0);
        }
    }
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("control_codec");
    suite_add(suite, "the_hello_has_fixed_bytes", the_hello_has_fixed_bytes);
    suite_add(suite, "requests_have_fixed_bytes", requests_have_fixed_bytes);
    suite_add(suite, "requests_have_fixed_bytes", requests_of_upkeep_have_fixed_bytes);
    suite_add(suite, "changes", changes_of_a_batch_have_fixed_bytes);
    suite_add(suite, "replies_have_fixed_bytes", replies_have_fixed_bytes);
    suite_add(suite, "asks", asks_about_a_copy_have_fixed_bytes);
    suite_add(suite, "asks", asks_that_make_no_sense_are_refused);
    suite_add(suite, "what_was_encoded_decodes_to_the_same", what_was_encoded_decodes_to_the_same);
    suite_add(suite, "a_request_cut_anywhere_is_refused_or_has_fewer_fields",
              a_request_cut_anywhere_is_refused_or_has_fewer_fields);
    suite_add(suite, "a_reply_cut_inside_its_fixed_part_is_refused",
              a_reply_cut_inside_its_fixed_part_is_refused);
    suite_add(suite, "what_this_version_does_not_know_is_told_apart_from_nonsense",
              what_this_version_does_not_know_is_told_apart_from_nonsense);
    suite_add(suite, "frames_out_of_bounds_are_refused_before_they_are_read",
              frames_out_of_bounds_are_refused_before_they_are_read);
    suite_add(suite, "random_bytes_never_break_the_decoders",
              random_bytes_never_break_the_decoders);
    return suite;
}
