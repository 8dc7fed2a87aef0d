/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/storage/rados_url.h"

#include <stddef.h>
#include <string.h>

static const char scheme[] = "rados://";

bool rados_url_begins(const char *text)
{
    return strncmp(text, scheme, sizeof scheme - 1) == 0;
}

static bool is_name_byte(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

/* Copy the name that `from` begins with; returns its length, 0 if it is none. */
static size_t take_name(const char *from, char to[RADOS_URL_NAME_MAX + 1])
{
    size_t size = 0;

    if (from[0] == '.' || from[0] == '-') {
        return 0;
    }
    while (is_name_byte(from[size])) {
        if (size == RADOS_URL_NAME_MAX) {
            return 0;
        }
        to[size] = from[size];
        size++;
    }
    to[size] = '\0';
    return size;
}

int rados_url_parse(const char *text, struct rados_url *ret_url)
{
    struct rados_url url = {0};
    const char *at = text + sizeof scheme - 1;

    if (!rados_url_begins(text)) {
        return -EINVAL;
    }
    size_t size = take_name(at, url.pool);
    if (size == 0 || at[size] != '/') {
        return -EINVAL;
    }
    at += size + 1;
    size = take_name(at, url.name);
    if (size == 0 || at[size] != '\0') {
        return -EINVAL;
    }
    *ret_url = url;
    return 0;
}
