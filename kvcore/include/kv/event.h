/* SPDX-License-Identifier: Apache-2.0 */
/* What happens inside a store, told to a function of the caller's as it happens. */
#ifndef KV_EVENT_H
#define KV_EVENT_H

#include <stdint.h>

enum kv_event_kind {
    KV_EVENT_FLUSH_BEGUN = 1, /* memtables are being written to tables */
    KV_EVENT_FLUSH_ENDED,
    KV_EVENT_MERGE_BEGUN, /* tables are being merged. Moving one to another level is no merge */
    KV_EVENT_MERGE_ENDED,
    KV_EVENT_STALL_BEGUN, /* writers wait: too many memtables to be flushed, or tables to be merged
                           */
    KV_EVENT_STALL_ENDED,
    KV_EVENT_HEALTH_CHANGED,
    KV_EVENT_DAMAGE_FOUND, /* in stored bytes; also while the store is being opened */
    /* To another holder, or so it may be: the lease on it is over. Every call fails from now on,
     * and what was read before may be out of date. Once; then closing is all that makes sense. */
    KV_EVENT_STORE_LOST,
};

struct kv_event {
    enum kv_event_kind kind;
    int error; /* negative errno: of a flush or merge that failed (it is tried again, -ECANCELED:
                  the store is closing), behind a bad health, -KV_EDAMAGED, of a store that is lost
                  as kv_lease_lost_fn has it; else 0 */
    int level_from, level_to;    /* of a flush or merge; -1: memtables */
    uint64_t files_in, bytes_in; /* what a flush or merge reads; of memtables the bytes in memory */
    uint64_t files_out, bytes_out; /* of one that ended well: the tables it wrote */
    uint64_t duration_ns;          /* of what ended */
    int health;                    /* enum kv_health_state; KV_EVENT_HEALTH_CHANGED only */
    const char *text; /* reason of the health, or what is damaged where: one line; else NULL */
};

/* `event` and its text are valid during the call only.
 *
 * Which thread: the one in which it happens. That is a thread of the store for flushes, merges and
 * most of the rest, one of the storage where the store is lost, or the caller of any function of
 * kv.h: a writer (stalls; with `no_background` flushes, too), a reader (damage), kv_flush(),
 * kv_compact(), kv_open(). So calls come from several threads at a time. ..._ENDED comes from the
 * thread that made ..._BEGUN; of one kind they pair.
 *
 * What may be done: the store may hold locks, so no function of this library may be called with
 * this store or anything that belongs to it, not even kv_stats(); and everybody may be waiting, so
 * it should return at once. To act upon an event, note it down and wake a thread of one's own. */
typedef void kv_event_fn(void *arg, const struct kv_event *event);

#endif
