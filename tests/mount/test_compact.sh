#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: test_compact.sh BUILD_DIR
# kvfs compact and health, on a store that is mounted and on one that is not.
# shellcheck disable=SC2016 # commands for eval are meant to expand later
set -uo pipefail
unset KVFS_STORE
# shellcheck source=tests/lib/mount.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/mount.sh"

lib=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../lib")

# json EXPRESSION: what stdin holds satisfies the Python expression over `j`.
json() {
    python3 -c 'import json, sys; j = json.load(sys.stdin); print(j); sys.exit(0 if eval(sys.argv[1]) else 1)' "$1"
}

# Each call leaves another table: closing a store writes what is in memory.
write_tables() {
    local round
    for round in 1 2 3; do
        "$kvfs" put "$store" "key$round" "value of $round" && "$kvfs" put "$store" again "$round" || return
    done
}

# compacts TARGET: afterwards all rows lie in the lowest level, and are what they were.
compacts() {
    "$kvfs" scan "$store" >"$work/before" && "$kvfs" compact "$1" && "$kvfs" scan "$store" | cmp - "$work/before" &&
        "$kvfs" stats "$1" --json | json 'sum(l["rows"] for l in j["levels"][:-1]) == 0 and j["levels"][-1]["rows"] > 0'
}

compacts_mounted() {
    "$kvfs" stats "$mnt" --json | json 'j["levels"][-1]["rows"] > 0' && echo more >"$mnt/more" && mkdir "$mnt/dir" && compacts "$mnt" &&
        [ "$(cat "$mnt/more")" = more ]
}

# is_well TARGET: but for what a machine that is busy or full may bring about.
is_well() {
    local status
    "$kvfs" health "$1" --json >"$work/out"
    status=$?
    json "all(r['kind'] in ('space', 'syncs', 'stalls') for r in j['reasons']) and $status == (len(j['reasons']) > 0) == (j['health'] != 'ok')" <"$work/out"
}

# A read of damaged bytes shows.
damage_shows() {
    local status
    is_well "$mnt" || return
    ! cat "$mnt/large" >/dev/null || return
    "$kvfs" health "$mnt" >"$work/out"
    status=$?
    cat "$work/out"
    [ "$status" -eq 1 ] && [ "$(head -n 1 "$work/out")" = degraded ] && grep -q 'damage was met' "$work/out" || return
    "$kvfs" health "$mnt" --json >"$work/out"
    json 'j["health"] == "degraded" and "damage" in [r["kind"] for r in j["reasons"]] and j["format_version"] == 1' <"$work/out"
}

damage() {
    head -c 3000000 /dev/urandom >"$work/large" && "$kvfs" put "$store" large - <"$work/large" &&
        python3 "$lib/flip_byte.py" "$store" "$work/large" 1000000
}

point "a store with several tables is made" eval '"$kvfs" mkfs -q "$store" && write_tables && "$kvfs" stats "$store" --json |
    json "sum(l[\"files\"] for l in j[\"levels\"]) > 1"'
point "unmounted: all is merged into the lowest level" compacts "$store"
point "unmounted: a good store is well" is_well "$store"
point "a value is damaged" damage
point "the store is mounted" mount_store
point "mounted: damage that was met shows in health" damage_shows
point "the damaged value is removed and the store mounted again" eval 'rm "$mnt/large" && remount_store'
point "mounted: all is merged into the lowest level" compacts_mounted
# Until the merge what was removed is still there, and the check of what is suspected may meet it.
point "mounted again: the store is well once the suspected file was found sound" eval 'remount_store && wait_for is_well "$mnt"'
point "a missing store is a failure" eval '"$kvfs" compact "$work/none"; [ $? -eq 1 ] && ! "$kvfs" health "$work/none"'
tap_finish
