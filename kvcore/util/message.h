/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of the library: it never prints, it calls the function given at open. Damage found in
 * stored bytes is always reported through message_damage(), so that there is one place to set a
 * breakpoint and every report names file, offset and fault. */
#ifndef KVCORE_UTIL_MESSAGE_H
#define KVCORE_UTIL_MESSAGE_H

#include <stdarg.h>
#include <stdint.h>

#include <kv/message.h>

#define MESSAGE_NO_OFFSET UINT64_MAX

/* All zero is a silent sink. */
struct message_sink {
    kv_message_fn *fn;
    void *arg;
    /* NULL: none. Called for each report of damage, with its text, after `fn`. `offset` is where in
     * the file it is, or MESSAGE_NO_OFFSET. */
    void (*damage_fn)(void *damage_arg, uint64_t offset, const char *text);
    void *damage_arg;
};

__attribute__((format(printf, 3, 4))) void
message(const struct message_sink *sink, enum kv_message_level level, const char *format, ...);

/* Report damage of stored data, at a place of its file or without one. Always -KV_EDAMAGED. */
__attribute__((format(printf, 3, 4))) int
message_damage_at(const struct message_sink *sink, uint64_t offset, const char *format, ...);
__attribute__((format(printf, 2, 3))) int message_damage(const struct message_sink *sink,
                                                         const char *format, ...);

#endif
