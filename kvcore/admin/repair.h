/* SPDX-License-Identifier: Apache-2.0 */
/* From what a scan found to a store without it. See docs/architecture.md, "Repair". */
#ifndef KVCORE_ADMIN_REPAIR_H
#define KVCORE_ADMIN_REPAIR_H

#include "kvcore/admin/scan.h"

/* Repair what can be; sets scan->result. Needs the exclusive lease. After an error the store is
 * what it was. */
KV_MUST_CHECK int repair_run(struct scan *scan);
/* Write rows to a store of which root record, state and logs were scanned and have no problem. They
 * are newer than all there are. Sets scan->result.archive. */
KV_MUST_CHECK int repair_amend(struct scan *scan, const struct kv_batch *rows);
/* Of such a store: write its state anew, to which a keyspace was given whose rows are lost. Sets
 * scan->result.archive. */
KV_MUST_CHECK int repair_keyspaces(struct scan *scan);
/* Of such a store: rows that a repair left out are accounted for. Sets scan->result.archive. */
KV_MUST_CHECK int repair_rows_checked(struct scan *scan);

#endif
