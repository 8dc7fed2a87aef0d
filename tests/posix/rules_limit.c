/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of names, paths and sizes, and names of any bytes. */
#include "tests/posix/rule.h"

#include <dirent.h>
#include <limits.h>
#include <linux/magic.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/vfs.h>

RULE(a_name_of_255_bytes_is_made_found_and_removed, "limits.h NAME_MAX, open(2)")
{
    char name[257];
    name_of_size(name, 255);
    file_put(name, "text");
    FILE_IS(name, "text");
    OK(link(name, "other"));
    OK(unlink(name));
    OK(rename("other", name));
    OK(unlink(name));
    OK(mkdir(name, 0755));
    OK(rmdir(name));
}

RULE(a_name_of_256_bytes_is_too_long, "open(2), mkdir(2), ... ENAMETOOLONG")
{
    char name[257];
    struct stat st;
    name_of_size(name, 256);
    file_make("f");
    FAILS(ENAMETOOLONG, open(name, O_CREAT | O_WRONLY, 0644));
    FAILS(ENAMETOOLONG, open(name, O_RDONLY));
    FAILS(ENAMETOOLONG, stat(name, &st));
    FAILS(ENAMETOOLONG, mkdir(name, 0755));
    FAILS(ENAMETOOLONG, mkfifo(name, 0644));
    FAILS(ENAMETOOLONG, symlink("x", name));
    FAILS(ENAMETOOLONG, link("f", name));
    FAILS(ENAMETOOLONG, rename("f", name));
    FAILS(ENAMETOOLONG, unlink(name));
    FAILS(ENAMETOOLONG, rmdir(name));
    FAILS(ENAMETOOLONG, truncate(name, 0));
    FAILS(ENAMETOOLONG, chmod(name, 0600));
}

RULE(name_max_is_told, "pathconf(3) _PC_NAME_MAX")
{
    SAME(pathconf(".", _PC_NAME_MAX), 255);
}

/* "./././f" of that many bytes. */
static void path_of_size(char *path, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        path[i] = i % 2 == 0 ? '.' : '/';
    }
    path[size - 2] = '/';
    path[size - 1] = 'f';
    path[size] = '\0';
}

RULE(a_path_of_4095_bytes_is_found_and_one_of_4096_too_long, "path_resolution(7) ENAMETOOLONG")
{
    char path[4200];
    struct stat st;
    file_make("f");
    path_of_size(path, 4095);
    OK(stat(path, &st));
    path_of_size(path, 4096);
    FAILS(ENAMETOOLONG, stat(path, &st));
    FAILS(ENAMETOOLONG, open(path, O_RDONLY));
}

RULE(a_link_may_have_4095_bytes_and_not_4096, "symlink(2) ENAMETOOLONG")
{
    char target[4200];
    char found[4200];
    name_of_size(target, 4095);
    OK(symlink(target, "l"));
    SAME(readlink("l", found, sizeof found), 4095);
    SAME(stat_of("l").st_size, 4095);
    name_of_size(target, 4096);
    FAILS(ENAMETOOLONG, symlink(target, "m"));
}

RULE(the_empty_path_is_no_name, "path_resolution(7) ENOENT")
{
    struct stat st;
    FAILS(ENOENT, stat("", &st));
    FAILS(ENOENT, mkdir("", 0755));
    FAILS(ENOENT, open("", O_CREAT | O_WRONLY, 0644));
    FAILS(ENOENT, chdir(""));
}

RULE(repeated_slashes_count_as_one, "path_resolution(7)")
{
    dir_make("d", 0755);
    file_put("d/f", "text");
    FILE_IS("d///f", "text");
    FILE_IS(".//d/.//f", "text");
}

RULE(dot_and_dot_dot_lead_where_they_should, "path_resolution(7)")
{
    dir_make("d", 0755);
    dir_make("d/e", 0755);
    file_put("f", "text");
    FILE_IS("d/e/../../f", "text");
    SAME(stat_of("d/e/..").st_ino, stat_of("d").st_ino);
    SAME(stat_of("d/.").st_ino, stat_of("d").st_ino);
}

/* ---- names ---- */

RULE(every_byte_but_nul_and_slash_may_be_a_name, "POSIX.1-2017 3.170 Filename")
{
    char name[3] = "x";
    for (int byte = 1; byte < 256; byte++) {
        if (byte == '/') {
            continue;
        }
        name[1] = (char)byte;
        file_make(name);
    }
    SAME(stat_of("x\xff").st_size, 0);
    SAME(stat_of("x\x01").st_size, 0);
    HOLDS(!exists("x"));
}

RULE(names_that_are_no_utf_8_are_listed_as_they_were_made, "POSIX.1-2017 3.170 Filename")
{
    int found = 0;
    const struct dirent *entry;
    file_make("\xc3\x28\x80");
    file_make("\xff\xfe");
    DIR *list = opendir(".");
    HOLDS(list != NULL);
    while ((entry = readdir(list)) != NULL) {
        found +=
            strcmp(entry->d_name, "\xc3\x28\x80") == 0 || strcmp(entry->d_name, "\xff\xfe") == 0;
    }
    SAME(found, 2);
}

RULE(different_spellings_of_a_letter_are_different_names, "POSIX.1-2017 3.170 Filename")
{
    file_put("\xc3\xa4", "composed");
    file_put("a\xcc\x88", "decomposed");
    FILE_IS("\xc3\xa4", "composed");
    FILE_IS("a\xcc\x88", "decomposed");
}

RULE(names_that_look_strange_are_ordinary, "POSIX.1-2017 3.170 Filename")
{
    static const char *const names[] = {"...", "....", " ", "-rf", "\n", ".hidden", "a\\b", "*"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        file_put(names[i], "text");
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        FILE_IS(names[i], "text");
        OK(unlink(names[i]));
    }
}

RULE(a_name_that_begins_another_is_told_apart, "path_resolution(7)")
{
    file_put("name", "1");
    file_put("name1", "2");
    dir_make("nam", 0755);
    OK(unlink("name"));
    HOLDS(!exists("name"));
    FILE_IS("name1", "2");
    HOLDS(exists("nam"));
}

/* ---- sizes ---- */

static void limit_size(rlim_t size)
{
    struct rlimit limit = {.rlim_cur = size, .rlim_max = RLIM_INFINITY};
    OK(setrlimit(RLIMIT_FSIZE, &limit));
}

RULE(a_write_stops_at_the_limit_of_file_size, "setrlimit(2) RLIMIT_FSIZE, write(2)")
{
    char bytes[200] = {0};
    int fd = file_open("f");
    limit_size(100);
    SAME(write(fd, bytes, sizeof bytes), 100);
    FAILS(EFBIG, write(fd, bytes, 1));
    SAME(stat_of("f").st_size, 100);
}

RULE(truncate_and_fallocate_keep_to_the_limit_of_file_size, "setrlimit(2), truncate(2) EFBIG")
{
    int fd = file_open("f");
    limit_size(100);
    FAILS(EFBIG, ftruncate(fd, 101));
    FAILS(EFBIG, truncate("f", 101));
    FAILS(EFBIG, fallocate(fd, 0, 0, 101));
    OK(ftruncate(fd, 100));
    SAME(stat_of("f").st_size, 100);
}

RULE(the_limit_of_file_size_sends_sigxfsz, "setrlimit(2) SIGXFSZ")
{
    sigset_t set;
    sigset_t pending;
    int fd = file_open("f");
    limit_size(0);
    signal(SIGXFSZ, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, SIGXFSZ);
    OK(sigprocmask(SIG_BLOCK, &set, NULL));
    FAILS(EFBIG, write(fd, "x", 1));
    OK(sigpending(&pending));
    HOLDS(sigismember(&pending, SIGXFSZ) == 1);
}

RULE(the_largest_offset_is_out_of_reach, "write(2), truncate(2) EFBIG")
{
    int fd = file_open("f");
    FAILS(EFBIG, ftruncate(fd, INT64_MAX));
    ssize_t written = pwrite(fd, "x", 1, INT64_MAX - 1);
    int error = errno;
    off_t size = stat_of("f").st_size;
    /* Whoever syncs later must not be told of a write that a cache took. */
    OK(ftruncate(fd, 0));
    SAME(written, -1);
    SAME(error, EFBIG);
    SAME(size, 0);
}

RULE(a_file_may_be_sparse_up_to_a_tib, "truncate(2), write(2)")
{
    const off_t tib = (off_t)1 << 40;
    int fd = file_open("f");
    OK(ftruncate(fd, tib));
    SAME(stat_of("f").st_size, tib);
    SAME(pwrite(fd, "x", 1, tib), 1);
    SAME(byte_at(fd, tib), 'x');
    SAME(byte_at(fd, tib - 1), 0);
    SAME(byte_at(fd, tib / 2), 0);
}

RULE(offsets_beyond_4_gib_are_kept_apart, "pwrite(2)")
{
    const off_t gib = (off_t)1 << 30;
    int fd = file_open("f");
    for (off_t i = 0; i < 6; i++) {
        char digit = (char)('0' + i);
        SAME(pwrite(fd, &digit, 1, i * gib), 1);
    }
    for (off_t i = 0; i < 6; i++) {
        SAME(byte_at(fd, i * gib), '0' + i);
    }
}

RULE(a_file_may_have_a_thousand_links, "link(2), limits.h LINK_MAX")
{
    char name[32];
    file_put("f", "text");
    dir_make("d", 0755);
    for (int i = 0; i < 999; i++) {
        snprintf(name, sizeof name, "d/%d", i);
        OK(link("f", name));
    }
    SAME(stat_of("f").st_nlink, 1000);
    OK(unlink("f"));
    FILE_IS("d/998", "text");
}

RULE(one_link_too_many_is_refused_without_harm, "link(2) EMLINK")
{
    enum { LINKS = 65000 };
    char name[32];
    struct statfs fs;
    OK(statfs(".", &fs));
    if (fs.f_type != EXT4_SUPER_MAGIC) {
        rule_skip("only the limit of ext4 is within reach; test_fs_names.c tries that of kvfs");
    }
    file_put("f", "text");
    dir_make("d", 0755);
    for (int i = 1; i < LINKS; i++) {
        snprintf(name, sizeof name, "d/%d", i);
        OK(link("f", name));
    }
    struct stat before = settled("f");
    SAME(before.st_nlink, LINKS);
    FAILS(EMLINK, link("f", "more"));
    HOLDS(!exists("more"));
    SAME(stat_of("f").st_nlink, LINKS);
    SAME(times_changed("f", &before), 0);
    OK(unlink("d/1"));
    OK(link("f", "more"));
}
