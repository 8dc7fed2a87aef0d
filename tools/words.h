/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KVFS_TOOLS_WORDS_H
#define KVFS_TOOLS_WORDS_H

#include <stddef.h>

/* The one of `count` words most like `word`, or NULL if none is close enough to be what was meant:
 * at most a third of its letters (at least one) typed wrong, left out, added or swapped. */
const char *words_nearest(const char *word, const char *const *words, size_t count);

#endif
