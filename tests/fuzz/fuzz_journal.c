/* SPDX-License-Identifier: Apache-2.0 */
/* Input: the journal of a repair. */
#include "tests/fuzz/fuzz.h"

#include "kvcore/admin/journal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct journal journal, again;
    struct kv_buf bytes = {0};
    int r = journal_decode(kv_slice(data, size), &journal);

    fuzz_expect_verdict(r);
    if (r == 0) {
        fuzz_need(journal_encode(&journal, &bytes));
        assert(journal_decode(kv_buf_slice(&bytes), &again) == 0);
        assert(memcmp(&journal, &again, sizeof journal) == 0);
        kv_buf_finish(&bytes);
    }
    return 0;
}
