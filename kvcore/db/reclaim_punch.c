/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/reclaim_punch.h"

#include <assert.h>
#include <stdlib.h>

#include "kvcore/blob/blob_directory.h"
#include "kvcore/util/clock.h"

/* Where the values end: what a blob that was not sealed whole has behind them nobody knows. */
static int values_end(struct kv_store *store, const struct blob_info *info, uint64_t *ret_end)
{
    const struct kv_storage_ops *ops = store->storage->ops;
    struct kv_file_id id = {.kind = KV_FILE_BLOB, .number = info->number};
    uint64_t seed = checksum_file_seed(store->seed, KV_FILE_BLOB, info->number);
    struct kv_object *object = NULL;
    struct blob_footer footer;
    uint8_t bytes[BLOB_FOOTER_SIZE];
    size_t size = 0;
    int r;

    *ret_end = info->file_size;
    if (info->file_size < sizeof bytes) {
        return 0;
    }
    r = ops->object_open(store->storage, id, &object);
    if (r < 0) {
        return r;
    }
    r = ops->object_read(object, info->file_size - sizeof bytes, bytes, sizeof bytes, &size);
    ops->object_close(object);
    if (r == 0 && size == sizeof bytes &&
        blob_footer_decode(bytes, seed, info->file_size - sizeof bytes, &footer) == 0 &&
        footer.directory_offset < info->file_size) {
        *ret_end = footer.directory_offset;
    }
    return r;
}

static int fit(struct page_map *map, size_t pages)
{
    if (map->words == NULL) {
        map->words = calloc(pages / 64 + 1, sizeof(uint64_t));
        map->pages = map->words != NULL ? pages : 0; /* the next pass looks before it fits */
    }
    return map->words != NULL ? 0 : -ENOMEM;
}

static void set_pages(struct page_map *map, size_t from, size_t to)
{
    for (size_t page = from; page < to; page++) {
        map->words[page / 64] |= (uint64_t)1 << page % 64;
    }
}

/* Does the storage refuse for good: a file shared with another store, or parts of files at all? */
static bool is_refusal(int r)
{
    return r == -EMLINK || r == -EOPNOTSUPP || r == -ENOSYS;
}

int reclaim_punch(struct kv_store *store, const struct candidate *candidate, uint64_t until_ns,
                  struct page_map *free, uint64_t *punched_bytes)
{
    struct kv_file_id id = {.kind = KV_FILE_BLOB, .number = candidate->info.number};
    const struct page_map *live = &candidate->live;
    uint64_t end = 0;
    uint64_t dead = 0;
    int r = values_end(store, &candidate->info, &end);
    size_t pages = (size_t)(end / RECLAIM_PAGE);
    size_t to;

    assert(pages <= live->pages);
    r = r < 0 ? r : fit(free, live->pages);
    for (size_t from = 0; r == 0 && from < pages; from = to) {
        bool fresh = !page_map_get(live, from) && !page_map_get(free, from);
        for (to = from + 1; to < pages; to++) {
            if ((!page_map_get(live, to) && !page_map_get(free, to)) != fresh) {
                break;
            }
        }
        if (fresh && clock_monotonic_ns() >= until_ns) {
            r = 1;
            break;
        }
        if (fresh) {
            r = store->storage->ops->object_discard(store->storage, id,
                                                    (uint64_t)from * RECLAIM_PAGE,
                                                    (uint64_t)(to - from) * RECLAIM_PAGE);
        }
        if (r == 0 && fresh) {
            set_pages(free, from, to);
        }
    }
    for (size_t page = 0; page < pages; page++) {
        dead += page_map_get(free, page) ? RECLAIM_PAGE : 0;
    }
    *punched_bytes = dead > *punched_bytes ? dead : *punched_bytes;
    return is_refusal(r) ? 0 : r;
}
