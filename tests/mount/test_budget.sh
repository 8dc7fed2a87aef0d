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

counters() {
    "$kvfs" stats --json "$store" >"$1"
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

# Every name, attribute and page that the kernel held is gone.
# shellcheck disable=SC2119 # no options
cold() {
    remount_store
}

untar_one() {
    mkdir "$mnt/one" && (cd "$mnt/one" && stat . && at_most 5 tar --no-same-owner --no-same-permissions -xf "$work/one.tar")
}

# The directory that just changed is asked about again before each name in it is looked up.
untar_many() {
    mkdir "$mnt/many" && (cd "$mnt/many" && stat . && at_most 600 tar --no-same-owner --no-same-permissions -xf "$work/many.tar")
}

# ls(1) asks for a label of SELinux at its first file, and hears that there are none.
stat_warm() {
    stat "$mnt/one/file" && ls -l "$mnt/one/file" && at_most 0 stat "$mnt/one/file" && at_most 1 ls -l "$mnt/one/file"
}

# Its directory is known, and does not change.
rm_cold() {
    cold && stat "$mnt/many" && at_most 2 rm "$mnt/many/1"
}

rm_warm() {
    at_most 2 rm "$mnt/many/2"
}

ls_cold() {
    cold && at_most $((1 + listings + files + 10)) ls -l "$mnt/large"
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
point "untarring one small file takes 5 requests" untar_one
point "untarring a hundred of them takes 6 each" untar_many
point "asking again for the attributes of a file takes none, but for its label" stat_warm
point "removing a file that the kernel does not know takes 2" rm_cold
point "removing one that it knows from a directory that changed takes 2" eval 'stat "$mnt/many/2" && rm_warm'
point "a large directory is made" eval 'mkdir "$mnt/large" && (cd "$mnt/large" && seq -f "file%.0f" "$files" | xargs touch)'
point "ls -l asks for the ACL of each file, and little besides" ls_cold
point "and the mount ends well" umount_store
tap_finish
