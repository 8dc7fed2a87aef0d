/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/suspect.h"

#include "kvcore/db/manifest.h"
#include "kvcore/db/worker.h"
#include "kvcore/util/clock.h"

enum { RARE_MS = 3600000 };

static const uint64_t ns_per_ms = 1000000;

void suspects_begin(struct kv_store *store) NO_LOCK_ANALYSIS
{
    store->suspects.known = store->root.suspects;
}

static bool is_known(const struct kv_suspects *known, const struct message_place *place)
{
    bool is = known->check_needed && known->count == 0; /* any file */
    for (unsigned i = 0; i < known->count; i++) {
        is |= (int)known->files[i].kind == place->kind && known->files[i].number == place->number;
    }
    return is;
}

static void add(struct kv_suspects *known, const struct message_place *place)
{
    known->check_needed = true;
    if (known->count == KV_SUSPECTS_MAX) {
        known->count = 0;
        return;
    }
    known->files[known->count++] =
        (struct kv_file_id){.kind = (enum kv_file_kind)place->kind, .number = place->number};
}

void suspect_note(struct kv_store *store, const struct message_place *place)
{
    struct suspects *suspects = &store->suspects;

    if (place->kind != KV_FILE_TABLE && place->kind != KV_FILE_BLOB) {
        return;
    }
    mutex_lock(&store->suspect_mu);
    suspects->stamp++;
    if (!is_known(&suspects->known, place)) {
        add(&suspects->known, place);
        suspects->unsaved = true;
    }
    mutex_unlock(&store->suspect_mu);
}

bool suspects_to_root(struct kv_store *store)
{
    bool unsaved;

    mutex_lock(&store->suspect_mu);
    unsaved = store->suspects.unsaved;
    store->suspects.unsaved = false;
    store->root.suspects = store->suspects.known;
    mutex_unlock(&store->suspect_mu);
    return unsaved;
}

void suspects_not_written(struct kv_store *store)
{
    mutex_lock(&store->suspect_mu);
    store->suspects.unsaved = true;
    mutex_unlock(&store->suspect_mu);
}

static bool is_due(struct kv_store *store)
{
    const struct suspects *suspects = &store->suspects;
    bool due;

    mutex_lock(&store->suspect_mu);
    due = suspects->unsaved && clock_monotonic_ns() >= suspects->not_before_ns;
    mutex_unlock(&store->suspect_mu);
    return due;
}

/* Where nobody knows which root record lasts, what makes the next one known writes all of it, to a
 * new manifest: `ret_left` tells that one was begun, which stays if the root record fails again. */
static int write_root(struct kv_store *store, bool *ret_left)
{
    struct edit nothing = {0};
    bool unknown;
    int r = 0;

    mutex_lock(&store->manifest_mu);
    unknown = store->manifest_suspect;
    if (!unknown) {
        r = root_commit(store);
    }
    mutex_unlock(&store->manifest_mu);
    if (unknown) {
        r = manifest_commit(store, &nothing, NULL);
        edit_finish(&nothing);
    }
    *ret_left = unknown;
    return r;
}

/* So that files that nobody may remove do not become many. */
static unsigned next_pause(unsigned pause_ms, bool leaves_a_file)
{
    unsigned ms = workers_next_pause(pause_ms);

    if (leaves_a_file && pause_ms * 2 > ms) {
        ms = pause_ms * 2 < RARE_MS ? pause_ms * 2 : RARE_MS;
    }
    return ms;
}

void suspects_save(struct kv_store *store)
{
    struct suspects *suspects = &store->suspects;
    bool left;
    int r;

    if (store->options.read_only || !is_due(store)) {
        return;
    }
    r = write_root(store, &left);
    if (r < 0) {
        count_add(&store->counters.write_errors, 1);
    }
    mutex_lock(&store->suspect_mu);
    suspects->pause_ms = r < 0 ? next_pause(suspects->pause_ms, left) : 0;
    suspects->not_before_ns = clock_monotonic_ns() + suspects->pause_ms * ns_per_ms;
    mutex_unlock(&store->suspect_mu);
}

uint64_t suspects_stamp(struct kv_store *store)
{
    uint64_t stamp;

    mutex_lock(&store->suspect_mu);
    stamp = store->suspects.stamp;
    mutex_unlock(&store->suspect_mu);
    return stamp;
}

void suspects_clear(struct kv_store *store, uint64_t stamp)
{
    struct suspects *suspects = &store->suspects;

    if (store->options.read_only) {
        return;
    }
    mutex_lock(&store->suspect_mu);
    if (suspects->stamp == stamp && suspects->known.check_needed) {
        suspects->known = (struct kv_suspects){0};
        suspects->unsaved = true;
    }
    mutex_unlock(&store->suspect_mu);
    suspects_save(store);
}

void kv_suspects(struct kv_store *store, struct kv_suspects *ret_suspects)
{
    mutex_lock(&store->suspect_mu);
    *ret_suspects = store->suspects.known;
    mutex_unlock(&store->suspect_mu);
}
