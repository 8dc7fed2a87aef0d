/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests share that let calls below the engine fail, one after the other: the scripts, and
 * what must hold of a store while and after something failed.
 *
 * A batch whose writing failed may be there or not; every other one that was acknowledged is. */
#ifndef TESTS_CRASH_FAIL_RIG_H
#define TESTS_CRASH_FAIL_RIG_H

#include <inttypes.h>

#include "tests/crash/rig.h"

enum { FAIL_SCRIPTS = 6, FAIL_STEPS_SIZE = 256, FAIL_RULES_MAX = 16 };

struct fail_script {
    const char *name;
    char steps[FAIL_STEPS_SIZE];
};

/* Number `i`: from FAIL_SCRIPTS on a random one. */
void fail_script_make(uint64_t seed, size_t i, struct fail_script *ret_script);

/* What a process tells its parent, in shared memory. */
struct fail_result {
    uint64_t calls;    /* that can fail, in the run without a failure */
    uint64_t cases;    /* runs with a failure */
    uint64_t strikes;  /* failures of these */
    uint64_t openings; /* to look what is left */
    uint64_t mended;   /* engine calls that were struck and went well all the same */
    uint64_t exceptions[FAIL_RULES_MAX]; /* failures that were not told, by why not */
    uint64_t current;                    /* case */
    char what[160];                      /* it is */
};

/* One run of a script. */
struct fail_run {
    struct rig rig;
    struct fail_result *result;
};

/* Print what is wrong, and where. Returns false. */
bool fail_say(const struct fail_run *run, const char *what, int error);

/* How many tables the store needs. */
size_t fail_count_tables(struct kv_store *store);

/* The rows are those after some number of batches, at least `lowest`. */
KV_MUST_CHECK bool fail_check_rows(const struct fail_run *run, const struct rig_rows *rows,
                                   size_t lowest, const char *when);
/* With nothing failing any more the file system, which it takes, can be opened and holds the first
 * `lowest` batches at least; the opening removed every file that nobody needs; power loss takes
 * nothing of what was read. Of some, the power goes within that opening too. */
KV_MUST_CHECK bool fail_check_left(struct fail_run *run, struct sim_fs *take_sim, size_t lowest,
                                   const char *when);
/* So it is if the process dies, or the power goes, at this moment. */
KV_MUST_CHECK bool fail_check_now(struct fail_run *run);
/* Close with nothing failing any more, and open again: the same rows, if closing went well. */
KV_MUST_CHECK bool fail_check_close(struct fail_run *run);

#endif
