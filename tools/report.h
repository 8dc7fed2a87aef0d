/* SPDX-License-Identifier: Apache-2.0 */
/* How the command speaks and ends: one line on stderr that says what, where, why and what next, and
 * an exit code with a meaning. */
#ifndef KVFS_TOOLS_REPORT_H
#define KVFS_TOOLS_REPORT_H

#include <kv/error.h>
#include <stddef.h>

enum exit_code {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_NOT_FOUND = 3,
    EXIT_DAMAGED = 4,
    EXIT_BUSY = 5,
    EXIT_NO_SPACE = 6,
    EXIT_LOST = 7,          /* the store, to another holder, while it was in use */
    EXIT_EXEC_FAILED = 125, /* exec: could not mount; 126 and 127 as env(1) */
    EXIT_INTERRUPTED = 130,
};

/* mount(8)'s own */
enum mount_exit_code {
    MOUNT_EXIT_USAGE = 1,
    MOUNT_EXIT_SYSTEM = 2,
    MOUNT_EXIT_INTERRUPTED = 8,
    MOUNT_EXIT_FAILED = 32,
};

/* What went wrong, as a sentence without the program's name before it. */
struct fault {
    int error; /* negative errno */
    char text[1024];
};

/* Set the sentence; returns `error`, so that it can end a function. */
__attribute__((format(printf, 3, 4))) int fault_set(struct fault *fault, int error,
                                                    const char *format, ...);

/* Print "kvfs: " and the sentence on stderr. */
__attribute__((format(printf, 1, 2))) void complain(const char *format, ...);

enum exit_code exit_code_of(int error);

/* Why something could not be done with a key. */
const char *key_reason_of(int error);

/* Flush stdout and turn a failure to write into an exit code: a full disk or a closed pipe behind
 * the command must not look like success. `code` is returned when all is well. */
int finish_output(int code);

#endif
