/* SPDX-License-Identifier: Apache-2.0 */
/* Taking a repair back: first the files that it took away, which stand unused until ROOT is put
 * back, then what it made. Each step may be made twice, so that an undo that was cut short is just
 * begun again.
 *
 * What it made goes by the rule for writers (db/followers.h): ROOT is put back, then followers are
 * asked for. One that is there may read the repaired state. If its files went, their numbers would
 * be given again, and it would read something else under them. So they stay then, unused; the next
 * opening gives other numbers, and removes them once it may. */
#include "kvcore/admin/journal.h"
#include "kvcore/storage/posix_raw.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <kv/admin.h>

struct undo {
    struct kv_storage *storage;
    struct raw_archive *archive;
    struct journal journal;
    bool had_root;
    struct kv_buf old_root;
    struct kv_buf new_root;
};

static int read_archive(struct undo *undo)
{
    struct kv_buf text = {0};
    int r = raw_archive_read(undo->archive, JOURNAL_NAME, JOURNAL_SIZE_MAX, &text);

    r = r < 0 ? r : journal_decode(kv_buf_slice(&text), &undo->journal);
    if (r == 0) {
        r = raw_archive_read(undo->archive, ROOT_OLD_NAME, JOURNAL_ROOT_SIZE_MAX, &undo->old_root);
        undo->had_root = r == 0;
        r = r == -ENOENT ? 0 : r;
    }
    r = r < 0 ? r : raw_archive_read(undo->archive, ROOT_NEW_NAME, RAW_ROOT_SIZE, &undo->new_root);
    kv_buf_finish(&text);
    return r == -ENOENT || r == -EFBIG ? -KV_EDAMAGED : r;
}

static bool root_is(const struct raw_root *root, const struct kv_buf *bytes)
{
    size_t size = bytes->size < RAW_ROOT_SIZE ? bytes->size : RAW_ROOT_SIZE;
    return root->size == size && memcmp(root->bytes, bytes->data, size) == 0;
}

/* Every opening for writing changes ROOT. */
static int check_unchanged(const struct undo *undo)
{
    struct raw_root root;
    int r = raw_root_read(undo->storage, &root);
    if (r == -ENOENT) {
        return undo->had_root ? -ESTALE : 0;
    }
    if (r < 0) {
        return r;
    }
    return root_is(&root, &undo->new_root) || (undo->had_root && root_is(&root, &undo->old_root))
               ? 0
               : -ESTALE;
}

static int restore_one(void *arg, const char *name)
{
    struct undo *undo = arg;
    bool own = strcmp(name, JOURNAL_NAME) == 0 || strcmp(name, ROOT_OLD_NAME) == 0 ||
               strcmp(name, ROOT_NEW_NAME) == 0;
    return own ? 0 : raw_archive_restore(undo->archive, name);
}

static int remove_one(void *arg, const struct raw_name *name)
{
    const struct undo *undo = arg;
    return name->kind == RAW_FILE && name->id.number > undo->journal.highest[name->id.kind]
               ? raw_remove(undo->storage, name->name)
               : 0;
}

/* An error, too, means that there may be somebody. */
static bool is_followed(struct kv_storage *storage)
{
    uint64_t oldest = UINT64_MAX;
    return storage->ops->followers_oldest != NULL &&
           (storage->ops->followers_oldest(storage, &oldest) < 0 || oldest != UINT64_MAX);
}

static int run(struct undo *undo)
{
    int r = check_unchanged(undo);

    r = r < 0 ? r : raw_archive_list(undo->archive, restore_one, undo);
    r = r < 0 ? r : raw_sync(undo->storage);
    if (r == 0) {
        r = undo->had_root ? raw_root_replace(undo->storage, kv_buf_slice(&undo->old_root))
                           : raw_remove(undo->storage, ROOT_OLD_NAME);
    }
    if (r == 0 && !is_followed(undo->storage)) {
        r = raw_list(undo->storage, remove_one, undo);
    }
    return r < 0 ? r : raw_sync(undo->storage);
}

static void finish(struct undo *undo)
{
    raw_archive_close(undo->archive);
    kv_buf_finish(&undo->old_root);
    kv_buf_finish(&undo->new_root);
    *undo = (struct undo){.storage = undo->storage};
}

static int load(struct undo *undo, const char *archive)
{
    int r = raw_archive_open(undo->storage, archive, &undo->archive);
    return r < 0 ? r : read_archive(undo);
}

static void name_of(uint64_t number, char to[RAW_ARCHIVE_NAME_SIZE])
{
    snprintf(to, RAW_ARCHIVE_NAME_SIZE, "%08" PRIu64, number);
}

/* Whether archive `number` is of a repair that began where the one before it ended. */
static bool follows(struct kv_storage *storage, uint64_t number)
{
    struct undo before = {.storage = storage}, after = {.storage = storage};
    char name[RAW_ARCHIVE_NAME_SIZE];
    bool directly;

    name_of(number - 1, name);
    directly = load(&before, name) == 0;
    name_of(number, name);
    directly = directly && load(&after, name) == 0 && after.had_root &&
               kv_slice_equal(kv_buf_slice(&before.new_root), kv_buf_slice(&after.old_root));
    finish(&before);
    finish(&after);
    return directly;
}

/* The newest first. One that does not fit the store was taken back already, or else the first one
 * does not fit either. */
static int take_back(struct kv_storage *storage, uint64_t first)
{
    struct undo undo = {.storage = storage};
    uint64_t number = first;
    char name[RAW_ARCHIVE_NAME_SIZE];
    int r;

    while (follows(storage, number + 1)) {
        number++;
    }
    do {
        name_of(number, name);
        r = load(&undo, name);
        r = r < 0 ? r : run(&undo);
        finish(&undo);
    } while (number-- > first && (r == 0 || r == -ESTALE));
    return r;
}

int kv_admin_undo(struct kv_storage *storage, const char *archive)
{
    uint64_t first = strtoull(archive, NULL, 10);
    char name[RAW_ARCHIVE_NAME_SIZE];
    int r = storage->ops->lease_acquire(storage, KV_LEASE_EXCLUSIVE, "kvfs fsck --undo");

    name_of(first, name);
    if (r == 0 && strcmp(name, archive) != 0) {
        r = -EINVAL;
    }
    return r < 0 ? r : take_back(storage, first);
}
