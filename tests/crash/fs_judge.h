/* SPDX-License-Identifier: Apache-2.0 */
/* Judges what a crash left of a filesystem: opens it, compares it with the tree, walks its rows,
 * works on with it, and crashes it again, also while it is being opened. Ends the test (ck_abort)
 * at the first fault; `where` of the check says after what. */
#ifndef TESTS_CRASH_FS_JUDGE_H
#define TESTS_CRASH_FS_JUDGE_H

#include "tests/crash/crash_check.h"
#include "tests/crash/fs_rig.h"

/* Try several kinds of damage on an image of the filesystem that `work` drives. */
void fs_judge_image(struct crash_check *check, const struct fs_rig *work,
                    const struct crash_image *image, unsigned random_damages);

#endif
