/* SPDX-License-Identifier: Apache-2.0 */
/* Damage that takes more than changing bytes: manifests, logs and tables whose checksums are right
 * and whose contents are wrong. */
#include "tests/admin/admin_craft.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "kvcore/admin/state.h"
#include "kvcore/db/manifest.h"
#include "kvcore/db/output.h"
#include "kvcore/db/root.h"
#include "kvcore/log/log_reader.h"
#include "kvcore/log/log_writer.h"
#include "kvcore/storage/posix_raw.h"
#include "kvcore/table/range_list.h"
#include "kvcore/table/table_builder.h"
#include "kvcore/util/checksum.h"

enum { PATH_SIZE = 600 };

static const struct message_sink silent = {0};

struct craft {
    char path[PATH_SIZE];
    struct kv_storage *storage;
    struct root root;
    uint64_t version; /* of the root record */
    uint64_t seed;
};

static void begin(struct craft *craft, const char *path)
{
    struct raw_root raw;
    int newest;
    snprintf(craft->path, sizeof craft->path, "%s", path);
    craft->storage = store_storage(path);
    ck_ok(craft->storage->ops->lease_acquire(craft->storage, KV_LEASE_EXCLUSIVE, "a test"));
    ck_ok(raw_root_read(craft->storage, &raw));
    newest =
        raw.slots[1].valid && (!raw.slots[0].valid || raw.slots[1].version > raw.slots[0].version);
    craft->version = raw.slots[newest].version;
    ck_ok(root_decode(raw.slots[newest].content, &craft->root));
    craft->seed = checksum_store_seed(craft->root.seed_id);
}

static void end(struct craft *craft, bool with_root)
{
    uint8_t bytes[RAW_ROOT_SIZE];
    struct kv_buf content = {0};
    if (with_root) {
        ck_ok(root_encode(&craft->root, &content));
        raw_root_encode(craft->version + 1, kv_buf_slice(&content), bytes);
        ck_ok(raw_root_replace(craft->storage, kv_slice(bytes, sizeof bytes)));
        kv_buf_finish(&content);
    }
    craft->storage->ops->close(craft->storage);
}

/* ---- manifests ---- */

static void read_state(const struct craft *craft, struct admin_state *state)
{
    struct kv_file_id id = {KV_FILE_MANIFEST, craft->root.manifest};
    struct log_reader *reader = NULL;
    struct log_record record;
    struct edit edit = {0};
    ck_ok(admin_state_init(state));
    ck_ok(log_reader_open(craft->storage, id, craft->seed, NULL, &silent, &reader));
    while (log_reader_next(reader, &record) == 1) {
        ck_ok(edit_decode(record.payload, &edit));
        ck_ok(admin_state_apply(state, &edit));
        edit_finish(&edit);
        edit = (struct edit){0};
    }
    log_reader_close(reader);
}

/* The state, as `change` makes it, to the next manifest; then one more record, if `more` has one.
 */
static void write_manifest(const char *path, void (*change)(struct craft *craft, struct edit *edit),
                           struct kv_slice more)
{
    struct craft craft;
    struct admin_state state;
    struct edit edit = {0};
    struct log_writer *writer = NULL;
    struct log_writer_options options = {.salt = 5};
    struct kv_file_id id = {.kind = KV_FILE_MANIFEST};
    begin(&craft, path);
    read_state(&craft, &state);
    ck_ok(admin_state_edit(&state, &edit));
    if (change != NULL) {
        change(&craft, &edit);
    }
    options.store_seed = craft.seed;
    id.number = ++craft.root.manifest;
    ck_ok(log_writer_create(craft.storage, id, &options, &writer));
    ck_ok(manifest_append(writer, LOG_RECORD_SNAPSHOT, 1, &edit));
    if (more.size > 0) {
        ck_ok(log_writer_add(writer, LOG_RECORD_EDIT, 2, &more, 1, false));
    }
    craft.root.last_manifest = log_writer_end(writer);
    log_writer_destroy(writer);
    edit_finish(&edit);
    admin_state_finish(&state);
    end(&craft, true);
}

static void add_future_snapshot(struct craft *craft, struct edit *edit)
{
    struct edit_snapshot snapshot = {.name = "future", .sequence = 1u << 30, .time_s = 1};
    (void)craft;
    ck_ok(edit_add_snapshot(edit, &snapshot));
}

void craft_snapshot_ahead(const char *path)
{
    write_manifest(path, add_future_snapshot, kv_slice(NULL, 0));
}

/* It removes a table that was not there. */
void craft_manifest_senseless(const char *path)
{
    struct edit edit = {.next_table = 5000};
    struct file_meta *file = NULL;
    struct kv_buf bytes = {0};
    ck_ok(file_meta_create(&file));
    file->table_id = 1;
    file->number = 4000;
    ck_ok(edit_remove_file(&edit, file));
    ck_ok(edit_encode(&edit, &bytes));
    write_manifest(path, NULL, kv_buf_slice(&bytes));
    kv_buf_finish(&bytes);
    edit_finish(&edit);
    file_meta_unref(file);
}

/* A field with a tag that is odd, so that it has to be understood. */
void craft_manifest_newer(const char *path)
{
    write_manifest(path, NULL, kv_slice("\x61\x01x", 3));
}

static void count_rows_wrongly(struct craft *craft, struct edit *edit)
{
    (void)craft;
    ck_assert_uint_gt(edit->added_count, 0);
    edit->added[0]->row_count++;
}

void craft_table_other(const char *path)
{
    write_manifest(path, count_rows_wrongly, kv_slice(NULL, 0));
}

/* As of a table that has many. */
static void cover_ranges(struct file_meta *file)
{
    struct range_list list;
    ck_ok(range_list_decode(kv_buf_slice(&file->range_list), &list));
    const struct range_dels *dels = list.dels;
    struct kv_buf *to = &file->range_list;
    to->size = 0;
    ck_ok(coding_append_varint(to, list.rows_shown ? 2 : 0));
    ck_ok(coding_append_varint(to, 0));
    ck_ok(coding_append_string(to, dels->fragments[0].from));
    ck_ok(coding_append_varint(to, 0));
    ck_ok(coding_append_string(to, dels->fragments[dels->count - 1].to));
    ck_ok(coding_append_varint(to, 1));
    ck_ok(coding_append_varint(to, dels->sequence_max));
    range_list_finish(&list);
}

static void cover_all(struct craft *craft, struct edit *edit)
{
    (void)craft;
    for (size_t i = 0; i < edit->added_count; i++) {
        if (edit->added[i]->range_delete_count > 0) {
            cover_ranges(edit->added[i]);
        }
    }
}

void craft_ranges_covered(const char *path)
{
    write_manifest(path, cover_all, kv_slice(NULL, 0));
}

static void forget_all(struct craft *craft, struct edit *edit)
{
    (void)craft;
    for (size_t i = 0; i < edit->added_count; i++) {
        edit->added[i]->range_list.size = 0;
    }
}

void craft_ranges_unknown(const char *path)
{
    write_manifest(path, forget_all, kv_slice(NULL, 0));
}

static void count_uses_wrongly(struct craft *craft, struct edit *edit)
{
    size_t i = 0;
    (void)craft;
    while (i < edit->added_count && edit->added[i]->blobs.count == 0) {
        i++;
    }
    ck_assert_uint_lt(i, edit->added_count);
    edit->added[i]->blobs.items[0].bytes++;
}

void craft_blob_uses(const char *path)
{
    write_manifest(path, count_uses_wrongly, kv_slice(NULL, 0));
}

/* A table of one row, which says that its value lies in a blob, and not where. */
static void add_pointing_nowhere(struct craft *craft, struct edit *edit)
{
    struct table_origin origin = {.table_id = edit->added[0]->table_id,
                                  .job = 900,
                                  .output_index = 1,
                                  .table_name = kv_slice_str("rows")};
    struct table_builder_options options = {.block_bytes = 4096, .codec = CODEC_NONE};
    struct row row = {.key = kv_slice_str("key99999"),
                      .trailer = row_trailer(edit->last_sequence, ROW_BLOB),
                      .value = kv_slice_str("nowhere")};
    struct table_properties properties;
    struct table_builder *builder = NULL;
    struct file_meta *file = NULL;
    uint64_t size = 0;
    memcpy(origin.store_id, craft->root.store_id, sizeof origin.store_id);
    ck_ok(table_builder_create(craft->storage, craft->seed, 900, &origin, &options, &builder));
    ck_ok(table_builder_add(builder, &row));
    ck_ok(table_builder_finish(builder, 1, &properties, &size));
    ck_ok(file_from_properties(&properties, size, &file));
    ck_ok(edit_add_file(edit, file));
    edit->next_table = 901;
    file_meta_unref(file);
    table_properties_finish(&properties);
    table_builder_destroy(builder);
}

void craft_blob_pointer(const char *path)
{
    write_manifest(path, add_pointing_nowhere, kv_slice(NULL, 0));
}

/* ---- logs ---- */

/* One more record at the end of the newest log, which is written anew. */
struct extra {
    enum log_record_type type;
    int64_t behind; /* sequence number, counted from the next one */
    struct kv_slice payload;
    bool without_last; /* the last record there was goes */
};

static uint64_t newest_log(const struct craft *craft)
{
    uint64_t newest = 0;
    char file[PATH_SIZE + 32];
    for (uint64_t n = 1; n < 100; n++) {
        snprintf(file, sizeof file, "%s/%08u.log", craft->path, (unsigned)n);
        newest = access(file, F_OK) == 0 ? n : newest;
    }
    ck_assert_uint_gt(newest, 0);
    return newest;
}

struct kept_record {
    enum log_record_type type;
    uint64_t sequence;
    struct kv_buf payload;
};

static size_t read_log(const struct craft *craft, struct kv_file_id id, struct kept_record *records,
                       size_t room)
{
    struct log_reader *reader = NULL;
    struct log_record record;
    size_t count = 0;
    ck_ok(log_reader_open(craft->storage, id, craft->seed, NULL, &silent, &reader));
    while (log_reader_next(reader, &record) == 1) {
        ck_assert_uint_lt(count, room);
        records[count] = (struct kept_record){record.type, record.sequence, {0}};
        ck_ok(kv_buf_assign(&records[count++].payload, record.payload));
    }
    log_reader_close(reader);
    return count;
}

static struct log_end rewrite_log(struct craft *craft, const struct extra *extra,
                                  struct log_end *ret_whole)
{
    struct kept_record records[128];
    struct kv_file_id id = {KV_FILE_LOG, newest_log(craft)};
    struct log_writer_options options = {.store_seed = craft->seed, .salt = 9};
    struct log_writer *writer = NULL;
    struct log_end before = {0}, at;
    size_t count = read_log(craft, id, records, 128);
    uint64_t next = records[count - 1].sequence + 1;
    ck_ok(craft->storage->ops->remove(craft->storage, id));
    ck_ok(log_writer_create(craft->storage, id, &options, &writer));
    for (size_t i = 0; i < count; i++) {
        struct kv_slice payload = kv_buf_slice(&records[i].payload);
        before = log_writer_end(writer);
        ck_ok(log_writer_add(writer, records[i].type, records[i].sequence, &payload, 1, false));
        kv_buf_finish(&records[i].payload);
    }
    *ret_whole = log_writer_end(writer);
    at = extra->without_last ? before : *ret_whole;
    if (extra->payload.size > 0) {
        ck_ok(log_writer_add(writer, extra->type, (uint64_t)((int64_t)next + extra->behind),
                             &extra->payload, 1, false));
        at = log_writer_end(writer);
    }
    log_writer_destroy(writer);
    return at;
}

static void cut_file(const struct craft *craft, uint64_t number, uint64_t size)
{
    char file[PATH_SIZE + 32];
    snprintf(file, sizeof file, "%s/%08u.log", craft->path, (unsigned)number);
    ck_assert(truncate(file, (off_t)size) == 0);
}

static void add_record(const char *path, const char *payload, size_t size, int64_t behind)
{
    struct craft craft;
    struct extra extra = {LOG_RECORD_BATCH, behind, kv_slice(payload, size), false};
    struct log_end whole;
    begin(&craft, path);
    kv_ignore((int)rewrite_log(&craft, &extra, &whole).size);
    end(&craft, false);
}

/* The room that was made for more records goes, so that there is an end to write behind. */
void craft_log_torn(const char *path)
{
    struct craft craft;
    struct extra extra = {LOG_RECORD_BATCH, 0, kv_slice("\x02\x01\x01k", 4), false};
    struct log_end whole, at;
    begin(&craft, path);
    at = rewrite_log(&craft, &extra, &whole);
    cut_file(&craft, at.number, at.size - 8);
    end(&craft, false);
}

void craft_log_senseless(const char *path)
{
    add_record(path, "\x01\x01\x7fkey", 6, 0); /* a key of 127 bytes that are not there */
}

void craft_log_unknown_table(const char *path)
{
    add_record(path, "\x02\x3c\x01k", 4, 0);
}

void craft_log_order(const char *path)
{
    add_record(path, "\x02\x01\x01k", 4, -1);
}

void craft_log_newer(const char *path)
{
    add_record(path, "\x08\x01\x01k", 4, 0);
}

/* A log behind the newest, with a record that counts as synced. */
static void add_successor(struct craft *craft, const struct log_end *previous)
{
    struct log_writer_options options = {
        .store_seed = craft->seed, .salt = 11, .previous = previous};
    struct kv_file_id id = {KV_FILE_LOG, newest_log(craft) + 1};
    struct kv_slice payload = kv_slice("\x02\x01\x01k", 4);
    struct log_writer *writer = NULL;
    ck_ok(log_writer_create(craft->storage, id, &options, &writer));
    ck_ok(log_writer_sync(writer));
    ck_ok(log_writer_add(writer, LOG_RECORD_BATCH, 1u << 20, &payload, 1, false));
    ck_ok(log_writer_sync(writer));
    log_writer_destroy(writer);
}

static void write_successor(const char *path, bool without_last, bool other_chain, bool alone)
{
    struct craft craft;
    struct extra extra = {.without_last = without_last};
    struct log_end whole, at;
    begin(&craft, path);
    at = rewrite_log(&craft, &extra, &whole);
    cut_file(&craft, whole.number, at.size);
    whole.chain += other_chain;
    add_successor(&craft, alone ? NULL : &whole);
    end(&craft, false);
}

void craft_log_short(const char *path)
{
    write_successor(path, true, false, false);
}

void craft_log_successor(const char *path)
{
    write_successor(path, false, true, false);
}

void craft_root_old(const char *path)
{
    write_successor(path, false, false, true);
}

/* ---- tables ---- */

/* The newest table there is, whole. */
struct table_bytes {
    char file[PATH_SIZE + 32];
    uint64_t seed; /* of the file */
    uint8_t *bytes;
    uint64_t size;
};

static void read_table(const char *path, struct table_bytes *table)
{
    struct craft craft;
    uint64_t number = 0;
    int fd;
    begin(&craft, path);
    for (uint64_t n = 1; n < 200; n++) {
        char file[PATH_SIZE + 32];
        snprintf(file, sizeof file, "%s/%08u.table", path, (unsigned)n);
        number = access(file, F_OK) == 0 ? n : number;
    }
    end(&craft, false);
    snprintf(table->file, sizeof table->file, "%s/%08u.table", path, (unsigned)number);
    table->seed = checksum_file_seed(craft.seed, KV_FILE_TABLE, number);
    fd = open(table->file, O_RDONLY);
    ck_assert(fd >= 0);
    table->size = (uint64_t)lseek(fd, 0, SEEK_END);
    table->bytes = malloc(table->size);
    ck_assert(pread(fd, table->bytes, table->size, 0) == (ssize_t)table->size);
    close(fd);
}

static void write_table(struct table_bytes *table)
{
    int fd = open(table->file, O_WRONLY);
    ck_assert(fd >= 0 && pwrite(fd, table->bytes, table->size, 0) == (ssize_t)table->size);
    close(fd);
    free(table->bytes);
}

/* A sound footer of the next version. */
void craft_table_newer(const char *path)
{
    struct table_bytes table;
    uint64_t at;
    read_table(path, &table);
    at = table.size - TABLE_FOOTER_SIZE;
    coding_put_u32(table.bytes + at + 28, TABLE_FORMAT_VERSION + 1);
    coding_put_u64(table.bytes + at + 56,
                   checksum_at(table.seed, at, kv_slice(table.bytes + at, 56)));
    write_table(&table);
}

/* Sound properties that say another number of bytes than the rows have. */
void craft_table_sums(const char *path)
{
    struct table_bytes table;
    struct table_footer footer;
    struct block_header header;
    struct table_properties properties;
    struct kv_buf content = {0};
    uint64_t at;
    read_table(path, &table);
    at = table.size - TABLE_FOOTER_SIZE;
    ck_ok(table_footer_decode(table.bytes + at, table.seed, at, &footer));
    at = footer.properties.offset;
    ck_ok(block_header_decode(table.bytes + at, table.seed, at, &header));
    ck_assert_uint_eq(header.codec, 1);
    ck_ok(table_properties_decode(
        kv_slice(table.bytes + at + BLOCK_HEADER_SIZE, header.stored_size), &properties));
    properties.key_bytes ^= 1;
    ck_ok(table_properties_encode(&properties, &content));
    ck_assert_uint_eq(content.size, header.stored_size);
    memcpy(table.bytes + at + BLOCK_HEADER_SIZE, content.data, content.size);
    header.payload_checksum =
        checksum_at(table.seed, at + BLOCK_HEADER_SIZE, kv_buf_slice(&content));
    block_header_encode(&header, table.seed, at, table.bytes + at);
    write_table(&table);
    kv_buf_finish(&content);
    table_properties_finish(&properties);
}
