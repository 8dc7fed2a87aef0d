/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/warm.h"

#include <stdlib.h>

#include "kvcore/db/obsolete.h"
#include "kvcore/db/view.h"

enum {
    REFUSED_MAX = 32,  /* blocks in a row without room: the cache is full */
    RESIDENT_PART = 8, /* of a file: more than its index and filter take */
};

struct warm_file {
    uint32_t table_id;
    uint64_t number, size;
};

struct warm {
    struct kv_store *store;
    struct warm_file *files; /* in the order in which they are read */
    size_t count;
    unsigned refused; /* blocks, since one was taken */
};

static void add_files(struct warm *warm, const struct table_files *files, uint32_t table_id)
{
    for (int level = 0; level < KV_LEVEL_COUNT; level++) {
        const struct file_list *list = &files->levels[level];
        for (size_t i = 0; i < list->count; i++) {
            warm->files[warm->count++] = (struct warm_file){
                .table_id = table_id,
                .number = list->files[i]->number,
                .size = list->files[i]->size,
            };
        }
    }
}

static int plan(struct warm *warm)
{
    struct view *view = view_acquire(warm->store);
    size_t count = 0;

    for (uint32_t id = 1; id <= KV_TABLE_COUNT_MAX; id++) {
        count += version_count_files(view->version, id);
    }
    warm->files = calloc(count + 1, sizeof *warm->files);
    for (uint32_t id = 1; id <= KV_TABLE_COUNT_MAX && warm->files != NULL; id++) {
        const struct table_files *files = version_table(view->version, id);
        if (files != NULL) {
            add_files(warm, files, id);
        }
    }
    view_release(view);
    return warm->files != NULL ? 0 : -ENOMEM;
}

/* The file, at whatever level it is now, or NULL: it was merged into others. */
static struct file_meta *find(const struct view *view, const struct warm_file *file)
{
    struct file_meta *found = NULL;
    for (uint32_t level = 0; level < KV_LEVEL_COUNT && found == NULL; level++) {
        found = version_find_file(view->version, file->table_id, level, file->number);
    }
    return found;
}

static int open_file(struct warm *warm, struct file_meta *file)
{
    struct table *table;

    if (block_cache_room(warm->store->cache) < file->size / RESIDENT_PART) {
        return -ENOBUFS;
    }
    int r = file_table(warm->store, file, &table);
    count_add(&warm->store->counters.warm_files_opened, r == 0);
    return r;
}

static int note_block(void *arg, size_t bytes, bool cached)
{
    struct warm *warm = arg;

    if (!cached) {
        warm->refused++;
    } else if (bytes > 0) { /* else it was there before */
        warm->refused = 0;
    }
    count_add(&warm->store->counters.warm_bytes, cached ? bytes : 0);
    if (atomic_load(&warm->store->stopping)) {
        return -ECANCELED;
    }
    return warm->refused < REFUSED_MAX ? 0 : -ENOBUFS;
}

static int read_file(struct warm *warm, struct file_meta *file)
{
    struct table *table = atomic_load_explicit(&file->table, memory_order_acquire);

    if (table == NULL) {
        return 0; /* there was no room for its index */
    }
    int r = table_warm(table, note_block, warm);
    count_add(&warm->store->counters.warm_files_read, r == 0);
    return r;
}

/* With each file. What cannot be read is passed over: whoever needs it is told. Returns 0, or why
 * it ended early: -ENOBUFS the cache is full, -ECANCELED. */
static int each_file(struct warm *warm, int (*fn)(struct warm *, struct file_meta *))
{
    for (size_t i = 0; i < warm->count; i++) {
        struct view *view = view_acquire(warm->store);
        struct file_meta *file = find(view, &warm->files[i]);
        int r = file != NULL ? fn(warm, file) : 0;
        view_release(view);
        obsolete_purge(warm->store); /* what was merged or dropped while the view held it */
        if (atomic_load(&warm->store->stopping)) {
            return -ECANCELED;
        }
        if (r == -ENOBUFS) {
            return r;
        }
    }
    return 0;
}

void *warm_main(void *arg)
{
    struct kv_store *store = arg;
    struct warm warm = {.store = store};
    int r = plan(&warm);

    if (r == 0) {
        count_add(&store->counters.warm_files, warm.count);
        r = each_file(&warm, open_file);
    }
    if (r == 0 || r == -ENOBUFS) { /* what has its index gets its blocks as well */
        kv_ignore(each_file(&warm, read_file));
    }
    free(warm.files);
    /* Release: who sees the end sees what was counted. */
    atomic_store_explicit(&store->warming, false, memory_order_release);
    return NULL;
}
