/* SPDX-License-Identifier: Apache-2.0 */
/* Where followers are tried: in a directory; with KV_IN_POOL on a pool in memory; with KV_ON_RADOS,
 * in the suite `rados`, on a cluster. One place for each test. */
#ifndef TESTS_DB_FOLLOW_PLACE_H
#define TESTS_DB_FOLLOW_PLACE_H

#include <stdbool.h>

#include <kv/storage.h>

#include "tests/lib/check_main.h"

#if defined(KV_ON_RADOS) || defined(KV_IN_POOL)
#include <stdlib.h>

#include "tests/db/pool_place.h"
#else
#include <dirent.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/temp_dir.h"
#endif

/* How much is written beside followers: so many writes, or for so long. */
struct place_load {
    uint64_t writes;
    uint64_t seconds; /* 0: no matter how long */
    uint64_t writes_per_compaction;
};

#if defined(KV_ON_RADOS) || defined(KV_IN_POOL)

enum { PLACE_SPANS_PROCESSES = 0 }; /* memory does not, and librados cannot be forked */

static inline bool place_holds_removed_files(void)
{
    return false; /* no object is held open */
}

#else

static struct temp_dir place;

static inline void place_make(void)
{
    temp_dir_make(&place);
}

static inline void place_remove(void)
{
    temp_dir_remove(&place);
}

static inline struct kv_storage *place_open(bool create)
{
    struct kv_storage *storage = NULL;
    ck_ok(kv_storage_posix_open(place.path, create, &storage));
    return storage;
}

enum { PLACE_SPANS_PROCESSES = 1 };

/* Whether this process still holds the room of a file that was removed. */
static inline bool place_holds_removed_files(void)
{
    char target[512];
    DIR *stream = opendir("/proc/self/fd");
    const struct dirent *entry;
    bool holds = false;
    ck_assert_ptr_nonnull(stream);
    while ((entry = readdir(stream)) != NULL) {
        ssize_t size = readlinkat(dirfd(stream), entry->d_name, target, sizeof target - 1);
        target[size > 0 ? size : 0] = '\0';
        holds = holds || (strncmp(target, place.path, strlen(place.path)) == 0 &&
                          strstr(target, " (deleted)") != NULL);
    }
    closedir(stream);
    return holds;
}

#endif

#if defined(KV_ON_RADOS)

enum { PLACE_CAN_BE_EMPTIED = 0 };

static inline void place_empty(void)
{
}

static inline struct place_load place_load(void)
{
    return (struct place_load){.writes = UINT64_MAX,
                               .seconds = getenv("KV_SLOW") != NULL ? 600 : 15,
                               .writes_per_compaction = 500};
}

#else

enum { PLACE_CAN_BE_EMPTIED = 1 };

#if defined(KV_IN_POOL)
static inline void place_empty(void)
{
    fake_cluster_purge(place.cluster);
}
#else
static inline void place_empty(void)
{
    char path[512];
    DIR *stream = opendir(place.path);
    const struct dirent *entry;
    ck_assert_ptr_nonnull(stream);
    while ((entry = readdir(stream)) != NULL) {
        if (entry->d_name[0] != '.') {
            ck_assert_int_eq(unlink(temp_dir_name(&place, entry->d_name, path)), 0);
        }
    }
    closedir(stream);
}
#endif

static inline struct place_load place_load(void)
{
    uint64_t writes = test_steps(8000);
    return (struct place_load){.writes = writes, .writes_per_compaction = writes / 8 + 1};
}

#endif

#endif
