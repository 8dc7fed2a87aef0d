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

__attribute__((format(printf, 3, 0))) static void report(const struct message_sink *sink,
                                                         const struct message_place *place,
                                                         const char *format, va_list args)
{
    char text[MESSAGE_SIZE_MAX];

    if (sink == NULL) {
        return;
    }
    vsnprintf(text, sizeof text, format, args);
    if (sink->fn != NULL) {
        sink->fn(sink->arg, KV_MESSAGE_ERROR, text);
    }
    if (sink->damage_fn != NULL) {
        sink->damage_fn(sink->damage_arg, place, text);
    }
}

int message_damage_at(const struct message_sink *sink, struct message_place place,
                      const char *format, ...)
{
    va_list args;

    va_start(args, format);
    report(sink, &place, format, args);
    va_end(args);
    return -KV_EDAMAGED;
}

int message_damage(const struct message_sink *sink, const char *format, ...)
{
    const struct message_place nowhere = {.offset = MESSAGE_NO_OFFSET};
    va_list args;

    va_start(args, format);
    report(sink, &nowhere, format, args);
    va_end(args);
    return -KV_EDAMAGED;
}
