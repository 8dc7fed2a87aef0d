/* SPDX-License-Identifier: Apache-2.0 */
/* A store with everything in it that can be damaged, the damage, and a judge of what repair left.
 *
 * Keys 0 to 599 are merged to the deepest level. Of the first 300 a third was written again and a
 * third deleted since, which stands in a newer table, with a range delete of keys 400 to 409. Keys
 * 600 to 639 are in the log only, unless the store was closed. */
#ifndef TESTS_ADMIN_ADMIN_STORE_H
#define TESTS_ADMIN_ADMIN_STORE_H

#include <kv/admin.h>
#include <kv/kv.h>

#include "tests/lib/check_main.h"

enum { STORE_KEYS = 640 };

/* Make both in the directory `path`: `path`/clean was closed, `path`/open was not. */
void store_make_both(const char *path);
/* All files of the directory, byte for byte, without LOCK and lost+found.d if `but_archive`. */
void copy_tree(const char *from, const char *to);
/* The same into a directory that is there. */
void copy_files(const char *from, const char *to);
bool same_tree(const char *a, const char *b, bool but_archive);

struct kv_storage *store_storage(const char *path);
/* The checksum seed, as the root record has it. */
uint64_t store_seed(struct kv_storage *storage);
/* What `mode` finds and does; the codes that were told, ended by 0, in `codes` (64 at most). */
int store_check(const char *path, enum kv_admin_mode mode, bool deep, int codes[64],
                struct kv_admin_result *ret_result);
bool has_code(const int codes[64], int code);

struct verdict {
    unsigned right, lost, unreadable; /* keys */
    unsigned stale;                   /* shown although newer rows said otherwise: never right */
};
/* Open the store for writing and read every key. */
void store_judge(const char *path, struct verdict *ret_verdict);
/* The same of an open one. `version` 0: what store_make_both() wrote; else store_write_again(). */
void store_judge_table(struct kv_table *table, int version, struct verdict *ret_verdict);
struct kv_store *store_open(const char *path, bool follow, struct kv_table **ret_table);
/* Open the store for writing, give every key a value of `version` and flush, so many times, and
 * close it. */
void store_write_again(const char *path, unsigned version, unsigned times);
/* The same, and in the end all of it is merged: the numbers of its files are new ones. */
void store_write_again_compacted(const char *path, unsigned version, unsigned times);

/* A way to damage a store. */
struct damage {
    const char *name;
    int code;          /* that must be told for it */
    bool open;         /* of the store that was not closed */
    bool repaired;     /* nothing is left after KV_ADMIN_REPAIR */
    unsigned may_cost; /* keys that may be lost or unreadable then */
    bool deep;
    void (*apply)(const char *path);
};
extern const struct damage damages[];
extern const size_t damage_count;
const struct damage *find_damage(const char *name);

/* Change a byte of a file of the store. */
void flip(const char *path, const char *name, uint64_t offset);

#endif
