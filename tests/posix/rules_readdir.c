/* SPDX-License-Identifier: Apache-2.0 */
/* Reading directories. */
#include "tests/posix/rule.h"

#include <dirent.h>

enum { MANY = 1500 };

static void make_many(const char *dir, int count)
{
    char name[64];
    dir_make(dir, 0755);
    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof name, "%s/name%04d", dir, i);
        file_make(name);
    }
}

static DIR *list_open(const char *dir)
{
    DIR *list = opendir(dir);
    HOLDS(list != NULL);
    return list;
}

/* Names from where `list` stands, without dots; each number of name%04d counted in `seen`. */
static int list_rest(DIR *list, char seen[MANY])
{
    int count = 0;
    const struct dirent *entry;
    errno = 0;
    while ((entry = readdir(list)) != NULL) {
        int number = -1;
        if (sscanf(entry->d_name, "name%4d", &number) == 1 && number < MANY && seen != NULL) {
            seen[number]++;
        }
        count += entry->d_name[0] != '.';
    }
    SAME(errno, 0);
    return count;
}

static int count_names(const char *dir)
{
    DIR *list = list_open(dir);
    int count = list_rest(list, NULL);
    closedir(list);
    return count;
}

/* The entry of that name, or NULL. */
static const struct dirent *find_entry(const char *dir, const char *name)
{
    DIR *list = list_open(dir);
    const struct dirent *entry;
    while ((entry = readdir(list)) != NULL && strcmp(entry->d_name, name) != 0) {
    }
    return entry;
}

RULE(an_empty_directory_lists_only_dots, "readdir(3)")
{
    dir_make("d", 0755);
    SAME(count_names("d"), 0);
    HOLDS(find_entry("d", ".") != NULL);
    HOLDS(find_entry("d", "..") != NULL);
}

RULE(every_name_is_listed_exactly_once, "POSIX.1-2017 readdir")
{
    char seen[MANY] = {0};
    make_many("d", MANY);
    SAME(list_rest(list_open("d"), seen), MANY);
    for (int i = 0; i < MANY; i++) {
        SAME(seen[i], 1);
    }
}

RULE(listed_inode_numbers_are_those_of_stat, "readdir(3) d_ino")
{
    dir_make("d", 0755);
    file_make("d/f");
    OK(link("d/f", "d/g"));
    OK(mkdir("d/e", 0755));
    SAME(find_entry("d", "f")->d_ino, stat_of("d/f").st_ino);
    SAME(find_entry("d", "g")->d_ino, stat_of("d/f").st_ino);
    SAME(find_entry("d", "e")->d_ino, stat_of("d/e").st_ino);
    SAME(find_entry("d", ".")->d_ino, stat_of("d").st_ino);
}

RULE(dot_dot_is_listed_with_the_number_of_the_parent, "readdir(3) d_ino")
{
    dir_make("a", 0755);
    dir_make("b", 0755);
    dir_make("a/d", 0755);
    SAME(find_entry("a/d", "..")->d_ino, stat_of("a").st_ino);
    OK(rename("a/d", "b/d"));
    SAME(find_entry("b/d", "..")->d_ino, stat_of("b").st_ino);
}

RULE(listed_types_are_those_of_the_files, "readdir(3) d_type")
{
    dir_make("d", 0755);
    file_make("d/f");
    OK(mkdir("d/e", 0755));
    OK(symlink("x", "d/l"));
    OK(mkfifo("d/p", 0644));
    OK(mknod("d/s", S_IFSOCK | 0644, 0));
    SAME(find_entry("d", "f")->d_type, DT_REG);
    SAME(find_entry("d", "e")->d_type, DT_DIR);
    SAME(find_entry("d", "l")->d_type, DT_LNK);
    SAME(find_entry("d", "p")->d_type, DT_FIFO);
    SAME(find_entry("d", "s")->d_type, DT_SOCK);
    SAME(find_entry("d", "..")->d_type, DT_DIR);
}

RULE(a_new_listing_shows_what_was_made_and_removed, "readdir(3)")
{
    make_many("d", 3);
    SAME(count_names("d"), 3);
    file_make("d/new");
    SAME(count_names("d"), 4);
    OK(unlink("d/name0000"));
    OK(rename("d/name0001", "elsewhere"));
    SAME(count_names("d"), 2);
    HOLDS(find_entry("d", "name0001") == NULL);
}

RULE(rewinddir_shows_what_was_made_since, "POSIX.1-2017 rewinddir")
{
    make_many("d", 3);
    DIR *list = list_open("d");
    SAME(list_rest(list, NULL), 3);
    file_make("d/aaa");
    file_make("d/zzz");
    rewinddir(list);
    SAME(list_rest(list, NULL), 5);
}

RULE(rewinddir_shows_what_was_removed_since, "POSIX.1-2017 rewinddir")
{
    make_many("d", 3);
    DIR *list = list_open("d");
    SAME(list_rest(list, NULL), 3);
    OK(unlink("d/name0001"));
    rewinddir(list);
    SAME(list_rest(list, NULL), 2);
}

RULE(seekdir_returns_to_where_telldir_was, "telldir(3), seekdir(3)")
{
    char after[256];
    make_many("d", MANY);
    DIR *list = list_open("d");
    for (int i = 0; i < 700; i++) {
        HOLDS(readdir(list) != NULL);
    }
    long place = telldir(list);
    snprintf(after, sizeof after, "%s", readdir(list)->d_name);
    (void)list_rest(list, NULL);
    seekdir(list, place);
    SAME(strcmp(readdir(list)->d_name, after), 0);
}

RULE(seekdir_finds_every_place_again_in_any_order, "telldir(3), seekdir(3)")
{
    enum { COUNT = 200 };
    static long places[COUNT];
    static char names[COUNT][64];
    const struct dirent *entry;
    int count = 0;
    make_many("d", COUNT - 2);
    DIR *list = list_open("d");
    for (places[0] = telldir(list); count < COUNT && (entry = readdir(list)) != NULL; count++) {
        snprintf(names[count], sizeof names[count], "%.60s", entry->d_name);
        if (count + 1 < COUNT) {
            places[count + 1] = telldir(list);
        }
    }
    SAME(count, COUNT);
    for (int i = COUNT - 1; i >= 0; i -= 7) {
        seekdir(list, places[i]);
        SAME(strcmp(readdir(list)->d_name, names[i]), 0);
    }
}

RULE(a_place_stays_right_while_other_names_come_and_go, "telldir(3), seekdir(3)")
{
    char seen[MANY] = {0};
    make_many("d", MANY);
    DIR *list = list_open("d");
    for (int i = 0; i < 700; i++) {
        int number;
        if (sscanf(readdir(list)->d_name, "name%4d", &number) == 1) {
            seen[number]++;
        }
    }
    long place = telldir(list);
    for (int i = 0; i < 100; i++) {
        char name[64];
        snprintf(name, sizeof name, "d/other%d", i);
        file_make(name);
    }
    seekdir(list, place);
    (void)list_rest(list, seen);
    for (int i = 0; i < MANY; i++) {
        SAME(seen[i], 1);
    }
}

RULE(names_that_stay_are_listed_once_while_all_others_are_removed, "POSIX.1-2017 readdir")
{
    char seen[MANY] = {0};
    const struct dirent *entry;
    char path[300];
    make_many("d", MANY);
    DIR *list = list_open("d");
    while ((entry = readdir(list)) != NULL) {
        int number;
        if (sscanf(entry->d_name, "name%4d", &number) == 1) {
            seen[number]++;
            snprintf(path, sizeof path, "d/%s", entry->d_name);
            OK(unlink(path));
        }
    }
    for (int i = 0; i < MANY; i++) {
        SAME(seen[i], 1);
    }
    closedir(list);
    OK(rmdir("d"));
}

/* Rename every listed name to what `pattern` makes of its number, and back again or not. */
static void rename_all_listed(const char *pattern, bool back)
{
    enum { COUNT = 300, LIMIT = 1500 };
    const struct dirent *entry;
    char from[300];
    char to[64];
    int listed = 0;
    make_many("d", COUNT);
    DIR *list = list_open("d");
    while ((entry = readdir(list)) != NULL && listed < LIMIT) {
        if (entry->d_name[0] != '.') {
            snprintf(from, sizeof from, "d/%s", entry->d_name);
            snprintf(to, sizeof to, "%s%06d", pattern, listed++);
            OK(rename(from, to));
            OK(back ? rename(to, from) : 0);
        }
    }
    HOLDS(listed < LIMIT);
    SAME(count_names("d"), COUNT);
}

RULE(renaming_every_listed_name_forth_and_back_comes_to_an_end, "POSIX.1-2017 readdir")
{
    rename_all_listed("d/temporary", true);
}

RULE(renaming_every_listed_name_to_an_earlier_one_comes_to_an_end, "POSIX.1-2017 readdir")
{
    rename_all_listed("d/aa", false);
}

RULE(renaming_every_listed_name_to_a_later_one_comes_to_an_end, "readdir(3) (custom, not POSIX)")
{
    rename_all_listed("d/zz", false);
}

RULE(two_listings_of_a_directory_do_not_disturb_each_other, "opendir(3)")
{
    make_many("d", 500);
    DIR *one = list_open("d");
    DIR *two = list_open("d");
    for (int i = 0; i < 250; i++) {
        HOLDS(readdir(one) != NULL);
    }
    SAME(list_rest(two, NULL), 500);
    HOLDS(list_rest(one, NULL) >= 248);
}

RULE(a_removed_directory_that_is_open_lists_no_names, "rmdir(2), readdir(3)")
{
    dir_make("d", 0755);
    DIR *list = list_open("d");
    OK(rmdir("d"));
    SAME(list_rest(list, NULL), 0);
}

RULE(a_renamed_directory_that_is_open_is_listed_on, "rename(2), readdir(3)")
{
    make_many("d", 500);
    DIR *list = list_open("d");
    for (int i = 0; i < 102; i++) {
        HOLDS(readdir(list) != NULL);
    }
    OK(rename("d", "e"));
    HOLDS(list_rest(list, NULL) >= 398);
}

RULE(opening_a_directory_to_list_needs_a_directory, "opendir(3) ENOTDIR, ENOENT")
{
    file_make("f");
    HOLDS(opendir("f") == NULL && errno == ENOTDIR);
    HOLDS(opendir("none") == NULL && errno == ENOENT);
    HOLDS(opendir("") == NULL && errno == ENOENT);
}

RULE(a_listing_may_begin_at_a_descriptor, "fdopendir(3)")
{
    make_many("d", 10);
    int fd = (int)OK(open("d", O_RDONLY | O_DIRECTORY));
    DIR *list = fdopendir(fd);
    HOLDS(list != NULL);
    SAME(list_rest(list, NULL), 10);
}

RULE(a_listing_needs_only_the_right_that_open_asked_for, "opendir(3)")
{
    rule_as_root("it acts as several users, which root may");
    make_many("d", 10);
    DIR *list = list_open("d");
    OK(chmod("d", 0));
    become(USER, USER, 0);
    SAME(list_rest(list, NULL), 10);
}
