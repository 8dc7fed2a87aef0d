/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/reclaim_choice.h"

#include <stdlib.h>

enum {
    DUE_SHARE = 25,  /* a pass is due when garbage exceeds live bytes divided by this, */
    BLOB_SHARE = 20, /* and looks at blobs of whose bytes so large a share is garbage */
};

/* ---- what is known ---- */

void known_blobs_finish(struct known_blobs *known)
{
    for (size_t i = 0; i < known->count; i++) {
        free(known->items[i].free.words);
    }
    free(known->items);
    *known = (struct known_blobs){0};
}

static size_t position_of(const struct known_blobs *known, uint64_t number)
{
    size_t low = 0;
    size_t high = known->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (known->items[middle].number < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct known_blob *known_blobs_find(const struct known_blobs *known, uint64_t number)
{
    size_t i = position_of(known, number);
    return i < known->count && known->items[i].number == number ? &known->items[i] : NULL;
}

int known_blobs_get(struct known_blobs *known, uint64_t number, struct known_blob **ret_entry)
{
    size_t at = position_of(known, number);
    struct known_blob *larger;

    if (at == known->count || known->items[at].number != number) {
        larger = realloc(known->items, (known->count + 1) * sizeof *larger);
        if (larger == NULL) {
            return -ENOMEM;
        }
        known->items = larger;
        memmove(larger + at + 1, larger + at, (known->count - at) * sizeof *larger);
        larger[at] = (struct known_blob){.number = number};
        known->count++;
    }
    *ret_entry = &known->items[at];
    return 0;
}

void known_blobs_prune(struct known_blobs *known, const struct version *version)
{
    size_t kept = 0;
    for (size_t i = 0; i < known->count; i++) {
        if (version_find_blob(version, known->items[i].number) != NULL) {
            known->items[kept++] = known->items[i];
        } else {
            free(known->items[i].free.words);
        }
    }
    known->count = kept;
}

/* ---- choosing ---- */

struct chosen {
    uint64_t number;
    uint64_t garbage;
};

/* Garbage that a pass may give back: not what the last one left, unless something changed. */
static uint64_t fresh_garbage(const struct version_blob *blob, const struct known_blobs *known,
                              const struct choice_rules *rules)
{
    uint64_t garbage = version_blob_garbage(blob);
    const struct known_blob *before = known_blobs_find(known, blob->info.number);
    if (before == NULL || rules->eager) {
        return garbage;
    }
    /* No table refers to it: only rows in memory do, or did. */
    if (blob->referenced == 0 && before->flushes != rules->flushes) {
        return garbage;
    }
    return garbage > before->garbage ? garbage - before->garbage : 0;
}

static bool is_worth_it(const struct version_blob *blob, uint64_t fresh, bool eager)
{
    if (blob->referenced == 0) {
        return eager || fresh > 0;
    }
    return fresh > 0 && (eager || fresh > blob->info.data_bytes / BLOB_SHARE);
}

static int compare_garbage(const void *a, const void *b)
{
    const struct chosen *ca = a;
    const struct chosen *cb = b;
    return (ca->garbage < cb->garbage) - (ca->garbage > cb->garbage);
}

static int compare_numbers(const void *a, const void *b)
{
    uint64_t na = *(const uint64_t *)a;
    uint64_t nb = *(const uint64_t *)b;
    return (na > nb) - (na < nb);
}

size_t reclaim_choose(const struct version *version, const struct known_blobs *known,
                      const struct choice_rules *rules, uint64_t *numbers)
{
    size_t blob_count = version->blobs != NULL ? version->blobs->count : 0;
    struct chosen *chosen = blob_count > 0 ? malloc(blob_count * sizeof *chosen) : NULL;
    uint64_t limit = version_blob_live_bytes(version) / DUE_SHARE;
    uint64_t sum = 0;
    size_t count = 0;

    for (size_t i = 0; chosen != NULL && i < blob_count; i++) {
        const struct version_blob *blob = &version->blobs->items[i];
        uint64_t fresh = fresh_garbage(blob, known, rules);
        sum += fresh;
        if (is_worth_it(blob, fresh, rules->eager)) {
            chosen[count++] = (struct chosen){blob->info.number, fresh};
        }
    }
    limit = limit > rules->slack_bytes ? limit : rules->slack_bytes;
    if (count == 0 || (!rules->eager && sum <= limit)) {
        free(chosen);
        return 0;
    }
    qsort(chosen, count, sizeof *chosen, compare_garbage);
    count = count < RECLAIM_BLOBS_MAX ? count : RECLAIM_BLOBS_MAX;
    for (size_t i = 0; i < count; i++) {
        numbers[i] = chosen[i].number;
    }
    qsort(numbers, count, sizeof *numbers, compare_numbers);
    free(chosen);
    return count;
}
