/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and values as members of a JSON object. */
#ifndef KVFS_TOOLS_TEXT_JSON_H
#define KVFS_TOOLS_TEXT_JSON_H

#include <jansson.h>

#include "tools/text.h"

/* Set member `name` to the bytes as `format` wants them; nothing for TEXT_NONE. Bytes that are no
 * text, or are wanted so, go by the name with `_hex` behind it, lengths with `_len`. 0, or not. */
KV_MUST_CHECK int text_json_set(json_t *object, const char *name, struct kv_slice bytes,
                                enum text_format format);

#endif
