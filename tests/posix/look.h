/* SPDX-License-Identifier: Apache-2.0 */
/* How everything below a directory looks, as text: one line for each name, in the order of listings
 * that are sorted. Printed before and after a remount, it must be the same. */
#ifndef TESTS_POSIX_LOOK_H
#define TESTS_POSIX_LOOK_H

/* Type, mode, links, owner, size, times (but that of access), number, device, target, extended
 * attributes, and a sum of the first and the last bytes. 0, or 1 if something cannot be read, which
 * is said on stderr. */
int look_print(const char *directory);

#endif
