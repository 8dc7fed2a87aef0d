#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: test_differential.sh BUILD_DIR
# The same random operations of several processes and users on a mount and on ext4 (tests/posix/diff.h),
# without and with the kernel's write-back cache, with remounts and kills of the daemon in between.
# KV_STEPS: operations in each of the two modes; KV_SEED: the seed (always the same but for --slow: what
# has not been met yet is looked for there). KV_ONLY_STEPS: a list of steps to
# replay, as the program prints it.
set -uo pipefail
unset KVFS_STORE
# shellcheck source=tests/lib/mount.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/mount.sh"

differ=$(realpath "$1")/tests/posix_diff
known=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../posix/diff_known")
steps=${KV_STEPS:-$([ -n "${KV_SLOW:-}" ] && echo 500000 || echo 25000)}
seed=${KV_SEED:-$([ -n "${KV_SLOW:-}" ] && echo $RANDOM$RANDOM || echo 5)}
ext4=$work/ext4
trap 'umount "$ext4" 2>/dev/null; mount_cleanup' EXIT
echo "# replay with KV_SEED=$seed KV_STEPS=$steps"

# Inodes large enough for attributes, and values beside them: ext4 has no room for many otherwise.
mount_ext4() {
    mkdir "$ext4" && truncate -s 1G "$work/image" && mkfs.ext4 -q -F -b 4096 -I 1024 -O ea_inode "$work/image" &&
        mount -t ext4 -o loop,nosuid,nodev,noatime "$work/image" "$ext4"
}

# The daemon runs in the foreground of a subshell, so that the process to kill is known.
write_commands() {
    cat >"$work/start" <<END
"$kvfs" mount -f -o "$1,log=$work/daemon.log" "$store" "$mnt" & echo \$! >"$work/pid"
for ((i = 0; i < 6000; i++)); do
    mountpoint -q "$mnt" && stat -f "$mnt" >/dev/null 2>&1 && exit 0
    kill -0 "\$(cat "$work/pid")" || exit 1
    sleep 0.01
done
exit 1
END
    # Whoever looks at all mounts (df) keeps one busy for a moment.
    cat >"$work/remount" <<END
for ((i = 0; i < 50; i++)); do
    "$kvfs" umount "$mnt" 2>"$work/umount.log" && exec bash "$work/start"
    sleep 0.1
done
cat "$work/umount.log"
exit 1
END
    cat >"$work/crash" <<END
sync -f "$mnt" && kill -9 "\$(cat "$work/pid")" && umount -l "$mnt" && exec bash "$work/start"
END
}

run_mode() {
    rm -rf "$store"
    "$kvfs" mkfs -q "$store" && write_commands "$2" && bash "$work/start" &&
        "$differ" --seed "$seed" --steps "${KV_ONLY_STEPS:-$steps}" --known "$known" --target "$1" --shrink \
            --remount "bash $work/remount" --crash "bash $work/crash" "$mnt" "$ext4" && umount_store
}

if [ "$(id -u)" -ne 0 ]; then
    skip "a mount does what ext4 does" "the steps are those of several users and so need root"
elif mount_ext4 >"$work/log" 2>&1; then
    point "$steps operations give the same on a mount and on ext4" run_mode kvfs memory=32M,noatime
    mountpoint -q "$mnt" && umount_store
    point "$steps operations give the same with the kernel's write-back cache" run_mode writeback memory=32M,noatime,writeback
    echo "# tried: $steps operations in each of two modes"
else
    skip "a mount does what ext4 does" "no ext4 image can be mounted here: $(tail -n 1 "$work/log")"
fi
tap_finish
