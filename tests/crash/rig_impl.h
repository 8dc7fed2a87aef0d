/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the rig share: rows and model (rig_rows.c), the store (rig.c), reading and
 * writing it (rig_read.c, rig_write.c), steps of scripts (rig_step.c). */
#ifndef TESTS_CRASH_RIG_IMPL_H
#define TESTS_CRASH_RIG_IMPL_H

#include "tests/crash/rig.h"

/* Numbers from here on stand for large values. */
enum { RIG_LARGE_FIRST = 1 << 24 };

/* The value that has this number, and the key. They stand in `to`. */
struct kv_slice rig_value(uint32_t number, uint8_t to[RIG_VALUE_MAX]);
struct kv_slice rig_key(int key, char to[16]);
/* Of an all-zero model. */
void rig_model_init(struct rig_model *model);
/* The batch is begun: the model has it from now on. */
void rig_model_add(struct rig_model *model, const struct rig_batch *batch);

/* Tell the observer. The second returns `r`. */
void rig_enter(const struct rig *rig, enum rig_call call);
int rig_leave(const struct rig *rig, enum rig_call call, int r);
/* Open a table; if it should be there, without a single call to the file system. */
KV_MUST_CHECK int rig_open_table(struct rig *rig, int i, bool must_exist);
/* Let go of the batch that is filled and not written. */
void rig_drop_late(struct rig *rig);
KV_MUST_CHECK int rig_fill_batch(struct rig *rig, const struct rig_batch *from,
                                 struct kv_batch *to);

/* Read every row at `snapshot` (NULL: now), in every way there is. */
KV_MUST_CHECK int rig_read_at(struct rig *rig, const struct kv_snapshot *snapshot,
                              struct rig_rows *ret_rows);
/* Named snapshot `i` shows what it must. Between steps, and every batch was written. */
KV_MUST_CHECK int rig_check_name(struct rig *rig, int i);
/* Make a named snapshot, drop one. */
KV_MUST_CHECK int rig_step_keep(struct rig *rig);
KV_MUST_CHECK int rig_step_forget(struct rig *rig);

#endif
