/* SPDX-License-Identifier: Apache-2.0 */
/* Several threads that read tables at once, for a scan that is as if one table had been read after
 * the other: what each of them finds is kept, and told by the thread that asked, in the order of
 * the tables. So a function of the caller's needs no lock, and the same damage is told the same way
 * however many threads there are.
 *
 * Invariants
 *  1. A thread works on a copy of the scan with results of its own. Of the whole it changes nothing
 *     but marks of files (struct scan_file), which are atomic.
 *  2. What was found in a table is added to the whole when that of all tables before it was.
 *  3. Threads are at most CREW_WINDOW tables ahead of what was told: memory is bounded by the
 *     problems and indexes of so many tables. */
#ifndef KVCORE_ADMIN_SCAN_CREW_H
#define KVCORE_ADMIN_SCAN_CREW_H

#include "kvcore/admin/scan.h"

enum { CREW_THREADS_MAX = 4, CREW_WINDOW = 2 * CREW_THREADS_MAX };

/* Read one table: problems go to `part`, and tables are noted there. */
typedef int crew_fn(struct scan *part, struct file_meta *file);

/* `fn` for each of the tables. The first failure, in their order, is returned; nothing of the
 * tables behind it was told then. -ECANCELED also by a function of scan->options. */
KV_MUST_CHECK int crew_run(struct scan *scan, struct file_meta *const *files, size_t count,
                           crew_fn *fn);

#endif
