/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/admin/scan_values.h"

#include "kvcore/blob/blob_file.h"

static int read_value(struct value_reader *reader, const struct blob_pointer *pointer)
{
    struct scan *scan = reader->scan;
    struct blob_store blobs = {.storage = scan->storage, .seed = scan->seed, .sink = &scan->sink};
    int r = 0;

    if (reader->blob != NULL && blob_file_number(reader->blob) != pointer->number) {
        blob_file_unref(reader->blob);
        reader->blob = NULL;
    }
    if (reader->blob == NULL) {
        r = blob_file_open(&blobs, pointer->number, &reader->blob);
    }
    r = r < 0 ? r : blob_file_read_stored(reader->blob, pointer, &reader->stored);
    if (r == -KV_EDAMAGED || r == -EIO || r == -ELOOP) {
        return VALUE_DAMAGED;
    }
    return r < 0 ? r : scan_spend(scan, pointer->stored_size);
}

int value_judge(struct value_reader *reader, struct kv_slice value,
                struct blob_pointer *ret_pointer)
{
    struct scan *scan = reader->scan;
    struct blob_pointer pointer;
    const struct scan_file *file;

    if (blob_pointer_decode(value, &pointer) < 0) {
        return VALUE_SENSELESS;
    }
    *ret_pointer = pointer;
    file = scan_find(scan, KV_FILE_BLOB, pointer.number);
    if (version_find_blob(scan->state.version, pointer.number) == NULL) {
        return VALUE_UNNAMED;
    }
    if (file == NULL || !file->is_ours) {
        return VALUE_MISSING;
    }
    if (file->size < (uint64_t)pointer.offset + pointer.stored_size) {
        return VALUE_BEYOND;
    }
    return scan->deep ? read_value(reader, &pointer) : VALUE_SOUND;
}

int value_settle(struct value_reader *reader, struct table_builder *builder, struct row *row)
{
    struct blob_pointer pointer;
    int verdict = value_judge(reader, row->value, &pointer);

    if (verdict < 0) {
        return verdict;
    }
    if (verdict == VALUE_SOUND) {
        return table_builder_note_blob(builder, pointer.number, pointer.stored_size);
    }
    row->trailer = row_trailer(row_sequence(row->trailer), ROW_DAMAGED);
    row->value = kv_slice(NULL, 0);
    return 0;
}

void value_reader_finish(struct value_reader *reader)
{
    blob_file_unref(reader->blob);
    kv_buf_finish(&reader->stored);
}
