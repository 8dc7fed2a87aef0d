/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/util/message.h"

#include <kv/error.h>

#include <stdio.h>

enum { MESSAGE_SIZE_MAX = 1024 };

static void send_message(const struct message_sink *sink, enum kv_message_level level,
                         const char *format, va_list args) __attribute__((format(printf, 3, 0)));

static void send_message(const struct message_sink *sink, enum kv_message_level level,
                         const char *format, va_list args)
{
    char text[MESSAGE_SIZE_MAX];
    if (sink == NULL || sink->fn == NULL) {
        return;
    }
    vsnprintf(text, sizeof text, format, args);
    sink->fn(sink->arg, level, text);
}

void message(const struct message_sink *sink, enum kv_message_level level, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    send_message(sink, level, format, args);
    va_end(args);
}

int message_damage(const struct message_sink *sink, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    send_message(sink, KV_MESSAGE_ERROR, format, args);
    va_end(args);
    return -KV_EDAMAGED;
}
