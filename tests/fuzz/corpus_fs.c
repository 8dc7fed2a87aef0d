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
    struct inode lost = {.mode = S_IFREG | 0600, .nlink = 1, .size = 500, .lost_below = 300};
    struct inode device = {.mode = S_IFCHR | 0600, .nlink = 1, .rdev = 0x103};

    corpus_put_flagged(corpus, "fs_record/inode_file", INODE,
                       kv_slice(bytes, inode_encode(bytes, &file_inode)));
    corpus_put_flagged(corpus, "fs_record/inode_lost", INODE,
                       kv_slice(bytes, inode_encode(bytes, &lost)));
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

/* ---- whole filesystems, in the form of fuzz_fs_rows.c ---- */

enum { ROWS_DIRENT, ROWS_INODE, ROWS_BACKPTR, ROWS_EXTENT, ROWS_XATTR, ROWS_FACT, ROWS_ORPHAN };

static void add_row(struct kv_buf *to, uint8_t kind, uint64_t ino, const char *tail,
                    struct kv_slice value)
{
    fuzz_need(coding_append_u8(to, kind));
    fuzz_need(coding_append_varint(to, ino));
    fuzz_need(coding_append_string(to, kv_slice_str(tail)));
    fuzz_need(coding_append_string(to, value));
}

static void add_extent(struct kv_buf *to, uint64_t ino, uint64_t end, uint64_t length)
{
    fuzz_need(coding_append_u8(to, ROWS_EXTENT));
    fuzz_need(coding_append_varint(to, ino));
    fuzz_need(coding_append_varint(to, end));
    fuzz_need(coding_append_varint(to, length));
}

static void add_entry(struct kv_buf *to, uint64_t parent, const char *name, uint64_t ino,
                      const struct inode *inode)
{
    uint8_t bytes[DIRENT_SIZE_MAX];

    add_row(to, ROWS_DIRENT, parent, name, kv_slice(bytes, dirent_encode_inode(bytes, ino, inode)));
    add_row(to, ROWS_BACKPTR, ino, "",
            kv_slice(bytes, backptr_encode(bytes, parent, kv_slice_str(name), inode)));
}

static void put_file_rows(const struct corpus *corpus)
{
    struct inode large = file_inode, link = {.mode = S_IFLNK | 0777, .nlink = 1};
    struct kv_buf rows = {0};

    add_entry(&rows, 1, "file", 17, &file_inode);
    add_extent(&rows, 17, 4096, 4096);
    add_row(&rows, ROWS_XATTR, 17, "user.a", kv_slice("\0value", 6));
    large.size = 100000;
    large.allocated = 32768 + 1000;
    add_entry(&rows, 1, "large", 18, &large);
    add_extent(&rows, 18, 32768, 32768);
    add_extent(&rows, 18, 70000, 1000);
    link.target = kv_slice_str("file");
    link.size = link.allocated = 4;
    add_entry(&rows, 1, "link", 19, &link);
    corpus_put(corpus, "fs_rows/files", kv_slice(NULL, 0), kv_buf_slice(&rows));
    kv_buf_finish(&rows);
}

/* In a file whose holes are lost small extents, full chunks, a lost one, and a hole behind. */
static void put_lost_rows(const struct corpus *corpus)
{
    const uint64_t chunk = 32768;
    struct inode lost = file_inode, none = file_inode;
    struct kv_buf rows = {0};

    lost.size = 20 * chunk;
    lost.lost_below = 9 * chunk + 100;
    lost.allocated = 10 + 10 + chunk + 5000;
    lost.hints = none.hints = 0;
    add_entry(&rows, 1, "lost", 17, &lost);
    add_extent(&rows, 17, 20, 10);
    add_extent(&rows, 17, 50, 10);
    add_extent(&rows, 17, 3 * chunk, chunk);
    add_extent(&rows, 17, 5 * chunk + 5000, 0);
    none.allocated = 0;
    none.lost_below = none.size;
    add_entry(&rows, 1, "none", 18, &none);
    corpus_put(corpus, "fs_rows/lost_holes", kv_slice(NULL, 0), kv_buf_slice(&rows));
    kv_buf_finish(&rows);
}

static void put_tree_rows(const struct corpus *corpus)
{
    struct inode dir = {.mode = S_IFDIR | 0755, .nlink = 2, .size = 1, .allocated = 1};
    struct inode twice = file_inode;
    struct kv_buf rows = {0};
    uint8_t bytes[DIRENT_SIZE_MAX];

    add_entry(&rows, 1, "dir", 17, &dir);
    twice.nlink = 2;
    add_row(&rows, ROWS_INODE, 18, "", kv_slice(bytes, inode_encode(bytes, &twice)));
    add_row(&rows, ROWS_DIRENT, 17, "a", kv_slice(bytes, dirent_encode_reference(bytes, 18, 8)));
    add_row(&rows, ROWS_DIRENT, 1, "b", kv_slice(bytes, dirent_encode_reference(bytes, 18, 8)));
    add_extent(&rows, 18, 4096, 4096);
    add_row(&rows, ROWS_INODE, 20, "", kv_slice(bytes, inode_encode(bytes, &file_inode)));
    add_row(&rows, ROWS_ORPHAN, 20, "", kv_slice("\0", 1));
    add_extent(&rows, 20, 4096, 4096);
    corpus_put(corpus, "fs_rows/tree", kv_slice(NULL, 0), kv_buf_slice(&rows));
    kv_buf_finish(&rows);
}

void corpus_fs(const struct corpus *corpus)
{
    put_inodes(corpus);
    put_keys(corpus);
    put_file_rows(corpus);
    put_lost_rows(corpus);
    put_tree_rows(corpus);
}
