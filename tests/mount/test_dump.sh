#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: test_dump.sh BUILD_DIR
# kvfs dump and load, on a store that is mounted and on one that is not, and with Berkeley DB's own programs.
# shellcheck disable=SC2016 # commands for eval are meant to expand later
set -uo pipefail
unset KVFS_STORE
# shellcheck source=tests/lib/mount.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/mount.sh"

fill() {
    "$kvfs" mkfs -q "$store" && "$kvfs" put "$store" users/42/name 'Ada \ Lovelace' && printf 'a\0\n\377' | "$kvfs" put "$store" bytes &&
        "$kvfs" put "$store" empty '' && head -c 300000 /dev/urandom | "$kvfs" put "$store" large && "$kvfs" put "$store" "$(printf 'n\303\244me\t')" v
}

contents() {
    "$kvfs" scan "$1" --value=hex
}

# loads FILE: into a new store it gives the same keys and values.
loads() {
    rm -rf "$work/other" && "$kvfs" mkfs -q "$work/other" && "$kvfs" load "$work/other" <"$1" && contents "$work/other" | cmp - "$work/contents"
}

both_formats() {
    contents "$store" >"$work/contents" && "$kvfs" dump "$store" >"$work/print" && "$kvfs" dump --format=bytevalue "$store" >"$work/bytes" &&
        grep -q '^ Ada \\\\ Lovelace$' "$work/print" && grep -q '^ a\\00\\0a\\ff$' "$work/print" && grep -q '^ 61000aff$' "$work/bytes" &&
        loads "$work/print" && loads "$work/bytes"
}

berkeley_db() {
    db5.3_load "$work/print.db" <"$work/print" && db5.3_load "$work/bytes.db" <"$work/bytes" &&
        db5.3_dump -p "$work/bytes.db" >"$work/back.print" && db5.3_dump "$work/print.db" >"$work/back.bytes" &&
        loads "$work/back.print" && loads "$work/back.bytes"
}

mounted_is_the_same() {
    mkdir "$work/there" && "$kvfs" mkfs -q "$work/live" && "$kvfs" mount "$work/live" "$work/there" && "$kvfs" load "$work/there" <"$work/print" &&
        contents "$work/live" | cmp - "$work/contents" && "$kvfs" dump "$work/live" | cmp - "$work/print" &&
        [ "$(cat "$work/there/users/42/name")" = 'Ada \ Lovelace' ]
    local status=$?
    "$kvfs" umount "$work/there" && return $status
}

# refused STATUS PATTERN TEXT: loading it into a store with the key `there` ends so and changes only what the text may.
refused() {
    local status
    rm -rf "$work/other" && "$kvfs" mkfs -q "$work/other" && "$kvfs" put "$work/other" there/below kept || return
    printf '%b' "$3" | "$kvfs" load "$work/other" 2>"$work/err"
    status=$?
    echo "status $status; $(cat "$work/err")"
    [ "$status" -eq "$1" ] && [[ $(cat "$work/err") =~ $2 ]] && [ "$("$kvfs" get "$work/other" there/below)" = kept ]
}

# shellcheck disable=SC2034 # in text for eval
header='VERSION=3\nformat=print\ntype=btree\nHEADER=END\n'
point "a store is filled" fill
point "both formats are written and read" both_formats
point "Berkeley DB reads them, and what it writes is read" berkeley_db
point "a mounted store loads and dumps the same" mounted_is_the_same
point "keys that are no paths are told and passed over" eval 'refused 1 "cannot load a//b into .*cannot load there into .* 2 keys were not loaded; 2 were" \
    "$header first\n 1\n a//b\n 2\n there\n 3\n last\n 4\nDATA=END\n" && [ "$("$kvfs" get "$work/other" last)" = 4 ]'
point "a dump that is cut short is told" eval 'refused 1 "line 7: it ends without DATA=END .* The 1 keys before it are in" "$header first\n 1\n" &&
    [ "$("$kvfs" get "$work/other" first)" = 1 ]'
point "what is no dump is told" refused 1 'line 1: it does not begin with VERSION=3' 'first\t1\n'
point "an unknown format is a usage error" eval '"$kvfs" dump --format=odd "$store"; [ $? -eq 2 ]'
point "a full disk behind stdout is a failure" eval '"$kvfs" dump "$store" >/dev/full; [ $? -eq 6 ]'
tap_finish
