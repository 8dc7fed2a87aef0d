#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: test_lost.sh BUILD_DIR
# A mount whose store is lost to another holder; see lost_mount.c.
set -uo pipefail

mnt=$(mktemp -d)
"$1/tests/lost_mount" "$mnt"
status=$?
umount -l "$mnt" 2>/dev/null # only if it failed
rmdir "$mnt"
exit "$status"
