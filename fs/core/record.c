/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/core/record.h"

#include <assert.h>
#include <dirent.h>

#include "kvcore/util/coding.h"

enum {
    TIME_SIZE = 8 + 4,
    NANOSECONDS = 1000000000,
};

/* ---- soundness --------------------------------------------------------------------------------
 */

static bool mode_is_valid(uint32_t mode)
{
    if ((mode & ~(uint32_t)(S_IFMT | 07777)) != 0) {
        return false;
    }
    switch (mode & S_IFMT) {
    case S_IFREG:
    case S_IFDIR:
    case S_IFLNK:
    case S_IFIFO:
    case S_IFSOCK:
    case S_IFCHR:
    case S_IFBLK:
        return true;
    default:
        return false;
    }
}

bool inode_is_sound(const struct inode *inode)
{
    if (!mode_is_valid(inode->mode) || inode->size > KVFS_FILE_SIZE_MAX) {
        return false;
    }
    if (S_ISREG(inode->mode)) {
        return inode->target.size == 0 && inode->allocated <= inode->size &&
               inode->lost_below <= inode->size && inode->lost_bytes <= inode->allocated;
    }
    if (inode->allocated != inode->size || inode->lost_below != 0 || inode->lost_bytes != 0) {
        return false;
    }
    if (S_ISLNK(inode->mode)) {
        return inode->target.size >= 1 && inode->target.size <= KVFS_SYMLINK_SIZE_MAX &&
               inode->size == inode->target.size &&
               memchr(inode->target.data, 0, inode->target.size) == NULL;
    }
    return inode->target.size == 0;
}

/* ---- encoding ---------------------------------------------------------------------------------
 */

static uint8_t *put_varint(uint8_t *to, uint64_t v)
{
    return to + coding_put_varint(to, v);
}

static uint8_t *put_time(uint8_t *to, struct timespec t)
{
    assert(t.tv_nsec >= 0 && t.tv_nsec < NANOSECONDS);
    coding_put_u64(to, (uint64_t)t.tv_sec);
    coding_put_u32(to + 8, (uint32_t)t.tv_nsec);
    return to + TIME_SIZE;
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static uint8_t *put_time_field(uint8_t *to, enum inode_tag tag, struct timespec t,
                               struct timespec standard)
{
    if (same_time(t, standard)) {
        return to;
    }
    to = put_varint(to, tag);
    to = put_varint(to, TIME_SIZE);
    return put_time(to, t);
}

static uint8_t *put_varint_field(uint8_t *to, enum inode_tag tag, uint64_t v, uint64_t standard)
{
    uint8_t bytes[CODING_VARINT_MAX];
    if (v == standard) {
        return to;
    }
    size_t size = coding_put_varint(bytes, v);
    to = put_varint(to, tag);
    to = put_varint(to, size);
    memcpy(to, bytes, size);
    return to + size;
}

static uint8_t *put_target(uint8_t *to, const struct inode *inode)
{
    if (!S_ISLNK(inode->mode)) {
        return to;
    }
    to = put_varint(to, INODE_TAG_TARGET);
    to = put_varint(to, inode->target.size);
    memcpy(to, inode->target.data, inode->target.size);
    return to + inode->target.size;
}

size_t inode_encode(uint8_t to[INODE_SIZE_MAX], const struct inode *inode)
{
    uint8_t *at = to;
    assert(inode_is_sound(inode));
    *at++ = INODE_VERSION;
    at = put_varint(at, inode->mode);
    at = put_varint(at, inode->nlink);
    at = put_varint(at, inode->uid);
    at = put_varint(at, inode->gid);
    at = put_varint(at, inode->size);
    at = put_time(at, inode->mtime);
    at = put_time_field(at, INODE_TAG_CTIME, inode->ctime, inode->mtime);
    at = put_time_field(at, INODE_TAG_ATIME, inode->atime, inode->mtime);
    at = put_time_field(at, INODE_TAG_BTIME, inode->btime, inode->mtime);
    at = put_varint_field(at, INODE_TAG_RDEV, inode->rdev, 0);
    at = put_target(at, inode);
    at = put_varint_field(at, INODE_TAG_FLAGS, inode->flags, 0);
    at = put_varint_field(at, INODE_TAG_PROJECT, inode->project, 0);
    at = put_varint_field(at, INODE_TAG_ALLOCATED, inode->allocated, inode->size);
    at = put_varint_field(at, INODE_TAG_HINTS, inode->hints, 0);
    at = put_varint_field(at, INODE_TAG_LOST_BELOW, inode->lost_below, 0);
    at = put_varint_field(at, INODE_TAG_LOST_BYTES, inode->lost_bytes, 0);
    assert(at - to <= INODE_SIZE_MAX);
    return (size_t)(at - to);
}

size_t dirent_encode_inode(uint8_t to[DIRENT_SIZE_MAX], uint64_t ino, const struct inode *inode)
{
    to[0] = DIRENT_INODE;
    coding_put_u64(to + 1, ino);
    return 9 + inode_encode(to + 9, inode);
}

size_t dirent_encode_reference(uint8_t to[DIRENT_SIZE_MAX], uint64_t ino, uint8_t type)
{
    to[0] = DIRENT_REFERENCE;
    coding_put_u64(to + 1, ino);
    to[9] = type;
    return 10;
}

size_t summary_encode(uint8_t to[SUMMARY_SIZE], const struct inode *inode)
{
    coding_put_u16(to, (uint16_t)inode->mode);
    coding_put_u32(to + 2, inode->uid);
    coding_put_u32(to + 6, inode->gid);
    return SUMMARY_SIZE;
}

size_t backptr_encode(uint8_t to[BACKPTR_SIZE_MAX], uint64_t parent, struct kv_slice name,
                      const struct inode *inode)
{
    uint8_t *at = to;
    assert(rowkey_name_is_valid(name));
    coding_put_u64(at, parent);
    at = put_varint(at + 8, name.size);
    memcpy(at, name.data, name.size);
    at += name.size;
    at += summary_encode(at, inode);
    return (size_t)(at - to);
}

/* ---- decoding ---------------------------------------------------------------------------------
 */

static struct timespec read_time(struct coding_cursor *c)
{
    struct timespec t;
    t.tv_sec = (time_t)coding_read_u64(c);
    t.tv_nsec = (long)coding_read_u32(c);
    if (t.tv_nsec >= NANOSECONDS) {
        c->bad = true;
    }
    return t;
}

static struct timespec time_field(struct coding_cursor *c, struct kv_slice value)
{
    struct coding_cursor inner = coding_cursor(value);
    struct timespec t = read_time(&inner);
    if (!coding_done(&inner)) {
        c->bad = true;
    }
    return t;
}

static void read_fixed(struct coding_cursor *c, struct inode *inode)
{
    if (coding_read_u8(c) != INODE_VERSION) {
        c->bad = true;
    }
    inode->mode = (uint32_t)coding_read_varint_max(c, UINT32_MAX);
    inode->nlink = (uint32_t)coding_read_varint_max(c, UINT32_MAX);
    inode->uid = (uint32_t)coding_read_varint_max(c, UINT32_MAX);
    inode->gid = (uint32_t)coding_read_varint_max(c, UINT32_MAX);
    inode->size = coding_read_varint_max(c, KVFS_FILE_SIZE_MAX);
    inode->mtime = read_time(c);
    inode->ctime = inode->atime = inode->btime = inode->mtime;
    inode->allocated = inode->size;
}

static int read_field(struct coding_cursor *c, uint64_t tag, struct kv_slice value,
                      struct inode *inode)
{
    switch (tag) {
    case INODE_TAG_CTIME:
        inode->ctime = time_field(c, value);
        return 0;
    case INODE_TAG_ATIME:
        inode->atime = time_field(c, value);
        return 0;
    case INODE_TAG_BTIME:
        inode->btime = time_field(c, value);
        return 0;
    case INODE_TAG_RDEV:
        inode->rdev = coding_field_varint(c, value);
        return 0;
    case INODE_TAG_TARGET:
        inode->target = value;
        return 0;
    case INODE_TAG_FLAGS:
        inode->flags = coding_field_varint(c, value);
        return 0;
    case INODE_TAG_PROJECT:
        inode->project = coding_field_varint(c, value);
        return 0;
    case INODE_TAG_ALLOCATED:
        inode->allocated = coding_field_varint(c, value);
        return 0;
    case INODE_TAG_HINTS:
        inode->hints = coding_field_varint(c, value);
        return 0;
    case INODE_TAG_LOST_BELOW:
        inode->lost_below = coding_field_varint(c, value);
        return 0;
    case INODE_TAG_LOST_BYTES:
        inode->lost_bytes = coding_field_varint(c, value);
        return 0;
    default:
        return tag % 2 == 0 ? 0 : -KV_EFORMAT;
    }
}

int inode_decode(struct kv_slice value, struct inode *ret_inode)
{
    struct coding_cursor c = coding_cursor(value);
    struct inode inode = {0};
    struct kv_slice field;
    uint64_t tag;
    read_fixed(&c, &inode);
    while (coding_read_field(&c, &tag, &field)) {
        int r = read_field(&c, tag, field, &inode);
        if (r < 0) {
            return r;
        }
    }
    if (!coding_done(&c) || !inode_is_sound(&inode)) {
        return -KV_EDAMAGED;
    }
    *ret_inode = inode;
    return 0;
}

static int decode_reference(struct coding_cursor *c, struct dir_entry *entry)
{
    entry->type = coding_read_u8(c);
    if (!coding_done(c) || !mode_is_valid(DTTOIF(entry->type)) || DTTOIF(entry->type) == S_IFDIR) {
        return -KV_EDAMAGED;
    }
    return 0;
}

int dirent_decode(struct kv_slice value, struct dir_entry *ret_entry)
{
    struct coding_cursor c = coding_cursor(value);
    struct dir_entry entry = {0};
    uint8_t kind = coding_read_u8(&c);
    int r;
    entry.ino = coding_read_u64(&c);
    if (!coding_ok(&c) || !rowkey_ino_is_valid(entry.ino)) {
        return -KV_EDAMAGED;
    }
    switch (kind) {
    case DIRENT_INODE:
        entry.has_inode = true;
        r = inode_decode(kv_slice(c.at, coding_left(&c)), &entry.inode);
        entry.type = r == 0 ? (uint8_t)IFTODT(entry.inode.mode) : DT_UNKNOWN;
        break;
    case DIRENT_REFERENCE:
        r = decode_reference(&c, &entry);
        break;
    default:
        r = -KV_EDAMAGED;
        break;
    }
    if (r == 0) {
        *ret_entry = entry;
    }
    return r;
}

static struct summary read_summary(struct coding_cursor *c)
{
    struct summary s;
    s.mode = coding_read_u16(c);
    s.uid = coding_read_u32(c);
    s.gid = coding_read_u32(c);
    if (!mode_is_valid(s.mode)) {
        c->bad = true;
    }
    return s;
}

int summary_decode(struct kv_slice value, struct summary *ret_summary)
{
    struct coding_cursor c = coding_cursor(value);
    struct summary s = read_summary(&c);
    if (!coding_done(&c)) {
        return -KV_EDAMAGED;
    }
    *ret_summary = s;
    return 0;
}

int backptr_decode(struct kv_slice value, uint64_t *ret_parent, struct kv_slice *ret_name,
                   struct summary *ret_summary)
{
    struct coding_cursor c = coding_cursor(value);
    uint64_t parent = coding_read_u64(&c);
    struct kv_slice name = coding_read_string(&c);
    struct summary s = read_summary(&c);
    if (!coding_done(&c) || !rowkey_ino_is_valid(parent) || !rowkey_name_is_valid(name)) {
        return -KV_EDAMAGED;
    }
    *ret_parent = parent;
    *ret_name = name;
    *ret_summary = s;
    return 0;
}
