/* SPDX-License-Identifier: Apache-2.0 */
/* Input: the content of a root record. */
#include "tests/fuzz/fuzz.h"

#include "kvcore/db/root.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct root root, again;
    struct kv_buf first = {0}, second = {0};
    int r = root_decode(kv_slice(data, size), &root);

    fuzz_expect_verdict(r);
    if (r < 0) {
        return 0;
    }
    assert(memchr(root.label, 0, sizeof root.label) != NULL);
    fuzz_need(root_encode(&root, &first));
    assert(root_decode(kv_buf_slice(&first), &again) == 0);
    fuzz_need(root_encode(&again, &second));
    assert(kv_slice_equal(kv_buf_slice(&first), kv_buf_slice(&second)));
    kv_buf_finish(&first);
    kv_buf_finish(&second);
    return 0;
}
