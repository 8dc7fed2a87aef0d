/* SPDX-License-Identifier: Apache-2.0 */
/* Extended attributes. */
#include "tests/posix/rule.h"

#include <sys/xattr.h>

/* The value of an attribute is that text. */
static bool xattr_is(const char *file, const char *name, const char *text)
{
    char value[256];
    ssize_t size = lgetxattr(file, name, value, sizeof value);
    return size == (ssize_t)strlen(text) && memcmp(value, text, (size_t)size) == 0;
}

static void xattr_put(const char *file, const char *name, const char *text)
{
    OK(lsetxattr(file, name, text, strlen(text), 0));
}

/* Whether a list of names ended by NUL has that one. */
static bool listed(const char *file, const char *name)
{
    char names[1024];
    ssize_t size = OK(llistxattr(file, names, sizeof names));
    for (const char *at = names; at < names + size; at += strlen(at) + 1) {
        if (strcmp(at, name) == 0) {
            return true;
        }
    }
    return false;
}

RULE(an_attribute_that_is_set_is_got, "setxattr(2), getxattr(2)")
{
    file_make("f");
    xattr_put("f", "user.colour", "red");
    HOLDS(xattr_is("f", "user.colour", "red"));
}

RULE(an_attribute_is_replaced, "setxattr(2)")
{
    file_make("f");
    xattr_put("f", "user.a", "a long value");
    xattr_put("f", "user.a", "short");
    HOLDS(xattr_is("f", "user.a", "short"));
}

RULE(an_attribute_may_be_empty, "setxattr(2)")
{
    file_make("f");
    xattr_put("f", "user.a", "");
    HOLDS(xattr_is("f", "user.a", ""));
    HOLDS(listed("f", "user.a"));
}

RULE(a_value_may_hold_any_bytes, "xattr(7)")
{
    char value[256];
    char found[256];
    file_make("f");
    for (int i = 0; i < 256; i++) {
        value[i] = (char)i;
    }
    OK(setxattr("f", "user.a", value, sizeof value, 0));
    SAME(getxattr("f", "user.a", found, sizeof found), 256);
    SAME(memcmp(value, found, sizeof value), 0);
}

RULE(a_removed_attribute_is_gone, "removexattr(2)")
{
    char byte;
    file_make("f");
    xattr_put("f", "user.a", "v");
    OK(removexattr("f", "user.a"));
    FAILS(ENODATA, getxattr("f", "user.a", &byte, 1));
    FAILS(ENODATA, removexattr("f", "user.a"));
    HOLDS(!listed("f", "user.a"));
}

RULE(a_missing_attribute_is_told, "getxattr(2) ENODATA")
{
    char byte;
    file_make("f");
    FAILS(ENODATA, getxattr("f", "user.none", &byte, 1));
    FAILS(ENODATA, removexattr("f", "user.none"));
}

RULE(xattr_create_refuses_an_existing_attribute, "setxattr(2) EEXIST")
{
    file_make("f");
    OK(setxattr("f", "user.a", "1", 1, XATTR_CREATE));
    FAILS(EEXIST, setxattr("f", "user.a", "2", 1, XATTR_CREATE));
    HOLDS(xattr_is("f", "user.a", "1"));
}

RULE(xattr_replace_refuses_a_missing_attribute, "setxattr(2) ENODATA")
{
    file_make("f");
    FAILS(ENODATA, setxattr("f", "user.a", "1", 1, XATTR_REPLACE));
    HOLDS(!listed("f", "user.a"));
}

RULE(size_zero_asks_for_the_size, "getxattr(2), listxattr(2)")
{
    file_make("f");
    xattr_put("f", "user.a", "12345");
    SAME(getxattr("f", "user.a", NULL, 0), 5);
    HOLDS(listxattr("f", NULL, 0) >= (ssize_t)sizeof "user.a");
}

RULE(a_buffer_that_is_too_small_is_told, "getxattr(2), listxattr(2) ERANGE")
{
    char small[3];
    file_make("f");
    xattr_put("f", "user.a", "12345");
    FAILS(ERANGE, getxattr("f", "user.a", small, sizeof small));
    FAILS(ERANGE, listxattr("f", small, sizeof small));
}

RULE(a_list_names_every_attribute, "listxattr(2)")
{
    rule_as_root("it sets attributes that only root may");
    file_make("f");
    xattr_put("f", "user.a", "1");
    xattr_put("f", "user.b", "2");
    xattr_put("f", "trusted.c", "3");
    HOLDS(listed("f", "user.a"));
    HOLDS(listed("f", "user.b"));
    HOLDS(listed("f", "trusted.c"));
}

RULE(directories_have_attributes_too, "xattr(7)")
{
    dir_make("d", 0755);
    xattr_put("d", "user.a", "v");
    HOLDS(xattr_is("d", "user.a", "v"));
    OK(removexattr("d", "user.a"));
    OK(rmdir("d"));
}

RULE(links_and_special_files_take_no_user_attributes, "xattr(7) EPERM")
{
    OK(symlink("x", "l"));
    OK(mkfifo("p", 0644));
    FAILS(EPERM, lsetxattr("l", "user.a", "v", 1, 0));
    FAILS(EPERM, setxattr("p", "user.a", "v", 1, 0));
}

RULE(links_take_trusted_attributes_of_their_own, "lsetxattr(2)")
{
    char byte;
    rule_as_root("it sets attributes that only root may");
    file_make("f");
    OK(symlink("f", "l"));
    xattr_put("l", "trusted.a", "link");
    HOLDS(xattr_is("l", "trusted.a", "link"));
    FAILS(ENODATA, getxattr("l", "trusted.a", &byte, 1)); /* this one follows */
}

RULE(attributes_follow_links_unless_told_otherwise, "setxattr(2)")
{
    file_make("f");
    OK(symlink("f", "l"));
    OK(setxattr("l", "user.a", "v", 1, 0));
    HOLDS(xattr_is("f", "user.a", "v"));
}

RULE(attributes_of_an_open_file, "fsetxattr(2), fgetxattr(2)")
{
    char value[8];
    int fd = file_open("f");
    OK(fsetxattr(fd, "user.a", "v", 1, 0));
    OK(unlink("f"));
    SAME(fgetxattr(fd, "user.a", value, sizeof value), 1);
    OK(fsetxattr(fd, "user.b", "w", 1, 0));
    OK(fremovexattr(fd, "user.a"));
    FAILS(ENODATA, fgetxattr(fd, "user.a", value, sizeof value));
}

RULE(attributes_stay_with_the_file_under_every_name, "xattr(7)")
{
    file_make("f");
    xattr_put("f", "user.a", "v");
    OK(link("f", "g"));
    OK(rename("f", "h"));
    HOLDS(xattr_is("g", "user.a", "v"));
    HOLDS(xattr_is("h", "user.a", "v"));
    OK(unlink("h"));
    HOLDS(xattr_is("g", "user.a", "v"));
}

RULE(a_new_file_does_not_inherit_those_of_the_old_one_of_its_name, "xattr(7)")
{
    file_make("f");
    xattr_put("f", "user.a", "v");
    OK(unlink("f"));
    file_make("f");
    HOLDS(!listed("f", "user.a"));
}

RULE(writing_leaves_user_attributes, "xattr(7)")
{
    file_make("f");
    xattr_put("f", "user.a", "v");
    file_put("f", "text");
    OK(truncate("f", 1));
    OK(chmod("f", 0600));
    HOLDS(xattr_is("f", "user.a", "v"));
}

RULE(trusted_attributes_are_for_root_only, "xattr(7)")
{
    char byte;
    rule_as_root("it gives files away, which root may");
    file_make("f");
    OK(chown("f", USER, USER));
    xattr_put("f", "trusted.a", "v");
    become(USER, USER, 0);
    FAILS(EPERM, setxattr("f", "trusted.a", "w", 1, 0));
    FAILS(ENODATA, getxattr("f", "trusted.a", &byte, 1));
}

RULE(user_attributes_need_the_permissions_of_the_contents, "xattr(7)")
{
    char byte;
    file_make("f");
    xattr_put("f", "user.a", "v");
    become(USER, USER, 0);
    SAME(getxattr("f", "user.a", &byte, 1), 1);
    FAILS(EACCES, setxattr("f", "user.a", "w", 1, 0));
    FAILS(EACCES, removexattr("f", "user.a"));
    become_root();
    OK(chmod("f", 0600));
    become(USER, USER, 0);
    FAILS(EACCES, getxattr("f", "user.a", &byte, 1));
}

RULE(in_a_sticky_directory_user_attributes_are_for_the_owner, "xattr(7) EPERM")
{
    dir_make("d", 01777);
    become(USER, USER, 0);
    FAILS(EPERM, setxattr("d", "user.a", "v", 1, 0));
}

RULE(security_attributes_are_kept, "xattr(7)")
{
    rule_as_root("it sets attributes that only root may");
    file_make("f");
    xattr_put("f", "security.kvtest", "v");
    HOLDS(xattr_is("f", "security.kvtest", "v"));
}

RULE(unknown_name_spaces_are_refused, "xattr(7) EOPNOTSUPP")
{
    char byte;
    file_make("f");
    FAILS(EOPNOTSUPP, setxattr("f", "colour", "v", 1, 0));
    FAILS(EOPNOTSUPP, setxattr("f", "other.colour", "v", 1, 0));
    FAILS(EOPNOTSUPP, getxattr("f", "other.colour", &byte, 1));
}

RULE(a_name_needs_something_behind_its_prefix, "xattr(7) EINVAL")
{
    file_make("f");
    FAILS(EINVAL, setxattr("f", "user.", "v", 1, 0));
    FAILS(ERANGE, setxattr("f", "", "v", 1, 0));
}

RULE(names_of_attributes_are_at_most_255_bytes, "xattr(7) ERANGE")
{
    char name[300] = "user.";
    file_make("f");
    name_of_size(name + 5, 250);
    OK(setxattr("f", name, "v", 1, 0));
    HOLDS(xattr_is("f", name, "v"));
    name_of_size(name + 5, 251);
    FAILS(ERANGE, setxattr("f", name, "v", 1, 0));
}

RULE(values_of_attributes_are_at_most_64_kib, "xattr(7) E2BIG")
{
    static char value[65537];
    file_make("f");
    FAILS(E2BIG, setxattr("f", "user.a", value, sizeof value, 0));
}

RULE(bad_flags_are_invalid, "setxattr(2) EINVAL")
{
    file_make("f");
    FAILS(EINVAL, setxattr("f", "user.a", "v", 1, 4));
}

RULE(attributes_need_their_file, "getxattr(2) ENOENT, ENOTDIR")
{
    char byte;
    file_make("f");
    FAILS(ENOENT, getxattr("none", "user.a", &byte, 1));
    FAILS(ENOTDIR, setxattr("f/g", "user.a", "v", 1, 0));
}

RULE(a_capability_is_cleared_by_writing, "capabilities(7), write(2)")
{
    rule_as_root("it sets attributes that only root may");
    /* Version 2, cap_net_raw permitted. */
    static const unsigned char capability[20] = {0, 0, 0, 2, 0, 0x20};
    char value[32];
    file_put("f", "text");
    OK(setxattr("f", "security.capability", capability, sizeof capability, 0));
    HOLDS(getxattr("f", "security.capability", value, sizeof value) == 20);
    int fd = (int)OK(open("f", O_WRONLY));
    SAME(write(fd, "x", 1), 1);
    FAILS(ENODATA, getxattr("f", "security.capability", value, sizeof value));
}

RULE(a_capability_is_cleared_by_chown, "capabilities(7), chown(2)")
{
    static const unsigned char capability[20] = {0, 0, 0, 2, 0, 0x20};
    char value[32];
    rule_as_root("it sets attributes that only root may");
    file_put("f", "text");
    OK(setxattr("f", "security.capability", capability, sizeof capability, 0));
    OK(chown("f", USER, USER));
    FAILS(ENODATA, getxattr("f", "security.capability", value, sizeof value));
}

RULE(names_of_trusted_attributes_are_hidden_from_users, "xattr(7)")
{
    rule_as_root("it sets attributes that only root may");
    file_make("f");
    xattr_put("f", "trusted.a", "secret");
    xattr_put("f", "user.b", "plain");
    HOLDS(listed("f", "trusted.a"));
    become(USER, USER, 0);
    HOLDS(!listed("f", "trusted.a"));
    HOLDS(listed("f", "user.b"));
    SAME(llistxattr("f", NULL, 0), sizeof "user.b");
}

RULE(taking_an_acl_away_that_is_not_there_changes_nothing, "acl(5), inode(7)")
{
    file_make("f");
    dir_make("d", 0755);
    struct stat f = settled("f");
    struct stat d = settled("d");
    OK(removexattr("f", "system.posix_acl_access"));
    OK(removexattr("d", "system.posix_acl_default"));
    SAME(times_changed("f", &f), 0);
    SAME(times_changed("d", &d), 0);
}
