/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/text.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

int text_format_parse(const char *name, enum text_format *ret_format)
{
    static const struct {
        const char *name;
        enum text_format format;
    } formats[] = {
        {"auto", TEXT_AUTO},  {"hex", TEXT_HEX},   {"utf8", TEXT_UTF8},
        {"len", TEXT_LENGTH}, {"none", TEXT_NONE},
    };
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        if (strcmp(name, formats[i].name) == 0) {
            *ret_format = formats[i].format;
            return 0;
        }
    }
    return -EINVAL;
}

/* Size of the well-formed UTF-8 character at the start of `s`, 0 if there is none. The second byte
 * decides about overlong forms, surrogates and numbers above U+10FFFF. */
static size_t character_size(struct kv_slice s)
{
    uint8_t lead = s.data[0];
    uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    size_t size = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (size == 0 || lead > 0xf4 || size > s.size) {
        return 0;
    }
    if (size > 1 && (s.data[1] < low || s.data[1] > high)) {
        return 0;
    }
    for (size_t i = 2; i < size; i++) {
        if ((s.data[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return size;
}

bool text_is_utf8(struct kv_slice bytes)
{
    while (bytes.size > 0) {
        size_t size = character_size(bytes);
        if (size == 0) {
            return false;
        }
        bytes = kv_slice(bytes.data + size, bytes.size - size);
    }
    return true;
}

/* A control character: C0, DEL, or C1, which terminals obey in their two-byte form. */
static bool is_control(struct kv_slice character)
{
    uint8_t c = character.data[0];
    return c < 0x20 || c == 0x7f || (character.size == 2 && c == 0xc2 && character.data[1] < 0xa0);
}

static int append_escaped_byte(struct kv_buf *to, uint8_t c)
{
    static const char plain[] = "\a\b\f\n\r\t\v\\";
    static const char letters[] = "abfnrtv\\";
    char text[8];
    const char *at = c != 0 ? strchr(plain, c) : NULL;
    if (at != NULL) {
        snprintf(text, sizeof text, "\\%c", letters[at - plain]);
    } else {
        snprintf(text, sizeof text, "\\%03o", c);
    }
    return kv_buf_append(to, kv_slice_str(text));
}

static int append_escaped(struct kv_buf *to, struct kv_slice bytes)
{
    int r = 0;
    for (size_t i = 0; i < bytes.size && r == 0; i++) {
        r = append_escaped_byte(to, bytes.data[i]);
    }
    return r;
}

static int append_text(struct kv_buf *to, struct kv_slice bytes, bool replace)
{
    int r = 0;
    while (bytes.size > 0 && r == 0) {
        size_t size = character_size(bytes);
        struct kv_slice character = kv_slice(bytes.data, size > 0 ? size : 1);
        if (size == 0 && replace) {
            r = kv_buf_append(to, kv_slice_str("\xef\xbf\xbd"));
        } else if (size == 0 || bytes.data[0] == '\\' || is_control(character)) {
            r = append_escaped(to, character);
        } else {
            r = kv_buf_append(to, character);
        }
        bytes = kv_slice(bytes.data + character.size, bytes.size - character.size);
    }
    return r;
}

int text_hex_digit(int c)
{
    if (c < 0 || !isxdigit((unsigned char)c)) {
        return -1;
    }
    return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* The byte behind a backslash; the escape is taken off `text`. -EINVAL. */
static int take_escape(struct kv_slice *text)
{
    static const char letters[] = "abfnrtv\\'\"?";
    static const char bytes[] = "\a\b\f\n\r\t\v\\'\"?";
    unsigned value = 0;
    size_t size = 0;
    uint8_t c = text->size > 0 ? text->data[0] : 0;
    const char *at = c != 0 ? strchr(letters, c) : NULL;
    if (at != NULL) {
        *text = kv_slice_behind(*text, 1);
        return (uint8_t)bytes[at - letters];
    }
    if (c == 'x') {
        *text = kv_slice_behind(*text, 1);
        for (; size < 2 && size < text->size && text_hex_digit(text->data[size]) >= 0; size++) {
            value = value * 16 + (unsigned)text_hex_digit(text->data[size]);
        }
    } else {
        for (; size < 3 && size < text->size && (text->data[size] & 0xf8) == '0'; size++) {
            value = value * 8 + (text->data[size] & 7U);
        }
    }
    *text = kv_slice_behind(*text, size);
    return size > 0 && value <= 255 ? (int)value : -EINVAL;
}

int text_unescape(struct kv_slice text, struct kv_buf *to)
{
    while (text.size > 0) {
        const uint8_t *backslash = memchr(text.data, '\\', text.size);
        size_t plain = backslash != NULL ? (size_t)(backslash - text.data) : text.size;
        int r = kv_buf_append(to, kv_slice(text.data, plain));
        text = kv_slice_behind(text, plain);
        if (r == 0 && text.size > 0) {
            text = kv_slice_behind(text, 1);
            int byte = take_escape(&text);
            uint8_t c = (uint8_t)byte;
            r = byte < 0 ? byte : kv_buf_append(to, kv_slice(&c, 1));
        }
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static int append_hex(struct kv_buf *to, struct kv_slice bytes)
{
    static const char digits[] = "0123456789abcdef";
    int r = kv_buf_reserve(to, 2 * bytes.size);
    for (size_t i = 0; i < bytes.size && r == 0; i++) {
        char pair[2] = {digits[bytes.data[i] >> 4], digits[bytes.data[i] & 15]};
        r = kv_buf_append(to, kv_slice(pair, sizeof pair));
    }
    return r;
}

int text_append(struct kv_buf *to, struct kv_slice bytes, enum text_format format)
{
    char number[24];
    switch (format) {
    case TEXT_AUTO:
    case TEXT_UTF8:
        return append_text(to, bytes, format == TEXT_UTF8);
    case TEXT_HEX:
        return append_hex(to, bytes);
    case TEXT_LENGTH:
        snprintf(number, sizeof number, "%zu", bytes.size);
        return kv_buf_append(to, kv_slice_str(number));
    case TEXT_NONE:
        return 0;
    }
    return -EINVAL;
}

int text_parse_number(const char *text, uint64_t max, uint64_t *ret_number)
{
    uint64_t number = 0;
    if (*text == '\0') {
        return -EINVAL;
    }
    for (; *text != '\0'; text++) {
        if (!isdigit((unsigned char)*text)) {
            return -EINVAL;
        }
        if (__builtin_mul_overflow(number, (uint64_t)10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(*text - '0'), &number) || number > max) {
            return -ERANGE;
        }
    }
    *ret_number = number;
    return 0;
}

int text_parse_size(const char *text, uint64_t *ret_bytes)
{
    static const char units[] = "KMGT";
    size_t digits = strspn(text, "0123456789");
    const char *unit = text + digits;
    char number_text[24];
    uint64_t number = 0;
    unsigned shift = 0;
    if (digits == 0 || digits >= sizeof number_text) {
        return digits == 0 ? -EINVAL : -ERANGE;
    }
    if (*unit != '\0') {
        const char *at = strchr(units, toupper((unsigned char)*unit));
        const char *rest = unit + 1;
        if (at == NULL ||
            (*rest != '\0' && strcasecmp(rest, "b") != 0 && strcmp(rest, "iB") != 0)) {
            return -EINVAL;
        }
        shift = 10 * (unsigned)(at - units + 1);
    }
    memcpy(number_text, text, digits);
    number_text[digits] = '\0';
    int r = text_parse_number(number_text, UINT64_MAX >> shift, &number);
    if (r == 0) {
        *ret_bytes = number << shift;
    }
    return r;
}

void text_uuid(const uint8_t id[16], char to[37])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            *to++ = '-';
        }
        *to++ = digits[id[i] >> 4];
        *to++ = digits[id[i] & 15];
    }
    *to = '\0';
}

int text_parse_uuid(const char *text, uint8_t ret_id[16])
{
    static const char shape[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    uint8_t id[16];
    size_t digit = 0;
    if (strlen(text) != strlen(shape)) {
        return -EINVAL;
    }
    for (size_t i = 0; shape[i] != '\0'; i++) {
        int value = text_hex_digit(text[i]);
        if (shape[i] == '-') {
            if (text[i] != '-') {
                return -EINVAL;
            }
            continue;
        }
        if (value < 0) {
            return -EINVAL;
        }
        id[digit / 2] = (uint8_t)(digit % 2 == 0 ? value << 4 : id[digit / 2] | value);
        digit++;
    }
    memcpy(ret_id, id, sizeof id);
    return 0;
}
