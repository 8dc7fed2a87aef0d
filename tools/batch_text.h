/* SPDX-License-Identifier: Apache-2.0 */
/* The lines of `kvfs batch`:
 *
 *   if-absent KEY         put KEY VALUE
 *   if-equal KEY VALUE    del KEY
 *
 * Conditions come before changes. One space or one tab follows the word, and the same character
 * ends the key where a value follows: a key with spaces can so be written between tabs, as `kvfs
 * scan` prints it. The value is the rest of the line. Both may hold escapes as text_unescape()
 * knows them. Empty lines and those that begin with `#` say nothing. */
#ifndef KVFS_TOOLS_BATCH_TEXT_H
#define KVFS_TOOLS_BATCH_TEXT_H

#include "tools/control.h"

struct batch_text {
    bool has_changes;  /* no condition may follow */
    const char *fault; /* what is wrong with the line, after -EINVAL */
    struct kv_buf key, value;
};

void batch_text_finish(struct batch_text *text);
/* Read a line, with its newline or without, and append what it says to `changes`. Errors: -EINVAL,
 * with text->fault; -ENOMEM. The key is not checked. */
KV_MUST_CHECK int batch_text_line(struct batch_text *text, struct kv_slice line,
                                  struct kv_buf *changes);

#endif
