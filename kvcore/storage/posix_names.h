/* SPDX-License-Identifier: Apache-2.0 */
/* Names in a store directory, see docs/format.md, "The store directory". */
#ifndef KVCORE_STORAGE_POSIX_NAMES_H
#define KVCORE_STORAGE_POSIX_NAMES_H

#include <kv/storage.h>

enum { POSIX_NAME_SIZE = 48 }; /* room for any name below, with its NUL */

#define POSIX_ROOT_NAME     "ROOT"
#define POSIX_ROOT_TMP_NAME "ROOT.tmp"
#define POSIX_LOCK_NAME     "LOCK"
#define POSIX_RESERVE_NAME  "RESERVE"

/* What a name in the directory stands for. */
enum posix_name_kind {
    POSIX_NAME_FOREIGN = 1, /* not a store's */
    POSIX_NAME_FIXED,       /* ROOT, LOCK, control and the like */
    POSIX_NAME_FILE,        /* a log or a finished object */
    POSIX_NAME_LEFTOVER,    /* something that was being made */
};

/* "00000042.table" */
void posix_name_format(struct kv_file_id id, char to[POSIX_NAME_SIZE]);
/* "00000042.table.tmp" */
void posix_name_format_tmp(struct kv_file_id id, char to[POSIX_NAME_SIZE]);
/* `ret_id` is written for POSIX_NAME_FILE only. Names are taken only as the functions above write
 * them: one file has one name. */
enum posix_name_kind posix_name_parse(const char *name, struct kv_file_id *ret_id);

#endif
