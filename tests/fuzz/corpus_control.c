/* SPDX-License-Identifier: Apache-2.0 */
/* Seeds of the control protocol. */
#include "tests/fuzz/corpus.h"

#include "tools/control.h"
#include "tools/copy_ask.h"

enum { HELLO, HEADER, REQUEST, REPLY };

static void put_request(const struct corpus *corpus, const struct control_request *request,
                        const char *path)
{
    struct kv_buf frame = {0};
    fuzz_need(control_request_encode(request, &frame));
    corpus_put_flagged(
        corpus, path, REQUEST,
        kv_slice(frame.data + CONTROL_HEADER_SIZE, frame.size - CONTROL_HEADER_SIZE));
    kv_buf_finish(&frame);
}

static void put_reply(const struct corpus *corpus, const struct control_reply *reply,
                      const char *path)
{
    struct kv_buf frame = {0};
    fuzz_need(control_reply_encode(reply, &frame));
    corpus_put_flagged(
        corpus, path, REPLY,
        kv_slice(frame.data + CONTROL_HEADER_SIZE, frame.size - CONTROL_HEADER_SIZE));
    kv_buf_finish(&frame);
}

/* One change of each kind. */
static void put_batch(const struct corpus *corpus, const char *path)
{
    struct control_request batch = {
        .op = CONTROL_BATCH, .flags = CONTROL_MAY_MISS | CONTROL_PRUNE, .umask = 022};
    struct control_change change = {.key = kv_slice_str("a/b"), .value = kv_slice_str("value")};
    struct kv_buf changes = {0};
    for (int kind = CONTROL_CHANGE_PUT; kind <= CONTROL_CHANGE_IF_EQUAL; kind++) {
        change.kind = (enum control_change_kind)kind;
        fuzz_need(control_change_append(&change, &changes));
    }
    batch.value = kv_buf_slice(&changes);
    put_request(corpus, &batch, path);
    kv_buf_finish(&changes);
}

void corpus_control(const struct corpus *corpus)
{
    const struct control_request put = {.op = CONTROL_PUT,
                                        .key = kv_slice_str("a/b"),
                                        .value = kv_slice_str("value"),
                                        .umask = 022};
    const struct control_request scan = {.op = CONTROL_SCAN,
                                         .prefix = kv_slice_str("a"),
                                         .from = kv_slice_str("a/b"),
                                         .to = kv_slice_str("a/c"),
                                         .limit = 300,
                                         .flags = CONTROL_KEYS_ONLY | CONTROL_REVERSE};
    const struct control_reply done = {
        .type = CONTROL_DONE, .error = -ENOENT, .bytes = kv_slice_str("no such key")};
    const struct control_reply row = {
        .type = CONTROL_ROW, .key = kv_slice_str("a/b"), .bytes = kv_slice_str("value")};
    const struct copy_ask object = {
        .verb = COPY_OBJECT, .id = {.kind = KV_FILE_TABLE, .number = 7}, .size = 4096};
    uint8_t ask_key[COPY_ASK_SIZE];
    const struct control_reply ask = {.type = CONTROL_ASK,
                                      .key = kv_slice(ask_key, sizeof ask_key)};
    const struct control_reply data = {.type = CONTROL_DATA, .bytes = kv_slice_str("value")};
    uint8_t hello[CONTROL_HELLO_SIZE];

    control_hello_encode(CONTROL_VERSION, hello);
    corpus_put_flagged(corpus, "control/hello", HELLO, kv_slice(hello, sizeof hello));
    corpus_put_flagged(corpus, "control/header", HEADER, kv_slice_str("\1\2\3\1"));
    put_request(corpus, &put, "control/request_put");
    put_request(corpus, &scan, "control/request_scan");
    put_batch(corpus, "control/request_batch");
    put_reply(corpus, &done, "control/reply_done");
    put_reply(corpus, &row, "control/reply_row");
    put_reply(corpus, &data, "control/reply_data");
    copy_ask_encode(&object, ask_key);
    put_reply(corpus, &ask, "control/reply_ask");
}
