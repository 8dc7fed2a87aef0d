/* SPDX-License-Identifier: Apache-2.0 */
/* The checksum seed of a store whose root record is lost.
 *
 * Nothing else holds the seed, and without it nothing can be verified. But a mark or close record
 * of a log has no payload, and the checksum of no bytes is a function of the seed alone, of which
 * each step can be taken back: XXH3 of nothing only mixes the seed, and so do the steps from the
 * store's seed to that of an offset (docs/format.md, "Checksums"). A seed found so is right if it
 * verifies the whole header that it was taken from, and the head of that log. */
#ifndef KVCORE_ADMIN_SEED_H
#define KVCORE_ADMIN_SEED_H

#include "kvcore/admin/scan.h"

/* Search the logs for the seed. Returns 1 and the seed, 0 if none of them tells it; -EIO, -ENOMEM,
 * -ECANCELED. */
KV_MUST_CHECK int seed_search(struct scan *scan, uint64_t *ret_seed);
/* A checksum-seed id that stands for the seed; not the one the store was made with, but one that
 * nothing distinguishes from it. */
void seed_make_id(uint64_t seed, uint8_t ret_id[16]);

#endif
