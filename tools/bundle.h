/* SPDX-License-Identifier: Apache-2.0 */
/* A support bundle: a small tar archive of texts about a store, and a list of what could not be
 * had. Every text is bounded. */
#ifndef KVFS_TOOLS_BUNDLE_H
#define KVFS_TOOLS_BUNDLE_H

#include <kv/slice.h>

enum { BUNDLE_TEXT_MAX = 1 << 20 }; /* what is longer is cut */

struct bundle;
struct json_t; /* of jansson */

/* Begin an archive on `fd`. Errors: -ENOMEM, -EIO. */
KV_MUST_CHECK int bundle_create(int fd, struct bundle **ret_bundle);
/* Write the list of what is missing and the end of the archive. Accepts NULL. Returns the first
 * error of all that was added; the bundle is gone in any case. */
int bundle_finish(struct bundle *bundle);

/* These keep their errors for bundle_finish(). `name` is that of a file in the archive. */
void bundle_add(struct bundle *bundle, const char *name, struct kv_slice text);
/* Without the rows that its strings name. */
void bundle_add_json(struct bundle *bundle, const char *name, struct json_t *take_json);
/* The contents of a file of text. */
void bundle_add_file(struct bundle *bundle, const char *name, const char *path);
/* The last lines of a log that hold `mark`, without the rows that they name. */
void bundle_add_log(struct bundle *bundle, const char *name, const char *path, const char *mark);
/* `name` is not in the archive, because of `why`. */
void bundle_miss(struct bundle *bundle, const char *name, const char *why);

#endif
