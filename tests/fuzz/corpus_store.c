/* SPDX-License-Identifier: Apache-2.0 */
/* Seeds of root records, logs, batches and manifest edits. */
#include "tests/fuzz/corpus.h"

#include "kvcore/db/edit.h"
#include "kvcore/db/root.h"
#include "kvcore/log/log_writer.h"

enum { SLOT_SIZE = 4096, NUMBER = 7 };

static const struct kv_slice nothing = {0};

static void put_slot(uint8_t *slot, uint64_t version, struct kv_slice content)
{
    memcpy(slot, "kvfsroot", 8);
    coding_put_u64(slot + 8, version);
    coding_put_u32(slot + 16, (uint32_t)content.size);
    memcpy(slot + 32, content.data, content.size);
}

static void put_roots(const struct corpus *corpus)
{
    uint8_t file[2 * SLOT_SIZE] = {0};
    struct kv_buf bytes = {0};
    struct root root = {.format_version = ROOT_FORMAT_VERSION,
                        .store_id = "a store of seeds",
                        .seed_id = "checksums' seed.",
                        .manifest = 3,
                        .lease_epoch = 9,
                        .label = "seeds",
                        .counters = {1, 2, 3, 4}};

    fuzz_need(root_encode(&root, &bytes));
    corpus_put(corpus, "root/in_use", nothing, kv_buf_slice(&bytes));
    put_slot(file, 8, kv_buf_slice(&bytes));
    root.clean = root.suspects.check_needed = root.rows_unchecked = true;
    root.suspects.files[root.suspects.count++] = (struct kv_file_id){KV_FILE_BLOB, NUMBER};
    root.last_log = (struct log_end){NUMBER, 400, 77};
    root.last_manifest = (struct log_end){3, 144, 78};
    fuzz_need(root_encode(&root, &bytes));
    corpus_put(corpus, "root/clean", nothing, kv_buf_slice(&bytes));
    put_slot(file + SLOT_SIZE, 9, kv_buf_slice(&bytes));
    corpus_put_flagged(corpus, "root_slots/both", 1, kv_slice(file, SLOT_SIZE + 32 + bytes.size));
    kv_buf_finish(&bytes);
}

/* A batch of every kind of row. */
static void append_rows(struct kv_buf *to)
{
    fuzz_need(coding_append_u8(to, ROW_RANGE_DELETE));
    fuzz_need(coding_append_varint(to, 1));
    fuzz_need(coding_append_string(to, kv_slice_str("from")));
    fuzz_need(coding_append_string(to, kv_slice_str("to")));
    fuzz_need(coding_append_u8(to, ROW_PUT));
    fuzz_need(coding_append_varint(to, 1));
    fuzz_need(coding_append_string(to, kv_slice_str("key")));
    fuzz_need(coding_append_string(to, kv_slice_str("value")));
    fuzz_need(coding_append_u8(to, ROW_DELETE));
    fuzz_need(coding_append_varint(to, 200));
    fuzz_need(coding_append_string(to, kv_slice_str("gone")));
    fuzz_need(coding_append_u8(to, ROW_DAMAGED));
    fuzz_need(coding_append_varint(to, 1));
    fuzz_need(coding_append_string(to, kv_slice_str("lost")));
    fuzz_need(coding_append_string(to, nothing));
}

static void write_log(struct kv_storage *storage, struct kv_file_id id, struct kv_slice rows)
{
    struct log_end previous = {NUMBER - 1, 512, 99};
    struct log_writer_options options = {
        .store_seed = FUZZ_STORE_SEED, .salt = 5, .previous = &previous};
    struct log_writer *writer = NULL;
    bool manifest = id.kind == KV_FILE_MANIFEST;

    fuzz_need(log_writer_create(storage, id, &options, &writer));
    fuzz_need(log_writer_add(writer, manifest ? LOG_RECORD_SNAPSHOT : LOG_RECORD_BATCH, 1, &rows, 1,
                             false));
    fuzz_need(log_writer_sync(writer));
    fuzz_need(
        log_writer_add(writer, manifest ? LOG_RECORD_EDIT : LOG_RECORD_BATCH, 4, &rows, 1, false));
    fuzz_need(log_writer_add(writer, LOG_RECORD_MARK, 7, NULL, 0, false));
    fuzz_need(log_writer_add(writer, LOG_RECORD_CLOSE, 7, NULL, 0, false));
    log_writer_destroy(writer);
}

static void put_log(const struct corpus *corpus, enum kv_file_kind kind, uint8_t flags,
                    struct kv_slice rows, const char *path)
{
    struct kv_file_id id = {kind, NUMBER};
    struct kv_storage *storage = NULL;
    struct kv_log *log = NULL;
    uint8_t head[17] = {flags};
    uint8_t bytes[1024];
    size_t size = 0;

    fuzz_need(kv_storage_mem_create(&storage));
    write_log(storage, id, rows);
    fuzz_need(storage->ops->log_open(storage, id, &log));
    fuzz_need(storage->ops->log_read(log, 0, bytes, sizeof bytes, &size));
    storage->ops->log_close(log);
    kv_storage_mem_destroy(storage);
    coding_put_u64(head + 1, size);
    corpus_put(corpus, path, kv_slice(head, flags & 4 ? sizeof head : 1), kv_slice(bytes, size));
}

static void put_logs(const struct corpus *corpus)
{
    struct kv_buf rows = {0};

    append_rows(&rows);
    corpus_put(corpus, "batch/kinds", nothing, kv_buf_slice(&rows));
    put_log(corpus, KV_FILE_LOG, 0, kv_buf_slice(&rows), "log/log");
    put_log(corpus, KV_FILE_LOG, 1, kv_buf_slice(&rows), "log/log_made_to_fit");
    put_log(corpus, KV_FILE_LOG, 5, kv_buf_slice(&rows), "log/log_with_end");
    put_log(corpus, KV_FILE_MANIFEST, 3, kv_buf_slice(&rows), "log/manifest_made_to_fit");
    kv_buf_finish(&rows);
}

static void add_file(struct edit *edit, uint64_t number, uint32_t level, const char *smallest,
                     const char *largest)
{
    struct file_meta *file = NULL;

    fuzz_need(file_meta_create(&file));
    file->table_id = 1;
    file->level = level;
    file->number = number;
    file->size = 4096;
    fuzz_need(kv_buf_assign(&file->smallest, kv_slice_str(smallest)));
    fuzz_need(kv_buf_assign(&file->largest, kv_slice_str(largest)));
    file->smallest_trailer = row_trailer(number * 10, ROW_PUT);
    file->largest_trailer = row_trailer(number * 10 + 5, ROW_DELETE);
    file->sequence_min = number * 10;
    file->sequence_max = number * 10 + 9;
    file->row_count = 8;
    file->tombstone_count = 1;
    fuzz_need(edit_add_file(edit, file));
    file_meta_unref(file);
}

static void append_edit(struct kv_buf *to, struct edit *edit)
{
    struct kv_buf bytes = {0};

    fuzz_need(edit_encode(edit, &bytes));
    fuzz_need(coding_append_string(to, kv_buf_slice(&bytes)));
    kv_buf_finish(&bytes);
    edit_finish(edit);
}

static void put_edits(const struct corpus *corpus)
{
    struct edit edit = {.next_table = 9, .last_sequence = 100, .first_log = 2, .released_log = 2};
    const struct edit_table table = {
        .id = 1, .name = "meta", .options = {.prefix_size = 9, .filter_bits_per_key = 10}};
    const struct file_meta removed = {.table_id = 1, .level = 0, .number = 4};
    const struct edit_snapshot kept = {.name = "kept", .sequence = 90, .time_s = 1};
    struct kv_buf bytes = {0};

    fuzz_need(edit_add_closed_log(&edit, &(struct log_end){2, 4096, 7}));
    fuzz_need(edit_add_table(&edit, &table));
    add_file(&edit, 3, 0, "a", "m");
    add_file(&edit, 4, 0, "b", "z");
    add_file(&edit, 1, 1, "a", "f");
    add_file(&edit, 2, 1, "g", "h");
    fuzz_need(edit_add_snapshot(&edit, &kept));
    append_edit(&bytes, &edit);
    fuzz_need(edit_remove_file(&edit, &removed));
    fuzz_need(edit_drop_snapshot(&edit, kept.name));
    add_file(&edit, 5, 1, "ha", "z");
    append_edit(&bytes, &edit);
    corpus_put(corpus, "edit/two", nothing, kv_buf_slice(&bytes));
    kv_buf_finish(&bytes);
}

/* A table of range deletes alone, which the manifest repeats. */
static void add_ranges(struct edit *edit, uint64_t number, struct kv_slice list)
{
    struct file_meta *file = NULL;

    fuzz_need(file_meta_create(&file));
    file->table_id = 1;
    file->number = number;
    file->size = 400;
    fuzz_need(kv_buf_assign(&file->smallest, kv_slice_str("a")));
    fuzz_need(kv_buf_assign(&file->largest, kv_slice_str("bc")));
    fuzz_need(kv_buf_assign(&file->range_list, list));
    file->smallest_trailer = row_trailer(number * 10 + 9, ROW_RANGE_DELETE);
    file->largest_trailer = RANGE_END_TRAILER;
    file->sequence_min = number * 10;
    file->sequence_max = number * 10 + 9;
    file->range_delete_count = 3;
    fuzz_need(edit_add_file(edit, file));
    file_meta_unref(file);
}

static void put_range_edits(const struct corpus *corpus)
{
    static const uint8_t exact[] = {1, 0, 1, 'a', 0, 1, 'b', 2, 39, 5, 1, 0, 1, 1, 'c', 1, 38};
    static const uint8_t covering[] = {2, 0, 1, 'a', 0, 2, 'b', 'c', 1, 49};
    const struct edit_table table = {.id = 1, .name = "data", .options = {.prefix_size = 9}};
    struct edit edit = {.next_table = 9};
    struct kv_buf bytes = {0};

    fuzz_need(edit_add_table(&edit, &table));
    add_ranges(&edit, 3, kv_slice(exact, sizeof exact));
    add_ranges(&edit, 4, kv_slice(covering, sizeof covering));
    append_edit(&bytes, &edit);
    corpus_put(corpus, "edit/ranges", nothing, kv_buf_slice(&bytes));
    kv_buf_finish(&bytes);
}

static void put_blob_edits(const struct corpus *corpus)
{
    struct edit edit = {.next_table = 9, .next_blob = 8};
    const struct edit_table table = {.id = 1, .name = "data", .options = {.prefix_size = 9}};
    const struct file_meta removed = {.table_id = 1, .level = 1, .number = 1};
    struct kv_buf bytes = {0};

    fuzz_need(edit_add_table(&edit, &table));
    for (uint64_t number = 3; number < 7; number++) {
        fuzz_need(edit_add_blob(&edit, &(struct blob_info){number, 9000, 8000, 0}));
    }
    add_file(&edit, 1, 1, "a", "f");
    add_file(&edit, 2, 1, "g", "h");
    fuzz_need(blob_uses_add(&edit.added[0]->blobs, 3, 4096));
    fuzz_need(blob_uses_add(&edit.added[0]->blobs, 5, 300));
    fuzz_need(blob_uses_add(&edit.added[1]->blobs, 5, 400));
    append_edit(&bytes, &edit);
    fuzz_need(edit_remove_file(&edit, &removed));
    fuzz_need(edit_remove_blob(&edit, 3));
    fuzz_need(edit_add_blob(&edit, &(struct blob_info){5, 9000, 8000, 4096}));
    append_edit(&bytes, &edit);
    corpus_put(corpus, "edit/blobs", nothing, kv_buf_slice(&bytes));
    kv_buf_finish(&bytes);
}

static void add_record(struct kv_buf *to, uint8_t next_log, uint64_t sequence, struct kv_slice rows)
{
    fuzz_need(coding_append_u8(to, next_log));
    fuzz_need(coding_append_varint(to, sequence));
    fuzz_need(coding_append_string(to, rows));
}

/* A whole store in the form of fuzz_store.c: a snapshot, an edit, three records in two logs. */
static void put_store(const struct corpus *corpus)
{
    const struct edit_table table = {
        .id = 1, .name = "meta", .options = {.prefix_size = 2, .filter_bits_per_key = 10}};
    const struct edit_snapshot kept = {.name = "kept", .sequence = 3, .time_s = 1};
    struct edit edit = {.next_table = 1, .first_log = 1};
    struct kv_buf bytes = {0}, rows = {0};

    fuzz_need(edit_add_table(&edit, &table));
    append_edit(&bytes, &edit);
    fuzz_need(coding_append_u8(&bytes, 1));
    edit.last_sequence = 1;
    fuzz_need(edit_add_snapshot(&edit, &kept));
    append_edit(&bytes, &edit);
    fuzz_need(coding_append_u8(&rows, ROW_PUT));
    fuzz_need(coding_append_varint(&rows, 1));
    fuzz_need(coding_append_string(&rows, kv_slice_str("key")));
    fuzz_need(coding_append_string(&rows, kv_slice_str("value")));
    add_record(&bytes, 0, 1, kv_buf_slice(&rows));
    fuzz_need(coding_append_u8(&rows, ROW_DELETE));
    fuzz_need(coding_append_varint(&rows, 1));
    fuzz_need(coding_append_string(&rows, kv_slice_str("gone")));
    add_record(&bytes, 0, 2, kv_buf_slice(&rows));
    add_record(&bytes, 1, 4, kv_buf_slice(&rows));
    corpus_put(corpus, "store/two_logs", nothing, kv_buf_slice(&bytes));
    kv_buf_finish(&bytes);
    kv_buf_finish(&rows);
}

void corpus_store(const struct corpus *corpus)
{
    put_roots(corpus);
    put_logs(corpus);
    put_edits(corpus);
    put_range_edits(corpus);
    put_blob_edits(corpus);
    put_store(corpus);
}
