/* SPDX-License-Identifier: Apache-2.0 */
/* Taking keys out of messages that are to be shown to strangers. */
#ifndef KVFS_TOOLS_REDACT_H
#define KVFS_TOOLS_REDACT_H

#include <kv/slice.h>

/* Append the lines of `text` with "(left out)" for each row of the filesystem that one names, which
 * may hold the name of a file: messages say "row 'KEY': " or end in "row 'KEY". Errors: -ENOMEM. */
KV_MUST_CHECK int redact_rows(struct kv_buf *to, struct kv_slice text);

#endif
