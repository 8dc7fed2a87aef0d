/* SPDX-License-Identifier: Apache-2.0 */
/* What a store without a manifest consists of, decided from what its tables say of themselves, and
 * written anew so that it does not matter at which level they stood. Why no deleted row and no old
 * value comes back is argued in docs/architecture.md, "A lost manifest".
 *
 *   scan_short      where a manifest ends early: whether it does, and what it says all the same
 *   rebuild_tables  which tables belong: jobs, and what replaced what
 *   rebuild_state   the state that follows, and which logs count
 *   rebuild_rows    repair: the newest row of each key, to tables of the deepest level */
#ifndef KVCORE_ADMIN_REBUILD_H
#define KVCORE_ADMIN_REBUILD_H

#include "kvcore/admin/scan.h"
#include "kvcore/log/log_reader.h"

/* A finished table that is there, whatever it is worth. */
struct rebuild_table {
    struct file_meta *file; /* owned reference */
    uint64_t job;
    uint32_t output_index, output_count;
    struct kv_buf inputs;  /* varints */
    struct kv_buf no_more; /* the same, of tables that were no part of it when its job began */
    uint64_t flushed_sequence, released_log;
    bool by_repair;
    unsigned prefix_size;
    char name[KV_TABLE_NAME_SIZE_MAX + 1]; /* of the keyspace */
    bool known;                            /* part of the state of a manifest that ends early */
    bool gone;                             /* one that is there says that it is no part any more */
    bool left_out;                         /* so says what is known of the state */
    bool judged;                           /* its job was */
    bool installed;                        /* its job was, or may as well be */
    bool replaced;                         /* an installed job merged it */
};

/* The state of a manifest that ends early: later edits follow it. */
struct rebuild_known {
    const uint64_t *tables; /* numbers of its sorted tables, ascending */
    size_t count;
    uint64_t next_table; /* jobs of that number and above began later */
    uint64_t first_log;  /* logs below are released */
};

struct rebuild {
    struct scan *scan;
    struct rebuild_table *tables; /* ascending by number */
    size_t count;
    /* Of the manifest that cannot be read to its end: keyspaces as far as they are known. */
    bool had_table[KV_TABLE_COUNT_MAX];
    bool was_dropped[KV_TABLE_COUNT_MAX];
    struct edit_table had[KV_TABLE_COUNT_MAX];
    const struct rebuild_known *known; /* NULL: that is all there is */
    bool undecidable;                  /* told why, if nothing is known */
};

/* Read what the tables say of themselves. Sets `undecidable`. */
KV_MUST_CHECK int rebuild_read(struct rebuild *rebuild);
/* Judge which belong. Sets `undecidable`. */
KV_MUST_CHECK int rebuild_judge(struct rebuild *rebuild);
/* Put what follows in the place of scan->state, if it makes sense: scan->rebuilt tells. */
KV_MUST_CHECK int rebuild_make_state(struct rebuild *rebuild);
void rebuild_begin(struct rebuild *rebuild, struct scan *scan);
void rebuild_finish(struct rebuild *rebuild);
bool rebuild_knows(const struct rebuild_known *known, uint64_t number);
/* Whether all that is to be merged can be read, at least in part. After the tables were read. */
bool rebuild_can(const struct scan *scan);
/* Whether nothing of it is damaged, so that nothing but what is damaged elsewhere is lost. */
bool rebuild_is_sound(const struct scan *scan);
/* 1 and the log, 0 if it cannot be read, which the pass over logs tells, or an error. */
KV_MUST_CHECK int rebuild_open_log(struct scan *scan, uint64_t number,
                                   struct log_reader **ret_reader);
static inline bool rebuild_belongs(const struct rebuild_table *table)
{
    return table->installed && !table->replaced;
}

/* It is a name that a rebuilt manifest gave a keyspace, which may have got its own again since
 * (kv_admin_add_keyspace()). */
bool rebuild_is_lost_name(const char *name);

/* Whether the blob is there with its end, so that it was finished. */
KV_MUST_CHECK int rebuild_blob_is_whole(struct scan *scan, uint64_t number, bool *ret_whole);
/* What the manifest should say of the blob, as far as it is there. */
KV_MUST_CHECK int rebuild_blob_info(struct scan *scan, uint64_t number, struct blob_info *ret_info);

/* Write the tables of all keyspaces of scan->state anew, and put them in the place of the old ones
 * in the state; numbers are taken from state->next_table. */
KV_MUST_CHECK int rebuild_rows(struct scan *scan);

#endif
