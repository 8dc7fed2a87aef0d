/* SPDX-License-Identifier: Apache-2.0 */
/* Steps on extended attributes and access control lists. */
#include <endian.h>
#include <fcntl.h>
#include <linux/posix_acl_xattr.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "kvcore/util/checksum.h"
#include "tests/posix/diff.h"

enum {
    VALUE_MAX = 2000,
    TAG_USER_OBJ = 1,
    TAG_USER = 2,
    TAG_GROUP_OBJ = 4,
    TAG_GROUP = 8,
    TAG_MASK = 16,
    TAG_OTHER = 32,
    ACL_ENTRIES_MAX = 6
};

static const char *pick_name(struct diff_op *op, struct text *out)
{
    static const char *const names[] = {"user.a",         "user.a",    "user.b",
                                        "user.long name", "trusted.a", "security.kv",
                                        "user.",          "nothing.a", "user.\xff\xfe"};
    const char *name = names[diff_pick(op, sizeof names / sizeof names[0])];
    text_add(out, " ");
    text_name(out, name);
    return name;
}

enum { BY_PATH, BY_PATH_ITSELF, BY_FD };

static int pick_way(struct diff_op *op, struct text *out)
{
    int way = (int)diff_pick(op, 3);
    if (way == BY_FD) {
        text_add(out, " fd");
    } else {
        text_add(out, way == BY_PATH ? " " : " itself ");
        text_name(out, op->path1);
    }
    return way;
}

static void set(struct actor *actor, struct diff_op *op, struct text *out, const char *name,
                struct kv_slice value)
{
    static const struct diff_word flags[] = {
        {"0", 0}, {"0", 0}, {"CREATE", XATTR_CREATE}, {"REPLACE", XATTR_REPLACE}};
    int way = pick_way(op, out);
    int flag = DIFF_WORD(op, out, flags);
    int r = way == BY_FD ? fsetxattr(actor_fd(actor, op->slot1), name, value.data, value.size, flag)
            : way == BY_PATH ? setxattr(op->path1, name, value.data, value.size, flag)
                             : lsetxattr(op->path1, name, value.data, value.size, flag);
    text_result(out, r);
}

static void call_setxattr(struct actor *actor, struct diff_op *op, struct text *out)
{
    size_t size = diff_pick(op, diff_one_in(op, 4) ? VALUE_MAX : 30);
    text_add(out, " setxattr");
    const char *name = pick_name(op, out);
    actor_fill(actor, op, size);
    text_add(out, " %zu bytes", size);
    set(actor, op, out, name, kv_slice(actor_buffer(actor), size));
}

static void tell_value(struct text *out, const uint8_t *value, ssize_t size, size_t room)
{
    text_result(out, size);
    if (size > 0 && room >= (size_t)size) {
        text_add(out, " %016lx", hash_bytes(kv_slice(value, (size_t)size), 0));
    }
}

static void get(struct actor *actor, struct diff_op *op, struct text *out, const char *name)
{
    static const size_t rooms[] = {65536, 65536, 0, 10};
    size_t room = rooms[diff_pick(op, 4)];
    uint8_t *value = actor_buffer(actor);
    int way = pick_way(op, out);
    ssize_t size = way == BY_FD     ? fgetxattr(actor_fd(actor, op->slot1), name, value, room)
                   : way == BY_PATH ? getxattr(op->path1, name, value, room)
                                    : lgetxattr(op->path1, name, value, room);
    tell_value(out, value, size, room);
}

static void call_getxattr(struct actor *actor, struct diff_op *op, struct text *out)
{
    text_add(out, " getxattr");
    get(actor, op, out, pick_name(op, out));
}

static void remove_name(struct actor *actor, struct diff_op *op, struct text *out, const char *name)
{
    int way = pick_way(op, out);
    int r = way == BY_FD     ? fremovexattr(actor_fd(actor, op->slot1), name)
            : way == BY_PATH ? removexattr(op->path1, name)
                             : lremovexattr(op->path1, name);
    text_result(out, r);
}

static void call_removexattr(struct actor *actor, struct diff_op *op, struct text *out)
{
    text_add(out, " removexattr");
    remove_name(actor, op, out, pick_name(op, out));
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void call_listxattr(struct actor *actor, struct diff_op *op, struct text *out)
{
    char *names[64];
    size_t count = 0;
    char *list = (char *)actor_buffer(actor);
    text_add(out, " listxattr");
    int way = pick_way(op, out);
    ssize_t size = way == BY_FD     ? flistxattr(actor_fd(actor, op->slot1), list, 65536)
                   : way == BY_PATH ? listxattr(op->path1, list, 65536)
                                    : llistxattr(op->path1, list, 65536);
    text_result(out, size);
    for (char *at = list; size > 0 && at < list + size && count < 64; at += strlen(at) + 1) {
        names[count++] = at;
    }
    qsort(names, count, sizeof names[0], compare_names);
    for (size_t i = 0; i < count; i++) {
        text_add(out, " ");
        text_name(out, names[i]);
    }
}

static const char *pick_acl(struct diff_op *op, struct text *out)
{
    const char *name = diff_one_in(op, 2) ? "system.posix_acl_access" : "system.posix_acl_default";
    text_add(out, " %s", name);
    return name;
}

struct acl {
    struct posix_acl_xattr_header header;
    struct posix_acl_xattr_entry entries[ACL_ENTRIES_MAX];
};

static size_t add_entry(struct acl *acl, size_t count, unsigned tag, unsigned id, unsigned bits)
{
    acl->entries[count] = (struct posix_acl_xattr_entry){htole16((uint16_t)tag),
                                                         htole16((uint16_t)bits), htole32(id)};
    return count + 1;
}

static void call_set_acl(struct actor *actor, struct diff_op *op, struct text *out)
{
    if (diff_setgid_file(actor_fd(actor, op->slot1), "") || diff_setgid_file(AT_FDCWD, op->path1)) {
        return;
    }
    const unsigned none = (unsigned)-1;
    struct acl acl = {.header = {htole32(POSIX_ACL_XATTR_VERSION)}};
    unsigned bits[ACL_ENTRIES_MAX];
    bool user = diff_one_in(op, 2);
    bool group = diff_one_in(op, 2);
    size_t count = 0;
    text_add(out, " set_acl");
    const char *name = pick_acl(op, out);
    for (size_t i = 0; i < ACL_ENTRIES_MAX; i++) {
        bits[i] = (unsigned)diff_pick(op, 8);
        text_add(out, " %u", bits[i]);
    }
    count = add_entry(&acl, count, TAG_USER_OBJ, none, bits[0]);
    count = user ? add_entry(&acl, count, TAG_USER, diff_id(op), bits[1]) : count;
    count = add_entry(&acl, count, TAG_GROUP_OBJ, none, bits[2]);
    count = group ? add_entry(&acl, count, TAG_GROUP, diff_id(op), bits[3]) : count;
    count = user || group ? add_entry(&acl, count, TAG_MASK, none, bits[4]) : count;
    /* Now and then what no list may be. */
    count = diff_one_in(op, 20) ? count : add_entry(&acl, count, TAG_OTHER, none, bits[5]);
    text_add(out, " u%d g%d", user, group);
    set(actor, op, out, name, kv_slice(&acl, sizeof acl.header + count * sizeof acl.entries[0]));
}

static void call_get_acl(struct actor *actor, struct diff_op *op, struct text *out)
{
    text_add(out, " get_acl");
    get(actor, op, out, pick_acl(op, out));
}

static void call_remove_acl(struct actor *actor, struct diff_op *op, struct text *out)
{
    text_add(out, " remove_acl");
    remove_name(actor, op, out, pick_acl(op, out));
}

const struct diff_call diff_calls_xattrs[] = {
    {"setxattr", 25, USES_PATH1 | USES_SLOT1, call_setxattr},
    {"getxattr", 15, USES_PATH1 | USES_SLOT1, call_getxattr},
    {"removexattr", 10, USES_PATH1 | USES_SLOT1, call_removexattr},
    {"listxattr", 8, USES_PATH1 | USES_SLOT1, call_listxattr},
    {"set_acl", 25, USES_PATH1 | USES_SLOT1, call_set_acl},
    {"get_acl", 10, USES_PATH1 | USES_SLOT1, call_get_acl},
    {"remove_acl", 8, USES_PATH1 | USES_SLOT1, call_remove_acl},
    {0},
};
