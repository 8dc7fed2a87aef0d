/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/txn/rows.h"

#include <stdlib.h>

#include "kvcore/util/checksum.h"

void rows_init(struct rows *rows, size_t bytes_max)
{
    memset(rows, 0, offsetof(struct rows, first));
    rows->bytes_max = bytes_max;
}

int rows_charge(struct rows *rows, size_t bytes)
{
    if (bytes > rows->bytes_max - rows->bytes) {
        return -E2BIG;
    }
    rows->bytes += bytes;
    return 0;
}

void rows_discharge(struct rows *rows, size_t bytes)
{
    rows->bytes -= bytes;
}

/* ---- memory ---- */

static void *take(struct rows *rows, size_t size)
{
    size_t at = rows->first_used;

    if (size > sizeof rows->first - at) {
        return malloc(size);
    }
    size = (size + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
    rows->first_used = at + size; /* the first bytes are a multiple of the alignment */
    return rows->first + at;
}

static void give_back(const struct rows *rows, void *memory)
{
    if ((uintptr_t)memory - (uintptr_t)rows->first >= sizeof rows->first) {
        free(memory);
    }
}

/* ---- the tree ---- */

static int compare(const struct kv_table *table, struct kv_slice key, const struct row_entry *entry)
{
    if (table != entry->table) {
        return (uintptr_t)table < (uintptr_t)entry->table ? -1 : 1;
    }
    return kv_slice_compare(key, row_entry_key(entry));
}

struct row_entry *rows_find(const struct rows *rows, const struct kv_table *table,
                            struct kv_slice key)
{
    struct row_entry *entry = rows->root;
    while (entry != NULL) {
        int r = compare(table, key, entry);
        if (r == 0) {
            return entry;
        }
        entry = r < 0 ? entry->left : entry->right;
    }
    return NULL;
}

/* Part the entries before the key from those behind it; none has the key. */
static void split(struct row_entry *tree, const struct row_entry *at, struct row_entry **ret_before,
                  struct row_entry **ret_behind)
{
    while (tree != NULL) {
        if (compare(tree->table, row_entry_key(tree), at) < 0) {
            *ret_before = tree;
            ret_before = &tree->right;
            tree = tree->right;
        } else {
            *ret_behind = tree;
            ret_behind = &tree->left;
            tree = tree->left;
        }
    }
    *ret_before = NULL;
    *ret_behind = NULL;
}

static void insert(struct rows *rows, struct row_entry *entry)
{
    struct row_entry **at = &rows->root;
    while (*at != NULL && (*at)->priority >= entry->priority) {
        at = compare(entry->table, row_entry_key(entry), *at) < 0 ? &(*at)->left : &(*at)->right;
    }
    split(*at, entry, &entry->left, &entry->right);
    *at = entry;
}

int rows_touch(struct rows *rows, struct kv_table *table, struct kv_slice key,
               struct row_entry **ret_entry)
{
    struct row_entry *entry = rows_find(rows, table, key);
    int r;

    if (entry != NULL) {
        *ret_entry = entry;
        return 0;
    }
    if (key.size == 0 || key.size > KV_KEY_SIZE_MAX) {
        return -EINVAL;
    }
    r = rows_charge(rows, sizeof *entry + key.size);
    if (r < 0) {
        return r;
    }
    entry = take(rows, sizeof *entry + key.size);
    if (entry == NULL) {
        rows_discharge(rows, sizeof *entry + key.size);
        return -ENOMEM;
    }
    *entry = (struct row_entry){
        .priority = hash_u64(++rows->seed), .table = table, .key_size = (uint32_t)key.size};
    memcpy(entry->key, key.data, key.size);
    insert(rows, entry);
    rows->entry_count++;
    *ret_entry = entry;
    return 0;
}

struct row_entry *rows_seek(const struct rows *rows, const struct kv_table *table,
                            struct kv_slice key, bool beyond)
{
    struct row_entry *best = NULL;
    for (struct row_entry *entry = rows->root; entry != NULL;) {
        int r = compare(table, key, entry);
        if (r < 0 || (r == 0 && !beyond)) {
            best = entry;
            entry = entry->left;
        } else {
            entry = entry->right;
        }
    }
    return best != NULL && best->table == table ? best : NULL;
}

struct row_entry *rows_seek_back(const struct rows *rows, const struct kv_table *table,
                                 struct kv_slice key, bool beyond)
{
    struct row_entry *best = NULL;
    for (struct row_entry *entry = rows->root; entry != NULL;) {
        int r = compare(table, key, entry);
        if (r > 0 || (r == 0 && !beyond)) {
            best = entry;
            entry = entry->right;
        } else {
            entry = entry->left;
        }
    }
    return best != NULL && best->table == table ? best : NULL;
}

struct row_entry *rows_last(const struct rows *rows, const struct kv_table *table)
{
    struct row_entry *best = NULL;
    for (struct row_entry *entry = rows->root; entry != NULL;) {
        if ((uintptr_t)entry->table <= (uintptr_t)table) {
            best = entry;
            entry = entry->right;
        } else {
            entry = entry->left;
        }
    }
    return best != NULL && best->table == table ? best : NULL;
}

/* The first entry behind `entry`, of any table; NULL as `entry`: the very first. */
static struct row_entry *following(const struct rows *rows, const struct row_entry *entry)
{
    struct row_entry *best = NULL;
    for (struct row_entry *at = rows->root; at != NULL;) {
        if (entry == NULL || compare(entry->table, row_entry_key(entry), at) < 0) {
            best = at;
            at = at->left;
        } else {
            at = at->right;
        }
    }
    return best;
}

int rows_each(const struct rows *rows, row_entry_fn *fn, void *arg)
{
    int r = 0;
    for (struct row_entry *entry = following(rows, NULL); entry != NULL && r == 0;
         entry = following(rows, entry)) {
        r = fn(arg, entry);
    }
    return r;
}

/* ---- versions ---- */

static size_t version_bytes(size_t value_size)
{
    return sizeof(struct row_version) + value_size;
}

/* Give the version a copy of the value. What it had is the caller's to give back. */
static int set_value(struct rows *rows, struct row_version *version, const struct kv_slice *value)
{
    size_t size = value != NULL ? value->size : 0;
    uint8_t *copy = NULL;

    if (size > 0) {
        copy = take(rows, size);
        if (copy == NULL) {
            return -ENOMEM;
        }
        memcpy(copy, value->data, size);
    }
    version->value = copy;
    version->value_size = size;
    version->is_delete = value == NULL;
    return 0;
}

/* The value may be the very one that is replaced, as an iterator shows it. */
static int replace(struct rows *rows, struct row_version *version, const struct kv_slice *value)
{
    size_t size = value != NULL ? value->size : 0;
    const struct row_version old = *version;
    int r = rows_charge(rows, size);

    if (r < 0) {
        return r;
    }
    r = set_value(rows, version, value);
    if (r < 0) {
        rows_discharge(rows, size);
        return r;
    }
    rows_discharge(rows, old.value_size);
    give_back(rows, old.value);
    return 0;
}

int rows_write(struct rows *rows, struct row_entry *entry, const struct kv_slice *value,
               uint64_t number, uint64_t kept)
{
    size_t bytes = version_bytes(value != NULL ? value->size : 0);
    struct row_version *version;
    int r;

    if (entry->newest != NULL && entry->newest->number > kept) {
        return replace(rows, entry->newest, value);
    }
    r = rows_charge(rows, bytes);
    if (r < 0) {
        return r;
    }
    version = take(rows, sizeof *version);
    r = version != NULL ? set_value(rows, version, value) : -ENOMEM;
    if (r < 0) {
        give_back(rows, version);
        rows_discharge(rows, bytes);
        return r;
    }
    version->older = entry->newest;
    version->earlier = rows->latest;
    version->entry = entry;
    version->number = number;
    entry->newest = version;
    rows->latest = version;
    return 0;
}

static void free_version(const struct rows *rows, struct row_version *version)
{
    give_back(rows, version->value);
    give_back(rows, version);
}

void rows_undo(struct rows *rows, uint64_t number)
{
    while (rows->latest != NULL && rows->latest->number > number) {
        struct row_version *version = rows->latest;
        rows->latest = version->earlier;
        version->entry->newest = version->older;
        rows_discharge(rows, version_bytes(version->value_size));
        free_version(rows, version);
    }
}

/* Free the tree by turning it into a list to the right: no recursion. */
void rows_finish(struct rows *rows)
{
    struct row_entry *entry = rows->root;

    while (rows->latest != NULL) {
        struct row_version *version = rows->latest;
        rows->latest = version->earlier;
        free_version(rows, version);
    }
    while (entry != NULL) {
        struct row_entry *left = entry->left;
        if (left != NULL) {
            entry->left = left->right;
            left->right = entry;
            entry = left;
        } else {
            struct row_entry *right = entry->right;
            give_back(rows, entry);
            entry = right;
        }
    }
    rows->root = NULL;
}
