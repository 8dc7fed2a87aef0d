/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and values as text that Berkeley DB's db_dump writes and db_load reads: a header of
 * NAME=VALUE lines from VERSION=3 to HEADER=END, then a line for each key and one for its value,
 * each behind a space, then DATA=END. */
#ifndef KVFS_TOOLS_DUMP_FORMAT_H
#define KVFS_TOOLS_DUMP_FORMAT_H

#include <kv/slice.h>
#include <stdio.h>

enum dump_format {
    DUMP_PRINT = 1, /* bytes that print as they are, others as \xx, a backslash as two */
    DUMP_BYTEVALUE, /* two hexadecimal digits a byte */
};

/* -EINVAL unknown. */
KV_MUST_CHECK int dump_format_parse(const char *name, enum dump_format *ret_format);

void dump_write_header(FILE *to, enum dump_format format);
void dump_write_end(FILE *to);
/* Append the line of a key or value. Errors: -ENOMEM. */
KV_MUST_CHECK int dump_append_line(struct kv_buf *to, struct kv_slice bytes,
                                   enum dump_format format);

struct dump_reader {
    FILE *from;
    enum dump_format format; /* of the part that is being read; 0: a header comes next */
    uint64_t line;           /* the one that is being read, from 1 */
    const char *fault;       /* what is wrong with it, after -EINVAL */
};

/* Read the next key and its value. Returns 1 if there was one, 0 at the end. Several dumps may
 * follow each other. Errors: -EINVAL not of this format, or cut short; -E2BIG a key or value larger
 * than the store takes; -EIO; -ENOMEM. */
KV_MUST_CHECK int dump_read(struct dump_reader *reader, struct kv_buf *key, struct kv_buf *value);

#endif
