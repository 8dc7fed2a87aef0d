/* SPDX-License-Identifier: Apache-2.0 */
/* Archives of a repair, see posix_raw.h. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "kvcore/storage/posix_raw.h"
#include "kvcore/storage/posix_store.h"

enum { COPY_BYTES = 256 * 1024 };

static const char archives_name[] = "lost+found.d";

struct raw_archive {
    struct posix_storage *storage;
    int all;                          /* the directory of all archives */
    int dir;                          /* this one's */
    char name[RAW_ARCHIVE_NAME_SIZE]; /* its number */
    char tmp[RAW_ARCHIVE_NAME_SIZE + sizeof ".tmp"];
    bool finished;
};

/* ---- directories and files beneath the store ---- */

static int open_dir(struct posix_storage *storage, int in, const char *name)
{
    return storage->calls->openat(storage->calls_arg, in, name,
                                  O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
}

/* One that is there already is taken as it is. */
static int make_dir(struct posix_storage *storage, int in, const char *name)
{
    int r = storage->calls->mkdirat(storage->calls_arg, in, name, 0700);
    return r == 0 || r == -EEXIST ? open_dir(storage, in, name) : r;
}

static int open_in(struct posix_storage *storage, int in, const char *name, int flags)
{
    struct stat st;
    int fd = storage->calls->openat(storage->calls_arg, in, name,
                                    flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
    int r = fd < 0 ? fd : storage->calls->fstat(storage->calls_arg, fd, &st);

    r = r == 0 && !S_ISREG(st.st_mode) ? -KV_EDAMAGED : r;
    if (r < 0) {
        posix_close_file(storage, fd);
        return r;
    }
    return fd;
}

static int copy_bytes(struct posix_storage *storage, int from, int to)
{
    uint8_t *piece = malloc(COPY_BYTES);
    uint64_t offset = 0;
    size_t size = 0;
    int r = piece != NULL ? 0 : -ENOMEM;

    while (r == 0) {
        r = posix_read(storage, from, offset, piece, COPY_BYTES, &size);
        if (r < 0 || size == 0) {
            break;
        }
        struct iovec part = {.iov_base = piece, .iov_len = size};
        r = posix_write(storage, to, &part, 1, offset);
        offset += size;
    }
    free(piece);
    return r < 0 ? r : storage->calls->fdatasync(storage->calls_arg, to);
}

static int copy_file(struct posix_storage *storage, int from_dir, int to_dir, const char *name)
{
    int from = open_in(storage, from_dir, name, O_RDONLY);
    int to = from < 0 ? from : open_in(storage, to_dir, name, O_RDWR | O_CREAT | O_EXCL);
    int r = to < 0 ? to : copy_bytes(storage, from, to);

    posix_close_file(storage, from);
    posix_close_file(storage, to);
    if (r < 0 && to >= 0) {
        kv_ignore(storage->calls->unlinkat(storage->calls_arg, to_dir, name));
    }
    return r;
}

/* A second name for the file, or where there are no links a second file. The bytes of a linked one
 * are what they are: whether they were ever synced does not matter to who keeps them. */
static int link_or_copy(struct posix_storage *storage, int from_dir, int to_dir, const char *name)
{
    int r = storage->calls->linkat(storage->calls_arg, from_dir, name, to_dir, name);
    if (r == -EPERM || r == -EOPNOTSUPP || r == -EMLINK || r == -EXDEV) {
        r = copy_file(storage, from_dir, to_dir, name);
    }
    return r == -EEXIST ? 0 : r;
}

/* ---- the archives there are ---- */

static bool parse_number(const char *name, uint64_t *ret_number)
{
    char expected[RAW_ARCHIVE_NAME_SIZE];
    uint64_t number = strtoull(name, NULL, 10);
    snprintf(expected, sizeof expected, "%08" PRIu64, number);
    if (number == 0 || strcmp(name, expected) != 0) {
        return false;
    }
    *ret_number = number;
    return true;
}

static int note_number(void *arg, const char *name)
{
    uint64_t *highest = arg;
    uint64_t number;
    if (parse_number(name, &number) && number > *highest) {
        *highest = number;
    }
    return 0;
}

static int remove_one(void *arg, const char *name)
{
    const struct raw_archive *archive = arg;
    return archive->storage->calls->unlinkat(archive->storage->calls_arg, archive->dir, name);
}

/* What an attempt left that was cut short. */
static int empty(struct raw_archive *archive)
{
    struct posix_storage *storage = archive->storage;
    return storage->calls->list(storage->calls_arg, archive->dir, remove_one, archive);
}

static int open_all(struct raw_archive *archive, bool create)
{
    struct posix_storage *storage = archive->storage;
    archive->all = create ? make_dir(storage, storage->dir, archives_name)
                          : open_dir(storage, storage->dir, archives_name);
    return archive->all < 0 ? archive->all : 0;
}

static int archive_new(struct kv_storage *base, struct raw_archive **ret_archive)
{
    struct posix_storage *storage = posix_storage_if(base);
    struct raw_archive *archive = storage != NULL ? calloc(1, sizeof *archive) : NULL;
    if (archive == NULL) {
        return storage == NULL ? -EOPNOTSUPP : -ENOMEM;
    }
    archive->storage = storage;
    archive->all = -1;
    archive->dir = -1;
    *ret_archive = archive;
    return 0;
}

static int begin(struct raw_archive *archive)
{
    struct posix_storage *storage = archive->storage;
    uint64_t highest = 0;
    int r = posix_check_writable(storage);

    r = r < 0 ? r : open_all(archive, true);
    r = r < 0 ? r : storage->calls->list(storage->calls_arg, archive->all, note_number, &highest);
    if (r < 0) {
        return r;
    }
    snprintf(archive->name, sizeof archive->name, "%08" PRIu64, highest + 1);
    snprintf(archive->tmp, sizeof archive->tmp, "%s.tmp", archive->name);
    archive->dir = make_dir(storage, archive->all, archive->tmp);
    return archive->dir < 0 ? archive->dir : empty(archive);
}

int raw_archive_create(struct kv_storage *base, struct raw_archive **ret_archive)
{
    struct raw_archive *archive = NULL;
    int r = archive_new(base, &archive);

    if (r < 0) {
        return r;
    }
    r = begin(archive);
    if (r < 0) {
        raw_archive_close(archive);
        return r;
    }
    *ret_archive = archive;
    return 0;
}

int raw_archive_keep(struct raw_archive *archive, const char *name, bool copy)
{
    int from = archive->storage->dir;
    return copy ? copy_file(archive->storage, from, archive->dir, name)
                : link_or_copy(archive->storage, from, archive->dir, name);
}

int raw_archive_list(struct raw_archive *archive, raw_archive_fn *fn, void *arg)
{
    struct posix_storage *storage = archive->storage;
    return storage->calls->list(storage->calls_arg, archive->dir, fn, arg);
}

int raw_archive_write(struct raw_archive *archive, const char *name, struct kv_slice bytes)
{
    struct posix_storage *storage = archive->storage;
    struct iovec part = {.iov_base = (void *)(uintptr_t)bytes.data, .iov_len = bytes.size};
    int fd = open_in(storage, archive->dir, name, O_RDWR | O_CREAT | O_EXCL);
    int r;

    if (fd < 0) {
        return fd;
    }
    r = posix_write(storage, fd, &part, 1, 0);
    r = r < 0 ? r : storage->calls->fdatasync(storage->calls_arg, fd);
    posix_close_file(storage, fd);
    return r;
}

int raw_archive_finish(struct raw_archive *archive)
{
    struct posix_storage *storage = archive->storage;
    int r = storage->calls->fsync(storage->calls_arg, archive->dir);

    r = r < 0 ? r : posix_rename_new(storage, archive->all, archive->tmp, archive->name);
    if (r < 0) {
        return r;
    }
    archive->finished = true;
    r = storage->calls->fsync(storage->calls_arg, archive->all);
    return r < 0 ? r : posix_sync_dir(storage);
}

int raw_archive_open(struct kv_storage *base, const char *name, struct raw_archive **ret_archive)
{
    struct raw_archive *archive = NULL;
    uint64_t number;
    int r = parse_number(name, &number) ? archive_new(base, &archive) : -EINVAL;

    if (r < 0) {
        return r;
    }
    archive->finished = true;
    snprintf(archive->name, sizeof archive->name, "%08" PRIu64, number);
    r = open_all(archive, false);
    if (r == 0) {
        archive->dir = open_dir(archive->storage, archive->all, archive->name);
        r = archive->dir < 0 ? archive->dir : 0;
    }
    if (r < 0) {
        raw_archive_close(archive);
        return r;
    }
    *ret_archive = archive;
    return 0;
}

const char *raw_archive_name(const struct raw_archive *archive)
{
    return archive->name;
}

int raw_archive_read(struct raw_archive *archive, const char *name, size_t size_max,
                     struct kv_buf *ret_bytes)
{
    struct posix_storage *storage = archive->storage;
    size_t size = 0;
    int fd = open_in(storage, archive->dir, name, O_RDONLY);
    int r = fd < 0 ? fd : kv_buf_reserve(ret_bytes, size_max + 1);

    r = r < 0 ? r : posix_read(storage, fd, 0, ret_bytes->data, size_max + 1, &size);
    posix_close_file(storage, fd);
    if (r == 0 && size > size_max) {
        r = -EFBIG;
    }
    if (r == 0) {
        ret_bytes->size = size;
    }
    return r;
}

int raw_archive_restore(struct raw_archive *archive, const char *name)
{
    int r = posix_check_writable(archive->storage);
    return r < 0 ? r : link_or_copy(archive->storage, archive->dir, archive->storage->dir, name);
}

void raw_archive_close(struct raw_archive *archive)
{
    if (archive == NULL) {
        return;
    }
    if (!archive->finished && archive->dir >= 0) {
        /* What stays is emptied by the next one. */
        kv_ignore(empty(archive));
        kv_ignore(archive->storage->calls->rmdirat(archive->storage->calls_arg, archive->all,
                                                   archive->tmp));
    }
    posix_close_file(archive->storage, archive->dir);
    posix_close_file(archive->storage, archive->all);
    free(archive);
}
