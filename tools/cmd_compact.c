/* SPDX-License-Identifier: Apache-2.0 */
/* compact: merge a whole store, by the daemon if it is mounted. */
#include "tools/cmd.h"

#include <jansson.h>

#include "tools/progress.h"

int cmd_show_progress(void *arg, const struct control_reply *reply)
{
    json_t *json = json_loadb((const char *)reply->bytes.data, reply->bytes.size, 0, NULL);
    json_t *progress = json_object_get(json, "progress");
    int r = json != NULL ? 0 : -EPROTO;
    progress_show(arg, 0, (uint64_t)json_integer_value(json_object_get(progress, "bytes")),
                  (uint64_t)json_integer_value(json_object_get(progress, "bytes_all")));
    json_decref(json);
    return r;
}

int cmd_compact(int argc, char **argv)
{
    static const struct argp argp = {
        NULL,
        json_settings_parse,
        "STORE|MOUNTPOINT",
        "Examples:\n  kvfs compact /srv/a\n  kvfs compact /mnt/a\n\nMerge all tables of the store "
        "into one level and give back the space of what was overwritten or deleted. A store does "
        "this by itself as it is written to; do it before a store is only read from then on, or "
        "copied elsewhere. It reads and writes the whole store, and an unmount waits for its end.",
        NULL,
        NULL,
        NULL};
    struct control_request request = {.op = CONTROL_COMPACT};
    struct json_settings s = {0};
    struct progress bar;
    struct target target;
    const char *store;
    cmd_parse(&argp, argc, argv, EXIT_USAGE, 0, &s);
    int code = words_take_store(&s.words, "compact", argp.args_doc, 0, 0, &store);
    code = code == EXIT_DONE ? target_begin(&target, store, TARGET_WRITE) : code;
    if (code != EXIT_DONE) {
        return code;
    }
    progress_begin(&bar, NULL);
    int r = target_call(&target, &request, cmd_show_progress, &bar);
    progress_clear(&bar);
    if (r < 0) {
        code = target_complain(&target, "compact", kv_slice("", 0), "", r);
    }
    return target_end(&target, code);
}
