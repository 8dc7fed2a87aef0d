/* SPDX-License-Identifier: Apache-2.0 */
#include <kv/index_entry.h>

#include "kvcore/util/coding.h"

enum { TAG_STATE = 0, TAG_ENTRY = 1, BYTE_ESCAPED = 0xff, BYTE_END = 1, STATE_BYTES = 9 };

static int put_byte(struct kv_buf *to, uint8_t byte)
{
    return kv_buf_append(to, kv_slice(&byte, 1));
}

int kv_index_entry_put_bound(struct kv_buf *to, struct kv_slice index_key)
{
    static const uint8_t escaped[] = {0, BYTE_ESCAPED};
    int r = put_byte(to, TAG_ENTRY);

    while (index_key.size > 0 && r == 0) {
        const uint8_t *zero = memchr(index_key.data, 0, index_key.size);
        size_t plain = zero != NULL ? (size_t)(zero - index_key.data) : index_key.size;
        r = kv_buf_append(to, kv_slice(index_key.data, plain));
        if (zero != NULL) {
            r = r < 0 ? r : kv_buf_append(to, kv_slice(escaped, sizeof escaped));
            plain++;
        }
        index_key = kv_slice_behind(index_key, plain);
    }
    return r;
}

int kv_index_entry_put(struct kv_buf *to, struct kv_slice index_key, struct kv_slice row_key)
{
    static const uint8_t end[] = {0, BYTE_END};
    int r = kv_index_entry_put_bound(to, index_key);
    r = r < 0 ? r : kv_buf_append(to, kv_slice(end, sizeof end));
    return r < 0 ? r : kv_buf_append(to, row_key);
}

/* The next byte of the index key: 1, or 0 at its end. */
static int next_byte(struct kv_slice *rest, uint8_t *ret_byte)
{
    uint8_t byte;
    size_t used = 1;

    if (rest->size == 0) {
        return -EBADMSG;
    }
    byte = rest->data[0];
    if (byte == 0) {
        uint8_t second = rest->size > 1 ? rest->data[1] : 0;
        if (second != BYTE_ESCAPED && second != BYTE_END) {
            return -EBADMSG;
        }
        used = 2;
        if (second == BYTE_END) {
            *rest = kv_slice_behind(*rest, used);
            return 0;
        }
    }
    *rest = kv_slice_behind(*rest, used);
    *ret_byte = byte;
    return 1;
}

int kv_index_entry_get(struct kv_slice entry, struct kv_buf *index_key,
                       struct kv_slice *ret_row_key)
{
    uint8_t byte = 0;
    int r;

    if (entry.size == 0 || entry.data[0] != TAG_ENTRY) {
        return -EBADMSG;
    }
    entry = kv_slice_behind(entry, 1);
    index_key->size = 0;
    while ((r = next_byte(&entry, &byte)) > 0) {
        r = put_byte(index_key, byte);
        if (r < 0) {
            return r;
        }
    }
    if (r == 0) {
        *ret_row_key = entry;
    }
    return r == 0 && entry.size == 0 ? -EBADMSG : r;
}

struct kv_slice kv_index_state_key(void)
{
    static const uint8_t key[] = {TAG_STATE};
    return kv_slice(key, sizeof key);
}

struct kv_slice kv_index_entries_from(void)
{
    static const uint8_t key[] = {TAG_ENTRY};
    return kv_slice(key, sizeof key);
}

struct kv_slice kv_index_entries_to(void)
{
    static const uint8_t key[] = {TAG_ENTRY + 1};
    return kv_slice(key, sizeof key);
}

int kv_index_state_put(struct kv_buf *to, const struct kv_index_state *state)
{
    uint8_t bytes[STATE_BYTES];
    int r;
    coding_put_u64(bytes, state->version);
    bytes[STATE_BYTES - 1] = state->built;
    r = kv_buf_append(to, kv_slice(bytes, sizeof bytes));
    return r < 0 ? r : kv_buf_append(to, state->done);
}

int kv_index_state_get(struct kv_slice from, struct kv_index_state *ret_state)
{
    if (from.size < STATE_BYTES || from.data[STATE_BYTES - 1] > 1) {
        return -EBADMSG;
    }
    *ret_state = (struct kv_index_state){.version = coding_get_u64(from.data),
                                         .built = from.data[STATE_BYTES - 1] == 1,
                                         .done = kv_slice_behind(from, STATE_BYTES)};
    return 0;
}
