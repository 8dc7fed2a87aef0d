/* SPDX-License-Identifier: Apache-2.0 */
/* Several threads on one tree: whatever they do, every row fits at the end and nobody saw damage or
 * half of a write. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "kvcore/util/rng.h"
#include "kvcore/util/thread.h"
#include "tests/fs/fs_check.h"
#include "tests/fs/fs_fixture.h"

enum { THREADS = 4, DIRS = 3, NAMES = 6, BLOCK = 40000 };

struct worker {
    struct kvfs *fs;
    struct thread thread;
    struct rng rng;
    uint64_t steps;
    const uint64_t *dirs;
    const char *failed; /* first unexpected result */
    int result;
};

/* Results that a race explains. */
static bool is_expected(int r)
{
    switch (r) {
    case 0:
    case -ENOENT:
    case -EEXIST:
    case -EISDIR:
    case -ENOTDIR:
    case -ENOTEMPTY:
    case -EINVAL:
    case -EPERM:
    case -ENODATA:
    case -ELOOP:
        return true;
    default:
        return false;
    }
}

static void note(struct worker *w, const char *what, int r)
{
    if (!is_expected(r) && w->failed == NULL) {
        w->failed = what;
        w->result = r;
    }
}

static uint64_t pick(struct worker *w, uint64_t bound)
{
    return rng_below(&w->rng, bound);
}

static const char *pick_name(struct worker *w)
{
    static const char *const names[NAMES] = {"a", "b", "c", "d", "e", "f"};
    return names[pick(w, NAMES)];
}

static uint64_t pick_dir(struct worker *w)
{
    return w->dirs[pick(w, DIRS)];
}

static void make(struct worker *w)
{
    struct kvfs_entry entry;
    struct kvfs_file *file = NULL;
    int r;
    if (pick(w, 3) == 0) {
        r = kvfs_mkdir(w->fs, &fixture_who, pick_dir(w), pick_name(w), 0755, &entry);
    } else {
        r = kvfs_create(w->fs, pick_dir(w), pick_name(w),
                        &(struct kvfs_new){.who = fixture_who, .mode = 0644, .flags = O_RDWR},
                        &entry, &file);
    }
    note(w, "make", r);
    if (r == 0) {
        kvfs_file_close(file);
        kvfs_forget(w->fs, entry.ino, 1);
    }
}

/* Every write fills the same block with one byte, so a reader must find one byte only. */
static void write_or_read(struct worker *w, uint64_t ino)
{
    static const uint8_t zeros[BLOCK];
    uint8_t *bytes = malloc(BLOCK);
    struct kv_buf buf = {0};
    memset(bytes, (int)(1 + pick(w, 255)), BLOCK);
    if (pick(w, 2) == 0) {
        note(w, "write", kvfs_write(w->fs, ino, 0, kv_slice(bytes, BLOCK), false, true));
    }
    int r = kvfs_read(w->fs, ino, 0, BLOCK, &buf);
    note(w, "read", r);
    if (r == 0 && buf.size > 0) {
        memset(bytes, buf.data[0], BLOCK);
        if (buf.size != BLOCK || memcmp(bytes, buf.data, BLOCK) != 0 ||
            memcmp(zeros, buf.data, BLOCK) == 0) {
            note(w, "read half of a write", -EIO);
        }
    }
    kv_buf_finish(&buf);
    free(bytes);
}

static void use(struct worker *w)
{
    struct kvfs_entry entry;
    struct kvfs_entry attributes;
    struct stat attr = {.st_mode = 0640};
    int r = kvfs_lookup(w->fs, pick_dir(w), pick_name(w), &entry);
    note(w, "lookup", r);
    if (r < 0) {
        return;
    }
    uint8_t value = 1;
    switch (pick(w, 4)) {
    case 0:
        note(w, "setattr", kvfs_setattr(w->fs, entry.ino, &attr, KVFS_SET_MODE, &attributes));
        break;
    case 1:
        note(w, "setxattr", kvfs_setxattr(w->fs, entry.ino, "user.x", kv_slice(&value, 1), 0));
        break;
    case 2:
        r = kvfs_link(w->fs, entry.ino, pick_dir(w), pick_name(w), &attributes);
        note(w, "link", r);
        if (r == 0) {
            kvfs_forget(w->fs, entry.ino, 1);
        }
        break;
    default:
        write_or_read(w, entry.ino);
        break;
    }
    note(w, "getattr", kvfs_getattr(w->fs, entry.ino, &attributes));
    kvfs_forget(w->fs, entry.ino, 1);
}

static void rename_some(struct worker *w)
{
    const unsigned flags[] = {0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE};
    uint64_t from = pick_dir(w);
    const char *name = pick_name(w);
    note(w, "rename", kvfs_rename(w->fs, from, name, pick_dir(w), pick_name(w), flags[pick(w, 4)]));
}

/* Into and out of subdirectories, where cycles could be made. */
static void move_directories(struct worker *w)
{
    struct kvfs_entry one;
    struct kvfs_entry two;
    if (kvfs_lookup(w->fs, pick_dir(w), pick_name(w), &one) < 0) {
        return;
    }
    if (kvfs_lookup(w->fs, pick_dir(w), pick_name(w), &two) == 0) {
        note(w, "move in", kvfs_rename(w->fs, pick_dir(w), pick_name(w), one.ino, "sub", 0));
        note(w, "move across", kvfs_rename(w->fs, one.ino, "sub", two.ino, "sub", 0));
        note(w, "move out", kvfs_rename(w->fs, two.ino, "sub", pick_dir(w), pick_name(w), 0));
        kvfs_forget(w->fs, two.ino, 1);
    }
    kvfs_forget(w->fs, one.ino, 1);
}

struct listing {
    struct kvfs *fs;
    uint64_t known[NAMES + 4];
    unsigned count;
};

static bool take(void *arg, const char *name, const struct kvfs_entry *entry, uint64_t next_offset)
{
    struct listing *l = arg;
    (void)name;
    if (next_offset > 2) {
        l->known[l->count++] = entry->ino;
    }
    return true;
}

static void list(struct worker *w)
{
    struct listing l = {.fs = w->fs};
    struct kvfs_dir *dir = NULL;
    int r = kvfs_dir_open(w->fs, pick_dir(w), &dir);
    if (r == 0) {
        r = kvfs_dir_read(dir, 0, true, take, &l);
    }
    note(w, "list", r);
    kvfs_dir_close(dir);
    for (unsigned i = 0; i < l.count; i++) {
        kvfs_forget(w->fs, l.known[i], 1);
    }
}

static bool go_on(void *arg, struct kv_slice key, struct kv_slice value)
{
    (void)arg;
    return key.size > 0 && value.size != 1;
}

static void by_key(struct worker *w)
{
    struct kv_buf value = {0};
    struct kvfs_scan_options all = {0};
    uint8_t *bytes = calloc(1, BLOCK);
    char key[32];
    memset(bytes, 7, BLOCK);
    snprintf(key, sizeof key, "dir%u/%s", (unsigned)pick(w, DIRS), pick_name(w));
    switch (pick(w, 4)) {
    case 0:
        note(w, "put",
             kvfs_key_put(w->fs, &fixture_who, kv_slice_str(key), kv_slice(bytes, BLOCK)));
        break;
    case 1:
        note(w, "get", kvfs_key_get(w->fs, kv_slice_str(key), &value));
        break;
    case 2:
        note(w, "delete", kvfs_key_delete(w->fs, kv_slice_str(key)));
        break;
    default:
        note(w, "scan", kvfs_scan(w->fs, &all, go_on, NULL));
        break;
    }
    kv_buf_finish(&value);
    free(bytes);
}

static void *work(void *arg)
{
    struct worker *w = arg;
    for (uint64_t i = 0; i < w->steps; i++) {
        switch (pick(w, 9)) {
        case 0:
        case 1:
            make(w);
            break;
        case 2:
        case 3:
            use(w);
            break;
        case 4:
            note(w, "unlink", kvfs_unlink(w->fs, pick_dir(w), pick_name(w)));
            note(w, "rmdir", kvfs_rmdir(w->fs, pick_dir(w), pick_name(w)));
            break;
        case 5:
            rename_some(w);
            break;
        case 6:
            move_directories(w);
            break;
        case 7:
            list(w);
            break;
        default:
            by_key(w);
            break;
        }
    }
    return NULL;
}

static void run(uint64_t memory_bytes)
{
    struct fs_fixture f;
    struct worker workers[THREADS];
    uint64_t dirs[DIRS];
    char name[16];
    fixture_open(&f);
    f.memory_bytes = memory_bytes;
    fixture_reopen(&f);
    for (unsigned i = 0; i < DIRS; i++) {
        snprintf(name, sizeof name, "dir%u", i);
        dirs[i] = fixture_dir(&f, KVFS_ROOT_INO, name);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){
            .fs = f.fs, .rng = {.state = test_seed() + i}, .steps = test_steps(1500), .dirs = dirs};
        ck_ok(thread_start(&workers[i].thread, "test", work, &workers[i]));
    }
    for (unsigned i = 0; i < THREADS; i++) {
        thread_join(&workers[i].thread);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        ck_assert_msg(workers[i].failed == NULL, "%s: %s (seed %" PRIu64 ")", workers[i].failed,
                      kv_strerror(workers[i].result), test_seed());
    }
    ck_assert_uint_eq(f.damage_messages, 0);
    fs_check(f.fs); /* all was forgotten, so no orphan is left even before closing */
    fixture_close(&f);
}

START_TEST(threads_on_one_tree_leave_it_whole)
{
    run(8 << 20);
}
END_TEST

START_TEST(threads_leave_the_tree_whole_without_an_inode_cache)
{
    run(1);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("fs_threads");
    suite_add(suite, "threads", threads_on_one_tree_leave_it_whole);
    suite_add(suite, "no_cache", threads_leave_the_tree_whole_without_an_inode_cache);
    return suite;
}
