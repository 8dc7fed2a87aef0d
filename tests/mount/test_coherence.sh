#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: test_coherence.sh BUILD_DIR
# Changes by key while the store is mounted: readers that have cached contents, attributes, listings
# and absence must see them at once.
# shellcheck disable=SC2016 # commands for eval are meant to expand later
set -uo pipefail
unset KVFS_STORE
# shellcheck source=tests/lib/mount.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/mount.sh"

put() {
    "$kvfs" put "$store" "$@"
}

contents() {
    put d/f old && [ "$(cat "$mnt/d/f")" = old ] && [ "$(cat "$mnt/d/f")" = old ] && put d/f "new and longer" &&
        [ "$(cat "$mnt/d/f")" = "new and longer" ] && [ "$(stat -c %s "$mnt/d/f")" -eq 14 ] && put d/f x && [ "$(cat "$mnt/d/f")" = x ]
}

absence() {
    ! cat "$mnt/d/absent" 2>/dev/null && ! stat "$mnt/d/absent" 2>/dev/null && put d/absent here && [ "$(cat "$mnt/d/absent")" = here ]
}

absent_directories() {
    ! stat "$mnt/a/b/c" 2>/dev/null && ! stat "$mnt/a" 2>/dev/null && put a/b/c deep && [ "$(cat "$mnt/a/b/c")" = deep ] && [ "$(ls "$mnt/a")" = b ]
}

deletion() {
    cat "$mnt/d/f" >/dev/null && "$kvfs" del "$store" d/f && ! stat "$mnt/d/f" 2>/dev/null && put d/f again && [ "$(cat "$mnt/d/f")" = again ]
}

listed() {
    find "$mnt/d" -name "$1" | grep -q .
}

listings() {
    ls "$mnt/d" >/dev/null && ! listed new && put d/new 1 && listed new && "$kvfs" del "$store" d/new && ! listed new
}

# Entries that the kernel remembers although no name of the new kind was ever looked up.
sizes_and_times() {
    local before after
    before=$(stat -c %Y.%y "$mnt/d") && sleep 0.05 && put d/never_seen 1 && after=$(stat -c %Y.%y "$mnt/d") && [ "$before" != "$after" ]
}

pruning() {
    put p/q/r 1 && cat "$mnt/p/q/r" && ls "$mnt/p/q" && "$kvfs" del --prune "$store" p/q/r && ! stat "$mnt/p" 2>/dev/null
}

batches() {
    put d/f before && cat "$mnt/d/f" && ! stat "$mnt/m/n" 2>/dev/null && put d/goes x && stat "$mnt/d/goes" &&
        printf 'put d/f after it\nput m/n deep\nput m/o deep\ndel d/goes\n' | "$kvfs" batch "$store" &&
        [ "$(cat "$mnt/d/f")" = "after it" ] && [ "$(stat -c %s "$mnt/d/f")" -eq 8 ] && [ "$(cat "$mnt/m/n")" = deep ] &&
        [ "$(ls "$mnt/m")" = $'n\no' ] && ! stat "$mnt/d/goes" 2>/dev/null &&
        "$kvfs" del --prune "$store" m/n m/o && ! stat "$mnt/m" 2>/dev/null
}

open_files() {
    put d/open before && exec 5<"$mnt/d/open" && [ "$(head -c 3 <&5)" != "" ] && put d/open after! &&
        [ "$(python3 -c 'import os; print(os.pread(5, 100, 0).decode())')" = "after!" ]
    local status=$?
    exec 5<&-
    return $status
}

mapped_files() {
    put d/mapped aaaa && python3 -c '
import mmap, os, subprocess, sys
kvfs, store, path = sys.argv[1:]
fd = os.open(path, os.O_RDONLY)
m = mmap.mmap(fd, 4, prot=mmap.PROT_READ)
assert m[:] == b"aaaa"
subprocess.check_call([kvfs, "put", store, "d/mapped", "bbbb"])
assert m[:] == b"bbbb", m[:]' "$kvfs" "$store" "$mnt/d/mapped"
}

through_the_mount() {
    echo -n one >"$mnt/d/mine" && [ "$("$kvfs" get "$store" d/mine)" = one ] && echo -n two >>"$mnt/d/mine" &&
        [ "$("$kvfs" get "$store" d/mine)" = onetwo ] && mv "$mnt/d/mine" "$mnt/d/moved" && ! "$kvfs" exists "$store" d/mine && "$kvfs" exists "$store" d/moved
}

# Readers and programs that make and remove names in the same directory go on while keys come and
# go: nothing may deadlock, and each put is seen by whoever looks after it.
under_load() {
    local i status=0 pids=()
    for i in 1 2; do
        (while [ ! -e "$work/stop" ]; do
            ls -l "$mnt/load" >/dev/null 2>&1
            echo x >"$mnt/load/w$i" && mv "$mnt/load/w$i" "$mnt/load/v$i" && rm "$mnt/load/v$i"
        done) &
        pids+=($!)
    done
    mkdir -p "$mnt/load"
    for ((i = 0; i < 100 && status == 0; i++)); do
        timeout 60 "$kvfs" put "$store" "load/k$((i % 3))" "$i" && [ "$(timeout 60 cat "$mnt/load/k$((i % 3))")" = "$i" ] || status=1
        if ((i % 7 == 0)); then
            timeout 60 "$kvfs" del "$store" "load/k$((i % 3))" && [ ! -e "$mnt/load/k$((i % 3))" ] || status=1
        fi
    done
    echo "stopped at $i"
    : >"$work/stop"
    wait "${pids[@]}"
    return $status
}

# 10,000 with --slow, else as many as fit into three seconds.
random_changes() {
    python3 "$(dirname "${BASH_SOURCE[0]}")/coherence.py" "$store" "$mnt" ${KV_SLOW:+10000}
}

point "a store is made and mounted" eval '"$kvfs" mkfs -q "$store" && mount_store' || {
    tap_finish
    exit 1
}
point "new contents replace cached ones, longer and shorter" contents
point "a key that was looked for and missing appears" absence
point "directories that were missing appear with it" absent_directories
point "a deleted key is gone and may come back" deletion
point "a listing that was read shows what came and went" listings
point "the directory's time changes with a name nobody had looked for" sizes_and_times
point "pruned directories are gone" pruning
point "all that a batch changes is seen at once" batches
point "an open file reads the new contents" open_files
point "a mapped file shows the new contents" mapped_files
point "what files do shows in keys" through_the_mount
point "100 puts beside two busy programs are each seen at once" under_load
point "three processes that read, stat and map files see no stale one while random keys change" random_changes
point "the mount ends well" umount_store
tap_finish
