/* SPDX-License-Identifier: Apache-2.0 */
/* Named snapshots: reading them, and the steps that make and drop them. */
#include "tests/crash/rig_impl.h"

static const char *const snapshot_names[RIG_NAMES] = {"before", "a longer name"};

int rig_read_name(struct rig *rig, int i, struct rig_rows *ret_rows)
{
    struct kv_snapshot *snapshot = NULL;
    int r;

    rig_enter(rig, RIG_READ);
    r = kv_named_snapshot_open(rig->store, snapshot_names[i], &snapshot);
    if (r == -ENOENT) {
        kv_ignore(rig_leave(rig, RIG_READ, 0));
        return r;
    }
    r = r < 0 ? r : rig_read_at(rig, snapshot, ret_rows);
    kv_snapshot_release(snapshot);
    return rig_leave(rig, RIG_READ, r);
}

/* Between steps, and every batch was written. */
int rig_check_name(struct rig *rig, int i)
{
    const struct rig_name *name = &rig->bounds.names[i];
    struct rig_rows rows;
    int r = rig_read_name(rig, i, &rows);

    if (name->state == RIG_NAME_MAYBE && (r == 0 || r == -ENOENT)) {
        return 0;
    }
    if (r < 0 && r != -ENOENT) {
        return r;
    }
    if ((r == 0) != (name->state == RIG_NAME_THERE)) {
        return -KV_EDAMAGED;
    }
    return r == 0 && rig_digest(&rows) != rig->model.digests[name->to] ? -KV_EDAMAGED : 0;
}

/* Make the first name that is not surely there. */
int rig_step_keep(struct rig *rig)
{
    int i = 0;
    int r;

    while (i < RIG_NAMES && rig->bounds.names[i].state == RIG_NAME_THERE) {
        i++;
    }
    if (i == RIG_NAMES) {
        return 0;
    }
    struct rig_name *name = &rig->bounds.names[i];
    bool doubtful = name->state == RIG_NAME_MAYBE;
    name->from = doubtful ? name->from : rig->bounds.issued;
    name->to = rig->bounds.issued;
    name->state = RIG_NAME_MAYBE;
    rig_enter(rig, RIG_NAME_CREATE);
    r = kv_named_snapshot_create(rig->store, snapshot_names[i]);
    if (doubtful && r == -EEXIST) {
        return rig_leave(rig, RIG_NAME_CREATE, 0);
    }
    if (rig_leave(rig, RIG_NAME_CREATE, r) == 0) {
        *name = (struct rig_name){RIG_NAME_THERE, rig->bounds.issued, rig->bounds.issued};
        rig->bounds.synced = rig->bounds.issued;
        rig->bounds.written = rig->bounds.issued;
        rig->held_back = false;
    }
    return r;
}

/* Drop the first that may be there. */
int rig_step_forget(struct rig *rig)
{
    int i = 0;
    int r;

    while (i < RIG_NAMES && rig->bounds.names[i].state == RIG_NAME_ABSENT) {
        i++;
    }
    if (i == RIG_NAMES) {
        return 0;
    }
    struct rig_name *name = &rig->bounds.names[i];
    bool doubtful = name->state == RIG_NAME_MAYBE;
    name->state = RIG_NAME_MAYBE;
    rig_enter(rig, RIG_NAME_DROP);
    r = kv_named_snapshot_drop(rig->store, snapshot_names[i]);
    if (doubtful && r == -ENOENT) {
        return rig_leave(rig, RIG_NAME_DROP, 0);
    }
    if (rig_leave(rig, RIG_NAME_DROP, r) == 0) {
        name->state = RIG_NAME_ABSENT;
    }
    return r;
}
