/* SPDX-License-Identifier: Apache-2.0 */
/* Which blobs a pass of reclaim looks at, and what is remembered of earlier passes: the pages that
 * were given back, and how much garbage was left that could not be.
 *
 * Bound aimed at: garbage of tables' blobs stays below a tenth of what is live, or a few MiB. */
#ifndef KVCORE_DB_RECLAIM_CHOICE_H
#define KVCORE_DB_RECLAIM_CHOICE_H

#include "kvcore/db/store.h"

/* One bit per page of a blob. */
struct page_map {
    uint64_t *words;
    size_t pages;
};

enum { RECLAIM_PAGE = 4096, RECLAIM_BLOBS_MAX = 1024 /* of one pass */ };

static inline bool page_map_get(const struct page_map *map, size_t page)
{
    return page < map->pages && (map->words[page / 64] >> page % 64 & 1) != 0;
}

/* What is known of a blob from passes since the store was opened. */
struct known_blob {
    uint64_t number;
    uint64_t garbage;     /* that the last pass could not give back */
    uint64_t flushes;     /* count of the store's at the last pass */
    struct page_map free; /* pages given back; no words: none */
};

struct known_blobs {
    struct known_blob *items; /* ascending by number */
    size_t count;
};

void known_blobs_finish(struct known_blobs *known);
/* The entry of the blob, or NULL. */
struct known_blob *known_blobs_find(const struct known_blobs *known, uint64_t number);
/* The entry, made if missing. Errors: -ENOMEM. */
KV_MUST_CHECK int known_blobs_get(struct known_blobs *known, uint64_t number,
                                  struct known_blob **ret_entry);
/* Forget blobs that the version does not have. */
void known_blobs_prune(struct known_blobs *known, const struct version *version);

struct choice_rules {
    bool eager;           /* any garbage is worth a pass */
    uint64_t slack_bytes; /* not worth one, however little is live */
    uint64_t flushes;     /* of the store so far */
};

/* Numbers of the blobs worth a pass, ascending, at most RECLAIM_BLOBS_MAX; none if no pass is due.
 * `numbers` has room for that many. */
size_t reclaim_choose(const struct version *version, const struct known_blobs *known,
                      const struct choice_rules *rules, uint64_t *numbers);

#endif
