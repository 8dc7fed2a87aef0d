/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/copy_remote.h"

#include "tools/copy_ask.h"

static int ask_with(struct copy_remote *remote, const struct copy_ask *ask, struct kv_slice bytes)
{
    uint8_t key[COPY_ASK_SIZE];
    copy_ask_encode(ask, key);
    struct control_reply reply = {
        .type = CONTROL_ASK, .key = kv_slice(key, sizeof key), .bytes = bytes};
    return remote->fn(remote->arg, &reply);
}

static int ask_verb(struct copy_remote *remote, enum copy_verb verb)
{
    struct copy_ask ask = {.verb = verb};
    return ask_with(remote, &ask, kv_slice("", 0));
}

static int ask_file(struct copy_remote *remote, enum copy_verb verb, struct kv_file_id id,
                    uint64_t size)
{
    struct copy_ask ask = {.verb = verb, .id = id, .size = size};
    return ask_with(remote, &ask, kv_slice("", 0));
}

/* In pieces: a frame is kept in memory on either side. */
static int ask_write(struct copy_remote *remote, const struct iovec *parts, int part_count)
{
    struct copy_ask ask = {.verb = COPY_WRITE};
    int r = 0;
    for (int i = 0; i < part_count; i++) {
        const uint8_t *at = parts[i].iov_base;
        size_t left = parts[i].iov_len;
        while (left > 0 && r == 0) {
            size_t size = left < CONTROL_DATA_SIZE_MAX ? left : CONTROL_DATA_SIZE_MAX;
            r = ask_with(remote, &ask, kv_slice(at, size));
            at += size;
            left -= size;
        }
    }
    return r;
}

/* ---- the storage ----------------------------------------------------------------------------- */

static struct copy_remote *of_storage(struct kv_storage *base)
{
    return (struct copy_remote *)base;
}

/* The one file that is open stands for nothing but the storage. */
static struct copy_remote *of_log(struct kv_log *log)
{
    return (struct copy_remote *)log;
}

static struct copy_remote *of_writer(struct kv_object_writer *writer)
{
    return (struct copy_remote *)writer;
}

static void remote_close(struct kv_storage *base)
{
    (void)base;
}

static const char *remote_name(const struct kv_storage *base)
{
    (void)base;
    return "the copy";
}

static int remote_lease_acquire(struct kv_storage *base, enum kv_lease_mode mode,
                                const char *holder)
{
    (void)mode;
    (void)holder; /* the command says who it is */
    return ask_verb(of_storage(base), COPY_BEGIN);
}

/* Whether the place is empty the command looks when it begins. */
static int remote_root_read(struct kv_storage *base, struct kv_buf *ret_bytes,
                            uint64_t *ret_version)
{
    (void)base;
    (void)ret_bytes;
    (void)ret_version;
    return -ENOENT;
}

static int remote_list(struct kv_storage *base, kv_list_fn *fn, void *arg)
{
    (void)base;
    (void)fn;
    (void)arg;
    return 0;
}

static int remote_root_swap(struct kv_storage *base, uint64_t expected_version,
                            struct kv_slice bytes)
{
    struct copy_ask ask = {.verb = COPY_ROOT};
    return expected_version != 0 ? -ESTALE : ask_with(of_storage(base), &ask, bytes);
}

static int remote_log_create(struct kv_storage *base, struct kv_file_id id, uint64_t recycle,
                             uint64_t preallocate_bytes, struct kv_log **ret_log)
{
    (void)recycle; /* nothing is there to be used again */
    int r = ask_file(of_storage(base), COPY_LOG, id, preallocate_bytes);
    if (r == 0) {
        *ret_log = (struct kv_log *)base;
    }
    return r;
}

static int remote_log_append(struct kv_log *log, const struct iovec *parts, int part_count)
{
    return ask_write(of_log(log), parts, part_count);
}

static int remote_log_sync(struct kv_log *log)
{
    return ask_verb(of_log(log), COPY_SYNC);
}

static void remote_log_close(struct kv_log *log)
{
    kv_ignore(ask_verb(of_log(log), COPY_CLOSE)); /* what matters was synced */
}

static int remote_object_begin(struct kv_storage *base, struct kv_file_id id,
                               uint64_t size_hint_bytes, struct kv_object_writer **ret_writer)
{
    int r = ask_file(of_storage(base), COPY_OBJECT, id, size_hint_bytes);
    if (r == 0) {
        *ret_writer = (struct kv_object_writer *)base;
    }
    return r;
}

static int remote_object_write(struct kv_object_writer *writer, const struct iovec *parts,
                               int part_count)
{
    return ask_write(of_writer(writer), parts, part_count);
}

static int remote_object_finish(struct kv_object_writer *take_writer)
{
    return ask_verb(of_writer(take_writer), COPY_FINISH);
}

static void remote_object_abort(struct kv_object_writer *take_writer)
{
    if (take_writer != NULL) {
        kv_ignore(ask_verb(of_writer(take_writer), COPY_ABORT)); /* it is given up anyway */
    }
}

/* What is left of a file that could not be made goes with all of the copy, which fails. */
static int remote_remove(struct kv_storage *base, struct kv_file_id id)
{
    (void)base;
    (void)id;
    return 0;
}

static int remote_object_take(struct kv_storage *base, struct kv_storage *from,
                              struct kv_file_id id)
{
    (void)from; /* the command opens the store by its name */
    return ask_file(of_storage(base), COPY_LINK, id, 0);
}

static int remote_publish(struct kv_storage *base)
{
    return ask_verb(of_storage(base), COPY_COMPLETE);
}

static const struct kv_storage_ops remote_ops = {
    .close = remote_close,
    .name = remote_name,
    .lease_acquire = remote_lease_acquire,
    .root_read = remote_root_read,
    .root_swap = remote_root_swap,
    .list = remote_list,
    .log_create = remote_log_create,
    .log_append = remote_log_append,
    .log_sync = remote_log_sync,
    .log_close = remote_log_close,
    .object_begin = remote_object_begin,
    .object_write = remote_object_write,
    .object_finish = remote_object_finish,
    .object_abort = remote_object_abort,
    .object_take = remote_object_take,
    .remove = remote_remove,
    .publish = remote_publish,
};

void copy_remote_init(struct copy_remote *remote, control_reply_fn *fn, void *arg)
{
    *remote = (struct copy_remote){.base = {.ops = &remote_ops}, .fn = fn, .arg = arg};
}
