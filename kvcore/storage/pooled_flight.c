/* SPDX-License-Identifier: Apache-2.0 */
/* What is appended to a blob is copied into buffers of up to 4 MiB, the *flights*. A thread
 * begins to write each of them as soon as it is full, or nothing else of its blob is on its way, or
 * somebody waits for it; and sees what came of it. Growing a file takes two round trips, which the
 * appending thread waits for while those before go on.
 *
 * A server does not overlap writes that compare the epoch with each other, if they are to one
 * object. So a few large ones are as quick as it gets: the next is there when one is done.
 *
 * Nobody but this file looks at what is in flight, except two: who reads the blob, and the sender
 * of the write-ahead log (pooled_send.c), which sends no record before all that was appended to
 * blobs before it is there.
 *
 * A pool may refuse a write for want of room and take the next one, for it is cleaned up by others.
 * That leaves a gap in the piece, of zeros, until the refused one finds room; if it never does,
 * since the writer dies, what lies there is pointed to by nobody. */
#include "kvcore/storage/pooled_flight.h"

#include <assert.h>
#include <stdlib.h>

#include "kvcore/storage/pooled_store.h"
#include "kvcore/util/clock.h"

enum {
    RESERVE_SHARE = 4,
    COPY_BYTES = 256 << 10, /* at a time: others want the mutex, too */
};

static const uint64_t linger_ns = (uint64_t)POOLED_FLIGHT_LINGER_MS * 1000000;
static const uint64_t retry_ns = (uint64_t)POOLED_FLIGHT_RETRY_MS * 1000000;

enum state {
    GATHERS = 1, /* is appended to, or waits for its turn */
    FLIES,
    LANDED, /* the thread has not seen it yet */
    REFUSED,
    DEAD, /* the lease is lost */
};

/* One write. */
struct pooled_flight {
    struct pooled_stream *stream;
    enum state state;
    int result;        /* once landed */
    uint64_t order;    /* of its first byte among all that was appended */
    uint64_t offset;   /* in the file */
    size_t size, room; /* filled, and at most; it ends with a piece at the latest */
    uint8_t *bytes;    /* of the size of a flight */
    struct pooled_flight *next_of_stream;
    struct pooled_flight *next, *before; /* of all; `next` also of spare ones */
};

void pooled_flights_init(struct pooled_flights *flights)
{
    flights->limit = POOLED_FLIGHT_MAX;
    flights->flight_bytes = POOLED_FLIGHT_BYTES;
    mutex_init(&flights->mu, LOCK_RANK_STORAGE, "flights to RADOS");
    condvar_init(&flights->work);
    condvar_init(&flights->done);
}

static struct pooled_flights *flights_of(const struct pooled_stream *stream)
{
    return &stream->file->storage->flights;
}

/* ---- flights ----------------------------------------------------------------------------------
 */

static void free_spare(struct pooled_flights *flights) REQUIRES(&flights->mu)
{
    while (flights->spare != NULL) {
        struct pooled_flight *flight = flights->spare;
        flights->spare = flight->next;
        flights->count--;
        free(flight->bytes);
        free(flight);
    }
}

/* One that is in no list; NULL: there are as many as there may be, or no memory. */
static struct pooled_flight *take_flight(struct pooled_flights *flights) REQUIRES(&flights->mu)
{
    struct pooled_flight *flight = flights->spare;

    if (flight != NULL) {
        flights->spare = flight->next;
        return flight;
    }
    if ((flights->count + 1) * flights->flight_bytes > POOLED_FLIGHT_MAX) {
        return NULL;
    }
    flight = calloc(1, sizeof *flight);
    uint8_t *bytes = malloc(flights->flight_bytes);
    if (flight == NULL || bytes == NULL) {
        free(flight);
        free(bytes);
        return NULL;
    }
    flight->bytes = bytes;
    flights->count++;
    return flight;
}

/* An empty one behind all that was appended to the stream. */
static void enlist(struct pooled_flights *flights, struct pooled_flight *flight,
                   struct pooled_stream *stream, uint64_t piece_end) REQUIRES(&flights->mu)
{
    uint64_t room = piece_end - stream->end;

    *flight = (struct pooled_flight){
        .stream = stream,
        .state = GATHERS,
        .order = flights->appended,
        .offset = stream->end,
        .room = room < flights->flight_bytes ? (size_t)room : flights->flight_bytes,
        .bytes = flight->bytes,
        .before = flights->last,
    };
    *(flights->last != NULL ? &flights->last->next : &flights->first) = flight;
    flights->last = flight;
    *(stream->last != NULL ? &stream->last->next_of_stream : &stream->first) = flight;
    stream->last = flight;
}

/* It is there, or never will be. */
static void release(struct pooled_flights *flights, struct pooled_flight *flight)
    REQUIRES(&flights->mu)
{
    struct pooled_stream *stream = flight->stream;
    struct pooled_flight *before = NULL;

    *(flight->before != NULL ? &flight->before->next : &flights->first) = flight->next;
    *(flight->next != NULL ? &flight->next->before : &flights->last) = flight->before;
    for (struct pooled_flight *at = stream->first; at != flight; at = at->next_of_stream) {
        before = at;
    }
    *(before != NULL ? &before->next_of_stream : &stream->first) = flight->next_of_stream;
    stream->last = stream->last == flight ? before : stream->last;
    flights->bytes -= flight->size;
    flight->next = flights->spare;
    flights->spare = flight;
}

/* Whether one that found no room is still kept, or on its way again. */
static void look_for_refused(struct pooled_flights *flights, struct pooled_hold *hold)
    REQUIRES(&flights->mu)
{
    hold->refusing = hold->probing;
    for (const struct pooled_flight *at = flights->first; at != NULL; at = at->next) {
        hold->refusing = hold->refusing || (at->state == REFUSED && at->stream->hold == hold);
    }
}

/* What is neither there nor on its way never will be. */
static void drop(struct pooled_flights *flights, struct pooled_stream *stream)
    REQUIRES(&flights->mu)
{
    struct pooled_flight *next = NULL;

    for (struct pooled_flight *at = stream->first; at != NULL; at = next) {
        next = at->next_of_stream;
        if (at->state == FLIES || at->state == LANDED) {
            continue;
        }
        if (at->offset < stream->dropped_at) {
            stream->dropped_at = at->offset;
        }
        release(flights, at);
    }
    look_for_refused(flights, stream->hold);
    condvar_signal(&flights->work);
    condvar_broadcast(&flights->done);
}

/* ---- the thread -------------------------------------------------------------------------------
 */

static bool is_complete(const struct pooled_flight *flight)
{
    const struct pooled_stream *stream = flight->stream;
    return flight->size == flight->room || flight->next_of_stream != NULL ||
           (!stream->filling && (stream->flying == 0 || flight->offset < stream->hurried));
}

/* Whether all of the piece before its own is there. */
static bool is_in_turn(const struct pooled_flight *flight)
{
    uint64_t piece_bytes = flight->stream->piece_bytes;
    return flight->offset / piece_bytes == flight->stream->first->offset / piece_bytes;
}

static bool may_begin(const struct pooled_flight *flight)
{
    const struct pooled_hold *hold = flight->stream->hold;

    if (hold->refusing) {
        return flight->state == REFUSED && hold->try_again && hold->flying == 0;
    }
    return flight->state == GATHERS && flight->size > 0 && is_complete(flight) &&
           is_in_turn(flight);
}

static struct pooled_flight *find_state(struct pooled_flights *flights, enum state state)
    REQUIRES(&flights->mu)
{
    struct pooled_flight *at = flights->first;
    while (at != NULL && at->state != state) {
        at = at->next;
    }
    return at;
}

/* What is to be begun now: the oldest that may be. So of each stream it is the first that was not:
 * what waits behind another of its own may be begun only if that may be. */
static struct pooled_flight *find_work(struct pooled_flights *flights) REQUIRES(&flights->mu)
{
    struct pooled_flight *at = flights->lost ? NULL : flights->first;
    while (at != NULL && !may_begin(at)) {
        at = at->next;
    }
    return at;
}

/* What found no room may be tried again. */
static void allow_again(struct pooled_flights *flights) REQUIRES(&flights->mu)
{
    for (struct pooled_flight *at = flights->first; at != NULL; at = at->next) {
        at->stream->hold->try_again = at->stream->hold->refusing;
    }
}

/* Until there is something to do. False: nothing came for a while, or the thread is to end. */
static bool wait_for_work(struct pooled_flights *flights) REQUIRES(&flights->mu)
{
    uint64_t begun_ns = clock_monotonic_ns();

    for (;;) {
        if (find_state(flights, LANDED) != NULL || find_work(flights) != NULL) {
            return true;
        }
        if (flights->ending) {
            return false;
        }
        bool refusing = find_state(flights, REFUSED) != NULL;
        if (flights->first != NULL && !refusing) {
            condvar_wait(&flights->work, &flights->mu);
            begun_ns = clock_monotonic_ns();
            continue;
        }
        uint64_t pause_ns = refusing ? retry_ns : linger_ns;
        if (!condvar_wait_until(&flights->work, &flights->mu, begun_ns + pause_ns)) {
            if (flights->first == NULL) {
                return false;
            }
            allow_again(flights);
            begun_ns = clock_monotonic_ns();
        }
    }
}

/* From any thread. */
static void land(void *arg, int result)
{
    struct pooled_flight *flight = (struct pooled_flight *)arg;
    struct pooled_flights *flights = flights_of(flight->stream);

    mutex_lock(&flights->mu);
    flight->result = result;
    flight->state = LANDED;
    condvar_signal(&flights->work);
    mutex_unlock(&flights->mu);
}

static void begin(struct pooled_flights *flights, struct pooled_flight *flight)
    REQUIRES(&flights->mu)
{
    struct pooled_stream *stream = flight->stream;

    stream->hold->probing = stream->hold->refusing;
    stream->hold->try_again = false;
    stream->hold->flying++;
    flight->state = FLIES;
    stream->flying++;
    flights->flying++;
    flights->most = flights->flying > flights->most ? flights->flying : flights->most;
    mutex_unlock(&flights->mu);
    int r = pooled_file_begin(stream->file, flight->offset, kv_slice(flight->bytes, flight->size),
                              land, flight);
    mutex_lock(&flights->mu);
    if (r < 0) {
        flight->result = r;
        flight->state = LANDED;
    }
}

/* The lease is lost, or has to be: nobody knows any more what of the blob is there. */
static void lose(struct pooled_flights *flights, struct pooled_flight *flight)
    REQUIRES(&flights->mu)
{
    struct pooled_storage *storage = flight->stream->file->storage;
    int r = flight->result;

    mutex_unlock(&flights->mu);
    r = r == -ENOENT ? pooled_piece_missing(storage) : r;
    kv_ignore(pooled_lose(storage, r == -ECANCELED ? -POOLED_EFENCED : r));
    mutex_lock(&flights->mu);
    flights->lost = true;
    for (struct pooled_flight *at = flights->first; at != NULL; at = at->next) {
        at->state = at->state == GATHERS || at->state == REFUSED ? DEAD : at->state;
        at->stream->hold->refusing = false;
    }
    flight->state = DEAD;
}

/* All that was refused may find room now. */
static void go_on(struct pooled_flights *flights, struct pooled_hold *hold) REQUIRES(&flights->mu)
{
    hold->refusing = false;
    for (struct pooled_flight *at = flights->first; at != NULL; at = at->next) {
        at->state = at->state == REFUSED && at->stream->hold == hold ? GATHERS : at->state;
    }
}

/* See what came of it. */
static void settle(struct pooled_flights *flights, struct pooled_flight *flight)
    REQUIRES(&flights->mu)
{
    struct pooled_stream *stream = flight->stream;
    struct pooled_hold *hold = stream->hold;
    bool probe = hold->probing;
    int r = flight->result;

    stream->flying--;
    flights->flying--;
    hold->flying--;
    hold->probing = false;
    hold->tries += probe;
    if (r == 0) {
        release(flights, flight);
        if (probe) {
            go_on(flights, hold);
        }
    } else if (r == -ENOSPC && !flights->lost) {
        flight->state = REFUSED;
        flight->room = flight->size; /* takes no more */
        hold->refusing = true;
        if (stream->removed) {
            drop(flights, stream);
        }
    } else {
        lose(flights, flight);
    }
    condvar_broadcast(&flights->done);
}

static void *flights_main(void *arg)
{
    struct pooled_flights *flights = (struct pooled_flights *)arg;

    mutex_lock(&flights->mu);
    while (wait_for_work(flights)) {
        struct pooled_flight *landed = find_state(flights, LANDED);
        if (landed != NULL) {
            settle(flights, landed);
        } else {
            begin(flights, find_work(flights));
        }
    }
    free_spare(flights);
    flights->running = false;
    mutex_unlock(&flights->mu);
    return NULL;
}

/* Its last one has ended, or is about to and takes no mutex any more. */
static int need_thread(struct pooled_flights *flights) REQUIRES(&flights->mu)
{
    if (flights->running) {
        return 0;
    }
    if (flights->started) {
        thread_join(&flights->thread);
        flights->started = false;
    }
    int r = thread_start(&flights->thread, "kv-flight", flights_main, flights);
    flights->started = r == 0;
    flights->running = r == 0;
    return r;
}

void pooled_flights_finish(struct pooled_flights *flights)
{
    mutex_lock(&flights->mu);
    assert(flights->streams == NULL && flights->first == NULL);
    bool started = flights->started;
    flights->started = false;
    flights->ending = true;
    condvar_signal(&flights->work);
    mutex_unlock(&flights->mu);
    if (started) {
        thread_join(&flights->thread);
    }
    mutex_lock(&flights->mu);
    free_spare(flights);
    mutex_unlock(&flights->mu);
    condvar_finish(&flights->work);
    condvar_finish(&flights->done);
    mutex_finish(&flights->mu);
}

/* ---- waiting ----------------------------------------------------------------------------------
 */

/* How many tries will have ended once one did that has not begun yet. */
static uint64_t next_try(const struct pooled_hold *hold)
{
    return hold->tries + (hold->probing ? 2 : 1);
}

/* Until anything changes. Errors: why what is kept cannot be there now, as a try told that began
 * after the call of next_try(). */
static int wait_for_try(struct pooled_flights *flights, struct pooled_hold *hold, uint64_t next)
    REQUIRES(&flights->mu)
{
    if (flights->lost) {
        return -POOLED_EFENCED;
    }
    if (hold->refusing && !hold->probing) {
        if (hold->tries >= next) {
            return -ENOSPC;
        }
        hold->try_again = true;
        condvar_signal(&flights->work);
    }
    condvar_wait(&flights->done, &flights->mu);
    return 0;
}

uint64_t pooled_flights_mark(struct pooled_flights *flights)
{
    mutex_lock(&flights->mu);
    uint64_t mark = flights->appended;
    mutex_unlock(&flights->mu);
    return mark;
}

/* Whether something of the streams that records point to, appended before, is still here. */
static bool is_awaited(const struct pooled_flights *flights, uint64_t mark) REQUIRES(&flights->mu)
{
    const struct pooled_flight *at = flights->first;
    while (at != NULL && at->stream->hold != &flights->hold) {
        at = at->next;
    }
    return at != NULL && at->order < mark;
}

int pooled_flights_await(struct pooled_flights *flights, uint64_t mark)
{
    int r = 0;

    mutex_lock(&flights->mu);
    uint64_t next = next_try(&flights->hold);
    while (is_awaited(flights, mark) && r == 0) {
        r = wait_for_try(flights, &flights->hold, next);
    }
    mutex_unlock(&flights->mu);
    return r;
}

/* ---- all streams ------------------------------------------------------------------------------
 */

void pooled_flights_fit(struct pooled_flights *flights, uint64_t reserve_bytes)
{
    uint64_t share = reserve_bytes / RESERVE_SHARE;

    mutex_lock(&flights->mu);
    flights->limit = share == 0 ? 1 : share < POOLED_FLIGHT_MAX ? (size_t)share : POOLED_FLIGHT_MAX;
    mutex_unlock(&flights->mu);
}

void pooled_flights_cut(struct pooled_flights *flights, size_t flight_bytes)
{
    mutex_lock(&flights->mu);
    assert(flights->count == 0);
    flights->flight_bytes = flight_bytes;
    mutex_unlock(&flights->mu);
}

static bool is_of(const struct pooled_stream *stream, struct kv_file_id id)
{
    return stream->file->id.kind == id.kind && stream->file->id.number == id.number;
}

/* Whether it has one that found no room. */
static bool is_refused(const struct pooled_stream *stream)
{
    const struct pooled_flight *at = stream->first;
    while (at != NULL && at->state != REFUSED) {
        at = at->next_of_stream;
    }
    return at != NULL;
}

static struct pooled_stream *find_stream(struct pooled_flights *flights, struct kv_file_id id)
    REQUIRES(&flights->mu)
{
    struct pooled_stream *stream = flights->streams;
    while (stream != NULL && !is_of(stream, id)) {
        stream = stream->next;
    }
    return stream;
}

void pooled_flights_settle(struct pooled_flights *flights, struct kv_file_id id)
{
    mutex_lock(&flights->mu);
    uint64_t mark = flights->appended;
    const struct pooled_stream *stream = find_stream(flights, id);
    while (stream != NULL && stream->first != NULL && stream->first->order < mark &&
           !flights->lost && !(stream->hold->refusing && stream->hold->flying == 0)) {
        condvar_wait(&flights->done, &flights->mu);
        stream = find_stream(flights, id);
    }
    mutex_unlock(&flights->mu);
}

void pooled_flights_removed(struct pooled_flights *flights, struct kv_file_id id)
{
    mutex_lock(&flights->mu);
    for (struct pooled_stream *stream = flights->streams; stream != NULL; stream = stream->next) {
        if (is_of(stream, id)) {
            stream->removed = true;
            if (is_refused(stream)) {
                drop(flights, stream);
            }
        }
    }
    mutex_unlock(&flights->mu);
}

uint64_t pooled_flights_whole(struct pooled_flights *flights, struct kv_file_id id, uint64_t size)
{
    mutex_lock(&flights->mu);
    const struct pooled_stream *stream = find_stream(flights, id);
    if (stream != NULL && stream->first != NULL && stream->first->offset < size) {
        size = stream->first->offset;
    }
    mutex_unlock(&flights->mu);
    return size;
}

size_t pooled_flights_memory(struct pooled_flights *flights, bool *ret_runs)
{
    mutex_lock(&flights->mu);
    size_t bytes = flights->count * flights->flight_bytes;
    *ret_runs = flights->running;
    mutex_unlock(&flights->mu);
    return bytes;
}

/* ---- streams ----------------------------------------------------------------------------------
 */

void pooled_stream_begin(struct pooled_stream *stream, struct pooled_file *file, uint64_t size)
{
    struct pooled_flights *flights = &file->storage->flights;

    *stream = (struct pooled_stream){.file = file,
                                     .piece_bytes = pooled_file_piece_bytes(file),
                                     .end = size,
                                     .hold = &flights->hold,
                                     .dropped_at = UINT64_MAX};
    mutex_lock(&flights->mu);
    stream->next = flights->streams;
    flights->streams = stream;
    mutex_unlock(&flights->mu);
}

void pooled_stream_stand_alone(struct pooled_stream *stream)
{
    struct pooled_flights *flights = flights_of(stream);

    mutex_lock(&flights->mu);
    assert(stream->first == NULL);
    stream->hold = &stream->own;
    mutex_unlock(&flights->mu);
}

static int await_stream(struct pooled_flights *flights, struct pooled_stream *stream)
    REQUIRES(&flights->mu)
{
    uint64_t end = stream->end;
    uint64_t next = next_try(stream->hold);
    int r = 0;

    stream->hurried = end;
    condvar_signal(&flights->work);
    while (stream->first != NULL && stream->first->offset < end && r == 0) {
        r = wait_for_try(flights, stream->hold, next);
    }
    return r;
}

int pooled_stream_sync(struct pooled_stream *stream)
{
    struct pooled_flights *flights = flights_of(stream);

    mutex_lock(&flights->mu);
    int r = await_stream(flights, stream);
    mutex_unlock(&flights->mu);
    return r;
}

bool pooled_stream_finish(struct pooled_stream *stream)
{
    struct pooled_flights *flights = flights_of(stream);
    struct pooled_stream **link = &flights->streams;

    mutex_lock(&flights->mu);
    kv_ignore(await_stream(flights, stream));
    drop(flights, stream);
    while (stream->first != NULL) { /* its bytes are the pool's yet */
        condvar_wait(&flights->done, &flights->mu);
        drop(flights, stream);
    }
    while (*link != stream) {
        link = &(*link)->next;
    }
    *link = stream->next;
    condvar_signal(&flights->work); /* there may be nothing left to wait for */
    bool whole = stream->dropped_at == UINT64_MAX;
    mutex_unlock(&flights->mu);
    return whole;
}

/* Why nothing can be appended, or 0. */
static int refusal(const struct pooled_flights *flights, const struct pooled_stream *stream)
    REQUIRES(&flights->mu)
{
    if (flights->lost || atomic_load(&stream->file->storage->lost)) {
        return -POOLED_EFENCED;
    }
    return stream->hold->refusing || stream->dropped_at != UINT64_MAX ? -ENOSPC : 0;
}

/* What was refused is tried again, unless it is the stream's own: that is to take no more. */
static void try_refused_again(struct pooled_flights *flights, const struct pooled_stream *stream)
    REQUIRES(&flights->mu)
{
    uint64_t next = next_try(stream->hold);
    int r = is_refused(stream) ? -ENOSPC : 0;

    while (stream->hold->refusing && r == 0) {
        r = wait_for_try(flights, stream->hold, next);
    }
}

/* One at the stream's end that takes more bytes, or NULL: there is none now. */
static struct pooled_flight *find_room(struct pooled_flights *flights, struct pooled_stream *stream)
    REQUIRES(&flights->mu)
{
    struct pooled_flight *flight = stream->last;

    if (flights->bytes >= flights->limit) {
        return NULL;
    }
    if (flight != NULL && flight->state == GATHERS && flight->size < flight->room) {
        return flight;
    }
    flight = take_flight(flights);
    if (flight != NULL) {
        uint64_t piece = stream->end / stream->piece_bytes;
        enlist(flights, flight, stream, (piece + 1) * stream->piece_bytes);
    }
    return flight;
}

/* Some of these bytes. 1: none, for want of memory. */
static int append_some(struct pooled_flights *flights, struct pooled_stream *stream,
                       const uint8_t *bytes, size_t size, size_t *ret_taken) REQUIRES(&flights->mu)
{
    struct pooled_flight *flight = NULL;
    int r = refusal(flights, stream);

    if (r == 0 && need_thread(flights) < 0) {
        return 1;
    }
    while (r == 0 && (flight = find_room(flights, stream)) == NULL) {
        if (flights->first == NULL) {
            return 1;
        }
        stream->filling = false; /* it may be what takes the room */
        condvar_signal(&flights->work);
        condvar_wait(&flights->done, &flights->mu);
        stream->filling = true;
        r = refusal(flights, stream);
    }
    if (r < 0) {
        return r;
    }
    size_t room = flight->room - flight->size;
    size_t left = flights->limit - flights->bytes;
    room = left < room ? left : room;
    room = room < COPY_BYTES ? room : COPY_BYTES;
    *ret_taken = size < room ? size : room;
    memcpy(flight->bytes + flight->size, bytes, *ret_taken);
    flight->size += *ret_taken;
    flights->bytes += *ret_taken;
    flights->appended += *ret_taken;
    stream->end += *ret_taken;
    if (flight->size == flight->room) {
        condvar_signal(&flights->work);
    }
    return 0;
}

/* The bytes of one part. 1: none of them, for want of memory. */
static int append_part(struct pooled_flights *flights, struct pooled_stream *stream,
                       const uint8_t *bytes, size_t size)
{
    size_t done = 0;
    int r = 0;

    while (done < size && r == 0) {
        size_t taken = 0;
        r = pooled_file_reach(stream->file, stream->end);
        mutex_lock(&flights->mu);
        r = r < 0 ? r : append_some(flights, stream, bytes + done, size - done, &taken);
        mutex_unlock(&flights->mu);
        done += taken;
    }
    return r == 1 && done > 0 ? -ENOMEM : r;
}

int pooled_stream_append(struct pooled_stream *stream, const struct iovec *parts, int part_count)
{
    struct pooled_flights *flights = flights_of(stream);
    uint64_t begun = stream->end;
    int r = 0;

    mutex_lock(&flights->mu);
    try_refused_again(flights, stream);
    r = refusal(flights, stream);
    stream->filling = true;
    mutex_unlock(&flights->mu);
    for (int i = 0; i < part_count && r == 0; i++) {
        r = append_part(flights, stream, (const uint8_t *)parts[i].iov_base, parts[i].iov_len);
    }
    mutex_lock(&flights->mu);
    stream->filling = false;
    condvar_signal(&flights->work);
    mutex_unlock(&flights->mu);
    return r == 1 && stream->end > begun ? -ENOMEM : r;
}

void pooled_stream_wrote(struct pooled_stream *stream, size_t size)
{
    struct pooled_flights *flights = flights_of(stream);

    mutex_lock(&flights->mu);
    stream->end += size;
    mutex_unlock(&flights->mu);
}

/* What lies at `offset`, if it is not acknowledged, and otherwise what comes behind it. */
static const struct pooled_flight *find_at(const struct pooled_stream *stream, uint64_t offset)
{
    const struct pooled_flight *at = stream->first;
    while (at != NULL && at->offset + at->size <= offset) {
        at = at->next_of_stream;
    }
    return at;
}

bool pooled_stream_read(struct pooled_stream *stream, uint64_t offset, void *to, size_t size,
                        size_t *ret_size)
{
    struct pooled_flights *flights = flights_of(stream);

    mutex_lock(&flights->mu);
    const struct pooled_flight *flight = find_at(stream, offset);
    bool here = flight != NULL && flight->offset <= offset;
    uint64_t end = flight == NULL ? UINT64_MAX
                   : here         ? flight->offset + flight->size
                                  : flight->offset;
    end = !here && stream->dropped_at < end ? stream->dropped_at : end;
    size = end <= offset ? 0 : size < end - offset ? size : (size_t)(end - offset);
    if (here) {
        memcpy(to, flight->bytes + (offset - flight->offset), size);
    }
    mutex_unlock(&flights->mu);
    *ret_size = size;
    return here;
}
