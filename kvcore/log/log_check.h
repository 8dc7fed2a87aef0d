/* SPDX-License-Identifier: Apache-2.0 */
/* Checks a log that somebody may be appending to: every record up to a place that is known to be
 * the end of one. Unlike log_reader it needs no guess where the log ends, goes on behind a record
 * that is damaged, and takes the same little memory however large the records are. */
#ifndef KVCORE_LOG_LOG_CHECK_H
#define KVCORE_LOG_LOG_CHECK_H

#include "kvcore/log/log_format.h"
#include "kvcore/util/message.h"

struct log_check {
    struct kv_storage *storage;
    uint64_t store_seed;
    const struct message_sink *sink;
    /* So many bytes are read next; what is not 0 ends the check and is its result. May be NULL. */
    int (*read_fn)(void *arg, uint64_t bytes);
    void *arg;
};

/* Check the records of log `id` up to `size`, an end of one of them (log_writer_pushed_bytes() of
 * some moment, say). What is damaged goes to the sink, record by record. Behind a header that is
 * none the next one is searched for. Errors: -ENOENT no such log; -KV_EDAMAGED; -EIO, -ENOMEM; what
 * `read_fn` said. */
KV_MUST_CHECK int log_check(const struct log_check *check, struct kv_file_id id, uint64_t size);

#endif
