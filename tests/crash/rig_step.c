/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/rig_impl.h"

#include <stdlib.h>

#include "kvcore/db/compact.h"
#include "kvcore/db/reclaim.h"
#include "kvcore/db/store.h"
#include "kvcore/db/suspect.h"

char rig_next_step(const char **script, unsigned *ret_count)
{
    char step;
    char *end;

    while (**script == ' ') {
        *script += 1;
    }
    step = **script;
    if (step == '\0') {
        return step;
    }
    *ret_count = (unsigned)strtoul(*script + 1, &end, 10);
    *ret_count = end == *script + 1 ? 1 : *ret_count;
    *script = end;
    return step;
}

/* Begun in the model; the caller writes it. */
static void note_issued(struct rig *rig, const struct rig_batch *batch)
{
    rig_model_add(&rig->model, batch);
    rig->bounds.issued = rig->model.batch_count;
}

static int note_written(struct rig *rig, int r)
{
    rig->held_back = r == 0 ? false : rig->held_back;
    rig->model.batches[rig->model.batch_count - 1].failed = r < 0;
    if (r == 0) {
        rig->bounds.written = rig->bounds.issued;
    }
    return r;
}

/* The first time fill a batch with a part, the second time write it, whatever came in between. */
static int step_late(struct rig *rig)
{
    int r = 0;

    if (rig->late != NULL) {
        note_issued(rig, &rig->late_change);
        rig_enter(rig, RIG_WRITE);
        r = rig_leave(rig, RIG_WRITE, kv_write(rig->store, rig->late, KV_DURABLE_WRITE));
        rig_drop_late(rig);
        return note_written(rig, r);
    }
    if (rig_draw_part(rig, &rig->late_change)) {
        rig_enter(rig, RIG_WRITE);
        r = kv_batch_create(&rig->late);
        r = rig_leave(rig, RIG_WRITE,
                      r < 0 ? r : rig_fill_batch(rig, &rig->late_change, rig->late));
    }
    if (r < 0) {
        rig_drop_late(rig);
    }
    return r;
}

static int step_part(struct rig *rig)
{
    struct rig_batch batch;
    if (!rig_draw_part(rig, &batch)) {
        return 0;
    }
    note_issued(rig, &batch);
    return note_written(rig, rig_write(rig, &batch, KV_DURABLE_WRITE));
}

static int step_write(struct rig *rig, char step)
{
    static const struct {
        char step;
        enum kv_durability durability;
    } kinds[] = {{'n', KV_DURABLE_NONE}, {'w', KV_DURABLE_WRITE}, {'y', KV_DURABLE_SYNC}};
    enum kv_durability durability = KV_DURABLE_WRITE;
    struct rig_batch batch;
    int r;

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        durability = kinds[i].step == step ? kinds[i].durability : durability;
    }
    rig_draw_batch(rig, rig->bounds.tables, &batch);
    if (step == 'b') {
        batch.count = 1;
        batch.changes[0].end = 0;
        batch.changes[0].value = RIG_LARGE_FIRST + rig->model.next_value++;
    }
    rig_model_add(&rig->model, &batch);
    rig->bounds.issued = rig->model.batch_count;
    r = rig_write(rig, &batch, durability);
    rig->held_back = r == 0 ? durability == KV_DURABLE_NONE : rig->held_back;
    rig->model.batches[rig->model.batch_count - 1].failed = r < 0;
    if (r == 0 && durability != KV_DURABLE_NONE) {
        rig->bounds.written = rig->bounds.issued;
    }
    if (r == 0 && durability == KV_DURABLE_SYNC) {
        rig->bounds.synced = rig->bounds.issued;
    }
    return r;
}

static int step_table(struct rig *rig)
{
    int r = 0;
    if (rig->bounds.tables < RIG_TABLES) {
        r = rig_open_table(rig, rig->bounds.tables, false);
        rig->bounds.tables += r == 0;
    }
    return r;
}

static int step_open(struct rig *rig)
{
    int r = 0;
    if (rig->store != NULL) {
        r = rig_close(rig);
        if (r == 0) {
            rig->bounds.synced = rig->bounds.issued;
            rig->bounds.written = rig->bounds.issued;
        }
    }
    r = r < 0 ? r : rig_open(rig, !rig->bounds.opened, rig->bounds.tables);
    rig->bounds.opened = rig->bounds.opened || r == 0;
    return r;
}

static int step_read(struct rig *rig)
{
    struct rig_rows rows = {0};
    bool sure = true;
    int r = rig_read(rig, &rows);

    for (size_t i = 0; i < rig->model.batch_count; i++) {
        sure = sure && !rig->model.batches[i].failed;
    }
    if (r == 0 && sure && rig_digest(&rows) != rig_digest(&rig->model.rows)) {
        return -KV_EDAMAGED;
    }
    for (int i = 0; i < RIG_NAMES && r == 0 && sure; i++) {
        r = rig_check_name(rig, i);
    }
    return r;
}

/* Steps after whose success everything is durable. */
static int step_settle(struct rig *rig, char step)
{
    enum rig_call call = step == 's' ? RIG_SYNC : step == 'f' ? RIG_FLUSH : RIG_COMPACT;
    int r;

    rig_enter(rig, call);
    r = step == 's'   ? kv_sync(rig->store)
        : step == 'f' ? kv_flush(rig->store)
                      : kv_compact(rig->store);
    if (rig_leave(rig, call, r) == 0) {
        rig->bounds.synced = rig->bounds.issued;
        rig->bounds.written = rig->bounds.issued;
        rig->held_back = false;
    }
    return r;
}

/* As when the manifest has outgrown its snapshot by far. */
static int step_roll(struct rig *rig)
{
    mutex_lock(&rig->store->manifest_mu);
    rig->store->manifest_roll_bytes = 0;
    mutex_unlock(&rig->store->manifest_mu);
    return 0;
}

/* In a file with a number that is only named: nothing is really damaged. */
static int step_suspect(struct rig *rig)
{
    struct message_place place = {KV_FILE_TABLE, 1000 + rig->bounds.suspects, 0};
    suspect_note(rig->store, &place);
    suspects_save(rig->store);
    rig->bounds.suspects++;
    return 0;
}

int rig_step(struct rig *rig, char step)
{
    int r;
    switch (step) {
    case 's':
    case 'f':
    case 'c':
        return step_settle(rig, step);
    case 'm':
        rig_enter(rig, RIG_MERGE);
        r = rig_leave(rig, RIG_MERGE, compact_one(rig->store));
        return r < 0 ? r : 0;
    case 'd':
        rig_enter(rig, RIG_RECLAIM);
        r = rig_leave(rig, RIG_RECLAIM, reclaim_step(rig->store, true));
        return r < 0 ? r : 0;
    case 'p':
        return step_part(rig);
    case 'h':
        return step_late(rig);
    case 'k':
        return rig_step_keep(rig);
    case 'x':
        return rig_step_forget(rig);
    case 'g':
        return step_read(rig);
    case 'l':
        return step_roll(rig);
    case 'z':
        return step_suspect(rig);
    case 't':
        return step_table(rig);
    case 'o':
        rig->blobs = !rig->blobs;
        return 0;
    case 'r':
        return step_open(rig);
    default:
        return step_write(rig, step);
    }
}
