/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/storage/pooled_entry.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "kvcore/storage/posix_names.h"
#include "kvcore/util/coding.h"

_Static_assert((int)POOLED_FILE_NAME_SIZE >= (int)POSIX_NAME_SIZE, "names are the same");

void pooled_file_name(struct kv_file_id id, char to[POOLED_FILE_NAME_SIZE])
{
    if (pooled_is_reserve(id)) {
        memcpy(to, POSIX_RESERVE_NAME, sizeof POSIX_RESERVE_NAME);
    } else {
        posix_name_format(id, to);
    }
}

bool pooled_file_name_parse(const char *name, struct kv_file_id *ret_id)
{
    if (strcmp(name, POSIX_RESERVE_NAME) == 0) {
        *ret_id = (struct kv_file_id)POOLED_RESERVE_ID;
        return true;
    }
    return posix_name_parse(name, ret_id) == POSIX_NAME_FILE;
}

void pooled_piece_name(struct kv_file_id id, uint64_t epoch, uint64_t piece,
                       char to[POOLED_NAME_SIZE])
{
    char file[POOLED_FILE_NAME_SIZE];
    int n;

    pooled_file_name(id, file);
    n = snprintf(to, POOLED_NAME_SIZE, "%s.%" PRIx64 ".%" PRIu64, file, epoch, piece);
    assert(n > 0 && n < POOLED_NAME_SIZE);
}

static const char digits[] = "0123456789abcdef";

struct pooled_count pooled_count_encode(uint64_t value)
{
    struct pooled_count count;
    for (size_t i = POOLED_COUNT_SIZE; i-- > 0; value >>= 4) {
        count.text[i] = digits[value & 15];
    }
    return count;
}

int pooled_count_decode(struct kv_slice bytes, uint64_t *ret_value)
{
    uint64_t value = 0;

    if (bytes.size != POOLED_COUNT_SIZE) {
        return -KV_EDAMAGED;
    }
    for (size_t i = 0; i < POOLED_COUNT_SIZE; i++) {
        const char *digit = bytes.data[i] != 0 ? strchr(digits, bytes.data[i]) : NULL;
        if (digit == NULL) {
            return -KV_EDAMAGED;
        }
        value = value << 4 | (uint64_t)(digit - digits);
    }
    *ret_value = value;
    return 0;
}

static bool is_entry_valid(const struct pooled_entry *entry)
{
    uint64_t piece = entry->piece_bytes;

    return entry->epoch > 0 && piece >= POOLED_PIECE_MIN && piece <= POOLED_PIECE_MAX &&
           (piece & (piece - 1)) == 0 && entry->pieces <= POOLED_PIECES_MAX &&
           (entry->state == POOLED_FINISHED ? entry->size <= entry->pieces * piece
                                            : entry->size == 0);
}

int pooled_entry_encode(const struct pooled_entry *entry, struct kv_buf *to)
{
    assert(is_entry_valid(entry));
    int r = coding_append_u8(to, (uint8_t)entry->state);
    r = r < 0 ? r : coding_append_varint(to, entry->epoch);
    r = r < 0 ? r : coding_append_varint(to, entry->piece_bytes);
    r = r < 0 ? r : coding_append_varint(to, entry->pieces);
    return r < 0 ? r : coding_append_varint(to, entry->size);
}

/* Fields that later versions may add: an odd tag must be understood. */
static int skip_fields(struct coding_cursor *c)
{
    uint64_t tag = 0;
    struct kv_slice value = {0};

    while (coding_read_field(c, &tag, &value)) {
        if (tag % 2 == 1) {
            return -KV_EFORMAT;
        }
    }
    return coding_done(c) ? 0 : -KV_EDAMAGED;
}

int pooled_entry_decode(struct kv_slice bytes, struct pooled_entry *ret_entry)
{
    struct coding_cursor c = coding_cursor(bytes);
    struct pooled_entry entry = {0};
    uint8_t state = coding_read_u8(&c);

    if (coding_ok(&c) && state > POOLED_REMOVED) {
        return -KV_EFORMAT;
    }
    entry.state = (enum pooled_state)state;
    entry.epoch = coding_read_varint(&c);
    entry.piece_bytes = coding_read_varint(&c);
    entry.pieces = coding_read_varint(&c);
    entry.size = coding_read_varint(&c);
    if (!coding_ok(&c) || state == 0 || !is_entry_valid(&entry)) {
        return -KV_EDAMAGED;
    }
    int r = skip_fields(&c);
    if (r == 0) {
        *ret_entry = entry;
    }
    return r;
}

static struct kv_slice cut(struct kv_slice s, size_t max)
{
    return kv_slice(s.data, s.size < max ? s.size : max);
}

int pooled_holder_encode(struct pooled_holder holder, struct kv_buf *to)
{
    uint8_t line[POOLED_LINE_MAX];
    struct kv_slice text = cut(holder.line, POOLED_LINE_MAX);

    for (size_t i = 0; i < text.size; i++) {
        line[i] = text.data[i] < ' ' ? ' ' : text.data[i]; /* one line it must stay */
    }
    int r = coding_append_string(to, cut(holder.address, POOLED_ADDRESS_MAX));
    return r < 0 ? r : coding_append_string(to, kv_slice(line, text.size));
}

int pooled_holder_decode(struct kv_slice bytes, struct pooled_holder *ret_holder)
{
    struct coding_cursor c = coding_cursor(bytes);
    struct pooled_holder holder;

    holder.address = coding_read_string(&c);
    holder.line = coding_read_string(&c);
    if (!coding_ok(&c) || holder.address.size > POOLED_ADDRESS_MAX ||
        holder.line.size > POOLED_LINE_MAX) {
        return -KV_EDAMAGED;
    }
    int r = skip_fields(&c);
    if (r == 0) {
        *ret_holder = holder;
    }
    return r;
}
