/* SPDX-License-Identifier: Apache-2.0 */
/* A user of the installed library: makes a store in argv[1], reopens it, reads in order. */
#include <kv/kv.h>

#include <stdio.h>

enum { KEY_COUNT = 3 };
static const char *const written[KEY_COUNT] = {"plum", "apple", "cherry"};
static const char *const sorted[KEY_COUNT] = {"apple", "cherry", "plum"};

static int open_table(const char *path, bool create, struct kv_store **ret_store,
                      struct kv_table **ret_table)
{
    struct kv_options options = {.create = create};
    struct kv_storage *storage = NULL;
    int r = kv_storage_posix_open(path, create, &storage);
    if (r < 0) {
        return r;
    }
    r = kv_open(storage, &options, ret_store);
    if (r < 0) {
        storage->ops->close(storage);
        return r;
    }
    return kv_table_open(*ret_store, "fruit", NULL, ret_table);
}

static int fill(const char *path)
{
    struct kv_store *store = NULL;
    struct kv_table *table = NULL;
    int r = open_table(path, true, &store, &table);
    for (size_t i = 0; r == 0 && i < KEY_COUNT; i++) {
        r = kv_put(table, kv_slice_str(written[i]), kv_slice_str("sweet"), KV_DURABLE_SYNC);
    }
    int closed = store != NULL ? kv_close(store) : 0;
    return r < 0 ? r : closed;
}

/* Returns how many keys stand where they should, or a negative errno. */
static int list(const char *path)
{
    struct kv_store *store = NULL;
    struct kv_table *table = NULL;
    struct kv_iter *iter = NULL;
    int count = 0;
    int r = open_table(path, false, &store, &table);
    if (r == 0) {
        r = kv_iter_create(table, NULL, &iter);
    }
    if (r == 0) {
        for (kv_iter_seek_first(iter); kv_iter_valid(iter); kv_iter_next(iter)) {
            if (count < KEY_COUNT &&
                kv_slice_equal(kv_iter_key(iter), kv_slice_str(sorted[count]))) {
                count++;
            }
        }
        r = kv_iter_error(iter);
        kv_iter_destroy(iter);
    }
    int closed = store != NULL ? kv_close(store) : 0;
    return r < 0 ? r : closed < 0 ? closed : count;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: use_kvcore STORE\n");
        return 2;
    }
    int r = fill(argv[1]);
    int found = r < 0 ? r : list(argv[1]);
    if (found < 0) {
        fprintf(stderr, "use_kvcore: %s\n", kv_strerror(found));
        return 1;
    }
    return found == KEY_COUNT ? 0 : 1;
}
