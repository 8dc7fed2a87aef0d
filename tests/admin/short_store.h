/* SPDX-License-Identifier: Apache-2.0 */
/* A store whose process is killed, and that has lost what its manifest said from some edit on. */
#ifndef TESTS_ADMIN_SHORT_STORE_H
#define TESTS_ADMIN_SHORT_STORE_H

#include "tests/admin/admin_store.h"
#include "tests/lib/temp_dir.h"

enum { SHORT_KEYS = 100, SHORT_TABLES_MAX = 64 };

/* Versions of keys are 1 and more, but for: */
enum { SHORT_GONE = 0, SHORT_UNREADABLE = -1 };

struct short_store {
    struct temp_dir dir;
    char path[512];         /* what is written, and then closed in good order */
    char image[512];        /* what is left of it after the crash */
    struct kv_store *store; /* NULL: closed */
    struct kv_table *table; /* keyspace "one" */
    off_t end;              /* of the manifest, from which on it is lost; 0: all of it is kept */
};

extern struct short_store short_store;
extern const struct kv_options short_options;

/* The fixture of each test. */
void short_setup(void);
void short_teardown(void);

/* ---- before the crash ---- */

struct kv_slice short_key(unsigned i, char to[16]);

/* Give the keys from `from` on and below `to` this version, every `step`th of them, or each. */
void short_put_to(struct kv_table *table, unsigned from, unsigned to, unsigned step, int version);
void short_put(unsigned from, unsigned to, int version);

/* Every other key below `to`, so that a merge has something to drop. */
void short_delete_even(unsigned to);

/* What the manifest is told from now on is lost. */
void short_lose_from_here(void);

/* The process is killed, while these read (NULL: nobody does); the end of the manifest is lost. */
void short_crash(void);
void short_crash_while_reading(struct kv_iter *one, struct kv_iter *other);

/* ---- files ---- */

/* Numbers of the tables that are there, ascending; returns how many. */
unsigned short_list_tables(const char *path, unsigned numbers[SHORT_TABLES_MAX]);
void short_remove_table(const char *path, unsigned number);
void short_copy_table(const char *from, const char *to, unsigned number);

/* ---- judging the image ---- */

/* What is told of the manifest has these words. */
void short_expect_told(const char *words);

/* Repair, take that back, and repair again; then nothing is left to be told. Returns whether `code`
 * was told. */
bool short_repair(int code);

/* Closed by the caller. */
struct kv_store *short_open_image(void);

/* The version, SHORT_GONE or SHORT_UNREADABLE. */
int short_version_in(struct kv_table *table, unsigned i);

/* Each key is of the version `wanted` says. */
void short_expect(int (*wanted)(unsigned key));

/* How many keys are; none of the others shows what it was before. */
unsigned short_count_right(int (*wanted)(unsigned key));

#endif
