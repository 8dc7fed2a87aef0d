#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: test_fs_peers.sh BUILD_DIR
# The comparison with other file systems runs to its end and leaves nothing, with a handful of files.
# What it measures here means nothing.
# shellcheck disable=SC2016 # commands for eval are meant to expand later
set -uo pipefail
unset KVFS_STORE
# shellcheck source=tests/lib/mount.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/mount.sh"

build=$(realpath "$1")
script=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../bench/fs_peers")
place=$work/place
mkdir "$place"

options=("$build" --dir "$place" --rounds 1 --num 200 --stream 2M --syncs 5 --tree 60 --threads 2)

compare() {
    "$script" "${options[@]}" "$@"
}

if compare --list >"$work/list" 2>&1 && grep -q '^1\.\.0' "$work/list"; then
    cat "$work/list"
    exit 0
fi

# Over rings where a mount takes them.
uring=
grep -q '^kvfs-uring *ready$' "$work/list" && uring=-uring

everything() {
    compare --peers "kvfs$uring,memory,memory-checked,memory$uring,memory-checked$uring,ext4" --output "$work/found" | tee "$work/table" &&
        grep -q "^| × ext4 | kvfs$uring | memory " "$work/table" && grep -q "^| × in memory, same transport | kvfs$uring | ext4 |$" "$work/table" &&
        grep -q "^| × in memory, permissions checked, same transport | kvfs$uring | ext4 |$" "$work/table"
}

# Each load of the list has a figure of every peer.
complete() {
    python3 - "$work/found.json" "$work/list" <<'END'
import json, sys
found = json.load(open(sys.argv[1]))
assert found["format_version"] == 1
loads = open(sys.argv[2]).read().split("loads: ")[1].split()
assert sorted(found["results"]) == sorted(loads), (sorted(found["results"]), sorted(loads))
for load, peers in found["results"].items():
    for peer, figures in peers.items():
        if (load, peer) != ("daemon-memory", "ext4"):
            assert len(figures) == 1 and figures[0] > 0, (load, peer, figures)
END
}

nothing_left() {
    [ -z "$(ls -A "$place")" ]
}

# In the middle of a round.
interrupted() {
    local pid
    "$script" "${options[@]}" --num 1000000 --peers kvfs --loads create-2 &
    pid=$!
    wait_for eval 'compgen -G "$place/fs_peers-*/peer/mnt/kvfs-bench-*" || compgen -G "$place/fs_peers-*/peer/store/*.log"'
    kill -TERM "$pid" && ! wait "$pid" && wait_for nothing_left
}

failing() {
    printf '#!/bin/sh\nexit 1\n' >"$work/broken" && chmod +x "$work/broken" && ! compare --program broken="$work/broken" --peers broken && nothing_left
}

point "every load runs on a mount, in memory and on ext4" everything
point "and has its figure" complete
point "and the picture, where there is gnuplot" eval '! command -v gnuplot || [ -s "$work/found.png" ]'
point "and nothing is left" nothing_left
point "nothing is left after a signal, either" interrupted
point "nor where a peer does not mount" failing
tap_finish
