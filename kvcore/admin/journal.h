/* SPDX-License-Identifier: Apache-2.0 */
/* What an archive says of the repair that made it: a few lines of text, in its file `journal`.
 *
 *     kvfs repair 1
 *     log 10          highest number of each kind before: what has a larger one is the repair's
 *     manifest 5
 *     table 12
 *     blob 3
 *
 * Beside it stand `ROOT`, the file as it was, and `ROOT.new`, what the repair put in its place. All
 * other names are files of the store that the repair took away. */
#ifndef KVCORE_ADMIN_JOURNAL_H
#define KVCORE_ADMIN_JOURNAL_H

#include <kv/storage.h>

#define JOURNAL_NAME  "journal"
#define ROOT_OLD_NAME "ROOT"
#define ROOT_NEW_NAME "ROOT.new"

enum { JOURNAL_SIZE_MAX = 4096, JOURNAL_ROOT_SIZE_MAX = 1 << 20 };

struct journal {
    uint64_t highest[KV_FILE_BLOB + 1]; /* by kind */
};

KV_MUST_CHECK int journal_encode(const struct journal *journal, struct kv_buf *to);
/* Errors: -KV_EDAMAGED; -KV_EFORMAT a version that is not known here. */
KV_MUST_CHECK int journal_decode(struct kv_slice from, struct journal *ret_journal);

#endif
