/* SPDX-License-Identifier: Apache-2.0 */
/* What a file system owes its users, one small function for each rule.
 *
 *   RULE(a_link_is_another_name_of_the_same_file, "link(2)")
 *   {
 *       file_make("f");
 *       OK(link("f", "g"));
 *       SAME(stat_of("f").st_ino, stat_of("g").st_ino);
 *   }
 *
 * The name is the rule; the second argument says what it rests on: a section of the Linux manual or
 * of POSIX.1-2017. Each rule runs in a process of its own with the umask 022, as root and a second
 * time as an ordinary user (rule_as_root()), and its working directory is an empty one on the file
 * system under test. So it names files relatively,
 * leaves descriptors open and may change identity or mounts (rule_mounts()). A check that does not
 * hold ends it. */
#ifndef TESTS_POSIX_RULE_H
#define TESTS_POSIX_RULE_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

struct rule {
    const char *name, *basis, *file;
    void (*fn)(void);
};

/* The linker gathers the pointers of all files of rules in one section. */
#define RULE(sentence, basis)                                                                      \
    static void sentence(void);                                                                    \
    static const struct rule sentence##_rule = {#sentence, basis, __FILE__, sentence};             \
    static const struct rule *const sentence##_entry                                               \
        __attribute__((used, section("posix_rules"))) = &sentence##_rule;                          \
    static void sentence(void)

#define RULE_TEXT_(x) #x
#define RULE_TEXT(x)  RULE_TEXT_(x)
#define RULE_PLACE    __FILE__ ":" RULE_TEXT(__LINE__)

/* The call does not return -1; its value is the expression's. */
#define OK(call) rule_ok((long)(call), #call, RULE_PLACE)
/* The call returns -1 and errno is `error`. */
#define FAILS(error, call) rule_fails(error, (long)(call), #call, RULE_PLACE)
/* Two numbers are the same. */
#define SAME(found, want)                                                                          \
    rule_same((long long)(found), (long long)(want), #found " is " #want, RULE_PLACE)
#define HOLDS(condition)    rule_holds(condition, #condition, RULE_PLACE)
#define FILE_IS(name, text) rule_file_is(name, text, RULE_PLACE)

long rule_ok(long result, const char *what, const char *place);
void rule_fails(int error, long result, const char *what, const char *place);
void rule_same(long long found, long long want, const char *what, const char *place);
void rule_holds(bool condition, const char *what, const char *place);
void rule_file_is(const char *name, const char *text, const char *place);
/* Ends the rule: what it is about is not to be had here. */
_Noreturn void rule_skip(const char *reason);
/* The same, if it is not root who runs the rules. become() and rule_mounts() say so themselves, but
 * for the first of them in a child: there rule_as_several() belongs before the fork. */
void rule_as_root(const char *reason);
void rule_as_several(void);
/* Mounts made from now on are seen by this process only. */
void rule_mounts(void);

enum {
    USER = 50001, /* two ordinary users and their groups */
    OTHER = 50002,
    TEAM = 50100, /* a group that a user may belong to as well */
    PAGE = 4096,
};

/* Nobody but root gets in: then become() skips the rule. */
extern bool rule_alone;
/* Act as that user, with `extra` as the only supplementary group (0: none). As root again with
 * become_root(). */
void become(uid_t uid, gid_t gid, gid_t extra);
void become_root(void);

void file_make(const char *name);                  /* empty, mode 0644 */
void file_put(const char *name, const char *text); /* made or replaced */
int file_open(const char *name);                   /* for reading and writing; made if missing */
void file_fill(int fd, char byte, size_t size);    /* from the file's offset */
int byte_at(int fd, off_t offset);                 /* -1 behind the end */
void dir_make(const char *name, mode_t mode);      /* whatever the umask */
struct stat stat_of(const char *name);             /* does not follow links */
unsigned mode_of(const char *name);                /* the permission bits, 07777 */
bool exists(const char *name);                     /* does not follow links */
void name_of_size(char *name, size_t size);        /* that many letters and a NUL */
/* In a child process: what `fn` returns, 0 to 255. */
int in_child(int (*fn)(void *arg), void *arg);

enum { T_ATIME = 1, T_MTIME = 2, T_CTIME = 4 };
/* Attributes now; the clock of any file system has moved on when it returns. */
struct stat settled(const char *name);
/* Which of the times of `name` differ from those in `before`. */
unsigned times_changed(const char *name, const struct stat *before);

#endif
