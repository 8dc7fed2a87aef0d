/* SPDX-License-Identifier: Apache-2.0 */
/* The root record's content: who the store is and where its manifest is. docs/format.md, "ROOT". */
#ifndef KVCORE_DB_ROOT_H
#define KVCORE_DB_ROOT_H

#include <kv/kv.h>

#include "kvcore/log/log_format.h"

enum { ROOT_FORMAT_VERSION = 1, ROOT_LABEL_SIZE_MAX = 63, ROOT_COUNTERS = 4 };

/* Feature bits this version understands: none yet. */
#define ROOT_RO_COMPAT_KNOWN ((uint64_t)0)
#define ROOT_INCOMPAT_KNOWN  ((uint64_t)0)

struct root {
    uint32_t format_version;
    uint8_t store_id[16];
    uint8_t seed_id[16];
    uint64_t compat, ro_compat, incompat;
    uint64_t manifest;
    uint64_t lease_epoch;
    bool clean;
    struct log_end last_log; /* where log and manifest end; only if clean: then every byte of */
    struct log_end last_manifest; /* them was durable, and a missing tail is damage */
    struct kv_suspects suspects;
    bool rows_unchecked; /* a repair left rows out: see kv_admin_rows_checked() */
    char label[ROOT_LABEL_SIZE_MAX + 1];
    /* Damaged reads, failed reads, failed writes, failed syncs of logs, since the store was made.
     * They are written with whatever changes the record: what a kill cuts off before that is not
     * counted. */
    uint64_t counters[ROOT_COUNTERS];
};

KV_MUST_CHECK int root_encode(const struct root *root, struct kv_buf *to);
/* Errors: -KV_EDAMAGED; -KV_EFORMAT another format version or an unknown required field. Feature
 * bits are for the caller to judge. */
KV_MUST_CHECK int root_decode(struct kv_slice from, struct root *ret_root);

#endif
