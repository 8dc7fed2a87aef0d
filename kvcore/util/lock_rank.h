/* SPDX-License-Identifier: Apache-2.0 */
/* The one lock order of the project: a thread takes mutexes in ascending rank only. The table in
 * docs/architecture.md says what each guards. */
#ifndef KVCORE_UTIL_LOCK_RANK_H
#define KVCORE_UTIL_LOCK_RANK_H

enum lock_rank {
    LOCK_RANK_CONTROL = 10,     /* tools: control server's client table */
    LOCK_RANK_FS_HANDLE = 18,   /* fs/core: position of an open directory */
    LOCK_RANK_FS_RENAME = 20,   /* fs/core: one directory rename at a time */
    LOCK_RANK_FS_DIR = 22,      /* fs/core: stripes that guard a directory's names */
    LOCK_RANK_FS_INODE = 24,    /* fs/core: stripes that guard attributes and data */
    LOCK_RANK_FS_TABLE = 26,    /* fs/core: lookup counts, handles, number allocation */
    LOCK_RANK_TXN_SHARD = 30,   /* txn: one shard of the row locks */
    LOCK_RANK_TXN_GRAPH = 32,   /* txn: who waits for whom */
    LOCK_RANK_DB_FLUSH = 40,    /* db: one flush or rotation at a time */
    LOCK_RANK_DB_WRITE = 42,    /* db: queue of writers */
    LOCK_RANK_DB_SYNC = 44,     /* db: queue of log syncs */
    LOCK_RANK_DB_MANIFEST = 46, /* db: one manifest append at a time */
    LOCK_RANK_DB_STATE = 50,    /* db: versions, memtable list, snapshots, job schedule */
    LOCK_RANK_LOG = 60,         /* log: state of one log writer */
    LOCK_RANK_TABLE_CACHE = 70, /* db: open tables */
    LOCK_RANK_BLOCK_CACHE = 72, /* table: one shard of the block cache */
    LOCK_RANK_BLOB_SET = 74,    /* blob: open blobs by number */
    LOCK_RANK_ARENA = 80,       /* util: growth of an arena */
    LOCK_RANK_RESERVE = 88,     /* storage: one change of the room kept in a pool at a time */
    LOCK_RANK_STORAGE = 90,     /* storage: internals of an implementation */
    LOCK_RANK_LEAF = 100,       /* anything that takes no other lock */
};

#endif
