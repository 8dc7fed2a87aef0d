/* SPDX-License-Identifier: Apache-2.0 */
/* How the facts about a store's file are shown: for people, or as JSON, an object a line. */
#ifndef KVFS_TOOLS_INSPECT_PRINT_H
#define KVFS_TOOLS_INSPECT_PRINT_H

#include <kv/inspect.h>

#include "tools/text.h"

struct inspect_print {
    const char *file; /* as it was named */
    bool json;
    enum text_format key_format, value_format;
    struct kv_buf line;
    uint64_t damages;
    int error; /* out of memory, or stdout is gone */
};

/* A function of struct kv_inspect_options; `arg` is a struct inspect_print. */
int inspect_print_item(void *arg, const struct kv_inspect_item *item);
/* What became of it all. */
void inspect_print_end(struct inspect_print *print, bool sound);
void inspect_print_finish(struct inspect_print *print);

#endif
