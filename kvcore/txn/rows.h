/* SPDX-License-Identifier: Apache-2.0 */
/* The keys a transaction has touched, in order, and what it wrote to them.
 *
 * A treap (Seidel and Aragon 1996) by table and key. An entry stands for one key: that it was read,
 * that it is claimed (nobody else may change it), and a stack of *versions*, newest first, as far
 * as savepoints need the older ones. Entries are never removed before the transaction ends; one
 * without versions was not written. All versions are chained by age as well, so that undoing back
 * to a savepoint takes them off one by one.
 *
 * (Refused: the engine's memtable for it. It would keep every version of a key that is written
 * often, could undo nothing, and takes memory by the chunk, where most transactions write a few
 * rows.)
 *
 * Memory is counted and bounded; used by one thread at a time. The first few hundred bytes of it
 * lie in the set itself: most transactions write a row or two, and the allocator would cost them as
 * much as the rest of the transaction. What is given back of these is not used again. */
#ifndef KVCORE_TXN_ROWS_H
#define KVCORE_TXN_ROWS_H

#include <stddef.h>

#include <kv/kv.h>

struct row_version {
    struct row_version *older;   /* of the same key */
    struct row_version *earlier; /* of any key: the one written before */
    struct row_entry *entry;
    uint64_t number; /* of the operation that wrote it */
    bool is_delete;
    size_t value_size;
    uint8_t *value;
};

struct row_entry {
    struct row_entry *left, *right;
    uint64_t priority;
    struct kv_table *table;
    struct row_version *newest; /* NULL: not written */
    bool read;                  /* and not allowed to change since, for a serializable one */
    bool claimed;
    bool locked;
    uint32_t key_size;
    uint8_t key[];
};

enum { ROWS_FIRST_BYTES = 512 };

struct rows {
    struct row_entry *root;
    struct row_version *latest; /* NULL: nothing written */
    uint64_t seed;              /* of priorities */
    size_t entry_count;
    size_t bytes, bytes_max;
    size_t first_used;
    _Alignas(max_align_t) uint8_t first[ROWS_FIRST_BYTES];
};

static inline struct kv_slice row_entry_key(const struct row_entry *entry)
{
    return kv_slice(entry->key, entry->key_size);
}

static inline struct kv_slice row_version_value(const struct row_version *version)
{
    return kv_slice(version->value, version->value_size);
}

/* It must stay where it is until it is finished. */
void rows_init(struct rows *rows, size_t bytes_max);
void rows_finish(struct rows *rows);
/* Count memory that lies elsewhere. Errors: -E2BIG, and then it is not counted. */
KV_MUST_CHECK int rows_charge(struct rows *rows, size_t bytes);
void rows_discharge(struct rows *rows, size_t bytes);

/* The entry of the key, or NULL. */
struct row_entry *rows_find(const struct rows *rows, const struct kv_table *table,
                            struct kv_slice key);
/* The same, made if missing. Errors: -EINVAL empty or too large; -E2BIG; -ENOMEM. */
KV_MUST_CHECK int rows_touch(struct rows *rows, struct kv_table *table, struct kv_slice key,
                             struct row_entry **ret_entry);
/* First entry of the table with a key >= `key`, or > `key` if `beyond`; NULL: none. */
struct row_entry *rows_seek(const struct rows *rows, const struct kv_table *table,
                            struct kv_slice key, bool beyond);
/* Last one with a key <= `key`, or < `key` if `beyond`. */
struct row_entry *rows_seek_back(const struct rows *rows, const struct kv_table *table,
                                 struct kv_slice key, bool beyond);
/* Last one of the table. */
struct row_entry *rows_last(const struct rows *rows, const struct kv_table *table);
/* Call `fn` for all entries in order until it returns something but 0, and return that. */
typedef int row_entry_fn(void *arg, struct row_entry *entry);
KV_MUST_CHECK int rows_each(const struct rows *rows, row_entry_fn *fn, void *arg);

/* Write a version: `value` NULL deletes. What was written after operation `kept` may be replaced in
 * place. Errors: -E2BIG, -ENOMEM. */
KV_MUST_CHECK int rows_write(struct rows *rows, struct row_entry *entry,
                             const struct kv_slice *value, uint64_t number, uint64_t kept);
/* Undo all operations after `number`. */
void rows_undo(struct rows *rows, uint64_t number);

#endif
