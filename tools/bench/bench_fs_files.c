/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench/bench_fs_files.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "tools/bench/bench_process.h"
#include "tools/report.h"

static const char drop_path[] = "/proc/sys/vm/drop_caches";

static uint64_t used_bytes(int fd)
{
    struct statvfs info;
    return fstatvfs(fd, &info) == 0 ? (info.f_blocks - info.f_bfree) * info.f_frsize : 0;
}

/* As an exit code. */
static int complained(int error)
{
    return exit_code_of(error) == EXIT_NO_SPACE ? EXIT_NO_SPACE : EXIT_FAILED;
}

static int open_switch(struct bench_fs_files *files)
{
    files->drop_fd = open(drop_path, O_WRONLY | O_CLOEXEC);
    if (files->drop_fd < 0) {
        complain("cannot drop the kernel's caches through %s: %s. Run as root, or without --cold.",
                 drop_path, kv_strerror(-errno));
        return EXIT_FAILED;
    }
    return EXIT_DONE;
}

int bench_fs_files_begin(const struct bench_fs_config *config, struct bench_fs_files *ret_files)
{
    struct bench_fs_files files = {.config = config, .fd = -1, .drop_fd = -1};
    if ((size_t)snprintf(files.path, sizeof files.path, "%s/kvfs-bench-XXXXXX", config->dir) >=
        sizeof files.path) {
        complain("cannot use %s: its name is too long", config->dir);
        return EXIT_FAILED;
    }
    int code = config->cold ? open_switch(&files) : EXIT_DONE;
    if (code != EXIT_DONE) {
        return code;
    }
    if (mkdtemp(files.path) == NULL) {
        int error = -errno;
        complain("cannot make a directory in %s: %s", config->dir, kv_strerror(error));
        code = complained(error);
        goto fail;
    }
    files.fd = open(files.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (files.fd < 0) {
        complain("cannot open %s: %s", files.path, kv_strerror(-errno));
        code = EXIT_FAILED;
        rmdir(files.path);
        goto fail;
    }
    files.used_before = used_bytes(files.fd);
    *ret_files = files;
    return EXIT_DONE;
fail:
    if (files.drop_fd >= 0) {
        close(files.drop_fd);
    }
    return code;
}

int bench_fs_files_end(struct bench_fs_files *files)
{
    close(files->fd);
    if (files->drop_fd >= 0) {
        close(files->drop_fd);
    }
    int r = bench_dir_remove(files->path);
    if (r < 0) {
        complain("cannot remove %s: %s. Remove it by hand.", files->path, kv_strerror(r));
        return EXIT_FAILED;
    }
    return EXIT_DONE;
}

/* The tree in which a thread works, and how many files that holds. */
static unsigned tree_of(const struct bench_fs_config *config, unsigned thread)
{
    return config->shared ? 0 : thread;
}

static uint64_t tree_files(const struct bench_fs_config *config, unsigned thread)
{
    return config->shared ? config->files : bench_fs_share(config, thread);
}

uint64_t bench_fs_share(const struct bench_fs_config *config, unsigned thread)
{
    uint64_t rest = config->files % config->threads;
    return config->files / config->threads + (thread < rest);
}

void bench_fs_name(const struct bench_fs_config *config, unsigned thread, uint64_t index,
                   char letter, char to[BENCH_FS_NAME_SIZE])
{
    /* In shared directories files of all threads lie side by side. */
    uint64_t number = config->shared ? index * config->threads + thread : index;
    snprintf(to, BENCH_FS_NAME_SIZE, "t%u/d%05" PRIu64 "/%c%08" PRIu64, tree_of(config, thread),
             number / config->per_directory, letter, number);
}

int bench_fs_directory(const struct bench_fs_config *config, unsigned thread, uint64_t index,
                       char to[BENCH_FS_NAME_SIZE], uint64_t *ret_files)
{
    uint64_t number = config->shared ? index * config->threads + thread : index;
    uint64_t first = number * config->per_directory;
    uint64_t all = tree_files(config, thread);
    if (first >= all) {
        return -ENOENT;
    }
    snprintf(to, BENCH_FS_NAME_SIZE, "t%u/d%05" PRIu64, tree_of(config, thread), number);
    *ret_files = all - first < config->per_directory ? all - first : config->per_directory;
    return 0;
}

bool bench_fs_interrupted(void)
{
    sigset_t waiting;
    return sigpending(&waiting) == 0 &&
           (sigismember(&waiting, SIGINT) == 1 || sigismember(&waiting, SIGTERM) == 1 ||
            sigismember(&waiting, SIGHUP) == 1);
}

static int make_directory(int fd, const char *name)
{
    if (bench_fs_interrupted()) {
        return -EINTR;
    }
    return mkdirat(fd, name, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

int bench_fs_make_directories(const struct bench_fs_files *files)
{
    const struct bench_fs_config *config = files->config;
    char name[BENCH_FS_NAME_SIZE];
    uint64_t count;
    int r = 0;
    for (unsigned t = 0; r == 0 && t < config->threads; t++) {
        snprintf(name, sizeof name, "t%u", t);
        r = make_directory(files->fd, name);
    }
    for (unsigned t = 0; r == 0 && t < config->threads; t++) {
        for (uint64_t d = 0; r == 0 && bench_fs_directory(config, t, d, name, &count) == 0; d++) {
            r = make_directory(files->fd, name);
        }
    }
    return r;
}

int bench_fs_drop_caches(const struct bench_fs_files *files)
{
    static const char all[] = "3\n"; /* pages, and names with attributes */
    if (files->drop_fd < 0) {
        return 0;
    }
    if (syncfs(files->fd) < 0 || pwrite(files->drop_fd, all, sizeof all - 1, 0) < 0) {
        return -errno;
    }
    return 0;
}

uint64_t bench_fs_space(const struct bench_fs_files *files)
{
    uint64_t used = used_bytes(files->fd);
    return used > files->used_before ? used - files->used_before : 0;
}
