/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/txn/txn.h"

#include <stdlib.h>

#include "kvcore/db/batch.h"
#include "kvcore/db/conflict.h"

/* ---- the batch ---- */

struct fill {
    struct kv_txn *txn;
    struct kv_batch *batch;
    bool puts;
};

static int fill_row(void *arg, struct row_entry *entry)
{
    struct fill *fill = arg;
    const struct row_version *version = entry->newest;

    if (version == NULL) {
        return 0;
    }
    if (!version->is_delete) {
        fill->puts = true;
        return kv_batch_put(fill->batch, entry->table, row_entry_key(entry),
                            row_version_value(version));
    }
    if (spans_find(&fill->txn->deleted, entry->table, row_entry_key(entry)) != NULL) {
        return 0; /* the delete of the range does it */
    }
    return kv_batch_delete(fill->batch, entry->table, row_entry_key(entry));
}

/* Deletes of ranges first: what is left of the rows in them was written later, or deletes. */
static int fill_batch(struct kv_txn *txn, struct kv_batch *batch)
{
    struct fill fill = {.txn = txn, .batch = batch};
    int r = 0;

    for (size_t i = 0; i < txn->deleted.count && r == 0; i++) {
        const struct span *span = &txn->deleted.items[i];
        r = kv_batch_delete_range(batch, span->table, kv_buf_slice(&span->from),
                                  kv_buf_slice(&span->to));
    }
    r = r < 0 ? r : rows_each(&txn->rows, fill_row, &fill);
    if (r == 0 && !fill.puts) {
        kv_batch_use_reserve(batch);
    }
    return r;
}

/* ---- what must not have changed ---- */

enum { CLAIMS_FEW = 4 }; /* so many need no allocation */

struct gather {
    bool serializable;
    struct conflict_claim few[CLAIMS_FEW];
    struct conflict_claim *claims; /* `few`, or allocated */
    size_t count;
};

static int gather_row(void *arg, struct row_entry *entry)
{
    struct gather *gather = arg;
    if (entry->newest != NULL || entry->claimed || (gather->serializable && entry->read)) {
        gather->claims[gather->count++] =
            (struct conflict_claim){.table = entry->table, .key = row_entry_key(entry)};
    }
    return 0;
}

static void gather_spans(struct gather *gather, const struct spans *spans)
{
    for (size_t i = 0; i < spans->count; i++) {
        const struct span *span = &spans->items[i];
        gather->claims[gather->count++] = (struct conflict_claim){.table = span->table,
                                                                  .key = kv_buf_slice(&span->from),
                                                                  .is_range = true,
                                                                  .to = kv_buf_slice(&span->to)};
    }
}

static int gather_claims(const struct kv_txn *txn, struct gather *gather)
{
    size_t max = txn->rows.entry_count + txn->deleted.count + txn->read.count;

    gather->serializable = txn_is_serializable(txn);
    gather->count = 0;
    gather->claims = max <= CLAIMS_FEW ? gather->few : calloc(max, sizeof *gather->claims);
    if (gather->claims == NULL) {
        return -ENOMEM;
    }
    gather_spans(gather, &txn->deleted);
    gather_spans(gather, &txn->read);
    return rows_each(&txn->rows, gather_row, gather);
}

/* ---- both ---- */

/* Without a read there is no moment at which it began to rely on anything: it happens as a whole
 * when it commits. */
static int write_batch(struct kv_txn *txn, struct kv_batch *batch, enum kv_durability durability)
{
    struct gather gather;
    struct conflict_claims claims;
    int r;

    if (txn->snapshot == NULL) {
        return kv_write(txn->manager->store, batch, durability);
    }
    r = gather_claims(txn, &gather);
    if (r == 0) {
        claims = (struct conflict_claims){.items = gather.claims, .count = gather.count};
        r = conflict_write(txn->manager->store, batch, durability, &claims,
                           kv_snapshot_sequence(txn->snapshot));
    }
    if (gather.claims != gather.few) {
        free(gather.claims);
    }
    return r;
}

int txn_write(struct kv_txn *txn, enum kv_durability durability)
{
    struct kv_batch batch = {0};
    int r;

    if (txn->rows.latest == NULL && txn->deleted.count == 0) {
        return 0;
    }
    r = fill_batch(txn, &batch);
    if (r == 0 && !kv_batch_is_empty(&batch)) {
        r = write_batch(txn, &batch, durability);
    }
    batch_finish(&batch);
    return r;
}
