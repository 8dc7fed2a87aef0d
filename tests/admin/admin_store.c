/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/admin/admin_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvcore/db/root.h"
#include "kvcore/util/checksum.h"

enum { VALUE_MAX = 6000, PATH_SIZE = 600 };

/* ---- rows ---- */

static struct kv_slice key_of(unsigned i, char to[16])
{
    return kv_slice(to, (size_t)snprintf(to, 16, "key%05u", i));
}

static struct kv_slice value_of(unsigned i, unsigned version, char to[VALUE_MAX])
{
    size_t size = i % 45 == 7 ? 5001 : 101;
    int n = snprintf(to, VALUE_MAX, "%u of version %u ", i, version);
    for (size_t at = (size_t)n; at < size; at++) {
        to[at] = (char)('a' + (at * (i + 7) + at / 13) % 26);
    }
    return kv_slice(to, size);
}

/* The version that counts, or -1: it was deleted. */
static int version_of(unsigned i)
{
    if (i < 300 && i % 3 == 1) {
        return -1;
    }
    if (i >= 400 && i < 410) {
        return -1;
    }
    return i < 300 && i % 3 == 0 ? 1 : 0;
}

static void put(struct kv_table *table, unsigned i, unsigned version)
{
    char key[16], value[VALUE_MAX];
    ck_ok(kv_put(table, key_of(i, key), value_of(i, version, value), KV_DURABLE_WRITE));
}

static struct kv_options options(void)
{
    return (struct kv_options){.create = true,
                               .memtable_bytes = (size_t)256 << 10,
                               .file_bytes = (size_t)24 << 10,
                               .blob_commit_bytes = 4500,
                               .blob_flush_bytes = 4500,
                               .no_background = true};
}

static void fill(struct kv_store *store, struct kv_table *table)
{
    char from[16], to[16];
    for (unsigned i = 0; i < 600; i++) {
        put(table, i, 0);
    }
    ck_ok(kv_compact(store));
    for (unsigned i = 0; i < 300; i++) {
        if (i % 3 == 0) {
            put(table, i, 1);
        } else if (i % 3 == 1) {
            ck_ok(kv_delete(table, key_of(i, from), KV_DURABLE_WRITE));
        }
    }
    ck_ok(kv_delete_range(table, key_of(400, from), key_of(410, to), KV_DURABLE_WRITE));
    ck_ok(kv_flush(store));
    for (unsigned i = 600; i < STORE_KEYS; i++) {
        put(table, i, 0);
        ck_ok(i % 8 == 0 ? kv_sync(store) : 0);
    }
    ck_ok(kv_sync(store));
}

void store_make_both(const char *path)
{
    struct kv_options with = options();
    struct kv_storage *storage = NULL;
    struct kv_store *store = NULL;
    struct kv_table *table = NULL;
    char clean[PATH_SIZE], open[PATH_SIZE];

    snprintf(clean, sizeof clean, "%s/clean", path);
    snprintf(open, sizeof open, "%s/open", path);
    ck_ok(kv_storage_posix_open(clean, true, &storage));
    ck_ok(kv_open(storage, &with, &store));
    ck_ok(kv_table_open(store, "rows", NULL, &table));
    fill(store, table);
    copy_tree(clean, open);
    ck_ok(kv_close(store));
}

/* ---- files ---- */

static void copy_file(int from_dir, int to_dir, const char *name)
{
    char piece[65536];
    struct stat st;
    ssize_t n;
    int from = openat(from_dir, name, O_RDONLY);
    int to;
    ck_assert(from >= 0 && fstat(from, &st) == 0);
    to = openat(to_dir, name, O_WRONLY | O_CREAT | O_TRUNC, st.st_mode & 0777);
    ck_assert(to >= 0);
    while ((n = read(from, piece, sizeof piece)) > 0) {
        ck_assert(write(to, piece, (size_t)n) == n);
    }
    close(from);
    close(to);
}

void copy_files(const char *from, const char *to)
{
    struct dirent *entry;
    DIR *dir = opendir(from);
    int to_dir = open(to, O_RDONLY | O_DIRECTORY);
    ck_assert(dir != NULL && to_dir >= 0);
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_type == DT_REG) {
            copy_file(dirfd(dir), to_dir, entry->d_name);
        }
    }
    close(to_dir);
    closedir(dir);
}

void copy_tree(const char *from, const char *to)
{
    ck_assert(mkdir(to, 0700) == 0);
    copy_files(from, to);
}

static bool same_file(int a_dir, int b_dir, const char *name)
{
    char a_piece[4096], b_piece[4096];
    int a = openat(a_dir, name, O_RDONLY | O_NOFOLLOW);
    int b = openat(b_dir, name, O_RDONLY | O_NOFOLLOW);
    bool same = (a < 0) == (b < 0);
    ssize_t n = same && a >= 0 ? 1 : 0;
    while (same && n > 0) {
        n = read(a, a_piece, sizeof a_piece);
        same = read(b, b_piece, sizeof b_piece) == n && memcmp(a_piece, b_piece, (size_t)n) == 0;
    }
    close(a);
    close(b);
    if (!same) {
        printf("# %s differs\n", name);
    }
    return same;
}

static bool is_beside(const char *name, bool but_archive)
{
    return but_archive && (strcmp(name, "LOCK") == 0 || strcmp(name, "lost+found.d") == 0);
}

/* Every name of `a` is in `b`, the same. */
static bool is_within(const char *a, const char *b, bool but_archive)
{
    struct dirent *entry;
    DIR *dir = opendir(a);
    int other = open(b, O_RDONLY | O_DIRECTORY);
    bool same = dir != NULL && other >= 0;
    while (same && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.' && !is_beside(entry->d_name, but_archive)) {
            same = same_file(dirfd(dir), other, entry->d_name);
        }
    }
    closedir(dir);
    close(other);
    return same;
}

bool same_tree(const char *a, const char *b, bool but_archive)
{
    return is_within(a, b, but_archive) && is_within(b, a, but_archive);
}

void flip(const char *path, const char *name, uint64_t offset)
{
    char file[PATH_SIZE];
    uint8_t byte = 0;
    int fd;
    snprintf(file, sizeof file, "%s/%s", path, name);
    fd = open(file, O_RDWR);
    ck_assert_msg(fd >= 0 && pread(fd, &byte, 1, (off_t)offset) == 1, "%s", file);
    byte ^= 0x10;
    ck_assert(pwrite(fd, &byte, 1, (off_t)offset) == 1);
    close(fd);
}

/* ---- checking ---- */

struct kv_storage *store_storage(const char *path)
{
    struct kv_storage *storage = NULL;
    ck_ok(kv_storage_posix_open(path, false, &storage));
    return storage;
}

uint64_t store_seed(struct kv_storage *storage)
{
    struct kv_buf bytes = {0};
    struct root root;
    uint64_t version;
    ck_ok(storage->ops->root_read(storage, &bytes, &version));
    ck_ok(root_decode(kv_buf_slice(&bytes), &root));
    kv_buf_finish(&bytes);
    return checksum_store_seed(root.seed_id);
}

struct told {
    int *codes;
    size_t count;
};

static int take(void *arg, const struct kv_problem *problem)
{
    struct told *told = arg;
    if (told->count < 63) {
        told->codes[told->count++] = problem->kind->code;
    }
    printf("# %s: %s: %s\n", problem->kind->name, problem->file, problem->text);
    return 0;
}

int store_check(const char *path, enum kv_admin_mode mode, bool deep, int codes[64],
                struct kv_admin_result *ret_result)
{
    struct told told = {.codes = codes};
    struct kv_admin_options with = {.mode = mode, .deep = deep, .problem_fn = take, .arg = &told};
    struct kv_storage *storage = store_storage(path);
    int r;
    memset(codes, 0, 64 * sizeof codes[0]);
    r = kv_admin_check(storage, &with, ret_result);
    storage->ops->close(storage);
    return r;
}

bool has_code(const int codes[64], int code)
{
    for (int i = 0; i < 64; i++) {
        if (codes[i] == code) {
            return true;
        }
    }
    return false;
}

/* ---- judging ---- */

static void judge_key(struct kv_table *table, unsigned i, int version, struct verdict *verdict)
{
    char key[16], value[VALUE_MAX];
    struct kv_pinned pinned = {0};
    int r = kv_get(table, NULL, key_of(i, key), &pinned);

    if (r == -KV_EDAMAGED) {
        verdict->unreadable++;
    } else if (r == -ENOENT) {
        verdict->lost += version >= 0;
        verdict->right += version < 0;
    } else {
        ck_ok(r);
        if (version >= 0 && kv_slice_equal(pinned.value, value_of(i, (unsigned)version, value))) {
            verdict->right++;
        } else {
            printf("# key %u shows '%.20s'\n", i, (const char *)pinned.value.data);
            verdict->stale++;
        }
        kv_pinned_release(&pinned);
    }
}

struct kv_store *store_open(const char *path, bool follow, struct kv_table **ret_table)
{
    struct kv_options with = options();
    struct kv_store *store = NULL;

    with.create = false;
    with.follow = follow;
    ck_ok(kv_open(store_storage(path), &with, &store));
    ck_ok(kv_table_open(store, "rows", NULL, ret_table));
    return store;
}

void store_judge_table(struct kv_table *table, int version, struct verdict *ret_verdict)
{
    *ret_verdict = (struct verdict){0};
    for (unsigned i = 0; i < STORE_KEYS; i++) {
        judge_key(table, i, version > 0 ? version : version_of(i), ret_verdict);
    }
}

void store_judge(const char *path, struct verdict *ret_verdict)
{
    struct kv_table *table = NULL;
    struct kv_store *store = store_open(path, false, &table);
    store_judge_table(table, 0, ret_verdict);
    ck_ok(kv_close(store));
}

static void write_again(struct kv_store *store, struct kv_table *table, unsigned version,
                        unsigned times)
{
    for (unsigned n = 0; n < times; n++) {
        for (unsigned i = 0; i < STORE_KEYS; i++) {
            put(table, i, version);
        }
        ck_ok(kv_flush(store));
    }
}

void store_write_again(const char *path, unsigned version, unsigned times)
{
    struct kv_table *table = NULL;
    struct kv_store *store = store_open(path, false, &table);
    write_again(store, table, version, times);
    ck_ok(kv_close(store));
}

void store_write_again_compacted(const char *path, unsigned version, unsigned times)
{
    struct kv_table *table = NULL;
    struct kv_store *store = store_open(path, false, &table);
    write_again(store, table, version, times);
    ck_ok(kv_compact(store));
    ck_ok(kv_close(store));
}
