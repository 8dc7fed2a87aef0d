/* SPDX-License-Identifier: Apache-2.0 */
/* One copy of the root record, as bytes. See docs/format.md, "ROOT". */
#ifndef KVCORE_STORAGE_ROOT_SLOT_H
#define KVCORE_STORAGE_ROOT_SLOT_H

#include <kv/slice.h>

enum {
    ROOT_SLOT_SIZE = 4096,
    ROOT_SLOT_COUNT = 2, /* version v belongs into slot v mod 2 */
    ROOT_CONTENT_MAX = 4000,
};

void root_slot_encode(uint64_t version, struct kv_slice content, uint8_t to[ROOT_SLOT_SIZE]);
/* `ret_content` points into `from`. Errors: -KV_EDAMAGED. */
KV_MUST_CHECK int root_slot_decode(const uint8_t from[ROOT_SLOT_SIZE], unsigned slot,
                                   uint64_t *ret_version, struct kv_slice *ret_content);

#endif
