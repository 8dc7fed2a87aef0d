#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: test_service.sh BUILD_DIR
# A mount, and a store without one, as services of systemd: what the daemon tells its manager, and the units. No systemd need run.
set -uo pipefail
# shellcheck source=tests/lib/mount.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/mount.sh"

units=$(dirname "$kvfs")/packaging
told=$work/told
listener=
daemon=

# One line for each datagram, its own lines joined by spaces.
listen() {
    python3 - "$work/notify" >"$told" <<'END' &
import socket, sys
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.bind(sys.argv[1])
receiver.settimeout(600)
while True:
    text = receiver.recv(4096).decode()
    print(text.replace("\n", " "), flush=True)
END
    listener=$!
    wait_for test -S "$work/notify"
}

was_told() {
    grep -q "$1" "$told"
}

# A daemon that ends, too, ends the wait.
told_or_ended() {
    was_told "$1" || ! kill -0 "$daemon" 2>/dev/null
}

is_ready_when_the_mount_works() {
    "$kvfs" mkfs -q "$store" || return
    NOTIFY_SOCKET=$work/notify "$kvfs" mount -f "$store" "$mnt" 2>"$work/log" &
    daemon=$!
    wait_for told_or_ended '^READY=1 '
    cat "$told" "$work/log"
    was_told '^READY=1 ' && mountpoint -q "$mnt" && echo x >"$mnt/x"
}

says_when_it_ends() {
    "$kvfs" umount "$mnt" && wait "$daemon" || return
    cat "$told"
    wait_for was_told '^STOPPING=1 ' && [ "$(grep -c . "$told")" -eq 2 ]
}

in_the_background_it_says_nothing() {
    NOTIFY_SOCKET=$work/notify "$kvfs" mount "$store" "$mnt" && "$kvfs" umount "$mnt" &&
        [ "$(grep -c . "$told")" -eq 2 ]
}

# Without a failure: the mount matters more.
a_manager_that_is_gone_stops_no_mount() {
    rm -f "$work/notify"
    NOTIFY_SOCKET=$work/notify "$kvfs" mount -f "$store" "$mnt" 2>"$work/log" &
    daemon=$!
    wait_for eval 'mountpoint -q "$mnt" || ! kill -0 "$daemon" 2>/dev/null'
    cat "$work/log"
    grep -q x "$mnt/x" && "$kvfs" umount "$mnt" && wait "$daemon" && grep -q NOTIFY_SOCKET "$work/log"
}

serving_it_says_the_same() {
    NOTIFY_SOCKET=$work/notify "$kvfs" serve -f "$store" 2>"$work/log" &
    daemon=$!
    wait_for eval '[ "$(grep -c "^READY=1 " "$told")" -eq 2 ] || ! kill -0 "$daemon" 2>/dev/null'
    "$kvfs" put "$store" y z && "$kvfs" umount "$store" && wait "$daemon" || return
    cat "$told" "$work/log"
    wait_for eval '[ "$(grep -c . "$told")" -eq 4 ]' && tail -n 1 "$told" | grep '^STOPPING=1 '
}

# unit_is_sound NAME
unit_is_sound() {
    local output
    # The programs it names are those of an installation, which need not be there.
    sed "s|^\(Exec[a-z]*=\)[^ ]*/kvfs |\1$kvfs |I" "$units/$1@.service" >"$work/$1@.service" || return
    output=$(systemd-analyze verify --man=no "$work/$1@a.service" 2>&1)
    local status=$?
    echo "$output"
    [ "$status" -eq 0 ] && ! grep -F "$1@" <<<"$output"
}

point "a receiver of notifications listens" listen
point "it is told of readiness when the mount works" is_ready_when_the_mount_works
point "and of the end when it was unmounted" says_when_it_ends
point "a mount in the background says nothing" in_the_background_it_says_nothing
point "a server without a mount tells of both" serving_it_says_the_same
kill "$listener"
point "a receiver that is gone stops no mount, and the log says so" a_manager_that_is_gone_stops_no_mount
for unit in kvfs kvfs-serve; do
    if command -v systemd-analyze >/dev/null; then
        point "systemd finds no fault in the unit $unit" unit_is_sound "$unit"
    else
        skip "systemd finds no fault in the unit $unit" "there is no systemd-analyze here"
    fi
done
tap_finish
