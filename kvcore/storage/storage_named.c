/* SPDX-License-Identifier: Apache-2.0 */
/* A store by what users call it: the only place that tells a directory from a URL. What speaks to a
 * cluster is a module, so that nobody else pays for librados; who built without it has none. */
#include <dlfcn.h>
#include <stdlib.h>

#include <kv/storage.h>

#include "kvcore/storage/pool_rados.h"
#include "kvcore/storage/pooled_store.h"
#include "kvcore/storage/rados_client.h"
#include "kvcore/util/thread.h"

int kv_storage_is_url(const char *name)
{
    struct rados_url url;
    if (!rados_url_begins(name)) {
        return 0;
    }
    int r = rados_url_parse(name, &url);
    return r < 0 ? r : 1;
}

/* It stays loaded: threads of librados may still be on their way out. */
static const struct pool_rados_module *load_module(void)
{
    const struct pool_rados_module *module = NULL;
    void *file = dlopen(POOL_RADOS_MODULE_FILE, RTLD_NOW | RTLD_NODELETE);

    if (file != NULL) {
        module = dlsym(file, POOL_RADOS_MODULE_SYMBOL);
    }
    return module != NULL && strcmp(module->version, KVFS_VERSION) == 0 ? module : NULL;
}

struct connecting {
    const struct rados_url *url;
    const struct pool_rados_options *options;
    struct pool *pool;
    int result;
};

static void *connect_main(void *arg)
{
    struct connecting *connecting = (struct connecting *)arg;
    const struct pool_rados_module *module = load_module();

    connecting->result =
        module == NULL ? -ENOPKG
                       : module->connect(connecting->url, connecting->options, &connecting->pool);
    return NULL;
}

/* In a thread that takes no signal: so does no thread that librados starts from it, else one of
 * them would be killed by what the process waits for. The caller's may be interrupted all the time.
 */
static int connect_quietly(const struct rados_url *url, const struct pool_rados_options *options,
                           struct pool **ret_pool)
{
    struct connecting connecting = {.url = url, .options = options};
    struct thread thread;
    int r = thread_start(&thread, "kv-connect", connect_main, &connecting);

    if (r == 0) {
        thread_join(&thread);
        r = connecting.result;
    }
    if (r == 0) {
        *ret_pool = connecting.pool;
    }
    return r;
}

static int open_url(const char *name, const struct kv_storage_options *options,
                    struct kv_storage **ret_storage)
{
    struct pooled_options pooled = {.create = options->create,
                                    .lease_ms = POOLED_LEASE_DEFAULT_MS,
                                    .piece_bytes = POOLED_PIECE_DEFAULT};
    struct pool_rados_options reach = {.timeout_s = options->timeout_s, .client = options->client};
    char client[RADOS_CLIENT_MAX + 1];
    struct rados_url url;
    struct pool *pool = NULL;
    int r = rados_url_parse(name, &url);

    if (r == 0 && reach.client == NULL) {
        r = rados_client_find(getenv("CEPH_ARGS"), client);
        reach.client = client;
    }
    if (r < 0) {
        return r;
    }
    r = connect_quietly(&url, &reach, &pool);
    return r < 0 ? r : pooled_storage_open(pool, name, &pooled, ret_storage);
}

int kv_storage_open(const char *name, const struct kv_storage_options *options,
                    struct kv_storage **ret_storage)
{
    static const struct kv_storage_options defaults = {0};

    options = options != NULL ? options : &defaults;
    return rados_url_begins(name) ? open_url(name, options, ret_storage)
                                  : kv_storage_posix_open(name, options->create, ret_storage);
}
