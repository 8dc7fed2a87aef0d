/* SPDX-License-Identifier: Apache-2.0 */
/* The blobs of a version, and how much of each its tables refer to.
 *
 * Live bytes are never counted up and down by themselves: they are the sum over the tables of the
 * version, of what the manifest says of each. So they cannot drift. What rows in memory refer to is
 * not among them.
 *
 * Invariant: every blob that a table of the version refers to is among the version's blobs. */
#ifndef KVCORE_DB_VERSION_BLOBS_H
#define KVCORE_DB_VERSION_BLOBS_H

#include <kv/slice.h>

struct edit;
struct version;

/* A sealed blob as the manifest describes it. */
struct blob_info {
    uint64_t number;
    uint64_t file_size;
    uint64_t data_bytes;    /* stored bytes of its values, without gaps and directory */
    uint64_t punched_bytes; /* of the file, given back to the device */
};

struct version_blob {
    struct blob_info info;
    uint64_t
        referenced; /* stored bytes that rows of tables refer to; shared ones count each time */
};

/* Immutable; shared by the versions between two edits that concern blobs. */
struct version_blobs {
    _Atomic uint32_t refs;
    size_t count;
    struct version_blob items[]; /* ascending by number */
};

struct version_blobs *version_blobs_ref(struct version_blobs *blobs);
void version_blobs_unref(struct version_blobs *blobs); /* both accept NULL: no blobs */
/* The blobs of `base` after the edit, with a reference. Errors: -KV_EDAMAGED it does not fit or the
 * invariant would break; -ENOMEM. */
KV_MUST_CHECK int version_blobs_apply(const struct version *base, const struct edit *edit,
                                      struct version_blobs **ret_blobs);
/* The blob, valid as long as the version; NULL: none of that number. */
const struct version_blob *version_find_blob(const struct version *version, uint64_t number);
/* What the tables of the version refer to, in all blobs together. */
uint64_t version_blob_live_bytes(const struct version *version);
/* What of the blob takes room and no table refers to. */
uint64_t version_blob_garbage(const struct version_blob *blob);

#endif
