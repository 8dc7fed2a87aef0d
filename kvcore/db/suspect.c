/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/suspect.h"

#include "kvcore/db/manifest.h"

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

static bool has_news(struct kv_store *store)
{
    bool has;

    mutex_lock(&store->suspect_mu);
    has = store->suspects.unsaved;
    mutex_unlock(&store->suspect_mu);
    return has;
}

void suspects_save(struct kv_store *store)
{
    int r = 0;

    if (store->options.read_only || !has_news(store)) {
        return;
    }
    mutex_lock(&store->manifest_mu);
    if (suspects_to_root(store) && !store->manifest_suspect) {
        r = root_commit(store);
    }
    mutex_unlock(&store->manifest_mu);
    if (r < 0) {
        count_add(&store->counters.write_errors, 1);
    }
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
