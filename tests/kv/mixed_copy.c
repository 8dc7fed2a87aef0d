/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoints of the mixed load. */
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "tests/kv/mixed_part.h"

enum { SCANS = 4 };

static int remove_name(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static int make_copy(struct mixed_part *part, const char *path)
{
    struct kv_storage *to = NULL;
    int r = kv_storage_posix_begin(path, &to);
    if (r < 0) {
        return r;
    }
    r = kv_checkpoint(part->open->store, to);
    to->ops->close(to);
    return r;
}

static int open_copy(const char *path, bool background, struct mixed_store *copy)
{
    struct kv_options options = {.cache_bytes = 4 << 20, .no_background = !background};
    struct kv_storage *storage = NULL;
    int r = kv_storage_posix_open(path, false, &storage);
    if (r < 0) {
        return r;
    }
    r = kv_open(storage, &options, &copy->store);
    if (r < 0) {
        storage->ops->close(storage);
        return r;
    }
    r = kv_table_open(copy->store, "rows", NULL, &copy->rows);
    return r < 0 ? r : kv_table_open(copy->store, "stamps", NULL, &copy->stamps);
}

/* The part reads from the copy for a while. Nobody else writes its rows, so it knows them all. */
static bool compare(struct mixed_part *part, const struct mixed_store *copy,
                    const struct mixed_floor *floor)
{
    const struct mixed_store *usual = part->open;
    bool same;

    part->open = copy;
    same = mixed_part_check(part);
    for (int i = 0; i < SCANS && same; i++) {
        same = mixed_look_at_all(part, true, floor);
    }
    part->open = usual;
    return same;
}

bool mixed_check_copy(struct mixed_part *part)
{
    bool merge = rng_below(&part->rng, 2) == 0; /* which removes files that both hold */
    struct mixed_store copy = {0};
    struct mixed_floor floor;
    char path[4200];
    bool same;
    int r;

    snprintf(path, sizeof path, "%s-copy-%" PRIu64, part->mixed->dir, part->number);
    mixed_floor_get(part->mixed, &floor);
    r = make_copy(part, path);
    r = r < 0 ? r : open_copy(path, merge, &copy);
    if (r == 0 && merge) {
        r = kv_compact(copy.store);
    }
    same = r == 0 ? compare(part, &copy, &floor)
                  : mixed_differs(part, "no copy in %s: %s", path, kv_strerror(r));
    r = kv_close(copy.store);
    if (r < 0) {
        same = mixed_differs(part, "the copy in %s cannot be closed: %s", path, kv_strerror(r));
    }
    if (same) {
        nftw(path, remove_name, 16, FTW_DEPTH | FTW_PHYS);
    }
    return same;
}
