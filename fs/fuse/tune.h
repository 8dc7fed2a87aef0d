/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KVFS_FUSE_TUNE_H
#define KVFS_FUSE_TUNE_H

/* Raise the kernel's read-ahead for the mount from its default of 128 KiB, which streaming reads
 * need to keep several requests in flight. Only root may; without it nothing happens. Needs the
 * mount to answer, so never call it from a worker. */
void tune_readahead(const char *mountpoint, unsigned kib);

#endif
