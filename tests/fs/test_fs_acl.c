/* SPDX-License-Identifier: Apache-2.0 */
/* POSIX ACLs: the bytes, how they follow the mode, and what is inherited. */
#include <fcntl.h>

#include "fs/core/acl.h"
#include "kvcore/util/coding.h"
#include "tests/fs/fs_fixture.h"

#define ACCESS  "system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"

enum { ROOT = KVFS_ROOT_INO, ANY = -1 };

struct entry {
    unsigned tag, perm, id;
};

/* The bytes of up to 8 entries. */
struct bytes {
    uint8_t data[4 + 8 * 8];
    size_t size;
};

static struct bytes make(const struct entry *entries, unsigned count)
{
    struct bytes b = {.size = 4 + 8 * (size_t)count};
    coding_put_u32(b.data, 2);
    for (unsigned i = 0; i < count; i++) {
        uint8_t *to = b.data + 4 + (size_t)i * 8;
        coding_put_u16(to, (uint16_t)entries[i].tag);
        coding_put_u16(to + 2, (uint16_t)entries[i].perm);
        coding_put_u32(to + 4, entries[i].id);
    }
    return b;
}

#define acl(...)                                                                                   \
    make((const struct entry[]){__VA_ARGS__},                                                      \
         sizeof((const struct entry[]){__VA_ARGS__}) / sizeof(struct entry))

static struct kv_slice slice(const struct bytes *b)
{
    return kv_slice(b->data, b->size);
}

/* user::rwx user:7:rw- group::r-x mask::rwx other::--x */
static struct bytes named(void)
{
    return acl({1, 7, ANY}, {2, 6, 7}, {4, 5, ANY}, {16, 7, ANY}, {32, 1, ANY});
}

static void set(struct fs_fixture *f, uint64_t ino, const char *name, struct bytes b)
{
    ck_ok(kvfs_setxattr(f->fs, ino, name, slice(&b), 0));
}

static void ck_acl(struct fs_fixture *f, uint64_t ino, const char *name, struct bytes want)
{
    struct kv_buf value = {0};
    ck_ok(kvfs_getxattr(f->fs, ino, name, &value));
    ck_assert_uint_eq(value.size, want.size);
    ck_assert_mem_eq(value.data, want.data, want.size);
    kv_buf_finish(&value);
}

static void ck_none(struct fs_fixture *f, uint64_t ino, const char *name)
{
    struct kv_buf value = {0};
    ck_fails(kvfs_getxattr(f->fs, ino, name, &value), ENODATA);
    kv_buf_finish(&value);
}

static unsigned mode_of(struct fs_fixture *f, uint64_t ino)
{
    return fixture_stat(f, ino).stat.st_mode & 07777;
}

static void chmod_to(struct fs_fixture *f, uint64_t ino, mode_t mode)
{
    struct kvfs_entry e;
    ck_ok(kvfs_setattr(f->fs, ino, &(struct stat){.st_mode = mode}, KVFS_SET_MODE, &e));
}

static int check(struct bytes b)
{
    return acl_check(slice(&b));
}

START_TEST(only_the_order_of_the_manual_is_accepted)
{
    ck_ok(check(named()));
    ck_ok(check(acl({1, 7, ANY}, {4, 5, ANY}, {32, 0, ANY})));
    ck_ok(check(acl({1, 7, ANY}, {4, 5, ANY}, {16, 5, ANY}, {32, 0, ANY})));
    ck_ok(check(acl({1, 7, ANY}, {4, 5, ANY}, {8, 5, 1}, {8, 5, 2}, {16, 5, ANY}, {32, 0, ANY})));
    ck_fails(check(acl({1, 7, ANY}, {4, 5, ANY})), EINVAL);
    ck_fails(check(acl({1, 7, ANY}, {1, 7, ANY}, {4, 5, ANY}, {32, 0, ANY})), EINVAL);
    ck_fails(check(acl({4, 5, ANY}, {1, 7, ANY}, {32, 0, ANY})), EINVAL);
    ck_fails(check(acl({1, 7, ANY}, {2, 7, 5}, {4, 5, ANY}, {32, 0, ANY})), EINVAL);
    ck_fails(check(acl({1, 7, ANY}, {2, 7, ANY}, {4, 5, ANY}, {16, 7, ANY}, {32, 0, ANY})), EINVAL);
    ck_fails(check(acl({1, 8, ANY}, {4, 5, ANY}, {32, 0, ANY})), EINVAL);
    ck_fails(check(acl({1, 7, ANY}, {4, 5, ANY}, {32, 0, ANY}, {64, 0, ANY})), EINVAL);
    struct bytes odd = named();
    ck_fails(acl_check(kv_slice(odd.data, odd.size - 1)), EINVAL);
    ck_fails(acl_check(kv_slice(odd.data, 3)), EINVAL);
    odd.data[0] = 3;
    ck_fails(check(odd), EOPNOTSUPP);
}
END_TEST

START_TEST(an_access_acl_sets_the_mode_and_is_stored_in_its_golden_bytes)
{
    static const uint8_t golden[] = {
        2, 0, 0,    0,    1,    0,    7,  0, 0xff, 0xff, 0xff, 0xff, 2,    0,   6,
        0, 7, 0,    0,    0,    4,    0,  5, 0,    0xff, 0xff, 0xff, 0xff, 16,  0,
        7, 0, 0xff, 0xff, 0xff, 0xff, 32, 0, 1,    0,    0xff, 0xff, 0xff, 0xff};
    struct fs_fixture f;
    struct kv_buf value = {0};
    fixture_open(&f);
    uint64_t ino = fixture_file(&f, ROOT, "f");
    chmod_to(&f, ino, 04644);
    set(&f, ino, ACCESS, named());
    ck_assert_uint_eq(mode_of(&f, ino), 04771);
    fixture_reopen(&f);
    ck_ok(kvfs_getxattr(f.fs, ino, ACCESS, &value));
    ck_assert_uint_eq(value.size, sizeof golden);
    ck_assert_mem_eq(value.data, golden, sizeof golden);
    ck_ok(kvfs_listxattr(f.fs, ino, &value));
    ck_assert_uint_eq(value.size, sizeof ACCESS);
    ck_assert_mem_eq(value.data, ACCESS, sizeof ACCESS);
    kv_buf_finish(&value);
    fixture_close(&f);
}
END_TEST

START_TEST(chmod_changes_owner_mask_and_others_of_the_acl)
{
    struct fs_fixture f;
    fixture_open(&f);
    uint64_t ino = fixture_file(&f, ROOT, "f");
    set(&f, ino, ACCESS, named());
    chmod_to(&f, ino, 0640);
    ck_acl(&f, ino, ACCESS, acl({1, 6, ANY}, {2, 6, 7}, {4, 5, ANY}, {16, 4, ANY}, {32, 0, ANY}));
    ck_assert_uint_eq(mode_of(&f, ino), 0640);
    fixture_close(&f);
}
END_TEST

START_TEST(an_acl_that_says_no_more_than_the_mode_is_only_a_mode)
{
    struct fs_fixture f;
    fixture_open(&f);
    uint64_t ino = fixture_file(&f, ROOT, "f");
    set(&f, ino, ACCESS, named());
    set(&f, ino, ACCESS, acl({1, 6, ANY}, {4, 4, ANY}, {32, 4, ANY}));
    ck_assert_uint_eq(mode_of(&f, ino), 0644);
    ck_none(&f, ino, ACCESS);
    ck_assert_uint_eq(fixture_count_rows(&f, "meta", ROW_XATTR), 0);
    fixture_close(&f);
}
END_TEST

START_TEST(an_acl_can_be_taken_away_also_where_none_is)
{
    struct fs_fixture f;
    struct kvfs_entry before;
    struct kvfs_entry after;
    fixture_open(&f);
    uint64_t ino = fixture_dir(&f, ROOT, "d");
    set(&f, ino, ACCESS, named());
    set(&f, ino, DEFAULT, named());
    ck_ok(kvfs_removexattr(f.fs, ino, ACCESS));
    ck_ok(kvfs_getattr(f.fs, ino, &before));
    ck_ok(kvfs_removexattr(f.fs, ino, ACCESS));
    ck_ok(kvfs_getattr(f.fs, ino, &after));
    ck_assert_mem_eq(&after.stat.st_ctim, &before.stat.st_ctim, sizeof before.stat.st_ctim);
    ck_assert_uint_eq(mode_of(&f, ino), 0771);
    ck_none(&f, ino, ACCESS);
    ck_acl(&f, ino, DEFAULT, named());
    ck_ok(kvfs_setxattr(f.fs, ino, DEFAULT, kv_slice("\2\0\0\0", 4), 0));
    ck_none(&f, ino, DEFAULT);
    ck_assert_uint_eq(fixture_count_rows(&f, "meta", ROW_XATTR), 0);
    fixture_close(&f);
}
END_TEST

START_TEST(an_acl_that_cannot_be_is_refused)
{
    struct fs_fixture f;
    struct kvfs_entry e;
    struct bytes b = named();
    fixture_open(&f);
    uint64_t file = fixture_file(&f, ROOT, "f");
    ck_fails(kvfs_setxattr(f.fs, file, DEFAULT, slice(&b), 0), EACCES);
    ck_fails(kvfs_setxattr(f.fs, file, ACCESS, kv_slice(b.data, 11), 0), EINVAL);
    ck_ok(kvfs_symlink(f.fs, &fixture_who, ROOT, "l", "f", &e));
    ck_fails(kvfs_setxattr(f.fs, e.ino, ACCESS, slice(&b), 0), EOPNOTSUPP);
    kvfs_forget(f.fs, e.ino, 1);
    ck_fails(kvfs_setxattr(f.fs, file, "system.other", slice(&b), 0), EOPNOTSUPP);
    ck_assert_uint_eq(mode_of(&f, file), 0644);
    fixture_close(&f);
}
END_TEST

START_TEST(setting_an_acl_clears_setgid_where_the_caller_may_not_keep_it)
{
    struct fs_fixture f;
    struct bytes b = named();
    fixture_open(&f);
    uint64_t ino = fixture_file(&f, ROOT, "f");
    chmod_to(&f, ino, 02755);
    ck_ok(kvfs_setxattr(f.fs, ino, ACCESS, slice(&b), 0));
    ck_assert_uint_eq(mode_of(&f, ino), 02771);
    ck_ok(kvfs_setxattr(f.fs, ino, ACCESS, slice(&b), KVFS_XATTR_KILL_SGID));
    ck_assert_uint_eq(mode_of(&f, ino), 0771);
    fixture_close(&f);
}
END_TEST

static uint64_t make_file(struct fs_fixture *f, uint64_t parent, const char *name, mode_t mode)
{
    struct kvfs_entry e;
    ck_ok(kvfs_mknod(f->fs, parent, name,
                     &(struct kvfs_new){.who = fixture_who, .mode = S_IFREG | mode}, &e));
    kvfs_forget(f->fs, e.ino, 1);
    return e.ino;
}

START_TEST(a_default_acl_takes_the_place_of_the_umask)
{
    struct fs_fixture f;
    struct kvfs_entry e;
    fixture_open(&f);
    uint64_t dir = fixture_dir(&f, ROOT, "d");
    set(&f, dir, DEFAULT, named());
    uint64_t file = make_file(&f, dir, "f", 0666);
    ck_assert_uint_eq(mode_of(&f, file), 0660); /* the umask 022 would take the group's write */
    ck_acl(&f, file, ACCESS, acl({1, 6, ANY}, {2, 6, 7}, {4, 5, ANY}, {16, 6, ANY}, {32, 0, ANY}));
    ck_none(&f, file, DEFAULT);
    ck_ok(kvfs_mkdir(f.fs, &fixture_who, dir, "sub", 0777, &e));
    kvfs_forget(f.fs, e.ino, 1);
    ck_assert_uint_eq(mode_of(&f, e.ino), 0771);
    ck_acl(&f, e.ino, ACCESS, named());
    ck_acl(&f, e.ino, DEFAULT, named());
    ck_ok(kvfs_symlink(f.fs, &fixture_who, dir, "l", "f", &e));
    kvfs_forget(f.fs, e.ino, 1);
    ck_none(&f, e.ino, ACCESS);
    fixture_reopen(&f);
    ck_assert_uint_eq(mode_of(&f, file), 0660);
    ck_acl(&f, dir, DEFAULT, named());
    fixture_close(&f);
}
END_TEST

START_TEST(a_default_acl_without_names_gives_a_mode_and_no_acl)
{
    struct fs_fixture f;
    fixture_open(&f);
    uint64_t dir = fixture_dir(&f, ROOT, "d");
    set(&f, dir, DEFAULT, acl({1, 7, ANY}, {4, 7, ANY}, {32, 4, ANY}));
    uint64_t file = make_file(&f, dir, "f", 0666);
    ck_assert_uint_eq(mode_of(&f, file), 0664);
    ck_none(&f, file, ACCESS);
    fixture_close(&f);
}
END_TEST

START_TEST(what_a_put_makes_inherits_too)
{
    struct fs_fixture f;
    struct kvfs_entry e;
    fixture_open(&f);
    uint64_t dir = fixture_dir(&f, ROOT, "d");
    set(&f, dir, DEFAULT, named());
    ck_ok(kvfs_key_put(f.fs, &fixture_who, kv_slice_str("d/a/b/f"), kv_slice_str("x")));
    ck_ok(kvfs_key_stat(f.fs, kv_slice_str("d/a/b"), &e));
    ck_acl(&f, e.ino, DEFAULT, named());
    ck_acl(&f, e.ino, ACCESS, acl({1, 7, ANY}, {2, 6, 7}, {4, 5, ANY}, {16, 5, ANY}, {32, 1, ANY}));
    ck_ok(kvfs_key_stat(f.fs, kv_slice_str("d/a/b/f"), &e));
    ck_assert_uint_eq(e.stat.st_mode & 07777, 0640);
    ck_acl(&f, e.ino, ACCESS, acl({1, 6, ANY}, {2, 6, 7}, {4, 5, ANY}, {16, 4, ANY}, {32, 0, ANY}));
    fixture_close(&f);
}
END_TEST

START_TEST(inherited_acls_go_with_their_file)
{
    struct fs_fixture f;
    fixture_open(&f);
    uint64_t dir = fixture_dir(&f, ROOT, "d");
    set(&f, dir, DEFAULT, named());
    make_file(&f, dir, "f", 0666);
    ck_assert_uint_eq(fixture_count_rows(&f, "meta", ROW_XATTR), 2);
    ck_ok(kvfs_unlink(f.fs, dir, "f"));
    ck_assert_uint_eq(fixture_count_rows(&f, "meta", ROW_XATTR), 1);
    fixture_close(&f);
}
END_TEST

START_TEST(an_acl_row_that_makes_no_sense_is_damage)
{
    struct fs_fixture f;
    struct kvfs_entry e;
    struct rowkey key;
    struct kv_batch *batch = NULL;
    fixture_open(&f);
    uint64_t dir = fixture_dir(&f, ROOT, "d");
    set(&f, dir, DEFAULT, named());
    rowkey_xattr(&key, dir, kv_slice_str(DEFAULT));
    ck_ok(kv_batch_create(&batch));
    ck_ok(kv_batch_put(batch, fixture_table(&f, "meta"), rowkey_slice(&key), kv_slice("\0x", 2)));
    ck_ok(kv_write(kvfs_store(f.fs), batch, KV_DURABLE_WRITE));
    kv_batch_destroy(batch);
    ck_fails(kvfs_mkdir(f.fs, &fixture_who, dir, "sub", 0777, &e), EIO);
    ck_assert_uint_eq(f.damage_messages, 1);
    ck_ok(kvfs_removexattr(f.fs, dir, DEFAULT));
    fixture_close(&f);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("fs_acl");
    suite_add(suite, "order", only_the_order_of_the_manual_is_accepted);
    suite_add(suite, "mode", an_access_acl_sets_the_mode_and_is_stored_in_its_golden_bytes);
    suite_add(suite, "chmod", chmod_changes_owner_mask_and_others_of_the_acl);
    suite_add(suite, "minimal", an_acl_that_says_no_more_than_the_mode_is_only_a_mode);
    suite_add(suite, "remove", an_acl_can_be_taken_away_also_where_none_is);
    suite_add(suite, "refused", an_acl_that_cannot_be_is_refused);
    suite_add(suite, "setgid", setting_an_acl_clears_setgid_where_the_caller_may_not_keep_it);
    suite_add(suite, "inherit", a_default_acl_takes_the_place_of_the_umask);
    suite_add(suite, "inherit_mode", a_default_acl_without_names_gives_a_mode_and_no_acl);
    suite_add(suite, "put", what_a_put_makes_inherits_too);
    suite_add(suite, "unlink", inherited_acls_go_with_their_file);
    suite_add(suite, "damage", an_acl_row_that_makes_no_sense_is_damage);
    return suite;
}
