/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/storage/rados_address.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static const char digits[] = "0123456789";

/* What is behind one of the types, or the text. */
static const char *skip_type(const char *text)
{
    static const char *const types[] = {"v1:", "v2:", "any:"};

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strncmp(text, types[i], strlen(types[i])) == 0) {
            return text + strlen(types[i]);
        }
    }
    return text;
}

/* What is behind 192.0.2.7 or [2001:db8::7]; NULL: it is neither. */
static const char *skip_host(const char *text)
{
    bool bracket = text[0] == '[';
    const char *host = text + bracket;
    size_t size = strspn(host, bracket ? "0123456789abcdefABCDEF:." : "0123456789.");

    if (size == 0 || (bracket && host[size] != ']')) {
        return NULL;
    }
    return host + size + bracket;
}

/* What is behind `mark` and a number of 32 bits; NULL: it is not there. */
static const char *skip_number(const char *text, char mark, uint32_t *ret_value)
{
    size_t size = text != NULL && text[0] == mark ? strspn(text + 1, digits) : 0;
    uint64_t value = 0;

    if (size == 0 || size > 10) {
        return NULL;
    }
    for (size_t i = 1; i <= size; i++) {
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    *ret_value = (uint32_t)value;
    return value <= UINT32_MAX ? text + 1 + size : NULL;
}

bool rados_address_is_client(const char *text)
{
    uint32_t port = 0;
    uint32_t nonce = 0;
    const char *end = skip_number(skip_host(skip_type(text)), ':', &port);

    end = skip_number(end, '/', &nonce);
    return end != NULL && end[0] == '\0' && nonce != 0;
}
