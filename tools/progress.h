/* SPDX-License-Identifier: Apache-2.0 */
/* A bar on stderr for long work, with the time that is left. Nothing is shown where stderr is no
 * terminal. Used by one thread. */
#ifndef KVFS_TOOLS_PROGRESS_H
#define KVFS_TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    bool shown;        /* stderr is a terminal */
    const char *what;  /* "files" and the like, counted beside the bytes; NULL: bytes only */
    uint64_t began_ns; /* monotonic, as the next */
    uint64_t told_ns;
};

void progress_begin(struct progress *progress, const char *what);
/* `count` things and `done` of `all` bytes are done; `all` 0: nobody knows how many there are.
 * Draws a few times a second, however often it is called. */
void progress_show(struct progress *progress, uint64_t count, uint64_t done, uint64_t all);
/* Take the bar away: before a line is printed, and in the end. */
void progress_clear(struct progress *progress);

#endif
