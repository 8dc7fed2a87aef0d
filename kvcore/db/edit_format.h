/* SPDX-License-Identifier: Apache-2.0 */
/* The fields of an edit; docs/format.md, "Manifest". */
#ifndef KVCORE_DB_EDIT_FORMAT_H
#define KVCORE_DB_EDIT_FORMAT_H

/* On disk, never renumber; odd ones must be understood. */
enum edit_tag {
    EDIT_TAG_NEXT_TABLE = 1,
    EDIT_TAG_LAST_SEQUENCE = 3,
    EDIT_TAG_FIRST_LOG = 5,
    EDIT_TAG_CLOSED_LOG = 7,
    EDIT_TAG_RELEASED_LOG = 9,
    EDIT_TAG_TABLE = 11,
    EDIT_TAG_DROPPED_TABLE = 13,
    EDIT_TAG_ADDED = 15,
    EDIT_TAG_REMOVED = 17,
    EDIT_TAG_SNAPSHOT = 19,
    EDIT_TAG_DROPPED_SNAPSHOT = 21,
    EDIT_TAG_BLOB = 23,
    EDIT_TAG_REMOVED_BLOB = 25,
    EDIT_TAG_NEXT_BLOB = 27,
};

/* Of an added file. */
enum file_tag {
    FILE_TAG_BLOBS = 1,
    FILE_TAG_HIDDEN_BYTES = 2,
    FILE_TAG_RANGE_DELETES = 3,
    FILE_TAG_DELETE_RUN = 4,
    FILE_TAG_RANGE_LIST = 6,
};

/* Of a blob. */
enum blob_tag {
    BLOB_TAG_PUNCHED = 1,
};

enum table_tag {
    TABLE_TAG_PREFIX_SIZE = 1,
    TABLE_TAG_FILTER_BITS = 3,
    TABLE_TAG_BLOCK_BYTES = 5,
    TABLE_TAG_CODEC = 7,
};

#endif
