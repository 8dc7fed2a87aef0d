/* SPDX-License-Identifier: Apache-2.0 */
/* What `status` and `stats` say, as JSON objects; the tables on a terminal are drawn from these. */
#ifndef KVFS_TOOLS_REPORT_JSON_H
#define KVFS_TOOLS_REPORT_JSON_H

#include <jansson.h>

#include <kv/verify.h>

#include "tools/control_ops.h"

/* A new reference, or NULL when out of memory. Fields are only ever added. */
json_t *report_status_json(const struct control_host *host);
json_t *report_stats_json(const struct control_host *host);
/* The named snapshots, in the order they were made. */
json_t *report_snapshots_json(const struct control_host *host);
/* Of a storage whose lease ends by itself; null of any other. */
json_t *report_lease_json(struct kv_storage *storage);
/* What verify tells as it goes: docs/control.md. */
json_t *report_finding_json(const struct kv_verify_finding *finding);
json_t *report_progress_json(const struct kv_verify_progress *progress);

#endif
