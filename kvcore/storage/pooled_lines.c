/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/storage/pooled_lines.h"

#include <assert.h>

#include "kvcore/util/coding.h"

static bool is_line_valid(const struct pooled_line *line)
{
    return line->id != 0 && line->mark <= INT64_MAX;
}

size_t pooled_lines_encode(const struct pooled_lines *lines, uint8_t to[POOLED_LINES_SIZE_MAX])
{
    uint8_t *at = to;

    assert(lines->count <= POOLED_LINES_MAX);
    *at++ = POOLED_LINES_LAYOUT;
    for (size_t i = 0; i < lines->count; i++, at += POOLED_LINE_SIZE) {
        assert(is_line_valid(&lines->lines[i]));
        coding_put_u64(at, lines->lines[i].id);
        coding_put_u64(at + 8, lines->lines[i].mark);
        coding_put_u32(at + 16, lines->lines[i].beat);
    }
    return (size_t)(at - to);
}

int pooled_lines_decode(struct kv_slice bytes, struct pooled_lines *ret_lines)
{
    struct coding_cursor c = coding_cursor(bytes);
    struct pooled_lines lines = {0};

    if (bytes.size > 0 && coding_read_u8(&c) != POOLED_LINES_LAYOUT) {
        return bytes.data[0] == 0 ? -KV_EDAMAGED : -KV_EFORMAT;
    }
    while (coding_left(&c) > 0) {
        struct pooled_line line = {.id = coding_read_u64(&c)};
        line.mark = coding_read_u64(&c);
        line.beat = coding_read_u32(&c);
        if (!coding_ok(&c) || lines.count == POOLED_LINES_MAX || !is_line_valid(&line) ||
            pooled_lines_find(&lines, line.id) != NULL) {
            return -KV_EDAMAGED;
        }
        lines.lines[lines.count++] = line;
    }
    *ret_lines = lines;
    return 0;
}

struct pooled_line *pooled_lines_find(struct pooled_lines *lines, uint64_t id)
{
    for (size_t i = 0; i < lines->count; i++) {
        if (lines->lines[i].id == id) {
            return &lines->lines[i];
        }
    }
    return NULL;
}
