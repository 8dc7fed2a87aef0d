/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks in processes of their own, some at a time: what one does to its memory, or dies of, touches
 * no other. */
#ifndef TESTS_CRASH_TASKS_H
#define TESTS_CRASH_TASKS_H

#include <stdbool.h>
#include <stddef.h>

struct tasks {
    size_t count;
    unsigned jobs; /* at a time */
    /* In the process of the task; false: it failed. */
    bool (*run)(void *arg, size_t task);
    /* In this process, once it ended, in the order of ending; `number` counts from 1 and `status`
     * is that of wait(2). */
    void (*report)(void *arg, size_t task, unsigned number, int status);
    void *arg;
};

/* Returns how many failed. */
size_t tasks_run(const struct tasks *tasks);
/* Zeroed memory that the tasks share with this process. Ends the program where there is none. */
void *tasks_share(size_t size);

#endif
