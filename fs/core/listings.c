/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/core/listings.h"

#include <assert.h>
#include <stdlib.h>

struct listing_name {
    uint8_t size;
    uint8_t bytes[];
};

static struct kv_slice slice_of(const struct listing_name *name)
{
    return kv_slice(name->bytes, name->size);
}

void listings_init(struct listings *all)
{
    *all = (struct listings){0};
    mutex_init(&all->mu, LOCK_RANK_FS_TABLE, "listings");
}

void listings_finish(struct listings *all)
{
    assert(all->first == NULL);
    mutex_finish(&all->mu);
}

/* ---- the names moved --------------------------------------------------------------------------
 */

/* Where the name is, or belongs. */
static uint32_t place_of(const struct listing *listing, struct kv_slice name, bool *ret_is_there)
{
    uint32_t low = 0;
    uint32_t high = listing->moved_count;
    *ret_is_there = false;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = kv_slice_compare(slice_of(listing->moved[middle]), name);
        if (order == 0) {
            *ret_is_there = true;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void drop(struct listing *listing, uint32_t from, uint32_t count)
{
    for (uint32_t i = from; i < from + count; i++) {
        free(listing->moved[i]);
    }
    if (count == 0) {
        return; /* there may be no array */
    }
    listing->moved_count -= count;
    memmove(listing->moved + from, listing->moved + from + count,
            (listing->moved_count - from) * sizeof(listing->moved[0]));
}

static bool make_room(struct listing *listing)
{
    if (listing->moved_count < listing->moved_capacity) {
        return true;
    }
    uint32_t capacity = listing->moved_capacity == 0 ? 64 : listing->moved_capacity * 2;
    struct listing_name **moved = NULL;
    if (capacity <= LISTING_MOVED_MAX) {
        moved = realloc(listing->moved, capacity * sizeof(moved[0]));
    }
    if (moved == NULL) {
        return false;
    }
    listing->moved = moved;
    listing->moved_capacity = capacity;
    return true;
}

/* Without memory the name is listed, which is no fault. */
static void keep(struct listing *listing, struct kv_slice name)
{
    bool is_there;
    uint32_t at = place_of(listing, name, &is_there);
    if (is_there || !make_room(listing)) {
        return;
    }
    struct listing_name *copy = malloc(sizeof *copy + name.size);
    if (copy == NULL) {
        return;
    }
    copy->size = (uint8_t)name.size;
    memcpy(copy->bytes, name.data, name.size);
    memmove(listing->moved + at + 1, listing->moved + at,
            (listing->moved_count - at) * sizeof(listing->moved[0]));
    listing->moved[at] = copy;
    listing->moved_count++;
}

/* ---- listings ---------------------------------------------------------------------------------
 */

void listing_start(struct listings *all, struct listing *listing, uint64_t ino)
{
    mutex_lock(&all->mu);
    drop(listing, 0, listing->moved_count);
    listing->last_size = 0;
    if (listing->ino == 0) {
        listing->ino = ino;
        listing->next = all->first;
        all->first = listing;
        atomic_fetch_add(&all->count, 1);
    }
    mutex_unlock(&all->mu);
}

void listing_stop(struct listings *all, struct listing *listing)
{
    if (listing->ino == 0) {
        return;
    }
    mutex_lock(&all->mu);
    struct listing **at = &all->first;
    while (*at != listing) {
        at = &(*at)->next;
    }
    *at = listing->next;
    atomic_fetch_sub(&all->count, 1);
    mutex_unlock(&all->mu);
    drop(listing, 0, listing->moved_count);
    free(listing->moved);
    *listing = (struct listing){0};
}

void listing_reach(struct listings *all, struct listing *listing, struct kv_slice last)
{
    bool is_there;
    mutex_lock(&all->mu);
    listing->last_size = (uint8_t)last.size;
    memcpy(listing->last, last.data, last.size);
    drop(listing, 0, place_of(listing, last, &is_there));
    mutex_unlock(&all->mu);
}

bool listing_leaves_out(struct listings *all, const struct listing *listing, struct kv_slice name)
{
    bool is_there;
    mutex_lock(&all->mu);
    place_of(listing, name, &is_there);
    mutex_unlock(&all->mu);
    return is_there;
}

static void note(struct listing *listing, struct kv_slice from, struct kv_slice to)
{
    struct kv_slice last = kv_slice(listing->last, listing->last_size);
    bool was_moved;
    uint32_t at = place_of(listing, from, &was_moved);
    if (was_moved) {
        drop(listing, at, 1);
    }
    bool was_given = was_moved || kv_slice_compare(from, last) <= 0;
    if (was_given && kv_slice_compare(to, last) > 0) {
        keep(listing, to);
    }
}

void listings_renamed(struct listings *all, uint64_t ino, struct kv_slice from, struct kv_slice to)
{
    if (atomic_load(&all->count) == 0) {
        return;
    }
    mutex_lock(&all->mu);
    for (struct listing *listing = all->first; listing != NULL; listing = listing->next) {
        if (listing->ino == ino && listing->last_size > 0) {
            note(listing, from, to);
        }
    }
    mutex_unlock(&all->mu);
}
