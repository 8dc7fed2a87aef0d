/* SPDX-License-Identifier: Apache-2.0 */
/* What a manifest says: the state of a store that is not open. Built record by record, as opening
 * does, and turned back into the snapshot of a new manifest once repair has changed it. */
#ifndef KVCORE_ADMIN_STATE_H
#define KVCORE_ADMIN_STATE_H

#include "kvcore/db/edit.h"

struct admin_state {
    struct version *version; /* NULL before admin_state_init() */
    bool has_table[KV_TABLE_COUNT_MAX];
    struct edit_table tables[KV_TABLE_COUNT_MAX];
    bool is_dropped[KV_TABLE_COUNT_MAX];
    uint64_t dropped[KV_TABLE_COUNT_MAX]; /* rows in logs up to this number are passed over */
    struct log_end *closed_logs;
    size_t closed_log_count;
    uint64_t next_table, next_blob;
    uint64_t last_sequence; /* in tables */
    uint64_t first_log, released_log;
    struct edit_snapshot *snapshots;
    size_t snapshot_count;
};

KV_MUST_CHECK int admin_state_init(struct admin_state *state);
void admin_state_finish(struct admin_state *state); /* an all-zero one is fine */
/* Errors: -KV_EDAMAGED the edit does not fit; the state is then to be finished. -ENOMEM. */
KV_MUST_CHECK int admin_state_apply(struct admin_state *state, const struct edit *edit);
/* The whole state as one edit, to be finished also after an error. */
KV_MUST_CHECK int admin_state_edit(const struct admin_state *state, struct edit *ret_edit);
/* Name of the keyspace, or NULL. */
const char *admin_state_table_name(const struct admin_state *state, uint32_t table_id);
/* Where the closed log ends, or NULL. */
const struct log_end *admin_state_closed_log(const struct admin_state *state, uint64_t number);

#endif
