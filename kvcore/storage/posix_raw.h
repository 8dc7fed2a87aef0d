/* SPDX-License-Identifier: Apache-2.0 */
/* What lies beneath the storage seam, for checking and repair only: every name in the directory,
 * both slots of the root record, and the archive of what repair takes away.
 *
 * An archive is a directory `lost+found.d/NUMBER`. It is made as NUMBER.tmp and has its name only
 * when everything in it is durable. What it keeps of the store's files are second links to them
 * where the file system has links, so that keeping them needs no room; else copies. Nothing here
 * follows a symbolic link.
 *
 * Only a storage that is a directory has this; for any other the functions return -EOPNOTSUPP. */
#ifndef KVCORE_STORAGE_POSIX_RAW_H
#define KVCORE_STORAGE_POSIX_RAW_H

#include <sys/stat.h>

#include <kv/storage.h>

enum raw_kind {
    RAW_FOREIGN = 1, /* a name that no store has */
    RAW_FIXED,       /* ROOT, LOCK and the like */
    RAW_FILE,        /* a log, manifest, table or blob: `id` says which */
    RAW_LEFTOVER,    /* something that was being made */
};

struct raw_name {
    const char *name; /* valid during the call */
    enum raw_kind kind;
    struct kv_file_id id;
    struct stat stat; /* of the name itself */
    bool is_ours;     /* a regular file that the store would open */
};

typedef int raw_name_fn(void *arg, const struct raw_name *name);

/* Every name but "." and "..", in no order; a result that is not 0 ends it and is returned. Unlike
 * kv_storage_ops.list this removes nothing. */
KV_MUST_CHECK int raw_list(struct kv_storage *storage, raw_name_fn *fn, void *arg);

enum { RAW_ROOT_SIZE = 8192, RAW_ROOT_SLOTS = 2, RAW_ROOT_CONTENT_MAX = 4000 };

/* Both copies of the root record. */
struct raw_root {
    uint8_t bytes[RAW_ROOT_SIZE + 1];
    size_t size;    /* of what is there of the two; behind it `bytes` is zero */
    bool is_longer; /* the file goes on */
    struct {
        bool valid;
        bool empty;              /* zeros: never written */
        uint64_t version;        /* if valid */
        struct kv_slice content; /* if valid; points into `bytes` */
    } slots[RAW_ROOT_SLOTS];
};

/* Errors: -ENOENT no ROOT; -ELOOP, -KV_EDAMAGED it is not a regular file of ours. */
KV_MUST_CHECK int raw_root_read(struct kv_storage *storage, struct raw_root *ret_root);
/* Bytes of a ROOT that holds `content` as version `version`, its other slot empty. */
void raw_root_encode(uint64_t version, struct kv_slice content, uint8_t to[RAW_ROOT_SIZE]);
/* Give ROOT these bytes: written beside it, synced, renamed over it. One or the other is there
 * whenever this is cut short, durable when 0 is returned. Needs the exclusive lease. */
KV_MUST_CHECK int raw_root_replace(struct kv_storage *storage, struct kv_slice bytes);
/* Remove a name of the store's directory that is no directory. -ENOENT is no error. */
KV_MUST_CHECK int raw_remove(struct kv_storage *storage, const char *name);

struct raw_archive;

enum { RAW_ARCHIVE_NAME_SIZE = 32 }; /* "00000001" and its NUL */

/* Begin the next archive. Needs the exclusive lease, as all that follow but reading. */
KV_MUST_CHECK int raw_archive_create(struct kv_storage *storage, struct raw_archive **ret_archive);
/* Keep the store's file `name` in it: a link, or a copy if the file may yet be written to. */
KV_MUST_CHECK int raw_archive_keep(struct raw_archive *archive, const char *name, bool copy);
/* A file of the archive's own. */
KV_MUST_CHECK int raw_archive_write(struct raw_archive *archive, const char *name,
                                    struct kv_slice bytes);
/* Make it durable and give it its name. */
KV_MUST_CHECK int raw_archive_finish(struct raw_archive *archive);
/* An archive that is finished. Errors: -ENOENT; -EINVAL the name is none of an archive. */
KV_MUST_CHECK int raw_archive_open(struct kv_storage *storage, const char *name,
                                   struct raw_archive **ret_archive);
const char *raw_archive_name(const struct raw_archive *archive);
/* Read all of a file of it, at most `size_max` bytes. Errors: -EFBIG. */
KV_MUST_CHECK int raw_archive_read(struct raw_archive *archive, const char *name, size_t size_max,
                                   struct kv_buf *ret_bytes);
/* Every name in it. */
typedef int raw_archive_fn(void *arg, const char *name);
KV_MUST_CHECK int raw_archive_list(struct raw_archive *archive, raw_archive_fn *fn, void *arg);
/* Whether the name is one that a log, manifest, table or blob has. */
bool raw_name_is_file(const char *name, struct kv_file_id *ret_id);
/* Give the store the file back that the archive keeps; one that is there already stays. Durable
 * after raw_sync(). */
KV_MUST_CHECK int raw_archive_restore(struct raw_archive *archive, const char *name);
/* Closes, and removes one that was not finished. Accepts NULL. */
void raw_archive_close(struct raw_archive *archive);

/* Told by raw_copy() as it goes; what is not 0 ends it and is its result. */
struct raw_copy_watch {
    /* So many bytes were read, or could not be. */
    int (*read_fn)(void *arg, uint64_t bytes);
    /* A range that reading failed with `error` for; size UINT64_MAX: the whole file. */
    int (*lost_fn)(void *arg, uint64_t offset, uint64_t size, int error);
    void *arg;
};

/* What the copy has in a range that could not be read. Not zeros, which a log or a slot of ROOT may
 * well have where nothing was ever written: this is damage to everybody. */
enum { RAW_COPY_FILL = 0xe5 };

/* Copy the file `name` of `from` into `to`, which has none of that name and an exclusive lease, as
 * far as it can be read, page by page where it has to be. A real copy, never shared blocks: the
 * ones of `from` are on a device that may be failing. The bytes are durable then, the name is
 * after raw_sync(). Errors: what `to` failed with, -ENOMEM, -EOPNOTSUPP. */
KV_MUST_CHECK int raw_copy(struct kv_storage *from, struct kv_storage *to, const char *name,
                           const struct raw_copy_watch *watch);

/* Make changes of names in the store's directory durable. */
KV_MUST_CHECK int raw_sync(struct kv_storage *storage);

#endif
