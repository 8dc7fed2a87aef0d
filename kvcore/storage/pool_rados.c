/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/storage/pool_rados.h"

#include <rados/librados.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

#include "kvcore/storage/rados_address.h"

enum {
    KEYS_PER_CALL = 1024, /* what a cluster gives at most by default */
    KEY_SIZE = 128,
    LOCKERS_SIZE = 4096,
    ADDRESS_SIZE = 256,
};

/* Who tells a lock's holders apart is the client, not the cookie. */
static const char lock_name[] = "kvfs";
static const char connect_timeout_s[] = "30";

struct rados_pool {
    struct pool base;
    rados_t cluster;
    rados_ioctx_t io;
    char address[ADDRESS_SIZE];
};

static rados_ioctx_t io_of(struct pool *pool)
{
    return ((struct rados_pool *)pool)->io;
}

/* ---- changes ----------------------------------------------------------------------------------
 */

static void add_guards(rados_write_op_t op, const struct pool_change *change)
{
    for (size_t i = 0; i < change->guard_count; i++) {
        const struct pool_guard *guard = &change->guards[i];
        /* The cluster compares the value given with the one it has, in this order. */
        uint8_t relation =
            guard->relation == POOL_IS ? LIBRADOS_CMPXATTR_OP_EQ : LIBRADOS_CMPXATTR_OP_GT;
        rados_write_op_cmpxattr(op, guard->attribute, relation, (const char *)guard->value.data,
                                guard->value.size);
    }
}

static void add_keys(rados_write_op_t op, const struct pool_change *change)
{
    for (size_t i = 0; i < change->key_count; i++) {
        const struct pool_value *key = &change->keys[i];
        const char *value = (const char *)key->value.data;
        size_t name_size = strlen(key->name);
        rados_write_op_omap_set2(op, &key->name, &value, &name_size, &key->value.size, 1);
    }
    if (change->key_removed != NULL) {
        size_t name_size = strlen(change->key_removed);
        rados_write_op_omap_rm_keys2(op, &change->key_removed, &name_size, 1);
    }
}

static void add_bytes(rados_write_op_t op, const struct pool_change *change)
{
    uint64_t at = change->offset;

    for (int i = 0; i < change->part_count; i++) {
        if (change->parts[i].iov_len > 0) {
            rados_write_op_write(op, (const char *)change->parts[i].iov_base,
                                 change->parts[i].iov_len, at);
        }
        at += change->parts[i].iov_len;
    }
    /* Zeroing up to the end of an object would cut it off there: the last byte is written. */
    if (change->zero_bytes > 1) {
        rados_write_op_zero(op, change->offset, change->zero_bytes - 1);
    }
    if (change->zero_bytes > 0) {
        rados_write_op_write(op, "", 1, change->offset + change->zero_bytes - 1);
    }
}

/* To be released; NULL: no memory. It has copies of all bytes. */
static rados_write_op_t encode(const struct pool_change *change)
{
    rados_write_op_t op = rados_create_write_op();
    if (op == NULL) {
        return NULL;
    }
    if (change->create) {
        rados_write_op_create(op, LIBRADOS_CREATE_EXCLUSIVE, NULL);
    } else {
        rados_write_op_assert_exists(op); /* else most writes would make it */
    }
    add_guards(op, change);
    for (size_t i = 0; i < change->attribute_count; i++) {
        const struct pool_value *attribute = &change->attributes[i];
        rados_write_op_setxattr(op, attribute->name, (const char *)attribute->value.data,
                                attribute->value.size);
    }
    add_keys(op, change);
    add_bytes(op, change);
    if (change->remove) {
        rados_write_op_remove(op);
    }
    return op;
}

static int result_of(int r)
{
    return r == -EDQUOT ? -ENOSPC : r;
}

static int pool_change(struct pool *pool, const char *object, const struct pool_change *change)
{
    rados_write_op_t op = encode(change);
    if (op == NULL) {
        return -ENOMEM;
    }
    int r = rados_write_op_operate(op, io_of(pool), object, NULL, LIBRADOS_OPERATION_NOFLAG);
    rados_release_write_op(op);
    return result_of(r);
}

/* A change that is on its way. */
struct begun {
    rados_write_op_t op;
    pool_done_fn *done;
    void *arg;
};

static void tell_done(rados_completion_t completion, void *arg)
{
    struct begun *begun = (struct begun *)arg;
    pool_done_fn *done = begun->done;
    void *done_arg = begun->arg;
    int r = result_of(rados_aio_get_return_value(completion));

    rados_aio_release(completion);
    rados_release_write_op(begun->op);
    free(begun);
    done(done_arg, r);
}

/* The client numbers what it sends in the order of these calls, sends it to the server of an object
 * in that order, also anew after the connection broke, and the server keeps to it for each object.
 */
static int pool_begin(struct pool *pool, const char *object, const struct pool_change *change,
                      pool_done_fn *done, void *arg)
{
    struct begun *begun = calloc(1, sizeof *begun);
    rados_completion_t completion = NULL;
    int r = -ENOMEM;

    if (begun == NULL) {
        return r;
    }
    *begun = (struct begun){.op = encode(change), .done = done, .arg = arg};
    if (begun->op != NULL) {
        r = rados_aio_create_completion2(begun, tell_done, &completion);
    }
    if (r == 0) {
        r = rados_aio_write_op_operate(begun->op, io_of(pool), completion, object, NULL,
                                       LIBRADOS_OPERATION_NOFLAG);
    }
    if (r < 0) {
        if (completion != NULL) {
            rados_aio_release(completion);
        }
        if (begun->op != NULL) {
            rados_release_write_op(begun->op);
        }
        free(begun);
    }
    return r;
}

/* ---- looking ----------------------------------------------------------------------------------
 */

static int pool_read(struct pool *pool, const char *object, uint64_t offset, void *to, size_t size,
                     size_t *ret_size)
{
    int r = rados_read(io_of(pool), object, (char *)to, size, offset);
    if (r < 0) {
        return r;
    }
    *ret_size = (size_t)r;
    return 0;
}

static int pool_stat(struct pool *pool, const char *object, uint64_t *ret_size)
{
    uint64_t size = 0;
    time_t changed;
    int r = rados_stat(io_of(pool), object, &size, &changed);
    if (r == 0) {
        *ret_size = size;
    }
    return r;
}

static int pool_attribute(struct pool *pool, const char *object, const char *name,
                          struct kv_buf *ret_value)
{
    char value[POOL_VALUE_MAX];
    int r = rados_getxattr(io_of(pool), object, name, value, sizeof value);
    return r < 0 ? r : kv_buf_assign(ret_value, kv_slice(value, (size_t)r));
}

static int pool_key(struct pool *pool, const char *object, const char *name,
                    struct kv_buf *ret_value)
{
    size_t name_size = strlen(name);
    rados_omap_iter_t found = NULL;
    int outcome = 0;
    char *key = NULL;
    char *value = NULL;
    size_t key_size = 0;
    size_t value_size = 0;

    rados_read_op_t op = rados_create_read_op();
    if (op == NULL) {
        return -ENOMEM;
    }
    rados_read_op_omap_get_vals_by_keys2(op, &name, 1, &name_size, &found, &outcome);
    int r = rados_read_op_operate(op, io_of(pool), object, LIBRADOS_OPERATION_NOFLAG);
    r = r < 0 ? r : outcome;
    r = r < 0 ? r : rados_omap_get_next2(found, &key, &value, &key_size, &value_size);
    if (r == 0) {
        r = key == NULL ? -ENODATA : kv_buf_assign(ret_value, kv_slice(value, value_size));
    }
    if (found != NULL) {
        rados_omap_get_end(found);
    }
    rados_release_read_op(op);
    return r;
}

/* Hand on what one call gave; `last` becomes its last name. */
static int pass_on(rados_omap_iter_t found, char last[KEY_SIZE], pool_key_fn *fn, void *arg)
{
    for (;;) {
        char *key = NULL;
        char *value = NULL;
        size_t key_size = 0;
        size_t value_size = 0;
        int r = rados_omap_get_next2(found, &key, &value, &key_size, &value_size);
        if (r < 0 || key == NULL) {
            return r;
        }
        if (key_size >= KEY_SIZE || memchr(key, '\0', key_size) != NULL) {
            return -KV_EDAMAGED; /* none that we made */
        }
        memcpy(last, key, key_size);
        last[key_size] = '\0';
        r = fn(arg, last, kv_slice(value, value_size));
        if (r != 0) {
            return r;
        }
    }
}

static int pool_keys(struct pool *pool, const char *object, pool_key_fn *fn, void *arg)
{
    char last[KEY_SIZE] = "";
    unsigned char more = 1;
    int r = 0;

    while (r == 0 && more) {
        rados_omap_iter_t found = NULL;
        int outcome = 0;
        rados_read_op_t op = rados_create_read_op();
        if (op == NULL) {
            return -ENOMEM;
        }
        rados_read_op_omap_get_vals2(op, last, "", KEYS_PER_CALL, &found, &more, &outcome);
        r = rados_read_op_operate(op, io_of(pool), object, LIBRADOS_OPERATION_NOFLAG);
        r = r < 0 ? r : outcome;
        r = r < 0 ? r : pass_on(found, last, fn, arg);
        if (found != NULL) {
            rados_omap_get_end(found);
        }
        rados_release_read_op(op);
    }
    return r;
}

/* ---- locks and clients ------------------------------------------------------------------------
 */

static int pool_lock(struct pool *pool, const char *object, bool exclusive, bool renew,
                     uint64_t duration_ms)
{
    struct timeval duration = {.tv_sec = (time_t)(duration_ms / 1000),
                               .tv_usec = (suseconds_t)(duration_ms % 1000 * 1000)};
    uint8_t flags = renew ? LIBRADOS_LOCK_FLAG_MUST_RENEW : 0;

    if (exclusive) {
        return rados_lock_exclusive(io_of(pool), object, lock_name, lock_name, "", &duration,
                                    flags);
    }
    return rados_lock_shared(io_of(pool), object, lock_name, lock_name, "", "", &duration, flags);
}

static int pool_unlock(struct pool *pool, const char *object)
{
    int r = rados_unlock(io_of(pool), object, lock_name, lock_name);
    return r == -ENOENT ? 0 : r;
}

static int pool_is_locked(struct pool *pool, const char *object)
{
    char tag[LOCKERS_SIZE], clients[LOCKERS_SIZE], cookies[LOCKERS_SIZE], addresses[LOCKERS_SIZE];
    size_t tag_size = sizeof tag;
    size_t clients_size = sizeof clients;
    size_t cookies_size = sizeof cookies;
    size_t addresses_size = sizeof addresses;
    int exclusive = 0;
    ssize_t n =
        rados_list_lockers(io_of(pool), object, lock_name, &exclusive, tag, &tag_size, clients,
                           &clients_size, cookies, &cookies_size, addresses, &addresses_size);
    if (n == -ENOENT || n == -ERANGE) { /* so many can only be readers */
        return 0;
    }
    return n < 0 ? (int)n : n > 0 && exclusive;
}

static const char *pool_address(struct pool *pool)
{
    return ((struct rados_pool *)pool)->address;
}

static int pool_shut_out(struct pool *pool, const char *address)
{
    struct rados_pool *self = (struct rados_pool *)pool;
    char text[ADDRESS_SIZE];

    /* It comes from an object that others may write to, and the cluster takes more than clients. */
    if (!rados_address_is_client(address)) {
        return -EINVAL;
    }
    snprintf(text, sizeof text, "%s", address);
    int r = rados_blocklist_add(self->cluster, text, 0);
    /* A server that this client speaks to from now on learns of it first. */
    return r < 0 ? r : rados_wait_for_latest_osdmap(self->cluster);
}

/* Runs on while the machine sleeps. */
static uint64_t pool_now_ns(struct pool *pool)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* ---- connecting -------------------------------------------------------------------------------
 */

static void pool_close(struct pool *pool)
{
    struct rados_pool *self = (struct rados_pool *)pool;
    rados_ioctx_destroy(self->io);
    rados_shutdown(self->cluster);
    free(self);
}

static const struct pool_ops rados_pool_ops = {
    .close = pool_close,
    .change = pool_change,
    .begin = pool_begin,
    .read = pool_read,
    .stat = pool_stat,
    .attribute = pool_attribute,
    .key = pool_key,
    .keys = pool_keys,
    .lock = pool_lock,
    .unlock = pool_unlock,
    .is_locked = pool_is_locked,
    .address = pool_address,
    .shut_out = pool_shut_out,
    .now_ns = pool_now_ns,
};

static int limit_waiting(rados_t cluster, unsigned timeout_s)
{
    static const char *const names[] = {"client_mount_timeout", "rados_mon_op_timeout",
                                        "rados_osd_op_timeout"};
    char value[16];
    int r = 0;

    snprintf(value, sizeof value, "%u", timeout_s);
    for (size_t i = 0; i < sizeof names / sizeof names[0] && r == 0; i++) {
        r = rados_conf_set(cluster, names[i], value);
    }
    return r;
}

/* What is configured goes before what is set here, and after that comes what the caller wants. No
 * file is no error: CEPH_ARGS may say all. */
static int configure(rados_t cluster, unsigned timeout_s)
{
    int r = rados_conf_set(cluster, "client_mount_timeout", connect_timeout_s);
    r = r < 0 ? r : rados_conf_set(cluster, "rados_mon_op_timeout", connect_timeout_s);
    r = r < 0 ? r : rados_conf_read_file(cluster, NULL);
    r = r == -ENOENT ? 0 : r;
    r = r < 0 ? r : rados_conf_parse_env(cluster, NULL);
    return r < 0 || timeout_s == 0 ? r : limit_waiting(cluster, timeout_s);
}

/* It says ENOENT for monitors that nobody names, and for keys that are not there. */
static int connect_to(rados_t cluster)
{
    int r = rados_connect(cluster);
    return r == -ENOENT ? -EDESTADDRREQ : r;
}

static int read_address(struct rados_pool *self)
{
    char *addresses = NULL;
    int r = rados_getaddrs(self->cluster, &addresses);
    if (r == 0) {
        snprintf(self->address, sizeof self->address, "%s", addresses);
        rados_buffer_free(addresses);
    }
    return r;
}

static int open_pool(struct rados_pool *self, const struct rados_url *url)
{
    int r = rados_ioctx_create(self->cluster, url->pool, &self->io);
    if (r < 0) {
        return r == -ENOENT ? -ENXIO : r;
    }
    rados_ioctx_set_namespace(self->io, url->name);
    rados_set_pool_full_try(self->io); /* a full pool is an error, not a wait */
    r = read_address(self);
    if (r < 0) {
        rados_ioctx_destroy(self->io);
    }
    return r;
}

int pool_rados_connect(const struct rados_url *url, const struct pool_rados_options *options,
                       struct pool **ret_pool)
{
    static const struct pool_rados_options defaults = {0};
    struct rados_pool *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return -ENOMEM;
    }
    options = options != NULL ? options : &defaults;
    int r = rados_create(&self->cluster, options->client);
    if (r < 0) {
        free(self);
        return r;
    }
    r = configure(self->cluster, options->timeout_s);
    r = r < 0 ? r : connect_to(self->cluster);
    r = r < 0 ? r : open_pool(self, url);
    if (r < 0) {
        rados_shutdown(self->cluster); /* also of one that never connected */
        free(self);
        return r;
    }
    self->base.ops = &rados_pool_ops;
    *ret_pool = &self->base;
    return 0;
}

const struct pool_rados_module pool_rados_module = {KVFS_VERSION, pool_rados_connect};
