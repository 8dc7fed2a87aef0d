/* SPDX-License-Identifier: Apache-2.0 */
/* libkvcore in one program: opens the store in the directory argv[1], or makes it, writes a batch,
 * reads a key, lists keys with a prefix in order, and deletes a range.
 *
 *   cc -std=gnu17 example.c $(pkg-config --cflags --libs kvcore) -o example && ./example /tmp/store
 */
#include <kv/kv.h>

#include <stdio.h>

static int open_store(const char *path, struct kv_store **ret_store)
{
    const struct kv_options options = {.create = true, .cache_bytes = 16 << 20};
    struct kv_storage *storage = NULL;
    int r = kv_storage_posix_open(path, true, &storage);
    if (r < 0) {
        return r;
    }
    r = kv_open(storage, &options, ret_store);
    if (r < 0) {
        storage->ops->close(storage); /* the store takes the storage only when it opens */
    }
    return r;
}

/* All three rows become visible together, or none of them; the call returns when they would survive
 * a power failure. */
static int write_users(struct kv_store *store, struct kv_table *users)
{
    struct kv_batch *batch = NULL;
    int r = kv_batch_create(&batch);
    if (r < 0) {
        return r;
    }
    r = kv_batch_put(batch, users, kv_slice_str("users/43/name"), kv_slice_str("Grace"));
    if (r == 0) {
        r = kv_batch_put(batch, users, kv_slice_str("users/42/name"), kv_slice_str("Ada"));
    }
    if (r == 0) {
        r = kv_batch_put(batch, users, kv_slice_str("version"), kv_slice_str("1"));
    }
    if (r == 0) {
        r = kv_write(store, batch, KV_DURABLE_SYNC);
    }
    kv_batch_destroy(batch);
    return r;
}

/* -ENOENT says that there is no such key, and nothing else. */
static int show(struct kv_table *users, const char *key)
{
    struct kv_pinned found = {0};
    int r = kv_get(users, NULL, kv_slice_str(key), &found);
    if (r == -ENOENT) {
        printf("%s: no such key\n", key);
        return 0;
    }
    if (r == 0) {
        printf("%s: %.*s\n", key, (int)found.value.size, (const char *)found.value.data);
        kv_pinned_release(&found);
    }
    return r;
}

/* Keys come in the order of their bytes. The iterator shows one state of the store, whatever is
 * written meanwhile. */
static int list(struct kv_table *users, const char *prefix)
{
    struct kv_iter *iter = NULL;
    int r = kv_iter_create(users, NULL, &iter);
    if (r < 0) {
        return r;
    }
    kv_iter_seek(iter, kv_slice_str(prefix));
    while (r == 0 && kv_iter_valid(iter) &&
           kv_slice_starts_with(kv_iter_key(iter), kv_slice_str(prefix))) {
        struct kv_slice key = kv_iter_key(iter);
        struct kv_slice value;
        r = kv_iter_value(iter, &value);
        if (r == 0) {
            printf("%.*s = %.*s\n", (int)key.size, (const char *)key.data, (int)value.size,
                   (const char *)value.data);
            kv_iter_next(iter);
        }
    }
    /* An iterator that stops is at the end, or tells why it is not. */
    r = r == 0 ? kv_iter_error(iter) : r;
    kv_iter_destroy(iter);
    return r;
}

static int use(struct kv_store *store)
{
    struct kv_table *users = NULL;
    int r = kv_table_open(store, "users", NULL, &users);
    r = r == 0 ? write_users(store, users) : r;
    r = r == 0 ? show(users, "users/42/name") : r;
    r = r == 0 ? list(users, "users/") : r;
    if (r == 0) {
        r = kv_delete_range(users, kv_slice_str("users/"), kv_slice_str("users0"), KV_DURABLE_SYNC);
    }
    return r == 0 ? show(users, "users/42/name") : r;
}

int main(int argc, char **argv)
{
    struct kv_store *store = NULL;
    if (argc != 2) {
        fprintf(stderr, "usage: example DIRECTORY\n");
        return 2;
    }
    int r = open_store(argv[1], &store);
    if (r == 0) {
        r = use(store);
        int closed = kv_close(store);
        r = r == 0 ? closed : r;
    }
    if (r < 0) {
        fprintf(stderr, "example: %s: %s\n", argv[1], kv_strerror(r));
        return 1;
    }
    return 0;
}
