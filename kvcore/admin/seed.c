/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/admin/seed.h"

#include <stdlib.h>

#include "kvcore/log/log_format.h"
#include "kvcore/util/checksum.h"
#include "kvcore/util/coding.h"

enum { BEGIN_BYTES = 4096 };

/* ---- an id for a seed ---- */

/* What v ^ v >> by was made of. */
static uint64_t unshift(uint64_t v, unsigned by)
{
    uint64_t result = v;
    for (unsigned done = by; done < 64; done += by) {
        result = v ^ result >> by;
    }
    return result;
}

/* The last steps of XXH3 for short inputs, as the specification of xxHash has them, taken back. */
static uint64_t unavalanche(uint64_t v)
{
    return unshift(unshift(v, 32) * 0x8da8ee41d6df849ULL, 37);
}

void seed_make_id(uint64_t seed, uint8_t ret_id[16])
{
    /* XXH3 of 16 bytes adds up both halves, each xored with a constant, and their product. If the
     * first half is its constant, nothing is left of it, and the second can be chosen freely. */
    coding_put_u64(ret_id, 0x6782737bea4239b9ULL);
    coding_put_u64(ret_id + 8, (unavalanche(seed) - 16) ^ 0xaf56bc3b0996523aULL);
}

/* ---- the search ---- */

/* The seed that the head record of a log tells, if it verifies that record; 0 if not. */
static uint64_t seed_of_head(struct kv_file_id id, const uint8_t *begin, size_t size)
{
    size_t rest = size < LOG_HEADER_SIZE ? 0 : size - LOG_HEADER_SIZE;
    struct kv_slice payload = kv_slice(begin + LOG_HEADER_SIZE, 0);
    struct log_header header;
    struct log_head head;
    uint64_t file_seed;

    payload.size = rest > 0 ? coding_get_u32(begin + 12) : 0;
    if (payload.size == 0 || payload.size > rest || log_head_decode(payload, &head) < 0) {
        return 0;
    }
    file_seed = checksum_file_seed(head.store_seed, id.kind, id.number);
    if (log_header_decode(begin, file_seed, 0, &header) < 0 || header.number != id.number ||
        checksum_at(file_seed, LOG_HEADER_SIZE, payload) != header.payload_checksum) {
        return 0;
    }
    return head.store_seed;
}

static int seed_of_log(struct scan *scan, struct kv_file_id id, uint64_t *ret_seed)
{
    const struct kv_storage_ops *ops = scan->storage->ops;
    uint8_t begin[BEGIN_BYTES];
    struct kv_log *log = NULL;
    size_t got = 0;
    int r = ops->log_open(scan->storage, id, &log);

    *ret_seed = 0;
    r = r < 0 ? r : ops->log_read(log, 0, begin, sizeof begin, &got);
    if (r == 0) {
        *ret_seed = seed_of_head(id, begin, got);
    }
    if (log != NULL) {
        ops->log_close(log);
    }
    /* What cannot be read tells nothing. */
    return r == -ENOMEM ? r : scan_spend(scan, got);
}

static int compare_seeds(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/* What most of them say: a file of another store may have come among them. */
static uint64_t most_frequent(uint64_t *seeds, size_t count)
{
    size_t begin = 0, most = 0;
    uint64_t result = 0;

    qsort(seeds, count, sizeof *seeds, compare_seeds);
    for (size_t i = 0; i < count; i++) {
        begin = seeds[i] == seeds[begin] ? begin : i;
        if (i - begin + 1 > most) {
            most = i - begin + 1;
            result = seeds[i];
        }
    }
    return result;
}

int seed_search(struct scan *scan, uint64_t *ret_seed)
{
    uint64_t *seeds = calloc(scan->file_count + 1, sizeof *seeds);
    size_t count = 0;
    int r = seeds != NULL ? 0 : -ENOMEM;

    for (size_t i = 0; i < scan->file_count && r == 0; i++) {
        const struct scan_file *file = &scan->files[i];
        if (file->is_ours && (file->id.kind == KV_FILE_LOG || file->id.kind == KV_FILE_MANIFEST)) {
            r = seed_of_log(scan, file->id, &seeds[count]);
            count += seeds[count] != 0;
        }
    }
    if (r == 0 && count > 0) {
        *ret_seed = most_frequent(seeds, count);
        r = 1;
    }
    free(seeds);
    return r;
}
