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

/* Where damage is. */
struct message_place {
    int kind;        /* of the file, enum kv_file_kind; 0: in no file that is known */
    uint64_t number; /* of the file */
    uint64_t offset; /* in it, or MESSAGE_NO_OFFSET */
};

/* All zero is a silent sink. */
struct message_sink {
    kv_message_fn *fn;
    void *arg;
    /* NULL: none. Called for each report of damage, with its text, after `fn`. */
    void (*damage_fn)(void *damage_arg, const struct message_place *place, const char *text);
    void *damage_arg;
};

__attribute__((format(printf, 3, 4))) void
message(const struct message_sink *sink, enum kv_message_level level, const char *format, ...);

/* Report damage of stored data, at a place of its file or without one. Always -KV_EDAMAGED. */
__attribute__((format(printf, 3, 4))) int message_damage_at(const struct message_sink *sink,
                                                            struct message_place place,
                                                            const char *format, ...);
__attribute__((format(printf, 2, 3))) int message_damage(const struct message_sink *sink,
                                                         const char *format, ...);

#endif
