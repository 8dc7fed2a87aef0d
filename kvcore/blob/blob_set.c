/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/blob/blob_set.h"

#include <inttypes.h>
#include <stdlib.h>

#include "kvcore/util/thread.h"

struct entry {
    uint64_t number;
    struct blob_file *file; /* NULL: not open */
    uint64_t used;          /* the set's clock at the last use */
    bool growing;           /* stays open */
    bool flagged;
};

struct blob_set {
    struct blob_store store; /* constant */
    unsigned open_max;       /* constant */
    struct mutex mu;
    struct entry *entries GUARDED_BY(&mu); /* sorted by number: those open or flagged */
    size_t count GUARDED_BY(&mu);
    size_t capacity GUARDED_BY(&mu);
    size_t open GUARDED_BY(&mu);
    uint64_t clock GUARDED_BY(&mu);
};

int blob_set_create(const struct blob_store *store, unsigned open_max, struct blob_set **ret_set)
{
    struct blob_set *set = calloc(1, sizeof *set);
    if (set == NULL) {
        return -ENOMEM;
    }
    set->store = *store;
    set->open_max = open_max;
    mutex_init(&set->mu, LOCK_RANK_BLOB_SET, "blob set");
    *ret_set = set;
    return 0;
}

void blob_set_destroy(struct blob_set *set)
{
    if (set == NULL) {
        return;
    }
    for (size_t i = 0; i < set->count; i++) {
        blob_file_unref(set->entries[i].file);
    }
    free(set->entries);
    mutex_finish(&set->mu);
    free(set);
}

/* ---- the table of numbers ---- */

/* Where the entry of `number` stands or would stand. */
static size_t position_of(const struct blob_set *set, uint64_t number) REQUIRES(&set->mu)
{
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (set->entries[middle].number < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct entry *find(struct blob_set *set, uint64_t number) REQUIRES(&set->mu)
{
    size_t at = position_of(set, number);
    return at < set->count && set->entries[at].number == number ? &set->entries[at] : NULL;
}

/* The entry of `number`, made if it is missing. */
static int find_or_add(struct blob_set *set, uint64_t number, struct entry **ret_entry)
    REQUIRES(&set->mu)
{
    size_t at = position_of(set, number);

    if (at == set->count || set->entries[at].number != number) {
        if (set->count == set->capacity) {
            size_t capacity = set->capacity * 2 + 16;
            struct entry *entries = reallocarray(set->entries, capacity, sizeof *entries);
            if (entries == NULL) {
                return -ENOMEM;
            }
            set->entries = entries;
            set->capacity = capacity;
        }
        memmove(&set->entries[at + 1], &set->entries[at],
                (set->count - at) * sizeof set->entries[0]);
        set->entries[at] = (struct entry){.number = number};
        set->count++;
    }
    *ret_entry = &set->entries[at];
    return 0;
}

static void drop_if_idle(struct blob_set *set, const struct entry *entry) REQUIRES(&set->mu)
{
    size_t at = (size_t)(entry - set->entries);
    if (entry->file == NULL && !entry->flagged) {
        set->count--;
        memmove(&set->entries[at], &set->entries[at + 1],
                (set->count - at) * sizeof set->entries[0]);
    }
}

/* Take the file that was used longest ago out of the table if there are too many. */
static struct blob_file *evict(struct blob_set *set) REQUIRES(&set->mu)
{
    struct entry *oldest = NULL;
    struct blob_file *file;

    for (size_t i = 0; set->open > set->open_max && i < set->count; i++) {
        struct entry *entry = &set->entries[i];
        if (entry->file != NULL && !entry->growing &&
            (oldest == NULL || entry->used < oldest->used)) {
            oldest = entry;
        }
    }
    if (oldest == NULL) {
        return NULL;
    }
    file = oldest->file;
    oldest->file = NULL;
    set->open--;
    drop_if_idle(set, oldest);
    return file;
}

/* ---- opening and closing ---- */

/* Put an open file into the table unless there is one already; a reference to what is there then.
 */
static int insert(struct blob_set *set, struct blob_file *file, bool growing,
                  struct blob_file **ret_file)
{
    struct blob_file *evicted = NULL;
    struct entry *entry = NULL;
    int r;

    mutex_lock(&set->mu);
    r = find_or_add(set, blob_file_number(file), &entry);
    if (r == 0) {
        if (entry->file == NULL) {
            entry->file = blob_file_ref(file);
            set->open++;
        }
        entry->growing = entry->growing || growing;
        entry->used = ++set->clock;
        *ret_file = blob_file_ref(entry->file);
        evicted = evict(set);
    }
    mutex_unlock(&set->mu);
    blob_file_unref(evicted);
    return r;
}

int blob_set_add(struct blob_set *set, struct blob_file *file)
{
    struct blob_file *same = NULL;
    int r = insert(set, file, true, &same);
    blob_file_unref(same);
    return r;
}

static int open_blob(struct blob_set *set, uint64_t number, struct blob_file **ret_file)
{
    struct blob_file *file = NULL;
    int r = blob_file_open(&set->store, number, &file);

    if (r == -ENOENT) {
        struct message_place place = {KV_FILE_BLOB, number, MESSAGE_NO_OFFSET};
        return message_damage_at(set->store.sink, place,
                                 "%s: blob %08" PRIu64
                                 " is missing, but rows refer to it; run kvfs "
                                 "fsck",
                                 set->store.storage->ops->name(set->store.storage), number);
    }
    r = r < 0 ? r : insert(set, file, false, ret_file);
    blob_file_unref(file);
    return r;
}

int blob_set_get(struct blob_set *set, uint64_t number, struct blob_file **ret_file)
{
    struct blob_file *file = NULL;

    mutex_lock(&set->mu);
    struct entry *entry = find(set, number);
    if (entry != NULL && entry->file != NULL) {
        entry->used = ++set->clock;
        file = blob_file_ref(entry->file);
    }
    mutex_unlock(&set->mu);
    if (file == NULL) {
        return open_blob(set, number, ret_file);
    }
    *ret_file = file;
    return 0;
}

void blob_set_settle(struct blob_set *set, uint64_t number)
{
    struct blob_file *evicted = NULL;

    mutex_lock(&set->mu);
    struct entry *entry = find(set, number);
    if (entry != NULL) {
        entry->growing = false;
        evicted = evict(set);
    }
    mutex_unlock(&set->mu);
    blob_file_unref(evicted);
}

void blob_set_forget(struct blob_set *set, uint64_t number)
{
    struct blob_file *file = NULL;

    mutex_lock(&set->mu);
    struct entry *entry = find(set, number);
    if (entry != NULL) {
        file = entry->file;
        set->open -= file != NULL;
        *entry = (struct entry){.number = number};
        drop_if_idle(set, entry);
    }
    mutex_unlock(&set->mu);
    blob_file_unref(file);
}

bool blob_set_next(struct blob_set *set, uint64_t from, uint64_t *ret_number)
{
    mutex_lock(&set->mu);
    size_t at = position_of(set, from);
    bool found = at < set->count;
    if (found) {
        *ret_number = set->entries[at].number;
    }
    mutex_unlock(&set->mu);
    return found;
}

/* ---- flags ---- */

int blob_set_flag(struct blob_set *set, uint64_t number)
{
    struct entry *entry = NULL;

    mutex_lock(&set->mu);
    int r = find_or_add(set, number, &entry);
    if (r == 0) {
        entry->flagged = true;
    }
    mutex_unlock(&set->mu);
    return r;
}

bool blob_set_is_flagged(struct blob_set *set, uint64_t number)
{
    mutex_lock(&set->mu);
    const struct entry *entry = find(set, number);
    bool flagged = entry != NULL && entry->flagged;
    mutex_unlock(&set->mu);
    return flagged;
}

/* ---- reading ---- */

int blob_set_read(struct blob_set *set, const struct blob_pointer *pointer, size_t skip,
                  size_t size, uint8_t *to)
{
    struct blob_request request = {.pointer = *pointer, .skip = skip, .size = size, .to = to};
    return blob_set_read_many(set, &request, 1);
}

/* By blob, then by place: what the pointer's first unit says of the part is not exact, but order
 * only saves reads. */
static int compare_requests(const void *a, const void *b)
{
    const struct blob_request *ra = a;
    const struct blob_request *rb = b;
    if (ra->pointer.number != rb->pointer.number) {
        return ra->pointer.number < rb->pointer.number ? -1 : 1;
    }
    uint64_t at_a = ra->pointer.offset + (uint64_t)ra->skip;
    uint64_t at_b = rb->pointer.offset + (uint64_t)rb->skip;
    return (at_a > at_b) - (at_a < at_b);
}

static int read_blob(struct blob_set *set, struct blob_request *requests, size_t count)
{
    struct blob_file *file = NULL;
    int r = blob_set_get(set, requests[0].pointer.number, &file);

    if (r == 0) {
        r = blob_file_read(file, requests, count);
        blob_file_unref(file);
        return r;
    }
    for (size_t i = 0; i < count; i++) {
        requests[i].result = r;
    }
    return r;
}

int blob_set_read_many(struct blob_set *set, struct blob_request *requests, size_t count)
{
    int first = 0;

    if (count > 1) {
        qsort(requests, count, sizeof requests[0], compare_requests);
    }
    for (size_t i = 0, n; i < count; i += n) {
        for (n = 1; i + n < count && requests[i + n].pointer.number == requests[i].pointer.number;
             n++) {
        }
        int r = read_blob(set, requests + i, n);
        first = first < 0 ? first : r;
    }
    return first;
}
