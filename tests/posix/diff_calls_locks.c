/* SPDX-License-Identifier: Apache-2.0 */
/* Steps on advisory locks: of a process, of an open file, of flock(2). */
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "tests/posix/diff.h"

static void call_lock(struct actor *actor, struct diff_op *op, struct text *out)
{
    static const struct diff_word commands[] = {{"SETLK", F_SETLK},
                                                {"GETLK", F_GETLK},
                                                {"OFD_SETLK", F_OFD_SETLK},
                                                {"OFD_GETLK", F_OFD_GETLK}};
    static const struct diff_word types[] = {
        {"RDLCK", F_RDLCK}, {"WRLCK", F_WRLCK}, {"UNLCK", F_UNLCK}};
    struct flock lock = {.l_whence = SEEK_SET};
    lock.l_start = (off_t)diff_pick(op, 20);
    lock.l_len = (off_t)diff_pick(op, 10);
    text_add(out, " fcntl");
    int command = DIFF_WORD(op, out, commands);
    lock.l_type = (short)DIFF_WORD(op, out, types);
    text_add(out, " %ld+%ld", lock.l_start, lock.l_len);
    int r = fcntl(actor_fd(actor, op->slot1), command, &lock);
    text_result(out, r);
    if (r == 0) {
        text_add(out, " type %d %ld+%ld", lock.l_type, lock.l_start, lock.l_len);
    }
}

static void call_flock(struct actor *actor, struct diff_op *op, struct text *out)
{
    static const struct diff_word kinds[] = {{"SH", LOCK_SH}, {"EX", LOCK_EX}, {"UN", LOCK_UN}};
    text_add(out, " flock");
    int kind = DIFF_WORD(op, out, kinds);
    text_result(out, flock(actor_fd(actor, op->slot1), kind | LOCK_NB));
}

const struct diff_call diff_calls_locks[] = {
    {"lock", 15, USES_SLOT1, call_lock},
    {"flock", 8, USES_SLOT1, call_flock},
    {0},
};
