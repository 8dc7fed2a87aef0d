#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: test_fsck.sh BUILD_DIR
# fsck as an administrator uses it: refused on a mounted store, silent on a sound one, and on a damaged one it says
# what is wrong, repairs it, keeps what it removes, and takes it back.
# shellcheck disable=SC2016 # commands for eval are meant to expand later
set -uo pipefail
unset KVFS_STORE
# shellcheck source=tests/lib/mount.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/mount.sh"

fsck=$(dirname "$kvfs")/fsck.kvfs
archive=$store/lost+found.d/00000001

fill() {
    "$kvfs" mkfs -q "$store" && mount_store && mkdir "$mnt/d" || return
    for i in $(seq 300); do
        head -c $((i * 7)) /dev/zero | tr '\0' x >"$mnt/d/$i" || return
    done
    sync "$mnt/d" && ls "$mnt/d" | LC_ALL=C sort >"$work/names"
}

# exits CODE COMMAND...
exits() {
    local code=$1 status
    shift
    "$@" >"$work/out" 2>&1
    status=$?
    cat "$work/out"
    [ "$status" -eq "$code" ]
}

refused_while_mounted() {
    exits 8 "$fsck" -n "$store" && grep -qF "mounted on $mnt" "$work/out" &&
        exits 8 "$kvfs" fsck -y "$mnt" && grep -qF "mounted on $mnt" "$work/out" &&
        exits 8 "$kvfs" recover --output "$work/none" "$store" && grep -qF "mounted on $mnt" "$work/out" && [ ! -e "$work/none" ]
}

checksums() {
    (cd "$1" && find . -name lost+found.d -prune -o -type f ! -name LOCK -print0 | LC_ALL=C sort -z | xargs -0 sha256sum)
}

sound() {
    exits 0 "$kvfs" fsck "$store" && grep -q ': clean$' "$work/out" &&
        exits 0 "$kvfs" fsck --json --deep "$store" && python3 -c 'import json, sys
report = json.load(open(sys.argv[1]))
assert report["exit_code"] == 0 and report["problems"] == [], report' "$work/out"
}

# Each pass is told of when it begins.
progress_is_told() {
    exits 0 "$kvfs" fsck -C 9 "$store" 9>"$work/progress" && ! grep -vE '^[a-z ]+ [0-9]+ [0-9]+$' "$work/progress" &&
        [ "$(sed 's/ [0-9]* [0-9]*$//' "$work/progress" | uniq | paste -sd,)" = root,files,manifest,logs,tables,blobs,rows ]
}

damage_root_copy() {
    python3 - "$store/ROOT" <<'END'
import struct, sys
with open(sys.argv[1], "r+b") as root:
    slots = [struct.unpack_from("<Q", root.read(4096), 8)[0] for _ in range(2)]
    at = slots.index(min(slots)) * 4096 + 40
    root.seek(at)
    byte = root.read(1)[0]
    root.seek(at)
    root.write(bytes([byte ^ 16]))
END
}

told_and_unchanged() {
    damage_root_copy && checksums "$store" >"$work/before" && exits 4 "$kvfs" fsck -n "$store" &&
        grep -q '^ROOT_COPY_DAMAGED (103): ' "$work/out" && checksums "$store" | diff "$work/before" -
}

repaired() {
    exits 1 "$kvfs" fsck -p "$store" && grep -qF "$archive" "$work/out" && exits 0 "$kvfs" fsck "$store"
}

taken_back() {
    exits 1 "$kvfs" fsck --undo "$archive" "$store" && checksums "$store" | diff "$work/before" - &&
        exits 4 "$kvfs" fsck "$store" && exits 1 "$kvfs" fsck -y "$store"
}

all_there() {
    mount_store && ls "$mnt/d" | LC_ALL=C sort | diff "$work/names" - && [ "$(stat -c %s "$mnt/d/300")" = 2100 ] &&
        umount_store
}

# To another store: the damaged one keeps its bytes, and the other one has the files.
recovered() {
    checksums "$store" >"$work/before" && exits 1 "$kvfs" recover --output "$work/saved" "$store" &&
        grep -q '^ROOT_COPY_DAMAGED (103): ' "$work/out" && checksums "$store" | diff "$work/before" - &&
        exits 0 "$kvfs" fsck --deep "$work/saved" && "$kvfs" ls "$work/saved" d | LC_ALL=C sort | diff "$work/names" -
}

recover_refuses() {
    exits 16 "$kvfs" recover "$store" && exits 8 "$kvfs" recover -o "$work/saved" "$store" &&
        grep -qF 'it is not empty' "$work/out" && exits 8 "$kvfs" recover -o "$store/b" "$store" &&
        grep -qF 'it lies in the damaged store' "$work/out" && exits 8 "$kvfs" recover -o "$work/no/where" "$store" &&
        mkdir "$work/other" && exits 8 "$kvfs" recover -o "$work/new" "$work/other" && [ ! -e "$work/new" ] && [ ! -e "$store/b" ] &&
        checksums "$store" | diff "$work/before" -
}

# The new store does not fit where it is to be.
recover_without_room() {
    mkdir "$work/small" && mount -t tmpfs -o size=64k tmpfs "$work/small" || return
    exits 8 "$kvfs" recover -o "$work/small/b" "$store" && grep -qF 'no space left' "$work/out" &&
        grep -qF "$work/small/b holds a part of the copy" "$work/out" && checksums "$store" | diff "$work/before" -
    local status=$?
    umount "$work/small" && return $status
}

# A table of rows whose loss shows: the largest one.
damage_rows() {
    local table
    table=$(cd "$store" && ls -S ./*.table | head -n 1)
    python3 -c 'import sys; f = open(sys.argv[1], "r+b"); f.seek(100); b = f.read(1)[0]; f.seek(100); f.write(bytes([b ^ 16]))' \
        "$store/$table"
}

# taken_back_within STORE: by the command that the message names, if need be once there is room.
taken_back_within() {
    local archive status
    archive=$1/$(grep -oE 'lost\+found\.d/[0-9]+' "$work/out" | tail -n 1)
    "$kvfs" fsck --undo "$archive" "$1" >>"$work/out" 2>&1
    status=$?
    if [ $status -eq 8 ] && grep -q 'cannot take the repair of .* back: no space left' "$work/out"; then
        mount -o remount,size=4m "$work/full" && "$kvfs" fsck --undo "$archive" "$1"
        status=$?
    fi
    [ $status -eq 1 ]
}

# repair_within KIB: on a file system of that size. Sets what came of it: nothing, part, all; fails if what it says is wrong.
repair_within() {
    local full=$work/full/s status
    mkdir -p "$work/full" && mount -t tmpfs -o size="$1k" tmpfs "$work/full" || return
    if ! cp -a "$store" "$full" 2>"$work/out"; then # not even a copy fits
        came= && umount "$work/full"
        return
    fi
    "$kvfs" fsck -y "$full" >"$work/out" 2>&1
    status=$?
    if [ $status -eq 1 ]; then
        came=all
        "$kvfs" fsck "$full" >>"$work/out"
    elif grep -qF 'Nothing was changed' "$work/out"; then
        came=nothing
        [ $status -eq 8 ] && checksums "$full" | diff "$work/before" -
    else
        came=part
        [ $status -eq 8 ] && grep -qF 'cannot finish the repair' "$work/out" && taken_back_within "$full" && checksums "$full" | diff "$work/before" -
    fi
    status=$?
    umount "$work/full" && return $status
}

# With a little more room each time: first nothing is done, then the first step only, in the end all.
repair_without_room() {
    local kib came=nothing seen=
    checksums "$store" >"$work/before"
    for ((kib = $(du -s --apparent-size "$store" | cut -f1); ; kib += 4)); do
        repair_within "$kib" || { cat "$work/out" && return 1; }
        [ "${seen##* }" = "$came" ] || seen="$seen${came:+ }$came"
        [ "$came" != all ] || break
    done
    echo "#$seen"
    [ "$seen" = " nothing part all" ]
}

lost_rows_are_told() {
    exits 4 "$kvfs" fsck -p "$store" && grep -q '^TABLE_BLOCK (508): .*keys ' "$work/out" &&
        exits 4 "$kvfs" fsck -n "$store" &&
        exits 1 "$kvfs" fsck -y "$store" && grep -q 'TABLE_BLOCK' "$work/out" && exits 0 "$kvfs" fsck "$store"
}

point "a store is made and filled" fill
point "a mounted store is refused with its mount point" refused_while_mounted
umount_store
point "a sound store is clean" sound
point "it tells how far it is, pass by pass" progress_is_told
point "damage is told, and -n changes nothing" told_and_unchanged
point "it is saved to another store, and keeps its bytes" recovered
point "recover refuses what is no place, and what is no store" recover_refuses
point "where the new store does not fit, it says what is there" recover_without_room
point "what loses nothing is repaired unattended, and the next run is clean" repaired
point "a repair is taken back byte for byte, and made again" taken_back
point "everything is there afterwards" all_there
damage_rows
point "on a full file system a repair says what it did, which can be taken back" repair_without_room
point "lost rows are not repaired unattended, but told and repaired with -y" lost_rows_are_told
point "a directory that is no store is no store" eval 'mkdir "$work/none" && exits 8 "$kvfs" fsck "$work/none"'
point "a wrong option is a matter of usage" exits 16 "$kvfs" fsck -n -y "$store"
tap_finish
