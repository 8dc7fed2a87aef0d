#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: test_lost.sh BUILD_DIR
# On the cluster of CEPH_CONF (tests/rados/cluster run): daemons that are stopped until another one has taken their store over,
# and continued. The other one is on a machine of another name, and finds the socket of the first where its own goes.
set -uo pipefail
unset KVFS_STORE KVFS_TIMEOUT

# shellcheck source=tests/lib/mount.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/mount.sh"

store=rados://kvfs/lost-$$
daemon=

# on_beta COMMAND...
on_beta() {
    # shellcheck disable=SC2016 # for the other shell
    unshare --uts bash -c 'hostname beta && exec "$@"' _ "$@"
}

# ends_with STATUS: the first daemon.
ends_with() {
    local status=0
    wait_for eval '! kill -0 "$daemon" 2>/dev/null' || kill -KILL "$daemon"
    wait "$daemon" || status=$?
    echo "status $status, wanted $1"
    cat "$work/log"
    [ "$status" -eq "$1" ]
}

# says_once PATTERN
says_once() {
    grep -E "$1" "$work/log"
    [ "$(grep -cE "$1" "$work/log")" -eq 1 ]
}

is_mounted_and_used() {
    "$kvfs" mkfs -q "$store" || return
    "$kvfs" mount -f -o log="$work/log" "$store" "$mnt" 2>"$work/err" &
    daemon=$!
    wait_for mountpoint -q "$mnt" && echo old >"$mnt/file" && sync "$mnt/file" && exec 9<"$mnt/file" &&
        [ "$(head -c 3 <"$mnt/file")" = old ]
}

# Of the 30 s that the other one waits the first one's lease takes 20.
is_taken_over_while_it_is_stopped() {
    kill -STOP "$daemon" && on_beta "$kvfs" serve "$store"
}

ends_and_says_so() {
    kill -CONT "$daemon" && ends_with 7 && says_once "$store was lost to process [0-9]+ on beta, which serves it"
}

leaves_nothing_mounted() {
    ! mountpoint "$mnt" && ! head -c 1 <&9 && exec 9<&-
}

leaves_the_other_one_alone() {
    [ "$("$kvfs" get "$store" file)" = old ] && "$kvfs" put "$store" file new && [ "$("$kvfs" get "$store" file)" = new ] &&
        "$kvfs" umount "$store" && [ ! -e "/run/kvfs/kvfs:lost-$$" ]
}

# By one that is done with it again.
a_server_ends_as_well() {
    rm -f "$work/log"
    "$kvfs" serve -f -o log="$work/log" "$store" 2>"$work/err" &
    daemon=$!
    wait_for test -S "/run/kvfs/kvfs:lost-$$/control" && "$kvfs" put "$store" other old && kill -STOP "$daemon" || return
    # shellcheck disable=SC2016 # for the other shell
    on_beta "$kvfs" exec "$store" -- sh -c 'cat other && echo new >file' || return
    kill -CONT "$daemon" && ends_with 7 && says_once "$store was lost: another one took it over" && [ "$("$kvfs" get "$store" file)" = new ]
}

point "a store in a pool is mounted and used" is_mounted_and_used
point "its daemon is stopped, and another machine takes it over" is_taken_over_while_it_is_stopped
point "continued, the daemon says once who has the store, and ends with a status of its own" ends_and_says_so
point "it has unmounted itself, and what was open reads nothing" leaves_nothing_mounted
point "who took over is not disturbed" leaves_the_other_one_alone
point "a server without a mount ends as well" a_server_ends_as_well
tap_finish
