/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/fsck_reading.h"

#include <inttypes.h>
#include <kv/verify.h>
#include <stdio.h>
#include <string.h>

#include "tools/log.h"
#include "tools/store_url.h"

/* What a finding in a file of that kind comes nearest to. */
static const struct {
    int code;
    const char *end;
} kinds[] = {
    [KV_VERIFY_ROOT] = {KV_PROBLEM_ROOT_DAMAGED, NULL},
    [KV_FILE_LOG] = {KV_PROBLEM_LOG_DAMAGED, "log"},
    [KV_FILE_MANIFEST] = {KV_PROBLEM_MANIFEST_DAMAGED, "manifest"},
    [KV_FILE_TABLE] = {KV_PROBLEM_TABLE_BLOCK, "table"},
    [KV_FILE_BLOB] = {KV_PROBLEM_BLOB_VALUE, "blob"},
};

static int tell(struct fsck_rows *rows, struct kv_problem *problem, int code)
{
    problem->kind = kv_problem_kind(code);
    rows->result->problems++;
    return fsck_rows_take(rows, problem);
}

static int take_finding(void *arg, const struct kv_verify_finding *finding)
{
    struct kv_problem problem = {.offset = finding->offset,
                                 .error = finding->error,
                                 .table = finding->table,
                                 .from = finding->from,
                                 .to = finding->to,
                                 .text = finding->text};
    if (kinds[finding->kind].end != NULL) {
        snprintf(problem.file, sizeof problem.file, "%08" PRIu64 ".%s", finding->number,
                 kinds[finding->kind].end);
    }
    return tell(arg, &problem, kinds[finding->kind].code);
}

static int take_progress(void *arg, const struct kv_verify_progress *progress)
{
    const struct fsck_rows *rows = arg;
    const struct kv_admin_progress told = {
        .pass = "files", .bytes = progress->bytes, .bytes_all = progress->bytes_all};
    return fsck_report_progress(rows->report, &told);
}

static int open_engine(const char *store, struct log *log, struct kv_store **ret_engine)
{
    struct kv_options options = {.read_only = true, .message_fn = log_message, .message_arg = log};
    struct kv_storage *storage = NULL;
    int r = store_storage_open(store, false, &storage);
    if (r == 0) {
        r = kv_open(storage, &options, ret_engine);
        if (r < 0) {
            storage->ops->close(storage);
        }
    }
    return r;
}

static int read_all(struct fsck_rows *rows, struct kv_store *engine)
{
    const struct kv_verify_options options = {
        .finding_fn = take_finding, .progress_fn = take_progress, .arg = rows};
    struct kv_identity identity;
    kv_identify(engine, &identity);
    rows->result->needs_replay = !identity.was_clean;
    int r = kv_verify(engine, &options);
    return r == -KV_EDAMAGED ? 0 : r; /* its findings were told */
}

int fsck_reading_run(struct fsck_rows *rows)
{
    struct kv_store *engine = NULL;
    char detail[512];
    struct log log;
    int r = log_init(&log, NULL, false);
    if (r < 0) {
        return r;
    }
    r = open_engine(rows->path, &log, &engine);
    if (r == 0) {
        r = read_all(rows, engine);
        int closed = kv_close(engine);
        r = r == 0 ? closed : r;
    } else if (r == -KV_EDAMAGED) {
        log_last_error(&log, detail, sizeof detail);
        struct kv_problem problem = {
            .offset = UINT64_MAX, .error = r, .text = detail[0] != '\0' ? detail : kv_strerror(r)};
        r = tell(rows, &problem, KV_PROBLEM_FILE_UNREADABLE);
    }
    log_finish(&log);
    return r;
}
