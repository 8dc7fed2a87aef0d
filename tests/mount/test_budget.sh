#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: test_budget.sh BUILD_DIR
# How many requests everyday commands cost, over the transport that the mount takes by itself: all that
# the daemon counts but FORGET, RELEASE and RELEASEDIR, which nobody waits for.
# shellcheck disable=SC2016 # commands for eval are meant to expand later
set -uo pipefail
unset KVFS_STORE
# shellcheck source=tests/lib/mount.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/mount.sh"

files=3000
# Before Linux 6.16 the kernel asks for a page of a listing at a time, which holds some 24 files.
listings=$((files / 100))
[ "$(printf '6.16\n%s\n' "$(uname -r)" | sort -V | head -n 1)" = 6.16 ] || listings=$((files / 20))

# Not in a directory of the mount: a build's own path to its libraries may have the loader look there.
counters() {
    (cd / && "$kvfs" stats --json "$store") >"$1"
}

# at_most LIMIT COMMAND...: shows what was asked for, and fails if that is more.
at_most() {
    local limit=$1
    shift
    counters "$work/before" && "$@" >/dev/null && counters "$work/after" && python3 - "$limit" "$work/before" "$work/after" <<'END'
import json, sys
before, after = (json.load(open(name))["requests"] for name in sys.argv[2:])
asked = {kind: count - before.get(kind, 0) for kind, count in after.items()
         if kind not in ("forget", "release", "releasedir") and count != before.get(kind, 0)}
total = sum(asked.values())
print(f"{total} requests, at most {sys.argv[1]} are wanted:", asked)
sys.exit(total > int(sys.argv[1]))
END
}

# counted NAME COMMAND... is a point, tried up to three times: where something else on the machine makes
# the kernel drop its caches meanwhile, more is asked for.
try=0
counted() {
    point "$1" once_of_three "${@:2}"
}
once_of_three() {
    local i
    for i in 1 2 3; do
        try=$((try + 1))
        "$@" && return
    done
    return 1
}

# Every name, attribute and page that the kernel held is gone.
# shellcheck disable=SC2119 # no options
cold() {
    remount_store
}

untar_one() {
    mkdir "$mnt/one$try" && (cd "$mnt/one$try" && stat . && at_most 5 tar --no-same-owner --no-same-permissions -xf "$work/one.tar")
}

# The directory that just changed is asked about again before each name in it is looked up, or removed.
many=600
removal=2
untar_many() {
    mkdir "$mnt/many$try" && (cd "$mnt/many$try" && stat . && at_most "$many" tar --no-same-owner --no-same-permissions -xf "$work/many.tar")
}

# ls(1) asks for a label of SELinux at its first file, and hears that there are none.
stat_warm() {
    stat "$mnt/many/file" && ls -l "$mnt/many/file" && at_most 0 stat "$mnt/many/file" && at_most 1 ls -l "$mnt/many/file"
}

# Its directory is known, and does not change.
rm_cold() {
    cold && stat "$mnt/many" && at_most 2 rm "$mnt/many/$try"
}

rm_warm() {
    touch "$mnt/many/other" && stat "$mnt/many/$try" && at_most "$removal" rm "$mnt/many/$try"
}

ls_cold() {
    cold && at_most $((1 + listings + files + 10)) ls -l "$mnt/large"
}

# The first open and close of a mount hear that they need not come again. The first read finds no pages,
# and after it the access time is asked for once.
cat_cold() {
    cold && cat "$mnt/many/50" && stat "$mnt/many/file" && at_most 1 cat "$mnt/many/file"
}

cat_warm() {
    at_most 1 cat "$mnt/many/file" && at_most 0 cat "$mnt/many/file" && at_most 0 cat "$mnt/many/file"
}

find_cold() {
    cold && at_most $((3 + listings)) find "$mnt/large" -printf '%s\n'
}

mkdir "$work/tree"
for ((i = 0; i < 100; i++)); do
    echo "$i" >"$work/tree/$i"
done
echo content >"$work/file"
tar -C "$work" -cf "$work/one.tar" file
(cd "$work/tree" && tar -cf "$work/many.tar" -- *)

"$kvfs" mkfs -q "$store" && mount_store
echo "# over $("$kvfs" status --json "$store" | python3 -c 'import json, sys; print(json.load(sys.stdin)["transport"])')"
counted "untarring one small file takes 5 requests" untar_one
counted "untarring a hundred of them takes 6 each" untar_many
point "files are made" eval 'mkdir "$mnt/many" && tar -C "$mnt/many" -xf "$work/many.tar" && cp "$work/file" "$mnt/many"'
counted "asking again for the attributes of a file takes none, but for its label" stat_warm
counted "reading a file takes one, the pages" cat_cold
counted "reading it again takes none" cat_warm
counted "removing a file that the kernel does not know takes 2" rm_cold
counted "removing one that it knows from a directory that changed takes 2" rm_warm
point "a large directory is made" eval 'mkdir "$mnt/large" && (cd "$mnt/large" && seq -f "file%.0f" "$files" | xargs touch)'
counted "ls -l asks for the ACL of each file, and little besides" ls_cold
counted "find with sizes asks for nothing but the listings" find_cold
point "and the mount ends well" umount_store

# Where only root gets in no permissions are checked, so a directory that changed is not asked about.
many=500
removal=1
point "root mounts for itself alone" mount_store -o noallow_other
counted "untarring a hundred files there takes 5 each" untar_many
counted "removing one from a directory that changed takes 1" rm_warm
point "and that mount ends well" umount_store
tap_finish
