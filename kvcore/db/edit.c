/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/edit.h"

#include <stdlib.h>

#include "kvcore/db/edit_format.h"
#include "kvcore/util/codec.h"
#include "kvcore/util/coding.h"

enum { FILTER_BITS_DEFAULT = 10 };

static const size_t block_default = (size_t)8 << 10;

/* Grow an array by one element. Returns the new element, zeroed, or NULL. */
static void *grow(void **array, size_t *count, size_t element_size)
{
    void *larger = realloc(*array, (*count + 1) * element_size);
    uint8_t *element;
    if (larger == NULL) {
        return NULL;
    }
    *array = larger;
    element = (uint8_t *)larger + *count * element_size;
    memset(element, 0, element_size);
    (*count)++;
    return element;
}

/* What the manifest takes; others would only be refused when the store is opened again. */
static bool are_valid(const struct kv_table_options *options)
{
    return options->prefix_size <= KV_TABLE_PREFIX_SIZE_MAX &&
           options->filter_bits_per_key <= KV_TABLE_FILTER_BITS_MAX &&
           options->block_bytes <= KV_TABLE_BLOCK_BYTES_MAX;
}

int edit_table_init(struct edit_table *table, const char *name,
                    const struct kv_table_options *options)
{
    size_t size = strlen(name);

    *table = (struct edit_table){0};
    if (size == 0 || size > KV_TABLE_NAME_SIZE_MAX || (options != NULL && !are_valid(options))) {
        return -EINVAL;
    }
    memcpy(table->name, name, size);
    if (options != NULL) {
        table->options = *options;
    }
    if (table->options.filter_bits_per_key == 0) {
        table->options.filter_bits_per_key = FILTER_BITS_DEFAULT;
    }
    if (table->options.block_bytes == 0) {
        table->options.block_bytes = block_default;
    }
    return 0;
}

void edit_finish(struct edit *edit)
{
    for (size_t i = 0; i < edit->added_count; i++) {
        file_meta_unref(edit->added[i]);
    }
    free(edit->added);
    free(edit->removed);
    free(edit->tables);
    free(edit->dropped);
    free(edit->closed_logs);
    free(edit->blobs);
    free(edit->removed_blobs);
    free(edit->snapshots);
    free(edit->dropped_snapshots);
    *edit = (struct edit){0};
}

int edit_add_closed_log(struct edit *edit, const struct log_end *end)
{
    struct log_end *slot = grow((void **)&edit->closed_logs, &edit->closed_log_count, sizeof *slot);
    if (slot == NULL) {
        return -ENOMEM;
    }
    *slot = *end;
    return 0;
}

int edit_add_table(struct edit *edit, const struct edit_table *table)
{
    struct edit_table *slot = grow((void **)&edit->tables, &edit->table_count, sizeof *slot);
    if (slot == NULL) {
        return -ENOMEM;
    }
    *slot = *table;
    return 0;
}

int edit_drop_table(struct edit *edit, uint32_t id, uint64_t sequence)
{
    struct edit_dropped *slot = grow((void **)&edit->dropped, &edit->dropped_count, sizeof *slot);
    if (slot == NULL) {
        return -ENOMEM;
    }
    *slot = (struct edit_dropped){.id = id, .sequence = sequence};
    return 0;
}

bool edit_drops(const struct edit *edit, uint32_t id)
{
    for (size_t i = 0; i < edit->dropped_count; i++) {
        if (edit->dropped[i].id == id) {
            return true;
        }
    }
    return false;
}

int edit_add_file(struct edit *edit, struct file_meta *file)
{
    struct file_meta **slot =
        grow((void **)&edit->added, &edit->added_count, sizeof(struct file_meta *));
    if (slot == NULL) {
        return -ENOMEM;
    }
    file_meta_ref(file);
    *slot = file;
    return 0;
}

int edit_remove_file(struct edit *edit, const struct file_meta *file)
{
    struct edit_removed *slot = grow((void **)&edit->removed, &edit->removed_count, sizeof *slot);
    if (slot == NULL) {
        return -ENOMEM;
    }
    *slot = (struct edit_removed){
        .table_id = file->table_id, .level = file->level, .number = file->number};
    return 0;
}

int edit_add_blob(struct edit *edit, const struct blob_info *blob)
{
    struct blob_info *slot = grow((void **)&edit->blobs, &edit->blob_count, sizeof *slot);
    if (slot == NULL) {
        return -ENOMEM;
    }
    *slot = *blob;
    return 0;
}

int edit_remove_blob(struct edit *edit, uint64_t number)
{
    uint64_t *slot = grow((void **)&edit->removed_blobs, &edit->removed_blob_count, sizeof *slot);
    if (slot == NULL) {
        return -ENOMEM;
    }
    *slot = number;
    return 0;
}

int edit_add_snapshot(struct edit *edit, const struct edit_snapshot *snapshot)
{
    struct edit_snapshot *slot =
        grow((void **)&edit->snapshots, &edit->snapshot_count, sizeof *slot);
    if (slot == NULL) {
        return -ENOMEM;
    }
    *slot = *snapshot;
    return 0;
}

int edit_drop_snapshot(struct edit *edit, const char *name)
{
    struct edit_snapshot *slot =
        grow((void **)&edit->dropped_snapshots, &edit->dropped_snapshot_count, sizeof *slot);
    if (slot == NULL) {
        return -ENOMEM;
    }
    strncpy(slot->name, name, sizeof slot->name - 1);
    return 0;
}

/* ---- encoding: a failed append (out of memory) is looked at once, at the end ---- */

static int encode_closed_log(const struct log_end *end, struct kv_buf *to)
{
    int r = coding_append_varint(to, end->number);
    r |= coding_append_varint(to, end->size);
    r |= coding_append_u64(to, end->chain);
    return r;
}

static int encode_table(const struct edit_table *table, struct kv_buf *to)
{
    const struct kv_table_options *options = &table->options;
    int r = coding_append_varint(to, table->id);
    r |= coding_append_string(to, kv_slice_str(table->name));
    r |= coding_append_field_varint(to, TABLE_TAG_PREFIX_SIZE, options->prefix_size);
    r |= coding_append_field_varint(to, TABLE_TAG_FILTER_BITS, options->filter_bits_per_key);
    r |= coding_append_field_varint(to, TABLE_TAG_BLOCK_BYTES, options->block_bytes);
    r |= coding_append_field_varint(to, TABLE_TAG_CODEC,
                                    options->no_compression ? CODEC_NONE : CODEC_SNAPPY);
    return r;
}

static int encode_dropped(const struct edit_dropped *dropped, struct kv_buf *to)
{
    int r = coding_append_varint(to, dropped->id);
    r |= coding_append_varint(to, dropped->sequence);
    return r;
}

static int append_varint_if_set(struct kv_buf *to, uint64_t tag, uint64_t value)
{
    return value != 0 ? coding_append_field_varint(to, tag, value) : 0;
}

static int encode_added(const struct file_meta *file, struct kv_buf *to)
{
    int r = coding_append_varint(to, file->table_id);
    r |= coding_append_varint(to, file->level);
    r |= coding_append_varint(to, file->number);
    r |= coding_append_varint(to, file->size);
    r |= coding_append_string(to, kv_buf_slice(&file->smallest));
    r |= coding_append_u64(to, file->smallest_trailer);
    r |= coding_append_string(to, kv_buf_slice(&file->largest));
    r |= coding_append_u64(to, file->largest_trailer);
    r |= coding_append_varint(to, file->sequence_min);
    r |= coding_append_varint(to, file->sequence_max);
    r |= coding_append_varint(to, file->row_count);
    r |= coding_append_varint(to, file->tombstone_count);
    if (file->blobs.count > 0) {
        struct kv_buf list = {0};
        r |= blob_uses_encode(&file->blobs, &list);
        r |= coding_append_field(to, FILE_TAG_BLOBS, kv_buf_slice(&list));
        kv_buf_finish(&list);
    }
    r |= append_varint_if_set(to, FILE_TAG_RANGE_DELETES, file->range_delete_count);
    r |= append_varint_if_set(to, FILE_TAG_HIDDEN_BYTES, file->hidden_bytes);
    r |= append_varint_if_set(to, FILE_TAG_DELETE_RUN, file->longest_delete_run);
    if (file->range_list.size > 0) {
        r |= coding_append_field(to, FILE_TAG_RANGE_LIST, kv_buf_slice(&file->range_list));
    }
    return r;
}

static int encode_removed(const struct edit_removed *removed, struct kv_buf *to)
{
    int r = coding_append_varint(to, removed->table_id);
    r |= coding_append_varint(to, removed->level);
    r |= coding_append_varint(to, removed->number);
    return r;
}

static int encode_blob(const struct blob_info *blob, struct kv_buf *to)
{
    int r = coding_append_varint(to, blob->number);
    r |= coding_append_varint(to, blob->file_size);
    r |= coding_append_varint(to, blob->data_bytes);
    r |= append_varint_if_set(to, BLOB_TAG_PUNCHED, blob->punched_bytes);
    return r;
}

static int encode_tables(const struct edit *edit, struct kv_buf *to)
{
    struct kv_buf field = {0};
    int r = 0;
    for (size_t i = 0; i < edit->table_count; i++) {
        field.size = 0;
        r |= encode_table(&edit->tables[i], &field);
        r |= coding_append_field(to, EDIT_TAG_TABLE, kv_buf_slice(&field));
    }
    for (size_t i = 0; i < edit->dropped_count; i++) {
        field.size = 0;
        r |= encode_dropped(&edit->dropped[i], &field);
        r |= coding_append_field(to, EDIT_TAG_DROPPED_TABLE, kv_buf_slice(&field));
    }
    kv_buf_finish(&field);
    return r;
}

static int encode_blobs(const struct edit *edit, struct kv_buf *to)
{
    struct kv_buf field = {0};
    int r = append_varint_if_set(to, EDIT_TAG_NEXT_BLOB, edit->next_blob);
    for (size_t i = 0; i < edit->removed_blob_count; i++) {
        r |= coding_append_field_varint(to, EDIT_TAG_REMOVED_BLOB, edit->removed_blobs[i]);
    }
    for (size_t i = 0; i < edit->blob_count; i++) {
        field.size = 0;
        r |= encode_blob(&edit->blobs[i], &field);
        r |= coding_append_field(to, EDIT_TAG_BLOB, kv_buf_slice(&field));
    }
    kv_buf_finish(&field);
    return r;
}

static int encode_snapshots(const struct edit *edit, struct kv_buf *to)
{
    struct kv_buf field = {0};
    int r = 0;
    for (size_t i = 0; i < edit->snapshot_count; i++) {
        field.size = 0;
        r |= coding_append_string(&field, kv_slice_str(edit->snapshots[i].name));
        r |= coding_append_varint(&field, edit->snapshots[i].sequence);
        r |= coding_append_varint(&field, edit->snapshots[i].time_s);
        r |= coding_append_field(to, EDIT_TAG_SNAPSHOT, kv_buf_slice(&field));
    }
    for (size_t i = 0; i < edit->dropped_snapshot_count; i++) {
        field.size = 0;
        r |= coding_append_string(&field, kv_slice_str(edit->dropped_snapshots[i].name));
        r |= coding_append_field(to, EDIT_TAG_DROPPED_SNAPSHOT, kv_buf_slice(&field));
    }
    kv_buf_finish(&field);
    return r;
}

int edit_encode(const struct edit *edit, struct kv_buf *to)
{
    struct kv_buf field = {0};
    int r = 0;

    to->size = 0;
    r |= append_varint_if_set(to, EDIT_TAG_NEXT_TABLE, edit->next_table);
    r |= append_varint_if_set(to, EDIT_TAG_LAST_SEQUENCE, edit->last_sequence);
    r |= append_varint_if_set(to, EDIT_TAG_FIRST_LOG, edit->first_log);
    for (size_t i = 0; i < edit->closed_log_count; i++) {
        field.size = 0;
        r |= encode_closed_log(&edit->closed_logs[i], &field);
        r |= coding_append_field(to, EDIT_TAG_CLOSED_LOG, kv_buf_slice(&field));
    }
    r |= append_varint_if_set(to, EDIT_TAG_RELEASED_LOG, edit->released_log);
    r |= encode_tables(edit, to);
    for (size_t i = 0; i < edit->removed_count; i++) {
        field.size = 0;
        r |= encode_removed(&edit->removed[i], &field);
        r |= coding_append_field(to, EDIT_TAG_REMOVED, kv_buf_slice(&field));
    }
    for (size_t i = 0; i < edit->added_count; i++) {
        field.size = 0;
        r |= encode_added(edit->added[i], &field);
        r |= coding_append_field(to, EDIT_TAG_ADDED, kv_buf_slice(&field));
    }
    r |= encode_blobs(edit, to);
    r |= encode_snapshots(edit, to);
    kv_buf_finish(&field);
    return r != 0 ? -ENOMEM : 0;
}
