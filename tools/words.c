/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/words.h"

#include <string.h>

enum { WORD_SIZE_MAX = 32 };

static unsigned smaller(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Edits that turn `a` into `b`: insertions, deletions, substitutions and swaps of neighbours (the
 * restricted Damerau-Levenshtein distance), by the usual table over prefixes. */
static unsigned distance(const char *a, size_t a_size, const char *b, size_t b_size)
{
    unsigned cost[WORD_SIZE_MAX + 1][WORD_SIZE_MAX + 1];
    for (size_t i = 0; i <= a_size; i++) {
        cost[i][0] = (unsigned)i;
    }
    for (size_t j = 0; j <= b_size; j++) {
        cost[0][j] = (unsigned)j;
    }
    for (size_t i = 1; i <= a_size; i++) {
        for (size_t j = 1; j <= b_size; j++) {
            unsigned best = cost[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            best = smaller(best, smaller(cost[i - 1][j], cost[i][j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                best = smaller(best, cost[i - 2][j - 2] + 1);
            }
            cost[i][j] = best;
        }
    }
    return cost[a_size][b_size];
}

const char *words_nearest(const char *word, const char *const *words, size_t count)
{
    size_t size = strlen(word);
    const char *nearest = NULL;
    /* the first distance that is too far */
    unsigned least = size < 3 ? 2 : (unsigned)size / 3 + 1;
    if (size == 0 || size > WORD_SIZE_MAX) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        size_t other = strlen(words[i]);
        if (other <= WORD_SIZE_MAX) {
            unsigned d = distance(word, size, words[i], other);
            if (d < least) {
                least = d;
                nearest = words[i];
            }
        }
    }
    return nearest;
}
