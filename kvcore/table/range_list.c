/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/table/range_list.h"

enum { RANGES_MAX = 32 }; /* that cover what is not repeated exactly */

/* On disk. */
enum { LIST_IS_EXACT = 1, LIST_ROWS_SHOWN = 2, LIST_FLAGS = 3 };

/* Shared beginnings are written once, and a number takes a byte: a list must not become much
 * memory. */
static const size_t key_bytes_max = (size_t)1 << 20;
static const size_t list_bytes_max = (size_t)64 << 10;

/* ---- writing: a failed append (out of memory) is looked at once, at the end ---- */

static size_t shared_size(struct kv_slice a, struct kv_slice b)
{
    size_t most = a.size < b.size ? a.size : b.size;
    size_t size = 0;
    while (size < most && a.data[size] == b.data[size]) {
        size++;
    }
    return size;
}

static int append_key(struct kv_buf *to, struct kv_slice before, struct kv_slice key)
{
    size_t shared = shared_size(before, key);
    int r = coding_append_varint(to, shared);
    r |= coding_append_string(to, kv_slice_behind(key, shared));
    return r;
}

static int append_sequences(struct kv_buf *to, const uint64_t *sequences, size_t count)
{
    int r = coding_append_varint(to, count);
    r |= coding_append_varint(to, sequences[0]);
    for (size_t i = 1; i < count; i++) {
        r |= coding_append_varint(to, sequences[i - 1] - sequences[i]);
    }
    return r;
}

static bool is_too_large(const struct kv_buf *to, size_t key_bytes)
{
    return to->size > RANGE_LIST_BYTES_MAX || key_bytes > key_bytes_max;
}

/* `ranges` of them: as many as there are fragments means all of them, exactly. */
static int encode_as(const struct range_dels *dels, size_t ranges, bool rows_shown,
                     struct kv_buf *to)
{
    bool exact = ranges == dels->count;
    struct kv_slice before = {0};
    size_t key_bytes = 0;
    int r;

    to->size = 0;
    r = coding_append_varint(to, (exact ? (uint64_t)LIST_IS_EXACT : 0) |
                                     (rows_shown ? (uint64_t)LIST_ROWS_SHOWN : 0));
    for (size_t i = 0; i < ranges && r == 0 && !is_too_large(to, key_bytes); i++) {
        size_t first = i * dels->count / ranges, end = (i + 1) * dels->count / ranges;
        const struct range_fragment *from = &dels->fragments[first];
        struct kv_slice last = dels->fragments[end - 1].to;
        uint64_t newest = 0;
        for (size_t n = first; n < end; n++) {
            uint64_t sequence = dels->fragments[n].sequences[0];
            newest = sequence > newest ? sequence : newest;
        }
        r |= append_key(to, before, from->from);
        r |= append_key(to, from->from, last);
        r |= exact ? append_sequences(to, from->sequences, from->count)
                   : append_sequences(to, &newest, 1);
        key_bytes += from->from.size + last.size;
        before = last;
    }
    if (is_too_large(to, key_bytes)) {
        to->size = 0;
    }
    return r != 0 ? -ENOMEM : 0;
}

int range_list_encode(const struct range_dels *dels, bool rows_shown, struct kv_buf *to)
{
    size_t ranges = dels->count < RANGES_MAX ? dels->count : 2 * (size_t)RANGES_MAX;
    int r = encode_as(dels, dels->count, rows_shown, to);

    while (r == 0 && to->size == 0 && ranges > 1) {
        ranges /= 2;
        r = encode_as(dels, ranges, rows_shown, to);
    }
    return r;
}

/* ---- reading ---- */

/* A walk that only counts, before one that takes. */
struct taking {
    struct coding_cursor cursor;
    struct range_dels *dels; /* NULL: count */
    uint8_t *at;             /* room for keys */
    size_t key_bytes, count;
    struct kv_slice before;
};

static struct kv_slice read_key(struct taking *t)
{
    size_t shared = (size_t)coding_read_varint_max(&t->cursor, t->before.size);
    struct kv_slice rest = coding_read_string(&t->cursor);
    struct kv_slice key = {.size = shared + rest.size};

    t->key_bytes += key.size;
    t->cursor.bad |= t->key_bytes > key_bytes_max;
    if (t->dels != NULL && coding_ok(&t->cursor)) {
        if (shared > 0) {
            memcpy(t->at, t->before.data, shared);
        }
        memcpy(t->at + shared, rest.data, rest.size);
        key.data = t->at;
        t->at += key.size;
    }
    t->before = key;
    return key;
}

static void read_range(struct taking *t)
{
    struct range_delete one = {.from = read_key(t)};
    uint64_t count;

    one.to = read_key(t);
    count = coding_read_varint(&t->cursor);
    one.sequence = coding_read_varint_max(&t->cursor, ROW_SEQUENCE_MAX);
    t->cursor.bad |= count == 0;
    for (uint64_t i = 0; i < count && coding_ok(&t->cursor); i++) {
        uint64_t less = i > 0 ? coding_read_varint(&t->cursor) : 0;
        t->cursor.bad |= (i > 0 && less == 0) || less >= one.sequence;
        one.sequence -= less;
        t->count++;
        if (t->dels != NULL && coding_ok(&t->cursor)) {
            t->cursor.bad |= !range_dels_push(t->dels, &one);
        }
    }
}

static bool walk(struct taking *t, struct kv_slice from, uint64_t *ret_flags)
{
    t->cursor = coding_cursor(from);
    *ret_flags = coding_read_varint(&t->cursor);
    while (coding_ok(&t->cursor) && coding_left(&t->cursor) > 0) {
        read_range(t);
    }
    return coding_done(&t->cursor) && t->count > 0;
}

int range_list_decode(struct kv_slice from, struct range_list *ret_list)
{
    struct taking counted = {0}, taken = {0};
    struct range_dels *dels = NULL;
    uint64_t flags = 0;
    int r;

    if (from.size > 0 && from.data[0] > LIST_FLAGS) {
        return -KV_EFORMAT;
    }
    if (from.size > list_bytes_max || !walk(&counted, from, &flags)) {
        return -KV_EDAMAGED;
    }
    r = range_dels_create(counted.count, counted.key_bytes, &dels);
    if (r < 0) {
        return r;
    }
    taken = (struct taking){.dels = dels, .at = dels->bytes};
    if (!walk(&taken, from, &flags)) {
        range_dels_destroy(dels);
        return -KV_EDAMAGED;
    }
    *ret_list = (struct range_list){.dels = dels,
                                    .is_exact = (flags & LIST_IS_EXACT) != 0,
                                    .rows_shown = (flags & LIST_ROWS_SHOWN) != 0};
    return 0;
}

void range_list_finish(struct range_list *list)
{
    range_dels_destroy(list->dels);
    *list = (struct range_list){0};
}
