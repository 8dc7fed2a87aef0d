/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the records of one log in order and decides, where they stop, what that means:
 *
 *   complete  `expected` was given and the last record ends exactly there with the right chain; or
 *             what follows are zeros, records of another number, or the end of the file, and
 *             nothing contradicts
 *   torn      something else follows, or a later record of this log, but no record claims that this
 *             place was synced: an unsynced tail, lost in a crash. Normal; the log ends here
 *   rotten    a later record of this log has a synced-up-to beyond the bad place, or `expected`
 *             says that more was there: bytes that were durable are damaged. -KV_EDAMAGED
 *
 * The search for later records tests every 8-byte position behind the bad place for a header of
 * this log, once, up to the end of the file. Padding behind a payload is not looked at: it carries
 * nothing. The synced-up-to mark is Pebble's idea (its WAL sync chunks). */
#ifndef KVCORE_LOG_LOG_READER_H
#define KVCORE_LOG_LOG_READER_H

#include "kvcore/log/log_format.h"
#include "kvcore/util/message.h"

struct log_reader;

struct log_record {
    enum log_record_type type;
    uint64_t sequence;
    uint64_t offset;         /* of the record's header */
    struct kv_slice payload; /* valid until the next call */
};

/* Open the log `id`. `expected` NULL: unknown end (the newest log). The head record is read here; a
 * log without a valid one is judged like any bad place: torn at offset 0 (its creation was cut
 * short: it then has no records) or rotten. Errors: -ENOENT no such log; -KV_EDAMAGED. `sink` must
 * outlive it. */
KV_MUST_CHECK int log_reader_open(struct kv_storage *storage, struct kv_file_id id,
                                  uint64_t store_seed, const struct log_end *expected,
                                  const struct message_sink *sink, struct log_reader **ret_reader);
void log_reader_close(struct log_reader *reader); /* accepts NULL */
/* Whether there is a head record; next() returns 0 at once if not. */
bool log_reader_has_head(const struct log_reader *reader);
/* End of the predecessor, from the head record; number 0 if there was none. */
struct log_end log_reader_previous(const struct log_reader *reader);
/* From the head record, which tells this log from any other of its number; 0 without one. */
uint64_t log_reader_salt(const struct log_reader *reader);
/* Returns 1 and a record (never the head), 0 at the end, -KV_EDAMAGED, -EIO, -ENOMEM. */
KV_MUST_CHECK int log_reader_next(struct log_reader *reader, struct log_record *ret_record);
/* After next returned 0: where the log ends, and whether bytes of an unfinished record were left
 * out. */
struct log_end log_reader_end(const struct log_reader *reader);
bool log_reader_was_torn(const struct log_reader *reader);
/* Largest synced-up-to seen. */
uint64_t log_reader_synced_bytes(const struct log_reader *reader);

#endif
