/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fs/fs_check.h"

#include <stdio.h>

#include "tests/lib/check_main.h"

static void tell(void *arg, int code, const char *text)
{
    (void)arg;
    printf("# %s\n", text);
}

void fs_check(struct kvfs *fs)
{
    struct kvfs_check_counts counts;
    ck_ok(kvfs_check(fs, tell, NULL, &counts));
    ck_assert_uint_eq(counts.faults, 0);
    ck_assert_uint_eq(counts.orphans, 0);
}
