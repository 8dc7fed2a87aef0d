/* SPDX-License-Identifier: Apache-2.0 */
/* A pool of objects in memory, as kvcore/storage/pool.h wants it, with several clients. What a real
 * cluster does at moments that nobody can choose it does when it is told: a client dies before a
 * call, an answer is lost, a call lands later than its time-out, locks run out, and other clients
 * act in between.
 *
 * Changes that were begun are made and told by a thread of their client, one by one.
 *
 * Concurrency: any thread; a plan is called with no mutex held, from the thread whose call it is,
 * or FAKE_WORKER for a change that was begun: then when it is made. */
#ifndef TESTS_STORAGE_FAKE_CLUSTER_H
#define TESTS_STORAGE_FAKE_CLUSTER_H

#include "kvcore/storage/pool.h"
#include "kvcore/util/rng.h"

struct fake_cluster;

/* The name of the thread. */
#define FAKE_WORKER "fake-begun"

struct fake_cluster *fake_cluster_create(void);
/* All clients must have been closed. */
void fake_cluster_destroy(struct fake_cluster *cluster);

/* What becomes of a call. */
enum fake_fate {
    FAKE_DONE = 0,
    FAKE_UNSENT,  /* the client is dead: this call and all later ones fail, and nothing is done */
    FAKE_UNHEARD, /* done, and the answer is lost: -ETIMEDOUT */
    FAKE_LATE,    /* -ETIMEDOUT, and a change is done when fake_cluster_land() is called */
};

/* Asked before each call of a client; `index` counts them, from 0. */
typedef enum fake_fate fake_plan_fn(void *arg, unsigned index);

/* A client, closed by its storage. `plan` may be NULL: all is done. */
struct pool *fake_cluster_connect(struct fake_cluster *cluster, fake_plan_fn *plan, void *arg);

/* Time passes for every clock. */
void fake_cluster_pass(struct fake_cluster *cluster, uint64_t ms);
/* The late calls arrive, but those of clients that were shut out. */
void fake_cluster_land(struct fake_cluster *cluster);
/* From now on there is room for so many bytes; an object that is made takes one. SIZE_MAX: any. */
void fake_cluster_limit(struct fake_cluster *cluster, size_t bytes);
/* Bytes of all objects. */
size_t fake_cluster_used(struct fake_cluster *cluster);
/* Changes that are begun are made in any order that is allowed from now on, and told in any; NULL:
 * in order. `rng` is used with the cluster's mutex held. */
void fake_cluster_disorder(struct fake_cluster *cluster, struct rng *rng);
/* Objects have no keys, as in a pool with erasure coding. */
void fake_cluster_forbid_keys(struct fake_cluster *cluster);
/* Clients may not shut others out. */
void fake_cluster_forbid_shut_out(struct fake_cluster *cluster);

/* Every object is removed, as by `rados purge`. */
void fake_cluster_purge(struct fake_cluster *cluster);

/* Look into it, past all clients. */
typedef void fake_object_fn(void *arg, const char *name);
void fake_cluster_objects(struct fake_cluster *cluster, fake_object_fn *fn, void *arg);
/* The bytes of an object into `to`, at most `size`; returns how many there are, SIZE_MAX: none. */
size_t fake_cluster_bytes(struct fake_cluster *cluster, const char *name, void *to, size_t size);

#endif
