/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/text_json.h"

#include <stdio.h>

int text_json_set(json_t *object, const char *name, struct kv_slice bytes, enum text_format format)
{
    char hex_name[40];
    struct kv_buf shown = {0};
    if (format == TEXT_NONE) {
        return 0;
    }
    if (format == TEXT_LENGTH) {
        snprintf(hex_name, sizeof hex_name, "%s_len", name);
        return json_object_set_new(object, hex_name, json_integer((json_int_t)bytes.size));
    }
    bool as_hex = format == TEXT_HEX || (format == TEXT_AUTO && !text_is_utf8(bytes));
    if (!as_hex && text_is_utf8(bytes)) {
        const char *text = bytes.size > 0 ? (const char *)bytes.data : "";
        return json_object_set_new(object, name, json_stringn(text, bytes.size));
    }
    snprintf(hex_name, sizeof hex_name, "%s%s", name, as_hex ? "_hex" : "");
    int r = text_append(&shown, bytes, as_hex ? TEXT_HEX : TEXT_UTF8);
    if (r == 0) {
        r = json_object_set_new(object, hex_name,
                                json_stringn((const char *)shown.data, shown.size));
    }
    kv_buf_finish(&shown);
    return r;
}
