/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/archive/archive_import.h"

#include <archive.h>
#include <archive_entry.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "tools/archive/archive_attrs.h"
#include "tools/archive/archive_place.h"
#include "tools/progress.h"
#include "tools/report.h"
#include "tools/text.h"

enum {
    READ_SIZE = 1 << 20,
    /* What tar writes behind the last entry are two blocks of zeros; one is enough to see that the
     * archive was not cut short. */
    END_MARK_SIZE = 512,
};

struct importing {
    struct kvfs *fs;
    const char *store;
    struct archive *archive;
    struct archive_place_cache places;
    struct archive_attrs attrs;
    struct kvfs_who who; /* owns directories that the archive does not name */
    struct progress bar;
    uint64_t files, refused, size; /* size: of the archive, 0 if not known */
    struct kv_buf path, target, data;
    uint64_t data_at; /* where `data` belongs in the file */
    const char *why;  /* of the last error, if its number does not say it */
    int code;
};

/* ---- saying what went wrong ------------------------------------------------------------------ */

static void complain_entry(struct importing *m, struct archive_entry *entry, const char *why)
{
    struct kv_buf shown = {0};
    const char *path = archive_entry_pathname(entry);
    if (text_append(&shown, kv_slice_str(path != NULL ? path : "?"), TEXT_AUTO) < 0) {
        shown.size = 0;
    }
    progress_clear(&m->bar);
    complain("cannot import %.*s into %s: %s", (int)shown.size, (const char *)shown.data, m->store,
             why);
    kv_buf_finish(&shown);
}

/* Whether the store, not the entry, is at fault, so that others would fail as well. */
static bool is_fatal(int error)
{
    return error == -ENOMEM || error == -ENOSPC || error == -EDQUOT || error == -EROFS ||
           error == -EIO || error == -KV_EDAMAGED;
}

/* Returns what ends the import, or 0. */
static int refuse(struct importing *m, struct archive_entry *entry, int error)
{
    complain_entry(m, entry, m->why != NULL ? m->why : kv_strerror(error));
    m->refused++;
    m->code = is_fatal(error) ? (int)exit_code_of(error) : EXIT_FAILED;
    return is_fatal(error) ? error : 0;
}

static int fail_archive(struct importing *m)
{
    const char *why = archive_error_string(m->archive);
    progress_clear(&m->bar);
    complain("cannot read the archive behind %" PRIu64 " files: %s. What came before is in %s.",
             m->files, why != NULL ? why : "it is damaged", m->store);
    m->code = EXIT_FAILED;
    return -EPROTO;
}

/* ---- contents -------------------------------------------------------------------------------- */

static int write_out(struct importing *m, uint64_t ino)
{
    int r = 0;
    if (m->data.size > 0) {
        r = kvfs_write(m->fs, ino, m->data_at, kv_buf_slice(&m->data), false, false);
        m->data_at += m->data.size;
        m->data.size = 0;
    }
    return r;
}

/* Gather what comes in pieces, so that writes are large and begin where pages do. */
static int add_data(struct importing *m, uint64_t ino, uint64_t offset, struct kv_slice bytes)
{
    int r = 0;
    if (offset != m->data_at + m->data.size) {
        r = write_out(m, ino);
        m->data_at = offset;
    }
    while (r == 0 && bytes.size > 0) {
        size_t end = KVFS_WRITE_SIZE_MAX - (size_t)(m->data_at % KVFS_WRITE_SIZE_MAX);
        size_t room = end - m->data.size;
        size_t part = bytes.size < room ? bytes.size : room;
        r = kv_buf_append(&m->data, kv_slice(bytes.data, part));
        bytes = kv_slice_behind(bytes, part);
        if (r == 0 && m->data.size == end) {
            r = write_out(m, ino);
        }
    }
    return r;
}

static void show_progress(struct importing *m)
{
    progress_show(&m->bar, m->files, (uint64_t)archive_filter_bytes(m->archive, -1), m->size);
}

static int set_size(struct importing *m, uint64_t ino, uint64_t size)
{
    struct stat st = {.st_size = (off_t)size};
    struct kvfs_entry done;
    return kvfs_setattr(m->fs, ino, &st, KVFS_SET_SIZE, &done);
}

/* -EPROTO: the archive ends or is damaged in the middle, and that was told. */
static int fill(struct importing *m, struct archive_entry *entry, uint64_t ino)
{
    const void *bytes;
    size_t size;
    la_int64_t offset;
    int r = 0;
    int got = ARCHIVE_OK;
    m->data.size = 0;
    m->data_at = 0;
    while (r == 0) {
        got = archive_read_data_block(m->archive, &bytes, &size, &offset);
        if (got < ARCHIVE_WARN || got == ARCHIVE_EOF) {
            break;
        }
        r = add_data(m, ino, (uint64_t)offset, kv_slice(bytes, size));
        show_progress(m);
    }
    if (r == 0 && got != ARCHIVE_EOF) {
        return fail_archive(m);
    }
    r = r < 0 ? r : write_out(m, ino);
    /* What the last data does not reach is a hole. */
    if (r == 0 && m->data_at < (uint64_t)archive_entry_size(entry)) {
        r = set_size(m, ino, (uint64_t)archive_entry_size(entry));
    }
    return r;
}

/* ---- names ----------------------------------------------------------------------------------- */

/* A name that is being made. */
struct making {
    struct archive_entry *entry;
    struct archive_place place;
    uint64_t link_to; /* the inode of a hard link; 0: the entry is no link */
    mode_t type;
    const char *name; /* under which it was made: its own, or `other` until it is complete */
    char other[48];
    uint64_t ino;
    bool is_new; /* false: the directory was there */
};

static int make_under(struct importing *m, struct making *making, const char *name)
{
    struct archive_entry *entry = making->entry;
    struct kvfs_new new = {
        .who = {.uid = (uid_t)archive_entry_uid(entry), .gid = (gid_t)archive_entry_gid(entry)},
        .mode = making->type | archive_entry_perm(entry)};
    uint64_t parent = making->place.parent;
    struct kvfs_entry made;
    int r;
    if (making->link_to != 0) {
        r = kvfs_link(m->fs, making->link_to, parent, name, &made);
    } else if (S_ISDIR(making->type)) {
        r = kvfs_mkdir(m->fs, &new.who, parent, name, archive_entry_perm(entry), &made);
    } else if (S_ISLNK(making->type)) {
        const char *target = archive_entry_symlink(entry);
        r = kvfs_symlink(m->fs, &new.who, parent, name, target != NULL ? target : "", &made);
    } else {
        new.rdev = S_ISREG(making->type) ? 0 : archive_entry_rdev(entry);
        r = kvfs_mknod(m->fs, parent, name, &new, &made);
    }
    if (r == 0) {
        kvfs_forget(m->fs, made.ino, 1);
        making->ino = made.ino;
        making->name = name;
        making->is_new = true;
    }
    return r;
}

static const char *type_clash(mode_t there)
{
    return S_ISDIR(there)   ? "a directory of that name is there. Remove it first"
           : S_ISREG(there) ? "a file of that name is there. Remove it first"
           : S_ISLNK(there) ? "a symbolic link of that name is there. Remove it first"
                            : "something else of that name is there. Remove it first";
}

/* The name is taken: a directory by one is as it should be, and what is of the same type is
 * replaced when the new one is complete. */
static int make_beside(struct importing *m, struct making *making)
{
    struct kvfs_entry there;
    int r = kvfs_lookup(m->fs, making->place.parent, making->place.name, &there);
    if (r < 0) {
        return r;
    }
    kvfs_forget(m->fs, there.ino, 1);
    if ((there.stat.st_mode & S_IFMT) != making->type) {
        m->why = type_clash(there.stat.st_mode);
        return -EEXIST;
    }
    if (S_ISDIR(making->type) || there.ino == making->link_to) {
        making->ino = there.ino;
        making->name = making->place.name;
        return 0;
    }
    snprintf(making->other, sizeof making->other, ".kvfs-import-%d-%" PRIu64, (int)getpid(),
             m->files);
    return make_under(m, making, making->other);
}

static int make(struct importing *m, struct making *making)
{
    if (*making->place.name == '\0') { /* the root */
        making->ino = KVFS_ROOT_INO;
        making->name = making->place.name;
        m->why = S_ISDIR(making->type) ? NULL : "it has the path of the whole tree";
        return S_ISDIR(making->type) ? 0 : -EINVAL;
    }
    int r = make_under(m, making, making->place.name);
    return r == -EEXIST ? make_beside(m, making) : r;
}

static int settle(struct importing *m, struct making *making)
{
    uint64_t parent = making->place.parent;
    if (making->name == making->place.name) {
        return 0;
    }
    return kvfs_rename(m->fs, parent, making->name, parent, making->place.name, 0);
}

static void take_back(struct importing *m, struct making *making)
{
    if (making->is_new) {
        kv_ignore(S_ISDIR(making->type) ? kvfs_rmdir(m->fs, making->place.parent, making->name)
                                        : kvfs_unlink(m->fs, making->place.parent, making->name));
    }
}

/* ---- an entry -------------------------------------------------------------------------------- */

static int find_place(struct importing *m, const char *path, struct kv_buf *clean,
                      struct archive_place *ret_place)
{
    int r = archive_place_clean(path != NULL ? path : "", clean, &m->why);
    if (r == 0) {
        r = archive_place_find(m->fs, &m->who, &m->places, clean, ret_place);
    }
    if (r == -ENOTDIR) {
        m->why = "a part of its path is there and is no directory";
    }
    return r;
}

/* The file that the entry is another name of. */
static int find_linked(struct importing *m, const char *path, struct making *making)
{
    struct archive_place place;
    struct kvfs_entry there;
    int r = find_place(m, path, &m->target, &place);
    if (r == 0) {
        r = *place.name != '\0' ? kvfs_lookup(m->fs, place.parent, place.name, &there) : -ENOENT;
    }
    if (r == -ENOENT) {
        m->why = "it is another name of a file that is not there";
    }
    if (r == 0) {
        kvfs_forget(m->fs, there.ino, 1);
        making->link_to = there.ino;
        making->type = there.stat.st_mode & S_IFMT;
    }
    return r;
}

static int begin_entry(struct importing *m, struct making *making)
{
    const char *linked = archive_entry_hardlink(making->entry);
    making->type = archive_entry_filetype(making->entry);
    if (making->type == 0 && linked == NULL) {
        m->why = "it is of a type that this version does not know";
        return -EINVAL;
    }
    int r = linked != NULL ? find_linked(m, linked, making) : 0;
    if (r == 0) {
        r = find_place(m, archive_entry_pathname(making->entry), &m->path, &making->place);
    }
    return r < 0 ? r : make(m, making);
}

static int finish_entry(struct importing *m, struct making *making)
{
    const char *what = NULL;
    int r = 0;
    if (S_ISREG(making->type) && making->link_to == 0) {
        r = fill(m, making->entry, making->ino);
    }
    if (r == 0 && making->link_to == 0) {
        bool inherited = making->is_new && making->place.gives_acl;
        r = archive_attrs_put(&m->attrs, making->entry, making->ino, inherited, &what);
        m->why = r == -ENOENT       ? "its ACL names a user or group that is not known here"
                 : r == -EOPNOTSUPP ? "it has extended attributes of a kind that cannot be stored"
                                    : NULL;
    }
    return r < 0 ? r : settle(m, making);
}

/* Returns what ends the import, or 0. */
static int take_entry(struct importing *m, struct archive_entry *entry)
{
    struct making making = {.entry = entry};
    m->why = NULL;
    int r = begin_entry(m, &making);
    if (r == 0) {
        r = finish_entry(m, &making);
        if (r < 0) {
            take_back(m, &making);
        }
    }
    m->files += r == 0;
    show_progress(m);
    return r == 0 || r == -EPROTO ? r : refuse(m, entry, r);
}

/* ---- the archive ----------------------------------------------------------------------------- */

/* The library warns of names that the locale cannot show; as bytes they are complete, and only
 * bytes count here. */
static bool is_about_locale(struct archive *archive)
{
    const char *text = archive_error_string(archive);
    return text != NULL && strstr(text, "current locale") != NULL;
}

static int check_end(struct importing *m)
{
    la_int64_t behind =
        archive_filter_bytes(m->archive, 0) - archive_read_header_position(m->archive);
    if (behind >= END_MARK_SIZE) {
        return 0;
    }
    progress_clear(&m->bar);
    complain(
        "the archive ends without the mark that tar puts there: it may be cut short. Its %" PRIu64
        " files are in %s.",
        m->files, m->store);
    m->code = EXIT_FAILED;
    return -EPROTO;
}

static int read_entries(struct importing *m)
{
    struct archive_entry *entry;
    int r = 0;
    while (r == 0) {
        int got = archive_read_next_header(m->archive, &entry);
        if (got == ARCHIVE_EOF) {
            return check_end(m);
        }
        if (got < ARCHIVE_WARN) {
            return fail_archive(m);
        }
        if (got == ARCHIVE_WARN && !is_about_locale(m->archive)) {
            m->why = archive_error_string(m->archive);
            r = refuse(m, entry, -EINVAL);
        } else {
            r = take_entry(m, entry);
        }
    }
    return r;
}

/* Bytes that can be read from a file; 0 of anything else. */
static uint64_t size_of(int fd)
{
    struct stat st;
    off_t at = lseek(fd, 0, SEEK_CUR);
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || at < 0 || at > st.st_size) {
        return 0;
    }
    return (uint64_t)(st.st_size - at);
}

static int begin(struct importing *m, int fd)
{
    m->archive = archive_read_new();
    if (m->archive == NULL) {
        return -ENOMEM;
    }
    /* A filter that needs a program of its own is a warning; it fails when it is met. */
    archive_read_support_filter_all(m->archive);
    archive_read_support_format_tar(m->archive);
    return archive_read_open_fd(m->archive, fd, READ_SIZE) == ARCHIVE_OK ? 0 : fail_archive(m);
}

static void finish(struct importing *m)
{
    archive_read_free(m->archive);
    archive_place_cache_finish(&m->places);
    archive_attrs_finish(&m->attrs);
    kv_buf_finish(&m->path);
    kv_buf_finish(&m->target);
    kv_buf_finish(&m->data);
}

int archive_import(struct kvfs *fs, const char *store, int fd)
{
    struct importing m = {
        .fs = fs, .store = store, .code = EXIT_DONE, .size = size_of(fd), .attrs = {.fs = fs}};
    m.who = (struct kvfs_who){.uid = geteuid(), .gid = getegid()};
    progress_begin(&m.bar, "files");
    int r = begin(&m, fd);
    r = r < 0 ? r : read_entries(&m);
    int rest = archive_attrs_put_rest(&m.attrs);
    progress_clear(&m.bar);
    if (rest < 0) {
        complain("cannot set all attributes of directories in %s: %s", store, kv_strerror(rest));
        m.code = m.code == EXIT_DONE ? (int)exit_code_of(rest) : m.code;
    }
    if (r < 0 && m.code == EXIT_DONE) {
        complain("cannot import into %s: %s", store, kv_strerror(r));
        m.code = (int)exit_code_of(r);
    }
    if (m.refused > 0) {
        complain("%" PRIu64 " entries of the archive were not imported; %" PRIu64 " were.",
                 m.refused, m.files);
    }
    finish(&m);
    return m.code;
}
