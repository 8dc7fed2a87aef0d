/* SPDX-License-Identifier: Apache-2.0 */
/* The state of the simulated file system: bytes, changes, names, and what a crash makes of them. */
#include "tests/sim/sim_impl.h"

#include "kvcore/util/rng.h"

/* ---- bytes ---- */

struct sim_bytes *sim_bytes_new(size_t size)
{
    struct sim_bytes *bytes = sim_alloc(1, sizeof *bytes + size);
    bytes->refs = 1;
    bytes->size = size;
    return bytes;
}

struct sim_bytes *sim_bytes_ref(struct sim_bytes *bytes)
{
    bytes->refs++;
    return bytes;
}

void sim_bytes_unref(struct sim_bytes *bytes)
{
    if (bytes != NULL && --bytes->refs == 0) {
        sim_free(bytes);
    }
}

void sim_bytes_own(struct sim_bytes **bytes, size_t size)
{
    struct sim_bytes *old = *bytes;
    struct sim_bytes *own;

    if (old->refs == 1 && size <= old->size) {
        return;
    }
    own = sim_bytes_new(size > old->size ? size : old->size);
    memcpy(own->data, old->data, old->size);
    sim_bytes_unref(old);
    *bytes = own;
}

/* ---- changes of files ---- */

void sim_change_unref(struct sim_change *change)
{
    if (--change->refs == 0) {
        sim_free(change);
    }
}

void sim_change_apply(const struct sim_change *change, struct sim_bytes **bytes)
{
    size_t end = (size_t)change->offset + change->size;
    switch (change->type) {
    case SIM_CHANGE_WRITE:
        sim_bytes_own(bytes, end);
        memcpy((*bytes)->data + change->offset, change->data, change->size);
        break;
    case SIM_CHANGE_GROW:
        sim_bytes_own(bytes, (size_t)change->offset);
        break;
    case SIM_CHANGE_EMPTY:
        sim_bytes_unref(*bytes);
        *bytes = sim_bytes_new(0);
        break;
    case SIM_CHANGE_ZERO:
        sim_bytes_own(bytes, 0);
        end = end < (*bytes)->size ? end : (*bytes)->size;
        if (change->offset < end) {
            memset((*bytes)->data + change->offset, 0, end - (size_t)change->offset);
        }
        break;
    }
}

static void change_grow_only(const struct sim_change *change, struct sim_bytes **bytes)
{
    if (change->type == SIM_CHANGE_WRITE) {
        sim_bytes_own(bytes, (size_t)change->offset + change->size);
    }
}

/* ---- names ---- */

const struct sim_name *sim_names_find(const struct sim_names *names, int dir, const char *name)
{
    for (size_t i = 0; i < names->count; i++) {
        if (names->items[i].dir == dir && strcmp(names->items[i].name, name) == 0) {
            return &names->items[i];
        }
    }
    return NULL;
}

static void names_set(struct sim_names *names, const struct sim_name *name)
{
    for (size_t i = 0; i < names->count; i++) {
        if (names->items[i].dir != name->dir || strcmp(names->items[i].name, name->name) != 0) {
            continue;
        }
        if (name->inode == SIM_NO_INODE) {
            names->items[i] = names->items[--names->count];
        } else {
            names->items[i].inode = name->inode;
        }
        return;
    }
    if (name->inode != SIM_NO_INODE) {
        sim_append(&names->items, &names->count, name, sizeof *name);
    }
}

void sim_names_apply(struct sim_names *names, const struct sim_name_change *change)
{
    for (int i = 0; i < change->count; i++) {
        names_set(names, &change->names[i]);
    }
}

void sim_names_copy(const struct sim_names *from, struct sim_names *to)
{
    sim_free(to->items);
    *to = (struct sim_names){.count = from->count};
    to->items = sim_alloc(from->count, sizeof *to->items);
    if (from->count > 0) {
        memcpy(to->items, from->items, from->count * sizeof *to->items);
    }
}

void sim_names_copy_dir(const struct sim_names *from, int dir, struct sim_names *to)
{
    for (size_t i = to->count; i-- > 0;) {
        if (to->items[i].dir == dir) {
            to->items[i] = to->items[--to->count];
        }
    }
    for (size_t i = 0; i < from->count; i++) {
        if (from->items[i].dir == dir) {
            sim_append(&to->items, &to->count, &from->items[i], sizeof from->items[i]);
        }
    }
}

/* ---- the whole ---- */

static struct sim_fs *sim_new(void)
{
    struct sim_fs *sim = sim_alloc(1, sizeof *sim);
    mutex_init(&sim->mu, LOCK_RANK_LEAF, "simulated file system");
    return sim;
}

int sim_create(struct sim_fs **ret_sim)
{
    *ret_sim = sim_new();
    return 0;
}

static void inode_finish(struct sim_inode *inode)
{
    sim_bytes_unref(inode->current);
    sim_bytes_unref(inode->durable);
    for (size_t i = 0; i < inode->change_count; i++) {
        sim_change_unref(inode->changes[i]);
    }
    sim_free(inode->changes);
    *inode = (struct sim_inode){0};
}

void sim_destroy(struct sim_fs *sim)
{
    if (sim == NULL) {
        return;
    }
    for (int i = 0; i < sim->inode_count; i++) {
        inode_finish(&sim->inodes[i]);
    }
    sim_free(sim->inodes);
    sim_free(sim->current.items);
    sim_free(sim->durable.items);
    sim_free(sim->name_changes);
    mutex_finish(&sim->mu);
    sim_free(sim);
}

uint64_t sim_calls_made(const struct sim_fs *sim)
{
    return sim->call_count;
}

uint64_t sim_version(const struct sim_fs *sim)
{
    return sim->version;
}

size_t sim_unsynced(const struct sim_fs *sim)
{
    size_t count = sim->name_change_count;
    for (int i = 0; i < sim->inode_count; i++) {
        count += sim->inodes[i].change_count;
    }
    return count;
}

void sim_watch(struct sim_fs *sim, sim_watch_fn *fn, void *arg)
{
    sim->watch_fn = fn;
    sim->watch_arg = arg;
}

void sim_return_late(struct sim_fs *sim, unsigned us)
{
    sim->late_us = us;
}

void sim_stop_at(struct sim_fs *sim, uint64_t number)
{
    sim->stop_at = number;
}

void sim_fail(struct sim_fs *sim, const struct sim_fault *fault)
{
    sim->fault = fault != NULL ? *fault : (struct sim_fault){0};
    sim->fault_event = (struct sim_event){0};
    sim->write_fails_next = false;
}

bool sim_fault_hit(const struct sim_fs *sim, struct sim_event *ret_event)
{
    *ret_event = sim->fault_event;
    return sim->fault_event.number != 0;
}

void sim_watch_fault(struct sim_fs *sim, sim_watch_fn *fn, void *arg)
{
    sim->fault_fn = fn;
    sim->fault_arg = arg;
}

size_t sim_count_names(const struct sim_fs *sim, enum sim_kind kind)
{
    size_t count = 0;
    for (size_t i = 0; i < sim->current.count; i++) {
        const struct sim_name *name = &sim->current.items[i];
        count += name->dir != SIM_PARENT_DIR && sim_kind_of(name->name) == kind;
    }
    return count;
}

size_t sim_count_open(const struct sim_fs *sim)
{
    size_t count = 0;
    for (int i = 0; i < SIM_FD_MAX; i++) {
        count += sim->fds[i].type != SIM_FD_FREE;
    }
    return count;
}

/* ---- death of the process ---- */

static void mark_named(struct sim_fs *sim, const struct sim_name *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (names[i].dir != SIM_PARENT_DIR && names[i].inode != SIM_NO_INODE) {
            sim->inodes[names[i].inode].used = true;
        }
    }
}

static void mark_used(struct sim_fs *sim)
{
    mark_named(sim, sim->current.items, sim->current.count);
    mark_named(sim, sim->durable.items, sim->durable.count);
    for (size_t i = 0; i < sim->name_change_count; i++) {
        mark_named(sim, sim->name_changes[i].names, (size_t)sim->name_changes[i].count);
    }
}

static void inode_copy(const struct sim_inode *from, struct sim_inode *to)
{
    if (from->current == NULL) {
        return;
    }
    to->current = sim_bytes_ref(from->current);
    to->durable = sim_bytes_ref(from->durable);
    to->changes = sim_alloc(from->change_count, sizeof(struct sim_change *));
    to->change_count = from->change_count;
    to->lost = from->lost;
    for (size_t i = 0; i < from->change_count; i++) {
        to->changes[i] = from->changes[i];
        to->changes[i]->refs++;
    }
}

int sim_kill(const struct sim_fs *sim, struct sim_fs **ret_sim)
{
    struct sim_fs *copy = sim_new();

    sim_names_copy(&sim->current, &copy->current);
    sim_names_copy(&sim->durable, &copy->durable);
    copy->name_changes = sim_alloc(sim->name_change_count, sizeof *copy->name_changes);
    copy->name_change_count = sim->name_change_count;
    if (sim->name_change_count > 0) {
        memcpy(copy->name_changes, sim->name_changes,
               sim->name_change_count * sizeof *copy->name_changes);
    }
    copy->dir_count = sim->dir_count;
    copy->change_order = sim->change_order;
    copy->version = sim->version;
    copy->inode_count = sim->inode_count;
    copy->inodes = sim_alloc((size_t)sim->inode_count, sizeof *copy->inodes);
    mark_used(copy);
    for (int i = 0; i < sim->inode_count; i++) {
        if (copy->inodes[i].used) {
            inode_copy(&sim->inodes[i], &copy->inodes[i]);
        }
        copy->inodes[i].used = false;
    }
    *ret_sim = copy;
    return 0;
}

/* ---- power loss ---- */

struct damage {
    struct rng rng;
    enum sim_mode mode;
    uint64_t cut; /* of SIM_PREFIX: order of the change that is torn */
    uint64_t digest;
};

enum fate { FATE_DROPPED = 1, FATE_KEPT, FATE_TORN };

static void note(struct damage *damage, uint64_t what)
{
    damage->digest = hash_u64(damage->digest + what + 1);
}

static enum fate draw(struct damage *damage)
{
    uint64_t n = rng_below(&damage->rng, 3);
    return n == 0 ? FATE_DROPPED : n == 1 ? FATE_KEPT : FATE_TORN;
}

static enum fate fate_of(struct damage *damage, uint64_t order)
{
    switch (damage->mode) {
    case SIM_DROP_ALL:
        return FATE_DROPPED;
    case SIM_KEEP_ALL:
        return FATE_KEPT;
    case SIM_PREFIX:
        return order < damage->cut ? FATE_KEPT : order > damage->cut ? FATE_DROPPED : FATE_TORN;
    default:
        return draw(damage);
    }
}

/* Each sector that the write touches is there or not. */
static void apply_torn(struct damage *damage, const struct sim_change *change,
                       struct sim_bytes **bytes)
{
    uint64_t end = change->offset + change->size;
    for (uint64_t at = change->offset; at < end;) {
        uint64_t next = (at / SIM_SECTOR_SIZE + 1) * SIM_SECTOR_SIZE;
        uint64_t kept = rng_below(&damage->rng, 2);
        next = next < end ? next : end;
        note(damage, kept);
        if (kept == 1) {
            sim_bytes_own(bytes, (size_t)next);
            memcpy((*bytes)->data + at, change->data + (at - change->offset), (size_t)(next - at));
        }
        at = next;
    }
}

static void apply_fate(struct damage *damage, const struct sim_change *change,
                       struct sim_bytes **bytes)
{
    enum fate fate = fate_of(damage, change->order);
    note(damage, (uint64_t)fate);
    if (fate == FATE_KEPT || (fate == FATE_TORN && change->type != SIM_CHANGE_WRITE)) {
        sim_change_apply(change, bytes);
        return;
    }
    if (fate == FATE_TORN) {
        apply_torn(damage, change, bytes);
    }
    if (damage->mode == SIM_RANDOM && rng_below(&damage->rng, 4) == 0) {
        note(damage, 9);
        change_grow_only(change, bytes);
    }
}

static void crash_inode(struct damage *damage, struct sim_inode *inode)
{
    struct sim_bytes *bytes;
    if (inode->current == NULL) {
        return;
    }
    bytes = sim_bytes_ref(inode->durable);
    for (size_t i = 0; i < inode->change_count; i++) {
        apply_fate(damage, inode->changes[i], &bytes);
        sim_change_unref(inode->changes[i]);
    }
    inode->change_count = 0;
    inode->lost = false;
    sim_bytes_unref(inode->current);
    sim_bytes_unref(inode->durable);
    inode->current = bytes;
    inode->durable = sim_bytes_ref(bytes);
}

static bool dir_is_named(const struct sim_names *names, int dir)
{
    bool found = false;
    for (size_t i = 0; i < names->count; i++) {
        found |= names->items[i].dir == SIM_PARENT_DIR && names->items[i].inode == dir;
    }
    return found;
}

/* With a directory go the names in it. */
static void drop_lost_dirs(struct sim_names *names)
{
    for (size_t i = names->count; i-- > 0;) {
        int dir = names->items[i].dir;
        if (dir != SIM_PARENT_DIR && !dir_is_named(names, dir)) {
            names->items[i] = names->items[--names->count];
        }
    }
}

static void crash_names(struct damage *damage, struct sim_fs *sim)
{
    for (size_t i = 0; i < sim->name_change_count; i++) {
        enum fate fate = fate_of(damage, sim->name_changes[i].order);
        bool kept = fate == FATE_KEPT || (fate == FATE_TORN && rng_below(&damage->rng, 2) == 0);
        note(damage, kept);
        if (kept) {
            sim_names_apply(&sim->durable, &sim->name_changes[i]);
        }
    }
    sim->name_change_count = 0;
    drop_lost_dirs(&sim->durable);
    sim_names_copy(&sim->durable, &sim->current);
}

/* A place among the unsynced changes. */
static uint64_t draw_cut(struct damage *damage, const struct sim_fs *sim)
{
    uint64_t lowest = sim->change_order;
    for (int i = 0; i < sim->inode_count; i++) {
        const struct sim_inode *inode = &sim->inodes[i];
        if (inode->change_count > 0 && inode->changes[0]->order < lowest) {
            lowest = inode->changes[0]->order;
        }
    }
    if (sim->name_change_count > 0 && sim->name_changes[0].order < lowest) {
        lowest = sim->name_changes[0].order;
    }
    return lowest + rng_below(&damage->rng, sim->change_order - lowest + 1);
}

int sim_crash(const struct sim_fs *sim, uint64_t seed, enum sim_mode mode, struct sim_fs **ret_sim,
              uint64_t *ret_damage)
{
    struct damage damage = {.rng = {seed}, .mode = mode};
    struct sim_fs *copy = NULL;
    int r = sim_kill(sim, &copy);

    if (r < 0) {
        return r;
    }
    damage.cut = draw_cut(&damage, copy);
    crash_names(&damage, copy);
    for (int i = 0; i < copy->inode_count; i++) {
        crash_inode(&damage, &copy->inodes[i]);
    }
    *ret_sim = copy;
    *ret_damage = damage.digest;
    return 0;
}
