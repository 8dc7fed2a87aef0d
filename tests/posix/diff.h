/* SPDX-License-Identifier: Apache-2.0 */
/* The same random operations on two file systems, and what came of each compared.
 *
 * What a step does follows from the seed and its number alone, not from what came before: so a
 * sequence is replayed from numbers, and shrunk by leaving steps out. Each side has ACTORS
 * processes, which see its directory as their root and keep descriptors, locks, a working directory
 * and limits of their own. A step is made by one of them, as one of several users, while the others
 * wait. It says in a text what it called, what came back, and what became of the files that it
 * touched; the two texts must be equal. Now and then whole trees are compared.
 *
 * Not compared: inode numbers, sizes of directories, st_blocks, and access times beyond those that
 * were set (both are to be mounted with noatime). A time that is not set is "now" on both sides;
 * what moves it is compared. */
#ifndef TESTS_POSIX_DIFF_H
#define TESTS_POSIX_DIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "kvcore/util/rng.h"

enum {
    ROUND = 5000, /* steps between fresh directories */
    ACTORS = 3,
    SLOTS = 6,                   /* descriptors of one actor */
    DIFF_FILE_MAX = 1536 * 1024, /* operations stay below this size */
    DIFF_PATH_MAX = 4400,
    PAGE = 4096,
};

/* A text that grows; zeroed it is empty. */
struct text {
    char *bytes;
    size_t size, capacity;
};

void text_clear(struct text *text);
void text_finish(struct text *text);
void text_add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_name(struct text *text, const char *name); /* quoted; runs of one letter are counted */
/* " = 3", or " = -1:ENOENT" from errno, which it keeps. */
void text_result(struct text *text, long result);
/* A difference is explained by the list of known ones. */
_Noreturn void diff_die(const char *what);

/* What a step uses; its attributes are told afterwards. */
enum {
    USES_PATH1 = 1,
    USES_PATH2 = 2,
    USES_SLOT1 = 4,
    USES_SLOT2 = 8,
    READS1 = 16, /* slot 1 is better a file that can be read, or written; slot 2 likewise */
    WRITES1 = 32,
    WRITES2 = 64,
};

struct actor;
struct diff_op;

struct diff_call {
    const char *name;
    unsigned weight, uses;
    void (*fn)(struct actor *actor, struct diff_op *op, struct text *out);
};

/* Each ends with an entry without a name. */
extern const struct diff_call diff_calls_names[];
extern const struct diff_call diff_calls_open[];
extern const struct diff_call diff_calls_data[];
extern const struct diff_call diff_calls_space[];
extern const struct diff_call diff_calls_attrs[];
extern const struct diff_call diff_calls_xattrs[];
extern const struct diff_call diff_calls_locks[];

struct diff_op {
    const struct diff_call *call;
    unsigned actor, user, told; /* 0: attributes are not asked for, 2: before and after */
    mode_t umask;
    struct rng rng; /* for what else the call needs to choose */
    unsigned slot1, slot2, at1, at2;
    bool any_slot; /* whatever would be better */
    char path1[DIFF_PATH_MAX], path2[DIFF_PATH_MAX];
};

struct known;

/* What step `step` of `seed` is. Calls that `known` says to avoid are not chosen. */
void diff_op_make(uint64_t seed, uint64_t step, const struct known *known, struct diff_op *ret_op);
uint64_t diff_pick(struct diff_op *op, uint64_t bound);
bool diff_one_in(struct diff_op *op, uint64_t bound);
/* One of the `count` words, with the given flags. */
struct diff_word {
    const char *name;
    int value;
};
int diff_word(struct diff_op *op, struct text *out, const struct diff_word *words, size_t count);
#define DIFF_WORD(op, out, words) diff_word(op, out, words, sizeof(words) / sizeof(words)[0])

/* Rounds in which files are made immutable: some differences are to be found in these only. */
bool diff_forbids(uint64_t step);

/* The list of known differences for one target: see tests/posix/diff_known. */
struct known *known_read(const char *path, const char *target);
/* Enter one that was found out just now. */
void known_avoid(struct known *known, const char *call, const char *reason);
bool known_avoids(const struct known *known, const char *call);
/* Whether the difference between the texts is one of those in the list. */
bool known_explains(struct known *known, const char *call, const char *first, const char *second);
/* Whether differences that come with immutable files are among them from now on. */
void known_forbids(struct known *known, bool forbids);
void known_print(const struct known *known);

/* A process on one side. */
struct side_actor {
    pid_t pid;
    int socket;
};
struct side_actor actor_start(const char *directory, uint64_t seed, const struct known *known);
void actor_send(const struct side_actor *side, uint64_t step);
void actor_receive(const struct side_actor *side, struct text *ret_text);
void actor_end(struct side_actor *side);

/* For calls, in the actor. A slot is empty or holds a descriptor. */
int actor_fd(struct actor *actor, unsigned slot);            /* the next that is in use, or -1 */
int actor_data_fd(struct actor *actor, unsigned slot);       /* the same, but no FIFO */
int actor_at(struct actor *actor, unsigned at);              /* a directory's, or AT_FDCWD */
void actor_keep(struct actor *actor, unsigned slot, int fd); /* closes what was there */
void actor_close(struct actor *actor, unsigned slot);
/* Whether the list of known differences says so; for calls that do only part of what they may. */
bool actor_avoids(const struct actor *actor, const char *what);
bool actor_fd_direct(int fd);
uint8_t *actor_buffer(struct actor *actor); /* DIFF_FILE_MAX bytes, aligned to pages */
void actor_fill(struct actor *actor, struct diff_op *op, size_t size);

/* Whether it is a setgid file, not a directory. A write clears the bit on both sides if the group
 * may execute; if it may not, only ext4 does, so no step makes such a file. */
bool diff_setgid_file(int at, const char *path);
enum { DIFF_TEAM = 50100 };
/* A user or group, for chown and ACLs. */
unsigned diff_id(struct diff_op *op);

/* Appends a line for everything below the directory. */
void tree_describe(const char *directory, struct text *out);
void tree_remove(const char *directory);
/* "-rw…", links, owner, size, times; `since` is when the run began. */
struct stat;
void stat_describe(const struct stat *st, struct text *out);

#endif
