/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a store, with a sentence for every way it can fail. */
#ifndef KVFS_TOOLS_STORE_OPEN_H
#define KVFS_TOOLS_STORE_OPEN_H

#include "fs/kvfs.h"
#include "tools/log.h"
#include "tools/report.h"

/* How the line of a holder ends that is done with the store and writes out what is in memory. */
#define STORE_HOLDER_CLOSING ", which is closing it"
/* How that of `kvfs serve` ends. */
#define STORE_HOLDER_SERVING ", which serves it"

/* Say to whom an open store was lost, or why, as kvfs_store_lost() has it. May take as long as
 * opening it. Returns -ESHUTDOWN. */
int store_explain_lost(const char *path, int error, struct fault *fault);

/* kvfs_open() with the messages going to `log`. Waits up to a minute for a daemon that is closing
 * the store, as after umount(8). On failure `fault` says what to do. */
KV_MUST_CHECK int store_open(const char *path, const struct kvfs_options *options, struct log *log,
                             struct kvfs **ret_fs, struct fault *fault);

/* The same without waiting and without a sentence: kvfs_open() of any kind of store. */
KV_MUST_CHECK int store_open_plain(const char *path, const struct kvfs_options *options,
                                   struct kvfs **ret_fs);

/* The engine of the store alone, read-only, whatever it holds. */
KV_MUST_CHECK int store_open_engine(const char *path, struct log *log, struct kv_store **ret_engine,
                                    struct fault *fault);

/* What a directory holds, judged by names only. */
enum store_directory {
    STORE_MISSING = 1,
    STORE_NO_DIRECTORY, /* something else stands there */
    STORE_EMPTY,
    STORE_FOREIGN,   /* files that are not a store's */
    STORE_HALF_MADE, /* a store's files, but no root: its making was cut short */
    STORE_COMPLETE,
};
enum store_directory store_directory_judge(const char *path);

/* Remove every file of the store in the directory, root first, so that a crash leaves what is
 * plainly no store. Files that are not a store's stay. Errors: -EBUSY in use; of unlink(2). */
KV_MUST_CHECK int store_directory_erase(const char *path);
/* The same of a store in a pool. */
KV_MUST_CHECK int store_url_erase(const char *url);
/* Whether there is a store, whole or damaged: 1 or 0. Errors: it cannot be told. */
KV_MUST_CHECK int store_url_exists(const char *url);

/* The line of whoever has the store open for writing; empty if nobody has. */
void store_holder(const char *path, char *to, size_t size);
/* Say who has the store that could not be opened. Returns -EBUSY. */
int store_explain_busy(const char *path, struct fault *fault);

#endif
