/* SPDX-License-Identifier: Apache-2.0 */
/* The root record: the bytes of the root object are one slot of a ROOT file, whatever its version;
 * they and the attribute that counts versions change together. */
#include "kvcore/storage/pooled_store.h"

#include "kvcore/storage/root_slot.h"

int pooled_root_read(struct kv_storage *base, struct kv_buf *ret_bytes, uint64_t *ret_version)
{
    struct pooled_storage *storage = pooled_storage(base);
    uint8_t slot[ROOT_SLOT_SIZE];
    struct kv_slice content = {0};
    uint64_t version = 0;
    size_t size = 0;

    int r = storage->pool->ops->read(storage->pool, POOLED_ROOT, 0, slot, sizeof slot, &size);
    if (r == -ENOENT) {
        return pooled_root_missing(storage);
    }
    if (r == 0 && size == 0) {
        r = -ENOENT; /* never written */
    }
    if (r == 0 && size < sizeof slot) {
        r = -KV_EDAMAGED;
    }
    /* The slot's number is in it, and decoding compares only. */
    unsigned parity = slot[8] % ROOT_SLOT_COUNT;
    r = r < 0 ? r : root_slot_decode(slot, parity, &version, &content);
    r = r < 0 ? r : pooled_check_lease(storage);
    r = r < 0 ? r : kv_buf_assign(ret_bytes, content);
    if (r == 0) {
        *ret_version = version;
    }
    return r;
}

int pooled_root_swap(struct kv_storage *base, uint64_t expected_version, struct kv_slice bytes)
{
    struct pooled_storage *storage = pooled_storage(base);
    uint8_t slot[ROOT_SLOT_SIZE];
    struct iovec part = {.iov_base = slot, .iov_len = sizeof slot};
    struct pooled_count expected = pooled_count_encode(expected_version);
    struct pooled_count next = pooled_count_encode(expected_version + 1);
    struct pool_guard guard = {POOLED_VERSION_ATTR, POOL_IS, pooled_count_slice(&expected)};
    struct pool_value version = {POOLED_VERSION_ATTR, pooled_count_slice(&next)};

    if (bytes.size > ROOT_CONTENT_MAX) {
        return -EINVAL;
    }
    root_slot_encode(expected_version + 1, bytes, slot);
    int r = pooled_change(storage, POOLED_ROOT,
                          &(struct pool_change){.guards = &guard,
                                                .guard_count = 1,
                                                .attributes = &version,
                                                .attribute_count = 1,
                                                .parts = &part,
                                                .part_count = 1});
    if (r == -ECANCELED) { /* another version, or another writer? */
        r = pooled_check_epoch(storage);
        return r == 0 ? -ESTALE : r == -POOLED_EFENCED ? pooled_lose(storage, r) : r;
    }
    return r;
}
