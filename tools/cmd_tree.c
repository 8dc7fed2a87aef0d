/* SPDX-License-Identifier: Apache-2.0 */
/* ls, cat, info: looking at a store that is not mounted, as its owner. */
#include "tools/cmd.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <time.h>

#include "tools/text.h"

enum { READ_STEP = 1 << 20 };

struct settings {
    struct words words;
    bool detailed;
};

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct settings *s = state->input;
    if (key == 'l') {
        s->detailed = true;
        return 0;
    }
    return words_collect(&s->words, key, state);
}

/* PATH as a key: the root may be left out or written `/`, slashes around the rest do not count. */
static struct kv_slice key_of(const char *path)
{
    while (*path == '/') {
        path++;
    }
    size_t size = strlen(path);
    while (size > 0 && path[size - 1] == '/') {
        size--;
    }
    return kv_slice(path, size);
}

static int stat_path(struct target *target, const char *path, struct kvfs_entry *entry)
{
    char fault[128] = "";
    struct kv_slice key = key_of(path);
    int r = key.size > 0 ? kvfs_key_check(key, fault, sizeof fault) : 0;
    if (r == 0) {
        fault[0] = '\0';
        r = kvfs_key_stat(target->fs, key, entry);
    }
    if (r < 0) {
        complain("cannot find /%.*s in %s: %s", (int)key.size, (const char *)key.data,
                 target->store, fault[0] != '\0' ? fault : kv_strerror(r));
        return exit_code_of(r);
    }
    return EXIT_DONE;
}

/* ---- ls -------------------------------------------------------------------------------------- */

static const char *type_name(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return "file";
    case S_IFDIR:
        return "directory";
    case S_IFLNK:
        return "symlink";
    case S_IFIFO:
        return "fifo";
    case S_IFSOCK:
        return "socket";
    case S_IFCHR:
        return "character device";
    case S_IFBLK:
        return "block device";
    default:
        return "unknown";
    }
}

static void mode_text(mode_t mode, char to[11])
{
    static const char letters[] = "rwxrwxrwx";
    to[0] = S_ISDIR(mode) ? 'd' : S_ISLNK(mode) ? 'l' : S_ISREG(mode) ? '-' : '?';
    for (int i = 0; i < 9; i++) {
        to[i + 1] = (mode & (0400U >> i)) != 0 ? letters[i] : '-';
    }
    to[10] = '\0';
}

static void time_text(time_t when, char *to, size_t size)
{
    struct tm tm;
    localtime_r(&when, &tm);
    strftime(to, size, "%Y-%m-%d %H:%M:%S", &tm);
}

static void print_entry(const char *name, const struct kvfs_entry *entry, bool detailed)
{
    struct kv_buf shown = {0};
    char mode[11];
    char when[32];
    if (detailed) {
        mode_text(entry->stat.st_mode, mode);
        time_text(entry->stat.st_mtim.tv_sec, when, sizeof when);
        printf("%s %3ju %5u %5u %12jd %s ", mode, (uintmax_t)entry->stat.st_nlink,
               entry->stat.st_uid, entry->stat.st_gid, (intmax_t)entry->stat.st_size, when);
    }
    if (text_append(&shown, kv_slice_str(name), TEXT_AUTO) == 0) {
        fwrite(shown.data, 1, shown.size, stdout);
    }
    putchar('\n');
    kv_buf_finish(&shown);
}

struct listing {
    struct kvfs *fs;
    bool detailed;
    uint64_t next;
    bool any; /* the last call gave something */
};

static bool list_entry(void *arg, const char *name, const struct kvfs_entry *entry,
                       uint64_t next_offset)
{
    struct listing *listing = arg;
    listing->next = next_offset;
    listing->any = true;
    if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
        print_entry(name, entry, listing->detailed);
        if (listing->detailed) {
            kvfs_forget(listing->fs, entry->ino, 1);
        }
    }
    return true;
}

static int list_directory(struct target *target, uint64_t ino, bool detailed)
{
    struct listing listing = {.fs = target->fs, .detailed = detailed, .any = true};
    struct kvfs_dir *dir = NULL;
    int r = kvfs_dir_open(target->fs, ino, &dir);
    while (r == 0 && listing.any) {
        listing.any = false;
        r = kvfs_dir_read(dir, listing.next, detailed, list_entry, &listing);
    }
    kvfs_dir_close(dir);
    if (r < 0) {
        complain("cannot list a directory of %s: %s", target->store, kv_strerror(r));
    }
    return exit_code_of(r);
}

int cmd_ls(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"long", 'l', NULL, 0, "mode, links, owner, group, size, time", 0}, {0}};
    static const struct argp argp = {
        options,
        parse,
        "STORE [PATH]",
        "Examples:\n  kvfs ls /srv/a\n  kvfs ls -l /srv/a users/42\n\nList a directory of a store "
        "that is not mounted.",
        NULL,
        NULL,
        NULL};
    struct settings s = {0};
    struct target target;
    struct kvfs_entry entry;
    const char *store;
    cmd_parse(&argp, argc, argv, EXIT_USAGE, 0, &s);
    int code = words_take_store(&s.words, "ls", argp.args_doc, 0, 1, &store);
    code = code == EXIT_DONE ? target_begin_unmounted(&target, store, TARGET_READ, "ls") : code;
    if (code != EXIT_DONE) {
        return code;
    }
    const char *path = s.words.count > 0 ? s.words.at[0] : "";
    code = stat_path(&target, path, &entry);
    if (code == EXIT_DONE && S_ISDIR(entry.stat.st_mode)) {
        code = list_directory(&target, entry.ino, s.detailed);
    } else if (code == EXIT_DONE) {
        print_entry(path, &entry, s.detailed);
    }
    return target_end(&target, code);
}

/* ---- cat ------------------------------------------------------------------------------------- */

static int copy_out(struct target *target, const char *path)
{
    struct kvfs_entry entry;
    struct kv_buf bytes = {0};
    uint64_t offset = 0;
    int r = 0;
    int code = stat_path(target, path, &entry);
    if (code != EXIT_DONE) {
        return code;
    }
    if (!S_ISREG(entry.stat.st_mode)) {
        complain("cannot show %s: it is a %s", path, type_name(entry.stat.st_mode));
        return EXIT_FAILED;
    }
    do {
        r = kvfs_read(target->fs, entry.ino, offset, READ_STEP, &bytes);
        if (r == 0 && fwrite(bytes.data, 1, bytes.size, stdout) != bytes.size) {
            break; /* told at the end */
        }
        offset += bytes.size;
    } while (r == 0 && bytes.size == READ_STEP);
    kv_buf_finish(&bytes);
    if (r < 0) {
        complain("cannot read %s at %" PRIu64 ": %s", path, offset, kv_strerror(r));
    }
    return exit_code_of(r);
}

int cmd_cat(int argc, char **argv)
{
    static const struct argp_option options[] = {{0}};
    static const struct argp argp = {options,
                                     parse,
                                     "STORE PATH...",
                                     "Examples:\n  kvfs cat /srv/a users/42/name\n\nWrite files of "
                                     "a store that is not mounted to "
                                     "stdout.",
                                     NULL,
                                     NULL,
                                     NULL};
    struct settings s = {0};
    struct target target;
    const char *store;
    cmd_parse(&argp, argc, argv, EXIT_USAGE, 0, &s);
    int code = words_take_store(&s.words, "cat", argp.args_doc, 1, 1 << 30, &store);
    code = code == EXIT_DONE ? target_begin_unmounted(&target, store, TARGET_READ, "cat") : code;
    if (code != EXIT_DONE) {
        return code;
    }
    for (int i = 0; i < s.words.count && !ferror(stdout); i++) {
        int failed = copy_out(&target, s.words.at[i]);
        code = code == EXIT_DONE ? failed : code;
    }
    return target_end(&target, code);
}

/* ---- info ------------------------------------------------------------------------------------ */

static json_t *time_json(struct timespec t)
{
    return json_sprintf("%jd.%09ld", (intmax_t)t.tv_sec, t.tv_nsec);
}

static json_t *bytes_json(struct kv_slice bytes)
{
    struct kv_buf shown = {0};
    json_t *json = NULL;
    if (text_append(&shown, bytes, TEXT_AUTO) == 0) {
        json = json_stringn(shown.size > 0 ? (const char *)shown.data : "", shown.size);
    }
    kv_buf_finish(&shown);
    return json;
}

static void add_target(struct kvfs *fs, const struct kvfs_entry *entry, json_t *info)
{
    struct kv_buf target = {0};
    if (S_ISLNK(entry->stat.st_mode) && kvfs_readlink(fs, entry->ino, &target) == 0) {
        json_object_set_new(info, "target", bytes_json(kv_buf_slice(&target)));
    }
    kv_buf_finish(&target);
}

static void add_xattrs(struct kvfs *fs, const struct kvfs_entry *entry, json_t *info)
{
    struct kv_buf names = {0};
    struct kv_buf value = {0};
    if (kvfs_listxattr(fs, entry->ino, &names) == 0 && names.size > 0) {
        json_t *xattrs = json_object();
        const char *end = (const char *)names.data + names.size;
        for (const char *name = (const char *)names.data; name < end; name += strlen(name) + 1) {
            if (kvfs_getxattr(fs, entry->ino, name, &value) == 0) {
                json_object_set_new(xattrs, name, bytes_json(kv_buf_slice(&value)));
            }
        }
        json_object_set_new(info, "xattrs", xattrs);
    }
    kv_buf_finish(&names);
    kv_buf_finish(&value);
}

static json_t *info_json(struct target *target, const char *path, const struct kvfs_entry *entry)
{
    const struct stat *st = &entry->stat;
    json_t *info = json_pack(
        "{s:i, s:o, s:s, s:I, s:o, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o}", "format_version",
        1, "path", bytes_json(key_of(path)), "type", type_name(st->st_mode), "inode",
        (json_int_t)entry->ino, "mode", json_sprintf("%04o", st->st_mode & 07777), "links",
        (json_int_t)st->st_nlink, "uid", (json_int_t)st->st_uid, "gid", (json_int_t)st->st_gid,
        "size", (json_int_t)st->st_size, "allocated", (json_int_t)st->st_blocks * 512, "modified",
        time_json(st->st_mtim), "changed", time_json(st->st_ctim), "accessed",
        time_json(st->st_atim), "born", time_json(entry->btime));
    if (info != NULL) {
        add_target(target->fs, entry, info);
        add_xattrs(target->fs, entry, info);
    }
    return info;
}

static void print_info(json_t *info)
{
    const char *name;
    json_t *value;
    json_object_foreach(info, name, value)
    {
        if (strcmp(name, "format_version") == 0) {
            continue;
        }
        printf("%-10s ", name);
        if (json_is_string(value)) {
            printf("%s\n", json_string_value(value));
        } else {
            json_dumpf(value, stdout, JSON_ENCODE_ANY);
            putchar('\n');
        }
    }
}

int cmd_info(int argc, char **argv)
{
    static const struct argp_option options[] = {{"json", 'j', NULL, 0, "as JSON", 0}, {0}};
    static const struct argp argp = {
        options,
        json_settings_parse,
        "STORE PATH",
        "Examples:\n  kvfs info /srv/a users/42\n  kvfs info --json /srv/a /\n\nShow the "
        "attributes "
        "of a file or directory of a store that is not mounted. Times are seconds since 1970.",
        NULL,
        NULL,
        NULL};
    struct json_settings s = {0};
    struct target target;
    struct kvfs_entry entry;
    const char *store;
    cmd_parse(&argp, argc, argv, EXIT_USAGE, 0, &s);
    int code = words_take_store(&s.words, "info", argp.args_doc, 1, 1, &store);
    code = code == EXIT_DONE ? target_begin_unmounted(&target, store, TARGET_READ, "info") : code;
    if (code != EXIT_DONE) {
        return code;
    }
    code = stat_path(&target, s.words.at[0], &entry);
    json_t *info = code == EXIT_DONE ? info_json(&target, s.words.at[0], &entry) : NULL;
    if (info != NULL && s.json) {
        json_dumpf(info, stdout, JSON_COMPACT);
        putchar('\n');
    } else if (info != NULL) {
        print_info(info);
    } else if (code == EXIT_DONE) {
        complain("out of memory");
        code = EXIT_FAILED;
    }
    json_decref(info);
    return target_end(&target, code);
}
