#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: test_lifecycle.sh BUILD_DIR
# How mounts begin and end: background and foreground, refusals with their reasons, signals, a
# daemon that was killed, mount(8)'s helper, and `kvfs exec`.
# shellcheck disable=SC2016 # commands for eval are meant to expand later
set -uo pipefail
unset KVFS_STORE
# shellcheck source=tests/lib/mount.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/mount.sh"
mount_helper=$(dirname "$kvfs")/mount.kvfs

# complains STATUS PATTERN COMMAND...: that exit status, and a matching line on stderr.
complains() {
    local want=$1 pattern=$2 status err
    shift 2
    "$@" 2>"$work/err"
    status=$?
    err=$(cat "$work/err")
    echo "status $status, wanted $want; stderr: $err"
    [ "$status" -eq "$want" ] && [[ $err =~ $pattern ]]
}

daemon_pid() {
    "$kvfs" status "$store" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["pid"])'
}

state() {
    "$kvfs" status "$store" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["state"])'
}

# Whether a process holds nothing any more: a zombie whose threads have ended too is gone.
has_gone() {
    kill -0 "$1" 2>/dev/null || return 0
    [ "$(ps -o stat= -p "$1" | cut -c1)" = Z ] && [ "$(find "/proc/$1/task" -mindepth 1 -maxdepth 1 | wc -l)" -le 1 ]
}

gone() {
    wait_for has_gone "$1" || {
        echo "process $1 is still there"
        return 1
    }
}

# ---- beginning ----

daemon_is_detached() {
    local pid
    pid=$(daemon_pid) || return
    echo "cwd $(readlink /proc/"$pid"/cwd) stdin $(readlink /proc/"$pid"/fd/0) session $(ps -o sid= -p "$pid")"
    ls -l "/proc/$pid/fd"
    [ "$(readlink "/proc/$pid/cwd")" = / ] && [ "$(readlink "/proc/$pid/fd/0")" = /dev/null ] &&
        [ "$(readlink "/proc/$pid/fd/2")" = /dev/null ] && [ "$(ps -o sid= -p "$pid" | tr -d ' ')" = "$pid" ] &&
        [ "$(grep Umask "/proc/$pid/status" | tr -dc 0-9)" = 0000 ]
}

# A descriptor that the caller left open must not be held by the daemon: a pipe would never end.
descriptors_are_closed() {
    "$kvfs" mkfs -q "$work/fd" && mkdir "$work/fdmnt" &&
        [ "$(timeout 60 bash -c 'exec 7>&1; "$1" mount "$2" "$3" && echo mounted' _ "$kvfs" "$work/fd" "$work/fdmnt")" = mounted ] &&
        "$kvfs" umount "$work/fdmnt"
}

mount_flags_are_right() {
    findmnt -n -o FSTYPE,SOURCE,OPTIONS "$mnt"
    [ "$(findmnt -n -o FSTYPE "$mnt")" = fuse.kvfs ] && [ "$(findmnt -n -o SOURCE "$mnt")" = "$store" ] &&
        [[ ,$(findmnt -n -o OPTIONS "$mnt"), == *,nosuid,*nodev,* ]] &&
        [[ ,$(findmnt -n -o FS-OPTIONS "$mnt"), == *,default_permissions,*allow_other,* ]]
}

# The daemon itself must be done with the mount point by then.
ready_is_not_busy() {
    local i readahead
    for ((i = 0; i < 5; i++)); do
        "$kvfs" mount "$store" "$mnt" && umount "$mnt" || return
    done
    mount_store && readahead=/sys/class/bdi/$(mountpoint -d "$mnt")/read_ahead_kb || return
    if [ -w "$readahead" ]; then
        [ "$(cat "$readahead")" -eq 1024 ] || return
    fi
    umount_store
}

option_suid_is_heard() {
    mount_store -o suid,dev,noexec,noatime && findmnt -n -o OPTIONS "$mnt" &&
        [[ ,$(findmnt -n -o OPTIONS "$mnt"), != *,nosuid,* ]] && [[ ,$(findmnt -n -o OPTIONS "$mnt"), == *,noexec,*noatime,* ]] &&
        umount_store
}

read_only() {
    mount_store -o ro && complains 1 'Read-only' touch "$mnt/x" && [ "$(cat "$mnt/kept")" = kept ] &&
        [ ! -e "$store/control" ] && [ "$("$kvfs" get "$store" kept)" = kept ] &&
        complains 5 'another process reads it' "$kvfs" put "$store" k v
    local status=$?
    umount "$mnt"
    return $status
}

# As a command does that only looks at the store, from cron say.
reader_is_waited_for() {
    local reader
    mkfifo "$work/reading" || return
    flock -s "$store/LOCK" sh -c 'echo yes >"$1"; sleep 0.5' _ "$work/reading" &
    reader=$!
    read -r _ <"$work/reading" && "$kvfs" put "$store" waited for && [ "$("$kvfs" get "$store" waited)" = for ]
    local status=$?
    wait $reader
    "$kvfs" del "$store" waited
    return $status
}

failure_is_reported() {
    complains 32 "no such directory. Make a store" "$kvfs" mount "$work/none" "$mnt" && ! mountpoint -q "$mnt" &&
        mkdir "$work/foreign" && : >"$work/foreign/x" &&
        complains 32 "not a kvfs store and holds other files" "$kvfs" mount "$work/foreign" "$mnt" && ! mountpoint -q "$mnt" &&
        [ "$(ls -A "$work/foreign")" = x ]
}

creates() {
    mkdir "$work/cmnt" && "$kvfs" mount --create "$work/created" "$work/cmnt" && echo x >"$work/cmnt/f" &&
        "$kvfs" umount "$work/cmnt" && [ "$("$kvfs" get "$work/created" f)" = x ]
}

no_device() {
    complains 32 'no /dev/fuse' unshare -m bash -c 'mount -t tmpfs none /dev && "$1" mount "$2" "$3"' _ "$kvfs" "$store" "$mnt"
}

memory_and_log_options() {
    mount_store -o "memory=64M,threads=2,sync_interval=100,log=$work/daemon.log" && echo x >"$mnt/logged" &&
        umount_store && [ -e "$work/daemon.log" ]
}

log_syncs() {
    "$kvfs" stats "$store" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["counters"]["log_syncs"])'
}

more_syncs_than() {
    [ "$(log_syncs)" -gt "$1" ]
}

# Nobody tells a daemon of sync(2), so it syncs by itself.
synced_unasked() {
    local i before
    mount_store -o sync_interval=100 || return
    for i in 1 2 3; do
        before=$(log_syncs) && echo "$i" >"$mnt/unsynced" && wait_for more_syncs_than "$before" || return
    done
    umount_store
}

long_path() {
    local deep=$work i
    for ((i = 0; i < 10; i++)); do
        deep=$deep/a_directory_with_quite_a_long_name_number_$i
    done
    mkdir -p "$deep/m" && "$kvfs" mount --create "$deep/s,with comma and space" "$deep/m" && echo x >"$deep/m/f" &&
        [ "$("$kvfs" get "$deep/s,with comma and space" f)" = x ] && "$kvfs" stats "$deep/m" >/dev/null && "$kvfs" umount "$deep/m"
}

# ---- ending ----

umount_waits() {
    local i
    for ((i = 0; i < 200; i++)); do
        echo "$i" >"$mnt/f$i" || return
    done
    pid=$(daemon_pid)
    # Where nobody collects orphans a zombie stays; it has no files open any more.
    "$kvfs" umount "$mnt" && ! ls "/proc/$pid/fd/0" 2>/dev/null && [ "$(state)" = idle ] && [ "$("$kvfs" get "$store" f199)" = 199 ]
}

# umount(8) does not wait for the daemon; whoever mounts at once meets it while it is closing.
umount_8_and_mount_at_once() {
    local i
    head -c 48000000 /dev/urandom >"$work/random" || return
    for i in 1 2 3; do
        mount_store && cp "$work/random" "$mnt/large$i" && umount "$mnt" && mount_store && cmp "$work/random" "$mnt/large$i" && umount "$mnt" || return
    done
    mount_store && rm "$mnt"/large* && umount_store
}

# Another mount namespace copied the mount, as that of a container does: the daemon serves on until
# that is gone too, and whoever waits for it is told why.
umount_of_a_copied_mount() {
    local holder umounting
    mkfifo "$work/go" && mount_store || return
    # shellcheck disable=SC2016
    unshare -m bash -c ': >"$1/copied"; read -r -t 120 _ <>"$1/go"' _ "$work" &
    holder=$!
    wait_for [ -e "$work/copied" ] || return
    "$kvfs" umount "$mnt" 2>"$work/waiting" &
    umounting=$!
    wait_for grep -q 'a container has a copy' "$work/waiting" && ! mountpoint -q "$mnt" && kill -0 $umounting || return
    echo go >"$work/go"
    wait $holder
    wait $umounting && [ "$(state)" = idle ]
}

# It is busy when umount is called, and is not any more a fraction of a second later: umount tries
# for a second, in which this must end also on a busy machine.
umount_of_a_mount_busy_for_a_moment() {
    local status
    exec 9<"$mnt/kept"
    sleep 0.1 &
    exec 9<&-
    "$kvfs" umount "$mnt"
    status=$?
    wait
    "$kvfs" mount "$store" "$mnt" && [ $status -eq 0 ]
}

umount_of_a_busy_mount() {
    tail -f "$mnt/kept" >"$work/tail" &
    local holder=$! status
    wait_for [ -s "$work/tail" ]
    complains 5 'a process uses it' "$kvfs" umount "$mnt" && mountpoint -q "$mnt"
    status=$?
    kill $holder
    wait $holder
    [ $status -eq 0 ]
} 2>/dev/null

# ends SIGNAL: a clean end, nothing left.
ends() {
    local pid
    pid=$(daemon_pid) || return
    echo before >"$mnt/signal"
    kill -"$1" "$pid" && gone "$pid" && ! mountpoint -q "$mnt" && [ "$(state)" = idle ] && [ "$("$kvfs" get "$store" signal)" = before ]
}

# What was written through mmap(2) reaches the store although the mount is in use.
ends_with_dirty_pages() {
    python3 -c '
import mmap, os, sys, time
fd = os.open(sys.argv[1] + "/mapped", os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, 4096)
m = mmap.mmap(fd, 4096)
m[0:5] = b"dirty"
open(sys.argv[2], "w").close()
time.sleep(600)' "$mnt" "$work/mapped_now" &
    local user=$! pid status
    wait_for [ -e "$work/mapped_now" ]
    pid=$(daemon_pid)
    kill -TERM "$pid" && gone "$pid" && ! mountpoint -q "$mnt" && [ "$(state)" = idle ] &&
        [ "$("$kvfs" get "$store" mapped | head -c 5)" = dirty ]
    status=$?
    echo "state $(state), contents $("$kvfs" get "$store" mapped | head -c 5), $(findmnt "$mnt")"
    kill $user
    wait $user 2>/dev/null
    [ $status -eq 0 ]
}

killed_and_mounted_again() {
    local pid
    pid=$(daemon_pid) || return
    echo survives >"$mnt/survivor" && kill -KILL "$pid" && gone "$pid" || return
    ls "$mnt" >/dev/null 2>&1 && { echo "the dead mount answers" && return 1; }
    [ "$(state)" = "needs recovery" ] || return
    complains 32 "a dead mount of $store is there" "$kvfs" mount --create "$work/another" "$mnt" || return
    mount_store && [ "$(cat "$mnt/survivor")" = survives ] && [ "$(findmnt -n "$mnt" | wc -l)" -eq 1 ]
}

killed_and_unmounted() {
    local pid
    pid=$(daemon_pid) || return
    kill -KILL "$pid" && gone "$pid" && "$kvfs" umount "$mnt" && ! findmnt -n "$mnt" && [ "$("$kvfs" get "$store" survivor)" = survives ]
}

foreground() {
    "$kvfs" mount -f "$store" "$mnt" 2>"$work/foreground.log" &
    local pid=$!
    wait_for mountpoint -q "$mnt"
    [ "$(cat "$mnt/kept")" = kept ] && [ "$(daemon_pid)" = "$pid" ] && kill -INT "$pid" && wait "$pid" && ! mountpoint -q "$mnt"
}

# ---- mount(8) ----

helper_works() {
    "$mount_helper" "$store" "$mnt" -o rw,defaults,auto,nofail,_netdev,x-systemd.automount,noatime && [ "$(cat "$mnt/kept")" = kept ] && umount_store &&
        "$mount_helper" "$store" "$mnt" -f && ! mountpoint -q "$mnt" &&
        complains 1 "unknown mount option 'frobnicate'" "$mount_helper" "$store" "$mnt" -o frobnicate
}

# Without being installed: mount(8) finds helpers in /sbin only, here in a mount namespace of its own.
mount_8_works() {
    unshare -m bash -ec '
        mkdir -p "$4"
        cp -a /sbin/. "$4"
        ln -sf "$1" "$4/mount.kvfs"
        mount --bind "$4" "$(realpath /sbin)"
        mount -t kvfs -o noatime "$2" "$3"
        [ "$(cat "$3/kept")" = kept ]
        if ! umount "$3"; then
            echo "used by:"
            ls -l /proc/[0-9]*/{cwd,root} /proc/[0-9]*/task/[0-9]*/fd | grep -F "$3"
            exit 1
        fi
        for ((i = 0; i < 600; i++)); do
            [ -e "$2/control" ] || exit 0
            sleep 0.1
        done
        exit 1' _ "$kvfs" "$store" "$mnt" "$work/sbin"
}

# ---- exec ----

exec_works() {
    # shellcheck disable=SC2016
    [ "$("$kvfs" exec "$store" -- sh -c 'cat kept && [ "$PWD" = "$KVFS_MOUNTPOINT" ]')" = kept ] &&
        complains 7 '' "$kvfs" exec "$store" -- sh -c 'exit 7' && complains 127 'cannot run' "$kvfs" exec "$store" -- /none/such &&
        complains 126 'cannot run' "$kvfs" exec "$store" -- /etc/passwd &&
        complains 125 'no such directory' "$kvfs" exec "$work/none" -- true && complains 143 '' "$kvfs" exec "$store" -- sh -c 'kill -TERM $$' &&
        [ "$(findmnt -n -t fuse.kvfs -o SOURCE | grep -c "^$store\$")" -eq 0 ]
}

exec_forwards_signals() {
    # shellcheck disable=SC2016
    "$kvfs" exec "$store" -- bash -c 'trap "echo caught >caught; exit 9" TERM; echo x >"$1"; while :; do sleep 0.1; done' _ "$work/exec_now" &
    local pid=$!
    wait_for [ -e "$work/exec_now" ]
    kill -TERM $pid
    wait $pid
    [ $? -eq 9 ] && [ "$("$kvfs" get "$store" caught)" = caught ]
}

exec_leaves_no_mount_behind_a_busy_program() {
    "$kvfs" exec "$store" -- sh -c 'sleep 30 >/dev/null 2>&1 & echo $! >busy' && [ "$(state)" = idle ] && kill "$("$kvfs" get "$store" busy)"
}

# A point that works in a mount namespace of its own, which not every container allows.
in_own_mounts() {
    if unshare -m true 2>/dev/null; then
        point "$@"
    else
        skip "$1" "unshare -m is not possible here"
    fi
}

point "a store is made" "$kvfs" mkfs -q "$store"
point "a mount in the background works when the command returns" eval 'mount_store && echo kept >"$mnt/kept" && [ "$(state)" = mounted ]'
point "the daemon has its own session, / as its directory, no umask and no terminal" daemon_is_detached
point "the mount has the right type, source and flags" mount_flags_are_right
point "other descriptors of the caller are closed" descriptors_are_closed
point "a second mount of the store names the holder" complains 32 "locked by process [0-9]+, mounted on $mnt. Unmount it, or use 'kvfs stats $mnt'" \
    "$kvfs" mount "$store" "$(mkdir -p "$work/second" && echo "$work/second")"
point "a second mount on the same directory is refused" eval '"$kvfs" mkfs -q "$work/other" && complains 32 "busy, $store is mounted there already" "$kvfs" mount "$work/other" "$mnt"'
point "umount of a mount in use fails and says so" umount_of_a_busy_mount
point "umount waits out a program that looks at the mount for a moment" umount_of_a_mount_busy_for_a_moment
point "umount returns when the store is written and free" umount_waits
point "a mount right after umount(8) waits for the daemon before it" umount_8_and_mount_at_once
point "a mount that is reported ready is not held by its daemon" ready_is_not_busy
in_own_mounts "umount waits for a copy of the mount in another namespace, and says so" umount_of_a_copied_mount
point "umount of what is no mount fails" complains 1 'not the mount point of a kvfs store' "$kvfs" umount "$mnt"
point "a failure in the background reaches the caller with status 32" failure_is_reported
point "a missing mount point is told" complains 32 "no such directory. Make it with 'mkdir" "$kvfs" mount "$store" "$work/nowhere"
point "a mount point that is a file is told" eval ': >"$work/file" && complains 32 "not a directory" "$kvfs" mount "$store" "$work/file"'
point "a mount point inside the store is refused" complains 32 'one lies inside the other' "$kvfs" mount "$store" "$store"
point "an unknown mount option is refused by name" complains 1 "unknown mount option 'memroy'. Did you mean 'memory'" "$kvfs" mount -o memroy=1G "$store" "$mnt"
point "missing words give mount(8)'s usage status" complains 1 'usage' "$kvfs" mount "$store"
in_own_mounts "without /dev/fuse the reason is told" no_device
point "--create makes the store" creates
point "suid, dev, noexec and noatime are heard" option_suid_is_heard
point "memory, threads, sync_interval and log are heard" memory_and_log_options
point "what nobody syncs is synced after a while" synced_unasked
point "a read-only mount lets others read and nobody write" read_only
point "who reads for a moment is waited for" reader_is_waited_for
point "a store with a long path, a comma and spaces works" long_path
point "the store is mounted again" mount_store
point "SIGTERM is a clean unmount" ends TERM
point "the store is mounted again" mount_store
point "SIGINT is a clean unmount" ends INT
point "the store is mounted again" mount_store
point "SIGTERM writes what is dirty in a mount in use" ends_with_dirty_pages
point "the store is mounted again" mount_store
point "after SIGKILL the next mount cleans the dead one" killed_and_mounted_again
point "after SIGKILL umount takes the dead mount away" killed_and_unmounted
point "a mount in the foreground ends with SIGINT" foreground
point "mount.kvfs drops what is for others and refuses what it does not know" helper_works
in_own_mounts "mount -t kvfs and umount work" mount_8_works
point "exec runs a command in the mount and returns its status" exec_works
point "exec hands signals on" exec_forwards_signals
point "exec unmounts although the command left a program behind" exec_leaves_no_mount_behind_a_busy_program
tap_finish
