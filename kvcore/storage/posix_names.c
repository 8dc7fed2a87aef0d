/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/storage/posix_names.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { KIND_COUNT = 4 };

static const char *kind_name(enum kv_file_kind kind)
{
    switch (kind) {
    case KV_FILE_LOG:
        return "log";
    case KV_FILE_MANIFEST:
        return "manifest";
    case KV_FILE_TABLE:
        return "table";
    case KV_FILE_BLOB:
        break;
    }
    assert(kind == KV_FILE_BLOB);
    return "blob";
}

static void format_name(struct kv_file_id id, const char *suffix, char to[POSIX_NAME_SIZE])
{
    int n =
        snprintf(to, POSIX_NAME_SIZE, "%08" PRIu64 ".%s%s", id.number, kind_name(id.kind), suffix);
    assert(n > 0 && n < POSIX_NAME_SIZE);
}

void posix_name_format(struct kv_file_id id, char to[POSIX_NAME_SIZE])
{
    format_name(id, "", to);
}

void posix_name_format_tmp(struct kv_file_id id, char to[POSIX_NAME_SIZE])
{
    format_name(id, ".tmp", to);
}

static bool is_fixed(const char *name)
{
    static const char *const fixed[] = {POSIX_ROOT_NAME, POSIX_LOCK_NAME, "control", "lost+found.d",
                                        POSIX_RESERVE_NAME};
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
        if (strcmp(name, fixed[i]) == 0) {
            return true;
        }
    }
    return false;
}

enum posix_name_kind posix_name_parse(const char *name, struct kv_file_id *ret_id)
{
    struct kv_file_id id = {0};
    char expected[POSIX_NAME_SIZE];

    if (is_fixed(name)) {
        return POSIX_NAME_FIXED;
    }
    if (strcmp(name, POSIX_ROOT_TMP_NAME) == 0) {
        return POSIX_NAME_LEFTOVER;
    }
    if (name[0] < '0' || name[0] > '9') {
        return POSIX_NAME_FOREIGN;
    }
    id.number = strtoull(name, NULL, 10);
    /* Comparing with what the number would be called refuses odd spellings and overflow. */
    for (int kind = 1; kind <= KIND_COUNT; kind++) {
        id.kind = (enum kv_file_kind)kind;
        posix_name_format(id, expected);
        if (strcmp(name, expected) == 0) {
            *ret_id = id;
            return POSIX_NAME_FILE;
        }
        posix_name_format_tmp(id, expected);
        if (strcmp(name, expected) == 0) {
            return POSIX_NAME_LEFTOVER;
        }
    }
    return POSIX_NAME_FOREIGN;
}
