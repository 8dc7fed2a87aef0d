/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/table/table_index.h"

/* The first `size` bytes of `key`, with one added to the last of them. */
static int put_raised(struct kv_slice key, size_t size, struct kv_buf *to)
{
    int r = kv_buf_assign(to, kv_slice(key.data, size));
    if (r < 0) {
        return r;
    }
    to->data[size - 1]++;
    return 1;
}

/* last = shared a ..., next = shared b ..., a < b as bytes:
 *   next goes on behind b      shared b: above last, a proper prefix of next
 *   a + 1 < b                  shared a+1
 *   next ends with b = a + 1   something of last behind a, raised, is still below next
 *   none of them is shorter    last itself */
int index_separator(struct kv_slice last, struct kv_slice next, struct kv_buf *to)
{
    size_t max = last.size < next.size ? last.size : next.size;
    size_t shared = 0;
    int r;

    while (shared < max && last.data[shared] == next.data[shared]) {
        shared++;
    }
    if (shared < max && shared + 1 < last.size) {
        if (shared + 1 < next.size) {
            r = kv_buf_assign(to, kv_slice(next.data, shared + 1));
            return r < 0 ? r : 1;
        }
        if (last.data[shared] + 1 < next.data[shared]) {
            return put_raised(last, shared + 1, to);
        }
        for (size_t i = shared + 1; i + 1 < last.size; i++) {
            if (last.data[i] != 0xff) {
                return put_raised(last, i + 1, to);
            }
        }
    }
    r = kv_buf_assign(to, last);
    if (r < 0) {
        return r;
    }
    return shared == next.size && shared == last.size ? 0 : 1;
}
