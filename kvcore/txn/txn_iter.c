/* SPDX-License-Identifier: Apache-2.0 */
/* Iterators of a transaction: the state it reads, without what it deleted by range, merged with its
 * own rows.
 *
 * `base` walks the state it reads. Own rows are looked up from the present key each time, so that
 * writing beneath an iterator does not disturb it. For a step forward `base` has to stand on its
 * first row behind the present key, for one backward on its last row before it; `base_ahead` says
 * which of the two it does at the moment (as in RocksDB's BaseDeltaIterator). What is undone by a
 * savepoint may uncover rows that base has passed already: then it is positioned anew. */
#include "kvcore/txn/txn.h"

#include <stdlib.h>

struct kv_txn_iter {
    struct kv_txn *txn;
    struct kv_table *table;
    struct kv_iter *base;
    struct kv_buf lower, upper; /* empty: none */
    bool base_ahead;            /* base went forward */
    uint64_t undos;             /* of the transaction, when base was positioned */
    bool valid;
    int error;
    struct kv_buf key;     /* where it stands */
    struct row_entry *own; /* the row that is shown, or NULL: base's */
    struct kv_buf from;    /* a key to seek, or where a step began */
};

int kv_txn_iter_create(struct kv_txn *txn, struct kv_table *table,
                       const struct kv_txn_iter_options *options, struct kv_txn_iter **ret_iter)
{
    static const struct kv_txn_iter_options defaults = {0};
    struct kv_iter_options base = {0};
    struct kv_txn_iter *it = NULL;
    int r = txn_check(txn, table);

    if (r < 0) {
        return r;
    }
    txn_pin(txn);
    it = calloc(1, sizeof *it);
    if (it == NULL) {
        return -ENOMEM;
    }
    options = options != NULL ? options : &defaults;
    it->txn = txn;
    it->table = table;
    r = kv_buf_assign(&it->lower, options->lower);
    r = r < 0 ? r : kv_buf_assign(&it->upper, options->upper);
    if (r == 0) {
        base.snapshot = txn->snapshot;
        base.lower = kv_buf_slice(&it->lower);
        base.upper = kv_buf_slice(&it->upper);
        base.keep_cache = options->keep_cache;
        r = kv_iter_create(table, &base, &it->base);
    }
    txn->iter_count++;
    if (r < 0) {
        kv_txn_iter_destroy(it);
        return r;
    }
    *ret_iter = it;
    return 0;
}

void kv_txn_iter_destroy(struct kv_txn_iter *it)
{
    if (it == NULL) {
        return;
    }
    it->txn->iter_count--;
    kv_iter_destroy(it->base);
    kv_buf_finish(&it->lower);
    kv_buf_finish(&it->upper);
    kv_buf_finish(&it->key);
    kv_buf_finish(&it->from);
    free(it);
}

static void stop(struct kv_txn_iter *it, int error)
{
    it->valid = false;
    it->own = NULL;
    it->error = error;
}

static bool beyond_upper(const struct kv_txn_iter *it, struct kv_slice key)
{
    return it->upper.size > 0 && kv_slice_compare(key, kv_buf_slice(&it->upper)) >= 0;
}

static bool below_lower(const struct kv_txn_iter *it, struct kv_slice key)
{
    return it->lower.size > 0 && kv_slice_compare(key, kv_buf_slice(&it->lower)) < 0;
}

/* ---- what was read ---- */

/* A serializable transaction has read every key from `from` up to `to`, which is one of them where
 * `to_too`. Empty bounds: from the first, up to the last. */
static int note_span(struct kv_txn_iter *it, struct kv_slice from, struct kv_slice to, bool to_too)
{
    struct kv_buf end = {0};
    int r;

    if (!txn_is_serializable(it->txn)) {
        return 0;
    }
    r = kv_buf_assign(&end, to);
    if (r == 0 && to_too) {
        r = kv_buf_append(&end, kv_slice("", 1)); /* the first key behind it */
    }
    /* A span of no keys comes of bounds that let none in. */
    if (r == 0 && (end.size == 0 || kv_slice_compare(from, kv_buf_slice(&end)) < 0)) {
        r = spans_add(&it->txn->read, it->table, from, kv_buf_slice(&end));
    }
    kv_buf_finish(&end);
    return r;
}

static int note_forward(struct kv_txn_iter *it, struct kv_slice from)
{
    return it->valid ? note_span(it, from, kv_buf_slice(&it->key), true)
                     : note_span(it, from, kv_buf_slice(&it->upper), false);
}

static int note_backward(struct kv_txn_iter *it, struct kv_slice to, bool to_too)
{
    return note_span(it, it->valid ? kv_buf_slice(&it->key) : kv_buf_slice(&it->lower), to, to_too);
}

/* ---- the two sides ---- */

/* Base goes on, forward, to its next row that the transaction did not delete by range. */
static void base_settle_forward(struct kv_txn_iter *it)
{
    it->base_ahead = true;
    it->undos = it->txn->undos;
    while (kv_iter_valid(it->base)) {
        const struct span *span = spans_find(&it->txn->deleted, it->table, kv_iter_key(it->base));
        if (span == NULL) {
            return;
        }
        kv_iter_seek(it->base, kv_buf_slice(&span->to));
    }
}

/* Base goes to its last row before the key. */
static void base_seek_before(struct kv_txn_iter *it, struct kv_slice key)
{
    kv_iter_seek_for_prev(it->base, key);
    if (kv_iter_valid(it->base) && kv_slice_equal(kv_iter_key(it->base), key)) {
        kv_iter_prev(it->base);
    }
}

static void base_settle_backward(struct kv_txn_iter *it)
{
    it->base_ahead = false;
    it->undos = it->txn->undos;
    while (kv_iter_valid(it->base)) {
        const struct span *span = spans_find(&it->txn->deleted, it->table, kv_iter_key(it->base));
        if (span == NULL) {
            return;
        }
        base_seek_before(it, kv_buf_slice(&span->from));
    }
}

/* Own rows that are there, from `entry` on; entries that only mark a delete are passed over: they
 * hide base's row of the same key, see base_is_hidden(). */
static struct row_entry *own_forward(const struct kv_txn_iter *it, struct row_entry *entry)
{
    while (entry != NULL && (entry->newest == NULL || entry->newest->is_delete)) {
        entry = rows_seek(&it->txn->rows, it->table, row_entry_key(entry), true);
    }
    return entry != NULL && !beyond_upper(it, row_entry_key(entry)) ? entry : NULL;
}

static struct row_entry *own_backward(const struct kv_txn_iter *it, struct row_entry *entry)
{
    while (entry != NULL && (entry->newest == NULL || entry->newest->is_delete)) {
        entry = rows_seek_back(&it->txn->rows, it->table, row_entry_key(entry), true);
    }
    return entry != NULL && !below_lower(it, row_entry_key(entry)) ? entry : NULL;
}

/* Did the transaction itself write the key that base stands on? */
static bool base_is_hidden(const struct kv_txn_iter *it)
{
    const struct row_entry *entry;
    if (!kv_iter_valid(it->base)) {
        return false;
    }
    entry = rows_find(&it->txn->rows, it->table, kv_iter_key(it->base));
    return entry != NULL && entry->newest != NULL;
}

/* Show the nearer of base's row and the own one. */
static void show(struct kv_txn_iter *it, struct row_entry *own)
{
    bool base = kv_iter_valid(it->base);
    struct kv_slice key;
    int r;

    if (!base && kv_iter_error(it->base) < 0) {
        stop(it, kv_iter_error(it->base));
        return;
    }
    if (base && own != NULL) {
        int order = kv_slice_compare(kv_iter_key(it->base), row_entry_key(own));
        own = (it->base_ahead ? order < 0 : order > 0) ? NULL : own;
    }
    if (!base && own == NULL) {
        stop(it, 0);
        return;
    }
    key = own != NULL ? row_entry_key(own) : kv_iter_key(it->base);
    r = kv_buf_assign(&it->key, key);
    if (r < 0) {
        stop(it, r);
        return;
    }
    it->valid = true;
    it->error = 0;
    it->own = own;
}

/* Base stands somewhere at or behind where the search goes on: find the first row to show. */
static void find_forward(struct kv_txn_iter *it, struct row_entry *own)
{
    base_settle_forward(it);
    while (base_is_hidden(it)) {
        kv_iter_next(it->base);
        base_settle_forward(it);
    }
    show(it, own_forward(it, own));
}

static void find_backward(struct kv_txn_iter *it, struct row_entry *own)
{
    base_settle_backward(it);
    while (base_is_hidden(it)) {
        kv_iter_prev(it->base);
        base_settle_backward(it);
    }
    show(it, own_backward(it, own));
}

/* ---- positioning ---- */

static void finish_move(struct kv_txn_iter *it, int noted)
{
    if (it->error == 0 && noted < 0) {
        stop(it, noted);
    }
}

/* Is there something to move in? Also takes a copy of the key, which may lie anywhere. */
static bool begin_move(struct kv_txn_iter *it, struct kv_slice key)
{
    int r = it->txn->failed;
    r = r < 0 ? r : kv_buf_assign(&it->from, key);
    it->error = 0;
    if (r < 0) {
        stop(it, r);
    }
    return r == 0;
}

void kv_txn_iter_seek(struct kv_txn_iter *it, struct kv_slice key)
{
    if (!begin_move(it, below_lower(it, key) ? kv_buf_slice(&it->lower) : key)) {
        return;
    }
    key = kv_buf_slice(&it->from);
    kv_iter_seek(it->base, key);
    find_forward(it, rows_seek(&it->txn->rows, it->table, key, false));
    finish_move(it, note_forward(it, key));
}

void kv_txn_iter_seek_first(struct kv_txn_iter *it)
{
    if (begin_move(it, kv_buf_slice(&it->lower))) {
        struct kv_slice key = kv_buf_slice(&it->from);
        kv_iter_seek_first(it->base);
        find_forward(it, rows_seek(&it->txn->rows, it->table, key, false));
        finish_move(it, note_forward(it, key));
    }
}

void kv_txn_iter_seek_for_prev(struct kv_txn_iter *it, struct kv_slice key)
{
    if (beyond_upper(it, key)) {
        kv_txn_iter_seek_last(it);
        return;
    }
    if (begin_move(it, key)) {
        key = kv_buf_slice(&it->from);
        kv_iter_seek_for_prev(it->base, key);
        find_backward(it, rows_seek_back(&it->txn->rows, it->table, key, false));
        finish_move(it, note_backward(it, key, true));
    }
}

void kv_txn_iter_seek_last(struct kv_txn_iter *it)
{
    if (begin_move(it, kv_buf_slice(&it->upper))) {
        struct kv_slice key = kv_buf_slice(&it->from);
        kv_iter_seek_last(it->base);
        find_backward(it, key.size > 0 ? rows_seek_back(&it->txn->rows, it->table, key, true)
                                       : rows_last(&it->txn->rows, it->table));
        finish_move(it, note_backward(it, key, false));
    }
}

void kv_txn_iter_next(struct kv_txn_iter *it)
{
    struct kv_slice key;

    if (!begin_move(it, kv_buf_slice(&it->key))) {
        return;
    }
    key = kv_buf_slice(&it->from);
    if (!it->base_ahead || it->undos != it->txn->undos) {
        kv_iter_seek(it->base, key);
    }
    if (kv_iter_valid(it->base) && kv_slice_compare(kv_iter_key(it->base), key) <= 0) {
        kv_iter_next(it->base);
    }
    find_forward(it, rows_seek(&it->txn->rows, it->table, key, true));
    finish_move(it, note_forward(it, key));
}

void kv_txn_iter_prev(struct kv_txn_iter *it)
{
    struct kv_slice key;

    if (!begin_move(it, kv_buf_slice(&it->key))) {
        return;
    }
    key = kv_buf_slice(&it->from);
    if (it->base_ahead || it->undos != it->txn->undos) {
        kv_iter_seek_for_prev(it->base, key);
    }
    if (kv_iter_valid(it->base) && kv_slice_compare(kv_iter_key(it->base), key) >= 0) {
        kv_iter_prev(it->base);
    }
    find_backward(it, rows_seek_back(&it->txn->rows, it->table, key, true));
    finish_move(it, note_backward(it, key, true));
}

/* ---- what it shows ---- */

bool kv_txn_iter_valid(const struct kv_txn_iter *it)
{
    return it->valid;
}

int kv_txn_iter_error(const struct kv_txn_iter *it)
{
    return it->error;
}

struct kv_slice kv_txn_iter_key(const struct kv_txn_iter *it)
{
    return kv_buf_slice(&it->key);
}

int kv_txn_iter_value(struct kv_txn_iter *it, struct kv_slice *ret_value)
{
    if (it->own != NULL) {
        if (it->own->newest == NULL || it->own->newest->is_delete) {
            return -ENOENT; /* it was deleted, or the write undone, beneath the iterator */
        }
        *ret_value = row_version_value(it->own->newest);
        return 0;
    }
    return kv_iter_value(it->base, ret_value);
}
