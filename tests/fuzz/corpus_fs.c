/* SPDX-License-Identifier: Apache-2.0 */
/* Seeds of the filesystem's rows. */
#include "tests/fuzz/corpus.h"

#include "fs/core/record.h"

enum { INODE, DIRENT, BACKPTR, SUMMARY, KEY };

static const struct inode file_inode = {.mode = S_IFREG | 0644,
                                        .nlink = 1,
                                        .uid = 1000,
                                        .gid = 100,
                                        .size = 5000,
                                        .mtime = {.tv_sec = 1700000000, .tv_nsec = 123456789},
                                        .ctime = {.tv_sec = 1700000001},
                                        .atime = {.tv_sec = -5},
                                        .btime = {.tv_sec = 1600000000},
                                        .flags = 16,
                                        .project = 3,
                                        .allocated = 4096,
                                        .hints = INODE_HINT_XATTRS};

static void put_inodes(const struct corpus *corpus)
{
    uint8_t bytes[DIRENT_SIZE_MAX];
    struct inode link = {.mode = S_IFLNK | 0777,
                         .nlink = 1,
                         .size = 6,
                         .allocated = 6,
                         .target = kv_slice_str("target")};
    struct inode device = {.mode = S_IFCHR | 0600, .nlink = 1, .rdev = 0x103};

    corpus_put_flagged(corpus, "fs_record/inode_file", INODE,
                       kv_slice(bytes, inode_encode(bytes, &file_inode)));
    corpus_put_flagged(corpus, "fs_record/inode_link", INODE,
                       kv_slice(bytes, inode_encode(bytes, &link)));
    corpus_put_flagged(corpus, "fs_record/inode_device", INODE,
                       kv_slice(bytes, inode_encode(bytes, &device)));
    corpus_put_flagged(corpus, "fs_record/dirent_inode", DIRENT,
                       kv_slice(bytes, dirent_encode_inode(bytes, 17, &file_inode)));
    corpus_put_flagged(corpus, "fs_record/dirent_reference", DIRENT,
                       kv_slice(bytes, dirent_encode_reference(bytes, 17, 8)));
    corpus_put_flagged(
        corpus, "fs_record/backptr", BACKPTR,
        kv_slice(bytes, backptr_encode(bytes, 1, kv_slice_str("name"), &file_inode)));
    corpus_put_flagged(corpus, "fs_record/summary", SUMMARY,
                       kv_slice(bytes, summary_encode(bytes, &file_inode)));
}

static void put_keys(const struct corpus *corpus)
{
    struct rowkey key;

    rowkey_fact(&key, "schema");
    corpus_put_flagged(corpus, "fs_record/key_fact", KEY, rowkey_slice(&key));
    rowkey_dirent(&key, 1, kv_slice_str("na\\me\n"));
    corpus_put_flagged(corpus, "fs_record/key_dirent", KEY, rowkey_slice(&key));
    rowkey_inode(&key, 17);
    corpus_put_flagged(corpus, "fs_record/key_inode", KEY, rowkey_slice(&key));
    rowkey_backptr(&key, 17);
    corpus_put_flagged(corpus, "fs_record/key_backptr", KEY, rowkey_slice(&key));
    rowkey_backlink(&key, 17, 1, kv_slice_str("name"));
    corpus_put_flagged(corpus, "fs_record/key_backlink", KEY, rowkey_slice(&key));
    rowkey_extent(&key, 17, 4096);
    corpus_put_flagged(corpus, "fs_record/key_extent", KEY, rowkey_slice(&key));
    rowkey_xattr(&key, 17, kv_slice_str("user.a"));
    corpus_put_flagged(corpus, "fs_record/key_xattr", KEY, rowkey_slice(&key));
}

void corpus_fs(const struct corpus *corpus)
{
    put_inodes(corpus);
    put_keys(corpus);
}
