#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: test_outages.sh BUILD_DIR
# On the cluster of CEPH_CONF (tests/rados/cluster run): servers die and come back under a load.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/tap.sh
. "$here/../lib/tap.sh"

endure=$1/tests/rados/endure
folder=$(dirname "$CEPH_CONF")

up() {
    timeout 10 ceph osd stat 2>/dev/null | grep -q "$1 up"
}

await_up() {
    for _ in {1..300}; do
        up "$1" && return
        sleep 0.2
    done
    echo "no $1 servers up"
    return 1
}

# begin_load SECONDS, end_load
begin_load() {
    "$endure" "$1" >"$folder/endured" 2>&1 &
    load=$!
    sleep 2
}

end_load() {
    local status=0
    wait "$load" || status=$?
    sed 's/^/# /' "$folder/endured" >&3
    cat "$folder/endured"
    return "$status"
}

each_dies_once() {
    local id
    begin_load 40
    for id in 0 1 2; do
        "$here/cluster" kill "$folder" "$id" || return
        sleep 5
        "$here/cluster" revive "$folder" "$id" || return
        await_up 3 || return
        sleep 3
    done
    end_load
}

# Two of three copies are needed: everything waits, longer than a lease lasts, and goes on by itself.
two_are_away() {
    begin_load 45
    "$here/cluster" kill "$folder" 0 || return
    "$here/cluster" kill "$folder" 1 || return
    sleep 30
    "$here/cluster" revive "$folder" 0 || return
    "$here/cluster" revive "$folder" 1 || return
    await_up 3 || return
    end_load
}

exec 3>&1
point "each of three servers dies under a load and comes back: nothing fails, nothing is lost" each_dies_once
point "two of three are away for longer than a lease: the load waits, and goes on" two_are_away
tap_finish
