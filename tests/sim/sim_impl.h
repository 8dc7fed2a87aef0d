/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the simulated file system share: its state. */
#ifndef TESTS_SIM_SIM_IMPL_H
#define TESTS_SIM_SIM_IMPL_H

#include "kvcore/util/thread.h"
#include <stdatomic.h>

#include "tests/sim/sim_fs.h"

enum {
    SIM_NAME_SIZE = 48,
    SIM_SECTOR_SIZE = 512,
    SIM_FD_MAX = 256,
    SIM_NO_INODE = -1,
};

/* Bytes of a file, shared by reference; changed only where there is one reference. */
struct sim_bytes {
    _Atomic unsigned refs; /* of file systems that threads use beside each other */
    size_t size;
    uint8_t data[];
};

enum sim_change_type {
    SIM_CHANGE_WRITE = 1,
    SIM_CHANGE_GROW, /* to `offset` bytes, with zeros */
    SIM_CHANGE_EMPTY,
    SIM_CHANGE_ZERO, /* a punched range */
};

/* An unsynced change of a file, shared by reference, immutable. */
struct sim_change {
    _Atomic unsigned refs;
    uint64_t order; /* over all changes of the file system */
    enum sim_change_type type;
    uint64_t offset;
    size_t size;
    uint8_t data[]; /* of a write */
};

struct sim_inode {
    struct sim_bytes *current;
    struct sim_bytes *durable;
    struct sim_change **changes;
    size_t change_count;
    bool lost; /* a sync failed: `current` holds bytes that no sync can make durable */
    bool used; /* has a name, may have one after a crash, or is open */
    int open_count;
    int lock_count; /* shared locks; -1: an exclusive one */
};

/* Directories are known by numbers from 1. What they have in common is their parent, number 0, in
 * which there are only directories. */
enum { SIM_PARENT_DIR = 0 };

struct sim_name {
    int dir; /* in which it stands */
    char name[SIM_NAME_SIZE];
    int inode; /* SIM_NO_INODE in a change: the name goes. In the parent: number of a directory */
};

struct sim_names {
    struct sim_name *items;
    size_t count;
};

/* Names of one directory that change together. */
struct sim_name_change {
    uint64_t order;
    int count;
    struct sim_name names[2];
};

enum sim_fd_type { SIM_FD_FREE = 0, SIM_FD_FILE, SIM_FD_DIR, SIM_FD_PARENT };

struct sim_fd {
    enum sim_fd_type type;
    enum sim_kind kind;
    int inode;
    int dir;  /* of a directory: its number */
    int lock; /* LOCK_SH, LOCK_EX or 0 */
};

struct sim_fs {
    struct mutex mu;  /* held during each call; see sim_locked.c */
    unsigned late_us; /* how much later a sync returns than it was done */
    struct sim_inode *inodes;
    int inode_count;
    struct sim_names current, durable;
    struct sim_name_change *name_changes;
    size_t name_change_count;
    int dir_count; /* numbers given to directories */
    struct sim_fd fds[SIM_FD_MAX];
    uint64_t call_count;
    uint64_t change_order;
    uint64_t version;
    uint64_t stop_at; /* 0: never */
    struct sim_fault fault;
    struct sim_event fault_event; /* number 0: has not struck */
    bool write_fails_next;
    uint64_t late; /* number of the call that is to fail after what it does; 0: none */
    sim_watch_fn *watch_fn;
    void *watch_arg;
    sim_watch_fn *fault_fn;
    void *fault_arg;
};

struct sim_bytes *sim_bytes_new(size_t size);
struct sim_bytes *sim_bytes_ref(struct sim_bytes *bytes);
void sim_bytes_unref(struct sim_bytes *bytes);
/* Make *bytes unshared and at least `size` bytes long, new ones zero. */
void sim_bytes_own(struct sim_bytes **bytes, size_t size);
/* Apply a change whole. */
void sim_change_apply(const struct sim_change *change, struct sim_bytes **bytes);
void sim_change_unref(struct sim_change *change);
const struct sim_name *sim_names_find(const struct sim_names *names, int dir, const char *name);
void sim_names_apply(struct sim_names *names, const struct sim_name_change *change);
void sim_names_copy(const struct sim_names *from, struct sim_names *to);
/* The names of `dir` become those that it has in `from`. */
void sim_names_copy_dir(const struct sim_names *from, int dir, struct sim_names *to);
enum sim_kind sim_kind_of(const char *name);

/* All memory of a simulation goes through these three, sim_memory.c. Where there is none they end
 * the program. */
void *sim_alloc(size_t count, size_t size); /* zeroed */
void sim_free(void *memory);
/* Append one item to an array. */
void sim_append(void *array_pointer, size_t *count, const void *item, size_t item_size);

/* The names of a directory: the call `list`, whose listener may make calls itself. */
KV_MUST_CHECK int sim_list_names(struct sim_fs *sim, int dir, struct sim_names *ret_names);

/* One at a time. Without `list`. */
extern const struct posix_calls sim_calls;

#endif
