/* SPDX-License-Identifier: Apache-2.0 */
/* A call of the engine during which a call to the file system failed must return an error, except
 * where it can keep its promise another way. This is the list of these exceptions, each with what
 * is looked at to see that the promise was kept; there are no others. */
#ifndef TESTS_CRASH_FAIL_RULES_H
#define TESTS_CRASH_FAIL_RULES_H

#include "tests/crash/fail_rig.h"

enum { FAIL_STRIKES_MAX = 256 };

/* One call of the engine, and what happened below it. */
struct fail_call {
    const struct rig *rig;
    enum rig_call call;
    bool held_back;           /* there were rows that no log had yet */
    uint64_t warnings_before; /* that the store had given */
    struct sim_event strikes[FAIL_STRIKES_MAX];
    size_t strike_count; /* also of those that the array has no room for */
    /* Number of the last call that went well, by what it was. */
    uint64_t last_good[SIM_CALL_COUNT][SIM_KIND_COUNT];
};

/* The call is over and went well: which of the exceptions was the strike? -1: none, the failure was
 * swallowed. Calls the file system to look. */
KV_MUST_CHECK int fail_rule_find(const struct fail_call *call, const struct sim_event *strike);
/* What an exception is, for a report; NULL: there is none of that number. */
const char *fail_rule_text(int rule);

#endif
