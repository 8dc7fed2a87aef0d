/* SPDX-License-Identifier: Apache-2.0 */
/* What the system tells about a process and a directory of stores. */
#ifndef KVFS_TOOLS_BENCH_PROCESS_H
#define KVFS_TOOLS_BENCH_PROCESS_H

#include <stdint.h>

#include <kv/error.h>

/* Bytes that the process (0: this one) sent on their way to storage: pages it made dirty and direct
 * writes. 0 if the system does not count them. */
uint64_t bench_process_written_bytes(unsigned process);
/* Its largest resident size so far. 0 if unknown. */
uint64_t bench_process_peak_bytes(unsigned process);
/* Its resident size now. 0 if unknown. */
uint64_t bench_process_resident_bytes(unsigned process);
/* Processor time that this process has used, in all its threads and in the kernel. */
uint64_t bench_process_processor_ns(void);
/* Return when this process has hardly used a processor for a quarter of a second: its background
 * work is done. Or after two minutes. */
void bench_process_settle(void);

/* Make `dir` ready to hold stores, one in a folder per engine. A mark is left in it: what this
 * benchmark did not make it does not touch. Errors: -ENOTEMPTY it holds something and no mark. */
KV_MUST_CHECK int bench_dir_prepare(const char *dir);
/* Bytes allocated to the files below `path`. */
KV_MUST_CHECK int bench_dir_space(const char *path, uint64_t *ret_bytes);
/* Remove `path` and all below it; nothing there is fine. */
KV_MUST_CHECK int bench_dir_remove(const char *path);

#endif
