/* SPDX-License-Identifier: Apache-2.0 */
/* Input: u8 what follows (with 16 added: make checksums fit), then
 *   0  u16 size of a pointer, the pointer, the bytes of blob FUZZ_BLOB
 *   1  a footer
 *   2  blocks of a directory */
#include "tests/fuzz/fuzz.h"

#include "kvcore/blob/blob_directory.h"
#include "kvcore/blob/blob_set.h"
#include "kvcore/util/checksum.h"

enum { FIX = 16, OFFSET = 4096, FUZZ_BLOB = 7 };

static uint64_t file_seed(void)
{
    return checksum_file_seed(FUZZ_STORE_SEED, KV_FILE_BLOB, FUZZ_BLOB);
}

/* ---- pointers ---- */

/* Give each unit that lies in the blob the checksum of what is there. */
static void fix_pointer(uint8_t *bytes, const struct blob_pointer *pointer, struct kv_slice blob)
{
    struct blob_unit_position position = {0};
    struct blob_unit unit;

    while (blob_pointer_next_unit(pointer, &position, &unit)) {
        if ((uint64_t)unit.offset + unit.stored_size <= blob.size) {
            struct kv_slice stored = kv_slice(blob.data + unit.offset, unit.stored_size);
            uint64_t hash = blob_hash(FUZZ_STORE_SEED, stored);
            blob_pointer_put_unit(bytes, pointer->codec, unit.index, unit.stored_size,
                                  blob_checksum(hash, file_seed(), unit.offset));
        }
    }
}

static void expect_units(const struct blob_pointer *pointer)
{
    struct blob_unit_position position = {0};
    struct blob_unit unit;
    uint64_t raw = 0, stored = 0;

    while (blob_pointer_next_unit(pointer, &position, &unit)) {
        assert(unit.offset == pointer->offset + stored);
        assert(unit.stored_size > 0 && unit.stored_size <= unit.raw_size);
        assert(unit.raw_size <= blob_unit_size(pointer->codec));
        raw += unit.raw_size;
        stored += unit.stored_size;
    }
    assert(raw == pointer->raw_size && stored == pointer->stored_size);
    assert(raw >= (uint64_t)pointer->skip + pointer->length);
}

/* A part reads as what it was cut from, or fails as it does. */
static void expect_part(struct blob_set *set, const struct blob_pointer *pointer, size_t skip,
                        size_t size)
{
    struct kv_buf part = {0};
    struct blob_pointer cut;
    uint8_t *whole = malloc(size);
    uint8_t *alone = malloc(size);
    int r;

    assert(whole != NULL && alone != NULL);
    fuzz_need(blob_pointer_part(pointer, skip, size, &part));
    r = blob_pointer_decode(kv_buf_slice(&part), &cut);
    assert(r == 0 && cut.length == size);
    expect_units(&cut);
    r = blob_set_read(set, pointer, skip, size, whole);
    fuzz_expect_verdict(r);
    assert(blob_set_read(set, &cut, 0, size, alone) == r);
    assert(r < 0 || memcmp(whole, alone, size) == 0);
    free(whole);
    free(alone);
    kv_buf_finish(&part);
}

static struct kv_storage *make_blob(struct kv_slice bytes)
{
    struct kv_file_id id = {.kind = KV_FILE_BLOB, .number = FUZZ_BLOB};
    struct iovec part = {.iov_base = (void *)(uintptr_t)bytes.data, .iov_len = bytes.size};
    struct kv_storage *storage = NULL;
    struct kv_log *log = NULL;

    fuzz_need(kv_storage_mem_create(&storage));
    fuzz_need(storage->ops->log_create(storage, id, 0, 0, &log));
    fuzz_need(storage->ops->log_append(log, &part, 1));
    storage->ops->log_close(log);
    return storage;
}

static void read_pointer(const struct blob_pointer *pointer, struct kv_slice blob)
{
    struct message_sink silent = {0};
    struct blob_store store = {.seed = FUZZ_STORE_SEED, .sink = &silent};
    struct blob_set *set = NULL;

    store.storage = make_blob(blob);
    fuzz_need(blob_set_create(&store, 1, &set));
    expect_part(set, pointer, 0, pointer->length);
    expect_part(set, pointer, pointer->length / 3, pointer->length - pointer->length / 3);
    blob_set_destroy(set);
    kv_storage_mem_destroy(store.storage);
}

static void take_pointer(struct kv_slice bytes, bool fix)
{
    struct coding_cursor c = coding_cursor(bytes);
    size_t size = coding_read_u16(&c);
    struct kv_slice encoded = coding_read_bytes(&c, size);
    struct kv_slice blob = fuzz_rest(&c);
    struct blob_pointer pointer;
    uint8_t *copy;
    int r;

    if (!coding_ok(&c)) {
        return;
    }
    copy = fuzz_copy(encoded);
    r = blob_pointer_decode(kv_slice(copy, encoded.size), &pointer);
    fuzz_expect_verdict(r);
    if (r == 0) {
        expect_units(&pointer);
        if (fix) {
            fix_pointer(copy, &pointer, blob);
        }
        read_pointer(&pointer, blob);
    }
    free(copy);
}

/* ---- footer and directory ---- */

static void take_footer(struct kv_slice bytes, bool fix)
{
    uint8_t image[BLOB_FOOTER_SIZE] = {0};
    struct blob_footer footer;
    int r;

    memcpy(image, bytes.data, bytes.size < sizeof image ? bytes.size : sizeof image);
    if (fix) {
        coding_put_u64(image + 56, checksum_at(file_seed(), OFFSET, kv_slice(image, 56)));
    }
    r = blob_footer_decode(image, file_seed(), OFFSET, &footer);
    fuzz_expect_verdict(r);
    assert(r < 0 || footer.directory_offset + footer.directory_size == OFFSET);
}

static void take_entries(struct kv_slice raw)
{
    struct coding_cursor cursor = coding_cursor(raw);
    struct blob_entry entry;
    int r;

    while ((r = blob_directory_next(&cursor, &entry)) == 1) {
        fuzz_touch(entry.key);
        assert((uint64_t)entry.offset + entry.stored_size <= BLOB_DATA_SIZE_MAX);
    }
    fuzz_expect_verdict(r);
}

/* Make the checksums of the block at the beginning fit, where there is room for it. */
static void fix_block(uint8_t *block, size_t size, uint64_t offset)
{
    if (size < BLOB_DIRECTORY_HEAD_SIZE) {
        return;
    }
    size_t stored = coding_get_u32(block + 8);
    if (stored <= size - BLOB_DIRECTORY_HEAD_SIZE) {
        struct kv_slice bytes = kv_slice(block + BLOB_DIRECTORY_HEAD_SIZE, stored);
        coding_put_u64(block + 16,
                       checksum_at(file_seed(), offset + BLOB_DIRECTORY_HEAD_SIZE, bytes));
    }
    struct kv_slice covered = kv_slice(block + 8, BLOB_DIRECTORY_HEAD_SIZE - 8);
    coding_put_u32(block + 4, (uint32_t)checksum_at(file_seed(), offset, covered));
}

static void take_directory(struct kv_slice bytes, bool fix)
{
    uint8_t *copy = fuzz_copy(bytes);
    struct kv_buf raw = {0};
    size_t at = 0;
    int r = 0;

    while (r == 0 && at < bytes.size) {
        size_t size = 0;
        if (fix) {
            fix_block(copy + at, bytes.size - at, OFFSET + at);
        }
        r = blob_directory_decode_block(kv_slice(copy + at, bytes.size - at), file_seed(),
                                        OFFSET + at, &raw, &size);
        fuzz_expect_verdict(r);
        if (r == 0) {
            assert(size <= bytes.size - at);
            take_entries(kv_buf_slice(&raw));
            at += size;
        }
    }
    kv_buf_finish(&raw);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct coding_cursor c = coding_cursor(kv_slice(data, size));
    uint8_t what = coding_read_u8(&c);
    struct kv_slice rest = fuzz_rest(&c);

    if (rest.size == 0) {
        return 0;
    }
    switch (what & ~FIX) {
    case 0:
        take_pointer(rest, what & FIX);
        break;
    case 1:
        take_footer(rest, what & FIX);
        break;
    case 2:
        take_directory(rest, what & FIX);
        break;
    default:
        break;
    }
    return 0;
}
