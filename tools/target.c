/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/target.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/mount_table.h"
#include "tools/store_open.h"
#include "tools/store_url.h"

int target_find(const char *argument, char **ret_store, struct fault *fault)
{
    struct mount_row row = {0};
    char *path = NULL;
    int r = store_resolve(argument, &path, fault);
    if (r < 0) {
        return r;
    }
    if (mount_table_find_target(path, &row) == 0) {
        free(path);
        path = row.source;
        row.source = NULL;
    }
    mount_row_finish(&row);
    *ret_store = path;
    return 0;
}

static void release(struct target *target)
{
    control_client_close(target->client);
    free(target->store);
    if (target->log_ready) {
        log_finish(&target->log);
    }
    *target = (struct target){0};
}

static bool is_mounted(const char *store)
{
    struct mount_row row = {0};
    bool found = mount_table_find_source(store, &row) == 0;
    mount_row_finish(&row);
    return found;
}

/* Ask whether a daemon serves the store. Returns 1 if so, 0 if not. */
static int try_daemon(struct target *target, struct fault *fault)
{
    int r = control_client_open(target->store, &target->client);
    if ((r == -EPIPE || r == -ECONNRESET) && !is_mounted(target->store)) {
        return 0; /* it was unmounted and is ending; store_open() waits for that */
    }
    switch (-r) {
    case 0:
        return 1;
    case ENOENT:
    case ENOTDIR:
    case ECONNREFUSED: /* left by a daemon that was killed */
        return 0;
    case EACCES:
    case EPIPE:
        return fault_set(fault, -EACCES,
                         "cannot ask the daemon of %s: it answers root and its own user only. Run "
                         "kvfs as one of them.",
                         target->store);
    default:
        return fault_set(fault, r, "cannot ask the daemon of %s: %s", target->store,
                         kv_strerror(r));
    }
}

/* A command that looks once reads hardly a block twice: taking new memory from the kernel for each,
 * to cache it, would be a tenth of the time of `kvfs find`. */
enum { MEMORY_OF_ONE_LOOK = 32 << 20 };

static int open_here(struct target *target, enum target_mode mode, struct fault *fault)
{
    struct kvfs_options options = {.read_only = mode == TARGET_READ,
                                   .memory_bytes = mode == TARGET_READ ? MEMORY_OF_ONE_LOOK : 0,
                                   .sync_interval_ms = mode == TARGET_LOAD ? UINT_MAX : 0};
    struct kv_identity identity;
    struct kv_store *engine;
    int r = mode == TARGET_ENGINE
                ? store_open_engine(target->store, &target->log, &target->engine, fault)
                : store_open(target->store, &options, &target->log, &target->fs, fault);
    if (r < 0) {
        return r;
    }
    engine = target->engine != NULL ? target->engine : kvfs_store(target->fs);
    kv_identify(engine, &identity);
    target->host = (struct control_host){
        .fs = target->fs,
        .engine = engine,
        .log = &target->log,
        .store = target->store,
        .state = identity.was_clean ? "idle" : "needs recovery",
    };
    return 0;
}

int target_open(struct target *target, const char *argument, enum target_mode mode,
                struct fault *fault)
{
    *target = (struct target){0};
    int r = target_find(argument, &target->store, fault);
    if (r == 0) {
        r = log_init(&target->log, NULL, false);
        target->log_ready = r == 0;
    }
    if (r == 0) {
        r = try_daemon(target, fault);
    }
    if (r == 0) {
        r = open_here(target, mode, fault);
    }
    if (r < 0) {
        release(target);
        return r;
    }
    return 0;
}

int target_close(struct target *target, struct fault *fault)
{
    int r = target->fs != NULL ? kvfs_close(target->fs) : kv_close(target->engine);
    if (r < 0) {
        fault_set(fault, r, "cannot close %s: %s. What was written last may be lost.",
                  target->store, kv_strerror(r));
    }
    release(target);
    return r;
}

struct call {
    struct target *target;
    control_reply_fn *fn;
    void *arg;
    int result;
};

static int take_reply(void *arg, const struct control_reply *reply)
{
    struct call *call = arg;
    if (reply->type != CONTROL_DONE) {
        return call->fn != NULL ? call->fn(call->arg, reply) : -EPROTO;
    }
    call->result = reply->error;
    snprintf(call->target->detail, sizeof call->target->detail, "%.*s", (int)reply->bytes.size,
             reply->bytes.size > 0 ? (const char *)reply->bytes.data : "");
    return 0;
}

int target_call(struct target *target, const struct control_request *request, control_reply_fn *fn,
                void *arg)
{
    struct call call = {.target = target, .fn = fn, .arg = arg};
    struct kvfs_who who = {.uid = geteuid(), .gid = getegid(), .umask = (mode_t)request->umask};
    target->detail[0] = '\0';
    int r = target->client != NULL
                ? control_client_call(target->client, request, take_reply, &call)
                : control_execute(&target->host, request, &who, take_reply, &call);
    if (r == -EPIPE && target->client != NULL) {
        snprintf(target->detail, sizeof target->detail, "the daemon ended the conversation");
    }
    return r < 0 ? r : call.result;
}
