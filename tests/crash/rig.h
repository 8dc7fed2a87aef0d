/* SPDX-License-Identifier: Apache-2.0 */
/* What the crash tests of the engine share: a store on the simulated file system, scripts of
 * operations, and a model that knows the state after each of them.
 *
 * A script is a text of steps, each a letter and perhaps a count: "w20 s f c r".
 *   n, w, y   that many batches with KV_DURABLE_NONE, WRITE, SYNC
 *   b         a batch with one large value, KV_DURABLE_WRITE
 *   s         kv_sync          f  kv_flush         c  kv_compact
 *   m         one merge, if one is due                  g  read everything
 *   t         make one more table                  r  close and open again
 *   k, x      make a named snapshot, drop one
 *   l         have the next edit begin a new manifest
 *   z         damage was met in a file, and is remembered
 *   o         from the next opening on large values go to blobs, or no longer */
#ifndef TESTS_CRASH_RIG_H
#define TESTS_CRASH_RIG_H

#include <kv/kv.h>

#include "kvcore/util/rng.h"
#include "tests/sim/sim_fs.h"

enum { RIG_TABLES = 3, RIG_KEYS = 48, RIG_VALUE_MAX = 48 * 1024, RIG_BATCH_MAX = 6, RIG_NAMES = 2 };

/* Number of each key's value; 0: absent. A value is made from its number. */
struct rig_rows {
    uint32_t value[RIG_TABLES][RIG_KEYS];
};

struct rig_change {
    uint8_t table, key;
    uint8_t end;    /* not 0: all keys from `key` to here are deleted, this one not */
    uint32_t value; /* 0: deleted */
    bool shared;    /* the value is put as a part, all of it, of the row at `from` of the table */
    uint8_t from;
};

struct rig_batch {
    struct rig_change changes[RIG_BATCH_MAX];
    size_t count;
    bool failed; /* writing it returned an error: it may be there or not */
};

struct rig_model {
    struct rig_batch *batches; /* in their order */
    uint64_t *digests;         /* of the rows before each batch, and behind the last */
    size_t batch_count;
    struct rig_rows rows;
    uint32_t next_value;
};

enum rig_name_state {
    RIG_NAME_ABSENT = 0,
    RIG_NAME_MAYBE, /* making or dropping it is under way, or failed */
    RIG_NAME_THERE,
};

/* A named snapshot: if it is there it shows the rows after so many batches, `from` to `to`. */
struct rig_name {
    enum rig_name_state state;
    size_t from, to;
};

/* What the state after a crash may be: the first so many batches, at least, and at most. */
struct rig_bounds {
    size_t synced;  /* acknowledged to survive power loss */
    size_t written; /* acknowledged to survive the process */
    size_t issued;  /* begun */
    bool opened;    /* the store was opened, so it must be there */
    int tables;     /* so many were made */
    struct rig_name names[RIG_NAMES];
    unsigned suspects; /* files that are remembered */
};

/* The calls of the engine that a rig makes. */
enum rig_call {
    RIG_STORAGE_OPEN = 1,
    RIG_STORAGE_CLOSE, /* of a storage that no store took */
    RIG_OPEN,
    RIG_CLOSE,
    RIG_TABLE_OPEN,
    RIG_WRITE, /* with the making of its batch */
    RIG_READ,  /* scans and point reads of everything */
    RIG_SYNC,
    RIG_FLUSH,
    RIG_COMPACT,
    RIG_MERGE,
    RIG_RECLAIM,
    RIG_NAME_CREATE,
    RIG_NAME_DROP,
    RIG_CALL_COUNT,
};

/* Told before and after each of them. Members may be NULL. */
struct rig_observer {
    void (*enter)(void *arg, enum rig_call call);
    void (*leave)(void *arg, enum rig_call call, int result);
    void *arg;
};

struct rig {
    struct sim_fs *sim;
    struct kv_store *store;
    struct kv_table *tables[RIG_TABLES];
    struct rig_model model;
    struct rig_bounds bounds;
    struct rng rng;
    struct rig_observer observer;
    uint64_t warnings;     /* that the store gave */
    bool blobs;            /* large values go to blobs, from the next opening on */
    bool held_back;        /* rows may be in the process's memory only */
    struct kv_batch *late; /* filled with a part, and not written yet */
    struct rig_batch late_change;
    char message[256]; /* the first error that the store told of */
};

void rig_init(struct rig *rig, struct sim_fs *take_sim, uint64_t seed);
/* The store must be closed. */
void rig_finish(struct rig *rig);

/* Open the store; with `create` it may be missing. The tables that should be there are opened too:
 * -ENOENT if one is missing, `tables` counts them. */
KV_MUST_CHECK int rig_open(struct rig *rig, bool create, int tables);
/* The tables that are missing. */
KV_MUST_CHECK int rig_make_tables(struct rig *rig);
/* Close; after success everything is durable. */
KV_MUST_CHECK int rig_close(struct rig *rig);
/* Let go of the store as a process does that dies: the file system stays as it is. */
void rig_abandon(struct rig *rig);

/* Read every row of every table in every way there is. Errors: -KV_EDAMAGED the reads contradict
 * each other, or a value is not one that was ever written. */
KV_MUST_CHECK int rig_read(struct rig *rig, struct rig_rows *ret_rows);
/* The same at named snapshot `i`. -ENOENT: it is not there. */
KV_MUST_CHECK int rig_read_name(struct rig *rig, int i, struct rig_rows *ret_rows);
const char *rig_call_name(enum rig_call call);
uint64_t rig_digest(const struct rig_rows *rows);
void rig_apply(struct rig_rows *rows, const struct rig_batch *batch);
/* Rows after the first `count` batches. */
void rig_rows_at(const struct rig_model *model, size_t count, struct rig_rows *ret_rows);

void rig_draw_batch(struct rig *rig, int tables, struct rig_batch *ret_batch);
/* Write a batch without noting it in the model. */
KV_MUST_CHECK int rig_write(struct rig *rig, const struct rig_batch *batch,
                            enum kv_durability durability);

/* A batch that puts the value of some row under another key as well: large ones share their bytes.
 * False: there is no row, or it is not sure which there are. */
bool rig_draw_part(struct rig *rig, struct rig_batch *ret_batch);

/* The next step of a script: its letter, 0 at the end, and how often it is to be done. */
char rig_next_step(const char **script, unsigned *ret_count);
/* Do one step once, with model and bounds. -KV_EDAMAGED also: step g read other rows than those
 * written; batches whose writing failed may be there or not, and are not judged. */
KV_MUST_CHECK int rig_step(struct rig *rig, char step);

#endif
