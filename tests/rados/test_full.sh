#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: test_full.sh BUILD_DIR
# On the cluster of CEPH_CONF (tests/rados/cluster run): it is told to count as full, and later not to. (A quota would
# need a manager, which that cluster does not have.)
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/tap.sh
. "$here/../lib/tap.sh"

full=$1/tests/rados/full

# full_at RATIO: of each server; the two ratios that only warn must not be above it.
full_at() {
    local which
    for which in nearfull backfillfull full; do
        timeout 30 ceph osd "set-$which-ratio" "$1" || return
    done
}

# expect WORD: the program says that next.
expect() {
    local word
    read -r word <&"$from"
    [ "$word" = "$1" ] || {
        echo "'$word' and not '$1'"
        return 1
    }
}

it_fills_and_empties() {
    local from to pid
    coproc PROGRAM { exec "$full"; }
    pid=$PROGRAM_PID
    exec {from}<&"${PROGRAM[0]}" {to}>&"${PROGRAM[1]}" # bash closes its own when the program ends
    expect ready && full_at 0.0001 && echo >&"$to" && expect full && full_at 0.95 && echo >&"$to" && expect ended && wait "$pid"
}

point "a full pool refuses what takes room and nothing else, and writing goes on once there is some" it_fills_and_empties
full_at 0.95 >/dev/null 2>&1
tap_finish
