/* SPDX-License-Identifier: Apache-2.0 */
/* Input: u8 flags (bit 0: make the checksums of the records fit, as far as their sizes lead; bit 1:
 * a manifest; bit 2: behind the flags stand the size and the chain, u64 each, of an expected end),
 * then the bytes of the log. */
#include "tests/fuzz/fuzz.h"

#include "kvcore/log/log_reader.h"
#include "kvcore/util/checksum.h"

enum { NUMBER = 7, SALT_OFFSET = LOG_HEADER_SIZE + 24 };

static void fix_record(uint8_t *bytes, uint64_t offset, uint64_t file_seed, uint64_t payload_seed)
{
    uint8_t *header = bytes + offset;
    uint8_t covered[LOG_HEADER_SIZE - 4];
    uint64_t at = offset + LOG_HEADER_SIZE;
    struct kv_slice payload = kv_slice(bytes + at, coding_get_u32(header + 12));

    coding_put_u64(header, checksum_at(payload_seed, at, payload));
    memcpy(covered, header, 8);
    memcpy(covered + 8, header + 12, LOG_HEADER_SIZE - 12);
    coding_put_u32(header + 8,
                   (uint32_t)checksum_at(file_seed, offset, kv_slice(covered, sizeof covered)));
}

static void fix_records(uint8_t *bytes, size_t size, struct kv_file_id id)
{
    uint64_t file_seed = checksum_file_seed(FUZZ_STORE_SEED, id.kind, id.number);
    uint64_t offset = 0;

    while (size - offset >= LOG_HEADER_SIZE) {
        uint64_t payload_size = coding_get_u32(bytes + offset + 12);
        if (payload_size > size - offset - LOG_HEADER_SIZE) {
            return;
        }
        bool salted = offset > 0 && size >= SALT_OFFSET + 8;
        fix_record(bytes, offset, file_seed,
                   salted ? log_salted_seed(file_seed, coding_get_u64(bytes + SALT_OFFSET))
                          : file_seed);
        offset += log_record_size(payload_size);
        if (offset > size) {
            return;
        }
    }
}

static void put_log(struct kv_storage *storage, struct kv_file_id id, uint8_t *bytes, size_t size)
{
    struct kv_log *log = NULL;
    struct iovec part = {bytes, size};
    fuzz_need(storage->ops->log_create(storage, id, 0, 0, &log));
    fuzz_need(storage->ops->log_append(log, &part, 1));
    storage->ops->log_close(log);
}

/* Read all records. Returns what next returned last, or open. */
static int read_log(struct kv_storage *storage, struct kv_file_id id,
                    const struct log_end *expected, size_t *ret_count, struct log_end *ret_end)
{
    struct log_reader *reader = NULL;
    struct log_record record;
    uint64_t end = 0;
    size_t count = 0;
    int r = log_reader_open(storage, id, FUZZ_STORE_SEED, expected, NULL, &reader);

    fuzz_expect_verdict(r);
    if (r < 0) {
        return r;
    }
    while ((r = log_reader_next(reader, &record)) == 1) {
        assert(record.type != LOG_RECORD_HEAD && record.offset >= end);
        end = record.offset + log_record_size(record.payload.size);
        fuzz_touch(record.payload);
        count++;
    }
    fuzz_expect_verdict(r);
    assert(log_reader_next(reader, &record) == r);
    assert(count == 0 || log_reader_has_head(reader));
    *ret_end = log_reader_end(reader);
    assert(count == 0 || ret_end->size == end);
    *ret_count = count;
    log_reader_close(reader);
    return r;
}

/* What was read without knowing its end must be read again when the end is known, and a wrong chain
 * must be seen. */
static void check_expected(struct kv_storage *storage, struct kv_file_id id, size_t count,
                           const struct log_end *end)
{
    struct log_end wrong = *end, found;
    size_t again = 0;

    assert(read_log(storage, id, end, &again, &found) == 0);
    assert(again == count && found.size == end->size && found.chain == end->chain);
    wrong.chain++;
    assert(read_log(storage, id, &wrong, &again, &found) == -KV_EDAMAGED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct coding_cursor c = coding_cursor(kv_slice(data, size));
    uint8_t flags = coding_read_u8(&c);
    struct kv_file_id id = {flags & 2 ? KV_FILE_MANIFEST : KV_FILE_LOG, NUMBER};
    struct log_end expected = {.number = NUMBER}, end;
    struct kv_storage *storage = NULL;
    size_t count = 0;

    if (flags & 4) {
        expected.size = coding_read_u64(&c);
        expected.chain = coding_read_u64(&c);
    }
    size = coding_left(&c);
    uint8_t *bytes = fuzz_copy(fuzz_rest(&c));
    if (flags & 1) {
        fix_records(bytes, size, id);
    }
    fuzz_need(kv_storage_mem_create(&storage));
    put_log(storage, id, bytes, size);
    if (flags & 4) {
        kv_ignore(read_log(storage, id, &expected, &count, &end));
    }
    if (read_log(storage, id, NULL, &count, &end) == 0 && end.size > 0) {
        check_expected(storage, id, count, &end);
    }
    kv_storage_mem_destroy(storage);
    free(bytes);
    return 0;
}
