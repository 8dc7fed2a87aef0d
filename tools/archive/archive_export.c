/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/archive/archive_export.h"

#include <archive.h>
#include <archive_entry.h>
#include <inttypes.h>
#include <locale.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tools/archive/archive_acl.h"
#include "tools/archive/archive_walk.h"
#include "tools/progress.h"
#include "tools/report.h"
#include "tools/text.h"

enum {
    STEP_SIZE = 1 << 20,
    PIECE_SIZE = 32 << 10,  /* no more than that is lost with one damaged value */
    ZEROS_SIZE = 1 << 30,   /* read as holes; never touched by the library, so it takes no memory */
    RECORD_SIZE = 20 * 512, /* tar's archives are multiples of it */
};

struct exporting {
    struct kvfs *fs;
    const char *store;
    struct archive *archive;
    struct archive_entry_linkresolver *links;
    struct archive_entry *entry; /* used again for each file */
    struct progress bar;
    uint64_t files, bytes, bytes_all;
    struct kv_buf value, names, data;
    const uint8_t *zeros;  /* mapped when first needed */
    bool told;             /* that the file cannot be read */
    int code;              /* what to exit with if nothing worse comes */
    locale_t utf8, before; /* of this thread, see use_utf8() */
};

/* ---- saying what went wrong ------------------------------------------------------------------ */

static int note_unreadable(void *arg, const char *path, int error)
{
    struct exporting *x = arg;
    struct kv_buf shown = {0};
    if (text_append(&shown, kv_slice_str(path), TEXT_AUTO) < 0) {
        shown.size = 0;
    }
    progress_clear(&x->bar);
    complain("cannot read all of %.*s in %s: %s. It is not complete in the archive.",
             (int)shown.size, (const char *)shown.data, x->store, kv_strerror(error));
    kv_buf_finish(&shown);
    /* The filesystem says EIO of damage as system calls do. */
    x->code = error == -EIO ? EXIT_DAMAGED : (int)exit_code_of(error);
    return 0;
}

/* Of one file it is told once, however much of it is lost. */
static void note_contents(struct exporting *x, const char *path, int error)
{
    if (!x->told) {
        note_unreadable(x, path, error);
        x->told = true;
    }
}

/* A failure of the archive or of whoever reads it: the end. */
static int fail_archive(struct exporting *x)
{
    int error = archive_errno(x->archive);
    const char *why = archive_error_string(x->archive);
    progress_clear(&x->bar);
    complain("cannot write the archive: %s", why != NULL ? why : kv_strerror(-error));
    x->code = (int)exit_code_of(error > 0 ? -error : -EIO);
    return -EIO;
}

/* ---- attributes ------------------------------------------------------------------------------ */

static void add_target(struct exporting *x, const struct kvfs_entry *from, int *r)
{
    if (S_ISLNK(from->stat.st_mode)) {
        *r = kvfs_readlink(x->fs, from->ino, &x->value);
        *r = *r < 0 ? *r : kv_buf_append(&x->value, kv_slice("", 1));
        archive_entry_copy_symlink(x->entry, *r == 0 ? (const char *)x->value.data : "");
    }
}

static int add_xattr(struct exporting *x, const struct kvfs_entry *from, const char *name)
{
    int r = kvfs_getxattr(x->fs, from->ino, name, &x->value);
    if (r < 0) {
        return r;
    }
    if (strcmp(name, "system.posix_acl_access") == 0) {
        return archive_acl_to_entry(kv_buf_slice(&x->value), ARCHIVE_ENTRY_ACL_TYPE_ACCESS,
                                    x->entry);
    }
    if (strcmp(name, "system.posix_acl_default") == 0) {
        return archive_acl_to_entry(kv_buf_slice(&x->value), ARCHIVE_ENTRY_ACL_TYPE_DEFAULT,
                                    x->entry);
    }
    archive_entry_xattr_add_entry(x->entry, name, x->value.data, x->value.size);
    return 0;
}

static void add_xattrs(struct exporting *x, const struct kvfs_entry *from, int *r)
{
    int found = kvfs_listxattr(x->fs, from->ino, &x->names);
    const char *end = (const char *)x->names.data + (found == 0 ? x->names.size : 0);
    *r = *r < 0 ? *r : found;
    for (const char *name = (const char *)x->names.data; name < end; name += strlen(name) + 1) {
        int added = add_xattr(x, from, name);
        *r = *r < 0 ? *r : added;
    }
}

static void add_flags(struct exporting *x, const struct kvfs_entry *from)
{
    unsigned flags = 0;
    bool can_have = S_ISREG(from->stat.st_mode) || S_ISDIR(from->stat.st_mode);
    if (can_have && kvfs_getflags(x->fs, from->ino, &flags) == 0 && flags != 0) {
        archive_entry_set_fflags(x->entry, flags, 0);
    }
}

/* Fill the entry. Neither the times of change and birth, which nobody can set, nor the names of
 * owners are in it, so that an imported tree is exported as the same bytes again. */
static void describe(struct exporting *x, const char *path, const struct kvfs_entry *from)
{
    const struct stat *st = &from->stat;
    int r = 0;
    archive_entry_clear(x->entry);
    archive_entry_copy_pathname(x->entry, path);
    archive_entry_set_mode(x->entry, st->st_mode);
    archive_entry_set_uid(x->entry, st->st_uid);
    archive_entry_set_gid(x->entry, st->st_gid);
    archive_entry_set_nlink(x->entry, (unsigned)st->st_nlink);
    archive_entry_set_ino64(x->entry, (int64_t)from->ino);
    archive_entry_set_mtime(x->entry, st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
    archive_entry_set_atime(x->entry, st->st_atim.tv_sec, st->st_atim.tv_nsec);
    archive_entry_set_size(x->entry, S_ISREG(st->st_mode) ? st->st_size : 0);
    if (S_ISBLK(st->st_mode) || S_ISCHR(st->st_mode)) {
        archive_entry_set_rdev(x->entry, st->st_rdev);
    }
    add_target(x, from, &r);
    add_xattrs(x, from, &r);
    add_flags(x, from);
    if (r < 0) {
        note_unreadable(x, path, r);
    }
}

/* ---- contents -------------------------------------------------------------------------------- */

/* Where the data that begins at or behind `offset` begins and ends; both the file's size at its
 * end. What is known to be lost is passed over as holes are, since there may be any amount of it:
 * that is told here. */
static int next_data(struct exporting *x, const char *path, const struct kvfs_entry *from,
                     uint64_t offset, uint64_t *ret_begin, uint64_t *ret_end)
{
    uint64_t size = (uint64_t)from->stat.st_size;
    enum kvfs_part part = KVFS_PART_HOLE;
    int r = 0;
    *ret_begin = *ret_end = offset;
    while (r == 0 && part != KVFS_PART_DATA && *ret_end < size) {
        *ret_begin = *ret_end;
        r = kvfs_part_at(x->fs, from->ino, *ret_begin, &part, ret_end);
        if (r == 0 && part == KVFS_PART_LOST) {
            note_contents(x, path, -EIO);
        }
    }
    if (part != KVFS_PART_DATA) {
        *ret_begin = *ret_end = size;
    }
    return r;
}

static int describe_holes(struct exporting *x, const char *path, const struct kvfs_entry *from)
{
    uint64_t size = (uint64_t)from->stat.st_size;
    uint64_t begin = 0;
    uint64_t end = 0;
    int r = 0;
    /* What is lost counts as blocks; of a file of that size all can be tried. */
    if (size <= STEP_SIZE && (uint64_t)from->stat.st_blocks * 512 >= size) {
        return 0;
    }
    while (r == 0 && end < size) {
        r = next_data(x, path, from, end, &begin, &end);
        /* An empty part at the end says that a hole is there. */
        archive_entry_sparse_add_entry(x->entry, (int64_t)begin, (int64_t)(end - begin));
    }
    return r;
}

static int put_bytes(struct exporting *x, const void *bytes, size_t size)
{
    la_ssize_t n = archive_write_data(x->archive, bytes, size);
    return n == (la_ssize_t)size ? 0 : fail_archive(x);
}

static int put_zeros(struct exporting *x, uint64_t size)
{
    int r = 0;
    if (x->zeros == NULL) {
        void *map =
            mmap(NULL, ZEROS_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (map == MAP_FAILED) {
            return -ENOMEM;
        }
        x->zeros = map;
    }
    while (r == 0 && size > 0) {
        size_t part = size < ZEROS_SIZE ? (size_t)size : ZEROS_SIZE;
        r = put_bytes(x, x->zeros, part);
        size -= part;
    }
    return r;
}

/* Up to `size` bytes; if not all can be read those of one extent at most. Returns how many it
 * asked for. */
static size_t read_step(struct exporting *x, const struct kvfs_entry *from, uint64_t offset,
                        size_t size, int *ret_error)
{
    size_t piece = PIECE_SIZE - (size_t)(offset % PIECE_SIZE);
    *ret_error = kvfs_read(x->fs, from->ino, offset, size, &x->data);
    if (*ret_error < 0 && size > piece) {
        size = piece;
        *ret_error = kvfs_read(x->fs, from->ino, offset, size, &x->data);
    }
    if (*ret_error == 0 && x->data.size < size) {
        *ret_error = -EIO;
    }
    return size;
}

/* [offset, end) of the file; what cannot be read as zeros, for the header has told the size. */
static int put_data(struct exporting *x, const char *path, const struct kvfs_entry *from,
                    uint64_t offset, uint64_t end)
{
    int r = 0;
    while (r == 0 && offset < end) {
        size_t want = end - offset < STEP_SIZE ? (size_t)(end - offset) : STEP_SIZE;
        int read;
        want = read_step(x, from, offset, want, &read);
        if (read < 0) {
            note_contents(x, path, read);
            r = put_zeros(x, want);
        } else {
            r = put_bytes(x, x->data.data, want);
        }
        offset += want;
        x->bytes += want;
        progress_show(&x->bar, x->files, x->bytes, x->bytes_all);
    }
    return r;
}

static int put_contents(struct exporting *x, const char *path, const struct kvfs_entry *from)
{
    uint64_t size = (uint64_t)from->stat.st_size;
    uint64_t begin = 0;
    uint64_t end = 0;
    bool has_holes = archive_entry_sparse_count(x->entry) > 0;
    int r = has_holes ? 0 : put_data(x, path, from, 0, size);
    while (has_holes && r == 0 && end < size) {
        uint64_t at = end;
        r = next_data(x, path, from, at, &begin, &end);
        r = r < 0 ? r : put_zeros(x, begin - at);
        r = r < 0 ? r : put_data(x, path, from, begin, end);
    }
    return r;
}

/* ---- the tree -------------------------------------------------------------------------------- */

static int put_file(void *arg, const char *path, const struct kvfs_entry *from)
{
    struct exporting *x = arg;
    struct archive_entry *spare = NULL;
    if (S_ISSOCK(from->stat.st_mode)) {
        return 0; /* an archive has no place for it, and without its server it is nothing */
    }
    describe(x, path, from);
    /* Turns the second name of a file into a link to the first. Nothing is put off with pax. */
    archive_entry_linkify(x->links, &x->entry, &spare);
    bool has_contents = S_ISREG(from->stat.st_mode) && archive_entry_hardlink(x->entry) == NULL;
    x->told = false;
    int r = has_contents ? describe_holes(x, path, from) : 0;
    if (r < 0) {
        archive_entry_sparse_clear(x->entry);
        note_contents(x, path, r);
    }
    if (archive_write_header(x->archive, x->entry) < ARCHIVE_WARN) {
        return fail_archive(x);
    }
    x->files++;
    progress_show(&x->bar, x->files, x->bytes, x->bytes_all);
    r = has_contents ? put_contents(x, path, from) : 0;
    return r;
}

static int count_file(void *arg, const char *path, const struct kvfs_entry *from)
{
    struct exporting *x = arg;
    uint64_t allocated = (uint64_t)from->stat.st_blocks * 512;
    uint64_t size = (uint64_t)from->stat.st_size;
    if (S_ISREG(from->stat.st_mode)) {
        x->bytes_all += (size < allocated ? size : allocated) / from->stat.st_nlink;
    }
    return 0;
}

static int pass_over(void *arg, const char *path, int error)
{
    return 0;
}

/* The format has names in UTF-8, and the library takes them to be in the character set of the
 * locale. Names that are no UTF-8 it writes as they are, with a record that says so. */
static void use_utf8(struct exporting *x)
{
    x->utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    if (x->utf8 != (locale_t)0) {
        x->before = uselocale(x->utf8);
    }
}

static int begin(struct exporting *x, int fd)
{
    use_utf8(x);
    x->archive = archive_write_new();
    x->entry = archive_entry_new();
    x->links = archive_entry_linkresolver_new();
    if (x->archive == NULL || x->entry == NULL || x->links == NULL) {
        return -ENOMEM;
    }
    archive_entry_linkresolver_set_strategy(x->links, ARCHIVE_FORMAT_TAR_PAX_INTERCHANGE);
    bool ready = archive_write_set_format_pax(x->archive) == ARCHIVE_OK &&
                 archive_write_set_options(x->archive, "xattrheader=SCHILY") == ARCHIVE_OK &&
                 archive_write_set_bytes_per_block(x->archive, 100 * RECORD_SIZE) == ARCHIVE_OK &&
                 archive_write_set_bytes_in_last_block(x->archive, RECORD_SIZE) == ARCHIVE_OK &&
                 archive_write_open_fd(x->archive, fd) == ARCHIVE_OK;
    return ready ? 0 : fail_archive(x);
}

static void finish(struct exporting *x)
{
    if (x->utf8 != (locale_t)0) {
        uselocale(x->before);
        freelocale(x->utf8);
    }
    archive_entry_linkresolver_free(x->links);
    archive_entry_free(x->entry);
    archive_write_free(x->archive);
    kv_buf_finish(&x->value);
    kv_buf_finish(&x->names);
    kv_buf_finish(&x->data);
    if (x->zeros != NULL) {
        munmap((void *)(uintptr_t)x->zeros, ZEROS_SIZE);
    }
}

int archive_export(struct kvfs *fs, const char *store, int fd)
{
    struct exporting x = {.fs = fs, .store = store, .code = EXIT_DONE};
    progress_begin(&x.bar, "files");
    int r = begin(&x, fd);
    if (r == 0 && x.bar.shown) {
        /* Only the bar needs to know how much there is. */
        kv_ignore(archive_walk(fs, count_file, pass_over, &x));
    }
    r = r < 0 ? r : archive_walk(fs, put_file, note_unreadable, &x);
    if (r == 0 && archive_write_close(x.archive) != ARCHIVE_OK) {
        r = fail_archive(&x);
    } else if (r < 0) {
        archive_write_fail(x.archive); /* no mark at the end: nobody may take it for complete */
    }
    progress_clear(&x.bar);
    if (r < 0 && x.code == EXIT_DONE) {
        complain("cannot export %s: %s", store, kv_strerror(r));
        x.code = (int)exit_code_of(r);
    }
    finish(&x);
    return x.code;
}
