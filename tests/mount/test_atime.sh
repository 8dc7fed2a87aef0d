#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: test_atime.sh BUILD_DIR
# Access times on a real mount: as relatime has them, and not at all with noatime. Readings that the
# kernel serves from its cache do not count, so each begins with a fresh mount.
# shellcheck disable=SC2016 # commands for eval are meant to expand later
set -uo pipefail
unset KVFS_STORE
# shellcheck source=tests/lib/mount.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/mount.sh"

# old PATH: it was changed and read an hour ago, the latter first.
old() {
    touch -a -d '2 hours ago' "$1" && touch -m -d '1 hour ago' "$1"
}

# noted PATH COMMAND...: the access time moves, and is still there after a remount.
noted() {
    local path=$mnt/$1 before after
    before=$(stat -c %X "$path") && "${@:2}" >/dev/null && after=$(stat -c %.9X "$path") && remount_store &&
        echo "before $before, after $after, then $(stat -c %.9X "$path")" &&
        [ "${after%.*}" -gt "$before" ] && [ "$(stat -c %.9X "$path")" = "$after" ]
}

# unnoted PATH COMMAND...: it does not.
unnoted() {
    local path=$mnt/$1 before
    before=$(stat -c %.9X "$path") && "${@:2}" >/dev/null && [ "$(stat -c %.9X "$path")" = "$before" ]
}

files() {
    echo text >"$mnt/f" && old "$mnt/f" && remount_store && noted f cat "$mnt/f" && unnoted f cat "$mnt/f"
}

directories() {
    mkdir "$mnt/d" && : >"$mnt/d/x" && old "$mnt/d" && remount_store && noted d ls "$mnt/d" && unnoted d ls "$mnt/d"
}

asked_not_to() {
    old "$mnt/f" && remount_store && unnoted f dd if="$mnt/f" iflag=noatime status=none
}

noatime() {
    old "$mnt/f" && old "$mnt/d" && remount_store -o noatime && unnoted f cat "$mnt/f" && unnoted d ls "$mnt/d"
}

nodiratime() {
    remount_store -o nodiratime && unnoted d ls "$mnt/d" && noted f cat "$mnt/f"
}

point "a store is made and mounted" eval '"$kvfs" mkfs -q "$store" && mount_store' || {
    tap_finish
    exit 1
}
point "the first reading after a change is noted, the next is not" files
point "so it is with directories" directories
point "O_NOATIME leaves no trace" asked_not_to
point "noatime leaves none at all" noatime
point "nodiratime leaves none in directories" nodiratime
point "the mount ends well" umount_store
tap_finish
