/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/core/lost_table.h"

#include <kv/admin.h>
#include <stdio.h>

#include "fs/core/key.h"
#include "kvcore/util/coding.h"

enum { PARTS = 2 };

static const struct part {
    const char *name;
    const char *kinds; /* of rows that tell that it is this one */
} parts[PARTS] = {
    {FORMAT_TABLE_META, LOST_TABLE_META_KINDS},
    {FORMAT_TABLE_DATA, LOST_TABLE_DATA_KINDS},
};

static bool is_row(struct kv_slice key)
{
    return key.size >= FORMAT_PREFIX_SIZE && rowkey_ino_is_valid(coding_get_be64(key.data + 1));
}

/* Where a row of that kind would be; others that make no sense may lie in front of it. */
static bool has_row(struct kv_iter *iter, char kind)
{
    uint8_t first = (uint8_t)kind;
    kv_iter_seek(iter, kv_slice(&first, 1));
    while (kv_iter_valid(iter) && kv_iter_key(iter).data[0] == first &&
           !is_row(kv_iter_key(iter))) {
        kv_iter_next(iter);
    }
    return kv_iter_valid(iter) && kv_iter_key(iter).data[0] == first;
}

int lost_table_has_rows(struct kv_table *table, const char *kinds)
{
    struct kv_iter_options options = {.snapshot = NULL};
    struct kv_iter *iter = NULL;
    bool has = false;
    int r = kv_iter_create(table, &options, &iter);
    if (r < 0) {
        return r;
    }
    for (const char *kind = kinds; *kind != '\0' && !has && r == 0; kind++) {
        has = has_row(iter, *kind);
        r = kv_iter_error(iter);
    }
    kv_iter_destroy(iter);
    return has ? 1 : r;
}

/* ---- which one is lost ------------------------------------------------------------------------
 */

struct finder {
    struct kv_store *store;
    bool has[PARTS];
    const struct part *wanted;
    char found_as[KV_TABLE_NAME_SIZE_MAX + 1];
};

static int note_part(void *arg, const char *name, const struct kv_table_options *options)
{
    struct finder *f = arg;
    (void)options;
    for (int i = 0; i < PARTS; i++) {
        f->has[i] |= strcmp(name, parts[i].name) == 0;
    }
    return 0;
}

static int has_rows(struct kv_store *store, const char *name, const char *kinds)
{
    struct kv_table *table = NULL;
    int r = kv_table_open(store, name, NULL, &table);
    return r < 0 ? r : lost_table_has_rows(table, kinds);
}

static bool has_lost_its_name(const char *name)
{
    return strncmp(name, KV_LOST_KEYSPACE, strlen(KV_LOST_KEYSPACE)) == 0;
}

/* A keyspace without its name, whose rows are those of the table that is wanted. */
static int find_rest(void *arg, const char *name, const struct kv_table_options *options)
{
    struct finder *f = arg;
    (void)options;
    if (!has_lost_its_name(name)) {
        return 0;
    }
    int r = has_rows(f->store, name, f->wanted->kinds);
    if (r == 1) {
        snprintf(f->found_as, sizeof f->found_as, "%s", name);
    }
    return r;
}

/* Whether it is lost: rows of its own are left in logs, or the other table has some. */
static int is_lost(struct finder *f, int i)
{
    const struct part *other = &parts[1 - i];
    f->wanted = &parts[i];
    int r = f->has[i] ? 0 : kv_table_list(f->store, find_rest, f);
    if (r == 0 && !f->has[i] && f->has[1 - i]) {
        r = has_rows(f->store, other->name, other->kinds);
    }
    return r;
}

int kvfs_lost_table(struct kv_store *store, struct kvfs_lost_table *ret_table)
{
    struct finder f = {.store = store};
    int r = kv_table_list(store, note_part, &f);
    for (int i = 0; i < PARTS && r == 0; i++) {
        r = is_lost(&f, i);
    }
    if (r == 1) {
        *ret_table = (struct kvfs_lost_table){.name = f.wanted->name,
                                              .options = {.prefix_size = FORMAT_PREFIX_SIZE}};
        memcpy(ret_table->found_as, f.found_as, sizeof f.found_as);
    }
    return r;
}

/* ---- whether there may be files ---------------------------------------------------------------
 */

static int is_part(void *arg, const char *name, const struct kv_table_options *options)
{
    bool is = has_lost_its_name(name);
    (void)arg;
    (void)options;
    for (int i = 0; i < PARTS; i++) {
        is |= strcmp(name, parts[i].name) == 0;
    }
    return is;
}

int kvfs_may_have_files(struct kv_store *store)
{
    return kv_table_list(store, is_part, NULL);
}
