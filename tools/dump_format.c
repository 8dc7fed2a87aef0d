/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/dump_format.h"

#include <kv/kv.h>

#include "tools/text.h"

enum { HEADER_LINE_MAX = 4096 };

static const char *const format_names[] = {[DUMP_PRINT] = "print", [DUMP_BYTEVALUE] = "bytevalue"};

int dump_format_parse(const char *name, enum dump_format *ret_format)
{
    for (int format = DUMP_PRINT; format <= DUMP_BYTEVALUE; format++) {
        if (strcmp(name, format_names[format]) == 0) {
            *ret_format = (enum dump_format)format;
            return 0;
        }
    }
    return -EINVAL;
}

/* ---- writing --------------------------------------------------------------------------------- */

void dump_write_header(FILE *to, enum dump_format format)
{
    fprintf(to, "VERSION=3\nformat=%s\ntype=btree\nHEADER=END\n", format_names[format]);
}

void dump_write_end(FILE *to)
{
    fputs("DATA=END\n", to);
}

static bool prints(uint8_t c)
{
    return c >= 0x20 && c < 0x7f;
}

static int append_printed(struct kv_buf *to, struct kv_slice bytes)
{
    int r = 0;
    while (bytes.size > 0 && r == 0) {
        size_t plain = 0;
        while (plain < bytes.size && prints(bytes.data[plain]) && bytes.data[plain] != '\\') {
            plain++;
        }
        r = kv_buf_append(to, kv_slice(bytes.data, plain));
        bytes = kv_slice_behind(bytes, plain);
        if (r == 0 && bytes.size > 0) {
            bool is_backslash = bytes.data[0] == '\\';
            r = kv_buf_append(to, kv_slice_str(is_backslash ? "\\\\" : "\\"));
            if (r == 0 && !is_backslash) {
                r = text_append(to, kv_slice(bytes.data, 1), TEXT_HEX);
            }
            bytes = kv_slice_behind(bytes, 1);
        }
    }
    return r;
}

int dump_append_line(struct kv_buf *to, struct kv_slice bytes, enum dump_format format)
{
    int r = kv_buf_append(to, kv_slice_str(" "));
    if (r == 0) {
        r = format == DUMP_PRINT ? append_printed(to, bytes) : text_append(to, bytes, TEXT_HEX);
    }
    return r < 0 ? r : kv_buf_append(to, kv_slice_str("\n"));
}

/* ---- reading --------------------------------------------------------------------------------- */

static int fail(struct dump_reader *reader, const char *fault)
{
    if (ferror(reader->from)) {
        return -EIO;
    }
    reader->fault = fault;
    return -EINVAL;
}

/* The byte whose first digit is `first`. Returns it, or a negative errno. */
static int read_hex(struct dump_reader *reader, int first)
{
    int high = text_hex_digit(first);
    int low = high >= 0 ? text_hex_digit(getc_unlocked(reader->from)) : -1;
    return low >= 0 ? high * 16 + low : fail(reader, "two hexadecimal digits are missing");
}

/* The next byte of a line, whose first character is `c`. */
static int read_byte(struct dump_reader *reader, int c)
{
    if (reader->format == DUMP_BYTEVALUE) {
        return read_hex(reader, c);
    }
    if (c != '\\') {
        return c;
    }
    c = getc_unlocked(reader->from);
    return c == '\\' ? c : read_hex(reader, c);
}

/* What stands behind the space of a line, up to its end. */
static int read_item(struct dump_reader *reader, size_t max, struct kv_buf *to)
{
    uint8_t part[256];
    size_t count = 0;
    int c = getc_unlocked(reader->from);
    int r = 0;
    to->size = 0;
    while (c != '\n' && r == 0) {
        if (c == EOF) {
            return fail(reader, "it ends in the middle");
        }
        int byte = read_byte(reader, c);
        if (byte < 0) {
            return byte;
        }
        part[count++] = (uint8_t)byte;
        if (count == sizeof part) {
            r = to->size + count > max ? -E2BIG : kv_buf_append(to, kv_slice(part, count));
            count = 0;
        }
        c = getc_unlocked(reader->from);
    }
    if (r == 0) {
        r = to->size + count > max ? -E2BIG : kv_buf_append(to, kv_slice(part, count));
    }
    return r;
}

/* A line of NAME=VALUE, without its end. Returns 1, or 0 at the end of the file. */
static int read_header_line(struct dump_reader *reader, char line[HEADER_LINE_MAX])
{
    reader->line++;
    if (fgets(line, HEADER_LINE_MAX, reader->from) == NULL) {
        return ferror(reader->from) ? -EIO : 0;
    }
    size_t size = strcspn(line, "\n");
    if (line[size] != '\n') {
        return fail(reader, "this is no header of db_dump");
    }
    line[size] = '\0';
    return 1;
}

static int take_header_line(struct dump_reader *reader, const char *line)
{
    const char *equals = strchr(line, '=');
    size_t name = equals != NULL ? (size_t)(equals - line) : 0;
    if (equals == NULL) {
        return fail(reader, "this is no header of db_dump");
    }
    if (strncmp(line, "format=", name + 1) == 0 &&
        dump_format_parse(equals + 1, &reader->format) < 0) {
        return fail(reader, "the format is neither print nor bytevalue");
    }
    if (strcmp(line, "keys=0") == 0 || strcmp(line, "type=recno") == 0 ||
        strcmp(line, "type=queue") == 0) {
        return fail(reader, "the database has numbers for keys");
    }
    return 0;
}

/* Returns 1 if there is one, 0 at the end of the file. */
static int read_header(struct dump_reader *reader)
{
    char line[HEADER_LINE_MAX];
    int r = read_header_line(reader, line);
    if (r <= 0) {
        return r;
    }
    if (strcmp(line, "VERSION=3") != 0) {
        return fail(reader, "it does not begin with VERSION=3");
    }
    for (r = read_header_line(reader, line); r > 0; r = read_header_line(reader, line)) {
        if (strcmp(line, "HEADER=END") == 0) {
            return reader->format != 0 ? 1 : fail(reader, "the header names no format");
        }
        r = take_header_line(reader, line);
        if (r < 0) {
            return r;
        }
    }
    return r < 0 ? r : fail(reader, "it ends in the header");
}

/* Returns 1 at a line of data, whose space is taken, and 0 behind DATA=END. */
static int begin_line(struct dump_reader *reader)
{
    static const char end[] = "DATA=END";
    char line[sizeof end + 1];
    reader->line++;
    int c = getc_unlocked(reader->from);
    if (c == ' ') {
        return 1;
    }
    if (c == EOF || ungetc(c, reader->from) == EOF) {
        return fail(reader, "it ends without DATA=END and may be cut short");
    }
    if (fgets(line, sizeof line, reader->from) == NULL || strncmp(line, end, sizeof end - 1) != 0) {
        return fail(reader, "a line begins with no space");
    }
    reader->format = 0;
    return 0;
}

int dump_read(struct dump_reader *reader, struct kv_buf *key, struct kv_buf *value)
{
    int r = 0;
    while (r == 0) {
        r = reader->format == 0 ? read_header(reader) : 1;
        if (r <= 0) {
            return reader->line == 1 && r == 0 ? fail(reader, "it is empty") : r;
        }
        r = begin_line(reader);
    }
    if (r < 0) {
        return r;
    }
    r = read_item(reader, KV_KEY_SIZE_MAX, key);
    if (r < 0) {
        return r;
    }
    r = begin_line(reader);
    if (r <= 0) {
        return r < 0 ? r : fail(reader, "a key has no value");
    }
    r = read_item(reader, KV_VALUE_SIZE_MAX, value);
    return r < 0 ? r : 1;
}
