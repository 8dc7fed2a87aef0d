/* SPDX-License-Identifier: Apache-2.0 */
/* Room that is kept for deletes on a full pool: a file of the store that nobody reads, whose pieces
 * count as used for the pool as those of any other. So nothing else has to know of it: what is left
 * of one that was not finished goes with the next listing, and who takes over finds it in the
 * directory. */
#include "kvcore/storage/pooled_store.h"

#include <stdlib.h>

#include "kvcore/util/rng.h"

enum {
    PATTERN_BYTES = 256 * 1024,
    WRITE_PARTS = 16, /* of the pattern in one write */
    PAUSE_MS = 10 * 1000,
};

static const struct kv_file_id reserve_id = POOLED_RESERVE_ID;

/* Bytes that no compression makes smaller. */
static uint8_t *make_pattern(void)
{
    struct rng rng = {.state = 1};
    uint8_t *pattern = malloc(PATTERN_BYTES);

    for (size_t i = 0; pattern != NULL && i < PATTERN_BYTES; i += sizeof(uint64_t)) {
        uint64_t next = rng_next(&rng);
        memcpy(pattern + i, &next, sizeof next);
    }
    return pattern;
}

static int fill(struct pooled_file *file, uint64_t bytes)
{
    uint8_t *pattern = make_pattern();
    int r = pattern == NULL ? -ENOMEM : 0;

    for (uint64_t at = 0; at < bytes && r == 0;) {
        struct iovec parts[WRITE_PARTS];
        int count = 0;
        uint64_t offset = at;
        for (; count < WRITE_PARTS && at < bytes; count++) {
            uint64_t left = bytes - at;
            size_t some = left < PATTERN_BYTES ? (size_t)left : PATTERN_BYTES;
            parts[count] = (struct iovec){pattern, some};
            at += some;
        }
        r = pooled_file_write(file, offset, parts, count);
    }
    free(pattern);
    return r;
}

static int make(struct pooled_storage *storage, uint64_t bytes)
{
    struct pooled_dir_item item = {.id = reserve_id, .entry = {.state = POOLED_MAKING}};
    struct pooled_file *file = NULL;
    int r = pooled_file_create(storage, item, 0, &file);

    if (r < 0) {
        return r;
    }
    r = fill(file, bytes);
    r = r < 0 ? r : pooled_file_finish(file, bytes);
    if (r < 0) {
        pooled_file_abort(file);
        return r;
    }
    pooled_file_unref(file);
    return 0;
}

/* Trying takes room for a moment that somebody else may need, so a full pool is let alone a while.
 */
static int try_to_make(struct pooled_storage *storage, uint64_t bytes)
    REQUIRES(&storage->reserve_mu)
{
    uint64_t now_ns = storage->pool->ops->now_ns(storage->pool);

    if (storage->refused_ns != 0 && now_ns - storage->refused_ns < PAUSE_MS * (uint64_t)1000000) {
        return -ENOSPC;
    }
    int r = make(storage, bytes);
    storage->refused_ns = r == -ENOSPC ? now_ns : 0;
    return r;
}

/* How much is kept now. */
static int look(struct pooled_storage *storage, uint64_t *ret_bytes)
{
    struct pooled_entry entry = {0};
    int r = pooled_dir_get(storage, reserve_id, &entry);

    if (r < 0 && r != -ENOENT) {
        return r;
    }
    *ret_bytes = r == 0 && entry.state == POOLED_FINISHED ? entry.size : 0;
    return 0;
}

int pooled_reserve(struct kv_storage *base, uint64_t bytes)
{
    struct pooled_storage *storage = pooled_storage(base);
    uint64_t kept = 0;

    if (atomic_load(&storage->lease) != KV_LEASE_EXCLUSIVE) {
        return -EROFS;
    }
    mutex_lock(&storage->reserve_mu);
    int r = look(storage, &kept);
    if (r == 0 && kept != bytes && kept > 0) {
        r = pooled_file_remove(storage, reserve_id);
    }
    if (r == 0 && kept != bytes && bytes > 0) {
        r = try_to_make(storage, bytes);
    }
    if (r == 0 && bytes > 0) { /* where it is given back the pool may be full */
        pooled_sender_fit(&storage->sender, bytes);
        pooled_flights_fit(&storage->flights, bytes);
    }
    mutex_unlock(&storage->reserve_mu);
    return r;
}
