/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/version_blobs.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "kvcore/db/edit.h"

struct version_blobs *version_blobs_ref(struct version_blobs *blobs)
{
    if (blobs != NULL) {
        atomic_fetch_add_explicit(&blobs->refs, 1, memory_order_relaxed);
    }
    return blobs;
}

void version_blobs_unref(struct version_blobs *blobs)
{
    if (blobs != NULL && atomic_fetch_sub_explicit(&blobs->refs, 1, memory_order_acq_rel) == 1) {
        free(blobs);
    }
}

/* Index of the first blob whose number is >= `number`; count if none. */
static size_t find(const struct version_blobs *blobs, uint64_t number)
{
    size_t low = 0;
    size_t high = blobs != NULL ? blobs->count : 0;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (blobs->items[middle].info.number < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct version_blob *find_exact(struct version_blobs *blobs, uint64_t number)
{
    size_t i = find(blobs, number);
    bool found = blobs != NULL && i < blobs->count && blobs->items[i].info.number == number;
    return found ? &blobs->items[i] : NULL;
}

const struct version_blob *version_find_blob(const struct version *version, uint64_t number)
{
    return find_exact(version->blobs, number);
}

uint64_t version_blob_live_bytes(const struct version *version)
{
    uint64_t bytes = 0;
    for (size_t i = 0; version->blobs != NULL && i < version->blobs->count; i++) {
        bytes += version->blobs->items[i].referenced;
    }
    return bytes;
}

uint64_t version_blob_garbage(const struct version_blob *blob)
{
    uint64_t used = blob->referenced + blob->info.punched_bytes;
    return used < blob->info.data_bytes ? blob->info.data_bytes - used : 0;
}

/* ---- applying an edit ---- */

static bool edit_concerns_blobs(const struct edit *edit)
{
    bool concerns = edit->blob_count > 0 || edit->removed_blob_count > 0 || edit->dropped_count > 0;
    for (size_t i = 0; i < edit->added_count && !concerns; i++) {
        concerns = edit->added[i]->blobs.count > 0;
    }
    /* What is removed is known by number only: most likely the same, and if not, copying the list
     * costs little. */
    return concerns || edit->removed_count > 0;
}

/* The same blob again: only more of it was given back. */
static int update_blob(struct version_blob *blob, const struct blob_info *info)
{
    if (blob->info.file_size != info->file_size || blob->info.data_bytes != info->data_bytes ||
        info->punched_bytes < blob->info.punched_bytes) {
        return -KV_EDAMAGED;
    }
    blob->info = *info;
    return 0;
}

static int add_blobs(struct version_blobs *blobs, const struct edit *edit)
{
    int r = 0;
    for (size_t i = 0; i < edit->blob_count && r == 0; i++) {
        const struct blob_info *info = &edit->blobs[i];
        size_t at = find(blobs, info->number);
        if (at < blobs->count && blobs->items[at].info.number == info->number) {
            r = update_blob(&blobs->items[at], info);
            continue;
        }
        memmove(&blobs->items[at + 1], &blobs->items[at],
                (blobs->count - at) * sizeof blobs->items[0]);
        blobs->items[at] = (struct version_blob){.info = *info};
        blobs->count++;
    }
    return r;
}

static int count_uses(struct version_blobs *blobs, const struct blob_uses *uses, bool add)
{
    for (size_t i = 0; i < uses->count; i++) {
        struct version_blob *blob = find_exact(blobs, uses->items[i].number);
        uint64_t bytes = uses->items[i].bytes;
        if (blob == NULL || (!add && blob->referenced < bytes) ||
            (add && blob->referenced + bytes < bytes)) {
            return -KV_EDAMAGED;
        }
        blob->referenced = add ? blob->referenced + bytes : blob->referenced - bytes;
    }
    return 0;
}

/* The files of a table that is dropped use nothing any more. */
static int count_dropped(struct version_blobs *blobs, const struct table_files *files)
{
    int r = 0;
    for (int level = 0; files != NULL && level < KV_LEVEL_COUNT; level++) {
        const struct file_list *list = &files->levels[level];
        for (size_t i = 0; i < list->count && r == 0; i++) {
            r = count_uses(blobs, &list->files[i]->blobs, false);
        }
    }
    return r;
}

static int count_files(struct version_blobs *blobs, const struct version *base,
                       const struct edit *edit)
{
    int r = 0;
    for (uint32_t id = 1; id <= KV_TABLE_COUNT_MAX && r == 0; id++) {
        r = edit_drops(edit, id) ? count_dropped(blobs, version_table(base, id)) : 0;
    }
    for (size_t i = 0; i < edit->added_count && r == 0; i++) {
        r = count_uses(blobs, &edit->added[i]->blobs, true);
    }
    for (size_t i = 0; i < edit->removed_count && r == 0; i++) {
        const struct edit_removed *removed = &edit->removed[i];
        const struct file_meta *file =
            version_find_file(base, removed->table_id, removed->level, removed->number);
        r = file != NULL ? count_uses(blobs, &file->blobs, false) : -KV_EDAMAGED;
    }
    return r;
}

static int remove_blobs(struct version_blobs *blobs, const struct edit *edit)
{
    for (size_t i = 0; i < edit->removed_blob_count; i++) {
        struct version_blob *blob = find_exact(blobs, edit->removed_blobs[i]);
        if (blob == NULL || blob->referenced > 0) {
            return -KV_EDAMAGED;
        }
        blobs->count--;
        memmove(blob, blob + 1, (size_t)(&blobs->items[blobs->count] - blob) * sizeof *blob);
    }
    return 0;
}

int version_blobs_apply(const struct version *base, const struct edit *edit,
                        struct version_blobs **ret_blobs)
{
    size_t count = base->blobs != NULL ? base->blobs->count : 0;
    struct version_blobs *blobs;
    int r;

    if (!edit_concerns_blobs(edit)) {
        *ret_blobs = version_blobs_ref(base->blobs);
        return 0;
    }
    blobs = calloc(1, sizeof *blobs + (count + edit->blob_count) * sizeof blobs->items[0]);
    if (blobs == NULL) {
        return -ENOMEM;
    }
    atomic_init(&blobs->refs, 1);
    blobs->count = count;
    if (count > 0) {
        memcpy(blobs->items, base->blobs->items, count * sizeof blobs->items[0]);
    }
    r = add_blobs(blobs, edit);
    r = r < 0 ? r : count_files(blobs, base, edit);
    r = r < 0 ? r : remove_blobs(blobs, edit);
    if (r < 0) {
        version_blobs_unref(blobs);
        return r;
    }
    *ret_blobs = blobs;
    return 0;
}
