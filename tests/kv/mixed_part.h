/* SPDX-License-Identifier: Apache-2.0 */
/* One thread of the mixed load, and its part of the keys, which nobody else writes: so it knows at
 * every moment what its part must show. Of the other parts it knows that each value fits its key,
 * and that what was acknowledged before a snapshot is in it, whole batches only.
 *
 * Besides the rows each part has a stamp in two tables. Every batch writes the next stamp to both:
 * one snapshot never shows two different ones. */
#ifndef TESTS_KV_MIXED_PART_H
#define TESTS_KV_MIXED_PART_H

#include <stdatomic.h>

#include <kv/kv.h>

#include "kvcore/util/rng.h"
#include "kvcore/util/thread.h"
#include "tests/kv/mixed_value.h"

enum {
    MIXED_PARTS_MAX = 16,
    MIXED_KEYS = 20000, /* of a part; the stamp in the table of rows lies behind them */
    MIXED_HELD = 3,     /* snapshots that a part holds at a time */
};

enum mixed_kind {
    MIXED_OVERWRITE,
    MIXED_DELETE,
    MIXED_RANGE_DELETE,
    MIXED_BATCH,
    MIXED_GET,
    MIXED_SCAN_FORWARD,
    MIXED_SCAN_BACKWARD,
    MIXED_SCAN_ALL, /* across the parts */
    MIXED_STAMPS,   /* of all parts, in one snapshot */
    MIXED_SNAPSHOT,
    MIXED_READ_AGAIN, /* in a snapshot that was held, or by its iterator */
    MIXED_SYNC,
    MIXED_FLUSH,
    MIXED_MERGE_ALL,
    MIXED_COPY, /* a checkpoint, opened and compared */
    MIXED_KINDS,
};
const char *mixed_kind_name(enum mixed_kind kind);

struct mixed_store {
    struct kv_store *store;
    struct kv_table *rows, *stamps;
};

/* What a part's keys show: a version of each, 0 for none. */
struct mixed_state {
    uint32_t *versions; /* MIXED_KEYS of them; owned */
    uint64_t stamp;
};

struct mixed_held {
    struct kv_snapshot *snapshot; /* NULL: free */
    struct kv_iter *iter;         /* of the snapshot, over the part */
    struct mixed_state state;     /* at the time */
};

struct mixed;

struct mixed_part {
    struct mixed *mixed;
    const struct mixed_store *open; /* that of all, or for a while a copy */
    uint64_t number;
    struct thread thread;
    struct rng rng;
    struct mixed_state state;
    struct mixed_held held[MIXED_HELD];
    struct mixed_key lower, upper; /* bounds of its rows */
    struct kv_batch *batch;
    struct kv_buf value, scratch;
    uint64_t next_upkeep_ns;
    /* Read by the others: what was begun, and what was acknowledged. */
    _Atomic uint64_t version_begun, stamp_begun, stamp_done;
    /* For the end. */
    uint64_t counts[MIXED_KINDS];
    uint64_t rows_compared;
    uint64_t longest_write_ns, longest_write_at_ns;
    enum mixed_kind longest_write_kind;
    uint64_t longest_upkeep_ns;
};

/* What all share. */
struct mixed {
    uint64_t seed;
    const char *dir; /* of the store; copies are made beside it */
    uint64_t began_ns;
    uint64_t upkeep_ns; /* about so far apart are a part's syncs, flushes and merges by hand */
    unsigned part_count;
    struct mixed_part parts[MIXED_PARTS_MAX];
    struct mixed_store open; /* changes only while all parts are parked */
    _Atomic bool stop;       /* the time is over, or somebody found a difference */
    _Atomic bool park;       /* all are to let go of the store and wait */
    struct mutex mu;
    struct condvar changed;
    unsigned parked GUARDED_BY(&mu);
    bool differs GUARDED_BY(&mu);
};

/* Errors: -ENOMEM. */
KV_MUST_CHECK int mixed_part_init(struct mixed *mixed, unsigned number);
void mixed_part_finish(struct mixed_part *part);
/* A thread's main function; `arg` is the part. Ends when told to stop, or at a difference. */
void *mixed_part_main(void *arg);
/* Compare the whole part with the model, by iterator and by single reads. */
bool mixed_part_check(struct mixed_part *part);

/* ---- mixed_read.c ---- */

/* Say what differs, the first time, and stop everything. Returns false. */
__attribute__((format(printf, 2, 3))) bool mixed_differs(struct mixed_part *part,
                                                         const char *format, ...);
struct mixed_walk {
    const struct mixed_state *state; /* that the rows are compared with */
    uint64_t index;                  /* of the key where it begins */
    uint64_t count;                  /* of rows */
    bool forward;
    bool turns; /* round now and then */
};
bool mixed_walk(struct mixed_part *part, struct kv_iter *iter, struct mixed_walk walk);
/* One key, in a snapshot or (NULL) now. */
bool mixed_get(struct mixed_part *part, const struct kv_snapshot *snapshot,
               const struct mixed_state *state, uint64_t index);
/* An iterator over the part. */
KV_MUST_CHECK int mixed_iter(struct mixed_part *part, const struct kv_snapshot *snapshot,
                             struct kv_iter **ret_iter);
/* The stamps that the parts have been told are written. */
struct mixed_floor {
    uint64_t stamps[MIXED_PARTS_MAX];
};
void mixed_floor_get(struct mixed *mixed, struct mixed_floor *floor);
/* Compare the stamps of all parts at one moment, and walk over rows of all parts at that if asked.
 * What is shown is not older than `floor`. */
bool mixed_look_at_all(struct mixed_part *part, bool scan, const struct mixed_floor *floor);

/* ---- mixed_copy.c ---- */

/* Copy the store while the others go on, and compare the copy with what this part knows of the
 * moment. */
bool mixed_check_copy(struct mixed_part *part);

#endif
