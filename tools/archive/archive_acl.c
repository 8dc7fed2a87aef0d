/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/archive/archive_acl.h"

#include <archive.h>
#include <archive_entry.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>

#include "kvcore/util/coding.h"

/* The form of the kernel, linux/posix_acl_xattr.h: u32 version, then for each entry u16 tag, u16
 * permissions, u32 user or group, all little-endian, in ascending order of tag and number. */
enum {
    ACL_VERSION = 2,
    ACL_HEADER_SIZE = 4,
    ACL_ENTRY_SIZE = 8,
};
static const uint32_t acl_no_id = UINT32_MAX;

static const struct {
    uint16_t kernel;
    int archive;
} tags[] = {
    {0x01, ARCHIVE_ENTRY_ACL_USER_OBJ},  {0x02, ARCHIVE_ENTRY_ACL_USER},
    {0x04, ARCHIVE_ENTRY_ACL_GROUP_OBJ}, {0x08, ARCHIVE_ENTRY_ACL_GROUP},
    {0x10, ARCHIVE_ENTRY_ACL_MASK},      {0x20, ARCHIVE_ENTRY_ACL_OTHER},
};
enum { TAG_COUNT = sizeof tags / sizeof tags[0] };

static bool has_id(int tag)
{
    return tag == ARCHIVE_ENTRY_ACL_USER || tag == ARCHIVE_ENTRY_ACL_GROUP;
}

static int add_entry(const uint8_t *from, int type, struct archive_entry *entry)
{
    uint16_t kernel_tag = coding_get_u16(from);
    uint16_t permissions = coding_get_u16(from + 2);
    uint32_t id = coding_get_u32(from + 4);
    for (size_t i = 0; i < TAG_COUNT; i++) {
        if (tags[i].kernel == kernel_tag && permissions <= 7) {
            int r = archive_entry_acl_add_entry(entry, type, permissions, tags[i].archive,
                                                has_id(tags[i].archive) ? (int)id : -1, NULL);
            return r == ARCHIVE_OK ? 0 : -ENOMEM;
        }
    }
    return -EINVAL;
}

int archive_acl_to_entry(struct kv_slice bytes, int type, struct archive_entry *entry)
{
    int r = 0;
    if (bytes.size < ACL_HEADER_SIZE || coding_get_u32(bytes.data) != ACL_VERSION ||
        (bytes.size - ACL_HEADER_SIZE) % ACL_ENTRY_SIZE != 0) {
        return -EINVAL;
    }
    for (size_t at = ACL_HEADER_SIZE; r == 0 && at < bytes.size; at += ACL_ENTRY_SIZE) {
        r = add_entry(bytes.data + at, type, entry);
    }
    return r;
}

/* ---- and back -------------------------------------------------------------------------------- */

struct acl_row {
    uint16_t tag, permissions;
    uint32_t id;
};

static int look_up(int tag, const char *name, uint32_t *ret_id)
{
    const struct passwd *user = NULL;
    const struct group *group = NULL;
    if (name != NULL && tag == ARCHIVE_ENTRY_ACL_USER) {
        user = getpwnam(name);
    } else if (name != NULL) {
        group = getgrnam(name);
    }
    if (user == NULL && group == NULL) {
        return -ENOENT;
    }
    *ret_id = user != NULL ? user->pw_uid : group->gr_gid;
    return 0;
}

/* The next entry of the list that archive_entry_acl_reset() began. Returns 1 at its end. */
static int next_row(struct archive_entry *entry, int type, struct acl_row *ret_row)
{
    int got_type;
    int permissions;
    int tag;
    int id;
    const char *name;
    int r = archive_entry_acl_next(entry, type, &got_type, &permissions, &tag, &id, &name);
    if (r != ARCHIVE_OK) {
        return r == ARCHIVE_EOF ? 1 : -EINVAL;
    }
    for (size_t i = 0; i < TAG_COUNT; i++) {
        if (tags[i].archive == tag) {
            *ret_row = (struct acl_row){.tag = tags[i].kernel,
                                        .permissions = (uint16_t)(permissions & 7),
                                        .id = has_id(tag) ? (uint32_t)id : acl_no_id};
            return has_id(tag) && id == -1 ? look_up(tag, name, &ret_row->id) : 0;
        }
    }
    return -EINVAL;
}

static int compare_rows(const void *a, const void *b)
{
    const struct acl_row *left = a;
    const struct acl_row *right = b;
    if (left->tag != right->tag) {
        return left->tag < right->tag ? -1 : 1;
    }
    return (left->id > right->id) - (left->id < right->id);
}

static int encode(const struct acl_row *rows, size_t count, struct kv_buf *bytes)
{
    int r = coding_append_u32(bytes, ACL_VERSION);
    for (size_t i = 0; r == 0 && i < count; i++) {
        r = coding_append_u16(bytes, rows[i].tag);
        r = r < 0 ? r : coding_append_u16(bytes, rows[i].permissions);
        r = r < 0 ? r : coding_append_u32(bytes, rows[i].id);
    }
    return r;
}

int archive_acl_from_entry(struct archive_entry *entry, int type, struct kv_buf *bytes)
{
    /* With the three that come from the mode. */
    size_t room = (size_t)archive_entry_acl_count(entry, type) + 3;
    size_t count = 0;
    int r = 0;
    bytes->size = 0;
    if (archive_entry_acl_reset(entry, type) == 0) {
        return 0;
    }
    struct acl_row *rows = calloc(room, sizeof *rows);
    if (rows == NULL) {
        return -ENOMEM;
    }
    while (r == 0 && count < room) {
        r = next_row(entry, type, &rows[count]);
        count += r == 0;
    }
    if (r >= 0) {
        qsort(rows, count, sizeof *rows, compare_rows);
        r = encode(rows, count, bytes);
    }
    free(rows);
    return r;
}
