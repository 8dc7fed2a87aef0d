/* SPDX-License-Identifier: Apache-2.0 */
/* Followers of a store in a pool: their lines in an attribute of the object `followers`, which is
 * there while anybody follows. docs/architecture.md, "Life of a follower", says why this suffices.
 *
 * Every change compares the whole of what was read, so that none undoes another one, and who is
 * late changes nothing. Each raises a beat or takes a line away; an id is drawn once. So what a
 * line says never comes again, and a change that lands late finds the line it was made for, or
 * nothing.
 *
 * A line may be struck out by whoever has seen it unchanged for a lease by his own clock: the
 * follower it stands for counts a shorter time from before the beat it shows, by its own, and reads
 * nothing afterwards. That is true whoever strikes it out, also one who writes no more.
 *
 * Bytes that cannot be read are treated as one line that says nothing: they keep everything until
 * nobody has changed them for a lease. */
#include "kvcore/storage/pooled_store.h"

#include <stdlib.h>
#include <time.h>

#include "kvcore/util/rng.h"

enum {
    TRIES = 16, /* so often others may come before one change */
    ROOM_LOOKS = POOLED_RENEWALS_PER_LEASE + 3,
};

/* ---- the lines --------------------------------------------------------------------------------
 */

struct table {
    bool missing;        /* there is no such object */
    bool readable;       /* else one line stands for all of it */
    struct kv_buf bytes; /* as they were read */
    struct pooled_lines lines;
};

static struct pooled_lines stand_in(struct kv_slice bytes)
{
    return (struct pooled_lines){.count = 1, .lines = {{.id = hash_bytes(bytes, 0) | 1}}};
}

/* Into one that is empty, or was read before. */
static int read_table(struct pooled_storage *storage, struct table *table)
{
    struct kv_buf bytes = {0};
    int r =
        storage->pool->ops->attribute(storage->pool, POOLED_FOLLOWERS, POOLED_LINES_ATTR, &bytes);
    bool missing = r == -ENOENT;

    if (r < 0 && r != -ENOENT && r != -ENODATA) {
        kv_buf_finish(&bytes);
        return r;
    }
    kv_buf_finish(&table->bytes);
    *table = (struct table){.missing = missing, .bytes = bytes};
    table->readable = pooled_lines_decode(kv_buf_slice(&bytes), &table->lines) == 0;
    if (!table->readable) {
        table->lines = stand_in(kv_buf_slice(&bytes));
    }
    return 0;
}

/* Have it say what `lines` of the table are, unless it changed since it was read. Errors: -EAGAIN
 * it did. */
static int write_table(struct pooled_storage *storage, struct table *table)
{
    uint8_t bytes[POOLED_LINES_SIZE_MAX];
    struct kv_slice new = kv_slice(bytes, pooled_lines_encode(&table->lines, bytes));
    struct pool_guard whole = {POOLED_LINES_ATTR, POOL_IS, kv_buf_slice(&table->bytes)};
    struct pool_value lines = {POOLED_LINES_ATTR, new};
    bool remove = table->lines.count == 0;

    if (table->missing && remove) {
        return 0;
    }
    int r = storage->pool->ops->change(storage->pool, POOLED_FOLLOWERS,
                                       &(struct pool_change){.create = table->missing,
                                                             .guards = &whole,
                                                             .guard_count = !table->missing,
                                                             .attributes = &lines,
                                                             .attribute_count = !remove,
                                                             .remove = remove});
    if (r == 0) {
        table->missing = remove;
        table->readable = true;
        return kv_buf_assign(&table->bytes, remove ? kv_slice(NULL, 0) : new);
    }
    return r == -ECANCELED || r == -EEXIST || r == -ENOENT ? -EAGAIN : r;
}

/* ---- who is silent ----------------------------------------------------------------------------
 */

/* Note what a look found, and take what has been the same for a lease off `lines`. Returns whether
 * there was such a line. Between two looks only a fifth of a lease counts, so that nobody is struck
 * out because the cluster was away, or who looks was stopped. */
static bool drop_silent(struct pooled_storage *storage, struct pooled_lines *lines)
{
    uint64_t lease_ns = storage->options.lease_ms * 1000000;
    uint64_t step_ns = lease_ns / POOLED_RENEWALS_PER_LEASE;
    struct pooled_watch now = {.lines = *lines};

    mutex_lock(&storage->mu);
    struct pooled_watch *seen = &storage->watch;
    now.looked_ns = storage->pool->ops->now_ns(storage->pool);
    uint64_t passed_ns = now.looked_ns - seen->looked_ns;
    lines->count = 0;
    for (size_t i = 0; i < now.lines.count; i++) {
        const struct pooled_line *line = &now.lines.lines[i];
        const struct pooled_line *before = pooled_lines_find(&seen->lines, line->id);
        if (before != NULL && before->beat == line->beat && before->mark == line->mark) {
            now.silent_ns[i] = seen->silent_ns[before - seen->lines.lines] +
                               (passed_ns < step_ns ? passed_ns : step_ns);
        }
        if (now.silent_ns[i] < lease_ns) {
            lines->lines[lines->count++] = *line;
        }
    }
    *seen = now;
    mutex_unlock(&storage->mu);
    return lines->count < now.lines.count;
}

/* Who is registered, but those that are silent for a lease. If these cannot be struck out now they
 * count as well. */
static int look(struct pooled_storage *storage, struct table *table)
{
    int r = read_table(storage, table);
    if (r < 0) {
        return r;
    }
    struct pooled_lines all = table->lines;
    if (drop_silent(storage, &table->lines) && write_table(storage, table) < 0) {
        table->lines = all;
    }
    return 0;
}

int pooled_followers_oldest(struct kv_storage *base, uint64_t *ret_mark)
{
    struct table table = {0};
    uint64_t oldest = UINT64_MAX;
    int r = look(pooled_storage(base), &table);

    for (size_t i = 0; r == 0 && i < table.lines.count; i++) {
        uint64_t mark = table.lines.lines[i].mark;
        oldest = mark < oldest ? mark : oldest;
    }
    if (r == 0) {
        *ret_mark = oldest;
    }
    kv_buf_finish(&table.bytes);
    return r;
}

/* ---- one's own line ---------------------------------------------------------------------------
 */

enum line_change {
    BEAT = 1,
    MOVE,
    END,
};

/* Errors: -POOLED_EFENCED there is no such line any more. */
static int change_own(struct pooled_storage *storage, enum line_change change, uint64_t mark)
{
    struct table table = {0};
    int r = -EAGAIN;

    for (unsigned i = 0; i < TRIES && r == -EAGAIN; i++) {
        r = read_table(storage, &table);
        struct pooled_line *own =
            r == 0 ? pooled_lines_find(&table.lines, storage->follower_id) : NULL;
        if (r == 0 && (own == NULL || !table.readable)) {
            r = -POOLED_EFENCED;
        }
        if (r < 0) {
            break;
        }
        own->beat++;
        own->mark = change == MOVE ? mark : own->mark;
        if (change == END) {
            *own = table.lines.lines[--table.lines.count];
        }
        r = write_table(storage, &table);
    }
    kv_buf_finish(&table.bytes);
    return r;
}

int pooled_follow_beat(struct pooled_storage *storage)
{
    return change_own(storage, BEAT, 0);
}

void pooled_follow_end(struct pooled_storage *storage)
{
    kv_ignore(change_own(storage, END, 0)); /* else it is struck out some time */
}

int pooled_follow_move(struct kv_storage *base, uint64_t mark)
{
    struct pooled_storage *storage = pooled_storage(base);

    if (atomic_load(&storage->lease) != KV_LEASE_FOLLOW) {
        return -EROFS;
    }
    if (atomic_load(&storage->lost)) {
        return -POOLED_EFENCED;
    }
    int r = change_own(storage, MOVE, mark);
    return r == -POOLED_EFENCED ? pooled_lose(storage, r) : r;
}

int pooled_follow_check(struct pooled_storage *storage)
{
    struct table table = {0};
    int r = read_table(storage, &table);

    if (r == 0 &&
        (!table.readable || pooled_lines_find(&table.lines, storage->follower_id) == NULL)) {
        r = -POOLED_EFENCED;
    }
    kv_buf_finish(&table.bytes);
    return r;
}

/* ---- beginning and removing -------------------------------------------------------------------
 */

/* Errors: -EBUSY there is no room for one more. */
static int add_own(struct pooled_storage *storage)
{
    struct table table = {0};
    int r = -EAGAIN;

    for (unsigned i = 0; i < TRIES && r == -EAGAIN; i++) {
        r = look(storage, &table);
        if (r == 0 && (!table.readable || table.lines.count == POOLED_LINES_MAX)) {
            r = -EBUSY;
        }
        if (r < 0) {
            break;
        }
        table.lines.lines[table.lines.count++] = (struct pooled_line){.id = storage->follower_id};
        r = write_table(storage, &table);
    }
    kv_buf_finish(&table.bytes);
    return r;
}

/* Room may be taken by those who are no more: then it is waited until they can be struck out. */
int pooled_follow_begin(struct pooled_storage *storage)
{
    uint64_t pause_ms = storage->options.lease_ms / POOLED_RENEWALS_PER_LEASE + 1;
    const struct timespec pause = {.tv_sec = (time_t)(pause_ms / 1000),
                                   .tv_nsec = (long)(pause_ms % 1000) * 1000000};

    storage->follower_id = rng_entropy() | 1;
    int r = add_own(storage);
    for (unsigned i = 1; i < ROOM_LOOKS && r == -EBUSY; i++) {
        nanosleep(&pause, NULL);
        r = add_own(storage);
    }
    return r;
}

int pooled_followers_erase(struct pooled_storage *storage)
{
    struct table table = {0};
    int r = -EAGAIN;

    for (unsigned i = 0; i < TRIES && r == -EAGAIN; i++) {
        r = read_table(storage, &table);
        table.lines.count = 0;
        r = r < 0 ? r : write_table(storage, &table);
    }
    kv_buf_finish(&table.bytes);
    return r;
}
