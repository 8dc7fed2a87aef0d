/* SPDX-License-Identifier: Apache-2.0 */
/* Appends in groups: what is appended to write-ahead logs gathers in a buffer, and a thread writes
 * it to the pool, one group at a time, while the next one gathers. Groups go in the order in which
 * their first bytes were appended. (A log is appended to no more once the next one has begun. So
 * this is the order of all bytes.)
 *
 * A group that fails takes with it all that waits behind it, of whichever log, and leaves its error
 * in each of them: their callers are told it for ever, and nothing of it is sent again. Only where
 * the pool was full, which is certain to have changed nothing, the group is kept until there is
 * room, and so is what waits behind it. Its log takes nothing more; that is how the engine learns
 * that it is to give back what is kept for deletes. It is tried again each second, and by whoever
 * wants to append to another log, or to sync: if there is no room then either, these are refused.
 * What finds no room for a file that is removed, or was closed, is dropped; that is no failure of
 * any other log.
 *
 * The thread is there from the first append until nothing came for a while; then the buffers go
 * too. Nobody else touches the bytes of a group that is on its way. */
#include "kvcore/storage/pooled_store.h"

#include <assert.h>

#include "kvcore/util/clock.h"

enum { RESERVE_SHARE = 4 };

static const uint64_t linger_ns = (uint64_t)POOLED_SENDER_LINGER_MS * 1000000;
static const uint64_t retry_ns = (uint64_t)POOLED_SENDER_RETRY_MS * 1000000;

void pooled_sender_init(struct pooled_sender *sender)
{
    sender->limit = POOLED_GATHER_MAX;
    mutex_init(&sender->mu, LOCK_RANK_STORAGE, "sender to RADOS");
    condvar_init(&sender->work);
    condvar_init(&sender->done);
}

/* ---- the thread -------------------------------------------------------------------------------
 */

static void queue(struct pooled_sender *sender, struct pooled_tail *tail) REQUIRES(&sender->mu)
{
    if (tail->queued) {
        return;
    }
    tail->queued = true;
    tail->next_queued = NULL;
    if (sender->first == NULL) {
        sender->first = tail;
    } else {
        sender->last->next_queued = tail;
    }
    sender->last = tail;
}

/* The next tail with something to send; its bytes become those that are on their way. */
static struct pooled_tail *take_group(struct pooled_sender *sender) REQUIRES(&sender->mu)
{
    struct pooled_tail *tail = sender->first;
    struct kv_buf group = tail->gathered;

    sender->first = tail->next_queued;
    tail->queued = false;
    tail->gathered = (struct kv_buf){0};
    sender->sending = group;
    sender->gathered -= group.size;
    return tail;
}

/* No record is there before the values that it points to: they were appended to blobs before it.
 * What is appended to them later is not waited for. */
static int write_group(struct pooled_sender *sender, const struct pooled_tail *tail, bool again,
                       uint64_t offset, const struct iovec *part)
{
    struct pooled_flights *flights = &tail->file->storage->flights;

    if (!again) {
        sender->behind = pooled_flights_mark(flights);
    }
    int r = pooled_flights_await(flights, sender->behind);
    return r < 0 ? r : pooled_file_write(tail->file, offset, part, 1);
}

/* It was sent, or never will be. Its buffer is that of the next one that begins to gather. */
static void end_group(struct pooled_sender *sender) REQUIRES(&sender->mu)
{
    sender->refused = NULL;
    sender->settled += sender->sending.size;
    kv_buf_finish(&sender->spare);
    sender->spare = sender->sending;
    sender->spare.size = 0;
    sender->sending = (struct kv_buf){0};
}

/* What a tail has gathered will not be sent. */
static void give_up(struct pooled_sender *sender, struct pooled_tail *tail, int error)
    REQUIRES(&sender->mu)
{
    tail->error = error;
    sender->gathered -= tail->gathered.size;
    sender->settled += tail->gathered.size;
    kv_buf_finish(&tail->gathered);
}

/* A group failed: so does what waits, for it was appended behind. */
static void give_up_all(struct pooled_sender *sender, struct pooled_tail *failed, int error)
    REQUIRES(&sender->mu)
{
    give_up(sender, failed, error);
    while (sender->first != NULL) {
        struct pooled_tail *tail = sender->first;
        sender->first = tail->next_queued;
        tail->queued = false;
        if (tail != failed) {
            give_up(sender, tail, error);
        }
    }
}

static void leave_queue(struct pooled_sender *sender, struct pooled_tail *tail)
    REQUIRES(&sender->mu)
{
    struct pooled_tail *before = NULL;

    for (struct pooled_tail *at = sender->first; at != tail; at = at->next_queued) {
        before = at;
    }
    if (before == NULL) {
        sender->first = tail->next_queued;
    } else {
        before->next_queued = tail->next_queued;
    }
    sender->last = sender->last == tail ? before : sender->last;
    tail->queued = false;
}

/* Nothing more of it is sent; the others go on. */
static void drop(struct pooled_sender *sender, struct pooled_tail *tail) REQUIRES(&sender->mu)
{
    tail->dropped = true;
    if (tail->queued) {
        leave_queue(sender, tail);
        give_up(sender, tail, tail->error);
    }
    if (sender->refused == tail) {
        assert(sender->busy == NULL);
        end_group(sender);
    }
    condvar_signal(&sender->work);
    condvar_broadcast(&sender->done);
}

static void send_group(struct pooled_sender *sender) REQUIRES(&sender->mu)
{
    bool again = sender->refused != NULL;
    struct pooled_tail *tail = again ? sender->refused : take_group(sender);
    struct iovec part = {.iov_base = sender->sending.data, .iov_len = sender->sending.size};
    uint64_t offset = tail->sent;

    sender->busy = tail;
    sender->try_again = false;
    condvar_broadcast(&sender->done); /* there is room */
    mutex_unlock(&sender->mu);
    int r = write_group(sender, tail, again, offset, &part);
    mutex_lock(&sender->mu);
    sender->busy = NULL;
    sender->tries++;
    if (r == -ENOSPC) {
        sender->refused = tail;
    } else {
        end_group(sender);
        tail->sent += r == 0 ? part.iov_len : 0;
    }
    if (r == -ENOSPC && tail->removed) {
        drop(sender, tail);
    } else if (r < 0 && r != -ENOSPC) {
        give_up_all(sender, tail, r);
    }
    condvar_broadcast(&sender->done);
}

static bool has_work(const struct pooled_sender *sender) REQUIRES(&sender->mu)
{
    return sender->refused != NULL ? sender->try_again : sender->first != NULL;
}

/* Until there is something to send. False: nothing came for a while, or the thread is to end. */
static bool wait_for_work(struct pooled_sender *sender) REQUIRES(&sender->mu)
{
    uint64_t pause_ns = sender->refused != NULL ? retry_ns : linger_ns;
    uint64_t deadline_ns = clock_monotonic_ns() + pause_ns;
    bool in_time = true;

    while (!has_work(sender) && !sender->ending && in_time) {
        in_time = condvar_wait_until(&sender->work, &sender->mu, deadline_ns);
    }
    sender->try_again = sender->refused != NULL;
    return has_work(sender);
}

static void *sender_main(void *arg)
{
    struct pooled_sender *sender = (struct pooled_sender *)arg;

    mutex_lock(&sender->mu);
    while (wait_for_work(sender)) {
        send_group(sender);
    }
    kv_buf_finish(&sender->spare);
    sender->running = false;
    mutex_unlock(&sender->mu);
    return NULL;
}

/* Its last one has ended, or is about to and takes no mutex any more. */
static int need_thread(struct pooled_sender *sender) REQUIRES(&sender->mu)
{
    if (sender->running) {
        return 0;
    }
    if (sender->started) {
        thread_join(&sender->thread);
        sender->started = false;
    }
    int r = thread_start(&sender->thread, "kv-send", sender_main, sender);
    sender->started = r == 0;
    sender->running = r == 0;
    return r;
}

void pooled_sender_finish(struct pooled_sender *sender)
{
    mutex_lock(&sender->mu);
    assert(sender->tails == NULL && sender->first == NULL);
    bool started = sender->started;
    sender->started = false;
    sender->ending = true;
    condvar_signal(&sender->work);
    mutex_unlock(&sender->mu);
    if (started) {
        thread_join(&sender->thread);
    }
    condvar_finish(&sender->work);
    condvar_finish(&sender->done);
    mutex_finish(&sender->mu);
}

/* ---- tails ------------------------------------------------------------------------------------
 */

static struct pooled_sender *sender_of(const struct pooled_tail *tail)
{
    return &tail->file->storage->sender;
}

void pooled_tail_begin(struct pooled_tail *tail, struct pooled_file *file, uint64_t size)
{
    struct pooled_sender *sender = &file->storage->sender;

    *tail = (struct pooled_tail){.file = file, .sent = size, .end = size};
    mutex_lock(&sender->mu);
    tail->next = sender->tails;
    sender->tails = tail;
    mutex_unlock(&sender->mu);
}

/* How many groups will have been sent or tried once one was that has not begun yet. */
static uint64_t next_try(const struct pooled_sender *sender) REQUIRES(&sender->mu)
{
    return sender->tries + (sender->busy != NULL ? 2 : 1);
}

/* There may be room now: until anything changes. False: there was none in a try that began after
 * the call of next_try(). */
static bool wait_for_try(struct pooled_sender *sender, uint64_t next) REQUIRES(&sender->mu)
{
    if (sender->refused != NULL && sender->busy == NULL) {
        if (sender->tries >= next) {
            return false;
        }
        sender->try_again = true;
        condvar_signal(&sender->work);
    }
    condvar_wait(&sender->done, &sender->mu);
    return true;
}

/* Until everything that was gathered before this call is settled, as far as there is room. */
static void await_all(struct pooled_sender *sender) REQUIRES(&sender->mu)
{
    uint64_t target = sender->appended;
    while (sender->settled < target && sender->refused == NULL) {
        condvar_wait(&sender->done, &sender->mu);
    }
}

static bool is_waiting(const struct pooled_sender *sender, const struct pooled_tail *tail)
    REQUIRES(&sender->mu)
{
    return sender->busy == tail || sender->refused == tail || tail->queued;
}

bool pooled_tail_finish(struct pooled_tail *tail)
{
    struct pooled_sender *sender = sender_of(tail);
    struct pooled_tail **link = &sender->tails;

    mutex_lock(&sender->mu);
    uint64_t next = next_try(sender);
    while (is_waiting(sender, tail) && wait_for_try(sender, next)) {
    }
    drop(sender, tail);
    while (*link != tail) {
        link = &(*link)->next;
    }
    *link = tail->next;
    kv_buf_finish(&tail->gathered);
    bool whole = tail->sent == tail->end;
    mutex_unlock(&sender->mu);
    return whole;
}

void pooled_sender_removed(struct pooled_sender *sender, struct kv_file_id id)
{
    mutex_lock(&sender->mu);
    for (struct pooled_tail *tail = sender->tails; tail != NULL; tail = tail->next) {
        if (tail->file->id.kind == id.kind && tail->file->id.number == id.number) {
            tail->removed = true;
            if (sender->refused == tail && sender->busy == NULL) {
                drop(sender, tail);
            }
        }
    }
    mutex_unlock(&sender->mu);
}

void pooled_sender_fit(struct pooled_sender *sender, uint64_t reserve_bytes)
{
    uint64_t share = reserve_bytes / RESERVE_SHARE;

    mutex_lock(&sender->mu);
    sender->limit = share < POOLED_GATHER_MAX ? (size_t)share : POOLED_GATHER_MAX;
    mutex_unlock(&sender->mu);
}

static void try_refused_again(struct pooled_sender *sender) REQUIRES(&sender->mu)
{
    uint64_t next = next_try(sender);
    while (sender->refused != NULL && wait_for_try(sender, next)) {
    }
}

static void wait_for_room(struct pooled_sender *sender, const struct pooled_tail *tail, size_t size)
    REQUIRES(&sender->mu)
{
    while (tail->error == 0 && sender->refused == NULL && sender->gathered > 0 &&
           sender->gathered + size > sender->limit) {
        condvar_wait(&sender->done, &sender->mu);
    }
}

static int make_room(struct pooled_sender *sender, struct pooled_tail *tail, size_t size)
    REQUIRES(&sender->mu)
{
    if (tail->gathered.capacity == 0) {
        tail->gathered = sender->spare;
        sender->spare = (struct kv_buf){0};
    }
    return kv_buf_reserve(&tail->gathered, size);
}

static void gather(struct pooled_sender *sender, struct pooled_tail *tail,
                   const struct iovec *parts, int part_count, size_t size) REQUIRES(&sender->mu)
{
    for (int i = 0; i < part_count; i++) {
        if (parts[i].iov_len > 0) {
            memcpy(tail->gathered.data + tail->gathered.size, parts[i].iov_base, parts[i].iov_len);
            tail->gathered.size += parts[i].iov_len;
        }
    }
    tail->end += size;
    sender->gathered += size;
    sender->appended += size;
    queue(sender, tail);
    condvar_signal(&sender->work);
}

/* Why nothing can be appended, or 0. */
static int refusal(struct pooled_sender *sender, struct pooled_tail *tail) REQUIRES(&sender->mu)
{
    if (tail->error == 0 && atomic_load(&tail->file->storage->lost)) {
        tail->error = -POOLED_EFENCED; /* nothing gathers any more that cannot be sent */
    }
    return tail->error < 0 ? tail->error : sender->refused != NULL || tail->dropped ? -ENOSPC : 0;
}

int pooled_tail_append(struct pooled_tail *tail, const struct iovec *parts, int part_count,
                       size_t size)
{
    struct pooled_sender *sender = sender_of(tail);

    mutex_lock(&sender->mu);
    bool fits = size <= sender->limit;
    if (sender->refused != tail) {
        try_refused_again(sender);
    }
    int r = refusal(sender, tail);
    if (r == 0 && fits) {
        wait_for_room(sender, tail, size);
        fits = need_thread(sender) == 0 && make_room(sender, tail, size) == 0;
    }
    if (r == 0 && !fits) { /* it does not fail for want of memory either */
        await_all(sender);
    }
    r = r < 0 ? r : refusal(sender, tail);
    if (r == 0 && fits) {
        gather(sender, tail, parts, part_count, size);
    }
    mutex_unlock(&sender->mu);
    return r < 0 ? r : !fits;
}

void pooled_tail_wrote(struct pooled_tail *tail, size_t size)
{
    struct pooled_sender *sender = sender_of(tail);

    mutex_lock(&sender->mu);
    tail->sent += size;
    tail->end += size;
    mutex_unlock(&sender->mu);
}

/* Whether so much may still be acknowledged that is not yet. */
static bool is_coming(const struct pooled_tail *tail, uint64_t end)
{
    return tail->sent < end && tail->error == 0 && !tail->dropped;
}

int pooled_tail_sync(struct pooled_tail *tail)
{
    struct pooled_sender *sender = sender_of(tail);
    int r = 0;

    mutex_lock(&sender->mu);
    uint64_t end = tail->end;
    uint64_t next = next_try(sender);
    while (is_coming(tail, end) && r == 0) {
        r = wait_for_try(sender, next) ? 0 : -ENOSPC;
    }
    r = tail->sent < end && !tail->dropped && tail->error < 0 ? tail->error : r;
    mutex_unlock(&sender->mu);
    return r;
}

uint64_t pooled_tail_await(struct pooled_tail *tail, uint64_t end)
{
    struct pooled_sender *sender = sender_of(tail);

    mutex_lock(&sender->mu);
    while (is_coming(tail, end) && sender->refused == NULL) {
        condvar_wait(&sender->done, &sender->mu);
    }
    uint64_t sent = tail->sent;
    mutex_unlock(&sender->mu);
    return sent;
}

void pooled_sender_await(struct pooled_sender *sender)
{
    mutex_lock(&sender->mu);
    await_all(sender);
    mutex_unlock(&sender->mu);
}

size_t pooled_sender_memory(struct pooled_sender *sender, bool *ret_runs)
{
    mutex_lock(&sender->mu);
    size_t bytes = sender->sending.capacity + sender->spare.capacity;
    for (const struct pooled_tail *tail = sender->tails; tail != NULL; tail = tail->next) {
        bytes += tail->gathered.capacity;
    }
    *ret_runs = sender->running;
    mutex_unlock(&sender->mu);
    return bytes;
}
