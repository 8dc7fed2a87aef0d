/* SPDX-License-Identifier: Apache-2.0 */
/* The properties block: fields, see docs/format.md. */
#include "kvcore/table/table_format.h"

#include "kvcore/table/filter.h"
#include "kvcore/util/coding.h"

/* On disk, never renumber. */
enum property {
    PROPERTY_STORE_ID = 1,
    PROPERTY_NUMBER = 3,
    PROPERTY_TABLE_ID = 5,
    PROPERTY_LEVEL = 7,
    PROPERTY_SMALLEST = 9,
    PROPERTY_LARGEST = 11,
    PROPERTY_SEQUENCE_MIN = 13,
    PROPERTY_SEQUENCE_MAX = 15,
    PROPERTY_ROWS = 17,
    PROPERTY_TOMBSTONES = 19,
    PROPERTY_RANGE_DELETE_ROWS = 21,
    PROPERTY_KEY_BYTES = 22,
    PROPERTY_VALUE_BYTES = 24,
    PROPERTY_DATA_BLOCKS = 26,
    PROPERTY_CREATED = 28,
    PROPERTY_JOB = 29,
    PROPERTY_OUTPUT_INDEX = 31,
    PROPERTY_OUTPUT_COUNT = 33,
    PROPERTY_INPUTS = 35,
    PROPERTY_FILTER = 37,
    PROPERTY_RANGE_DELETES = 39,
    PROPERTY_FILTER_FORMAT = 41,
    PROPERTY_PREFIX_SIZE = 43,
    PROPERTY_FLUSHED = 44,
    PROPERTY_BLOBS = 45,
    PROPERTY_RELEASED_LOG = 46,
    PROPERTY_TABLE_NAME = 48,
    PROPERTY_DELETE_RUN = 50,
    PROPERTY_REPLACED = 52,
    PROPERTY_BY_REPAIR = 54,
    PROPERTY_TAG_MAX = 54,
};

#define PROPERTY_BIT(tag) (UINT64_C(1) << (tag))

/* Without these the table cannot be placed in a store. */
#define PROPERTIES_REQUIRED                                                                        \
    (PROPERTY_BIT(PROPERTY_STORE_ID) | PROPERTY_BIT(PROPERTY_NUMBER) |                             \
     PROPERTY_BIT(PROPERTY_TABLE_ID) | PROPERTY_BIT(PROPERTY_LEVEL) |                              \
     PROPERTY_BIT(PROPERTY_SMALLEST) | PROPERTY_BIT(PROPERTY_LARGEST) |                            \
     PROPERTY_BIT(PROPERTY_SEQUENCE_MIN) | PROPERTY_BIT(PROPERTY_SEQUENCE_MAX) |                   \
     PROPERTY_BIT(PROPERTY_ROWS))

/* ---- encoding ---- */

static int append_bound(struct kv_buf *to, enum property tag, const struct kv_buf *key,
                        uint64_t trailer)
{
    int r = coding_append_varint(to, tag);
    if (r == 0) {
        r = coding_append_varint(to, key->size + sizeof trailer);
    }
    if (r == 0) {
        r = kv_buf_append(to, kv_buf_slice(key));
    }
    return r == 0 ? coding_append_u64(to, trailer) : r;
}

static int append_handle(struct kv_buf *to, enum property tag, struct block_handle handle)
{
    uint8_t bytes[2 * CODING_VARINT_MAX];
    size_t size;

    if (handle.size == 0) {
        return 0;
    }
    size = coding_put_varint(bytes, handle.offset);
    size += coding_put_varint(bytes + size, handle.size);
    return coding_append_field(to, tag, kv_slice(bytes, size));
}

/* Fields whose absence means 0. */
static int append_unless_zero(struct kv_buf *to, enum property tag, uint64_t value)
{
    return value != 0 ? coding_append_field_varint(to, tag, value) : 0;
}

static int append_identity(const struct table_properties *p, struct kv_buf *to)
{
    int r = coding_append_field(to, PROPERTY_STORE_ID, kv_slice(p->store_id, sizeof p->store_id));
    if (r == 0) {
        r = coding_append_field_varint(to, PROPERTY_NUMBER, p->number);
    }
    if (r == 0) {
        r = coding_append_field_varint(to, PROPERTY_TABLE_ID, p->table_id);
    }
    if (r == 0) {
        r = coding_append_field_varint(to, PROPERTY_LEVEL, p->level);
    }
    if (r == 0) {
        r = append_bound(to, PROPERTY_SMALLEST, &p->smallest_key, p->smallest_trailer);
    }
    if (r == 0) {
        r = append_bound(to, PROPERTY_LARGEST, &p->largest_key, p->largest_trailer);
    }
    return r;
}

static int append_counts(const struct table_properties *p, struct kv_buf *to)
{
    const struct {
        enum property tag;
        uint64_t value;
    } counts[] = {
        {PROPERTY_SEQUENCE_MIN, p->sequence_min},
        {PROPERTY_SEQUENCE_MAX, p->sequence_max},
        {PROPERTY_ROWS, p->row_count},
        {PROPERTY_TOMBSTONES, p->tombstone_count},
        {PROPERTY_RANGE_DELETE_ROWS, p->range_delete_count},
        {PROPERTY_KEY_BYTES, p->key_bytes},
        {PROPERTY_VALUE_BYTES, p->value_bytes},
        {PROPERTY_DATA_BLOCKS, p->data_blocks},
        {PROPERTY_CREATED, p->created_s},
        {PROPERTY_JOB, p->job},
        {PROPERTY_OUTPUT_INDEX, p->output_index},
    };
    int r = 0;

    for (size_t i = 0; r == 0 && i < sizeof counts / sizeof counts[0]; i++) {
        r = coding_append_field_varint(to, counts[i].tag, counts[i].value);
    }
    return r;
}

/* What lets a lost manifest be rebuilt: how far logs are superfluous, and the keyspace's name. */
static int append_provenance(const struct table_properties *p, struct kv_buf *to)
{
    int r = append_unless_zero(to, PROPERTY_DELETE_RUN, p->longest_delete_run);
    if (r == 0) {
        r = append_unless_zero(to, PROPERTY_FLUSHED, p->flushed_sequence);
    }
    if (r == 0) {
        r = append_unless_zero(to, PROPERTY_RELEASED_LOG, p->released_log);
    }
    if (r == 0 && p->table_name.size > 0) {
        r = coding_append_field(to, PROPERTY_TABLE_NAME, kv_buf_slice(&p->table_name));
    }
    return r < 0 ? r : append_unless_zero(to, PROPERTY_BY_REPAIR, p->by_repair);
}

static int append_blobs(const struct table_properties *p, struct kv_buf *to)
{
    struct kv_buf list = {0};
    int r = 0;
    if (p->blobs.count > 0) {
        r = blob_uses_encode(&p->blobs, &list);
        r = r < 0 ? r : coding_append_field(to, PROPERTY_BLOBS, kv_buf_slice(&list));
    }
    kv_buf_finish(&list);
    return r;
}

int table_properties_encode(const struct table_properties *properties, struct kv_buf *to)
{
    const struct table_properties *p = properties;
    int r;

    to->size = 0;
    r = append_identity(p, to);
    if (r == 0) {
        r = append_counts(p, to);
    }
    if (r == 0) {
        r = append_unless_zero(to, PROPERTY_OUTPUT_COUNT, p->output_count);
    }
    if (r == 0 && p->inputs.size > 0) {
        r = coding_append_field(to, PROPERTY_INPUTS, kv_buf_slice(&p->inputs));
    }
    if (r == 0 && p->replaced.size > 0) {
        r = coding_append_field(to, PROPERTY_REPLACED, kv_buf_slice(&p->replaced));
    }
    if (r == 0) {
        r = append_handle(to, PROPERTY_FILTER, p->filter);
    }
    if (r == 0) {
        r = append_handle(to, PROPERTY_RANGE_DELETES, p->range_deletes);
    }
    if (r == 0) {
        r = append_unless_zero(to, PROPERTY_FILTER_FORMAT, p->filter_format);
    }
    if (r == 0) {
        r = append_unless_zero(to, PROPERTY_PREFIX_SIZE, p->prefix_size);
    }
    if (r == 0) {
        r = append_blobs(p, to);
    }
    return r == 0 ? append_provenance(p, to) : r;
}

/* ---- decoding ---- */

static uint32_t read_u32(struct coding_cursor *c, struct kv_slice value)
{
    uint64_t v = coding_field_varint(c, value);
    if (v > UINT32_MAX) {
        c->bad = true;
        return 0;
    }
    return (uint32_t)v;
}

static void read_store_id(struct coding_cursor *c, struct kv_slice value, uint8_t id[16])
{
    if (value.size != 16) {
        c->bad = true;
        return;
    }
    memcpy(id, value.data, 16);
}

static int read_bound(struct coding_cursor *c, struct kv_slice value, struct kv_buf *key,
                      uint64_t *trailer)
{
    if (value.size < sizeof *trailer) {
        c->bad = true;
        return 0;
    }
    *trailer = coding_get_u64(value.data + value.size - sizeof *trailer);
    return kv_buf_assign(key, kv_slice(value.data, value.size - sizeof *trailer));
}

static void read_handle(struct coding_cursor *c, struct kv_slice value, struct block_handle *handle)
{
    struct coding_cursor field = coding_cursor(value);
    handle->offset = coding_read_varint(&field);
    handle->size = (uint32_t)coding_read_varint_max(&field, UINT32_MAX);
    c->bad |= !coding_done(&field) || handle->size == 0;
}

/* Table numbers, one varint behind the other. */
static int read_inputs(struct coding_cursor *c, struct kv_slice value, struct kv_buf *inputs)
{
    struct coding_cursor field = coding_cursor(value);
    while (coding_ok(&field) && coding_left(&field) > 0) {
        coding_read_varint(&field);
    }
    c->bad |= !coding_ok(&field);
    return kv_buf_assign(inputs, value);
}

/* Fields that are one number of 64 bits. NULL: another kind of field. */
static uint64_t *number_of(struct table_properties *p, uint64_t tag)
{
    switch (tag) {
    case PROPERTY_NUMBER:
        return &p->number;
    case PROPERTY_SEQUENCE_MIN:
        return &p->sequence_min;
    case PROPERTY_SEQUENCE_MAX:
        return &p->sequence_max;
    case PROPERTY_ROWS:
        return &p->row_count;
    case PROPERTY_TOMBSTONES:
        return &p->tombstone_count;
    case PROPERTY_RANGE_DELETE_ROWS:
        return &p->range_delete_count;
    case PROPERTY_KEY_BYTES:
        return &p->key_bytes;
    case PROPERTY_VALUE_BYTES:
        return &p->value_bytes;
    case PROPERTY_DATA_BLOCKS:
        return &p->data_blocks;
    case PROPERTY_CREATED:
        return &p->created_s;
    case PROPERTY_JOB:
        return &p->job;
    case PROPERTY_DELETE_RUN:
        return &p->longest_delete_run;
    case PROPERTY_FLUSHED:
        return &p->flushed_sequence;
    case PROPERTY_RELEASED_LOG:
        return &p->released_log;
    default:
        return NULL;
    }
}

/* Fields that are one number of 32 bits. NULL: another kind of field. */
static uint32_t *small_number_of(struct table_properties *p, uint64_t tag)
{
    switch (tag) {
    case PROPERTY_TABLE_ID:
        return &p->table_id;
    case PROPERTY_LEVEL:
        return &p->level;
    case PROPERTY_OUTPUT_INDEX:
        return &p->output_index;
    case PROPERTY_OUTPUT_COUNT:
        return &p->output_count;
    case PROPERTY_FILTER_FORMAT:
        return &p->filter_format;
    case PROPERTY_PREFIX_SIZE:
        return &p->prefix_size;
    case PROPERTY_BY_REPAIR:
        return &p->by_repair;
    default:
        return NULL;
    }
}

/* What is said twice was refused before, so the list is empty. */
static int read_blobs(struct coding_cursor *c, struct kv_slice value, struct blob_uses *blobs)
{
    int r = blob_uses_decode(value, blobs);
    c->bad |= r == -KV_EDAMAGED || (r == 0 && blobs->count == 0);
    return r == -KV_EDAMAGED ? 0 : r;
}

static int read_property(struct coding_cursor *c, struct table_properties *p, uint64_t tag,
                         struct kv_slice value)
{
    uint64_t *number = number_of(p, tag);
    uint32_t *small_number = small_number_of(p, tag);

    if (number != NULL) {
        *number = coding_field_varint(c, value);
        return 0;
    }
    if (small_number != NULL) {
        *small_number = read_u32(c, value);
        return 0;
    }
    switch (tag) {
    case PROPERTY_STORE_ID:
        read_store_id(c, value, p->store_id);
        return 0;
    case PROPERTY_SMALLEST:
        return read_bound(c, value, &p->smallest_key, &p->smallest_trailer);
    case PROPERTY_LARGEST:
        return read_bound(c, value, &p->largest_key, &p->largest_trailer);
    case PROPERTY_INPUTS:
        return read_inputs(c, value, &p->inputs);
    case PROPERTY_REPLACED:
        return read_inputs(c, value, &p->replaced);
    case PROPERTY_BLOBS:
        return read_blobs(c, value, &p->blobs);
    case PROPERTY_TABLE_NAME:
        return kv_buf_assign(&p->table_name, value);
    case PROPERTY_FILTER:
        read_handle(c, value, &p->filter);
        return 0;
    case PROPERTY_RANGE_DELETES:
        read_handle(c, value, &p->range_deletes);
        return 0;
    default:
        return (tag & 1) != 0 ? -KV_EFORMAT : 0;
    }
}

static bool properties_are_sound(const struct table_properties *p, uint64_t seen)
{
    return (seen & PROPERTIES_REQUIRED) == PROPERTIES_REQUIRED &&
           (p->row_count > 0 || p->range_delete_count > 0) &&
           (p->range_deletes.size > 0) == (p->range_delete_count > 0) &&
           p->sequence_min <= p->sequence_max && p->sequence_max <= ROW_SEQUENCE_MAX &&
           row_compare(kv_buf_slice(&p->smallest_key), p->smallest_trailer,
                       kv_buf_slice(&p->largest_key), p->largest_trailer) <= 0;
}

int table_properties_decode(struct kv_slice from, struct table_properties *ret_properties)
{
    struct table_properties p = {0};
    struct coding_cursor c = coding_cursor(from);
    struct kv_slice value;
    uint64_t tag, seen = 0;
    int r = 0;

    while (r == 0 && coding_read_field(&c, &tag, &value)) {
        if (tag <= PROPERTY_TAG_MAX) {
            c.bad |= (seen & PROPERTY_BIT(tag)) != 0; /* nothing is said twice */
            seen |= PROPERTY_BIT(tag);
        }
        r = coding_ok(&c) ? read_property(&c, &p, tag, value) : 0;
    }
    if (r == 0 && (!coding_done(&c) || !properties_are_sound(&p, seen))) {
        r = -KV_EDAMAGED;
    }
    if (r == 0 && p.filter.size > 0 && p.filter_format != FILTER_BLOCKED_BLOOM) {
        r = -KV_EFORMAT;
    }
    if (r < 0) {
        table_properties_finish(&p);
        return r;
    }
    *ret_properties = p;
    return 0;
}

void table_properties_finish(struct table_properties *properties)
{
    kv_buf_finish(&properties->smallest_key);
    kv_buf_finish(&properties->largest_key);
    kv_buf_finish(&properties->inputs);
    kv_buf_finish(&properties->replaced);
    kv_buf_finish(&properties->table_name);
    kv_buf_finish(&properties->range_list);
    blob_uses_finish(&properties->blobs);
    *properties = (struct table_properties){0};
}
