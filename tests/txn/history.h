/* SPDX-License-Identifier: Apache-2.0 */
/* What transactions did, judged after the fact.
 *
 * Each records the sequence number of the state it was given, and every read with its result. Every
 * batch ends with a marker, a row under a key that nobody else uses, which sorts behind all others:
 * so its place in the order of all writes can be found, and where it begins. All versions of all
 * rows are read out of the memtables in the end, so that the state at any moment is known, from the
 * store's own log of what happened and not from what the transactions believe. Then it is told for
 * each transaction:
 *   - its state is one between two batches;
 *   - it read the state it was given, and its own writes (dirty, torn and non-repeatable reads);
 *   - that state was not older than its beginning;
 *   - a key it wrote, and the range it deleted, were still in that state when it committed (lost
 *     updates);
 *   - serializable: so was all that it read (write skew, phantoms);
 *   - all its writes are there if it committed, none if it did not. */
#ifndef TESTS_TXN_HISTORY_H
#define TESTS_TXN_HISTORY_H

#include <kv/txn.h>

enum { HISTORY_KEYS = 24, HISTORY_OPS = 10 };

enum history_kind {
    HISTORY_READ = 1,
    HISTORY_READ_FOR_UPDATE,
    HISTORY_SCAN,
    HISTORY_PUT,
    HISTORY_DELETE,
    HISTORY_DELETE_RANGE,
};

struct history_op {
    enum history_kind kind;
    uint8_t key, end;               /* of a range: exclusive */
    uint64_t value;                 /* read or put; 0: absent */
    uint64_t scanned[HISTORY_KEYS]; /* values of the range, by key */
};

struct history_txn {
    uint64_t number; /* from 1; of nobody else */
    uint64_t begun;  /* newest sequence number visible before it began */
    uint64_t state;  /* sequence number of what it read; UINT64_MAX: it read nothing */
    bool serializable, committed, writes;
    unsigned op_count;
    struct history_op ops[HISTORY_OPS];
};

/* A version of a key; `value` 0: a delete. */
struct history_version {
    uint64_t sequence, value;
};

struct history {
    struct history_version *versions[HISTORY_KEYS]; /* ascending */
    size_t counts[HISTORY_KEYS], capacities[HISTORY_KEYS];
    uint64_t *markers; /* ascending, once sorted; the first: before the first batch */
    size_t marker_count;
    uint64_t *places; /* marker of each batch by its number; 0: it is not there */
    uint64_t number_max;
};

/* Numbers of batches go up to `number_max`; before the first, `sequence` was visible. */
void history_init(struct history *history, uint64_t number_max, uint64_t sequence);
void history_finish(struct history *history);
/* In any order. */
void history_add_version(struct history *history, unsigned key, uint64_t sequence, uint64_t value);
void history_add_marker(struct history *history, uint64_t number, uint64_t sequence);
void history_sort(struct history *history);
/* The first anomaly of the transaction as text, or NULL. */
const char *history_judge(const struct history *history, const struct history_txn *txn);

#endif
