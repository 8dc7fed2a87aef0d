/* SPDX-License-Identifier: Apache-2.0 */
/* Appends to blobs that do not wait: what is appended is copied, and a thread begins its writes,
 * many before the first is acknowledged. See pooled_flight.c.
 *
 * Invariants
 *  1. Writes to one piece are begun in the order of their bytes, and none to a piece before all of
 *     the piece before it is acknowledged: so a crash leaves no piece short but the last.
 *  2. What is not acknowledged is in memory: reads find it there.
 *  3. A write that found no room is kept, and nothing is begun behind it until it, tried alone, has
 *     found some: neither of its blob nor, unless that stands alone, of the others that do not. Any
 *     other failure ends the lease.
 *  4. At most POOLED_FLIGHT_MAX bytes are in memory, of all blobs; and once more, as librados has
 *     copies of what is on its way. */
#ifndef KVCORE_STORAGE_POOLED_FLIGHT_H
#define KVCORE_STORAGE_POOLED_FLIGHT_H

#include <sys/uio.h>

#include <kv/storage.h>

#include "kvcore/util/thread.h"

struct pooled_file;

enum {
    POOLED_FLIGHT_BYTES = 4 << 20, /* of one write */
    POOLED_FLIGHT_MAX = 16 << 20,
    POOLED_FLIGHT_LINGER_MS = 500,
    POOLED_FLIGHT_RETRY_MS = 1000, /* what found no room is tried again */
};

struct pooled_flight;

/* Of blobs that stand still together while one of them finds no room. */
struct pooled_hold {
    unsigned flying; /* of theirs */
    bool refusing;   /* one found no room */
    bool probing;    /* and is being tried again, alone */
    bool try_again;
    uint64_t tries; /* that ended */
};

/* The end of a blob that is appended to. All but the first two: the mutex of the flights. */
struct pooled_stream {
    struct pooled_file *file;
    uint64_t piece_bytes;
    uint64_t end;                       /* appended; moved by the appending thread */
    struct pooled_flight *first, *last; /* not acknowledged, ascending */
    unsigned flying;                    /* of these, begun */
    uint64_t hurried;                   /* somebody waits for what lies before */
    bool filling;                       /* there is more to come at once */
    uint64_t dropped_at;                /* from there on some of it will never be there */
    bool removed;                       /* the file: what finds no room is needed by nobody */
    struct pooled_hold own;             /* of one that stands alone */
    struct pooled_hold *hold;           /* that, or the one of the flights */
    struct pooled_stream *next;         /* of all */
};

struct pooled_flights {
    struct mutex mu;
    struct condvar work; /* of the thread */
    struct condvar done; /* of those who wait for room, or for what they appended */
    struct thread thread;
    bool started GUARDED_BY(mu); /* to be joined */
    bool running GUARDED_BY(mu);
    bool ending GUARDED_BY(mu);
    struct pooled_stream *streams GUARDED_BY(mu);
    struct pooled_flight *first GUARDED_BY(mu); /* of all streams, in order of their first bytes */
    struct pooled_flight *last GUARDED_BY(mu);
    struct pooled_flight *spare GUARDED_BY(mu); /* their buffers are used again */
    size_t flight_bytes GUARDED_BY(mu);         /* POOLED_FLIGHT_BYTES, less in tests */
    unsigned count GUARDED_BY(mu);              /* with spare ones */
    size_t bytes GUARDED_BY(mu);                /* not acknowledged */
    size_t limit GUARDED_BY(mu);                /* of these */
    uint64_t appended GUARDED_BY(mu);           /* bytes that ever were */
    unsigned flying GUARDED_BY(mu);
    unsigned most GUARDED_BY(mu);           /* that ever flew at once; for tests */
    struct pooled_hold hold GUARDED_BY(mu); /* of blobs that records may point to */
    bool lost GUARDED_BY(mu);               /* the lease: nothing is begun any more */
};

void pooled_flights_init(struct pooled_flights *flights);
/* So much is kept for deletes: a quarter of it at most is in flight, so that it finds room when the
 * pool is full and that is given back. */
void pooled_flights_fit(struct pooled_flights *flights, uint64_t reserve_bytes);
/* One write has so many bytes from now on, and so many more of them may be on their way; for tests,
 * before anything is appended. */
void pooled_flights_cut(struct pooled_flights *flights, size_t flight_bytes);
/* Ends the thread. All streams were finished. */
void pooled_flights_finish(struct pooled_flights *flights);
/* Where appends to all blobs have got to: for pooled_flights_await(). */
uint64_t pooled_flights_mark(struct pooled_flights *flights);
/* Wait until all that was appended before `mark`, to blobs that do not stand alone, is
 * acknowledged, or was dropped with its file. Errors: -ENOSPC there is no room now, in a try that
 * began after the call, and it is tried again; -POOLED_EFENCED. */
KV_MUST_CHECK int pooled_flights_await(struct pooled_flights *flights, uint64_t mark);
/* Wait until all that was appended to a blob is acknowledged, or cannot be now. */
void pooled_flights_settle(struct pooled_flights *flights, struct kv_file_id id);
/* The file was removed: what finds no room for it is dropped. */
void pooled_flights_removed(struct pooled_flights *flights, struct kv_file_id id);
/* How much of a file of `size` bytes is there without a gap. */
uint64_t pooled_flights_whole(struct pooled_flights *flights, struct kv_file_id id, uint64_t size);
/* Of its buffers, and whether there is a thread; for tests. */
size_t pooled_flights_memory(struct pooled_flights *flights, bool *ret_runs);

/* Of a file that is `size` bytes long. Not moved until it is finished. */
void pooled_stream_begin(struct pooled_stream *stream, struct pooled_file *file, uint64_t size);
/* No record of a write-ahead log points to it before it was synced: none waits for it, or for the
 * room that it does not find. Before anything is appended. */
void pooled_stream_stand_alone(struct pooled_stream *stream);
/* Waits for what is in flight; what finds no room now is dropped. Whether all of it is there. */
bool pooled_stream_finish(struct pooled_stream *stream);
/* Waits for room in memory. One thread at a time. 1: nothing was taken, there is no memory for it,
 * and nothing is in flight that could give some back: to be written by the caller, who then calls
 * pooled_stream_wrote(). Errors: -ENOSPC also what was appended before was refused; -EFBIG;
 * -POOLED_EFENCED; those of growing. After an error some of it may be written all the same. */
KV_MUST_CHECK int pooled_stream_append(struct pooled_stream *stream, const struct iovec *parts,
                                       int part_count);
void pooled_stream_wrote(struct pooled_stream *stream, size_t size);
/* Wait until all that is appended now is acknowledged, or was dropped with the file. Errors: those
 * of pooled_flights_await(). */
KV_MUST_CHECK int pooled_stream_sync(struct pooled_stream *stream);
/* What can be read of `size` bytes from `offset` on in one go: true, it was copied to `to`; false,
 * it is in the pool. `ret_size` is how much, 0 only if it was dropped. */
bool pooled_stream_read(struct pooled_stream *stream, uint64_t offset, void *to, size_t size,
                        size_t *ret_size);

#endif
