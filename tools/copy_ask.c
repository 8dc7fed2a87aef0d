/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/copy_ask.h"

#include "kvcore/util/coding.h"

void copy_ask_encode(const struct copy_ask *ask, uint8_t to[COPY_ASK_SIZE])
{
    to[0] = (uint8_t)ask->verb;
    to[1] = (uint8_t)ask->id.kind;
    coding_put_u64(to + 2, ask->id.number);
    coding_put_u64(to + 10, ask->size);
}

/* What files the verb may be about. */
static bool is_kind_of(enum copy_verb verb, unsigned kind)
{
    switch (verb) {
    case COPY_LOG:
        return kind == KV_FILE_LOG || kind == KV_FILE_MANIFEST || kind == KV_FILE_BLOB;
    case COPY_OBJECT:
        return kind == KV_FILE_TABLE;
    case COPY_LINK:
        return kind == KV_FILE_TABLE || kind == KV_FILE_BLOB;
    case COPY_BEGIN:
    case COPY_WRITE:
    case COPY_SYNC:
    case COPY_CLOSE:
    case COPY_FINISH:
    case COPY_ABORT:
    case COPY_ROOT:
    case COPY_COMPLETE:
        break;
    }
    return kind == 0;
}

int copy_ask_decode(struct kv_slice bytes, struct copy_ask *ret_ask)
{
    struct coding_cursor c = coding_cursor(bytes);
    unsigned verb = coding_read_u8(&c);
    unsigned kind = coding_read_u8(&c);
    struct copy_ask ask = {.verb = (enum copy_verb)verb, .id = {.kind = (enum kv_file_kind)kind}};
    ask.id.number = coding_read_u64(&c);
    ask.size = coding_read_u64(&c);
    if (!coding_done(&c) || verb == 0) {
        return -EPROTO;
    }
    if (verb > COPY_COMPLETE) {
        return -EOPNOTSUPP;
    }
    if (!is_kind_of(ask.verb, kind)) {
        return -EPROTO;
    }
    *ret_ask = ask;
    return 0;
}
