/* SPDX-License-Identifier: Apache-2.0 */
/* The filesystem without FUSE: open a store as a filesystem and operate on inodes, names and keys.
 *
 * Conventions: int functions return 0 or a negative errno exactly as the system call of the same
 * name would give it; damage of stored data is -EIO here (the place goes to the message function).
 * Any thread may call anything; operations on the same directory or inode order themselves. One
 * call = one batch of the engine: after a crash it happened or did not.
 *
 * Permission checks are the caller's (the kernel's, with default_permissions); `who` only says who
 * owns what is made and whose setgid bits survive.
 *
 * Look-up counts: every function that returns a `struct kvfs_entry` through ret_entry takes one
 * reference on the inode for the kernel; kvfs_forget() gives them back. An unlinked inode lives
 * until its count and its open handles are gone. */
#ifndef KVFS_KVFS_H
#define KVFS_KVFS_H

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>

#include <kv/kv.h>

enum {
    KVFS_ROOT_INO = 1,
    KVFS_NAME_SIZE_MAX = 255,
    KVFS_KEY_SIZE_MAX = 4096,
    KVFS_SYMLINK_SIZE_MAX = 4095,
    KVFS_XATTR_NAME_SIZE_MAX = 255,
    KVFS_XATTR_VALUE_SIZE_MAX = 65536,
    KVFS_WRITE_SIZE_MAX = 1 << 20, /* larger writes are several operations */
};
#define KVFS_FILE_SIZE_MAX ((uint64_t)1 << 62)

struct kvfs;
struct kvfs_file; /* an open file */
struct kvfs_dir;  /* an open directory */

/* How far a walk over all rows is, as the number of the inode it is at, and one beyond the last. A
 * walk may be made twice. Not 0 ends it with -ECANCELED. */
typedef int kvfs_walk_fn(void *arg, uint64_t ino, uint64_t ino_end);

struct kvfs_options {
    bool create; /* make the store if it is missing */
    bool read_only;
    bool without_facts;    /* with read_only, for kvfs_check() and kvfs_mend(): open it although the
                              rows are lost that say how its rows are encoded and numbered */
    uint64_t memory_bytes; /* 0: the smaller of 512 MiB and a quarter of the machine; memtables,
                              cache, inodes */
    unsigned sync_interval_ms; /* 0: 1000. Unsynced operations are at most this old */
    bool warm;                 /* see kv_options: fill the cache after opening, metadata first */
    bool no_background;        /* see kv_options: flush, compact and sync only when asked or when
                                  memory is full (tests, inspection) */
    const char *index;         /* keep an index of this attribute, see kvfs_find(); "": none; NULL:
                                  as the store has it. Only of one that is opened for writing */
    const char *holder;        /* see kv_options */
    const char *label;         /* at creation */
    const uint8_t *store_id;   /* at creation; see kv_options */
    kv_message_fn *message_fn;
    void *message_arg;
    kvfs_walk_fn
        *walk_fn; /* of kvfs_check() and kvfs_mend(), for each inode; NULL: nobody is told */
    void *walk_arg;
};

/* Open the filesystem in the store directory `path`. Finishes what a crash left (orphans).
 * Errors: those of kv_storage_posix_open() and kv_open(); -KV_EFORMAT also: a store that is no
 * filesystem, or of a newer schema; -EINVAL, -EROFS `index`. */
KV_MUST_CHECK int kvfs_open(const char *path, const struct kvfs_options *options,
                            struct kvfs **ret_fs);
/* The same in any storage, which is taken in any case: closed on failure. */
KV_MUST_CHECK int kvfs_open_storage(struct kv_storage *storage, const struct kvfs_options *options,
                                    struct kvfs **ret_fs);
/* All handles must be closed. Syncs everything. The first error on the way is returned; `fs` is
 * gone all the same. */
int kvfs_close(struct kvfs *fs);
/* The store may be lost while it is open, where others can reach it too: somebody took it over, or
 * its lease could not be kept. From then on every call that needs it fails with -ESHUTDOWN, what
 * was read before may be out of date, and closing is all that makes sense.
 *
 * Have `fn` called once when that happens, or at once if it has: by whichever thread finds out. It
 * may call nothing of this header and must return at once. `fn` NULL: nobody is told; it does not
 * run any more when this returns. */
typedef void kvfs_store_lost_fn(void *arg);
void kvfs_on_store_lost(struct kvfs *fs, kvfs_store_lost_fn *fn, void *arg);
/* 0, or why it was lost: -ESHUTDOWN to another holder; another negative errno is what the storage
 * was told last. */
int kvfs_store_lost(const struct kvfs *fs);
/* The engine below, for statistics and upkeep. */
struct kv_store *kvfs_store(struct kvfs *fs);
/* Everything done before is durable when 0 is returned. */
KV_MUST_CHECK int kvfs_sync(struct kvfs *fs);
KV_MUST_CHECK int kvfs_statfs(struct kvfs *fs, struct statvfs *ret_stat);
/* Memory that the filesystem keeps beside what its engine does (kv_stats()). */
struct kvfs_memory {
    uint64_t lookup_bytes;   /* counts of references, which grow with what the kernel remembers */
    uint64_t inode_bytes;    /* inodes read, at most a sixteenth of `memory_bytes` */
    uint64_t unlinked_bytes; /* small files that are unlinked and in use, at most 4 MiB or a 64th of
                                `memory_bytes` */
};
void kvfs_memory(struct kvfs *fs, struct kvfs_memory *ret_memory);

/* Who asks. */
struct kvfs_who {
    uid_t uid;
    gid_t gid;
    mode_t umask; /* applied to new files' modes */
};

struct kvfs_entry {
    uint64_t ino;
    struct stat
        stat; /* st_ino, st_mode, st_nlink, st_uid, st_gid, st_rdev, st_size, st_blocks, times */
    struct timespec btime;
};

/* ---- inodes and names ---------------------------------------------------------------------------
 */

/* -ENOENT no such name (or the directory was removed); -ENOTDIR; -ENAMETOOLONG. `.` and `..` are
 * understood, and `.` below whatever has a name is that itself. */
KV_MUST_CHECK int kvfs_lookup(struct kvfs *fs, uint64_t parent, const char *name,
                              struct kvfs_entry *ret_entry);
void kvfs_forget(struct kvfs *fs, uint64_t ino, uint64_t count);
/* The same, for who forgets many: what an unlinked small file leaves may stay until some more came
 * together, or the filesystem is closed. */
void kvfs_forget_later(struct kvfs *fs, uint64_t ino, uint64_t count);
/* Call `fn` for each inode of which the kernel may keep something: the root, and whatever has
 * look-up references. Some may come twice; those that get their first reference meanwhile may be
 * left out. No lock is held. */
typedef void kvfs_known_fn(void *arg, uint64_t ino);
void kvfs_known_inodes(struct kvfs *fs, kvfs_known_fn *fn, void *arg);
/* Attributes; takes no look-up reference. -ENOENT no such inode. */
KV_MUST_CHECK int kvfs_getattr(struct kvfs *fs, uint64_t ino, struct kvfs_entry *ret_entry);

enum kvfs_setattr_mask {
    KVFS_SET_MODE = 1 << 0,
    KVFS_SET_UID = 1 << 1,
    KVFS_SET_GID = 1 << 2,
    KVFS_SET_SIZE = 1 << 3,
    KVFS_SET_ATIME = 1 << 4,
    KVFS_SET_MTIME = 1 << 5,
    KVFS_SET_ATIME_NOW = 1 << 6,
    KVFS_SET_MTIME_NOW = 1 << 7,
    KVFS_SET_CTIME = 1 << 8,
    KVFS_KILL_PRIV = 1 << 9, /* clear setuid, and setgid where group-executable */
};
/* Change what `mask` names, taken from `attr`. No look-up reference. Errors: -EFBIG, -EINVAL,
 * -EISDIR for size of a directory. */
KV_MUST_CHECK int kvfs_setattr(struct kvfs *fs, uint64_t ino, const struct stat *attr,
                               unsigned mask, struct kvfs_entry *ret_entry);
KV_MUST_CHECK int kvfs_readlink(struct kvfs *fs, uint64_t ino, struct kv_buf *target);

/* What is to be made. */
struct kvfs_new {
    struct kvfs_who who;
    mode_t mode; /* with the type, for kvfs_mknod() */
    dev_t rdev;  /* of a device */
    int flags;   /* as open(2), for kvfs_create() */
};
/* Regular files, FIFOs, sockets and devices. -EEXIST. */
KV_MUST_CHECK int kvfs_mknod(struct kvfs *fs, uint64_t parent, const char *name,
                             const struct kvfs_new *what, struct kvfs_entry *ret_entry);
KV_MUST_CHECK int kvfs_mkdir(struct kvfs *fs, const struct kvfs_who *who, uint64_t parent,
                             const char *name, mode_t mode, struct kvfs_entry *ret_entry);
KV_MUST_CHECK int kvfs_symlink(struct kvfs *fs, const struct kvfs_who *who, uint64_t parent,
                               const char *name, const char *target, struct kvfs_entry *ret_entry);
/* -ENOENT also: the inode lost its last link. */
KV_MUST_CHECK int kvfs_link(struct kvfs *fs, uint64_t ino, uint64_t parent, const char *name,
                            struct kvfs_entry *ret_entry);
KV_MUST_CHECK int kvfs_unlink(struct kvfs *fs, uint64_t parent, const char *name);
KV_MUST_CHECK int kvfs_rmdir(struct kvfs *fs, uint64_t parent, const char *name);
/* `flags`: 0, RENAME_NOREPLACE or RENAME_EXCHANGE. */
KV_MUST_CHECK int kvfs_rename(struct kvfs *fs, uint64_t old_parent, const char *old_name,
                              uint64_t new_parent, const char *new_name, unsigned flags);

/* ---- files
 * ---------------------------------------------------------------------------------------- */

/* Create (O_CREAT; O_EXCL in `flags` honoured: -EEXIST) and open. Takes a look-up reference.
 * Without `ret_file` (NULL) nothing stays open: for who needs no handle beside that reference. */
KV_MUST_CHECK int kvfs_create(struct kvfs *fs, uint64_t parent, const char *name,
                              const struct kvfs_new *what, struct kvfs_entry *ret_entry,
                              struct kvfs_file **ret_file);
/* The same without a name in the directory `parent`, for O_TMPFILE: the file goes with its last
 * handle or reference, or in a crash, unless kvfs_link() gave it a name, which O_EXCL in `flags`
 * forbids. */
KV_MUST_CHECK int kvfs_create_unnamed(struct kvfs *fs, uint64_t parent, const struct kvfs_new *what,
                                      struct kvfs_entry *ret_entry, struct kvfs_file **ret_file);
/* In the `flags` of an open: truncation clears setuid, and setgid where group-executable. Linux
 * uses the bit for no flag of open(2). */
#define KVFS_OPEN_KILL_PRIV (1 << 30)
/* Open an inode that exists; O_TRUNC in `flags` truncates. -EISDIR. */
KV_MUST_CHECK int kvfs_file_open(struct kvfs *fs, uint64_t ino, int flags,
                                 struct kvfs_file **ret_file);
void kvfs_file_close(struct kvfs_file *file); /* accepts NULL */
/* Replace `to` by up to `size` bytes from `offset`; fewer only at the end of the file. A damaged
 * range inside is -EIO. */
KV_MUST_CHECK int kvfs_read(struct kvfs *fs, uint64_t ino, uint64_t offset, size_t size,
                            struct kv_buf *to);
/* Write `data` (at most KVFS_WRITE_SIZE_MAX) at `offset`, or with `append` at the end of the file.
 * -EFBIG. `kill_priv` as KVFS_KILL_PRIV. */
KV_MUST_CHECK int kvfs_write(struct kvfs *fs, uint64_t ino, uint64_t offset, struct kv_slice data,
                             bool append, bool kill_priv);
/* fallocate(2): mode 0, FALLOC_FL_KEEP_SIZE, PUNCH_HOLE|KEEP_SIZE, ZERO_RANGE[|KEEP_SIZE]. Space is
 * not reserved. -EOPNOTSUPP: another mode; the hole would lie in front of bytes that are lost and
 * that only the inode tells of (docs/format.md, "Lost below"). */
KV_MUST_CHECK int kvfs_fallocate(struct kvfs *fs, uint64_t ino, int mode, uint64_t offset,
                                 uint64_t size);
/* What to copy: [offset_in, offset_in + size) of one file over what stands at offset_out in
 * another, or in another part of the same. */
struct kvfs_copy {
    uint64_t ino_in, offset_in;
    uint64_t ino_out, offset_out;
    uint64_t size;
};
/* copy_file_range(2): copies as much as one operation can, `ret_size` tells how much; 0 at the end
 * of the first file. Where both offsets lie alike within 4 KiB the stored bytes are shared. Holes
 * stay holes, but for those that come where bytes are lost. -EINVAL the ranges overlap; -EISDIR;
 * -EFBIG; -EIO the first bytes are damaged. */
KV_MUST_CHECK int kvfs_copy_range(struct kvfs *fs, const struct kvfs_copy *copy,
                                  uint64_t *ret_size);
/* lseek(2) with SEEK_DATA or SEEK_HOLE; what is lost is data. -ENXIO. */
KV_MUST_CHECK int kvfs_seek(struct kvfs *fs, uint64_t ino, uint64_t offset, int whence,
                            uint64_t *ret_offset);
enum kvfs_part { KVFS_PART_DATA, KVFS_PART_HOLE, KVFS_PART_LOST };
/* What the bytes from `offset` on are, and the end of all that are the same. Lost is what is known
 * to be lost: reading it is -EIO, and data may turn out to be damaged as well. -ENXIO: the offset
 * is not in front of the end. */
KV_MUST_CHECK int kvfs_part_at(struct kvfs *fs, uint64_t ino, uint64_t offset,
                               enum kvfs_part *ret_part, uint64_t *ret_end);
/* Durable: the inode, its data and its names. */
KV_MUST_CHECK int kvfs_fsync(struct kvfs *fs, uint64_t ino);

/* ---- directories
 * ---------------------------------------------------------------------------------- */

KV_MUST_CHECK int kvfs_dir_open(struct kvfs *fs, uint64_t ino, struct kvfs_dir **ret_dir);
void kvfs_dir_close(struct kvfs_dir *dir); /* accepts NULL */
/* Return true to go on, false if the entry did not fit (it is then not consumed and no look-up
 * reference is taken for it). `next_offset` continues behind the entry. */
typedef bool kvfs_dir_fn(void *arg, const char *name, const struct kvfs_entry *entry,
                         uint64_t next_offset);
/* Entries from `offset` (0: the start, where new names are seen; else a next_offset of this
 * handle): `.`, `..`, then names in byte order. With `plus` entries carry all attributes and each
 * but `.` and `..` takes a look-up reference; without, only st_ino and st_mode's type are set. A
 * damaged part is -EIO once what precedes it was given. */
KV_MUST_CHECK int kvfs_dir_read(struct kvfs_dir *dir, uint64_t offset, bool plus, kvfs_dir_fn *fn,
                                void *arg);

/* The inode was read: its access time becomes now, where relatime says so (it was not read since it
 * changed, or not for a day). Reading functions leave this to their caller. The new time is in
 * memory until the next operation or sync. A failure changes nothing. */
void kvfs_note_read(struct kvfs *fs, uint64_t ino);

/* ---- extended attributes
 * -------------------------------------------------------------------------- */

/* -ENODATA no such attribute. */
KV_MUST_CHECK int kvfs_getxattr(struct kvfs *fs, uint64_t ino, const char *name,
                                struct kv_buf *value);
/* Names of the spaces user, trusted and security, and the POSIX ACLs system.posix_acl_access and
 * system.posix_acl_default in the form of the kernel. An access ACL is one with the permission bits
 * of the mode: setting either changes both. What is made in a directory with a default ACL inherits
 * it, and the umask of who makes it counts for nothing. */
enum {
    KVFS_XATTR_KILL_SGID = 1 << 8, /* setting an access ACL clears setgid: the caller is neither in
                                      the group nor privileged */
};
/* `flags`: 0, XATTR_CREATE (-EEXIST) or XATTR_REPLACE (-ENODATA), which count for nothing with
 * ACLs, and KVFS_XATTR_KILL_SGID. -EOPNOTSUPP name space, or ACL of a symbolic link; -E2BIG;
 * -ERANGE name; -EINVAL no ACL; -EACCES default ACL of what is no directory. */
KV_MUST_CHECK int kvfs_setxattr(struct kvfs *fs, uint64_t ino, const char *name,
                                struct kv_slice value, int flags);
/* Names, each ended by NUL. */
KV_MUST_CHECK int kvfs_listxattr(struct kvfs *fs, uint64_t ino, struct kv_buf *names);
/* -ENODATA; taking away an ACL that is not there succeeds. */
KV_MUST_CHECK int kvfs_removexattr(struct kvfs *fs, uint64_t ino, const char *name);

/* ---- finding files by an attribute
 * ---------------------------------------------------------------- */

/* A store keeps an index of one attribute if it was once opened with the option `index`. It is
 * changed by the operations that change attributes, so that it is never behind. Of files that were
 * there before it is built in the background, or by kvfs_index_build(). */

/* Whether an index can be kept of it: in the space `user.`, without `=`. */
static inline bool kvfs_index_name_is_valid(const char *attribute)
{
    size_t size = strlen(attribute);
    return strncmp(attribute, "user.", 5) == 0 && size > 5 && size <= KVFS_XATTR_NAME_SIZE_MAX &&
           strchr(attribute, '=') == NULL;
}
struct kvfs_index_status {
    const char *attribute; /* lives as long as the filesystem */
    bool built;            /* can be used */
    unsigned percent;      /* of the building */
    int error;             /* that building met and goes on trying; 0: none */
};
/* False: there is no index. */
bool kvfs_index_status(struct kvfs *fs, struct kvfs_index_status *ret_status);
/* Build what is not built; for those who opened with no_background. Others must not. Errors:
 * -EROFS, those of reading and writing. */
KV_MUST_CHECK int kvfs_index_build(struct kvfs *fs);

struct kvfs_find_options {
    const char *attribute;
    struct kv_slice value;
    bool by_prefix; /* all values that begin with `value`; else that one */
    uint64_t limit; /* 0: none */
};
/* Return false to stop. Both live during the call. `path` is a key, or `.` for the root. */
typedef bool kvfs_find_fn(void *arg, struct kv_slice value, struct kv_slice path);
/* Files of any kind that have the attribute, one with several links by each of them, as of now, in
 * the order of the values, then of the paths as bytes. Memory does not grow with their number. A
 * file whose names are lost is left out, and -KV_EDAMAGED is returned once the others were given.
 * Errors: -EOPNOTSUPP there is no index of the attribute; -EINPROGRESS it is not built. */
KV_MUST_CHECK int kvfs_find(struct kvfs *fs, const struct kvfs_find_options *options,
                            kvfs_find_fn *fn, void *arg);

/* ---- flags of chattr(1)
 * ---------------------------------------------------------------------------- */

/* FS_IMMUTABLE_FL and FS_APPEND_FL, which are kept by every function here (-EPERM), FS_NODUMP_FL
 * and FS_NOATIME_FL, which new files and directories inherit. Who may set them the caller decides.
 */
KV_MUST_CHECK int kvfs_getflags(struct kvfs *fs, uint64_t ino, unsigned *ret_flags);
/* -EOPNOTSUPP another flag would change, or what is neither a file nor a directory; -EPERM another
 * flag of what stays immutable would change. */
KV_MUST_CHECK int kvfs_setflags(struct kvfs *fs, uint64_t ino, unsigned flags);

/* ---- checking
 * ------------------------------------------------------------------------------------- */

struct kvfs_check_counts {
    uint64_t inodes, directories, entries, extents, xattrs;
    uint64_t orphans;      /* unlinked and still in use; none where nothing is in use */
    uint64_t lost_extents; /* known to be lost; not counted as faults */
    uint64_t lost_holes;   /* files of which all that has no extent is lost, up to some offset; nor
                              these */
    uint64_t faults;
};
/* A fault: its code (enum kv_problem_code, 701 to 799), and a sentence that names the inode or the
 * row, without a newline. */
typedef void kvfs_fault_fn(void *arg, int code, const char *text);
/* Walk all rows as of now and tell `fn` whatever is not as docs/format.md says: entries, inodes and
 * back-pointers belong together one to one, link counts and sizes of directories, the tree hangs
 * together, extents neither overlap nor reach beyond the size, allocated bytes add up, attributes
 * and ACLs fit. Bytes of files that lie in blobs are not read. Operations may go on beside it.
 * Memory grows with the directories only. 0 also with faults. Errors: -EIO a table cannot be read
 * through, -ENOMEM, -ECANCELED by `walk_fn`. */
KV_MUST_CHECK int kvfs_check(struct kvfs *fs, kvfs_fault_fn *fn, void *arg,
                             struct kvfs_check_counts *ret_counts);

/* Keys of one table, both included, among which rows were lost; `to` empty: no bound. */
struct kvfs_key_range {
    struct kv_buf from, to;
};
struct kvfs_lost_keys {
    struct kvfs_key_range *ranges;
    size_t count;
    bool anywhere; /* and among others, too */
};
/* What a repair of the engine lost of file data, and of all else. Outside of these keys nothing. */
struct kvfs_lost_rows {
    struct kvfs_lost_keys data, meta;
    bool repaired; /* it was one that wrote something, and more may be written: what is lost of
                      files is noted in their inodes, also where nothing is wrong with these */
};
/* The same, and collect in `rows` what would put right what it tells (docs/architecture.md, "Rows
 * that contradict each other"). Nothing is written: the batch is for kv_admin_amend(), once the
 * store is closed. Then walk again, until nothing is collected any more. `lost` NULL: nobody knows;
 * a file whose bytes do not add up may then lack them in any of its holes. */
KV_MUST_CHECK int kvfs_mend(struct kvfs *fs, kvfs_fault_fn *fn, void *arg,
                            const struct kvfs_lost_rows *lost, struct kv_batch *rows,
                            struct kvfs_check_counts *ret_counts);

/* A table of a filesystem that is lost as a whole, with all that named it. Such a store does not
 * open: whoever repairs it makes the table anew (kv_admin_add_keyspace()) and mends the rows. */
struct kvfs_lost_table {
    const char *name; /* "meta" or "data", static */
    struct kv_table_options options;
    char found_as[KV_TABLE_NAME_SIZE_MAX + 1]; /* what holds the rows of it that logs still had */
};
/* Whether one is: 1, then that comes first which is to be made first, or 0. Errors: those of
 * reading; -ENOMEM. */
KV_MUST_CHECK int kvfs_lost_table(struct kv_store *store, struct kvfs_lost_table *ret_table);
/* Whether a store in which this version finds no filesystem may hold one all the same: a keyspace
 * has the name of one of its tables, or lost its name. 1 or 0. Errors: -ENOMEM. */
KV_MUST_CHECK int kvfs_may_have_files(struct kv_store *store);

/* Bytes [from, to) of a file that are known to be lost: reading them is -EIO. */
struct kvfs_lost_range {
    uint64_t ino;
    uint64_t from, to;
    struct kv_slice path; /* one of its names, which lives during the call; empty: none is known */
};
/* Not 0 ends the listing, which returns it. */
typedef int kvfs_lost_fn(void *arg, const struct kvfs_lost_range *range);
/* All of them, ascending by inode number and place. Takes memory for each file whose holes are
 * lost, 16 bytes. What a repair would tell first is passed over. Errors: those of reading; -ENOMEM.
 */
KV_MUST_CHECK int kvfs_lost_ranges(struct kvfs *fs, kvfs_lost_fn *fn, void *arg);

/* ---- keys are paths
 * ------------------------------------------------------------------------------- */
/* A key is a path below the root without the leading slash: `users/42/name`. See
 * docs/architecture.md, "Keys". */

/* 0, or -EINVAL / -ENAMETOOLONG with the fault named in `fault` (at least 128 bytes). */
KV_MUST_CHECK int kvfs_key_check(struct kv_slice key, char *fault, size_t fault_size);

/* What a change by key did to names and inodes, so that a mount can tell the kernel. Called after
 * the commit, without locks. `name` NULL: the inode's data and attributes changed; else the name in
 * the directory `ino` did. */
typedef void kvfs_changed_fn(void *arg, uint64_t ino, const char *name);
void kvfs_on_change(struct kvfs *fs, kvfs_changed_fn *fn, void *arg);
/* The kernel keeps the sizes and times of files it has met and takes none from us (its write-back
 * cache): from now on kvfs_key_put() makes files but replaces none, and kvfs_write() leaves the
 * times, which kvfs_setattr() is told. */
void kvfs_keep_sizes(struct kvfs *fs);

/* Contents of the regular file at `key`. -ENOENT; -EISDIR; -ENOTDIR; -EINVAL symlink or special
 * file, or malformed key; -EFBIG more than 1 GiB: read it by inode. */
KV_MUST_CHECK int kvfs_key_get(struct kvfs *fs, struct kv_slice key, struct kv_buf *value);
/* Make or replace the file in one operation; missing parents are made with mode 0755, the file with
 * 0644, less umask. -EBUSY: it is there and kvfs_keep_sizes() was called. */
KV_MUST_CHECK int kvfs_key_put(struct kvfs *fs, const struct kvfs_who *who, struct kv_slice key,
                               struct kv_slice value);
/* -ENOENT; -EISDIR for a directory. */
KV_MUST_CHECK int kvfs_key_delete(struct kvfs *fs, struct kv_slice key);
/* Attributes of whatever stands at the key; the empty key is the root. No look-up reference. */
KV_MUST_CHECK int kvfs_key_stat(struct kvfs *fs, struct kv_slice key, struct kvfs_entry *ret_entry);

/* Changes of several keys that happen together or not at all, under conditions or under none. Made
 * by one thread; keys and values are borrowed and must outlive the batch. The changes take effect
 * one after the other: a key may be deleted that the batch put before. The conditions are about the
 * store as it was before any of them, wherever they were added. */
struct kvfs_batch;
enum {
    KVFS_BATCH_ITEMS_MAX = 1 << 20, /* changes and conditions */
    KVFS_BATCH_NAMES_MAX = 1 << 17, /* keys and the directories above them, each counted once */
};
KV_MUST_CHECK int kvfs_batch_create(struct kvfs_batch **ret_batch);
void kvfs_batch_destroy(struct kvfs_batch *batch); /* accepts NULL */
/* Each errors: -ENOMEM; -EINVAL, -ENAMETOOLONG malformed key; -EFBIG value; -E2BIG more than
 * KVFS_BATCH_ITEMS_MAX. */
/* As kvfs_key_put(). */
KV_MUST_CHECK int kvfs_batch_put(struct kvfs_batch *batch, struct kv_slice key,
                                 struct kv_slice value);
/* As kvfs_key_delete(); with `may_miss` a key that is not there is noted, and no failure. */
KV_MUST_CHECK int kvfs_batch_delete(struct kvfs_batch *batch, struct kv_slice key, bool may_miss);
/* Nothing stands at the key, a directory neither. */
KV_MUST_CHECK int kvfs_batch_if_absent(struct kvfs_batch *batch, struct kv_slice key);
/* A regular file with these contents stands at the key. */
KV_MUST_CHECK int kvfs_batch_if_equal(struct kvfs_batch *batch, struct kv_slice key,
                                      struct kv_slice value);
/* Carry out all of it in one batch of the engine, as durable as kvfs_key_put(), or nothing.
 * Meanwhile the names in every directory on the way of a key stand still. Errors: -ECANCELED a
 * condition does not hold; -E2BIG more than KVFS_BATCH_NAMES_MAX, or than KV_BATCH_SIZE_MAX with
 * the filesystem's own rows; else what kvfs_key_put() and kvfs_key_delete() return. */
KV_MUST_CHECK int kvfs_batch_commit(struct kvfs *fs, const struct kvfs_who *who,
                                    struct kvfs_batch *batch);
/* What the last commit failed at: a change or condition, counted from 0 as they were added; -1 if
 * it was none of them by itself. */
long kvfs_batch_failed_at(const struct kvfs_batch *batch);
/* The last commit succeeded, and the key of this delete was not there. */
bool kvfs_batch_missed(const struct kvfs_batch *batch, size_t index);

struct kvfs_scan_options {
    struct kv_slice prefix;   /* empty: all keys */
    struct kv_slice from, to; /* from inclusive, to exclusive; empty: open */
    uint64_t limit;           /* 0: none */
    bool reverse;
    bool keys_only;
};
/* Return false to stop. `value` is empty with keys_only. */
typedef bool kvfs_scan_fn(void *arg, struct kv_slice key, struct kv_slice value);
/* Regular files in byte order of their whole keys (a directory `a` is entered where `a/` sorts).
 * Symlinks and special files are passed over. -ENOENT never: an empty range is empty. -EFBIG,
 * unless keys_only: a file of more than 1 GiB. */
KV_MUST_CHECK int kvfs_scan(struct kvfs *fs, const struct kvfs_scan_options *options,
                            kvfs_scan_fn *fn, void *arg);

#endif
