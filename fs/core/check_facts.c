/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/core/check_facts.h"

#include <kv/admin.h>

#include "fs/core/mend.h"
#include "kvcore/util/coding.h"

/* A fact that is a number of `size` bytes. False: it is told what is wrong with it. */
static bool read_fact(struct check *c, const char *name, size_t size, uint8_t *ret_value)
{
    struct kv_pinned pinned;
    struct rowkey key;
    const char *fault = NULL;
    rowkey_fact(&key, name);
    int r = fs_get(c->fs->meta, c->snapshot, &key, &pinned);
    if (r < 0) {
        fault = r == -ENOENT ? "it is missing" : "it cannot be read";
    } else {
        fault = pinned.value.size != size ? "it is no number" : NULL;
        memcpy(ret_value, pinned.value.data, fault == NULL ? size : 0);
        kv_pinned_release(&pinned);
    }
    if (fault != NULL) {
        check_tell_row(c, KV_PROBLEM_FS_FACT, rowkey_slice(&key), fault);
        mend_facts(c);
    }
    return fault == NULL;
}

/* Without it there is no index, as in a store that never had one. */
static void check_index_name(struct check *c)
{
    struct kv_pinned pinned;
    struct rowkey key;
    rowkey_fact(&key, FORMAT_FACT_INDEX);
    int r = fs_get(c->fs->meta, c->snapshot, &key, &pinned);
    if (r == 0) {
        kv_pinned_release(&pinned);
        r = c->fs->index.name_size == 0 ? -KV_EDAMAGED : 0;
    }
    if (r < 0 && r != -ENOENT && check_is_gone(c, r)) {
        check_tell_row(c, KV_PROBLEM_FS_FACT, rowkey_slice(&key), "it is no name of an attribute");
        mend_facts(c);
        mend_delete_row(c, c->fs->meta, rowkey_slice(&key));
    }
}

/* One that cannot be read was there. */
static void read_lost_below_fact(struct check *c)
{
    struct kv_pinned pinned;
    struct rowkey key;
    rowkey_fact(&key, FORMAT_FACT_LOST_BELOW);
    int r = fs_get(c->fs->meta, c->snapshot, &key, &pinned);
    c->has_lost_below_fact = r == 0;
    if (r == 0) {
        kv_pinned_release(&pinned);
    } else if (r != -ENOENT && check_is_gone(c, r)) {
        check_tell_row(c, KV_PROBLEM_FS_FACT, rowkey_slice(&key), "it cannot be read");
        mend_note_lost_below(c);
        c->has_lost_below_fact = true;
    }
}

void check_facts(struct check *c)
{
    uint8_t schema[4];
    uint8_t next[8];
    read_lost_below_fact(c);
    kv_ignore(read_fact(c, FORMAT_FACT_SCHEMA, sizeof schema, schema));
    c->ino_limit = FORMAT_INO_LIMIT;
    if (read_fact(c, FORMAT_FACT_NEXT_INODE, sizeof next, next)) {
        c->ino_limit = coding_get_u64(next);
    }
    check_index_name(c);
}
