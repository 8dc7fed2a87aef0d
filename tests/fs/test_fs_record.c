/* SPDX-License-Identifier: Apache-2.0 */
/* Golden bytes of every row of docs/format.md, and decoders fed with anything. */
#include <dirent.h>

#include "fs/core/key.h"
#include "fs/core/record.h"
#include "kvcore/util/rng.h"
#include "tests/lib/check_main.h"

#define ck_bytes(got, got_size, ...)                                                               \
    do {                                                                                           \
        const uint8_t ck_expected[] = {__VA_ARGS__};                                               \
        ck_assert_uint_eq((got_size), sizeof ck_expected);                                         \
        ck_assert_mem_eq((got), ck_expected, sizeof ck_expected);                                  \
    } while (0)

static struct inode plain(void)
{
    struct timespec t = {.tv_sec = 0x0102030405060708, .tv_nsec = 0x0a0b0c};
    return (struct inode){.mode = S_IFREG | 0644,
                          .nlink = 1,
                          .uid = 1000,
                          .gid = 100,
                          .size = 300,
                          .allocated = 300,
                          .mtime = t,
                          .ctime = t,
                          .atime = t,
                          .btime = t};
}

START_TEST(keys_have_their_golden_bytes)
{
    struct rowkey k;
    struct kv_slice ab = kv_slice_str("ab");
    uint64_t ino = 0x010203040506;
    rowkey_fact(&k, "schema");
    ck_bytes(k.bytes, k.size, 'M', 's', 'c', 'h', 'e', 'm', 'a');
    rowkey_dirent(&k, ino, ab);
    ck_bytes(k.bytes, k.size, 'D', 0, 0, 1, 2, 3, 4, 5, 6, 'a', 'b');
    rowkey_inode(&k, ino);
    ck_bytes(k.bytes, k.size, 'I', 0, 0, 1, 2, 3, 4, 5, 6);
    rowkey_backptr(&k, ino);
    ck_bytes(k.bytes, k.size, 'P', 0, 0, 1, 2, 3, 4, 5, 6);
    rowkey_backlink(&k, ino, 17, ab);
    ck_bytes(k.bytes, k.size, 'P', 0, 0, 1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 0, 0, 0, 17, 'a', 'b');
    rowkey_extent(&k, ino, 32768);
    ck_bytes(k.bytes, k.size, 'B', 0, 0, 1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 0, 0, 0x80, 0);
    rowkey_xattr(&k, ino, ab);
    ck_bytes(k.bytes, k.size, 'X', 0, 0, 1, 2, 3, 4, 5, 6, 'a', 'b');
    rowkey_orphan(&k, ino);
    ck_bytes(k.bytes, k.size, 'O', 0, 0, 1, 2, 3, 4, 5, 6);
    rowkey_kind_end(&k, ROW_EXTENT, ino);
    ck_bytes(k.bytes, k.size, 'B', 0, 0, 1, 2, 3, 4, 5, 7);
}
END_TEST

START_TEST(a_plain_inode_has_its_golden_bytes)
{
    uint8_t to[INODE_SIZE_MAX];
    struct inode inode = plain();
    size_t size = inode_encode(to, &inode);
    ck_bytes(to, size, 1, 0xa4, 0x83, 0x02, 1, 0xe8, 0x07, 100, 0xac, 0x02, 8, 7, 6, 5, 4, 3, 2, 1,
             0x0c, 0x0b, 0x0a, 0);
}
END_TEST

START_TEST(an_inode_with_every_field_has_its_golden_bytes)
{
    uint8_t to[INODE_SIZE_MAX];
    struct inode inode = plain();
    inode.ctime.tv_sec = -1;
    inode.atime.tv_nsec = 999999999;
    inode.btime = (struct timespec){.tv_sec = 1, .tv_nsec = 2};
    inode.rdev = 5;
    inode.flags = 6;
    inode.project = 7;
    inode.allocated = 0;
    inode.hints = INODE_HINT_XATTRS;
    inode.lost_below = 256;
    size_t size = inode_encode(to, &inode);
    ck_bytes(to + 22, size - 22, 1, 12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0c, 0x0b,
             0x0a, 0, 3, 12, 8, 7, 6, 5, 4, 3, 2, 1, 0xff, 0xc9, 0x9a, 0x3b, 5, 12, 1, 0, 0, 0, 0,
             0, 0, 0, 2, 0, 0, 0, 7, 1, 5, 11, 1, 6, 13, 1, 7, 15, 1, 0, 16, 1, 1, 17, 2, 0x80,
             0x02);
    struct inode back;
    ck_ok(inode_decode(kv_slice(to, size), &back));
    ck_assert_int_eq(back.ctime.tv_sec, -1);
    ck_assert_int_eq(back.atime.tv_nsec, 999999999);
    ck_assert_uint_eq(back.project, 7);
    ck_assert_uint_eq(back.allocated, 0);
    ck_assert_uint_eq(back.hints, INODE_HINT_XATTRS);
    ck_assert_uint_eq(back.lost_below, 256);
    inode = plain();
    inode.allocated = 299;
    inode.lost_bytes = 256;
    size = inode_encode(to, &inode);
    ck_bytes(to + 22, size - 22, 15, 2, 0xab, 2, 18, 2, 0x80, 2);
    ck_ok(inode_decode(kv_slice(to, size), &back));
    ck_assert_uint_eq(back.lost_bytes, 256);
}
END_TEST

START_TEST(entries_and_back_pointers_have_their_golden_bytes)
{
    uint8_t to[DIRENT_SIZE_MAX];
    struct inode inode = plain();
    struct dir_entry entry;
    struct summary summary;
    struct kv_slice name;
    uint64_t parent;
    size_t size = dirent_encode_reference(to, 0x1122, DT_REG);
    ck_bytes(to, size, 2, 0x22, 0x11, 0, 0, 0, 0, 0, 0, DT_REG);
    ck_ok(dirent_decode(kv_slice(to, size), &entry));
    ck_assert(!entry.has_inode && entry.ino == 0x1122 && entry.type == DT_REG);
    size = dirent_encode_inode(to, 0x1122, &inode);
    ck_bytes(to, 10, 1, 0x22, 0x11, 0, 0, 0, 0, 0, 0, 1);
    ck_ok(dirent_decode(kv_slice(to, size), &entry));
    ck_assert(entry.has_inode && entry.type == DT_REG && entry.inode.size == 300);
    size = backptr_encode(to, 17, kv_slice_str("ab"), &inode);
    ck_bytes(to, size, 17, 0, 0, 0, 0, 0, 0, 0, 2, 'a', 'b', 0xa4, 0x81, 0xe8, 3, 0, 0, 100, 0, 0,
             0);
    ck_ok(backptr_decode(kv_slice(to, size), &parent, &name, &summary));
    ck_assert(parent == 17 && name.size == 2 && summary.uid == 1000);
    size = summary_encode(to, &inode);
    ck_bytes(to, size, 0xa4, 0x81, 0xe8, 3, 0, 0, 100, 0, 0, 0);
    ck_ok(summary_decode(kv_slice(to, size), &summary));
}
END_TEST

START_TEST(a_symbolic_link_carries_its_target)
{
    uint8_t to[INODE_SIZE_MAX];
    struct inode inode = plain();
    struct inode back;
    inode.mode = S_IFLNK | 0777;
    inode.target = kv_slice_str("there");
    inode.size = inode.allocated = 5;
    size_t size = inode_encode(to, &inode);
    ck_bytes(to + size - 7, 7, 9, 5, 't', 'h', 'e', 'r', 'e');
    ck_ok(inode_decode(kv_slice(to, size), &back));
    ck_assert(kv_slice_equal(back.target, inode.target));
    to[size - 1] = 0; /* a NUL in a target */
    ck_fails(inode_decode(kv_slice(to, size), &back), KV_EDAMAGED);
}
END_TEST

START_TEST(unknown_even_fields_are_ignored_and_odd_ones_refused)
{
    uint8_t to[INODE_SIZE_MAX];
    struct inode inode = plain();
    struct inode back;
    size_t size = inode_encode(to, &inode);
    to[size] = 20;
    to[size + 1] = 0;
    ck_ok(inode_decode(kv_slice(to, size + 2), &back));
    to[size] = 19;
    ck_fails(inode_decode(kv_slice(to, size + 2), &back), KV_EFORMAT);
}
END_TEST

START_TEST(impossible_inodes_are_damage)
{
    uint8_t good[INODE_SIZE_MAX];
    uint8_t bad[INODE_SIZE_MAX];
    struct inode inode = plain();
    struct inode back;
    size_t size = inode_encode(good, &inode);
    for (size_t cut = 0; cut < size; cut++) {
        ck_fails(inode_decode(kv_slice(good, cut), &back), KV_EDAMAGED);
    }
    memcpy(bad, good, size);
    bad[0] = 2; /* version */
    ck_fails(inode_decode(kv_slice(bad, size), &back), KV_EDAMAGED);
    memcpy(bad, good, size);
    bad[size - 1] = 0xff; /* nanoseconds */
    ck_fails(inode_decode(kv_slice(bad, size), &back), KV_EDAMAGED);
    memcpy(bad, good, size);
    bad[size] = INODE_TAG_ALLOCATED; /* more allocated than there is */
    bad[size + 1] = 2;
    bad[size + 2] = 0xad;
    bad[size + 3] = 2;
    ck_fails(inode_decode(kv_slice(bad, size + 4), &back), KV_EDAMAGED);
    bad[size] = INODE_TAG_LOST_BELOW; /* and lost behind its end */
    ck_fails(inode_decode(kv_slice(bad, size + 4), &back), KV_EDAMAGED);
    bad[size + 2] = 0xac;
    ck_ok(inode_decode(kv_slice(bad, size + 4), &back));
    ck_assert_uint_eq(back.lost_below, 300);
    bad[size] = INODE_TAG_LOST_BYTES; /* more of them than are allocated, which is the size */
    ck_ok(inode_decode(kv_slice(bad, size + 4), &back));
    ck_assert_uint_eq(back.lost_bytes, 300);
    bad[size + 2] = 0xad;
    ck_fails(inode_decode(kv_slice(bad, size + 4), &back), KV_EDAMAGED);
    bad[size + 2] = 0xac;
    bad[1] = 0xed; /* of a directory */
    bad[2] = 0x83;
    bad[2] = 0x81;
    bad[3] = 0x01;
    ck_fails(inode_decode(kv_slice(bad, size + 4), &back), KV_EDAMAGED);
}
END_TEST

START_TEST(names_that_no_directory_may_hold_are_refused)
{
    char name[300];
    struct kv_slice key_name;
    uint64_t ino;
    struct rowkey k;
    memset(name, 'x', sizeof name);
    ck_assert(rowkey_name_is_valid(kv_slice(name, 255)));
    ck_assert(!rowkey_name_is_valid(kv_slice(name, 256)));
    ck_assert(!rowkey_name_is_valid(kv_slice(name, 0)));
    ck_assert(!rowkey_name_is_valid(kv_slice_str(".")));
    ck_assert(!rowkey_name_is_valid(kv_slice_str("..")));
    ck_assert(rowkey_name_is_valid(kv_slice_str("...")));
    ck_assert(!rowkey_name_is_valid(kv_slice_str("a/b")));
    ck_assert(!rowkey_name_is_valid(kv_slice("a\0b", 3)));
    rowkey_dirent(&k, 5, kv_slice_str("a/b"));
    ck_assert(!rowkey_decode_dirent(rowkey_slice(&k), &ino, &key_name));
    rowkey_dirent(&k, FORMAT_INO_LIMIT, kv_slice_str("a"));
    ck_assert(!rowkey_decode_dirent(rowkey_slice(&k), &ino, &key_name));
}
END_TEST

START_TEST(decoders_survive_any_bytes)
{
    struct rng rng = {.state = test_seed()};
    uint8_t good[DIRENT_SIZE_MAX];
    uint8_t bytes[DIRENT_SIZE_MAX];
    char text[600];
    struct inode inode = plain();
    inode.mode = S_IFLNK | 0777;
    inode.target = kv_slice_str("there");
    inode.size = inode.allocated = 5;
    size_t size = dirent_encode_inode(good, 99, &inode);
    for (uint64_t i = 0; i < test_steps(100000); i++) {
        struct dir_entry entry;
        struct summary summary;
        struct kv_slice name;
        uint64_t a;
        uint64_t b;
        memcpy(bytes, good, size);
        for (uint64_t n = 1 + rng_below(&rng, 4); n > 0; n--) {
            bytes[rng_below(&rng, size)] = (uint8_t)rng_next(&rng);
        }
        struct kv_slice s = kv_slice(bytes, rng_below(&rng, size + 1));
        if (dirent_decode(s, &entry) == 0 && entry.has_inode) {
            uint8_t again[DIRENT_SIZE_MAX];
            /* What decodes can be encoded: no assertion of the encoder fails. */
            ck_assert_uint_gt(dirent_encode_inode(again, entry.ino, &entry.inode), 0);
        }
        kv_ignore(backptr_decode(s, &a, &name, &summary));
        kv_ignore(summary_decode(s, &summary));
        bytes[0] = (uint8_t) "MDIPBXO"[rng_below(&rng, 7)];
        rowkey_decode_dirent(s, &a, &name);
        rowkey_decode_backptr(s, &a, &b, &name);
        rowkey_decode_extent(s, &a, &b);
        rowkey_decode_xattr(s, &a, &name);
        rowkey_print(s, text, sizeof text);
    }
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("fs_record");
    suite_add(suite, "keys", keys_have_their_golden_bytes);
    suite_add(suite, "inode", a_plain_inode_has_its_golden_bytes);
    suite_add(suite, "fields", an_inode_with_every_field_has_its_golden_bytes);
    suite_add(suite, "entries", entries_and_back_pointers_have_their_golden_bytes);
    suite_add(suite, "symlink", a_symbolic_link_carries_its_target);
    suite_add(suite, "unknown", unknown_even_fields_are_ignored_and_odd_ones_refused);
    suite_add(suite, "damage", impossible_inodes_are_damage);
    suite_add(suite, "names", names_that_no_directory_may_hold_are_refused);
    suite_add(suite, "any", decoders_survive_any_bytes);
    return suite;
}
