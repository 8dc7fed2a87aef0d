/* SPDX-License-Identifier: Apache-2.0 */
/* usage: many_names DIRECTORY COUNT
 * Makes COUNT empty files in a fresh directory, in no order of names; lists it, looks each name up,
 * removes half of them by name and the others as rm -r does, removes the directory. Prints how long
 * each took. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { NAME_SIZE = 32 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* No two numbers below 2^32 give the same name; neighbours are far apart. */
static void name_of(uint32_t number, char name[NAME_SIZE])
{
    uint32_t mixed = number * 2654435761u;
    snprintf(name, NAME_SIZE, "name-%08" PRIx32, mixed);
}

static void die(const char *what, const char *name)
{
    fprintf(stderr, "many_names: %s %s: %s\n", what, name, strerror(errno));
    exit(1);
}

typedef int each_fn(const char *name);

static int make_one(const char *name)
{
    return mknod(name, S_IFREG | 0644, 0);
}

static int look_up(const char *name)
{
    struct stat st;
    return lstat(name, &st);
}

static void each(const char *what, each_fn *fn, uint32_t count)
{
    char name[NAME_SIZE];
    double begin = now();
    for (uint32_t i = 0; i < count; i++) {
        name_of(i, name);
        if (fn(name) != 0) {
            die(what, name);
        }
        if ((i + 1) % 1000000 == 0) {
            printf("%s: %" PRIu32 " after %.1f s\n", what, i + 1, now() - begin);
            fflush(stdout);
        }
    }
    printf("%s: %" PRIu32 " names in %.2f s, %.1f us each\n", what, count, now() - begin,
           (now() - begin) * 1e6 / count);
    fflush(stdout);
}

/* Each name once: their sum is compared, so that nothing is kept. */
static void list(uint32_t count)
{
    char name[NAME_SIZE];
    uint64_t expected = 0;
    uint64_t found = 0;
    uint32_t entries = 0;
    double begin = now();
    DIR *dir = opendir(".");
    if (dir == NULL) {
        die("open", ".");
    }
    errno = 0;
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        if (entry->d_name[0] != '.') {
            found += strtoull(entry->d_name + strlen("name-"), NULL, 16);
            entries++;
        }
    }
    if (errno != 0) {
        die("list", ".");
    }
    closedir(dir);
    for (uint32_t i = 0; i < count; i++) {
        name_of(i, name);
        expected += strtoull(name + strlen("name-"), NULL, 16);
    }
    if (entries != count || found != expected) {
        fprintf(stderr, "many_names: %" PRIu32 " names are listed, not the %" PRIu32 "\n", entries,
                count);
        exit(1);
    }
    printf("list: %" PRIu32 " names in %.2f s\n", count, now() - begin);
    fflush(stdout);
}

/* As each is listed. */
static void remove_listed(uint32_t count)
{
    uint32_t removed = 0;
    double begin = now();
    DIR *dir = opendir(".");
    if (dir == NULL) {
        die("open", ".");
    }
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        if (entry->d_name[0] != '.') {
            removed++;
            if (unlink(entry->d_name) != 0) {
                die("remove the listed", entry->d_name);
            }
        }
    }
    closedir(dir);
    if (removed != count) {
        fprintf(stderr, "many_names: %" PRIu32 " names were left, not %" PRIu32 "\n", removed,
                count);
        exit(1);
    }
    printf("remove as listed: %" PRIu32 " names in %.2f s\n", count, now() - begin);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: many_names DIRECTORY COUNT\n");
        return 2;
    }
    uint32_t count = (uint32_t)strtoul(argv[2], NULL, 10);
    if (mkdir(argv[1], 0755) != 0) {
        die("make", argv[1]);
    }
    char *path = realpath(argv[1], NULL);
    if (path == NULL || chdir(path) != 0) {
        die("enter", argv[1]);
    }
    each("create", make_one, count);
    list(count);
    each("look up", look_up, count);
    each("remove", unlink, count / 2);
    remove_listed(count - count / 2);
    if (chdir("/") != 0 || rmdir(path) != 0) {
        die("remove", path);
    }
    free(path);
    return 0;
}
