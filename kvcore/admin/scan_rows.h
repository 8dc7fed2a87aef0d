/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of a log record, as replaying would take them. */
#ifndef KVCORE_ADMIN_SCAN_ROWS_H
#define KVCORE_ADMIN_SCAN_ROWS_H

#include "kvcore/admin/scan.h"
#include "kvcore/log/log_reader.h"

/* What a record's rows are worth. */
enum rows_verdict {
    ROWS_GOOD = 0,
    ROWS_UNPROVEN, /* the bytes of a large value did not arrive before the power was lost: the log
                      ends before the record */
    ROWS_BAD,      /* a problem, which was told */
};

/* Judge the record of log `number`, of which `is_durable` says whether it is proven durable.
 * `sequence` is that of the last row before it, and is moved. Returns an enum rows_verdict, or
 * -ENOMEM, -EIO, -KV_EFORMAT. */
KV_MUST_CHECK int scan_rows(struct scan *scan, uint64_t number, const struct log_record *record,
                            bool is_durable, uint64_t *sequence);

#endif
