/* SPDX-License-Identifier: Apache-2.0 */
/* The blobs that the manifest names: there, long enough, and their directories. The values are read
 * where their rows are, by scan_tables. */
#include <inttypes.h>
#include <stdlib.h>

#include "kvcore/admin/scan.h"
#include "kvcore/blob/blob_check.h"
#include "kvcore/blob/blob_directory.h"

static int note_bad(struct scan *scan, uint64_t number, uint64_t size)
{
    struct scan_blob *larger =
        realloc(scan->bad_blobs, (scan->bad_blob_count + 1) * sizeof *larger);
    if (larger == NULL) {
        return -ENOMEM;
    }
    scan->bad_blobs = larger;
    larger[scan->bad_blob_count++] = (struct scan_blob){number, size};
    return 0;
}

/* Directory and footer are hints: a blob does without. If either is damaged it is named as one that
 * ends before its footer, and so has none. */
static int check_end(struct scan *scan, const struct blob_info *blob)
{
    struct blob_check check = {
        .store = {.storage = scan->storage, .seed = scan->seed, .sink = &scan->sink},
        .read_fn = scan_read_fn,
        .arg = scan};
    struct scan_place at = {.code = KV_PROBLEM_BLOB_DIRECTORY, .id = {KV_FILE_BLOB, blob->number}};
    int r = blob_check_end(&check, blob->number, blob->file_size);

    at.offset = scan->said_offset;
    if (r == -KV_EDAMAGED) {
        int noted = note_bad(scan, blob->number, blob->file_size - BLOB_FOOTER_SIZE);
        r = noted < 0 ? noted : r;
    }
    if (r == -EIO || r == -ELOOP) {
        at.code = KV_PROBLEM_FILE_UNREADABLE;
        at.error = r;
    }
    if (r == -KV_EDAMAGED || r == -EIO || r == -ELOOP) {
        scan_tell(scan, &at, "blob %08" PRIu64 ": what stands behind its values cannot be read",
                  blob->number);
        r = 0;
    }
    return r;
}

/* Every table with rows that point into a bad blob is made anew. */
static int note_tables(struct scan *scan, uint64_t number)
{
    int r = 0;
    for (uint32_t id = 1; id <= KV_TABLE_COUNT_MAX; id++) {
        const struct table_files *files = version_table(scan->state.version, id);
        for (int level = 0; files != NULL && level < KV_LEVEL_COUNT; level++) {
            for (size_t i = 0; i < files->levels[level].count && r == 0; i++) {
                struct file_meta *file = files->levels[level].files[i];
                r = blob_uses_have(&file->blobs, number) ? scan_note_table(scan, file, false) : 0;
            }
        }
    }
    return r;
}

static int check_blob(struct scan *scan, const struct blob_info *blob)
{
    struct scan_file *file = scan_find(scan, KV_FILE_BLOB, blob->number);
    struct scan_place at = {.code = KV_PROBLEM_BLOB_MISSING,
                            .id = {KV_FILE_BLOB, blob->number},
                            .offset = MESSAGE_NO_OFFSET};
    int r;

    if (file == NULL) {
        scan_tell(scan, &at, "blob %08" PRIu64 " of %" PRIu64 " bytes is missing", blob->number,
                  blob->file_size);
        r = note_bad(scan, blob->number, 0);
        return r < 0 ? r : note_tables(scan, blob->number);
    }
    file->wanted = true;
    if (file->size < blob->file_size) {
        at.code = KV_PROBLEM_BLOB_SHORT;
        at.offset = file->size;
        scan_tell(scan, &at, "blob %08" PRIu64 " has %" PRIu64 " bytes instead of %" PRIu64,
                  blob->number, file->size, blob->file_size);
        r = note_bad(scan, blob->number, file->size);
        return r < 0 ? r : note_tables(scan, blob->number);
    }
    return check_end(scan, blob);
}

int scan_blobs(struct scan *scan)
{
    const struct version_blobs *blobs = scan->state.version->blobs;
    int r = 0;

    for (size_t i = 0; blobs != NULL && i < blobs->count && r == 0; i++) {
        r = check_blob(scan, &blobs->items[i].info);
    }
    return r;
}
