/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/admin/journal.h"

#include <inttypes.h>
#include <stdio.h>

int journal_encode(const struct journal *journal, struct kv_buf *to)
{
    char text[JOURNAL_SIZE_MAX];
    int size = snprintf(text, sizeof text,
                        "kvfs repair 1\nlog %" PRIu64 "\nmanifest %" PRIu64 "\ntable %" PRIu64
                        "\nblob %" PRIu64 "\n",
                        journal->highest[KV_FILE_LOG], journal->highest[KV_FILE_MANIFEST],
                        journal->highest[KV_FILE_TABLE], journal->highest[KV_FILE_BLOB]);
    return kv_buf_assign(to, kv_slice(text, (size_t)size));
}

int journal_decode(struct kv_slice from, struct journal *ret_journal)
{
    char text[JOURNAL_SIZE_MAX + 1];
    struct journal journal = {0};
    unsigned version = 0;
    int end = 0;
    int fields;

    if (from.size > JOURNAL_SIZE_MAX) {
        return -KV_EDAMAGED;
    }
    memcpy(text, from.data, from.size);
    text[from.size] = '\0';
    fields = sscanf(text,
                    "kvfs repair %u\nlog %" SCNu64 "\nmanifest %" SCNu64 "\ntable %" SCNu64
                    "\nblob %" SCNu64 "%n",
                    &version, &journal.highest[KV_FILE_LOG], &journal.highest[KV_FILE_MANIFEST],
                    &journal.highest[KV_FILE_TABLE], &journal.highest[KV_FILE_BLOB], &end);
    if (fields >= 1 && version != 1) {
        return -KV_EFORMAT;
    }
    if (fields != 5 || strcmp(text + end, "\n") != 0) {
        return -KV_EDAMAGED;
    }
    *ret_journal = journal;
    return 0;
}
