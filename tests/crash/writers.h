/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that write to one store, and what must be there of it at any later moment.
 *
 * Each writer has keys of its own in two tables and writes numbered batches to them; what batch n
 * of a writer holds depends on nothing but the seed, the writer and n. The first row of a batch
 * says its number, and how many batches of each writer had been acknowledged before it was begun.
 * So whatever state is read, three things are checked:
 *  - the rows of each writer are those after its first so many batches, whole batches only;
 *  - as many of them as were acknowledged, and no more than were begun;
 *  - if a batch is there, so are those of all writers that were acknowledged before it was begun:
 *    the state is a prefix of all operations, not only of each writer's. */
#ifndef TESTS_CRASH_WRITERS_H
#define TESTS_CRASH_WRITERS_H

#include <stdatomic.h>

#include <kv/kv.h>

#include "kvcore/util/rng.h"
#include "kvcore/util/thread.h"
#include "tests/sim/sim_fs.h"

enum { WRITERS = 4, WRITERS_TABLES = 2, WRITERS_KEYS = 24 };

/* A number of batches for each writer. */
struct writers_marks {
    uint32_t count[WRITERS];
};

/* What the state after a crash may be. */
struct writers_bounds {
    struct writers_marks synced;  /* acknowledged to survive power loss */
    struct writers_marks written; /* acknowledged to survive the process */
    struct writers_marks issued;  /* begun */
};

struct writers_store {
    struct kv_store *store;
    struct kv_table *tables[WRITERS_TABLES];
    struct mutex mu;
    char message[256] GUARDED_BY(&mu); /* the first error that the store told of */
    char fault[256];                   /* what writers_check() found wrong */
};

struct writers;

struct writers_thread {
    struct writers *writers;
    unsigned number;
    struct thread thread;
};

struct writers {
    uint64_t seed;
    uint32_t batches; /* each writer makes so many */
    struct writers_store *store;
    _Atomic uint32_t issued[WRITERS], visible[WRITERS], written[WRITERS], synced[WRITERS];
    _Atomic unsigned running; /* writers that are not done */
    _Atomic bool stop;        /* end soon */
    _Atomic bool may_fail;    /* the world was stopped: errors are no fault */
    _Atomic bool faulty;      /* something is wrong; it was printed */
    _Atomic uint64_t snapshots_read;
    struct writers_thread threads[WRITERS + 2]; /* a reader and an upkeeper too */
};

/* Open the store on `sim`, made if missing, small enough that much happens in it. `ret_store` is
 * filled in also after a failure, for its message. */
KV_MUST_CHECK int writers_open(struct sim_fs *sim, bool background,
                               struct writers_store *ret_store);
/* The store is gone also if this fails. */
KV_MUST_CHECK int writers_close(struct writers_store *store);

/* Start all threads on an open store. */
KV_MUST_CHECK int writers_start(struct writers *writers, uint64_t seed, uint32_t batches,
                                struct writers_store *store);
/* Wait until the writers are done, and end the others. */
void writers_join(struct writers *writers);

/* What may be lost at this moment: from any thread, also while the writers run. */
struct writers_bounds writers_bounds(const struct writers *writers);
/* Read everything at `snapshot` (NULL: now) and check it. `lowest` and `highest` bound what may be
 * there. What is wrong is in `fault` of the store; one thread at a time. */
KV_MUST_CHECK bool writers_check(struct writers_store *store, uint64_t seed,
                                 const struct kv_snapshot *snapshot,
                                 const struct writers_marks *lowest,
                                 const struct writers_marks *highest,
                                 struct writers_marks *ret_found);

#endif
