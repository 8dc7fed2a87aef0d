/* SPDX-License-Identifier: Apache-2.0 */
/* How the library speaks: through a function of the caller's, never to a terminal. */
#ifndef KV_MESSAGE_H
#define KV_MESSAGE_H

enum kv_message_level {
    KV_MESSAGE_ERROR = 1, /* something failed or is damaged */
    KV_MESSAGE_WARNING,   /* works, but somebody should look */
    KV_MESSAGE_INFO,      /* rare events: opened, recovered, closed */
    KV_MESSAGE_DEBUG,     /* every flush and compaction */
};

/* `text` is one line without a newline, valid during the call. Called from any thread, never with a
 * lock of the library held that the function could need; it must not call back into the store. */
typedef void kv_message_fn(void *arg, enum kv_message_level level, const char *text);

#endif
