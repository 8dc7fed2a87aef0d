/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/core/lookup_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "kvcore/util/checksum.h"

enum {
    SLOTS_FIRST = 1024,
    GROUP_INODES = LOOKUP_GROUP_INODES,
    NARROW_MAX = UINT8_MAX,
    SEGMENT_GROUPS = 2048,
};

/* The counts of inodes whose numbers are neighbours: a byte each, or eight once one of them is more
 * than NARROW_MAX. Bit i of a mark is that of the i-th; it is set only while its count is not 0. */
struct lookup_group {
    uint64_t number; /* inode number / GROUP_INODES */
    uint16_t orphans;
    uint16_t linkables; /* orphans that link(2) may give a name */
    bool is_wide;
    union {
        uint8_t narrow[GROUP_INODES];
        uint64_t *wide; /* GROUP_INODES */
    } counts;
};

static_assert(sizeof(struct lookup_group) == 2 * GROUP_INODES, "two bytes for each neighbour");

void lookup_table_init(struct lookup_table *table)
{
    *table = (struct lookup_table){0};
    mutex_init(&table->mu, LOCK_RANK_FS_TABLE, "look-up table");
}

static struct lookup_group *group_at(const struct lookup_table *table, uint32_t place)
{
    return &table->segments[place / SEGMENT_GROUPS][place % SEGMENT_GROUPS];
}

void lookup_table_finish(struct lookup_table *table)
{
    for (uint32_t place = 0; place < table->used; place++) {
        const struct lookup_group *group = group_at(table, place);
        if (group->is_wide) {
            free(group->counts.wide);
        }
    }
    for (uint32_t i = 0; i < table->segment_count; i++) {
        free(table->segments[i]);
    }
    free(table->segments);
    free(table->slots);
    mutex_finish(&table->mu);
}

/* ---- a group ---- */

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
    return group->is_wide ? group->counts.wide[place] : group->counts.narrow[place];
}

static void count_set(struct lookup_group *group, unsigned place, uint64_t count)
{
    if (group->is_wide) {
        group->counts.wide[place] = count;
    } else {
        assert(count <= NARROW_MAX);
        group->counts.narrow[place] = (uint8_t)count;
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

static int group_widen(struct lookup_table *table, struct lookup_group *group)
{
    uint64_t *wide = malloc(GROUP_INODES * sizeof *wide);
    if (wide == NULL) {
        return -ENOMEM;
    }
    for (unsigned place = 0; place < GROUP_INODES; place++) {
        wide[place] = count_get(group, place);
    }
    group->is_wide = true;
    group->counts.wide = wide;
    table->wide_count++;
    return 0;
}

/* ---- where groups stand ---- */

/* The slot that names the group, or the free one that belongs to it. */
static uint64_t probe(const struct lookup_table *table, uint64_t number)
{
    uint64_t at = hash_u64(number) & (table->slot_count - 1);
    while (table->slots[at] != 0 && group_at(table, table->slots[at] - 1)->number != number) {
        at = (at + 1) & (table->slot_count - 1);
    }
    return at;
}

static int resize(struct lookup_table *table, uint64_t slot_count)
{
    uint32_t *slots = calloc(slot_count, sizeof *slots);
    if (slots == NULL) {
        return -ENOMEM;
    }
    free(table->slots);
    table->slots = slots;
    table->slot_count = slot_count;
    for (uint32_t place = 0; place < table->used; place++) {
        slots[probe(table, group_at(table, place)->number)] = place + 1;
    }
    return 0;
}

/* Room for one more group. */
static int add_segment(struct lookup_table *table)
{
    uint32_t count = table->segment_count;
    if (count == UINT32_MAX / SEGMENT_GROUPS) {
        return -ENOMEM;
    }
    /* The list is as long as the next power of two. */
    if ((count & (count - 1)) == 0) {
        uint32_t capacity = count == 0 ? 1 : 2 * count;
        struct lookup_group **larger = realloc(table->segments, capacity * sizeof(*larger));
        if (larger == NULL) {
            return -ENOMEM;
        }
        table->segments = larger;
    }
    table->segments[count] = malloc(SEGMENT_GROUPS * sizeof(struct lookup_group));
    if (table->segments[count] == NULL) {
        return -ENOMEM;
    }
    table->segment_count++;
    return 0;
}

static int make_room(struct lookup_table *table)
{
    int r = 0;
    if (table->slot_count == 0) {
        r = resize(table, SLOTS_FIRST);
    } else if (table->used >= table->slot_count / 2) {
        r = resize(table, table->slot_count * 2);
    }
    if (r == 0 && table->used == table->segment_count * SEGMENT_GROUPS) {
        r = add_segment(table);
    }
    return r;
}

/* What removals leave free is given back but for one segment, so that a number of groups around a
 * border does not take and give it all the time. */
static void give_room_back(struct lookup_table *table)
{
    uint32_t needed = (table->used + SEGMENT_GROUPS - 1) / SEGMENT_GROUPS;
    while (table->segment_count > needed + 1) {
        free(table->segments[--table->segment_count]);
    }
    if (table->slot_count > SLOTS_FIRST && table->used < table->slot_count / 8) {
        /* Staying large is no failure. */
        kv_ignore(resize(table, table->slot_count / 2));
    }
}

/* Free the slot and move those behind it that would no longer be found. */
static void remove_slot(struct lookup_table *table, uint64_t at)
{
    uint64_t mask = table->slot_count - 1;
    table->slots[at] = 0;
    for (uint64_t i = (at + 1) & mask; table->slots[i] != 0; i = (i + 1) & mask) {
        uint32_t moved = table->slots[i];
        table->slots[i] = 0;
        table->slots[probe(table, group_at(table, moved - 1)->number)] = moved;
    }
}

/* The last group takes the place of the one that is removed. */
static void remove_group(struct lookup_table *table, struct lookup_group *group)
{
    uint64_t at = probe(table, group->number);
    uint32_t place = table->slots[at] - 1;
    struct lookup_group *last = group_at(table, table->used - 1);
    if (group->is_wide) {
        free(group->counts.wide);
        table->wide_count--;
    }
    remove_slot(table, at);
    if (last != group) {
        table->slots[probe(table, last->number)] = place + 1;
        *group = *last;
    }
    table->used--;
    give_room_back(table);
}

/* The group of an inode in use, or NULL. */
static struct lookup_group *find(const struct lookup_table *table, uint64_t ino)
{
    if (table->slot_count == 0) {
        return NULL;
    }
    uint32_t slot = table->slots[probe(table, ino / GROUP_INODES)];
    struct lookup_group *group = slot != 0 ? group_at(table, slot - 1) : NULL;
    return group != NULL && count_get(group, place_of(ino)) > 0 ? group : NULL;
}

static int find_or_make(struct lookup_table *table, uint64_t ino, struct lookup_group **ret_group)
{
    int r = make_room(table);
    if (r < 0) {
        return r;
    }
    uint64_t at = probe(table, ino / GROUP_INODES);
    if (table->slots[at] == 0) {
        *group_at(table, table->used) = (struct lookup_group){.number = ino / GROUP_INODES};
        table->slots[at] = ++table->used;
    }
    *ret_group = group_at(table, table->slots[at] - 1);
    return 0;
}

int lookup_table_add(struct lookup_table *table, uint64_t ino)
{
    struct lookup_group *group;
    mutex_lock(&table->mu);
    int r = find_or_make(table, ino, &group);
    if (r == 0) {
        uint64_t count = count_get(group, place_of(ino)) + 1;
        if (!group->is_wide && count > NARROW_MAX) {
            r = group_widen(table, group);
        }
        if (r == 0) {
            count_set(group, place_of(ino), count);
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
            remove_group(table, group);
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

/* From the last group down to the first: where one is removed the last takes its place, which was
 * passed before or is still to come. */
unsigned lookup_table_next(struct lookup_table *table, uint32_t *place,
                           uint64_t ret_inos[LOOKUP_GROUP_INODES])
{
    unsigned count = 0;
    mutex_lock(&table->mu);
    uint32_t at = *place < table->used ? *place : table->used;
    while (count == 0 && at > 0) {
        const struct lookup_group *group = group_at(table, --at);
        for (unsigned i = 0; i < GROUP_INODES; i++) {
            if (count_get(group, i) > 0) {
                ret_inos[count++] = group->number * GROUP_INODES + i;
            }
        }
    }
    *place = at;
    mutex_unlock(&table->mu);
    return count;
}

size_t lookup_table_bytes(struct lookup_table *table)
{
    mutex_lock(&table->mu);
    size_t bytes = table->slot_count * sizeof table->slots[0] +
                   table->segment_count * SEGMENT_GROUPS * sizeof(struct lookup_group) +
                   table->wide_count * GROUP_INODES * sizeof(uint64_t);
    mutex_unlock(&table->mu);
    return bytes;
}
