/* SPDX-License-Identifier: Apache-2.0 */
/* Range deletes on their way through a flush or compaction: which rows and tables they hide for
 * good, and what of them goes to which output.
 *
 * A row is hidden by a newer delete of its key that is visible at the same snapshots. An output
 * holds the deletes of its own key range, from where the output before it was cut to where it is
 * cut itself, so that outputs stay disjoint. A delete is left out once every snapshot sees it and
 * nothing of its range lies deeper. */
#ifndef KVCORE_DB_RANGE_OUTPUT_H
#define KVCORE_DB_RANGE_OUTPUT_H

#include "kvcore/db/version.h"
#include "kvcore/table/table_builder.h"

struct range_output {
    struct range_dels *dels; /* newest of each stripe; NULL: there are none. Owned */
    const uint64_t *snapshots;
    size_t snapshot_count;
    size_t row_index;       /* fragment of the last row asked for */
    size_t steps;           /* fragments stepped to */
    size_t next;            /* first fragment of which something is left to give out */
    struct kv_buf given_to; /* of which this much is given out; empty: nothing */
    /* Given out, but not yet to the builder: what follows may continue it. */
    struct range_delete open; /* without a sequence number */
    const uint64_t *open_sequences;
    size_t open_count; /* 0: nothing is open */
};

/* Fragments of what the builder was given. `snapshots` and the keys must outlive the output. */
KV_MUST_CHECK int range_output_init(struct range_output *ranges,
                                    const struct range_builder *builder, const uint64_t *snapshots,
                                    size_t snapshot_count);
void range_output_finish(struct range_output *ranges); /* all zero is fine */

/* Can nobody see the row any more? Keys ascend between calls. */
bool range_output_hides_row(struct range_output *ranges, struct kv_slice key, uint64_t sequence);
/* Are all rows and range deletes of the file hidden? Then it need not be read. */
bool range_output_hides_file(const struct range_output *ranges, const struct file_meta *file);

/* Step to the next fragment that begins at or before `limit` (empty: anywhere): an output may be
 * cut there. False: there is none. */
bool range_output_step(struct range_output *ranges, struct kv_slice limit,
                       struct kv_slice *ret_from);

/* Where deletes go. */
struct range_sink {
    int (*add)(void *arg, const struct range_delete *range_delete);
    bool (*is_deepest)(void *arg, struct kv_slice from, struct kv_slice to);
    void *arg;
};
/* Give out all that lies before `to` (empty: everything). What may be continued is held back. */
KV_MUST_CHECK int range_output_give(struct range_output *ranges, struct kv_slice to,
                                    const struct range_sink *sink);
/* The output ends: give out what was held back. */
KV_MUST_CHECK int range_output_close(struct range_output *ranges, const struct range_sink *sink);

#endif
