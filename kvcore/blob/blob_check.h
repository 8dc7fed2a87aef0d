/* SPDX-License-Identifier: Apache-2.0 */
/* Checks what stands behind the values of a sealed blob: directory and footer. */
#ifndef KVCORE_BLOB_BLOB_CHECK_H
#define KVCORE_BLOB_BLOB_CHECK_H

#include "kvcore/blob/blob_directory.h"
#include "kvcore/blob/blob_file.h"

struct blob_check {
    struct blob_store store;
    /* So many bytes are read next; what is not 0 ends the check and is its result. May be NULL. */
    int (*read_fn)(void *arg, uint64_t bytes);
    /* The footer, and then each entry of the directory, as they turn out sound; as above. */
    int (*footer_fn)(void *arg, const struct blob_footer *footer);
    int (*entry_fn)(void *arg, const struct blob_entry *entry);
    void *arg;
};

/* Check the end of blob `number`, whose file has `file_size` bytes, or more. One that found no room
 * for a directory is sound without: it is told from one whose footer is damaged by what is left of
 * that. Errors: -ENOENT no such blob; -KV_EDAMAGED (told to the sink); -EIO, -ENOMEM; what
 * `read_fn` said. */
KV_MUST_CHECK int blob_check_end(const struct blob_check *check, uint64_t number,
                                 uint64_t file_size);

#endif
