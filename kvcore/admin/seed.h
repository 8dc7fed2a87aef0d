/* SPDX-License-Identifier: Apache-2.0 */
/* The checksum seed of a store whose root record is lost.
 *
 * Nothing can be verified without it, so the head record of each log and manifest holds it once
 * more (docs/format.md, "Logs"). One found there is right if it verifies the record that it was
 * taken from. */
#ifndef KVCORE_ADMIN_SEED_H
#define KVCORE_ADMIN_SEED_H

#include "kvcore/admin/scan.h"

/* The seed that most logs and manifests tell. Returns 1 and the seed, 0 if none of them tells one;
 * -ENOMEM, -ECANCELED. */
KV_MUST_CHECK int seed_search(struct scan *scan, uint64_t *ret_seed);
/* A checksum-seed id that stands for the seed; not the one the store was made with, but one that
 * nothing distinguishes from it. */
void seed_make_id(uint64_t seed, uint8_t ret_id[16]);

#endif
