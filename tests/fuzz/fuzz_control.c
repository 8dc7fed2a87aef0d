/* SPDX-License-Identifier: Apache-2.0 */
/* Input: u8 what follows (0 hello, 1 frame header, 2 request, 3 reply), then its bytes. */
#include "tests/fuzz/fuzz.h"

#include "tools/control.h"
#include "tools/copy_ask.h"

static void expect_verdict(int r)
{
    assert(r == 0 || r == -EPROTO || r == -EOPNOTSUPP);
}

/* The body of the only frame in `frame`. */
static struct kv_slice body_of(const struct kv_buf *frame)
{
    size_t size = 0;
    assert(frame->size > CONTROL_HEADER_SIZE);
    assert(control_frame_size(frame->data, &size) == 0);
    assert(size == frame->size - CONTROL_HEADER_SIZE);
    return kv_slice(frame->data + CONTROL_HEADER_SIZE, size);
}

static void take_hello(struct kv_slice bytes)
{
    uint8_t back[CONTROL_HELLO_SIZE];
    uint32_t version = 0;

    if (bytes.size < CONTROL_HELLO_SIZE) {
        return;
    }
    int r = control_hello_decode(bytes.data, &version);
    expect_verdict(r);
    if (r == 0) {
        control_hello_encode(version, back);
        assert(memcmp(back, bytes.data, sizeof back) == 0);
    }
}

static void take_header(struct kv_slice bytes)
{
    size_t size = 0;

    if (bytes.size >= CONTROL_HEADER_SIZE) {
        int r = control_frame_size(bytes.data, &size);
        expect_verdict(r);
        assert(r < 0 || (size > 0 && size <= CONTROL_FRAME_SIZE_MAX));
    }
}

static void take_request(struct kv_slice bytes)
{
    struct control_request request, again;
    struct kv_buf first = {0}, second = {0};
    int r = control_request_decode(bytes, &request);

    expect_verdict(r);
    if (r < 0) {
        return;
    }
    fuzz_touch(request.key);
    fuzz_touch(request.value);
    fuzz_touch(request.prefix);
    fuzz_touch(request.from);
    fuzz_touch(request.to);
    struct kv_slice changes = request.value;
    struct control_change change;
    while (control_change_take(&changes, &change) == 1) {
        fuzz_touch(change.key);
        fuzz_touch(change.value);
    }
    fuzz_need(control_request_encode(&request, &first));
    assert(control_request_decode(body_of(&first), &again) == 0);
    fuzz_need(control_request_encode(&again, &second));
    assert(kv_slice_equal(kv_buf_slice(&first), kv_buf_slice(&second)));
    kv_buf_finish(&first);
    kv_buf_finish(&second);
}

static void take_ask(struct kv_slice bytes)
{
    uint8_t back[COPY_ASK_SIZE];
    struct copy_ask ask;
    int r = copy_ask_decode(bytes, &ask);

    expect_verdict(r);
    if (r == 0) {
        copy_ask_encode(&ask, back);
        assert(bytes.size == sizeof back && memcmp(back, bytes.data, sizeof back) == 0);
    }
}

static void take_reply(struct kv_slice bytes)
{
    struct control_reply reply, again;
    struct kv_buf frame = {0};
    int r = control_reply_decode(bytes, &reply);

    expect_verdict(r);
    if (r < 0) {
        return;
    }
    fuzz_touch(reply.key);
    fuzz_touch(reply.bytes);
    fuzz_need(control_reply_encode(&reply, &frame));
    assert(control_reply_decode(body_of(&frame), &again) == 0);
    assert(again.type == reply.type && again.error == reply.error);
    assert(kv_slice_equal(again.key, reply.key) && kv_slice_equal(again.bytes, reply.bytes));
    kv_buf_finish(&frame);
    take_ask(reply.key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const takers[])(struct kv_slice) = {take_hello, take_header, take_request,
                                                      take_reply};

    if (size > 0 && data[0] < sizeof takers / sizeof takers[0]) {
        takers[data[0]](kv_slice(data + 1, size - 1));
    }
    return 0;
}
