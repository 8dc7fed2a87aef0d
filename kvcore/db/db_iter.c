/* SPDX-License-Identifier: Apache-2.0 */
/* The iterator users see: of the merged rows of all sources, for each key the newest version
 * visible at the iterator's sequence number, and nothing where that is a delete.
 *
 * Going forward, `inner` stands on the row that is shown. Going backward, the versions of a key are
 * met oldest first, so the last visible one is copied to `saved_key` and `saved_value`, and `inner`
 * stands before all versions of the key (as in LevelDB's DBIter). */
#include "kvcore/db/db_iter.h"

#include <stdlib.h>

#include "kvcore/db/dead_probe.h"
#include "kvcore/db/latency.h"
#include "kvcore/db/merge_iter.h"
#include "kvcore/db/read.h"
#include "kvcore/db/value.h"
#include "kvcore/db/view.h"

/* Versions of one key that are stepped over before a seek jumps past the rest. */
enum { SKIP_MAX = 8 };

static void stop(struct kv_iter *it, int error)
{
    it->valid = false;
    it->error = error < 0 ? value_failed(it->table->store, error) : 0;
}

/* Show this row. Rows that say that something was lost are shown as well: whoever asks for the
 * value gets the error, and the rows behind it can be reached. */
static void show(struct kv_iter *it, uint8_t kind, struct kv_slice key, struct kv_slice value)
{
    it->valid = true;
    it->error = 0;
    it->kind = kind;
    it->key = key;
    it->value = value;
    it->is_loaded = false;
}

static bool beyond_upper(const struct kv_iter *it, struct kv_slice key)
{
    return it->upper.size > 0 && kv_slice_compare(key, it->upper) >= 0;
}

static bool below_lower(const struct kv_iter *it, struct kv_slice key)
{
    return it->lower.size > 0 && kv_slice_compare(key, it->lower) < 0;
}

/* Leave the other versions of the key in saved_key behind. */
static void skip_versions(struct kv_iter *it)
{
    struct kv_slice key = kv_buf_slice(&it->saved_key);
    for (int n = 0; it->inner->valid && key_equal(it->inner->row->key, key); n++) {
        if (n == SKIP_MAX) {
            iter_seek(it->inner, key, 0); /* behind every version: trailers are never 0 */
            n = 0;
        } else {
            iter_next(it->inner);
        }
    }
}

/* ---- runs of deleted keys ---- */

/* What became of a look for a run. */
enum pass {
    PASS_NONE, /* go on stepping */
    PASS_DONE, /* inner was moved behind it */
    PASS_END,  /* the search ends here */
};

/* So many keys were stepped over that it is time to look for a run. */
static bool is_time_to_pass(const struct kv_iter *it)
{
    return (it->hidden & (it->table->store->dead_probe->pass_after - 1)) == 0;
}

static void begin_hidden(struct kv_iter *it)
{
    it->hidden = 0;
    it->probe_is_set = false;
}

/* A key is shown, or there is none. If that took long a probe makes the next time short. */
static void end_hidden(struct kv_iter *it)
{
    struct kv_store *store = it->table->store;
    if (it->hidden >= store->dead_probe->ask_after && it->probe_is_set && it->walk == 0 &&
        it->error == 0) {
        dead_probe_ask(store, it->table->id, dead_key_slice(&it->probe_from));
    }
    it->stepped += it->hidden;
    it->hidden = 0;
}

/* The run that inner's row is in. */
static bool find_run(struct kv_iter *it, struct dead_span *ret_span)
{
    struct kv_store *store = it->table->store;
    uint32_t id = it->table->id;

    if (!it->exact || !dead_runs_concern(dead_runs_tables(store->dead_runs), id) ||
        !dead_runs_find(store->dead_runs, id, it->inner->row->key, it->sequence, ret_span)) {
        return false;
    }
    it->passed++;
    it->stepped += it->hidden;
    it->hidden = 0;
    return true;
}

static bool give_up(struct kv_iter *it)
{
    it->gave_up = it->walk != 0 && it->stepped + it->hidden >= it->walk;
    return it->gave_up;
}

/* Inner stands behind a deleted key, which is in saved_key. */
static enum pass pass_forward(struct kv_iter *it)
{
    struct dead_span span;

    it->hidden++;
    if (!is_time_to_pass(it) || !it->inner->valid) {
        return PASS_NONE;
    }
    if (!it->probe_is_set) {
        it->probe_is_set = dead_key_set(&it->probe_from, kv_buf_slice(&it->saved_key));
    }
    if (!find_run(it, &span)) {
        return give_up(it) ? PASS_END : PASS_NONE;
    }
    if (span.hi.size == 0 || beyond_upper(it, dead_key_slice(&span.hi))) {
        return PASS_END;
    }
    it->probe_from = span.hi; /* what a probe finds there joins the run */
    it->probe_is_set = true;
    iter_seek(it->inner, dead_key_slice(&span.hi), row_seek_trailer(it->sequence));
    return PASS_DONE;
}

/* Stand on the last row of any key below `key` (or of the last key, without one). */
static void seek_before(struct kv_iter *it, struct kv_slice key)
{
    if (key.size == 0) {
        iter_seek_last(it->inner);
        return;
    }
    iter_seek(it->inner, key, UINT64_MAX);
    if (it->inner->valid) {
        iter_prev(it->inner);
    } else if (it->inner->error == 0) {
        iter_seek_last(it->inner);
    }
}

/* Inner stands before a deleted key, which is in saved_key, on a row of another. */
static enum pass pass_backward(struct kv_iter *it)
{
    struct dead_span span;
    struct kv_slice lo;

    it->hidden++;
    if (!is_time_to_pass(it)) {
        return PASS_NONE;
    }
    /* A probe walks forward: the last of the keys has most of them before it. */
    it->probe_is_set = dead_key_set(&it->probe_from, kv_buf_slice(&it->saved_key));
    if (!find_run(it, &span)) {
        return PASS_NONE;
    }
    lo = dead_key_slice(&span.lo);
    if (lo.size == 0 || (it->lower.size > 0 && kv_slice_compare(lo, it->lower) <= 0)) {
        return PASS_END;
    }
    seek_before(it, lo);
    return PASS_DONE;
}

/* ---- the search for a key that is there ---- */

/* From inner's row on, forward, to the first key that is there. */
static void find_forward(struct kv_iter *it)
{
    struct iter *inner = it->inner;
    enum pass pass = PASS_NONE;

    it->forward = true;
    begin_hidden(it);
    while (inner->valid && pass != PASS_END) {
        uint8_t kind = row_kind(inner->row->trailer);
        int r;
        if (beyond_upper(it, inner->row->key)) {
            break;
        }
        if (row_sequence(inner->row->trailer) > it->sequence) {
            iter_next(inner);
            continue;
        }
        if (kind != ROW_DELETE) {
            show(it, kind, inner->row->key, inner->row->value);
            end_hidden(it);
            return;
        }
        r = key_assign(&it->saved_key, inner->row->key);
        if (r < 0) {
            stop(it, r);
            return;
        }
        skip_versions(it);
        pass = pass_forward(it);
    }
    stop(it, inner->valid ? 0 : inner->error);
    end_hidden(it);
}

/* Keep what a row says of its key, whose newer versions come after it. */
static int keep(struct kv_iter *it, const struct row *row, bool same_key)
{
    int r = same_key ? 0 : key_assign(&it->saved_key, row->key);
    if (r == 0 && row_kind(row->trailer) != ROW_DELETE) {
        r = kv_buf_assign(&it->saved_value, row->value);
    }
    return r;
}

/* From inner's row on, backward: to the first row that is not of saved_key if that is there, when
 * all of its versions were met. Returns its kind, ROW_DELETE if no key is there, or an error. */
static int collect_backward(struct kv_iter *it)
{
    struct iter *inner = it->inner;
    int kind = ROW_DELETE; /* of the newest visible version met so far of saved_key */

    while (inner->valid) {
        bool same = key_equal(inner->row->key, kv_buf_slice(&it->saved_key));
        bool visible = row_sequence(inner->row->trailer) <= it->sequence;
        enum pass pass = PASS_NONE;
        if ((!same && kind != ROW_DELETE) || below_lower(it, inner->row->key)) {
            break;
        }
        if (visible && !same && it->saved_key.size > 0) {
            pass = pass_backward(it);
        }
        if (pass == PASS_END) {
            break;
        }
        if (pass == PASS_DONE) {
            it->saved_key.size = 0;
            continue;
        }
        if (visible) {
            int r = keep(it, inner->row, same);
            if (r < 0) {
                return r;
            }
            kind = row_kind(inner->row->trailer);
        }
        iter_prev(inner);
    }
    return inner->valid || inner->error == 0 ? kind : inner->error;
}

/* From inner's row on, backward, to the first key that is there. */
static void find_backward(struct kv_iter *it)
{
    int kind;

    it->forward = false;
    it->saved_key.size = 0;
    begin_hidden(it);
    kind = collect_backward(it);
    if (kind < 0 || kind == ROW_DELETE) {
        stop(it, kind < 0 ? kind : 0);
    } else {
        show(it, (uint8_t)kind, kv_buf_slice(&it->saved_key), kv_buf_slice(&it->saved_value));
    }
    end_hidden(it);
}

int kv_iter_create(struct kv_table *table, const struct kv_iter_options *options,
                   struct kv_iter **ret_iter)
{
    static const struct kv_iter_options defaults = {0};
    struct view_iter_options inner;
    struct kv_iter *it = calloc(1, sizeof *it);

    if (it == NULL) {
        return -ENOMEM;
    }
    options = options != NULL ? options : &defaults;
    it->table = table;
    it->lower = options->lower;
    it->upper = options->upper;
    it->view = view_acquire_at(table->store, options->snapshot);
    it->sequence =
        options->snapshot != NULL ? options->snapshot->sequence : visible_sequence(table->store);
    /* A view that was replaced before the number was read may lack rows up to it. */
    it->exact =
        options->snapshot != NULL ||
        atomic_load_explicit(&table->store->view_stamp, memory_order_acquire) == it->view->stamp;
    inner = (struct view_iter_options){
        .sequence = it->sequence,
        .keep_cache = options->keep_cache,
        .bounds = iter_bounds_make(it->lower, it->upper, table->options.prefix_size)};
    int r = table_check(table); /* behind the view, in which its id may mean another one */
    r = r < 0 ? r : view_iter_create(table->store, it->view, table->id, &inner, &it->inner);
    if (r < 0) {
        kv_iter_destroy(it);
        return value_failed(table->store, r);
    }
    *ret_iter = it;
    return 0;
}

void kv_iter_destroy(struct kv_iter *it)
{
    if (it == NULL) {
        return;
    }
    if (it->stepped > 0) {
        count_add(&reader_place(it->table->store)->deleted_stepped, it->stepped);
    }
    if (it->passed > 0) {
        count_add(&it->table->store->counters.deleted_passed, it->passed);
    }
    iter_destroy(it->inner);
    view_release(it->view);
    kv_buf_finish(&it->saved_key);
    kv_buf_finish(&it->saved_value);
    kv_buf_finish(&it->loaded);
    free(it);
}

int db_iter_walk(struct kv_iter *it, struct kv_slice start, unsigned most, bool *ret_gave_up,
                 struct kv_slice *ret_end)
{
    it->walk = most;
    iter_seek(it->inner, start, row_seek_trailer(it->sequence));
    find_forward(it);
    if (it->error != 0) {
        return it->error;
    }
    *ret_gave_up = it->gave_up;
    *ret_end = it->valid ? it->key : it->gave_up ? it->inner->row->key : (struct kv_slice){0};
    return 0;
}

/* Seeks are counted, and some measured. */
struct seek {
    struct reader_place *place;
    uint64_t began;
};

static struct seek seek_begin(const struct kv_iter *it)
{
    struct reader_place *place = reader_place(it->table->store);
    return (struct seek){place, latency_begin(&place->seeks, LATENCY_SEEK_ONE_IN)};
}

static void seek_end(const struct kv_iter *it, struct seek seek)
{
    count_add(&seek.place->seeks, 1);
    latency_end(it->table->store, seek.place, KV_LATENCY_SEEK, seek.began);
}

void kv_iter_seek(struct kv_iter *it, struct kv_slice key)
{
    struct seek seek = seek_begin(it);
    if (below_lower(it, key)) {
        key = it->lower;
    }
    iter_seek(it->inner, key, row_seek_trailer(it->sequence));
    find_forward(it);
    seek_end(it, seek);
}

void kv_iter_seek_for_prev(struct kv_iter *it, struct kv_slice key)
{
    struct seek seek;
    if (beyond_upper(it, key)) {
        kv_iter_seek_last(it);
        return;
    }
    seek = seek_begin(it);
    iter_seek(it->inner, key, 0); /* behind all versions of the key */
    if (it->inner->valid) {
        iter_prev(it->inner);
    } else if (it->inner->error == 0) {
        iter_seek_last(it->inner);
    }
    find_backward(it);
    seek_end(it, seek);
}

void kv_iter_seek_first(struct kv_iter *it)
{
    struct seek seek = seek_begin(it);
    if (it->lower.size > 0) {
        iter_seek(it->inner, it->lower, row_seek_trailer(it->sequence));
    } else {
        iter_seek_first(it->inner);
    }
    find_forward(it);
    seek_end(it, seek);
}

void kv_iter_seek_last(struct kv_iter *it)
{
    struct seek seek = seek_begin(it);
    seek_before(it, it->upper);
    find_backward(it);
    seek_end(it, seek);
}

void kv_iter_next(struct kv_iter *it)
{
    int r;
    if (!it->forward) {
        /* inner stands before the versions of the shown key, or nowhere. */
        iter_seek(it->inner, kv_buf_slice(&it->saved_key), 0);
        find_forward(it);
        return;
    }
    r = key_assign(&it->saved_key, it->key);
    if (r < 0) {
        stop(it, r);
        return;
    }
    iter_next(it->inner);
    skip_versions(it);
    find_forward(it);
}

void kv_iter_prev(struct kv_iter *it)
{
    if (it->forward) {
        int r = kv_buf_assign(&it->saved_value, it->key); /* the seek below invalidates the key */
        if (r < 0) {
            stop(it, r);
            return;
        }
        seek_before(it, kv_buf_slice(&it->saved_value));
    }
    find_backward(it);
}

bool kv_iter_valid(const struct kv_iter *it)
{
    return it->valid;
}

int kv_iter_error(const struct kv_iter *it)
{
    return it->error;
}

struct kv_slice kv_iter_key(const struct kv_iter *it)
{
    return it->key;
}

static int load(struct kv_iter *it)
{
    struct blob_pointer pointer;
    int r = value_pointer(it->table, it->value, &pointer);
    r = r < 0 ? r : value_read(it->table->store, &pointer, &it->loaded);
    it->is_loaded = r == 0;
    return r;
}

int kv_iter_value(struct kv_iter *it, struct kv_slice *ret_value)
{
    int r = 0;
    switch (it->kind) {
    case ROW_PUT:
        *ret_value = it->value;
        return 0;
    case ROW_BLOB:
        r = it->is_loaded ? 0 : load(it);
        if (r == 0) {
            *ret_value = kv_buf_slice(&it->loaded);
        }
        return r;
    default:
        return damaged_row(it->table);
    }
}

size_t kv_iter_value_size(const struct kv_iter *it)
{
    struct blob_pointer pointer;
    switch (it->kind) {
    case ROW_PUT:
        return it->value.size;
    case ROW_BLOB:
        return blob_pointer_decode(it->value, &pointer) == 0 ? pointer.length : 0;
    default:
        return 0;
    }
}

bool kv_iter_is_lost(const struct kv_iter *it)
{
    return it->kind == ROW_DAMAGED;
}
