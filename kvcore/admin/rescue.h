/* SPDX-License-Identifier: Apache-2.0 */
/* Makes a new table of what can be read of a damaged one.
 *
 * What may not happen is that a key for which the lost part held a newer row, or a delete, shows an
 * older row that lies deeper. Which keys the lost part held is not known, only between which two
 * they were. So every key there of which anything older has a row, and which the
 * table's filter does not deny, gets a *damaged* row: reading it
 * is an error until it is written or deleted. A key of which nothing older is known is gone; the
 * scan has told between which keys.
 *
 * Range deletes that are lost are known from the manifest, which repeats them (range_list.h). Where
 * that has only ranges that cover them, or nothing, what is older in these ranges is treated alike,
 * as are rows of the table itself that they may have hidden.
 *
 * The damaged row stands right before the newest older row of its key: it takes that one's sequence
 * number, and its kind sorts before the others. Where a range delete hides that, it takes the next
 * number to that of the delete, which would hide it else: it is not known either whether what is
 * lost was newer than the delete. In level 0 it takes at least the smallest number of the lost
 * table, since tables there stand in the order of their numbers. */
#ifndef KVCORE_ADMIN_RESCUE_H
#define KVCORE_ADMIN_RESCUE_H

#include "kvcore/admin/scan.h"
#include "kvcore/table/range_list.h"

struct salvage;

/* Write table `number` from what is left of `bad`, durable when 0 is returned. Whatever of the
 * state is older must be sound. `ret_file` is NULL if there is nothing left to write, else one
 * reference. Errors: -KV_EDAMAGED an older table is damaged, too; -ENOSPC, -EIO, -ENOMEM. */
KV_MUST_CHECK int rescue_table(struct scan *scan, const struct scan_table *bad, uint64_t number,
                               struct file_meta **ret_file);

/* ---- where it is not known what is older ---- */

/* Keys that a damaged table may have held rows of. */
struct lost_span {
    struct kv_buf from, to;
    bool with_from, with_to;
};

/* What a table may have held beside the rows that are left of it. All zero is nothing. */
struct lost_rows {
    struct lost_span *spans;
    size_t count;
    struct salvage *salvage; /* its filter */
    struct range_list doubt; /* that it may have deleted */
    uint64_t sequence_max;   /* nothing that is lost is newer */
};

/* The same of a table alone: no damaged rows are added for what others have, but `ret_lost` (to be
 * finished in any case) says where. For who merges what is left with all others. */
KV_MUST_CHECK int rescue_alone(struct scan *scan, const struct scan_table *bad, uint64_t number,
                               struct file_meta **ret_file, struct lost_rows *ret_lost);
/* May the row, of another table, be older than what is lost of its key? */
bool lost_rows_may_hide(const struct lost_rows *lost, const struct row *row);
void lost_rows_finish(struct lost_rows *lost);

#endif
