/* SPDX-License-Identifier: Apache-2.0 */
/* Texts, and how names, results and attributes are told in them. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "tests/posix/diff.h"

void diff_die(const char *what)
{
    fprintf(stderr, "posix_diff: %s: %s\n", what, strerror(errno));
    exit(3);
}

void text_clear(struct text *text)
{
    text->size = 0;
    text_add(text, "%s", "");
}

void text_finish(struct text *text)
{
    free(text->bytes);
    *text = (struct text){0};
}

void text_add(struct text *text, const char *format, ...)
{
    int error = errno;
    size_t size = 0;
    for (;;) {
        size_t room = text->capacity - text->size;
        va_list arguments;
        va_start(arguments, format);
        size = (size_t)vsnprintf(text->bytes != NULL ? text->bytes + text->size : NULL, room,
                                 format, arguments);
        va_end(arguments);
        if (size < room) {
            break;
        }
        text->capacity = 2 * text->capacity + size + 1;
        text->bytes = realloc(text->bytes, text->capacity);
        if (text->bytes == NULL) {
            diff_die("no memory");
        }
    }
    text->size += size;
    errno = error;
}

void text_name(struct text *text, const char *name)
{
    text_add(text, "\"");
    for (size_t run = 1; *name != '\0'; name += run) {
        run = strspn(name, (char[]){*name, '\0'});
        if (run > 8) {
            text_add(text, "{%c*%zu}", *name, run);
            continue;
        }
        run = 1;
        if (*name < ' ' || *name == 0x7f || *name == '"') {
            text_add(text, "\\x%02x", (unsigned char)*name);
        } else {
            text_add(text, "%c", *name);
        }
    }
    text_add(text, "\"");
}

void text_result(struct text *text, long result)
{
    if (result == -1) {
        const char *name = strerrorname_np(errno);
        text_add(text, " = -1:%s", name != NULL ? name : "?");
    } else {
        text_add(text, " = %ld", result);
    }
}

/* The times that are set lie years away from any test. */
static void time_describe(const struct timespec *time, struct text *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (labs(now.tv_sec - time->tv_sec) < 30L * 86400) {
        text_add(out, " now");
    } else {
        text_add(out, " %ld.%09ld", time->tv_sec, time->tv_nsec);
    }
}

void stat_describe(const struct stat *st, struct text *out)
{
    text_add(out, "%06o n%lu u%u g%u", st->st_mode, (unsigned long)st->st_nlink, st->st_uid,
             st->st_gid);
    if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)) {
        text_add(out, " r%u:%u", major(st->st_rdev), minor(st->st_rdev));
    }
    if (!S_ISDIR(st->st_mode)) {
        text_add(out, " s%ld", st->st_size);
    }
    time_describe(&st->st_atim, out);
    time_describe(&st->st_mtim, out);
    time_describe(&st->st_ctim, out);
}
