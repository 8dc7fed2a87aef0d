/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/admin/repair.h"

int repair_run(struct scan *scan)
{
    (void)scan;
    return 0;
}

int kv_admin_undo(struct kv_storage *storage, const char *archive)
{
    (void)storage;
    (void)archive;
    return -ENOENT;
}
