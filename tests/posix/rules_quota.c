/* SPDX-License-Identifier: Apache-2.0 */
/* Quotas, which these file systems are mounted without. */
#include "tests/posix/rule.h"

#include <sys/quota.h>
#include <sys/syscall.h>

static int own_quota(int directory, struct dqblk *quota)
{
    return (int)syscall(SYS_quotactl_fd, directory, QCMD(Q_GETQUOTA, USRQUOTA), geteuid(), quota);
}

RULE(without_quotas_quotactl_says_so, "quotactl(2) ESRCH, ENOSYS")
{
    struct dqblk quota;
    FAILS(own_quota(-1, &quota) == -1 && errno == ENOSYS ? ENOSYS : EBADF, own_quota(-1, &quota));
    SAME(own_quota((int)OK(open(".", O_RDONLY | O_DIRECTORY)), &quota), -1);
    HOLDS(errno == ESRCH || errno == ENOSYS);
}

/* EDQUOT, that is. */
RULE(without_quotas_nobody_is_told_that_his_is_used_up, "open(2), mkdir(2), write(2) EDQUOT")
{
    enum { FILES = 200, BYTES = 64 * 1024 };
    char name[32];
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "d%d", i);
        OK(mkdir(name, 0755));
        snprintf(name, sizeof name, "d%d/f", i);
        file_fill(file_open(name), 'x', BYTES);
    }
}
