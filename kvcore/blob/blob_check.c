/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/blob/blob_check.h"

#include <inttypes.h>
#include <stdlib.h>

#include "kvcore/util/checksum.h"
#include "kvcore/util/coding.h"

struct checking {
    const struct blob_check *check;
    struct kv_object *object;
    uint64_t number;
    uint64_t file_seed;
    struct kv_buf bytes; /* of a block of the directory, as stored */
    struct kv_buf raw;
};

static int damage(const struct checking *c, uint64_t offset, const char *fault)
{
    const struct blob_store *store = &c->check->store;
    struct message_place place = {KV_FILE_BLOB, c->number, offset};
    return message_damage_at(store->sink, place,
                             "%s: blob %08" PRIu64 ": %s at %" PRIu64
                             ". Values can be read all the same; it would help a repair",
                             store->storage->ops->name(store->storage), c->number, fault, offset);
}

/* All `size` bytes, to c->bytes. */
static int read_bytes(struct checking *c, uint64_t offset, size_t size)
{
    const struct blob_check *check = c->check;
    size_t got = 0;
    int r = check->read_fn != NULL ? check->read_fn(check->arg, size) : 0;

    c->bytes.size = 0;
    r = r != 0 ? r : kv_buf_reserve(&c->bytes, size);
    r = r != 0
            ? r
            : check->store.storage->ops->object_read(c->object, offset, c->bytes.data, size, &got);
    if (r == 0 && got < size) {
        return damage(c, offset, "the file ends before its directory");
    }
    c->bytes.size = r == 0 ? size : 0;
    return r;
}

/* At least two of: the magic, the number, a place that fits, the version. */
static bool was_footer(const struct checking *c, uint64_t offset)
{
    struct coding_cursor cursor = coding_cursor(kv_buf_slice(&c->bytes));
    bool magic = coding_read_u64(&cursor) == BLOB_MAGIC;
    bool number = coding_read_u64(&cursor) == c->number;
    uint64_t directory_offset = coding_read_u64(&cursor);
    uint64_t directory_size = coding_read_u64(&cursor);
    bool fits = directory_size <= offset && directory_offset == offset - directory_size;
    return magic + number + fits >= 2;
}

/* Entries of a block that was decoded. */
static int take_entries(struct checking *c, uint64_t offset, uint64_t *count)
{
    struct coding_cursor cursor = coding_cursor(kv_buf_slice(&c->raw));
    struct blob_entry entry;
    int r;

    while ((r = blob_directory_next(&cursor, &entry)) == 1) {
        *count += 1;
        r = c->check->entry_fn != NULL ? c->check->entry_fn(c->check->arg, &entry) : 0;
        if (r != 0) {
            return r;
        }
    }
    return r == -KV_EDAMAGED ? damage(c, offset, "an entry of the directory makes no sense") : r;
}

/* The block of the directory at `*offset`, which is moved behind it. */
static int check_block(struct checking *c, uint64_t *offset, uint64_t end, uint64_t *count)
{
    uint64_t at = *offset;
    size_t stored;
    size_t size = 0;
    int r;

    if (end - at < BLOB_DIRECTORY_HEAD_SIZE) {
        return damage(c, at, "the directory is cut off");
    }
    r = read_bytes(c, at, BLOB_DIRECTORY_HEAD_SIZE);
    if (r != 0) {
        return r;
    }
    stored = coding_get_u32(c->bytes.data + 8);
    if (stored > end - at - BLOB_DIRECTORY_HEAD_SIZE || stored > BLOB_DIRECTORY_RAW_MAX) {
        return damage(c, at, "a header of the directory is damaged");
    }
    r = read_bytes(c, at, BLOB_DIRECTORY_HEAD_SIZE + stored);
    if (r == 0) {
        r = blob_directory_decode_block(kv_buf_slice(&c->bytes), c->file_seed, at, &c->raw, &size);
        r = r == -KV_EDAMAGED ? damage(c, at, "a block of the directory is damaged") : r;
    }
    *offset = at + size;
    return r == 0 ? take_entries(c, at, count) : r;
}

static int check_directory(struct checking *c, const struct blob_footer *footer)
{
    uint64_t offset = footer->directory_offset;
    uint64_t end = offset + footer->directory_size;
    uint64_t count = 0;
    int r = 0;

    while (r == 0 && offset < end) {
        r = check_block(c, &offset, end, &count);
    }
    if (r == 0 && count != footer->value_count) {
        r = damage(c, footer->directory_offset, "the directory has another number of entries");
    }
    return r;
}

static int check_footer(struct checking *c, uint64_t file_size)
{
    uint64_t at = file_size - BLOB_FOOTER_SIZE;
    struct blob_footer footer;
    int r = read_bytes(c, at, BLOB_FOOTER_SIZE);

    if (r != 0) {
        return r;
    }
    r = blob_footer_decode(c->bytes.data, c->file_seed, at, &footer);
    if (r == -KV_EDAMAGED) {
        return was_footer(c, at) ? damage(c, at, "the footer is damaged") : 0;
    }
    if (r == 0 && c->check->footer_fn != NULL) {
        r = c->check->footer_fn(c->check->arg, &footer);
    }
    return r != 0 ? r : check_directory(c, &footer);
}

int blob_check_end(const struct blob_check *check, uint64_t number, uint64_t file_size)
{
    struct kv_storage *storage = check->store.storage;
    struct kv_file_id id = {.kind = KV_FILE_BLOB, .number = number};
    struct checking c = {.check = check, .number = number};
    int r = storage->ops->object_open(storage, id, &c.object);

    if (r < 0) {
        return r;
    }
    c.file_seed = checksum_file_seed(check->store.seed, KV_FILE_BLOB, number);
    if (storage->ops->object_size(c.object) < file_size) {
        r = damage(&c, storage->ops->object_size(c.object), "the file ends too early,");
    } else if (file_size >= BLOB_FOOTER_SIZE) {
        r = check_footer(&c, file_size);
    }
    kv_buf_finish(&c.bytes);
    kv_buf_finish(&c.raw);
    storage->ops->object_close(c.object);
    return r;
}
