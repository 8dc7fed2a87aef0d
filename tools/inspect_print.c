/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/inspect_print.h"

#include <inttypes.h>
#include <stdio.h>

#include "tools/text_json.h"

enum { NAME_WIDTH = 20 };

static enum text_format format_of(const struct inspect_print *print, enum kv_inspect_form form)
{
    return form == KV_INSPECT_KEY     ? print->key_format
           : form == KV_INSPECT_VALUE ? print->value_format
                                      : TEXT_UTF8;
}

/* ---- for people ---- */

static int append_fact(struct inspect_print *print, const struct kv_inspect_fact *fact)
{
    char text[40];

    switch (fact->form) {
    case KV_INSPECT_NUMBER:
        snprintf(text, sizeof text, "%" PRIu64, fact->number);
        return kv_buf_append(&print->line, kv_slice_str(text));
    case KV_INSPECT_ID:
        text_uuid(fact->bytes.data, text);
        return kv_buf_append(&print->line, kv_slice_str(text));
    default:
        return text_append(&print->line, fact->bytes, format_of(print, fact->form));
    }
}

static bool is_left_out(const struct inspect_print *print, const struct kv_inspect_fact *fact)
{
    return format_of(print, fact->form) == TEXT_NONE;
}

/* A line for each fact. */
static int append_file(struct inspect_print *print, const struct kv_inspect_item *item)
{
    char name[64];
    int r = kv_buf_append(&print->line, kv_slice_str(item->type));

    for (size_t i = 0; i < item->fact_count && r == 0; i++) {
        const struct kv_inspect_fact *fact = &item->facts[i];
        if (!is_left_out(print, fact)) {
            snprintf(name, sizeof name, "\n  %-*s ", NAME_WIDTH, fact->name);
            r = kv_buf_append(&print->line, kv_slice_str(name));
            r = r < 0 ? r : append_fact(print, fact);
        }
    }
    return r;
}

/* All in one line, with tabs, which no fact contains. */
static int append_line(struct inspect_print *print, const struct kv_inspect_item *item)
{
    char name[64];
    int r = kv_buf_append(&print->line, kv_slice_str(item->type));

    for (size_t i = 0; i < item->fact_count && r == 0; i++) {
        const struct kv_inspect_fact *fact = &item->facts[i];
        if (!is_left_out(print, fact)) {
            snprintf(name, sizeof name, "\t%s=", fact->name);
            r = kv_buf_append(&print->line, kv_slice_str(name));
            r = r < 0 ? r : append_fact(print, fact);
        }
    }
    return r;
}

static int append_damage(struct inspect_print *print, const struct kv_inspect_item *item)
{
    int r = kv_buf_append(&print->line, kv_slice_str("damaged"));

    for (size_t i = 0; i < item->fact_count && r == 0; i++) {
        bool is_offset = item->facts[i].form == KV_INSPECT_NUMBER;
        r = kv_buf_append(&print->line, kv_slice_str(is_offset ? " at " : ": "));
        r = r < 0 ? r : append_fact(print, &item->facts[i]);
    }
    return r;
}

static int print_text(struct inspect_print *print, const struct kv_inspect_item *item)
{
    int r;

    print->line.size = 0;
    r = item->level == KV_INSPECT_FILE     ? append_file(print, item)
        : item->level == KV_INSPECT_DAMAGE ? append_damage(print, item)
                                           : append_line(print, item);
    r = r < 0 ? r : kv_buf_append(&print->line, kv_slice("\n", 1));
    if (r == 0 && fwrite(print->line.data, 1, print->line.size, stdout) != print->line.size) {
        r = -EPIPE;
    }
    return r;
}

/* ---- for programs ---- */

static int set_fact(const struct inspect_print *print, json_t *object,
                    const struct kv_inspect_fact *fact)
{
    char id[37];

    switch (fact->form) {
    case KV_INSPECT_NUMBER:
        return json_object_set_new(object, fact->name, json_integer((json_int_t)fact->number));
    case KV_INSPECT_ID:
        text_uuid(fact->bytes.data, id);
        return json_object_set_new(object, fact->name, json_string(id));
    default:
        return text_json_set(object, fact->name, fact->bytes, format_of(print, fact->form));
    }
}

static const char *level_name(enum kv_inspect_level level)
{
    static const char *const names[] = {"", "file", "summary", "part", "row", "damage"};
    return names[level];
}

static int dump(json_t *object)
{
    int r = json_dumpf(object, stdout, JSON_COMPACT) == 0 && putchar('\n') != EOF ? 0 : -EPIPE;
    json_decref(object);
    return r;
}

static int print_json(const struct inspect_print *print, const struct kv_inspect_item *item)
{
    json_t *object = json_pack("{s:i, s:s, s:s}", "format_version", 1, "item",
                               level_name(item->level), "type", item->type);
    int r = object != NULL ? 0 : -1;

    for (size_t i = 0; i < item->fact_count && r == 0; i++) {
        r = set_fact(print, object, &item->facts[i]);
    }
    if (r != 0) {
        json_decref(object);
        return -ENOMEM;
    }
    return dump(object);
}

/* ---- both ---- */

int inspect_print_item(void *arg, const struct kv_inspect_item *item)
{
    struct inspect_print *print = arg;
    print->damages += item->level == KV_INSPECT_DAMAGE;
    print->error = print->json ? print_json(print, item) : print_text(print, item);
    return print->error;
}

void inspect_print_end(struct inspect_print *print, bool sound)
{
    if (!print->json) {
        printf("%s: %s\n", print->file, sound ? "sound" : "damaged");
        return;
    }
    json_t *end = json_pack("{s:i, s:s, s:s, s:b, s:I}", "format_version", 1, "item", "end", "file",
                            print->file, "sound", sound, "damages", (json_int_t)print->damages);
    print->error = end != NULL ? dump(end) : -ENOMEM;
}

void inspect_print_finish(struct inspect_print *print)
{
    kv_buf_finish(&print->line);
}
