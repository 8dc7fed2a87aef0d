/* SPDX-License-Identifier: Apache-2.0 */
/* What calls and files are called. */
#include "tests/sim/sim_impl.h"

#include "kvcore/storage/posix_names.h"

static const char *const call_names[SIM_CALL_COUNT] = {
    [SIM_OPEN] = "openat",           [SIM_CREATE] = "openat(O_CREAT)",
    [SIM_CLOSE] = "close",           [SIM_MKDIR] = "mkdirat",
    [SIM_FCHMOD] = "fchmod",         [SIM_PREAD] = "pread",
    [SIM_PWRITEV] = "pwritev",       [SIM_FDATASYNC] = "fdatasync",
    [SIM_FSYNC] = "fsync",           [SIM_FALLOCATE] = "fallocate",
    [SIM_SYNC_RANGE] = "sync_range", [SIM_FADVISE] = "fadvise",
    [SIM_RENAME] = "renameat",       [SIM_LINK] = "linkat",
    [SIM_UNLINK] = "unlinkat",       [SIM_FSTAT] = "fstat",
    [SIM_LSTAT] = "lstatat",         [SIM_FSTATVFS] = "fstatvfs",
    [SIM_FLOCK] = "flock",           [SIM_LIST] = "list",
};

static const char *const kind_names[SIM_KIND_COUNT] = {
    [SIM_DIR] = "directory",       [SIM_PARENT] = "parent directory",
    [SIM_LOCK] = "LOCK",           [SIM_ROOT] = "ROOT",
    [SIM_ROOT_TMP] = "ROOT.tmp",   [SIM_LOG] = "log",
    [SIM_MANIFEST] = "manifest",   [SIM_TABLE] = "table",
    [SIM_TABLE_TMP] = "table.tmp", [SIM_RESERVE] = "RESERVE",
    [SIM_BLOB] = "blob",           [SIM_OTHER] = "other",
};

const char *sim_call_name(enum sim_call call)
{
    return call_names[call];
}

const char *sim_kind_name(enum sim_kind kind)
{
    return kind_names[kind];
}

enum sim_kind sim_kind_of(const char *name)
{
    struct kv_file_id id;
    if (strcmp(name, POSIX_LOCK_NAME) == 0) {
        return SIM_LOCK;
    }
    if (strcmp(name, POSIX_ROOT_NAME) == 0) {
        return SIM_ROOT;
    }
    if (strcmp(name, POSIX_ROOT_TMP_NAME) == 0) {
        return SIM_ROOT_TMP;
    }
    if (strcmp(name, POSIX_RESERVE_NAME) == 0) {
        return SIM_RESERVE;
    }
    switch (posix_name_parse(name, &id)) {
    case POSIX_NAME_FILE:
        return id.kind == KV_FILE_LOG        ? SIM_LOG
               : id.kind == KV_FILE_MANIFEST ? SIM_MANIFEST
               : id.kind == KV_FILE_BLOB     ? SIM_BLOB
                                             : SIM_TABLE;
    case POSIX_NAME_LEFTOVER:
        return SIM_TABLE_TMP;
    default:
        return SIM_OTHER;
    }
}
