/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/core/acl.h"

#include <assert.h>

#include "fs/core/fs_internal.h"
#include "fs/core/xattr.h"
#include "kvcore/util/coding.h"

enum {
    HEADER_SIZE = 4,
    ENTRY_SIZE = 8,
    VERSION = 2,
    ID_NONE = -1,
};

/* The order of the numbers is the order in which entries stand. */
enum tag {
    TAG_OWNER = 0x01,
    TAG_USER = 0x02,
    TAG_GROUP = 0x04,
    TAG_NAMED_GROUP = 0x08,
    TAG_MASK = 0x10,
    TAG_OTHERS = 0x20,
};

/* ---- bytes ------------------------------------------------------------------------------------
 */

static unsigned entry_count(struct kv_slice acl)
{
    return (unsigned)((acl.size - HEADER_SIZE) / ENTRY_SIZE);
}

static const uint8_t *entry_at(struct kv_slice acl, unsigned i)
{
    return acl.data + HEADER_SIZE + (size_t)i * ENTRY_SIZE;
}

static uint16_t entry_tag(const uint8_t *entry)
{
    return coding_get_u16(entry);
}

static mode_t entry_perm(const uint8_t *entry)
{
    return coding_get_u16(entry + 2);
}

static int check_entry(const uint8_t *entry, unsigned before)
{
    bool named = false;
    switch (entry_tag(entry)) {
    case TAG_USER:
    case TAG_NAMED_GROUP:
        named = true;
        break;
    case TAG_OWNER:
    case TAG_GROUP:
    case TAG_MASK:
    case TAG_OTHERS:
        break;
    default:
        return -EINVAL;
    }
    bool ordered = named ? entry_tag(entry) >= before : entry_tag(entry) > before;
    bool has_id = !named || coding_get_u32(entry + 4) != (uint32_t)ID_NONE;
    return ordered && has_id && (entry_perm(entry) & ~(mode_t)7) == 0 ? 0 : -EINVAL;
}

int acl_check(struct kv_slice acl)
{
    const unsigned needed = TAG_OWNER | TAG_GROUP | TAG_OTHERS;
    unsigned before = 0;
    unsigned seen = 0;
    if (acl.size < HEADER_SIZE || (acl.size - HEADER_SIZE) % ENTRY_SIZE != 0) {
        return -EINVAL;
    }
    if (coding_get_u32(acl.data) != VERSION) {
        return -EOPNOTSUPP;
    }
    for (unsigned i = 0; i < entry_count(acl); i++) {
        int r = check_entry(entry_at(acl, i), before);
        if (r < 0) {
            return r;
        }
        before = entry_tag(entry_at(acl, i));
        seen |= before;
    }
    bool needs_mask = (seen & (TAG_USER | TAG_NAMED_GROUP)) != 0;
    bool has_mask = (seen & TAG_MASK) != 0;
    return (seen & needed) == needed && (has_mask || !needs_mask) ? 0 : -EINVAL;
}

/* Entry `tag`, NULL if there is none. */
static const uint8_t *find(struct kv_slice acl, enum tag tag)
{
    for (unsigned i = 0; i < entry_count(acl); i++) {
        if (entry_tag(entry_at(acl, i)) == tag) {
            return entry_at(acl, i);
        }
    }
    return NULL;
}

/* The entry whose permissions are the middle bits of the mode. */
static const uint8_t *find_class(struct kv_slice acl)
{
    const uint8_t *mask = find(acl, TAG_MASK);
    return mask != NULL ? mask : find(acl, TAG_GROUP);
}

bool acl_is_minimal(struct kv_slice acl)
{
    return entry_count(acl) == 3;
}

mode_t acl_mode(struct kv_slice acl)
{
    return entry_perm(find(acl, TAG_OWNER)) << 6 | entry_perm(find_class(acl)) << 3 |
           entry_perm(find(acl, TAG_OTHERS));
}

static void set_perm(struct kv_buf *acl, const uint8_t *entry, mode_t perm)
{
    coding_put_u16(acl->data + (entry - acl->data) + 2, (uint16_t)(perm & 7));
}

void acl_set_mode(struct kv_buf *acl, mode_t mode)
{
    struct kv_slice bytes = kv_buf_slice(acl);
    set_perm(acl, find(bytes, TAG_OWNER), mode >> 6);
    set_perm(acl, find_class(bytes), mode >> 3);
    set_perm(acl, find(bytes, TAG_OTHERS), mode);
}

mode_t acl_restrict(struct kv_buf *acl, mode_t mode)
{
    mode_t both = acl_mode(kv_buf_slice(acl)) & mode;
    acl_set_mode(acl, both);
    return both;
}

/* ---- rows -------------------------------------------------------------------------------------
 */

static const struct {
    const char *name;
    uint64_t hint;
} kinds[] = {
    [ACL_ACCESS] = {"system.posix_acl_access", INODE_HINT_ACCESS_ACL},
    [ACL_DEFAULT] = {"system.posix_acl_default", INODE_HINT_DEFAULT_ACL},
};

enum acl_kind acl_kind(struct kv_slice name)
{
    for (unsigned i = ACL_ACCESS; i <= ACL_DEFAULT; i++) {
        if (kv_slice_equal(name, kv_slice_str(kinds[i].name))) {
            return (enum acl_kind)i;
        }
    }
    return ACL_NONE;
}

uint64_t acl_hint(enum acl_kind kind)
{
    return kinds[kind].hint;
}

bool acl_may_exist(const struct inode *inode, enum acl_kind kind)
{
    return (inode->hints & kinds[kind].hint) != 0;
}

static int put(struct txn *txn, struct node *node, enum acl_kind kind, struct kv_slice acl)
{
    node->inode.hints |= INODE_HINT_XATTRS | kinds[kind].hint;
    return xattr_put(txn, node->ino, kv_slice_str(kinds[kind].name), acl);
}

static int take_away(struct txn *txn, struct node *node, enum acl_kind kind)
{
    if (!acl_may_exist(&node->inode, kind)) {
        return 0;
    }
    node->inode.hints &= ~kinds[kind].hint;
    return xattr_delete(txn, node->ino, kv_slice_str(kinds[kind].name));
}

/* What the row holds, empty if there is none. */
static int read_acl(struct kvfs *fs, const struct node *node, enum acl_kind kind,
                    struct kv_buf *ret_acl)
{
    struct kv_slice name = kv_slice_str(kinds[kind].name);
    struct rowkey key;
    ret_acl->size = 0;
    if (!acl_may_exist(&node->inode, kind)) {
        return 0;
    }
    int r = xattr_read(fs, node->ino, name, ret_acl);
    if (r == 0 && acl_check(kv_buf_slice(ret_acl)) < 0) {
        rowkey_xattr(&key, node->ino, name);
        r = fs_row_damaged(fs, rowkey_slice(&key), "not an access control list");
    }
    return r == -ENODATA ? 0 : r;
}

int acl_set(struct txn *txn, struct txn_node *node, enum acl_kind kind, struct kv_slice acl)
{
    struct inode *inode = &node->node.inode;
    bool empty = acl.size <= HEADER_SIZE;
    if (S_ISLNK(inode->mode)) {
        return -EOPNOTSUPP;
    }
    if (kind == ACL_DEFAULT && !S_ISDIR(inode->mode)) {
        return empty ? 0 : -EACCES;
    }
    int r = empty ? 0 : acl_check(acl);
    if (r < 0) {
        return r;
    }
    if (kind == ACL_ACCESS && !empty) {
        uint32_t mode = (inode->mode & ~(uint32_t)0777) | acl_mode(acl);
        node->dirty = mode != inode->mode;
        node->resummarize = node->dirty;
        inode->mode = mode;
        empty = acl_is_minimal(acl);
    }
    node->dirty = node->dirty || !empty || acl_may_exist(inode, kind);
    if (empty) {
        return take_away(txn, &node->node, kind);
    }
    return put(txn, &node->node, kind, acl);
}

int acl_follow_mode(struct txn *txn, struct txn_node *node)
{
    struct kv_buf acl = {0};
    int r = read_acl(txn->fs, &node->node, ACL_ACCESS, &acl);
    if (r == 0 && acl.size > 0) {
        acl_set_mode(&acl, node->node.inode.mode);
        r = put(txn, &node->node, ACL_ACCESS, kv_buf_slice(&acl));
    }
    kv_buf_finish(&acl);
    return r;
}

int acl_read_default(struct kvfs *fs, const struct node *dir, struct kv_buf *ret_acl)
{
    return read_acl(fs, dir, ACL_DEFAULT, ret_acl);
}

int acl_inherit(struct txn *txn, struct kv_slice acl, mode_t mode, struct node *node)
{
    struct inode *inode = &node->inode;
    struct kv_buf access = {0};
    int r = 0;
    if (acl.size == 0 || S_ISLNK(inode->mode)) {
        return 0;
    }
    if (S_ISDIR(inode->mode)) {
        r = put(txn, node, ACL_DEFAULT, acl);
    }
    if (r == 0) {
        r = kv_buf_assign(&access, acl);
    }
    if (r == 0) {
        inode->mode = (inode->mode & ~(uint32_t)0777) | acl_restrict(&access, mode & 0777);
        if (!acl_is_minimal(kv_buf_slice(&access))) {
            r = put(txn, node, ACL_ACCESS, kv_buf_slice(&access));
        }
    }
    kv_buf_finish(&access);
    return r;
}
