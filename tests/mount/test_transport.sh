#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: test_transport.sh BUILD_DIR
# FUSE over io_uring and over /dev/fuse: which one is used when, and what must be the same on both.
# The kernel's parameter is put back as it was.
# shellcheck disable=SC2016 # commands for eval are meant to expand later
set -uo pipefail
unset KVFS_STORE
# shellcheck source=tests/lib/mount.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/mount.sh"

keep_uring_parameter

# json EXPRESSION: of the status `j` of the store.
json() {
    "$kvfs" status --json "$store" | python3 -c 'import json, sys; j = json.load(sys.stdin); sys.exit(not ('"$1"'))'
}

daemon_pid() {
    "$kvfs" status --json "$store" | python3 -c 'import json, sys; print(json.load(sys.stdin)["pid"])'
}

works_through() {
    echo "through $1" >"$mnt/$1" && [ "$(cat "$mnt/$1")" = "through $1" ] && json "j['transport'] == '$1'"
}

told_off() {
    mount_store -o uring=off && works_through dev_fuse && json 'j["transport_reason"] is None' && umount_store
}

# It must not fail where io_uring is not to be had.
by_itself_says_why() {
    [ -z "$uring_before" ] || echo N >"$uring_parameter"
    mount_store && works_through dev_fuse && json '"libfuse" in j["transport_reason"] or "kernel" in j["transport_reason"]' && umount_store
}

# holds_idle_device: whether the daemon can have idle processors polled.
holds_idle_device() {
    ls -l "/proc/$(daemon_pid)/fd" | grep -q '/dev/cpu_dma_latency$'
}

never_polls() {
    mount_store -o idle_poll=off && json 'j["idle_poll"] is False' && ! holds_idle_device && umount_store
}

always_polls() {
    mount_store -o idle_poll=on && json 'j["idle_poll"] is True' && holds_idle_device && umount_store
}

polls_in_guests() {
    mount_store && json "j['idle_poll'] is ($(grep -c haltpoll /sys/devices/system/cpu/cpuidle/current_driver) > 0)" && umount_store
}

"$kvfs" mkfs -q "$store"
if [ -w /dev/cpu_dma_latency ]; then
    point "idle_poll=off: idle processors may always halt" never_polls
    point "idle_poll=on: they poll on any machine" always_polls
    point "by itself a mount has them poll in a virtual machine" polls_in_guests
else
    point "idle_poll=on fails where it is not to be had, and says why" eval '"$kvfs" mount -o idle_poll=on "$store" "$mnt" 2>&1 | grep "idle_poll=on: /dev/cpu_dma_latency"'
fi
point "uring=off: requests go through /dev/fuse" told_off
point "by itself a mount takes /dev/fuse where there is no io_uring, and status says why" by_itself_says_why

if "$kvfs" mount -o uring=on "$store" "$mnt" 2>"$work/refusal"; then
    point "uring=on: root turns on the kernel's parameter" [ "$(cat "$uring_parameter")" = Y ]
    point "and requests come over io_uring" works_through io_uring
else
    point "uring=on fails where it is not to be had, and says why" grep -qE "with uring=on: .*(libfuse before|kernel)" "$work/refusal"
    skip "the same on io_uring" "$(cat "$work/refusal")"
    tap_finish
    exit
fi

sent_and_read_back() {
    head -c 20000000 /dev/urandom >"$work/bytes" && dd if="$work/bytes" of="$mnt/bytes" bs=1M conv=fsync 2>&1 &&
        umount_store && mount_store -o uring=on && cmp "$work/bytes" "$mnt/bytes"
}

# More at once than a ring has places, syncs among them.
one_of_many() {
    local i
    mkdir "$mnt/many$1" && for ((i = 0; i < 100; i++)); do
        echo "$1 $i" >"$mnt/many$1/$i" && { [ $((i % 10)) -ne 0 ] || sync "$mnt/many$1/$i"; } || return
    done
    [ "$(cat "$mnt/many$1"/* | wc -l)" -eq 100 ]
}
many_at_once() {
    local pids=() i
    for ((i = 0; i < 40; i++)); do
        one_of_many "$i" &
        pids+=($!)
    done
    for i in "${pids[@]}"; do
        wait "$i" || return
    done
}

syncs_of_all_kinds() {
    dd if=/dev/zero of="$mnt/synced" bs=4k count=20 oflag=dsync && [ "$(stat -c %s "$mnt/synced")" -eq 81920 ] &&
        fallocate -l 1M "$mnt/allocated" && [ "$(stat -c %s "$mnt/allocated")" -eq 1048576 ] && fallocate -p -o 0 -l 4k "$mnt/synced" &&
        cp --reflink=auto "$mnt/synced" "$mnt/copied" && cmp "$mnt/synced" "$mnt/copied" && sync "$mnt" && sync "$mnt/copied"
}

# A reader in the middle of a large file is killed; the mount goes on.
killed_client() {
    local i
    for ((i = 0; i < 10; i++)); do
        remount_store -o uring=on && ! timeout -s KILL 0.0"$i" cat "$mnt/bytes" "$mnt/bytes" "$mnt/bytes" "$mnt/bytes" >"$work/copy"
    done
    cmp "$work/bytes" "$mnt/bytes"
}

gone() {
    local i
    for ((i = 0; i < 600; i++)); do
        kill -0 "$1" 2>/dev/null || return 0
        sleep 0.1
    done
    return 1
}

ended_by_a_signal() {
    local pid
    pid=$(daemon_pid)
    kill -TERM "$pid" && gone "$pid" && ! mountpoint -q "$mnt" && [ "$("$kvfs" get "$store" io_uring)" = "through io_uring" ]
}

killed_daemon() {
    local pid
    mount_store -o uring=on && echo survives >"$mnt/survivor" && pid=$(daemon_pid) && kill -KILL "$pid" && gone "$pid" &&
        mount_store -o uring=on && [ "$(cat "$mnt/survivor")" = survives ] && umount_store
}

point "requests of 1 MiB arrive whole" sent_and_read_back
point "forty programs at once, with syncs among their requests" many_at_once
point "syncs, synced writes, allocations and copies are answered" syncs_of_all_kinds
point "a client that is killed leaves the mount working" killed_client
point "SIGTERM to the daemon unmounts cleanly" ended_by_a_signal
point "after the daemon was killed it mounts again with all that was written" killed_daemon
tap_finish
