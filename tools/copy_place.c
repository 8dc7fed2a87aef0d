/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/copy_place.h"

#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

#include "tools/copy_ask.h"
#include "tools/report.h"
#include "tools/store_open.h"
#include "tools/store_url.h"

struct copy_place {
    const char *name;
    const char *store; /* which is copied */
    bool copies;
    struct kv_storage *to;   /* NULL: not begun */
    struct kv_storage *from; /* NULL: nothing was linked yet */
    struct kv_log *log;      /* what is open: one of these at most */
    struct kv_object_writer *writer;
    bool leased, complete;
    bool asked; /* for anything */
    control_reply_fn *fn;
    void *arg;
};

/* ---- signals --------------------------------------------------------------------------------- */

static volatile sig_atomic_t caught;          /* the signal; 0: none */
static volatile sig_atomic_t connection = -1; /* to the daemon; -1: the store was opened here */

static void on_signal(int number)
{
    int error = errno;
    caught = number;
    if (connection >= 0) {
        shutdown(connection, SHUT_RDWR); /* whatever the daemon is at: it sees that, too */
    }
    errno = error;
}

static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
enum { SIGNAL_COUNT = sizeof signals / sizeof signals[0] };

/* What is ignored stays so, as under nohup(1). */
static void catch_signals(const struct target *target, struct sigaction before[SIGNAL_COUNT])
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    connection = target->client != NULL ? control_client_fd(target->client) : -1;
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        sigaction(signals[i], NULL, &before[i]);
        if (before[i].sa_handler != SIG_IGN) {
            sigaction(signals[i], &action, NULL);
        }
    }
}

static void leave_signals(const struct sigaction before[SIGNAL_COUNT])
{
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        sigaction(signals[i], &before[i], NULL);
    }
    connection = -1;
}

void copy_end_by_signal(void)
{
    if (caught != 0) {
        fflush(NULL);
        signal(caught, SIG_DFL);
        raise(caught);
    }
}

/* ---- one step -------------------------------------------------------------------------------- */

static int open_place(const struct copy_place *place, struct kv_storage **ret_to)
{
    if (!store_is_url(place->name)) {
        return kv_storage_posix_begin(place->name, ret_to);
    }
    if (!place->copies) {
        return -EXDEV;
    }
    int r = store_url_exists(place->name);
    r = r == 0 ? store_url_erase(place->name) : r > 0 ? -EEXIST : r; /* of one that was cut short */
    return r < 0 ? r : store_storage_open(place->name, true, ret_to);
}

static void note_any(void *arg, struct kv_file_id id, uint64_t size_bytes)
{
    bool *any = arg;
    (void)id;
    (void)size_bytes;
    *any = true;
}

static int check_empty(struct kv_storage *to)
{
    struct kv_buf root = {0};
    uint64_t version;
    bool any = false;
    int r = to->ops->root_read(to, &root, &version);
    kv_buf_finish(&root);
    if (r != -ENOENT) {
        return r < 0 ? r : -EEXIST;
    }
    r = to->ops->list(to, note_any, &any);
    return r == 0 && any ? -EEXIST : r;
}

static int begin(struct copy_place *place)
{
    int r = place->to != NULL ? -EPROTO : open_place(place, &place->to);
    if (r < 0) {
        return r;
    }
    r = place->to->ops->lease_acquire(place->to, KV_LEASE_EXCLUSIVE, "a copy that is being made");
    r = r < 0 ? r : check_empty(place->to);
    place->leased = r == 0; /* else it is not ours to erase */
    return r;
}

static int link_file(struct copy_place *place, struct kv_file_id id)
{
    int r = 0;
    if (store_is_url(place->store)) {
        return -EXDEV;
    }
    if (place->from == NULL) {
        r = kv_storage_posix_open(place->store, false, &place->from);
    }
    return r < 0 ? r : place->from->ops->object_link(place->from, id, place->to);
}

static int write_bytes(struct copy_place *place, struct kv_slice bytes)
{
    const struct kv_storage_ops *ops = place->to->ops;
    struct iovec part = {.iov_base = (void *)(uintptr_t)bytes.data, .iov_len = bytes.size};
    return place->log != NULL      ? ops->log_append(place->log, &part, 1)
           : place->writer != NULL ? ops->object_write(place->writer, &part, 1)
                                   : -EPROTO;
}

static int finish_object(struct copy_place *place)
{
    struct kv_object_writer *writer = place->writer;
    place->writer = NULL;
    return place->to->ops->object_finish(writer);
}

static void close_file(struct copy_place *place)
{
    if (place->log != NULL) {
        place->to->ops->log_close(place->log);
    }
    if (place->writer != NULL) {
        place->to->ops->object_abort(place->writer);
    }
    place->log = NULL;
    place->writer = NULL;
}

static int complete(struct copy_place *place)
{
    int r = place->to->ops->publish != NULL ? place->to->ops->publish(place->to) : 0;
    place->complete = r == 0;
    return r;
}

/* Whether the ask makes sense as things stand. */
static bool is_in_order(const struct copy_place *place, enum copy_verb verb)
{
    bool is_open = place->log != NULL || place->writer != NULL;
    switch (verb) {
    case COPY_BEGIN:
        return place->to == NULL;
    case COPY_LOG:
    case COPY_OBJECT:
    case COPY_LINK:
    case COPY_ROOT:
    case COPY_COMPLETE:
        return place->leased && !place->complete && !is_open;
    case COPY_WRITE:
        return is_open;
    case COPY_SYNC:
    case COPY_CLOSE:
        return place->log != NULL;
    case COPY_FINISH:
    case COPY_ABORT:
        return place->writer != NULL;
    }
    return false;
}

static int carry_out(struct copy_place *place, const struct control_reply *reply)
{
    struct copy_ask ask;
    int r = copy_ask_decode(reply->key, &ask);
    if (r < 0 || !is_in_order(place, ask.verb)) {
        return r < 0 ? r : -EPROTO;
    }
    struct kv_storage *to = place->to;
    switch (ask.verb) {
    case COPY_BEGIN:
        return begin(place);
    case COPY_LOG:
        return to->ops->log_create(to, ask.id, 0, ask.size, &place->log);
    case COPY_OBJECT:
        return to->ops->object_begin(to, ask.id, ask.size, &place->writer);
    case COPY_WRITE:
        return write_bytes(place, reply->bytes);
    case COPY_SYNC:
        return to->ops->log_sync(place->log);
    case COPY_FINISH:
        return finish_object(place);
    case COPY_CLOSE:
    case COPY_ABORT:
        close_file(place);
        return 0;
    case COPY_LINK:
        return link_file(place, ask.id);
    case COPY_ROOT:
        return to->ops->root_swap(to, 0, reply->bytes);
    case COPY_COMPLETE:
        return complete(place);
    }
    return -EOPNOTSUPP;
}

static int take_reply(void *arg, const struct control_reply *reply)
{
    struct copy_place *place = arg;
    if (caught != 0 && reply->type != CONTROL_DONE) {
        return -ECANCELED;
    }
    place->asked = place->asked || reply->type == CONTROL_ASK;
    if (reply->type == CONTROL_ASK) {
        return carry_out(place, reply);
    }
    return place->fn != NULL ? place->fn(place->arg, reply) : 0;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static const char *fault_of(int error)
{
    switch (-error) {
    case EEXIST:
        return "there is something of that name. Choose another, or remove it";
    case ENOENT:
        return "the directory above it does not exist. Make it first";
    case EXDEV:
        return "it is on another file system, or in a pool. A checkpoint shares files with the "
               "store; 'kvfs copy' does not, and goes there";
    case EOPNOTSUPP:
        return "the file system of the store has no hard links";
    case EBUSY:
        return "another copy is being made there";
    case ENOTEMPTY:
        return "the directory of that name with .tmp behind it holds files that are no store's";
    case EROFS:
        return "the store is mounted read-only. Unmount it and try again";
    case ECANCELED:
        return "it was given up";
    default:
        return kv_strerror(error);
    }
}

static void explain(const struct copy_place *place, struct target *target, int error)
{
    struct fault fault;
    /* It takes the place of the copy as a path, and makes it itself. */
    if (!place->asked && error == -EINVAL) {
        snprintf(target->detail, sizeof target->detail,
                 "the daemon of the store is of an older version than this command. Unmount the "
                 "store and mount it again, so that the installed version serves it");
        return;
    }
    if (target->detail[0] != '\0') {
        return;
    }
    if (store_is_url(place->name) && error != -EEXIST &&
        store_url_explain(place->name, error, &fault)) {
        snprintf(target->detail, sizeof target->detail, "%.400s", fault.text);
    } else {
        snprintf(target->detail, sizeof target->detail, "%.300s: %s", place->name, fault_of(error));
    }
}

/* What is not complete goes: a directory by being closed, the rest is without a root record, and no
 * store. */
static void finish(struct copy_place *place)
{
    if (place->to != NULL) {
        close_file(place);
        if (place->leased && !place->complete && place->to->ops->erase != NULL) {
            kv_ignore(place->to->ops->erase(place->to));
        }
        place->to->ops->close(place->to);
    }
    if (place->from != NULL) {
        place->from->ops->close(place->from);
    }
}

int copy_to_place(struct target *target, const char *to, bool copies, control_reply_fn *fn,
                  void *arg)
{
    struct control_request request = {.op = CONTROL_CHECKPOINT, .flags = copies ? CONTROL_COPY : 0};
    struct copy_place place = {
        .name = to, .store = target->store, .copies = copies, .fn = fn, .arg = arg};
    struct sigaction before[SIGNAL_COUNT];
    catch_signals(target, before);
    int r = target_call(target, &request, take_reply, &place);
    if (place.complete) {
        r = 0;      /* also where the daemon ended before it heard of that */
        caught = 0; /* it came too late */
    } else if (caught != 0) {
        r = -ECANCELED;
        target->detail[0] = '\0'; /* that the connection was shut down is what we did */
    } else if (r == 0) {
        r = -EPROTO;
    }
    if (r < 0) {
        explain(&place, target, r);
    }
    finish(&place);
    leave_signals(before);
    return r;
}
