/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/util/message.h"

#include <kv/error.h>

#include <stdio.h>

enum { MESSAGE_SIZE_MAX = 1024 };

void message(const struct message_sink *sink, enum kv_message_level level, const char *format, ...)
{
    char text[MESSAGE_SIZE_MAX];
    va_list args;

    if (sink == NULL || sink->fn == NULL) {
        return;
    }
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    sink->fn(sink->arg, level, text);
}

int message_damage(const struct message_sink *sink, const char *format, ...)
{
    char text[MESSAGE_SIZE_MAX];
    va_list args;

    if (sink == NULL) {
        return -KV_EDAMAGED;
    }
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (sink->fn != NULL) {
        sink->fn(sink->arg, KV_MESSAGE_ERROR, text);
    }
    if (sink->damage_fn != NULL) {
        sink->damage_fn(sink->damage_arg, text);
    }
    return -KV_EDAMAGED;
}
