/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench/bench_process.h"

#include <dirent.h>
#include <fcntl.h>
#include <fts.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "kvcore/util/clock.h"

static const char mark[] = "kvfs-bench";

enum {
    SETTLE_LOOK_MS = 50,
    SETTLE_QUIET_LOOKS = 5,
    SETTLE_BUSY_NS = 1000000, /* of processor time between two looks */
    SETTLE_MAX_S = 120,
};

/* ---- the process ----------------------------------------------------------------------------- */

/* The number behind `field` in a file of the process with lines "field: number"; 0 if there is
 * none. */
static uint64_t proc_number(unsigned process, const char *name, const char *field)
{
    char path[64];
    if (process == 0) {
        snprintf(path, sizeof path, "/proc/self/%s", name);
    } else {
        snprintf(path, sizeof path, "/proc/%u/%s", process, name);
    }
    FILE *file = fopen(path, "re");
    char line[256];
    uint64_t number = 0;
    size_t size = strlen(field);
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, field, size) == 0 && sscanf(line + size, " %" SCNu64, &number) == 1) {
            break;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return number;
}

uint64_t bench_process_written_bytes(unsigned process)
{
    return proc_number(process, "io", "write_bytes:");
}

uint64_t bench_process_peak_bytes(unsigned process)
{
    return proc_number(process, "status", "VmHWM:") * 1024;
}

uint64_t bench_process_resident_bytes(unsigned process)
{
    return proc_number(process, "status", "VmRSS:") * 1024;
}

uint64_t bench_process_processor_ns(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000ULL + (uint64_t)used.tv_nsec;
}

void bench_process_settle(void)
{
    const struct timespec rest = {.tv_nsec = SETTLE_LOOK_MS * 1000000L};
    uint64_t end = clock_monotonic_ns() + SETTLE_MAX_S * 1000000000ULL;
    unsigned quiet = 0;
    while (quiet < SETTLE_QUIET_LOOKS && clock_monotonic_ns() < end) {
        uint64_t before = bench_process_processor_ns();
        nanosleep(&rest, NULL);
        quiet = bench_process_processor_ns() - before < SETTLE_BUSY_NS ? quiet + 1 : 0;
    }
}

/* ---- directories ----------------------------------------------------------------------------- */

static int is_empty(const char *dir, bool *ret_empty)
{
    DIR *list = opendir(dir);
    const struct dirent *entry;
    bool empty = true;
    if (list == NULL) {
        return -errno;
    }
    while (empty && (entry = readdir(list)) != NULL) {
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    }
    closedir(list);
    *ret_empty = empty;
    return 0;
}

int bench_dir_prepare(const char *dir)
{
    char path[PATH_MAX];
    bool empty = false;
    if (mkdir(dir, 0700) < 0 && errno != EEXIST) {
        return -errno;
    }
    if ((size_t)snprintf(path, sizeof path, "%s/%s", dir, mark) >= sizeof path) {
        return -ENAMETOOLONG;
    }
    if (access(path, F_OK) == 0) {
        return 0;
    }
    int r = is_empty(dir, &empty);
    if (r < 0 || !empty) {
        return r < 0 ? r : -ENOTEMPTY;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return -errno;
    }
    close(fd);
    return 0;
}

static FTS *walk(const char *path)
{
    /* fts_open() takes the names as changeable, and does not change them. */
    union {
        const char *given;
        char *taken;
    } name = {.given = path};
    char *names[] = {name.taken, NULL};
    return fts_open(names, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
}

int bench_dir_space(const char *path, uint64_t *ret_bytes)
{
    FTS *fts = walk(path);
    const FTSENT *entry;
    uint64_t bytes = 0;
    if (fts == NULL) {
        return -errno;
    }
    while ((entry = fts_read(fts)) != NULL) {
        if (entry->fts_info == FTS_F) {
            bytes += (uint64_t)entry->fts_statp->st_blocks * 512;
        }
    }
    fts_close(fts);
    *ret_bytes = bytes;
    return 0;
}

int bench_dir_remove(const char *path)
{
    FTS *fts = walk(path);
    const FTSENT *entry;
    int r = 0;
    if (fts == NULL) {
        return -errno;
    }
    while (r == 0 && (entry = fts_read(fts)) != NULL) {
        if (entry->fts_info == FTS_DP) {
            r = rmdir(entry->fts_accpath) < 0 ? -errno : 0;
        } else if (entry->fts_info != FTS_D && entry->fts_info != FTS_NS) {
            r = unlink(entry->fts_accpath) < 0 ? -errno : 0;
        }
    }
    fts_close(fts);
    return r;
}
