# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What the tests of real programs share. Source it with the build folder as $1; it gives what
# mount.sh gives, and
#   $outside  a directory on the file system below, to compare with
#   $slow     not empty for the long forms
# Each test program runs its points once on a mount as it is by default and once with writeback,
# unless it sets `modes` otherwise.

# shellcheck source=tests/lib/mount.sh
. "$(dirname "${BASH_SOURCE[0]}")/mount.sh"

slow=${KV_SLOW:-}
modes=(default writeback)
outside=$work/outside
mkdir "$outside"
chmod 755 "$work" # servers run as another user

# Identity and configuration of whoever runs the tests must not matter.
export HOME=$work GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=T GIT_AUTHOR_EMAIL=t@example.com \
    GIT_COMMITTER_NAME=T GIT_COMMITTER_EMAIL=t@example.com LC_ALL=C

# in_modes FUNCTION runs it on a fresh store in each mode; $mode says which.
in_modes() {
    local function=$1 options
    for mode in "${modes[@]}"; do
        options=allow_other,suid,dev
        [ "$mode" = writeback ] && options=$options,writeback
        if ! point "$mode: a store is made and mounted" \
            eval '"$kvfs" mkfs -q --force "$store" && mount_store -o "$options"'; then
            continue
        fi
        "$function"
        point "$mode: the mount ends well" umount_store
        point "$mode: every row of the store is as it must be" rows_are_sound
    done
}

# No daemon may have the store.
rows_are_sound() {
    "$(dirname "$kvfs")/../tests/fs/fs_check_store" "$store"
}

# need NAME PROGRAM... ends the test program, all skipped, where one is missing.
need() {
    local name=$1 program
    shift
    for program in "$@"; do
        if ! command -v "$program" >/dev/null; then
            echo "1..0 # skip $name: there is no $program here"
            exit 0
        fi
    done
}
