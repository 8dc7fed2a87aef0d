/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/txn/history.h"

#include <stdlib.h>

#include "tests/lib/check_main.h"

void history_init(struct history *history, uint64_t number_max, uint64_t sequence)
{
    *history = (struct history){.number_max = number_max, .marker_count = 1};
    history->places = calloc(number_max + 1, sizeof *history->places);
    history->markers = calloc(number_max + 2, sizeof *history->markers);
    ck_assert(history->places != NULL && history->markers != NULL);
    history->markers[0] = sequence;
}

void history_finish(struct history *history)
{
    for (int i = 0; i < HISTORY_KEYS; i++) {
        free(history->versions[i]);
    }
    free(history->markers);
    free(history->places);
}

void history_add_version(struct history *history, unsigned key, uint64_t sequence, uint64_t value)
{
    if (history->counts[key] == history->capacities[key]) {
        history->capacities[key] = history->capacities[key] * 2 + 64;
        history->versions[key] = reallocarray(history->versions[key], history->capacities[key],
                                              sizeof *history->versions[key]);
        ck_assert_ptr_nonnull(history->versions[key]);
    }
    history->versions[key][history->counts[key]++] =
        (struct history_version){.sequence = sequence, .value = value};
}

void history_add_marker(struct history *history, uint64_t number, uint64_t sequence)
{
    ck_assert(number <= history->number_max && history->places[number] == 0);
    history->places[number] = sequence;
    history->markers[history->marker_count++] = sequence;
}

static int compare_numbers(const void *a, const void *b)
{
    const uint64_t *x = a;
    const uint64_t *y = b;
    return (*x > *y) - (*x < *y);
}

static int compare(const void *a, const void *b)
{
    const struct history_version *x = a;
    const struct history_version *y = b;
    return (x->sequence > y->sequence) - (x->sequence < y->sequence);
}

void history_sort(struct history *history)
{
    qsort(history->markers, history->marker_count, sizeof *history->markers, compare_numbers);
    for (int i = 0; i < HISTORY_KEYS; i++) {
        qsort(history->versions[i], history->counts[i], sizeof *history->versions[i], compare);
    }
}

/* What the key held after the write `sequence`. */
static uint64_t value_at(const struct history *history, unsigned key, uint64_t sequence)
{
    const struct history_version *versions = history->versions[key];
    size_t low = 0;
    size_t high = history->counts[key];
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (versions[middle].sequence <= sequence) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low > 0 ? versions[low - 1].value : 0;
}

/* The last marker up to `sequence`. */
static uint64_t marker_at(const struct history *history, uint64_t sequence)
{
    size_t low = 0;
    size_t high = history->marker_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (history->markers[middle] <= sequence) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low > 0 ? history->markers[low - 1] : 0;
}

/* ---- one transaction ---- */

struct own {
    bool written[HISTORY_KEYS];
    uint64_t value[HISTORY_KEYS];
};

static void own_write(struct own *own, const struct history_op *op)
{
    unsigned end = op->kind == HISTORY_DELETE_RANGE ? op->end : op->key + 1U;
    for (unsigned key = op->key; key < end; key++) {
        own->written[key] = true;
        own->value[key] = op->kind == HISTORY_PUT ? op->value : 0;
    }
}

static bool read_is_right(const struct history *history, const struct history_txn *txn,
                          const struct own *own, unsigned key, uint64_t value)
{
    return value == (own->written[key] ? own->value[key] : value_at(history, key, txn->state));
}

static bool reads_are_right(const struct history *history, const struct history_txn *txn,
                            const struct own *own, const struct history_op *op)
{
    if (op->kind != HISTORY_SCAN) {
        return read_is_right(history, txn, own, op->key, op->value);
    }
    for (unsigned key = op->key; key < op->end; key++) {
        if (!read_is_right(history, txn, own, key, op->scanned[key])) {
            return false;
        }
    }
    return true;
}

/* Is every key of the operation right before the batch what it was in the state that was read? */
static bool is_unchanged(const struct history *history, const struct history_txn *txn,
                         const struct history_op *op, uint64_t before)
{
    bool range = op->kind == HISTORY_SCAN || op->kind == HISTORY_DELETE_RANGE;
    unsigned end = range ? op->end : op->key + 1U;
    for (unsigned key = op->key; key < end; key++) {
        if (value_at(history, key, before) != value_at(history, key, txn->state)) {
            return false;
        }
    }
    return true;
}

static bool writes_are_there(const struct history *history, const struct own *own,
                             uint64_t place_last)
{
    for (unsigned key = 0; key < HISTORY_KEYS; key++) {
        if (own->written[key] && value_at(history, key, place_last) != own->value[key]) {
            return false;
        }
    }
    return true;
}

static bool is_write(const struct history_op *op)
{
    return op->kind == HISTORY_PUT || op->kind == HISTORY_DELETE ||
           op->kind == HISTORY_DELETE_RANGE;
}

static const char *judge_ops(const struct history *history, const struct history_txn *txn,
                             struct own *own)
{
    uint64_t place = history->places[txn->number];
    uint64_t before = place != 0 ? marker_at(history, place - 1) : 0;

    for (unsigned i = 0; i < txn->op_count; i++) {
        const struct history_op *op = &txn->ops[i];
        bool relied_on = is_write(op) || op->kind == HISTORY_READ_FOR_UPDATE || txn->serializable;
        if (is_write(op)) {
            own_write(own, op);
        } else if (!reads_are_right(history, txn, own, op)) {
            return "it read what was not in its state";
        }
        if (txn->state != UINT64_MAX && place != 0 && relied_on &&
            !is_unchanged(history, txn, op, before)) {
            return is_write(op) ? "it overwrote what it had not seen" : "what it read had changed";
        }
    }
    return NULL;
}

const char *history_judge(const struct history *history, const struct history_txn *txn)
{
    struct own own = {0};
    uint64_t place = history->places[txn->number];
    const char *anomaly;

    if (txn->state != UINT64_MAX) {
        if (txn->state < txn->begun) {
            return "it read a state from before its beginning";
        }
        if (marker_at(history, txn->state) != txn->state) {
            return "it read a state within a batch";
        }
    }
    anomaly = judge_ops(history, txn, &own);
    if (anomaly != NULL) {
        return anomaly;
    }
    if (!txn->committed) {
        return place != 0 ? "it was not committed, and is there" : NULL;
    }
    if (place == 0) {
        return txn->writes ? "it was committed, and is not there" : NULL;
    }
    return writes_are_there(history, &own, place) ? NULL : "a write of it is missing";
}
