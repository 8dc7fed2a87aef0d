/* SPDX-License-Identifier: Apache-2.0 */
/* What a daemon gives up before it reads the first byte of a store, so that whoever finds a way
 * into it, through a store made for that or through requests of a mount, gets no further:
 *
 * 1. It gains no rights by starting programs (no_new_privs), and starts none.
 * 2. It leaves no core dump and cannot be traced but by root: its memory holds contents of files.
 * 3. Of capabilities, which a daemon of root has, it keeps those over files, memory and threads.
 * 4. Landlock, of a store in a directory: files are opened in that directory alone, and for reading
 *    where the C library looks (/usr, ...) and in /proc, where the groups of callers are found;
 *    nothing is executed, and no directory, device, pipe or link is made. No TCP, no signals and no
 *    abstract sockets to processes outside.
 * 5. seccomp: system calls that a daemon never makes are refused: other programs and processes,
 *    mounts, users, modules, keys, clocks; sockets of other kinds than AF_UNIX; modes, owners,
 *    attributes and times of files, which Landlock does not cover, but the two modes that a store
 *    gets. What is newer than this version is answered like an old kernel does.
 *
 * What /proc means: the daemon can read what any user may of every process (its command line,
 * state, memory use, groups) and of the kernel, and nothing that takes the rights of a tracer, also
 * of processes of its own user: their memory, environment, open files and directories. It writes
 * below its own /proc/self alone.
 *
 * The kernel keeps each thread's own account of 1, 3 and 4, and a new thread has its maker's: so
 * this comes before the first thread. Whatever needs more is done before (the log is opened, the
 * store's directory made), by the guard (fs/fuse/mount.h: mounting and unmounting) or by the
 * command that asks (copy_remote.h: copies).
 *
 * A store in a pool: its library loads modules, reads files anywhere and speaks TCP, so 3, 4
 * and what 5 says of sockets and of files are left out.
 *
 * What is left: a daemon may connect to sockets of AF_UNIX that have a path, with the rights of its
 * user: of other services, too. The C library's syslog() connects, and again after the service was
 * restarted; messages would be lost. Landlock has no rule for that yet.
 *
 * Refused: a list of the calls that are allowed. The C library, libfuse and the kernel's own
 * interfaces change which calls they make, and one that fails in the rare path of a full or failing
 * disk loses data there. An option that turns all this off: root can trace a daemon anyway. */
#ifndef KVFS_TOOLS_SANDBOX_H
#define KVFS_TOOLS_SANDBOX_H

#include <stdbool.h>

struct sandbox_plan {
    const char *store; /* its directory; NULL: it is in a pool */
    bool uring;        /* requests come over io_uring, which takes system calls of its own */
};

struct sandbox {
    bool complete;  /* nothing was refused */
    char text[192]; /* what is in force, such as "no core dumps, no new privileges, landlock 7,
                       seccomp", and what is not, with the reason */
};

/* In a process with one thread. What the kernel does not offer is left out, and told. A build with
 * a sanitizer or for coverage leaves out everything: those trace the process, and write files when
 * it ends. */
void sandbox_enter(const struct sandbox_plan *plan, struct sandbox *ret_sandbox);

/* ---- sandbox_calls.c ---- */

/* Refuse system calls, in all threads. Errors: -ENOTSUP not on this processor, which is no failure;
 * what seccomp(2) says. */
int sandbox_refuse_calls(const struct sandbox_plan *plan);

#endif
