/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes as text and text as numbers. */
#ifndef KVFS_TOOLS_TEXT_H
#define KVFS_TOOLS_TEXT_H

#include <kv/slice.h>

/* How keys and values are shown. */
enum text_format {
    TEXT_AUTO = 1, /* UTF-8 as it is; control characters, `\` and other bytes as C escapes */
    TEXT_HEX,      /* two digits a byte */
    TEXT_UTF8,     /* as auto, with U+FFFD for bytes that are no UTF-8 */
    TEXT_LENGTH,   /* the number of bytes, in decimal */
    TEXT_NONE,     /* left out */
};

/* -EINVAL unknown. */
KV_MUST_CHECK int text_format_parse(const char *name, enum text_format *ret_format);

/* Append `bytes` as `format` shows them. Never contains a tab, a newline or another control
 * character. Errors: -ENOMEM. */
KV_MUST_CHECK int text_append(struct kv_buf *to, struct kv_slice bytes, enum text_format format);

/* Append what `text` stands for, as C has it: \a \b \f \n \r \t \v \\ \' \" \?, one to three octal
 * digits, \x and one or two hexadecimal ones. The inverse of TEXT_AUTO. Errors: -EINVAL another
 * escape, or one that is no byte; -ENOMEM. */
KV_MUST_CHECK int text_unescape(struct kv_slice text, struct kv_buf *to);

/* The value of a hexadecimal digit, -1 of any other character. */
int text_hex_digit(int c);

/* Every byte belongs to well-formed UTF-8. */
bool text_is_utf8(struct kv_slice bytes);

/* A number of bytes: digits, then nothing or K, M, G, T (powers of 1024; "KiB" and "kb" are the
 * same). Errors: -EINVAL, -ERANGE. */
KV_MUST_CHECK int text_parse_size(const char *text, uint64_t *ret_bytes);
/* Digits only. Errors: -EINVAL, -ERANGE above `max`. */
KV_MUST_CHECK int text_parse_number(const char *text, uint64_t max, uint64_t *ret_number);

/* A UUID in its usual form, 36 characters and NUL. */
void text_uuid(const uint8_t id[16], char to[37]);
/* -EINVAL. */
KV_MUST_CHECK int text_parse_uuid(const char *text, uint8_t ret_id[16]);

#endif
