/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

int log_init(struct log *log, const char *target, bool debug)
{
    *log = (struct log){.kind = LOG_NOWHERE, .target = target, .fd = -1};
    log->most = debug ? KV_MESSAGE_DEBUG : KV_MESSAGE_INFO;
    if (target != NULL && strcmp(target, "syslog") == 0) {
        log->kind = LOG_SYSLOG;
        openlog("kvfs", LOG_PID, LOG_DAEMON);
    } else if (target != NULL && strcmp(target, "stderr") == 0) {
        log->kind = LOG_FILE;
        log->fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    } else if (target != NULL) {
        log->kind = LOG_FILE;
        log->fd = open(target, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
    }
    if (log->kind == LOG_FILE && log->fd < 0) {
        return -errno;
    }
    mutex_init(&log->mu, LOCK_RANK_LEAF, "log");
    return 0;
}

void log_finish(struct log *log)
{
    if (log->kind == LOG_SYSLOG) {
        closelog();
    }
    if (log->fd >= 0) {
        close(log->fd);
    }
    mutex_finish(&log->mu);
}

static const char *level_name(enum kv_message_level level)
{
    switch (level) {
    case KV_MESSAGE_ERROR:
        return "error";
    case KV_MESSAGE_WARNING:
        return "warning";
    case KV_MESSAGE_INFO:
        return "info";
    case KV_MESSAGE_DEBUG:
        return "debug";
    }
    return "message";
}

static int syslog_priority(enum kv_message_level level)
{
    switch (level) {
    case KV_MESSAGE_ERROR:
        return LOG_ERR;
    case KV_MESSAGE_WARNING:
        return LOG_WARNING;
    case KV_MESSAGE_INFO:
        return LOG_INFO;
    case KV_MESSAGE_DEBUG:
        return LOG_DEBUG;
    }
    return LOG_NOTICE;
}

/* One write, so that lines of several threads and processes do not mix. */
static void write_line(const struct log *log, enum kv_message_level level, const char *text)
{
    char line[1400];
    char when[32];
    struct tm tm;
    time_t now = time(NULL);
    gmtime_r(&now, &tm);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
    int size = snprintf(line, sizeof line, "%s kvfs[%d] %s: %s\n", when, (int)getpid(),
                        level_name(level), text);
    size_t shown = (size_t)size < sizeof line ? (size_t)size : sizeof line - 1;
    if (write(log->fd, line, shown) < 0) {
        return; /* a log that cannot be written stops nothing */
    }
}

void log_message(void *arg, enum kv_message_level level, const char *text)
{
    struct log *log = arg;
    if (level == KV_MESSAGE_ERROR) {
        mutex_lock(&log->mu);
        snprintf(log->last_error, sizeof log->last_error, "%s", text);
        mutex_unlock(&log->mu);
    }
    if (level > log->most) {
        return;
    }
    if (log->kind == LOG_SYSLOG) {
        syslog(syslog_priority(level), "%s", text);
    } else if (log->kind == LOG_FILE) {
        write_line(log, level, text);
    }
}

void log_last_error(struct log *log, char *to, size_t size)
{
    mutex_lock(&log->mu);
    snprintf(to, size, "%s", log->last_error);
    mutex_unlock(&log->mu);
}
