/* SPDX-License-Identifier: Apache-2.0 */
/* Values of rows. Encoders write into memory of the stated size and assert what decoders validate;
 * decoders accept any bytes, and return -KV_EDAMAGED for impossible ones or -KV_EFORMAT for a
 * field of a newer format, with outputs untouched. */
#ifndef FS_CORE_RECORD_H
#define FS_CORE_RECORD_H

#include "fs/core/key.h"

struct inode {
    uint32_t mode; /* type and permission bits */
    uint32_t nlink;
    uint32_t uid, gid;
    uint64_t size; /* directory: number of entries; symbolic link: of its target */
    struct timespec mtime, ctime, atime, btime;
    uint64_t rdev;
    uint64_t flags; /* FS_IOC_GETFLAGS */
    uint64_t project;
    uint64_t allocated; /* regular file: bytes in extents; others: equals size */
    uint64_t hints;     /* INODE_HINT_* */
    uint64_t
        lost_below; /* regular file: what no extent has is lost below, and zeros from here on */
    uint64_t lost_bytes;    /* regular file: what lost extents have of `allocated`, or less */
    struct kv_slice target; /* symbolic link only; borrowed */
};

/* Value of a D row. */
struct dir_entry {
    uint64_t ino;
    uint8_t type;       /* DT_* */
    bool has_inode;     /* else the inode has an I row */
    struct inode inode; /* only if has_inode */
};

/* What a back-pointer says of its inode. */
struct summary {
    uint16_t mode;
    uint32_t uid, gid;
};

enum {
    INODE_SIZE_MAX = 4096 + 192,
    DIRENT_SIZE_MAX = 1 + 8 + INODE_SIZE_MAX,
    SUMMARY_SIZE = 2 + 4 + 4,
    BACKPTR_SIZE_MAX = 8 + 2 + KVFS_NAME_SIZE_MAX + SUMMARY_SIZE,
};

/* Whether an inode may be encoded. One that an operation computed from damaged rows (an extent that
 * its inode does not count, an entry that its directory does not) may not. */
bool inode_is_sound(const struct inode *inode);

/* Each returns the number of bytes written. */
size_t inode_encode(uint8_t to[INODE_SIZE_MAX], const struct inode *inode);
size_t dirent_encode_inode(uint8_t to[DIRENT_SIZE_MAX], uint64_t ino, const struct inode *inode);
size_t dirent_encode_reference(uint8_t to[DIRENT_SIZE_MAX], uint64_t ino, uint8_t type);
size_t summary_encode(uint8_t to[SUMMARY_SIZE], const struct inode *inode);
size_t backptr_encode(uint8_t to[BACKPTR_SIZE_MAX], uint64_t parent, struct kv_slice name,
                      const struct inode *inode);

/* The target points into `value`. */
KV_MUST_CHECK int inode_decode(struct kv_slice value, struct inode *ret_inode);
KV_MUST_CHECK int dirent_decode(struct kv_slice value, struct dir_entry *ret_entry);
KV_MUST_CHECK int summary_decode(struct kv_slice value, struct summary *ret_summary);
/* The name points into `value`. */
KV_MUST_CHECK int backptr_decode(struct kv_slice value, uint64_t *ret_parent,
                                 struct kv_slice *ret_name, struct summary *ret_summary);

#endif
