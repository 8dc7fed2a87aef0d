/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/version.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "kvcore/db/edit.h"

int file_meta_create(struct file_meta **ret_file)
{
    struct file_meta *file = calloc(1, sizeof *file);
    if (file == NULL) {
        return -ENOMEM;
    }
    atomic_init(&file->refs, 1);
    *ret_file = file;
    return 0;
}

int file_meta_copy(const struct file_meta *from, struct file_meta **ret_file)
{
    struct file_meta *file = NULL;
    int r = file_meta_create(&file);

    if (r < 0) {
        return r;
    }
    file->table_id = from->table_id;
    file->level = from->level;
    file->number = from->number;
    file->size = from->size;
    file->smallest_trailer = from->smallest_trailer;
    file->largest_trailer = from->largest_trailer;
    file->sequence_min = from->sequence_min;
    file->sequence_max = from->sequence_max;
    file->row_count = from->row_count;
    file->tombstone_count = from->tombstone_count;
    file->range_delete_count = from->range_delete_count;
    file->longest_delete_run = from->longest_delete_run;
    file->hidden_bytes = from->hidden_bytes;
    r = kv_buf_append(&file->smallest, kv_buf_slice(&from->smallest));
    r = r < 0 ? r : kv_buf_append(&file->largest, kv_buf_slice(&from->largest));
    r = r < 0 ? r : kv_buf_append(&file->range_list, kv_buf_slice(&from->range_list));
    r = r < 0 ? r : blob_uses_copy(&from->blobs, &file->blobs);
    if (r < 0) {
        file_meta_unref(file);
        return r;
    }
    *ret_file = file;
    return 0;
}

void file_meta_ref(struct file_meta *file)
{
    atomic_fetch_add_explicit(&file->refs, 1, memory_order_relaxed);
}

void file_meta_unref(struct file_meta *file)
{
    /* Release and acquire: whoever frees sees all that others did with the file. */
    if (file == NULL || atomic_fetch_sub_explicit(&file->refs, 1, memory_order_acq_rel) > 1) {
        return;
    }
    table_close(atomic_load_explicit(&file->table, memory_order_relaxed));
    kv_buf_finish(&file->smallest);
    kv_buf_finish(&file->largest);
    kv_buf_finish(&file->range_list);
    blob_uses_finish(&file->blobs);
    file_meta_unref(file->moved_to);
    free(file);
}

static void file_list_finish(struct file_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        file_meta_unref(list->files[i]);
    }
    free(list->files);
    *list = (struct file_list){0};
}

static void table_files_unref(struct table_files *files)
{
    if (files == NULL || atomic_fetch_sub_explicit(&files->refs, 1, memory_order_acq_rel) > 1) {
        return;
    }
    for (int level = 0; level < KV_LEVEL_COUNT; level++) {
        file_list_finish(&files->levels[level]);
    }
    free(files);
}

int version_create_empty(struct version **ret_version)
{
    struct version *version = calloc(1, sizeof *version);
    if (version == NULL) {
        return -ENOMEM;
    }
    atomic_init(&version->refs, 1);
    *ret_version = version;
    return 0;
}

void version_ref(struct version *version)
{
    atomic_fetch_add_explicit(&version->refs, 1, memory_order_relaxed);
}

void version_unref(struct version *version)
{
    if (version == NULL || atomic_fetch_sub_explicit(&version->refs, 1, memory_order_acq_rel) > 1) {
        return;
    }
    for (int i = 0; i < KV_TABLE_COUNT_MAX; i++) {
        table_files_unref(version->tables[i]);
    }
    version_blobs_unref(version->blobs);
    free(version);
}

size_t version_count_files(const struct version *version, uint32_t table_id)
{
    const struct table_files *files = version_table(version, table_id);
    size_t count = 0;
    for (int level = 0; files != NULL && level < KV_LEVEL_COUNT; level++) {
        count += files->levels[level].count;
    }
    return count;
}

struct file_meta *version_find_file(const struct version *version, uint32_t table_id,
                                    uint32_t level, uint64_t number)
{
    const struct table_files *files = version_table(version, table_id);
    const struct file_list *list = files != NULL ? &files->levels[level] : NULL;
    for (size_t i = 0; list != NULL && i < list->count; i++) {
        if (list->files[i]->number == number) {
            return list->files[i];
        }
    }
    return NULL;
}

/* RANGE_END_TRAILER stands for just before the key. */
int file_compare_end(const struct file_meta *file, struct kv_slice key)
{
    int r = kv_slice_compare(kv_buf_slice(&file->largest), key);
    return r == 0 && file->largest_trailer == RANGE_END_TRAILER ? -1 : r;
}

size_t file_list_find(const struct file_list *list, struct kv_slice key)
{
    size_t low = 0;
    size_t high = list->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (file_compare_end(list->files[middle], key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool file_overlaps(const struct file_meta *file, struct kv_slice smallest, struct kv_slice largest)
{
    return kv_slice_compare(kv_buf_slice(&file->smallest), largest) <= 0 &&
           file_compare_end(file, smallest) >= 0;
}

bool file_list_overlaps_range(const struct file_list *list, struct kv_slice from,
                              struct kv_slice to)
{
    size_t i = file_list_find(list, from);
    return i < list->count && kv_slice_compare(kv_buf_slice(&list->files[i]->smallest), to) < 0;
}

bool file_list_overlaps(const struct file_list *list, bool disjoint, struct kv_slice smallest,
                        struct kv_slice largest)
{
    if (disjoint) {
        size_t i = file_list_find(list, smallest);
        return i < list->count && file_overlaps(list->files[i], smallest, largest);
    }
    for (size_t i = 0; i < list->count; i++) {
        if (file_overlaps(list->files[i], smallest, largest)) {
            return true;
        }
    }
    return false;
}

/* ---- applying an edit ---- */

static int compare_newest_first(const void *a, const void *b)
{
    const struct file_meta *fa = *(const struct file_meta *const *)a;
    const struct file_meta *fb = *(const struct file_meta *const *)b;
    if (fa->sequence_max != fb->sequence_max) {
        return fa->sequence_max < fb->sequence_max ? 1 : -1;
    }
    return (fa->number < fb->number) - (fa->number > fb->number);
}

static int compare_key_order(const void *a, const void *b)
{
    const struct file_meta *fa = *(const struct file_meta *const *)a;
    const struct file_meta *fb = *(const struct file_meta *const *)b;
    return kv_slice_compare(kv_buf_slice(&fa->smallest), kv_buf_slice(&fb->smallest));
}

static bool is_removed(const struct edit *edit, uint32_t table_id, uint32_t level, uint64_t number)
{
    for (size_t i = 0; i < edit->removed_count; i++) {
        const struct edit_removed *removed = &edit->removed[i];
        if (removed->number == number && removed->level == level && removed->table_id == table_id) {
            return true;
        }
    }
    return false;
}

static bool level_is_sound(const struct file_list *list)
{
    for (size_t i = 1; i < list->count; i++) {
        if (file_compare_end(list->files[i - 1], kv_buf_slice(&list->files[i]->smallest)) >= 0) {
            return false;
        }
    }
    return true;
}

/* The files of one level after the edit. Counts in `removed` what it took out. */
static int apply_level(const struct file_list *base, const struct edit *edit, uint32_t table_id,
                       uint32_t level, struct file_list *ret_list, size_t *removed)
{
    struct file_list list = {0};
    size_t base_count = base != NULL ? base->count : 0;

    list.files = calloc(base_count + edit->added_count + 1, sizeof *list.files);
    if (list.files == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < base_count; i++) {
        if (is_removed(edit, table_id, level, base->files[i]->number)) {
            (*removed)++;
            continue;
        }
        list.files[list.count++] = base->files[i];
    }
    for (size_t i = 0; i < edit->added_count; i++) {
        if (edit->added[i]->table_id == table_id && edit->added[i]->level == level) {
            list.files[list.count++] = edit->added[i];
        }
    }
    if (list.count > 0) {
        qsort(list.files, list.count, sizeof(struct file_meta *),
              level == 0 ? compare_newest_first : compare_key_order);
    }
    for (size_t i = 0; i < list.count; i++) {
        file_meta_ref(list.files[i]);
        list.bytes += list.files[i]->size;
        list.row_count += list.files[i]->row_count;
        list.tombstone_count += list.files[i]->tombstone_count;
        list.blob_bytes += blob_uses_sum(&list.files[i]->blobs);
        list.has_range_deletes |= list.files[i]->range_delete_count > 0;
    }
    if (level > 0 && !level_is_sound(&list)) {
        file_list_finish(&list);
        return -KV_EDAMAGED;
    }
    *ret_list = list;
    return 0;
}

static int apply_table(const struct table_files *base, const struct edit *edit, uint32_t table_id,
                       struct table_files **ret_files, size_t *removed)
{
    struct table_files *files = calloc(1, sizeof *files);
    int r = 0;

    if (files == NULL) {
        return -ENOMEM;
    }
    atomic_init(&files->refs, 1);
    for (uint32_t level = 0; level < KV_LEVEL_COUNT; level++) {
        r = apply_level(base != NULL ? &base->levels[level] : NULL, edit, table_id, level,
                        &files->levels[level], removed);
        if (r < 0) {
            table_files_unref(files);
            return r;
        }
        files->has_range_deletes |= files->levels[level].has_range_deletes;
    }
    *ret_files = files;
    return 0;
}

static bool edit_touches(const struct edit *edit, uint32_t table_id)
{
    for (size_t i = 0; i < edit->added_count; i++) {
        if (edit->added[i]->table_id == table_id) {
            return true;
        }
    }
    for (size_t i = 0; i < edit->removed_count; i++) {
        if (edit->removed[i].table_id == table_id) {
            return true;
        }
    }
    return false;
}

int version_apply(const struct version *base, const struct edit *edit, struct version **ret_version)
{
    struct version *version = NULL;
    size_t removed = 0;
    int r = version_create_empty(&version);

    if (r < 0) {
        return r;
    }
    for (uint32_t id = 1; id <= KV_TABLE_COUNT_MAX; id++) {
        struct table_files *files = base->tables[id - 1];
        if (edit_drops(edit, id)) {
            r = edit_touches(edit, id) ? -KV_EDAMAGED : 0;
            if (r < 0) {
                goto out;
            }
        } else if (edit_touches(edit, id)) {
            r = apply_table(files, edit, id, &version->tables[id - 1], &removed);
            if (r < 0) {
                goto out;
            }
        } else if (files != NULL) {
            atomic_fetch_add_explicit(&files->refs, 1, memory_order_relaxed);
            version->tables[id - 1] = files;
        }
        files = version->tables[id - 1];
        version->has_range_deletes |= files != NULL && files->has_range_deletes;
    }
    if (removed != edit->removed_count) {
        r = -KV_EDAMAGED; /* it removes a file that was not there */
        goto out;
    }
    r = version_blobs_apply(base, edit, &version->blobs);
    if (r < 0) {
        goto out;
    }
    *ret_version = version;
    version = NULL;
out:
    version_unref(version);
    return r;
}
