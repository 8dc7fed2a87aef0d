/* SPDX-License-Identifier: Apache-2.0 */
/* The lease: a lock with an end on the object `lease`, which a thread renews at a fifth of its
 * time, and the epoch, which guards every change.
 *
 * The lock keeps others away as long as its holder lives, and says when they may come. It protects
 * nothing: a holder that was stopped does not know that its time is over. What protects is the
 * epoch. So no write asks a clock, and a lease that ran out while the cluster was away is taken
 * again if nobody has raised the epoch meanwhile. Only reads ask a clock: what this process reads
 * may have been overtaken. */
#include "kvcore/storage/pooled_store.h"

#include <assert.h>

#include "kvcore/util/clock.h"

/* How long a lease counts here: less than the servers let its lock stand, for they go by clocks
 * that are set, and not at the pace of this one. */
static uint64_t valid_ns(const struct pooled_storage *storage)
{
    uint64_t lease_ns = storage->options.lease_ms * 1000000;
    return lease_ns - lease_ns / POOLED_RENEWALS_PER_LEASE;
}

int pooled_lose(struct pooled_storage *storage, int error)
{
    mutex_lock(&storage->mu);
    if (!atomic_load(&storage->lost)) {
        storage->lost_error = error;
        atomic_store(&storage->lost, true);
    }
    condvar_signal(&storage->wake);
    condvar_broadcast(&storage->renewed);
    mutex_unlock(&storage->mu);
    return -POOLED_EFENCED;
}

/* ---- changes ----------------------------------------------------------------------------------
 */

/* Whether an error says for certain that nothing was done. */
static bool is_refusal(int r)
{
    return r == -ECANCELED || r == -EEXIST || r == -ENOENT || r == -ENOSPC || r == -EACCES ||
           r == -EPERM || r == -EOPNOTSUPP;
}

/* Why nothing may be changed, or 0. */
static int check_may_change(const struct pooled_storage *storage)
{
    if (atomic_load(&storage->lease) != KV_LEASE_EXCLUSIVE) {
        return -EROFS;
    }
    return atomic_load(&storage->lost) ? -POOLED_EFENCED : 0;
}

static int attempt(struct pooled_storage *storage, const char *object,
                   const struct pool_change *what)
{
    int r = check_may_change(storage);
    if (r < 0) {
        return r;
    }
    r = storage->pool->ops->change(storage->pool, object, what);
    return r == 0 || is_refusal(r) ? r : pooled_lose(storage, r);
}

int pooled_change_unguarded(struct pooled_storage *storage, const char *object,
                            const struct pool_change *what)
{
    return attempt(storage, object, what);
}

int pooled_change(struct pooled_storage *storage, const char *object,
                  const struct pool_change *what)
{
    struct pool_guard guards[2] = {
        {POOLED_EPOCH_ATTR, POOL_IS, pooled_count_slice(&storage->epoch_text)}};
    struct pool_change guarded = *what;

    assert(what->guard_count <= 1 && !what->create);
    if (what->guard_count > 0) {
        guards[1] = what->guards[0];
    }
    guarded.guards = guards;
    guarded.guard_count = 1 + what->guard_count;
    int r = attempt(storage, object, &guarded);
    if (r == -ENOENT && strcmp(object, POOLED_ROOT) == 0) {
        return pooled_root_missing(storage);
    }
    return r == -ECANCELED && what->guard_count == 0 ? pooled_lose(storage, -POOLED_EFENCED) : r;
}

int pooled_change_begin(struct pooled_storage *storage, const char *object,
                        const struct pool_change *what, pool_done_fn *done, void *arg)
{
    struct pool_guard guard = {POOLED_EPOCH_ATTR, POOL_IS,
                               pooled_count_slice(&storage->epoch_text)};
    struct pool_change guarded = *what;
    int r = check_may_change(storage);

    assert(what->guard_count == 0 && !what->create);
    guarded.guards = &guard;
    guarded.guard_count = 1;
    return r < 0 ? r : storage->pool->ops->begin(storage->pool, object, &guarded, done, arg);
}

/* ---- renewal ----------------------------------------------------------------------------------
 */

int pooled_check_epoch(struct pooled_storage *storage)
{
    struct kv_buf bytes = {0};
    uint64_t epoch = 0;

    if (atomic_load(&storage->lease) == KV_LEASE_FOLLOW) {
        return pooled_follow_check(storage);
    }
    int r = storage->pool->ops->attribute(storage->pool, POOLED_ROOT, POOLED_EPOCH_ATTR, &bytes);
    r = r < 0 ? r : pooled_count_decode(kv_buf_slice(&bytes), &epoch);
    kv_buf_finish(&bytes);
    if (r == -ENOENT) {
        return -POOLED_EFENCED;
    }
    return r < 0 ? r : epoch == storage->epoch ? 0 : -POOLED_EFENCED;
}

int pooled_root_missing(struct pooled_storage *storage)
{
    return atomic_load(&storage->lease) != 0 ? pooled_lose(storage, -ENOENT) : -ENOENT;
}

int pooled_piece_missing(struct pooled_storage *storage)
{
    int r = atomic_load(&storage->lease) != 0 ? pooled_check_epoch(storage) : 0;
    return r == 0 ? -KV_EDAMAGED : r == -POOLED_EFENCED ? pooled_lose(storage, r) : r;
}

/* The lock ran out and is held again. Who looked at the store and had the lock in between may be
 * stopped right before it raises the epoch: a new term makes what it saw old. No term is tried
 * twice, so one whose answer is lost does no harm when it lands. */
static int begin_term(struct pooled_storage *storage)
{
    struct pooled_count term = pooled_count_encode(++storage->term);
    struct pool_guard guards[] = {
        {POOLED_EPOCH_ATTR, POOL_IS, pooled_count_slice(&storage->epoch_text)},
        {POOLED_TERM_ATTR, POOL_IS_BELOW, pooled_count_slice(&term)},
    };
    struct pool_value value = {POOLED_TERM_ATTR, pooled_count_slice(&term)};
    int r = storage->pool->ops->change(
        storage->pool, POOLED_ROOT,
        &(struct pool_change){
            .guards = guards, .guard_count = 2, .attributes = &value, .attribute_count = 1});
    return r == -ECANCELED || r == -ENOENT ? -POOLED_EFENCED : r;
}

/* After the lock is held again. */
static int check_still_mine(struct pooled_storage *storage, bool exclusive)
{
    if (!exclusive || !storage->retaken) {
        return pooled_check_epoch(storage);
    }
    int r = begin_term(storage); /* compares the epoch */
    if (r == 0) {
        storage->retaken = false;
    }
    return r;
}

static int renew_lock(struct pooled_storage *storage, bool exclusive)
{
    const struct pool_ops *ops = storage->pool->ops;
    uint64_t lease_ms = storage->options.lease_ms;

    int r = ops->lock(storage->pool, POOLED_LEASE, exclusive, true, lease_ms);
    if (r == -ENOENT) { /* it ran out, or was broken: somebody may have been there in between */
        storage->retaken = true;
        r = ops->lock(storage->pool, POOLED_LEASE, exclusive, false, lease_ms);
        r = r == -EEXIST ? 0 : r;
    }
    return r < 0 ? r : check_still_mine(storage, exclusive);
}

static int renew(struct pooled_storage *storage, enum kv_lease_mode mode)
{
    uint64_t begun_ns = storage->pool->ops->now_ns(storage->pool);
    int r = mode == KV_LEASE_FOLLOW ? pooled_follow_beat(storage)
                                    : renew_lock(storage, mode == KV_LEASE_EXCLUSIVE);
    if (r == 0) {
        atomic_store(&storage->valid_until_ns, begun_ns + valid_ns(storage));
    }
    return r;
}

/* Until the next renewal is due, or asked for. False: the lease ends, or is lost. */
static bool wait_for_turn(struct pooled_storage *storage)
{
    uint64_t pause_ns = storage->options.lease_ms * 1000000 / POOLED_RENEWALS_PER_LEASE;
    uint64_t deadline_ns = clock_monotonic_ns() + pause_ns;
    bool in_time = true;

    mutex_lock(&storage->mu);
    while (in_time && !storage->ending && !storage->renew_now && !atomic_load(&storage->lost)) {
        in_time = condvar_wait_until(&storage->wake, &storage->mu, deadline_ns);
    }
    storage->renew_now = false;
    bool ends = storage->ending || atomic_load(&storage->lost);
    mutex_unlock(&storage->mu);
    return !ends;
}

static void tell_lost(struct pooled_storage *storage)
{
    mutex_lock(&storage->mu);
    kv_lease_lost_fn *fn = storage->lost_fn;
    void *arg = storage->lost_arg;
    int error = storage->lost_error;
    storage->lost_fn = NULL;
    storage->telling = fn != NULL;
    mutex_unlock(&storage->mu);
    if (fn != NULL) {
        fn(arg, error);
    }
    mutex_lock(&storage->mu);
    storage->telling = false;
    condvar_broadcast(&storage->renewed);
    mutex_unlock(&storage->mu);
}

/* Of a renewal: the next attempt may find out more. All else would be answered the same way again:
 * somebody has the lock or the store, the root object is gone or damaged, this client may no more.
 */
static bool may_pass(int r)
{
    return r == -ETIMEDOUT || r == -EAGAIN || r == -EINTR || r == -ENOMEM || r == -ENOSPC;
}

/* What others see of the lease; of a follower once it reads nothing any more. If that fails it ends
 * by itself. */
static void give_up(struct pooled_storage *storage, int mode)
{
    if (mode == KV_LEASE_FOLLOW) {
        pooled_follow_end(storage);
    } else {
        kv_ignore(storage->pool->ops->unlock(storage->pool, POOLED_LEASE));
    }
}

static void *renewer_main(void *arg)
{
    struct pooled_storage *storage = (struct pooled_storage *)arg;
    enum kv_lease_mode mode = (enum kv_lease_mode)atomic_load(&storage->lease);
    int r = 0;

    while (r == 0 && wait_for_turn(storage)) {
        r = renew(storage, mode);
        r = may_pass(r) ? 0 : r;
        mutex_lock(&storage->mu);
        condvar_broadcast(&storage->renewed);
        mutex_unlock(&storage->mu);
    }
    if (r < 0) {
        /* The lock may have been taken again: whoever has the store now needs it. */
        kv_ignore(storage->pool->ops->unlock(storage->pool, POOLED_LEASE));
        pooled_lose(storage, r);
    }
    if (atomic_load(&storage->lost)) {
        tell_lost(storage);
        give_up(storage, mode);
    }
    return NULL;
}

static int start_renewer(struct pooled_storage *storage)
{
    int r = thread_start(&storage->renewer, "kv-lease", renewer_main, storage);
    if (r == 0) {
        mutex_lock(&storage->mu);
        storage->renewing = true;
        mutex_unlock(&storage->mu);
    }
    return r;
}

void pooled_lease_watch(struct kv_storage *base, kv_lease_lost_fn *fn, void *arg)
{
    struct pooled_storage *storage = pooled_storage(base);

    mutex_lock(&storage->mu);
    while (storage->telling) {
        condvar_wait(&storage->renewed, &storage->mu);
    }
    bool now = fn != NULL && atomic_load(&storage->lost);
    int error = storage->lost_error;
    storage->lost_fn = now ? NULL : fn;
    storage->lost_arg = arg;
    mutex_unlock(&storage->mu);
    if (now) {
        fn(arg, error);
    }
}

static bool is_valid(struct pooled_storage *storage)
{
    return storage->pool->ops->now_ns(storage->pool) < atomic_load(&storage->valid_until_ns);
}

int pooled_check_lease(struct pooled_storage *storage)
{
    if (atomic_load(&storage->lease) == 0) {
        return 0;
    }
    if (!atomic_load(&storage->lost) && is_valid(storage)) {
        return 0;
    }
    mutex_lock(&storage->mu);
    storage->renew_now = true;
    condvar_signal(&storage->wake);
    while (!atomic_load(&storage->lost) && !is_valid(storage)) {
        condvar_wait(&storage->renewed, &storage->mu);
    }
    mutex_unlock(&storage->mu);
    return atomic_load(&storage->lost) ? -POOLED_EFENCED : 0;
}

/* ---- taking and giving up ---------------------------------------------------------------------
 */

/* Say who writes; nobody, if `line` is NULL. */
static int set_holder(struct pooled_storage *storage, const char *line)
{
    const char *address = storage->pool->ops->address(storage->pool);
    struct kv_buf bytes = {0};
    int r = 0;

    if (line != NULL) {
        r = pooled_holder_encode((struct pooled_holder){kv_slice_str(address), kv_slice_str(line)},
                                 &bytes);
    }
    if (r == 0) {
        struct pool_value holder = {POOLED_HOLDER_ATTR, kv_buf_slice(&bytes)};
        r = pooled_change(storage, POOLED_ROOT,
                          &(struct pool_change){.attributes = &holder, .attribute_count = 1});
    }
    kv_buf_finish(&bytes);
    return r;
}

void pooled_lease_release(struct pooled_storage *storage)
{
    mutex_lock(&storage->mu);
    bool renewing = storage->renewing;
    storage->renewing = false;
    storage->ending = true;
    condvar_signal(&storage->wake);
    mutex_unlock(&storage->mu);
    if (renewing) {
        thread_join(&storage->renewer);
    }
    if (atomic_load(&storage->lease) == KV_LEASE_EXCLUSIVE) {
        kv_ignore(set_holder(storage, NULL)); /* then whoever comes takes the store over */
    }
    if (atomic_load(&storage->lease) != 0) {
        give_up(storage, atomic_load(&storage->lease));
    }
    atomic_store(&storage->lease, 0);
}

static int lock(struct pooled_storage *storage, enum kv_lease_mode mode)
{
    const struct pool_ops *ops = storage->pool->ops;
    uint64_t begun_ns = ops->now_ns(storage->pool);
    uint64_t lease_ms = storage->options.lease_ms;
    int r = ops->lock(storage->pool, POOLED_LEASE, mode == KV_LEASE_EXCLUSIVE, false, lease_ms);
    if (r == -EEXIST) { /* of an earlier attempt, whose answers were lost */
        r = ops->lock(storage->pool, POOLED_LEASE, mode == KV_LEASE_EXCLUSIVE, true, lease_ms);
        r = r == -ENOENT ? -EBUSY : r;
    }
    if (r == 0) {
        atomic_store(&storage->valid_until_ns, begun_ns + valid_ns(storage));
    }
    return r;
}

/* The lock was held all the time, so that nobody else was let in by it. */
static int check_lock(struct pooled_storage *storage)
{
    const struct pool_ops *ops = storage->pool->ops;
    int r = ops->lock(storage->pool, POOLED_LEASE, true, true, storage->options.lease_ms);
    return r == -ENOENT ? -EBUSY : r;
}

/* With the lock held. The renewer comes before what may take longer than the lock lasts: the
 * monitors may be away, and the fences take as long as there are files that were open. */
static int begin_writing(struct pooled_storage *storage, struct pooled_before before,
                         const char *holder)
{
    char last_writer[POOLED_ADDRESS_MAX + 1] = {0};
    int r = pooled_raise_epoch(storage, before, holder, last_writer);
    /* Where this process was stopped before the raise until its lock had ended, a reader may be
     * there by now: nothing is written beside it. */
    r = r < 0 ? r : check_lock(storage);
    if (r < 0) {
        return r;
    }
    atomic_store(&storage->lease, KV_LEASE_EXCLUSIVE);
    r = start_renewer(storage);
    if (r < 0) {
        return r;
    }
    pooled_shut_out(storage, last_writer);
    return pooled_fence_files(storage);
}

/* With the lock held, which lets no writer come; one may have come and gone since it was looked. */
static int begin_reading(struct pooled_storage *storage)
{
    struct pooled_before now = {0};
    int r = pooled_look_before(storage, KV_LEASE_SHARED, &now);

    if (r < 0) {
        return r;
    }
    storage->epoch = now.epoch;
    atomic_store(&storage->lease, KV_LEASE_SHARED);
    return start_renewer(storage);
}

/* No lock: writers come and go. */
static int begin_following(struct pooled_storage *storage)
{
    struct pooled_before now = {0};
    int r = pooled_look_before(storage, KV_LEASE_FOLLOW, &now);

    if (r < 0) {
        return r;
    }
    r = pooled_follow_begin(storage);
    /* It may have been erased before that, so that nobody struck this one out. */
    r = r < 0 ? r : pooled_look_before(storage, KV_LEASE_FOLLOW, &now);
    r = r < 0 ? r : renew(storage, KV_LEASE_FOLLOW);
    if (r == 0) {
        atomic_store(&storage->lease, KV_LEASE_FOLLOW);
        r = start_renewer(storage);
    }
    if (r < 0) {
        pooled_follow_end(storage);
        atomic_store(&storage->lease, 0);
    }
    return r;
}

int pooled_lease_acquire(struct kv_storage *base, enum kv_lease_mode mode, const char *holder)
{
    struct pooled_storage *storage = pooled_storage(base);
    struct pooled_before before = {0};

    if (atomic_load(&storage->lease) != 0 || atomic_load(&storage->lost)) {
        return -EBUSY;
    }
    if (mode == KV_LEASE_FOLLOW) {
        return begin_following(storage);
    }
    /* Before the lock is taken: who was stopped behind it finds that the epoch is another. */
    int r = pooled_look_before(storage, mode, &before);
    if (r < 0) {
        return r;
    }
    r = lock(storage, mode);
    if (r == 0) {
        r = mode == KV_LEASE_EXCLUSIVE ? begin_writing(storage, before, holder)
                                       : begin_reading(storage);
    }
    if (r < 0 && atomic_load(&storage->lease) == 0) {
        /* Also if only the answer said that there is no lock. It ends anyway. */
        kv_ignore(storage->pool->ops->unlock(storage->pool, POOLED_LEASE));
    } else if (r < 0) {
        pooled_lease_release(storage);
        pooled_lose(storage, r); /* its renewer is gone: it is not to be tried again */
    }
    return r;
}

int pooled_lease_describe(struct kv_storage *base, const char *holder)
{
    return set_holder(pooled_storage(base), holder);
}

int pooled_lease_holder(struct kv_storage *base, struct kv_buf *ret_holder)
{
    struct pooled_storage *storage = pooled_storage(base);
    struct pooled_holder holder = {0};
    struct kv_buf bytes = {0};

    int r = storage->pool->ops->is_locked(storage->pool, POOLED_LEASE);
    if (r <= 0) {
        return r == 0 ? -ENOENT : r;
    }
    r = storage->pool->ops->attribute(storage->pool, POOLED_ROOT, POOLED_HOLDER_ATTR, &bytes);
    if (r == 0 && bytes.size > 0) {
        r = pooled_holder_decode(kv_buf_slice(&bytes), &holder);
    }
    r = r == -ENODATA ? -ENOENT : r; /* it is being made */
    r = r < 0 ? r : kv_buf_assign(ret_holder, holder.line);
    kv_buf_finish(&bytes);
    return r;
}
