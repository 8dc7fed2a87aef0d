/* SPDX-License-Identifier: Apache-2.0 */
/* Looking into one file of a store: what it says, and whether its checksums are right.
 *
 * A file is told as a sequence of items, each a list of named facts, so that whoever prints them
 * needs to know no layout: names are stable, and facts and kinds of items are only added. What an
 * item of which file holds is docs/operations.md, "Looking into a file".
 *
 * Only that file is checked, and only what it can say of itself: a table's index and properties
 * against its rows, say, but not whether it is the table that the manifest means, and not the
 * values in a blob, whose checksums stand in the rows that point at them. kv_verify() and
 * kv_admin_check() do that.
 *
 * Nothing is written, and no lease is taken: the store may be in use. Memory is bounded by one
 * block or record (of a manifest: by the state that it describes), whatever the file holds. */
#ifndef KV_INSPECT_H
#define KV_INSPECT_H

#include <kv/storage.h>

enum kv_inspect_form {
    KV_INSPECT_NUMBER = 1, /* `number` */
    KV_INSPECT_TEXT,       /* `bytes`: text for people, which may come from the file */
    KV_INSPECT_ID,         /* `bytes`: 16, a UUID */
    KV_INSPECT_KEY,        /* `bytes`: a key */
    KV_INSPECT_VALUE,      /* `bytes`: a value */
};

struct kv_inspect_fact {
    const char *name;
    enum kv_inspect_form form;
    uint64_t number;
    struct kv_slice bytes;
};

enum kv_inspect_level {
    KV_INSPECT_FILE = 1, /* what the file as a whole says of itself */
    KV_INSPECT_SUMMARY,  /* a line of a summary: a level, a snapshot, the blocks that are sound */
    KV_INSPECT_PART,     /* a block or record; if they are wanted */
    KV_INSPECT_ROW,      /* a row, a value of a blob, a change in a manifest; if wanted */
    KV_INSPECT_DAMAGE,   /* "offset" (if known) and "text" */
};

struct kv_inspect_item {
    enum kv_inspect_level level;
    const char *type; /* "table", "block", "put" */
    const struct kv_inspect_fact *facts;
    size_t fact_count;
};

/* Both are called by the thread that called kv_inspect(); what they get lives during the call. Not
 * 0 ends the run. */
typedef int kv_inspect_item_fn(void *arg, const struct kv_inspect_item *item);
typedef int kv_inspect_progress_fn(void *arg, uint64_t bytes, uint64_t bytes_all);

struct kv_inspect_options {
    struct kv_storage *store; /* where root record and manifest are; NULL: where the file is */
    bool parts, rows;         /* tell these, too */
    kv_inspect_item_fn *item_fn;
    kv_inspect_progress_fn *progress_fn; /* NULL: none */
    void *arg;
};

/* "00000012.table" as the store names its files. Errors: -EINVAL. */
KV_PUBLIC KV_MUST_CHECK int kv_inspect_id(const char *name, struct kv_file_id *ret_id);

/* Tell what the file holds. `storage` is a directory. Where the root record is lost, the checksum
 * seed is searched for in the logs. Returns 0 if the file is sound; -KV_EDAMAGED after damage was
 * told, also where the device could not read; -KV_EFORMAT after something that this version does
 * not know; -ENOENT no such file; -ENODATA neither root record nor logs tell the checksum seed;
 * -ESTALE a log was given to another use meanwhile; -ELOOP no regular file of the store's owner;
 * -ECANCELED by a function; -EOPNOTSUPP, -ENOMEM. */
KV_PUBLIC KV_MUST_CHECK int kv_inspect(struct kv_storage *storage, struct kv_file_id id,
                                       const struct kv_inspect_options *options);

#endif
