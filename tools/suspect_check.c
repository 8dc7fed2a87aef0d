/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/suspect_check.h"

#include <inttypes.h>
#include <kv/verify.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static const uint64_t bytes_per_second = (uint64_t)32 << 20;

struct suspect_check {
    const struct control_host *host;
    char names[SUSPECTS_TEXT_SIZE];
    uint64_t findings; /* thread-private */
    struct thread thread;
    _Atomic bool stopping;
};

void suspects_print(const struct kv_suspects *suspects, char to[SUSPECTS_TEXT_SIZE])
{
    size_t used = 0;
    snprintf(to, SUSPECTS_TEXT_SIZE, "%s", suspects->check_needed ? "any file" : "");
    for (unsigned i = 0; i < suspects->count; i++) {
        used += (size_t)snprintf(to + used, SUSPECTS_TEXT_SIZE - used, "%s%08" PRIu64 ".%s",
                                 i > 0 ? ", " : "", suspects->files[i].number,
                                 suspects->files[i].kind == KV_FILE_BLOB ? "blob" : "table");
    }
}

static int take_progress(void *arg, const struct kv_verify_progress *progress)
{
    struct suspect_check *check = arg;
    check->findings = progress->findings;
    return atomic_load(&check->stopping);
}

/* Each place that is damaged was told by the engine. */
static void tell_result(const struct suspect_check *check, int r)
{
    const char *store = check->host->store;
    enum kv_message_level level = r == 0 ? KV_MESSAGE_INFO : KV_MESSAGE_ERROR;
    struct fault said;
    if (r == 0) {
        fault_set(&said, r, "the check of %s found it sound in %s", check->names, store);
    } else if (r == -KV_EDAMAGED) {
        fault_set(&said, r,
                  "%s is damaged still, in %" PRIu64 " place(s): keep a copy of %s, and repair it "
                  "with 'kvfs fsck' when it is not in use",
                  check->names, check->findings, store);
    } else {
        fault_set(&said, r, "the check of %s, in which damage was met, was cut short: %s",
                  check->names, kv_strerror(r));
    }
    log_message(check->host->log, level, said.text);
}

static void *check_main(void *arg)
{
    struct suspect_check *check = arg;
    const struct kv_verify_options options = {.bytes_per_second = bytes_per_second,
                                              .suspects_only = true,
                                              .progress_fn = take_progress,
                                              .arg = check};
    int r = kv_verify(check->host->engine, &options);
    if (r != -ECANCELED) {
        tell_result(check, r);
    }
    return NULL;
}

void suspect_check_start(const struct control_host *host, struct suspect_check **ret_check,
                         struct fault *ret_said)
{
    struct kv_suspects suspects;
    char names[SUSPECTS_TEXT_SIZE];
    *ret_check = NULL;
    ret_said->text[0] = '\0';
    kv_suspects(host->engine, &suspects);
    suspects_print(&suspects, names);
    if (!suspects.check_needed) {
        return;
    }
    fault_set(ret_said, 0,
              "damage was met in %s when %s was open before; these files are being checked. "
              "'kvfs health %s' says what comes of it; for a repair run 'kvfs fsck %s' when it is "
              "not in use.",
              names, host->store, host->store, host->store);
    log_message(host->log, KV_MESSAGE_WARNING, ret_said->text);
    struct suspect_check *check = calloc(1, sizeof *check);
    if (check == NULL) {
        return;
    }
    check->host = host;
    memcpy(check->names, names, sizeof names);
    int r = thread_start(&check->thread, "kvfs-check", check_main, check);
    if (r < 0) {
        tell_result(check, r);
        free(check);
        return;
    }
    *ret_check = check;
}

void suspect_check_stop(struct suspect_check *check)
{
    if (check == NULL) {
        return;
    }
    atomic_store(&check->stopping, true);
    thread_join(&check->thread);
    free(check);
}
