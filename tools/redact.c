/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/redact.h"

#include <string.h>

static const char opening[] = "row '";
static const char closing[] = "': ";
static const char instead[] = "(left out)";

/* Where the last `closing` of the line begins, at or behind `from`; the end if there is none: a
 * message that was cut short. A key may hold quotes of its own. */
static size_t find_closing(struct kv_slice line, size_t from)
{
    size_t size = sizeof closing - 1;
    for (size_t at = line.size; at >= from + size; at--) {
        if (memcmp(line.data + at - size, closing, size) == 0) {
            return at - size;
        }
    }
    return line.size;
}

static int redact_line(struct kv_buf *to, struct kv_slice line)
{
    const uint8_t *found = memmem(line.data, line.size, opening, sizeof opening - 1);
    if (found == NULL) {
        return kv_buf_append(to, line);
    }
    size_t key = (size_t)(found - line.data) + sizeof opening - 1;
    size_t end = find_closing(line, key);
    int r = kv_buf_append(to, kv_slice(line.data, key));
    r = r < 0 ? r : kv_buf_append(to, kv_slice_str(instead));
    return r < 0 ? r : kv_buf_append(to, kv_slice(line.data + end, line.size - end));
}

int redact_rows(struct kv_buf *to, struct kv_slice text)
{
    int r = 0;
    while (r == 0 && text.size > 0) {
        const uint8_t *newline = memchr(text.data, '\n', text.size);
        size_t size = newline != NULL ? (size_t)(newline - text.data) : text.size;
        r = redact_line(to, kv_slice(text.data, size));
        if (r == 0 && newline != NULL) {
            r = kv_buf_append(to, kv_slice(newline, 1));
            size++;
        }
        text = kv_slice(text.data + size, text.size - size);
    }
    return r;
}
