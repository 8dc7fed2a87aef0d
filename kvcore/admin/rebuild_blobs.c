/* SPDX-License-Identifier: Apache-2.0 */
/* What a blob says of itself, where no manifest does. */
#include "kvcore/admin/rebuild.h"
#include "kvcore/blob/blob_directory.h"
#include "kvcore/util/checksum.h"

/* 1 and the footer, 0 if there is none that is sound, or an error. */
static int read_footer(struct scan *scan, uint64_t number, struct blob_footer *ret_footer)
{
    const struct kv_storage_ops *ops = scan->storage->ops;
    struct kv_file_id id = {.kind = KV_FILE_BLOB, .number = number};
    uint64_t seed = checksum_file_seed(scan->seed, KV_FILE_BLOB, number);
    uint8_t bytes[BLOB_FOOTER_SIZE];
    struct kv_object *object = NULL;
    uint64_t size;
    size_t got = 0;
    int r = ops->object_open(scan->storage, id, &object);

    if (r < 0) {
        return r == -ENOMEM ? r : 0;
    }
    size = ops->object_size(object);
    if (size >= sizeof bytes) {
        r = ops->object_read(object, size - sizeof bytes, bytes, sizeof bytes, &got);
    }
    ops->object_close(object);
    if (r == -ENOMEM) {
        return r;
    }
    return r == 0 && got == sizeof bytes &&
           blob_footer_decode(bytes, seed, size - sizeof bytes, ret_footer) == 0;
}

int rebuild_blob_is_whole(struct scan *scan, uint64_t number, bool *ret_whole)
{
    struct blob_footer footer;
    int r = read_footer(scan, number, &footer);
    if (r >= 0) {
        *ret_whole = r == 1;
    }
    return r < 0 ? r : 0;
}

int rebuild_blob_info(struct scan *scan, uint64_t number, struct blob_info *ret_info)
{
    const struct scan_file *file = scan_find(scan, KV_FILE_BLOB, number);
    struct blob_info info = {.number = number, .file_size = 1, .data_bytes = 1};
    struct blob_footer footer;
    int r = file != NULL && file->is_ours ? read_footer(scan, number, &footer) : 0;

    if (file != NULL && file->size > 0) {
        info.file_size = file->size;
        info.data_bytes =
            r == 1 && footer.data_bytes <= file->size ? footer.data_bytes : file->size;
    }
    if (r >= 0) {
        *ret_info = info;
    }
    return r < 0 ? r : 0;
}
