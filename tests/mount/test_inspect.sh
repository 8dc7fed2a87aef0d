#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: test_inspect.sh BUILD_DIR
# The commands that show one file of a store: of one that is mounted and written to, of one at rest, damaged, moved
# away, and of the wrong kind.
# shellcheck disable=SC2016 # commands for eval are meant to expand later
set -uo pipefail
unset KVFS_STORE
# shellcheck source=tests/lib/mount.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/mount.sh"

fill() {
    "$kvfs" mkfs -q "$store" && mount_store && mkdir "$mnt/d" || return
    for i in $(seq 200); do
        echo "$i" >"$mnt/d/$i" || return
    done
    head -c 100000 /dev/urandom >"$mnt/large" && sync "$mnt/large" && "$kvfs" snapshot create "$mnt" monday
}

# exits CODE COMMAND...
exits() {
    local code=$1 status
    shift
    "$@" >"$work/out" 2>"$work/err"
    status=$?
    head -n 40 "$work/out" "$work/err"
    [ "$status" -eq "$code" ]
}

# The largest file of the store that ends so.
file() {
    find "$store" -maxdepth 1 -name "*.$1" -printf "%s %p\n" | sort -n | tail -n 1 | cut -d " " -f 2
}

# sound COMMAND END OPTION...
sound() {
    local name
    name=$(file "$2")
    exits 0 "$kvfs" "$1" "${@:3}" "$name" && [ "$(tail -n 1 "$work/out")" = "$name: sound" ]
}

while_written_to() {
    (while :; do echo x >"$mnt/d/written" && sync "$mnt/d/written"; done) &
    local writer=$!
    sound wal log --rows && sound manifest manifest && sound sst table && sound blob blob --rows
    local status=$?
    kill $writer && wait $writer 2>/dev/null
    return $status
}

names_are_shown() {
    sound manifest manifest && grep -qP '^snapshot\tname=monday\t' "$work/out" && grep -qP '^keyspace\tkeyspace_id=1\t' "$work/out" &&
        sound sst table --rows --key=hex && grep -qP '^put\tblock=\d+\tsequence=\d+\tkey=[0-9a-f]+\tvalue=' "$work/out" &&
        sound sst table --rows --key=none --value=len && grep -qP '^put\tblock=\d+\tsequence=\d+\tvalue=\d+$' "$work/out"
}

as_json() {
    exits 0 "$kvfs" sst --json --rows --parts "$(file table)" && python3 - "$work/out" <<'END'
import json, sys
items = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
assert all(item["format_version"] == 1 for item in items)
files = [item for item in items if item["item"] == "file"]
rows = [item for item in items if item["item"] == "row"]
assert len(files) == 1 and files[0]["type"] == "table" and files[0]["row_count"] == len(rows) > 0
assert any(item["item"] == "part" and item["type"] == "block" for item in items)
assert items[-1]["item"] == "end" and items[-1]["sound"] is True and items[-1]["damages"] == 0
END
}

checksums() {
    (cd "$store" && sha256sum -- *)
}

nothing_is_changed() {
    checksums >"$work/before" && sound wal log && sound manifest manifest && sound sst table && sound blob blob &&
        checksums | diff "$work/before" -
}

flip() {
    python3 -c 'import sys; f = open(sys.argv[1], "r+b"); f.seek(int(sys.argv[2])); b = f.read(1)[0]; f.seek(int(sys.argv[2])); f.write(bytes([b ^ 16]))' "$@"
}

# damaged COMMAND END AT OFFSET: the byte at AT is told with the offset of what it belongs to
damaged() {
    local name
    name=$(file "$2")
    flip "$name" "$3" && exits 4 "$kvfs" "$1" "$name" && grep -q "^damaged at $4: " "$work/out" &&
        [ "$(tail -n 1 "$work/out")" = "$name: damaged" ] && grep -q "^kvfs: $name is damaged: " "$work/err" &&
        exits 4 "$kvfs" "$1" --json "$name" && tail -n 1 "$work/out" | grep -qF '"sound":false'
    local status=$?
    flip "$name" "$3" && [ $status -eq 0 ] && sound "$1" "$2"
}

damage_is_told() {
    local blob
    blob=$(stat -c %s "$(file blob)")
    damaged sst table 100 0 && damaged wal log 5 0 && damaged manifest manifest 50 0 && damaged blob blob $((blob - 3)) $((blob - 64))
}

elsewhere() {
    local table
    table=$(file table)
    mkdir "$work/away" && cp "$table" "$work/away" && exits 1 "$kvfs" sst "$work/away/${table##*/}" &&
        grep -qF -- '--store=DIR' "$work/err" && exits 0 "$kvfs" sst --store "$store" "$work/away/${table##*/}" &&
        (cd "$store" && exits 0 "$kvfs" sst "${table##*/}")
}

misused() {
    exits 2 "$kvfs" sst "$(file blob)" && grep -qF 'is not the name of a table' "$work/err" && exits 2 "$kvfs" wal "$store/ROOT" &&
        exits 2 "$kvfs" blob && exits 2 "$kvfs" manifest a b && exits 1 "$kvfs" sst "$store/00009999.table" &&
        exits 1 "$kvfs" sst "$work/no/where/00000001.table"
}

full_disk() {
    "$kvfs" sst --rows "$(file table)" >/dev/full 2>"$work/err"
    [[ $? =~ ^(1|6)$ ]] && cat "$work/err" && grep -q 'No space left\|cannot write' "$work/err"
}

point "a store is made, mounted and filled" fill
point "its tables are written" "$kvfs" compact "$mnt"
point "the files of a mounted store are shown while it is written to" while_written_to
umount_store
point "rows, keyspaces and snapshots are shown" names_are_shown
point "as JSON each is an object a line" as_json
point "nothing is changed" nothing_is_changed
point "damage is told with its offset, and the exit status is 4" damage_is_told
point "a file elsewhere needs its store named" elsewhere
point "a file of another kind, none, two, or one that is not there is said" misused
point "output that cannot be written is a failure" full_disk
tap_finish
