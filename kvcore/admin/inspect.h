/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of kv_inspect(), for the inspect*.c files only. An item is built with inspect_begin(), one
 * call for each fact, and inspect_end(), which hands it on. One thread. */
#ifndef KVCORE_ADMIN_INSPECT_H
#define KVCORE_ADMIN_INSPECT_H

#include <kv/inspect.h>

#include "kvcore/admin/scan.h"

enum { INSPECT_FACTS_MAX = 40 };

struct inspect {
    struct kv_storage *storage;
    struct kv_file_id id;
    const struct kv_inspect_options *options;
    struct scan known; /* of the store: root record, names, manifest, as far as they can be read */
    uint64_t seed, file_seed;
    uint64_t bytes, bytes_all; /* progress */
    uint64_t damages;
    bool newer;
    /* What readers of the engine say. */
    struct message_sink sink;
    uint64_t said_offset;
    char said[SCAN_TEXT_SIZE];
    /* The item that is being built. */
    struct kv_inspect_item item;
    struct kv_inspect_fact facts[INSPECT_FACTS_MAX];
};

void inspect_begin(struct inspect *in, enum kv_inspect_level level, const char *type);
void inspect_number(struct inspect *in, const char *name, uint64_t number);
void inspect_text(struct inspect *in, const char *name, const char *text);
void inspect_bytes(struct inspect *in, const char *name, enum kv_inspect_form form,
                   struct kv_slice bytes);
/* The number of a keyspace, and its name if the manifest says it. */
void inspect_keyspace(struct inspect *in, uint32_t table_id);
/* Facts of a row as all files have them: sequence number, key, and what its kind makes of the
 * value.
 */
struct inspect_row {
    uint8_t kind; /* enum row_kind */
    uint64_t sequence;
    struct kv_slice key, value;
};
void inspect_row(struct inspect *in, const struct inspect_row *row);
/* "put", "delete", ... */
const char *inspect_kind(uint8_t row_kind);
KV_MUST_CHECK int inspect_end(struct inspect *in);
/* Tell of damage; MESSAGE_NO_OFFSET: no single place. */
__attribute__((format(printf, 3, 4))) KV_MUST_CHECK int
inspect_damage(struct inspect *in, uint64_t offset, const char *format, ...);
/* So many bytes were read; `arg` is the struct inspect. */
int inspect_spend(void *arg, uint64_t bytes);

KV_MUST_CHECK int inspect_table(struct inspect *in);
KV_MUST_CHECK int inspect_blob(struct inspect *in);
KV_MUST_CHECK int inspect_log(struct inspect *in);
KV_MUST_CHECK int inspect_manifest(struct inspect *in);

/* For logs and manifests: each record of the file in order. `record_fn` may tell damage with 1,
 * which ends the walk. What ended it is told as "end" of an item that the caller has begun. */
struct log_reader;
struct log_record;
typedef int inspect_record_fn(void *arg, const struct log_record *record);
struct inspect_log_end {
    const char *reason; /* "complete", "closed", "unfinished", "headless", "damaged" */
    uint64_t offset;
    uint64_t synced_bytes;
    struct log_end previous;
};
KV_MUST_CHECK int inspect_records(struct inspect *in, inspect_record_fn *record_fn, void *arg,
                                  struct inspect_log_end *ret_end);
/* Facts of how a log or manifest ends. */
void inspect_log_facts(struct inspect *in, const struct inspect_log_end *end);

#endif
