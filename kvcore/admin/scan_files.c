/* SPDX-License-Identifier: Apache-2.0 */
/* Every name in the directory: what is there, and what does not belong there. */
#include <stdio.h>
#include <stdlib.h>

#include "kvcore/admin/scan.h"

static int add_file(struct scan *scan, const struct raw_name *name)
{
    if (scan->file_count == scan->file_capacity) {
        size_t capacity = scan->file_capacity > 0 ? 2 * scan->file_capacity : 64;
        struct scan_file *larger = realloc(scan->files, capacity * sizeof *larger);
        if (larger == NULL) {
            return -ENOMEM;
        }
        scan->files = larger;
        scan->file_capacity = capacity;
    }
    scan->files[scan->file_count++] = (struct scan_file){
        .id = name->id, .size = (uint64_t)name->stat.st_size, .is_ours = name->is_ours};
    if (name->id.number > scan->highest[name->id.kind]) {
        scan->highest[name->id.kind] = name->id.number;
    }
    scan->progress.bytes_all += (uint64_t)name->stat.st_size;
    return 0;
}

/* 64 KiB pieces of bytes that only look like names are nothing to print. */
static void printable(const char *name, char to[48])
{
    size_t n = 0;
    for (; name[n] != '\0' && n < 47; n++) {
        to[n] = (unsigned char)name[n] < ' ' || name[n] == 0x7f ? '?' : name[n];
    }
    to[n] = '\0';
}

static void check_mode(struct scan *scan, const struct raw_name *name)
{
    struct scan_place at = {
        .code = KV_PROBLEM_FILE_OPEN, .name = name->name, .offset = MESSAGE_NO_OFFSET};
    if (name->is_ours && (name->stat.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        scan_tell(scan, &at, "others than its owner may write to %s", name->name);
    }
}

static int note_file(struct scan *scan, const struct raw_name *name)
{
    struct scan_place at = {
        .code = KV_PROBLEM_FILE_NOT_A_FILE, .name = name->name, .offset = MESSAGE_NO_OFFSET};
    if (!name->is_ours) {
        scan_tell(scan, &at, "%s is no regular file of the store's owner", name->name);
    }
    check_mode(scan, name);
    return add_file(scan, name);
}

static int note_name(void *arg, const struct raw_name *name)
{
    struct scan *scan = arg;
    char text[48];
    struct scan_place at = {
        .code = KV_PROBLEM_FILE_FOREIGN, .name = text, .offset = MESSAGE_NO_OFFSET};

    printable(name->name, text);
    switch (name->kind) {
    case RAW_FILE:
        return note_file(scan, name);
    case RAW_FIXED:
        scan->has_lock |= strcmp(name->name, "LOCK") == 0;
        check_mode(scan, name);
        return 0;
    case RAW_LEFTOVER:
        at.code = KV_PROBLEM_FILE_LEFTOVER;
        scan_tell(scan, &at, "%s was being made when the store was last open", text);
        return 0;
    case RAW_FOREIGN:
        break;
    }
    scan_tell(scan, &at, "%s is not the store's", text);
    return 0;
}

static int compare(const void *a, const void *b)
{
    const struct kv_file_id *ia = &((const struct scan_file *)a)->id;
    const struct kv_file_id *ib = &((const struct scan_file *)b)->id;
    if (ia->kind != ib->kind) {
        return ia->kind < ib->kind ? -1 : 1;
    }
    return (ia->number > ib->number) - (ia->number < ib->number);
}

int scan_files(struct scan *scan)
{
    struct scan_place at = {
        .code = KV_PROBLEM_LOCK_MISSING, .name = "LOCK", .offset = MESSAGE_NO_OFFSET};
    int r = raw_list(scan->storage, note_name, scan);

    if (r < 0) {
        return r;
    }
    if (scan->file_count > 0) {
        qsort(scan->files, scan->file_count, sizeof scan->files[0], compare);
    }
    if (!scan->has_lock) {
        scan_tell(scan, &at, "LOCK, by which writers keep off each other, is missing");
    }
    return 0;
}

/* Tables, blobs, logs and manifests that nothing names. Crashes leave them. */
void scan_unneeded(struct scan *scan)
{
    for (size_t i = 0; i < scan->file_count; i++) {
        const struct scan_file *file = &scan->files[i];
        struct scan_place at = {
            .code = KV_PROBLEM_FILE_OBSOLETE, .id = file->id, .offset = MESSAGE_NO_OFFSET};
        char name[48];
        if (!file->wanted) {
            scan_file_name(file->id, name);
            scan_tell(scan, &at, "%s is needed by nothing", name);
        }
    }
}
