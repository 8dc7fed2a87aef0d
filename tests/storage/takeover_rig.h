/* SPDX-License-Identifier: Apache-2.0 */
/* A writer with a script that touches everything a store in a pool can do, and what it knows: which
 * steps were done, which one may or may not have been. Then: does who takes over find just that? */
#ifndef TESTS_STORAGE_TAKEOVER_RIG_H
#define TESTS_STORAGE_TAKEOVER_RIG_H

#include "kvcore/storage/pooled_store.h"
#include "tests/lib/check_main.h"
#include "tests/storage/fake_cluster.h"

enum {
    RIG_LEASE_MS = 20000,
    RIG_PIECE_BYTES = 4096,
    RIG_FILES = 5,
};

/* What is known of a file. Its bytes follow from its id and their place. */
struct rig_file {
    struct kv_file_id id;
    enum { RIG_ABSENT, RIG_PRESENT, RIG_EITHER } presence;
    uint64_t size;     /* acknowledged */
    uint64_t size_max; /* tried */
};

struct rig_model {
    struct rig_file files[RIG_FILES];
    uint64_t version;     /* of the root record: acknowledged */
    uint64_t version_max; /* tried */
};

/* A storage over a new client. */
struct kv_storage *rig_connect(struct fake_cluster *cluster, fake_plan_fn *plan, void *arg);
/* Open the store and take the lease, making it if need be. On failure it is closed again. */
KV_MUST_CHECK int rig_acquire(struct fake_cluster *cluster, fake_plan_fn *plan, void *arg,
                              struct kv_storage **ret_storage);

/* The script, until something fails; closes the storage. Returns what failed first. */
int rig_run_script(struct kv_storage *storage, struct rig_model *model);

/* What the storage, which has the exclusive lease, shows agrees with the model, and in the cluster
 * there are at most `strays_max` objects without a name in the store, and they are empty. */
void rig_verify(struct fake_cluster *cluster, struct kv_storage *storage,
                const struct rig_model *model, unsigned strays_max);
/* What logs of the model there are can be appended to. */
void rig_resume_logs(struct kv_storage *storage, struct rig_model *model);
/* The store can be written to: a root record and a log more. */
void rig_go_on(struct kv_storage *storage);

#endif
