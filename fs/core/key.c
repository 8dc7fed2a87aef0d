/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/core/key.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "kvcore/util/coding.h"

enum {
    SIZE_KIND_INO = 1 + 8,
    SIZE_KIND_TWO = 1 + 8 + 8,
};

bool rowkey_name_is_valid(struct kv_slice name)
{
    if (name.size < 1 || name.size > KVFS_NAME_SIZE_MAX) {
        return false;
    }
    if (name.data[0] == '.' && (name.size == 1 || (name.size == 2 && name.data[1] == '.'))) {
        return false;
    }
    return memchr(name.data, '/', name.size) == NULL && memchr(name.data, 0, name.size) == NULL;
}

bool rowkey_ino_is_valid(uint64_t ino)
{
    return ino >= 1 && ino < FORMAT_INO_LIMIT;
}

static void start(struct rowkey *key, enum row_kind kind, uint64_t ino)
{
    key->bytes[0] = (uint8_t)kind;
    coding_put_be64(key->bytes + 1, ino);
    key->size = SIZE_KIND_INO;
}

static void add_name(struct rowkey *key, struct kv_slice name)
{
    assert(name.size <= KVFS_NAME_SIZE_MAX);
    if (name.size > 0) {
        memcpy(key->bytes + key->size, name.data, name.size);
    }
    key->size += name.size;
}

void rowkey_fact(struct rowkey *key, const char *name)
{
    key->bytes[0] = ROW_FACT;
    key->size = 1;
    add_name(key, kv_slice_str(name));
}

void rowkey_dirent(struct rowkey *key, uint64_t parent, struct kv_slice name)
{
    start(key, ROW_DIRENT, parent);
    add_name(key, name);
}

void rowkey_inode(struct rowkey *key, uint64_t ino)
{
    start(key, ROW_INODE, ino);
}

void rowkey_backptr(struct rowkey *key, uint64_t ino)
{
    start(key, ROW_BACKPTR, ino);
}

void rowkey_backlink(struct rowkey *key, uint64_t ino, uint64_t parent, struct kv_slice name)
{
    start(key, ROW_BACKPTR, ino);
    coding_put_be64(key->bytes + key->size, parent);
    key->size = SIZE_KIND_TWO;
    add_name(key, name);
}

void rowkey_extent(struct rowkey *key, uint64_t ino, uint64_t end)
{
    start(key, ROW_EXTENT, ino);
    coding_put_be64(key->bytes + key->size, end);
    key->size = SIZE_KIND_TWO;
}

void rowkey_xattr(struct rowkey *key, uint64_t ino, struct kv_slice name)
{
    start(key, ROW_XATTR, ino);
    add_name(key, name);
}

void rowkey_orphan(struct rowkey *key, uint64_t ino)
{
    start(key, ROW_ORPHAN, ino);
}

void rowkey_kind_end(struct rowkey *key, enum row_kind kind, uint64_t ino)
{
    start(key, kind, ino + 1);
}

/* Kind and inode number at the front of every key but facts. */
static bool decode_start(struct kv_slice key, enum row_kind kind, uint64_t *ret_ino)
{
    if (key.size < SIZE_KIND_INO || key.data[0] != (uint8_t)kind) {
        return false;
    }
    uint64_t ino = coding_get_be64(key.data + 1);
    if (!rowkey_ino_is_valid(ino)) {
        return false;
    }
    *ret_ino = ino;
    return true;
}

static struct kv_slice behind(struct kv_slice key, size_t size)
{
    return kv_slice(key.data + size, key.size - size);
}

bool rowkey_decode_dirent(struct kv_slice key, uint64_t *ret_parent, struct kv_slice *ret_name)
{
    uint64_t parent;
    if (!decode_start(key, ROW_DIRENT, &parent) ||
        !rowkey_name_is_valid(behind(key, SIZE_KIND_INO))) {
        return false;
    }
    *ret_parent = parent;
    *ret_name = behind(key, SIZE_KIND_INO);
    return true;
}

bool rowkey_decode_ino(struct kv_slice key, enum row_kind kind, uint64_t *ret_ino)
{
    return key.size == SIZE_KIND_INO && decode_start(key, kind, ret_ino);
}

bool rowkey_decode_backptr(struct kv_slice key, uint64_t *ret_ino, uint64_t *ret_parent,
                           struct kv_slice *ret_name)
{
    uint64_t ino;
    if (!decode_start(key, ROW_BACKPTR, &ino)) {
        return false;
    }
    if (key.size == SIZE_KIND_INO) {
        *ret_ino = ino;
        *ret_parent = 0;
        *ret_name = kv_slice(NULL, 0);
        return true;
    }
    if (key.size <= SIZE_KIND_TWO || !rowkey_name_is_valid(behind(key, SIZE_KIND_TWO)) ||
        !rowkey_ino_is_valid(coding_get_be64(key.data + SIZE_KIND_INO))) {
        return false;
    }
    *ret_ino = ino;
    *ret_parent = coding_get_be64(key.data + SIZE_KIND_INO);
    *ret_name = behind(key, SIZE_KIND_TWO);
    return true;
}

bool rowkey_decode_extent(struct kv_slice key, uint64_t *ret_ino, uint64_t *ret_end)
{
    uint64_t ino;
    if (key.size != SIZE_KIND_TWO || !decode_start(key, ROW_EXTENT, &ino)) {
        return false;
    }
    uint64_t end = coding_get_be64(key.data + SIZE_KIND_INO);
    if (end < 1 || end > KVFS_FILE_SIZE_MAX) {
        return false;
    }
    *ret_ino = ino;
    *ret_end = end;
    return true;
}

bool rowkey_decode_xattr(struct kv_slice key, uint64_t *ret_ino, struct kv_slice *ret_name)
{
    uint64_t ino;
    if (!decode_start(key, ROW_XATTR, &ino)) {
        return false;
    }
    struct kv_slice name = behind(key, SIZE_KIND_INO);
    if (name.size < 1 || name.size > KVFS_XATTR_NAME_SIZE_MAX ||
        memchr(name.data, 0, name.size) != NULL) {
        return false;
    }
    *ret_ino = ino;
    *ret_name = name;
    return true;
}

static void print_bytes(struct kv_slice bytes, char *text, size_t text_size)
{
    size_t at = 0;
    for (size_t i = 0; i < bytes.size && at + 5 < text_size; i++) {
        uint8_t b = bytes.data[i];
        if (b >= 0x20 && b < 0x7f && b != '\\') {
            text[at++] = (char)b;
        } else {
            at += (size_t)snprintf(text + at, text_size - at, "\\x%02x", b);
        }
    }
    text[at] = 0;
}

void rowkey_print(struct kv_slice key, char *text, size_t text_size)
{
    assert(text_size >= 64);
    if (key.size < SIZE_KIND_INO || key.data[0] == ROW_FACT) {
        print_bytes(key, text, text_size);
        return;
    }
    char kind[8]; /* of a damaged key it may be any byte */
    print_bytes(kv_slice(key.data, 1), kind, sizeof kind);
    uint64_t ino = coding_get_be64(key.data + 1);
    int n = snprintf(text, text_size, "%s %" PRIu64 " ", kind, ino);
    struct kv_slice rest = behind(key, SIZE_KIND_INO);
    bool has_second = key.data[0] == ROW_EXTENT || key.data[0] == ROW_BACKPTR;
    if (has_second && rest.size >= 8) {
        n += snprintf(text + n, text_size - (size_t)n, "%" PRIu64 " ", coding_get_be64(rest.data));
        rest = behind(rest, 8);
    }
    print_bytes(rest, text + n, text_size - (size_t)n);
}
