/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/archive/archive_attrs.h"

#include <archive_entry.h>
#include <linux/fs.h>
#include <stdlib.h>

#include "tools/archive/archive_acl.h"
#include "tools/text.h"

static const char acl_access[] = "system.posix_acl_access";
static const char acl_default[] = "system.posix_acl_default";

/* As kvfs_setattr() takes them. */
struct new_stat {
    struct stat stat;
    unsigned mask;
};

struct archive_attrs_later {
    uint64_t ino;
    struct new_stat stat;        /* of a directory; else its mask is 0 */
    struct archive_entry *entry; /* of a directory with extended attributes or ACLs, owned */
    unsigned flags;              /* as chattr(1) has them */
};

void archive_attrs_finish(struct archive_attrs *attrs)
{
    for (size_t i = 0; i < attrs->count; i++) {
        archive_entry_free(attrs->later[i].entry);
    }
    free(attrs->later);
    kv_buf_finish(&attrs->value);
}

/* ---- owner, mode, times ---------------------------------------------------------------------- */

static void take_stat(struct archive_entry *entry, struct new_stat *ret_stat)
{
    unsigned mask = KVFS_SET_UID | KVFS_SET_GID;
    mask |= archive_entry_filetype(entry) != AE_IFLNK ? KVFS_SET_MODE : 0;
    mask |= archive_entry_atime_is_set(entry) ? KVFS_SET_ATIME : 0;
    mask |= archive_entry_mtime_is_set(entry) ? KVFS_SET_MTIME : 0;
    *ret_stat = (struct new_stat){
        .stat = {.st_mode = archive_entry_perm(entry),
                 .st_uid = (uid_t)archive_entry_uid(entry),
                 .st_gid = (gid_t)archive_entry_gid(entry),
                 .st_atim = {archive_entry_atime(entry), archive_entry_atime_nsec(entry)},
                 .st_mtim = {archive_entry_mtime(entry), archive_entry_mtime_nsec(entry)}},
        .mask = mask,
    };
}

static int put_stat(struct kvfs *fs, uint64_t ino, const struct new_stat *stat)
{
    struct kvfs_entry done;
    return stat->mask != 0 ? kvfs_setattr(fs, ino, &stat->stat, stat->mask, &done) : 0;
}

/* ---- extended attributes --------------------------------------------------------------------- */

/* Archives carry names with %3D for `=` and the like, and the library leaves that to us. */
static void decode_name(const char *from, char *to, size_t size)
{
    size_t at = 0;
    while (*from != '\0' && at + 1 < size) {
        int high = *from == '%' ? text_hex_digit(from[1]) : -1;
        int low = high >= 0 ? text_hex_digit(from[2]) : -1;
        to[at++] = low >= 0 ? (char)(high * 16 + low) : *from;
        from += low >= 0 ? 3 : 1;
    }
    to[at] = '\0';
}

struct seen_acls {
    bool access_acl, default_acl; /* were there in the form of the kernel, too */
};

static int put_xattrs(struct archive_attrs *attrs, struct archive_entry *entry, uint64_t ino,
                      struct seen_acls *seen)
{
    char name[KVFS_XATTR_NAME_SIZE_MAX + 2]; /* one too long stays too long */
    const char *raw;
    const void *value;
    size_t size;
    int r = 0;
    archive_entry_xattr_reset(entry);
    while (r == 0 && archive_entry_xattr_next(entry, &raw, &value, &size) == 0) {
        decode_name(raw, name, sizeof name);
        seen->access_acl = seen->access_acl || strcmp(name, acl_access) == 0;
        seen->default_acl = seen->default_acl || strcmp(name, acl_default) == 0;
        r = kvfs_setxattr(attrs->fs, ino, name, kv_slice(value, size), 0);
    }
    return r;
}

static int put_acl(struct archive_attrs *attrs, struct archive_entry *entry, uint64_t ino, int type)
{
    int r = archive_acl_from_entry(entry, type, &attrs->value);
    if (r < 0 || attrs->value.size == 0) {
        return r;
    }
    return kvfs_setxattr(attrs->fs, ino,
                         type == ARCHIVE_ENTRY_ACL_TYPE_ACCESS ? acl_access : acl_default,
                         kv_buf_slice(&attrs->value), 0);
}

static int drop_inherited(struct kvfs *fs, struct archive_entry *entry, uint64_t ino)
{
    int r = 0;
    if (archive_entry_filetype(entry) != AE_IFLNK) {
        r = kvfs_removexattr(fs, ino, acl_access);
    }
    if (r == 0 && archive_entry_filetype(entry) == AE_IFDIR) {
        r = kvfs_removexattr(fs, ino, acl_default);
    }
    return r == -ENODATA ? 0 : r;
}

static int put_attributes(struct archive_attrs *attrs, struct archive_entry *entry, uint64_t ino,
                          const char **ret_what)
{
    struct seen_acls seen = {0};
    *ret_what = "extended attributes";
    int r = put_xattrs(attrs, entry, ino, &seen);
    if (r < 0) {
        return r;
    }
    *ret_what = "ACL";
    r = seen.access_acl ? 0 : put_acl(attrs, entry, ino, ARCHIVE_ENTRY_ACL_TYPE_ACCESS);
    if (r == 0 && !seen.default_acl) {
        r = put_acl(attrs, entry, ino, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT);
    }
    return r;
}

static bool has_attributes(struct archive_entry *entry)
{
    return archive_entry_xattr_count(entry) > 0 || archive_entry_acl_types(entry) != 0;
}

/* ---- later ----------------------------------------------------------------------------------- */

static unsigned flags_of(struct archive_entry *entry)
{
    const unsigned known = FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL | FS_NOATIME_FL;
    unsigned long set = 0;
    unsigned long clear = 0;
    archive_entry_fflags(entry, &set, &clear);
    return (unsigned)set & known;
}

static int put_off(struct archive_attrs *attrs, const struct archive_attrs_later *later)
{
    if (attrs->count == attrs->capacity) {
        size_t capacity = attrs->capacity > 0 ? 2 * attrs->capacity : 64;
        struct archive_attrs_later *grown = realloc(attrs->later, capacity * sizeof *grown);
        if (grown == NULL) {
            return -ENOMEM;
        }
        attrs->later = grown;
        attrs->capacity = capacity;
    }
    attrs->later[attrs->count++] = *later;
    return 0;
}

static int put_dir(struct archive_attrs *attrs, struct archive_entry *entry,
                   struct archive_attrs_later *later)
{
    if (has_attributes(entry)) {
        later->entry = archive_entry_clone(entry);
        if (later->entry == NULL) {
            return -ENOMEM;
        }
    }
    int r = put_off(attrs, later);
    if (r < 0) {
        archive_entry_free(later->entry);
    }
    return r;
}

int archive_attrs_put(struct archive_attrs *attrs, struct archive_entry *entry, uint64_t ino,
                      bool inherited, const char **ret_what)
{
    struct archive_attrs_later later = {.ino = ino, .flags = flags_of(entry)};
    struct new_stat stat;
    *ret_what = "owner, mode and times";
    int r = inherited ? drop_inherited(attrs->fs, entry, ino) : 0;
    take_stat(entry, &stat);
    if (r == 0 && archive_entry_filetype(entry) == AE_IFDIR) {
        later.stat = stat;
        return put_dir(attrs, entry, &later);
    }
    /* The mode comes before the ACL, whose mask is part of it. */
    r = r < 0 ? r : put_stat(attrs->fs, ino, &stat);
    if (r == 0 && has_attributes(entry)) {
        r = put_attributes(attrs, entry, ino, ret_what);
    }
    return r == 0 && later.flags != 0 ? put_off(attrs, &later) : r;
}

static int put_late(struct archive_attrs *attrs, const struct archive_attrs_later *later)
{
    const char *what;
    int r = put_stat(attrs->fs, later->ino, &later->stat);
    if (r == 0 && later->entry != NULL) {
        r = put_attributes(attrs, later->entry, later->ino, &what);
    }
    if (r == 0 && later->flags != 0) {
        r = kvfs_setflags(attrs->fs, later->ino, later->flags);
    }
    return r;
}

int archive_attrs_put_rest(struct archive_attrs *attrs)
{
    int first = 0;
    for (size_t i = 0; i < attrs->count; i++) {
        int r = put_late(attrs, &attrs->later[i]);
        first = first < 0 ? first : r;
    }
    return first;
}
