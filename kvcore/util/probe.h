/* SPDX-License-Identifier: Apache-2.0 */
/* Static probes for perf, bpftrace and SystemTap, of the provider `kvfs`; docs/operations.md lists
 * them. A probe is one NOP and a note in the ELF file that says where its arguments lie, so it
 * costs nothing while nobody traces. Without <sys/sdt.h> (meson option `usdt`) there are none.
 *
 * `count` arguments follow the name, integers or pointers that the code has at hand: nothing is
 * computed for a probe. */
#ifndef KVCORE_UTIL_PROBE_H
#define KVCORE_UTIL_PROBE_H

#ifdef KV_PROBES
#include <sys/sdt.h>
#define KV_PROBE(count, name, ...) STAP_PROBE##count(kvfs, name, __VA_ARGS__)
#else
#define KV_PROBE(count, name, ...) ((void)0)
#endif

#endif
