/* SPDX-License-Identifier: Apache-2.0 */
/* The sorted tables. Each is opened anew, without the cache: what an open table keeps in memory was
 * read long ago, and says nothing of the bytes there are now. */
#include "kvcore/blob/blob_pointer.h"
#include "kvcore/db/verify.h"

/* ---- rows ---- */

static int note_uses(struct verify *v, const struct rows_block *rows)
{
    int r = 0;
    for (uint32_t i = 0; i < rows->count && r == 0; i++) {
        struct blob_pointer pointer;
        if (row_kind(rows_block_trailer(rows, i)) == ROW_BLOB &&
            blob_pointer_decode(rows_block_value(rows, i), &pointer) == 0) {
            r = blob_uses_add(&v->uses, pointer.number, pointer.stored_size);
        }
    }
    return r;
}

static int take_rows(void *arg, const struct rows_block *rows)
{
    struct verify *v = arg;
    int r = note_uses(v, rows);

    v->progress.rows += rows->count;
    return r < 0 ? r : verify_values(v, rows);
}

static void take_lost(void *arg, struct kv_slice after, struct kv_slice last)
{
    verify_lost(arg, after, last);
}

/* ---- what the manifest says ---- */

static bool same_uses(const struct blob_uses *a, const struct blob_uses *b)
{
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++) {
        same = a->items[i].number == b->items[i].number && a->items[i].bytes == b->items[i].bytes;
    }
    return same;
}

static bool same_bounds(const struct file_meta *file, const struct table_properties *p)
{
    return file->smallest_trailer == p->smallest_trailer &&
           file->largest_trailer == p->largest_trailer &&
           kv_slice_equal(kv_buf_slice(&file->smallest), kv_buf_slice(&p->smallest_key)) &&
           kv_slice_equal(kv_buf_slice(&file->largest), kv_buf_slice(&p->largest_key));
}

/* The table is sound, so it agrees with itself; does the manifest mean this one? */
static int compare(struct verify *v, const struct file_meta *file, const struct table *table)
{
    const struct table_properties *p = table_properties(table);
    const char *other = NULL;

    if (table_file_bytes(table) != file->size) {
        other = "another size";
    } else if (p->table_id != file->table_id || !same_bounds(file, p)) {
        other = "other keys";
    } else if (p->row_count != file->row_count || p->tombstone_count != file->tombstone_count ||
               p->range_delete_count != file->range_delete_count ||
               p->sequence_min != file->sequence_min || p->sequence_max != file->sequence_max) {
        other = "other rows";
    } else if (!same_uses(&p->blobs, &file->blobs) || !same_uses(&v->uses, &file->blobs)) {
        other = "other large values";
    }
    if (other == NULL) {
        return 0;
    }
    return message_damage(&v->sink,
                          "%s: table %08" PRIu64
                          " has %s than the manifest says. Run 'kvfs fsck' on "
                          "the store",
                          v->store->storage->ops->name(v->store->storage), file->number, other);
}

/* ---- tables ---- */

static int open_table(struct verify *v, const struct file_meta *file, struct table **ret_table)
{
    struct kv_store *store = v->store;
    int r = table_open(store->storage, store->seed, file->number, NULL, &v->sink, ret_table);

    if (r == -ENOENT) {
        r = message_damage(&v->sink,
                           "%s: table %08" PRIu64
                           ", which the manifest names, is missing; its rows "
                           "cannot be read. Run 'kvfs fsck' on the store",
                           store->storage->ops->name(store->storage), file->number);
    }
    if (r == -KV_EDAMAGED) { /* none of its rows can be found */
        verify_lost(v, kv_buf_slice(&file->smallest), kv_buf_slice(&file->largest));
    }
    return r;
}

static int verify_table(struct verify *v, const struct file_meta *file)
{
    struct table_watch watch = {
        .read_fn = verify_spend, .rows_fn = take_rows, .lost_fn = take_lost, .arg = v};
    struct table *table = NULL;
    int r = verify_file_begin(v, KV_FILE_TABLE, file->number, v->tables[file->table_id - 1]);

    if (r < 0) {
        return r;
    }
    r = open_table(v, file, &table);
    if (r == 0) {
        r = verify_pace(v, table_resident_bytes(table));
    }
    r = r < 0 ? r : table_verify(table, &watch);
    r = r < 0 ? r : compare(v, file, table);
    table_close(table);
    blob_uses_finish(&v->uses);
    v->uses = (struct blob_uses){0};
    return verify_file_end(v, r);
}

static int verify_if_wanted(struct verify *v, const struct file_meta *file)
{
    return verify_wants_table(v, file) ? verify_table(v, file) : 0;
}

int verify_tables(struct verify *v)
{
    int r = 0;
    for (uint32_t id = 1; id <= KV_TABLE_COUNT_MAX && r == 0; id++) {
        const struct table_files *files = version_table(v->pinned->version, id);
        for (int level = 0; files != NULL && level < KV_LEVEL_COUNT; level++) {
            for (size_t i = 0; i < files->levels[level].count && r == 0; i++) {
                r = verify_if_wanted(v, files->levels[level].files[i]);
            }
        }
    }
    return r;
}

/* ---- rows in memory ---- */

static int verify_memtable(struct verify *v, const struct memtable *memtable)
{
    struct iter *it = NULL;
    int r = memtable_iter_create(memtable, &it);

    if (r < 0) {
        return r;
    }
    for (iter_seek_first(it); it->valid && r == 0; iter_next(it)) {
        if (row_kind(it->row->trailer) == ROW_BLOB &&
            row_sequence(it->row->trailer) <= v->sequence) {
            r = verify_value(v, it->row);
        }
    }
    r = r < 0 ? r : it->error;
    iter_destroy(it);
    return r;
}

static int verify_generation(struct verify *v, const struct generation *generation)
{
    const struct memtable *memtables[KV_TABLE_COUNT_MAX];
    int r = 0;

    view_list_memtables(v->store, generation, memtables);
    for (uint32_t id = 1; id <= KV_TABLE_COUNT_MAX && r == 0; id++) {
        if (memtables[id - 1] != NULL && v->tables[id - 1] != NULL) {
            r = verify_file_begin(v, KV_FILE_BLOB, 0, v->tables[id - 1]);
            r = r < 0 ? r : verify_memtable(v, memtables[id - 1]);
        }
    }
    return r;
}

int verify_memtables(struct verify *v)
{
    int r = verify_generation(v, v->view->active);

    for (unsigned i = 0; i < v->view->immutable_count && r == 0; i++) {
        r = verify_generation(v, v->view->immutable[i]);
    }
    view_release(v->view);
    v->view = NULL;
    return r;
}
