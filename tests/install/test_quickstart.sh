#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: test_quickstart.sh BUILD_DIR
# The first command of the front page, on a release build that is there already.
set -uo pipefail
# shellcheck source=tests/lib/mount.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/mount.sh"

quickstart=$(dirname "${BASH_SOURCE[0]}")/../../tools/quickstart
KVFS_BUILD=$(realpath "$1")
export KVFS_BUILD

# Names with spaces on purpose.
store="$work/a store"
mnt="$work/a mount"

keep_uring_parameter # quickstart turns it on
[ -z "$uring_before" ] || echo N >"$uring_parameter"

runs_over_io_uring() {
    ls "$mnt" && "$kvfs" status --json "$mnt" | grep '"transport":"io_uring"' && grep -q "turned on FUSE over io_uring" "$work/output"
}

shows_the_tour() {
    "$quickstart" "$store" "$mnt" >"$work/output" || return
    cat "$work/output"
    [ "$(findmnt -n -o FSTYPE "$mnt")" = fuse.kvfs ] && grep -q "green and sour" "$work/output" &&
        grep -A 3 '^\$ ls -U' "$work/output" | tail -n 3 | tr '\n' ' ' | grep -qx 'apple cherry plum '
}

daemon_pid() {
    "$kvfs" status --json "$store" | python3 -c 'import json, sys; print(json.load(sys.stdin)["pid"])'
}

# Nothing is compiled, and the same daemon goes on.
does_no_more_and_says_so() {
    local daemon built
    daemon=$(daemon_pid) && built=$(stat -c %y "$kvfs") && shows_the_tour && grep -q "already mounted" "$work/output" &&
        [ "$(daemon_pid)" = "$daemon" ] && [ "$(stat -c %y "$kvfs")" = "$built" ]
}

recovers_from_a_killed_daemon() {
    local daemon
    daemon=$(daemon_pid) || return
    kill -9 "$daemon" || return
    while kill -0 "$daemon" 2>/dev/null; do sleep 0.05; done
    shows_the_tour
}

another_store_is_refused() {
    ! "$quickstart" "$work/other" "$mnt" && [ ! -e "$work/other" ]
}

unmounts_as_it_says() {
    bash -c "$(grep -A 1 'Unmount it with' "$work/output" | tail -n 1)" && ! mountpoint -q "$mnt"
}

point "makes a store, mounts it and shows it" shows_the_tour
if [ -n "$uring_before" ] && [ -d "$KVFS_BUILD/../libfuse/lib" ]; then
    point "the mount runs over io_uring where the kernel offers it" runs_over_io_uring
else
    skip "the mount runs over io_uring" "this kernel does not offer it, or its library cannot be had here"
fi
point "run again it makes nothing anew and says that it is mounted" does_no_more_and_says_so
point "run after the daemon was killed it mounts again" recovers_from_a_killed_daemon
point "another store on the same mount point is refused" another_store_is_refused
point "the command it prints unmounts" unmounts_as_it_says
tap_finish
