/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/storage/rados_client.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char blanks[] = " \t\n";
static const char type[] = "client.";

static const struct {
    const char *option;
    bool is_typed; /* its value begins with the type of the user */
} options[] = {{"--id", false}, {"--user", false}, {"-n", true}, {"--name", true}};

/* A word of the arguments, which is not a string of its own. */
struct word {
    const char *at;
    size_t size;
};

static struct word take_word(const char **rest)
{
    const char *at = *rest + strspn(*rest, blanks);
    struct word word = {at, strcspn(at, blanks)};
    *rest = at + word.size;
    return word;
}

/* 1: the word is this option, and `value` what stands behind its `=`, or else the next word. */
static bool is_option(struct word word, const char *option, const char **rest, struct word *value)
{
    size_t size = strlen(option);
    if (word.size < size || memcmp(word.at, option, size) != 0) {
        return false;
    }
    if (word.size > size && word.at[size] == '=') {
        *value = (struct word){word.at + size + 1, word.size - size - 1};
        return true;
    }
    if (word.size > size) {
        return false;
    }
    *value = take_word(rest);
    return true;
}

static int take_name(struct word value, bool is_typed, char ret_name[RADOS_CLIENT_MAX + 1])
{
    if (is_typed) {
        size_t size = strlen(type);
        if (value.size < size || memcmp(value.at, type, size) != 0) {
            return -EINVAL;
        }
        value = (struct word){value.at + size, value.size - size};
    }
    if (value.size == 0 || value.size > RADOS_CLIENT_MAX) {
        return -EINVAL;
    }
    snprintf(ret_name, RADOS_CLIENT_MAX + 1, "%.*s", (int)value.size, value.at);
    return 0;
}

int rados_client_find(const char *arguments, char ret_name[RADOS_CLIENT_MAX + 1])
{
    char name[RADOS_CLIENT_MAX + 1] = "admin";
    const char *rest = arguments != NULL ? arguments : "";
    int r = 0;

    for (struct word word = take_word(&rest); word.size > 0 && r == 0; word = take_word(&rest)) {
        struct word value = {0};
        for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
            if (is_option(word, options[i].option, &rest, &value)) {
                r = take_name(value, options[i].is_typed, name);
                break;
            }
        }
    }
    if (r == 0) {
        memcpy(ret_name, name, sizeof name);
    }
    return r;
}
