/* SPDX-License-Identifier: Apache-2.0 */
/* Edits from bytes, which may be anything. */
#include "kvcore/db/edit.h"
#include "kvcore/db/edit_format.h"
#include "kvcore/table/range_list.h"
#include "kvcore/util/codec.h"
#include "kvcore/util/coding.h"

/* A blob's values end within the first GiB; its directory is small beside them. */
#define BLOB_FILE_SIZE_MAX ((uint64_t)1 << 32)

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
            options->prefix_size = (unsigned)field_varint_max(c, value, KV_TABLE_PREFIX_SIZE_MAX);
            break;
        case TABLE_TAG_FILTER_BITS:
            options->filter_bits_per_key =
                (unsigned)field_varint_max(c, value, KV_TABLE_FILTER_BITS_MAX);
            break;
        case TABLE_TAG_BLOCK_BYTES:
            options->block_bytes = (size_t)field_varint_max(c, value, KV_TABLE_BLOCK_BYTES_MAX);
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
        } else if (tag == FILE_TAG_RANGE_LIST) {
            r = kv_buf_assign(&file->range_list, value);
        } else if (tag % 2 == 1) {
            r = -KV_EFORMAT;
        }
    }
    return r == 0 && !coding_done(c) ? -KV_EDAMAGED : r;
}

/* Ranges that the table could have: repair goes by them. */
static bool list_fits(const struct range_list *list, const struct file_meta *file)
{
    const struct range_dels *dels = list->dels;
    struct kv_slice from = dels->fragments[0].from;
    struct kv_slice to = dels->fragments[dels->count - 1].to;

    return (list->is_exact ? dels->delete_count == file->range_delete_count
                           : dels->delete_count <= file->range_delete_count) &&
           dels->sequence_min >= file->sequence_min && dels->sequence_max <= file->sequence_max &&
           kv_slice_compare(kv_buf_slice(&file->smallest), from) <= 0 &&
           kv_slice_compare(to, kv_buf_slice(&file->largest)) <= 0;
}

static int check_range_list(struct file_meta *file)
{
    struct range_list list = {0};
    int r = 0;

    if (file->range_list.size > 0) {
        r = range_list_decode(kv_buf_slice(&file->range_list), &list);
        if (r == -KV_EFORMAT) {
            file->range_list.size = 0; /* it only says what the table says, too */
            return 0;
        }
        r = r == 0 && !list_fits(&list, file) ? -KV_EDAMAGED : r;
        range_list_finish(&list);
    }
    return r;
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
    r = r < 0 ? r : check_range_list(file);
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

static bool read_snapshot_name(struct coding_cursor *c, char to[KV_SNAPSHOT_NAME_SIZE_MAX + 1])
{
    struct kv_slice name = coding_read_string(c);
    if (!coding_ok(c) || name.size == 0 || name.size > KV_SNAPSHOT_NAME_SIZE_MAX ||
        memchr(name.data, 0, name.size) != NULL) {
        return false;
    }
    memcpy(to, name.data, name.size);
    return true;
}

/* None is known. */
static int skip_fields(struct coding_cursor *c)
{
    uint64_t tag;
    struct kv_slice value;
    while (coding_read_field(c, &tag, &value)) {
        if (tag % 2 == 1) {
            return -KV_EFORMAT;
        }
    }
    return coding_done(c) ? 0 : -KV_EDAMAGED;
}

static int decode_snapshot(struct coding_cursor *c, struct edit *edit)
{
    struct edit_snapshot snapshot = {0};
    int r;
    if (!read_snapshot_name(c, snapshot.name)) {
        return -KV_EDAMAGED;
    }
    snapshot.sequence = coding_read_varint_max(c, ROW_SEQUENCE_MAX);
    snapshot.time_s = coding_read_varint(c);
    r = skip_fields(c);
    return r < 0 ? r : edit_add_snapshot(edit, &snapshot);
}

static int decode_dropped_snapshot(struct coding_cursor *c, struct edit *edit)
{
    struct edit_snapshot snapshot = {0};
    int r = read_snapshot_name(c, snapshot.name) ? skip_fields(c) : -KV_EDAMAGED;
    return r < 0 ? r : edit_drop_snapshot(edit, snapshot.name);
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
    case EDIT_TAG_SNAPSHOT:
        return decode_snapshot(&c, edit);
    case EDIT_TAG_DROPPED_SNAPSHOT:
        return decode_dropped_snapshot(&c, edit);
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
