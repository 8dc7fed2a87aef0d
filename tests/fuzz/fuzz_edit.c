/* SPDX-License-Identifier: Apache-2.0 */
/* Input: manifest edits as strings (varint size, bytes), each applied to the version that the ones
 * before it made. */
#include "tests/fuzz/fuzz.h"

#include "kvcore/db/edit.h"

enum { EDITS_MAX = 16 };

static void check_encoding(const struct edit *edit)
{
    struct kv_buf first = {0}, second = {0};
    struct edit again;

    fuzz_need(edit_encode(edit, &first));
    assert(edit_decode(kv_buf_slice(&first), &again) == 0);
    fuzz_need(edit_encode(&again, &second));
    assert(kv_slice_equal(kv_buf_slice(&first), kv_buf_slice(&second)));
    edit_finish(&again);
    kv_buf_finish(&first);
    kv_buf_finish(&second);
}

static void check_list(const struct file_list *list, bool disjoint)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < list->count; i++) {
        const struct file_meta *file = list->files[i], *last = i > 0 ? list->files[i - 1] : NULL;
        struct kv_slice smallest = kv_buf_slice(&file->smallest);
        struct kv_slice largest = kv_buf_slice(&file->largest);
        bytes += file->size;
        assert(kv_slice_compare(smallest, largest) <= 0);
        assert(file_list_overlaps(list, disjoint, smallest, largest));
        if (disjoint) {
            assert(file_list_find(list, smallest) == i);
            assert(file_list_find(list, largest) == i || file_compare_end(file, largest) < 0);
            assert(i == 0 || file_compare_end(last, smallest) < 0);
        } else {
            assert(i == 0 || last->sequence_max >= file->sequence_max);
        }
    }
    assert(bytes == list->bytes);
}

static void check_version(const struct version *version)
{
    for (uint32_t id = 1; id <= KV_TABLE_COUNT_MAX; id++) {
        const struct table_files *files = version_table(version, id);
        for (int level = 0; files != NULL && level < KV_LEVEL_COUNT; level++) {
            check_list(&files->levels[level], level > 0);
        }
    }
}

static uint64_t check_uses(const struct version *version, const struct blob_uses *uses)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < uses->count; i++) {
        assert(version_find_blob(version, uses->items[i].number) != NULL);
        bytes += uses->items[i].bytes;
    }
    return bytes;
}

/* What is said of each blob adds up to what the tables say. */
static void check_blobs(const struct version *version)
{
    uint64_t uses = 0;
    for (uint32_t id = 1; id <= KV_TABLE_COUNT_MAX; id++) {
        const struct table_files *files = version_table(version, id);
        for (int level = 0; files != NULL && level < KV_LEVEL_COUNT; level++) {
            for (size_t i = 0; i < files->levels[level].count; i++) {
                uses += check_uses(version, &files->levels[level].files[i]->blobs);
            }
        }
    }
    assert(version_blob_live_bytes(version) == uses);
    for (size_t i = 1; version->blobs != NULL && i < version->blobs->count; i++) {
        const struct version_blob *blob = &version->blobs->items[i];
        assert(blob[-1].info.number < blob->info.number);
        assert(version_blob_garbage(blob) <= blob->info.data_bytes);
    }
}

/* `version` becomes what the edit makes of it, if it is a sound one. */
static void take_edit(struct kv_slice bytes, struct version **version)
{
    struct version *next = NULL;
    struct edit edit;
    int r = edit_decode(bytes, &edit);

    fuzz_expect_verdict(r);
    if (r < 0) {
        return;
    }
    check_encoding(&edit);
    r = version_apply(*version, &edit, &next);
    fuzz_expect_verdict(r);
    if (r == 0) {
        check_version(next);
        check_blobs(next);
        version_unref(*version);
        *version = next;
    }
    edit_finish(&edit);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct coding_cursor c = coding_cursor(kv_slice(data, size));
    struct version *version = NULL;

    fuzz_need(version_create_empty(&version));
    for (int i = 0; i < EDITS_MAX && coding_left(&c) > 0 && coding_ok(&c); i++) {
        struct kv_slice bytes = coding_read_string(&c);
        take_edit(bytes, &version);
    }
    version_unref(version);
    return 0;
}
