/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of the filesystem; docs/format.md, "Rows of the filesystem", is the specification.
 *
 *   meta  M name                   a fact: schema, next_inode, index, lost_below
 *         D parent:8 name          u8 1, u64 ino, inode     entry that holds its inode
 *                                  u8 2, u64 ino, u8 type   entry that refers to an I row
 *         I ino:8                  inode of the root, of files with (once) several links, of
 *                                  unlinked ones
 *         P ino:8                  u64 parent, string name, summary    where the inode lives
 *         P ino:8 parent:8 name    summary                             one link of an I inode
 *         X ino:8 name             u8 0, value              extended attribute
 *         O ino:8                  u8 0                     unlinked, perhaps still open
 *   data  B ino:8 end:8            the bytes of the file that end at `end`
 *   index:meta:xattr               attr_index.h
 *
 * Numbers in keys are big-endian, in values little-endian. Numbers here are on disk: they are never
 * renumbered. */
#ifndef FS_CORE_FORMAT_H
#define FS_CORE_FORMAT_H

#include <stdint.h>

enum row_kind {
    ROW_FACT = 'M',
    ROW_DIRENT = 'D',
    ROW_INODE = 'I',
    ROW_BACKPTR = 'P',
    ROW_EXTENT = 'B',
    ROW_XATTR = 'X',
    ROW_ORPHAN = 'O',
};

enum {
    DIRENT_INODE = 1,     /* the entry holds the inode */
    DIRENT_REFERENCE = 2, /* the inode has an I row */
};

enum {
    INODE_VERSION = 1,
};

enum inode_tag {
    INODE_TAG_CTIME = 1,
    INODE_TAG_ATIME = 3,
    INODE_TAG_BTIME = 5,
    INODE_TAG_RDEV = 7,
    INODE_TAG_TARGET = 9,
    INODE_TAG_FLAGS = 11,
    INODE_TAG_PROJECT = 13,
    INODE_TAG_ALLOCATED = 15,
    INODE_TAG_HINTS = 16,
    INODE_TAG_LOST_BELOW = 17,
    INODE_TAG_LOST_BYTES = 18,
};

enum {
    INODE_HINT_XATTRS = 1 << 0, /* has, or had, extended attributes */
    INODE_HINT_ACCESS_ACL = 1 << 1,
    INODE_HINT_DEFAULT_ACL = 1 << 2,
};

enum {
    FORMAT_SCHEMA = 1,
    FORMAT_SCHEMA_INDEX = 2, /* with an index of an attribute */
    FORMAT_PREFIX_SIZE = 9, /* kind and inode number: what the engine's prefix filters answer for */
    FORMAT_INO_FIRST = 16,  /* first number of an ordinary inode */
    FORMAT_CHUNK_BYTES = 32 * 1024, /* no extent crosses a multiple of this */
    FORMAT_LINK_COUNT_MAX = 0x7fffffff,
    FORMAT_BLOCK_BYTES = 512, /* unit of st_blocks */
};

#define FORMAT_TABLE_META      "meta"
#define FORMAT_TABLE_DATA      "data"
#define FORMAT_TABLE_INDEX     "index:meta:xattr"
#define FORMAT_FACT_SCHEMA     "schema"
#define FORMAT_FACT_INDEX      "index"
#define FORMAT_FACT_LOST_BELOW "lost_below"
#define FORMAT_FACT_NEXT_INODE "next_inode"
#define FORMAT_INO_LIMIT       ((uint64_t)1 << 48) /* every number is below */

#endif
