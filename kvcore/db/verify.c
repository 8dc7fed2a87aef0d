/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "kvcore/db/obsolete.h"
#include "kvcore/db/suspect.h"
#include "kvcore/util/clock.h"

enum { TELL_BYTES = 1 << 20 };

#define SECOND_NS ((uint64_t)1000 * 1000 * 1000)
#define NAP_NS    ((uint64_t)100 * 1000 * 1000)

/* ---- findings ---- */

static void hand_on(struct verify *v, int error, struct kv_slice from, struct kv_slice to)
{
    struct kv_verify_finding finding = {.kind = v->kind,
                                        .number = v->number,
                                        .offset = v->offset,
                                        .error = error,
                                        .table = v->table,
                                        .from = from,
                                        .to = to,
                                        .text = v->text};

    v->pending = false;
    v->progress.findings++;
    if (v->options.finding_fn != NULL && v->options.finding_fn(v->options.arg, &finding) != 0) {
        v->stopped = true;
    }
}

void verify_lost(struct verify *v, struct kv_slice from, struct kv_slice to)
{
    if (v->kind == KV_FILE_LOG && verify_log_is_released(v)) {
        v->pending = false;
    }
    if (v->pending) {
        struct message_place place = {v->kind, v->number, v->offset};
        kv_ignore(message_damage_at(&v->store->sink, place, "%s", v->text));
        hand_on(v, -KV_EDAMAGED, from, to);
    }
}

static void lost_nothing_known(struct verify *v)
{
    verify_lost(v, kv_slice(NULL, 0), kv_slice(NULL, 0));
}

static void note_damage(void *arg, const struct message_place *place, const char *text)
{
    struct verify *v = arg;

    if (v->muted) {
        return;
    }
    lost_nothing_known(v); /* of the one before nothing more will be said */
    v->pending = true;
    v->offset = place->offset;
    snprintf(v->text, sizeof v->text, "%s", text);
}

/* Before a report of damage too; of other failures this is all that is said. */
static void note_message(void *arg, enum kv_message_level level, const char *text)
{
    struct verify *v = arg;

    if (!v->muted && !v->pending && level == KV_MESSAGE_ERROR) {
        v->offset = MESSAGE_NO_OFFSET;
        snprintf(v->text, sizeof v->text, "%s", text);
    }
}

/* ---- pace and progress ---- */

static int tell(struct verify *v)
{
    struct kv_verify_progress *progress = &v->progress;

    v->told_bytes = progress->bytes;
    if (progress->bytes_all < progress->bytes) {
        progress->bytes_all = progress->bytes;
    }
    if (!v->stopped && v->options.progress_fn != NULL) {
        v->stopped = v->options.progress_fn(v->options.arg, progress) != 0;
    }
    return v->stopped ? -ECANCELED : 0;
}

int verify_pace(struct verify *v, uint64_t bytes)
{
    uint64_t now = clock_monotonic_ns();
    uint64_t began = now;
    int r = v->stopped ? -ECANCELED : 0;

    if (v->options.bytes_per_second == 0) {
        return r;
    }
    v->due_ns = v->due_ns > now ? v->due_ns : now;
    v->due_ns += (uint64_t)((double)bytes / (double)v->options.bytes_per_second * SECOND_NS);
    while (r == 0 && now < v->due_ns) {
        uint64_t nap = v->due_ns - now < NAP_NS ? v->due_ns - now : NAP_NS;
        struct timespec pause = {.tv_nsec = (long)nap};
        nanosleep(&pause, NULL);
        now = clock_monotonic_ns();
        v->progress.throttled_ns += now - began;
        began = now;
        r = now < v->due_ns ? tell(v) : 0;
    }
    return r;
}

int verify_spend(void *arg, uint64_t bytes)
{
    struct verify *v = arg;
    int r;

    v->progress.bytes += bytes;
    r = verify_pace(v, bytes);
    if (r == 0 && v->progress.bytes - v->told_bytes >= TELL_BYTES) {
        r = tell(v);
    }
    return r;
}

int verify_file_begin(struct verify *v, int kind, uint64_t number, const char *table)
{
    v->kind = kind;
    v->number = number;
    v->table = table;
    v->offset = MESSAGE_NO_OFFSET;
    v->text[0] = '\0';
    return tell(v);
}

/* Damage that nobody could say the keys of is handed on here. */
int verify_file_end(struct verify *v, int error)
{
    lost_nothing_known(v);
    v->progress.files++;
    if (error == 0 || error == -KV_EDAMAGED) {
        return v->stopped ? -ECANCELED : 0;
    }
    if (error == -ENOMEM || error == -ECANCELED) {
        return error;
    }
    if (v->text[0] == '\0') {
        snprintf(v->text, sizeof v->text, "%s: file %08" PRIu64 " cannot be read: %s",
                 v->store->storage->ops->name(v->store->storage), v->number, kv_strerror(error));
    }
    message(&v->store->sink, KV_MESSAGE_ERROR, "%s", v->text);
    count_add(&v->store->counters.read_errors, 1);
    hand_on(v, error, kv_slice(NULL, 0), kv_slice(NULL, 0));
    return v->stopped ? -ECANCELED : 0;
}

/* ---- only some files ---- */

static bool is_among(const struct kv_suspects *files, enum kv_file_kind kind, uint64_t number)
{
    bool is = false;
    for (unsigned i = 0; i < files->count; i++) {
        is |= files->files[i].kind == kind && files->files[i].number == number;
    }
    return is;
}

bool verify_wants_blob(const struct verify *v, uint64_t number)
{
    return v->only.count == 0 || is_among(&v->only, KV_FILE_BLOB, number);
}

bool verify_wants_table(const struct verify *v, const struct file_meta *file)
{
    bool wants = v->only.count == 0 || is_among(&v->only, KV_FILE_TABLE, file->number);
    for (size_t i = 0; i < file->blobs.count && !wants; i++) {
        wants = verify_wants_blob(v, file->blobs.items[i].number);
    }
    return wants;
}

/* ---- the whole ---- */

static int begin(struct verify *v)
{
    struct blob_store blobs = {
        .storage = v->store->storage, .seed = v->store->seed, .sink = &v->sink};
    enum { OPEN_MAX = 8 };
    int r = blob_set_create(&blobs, OPEN_MAX, &v->blobs);

    v->value = r == 0 ? malloc(VERIFY_VALUE_BYTES) : NULL;
    return r == 0 && v->value == NULL ? -ENOMEM : r;
}

static void finish(struct verify *v)
{
    view_release(v->view);
    view_unpin_tables(v->pinned);
    blob_set_destroy(v->blobs);
    blob_uses_finish(&v->uses);
    kv_buf_finish(&v->key);
    free(v->value);
    free(v->logs);
}

static int run(struct verify *v)
{
    int r = begin(v);

    r = r < 0 ? r : verify_take(v);
    r = r < 0 ? r : verify_logs(v);
    r = r < 0 ? r : verify_memtables(v);
    r = r < 0 ? r : verify_tables(v);
    r = r < 0 ? r : verify_directories(v);
    if (r == 0) {
        v->progress.bytes_all = v->progress.bytes;
        r = tell(v);
    }
    return r == 0 && v->progress.findings > 0 ? -KV_EDAMAGED : r;
}

int kv_verify(struct kv_store *store, const struct kv_verify_options *options)
{
    struct verify *v;
    uint64_t stamp = suspects_stamp(store);
    int r;

    if (store->options.follow) {
        return -ENOSYS; /* logs are the writer's */
    }
    v = calloc(1, sizeof *v);
    if (v == NULL) {
        return -ENOMEM;
    }
    v->store = store;
    v->sink = (struct message_sink){
        .fn = note_message, .arg = v, .damage_fn = note_damage, .damage_arg = v};
    if (options != NULL) {
        v->options = *options;
    }
    if (v->options.suspects_only) {
        kv_suspects(store, &v->only);
    }
    r = v->options.suspects_only && !v->only.check_needed ? 0 : run(v);
    if (r == 0) {
        suspects_clear(store, stamp);
    }
    finish(v);
    free(v);
    obsolete_purge(store); /* what was merged meanwhile */
    return r;
}
