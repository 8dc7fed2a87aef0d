/* SPDX-License-Identifier: Apache-2.0 */
/* What rows of a view point at in some blobs, page by page. */
#ifndef KVCORE_DB_RECLAIM_WALK_H
#define KVCORE_DB_RECLAIM_WALK_H

#include "kvcore/db/reclaim_choice.h"

/* A blob of a pass. */
struct candidate {
    struct blob_info info;
    uint64_t referenced;  /* by tables of the view */
    struct page_map live; /* pages that some row points at */
    uint64_t rows;        /* that point at it */
    uint64_t table_bytes; /* stored bytes that those in tables point at */
    bool out;             /* of the pass: what points at it is not known */
    bool touched;         /* a batch with parts of it came after the view; state mutex */
    bool unfinished;      /* there was no time for all of its dead pages */
};

struct candidates {
    struct candidate *items; /* ascending by number */
    size_t count;
};

/* The blobs of these numbers (ascending) that the version has. */
KV_MUST_CHECK int candidates_create(const struct version *version, const uint64_t *numbers,
                                    size_t count, struct candidates *ret_candidates);
void candidates_finish(struct candidates *candidates);
/* Take from the version what its tables refer to. */
void candidates_look(const struct candidates *candidates, const struct version *version);
/* The candidate of this number, or NULL. */
struct candidate *candidates_find(const struct candidates *candidates, uint64_t number);

/* Mark what all rows, of all versions, in the view's memtables and tables point at. Tables that
 * cannot be read take the blobs they name out of the pass; so does a sum over rows of tables that
 * is not what the manifest says (told to the sink): a row that was missed would lose its bytes.
 * Errors: -ENOMEM, -ECANCELED the store is closing. */
KV_MUST_CHECK int reclaim_walk(struct kv_store *store, const struct view *view,
                               const struct candidates *candidates);

#endif
