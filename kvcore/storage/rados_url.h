/* SPDX-License-Identifier: Apache-2.0 */
/* What a store on Ceph RADOS is called: rados://POOL/NAME. See docs/format.md, "The store on
 * RADOS".
 */
#ifndef KVCORE_STORAGE_RADOS_URL_H
#define KVCORE_STORAGE_RADOS_URL_H

#include <stdbool.h>

#include <kv/error.h>

enum { RADOS_URL_NAME_MAX = 64 }; /* bytes of a pool's or a store's name */

struct rados_url {
    char pool[RADOS_URL_NAME_MAX + 1];
    char name[RADOS_URL_NAME_MAX + 1]; /* of the store: the namespace of its objects */
};

/* Whether the text is meant as one: then it is no path, also if it is wrong. */
bool rados_url_begins(const char *text);
/* Pool and name have 1 to 64 bytes of A-Z a-z 0-9 . _ - and do not begin with a dot or a hyphen: so
 * a URL has one spelling, and names are safe in shells and in capabilities of Ceph users.
 * Errors: -EINVAL. */
KV_MUST_CHECK int rados_url_parse(const char *text, struct rados_url *ret_url);

#endif
