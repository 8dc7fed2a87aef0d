/* SPDX-License-Identifier: Apache-2.0 */
/* Rows that tell their version, for stores that lose their manifests. */
#ifndef TESTS_ADMIN_REBUILD_ROWS_H
#define TESTS_ADMIN_REBUILD_ROWS_H

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/admin/admin_store.h"

enum { VALUE_MAX = 8192, DELETED = 0 };

static inline struct kv_slice key_of(unsigned i, char to[16])
{
    return kv_slice(to, (size_t)snprintf(to, 16, "k%04u", i));
}

static inline struct kv_slice value_of(unsigned version, char to[VALUE_MAX])
{
    size_t size = version % 11 == 3 ? 3000 + version % 4000 : 20 + version % 150;
    int n = snprintf(to, VALUE_MAX, "%u ", version);
    for (size_t at = (size_t)n; at < size; at++) {
        to[at] = (char)('a' + (at * (version + 7) + at / 13) % 26);
    }
    return kv_slice(to, size);
}

static inline unsigned version_in(struct kv_slice value)
{
    char text[16] = {0};
    memcpy(text, value.data, value.size < 15 ? value.size : 15);
    return (unsigned)strtoul(text, NULL, 10);
}

static inline unsigned look_up(struct kv_table *table, unsigned key)
{
    char name[16], value[VALUE_MAX];
    struct kv_pinned pinned = {0};
    unsigned version;
    int r = kv_get(table, NULL, key_of(key, name), &pinned);

    if (r == -ENOENT) {
        return DELETED;
    }
    ck_ok(r);
    version = version_in(pinned.value);
    ck_assert(kv_slice_equal(pinned.value, value_of(version, value)));
    kv_pinned_release(&pinned);
    return version;
}

/* Remove every manifest, and ROOT. */
static inline void lose(const char *path, bool with_root)
{
    char file[1024];
    struct dirent *entry;
    DIR *dir = opendir(path);
    ck_assert_ptr_nonnull(dir);
    while ((entry = readdir(dir)) != NULL) {
        bool goes = strstr(entry->d_name, ".manifest") != NULL ||
                    (with_root && strcmp(entry->d_name, "ROOT") == 0);
        if (goes) {
            snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
            ck_assert(unlink(file) == 0);
        }
    }
    closedir(dir);
}

#endif
