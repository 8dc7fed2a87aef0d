/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/health_log.h"

#include <stdio.h>
#include <string.h>

struct look {
    struct health_log *log;
    char text[1024]; /* all reasons */
    bool has_new;
};

/* What does not fit is cut. */
static void append(char *to, size_t size, const char *before, const char *text, const char *after)
{
    size_t at = strlen(to);
    snprintf(to + at, size - at, "%s%s%s", before, text, after);
}

static void take_reason(void *arg, const char *kind, const char *text)
{
    struct look *look = arg;
    char marked[64];
    snprintf(marked, sizeof marked, ",%s,", kind);
    append(look->text, sizeof look->text, look->text[0] == '\0' ? "health: degraded: " : "; ", text,
           "");
    if (strstr(look->log->told, marked) == NULL) {
        append(look->log->told, sizeof look->log->told, ",", kind, ",");
        look->has_new = true;
    }
}

void health_log_look(struct health_log *log, const struct health_facts *facts, health_change_fn *fn,
                     void *arg)
{
    struct look look = {.log = log};
    if (health_judge(facts, take_reason, &look) > 0) {
        log->well_looks = 0;
        if (look.has_new) {
            fn(arg, false, look.text);
        }
        return;
    }
    log->well_looks++;
    if (log->told[0] != '\0' && log->well_looks >= HEALTH_LOG_LOOKS) {
        log->told[0] = '\0';
        fn(arg, true, "health: ok again");
    }
}
