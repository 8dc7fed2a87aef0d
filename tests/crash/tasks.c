/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/tasks.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

void *tasks_share(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        printf("Bail out! no memory\n");
        exit(1);
    }
    return memory;
}

static pid_t start(const struct tasks *tasks, size_t task)
{
    pid_t pid;
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        bool ok = tasks->run(tasks->arg, task);
        fflush(stdout);
        exit(ok ? 0 : 1);
    }
    return pid;
}

static size_t find(const pid_t *pids, size_t count, pid_t pid)
{
    size_t i = 0;
    while (i < count && pids[i] != pid) {
        i++;
    }
    return i;
}

size_t tasks_run(const struct tasks *tasks)
{
    pid_t *pids = calloc(tasks->count + 1, sizeof *pids);
    size_t started = 0;
    size_t failed = 0;

    if (pids == NULL) {
        return tasks->count;
    }
    for (size_t done = 0; done < tasks->count; done++) {
        int status = 0;
        size_t task;
        while (started < tasks->count && started - done < tasks->jobs) {
            pids[started] = start(tasks, started);
            started++;
        }
        task = find(pids, started, wait(&status));
        if (task == started) {
            failed = tasks->count - done; /* there is none to wait for */
            break;
        }
        failed += status != 0;
        tasks->report(tasks->arg, task, (unsigned)done + 1, status);
    }
    free(pids);
    return failed;
}
