/* SPDX-License-Identifier: Apache-2.0 */
/* The benchmarks, each with its command line: the word "kv" or "fs" is still among the others. */
#ifndef KVFS_TOOLS_BENCH_COMMANDS_H
#define KVFS_TOOLS_BENCH_COMMANDS_H

int cmd_bench_kv(int argc, char **argv);
int cmd_bench_fs(int argc, char **argv);

#endif
