/* SPDX-License-Identifier: Apache-2.0 */
/* A pool of objects that several machines reach, as storage_pooled uses it: everything it does to a
 * cluster goes through this table.
 *
 * Why a table: as with posix_calls.h, tests put something else in its place: a pool in memory with
 * several clients, a clock of its own, calls whose outcome stays unknown and other clients that act
 * between any two calls. So every window in which a writer may die or be overtaken is walked
 * through in each build, with no cluster and no librados.
 *
 * Objects have bytes, attributes, keys (sorted, each with a value) and a lock that ends by itself.
 * A change is about one object and is all or nothing: its guards are judged in the same step. It is
 * on every replica when 0 is returned. Attributes and values are at most POOL_VALUE_MAX bytes.
 *
 * Errors of every call: -ESHUTDOWN this client was shut out, now and for ever; -ETIMEDOUT (or any
 * other that is not named below) the outcome is unknown: it may have been done, or be done later.
 * Calls may be made from any thread. */
#ifndef KVCORE_STORAGE_POOL_H
#define KVCORE_STORAGE_POOL_H

#include <sys/uio.h>

#include <kv/slice.h>

enum { POOL_VALUE_MAX = 1024 };

/* A named value: an attribute or a key. `name` is text without NUL. */
struct pool_value {
    const char *name;
    struct kv_slice value;
};

/* Judged before anything is done; an attribute that is missing counts as empty. */
struct pool_guard {
    const char *attribute;
    enum { POOL_IS = 1, POOL_IS_BELOW } relation; /* bytes, compared as memcmp does */
    struct kv_slice value;
};

/* Parts that are zero are not done; the others in the order they stand here. */
struct pool_change {
    const struct pool_guard *guards;
    size_t guard_count;
    bool create; /* the object must not be there */
    const struct pool_value *attributes;
    size_t attribute_count;
    const struct pool_value *keys; /* set */
    size_t key_count;
    const char *key_removed;   /* that it is not there is no error */
    const struct iovec *parts; /* bytes written at `offset` */
    int part_count;
    uint64_t offset;
    uint64_t zero_bytes; /* from `offset` on; must lie within the object */
    bool remove;
};

struct pool;

/* What a change came to that was begun. From any thread, which may hold locks of its own: nothing
 * of a pool is called from it. */
typedef void pool_done_fn(void *arg, int result);

/* What is not 0 ends the listing. */
typedef int pool_key_fn(void *arg, const char *name, struct kv_slice value);

struct pool_ops {
    void (*close)(struct pool *pool);
    /* Errors: -ECANCELED a guard does not hold; -EEXIST; -ENOENT no such object, and it is not to
     * be created; -ENOSPC the pool is full, or the quota of its users; then what takes no more
     * room, like a removal, is done all the same; -EOPNOTSUPP keys in a pool that has none (one
     * with erasure coding). */
    int (*change)(struct pool *pool, const char *object, const struct pool_change *change);
    /* The same, and `done` is told what came of it, once, and not before this call has begun; on
     * failure never. What `change` points to may go when this returns. Changes of one object by one
     * client are judged and made in the order in which they were begun, unless the outcome of one
     * is unknown; they may be told in any. All were told before the client is closed. */
    int (*begin)(struct pool *pool, const char *object, const struct pool_change *change,
                 pool_done_fn *done, void *arg);
    /* Up to `size` bytes from `offset`, short only at the end. Errors: -ENOENT. */
    int (*read)(struct pool *pool, const char *object, uint64_t offset, void *to, size_t size,
                size_t *ret_size);
    /* Number of bytes. Errors: -ENOENT. */
    int (*stat)(struct pool *pool, const char *object, uint64_t *ret_size);
    /* Errors: -ENOENT no such object; -ENODATA no such attribute. */
    int (*attribute)(struct pool *pool, const char *object, const char *name,
                     struct kv_buf *ret_value);
    /* Errors: -ENOENT no such object; -ENODATA no such key. */
    int (*key)(struct pool *pool, const char *object, const char *name, struct kv_buf *ret_value);
    /* Every key, ascending. Only while nobody changes them it is one moment's. Errors: -ENOENT; and
     * what `fn` returned. */
    int (*keys)(struct pool *pool, const char *object, pool_key_fn *fn, void *arg);
    /* Take the lock of an object, which is made if it is missing, for so long; or `renew` one that
     * this client holds. Errors: -EBUSY held by others (a shared one: exclusively); -ENOENT `renew`
     * and it is not held, or no longer; -EEXIST not `renew` and it is held by this client. */
    int (*lock)(struct pool *pool, const char *object, bool exclusive, bool renew,
                uint64_t duration_ms);
    /* -ENOENT is no error. */
    int (*unlock)(struct pool *pool, const char *object);
    /* 1 somebody holds it exclusively, 0 nobody does. */
    int (*is_locked)(struct pool *pool, const char *object);
    /* What others can shut this client out by. */
    const char *(*address)(struct pool *pool);
    /* Whatever that client does after the next call of this one here fails, or was done before.
     * Errors: -EACCES, -EPERM this client may not do that; -EINVAL it is no client's address. */
    int (*shut_out)(struct pool *pool, const char *address);
    /* A clock that runs while the process is stopped, and that nobody sets. */
    uint64_t (*now_ns)(struct pool *pool);
};

/* An implementation embeds this first. */
struct pool {
    const struct pool_ops *ops;
};

#endif
