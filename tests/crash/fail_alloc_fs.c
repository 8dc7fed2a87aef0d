/* SPDX-License-Identifier: Apache-2.0 */
/* Fails every n-th allocation of the filesystem and the engine below it, alone, to the end of the
 * call, and for ever. The call of fs/kvfs.h that it hit returns -ENOMEM and has changed nothing, or
 * has done its work; made again with memory it works. At the end the tree, its rows and what was
 * read are those of a run without a failure, and after closing nothing is left allocated. */
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/core/attr_index.h"
#include "kvcore/util/checksum.h"
#include "tests/crash/alloc_wrap.h"
#include "tests/crash/rig.h"
#include "tests/crash/tree.h"
#include "tests/fs/fs_check.h"
#include "tests/lib/check_main.h"

enum { LARGE = 100 * 1000 };

static const struct kvfs_who who = {.uid = 1000, .gid = 100, .umask = 022};

struct run {
    struct sim_fs *sim;
    struct kvfs *fs;
    struct kvfs_file *file;
    uint64_t at, to; /* inodes of the operation's paths; 0: there is none */
    uint64_t digest; /* of what the operation read */
    uint8_t bytes[LARGE];
};

/* ---- operations: one call each, or one reading loop ---- */

static int with_entry(struct run *run, int r, const struct kvfs_entry *entry)
{
    if (r == 0) {
        kvfs_forget(run->fs, entry->ino, 1);
    }
    return r;
}

static void digest(struct run *run, struct kv_slice bytes)
{
    run->digest = hash_bytes(bytes, run->digest);
}

static int digest_buf(struct run *run, int r, struct kv_buf *buf)
{
    if (r == 0) {
        digest(run, kv_buf_slice(buf));
    }
    kv_buf_finish(buf);
    return r;
}

static int do_open(struct run *run)
{
    struct kvfs_options options = {.create = true,
                                   .memory_bytes = 1 << 20,
                                   .no_background = true,
                                   .index = tree_xattr_name(0),
                                   .holder = "the allocation test"};
    struct kv_storage *storage = NULL;
    int r = sim_storage_open(run->sim, true, &storage);
    return r < 0 ? r : kvfs_open_storage(storage, &options, &run->fs);
}

/* The filesystem is gone all the same; what closing could not do the next opening does. */
static int do_reopen(struct run *run)
{
    int r = 0;
    if (run->fs != NULL) {
        r = kvfs_close(run->fs);
        run->fs = NULL;
    }
    return r < 0 ? r : do_open(run);
}

static int do_mkdir(struct run *run)
{
    struct kvfs_entry entry;
    return with_entry(run, kvfs_mkdir(run->fs, &who, run->at, "a", 0755, &entry), &entry);
}

static int do_mknod(struct run *run)
{
    struct kvfs_new what = {.who = who, .mode = S_IFREG | 0644};
    struct kvfs_entry entry;
    return with_entry(run, kvfs_mknod(run->fs, run->at, "b", &what, &entry), &entry);
}

static int do_create(struct run *run)
{
    struct kvfs_new what = {.who = who, .mode = 0644};
    struct kvfs_entry entry;
    return with_entry(run, kvfs_create(run->fs, run->at, "c", &what, &entry, &run->file), &entry);
}

static int do_symlink(struct run *run)
{
    struct kvfs_entry entry;
    char target[TREE_TARGET_MAX];
    tree_target(7, target);
    return with_entry(run, kvfs_symlink(run->fs, &who, run->at, "dd", target, &entry), &entry);
}

static int do_link(struct run *run)
{
    struct kvfs_entry entry;
    return with_entry(run, kvfs_link(run->fs, run->to, run->at, "e e", &entry), &entry);
}

static int do_lookup(struct run *run)
{
    struct kvfs_entry entry;
    return with_entry(run, kvfs_lookup(run->fs, run->at, "b", &entry), &entry);
}

static int do_write_large(struct run *run)
{
    return kvfs_write(run->fs, run->at, 0, kv_slice(run->bytes, LARGE), false, false);
}

static int do_append(struct run *run)
{
    return kvfs_write(run->fs, run->at, 0, kv_slice(run->bytes, 300), true, false);
}

static int do_overwrite(struct run *run)
{
    return kvfs_write(run->fs, run->at, 40000, kv_slice(run->bytes, 5000), false, false);
}

static int do_read(struct run *run)
{
    struct kv_buf buf = {0};
    return digest_buf(run, kvfs_read(run->fs, run->at, 10, LARGE, &buf), &buf);
}

static int do_seek(struct run *run)
{
    uint64_t offset = 0;
    int r = kvfs_seek(run->fs, run->at, 0, SEEK_HOLE, &offset);
    digest(run, kv_slice(&offset, sizeof offset));
    return r;
}

static int do_punch(struct run *run)
{
    return kvfs_fallocate(run->fs, run->at, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 33000,
                          20000);
}

static int do_truncate(struct run *run)
{
    struct stat attr = {.st_size = 70001};
    struct kvfs_entry entry;
    return kvfs_setattr(run->fs, run->at, &attr, KVFS_SET_SIZE, &entry);
}

static int do_chmod(struct run *run)
{
    struct stat attr = {.st_mode = 0600};
    struct kvfs_entry entry;
    return kvfs_setattr(run->fs, run->at, &attr, KVFS_SET_MODE, &entry);
}

static int do_readlink(struct run *run)
{
    struct kv_buf buf = {0};
    return digest_buf(run, kvfs_readlink(run->fs, run->at, &buf), &buf);
}

static int do_setxattr(struct run *run)
{
    uint8_t value[TREE_XATTR_MAX];
    size_t size = tree_xattr(5, value);
    return kvfs_setxattr(run->fs, run->at, tree_xattr_name(0), kv_slice(value, size), 0);
}

static int do_getxattr(struct run *run)
{
    struct kv_buf buf = {0};
    return digest_buf(run, kvfs_getxattr(run->fs, run->at, tree_xattr_name(0), &buf), &buf);
}

static int do_listxattr(struct run *run)
{
    struct kv_buf buf = {0};
    return digest_buf(run, kvfs_listxattr(run->fs, run->at, &buf), &buf);
}

static int do_removexattr(struct run *run)
{
    return kvfs_removexattr(run->fs, run->at, tree_xattr_name(0));
}

static int do_rename(struct run *run)
{
    return kvfs_rename(run->fs, run->at, "b", run->to, "c", 0);
}

static int do_exchange(struct run *run)
{
    return kvfs_rename(run->fs, run->at, "c", run->to, "b", RENAME_EXCHANGE);
}

static int do_unlink(struct run *run)
{
    return kvfs_unlink(run->fs, run->at, "c");
}

static int do_unlink_symlink(struct run *run)
{
    return kvfs_unlink(run->fs, run->at, "dd");
}

static int do_unlink_open(struct run *run)
{
    return kvfs_unlink(run->fs, run->at, "e e");
}

static int do_close(struct run *run)
{
    kvfs_file_close(run->file);
    run->file = NULL;
    return 0;
}

static int do_rmdir(struct run *run)
{
    return kvfs_rmdir(run->fs, run->at, "a");
}

struct listing {
    struct run *run;
    uint64_t next;
    size_t count;
};

static bool note_entry(void *arg, const char *name, const struct kvfs_entry *entry,
                       uint64_t next_offset)
{
    struct listing *listing = arg;
    digest(listing->run, kv_slice_str(name));
    listing->next = next_offset;
    listing->count++;
    if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
        kvfs_forget(listing->run->fs, entry->ino, 1);
    }
    return true;
}

static int do_list(struct run *run)
{
    struct listing listing = {.run = run};
    struct kvfs_dir *dir = NULL;
    size_t before;
    int r = kvfs_dir_open(run->fs, run->at, &dir);

    do {
        before = listing.count;
        r = r < 0 ? r : kvfs_dir_read(dir, listing.next, true, note_entry, &listing);
    } while (r == 0 && listing.count > before);
    kvfs_dir_close(dir);
    return r;
}

static int do_key_put(struct run *run)
{
    return kvfs_key_put(run->fs, &who, kv_slice_str("a.b/c"), kv_slice(run->bytes, 50000));
}

static int do_key_get(struct run *run)
{
    struct kv_buf buf = {0};
    return digest_buf(run, kvfs_key_get(run->fs, kv_slice_str("a.b/c"), &buf), &buf);
}

static int do_key_delete(struct run *run)
{
    return kvfs_key_delete(run->fs, kv_slice_str("a.b/c"));
}

/* Replaces, makes a directory with a file, and deletes, where a condition holds. */
static int do_batch(struct run *run)
{
    struct kvfs_batch *batch = NULL;
    int r = kvfs_batch_create(&batch);
    if (r == 0) {
        r = kvfs_batch_if_absent(batch, kv_slice_str("a.b/dd"));
    }
    if (r == 0) {
        r = kvfs_batch_if_equal(batch, kv_slice_str("a.b/c"), kv_slice(run->bytes, 50000));
    }
    if (r == 0) {
        r = kvfs_batch_put(batch, kv_slice_str("a.b/dd/b"), kv_slice(run->bytes, 40000));
    }
    if (r == 0) {
        r = kvfs_batch_put(batch, kv_slice_str("a.b/c"), kv_slice(run->bytes, 300));
    }
    r = r < 0 ? r : kvfs_batch_commit(run->fs, &who, batch);
    kvfs_batch_destroy(batch);
    return r;
}

static int do_batch_back(struct run *run)
{
    struct kvfs_batch *batch = NULL;
    int r = kvfs_batch_create(&batch);
    if (r == 0) {
        r = kvfs_batch_delete(batch, kv_slice_str("a.b/dd/b"), false);
    }
    if (r == 0) {
        r = kvfs_batch_put(batch, kv_slice_str("a.b/c"), kv_slice(run->bytes, 50000));
    }
    r = r < 0 ? r : kvfs_batch_commit(run->fs, &who, batch);
    kvfs_batch_destroy(batch);
    return r;
}

static bool note_row(void *arg, struct kv_slice key, struct kv_slice value)
{
    digest(arg, key);
    digest(arg, value);
    return true;
}

static int do_scan(struct run *run)
{
    struct kvfs_scan_options options = {0};
    return kvfs_scan(run->fs, &options, note_row, run);
}

static int do_scan_back(struct run *run)
{
    struct kvfs_scan_options options = {.reverse = true};
    return kvfs_scan(run->fs, &options, note_row, run);
}

static int do_build_index(struct run *run)
{
    return kvfs_index_build(run->fs);
}

static int do_rebuild_index(struct run *run)
{
    int r = attr_index_reset(run->fs);
    return r < 0 ? r : kvfs_index_build(run->fs);
}

static int do_find(struct run *run)
{
    struct kvfs_find_options options = {.attribute = tree_xattr_name(0), .by_prefix = true};
    run->digest = 0;
    return kvfs_find(run->fs, &options, note_row, run);
}

static int do_statfs(struct run *run)
{
    struct statvfs st;
    return kvfs_statfs(run->fs, &st);
}

static int do_fsync(struct run *run)
{
    return kvfs_fsync(run->fs, run->at);
}

static int do_flush(struct run *run)
{
    return kv_flush(kvfs_store(run->fs));
}

static int do_compact(struct run *run)
{
    return kv_compact(kvfs_store(run->fs));
}

/* `at` and `to` are keys whose inodes the operation is about; NULL: the root's. */
static const struct operation {
    const char *what;
    int (*fn)(struct run *run);
    const char *at, *to;
} operations[] = {
    {"open", do_open, NULL, NULL},
    {"build the index", do_build_index, NULL, NULL},
    {"mkdir", do_mkdir, NULL, NULL},
    {"mknod", do_mknod, NULL, NULL},
    {"write", do_write_large, "b", NULL},
    {"append", do_append, "b", NULL},
    {"flush", do_flush, NULL, NULL},
    {"overwrite", do_overwrite, "b", NULL},
    {"read", do_read, "b", NULL},
    {"seek", do_seek, "b", NULL},
    {"punch", do_punch, "b", NULL},
    {"truncate", do_truncate, "b", NULL},
    {"chmod", do_chmod, "b", NULL},
    {"create", do_create, "a", NULL},
    {"append", do_append, "a/c", NULL},
    {"symlink", do_symlink, "a", NULL},
    {"readlink", do_readlink, "a/dd", NULL},
    {"link", do_link, NULL, "a/c"},
    {"setxattr", do_setxattr, "b", NULL},
    {"getxattr", do_getxattr, "b", NULL},
    {"setxattr", do_setxattr, "a/c", NULL},
    {"setxattr", do_setxattr, "a", NULL},
    {"find", do_find, NULL, NULL},
    {"index anew", do_rebuild_index, NULL, NULL},
    {"listxattr", do_listxattr, "b", NULL},
    {"lookup", do_lookup, NULL, NULL},
    {"list", do_list, "a", NULL},
    {"fsync", do_fsync, "b", NULL},
    {"put by key", do_key_put, NULL, NULL},
    {"get by key", do_key_get, NULL, NULL},
    {"batch", do_batch, NULL, NULL},
    {"batch back", do_batch_back, NULL, NULL},
    {"scan", do_scan, NULL, NULL},
    {"statfs", do_statfs, NULL, NULL},
    {"remove an attribute", do_removexattr, "b", NULL},
    {"exchange", do_exchange, "a", NULL},
    {"rename over a file", do_rename, NULL, "a"},
    {"find", do_find, NULL, NULL},
    {"merge", do_compact, NULL, NULL},
    {"unlink", do_unlink, "a", NULL},
    {"unlink what is open", do_unlink_open, NULL, NULL},
    {"close it", do_close, NULL, NULL},
    {"unlink a symlink", do_unlink_symlink, "a", NULL},
    {"rmdir", do_rmdir, NULL, NULL},
    {"open again", do_reopen, NULL, NULL},
    {"scan back", do_scan_back, NULL, NULL},
    {"delete by key", do_key_delete, NULL, NULL},
    {"fsync", do_fsync, NULL, NULL},
    {"open again", do_reopen, NULL, NULL},
};

enum { OPERATION_COUNT = sizeof operations / sizeof operations[0] };

/* ---- runs ---- */

/* What a run without a failure found, after each operation. */
struct record {
    char *texts[OPERATION_COUNT];
    uint64_t digests[OPERATION_COUNT];
    uint64_t allocations;
    uint64_t told, mended; /* operations that were struck, by how they ended */
};

static char *text_of(struct kvfs *fs)
{
    struct tree tree;
    char *text;
    tree_read(fs, &tree);
    text = tree_text(&tree);
    tree_finish(&tree);
    return text;
}

static uint64_t inode_at(struct run *run, const char *key)
{
    struct kvfs_entry entry = {.ino = 0};
    if (key == NULL) {
        return KVFS_ROOT_INO;
    }
    ck_ok(kvfs_key_stat(run->fs, kv_slice_str(key), &entry));
    return entry.ino;
}

/* One operation; its allocations may fail. */
static int operate(struct run *run, const struct operation *operation)
{
    int r;
    if (run->fs != NULL) {
        run->at = inode_at(run, operation->at);
        run->to = inode_at(run, operation->to);
    }
    run->digest = 0;
    alloc_enter();
    r = operation->fn(run);
    alloc_leave();
    return r;
}

static struct run *run_begin(void)
{
    struct run *run = calloc(1, sizeof *run);
    ck_assert_ptr_nonnull(run);
    kv_ignore(sim_create(&run->sim)); /* cannot fail */
    for (size_t i = 0; i < LARGE; i++) {
        run->bytes[i] = (uint8_t)(1 + (i * i >> 5) % 255);
    }
    return run;
}

/* Every row is as it must be, and closing leaves nothing. */
static void run_end(struct run *run)
{
    fs_check(run->fs);
    ck_ok(kvfs_close(run->fs));
    ck_assert_msg(alloc_live() == 0, "%zu allocations are left after closing", alloc_live());
    ck_assert_uint_eq(sim_count_open(run->sim), 0);
    sim_destroy(run->sim);
    free(run);
}

static void make_record(struct record *record)
{
    struct run *run = run_begin();
    alloc_fail_at(0, ALLOC_ONCE);
    for (int i = 0; i < (int)OPERATION_COUNT; i++) {
        int r = operate(run, &operations[i]);
        ck_assert_msg(r == 0, "%s: %s", operations[i].what, kv_strerror(r));
        record->texts[i] = text_of(run->fs);
        record->digests[i] = run->digest;
    }
    record->allocations = alloc_count();
    run_end(run);
}

/* An operation that was struck: it happened or did not, and says which. */
static void judge(struct run *run, struct record *record, int i, int r)
{
    const struct operation *operation = &operations[i];
    char *text;

    ck_assert_msg(r == 0 || r == -ENOMEM, "%s: %s", operation->what, kv_strerror(r));
    alloc_fail_at(0, ALLOC_ONCE);
    record->told += r < 0;
    record->mended += r == 0;
    if (r < 0) {
        if (run->fs != NULL && i > 0) {
            text = text_of(run->fs);
            ck_assert_msg(strcmp(text, record->texts[i - 1]) == 0,
                          "%s failed and changed something all the same", operation->what);
            free(text);
        }
        r = operate(run, operation);
        ck_assert_msg(r == 0, "%s with memory again: %s", operation->what, kv_strerror(r));
    }
    text = text_of(run->fs);
    ck_assert_msg(strcmp(text, record->texts[i]) == 0, "another tree after %s", operation->what);
    free(text);
}

static void run_case(struct record *record, uint64_t at, enum alloc_how how)
{
    struct run *run = run_begin();
    bool struck = false;

    for (int i = 0; i < (int)OPERATION_COUNT; i++) {
        uint64_t failures;
        int r;
        if (!struck && i == 0) {
            alloc_fail_at(at, how);
        } else if (struck && how == ALLOC_FOREVER) {
            alloc_fail_at(1, how);
        }
        failures = alloc_failures();
        r = operate(run, &operations[i]);
        if (alloc_failures() > failures) {
            struck = true;
            judge(run, record, i, r);
        } else {
            ck_assert_msg(r == 0, "%s: %s", operations[i].what, kv_strerror(r));
        }
        ck_assert_msg(run->digest == record->digests[i], "%s read something else",
                      operations[i].what);
    }
    ck_assert_msg(struck, "there is no allocation %" PRIu64, at);
    alloc_fail_at(0, ALLOC_ONCE);
    run_end(run);
}

static void run_all(enum alloc_how how)
{
    struct record record = {0};
    uint64_t cases = 0;

    make_record(&record);
    for (uint64_t at = 1; at <= record.allocations; at += CASES_STEP) {
        run_case(&record, at, how);
        cases++;
    }
    printf("# tried: %" PRIu64 " of %" PRIu64 " allocations of %d operations failed; %" PRIu64
           " operations said so, %" PRIu64 " went well all the same\n",
           cases, record.allocations, (int)OPERATION_COUNT, record.told, record.mended);
    for (int i = 0; i < (int)OPERATION_COUNT; i++) {
        free(record.texts[i]);
    }
}

START_TEST(an_allocation_that_fails_is_told_and_does_no_harm)
{
    run_all(ALLOC_ONCE);
}
END_TEST

START_TEST(a_call_whose_allocations_fail_is_told_and_does_no_harm)
{
    run_all(ALLOC_CALL);
}
END_TEST

START_TEST(operations_that_find_no_memory_work_once_there_is_some)
{
    run_all(ALLOC_FOREVER);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("fail_alloc_fs");
    suite_add(s, "once", an_allocation_that_fails_is_told_and_does_no_harm);
    suite_add(s, "call", a_call_whose_allocations_fail_is_told_and_does_no_harm);
    suite_add(s, "for ever", operations_that_find_no_memory_work_once_there_is_some);
    return s;
}
