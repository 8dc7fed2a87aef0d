/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the filesystem's rig share. */
#ifndef TESTS_CRASH_FS_RIG_IMPL_H
#define TESTS_CRASH_FS_RIG_IMPL_H

#include "tests/crash/fs_rig.h"

uint64_t fs_rig_pick(struct fs_rig *rig, uint64_t bound);
/* A node that is wanted; unlinked ones too. -1 if there is none. */
int fs_rig_pick_node(struct fs_rig *rig, bool (*is_wanted)(const struct tree_node *node));
bool fs_rig_is_file(const struct tree_node *node);
/* Bytes that no other operation has written; never zeros. */
void fs_rig_fill(struct fs_rig *rig, uint8_t *to, size_t size);
/* Every operation stands between these two. */
void fs_rig_issue(struct fs_rig *rig);
void fs_rig_acknowledge(struct fs_rig *rig);

/* fs_rig_contents.c: steps of that name, see fs_rig.h. */
void fs_rig_step_write(struct fs_rig *rig, char step);
void fs_rig_step_page(struct fs_rig *rig);
void fs_rig_step_copy(struct fs_rig *rig);
void fs_rig_step_truncate(struct fs_rig *rig, char step);
void fs_rig_step_punch(struct fs_rig *rig);

#endif
