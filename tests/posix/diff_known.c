/* SPDX-License-Identifier: Apache-2.0 */
/* The list of known differences (tests/posix/diff_known). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/posix/diff.h"

enum { KNOWN_MAX = 64, LINE_SIZE = 1024, WORD_SIZE = 64 };

struct difference {
    char call[WORD_SIZE], found[WORD_SIZE], wanted[WORD_SIZE], reason[LINE_SIZE];
    bool forbids; /* only in rounds with immutable files */
    uint64_t met;
};

struct known {
    struct difference list[KNOWN_MAX];
    size_t count;
    bool forbids;
};

/* A blank is written as ~ in words. */
static void make_blanks(char *word)
{
    for (; (word = strchr(word, '~')) != NULL; word++) {
        *word = ' ';
    }
}

static void read_line(struct known *known, char *line, const char *target)
{
    char of[WORD_SIZE];
    struct difference *next = &known->list[known->count];
    int at = 0;
    line[strcspn(line, "\n")] = '\0';
    if (line[0] == '#' || sscanf(line, "%63s %63s %63s %63s %n", of, next->call, next->found,
                                 next->wanted, &at) < 4) {
        return;
    }
    next->forbids = strcmp(of, "forbidding") == 0;
    if ((!next->forbids && strcmp(of, "both") != 0 && strcmp(of, target) != 0) ||
        known->count == KNOWN_MAX - 1) {
        return;
    }
    snprintf(next->reason, sizeof next->reason, "%s", line + at);
    make_blanks(next->found);
    make_blanks(next->wanted);
    known->count++;
}

struct known *known_read(const char *path, const char *target)
{
    struct known *known = calloc(1, sizeof *known);
    FILE *file = path != NULL ? fopen(path, "re") : NULL;
    char line[LINE_SIZE];
    if (known == NULL || (path != NULL && file == NULL)) {
        diff_die(path);
    }
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        read_line(known, line, target);
    }
    if (file != NULL) {
        fclose(file);
    }
    return known;
}

void known_avoid(struct known *known, const char *call, const char *reason)
{
    struct difference *next = &known->list[known->count];
    if (known->count < KNOWN_MAX - 1 && !known_avoids(known, call)) {
        snprintf(next->call, sizeof next->call, "%s", call);
        snprintf(next->found, sizeof next->found, "avoided");
        snprintf(next->reason, sizeof next->reason, "%s", reason);
        known->count++;
    }
}

bool known_avoids(const struct known *known, const char *call)
{
    for (size_t i = 0; i < known->count; i++) {
        if (strcmp(known->list[i].found, "avoided") == 0 &&
            strcmp(known->list[i].call, call) == 0) {
            return true;
        }
    }
    return false;
}

static void replace(struct text *text, struct difference *difference, const char *line)
{
    const char *at = NULL;
    text_clear(text);
    while ((at = strstr(line, difference->found)) != NULL) {
        text_add(text, "%.*s%s", (int)(at - line), line, difference->wanted);
        line = at + strlen(difference->found);
        difference->met++;
    }
    text_add(text, "%s", line);
}

/* Whether the first line becomes the second when what is found there is replaced by what is wanted,
 * for one difference after another. */
static bool line_explained(struct known *known, const char *call, const char *first,
                           const char *second)
{
    struct text texts[2] = {0};
    int now = 0;
    text_add(&texts[0], "%s", first);
    for (size_t i = 0; i < known->count && strcmp(texts[now].bytes, second) != 0; i++) {
        const struct difference *one = &known->list[i];
        bool fits = strcmp(one->call, call) == 0 || strcmp(one->call, "*") == 0;
        if (fits && (!one->forbids || known->forbids)) {
            replace(&texts[1 - now], &known->list[i], texts[now].bytes);
            now = 1 - now;
        }
    }
    bool same = strcmp(texts[now].bytes, second) == 0;
    text_finish(&texts[0]);
    text_finish(&texts[1]);
    return same;
}

void known_forbids(struct known *known, bool forbids)
{
    known->forbids = forbids;
}

bool known_explains(struct known *known, const char *call, const char *first, const char *second)
{
    bool explained = true;
    char *copies[2] = {strdup(first), strdup(second)};
    char *rests[2] = {copies[0], copies[1]};
    if (copies[0] == NULL || copies[1] == NULL) {
        diff_die("no memory");
    }
    while (explained && rests[0] != NULL && rests[1] != NULL) {
        const char *line = strsep(&rests[0], "\n");
        const char *other = strsep(&rests[1], "\n");
        explained = strcmp(line, other) == 0 || line_explained(known, call, line, other);
    }
    explained = explained && rests[0] == NULL && rests[1] == NULL;
    free(copies[0]);
    free(copies[1]);
    return explained;
}

void known_print(const struct known *known)
{
    for (size_t i = 0; i < known->count; i++) {
        const struct difference *one = &known->list[i];
        printf("  %s: %s", one->call, one->found);
        if (strcmp(one->found, "avoided") != 0) {
            printf(" for %s, met %lu times", one->wanted, (unsigned long)one->met);
        }
        printf(": %s\n", one->reason);
    }
}
