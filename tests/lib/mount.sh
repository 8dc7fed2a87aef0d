# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# A fresh store on a real mount for a test in bash. Source it with the build folder as $1; it gives
#   $kvfs  the program          $store  the store's directory
#   $work  an empty directory   $mnt    where it is mounted by mount_store
# and takes everything away at the end; the store stays for inspection if a point failed.

# shellcheck source=tests/lib/tap.sh
. "$(dirname "${BASH_SOURCE[0]}")/tap.sh"

kvfs=$(realpath "${1:?usage: $0 BUILD_DIR}")/tools/kvfs
work=$(mktemp -d)
store=$work/store
mnt=$work/mnt
mkdir "$mnt"

# wait_for COMMAND...: until it succeeds; fails after a minute, which a busy machine does not exceed.
wait_for() {
    local end=$((SECONDS + ${KV_PATIENCE_S:-60}))
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.1
    done
}

mount_store() {
    "$kvfs" mount "$@" "$store" "$mnt"
}

umount_store() {
    "$kvfs" umount "$mnt"
}

# Everything that the kernel or the daemon held in memory is gone afterwards.
remount_store() {
    umount_store && mount_store "$@"
}

# The kernel's switch for FUSE over io_uring (empty: it has none) is put back as it was.
uring_parameter=/sys/module/fuse/parameters/enable_uring
uring_before=
keep_uring_parameter() {
    uring_before=$(cat "$uring_parameter" 2>/dev/null)
}

mount_cleanup() {
    cd /
    [ -z "$uring_before" ] || echo "$uring_before" >"$uring_parameter"
    if mountpoint -q "$mnt" 2>/dev/null; then
        umount_store >/dev/null 2>&1 || umount -l "$mnt"
    fi
    if [ "$tap_failed" -eq 0 ]; then
        rm -rf "$work"
    else
        echo "# left for inspection: $work"
    fi
}
trap mount_cleanup EXIT
