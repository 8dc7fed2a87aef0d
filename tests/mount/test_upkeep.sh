#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: test_upkeep.sh BUILD_DIR
# Copies of a store (kvfs checkpoint) and checks of all its bytes (kvfs verify), with and without a mount, beside
# somebody who writes.
# shellcheck disable=SC2016 # commands for eval are meant to expand later
set -uo pipefail
unset KVFS_STORE
# shellcheck source=tests/lib/mount.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/mount.sh"

copy_mnt=$work/copy-mnt
files=12000 # at most
wait_s=120  # for what takes a moment on an idle machine

# until_true COMMAND...: wait until it succeeds.
until_true() {
    local end=$((SECONDS + wait_s))
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || return
        sleep 0.05
    done
}

# Makes files one after the other, each of some bytes that its number tells; those that are divisible by 5 are made
# under another name first. How far it is stands in $work/acked.
write_files() {
    python3 - "$mnt/w" "$work/acked" "$work/stop" "$files" <<'END'
import os, sys
folder, acked, stop, most = sys.argv[1:]
os.mkdir(folder)
out = os.open(acked, os.O_WRONLY | os.O_CREAT, 0o644)
for i in range(1, int(most) + 1):
    name = f"{folder}/{i:06}"
    with open(name + ".new" if i % 5 == 0 else name, "wb", buffering=0) as file:
        file.write(f"{i} ".encode() * (i * 37 % 3000))
    if i % 5 == 0:
        os.rename(name + ".new", name)
    os.pwrite(out, f"{i:06}".encode(), 0)
    if os.path.exists(stop):
        break
END
}

acked() {
    local number
    number=$(cat "$work/acked" 2>/dev/null) && echo "$((10#$number))"
}

reached() {
    local number
    number=$(acked) && [ -n "$number" ] && [ "$number" -ge "$1" ]
}

# is_prefix FOLDER LEAST MOST: it holds the files up to a number between the two, whole, but for what was being made.
is_prefix() {
    python3 - "$@" <<'END'
import os, sys
folder, least, most = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
names = sorted(os.listdir(folder))
last = len(names)
print(f"{last} files, wanted {least} to {most}")
assert least <= last <= most + 1
for i, name in enumerate(names, 1):
    assert name == f"{i:06}" or (i == last and name == f"{i:06}.new"), name
    with open(f"{folder}/{name}", "rb") as file:
        found = file.read()
    assert found == f"{i} ".encode() * (i * 37 % 3000) or (i == last and found == b""), name
END
}

look_at_copy() {
    local result
    "$kvfs" verify "$1" && "$kvfs" mount "$1" "$copy_mnt" || return
    is_prefix "$copy_mnt/w" "$2" "$3"
    result=$?
    touch "$copy_mnt/own" && "$kvfs" umount "$copy_mnt" && [ ! -e "$mnt/own" ] && return "$result"
}

copies_beside_a_writer() {
    local i before
    write_files &
    for i in 1 2; do
        until_true reached $((i * 100)) || return
        before=$(acked)
        "$kvfs" checkpoint "$([ "$i" = 2 ] && echo "$store" || echo "$mnt")" "$work/copy$i" || return
        acked >"$work/after$i"
        echo "$before" >"$work/before$i"
        "$kvfs" verify "$mnt" || return
    done
    : >"$work/stop"
    wait $!
}

copies_are_prefixes() {
    local i
    for i in 1 2; do
        look_at_copy "$work/copy$i" "$(cat "$work/before$i")" "$(cat "$work/after$i")" || return
    done
}

original_is_whole() {
    is_prefix "$mnt/w" "$(acked)" "$(acked)" && "$kvfs" verify "$mnt"
}

# A copy of what nobody writes to is the same, row by row, and takes a relative path.
copies_offline() {
    (cd "$work" && "$kvfs" checkpoint "$store" copy4) && "$kvfs" scan "$store" >"$work/want" &&
        "$kvfs" scan "$work/copy4" | cmp - "$work/want" && [ -s "$work/want" ] &&
        [ "$(stat -c %a "$work/copy4")" = 700 ]
}

# refused STATUS PATTERN TARGET: with one line that says why, and nothing is left.
refused() {
    local said status
    said=$("$kvfs" checkpoint "$store" "$3" 2>&1)
    status=$?
    echo "status $status: $said"
    [ "$status" -eq "$1" ] && [[ $said =~ $2 ]] && [ "$(wc -l <<<"$said")" -eq 1 ] && [ ! -e "$3.tmp" ]
}

copies_are_refused() {
    refused 1 'copy1: there is something of that name' "$work/copy1" &&
        refused 1 'directory above' "$work/none/such" &&
        refused 1 'another file system' "$mnt/inside" && [ ! -e "$mnt/inside" ]
}

# finds STORE: a byte of a table is changed, which is found and named; changed back all is sound.
finds() {
    local table said='' status
    table=$(find "$store" -name '*.table' | sort | head -n 1)
    change "$table" && said=$("$kvfs" verify "$1" 2>"$work/err")
    status=$?
    echo "status $status: $said $(cat "$work/err")"
    [ "$status" -eq 4 ] && [[ $said == *"table $(basename "$table" .table)"*"(table "*", keys "* ]] &&
        grep -q 'is damaged: 1 finding' "$work/err" && ! "$kvfs" verify --json "$1" >"$work/json" &&
        python3 -c 'import json, sys; j = json.load(open(sys.argv[1])); f = j["findings"][0]
assert not j["sound"] and f["kind"] == "table" and f["error"] == 117 and f["text"]' "$work/json" &&
        change "$table" && "$kvfs" verify "$1"
}

# change FILE: byte 60 becomes another, or what it was.
change() {
    python3 -c 'import sys; f = open(sys.argv[1], "r+b"); f.seek(60); b = f.read(1)[0]; f.seek(60); f.write(bytes([b ^ 16]))' "$1"
}

# A check that would take hours does not keep the daemon from ending. With -f its bar is in the file as it is drawn.
unmount_ends_a_check() {
    local status
    script -qefc "timeout $wait_s '$kvfs' verify --limit=1K '$mnt'" "$work/bar" >/dev/null 2>&1 </dev/null &
    until_true grep -q '%' "$work/bar" && timeout "$wait_s" "$kvfs" umount "$mnt" || return
    wait $!
    status=$?
    tail -c 200 "$work/bar"
    [ "$status" -eq 1 ] && grep -q 'the daemon ended the conversation' "$work/bar"
}

mkdir "$copy_mnt"
point "a store is made and mounted" eval '"$kvfs" mkfs -q "$store" && mount_store'
point "copies are made while somebody writes, and the store is sound" copies_beside_a_writer
point "each copy is sound, mounts, and holds a prefix of what was written, with all that was written before" copies_are_prefixes
point "the store itself holds everything" original_is_whole
point "a copy that cannot be made is refused with the reason, and leaves nothing" copies_are_refused
# As it is closed the rows in memory go to a table.
point "mounted: a damaged table is found and named" eval 'remount_store && finds "$mnt"'
point "unmounting ends a check that is going on" unmount_ends_a_check
point "a store that is not mounted is copied" copies_offline
point "unmounted: a damaged table is found and named" finds "$store"
tap_finish
