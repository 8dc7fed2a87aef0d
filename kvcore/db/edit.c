/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/edit.h"

#include <stdlib.h>

#include "kvcore/util/codec.h"
#include "kvcore/util/coding.h"

/* On disk, never renumber; odd ones must be understood. */
enum edit_tag {
    EDIT_TAG_NEXT_TABLE = 1,
    EDIT_TAG_LAST_SEQUENCE = 3,
    EDIT_TAG_FIRST_LOG = 5,
    EDIT_TAG_CLOSED_LOG = 7,
    EDIT_TAG_RELEASED_LOG = 9,
    EDIT_TAG_TABLE = 11,
    EDIT_TAG_DROPPED_TABLE = 13,
    EDIT_TAG_ADDED = 15,
    EDIT_TAG_REMOVED = 17,
    EDIT_TAG_BLOB = 23,
    EDIT_TAG_REMOVED_BLOB = 25,
    EDIT_TAG_NEXT_BLOB = 27,
};

/* Of an added file. */
enum file_tag {
    FILE_TAG_BLOBS = 1,
    FILE_TAG_HIDDEN_BYTES = 2,
    FILE_TAG_RANGE_DELETES = 3,
    FILE_TAG_DELETE_RUN = 4,
};

/* Of a blob. */
enum blob_tag {
    BLOB_TAG_PUNCHED = 1,
};

enum table_tag {
    TABLE_TAG_PREFIX_SIZE = 1,
    TABLE_TAG_FILTER_BITS = 3,
    TABLE_TAG_BLOCK_BYTES = 5,
    TABLE_TAG_CODEC = 7,
};

/* A blob's values end within the first GiB; its directory is small beside them. */
#define BLOB_FILE_SIZE_MAX ((uint64_t)1 << 32)

enum { PREFIX_SIZE_MAX = 256, FILTER_BITS_MAX = 64, BLOCK_BYTES_MAX = 1 << 24 };

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
    kv_buf_finish(&field);
    return r != 0 ? -ENOMEM : 0;
}

/* ---- decoding ---- */

static int decode_closed_log(struct coding_cursor *c, struct edit *edit)
{
    struct log_end end = {0};
    end.number = coding_read_varint(c);
    end.size = coding_read_varint_max(c, LOG_SIZE_MAX);
    end.chain = coding_read_u64(c);
    return coding_done(c) ? edit_add_closed_log(edit, &end) : -KV_EDAMAGED;
}

/* Looked at before it is put into a narrower type. */
static uint64_t field_varint_max(struct coding_cursor *c, struct kv_slice value, uint64_t max)
{
    uint64_t v = coding_field_varint(c, value);
    c->bad |= v > max;
    return c->bad ? 0 : v;
}

static int decode_table_options(struct coding_cursor *c, struct kv_table_options *options)
{
    uint64_t tag;
    struct kv_slice value;
    uint64_t codec = CODEC_SNAPPY;

    while (coding_read_field(c, &tag, &value)) {
        switch (tag) {
        case TABLE_TAG_PREFIX_SIZE:
            options->prefix_size = (unsigned)field_varint_max(c, value, PREFIX_SIZE_MAX);
            break;
        case TABLE_TAG_FILTER_BITS:
            options->filter_bits_per_key = (unsigned)field_varint_max(c, value, FILTER_BITS_MAX);
            break;
        case TABLE_TAG_BLOCK_BYTES:
            options->block_bytes = (size_t)field_varint_max(c, value, BLOCK_BYTES_MAX);
            break;
        case TABLE_TAG_CODEC:
            codec = coding_field_varint(c, value);
            break;
        default:
            if (tag % 2 == 1) {
                return -KV_EFORMAT;
            }
        }
    }
    if (coding_ok(c) && codec != CODEC_NONE && codec != CODEC_SNAPPY) {
        return -KV_EFORMAT;
    }
    options->no_compression = codec == CODEC_NONE;
    return coding_done(c) ? 0 : -KV_EDAMAGED;
}

static int decode_table(struct coding_cursor *c, struct edit *edit)
{
    struct edit_table table = {0};
    struct kv_slice name;
    int r;

    table.id = (uint32_t)coding_read_varint_max(c, UINT32_MAX);
    name = coding_read_string(c);
    if (coding_ok(c) && table.id > KV_TABLE_COUNT_MAX) {
        return -KV_EFORMAT; /* ids are not reused: a later version may count further */
    }
    if (!coding_ok(c) || table.id == 0 || name.size == 0 || name.size > KV_TABLE_NAME_SIZE_MAX ||
        memchr(name.data, 0, name.size) != NULL) {
        return -KV_EDAMAGED;
    }
    memcpy(table.name, name.data, name.size);
    r = decode_table_options(c, &table.options);
    return r < 0 ? r : edit_add_table(edit, &table);
}

static int decode_dropped(struct coding_cursor *c, struct edit *edit)
{
    uint32_t id = (uint32_t)coding_read_varint_max(c, UINT32_MAX);
    uint64_t sequence = coding_read_varint_max(c, ROW_SEQUENCE_MAX);
    if (coding_done(c) && id > KV_TABLE_COUNT_MAX) {
        return -KV_EFORMAT;
    }
    return coding_done(c) && id != 0 ? edit_drop_table(edit, id, sequence) : -KV_EDAMAGED;
}

static bool added_is_sound(const struct file_meta *file)
{
    return file->table_id != 0 && file->number != 0 &&
           (file->row_count != 0 || file->range_delete_count != 0) &&
           file->sequence_min <= file->sequence_max && file->sequence_max <= ROW_SEQUENCE_MAX &&
           file->tombstone_count <= file->row_count && file->smallest.size > 0 &&
           row_compare(kv_buf_slice(&file->smallest), file->smallest_trailer,
                       kv_buf_slice(&file->largest), file->largest_trailer) <= 0;
}

static int decode_file_fields(struct coding_cursor *c, struct file_meta *file)
{
    uint64_t tag;
    struct kv_slice value;
    int r = 0;

    while (r == 0 && coding_read_field(c, &tag, &value)) {
        if (tag == FILE_TAG_BLOBS) {
            c->bad |= file->blobs.count > 0 || value.size == 0;
            r = coding_ok(c) ? blob_uses_decode(value, &file->blobs) : 0;
        } else if (tag == FILE_TAG_RANGE_DELETES) {
            file->range_delete_count = coding_field_varint(c, value);
        } else if (tag == FILE_TAG_HIDDEN_BYTES) {
            file->hidden_bytes = coding_field_varint(c, value);
        } else if (tag == FILE_TAG_DELETE_RUN) {
            file->longest_delete_run = coding_field_varint(c, value);
        } else if (tag % 2 == 1) {
            r = -KV_EFORMAT;
        }
    }
    return r == 0 && !coding_done(c) ? -KV_EDAMAGED : r;
}

static int decode_added(struct coding_cursor *c, struct edit *edit)
{
    struct file_meta *file = NULL;
    struct kv_slice smallest;
    struct kv_slice largest;
    int r = file_meta_create(&file);

    if (r < 0) {
        return r;
    }
    file->table_id = (uint32_t)coding_read_varint_max(c, KV_TABLE_COUNT_MAX);
    file->level = (uint32_t)coding_read_varint_max(c, KV_LEVEL_COUNT - 1);
    file->number = coding_read_varint(c);
    file->size = coding_read_varint(c);
    smallest = coding_read_string(c);
    file->smallest_trailer = coding_read_u64(c);
    largest = coding_read_string(c);
    file->largest_trailer = coding_read_u64(c);
    file->sequence_min = coding_read_varint(c);
    file->sequence_max = coding_read_varint(c);
    file->row_count = coding_read_varint(c);
    file->tombstone_count = coding_read_varint(c);
    r = decode_file_fields(c, file);
    r = r < 0 ? r : kv_buf_append(&file->smallest, smallest);
    r = r < 0 ? r : kv_buf_append(&file->largest, largest);
    if (r == 0) {
        r = added_is_sound(file) ? edit_add_file(edit, file) : -KV_EDAMAGED;
    }
    file_meta_unref(file);
    return r;
}

static int decode_removed(struct coding_cursor *c, struct edit *edit)
{
    struct file_meta file = {0};
    file.table_id = (uint32_t)coding_read_varint_max(c, KV_TABLE_COUNT_MAX);
    file.level = (uint32_t)coding_read_varint_max(c, KV_LEVEL_COUNT - 1);
    file.number = coding_read_varint(c);
    return coding_done(c) && file.table_id != 0 ? edit_remove_file(edit, &file) : -KV_EDAMAGED;
}

static int decode_blob(struct coding_cursor *c, struct edit *edit)
{
    struct blob_info blob = {0};
    uint64_t tag;
    struct kv_slice value;

    blob.number = coding_read_varint(c);
    blob.file_size = coding_read_varint_max(c, BLOB_FILE_SIZE_MAX);
    blob.data_bytes = coding_read_varint(c);
    while (coding_read_field(c, &tag, &value)) {
        if (tag == BLOB_TAG_PUNCHED) {
            blob.punched_bytes = coding_field_varint(c, value);
        } else if (tag % 2 == 1) {
            return -KV_EFORMAT;
        }
    }
    if (!coding_done(c) || blob.number == 0 || blob.data_bytes > blob.file_size ||
        blob.punched_bytes > blob.file_size) {
        return -KV_EDAMAGED;
    }
    return edit_add_blob(edit, &blob);
}

static int decode_removed_blob(struct coding_cursor *c, struct edit *edit)
{
    uint64_t number = coding_read_varint(c);
    return coding_done(c) && number != 0 ? edit_remove_blob(edit, number) : -KV_EDAMAGED;
}

static int decode_field(uint64_t tag, struct kv_slice value, struct edit *edit)
{
    struct coding_cursor c = coding_cursor(value);

    switch (tag) {
    case EDIT_TAG_NEXT_TABLE:
        edit->next_table = coding_read_varint(&c);
        break;
    case EDIT_TAG_LAST_SEQUENCE:
        edit->last_sequence = coding_read_varint_max(&c, ROW_SEQUENCE_MAX);
        break;
    case EDIT_TAG_FIRST_LOG:
        edit->first_log = coding_read_varint(&c);
        break;
    case EDIT_TAG_RELEASED_LOG:
        edit->released_log = coding_read_varint(&c);
        break;
    case EDIT_TAG_CLOSED_LOG:
        return decode_closed_log(&c, edit);
    case EDIT_TAG_TABLE:
        return decode_table(&c, edit);
    case EDIT_TAG_DROPPED_TABLE:
        return decode_dropped(&c, edit);
    case EDIT_TAG_ADDED:
        return decode_added(&c, edit);
    case EDIT_TAG_REMOVED:
        return decode_removed(&c, edit);
    case EDIT_TAG_NEXT_BLOB:
        edit->next_blob = coding_read_varint(&c);
        break;
    case EDIT_TAG_BLOB:
        return decode_blob(&c, edit);
    case EDIT_TAG_REMOVED_BLOB:
        return decode_removed_blob(&c, edit);
    default:
        return tag % 2 == 1 ? -KV_EFORMAT : 0;
    }
    return coding_done(&c) ? 0 : -KV_EDAMAGED;
}

int edit_decode(struct kv_slice from, struct edit *ret_edit)
{
    struct edit edit = {0};
    struct coding_cursor c = coding_cursor(from);
    uint64_t tag;
    struct kv_slice value;
    int r = 0;

    while (r == 0 && coding_read_field(&c, &tag, &value)) {
        r = decode_field(tag, value, &edit);
    }
    if (r == 0 && !coding_done(&c)) {
        r = -KV_EDAMAGED;
    }
    if (r < 0) {
        edit_finish(&edit);
        return r;
    }
    *ret_edit = edit;
    return 0;
}
