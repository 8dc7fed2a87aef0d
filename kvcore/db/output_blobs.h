/* SPDX-License-Identifier: Apache-2.0 */
/* Large values on their way through a flush or compaction: where rows come out with values that are
 * large enough, these go to a new blob and the rows keep pointers; values of blobs that are flagged
 * for evacuation are moved there as well.
 *
 * A blob of a few values is not worth a file: of each job the first values stay inline until they
 * sum up to BLOB_MIN_BYTES. A flush knows beforehand how much there is and need not wait. */
#ifndef KVCORE_DB_OUTPUT_BLOBS_H
#define KVCORE_DB_OUTPUT_BLOBS_H

#include "kvcore/blob/blob_writer.h"
#include "kvcore/db/store.h"

/* Of a job; all zero at first, but what the caller sets. */
struct output_blobs {
    bool separate; /* from the first large value on */
    /* Values that cannot be read are the job's failure: their blob may be all there is of them.
     * Else their rows go on as they are. */
    bool must_read;

    struct blob_writer *writer; /* of the blob being filled */
    struct blob_info *done;     /* sealed ones */
    size_t done_count;
    uint64_t inline_bytes; /* large values left in their rows so far */
    uint64_t relocated_bytes;
    uint64_t bytes_written;       /* of sealed blobs */
    struct kv_buf value, pointer; /* what the row handed out last points to */
};

/* The row as it is to be stored, valid until the next call. */
KV_MUST_CHECK int output_blobs_row(struct kv_store *store, struct output_blobs *blobs,
                                   const struct kv_table *table, const struct row *row,
                                   struct row *ret_row);
/* Seal the last blob and add all to the edit. */
KV_MUST_CHECK int output_blobs_finish(struct kv_store *store, struct output_blobs *blobs,
                                      struct edit *edit);
/* The job failed: remove its blobs. Before output_blobs_destroy(). */
void output_blobs_remove(struct kv_store *store, struct output_blobs *blobs);
void output_blobs_destroy(struct output_blobs *blobs);
/* So many bytes of large values are worth a blob of their own. */
uint64_t output_blobs_min_bytes(const struct kv_store *store);

#endif
