#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: test_one_file.sh BUILD_DIR
# Random operations on one file (read, write, truncate, holes, copies, mmap, O_DIRECT, fsync) against
# an array of bytes, with remounts in between, without and with the kernel's write-back cache.
# KV_STEPS: operations in each of the two modes; KV_SEED: the seed.
set -uo pipefail
unset KVFS_STORE
# shellcheck source=tests/lib/mount.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/mount.sh"

one_file=$(realpath "$1")/tests/one_file
steps=${KV_STEPS:-$([ -n "${KV_SLOW:-}" ] && echo 400000 || echo 20000)}
seed=${KV_SEED:-$RANDOM$RANDOM}
rounds=$((steps / 50000 + 2))
echo "# replay with KV_SEED=$seed KV_STEPS=$steps"

# A round behind each remount: first the file is compared with what the last one left.
all_rounds() {
    local round
    for ((round = 0; round < rounds; round++)); do
        mount_store "$@" &&
            "$one_file" "$mnt/file" "$work/state" "$((seed + round))" "$((steps / rounds))" &&
            umount_store || return 1
    done
    mount_store "$@" && "$one_file" "$mnt/file" "$work/state" 1 0
}

run_mode() {
    rm -rf "$store" "$work/state"
    "$kvfs" mkfs -q "$store" && all_rounds "$@" && umount_store
}

point "$steps operations on one file agree with an array of bytes" run_mode -o memory=32M
point "$steps operations agree with the kernel's write-back cache" run_mode -o memory=32M,writeback

is_refused() {
    ! "$kvfs" "$@" 2>"$work/said" && grep "new.*writeback.*through the mount" "$work/said"
}

# The kernel would go on showing the old size.
keys_with_writeback() {
    mount_store -o writeback && "$kvfs" put "$store" new 1 && [ "$(cat "$mnt/new")" = 1 ] && is_refused put "$store" new 22 &&
        is_refused batch "$store" <<<'put new 22' && [ "$(cat "$mnt/new")" = 1 ] &&
        "$kvfs" del "$store" new && "$kvfs" put "$store" new 22 && [ "$(cat "$mnt/new")" = 22 ] && umount_store
}
point "with the write-back cache a key is made but never replaced behind the kernel's back" keys_with_writeback
tap_finish
