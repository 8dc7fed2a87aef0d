/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/core/lookup_table.h"

#include <assert.h>
#include <stdlib.h>

#include "kvcore/util/checksum.h"

enum { SLOTS_FIRST = 1024 };

#define ORPHAN   ((uint64_t)1 << 63)
#define LINKABLE ((uint64_t)1 << 62) /* an orphan that link(2) may give a name */
#define MARKS    (ORPHAN | LINKABLE)

struct lookup_slot {
    uint64_t ino;   /* 0: free */
    uint64_t count; /* and marks */
};

void lookup_table_init(struct lookup_table *table)
{
    *table = (struct lookup_table){0};
    mutex_init(&table->mu, LOCK_RANK_FS_TABLE, "look-up table");
}

void lookup_table_finish(struct lookup_table *table)
{
    free(table->slots);
    mutex_finish(&table->mu);
}

/* The slot of `ino`, or the free one where it belongs. */
static uint64_t probe(const struct lookup_table *table, uint64_t ino)
{
    uint64_t at = hash_u64(ino) & (table->slot_count - 1);
    while (table->slots[at].ino != 0 && table->slots[at].ino != ino) {
        at = (at + 1) & (table->slot_count - 1);
    }
    return at;
}

static int resize(struct lookup_table *table, uint64_t slot_count)
{
    struct lookup_slot *old = table->slots;
    uint64_t old_count = table->slot_count;
    struct lookup_slot *slots = calloc(slot_count, sizeof *slots);
    if (slots == NULL) {
        return -ENOMEM;
    }
    table->slots = slots;
    table->slot_count = slot_count;
    for (uint64_t i = 0; i < old_count; i++) {
        if (old[i].ino != 0) {
            slots[probe(table, old[i].ino)] = old[i];
        }
    }
    free(old);
    return 0;
}

/* Take the slot out and move those behind it that would no longer be found. */
static void remove_slot(struct lookup_table *table, uint64_t at)
{
    uint64_t mask = table->slot_count - 1;
    table->slots[at] = (struct lookup_slot){0};
    table->used--;
    for (uint64_t i = (at + 1) & mask; table->slots[i].ino != 0; i = (i + 1) & mask) {
        struct lookup_slot moved = table->slots[i];
        table->slots[i] = (struct lookup_slot){0};
        table->slots[probe(table, moved.ino)] = moved;
    }
    if (table->slot_count > SLOTS_FIRST && table->used < table->slot_count / 8) {
        /* Staying large is no failure. */
        kv_ignore(resize(table, table->slot_count / 2));
    }
}

int lookup_table_add(struct lookup_table *table, uint64_t ino)
{
    int r = 0;
    mutex_lock(&table->mu);
    if (table->slot_count == 0) {
        r = resize(table, SLOTS_FIRST);
    } else if (table->used >= table->slot_count / 4 * 3) {
        r = resize(table, table->slot_count * 2);
    }
    if (r == 0) {
        struct lookup_slot *slot = &table->slots[probe(table, ino)];
        table->used += slot->ino == 0;
        slot->ino = ino;
        slot->count++;
    }
    mutex_unlock(&table->mu);
    return r;
}

bool lookup_table_sub(struct lookup_table *table, uint64_t ino, uint64_t count)
{
    bool last_of_orphan = false;
    mutex_lock(&table->mu);
    uint64_t at = table->slot_count > 0 ? probe(table, ino) : 0;
    if (table->slot_count > 0 && table->slots[at].ino == ino) {
        struct lookup_slot *slot = &table->slots[at];
        uint64_t held = slot->count & ~MARKS;
        slot->count -= count < held ? count : held;
        if ((slot->count & ~MARKS) == 0) {
            last_of_orphan = (slot->count & ORPHAN) != 0;
            remove_slot(table, at);
        }
    }
    mutex_unlock(&table->mu);
    return last_of_orphan;
}

/* The slot of an inode in use, or NULL. */
static struct lookup_slot *find(const struct lookup_table *table, uint64_t ino)
{
    if (table->slot_count == 0) {
        return NULL;
    }
    struct lookup_slot *slot = &table->slots[probe(table, ino)];
    return slot->ino == ino ? slot : NULL;
}

bool lookup_table_has(struct lookup_table *table, uint64_t ino)
{
    mutex_lock(&table->mu);
    bool has = find(table, ino) != NULL;
    mutex_unlock(&table->mu);
    return has;
}

void lookup_table_mark_unnamed(struct lookup_table *table, uint64_t ino, bool linkable)
{
    mutex_lock(&table->mu);
    struct lookup_slot *slot = find(table, ino);
    assert(slot != NULL);
    slot->count |= ORPHAN | (linkable ? LINKABLE : 0);
    mutex_unlock(&table->mu);
}

bool lookup_table_is_linkable(struct lookup_table *table, uint64_t ino)
{
    mutex_lock(&table->mu);
    const struct lookup_slot *slot = find(table, ino);
    bool linkable = slot != NULL && (slot->count & LINKABLE) != 0;
    mutex_unlock(&table->mu);
    return linkable;
}

void lookup_table_unmark(struct lookup_table *table, uint64_t ino)
{
    mutex_lock(&table->mu);
    struct lookup_slot *slot = find(table, ino);
    assert(slot != NULL);
    slot->count &= ~MARKS;
    mutex_unlock(&table->mu);
}

bool lookup_table_mark_orphan(struct lookup_table *table, uint64_t ino)
{
    mutex_lock(&table->mu);
    struct lookup_slot *slot = find(table, ino);
    if (slot != NULL) {
        slot->count |= ORPHAN;
    }
    mutex_unlock(&table->mu);
    return slot != NULL;
}
