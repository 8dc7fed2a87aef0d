/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/admin/seed.h"

#include <assert.h>
#include <stdlib.h>

#include "kvcore/log/log_format.h"
#include "kvcore/util/checksum.h"
#include "kvcore/util/coding.h"

enum { PIECE_BYTES = 64 * 1024, SALT_OFFSET = LOG_HEADER_SIZE + 24 };

/* ---- steps taken back ---- */

static uint64_t unshift(uint64_t v, unsigned by)
{
    uint64_t result = v;
    for (unsigned done = by; done < 64; done += by) {
        result = v ^ result >> by;
    }
    return result;
}

/* Of hash_u64(). The factors are the inverses of its own modulo 2^64. */
static uint64_t unmix(uint64_t v)
{
    v = unshift(v, 31) * 0x319642b2d24d8ec3ULL;
    v = unshift(v, 27) * 0x96de1b173f119089ULL;
    return unshift(v, 30);
}

/* Of the last steps of XXH3 for short inputs, as the specification of xxHash has them. */
static uint64_t unavalanche_empty(uint64_t v)
{
    v = unshift(v, 32) * 0xe9e9f4c41d6df849ULL;
    v = unshift(v, 29) * 0x0ba79078168d4bafULL;
    return unshift(v, 33);
}

static uint64_t unavalanche(uint64_t v)
{
    return unshift(unshift(v, 32) * 0x8da8ee41d6df849ULL, 37);
}

/* The seed with which no bytes have this checksum. */
static uint64_t seed_of_empty(uint64_t checksum)
{
    uint64_t constant = unavalanche_empty(hash_bytes(kv_slice(NULL, 0), 0));
    return unavalanche_empty(checksum) ^ constant;
}

/* What file_seed = mix(mix(store_seed + kind) + number) was made of. */
static uint64_t store_seed_of(uint64_t file_seed, uint64_t number)
{
    return unmix(unmix(file_seed) - number) - KV_FILE_LOG;
}

void seed_make_id(uint64_t seed, uint8_t ret_id[16])
{
    /* XXH3 of 16 bytes adds up both halves, each xored with a constant, and their product. If the
     * first half is its constant, nothing is left of it, and the second can be chosen freely. */
    coding_put_u64(ret_id, 0x6782737bea4239b9ULL);
    coding_put_u64(ret_id + 8, (unavalanche(seed) - 16) ^ 0xaf56bc3b0996523aULL);
}

/* ---- the search ---- */

struct search {
    struct scan *scan;
    struct kv_log *log;
    uint64_t number;
    uint64_t salt;
    uint8_t head[LOG_HEADER_SIZE];
    uint8_t *piece;
};

/* A header of a record without payload, as far as can be told without the seed. */
static bool looks_empty(const uint8_t *bytes, uint64_t number)
{
    return coding_get_u64(bytes + 16) == number && coding_get_u32(bytes + 12) == 0 &&
           (bytes[36] == LOG_RECORD_MARK || bytes[36] == LOG_RECORD_CLOSE) && bytes[37] == 0 &&
           bytes[38] == 0 && bytes[39] == 0;
}

static bool try_header(const struct search *search, const uint8_t *bytes, uint64_t offset,
                       uint64_t *ret_seed)
{
    uint64_t mixed = seed_of_empty(coding_get_u64(bytes));
    uint64_t salted = unmix(mixed) - (offset + LOG_HEADER_SIZE);
    uint64_t file_seed = unmix(salted) - search->salt;
    uint64_t seed = store_seed_of(file_seed, search->number);
    struct log_header header;

    if (log_header_decode(bytes, file_seed, offset, &header) < 0 ||
        log_header_decode(search->head, file_seed, 0, &header) < 0) {
        return false;
    }
    assert(checksum_file_seed(seed, KV_FILE_LOG, search->number) == file_seed);
    *ret_seed = seed;
    return true;
}

static int search_pieces(struct search *search, uint64_t *ret_seed)
{
    const struct kv_storage_ops *ops = search->scan->storage->ops;
    uint64_t offset = 0;

    for (;;) {
        size_t got = 0;
        int r = ops->log_read(search->log, offset, search->piece, PIECE_BYTES, &got);
        if (r < 0 || got < LOG_HEADER_SIZE) {
            return r == -ENOMEM ? r : 0; /* what cannot be read tells nothing */
        }
        for (size_t i = 0; i + LOG_HEADER_SIZE <= got; i += LOG_ALIGNMENT) {
            if (looks_empty(search->piece + i, search->number) &&
                try_header(search, search->piece + i, offset + i, ret_seed)) {
                return 1;
            }
        }
        offset += ((got - LOG_HEADER_SIZE) / LOG_ALIGNMENT + 1) * LOG_ALIGNMENT;
        r = scan_spend(search->scan, got);
        if (r < 0) {
            return r;
        }
    }
}

static int search_log(struct scan *scan, uint64_t number, uint64_t *ret_seed)
{
    const struct kv_storage_ops *ops = scan->storage->ops;
    struct kv_file_id id = {.kind = KV_FILE_LOG, .number = number};
    struct search search = {.scan = scan, .number = number};
    uint8_t begin[SALT_OFFSET + sizeof(uint64_t)];
    size_t got = 0;
    int r = ops->log_open(scan->storage, id, &search.log);

    if (r < 0) {
        return r == -ENOMEM ? r : 0;
    }
    search.piece = malloc(PIECE_BYTES);
    r = search.piece != NULL ? 0 : -ENOMEM;
    if (r == 0 && ops->log_read(search.log, 0, begin, sizeof begin, &got) == 0 &&
        got == sizeof begin) {
        search.salt = coding_get_u64(begin + SALT_OFFSET);
        memcpy(search.head, begin, sizeof search.head);
        r = search_pieces(&search, ret_seed);
    }
    free(search.piece);
    ops->log_close(search.log);
    return r;
}

int seed_search(struct scan *scan, uint64_t *ret_seed)
{
    int r = 0;
    for (size_t i = 0; i < scan->file_count && r == 0; i++) {
        if (scan->files[i].id.kind == KV_FILE_LOG && scan->files[i].is_ours) {
            r = search_log(scan, scan->files[i].id.number, ret_seed);
        }
    }
    return r;
}
