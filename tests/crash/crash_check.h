/* SPDX-License-Identifier: Apache-2.0 */
/* Judges what a crash left: opens it, compares it with the model, works on with it, and crashes it
 * again, also while it is being opened. */
#ifndef TESTS_CRASH_CRASH_CHECK_H
#define TESTS_CRASH_CRASH_CHECK_H

#include "tests/crash/rig.h"

enum { CRASH_DEPTH_MAX = 3 };

struct crash_counts {
    uint64_t states;                  /* distinct (crash point, damage) */
    uint64_t nested[CRASH_DEPTH_MAX]; /* crashes while opening after a crash, by depth */
    /* Of these, losses of power in an opening after the process had died in the one before: what
     * the first opening left unsynced is lost together with what the second did. */
    uint64_t two_openings;
    uint64_t opens;
    uint64_t lost_changes; /* unsynced changes there were to lose, summed up */
    uint64_t partly;       /* states that were neither all nor nothing of what was unsynced */
    uint64_t calls[SIM_CALL_COUNT][SIM_KIND_COUNT]; /* how often each was crashed at */
};

void crash_counts_add(struct crash_counts *sum, const struct crash_counts *counts);
/* All but `calls`, as two comment lines of TAP. */
void crash_counts_print(const struct crash_counts *counts);

/* A moment at which the power may go. */
struct crash_image {
    struct sim_fs *sim;
    struct rig_bounds bounds;
    uint64_t point; /* version of the file system */
};

struct crash_images {
    struct crash_image *items;
    size_t count;
};

struct crash_check {
    const struct rig_model *model;
    struct crash_counts *counts;
    uint64_t seed;
    struct rng rng; /* of the image under test */
    uint64_t *seen; /* hash set of states */
    size_t seen_count, seen_capacity;
    char where[128]; /* what is being done, for a report */
};

void crash_check_finish(struct crash_check *check);

/* True the first time it is asked about this state. */
KV_MUST_CHECK bool crash_check_is_new(struct crash_check *check, uint64_t state);

/* Keep the present moment of `sim`; it replaces one that looks alike. */
void crash_images_add(struct crash_images *images, const struct sim_fs *sim,
                      const struct rig_bounds *bounds);
void crash_images_clear(struct crash_images *images);

/* Try several kinds of damage on an image. False after printing what is wrong. */
KV_MUST_CHECK bool crash_check_image(struct crash_check *check, const struct crash_image *image,
                                     unsigned random_damages);

#endif
