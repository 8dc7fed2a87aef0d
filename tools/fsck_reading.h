/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's part of a check where its files cannot be looked at by themselves: a store in a pool
 * is opened for reading and read to its end (kv_verify()). That needs one that opens, tells less of
 * the causes of damage, and repairs nothing. */
#ifndef KVFS_TOOLS_FSCK_READING_H
#define KVFS_TOOLS_FSCK_READING_H

#include "tools/fsck_rows.h"

/* Adds to rows->result. Errors: those of opening but for damage, which is a problem; -ECANCELED by
 * the report; -ENOMEM. */
KV_MUST_CHECK int fsck_reading_run(struct fsck_rows *rows);

#endif
