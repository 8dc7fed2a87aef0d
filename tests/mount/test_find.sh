#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: test_find.sh BUILD_DIR
# kvfs find and the option `index`, on a store that is mounted, served, and at rest.
# shellcheck disable=SC2016 # commands for eval are meant to expand later
set -uo pipefail
unset KVFS_STORE
# shellcheck source=tests/lib/mount.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/mount.sh"

# found TEXT ARGUMENT...: find in the store succeeds and prints exactly that.
found() {
    local want=$1 out
    shift
    out=$("$kvfs" find "$store" "$@") || return
    echo "found: $out"
    [ "$out" = "$want" ]
}

# fails STATUS PATTERN COMMAND...: it ends with the status and a matching line on stderr.
fails() {
    local want=$1 pattern=$2 said status
    shift 2
    said=$("$@" 2>&1)
    status=$?
    echo "status $status: $said"
    [ "$status" -eq "$want" ] && [[ $said =~ $pattern ]]
}

tag() {
    setfattr -n user.tag -v "$1" "$mnt/$2"
}

fill() {
    mkdir "$mnt/d" && touch "$mnt/d/one" "$mnt/two" "$mnt/three" "$mnt/plain" && tag red d/one && tag blue two && tag red three &&
        mkfifo "$mnt/pipe" && ln "$mnt/two" "$mnt/d.link"
}

forms() {
    printf 'a\tb' >"$work/odd" && touch "$mnt/$(cat "$work/odd")" && tag odd "$(cat "$work/odd")" && found 'a\tb' user.tag=odd &&
        "$kvfs" find "$mnt" user.tag=odd -0 | cmp - <(printf 'a\tb\0') &&
        "$kvfs" find "$mnt" user.tag=o --prefix --null | cmp - <(printf 'odd\0a\tb\0') &&
        found '{"format_version":1,"path":"a\tb","value":"odd"}' user.tag=odd --json &&
        found '{"format_version":1,"path":"a\tb","value":"odd"}' user.tag=o --prefix --json && rm "$mnt/$(cat "$work/odd")"
}

follows_operations() {
    found $'d/one\nthree' user.tag=red && mv "$mnt/d" "$mnt/e" && found $'e/one\nthree' user.tag=red &&
        tag green e/one && found three user.tag=red && setfattr -x user.tag "$mnt/three" && found "" user.tag=red &&
        tag red three && rm "$mnt/three" && found "" user.tag=red && found e/one user.tag=green &&
        rm "$mnt/two" && found d.link user.tag=blue && "$kvfs" put "$store" d.link contents && found d.link user.tag=blue &&
        mv "$mnt/e/one" "$mnt/d.link" && found "" user.tag=blue && found d.link user.tag=green
}

is_built() {
    "$kvfs" status "$mnt" --json | grep -q '"index":{"attribute":"user.other","built":true,"percent":100'
}

in_background() {
    local i
    (cd "$mnt" && mkdir many && for ((i = 0; i < 3000; i++)); do echo "many/$i"; done | xargs touch &&
        find many -type f -print0 | xargs -0 setfattr -n user.other -v x) || return
    remount_store -o index=user.other && fails 1 'no index of user.tag' "$kvfs" find "$store" user.tag=red &&
        wait_for is_built &&
        [ "$("$kvfs" find "$store" user.other=x | wc -l)" -eq 3000 ] &&
        "$kvfs" find "$store" user.other=x | LC_ALL=C sort -c && [ "$("$kvfs" find "$store" user.other=x --limit 7 | wc -l)" -eq 7 ]
}

# The file of the index's rows; a byte in its first block is changed.
damage_index() {
    local table
    table=$(grep -lF index:meta:xattr "$store"/*.table) && [ -f "$table" ] &&
        printf '\377\377\377\377' | dd of="$table" bs=1 seek=4100 conv=notrunc status=none
}

repaired() {
    fails 4 TABLE_BLOCK "$kvfs" fsck -n "$store" && fails 4 'cannot be read' "$kvfs" find "$store" user.other=x &&
        fails 1 'FS_INDEX_(MISSING|UNREADABLE)' "$kvfs" fsck -y "$store" && fails 0 FS_INDEX_UNBUILT "$kvfs" fsck -v "$store" &&
        fails 5 'being built' "$kvfs" find "$store" user.other=x && mount_store && wait_for is_built &&
        [ "$("$kvfs" find "$store" user.other=x | wc -l)" -eq 3000 ] && umount_store && fails 0 clean "$kvfs" fsck "$store"
}

served() {
    "$kvfs" serve "$store" -o index=user.tag && wait_for "$kvfs" find "$store" user.tag && found $'green\td.link\nwhite\tplain' user.tag &&
        "$kvfs" umount "$store"
}

made_with() {
    "$kvfs" mkfs -q -O index=user.tag "$work/new" && "$kvfs" find "$work/new" user.tag &&
        fails 2 "wanted is index=" "$kvfs" mkfs -O index=tag "$work/no" && fails 2 "unknown property" "$kvfs" mkfs -O any=thing "$work/no" &&
        [ ! -e "$work/no" ]
}

"$kvfs" mkfs -q "$store"
point "a store without an index says how to get one" fails 1 'there is no index of user.tag. Mount or serve .* -o index=user.tag' \
    "$kvfs" find "$store" user.tag=red
point "mkfs makes a store with an index" made_with
point "a store is mounted with an index" eval 'mount_store -o index=user.tag && fill'
point "files are found by the value, in the order of their paths" eval 'found $'"'d/one\nthree'"' user.tag=red &&
    found $'"'d.link\ntwo'"' user.tag=blue && found "" user.tag=none'
point "all values, or those with a prefix, come in order with their values" eval '
    found $'"'blue\td.link\nblue\ttwo\nred\td/one\nred\tthree'"' user.tag && found $'"'red\td/one\nred\tthree'"' user.tag=r --prefix'
point "the number of paths is limited" eval 'found d/one user.tag=red --limit 1 && found $'"'blue\td.link'"' user.tag --limit 1'
point "bytes come as they are, as escapes, and as JSON" forms
point "a directory in use is asked like the store" eval '[ "$("$kvfs" find "$mnt" user.tag=red --limit 1)" = d/one ]'
point "another attribute has no index" fails 1 'no index of user.other' "$kvfs" find "$store" user.other
point "wrong questions are usage errors" eval 'fails 2 usage "$kvfs" find "$store" && fails 2 usage "$kvfs" find "$store" =red &&
    fails 2 "above 0" "$kvfs" find "$store" user.tag --limit 0'
point "what is found follows each operation" follows_operations
point "status names the index" eval '"$kvfs" status "$mnt" | grep -qx "index      user.tag"'
point "a store at rest is asked as well" eval 'umount_store && found d.link user.tag=green'
point "the index is kept without the option" eval 'mount_store && tag white plain && found plain user.tag=white && umount_store'
point "a read-only mount reads the index and changes none" eval 'mount_store -o ro && found plain user.tag=white && umount_store &&
    fails 32 "only keeps the index" "$kvfs" mount -o ro,index=user.other "$store" "$mnt"'
point "files that are there are indexed in the background" eval 'mount_store && in_background'
point "a damaged index is emptied by fsck, and built anew by the next mount" eval 'umount_store && "$kvfs" compact "$store" && damage_index && repaired'
point "the index is dropped" eval 'mount_store -o index= && umount_store && fails 1 "no index" "$kvfs" find "$store" user.other'
point "a served store keeps an index" served
tap_finish
