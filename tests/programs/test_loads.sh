#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: test_loads.sh BUILD_DIR        NAMES=N how many names the one directory gets
# Loads as mail servers and compiler caches make them; one directory with very many names, within
# the daemon's memory. In the long form this project is built and its unit tests run on the mount.
set -uo pipefail
# shellcheck source=tests/lib/programs.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/programs.sh"
need "a mail folder, a compiler" python3 gcc git

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$(realpath "$1")
messages=${slow:+20000}
messages=${messages:-200}
names=${NAMES:-${slow:+10000000}}
names=${names:-5000}

maildir() {
    "$top/tests/programs/maildir_load.py" "$mnt/mail" "$messages" 1
}

# Every object is compiled once; the second time all come out of the cache, and are the same.
compiler_cache() {
    local i
    mkdir "$mnt/src" && export CCACHE_DIR=$mnt/ccache CCACHE_TEMPDIR=$mnt/tmp && mkdir -p "$CCACHE_TEMPDIR"
    for i in $(seq 20); do
        printf '#include <stdint.h>\nint f%d(int x)\n{\n    return x * %d;\n}\n' "$i" "$i" >"$mnt/src/f$i.c"
    done
    for i in a b; do
        mkdir "$mnt/$i" && (cd "$mnt/src" && printf '%s\n' f*.c | xargs -P 4 -I NAME ccache gcc -O2 -c NAME -o "../$i/NAME.o") || return
    done
    diff -r "$mnt/a" "$mnt/b" && ccache -s -v && [ "$(ccache --print-stats | awk '/^(direct|preprocessed)_cache_hit/ { n += $2 } END { print n }')" -ge 20 ]
}

# What the daemon $1 holds beside what it accounts for: buffers, stacks, and what was freed and kept.
little_is_kept() {
    local used resident
    used=$("$kvfs" stats "$store" --json | python3 -c '
import json, sys
counters = json.load(sys.stdin)["counters"]
print(sum(counters[part + "_bytes"] for part in ("memtable", "cache", "resident", "lookup", "inode", "unlinked")))')
    resident=$(awk '/RssAnon/ { print $2 * 1024 }' "/proc/$1/status")
    echo "$resident bytes, $used of them accounted for"
    [ $((resident - used)) -le $((40 << 20)) ]
}

# The peak of the daemon: what it was given and 64 MiB, however many inodes the kernel keeps.
very_many_names() {
    local pid peak limit
    pid=$("$kvfs" status "$store" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["pid"])')
    "$build/tests/many_names" "$mnt/many" "$names" || return
    peak=$(awk '/VmHWM/ { print $2 }' "/proc/$pid/status")
    limit=$(((512 + 64) * 1024))
    echo "VmHWM $peak KiB, at most $limit"
    [ "$peak" -le "$limit" ] && wait_for little_is_kept "$pid"
}

# With as many steps as in every run: the many ones are no matter of where they run.
own_build() {
    git clone -q "$top" "$mnt/kvfs" && cd "$mnt/kvfs" && meson setup build -Dwerror=true >/dev/null && ninja -j2 -C build >/dev/null &&
        env -u KV_SLOW meson test -C build --suite util --suite storage --suite log --suite table --suite blob --suite db --suite fs -t 10 | tail -n 20
    local status=${PIPESTATUS[0]}
    cd /
    return "$status"
}

all_points() {
    point "$mode: $messages messages are delivered, read and removed" maildir
    if command -v ccache >/dev/null; then
        point "$mode: a compiler cache gives back what it took" compiler_cache
    else
        skip "$mode: a compiler cache gives back what it took" "there is no ccache here"
    fi
    if [ "$mode" = default ] || [ -z "$slow" ]; then
        point "$mode: $names names in one directory, within memory" very_many_names
    fi
    if [ -n "$slow" ]; then
        point "$mode: this project is built, and its unit tests pass" own_build
    fi
}

in_modes all_points
tap_finish
