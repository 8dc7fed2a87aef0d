/* SPDX-License-Identifier: Apache-2.0 */
/* A thread of the daemon that checks, once behind its start, the files in which damage was met when
 * the store was open before (kv_suspects()), beside everything else and at a limited pace, and
 * tells the log what came of it. What it finds sound is suspected no more. */
#ifndef KVFS_TOOLS_SUSPECT_CHECK_H
#define KVFS_TOOLS_SUSPECT_CHECK_H

#include "tools/control_ops.h"
#include "tools/report.h"

enum { SUSPECTS_TEXT_SIZE = KV_SUSPECTS_MAX * 32 };

/* "00000012.table, 00000003.blob"; "any file" if it is not known which; empty if there are none. */
void suspects_print(const struct kv_suspects *suspects, char to[SUSPECTS_TEXT_SIZE]);

struct suspect_check;

/* Nothing is suspected: `ret_check` is NULL, and `ret_said` empty. Else that is what was logged.
 * `host`, with its log, must outlive the check. */
void suspect_check_start(const struct control_host *host, struct suspect_check **ret_check,
                         struct fault *ret_said);
/* Ends it, where it is still going on. Accepts NULL. */
void suspect_check_stop(struct suspect_check *check);

#endif
