/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/core/lookup_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "kvcore/util/checksum.h"

enum {
    SLOTS_FIRST = 1024,
    GROUP_INODES = 16,
    NARROW_MAX = UINT8_MAX,
};

/* The counts of inodes whose numbers are neighbours: a byte each, or eight once one of them is more
 * than NARROW_MAX. Bit i of a mark is that of the i-th; it is set only while its count is not 0. */
struct lookup_group {
    uint16_t orphans;
    uint16_t linkables; /* orphans that link(2) may give a name */
    bool wide;
    uint8_t counts[]; /* GROUP_INODES of 1 or 8 bytes */
};

struct lookup_slot {
    uint64_t number;            /* inode number / GROUP_INODES */
    struct lookup_group *group; /* NULL: free */
};

void lookup_table_init(struct lookup_table *table)
{
    *table = (struct lookup_table){0};
    mutex_init(&table->mu, LOCK_RANK_FS_TABLE, "look-up table");
}

void lookup_table_finish(struct lookup_table *table)
{
    for (uint64_t i = 0; i < table->slot_count; i++) {
        free(table->slots[i].group);
    }
    free(table->slots);
    mutex_finish(&table->mu);
}

/* ---- a group ---- */

static struct lookup_group *group_create(bool wide)
{
    size_t size = wide ? sizeof(uint64_t) : 1;
    struct lookup_group *group = calloc(1, sizeof *group + GROUP_INODES * size);
    if (group != NULL) {
        group->wide = wide;
    }
    return group;
}

static unsigned place_of(uint64_t ino)
{
    return ino % GROUP_INODES;
}

static uint16_t bit_of(uint64_t ino)
{
    return (uint16_t)(1U << place_of(ino));
}

static uint64_t count_get(const struct lookup_group *group, unsigned place)
{
    uint64_t count;
    if (!group->wide) {
        return group->counts[place];
    }
    memcpy(&count, group->counts + place * sizeof count, sizeof count);
    return count;
}

static void count_set(struct lookup_group *group, unsigned place, uint64_t count)
{
    if (group->wide) {
        memcpy(group->counts + place * sizeof count, &count, sizeof count);
    } else {
        assert(count <= NARROW_MAX);
        group->counts[place] = (uint8_t)count;
    }
}

static bool group_is_empty(const struct lookup_group *group)
{
    unsigned place = 0;
    while (place < GROUP_INODES && count_get(group, place) == 0) {
        place++;
    }
    return place == GROUP_INODES;
}

static int group_widen(struct lookup_group **group)
{
    struct lookup_group *wide = group_create(true);
    if (wide == NULL) {
        return -ENOMEM;
    }
    wide->orphans = (*group)->orphans;
    wide->linkables = (*group)->linkables;
    for (unsigned place = 0; place < GROUP_INODES; place++) {
        count_set(wide, place, count_get(*group, place));
    }
    free(*group);
    *group = wide;
    return 0;
}

/* ---- the table of groups ---- */

/* The slot of the group, or the free one where it belongs. */
static uint64_t probe(const struct lookup_table *table, uint64_t number)
{
    uint64_t at = hash_u64(number) & (table->slot_count - 1);
    while (table->slots[at].group != NULL && table->slots[at].number != number) {
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
        if (old[i].group != NULL) {
            slots[probe(table, old[i].number)] = old[i];
        }
    }
    free(old);
    return 0;
}

/* Take the slot out and move those behind it that would no longer be found. */
static void remove_slot(struct lookup_table *table, uint64_t at)
{
    uint64_t mask = table->slot_count - 1;
    free(table->slots[at].group);
    table->slots[at] = (struct lookup_slot){0};
    table->used--;
    for (uint64_t i = (at + 1) & mask; table->slots[i].group != NULL; i = (i + 1) & mask) {
        struct lookup_slot moved = table->slots[i];
        table->slots[i] = (struct lookup_slot){0};
        table->slots[probe(table, moved.number)] = moved;
    }
    if (table->slot_count > SLOTS_FIRST && table->used < table->slot_count / 8) {
        /* Staying large is no failure. */
        kv_ignore(resize(table, table->slot_count / 2));
    }
}

/* The group of an inode in use, or NULL. */
static struct lookup_group *find(const struct lookup_table *table, uint64_t ino)
{
    if (table->slot_count == 0) {
        return NULL;
    }
    struct lookup_group *group = table->slots[probe(table, ino / GROUP_INODES)].group;
    return group != NULL && count_get(group, place_of(ino)) > 0 ? group : NULL;
}

/* The slot of the inode's group, with a group in it. */
static int find_or_make(struct lookup_table *table, uint64_t ino, struct lookup_slot **ret_slot)
{
    int r = 0;
    if (table->slot_count == 0) {
        r = resize(table, SLOTS_FIRST);
    } else if (table->used >= table->slot_count / 4 * 3) {
        r = resize(table, table->slot_count * 2);
    }
    if (r < 0) {
        return r;
    }
    struct lookup_slot *slot = &table->slots[probe(table, ino / GROUP_INODES)];
    if (slot->group == NULL) {
        slot->group = group_create(false);
        if (slot->group == NULL) {
            return -ENOMEM;
        }
        slot->number = ino / GROUP_INODES;
        table->used++;
    }
    *ret_slot = slot;
    return 0;
}

int lookup_table_add(struct lookup_table *table, uint64_t ino)
{
    struct lookup_slot *slot;
    mutex_lock(&table->mu);
    int r = find_or_make(table, ino, &slot);
    if (r == 0) {
        uint64_t count = count_get(slot->group, place_of(ino)) + 1;
        if (!slot->group->wide && count > NARROW_MAX) {
            r = group_widen(&slot->group);
        }
        if (r == 0) {
            count_set(slot->group, place_of(ino), count);
        }
    }
    mutex_unlock(&table->mu);
    return r;
}

bool lookup_table_sub(struct lookup_table *table, uint64_t ino, uint64_t count)
{
    bool last_of_orphan = false;
    mutex_lock(&table->mu);
    struct lookup_group *group = find(table, ino);
    if (group != NULL) {
        uint64_t held = count_get(group, place_of(ino));
        count_set(group, place_of(ino), count < held ? held - count : 0);
        if (count >= held) {
            last_of_orphan = (group->orphans & bit_of(ino)) != 0;
            group->orphans &= (uint16_t)~bit_of(ino);
            group->linkables &= (uint16_t)~bit_of(ino);
        }
        if (group_is_empty(group)) {
            remove_slot(table, probe(table, ino / GROUP_INODES));
        }
    }
    mutex_unlock(&table->mu);
    return last_of_orphan;
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
    struct lookup_group *group = find(table, ino);
    assert(group != NULL);
    group->orphans |= bit_of(ino);
    group->linkables |= linkable ? bit_of(ino) : 0;
    mutex_unlock(&table->mu);
}

bool lookup_table_is_linkable(struct lookup_table *table, uint64_t ino)
{
    mutex_lock(&table->mu);
    const struct lookup_group *group = find(table, ino);
    bool linkable = group != NULL && (group->linkables & bit_of(ino)) != 0;
    mutex_unlock(&table->mu);
    return linkable;
}

void lookup_table_unmark(struct lookup_table *table, uint64_t ino)
{
    mutex_lock(&table->mu);
    struct lookup_group *group = find(table, ino);
    assert(group != NULL);
    group->orphans &= (uint16_t)~bit_of(ino);
    group->linkables &= (uint16_t)~bit_of(ino);
    mutex_unlock(&table->mu);
}

bool lookup_table_mark_orphan(struct lookup_table *table, uint64_t ino)
{
    mutex_lock(&table->mu);
    struct lookup_group *group = find(table, ino);
    if (group != NULL) {
        group->orphans |= bit_of(ino);
    }
    mutex_unlock(&table->mu);
    return group != NULL;
}
