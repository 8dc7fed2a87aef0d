/* SPDX-License-Identifier: Apache-2.0 */
/* Input: one byte of flags, then the key of an entry of an index (flag 0), or the state of one (1).
 */
#include "tests/fuzz/fuzz.h"

#include <kv/index_entry.h>

static void entry(struct kv_slice bytes)
{
    struct kv_buf index_key = {0}, again = {0};
    struct kv_slice row_key;
    int r = kv_index_entry_get(bytes, &index_key, &row_key);

    assert(r == 0 || r == -EBADMSG);
    if (r == 0) {
        /* There is one way to write an entry down. */
        fuzz_touch(row_key);
        fuzz_need(kv_index_entry_put(&again, kv_buf_slice(&index_key), row_key));
        assert(kv_slice_equal(kv_buf_slice(&again), bytes));
    }
    kv_buf_finish(&index_key);
    kv_buf_finish(&again);
}

static void state(struct kv_slice bytes)
{
    struct kv_buf again = {0};
    struct kv_index_state state;
    int r = kv_index_state_get(bytes, &state);

    assert(r == 0 || r == -EBADMSG);
    if (r == 0) {
        fuzz_touch(state.done);
        fuzz_need(kv_index_state_put(&again, &state));
        assert(kv_slice_equal(kv_buf_slice(&again), bytes));
    }
    kv_buf_finish(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0 && (data[0] & 1) == 0) {
        entry(kv_slice(data + 1, size - 1));
    } else if (size > 0) {
        state(kv_slice(data + 1, size - 1));
    }
    return 0;
}
