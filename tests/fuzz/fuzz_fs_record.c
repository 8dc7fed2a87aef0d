/* SPDX-License-Identifier: Apache-2.0 */
/* Input: u8 what follows (0 inode, 1 directory entry, 2 back-pointer, 3 summary, 4 key), then its
 * bytes. */
#include "tests/fuzz/fuzz.h"

#include <ctype.h>

#include "fs/core/record.h"

static void take_inode(struct kv_slice bytes)
{
    uint8_t first[INODE_SIZE_MAX], second[INODE_SIZE_MAX];
    struct inode inode, again;
    int r = inode_decode(bytes, &inode);

    fuzz_expect_verdict(r);
    if (r < 0) {
        return;
    }
    fuzz_touch(inode.target);
    size_t size = inode_encode(first, &inode);
    assert(inode_decode(kv_slice(first, size), &again) == 0);
    assert(inode_encode(second, &again) == size && memcmp(first, second, size) == 0);
}

static void take_dirent(struct kv_slice bytes)
{
    uint8_t first[DIRENT_SIZE_MAX];
    struct dir_entry entry, again;
    size_t size;
    int r = dirent_decode(bytes, &entry);

    fuzz_expect_verdict(r);
    if (r < 0) {
        return;
    }
    assert(rowkey_ino_is_valid(entry.ino));
    size = entry.has_inode ? dirent_encode_inode(first, entry.ino, &entry.inode)
                           : dirent_encode_reference(first, entry.ino, entry.type);
    assert(dirent_decode(kv_slice(first, size), &again) == 0);
    assert(again.ino == entry.ino && again.type == entry.type);
}

static void take_backptr(struct kv_slice bytes)
{
    uint8_t encoded[BACKPTR_SIZE_MAX];
    uint64_t parent;
    struct kv_slice name;
    struct summary summary;
    int r = backptr_decode(bytes, &parent, &name, &summary);

    fuzz_expect_verdict(r);
    if (r < 0) {
        return;
    }
    struct inode inode = {.mode = summary.mode, .uid = summary.uid, .gid = summary.gid};
    assert(rowkey_name_is_valid(name) && rowkey_ino_is_valid(parent));
    size_t size = backptr_encode(encoded, parent, name, &inode);
    assert(backptr_decode(kv_slice(encoded, size), &parent, &name, &summary) == 0);
}

static void take_summary(struct kv_slice bytes)
{
    uint8_t encoded[SUMMARY_SIZE];
    struct summary summary;
    int r = summary_decode(bytes, &summary);

    fuzz_expect_verdict(r);
    if (r == 0) {
        struct inode inode = {.mode = summary.mode, .uid = summary.uid, .gid = summary.gid};
        assert(summary_encode(encoded, &inode) == bytes.size);
        assert(memcmp(encoded, bytes.data, bytes.size) == 0);
    }
}

/* What a decoder takes apart, its encoder puts together again. */
static void take_key_parts(struct kv_slice bytes)
{
    struct rowkey key;
    struct kv_slice name;
    uint64_t ino, other;

    if (rowkey_decode_dirent(bytes, &ino, &name)) {
        rowkey_dirent(&key, ino, name);
        assert(kv_slice_equal(rowkey_slice(&key), bytes));
    }
    if (rowkey_decode_ino(bytes, ROW_INODE, &ino)) {
        rowkey_inode(&key, ino);
        assert(kv_slice_equal(rowkey_slice(&key), bytes));
    }
    if (rowkey_decode_backptr(bytes, &ino, &other, &name)) {
        other == 0 ? rowkey_backptr(&key, ino) : rowkey_backlink(&key, ino, other, name);
        assert(kv_slice_equal(rowkey_slice(&key), bytes));
    }
    if (rowkey_decode_extent(bytes, &ino, &other)) {
        rowkey_extent(&key, ino, other);
        assert(kv_slice_equal(rowkey_slice(&key), bytes));
    }
    if (rowkey_decode_xattr(bytes, &ino, &name)) {
        rowkey_xattr(&key, ino, name);
        assert(kv_slice_equal(rowkey_slice(&key), bytes));
    }
}

/* A key is printed as one line of printable characters, in whatever room there is. */
static void take_key(struct kv_slice bytes)
{
    static const size_t sizes[] = {64, 96, 2048};

    take_key_parts(bytes);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char *text = malloc(sizes[i]);
        assert(text != NULL);
        rowkey_print(bytes, text, sizes[i]);
        assert(memchr(text, 0, sizes[i]) != NULL);
        for (const char *at = text; *at != '\0'; at++) {
            assert(isprint((unsigned char)*at));
        }
        assert(bytes.size == 0 || text[0] != '\0');
        free(text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const takers[])(struct kv_slice) = {take_inode, take_dirent, take_backptr,
                                                      take_summary, take_key};

    if (size > 0 && data[0] < sizeof takers / sizeof takers[0]) {
        takers[data[0]](kv_slice(data + 1, size - 1));
    }
    return 0;
}
