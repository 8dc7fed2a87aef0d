/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/mount_table.h"

#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_SIZE_MAX = 16 * 1024 };

static int copy_row(const struct mntent *entry, struct mount_row *row)
{
    mount_row_finish(row);
    row->source = strdup(entry->mnt_fsname);
    row->target = strdup(entry->mnt_dir);
    if (row->source == NULL || row->target == NULL) {
        mount_row_finish(row);
        return -ENOMEM;
    }
    return 0;
}

/* The last matching line counts: later mounts cover earlier ones. */
static int find(const char *text, bool by_target, struct mount_row *ret_row)
{
    struct mount_row row = {0};
    struct mntent entry;
    int r = -ENOENT;
    char *line = malloc(LINE_SIZE_MAX);
    FILE *table = setmntent("/proc/self/mounts", "re");
    if (line == NULL || table == NULL) {
        r = table == NULL ? -errno : -ENOMEM;
        goto out;
    }
    while (getmntent_r(table, &entry, line, LINE_SIZE_MAX) != NULL) {
        bool ours = strcmp(entry.mnt_type, "fuse.kvfs") == 0;
        if (strcmp(by_target ? entry.mnt_dir : entry.mnt_fsname, text) != 0 ||
            (!ours && !by_target)) {
            continue;
        }
        r = ours ? copy_row(&entry, &row) : -ENOENT;
        if (r == -ENOMEM) {
            break;
        }
    }
out:
    if (table != NULL) {
        endmntent(table);
    }
    free(line);
    if (r == 0) {
        *ret_row = row;
    } else {
        mount_row_finish(&row);
    }
    return r;
}

int mount_table_find_target(const char *target, struct mount_row *ret_row)
{
    return find(target, true, ret_row);
}

int mount_table_find_source(const char *source, struct mount_row *ret_row)
{
    return find(source, false, ret_row);
}

void mount_row_finish(struct mount_row *row)
{
    free(row->source);
    free(row->target);
    *row = (struct mount_row){0};
}

int path_resolve(const char *path, char **ret_path)
{
    char *whole = realpath(path, NULL);
    char *copy = NULL;
    char *parent = NULL;
    int r = 0;
    if (whole == NULL) {
        r = -errno;
        copy = strdup(path);
    }
    if (copy != NULL && copy[0] != '\0') {
        size_t size = strlen(copy);
        while (size > 1 && copy[size - 1] == '/') {
            copy[--size] = '\0';
        }
        char *slash = strrchr(copy, '/');
        const char *name = slash != NULL ? slash + 1 : copy;
        if (slash != NULL) {
            *slash = '\0';
        }
        parent = realpath(slash == NULL ? "." : slash == copy ? "/" : copy, NULL);
        bool plain = *name != '\0' && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
        if (parent != NULL && plain &&
            asprintf(&whole, "%s/%s", strcmp(parent, "/") == 0 ? "" : parent, name) < 0) {
            whole = NULL;
        }
    }
    free(copy);
    free(parent);
    if (whole == NULL) {
        return r;
    }
    *ret_path = whole;
    return 0;
}

bool path_is_within(const char *path, const char *directory)
{
    size_t size = strlen(directory);
    if (strcmp(directory, "/") == 0) {
        return true;
    }
    return strncmp(path, directory, size) == 0 && (path[size] == '\0' || path[size] == '/');
}
