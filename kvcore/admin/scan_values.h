/* SPDX-License-Identifier: Apache-2.0 */
/* Large values, judged by the rows that point at them. The scan tells by it what is lost, and a
 * repair that writes rows anew by the same words makes *damaged* rows of those: the key stays,
 * reads of it are errors until it is overwritten or deleted, and no older value shows. */
#ifndef KVCORE_ADMIN_SCAN_VALUES_H
#define KVCORE_ADMIN_SCAN_VALUES_H

#include "kvcore/admin/scan.h"
#include "kvcore/blob/blob_pointer.h"
#include "kvcore/table/table_builder.h"

enum value_verdict {
    VALUE_SOUND = 0, /* as far as it was read: its bytes only by a deep check */
    VALUE_SENSELESS, /* the row holds no pointer */
    VALUE_UNNAMED,   /* it points into a blob that is none of the store's */
    VALUE_MISSING,   /* the blob is not there */
    VALUE_BEYOND,    /* it lies behind the end that the blob has */
    VALUE_DAMAGED,   /* its bytes are not those that were written, or cannot be read */
};

/* Keeps the blob of the last value open. One thread; begin with all zeros but `scan`. */
struct value_reader {
    struct scan *scan;
    struct blob_file *blob;
    struct kv_buf stored;
};

/* Judge the value of a row of kind ROW_BLOB. `ret_pointer` is written unless it is senseless.
 * Returns an enum value_verdict, or -ENOMEM, -ECANCELED. */
KV_MUST_CHECK int value_judge(struct value_reader *reader, struct kv_slice value,
                              struct blob_pointer *ret_pointer);
/* A row of kind ROW_BLOB that is about to be added to `builder`: the table names its blob, or,
 * where the value is lost, the row becomes a damaged one. Errors: -ENOMEM, -ECANCELED. */
KV_MUST_CHECK int value_settle(struct value_reader *reader, struct table_builder *builder,
                               struct row *row);
void value_reader_finish(struct value_reader *reader);

#endif
