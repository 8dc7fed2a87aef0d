/* SPDX-License-Identifier: Apache-2.0 */
/* What a shell needs to complete command lines: commands, their options, and words that they take,
 * as the commands themselves say them. */
#ifndef KVFS_TOOLS_COMPLETIONS_H
#define KVFS_TOOLS_COMPLETIONS_H

#include "tools/cmd.h"

/* Print a script for bash on stdout. Returns an exit code. */
int completions_bash(const struct cmd *cmds, size_t count);

#endif
