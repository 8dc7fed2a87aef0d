/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/batch_text.h"

#include "tools/text.h"

struct word {
    const char *text;
    enum control_change_kind kind;
    bool has_value;
};

void batch_text_finish(struct batch_text *text)
{
    kv_buf_finish(&text->key);
    kv_buf_finish(&text->value);
}

static int refuse(struct batch_text *text, const char *fault)
{
    text->fault = fault;
    return -EINVAL;
}

/* What the line does; the word is taken off it. NULL: another word. */
static const struct word *take_word(struct kv_slice *line)
{
    static const struct word words[] = {
        {"put", CONTROL_CHANGE_PUT, true},
        {"del", CONTROL_CHANGE_DELETE, false},
        {"if-absent", CONTROL_CHANGE_IF_ABSENT, false},
        {"if-equal", CONTROL_CHANGE_IF_EQUAL, true},
    };
    size_t size = 0;
    while (size < line->size && line->data[size] != ' ' && line->data[size] != '\t') {
        size++;
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (kv_slice_equal(kv_slice(line->data, size), kv_slice_str(words[i].text))) {
            *line = kv_slice_behind(*line, size);
            return &words[i];
        }
    }
    return NULL;
}

static int unescape(struct batch_text *text, struct kv_slice from, struct kv_buf *to)
{
    to->size = 0;
    int r = text_unescape(from, to);
    return r == -EINVAL ? refuse(text, "an escape that C does not know, or no byte; a backslash "
                                       "itself is written \\\\")
                        : r;
}

/* The key and the value, which stand behind the word. */
static int read_words(struct batch_text *text, struct kv_slice rest, bool has_value)
{
    if (rest.size < 2) {
        return refuse(text, "the key is missing");
    }
    uint8_t separator = rest.data[0];
    struct kv_slice key = kv_slice_behind(rest, 1);
    const uint8_t *end = has_value ? memchr(key.data, separator, key.size) : NULL;
    if (has_value && end == NULL) {
        return refuse(text, "the value is missing; an empty one needs the space or tab before it");
    }
    text->value.size = 0;
    if (has_value) {
        key.size = (size_t)(end - key.data);
        int r = unescape(text, kv_slice_behind(rest, 1 + key.size + 1), &text->value);
        if (r < 0) {
            return r;
        }
    }
    return unescape(text, key, &text->key);
}

int batch_text_line(struct batch_text *text, struct kv_slice line, struct kv_buf *changes)
{
    if (line.size > 0 && line.data[line.size - 1] == '\n') {
        line.size--;
    }
    if (line.size == 0 || line.data[0] == '#') {
        return 0;
    }
    const struct word *word = take_word(&line);
    if (word == NULL) {
        return refuse(text, "it begins with none of put, del, if-absent, if-equal");
    }
    bool is_change = word->kind == CONTROL_CHANGE_PUT || word->kind == CONTROL_CHANGE_DELETE;
    if (!is_change && text->has_changes) {
        return refuse(text, "a condition behind a change: all conditions come first");
    }
    text->has_changes = is_change;
    int r = read_words(text, line, word->has_value);
    if (r < 0) {
        return r;
    }
    struct control_change change = {
        .kind = word->kind, .key = kv_buf_slice(&text->key), .value = kv_buf_slice(&text->value)};
    return control_change_append(&change, changes);
}
