/* SPDX-License-Identifier: Apache-2.0 */
/* Opening: root, manifest, logs; see docs/format.md, "What a crash can leave".
 *
 * The replayed rows become a generation of their own that waits to be flushed; its logs, with the
 * ends at which replay stopped, are listed as closed in a new manifest before anything is served.
 * So what a reader has seen once survives the next crash, and a torn tail is judged once only. */
#include "kvcore/db/store.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "kvcore/db/batch.h"
#include "kvcore/log/log_reader.h"

enum { REPLAY_CHUNK = 1 << 20 };

struct recovery {
    struct kv_store *store;
    struct version *version;
    struct generation *generation; /* replayed rows */
    struct log_end *ends;          /* of the replayed logs, in order */
    size_t end_count;
    struct log_end last;  /* of the last log replayed; number 0: none */
    uint64_t highest_log; /* number of the newest segment that exists */
    bool closed_cleanly;
};

static const char *store_name(const struct kv_store *store)
{
    return store->storage->ops->name(store->storage);
}

/* ---- a new store ---- */

static int random_bytes(uint8_t *to, size_t size)
{
    return getrandom(to, size, 0) == (ssize_t)size ? 0 : -EIO;
}

/* The root of a store that is being made; it is written once everything else is there. */
static int make_root(struct kv_store *store, const struct kv_options *options) NO_LOCK_ANALYSIS
{
    struct root *root = &store->root;
    int r;

    *root = (struct root){.format_version = ROOT_FORMAT_VERSION};
    r = random_bytes(root->seed_id, sizeof root->seed_id);
    if (r == 0 && options->store_id != NULL) {
        memcpy(root->store_id, options->store_id, sizeof root->store_id);
    } else if (r == 0) {
        r = random_bytes(root->store_id, sizeof root->store_id);
    }
    if (options->label != NULL) {
        strncpy(root->label, options->label, ROOT_LABEL_SIZE_MAX);
    }
    store->root_version = 0;
    store->was_clean = true;
    store->first_log = 1;
    store->released_log = 1;
    return r;
}

/* ---- root ---- */

static int judge_features(const struct kv_store *store, const struct root *root)
{
    bool ro_only = (root->ro_compat & ~ROOT_RO_COMPAT_KNOWN) != 0 && !store->options.read_only;
    if ((root->incompat & ~ROOT_INCOMPAT_KNOWN) == 0 && !ro_only) {
        return 0;
    }
    message(&store->sink, KV_MESSAGE_ERROR,
            "%s: uses features this version does not know (%s); open it with a newer version%s",
            store_name(store), ro_only ? "ro_compat" : "incompat", ro_only ? ", or read-only" : "");
    return -KV_EFORMAT;
}

static int read_root(struct kv_store *store) NO_LOCK_ANALYSIS
{
    struct kv_buf bytes = {0};
    int r = store->storage->ops->root_read(store->storage, &bytes, &store->root_version);

    if (r == 0) {
        r = root_decode(kv_buf_slice(&bytes), &store->root);
    }
    kv_buf_finish(&bytes);
    if (r == -KV_EDAMAGED) {
        return message_damage(&store->sink,
                              "%s: both copies of the root record are damaged; run kvfs fsck",
                              store_name(store));
    }
    if (r == -KV_EFORMAT) {
        message(&store->sink, KV_MESSAGE_ERROR,
                "%s: written in a format this version does not know; open it with a newer version",
                store_name(store));
    }
    store->was_clean = store->root.clean;
    return r < 0 ? r : judge_features(store, &store->root);
}

/* ---- manifest ---- */

static int add_table(struct kv_store *store, const struct edit_table *entry) NO_LOCK_ANALYSIS
{
    struct kv_table *table;
    if (store->tables[entry->id - 1] != NULL) {
        return -KV_EDAMAGED;
    }
    table = calloc(1, sizeof *table);
    if (table == NULL) {
        return -ENOMEM;
    }
    *table = (struct kv_table){.store = store, .id = entry->id, .options = entry->options};
    memcpy(table->name, entry->name, sizeof table->name);
    store->tables[entry->id - 1] = table;
    return 0;
}

static int note_closed_log(struct kv_store *store, const struct log_end *end) NO_LOCK_ANALYSIS
{
    struct log_end *larger =
        realloc(store->closed_logs, (store->closed_log_count + 1) * sizeof *larger);
    if (larger == NULL) {
        return -ENOMEM;
    }
    store->closed_logs = larger;
    larger[store->closed_log_count++] = *end;
    return 0;
}

static int apply_edit(struct recovery *rec, const struct edit *edit) NO_LOCK_ANALYSIS
{
    struct kv_store *store = rec->store;
    struct version *version = NULL;
    int r = 0;

    for (size_t i = 0; i < edit->table_count && r == 0; i++) {
        r = add_table(store, &edit->tables[i]);
    }
    for (size_t i = 0; i < edit->closed_log_count && r == 0; i++) {
        r = note_closed_log(store, &edit->closed_logs[i]);
    }
    for (size_t i = 0; i < edit->added_count && r == 0; i++) {
        r = store->tables[edit->added[i]->table_id - 1] != NULL ? 0 : -KV_EDAMAGED;
    }
    if (edit->next_table > store->next_table_number) {
        store->next_table_number = edit->next_table;
    }
    if (edit->last_sequence > store->flushed_sequence) {
        store->flushed_sequence = edit->last_sequence;
    }
    store->first_log = edit->first_log != 0 ? edit->first_log : store->first_log;
    store->released_log = edit->released_log != 0 ? edit->released_log : store->released_log;
    r = r < 0 ? r : version_apply(rec->version, edit, &version);
    if (r < 0) {
        return r;
    }
    version_unref(rec->version);
    rec->version = version;
    return 0;
}

static int apply_record(struct recovery *rec, const struct log_record *record, uint64_t expected)
{
    struct edit edit = {0};
    int r;

    if (record->sequence != expected ||
        record->type != (expected == 1 ? LOG_RECORD_SNAPSHOT : LOG_RECORD_EDIT)) {
        return -KV_EDAMAGED;
    }
    r = edit_decode(record->payload, &edit);
    if (r == 0) {
        r = apply_edit(rec, &edit);
        edit_finish(&edit);
    }
    return r;
}

static int read_manifest(struct recovery *rec) NO_LOCK_ANALYSIS
{
    struct kv_store *store = rec->store;
    struct kv_file_id id = {.kind = KV_FILE_MANIFEST, .number = store->root.manifest};
    struct log_reader *reader = NULL;
    struct log_record record;
    uint64_t edits = 0;
    int r = log_reader_open(store->storage, id, store->seed, NULL, &store->sink, &reader);

    while (r == 0 && (r = log_reader_next(reader, &record)) == 1) {
        edits++;
        r = apply_record(rec, &record, edits);
    }
    log_reader_close(reader);
    if (r == 0 && edits == 0) {
        r = -KV_EDAMAGED; /* the root names it, so its snapshot was durable */
    }
    if (r == -KV_EDAMAGED || r == -ENOENT) {
        r = message_damage(
            &store->sink,
            "%s: manifest %08" PRIu64 " is %s (after edit %" PRIu64 "); run kvfs fsck",
            store_name(store), id.number, r == -ENOENT ? "missing" : "damaged", edits);
    }
    return r;
}

/* ---- logs ---- */

static int replay_row(struct recovery *rec, const struct batch_row *row,
                      uint64_t sequence) NO_LOCK_ANALYSIS
{
    struct generation *generation = rec->generation;
    struct row stored = {
        .key = row->key, .trailer = row_trailer(sequence, row->kind), .value = row->value};
    uint8_t *memory;
    int r;

    if (row->table_id == 0 || row->table_id > KV_TABLE_COUNT_MAX ||
        rec->store->tables[row->table_id - 1] == NULL) {
        return -KV_EDAMAGED; /* a table is durable before a handle to it exists */
    }
    r = generation_add_table(generation, row->table_id);
    if (r < 0) {
        return r;
    }
    memory = arena_alloc(&generation->arena,
                         memtable_row_bytes(row->key.size, row->value.size, stored.trailer));
    if (memory == NULL) {
        return -ENOMEM;
    }
    memtable_insert(generation->memtables[row->table_id - 1], &stored, &memory);
    return 0;
}

static int replay_batch(struct recovery *rec, const struct log_record *record)
{
    struct kv_store *store = rec->store;
    struct coding_cursor cursor = coding_cursor(record->payload);
    uint64_t sequence = record->sequence;
    struct batch_row row;
    int r;

    if (sequence <= store->last_sequence) {
        return -KV_EDAMAGED; /* sequence numbers only grow */
    }
    while ((r = batch_next(&cursor, &row)) == 1) {
        r = sequence <= ROW_SEQUENCE_MAX ? replay_row(rec, &row, sequence++) : -KV_EDAMAGED;
        if (r < 0) {
            return r;
        }
    }
    if (r == 0 && sequence > record->sequence) {
        store->last_sequence = sequence - 1;
    }
    return r;
}

static const struct log_end *closed_end(const struct kv_store *store,
                                        uint64_t number) NO_LOCK_ANALYSIS
{
    for (size_t i = 0; i < store->closed_log_count; i++) {
        if (store->closed_logs[i].number == number) {
            return &store->closed_logs[i];
        }
    }
    return NULL;
}

static int note_end(struct recovery *rec, const struct log_end *end)
{
    struct log_end *larger = realloc(rec->ends, (rec->end_count + 1) * sizeof *larger);
    if (larger == NULL) {
        return -ENOMEM;
    }
    rec->ends = larger;
    larger[rec->end_count++] = *end;
    rec->last = *end;
    return 0;
}

/* Replay the records of an open log up to `limit` (NULL: all there are). */
static int replay_records(struct recovery *rec, struct log_reader *reader,
                          const struct log_end *limit)
{
    struct log_record record;
    int r = 0;

    while (r == 0 && (limit == NULL || log_reader_end(reader).size < limit->size) &&
           (r = log_reader_next(reader, &record)) == 1) {
        r = 0;
        rec->closed_cleanly = record.type == LOG_RECORD_CLOSE;
        if (record.type == LOG_RECORD_BATCH) {
            r = replay_batch(rec, &record);
        }
    }
    return r;
}

/* What the successor of a log says of it. */
struct successor {
    bool exists;             /* has a valid head */
    bool proves;             /* and synced something, so everything before it was durable */
    struct log_end previous; /* where it says its predecessor ended */
};

static int look_at_successor(struct recovery *rec, uint64_t number, struct successor *ret_successor)
{
    struct kv_store *store = rec->store;
    struct kv_file_id id = {.kind = KV_FILE_LOG, .number = number};
    struct log_reader *reader = NULL;
    struct log_record record;
    int r;

    *ret_successor = (struct successor){0};
    r = log_reader_open(store->storage, id, store->seed, closed_end(store, number), &store->sink,
                        &reader);
    if (r == -ENOENT) {
        return 0;
    }
    if (r < 0) {
        return r;
    }
    ret_successor->previous = log_reader_previous(reader);
    ret_successor->exists =
        log_reader_has_head(reader) && ret_successor->previous.number + 1 == number;
    while ((r = log_reader_next(reader, &record)) == 1) {
    }
    ret_successor->proves = log_reader_synced_bytes(reader) > 0;
    log_reader_close(reader);
    return r;
}

/* Replay one log. Sets `*ret_go_on` if its successor may follow. */
static int replay_log(struct recovery *rec, uint64_t number, bool *ret_go_on)
{
    struct kv_store *store = rec->store;
    const struct log_end *closed = closed_end(store, number);
    struct log_reader *reader = NULL;
    struct successor next = {0};
    struct log_end end;
    int r = look_at_successor(rec, number + 1, &next);

    r = r < 0 ? r
              : log_reader_open(store->storage, (struct kv_file_id){KV_FILE_LOG, number},
                                store->seed, closed, &store->sink, &reader);
    if (r < 0) {
        return r;
    }
    r = replay_records(rec, reader, next.exists && closed == NULL ? &next.previous : closed);
    end = log_reader_end(reader);
    if (r == 0 && log_reader_has_head(reader)) {
        r = note_end(rec, &end);
    }
    log_reader_close(reader);
    if (r < 0) {
        return r;
    }
    *ret_go_on = next.exists && next.previous.size == end.size && next.previous.chain == end.chain;
    if (next.exists && !*ret_go_on && next.proves) {
        return message_damage(&store->sink,
                              "%s: log %08" PRIu64 " ends at %" PRIu64 ", but %" PRIu64
                              " bytes of it were durable; run kvfs fsck",
                              store_name(store), number, end.size, next.previous.size);
    }
    return 0;
}

/* The closed logs before first_log, then first_log and its successors. */
static int replay_logs(struct recovery *rec) NO_LOCK_ANALYSIS
{
    struct kv_store *store = rec->store;
    uint64_t number =
        store->first_log > store->released_log ? store->first_log : store->released_log;
    bool go_on = true;
    int r = 0;

    store->last_sequence = store->flushed_sequence;
    for (size_t i = 0; i < store->closed_log_count && r == 0; i++) {
        bool ignored;
        uint64_t closed = store->closed_logs[i].number;
        if (closed >= store->released_log && closed < store->first_log) {
            r = replay_log(rec, closed, &ignored);
        }
    }
    for (; go_on && r == 0; number++) {
        r = replay_log(rec, number, &go_on);
    }
    if (r == -ENOENT) {
        r = message_damage(&store->sink, "%s: log %08" PRIu64 " is missing; run kvfs fsck",
                           store_name(store), number - 1);
    } else if (r == -KV_EDAMAGED) {
        message(&store->sink, KV_MESSAGE_ERROR,
                "%s: the log cannot be replayed: durable operations are damaged; run kvfs fsck",
                store_name(store));
    }
    return r;
}

/* ---- putting it together ---- */

/* Numbers that exist as files are not given out again, whether the manifest knows them or not. */
static void note_number(void *arg, struct kv_file_id id, uint64_t size_bytes) NO_LOCK_ANALYSIS
{
    struct recovery *rec = arg;
    (void)size_bytes;
    if (id.kind == KV_FILE_LOG && id.number > rec->highest_log) {
        rec->highest_log = id.number;
    }
    if (id.kind == KV_FILE_TABLE && id.number >= rec->store->next_table_number) {
        rec->store->next_table_number = id.number + 1;
    }
}

static int sync_replayed_logs(struct recovery *rec)
{
    const struct kv_storage_ops *ops = rec->store->storage->ops;
    int r = 0;
    for (size_t i = 0; i < rec->end_count && r == 0; i++) {
        struct kv_file_id id = {.kind = KV_FILE_LOG, .number = rec->ends[i].number};
        struct kv_log *log = NULL;
        r = ops->log_open(rec->store->storage, id, &log);
        if (r == 0) {
            r = ops->log_sync(log);
            ops->log_close(log);
        }
    }
    return r;
}

/* The generation that new rows go to, with a new log behind those that were replayed. */
static int begin_log(struct recovery *rec, struct generation **ret_active)
{
    struct kv_store *store = rec->store;
    struct generation *active = NULL;
    struct kv_file_id id = {.kind = KV_FILE_LOG, .number = rec->highest_log + 1};
    struct log_writer_options options = {.store_seed = store->seed,
                                         .previous = rec->last.number != 0 ? &rec->last : NULL};
    int r = generation_create(REPLAY_CHUNK, &active);

    for (uint32_t table = 1; table <= KV_TABLE_COUNT_MAX && r == 0; table++) {
        if (store->tables[table - 1] != NULL) {
            r = generation_add_table(active, table);
        }
    }
    r = r < 0 ? r : log_writer_create(store->storage, id, &options, &active->log);
    if (r < 0) {
        generation_unref(active);
        return r;
    }
    active->log_number = id.number;
    store->next_log = id.number + 1;
    *ret_active = active;
    return 0;
}

/* What the new manifest says of logs: the replayed ones, if they hold rows, and where the new one
 * begins. */
static void set_logs(struct recovery *rec, const struct generation *active) NO_LOCK_ANALYSIS
{
    struct kv_store *store = rec->store;
    bool keep = !generation_is_empty(rec->generation);

    free(store->closed_logs);
    store->closed_logs = keep ? rec->ends : NULL;
    store->closed_log_count = keep ? rec->end_count : 0;
    if (keep) {
        rec->ends = NULL;
    }
    store->first_log = active->log_number;
    store->released_log =
        store->closed_log_count > 0 ? store->closed_logs[0].number : active->log_number;
    rec->generation->log_number = rec->last.number;
    rec->generation->sequence_last = store->last_sequence;
}

static int install_view(struct recovery *rec, struct generation *active) NO_LOCK_ANALYSIS
{
    struct kv_store *store = rec->store;
    struct generation *replayed = rec->generation;
    struct view *old = NULL;
    unsigned waiting = active != replayed && !generation_is_empty(replayed) ? 1 : 0;
    int r;

    mutex_lock(&store->mu);
    r = view_install(store, active, &replayed, waiting, rec->version, &old);
    mutex_unlock(&store->mu);
    if (r == 0) {
        generation_ref(active);
        store->active = active;
        store->synced_sequence = store->last_sequence;
        atomic_store(&store->visible_sequence, store->last_sequence);
    }
    return r;
}

static int begin_writing(struct recovery *rec) NO_LOCK_ANALYSIS
{
    struct kv_store *store = rec->store;
    struct generation *active = NULL;
    int r = sync_replayed_logs(rec);

    r = r < 0 ? r : begin_log(rec, &active);
    if (r < 0) {
        return r;
    }
    set_logs(rec, active);
    r = install_view(rec, active);
    store->root.clean = false;
    store->root.lease_epoch++;
    if (r == 0) {
        mutex_lock(&store->manifest_mu);
        r = manifest_roll(store);
        mutex_unlock(&store->manifest_mu);
    }
    generation_unref(active);
    return r < 0 ? r : obsolete_sweep(store);
}

static int read_state(struct recovery *rec, const struct kv_options *options)
{
    struct kv_store *store = rec->store;
    int r = read_root(store);

    if (r == -ENOENT && options->create && !options->read_only) {
        r = make_root(store, options);
        store->seed = checksum_store_seed(store->root.seed_id);
        return r;
    }
    if (r < 0) {
        return r;
    }
    store->seed = checksum_store_seed(store->root.seed_id);
    r = read_manifest(rec);
    return r < 0 ? r : replay_logs(rec);
}

int recover(struct kv_store *store, const struct kv_options *options) NO_LOCK_ANALYSIS
{
    const struct kv_storage_ops *ops = store->storage->ops;
    struct recovery rec = {.store = store};
    char pid_line[32];
    int r;

    snprintf(pid_line, sizeof pid_line, "process %d", (int)getpid());
    r = ops->lease_acquire(store->storage,
                           options->read_only ? KV_LEASE_SHARED : KV_LEASE_EXCLUSIVE,
                           options->holder != NULL ? options->holder : pid_line);
    r = r < 0 ? r : version_create_empty(&rec.version);
    r = r < 0 ? r : generation_create(REPLAY_CHUNK, &rec.generation);
    r = r < 0 ? r : ops->list(store->storage, note_number, &rec);
    r = r < 0 ? r : read_state(&rec, options);
    if (r == 0) {
        r = options->read_only ? install_view(&rec, rec.generation) : begin_writing(&rec);
    }
    if (r == 0 && !store->was_clean) {
        message(&store->sink, KV_MESSAGE_INFO,
                "%s: was not closed cleanly; replayed %zu log(s) up to sequence number %" PRIu64,
                store_name(store), rec.end_count, store->last_sequence);
    }
    version_unref(rec.version);
    generation_unref(rec.generation);
    free(rec.ends);
    return r;
}
