/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of rows: encoding into fixed memory, decoding with every byte checked. */
#ifndef FS_CORE_KEY_H
#define FS_CORE_KEY_H

#include "fs/core/format.h"
#include "fs/kvfs.h"

enum { ROWKEY_SIZE_MAX = 1 + 8 + 8 + KVFS_NAME_SIZE_MAX };

struct rowkey {
    size_t size;
    uint8_t bytes[ROWKEY_SIZE_MAX];
};

static inline struct kv_slice rowkey_slice(const struct rowkey *key)
{
    return kv_slice(key->bytes, key->size);
}

/* A name that a directory may hold: 1 to 255 bytes, no `/`, no NUL, not `.` or `..`. */
bool rowkey_name_is_valid(struct kv_slice name);
/* A number that an inode may have. */
bool rowkey_ino_is_valid(uint64_t ino);

void rowkey_fact(struct rowkey *key, const char *name);
void rowkey_dirent(struct rowkey *key, uint64_t parent, struct kv_slice name);
void rowkey_inode(struct rowkey *key, uint64_t ino);
void rowkey_backptr(struct rowkey *key, uint64_t ino);
void rowkey_backlink(struct rowkey *key, uint64_t ino, uint64_t parent, struct kv_slice name);
void rowkey_extent(struct rowkey *key, uint64_t ino, uint64_t end);
void rowkey_xattr(struct rowkey *key, uint64_t ino, struct kv_slice name);
void rowkey_orphan(struct rowkey *key, uint64_t ino);
/* The first key behind all rows of this kind and inode: an exclusive upper bound. */
void rowkey_kind_end(struct rowkey *key, enum row_kind kind, uint64_t ino);

/* Each returns false, with outputs untouched, unless the whole key is of that kind and valid.
 * Names point into `key`. */
bool rowkey_decode_dirent(struct kv_slice key, uint64_t *ret_parent, struct kv_slice *ret_name);
/* I and O rows. */
bool rowkey_decode_ino(struct kv_slice key, enum row_kind kind, uint64_t *ret_ino);
/* `ret_parent` is 0 for the key `P ino`, which has no name. */
bool rowkey_decode_backptr(struct kv_slice key, uint64_t *ret_ino, uint64_t *ret_parent,
                           struct kv_slice *ret_name);
bool rowkey_decode_extent(struct kv_slice key, uint64_t *ret_ino, uint64_t *ret_end);
bool rowkey_decode_xattr(struct kv_slice key, uint64_t *ret_ino, struct kv_slice *ret_name);

/* A key for people: kind, numbers, and the name with odd bytes escaped. Always ended by NUL. */
void rowkey_print(struct kv_slice key, char *text, size_t text_size);

#endif
