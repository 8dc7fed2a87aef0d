/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/damage/damage_dir.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvcore/storage/posix_calls.h"
#include "tests/damage/image.h"
#include "tools/fsck_rows.h"
#include "tools/store_open.h"
#include "tools/store_url.h"

static struct posix_calls calls;
static char made[128];
static pid_t maker;

/* ---- nothing need last ----------------------------------------------------------------------- */

static int no_sync(void *arg, int fd)
{
    (void)arg;
    (void)fd;
    return 0;
}

static int no_sync_range(void *arg, int fd, uint64_t offset, uint64_t size, bool wait)
{
    (void)arg;
    (void)fd;
    (void)offset;
    (void)size;
    (void)wait;
    return 0;
}

/* Not when a child exits. */
static void remove_directory(void)
{
    if (getpid() == maker) {
        image_clear(made);
        rmdir(made);
    }
}

void damage_dir_make(struct damage_dir *dir)
{
    const char *base = getenv("TMPDIR");

    base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : base != NULL ? base : "/tmp";
    snprintf(dir->path, sizeof dir->path, "%s/kvfs-damage-XXXXXX", base);
    char *name = mkdtemp(dir->path);
    assert(name != NULL);
    maker = getpid();
    memcpy(made, dir->path, sizeof made);
    atexit(remove_directory);
    calls = posix_calls_real;
    calls.fsync = calls.fdatasync = no_sync;
    calls.sync_range = no_sync_range;
}

/* ---- in the place of what the command brings ------------------------------------------------- */

int store_storage_open(const char *path, bool create, struct kv_storage **ret_storage)
{
    return storage_posix_open_with_calls(path, create, &calls, NULL, ret_storage);
}

int store_open_plain(const char *path, const struct kvfs_options *options, struct kvfs **ret_fs)
{
    struct kv_storage *storage = NULL;
    struct kvfs_options with = *options;
    int r = store_storage_open(path, options->create, &storage);

    with.memory_bytes = 8 << 20;
    with.no_background = true;
    return r < 0 ? r : kvfs_open_storage(storage, &with, ret_fs);
}

/* What was told, of one run. */
static uint64_t told_codes;
static bool told[1000]; /* by code */

static void note_code(int code)
{
    assert(kv_problem_kind(code) != NULL);
    told_codes = told_codes * 31 + (uint64_t)code;
    assert((size_t)code < sizeof told);
    told[code] = true;
}

static char said[1 << 14];

static void note_text(const char *text)
{
    size_t size = strlen(said);
    snprintf(said + size, sizeof said - size, "# %s\n", text);
}

void damage_dir_forget_said(void)
{
    said[0] = '\0';
}

const char *damage_dir_said(void)
{
    return said;
}

int fsck_report_problem(void *arg, const struct kv_problem *problem)
{
    (void)arg;
    assert(strlen(problem->text) > 0);
    note_code(problem->kind->code);
    note_text(problem->text);
    return 0;
}

int fsck_report_walk(void *arg, uint64_t ino, uint64_t ino_end)
{
    (void)arg;
    (void)ino;
    (void)ino_end;
    return 0;
}

void fsck_report_fault(struct fsck_report *report, int code, const char *text, bool will_repair)
{
    (void)report;
    (void)will_repair;
    assert(strlen(text) > 0);
    note_code(code);
    note_text(text);
}

int fsck_report_lost(void *arg, const struct kvfs_lost_range *range)
{
    (void)arg;
    (void)range;
    return 0;
}

/* ---- the directory --------------------------------------------------------------------------- */

struct kv_storage *damage_dir_storage(const struct damage_dir *dir, bool create)
{
    struct kv_storage *storage = NULL;
    int r = store_storage_open(dir->path, create, &storage);
    assert(r == 0);
    return storage;
}

int damage_dir_open(const struct damage_dir *dir, const struct kvfs_options *options,
                    struct kvfs **ret_fs)
{
    return store_open_plain(dir->path, options, ret_fs);
}

static int check_engine(struct fsck_rows *rows)
{
    const struct kv_admin_options options = {.mode = rows->mode,
                                             .deep = true,
                                             .threads = 1,
                                             .holder = "damage",
                                             .problem_fn = fsck_rows_take,
                                             .arg = rows};
    struct kv_storage *storage = NULL;
    int r = store_storage_open(rows->path, false, &storage);

    if (r == 0) {
        r = kv_admin_check(storage, &options, rows->result);
        storage->ops->close(storage);
    }
    return r;
}

void damage_dir_check(const struct damage_dir *dir, enum kv_admin_mode mode,
                      struct damage_found *ret_found)
{
    struct fsck_report report = {.store = dir->path, .progress_fd = -1};
    struct kv_admin_result result = {0};
    struct fsck_rows rows = {.path = dir->path, .mode = mode, .report = &report, .result = &result};

    told_codes = 0;
    memset(told, 0, sizeof told);
    int r = check_engine(&rows);
    if (r == 0 && result.problems == result.repaired) {
        r = fsck_rows_run(&rows);
    }
    fsck_rows_finish(&rows);
    *ret_found = (struct damage_found){.error = r,
                                       .whole = r == 0 && result.problems == result.repaired,
                                       .told = result.problems,
                                       .notes = result.notes,
                                       .codes = told_codes};
    memcpy(ret_found->archive, result.archive, sizeof result.archive);
}

bool damage_dir_told(int code)
{
    return told[code];
}

int damage_dir_undo(const struct damage_dir *dir, const char *archive)
{
    struct kv_storage *storage = damage_dir_storage(dir, false);
    int r = kv_admin_undo(storage, archive);
    storage->ops->close(storage);
    return r;
}
