/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/storage/fake_cluster.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "kvcore/util/clock.h"
#include "kvcore/util/thread.h"
#include "tests/storage/fake_late.h"
#include "tests/storage/fake_table.h"

enum { LOCKERS_MAX = 8, CLIENTS_MAX = 256 };

struct locker {
    unsigned client;
    uint64_t until_ns;
};

struct object {
    char name[80];
    struct kv_buf bytes;
    struct table attributes, keys;
    struct locker lockers[LOCKERS_MAX];
    size_t locker_count;
    bool exclusive;
    struct object *next;
};

struct fake_cluster {
    struct mutex mu;
    struct object *objects;
    struct late *late;
    unsigned client_count;
    bool shut_out[CLIENTS_MAX];
    bool shut_out_forbidden;
    size_t limit;
    bool keys_forbidden;
    struct rng *disorder; /* begun changes come in any order that is allowed */
    _Atomic uint64_t passed_ns;
};

struct fake_client {
    struct pool base;
    struct fake_cluster *cluster;
    unsigned id;
    char address[32];
    fake_plan_fn *plan;
    void *plan_arg;
    _Atomic unsigned index;
    _Atomic bool dead;
    struct condvar changed; /* with the cluster's mutex, as are these: */
    struct late *begun;     /* in order */
    struct thread worker;   /* which makes and tells them */
    bool works;
    bool closing;
};

static struct fake_client *client_of(struct pool *pool)
{
    return (struct fake_client *)pool;
}

static uint64_t cluster_now(struct fake_cluster *cluster)
{
    return clock_monotonic_ns() + atomic_load(&cluster->passed_ns);
}

/* ---- objects ----------------------------------------------------------------------------------
 */

static void must(int r)
{
    assert(r >= 0);
}

static struct object *find(struct fake_cluster *cluster, const char *name)
{
    struct object *object = cluster->objects;
    while (object != NULL && strcmp(object->name, name) != 0) {
        object = object->next;
    }
    return object;
}

static struct object *make(struct fake_cluster *cluster, const char *name)
{
    struct object *object = calloc(1, sizeof *object);
    assert(object != NULL && strlen(name) < sizeof object->name);
    snprintf(object->name, sizeof object->name, "%s", name);
    object->next = cluster->objects;
    cluster->objects = object;
    return object;
}

static void remove_object(struct fake_cluster *cluster, struct object *object)
{
    struct object **link = &cluster->objects;
    while (*link != object) {
        link = &(*link)->next;
    }
    *link = object->next;
    table_finish(&object->attributes);
    table_finish(&object->keys);
    kv_buf_finish(&object->bytes);
    free(object);
}

/* ---- changes ----------------------------------------------------------------------------------
 */

static bool guard_holds(const struct object *object, const struct pool_guard *guard)
{
    const struct named *named = table_find(&object->attributes, guard->attribute);
    struct kv_slice have = named != NULL ? kv_buf_slice(&named->value) : kv_slice(NULL, 0);
    int order = kv_slice_compare(have, guard->value);
    return guard->relation == POOL_IS ? order == 0 : order < 0;
}

static void write_bytes(struct object *object, const struct pool_change *change)
{
    uint64_t at = change->offset;
    for (int i = 0; i < change->part_count; i++) {
        const struct iovec *part = &change->parts[i];
        size_t end = (size_t)at + part->iov_len;
        if (end > object->bytes.size) {
            must(kv_buf_reserve(&object->bytes, end - object->bytes.size));
            memset(object->bytes.data + object->bytes.size, 0, end - object->bytes.size);
            object->bytes.size = end;
        }
        if (part->iov_len > 0) {
            memcpy(object->bytes.data + at, part->iov_base, part->iov_len);
        }
        at = end;
    }
    if (change->zero_bytes > 0) {
        assert(change->offset + change->zero_bytes <= object->bytes.size);
        memset(object->bytes.data + change->offset, 0, (size_t)change->zero_bytes);
    }
}

static size_t used_by_all(const struct fake_cluster *cluster)
{
    size_t used = 0;
    for (const struct object *object = cluster->objects; object != NULL; object = object->next) {
        used += object->bytes.size;
    }
    return used;
}

/* By how much the change makes an object larger; one more for one that it makes. */
static size_t growth(const struct object *object, const struct pool_change *change)
{
    size_t have = object != NULL ? object->bytes.size : 0;
    size_t end = (size_t)change->offset;

    for (int i = 0; i < change->part_count; i++) {
        end += change->parts[i].iov_len;
    }
    bool grows = change->part_count > 0 && end > have;
    return (grows ? end - have : 0) + change->create;
}

static int apply(struct fake_cluster *cluster, const char *name, const struct pool_change *change)
{
    struct object *object = find(cluster, name);

    if (change->create ? object != NULL : object == NULL) {
        return change->create ? -EEXIST : -ENOENT;
    }
    for (size_t i = 0; i < change->guard_count; i++) {
        if (!guard_holds(object, &change->guards[i])) {
            return -ECANCELED;
        }
    }
    if (cluster->keys_forbidden && (change->key_count > 0 || change->key_removed != NULL)) {
        return -EOPNOTSUPP;
    }
    size_t more = growth(object, change);
    if (more > 0 && used_by_all(cluster) + more > cluster->limit) {
        return -ENOSPC;
    }
    object = change->create ? make(cluster, name) : object;
    for (size_t i = 0; i < change->attribute_count; i++) {
        table_set(&object->attributes, &change->attributes[i]);
    }
    for (size_t i = 0; i < change->key_count; i++) {
        table_set(&object->keys, &change->keys[i]);
    }
    if (change->key_removed != NULL) {
        table_remove(&object->keys, change->key_removed);
    }
    write_bytes(object, change);
    if (change->remove) {
        remove_object(cluster, object);
    }
    return 0;
}

/* ---- calls that come late ---------------------------------------------------------------------
 */

static void postpone(struct fake_client *client, struct late *late)
{
    late->next = client->cluster->late;
    client->cluster->late = late;
}

void fake_cluster_land(struct fake_cluster *cluster)
{
    mutex_lock(&cluster->mu);
    while (cluster->late != NULL) {
        struct late *late = cluster->late;
        cluster->late = late->next;
        if (!cluster->shut_out[late->client]) {
            kv_ignore(apply(cluster, late->object, &late->change)); /* if its guards hold */
        }
        late_free(late);
    }
    mutex_unlock(&cluster->mu);
}

/* ---- the calls of a client --------------------------------------------------------------------
 */

/* 0, or why the client gets no further. */
static int check_alive(struct fake_client *client)
{
    mutex_lock(&client->cluster->mu);
    bool shut_out = client->cluster->shut_out[client->id];
    mutex_unlock(&client->cluster->mu);
    return shut_out || atomic_load(&client->dead) ? -ESHUTDOWN : 0;
}

/* Ask the plan. */
static int begin_step(struct fake_client *client, enum fake_fate *ret_fate)
{
    int r = check_alive(client);
    if (r < 0) {
        return r;
    }
    *ret_fate = FAKE_DONE;
    if (client->plan != NULL) {
        *ret_fate = client->plan(client->plan_arg, atomic_fetch_add(&client->index, 1));
    }
    if (*ret_fate == FAKE_UNSENT) {
        atomic_store(&client->dead, true);
    }
    return check_alive(client); /* the plan may have had others shut it out */
}

/* Before a call that only looks. */
static int begin_look(struct pool *pool)
{
    enum fake_fate fate = FAKE_DONE;
    int r = begin_step(client_of(pool), &fate);
    return r < 0 ? r : fate == FAKE_DONE ? 0 : -ETIMEDOUT;
}

static int fake_change(struct pool *pool, const char *name, const struct pool_change *change)
{
    struct fake_client *client = client_of(pool);
    enum fake_fate fate = FAKE_DONE;
    int r = begin_step(client, &fate);
    if (r < 0) {
        return r;
    }
    mutex_lock(&client->cluster->mu);
    if (fate == FAKE_LATE) {
        postpone(client, late_copy(client->id, name, change));
    } else {
        r = apply(client->cluster, name, change);
    }
    mutex_unlock(&client->cluster->mu);
    return fate == FAKE_DONE ? r : -ETIMEDOUT;
}

/* ---- changes that are begun -------------------------------------------------------------------
 */

/* Whether none is to be made before it. */
static bool is_in_turn(const struct fake_client *client, const struct late *late)
{
    for (const struct late *at = client->begun; at != late; at = at->next) {
        if (!at->made && strcmp(at->object, late->object) == 0) {
            return false;
        }
    }
    return true;
}

/* One to be made or told now. */
static struct late *pick(struct fake_client *client)
{
    struct rng *disorder = client->cluster->disorder;
    struct late *picked = client->begun;
    unsigned count = 0;

    for (struct late *at = client->begun; disorder != NULL && at != NULL; at = at->next) {
        if ((at->made || is_in_turn(client, at)) && rng_below(disorder, ++count) == 0) {
            picked = at;
        }
    }
    return picked;
}

static void take_out(struct fake_client *client, struct late *late)
{
    struct late **link = &client->begun;
    while (*link != late) {
        link = &(*link)->next;
    }
    *link = late->next;
}

/* Called and returns with the cluster's mutex held. */
static void make_begun(struct fake_client *client, struct late *late) REQUIRES(client->cluster->mu)
{
    struct timespec pause = {0};
    enum fake_fate fate = FAKE_DONE;

    if (client->cluster->disorder != NULL && rng_below(client->cluster->disorder, 4) == 0) {
        pause.tv_nsec = (long)rng_below(client->cluster->disorder, 300 * 1000);
    }
    mutex_unlock(&client->cluster->mu);
    nanosleep(&pause, NULL);
    int r = begin_step(client, &fate);
    mutex_lock(&client->cluster->mu);
    late->made = true;
    late->lands = r == 0 && fate == FAKE_LATE;
    if (r == 0 && fate != FAKE_LATE) {
        r = apply(client->cluster, late->object, &late->change);
    }
    late->result = fate == FAKE_DONE || r == -ESHUTDOWN ? r : -ETIMEDOUT;
}

/* Called and returns with the cluster's mutex held. */
static void tell(struct fake_client *client, struct late *late) REQUIRES(client->cluster->mu)
{
    take_out(client, late);
    mutex_unlock(&client->cluster->mu);
    late->done(late->done_arg, late->result);
    mutex_lock(&client->cluster->mu);
    if (late->lands) {
        postpone(client, late);
    } else {
        late_free(late);
    }
}

static void *work(void *arg)
{
    struct fake_client *client = (struct fake_client *)arg;

    mutex_lock(&client->cluster->mu);
    while (!client->closing || client->begun != NULL) {
        struct late *late = pick(client);
        if (late == NULL) {
            condvar_wait(&client->changed, &client->cluster->mu);
        } else if (!late->made) {
            make_begun(client, late);
        } else {
            tell(client, late);
        }
    }
    mutex_unlock(&client->cluster->mu);
    return NULL;
}

static int fake_begin(struct pool *pool, const char *name, const struct pool_change *change,
                      pool_done_fn *done, void *arg)
{
    struct fake_client *client = client_of(pool);
    struct late *late = late_copy(client->id, name, change);
    struct late **link = &client->begun;

    late->done = done;
    late->done_arg = arg;
    mutex_lock(&client->cluster->mu);
    while (*link != NULL) {
        link = &(*link)->next;
    }
    *link = late;
    if (!client->works) {
        client->works = true;
        must(thread_start(&client->worker, FAKE_WORKER, work, client));
    }
    condvar_signal(&client->changed);
    mutex_unlock(&client->cluster->mu);
    return 0;
}

static int fake_read(struct pool *pool, const char *name, uint64_t offset, void *to, size_t size,
                     size_t *ret_size)
{
    struct fake_client *client = client_of(pool);
    int r = begin_look(pool);

    mutex_lock(&client->cluster->mu);
    const struct object *object = find(client->cluster, name);
    r = r < 0 ? r : object == NULL ? -ENOENT : 0;
    if (r == 0) {
        size_t have = offset < object->bytes.size ? object->bytes.size - (size_t)offset : 0;
        *ret_size = size < have ? size : have;
        if (*ret_size > 0) {
            memcpy(to, object->bytes.data + offset, *ret_size);
        }
    }
    mutex_unlock(&client->cluster->mu);
    return r;
}

static int fake_stat(struct pool *pool, const char *name, uint64_t *ret_size)
{
    struct fake_client *client = client_of(pool);
    int r = begin_look(pool);

    mutex_lock(&client->cluster->mu);
    const struct object *object = find(client->cluster, name);
    r = r < 0 ? r : object == NULL ? -ENOENT : 0;
    if (r == 0) {
        *ret_size = object->bytes.size;
    }
    mutex_unlock(&client->cluster->mu);
    return r;
}

static int get_named(struct pool *pool, const char *object_name, bool key, const char *name,
                     struct kv_buf *ret_value)
{
    struct fake_client *client = client_of(pool);
    int r = begin_look(pool);

    mutex_lock(&client->cluster->mu);
    struct object *object = find(client->cluster, object_name);
    r = r < 0 ? r : object == NULL ? -ENOENT : 0;
    if (r == 0) {
        const struct named *named = table_find(key ? &object->keys : &object->attributes, name);
        r = named == NULL ? -ENODATA : kv_buf_assign(ret_value, kv_buf_slice(&named->value));
    }
    mutex_unlock(&client->cluster->mu);
    return r;
}

static int fake_attribute(struct pool *pool, const char *object, const char *name,
                          struct kv_buf *ret_value)
{
    return get_named(pool, object, false, name, ret_value);
}

static int fake_key(struct pool *pool, const char *object, const char *name,
                    struct kv_buf *ret_value)
{
    return get_named(pool, object, true, name, ret_value);
}

static int fake_keys(struct pool *pool, const char *name, pool_key_fn *fn, void *arg)
{
    struct fake_client *client = client_of(pool);
    int r = begin_look(pool);

    mutex_lock(&client->cluster->mu);
    const struct object *object = find(client->cluster, name);
    r = r < 0 ? r : object == NULL ? -ENOENT : 0;
    for (size_t i = 0; r == 0 && i < object->keys.count; i++) {
        r = fn(arg, object->keys.named[i].name, kv_buf_slice(&object->keys.named[i].value));
    }
    mutex_unlock(&client->cluster->mu);
    return r;
}

static const char *fake_address(struct pool *pool)
{
    return client_of(pool)->address;
}

static int fake_shut_out(struct pool *pool, const char *address)
{
    struct fake_client *client = client_of(pool);
    unsigned id = 0;
    enum fake_fate fate = FAKE_DONE;
    int r = begin_step(client, &fate);

    if (r < 0) {
        return r;
    }
    bool known = sscanf(address, "client-%u", &id) == 1 && id < CLIENTS_MAX;
    mutex_lock(&client->cluster->mu);
    r = client->cluster->shut_out_forbidden ? -EACCES : known ? 0 : -EINVAL;
    if (r == 0) {
        client->cluster->shut_out[id] = true;
    }
    mutex_unlock(&client->cluster->mu);
    return r;
}

static uint64_t fake_now(struct pool *pool)
{
    return cluster_now(client_of(pool)->cluster);
}

static void fake_close(struct pool *pool)
{
    struct fake_client *client = client_of(pool);

    mutex_lock(&client->cluster->mu);
    assert(client->begun == NULL);
    client->closing = true;
    condvar_signal(&client->changed);
    mutex_unlock(&client->cluster->mu);
    if (client->works) {
        thread_join(&client->worker);
    }
    condvar_finish(&client->changed);
    free(client);
}

/* ---- locks ------------------------------------------------------------------------------------
 */

static void drop_locker(struct object *object, size_t at)
{
    object->lockers[at] = object->lockers[--object->locker_count];
}

static void drop_expired(struct object *object, uint64_t now_ns)
{
    for (size_t i = object->locker_count; i-- > 0;) {
        if (object->lockers[i].until_ns <= now_ns) {
            drop_locker(object, i);
        }
    }
}

static struct locker *locker_of(struct object *object, unsigned client)
{
    for (size_t i = 0; i < object->locker_count; i++) {
        if (object->lockers[i].client == client) {
            return &object->lockers[i];
        }
    }
    return NULL;
}

/* As cls_lock of Ceph judges. */
static int apply_lock(struct object *object, unsigned client, bool exclusive, bool renew)
{
    struct locker *mine = locker_of(object, client);

    if (renew != (mine != NULL)) {
        return renew ? -ENOENT : -EEXIST;
    }
    size_t others = object->locker_count - (mine != NULL);
    if (others > 0 && (exclusive || object->exclusive)) {
        return -EBUSY;
    }
    if (mine == NULL) {
        assert(object->locker_count < LOCKERS_MAX);
        object->lockers[object->locker_count++].client = client;
    }
    object->exclusive = exclusive;
    return 0;
}

static int fake_lock(struct pool *pool, const char *name, bool exclusive, bool renew,
                     uint64_t duration_ms)
{
    struct fake_client *client = client_of(pool);
    struct fake_cluster *cluster = client->cluster;
    enum fake_fate fate = FAKE_DONE;
    int r = begin_step(client, &fate);

    if (r < 0 || fate == FAKE_LATE) {
        return r < 0 ? r : -ETIMEDOUT;
    }
    mutex_lock(&cluster->mu);
    struct object *object = find(cluster, name);
    object = object != NULL ? object : make(cluster, name);
    drop_expired(object, cluster_now(cluster));
    r = apply_lock(object, client->id, exclusive, renew);
    if (r == 0) {
        locker_of(object, client->id)->until_ns = cluster_now(cluster) + duration_ms * 1000000;
    }
    mutex_unlock(&cluster->mu);
    return fate == FAKE_DONE ? r : -ETIMEDOUT;
}

static int fake_unlock(struct pool *pool, const char *name)
{
    struct fake_client *client = client_of(pool);
    enum fake_fate fate = FAKE_DONE;
    int r = begin_step(client, &fate);

    if (r < 0) {
        return r;
    }
    mutex_lock(&client->cluster->mu);
    struct object *object = find(client->cluster, name);
    struct locker *mine = object != NULL ? locker_of(object, client->id) : NULL;
    if (mine != NULL) {
        drop_locker(object, (size_t)(mine - object->lockers));
    }
    mutex_unlock(&client->cluster->mu);
    return 0;
}

static int fake_is_locked(struct pool *pool, const char *name)
{
    struct fake_client *client = client_of(pool);
    int r = begin_look(pool);

    mutex_lock(&client->cluster->mu);
    struct object *object = find(client->cluster, name);
    if (r == 0 && object != NULL) {
        drop_expired(object, cluster_now(client->cluster));
        r = object->locker_count > 0 && object->exclusive;
    }
    mutex_unlock(&client->cluster->mu);
    return r;
}

/* ---- the cluster ------------------------------------------------------------------------------
 */

static const struct pool_ops fake_ops = {
    .close = fake_close,
    .change = fake_change,
    .begin = fake_begin,
    .read = fake_read,
    .stat = fake_stat,
    .attribute = fake_attribute,
    .key = fake_key,
    .keys = fake_keys,
    .lock = fake_lock,
    .unlock = fake_unlock,
    .is_locked = fake_is_locked,
    .address = fake_address,
    .shut_out = fake_shut_out,
    .now_ns = fake_now,
};

struct fake_cluster *fake_cluster_create(void)
{
    struct fake_cluster *cluster = calloc(1, sizeof *cluster);
    assert(cluster != NULL);
    cluster->limit = SIZE_MAX;
    mutex_init(&cluster->mu, LOCK_RANK_LEAF, "fake cluster");
    return cluster;
}

void fake_cluster_purge(struct fake_cluster *cluster)
{
    mutex_lock(&cluster->mu);
    while (cluster->objects != NULL) {
        remove_object(cluster, cluster->objects);
    }
    mutex_unlock(&cluster->mu);
}

void fake_cluster_destroy(struct fake_cluster *cluster)
{
    fake_cluster_land(cluster);
    fake_cluster_purge(cluster);
    mutex_finish(&cluster->mu);
    free(cluster);
}

struct pool *fake_cluster_connect(struct fake_cluster *cluster, fake_plan_fn *plan, void *arg)
{
    struct fake_client *client = calloc(1, sizeof *client);
    assert(client != NULL);
    mutex_lock(&cluster->mu);
    client->id = cluster->client_count++;
    mutex_unlock(&cluster->mu);
    assert(client->id < CLIENTS_MAX);
    client->base.ops = &fake_ops;
    client->cluster = cluster;
    client->plan = plan;
    client->plan_arg = arg;
    condvar_init(&client->changed);
    snprintf(client->address, sizeof client->address, "client-%u", client->id);
    return &client->base;
}

void fake_cluster_pass(struct fake_cluster *cluster, uint64_t ms)
{
    atomic_fetch_add(&cluster->passed_ns, ms * 1000000);
}

void fake_cluster_limit(struct fake_cluster *cluster, size_t bytes)
{
    mutex_lock(&cluster->mu);
    cluster->limit = bytes;
    mutex_unlock(&cluster->mu);
}

size_t fake_cluster_used(struct fake_cluster *cluster)
{
    mutex_lock(&cluster->mu);
    size_t used = used_by_all(cluster);
    mutex_unlock(&cluster->mu);
    return used;
}

void fake_cluster_disorder(struct fake_cluster *cluster, struct rng *rng)
{
    mutex_lock(&cluster->mu);
    cluster->disorder = rng;
    mutex_unlock(&cluster->mu);
}

void fake_cluster_forbid_keys(struct fake_cluster *cluster)
{
    mutex_lock(&cluster->mu);
    cluster->keys_forbidden = true;
    mutex_unlock(&cluster->mu);
}

void fake_cluster_forbid_shut_out(struct fake_cluster *cluster)
{
    mutex_lock(&cluster->mu);
    cluster->shut_out_forbidden = true;
    mutex_unlock(&cluster->mu);
}

void fake_cluster_objects(struct fake_cluster *cluster, fake_object_fn *fn, void *arg)
{
    mutex_lock(&cluster->mu);
    for (const struct object *object = cluster->objects; object != NULL; object = object->next) {
        fn(arg, object->name);
    }
    mutex_unlock(&cluster->mu);
}

size_t fake_cluster_bytes(struct fake_cluster *cluster, const char *name, void *to, size_t size)
{
    size_t have = SIZE_MAX;

    mutex_lock(&cluster->mu);
    const struct object *object = find(cluster, name);
    if (object != NULL) {
        have = object->bytes.size;
        size = size < have ? size : have;
        if (size > 0) {
            memcpy(to, object->bytes.data, size);
        }
    }
    mutex_unlock(&cluster->mu);
    return have;
}
