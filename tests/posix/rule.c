/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/posix/rule.h"

#include <grp.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>

enum { STATUS_SKIP = 77, TICK_NS = 15 * 1000 * 1000 };

static _Noreturn void rule_end(void)
{
    fflush(NULL);
    _exit(1);
}

long rule_ok(long result, const char *what, const char *place)
{
    if (result == -1) {
        printf("%s: %s: %s\n", place, what, strerror(errno));
        rule_end();
    }
    return result;
}

void rule_fails(int error, long result, const char *what, const char *place)
{
    if (result != -1) {
        printf("%s: %s: gave %ld, not the error \"%s\"\n", place, what, result, strerror(error));
        rule_end();
    }
    if (errno != error) {
        printf("%s: %s: \"%s\", not \"%s\"\n", place, what, strerror(errno), strerror(error));
        rule_end();
    }
}

void rule_same(long long found, long long want, const char *what, const char *place)
{
    if (found != want) {
        printf("%s: %s: found %lld (0%llo), not %lld (0%llo)\n", place, what, found,
               (unsigned long long)found, want, (unsigned long long)want);
        rule_end();
    }
}

void rule_holds(bool condition, const char *what, const char *place)
{
    if (!condition) {
        printf("%s: not so: %s (errno: %s)\n", place, what, strerror(errno));
        rule_end();
    }
}

void rule_file_is(const char *name, const char *text, const char *place)
{
    char bytes[256];
    int fd = (int)rule_ok(open(name, O_RDONLY), name, place);
    ssize_t size = rule_ok(read(fd, bytes, sizeof bytes), name, place);
    if ((size_t)size != strlen(text) || memcmp(bytes, text, (size_t)size) != 0) {
        printf("%s: %s holds \"%.*s\", not \"%s\"\n", place, name, (int)size, bytes, text);
        rule_end();
    }
    close(fd);
}

void rule_skip(const char *reason)
{
    printf("%s\n", reason);
    fflush(NULL);
    _exit(STATUS_SKIP);
}

void rule_as_root(const char *reason)
{
    if (geteuid() != 0) {
        rule_skip(reason);
    }
}

void rule_mounts(void)
{
    rule_as_root("it makes mounts, which root may");
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        rule_skip("no mounts can be made here");
    }
}

bool rule_alone;

void rule_as_several(void)
{
    if (rule_alone) {
        rule_skip("it acts as several users, and only root gets in here");
    }
    if (getuid() != 0) {
        rule_skip("it acts as several users, which root may");
    }
}

void become(uid_t uid, gid_t gid, gid_t extra)
{
    rule_as_several();
    OK(setgroups(extra != 0 ? 1 : 0, &extra));
    OK(setresgid((gid_t)-1, gid, (gid_t)-1));
    OK(setresuid((uid_t)-1, uid, (uid_t)-1));
}

void become_root(void)
{
    OK(setresuid((uid_t)-1, 0, (uid_t)-1));
    OK(setresgid((gid_t)-1, 0, (gid_t)-1));
    OK(setgroups(0, NULL));
}

void file_make(const char *name)
{
    OK(close((int)OK(open(name, O_WRONLY | O_CREAT | O_EXCL, 0644))));
}

void file_put(const char *name, const char *text)
{
    int fd = (int)OK(open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644));
    SAME(write(fd, text, strlen(text)), strlen(text));
    OK(close(fd));
}

int file_open(const char *name)
{
    return (int)OK(open(name, O_RDWR | O_CREAT, 0644));
}

void file_fill(int fd, char byte, size_t size)
{
    char *bytes = malloc(size);
    HOLDS(bytes != NULL);
    memset(bytes, byte, size);
    SAME(write(fd, bytes, size), size);
    free(bytes);
}

int byte_at(int fd, off_t offset)
{
    unsigned char byte;
    return OK(pread(fd, &byte, 1, offset)) == 1 ? byte : -1;
}

void dir_make(const char *name, mode_t mode)
{
    OK(mkdir(name, 0700));
    OK(chmod(name, mode));
}

struct stat stat_of(const char *name)
{
    struct stat st;
    OK(lstat(name, &st));
    return st;
}

unsigned mode_of(const char *name)
{
    return stat_of(name).st_mode & 07777;
}

bool exists(const char *name)
{
    struct stat st;
    if (lstat(name, &st) == 0) {
        return true;
    }
    HOLDS(errno == ENOENT);
    return false;
}

void name_of_size(char *name, size_t size)
{
    memset(name, 'n', size);
    name[size] = '\0';
}

int in_child(int (*fn)(void *arg), void *arg)
{
    int status;
    fflush(NULL);
    pid_t pid = (pid_t)OK(fork());
    if (pid == 0) {
        int result = fn(arg);
        fflush(NULL);
        _exit(result);
    }
    SAME(waitpid(pid, &status, 0), pid);
    HOLDS(WIFEXITED(status));
    return WEXITSTATUS(status);
}

struct stat settled(const char *name)
{
    struct stat st = stat_of(name);
    struct timespec tick = {.tv_nsec = TICK_NS};
    while (nanosleep(&tick, &tick) != 0) {
    }
    return st;
}

static bool differs(struct timespec a, struct timespec b)
{
    return a.tv_sec != b.tv_sec || a.tv_nsec != b.tv_nsec;
}

unsigned times_changed(const char *name, const struct stat *before)
{
    struct stat now = stat_of(name);
    return (differs(now.st_atim, before->st_atim) ? (unsigned)T_ATIME : 0) |
           (differs(now.st_mtim, before->st_mtim) ? (unsigned)T_MTIME : 0) |
           (differs(now.st_ctim, before->st_ctim) ? (unsigned)T_CTIME : 0);
}
