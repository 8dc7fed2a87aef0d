#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: test_sandbox.sh BUILD_DIR
# What the daemon of a mount gives up, and that its guard, which mounts and unmounts for it, does so whatever happens to
# either of them; as root and as an ordinary user.
# shellcheck disable=SC2016 # commands for eval are meant to expand later
set -uo pipefail
unset KVFS_STORE
# shellcheck source=tests/lib/mount.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/mount.sh"

# status_of WORD...: a member of what `kvfs status` says of the store; WORD before the command (setpriv).
status_of() {
    local member=$1
    shift
    "$@" "$kvfs" status "$store" --json | python3 -c "import json, sys; print(json.load(sys.stdin)['$member'])"
}

guard_of() {
    pgrep -P "$1" -x kvfs-guard
}

is_mounted() {
    grep -q " $mnt fuse.kvfs " /proc/self/mounts
}

is_not_mounted() {
    ! is_mounted
}

# A zombie is gone, too, where nobody collects orphans.
has_gone() {
    [[ $(ps -o stat= -p "$1") = "" || $(ps -o stat= -p "$1") = Z* ]]
}

begin() {
    mount_store "$@" && daemon=$(status_of pid) && guard=$(guard_of "$daemon")
}

# ---- what was given up ----

every_thread_is_confined() {
    local thread threads=0
    for thread in /proc/"$daemon"/task/*; do
        [[ $(awk '/^NoNewPrivs|^Seccomp:/ {print $2}' "$thread/status" | tr '\n' ' ') = "1 2 " ]] || {
            cat "$thread/comm" "$thread/status"
            return 1
        }
        threads=$((threads + 1))
    done
    # CAP_SYS_ADMIN, with which root may do nearly everything, has the number 21.
    [ "$threads" -gt 5 ] && [ $((0x$(awk '/^CapPrm/ {print $2}' "/proc/$daemon/status") & 1 << 21)) = 0 ] && [ "$(awk '/^Max core file size/ {print $5, $6}' "/proc/$daemon/limits")" = "0 0" ]
}

status_tells() {
    echo "$sandbox"
    # Where securityfs is not mounted nobody tells what the kernel has.
    if grep -qv landlock /sys/kernel/security/lsm 2>/dev/null; then
        [[ $sandbox = *", no landlock: "* ]] || return
    else
        [[ $sandbox = *", landlock "[0-9]* ]] || return
    fi
    [[ $sandbox = "no core dumps, no new privileges, "*", seccomp" ]] && "$kvfs" status "$mnt" | grep -q "^sandbox *no core dumps"
}

# What the C library writes to, and what it reads when the mount ends.
threads_have_names() {
    cat /proc/"$daemon"/task/*/comm | sort -u >"$work/names"
    cat "$work/names"
    grep -qx kvfs-notify "$work/names" && grep -qx kvfs-control "$work/names"
}

guard_holds_nothing() {
    ls -l "/proc/$guard/fd"
    [ "$(readlink /proc/"$guard"/fd/* | grep -vc '^/dev/null$')" = 1 ] && readlink /proc/"$guard"/fd/* | grep -q '^socket:' &&
        [ "$(awk '/^RssAnon/ {print $2}' "/proc/$guard/status")" -lt 2048 ]
}

# The daemon has no right to either directory.
copies_are_made_outside() {
    mkdir "$work/elsewhere" && echo kept >"$mnt/file" && "$kvfs" checkpoint "$mnt" "$work/elsewhere/shared" && "$kvfs" copy "$mnt" "$work/elsewhere/own" &&
        [ "$("$kvfs" get "$work/elsewhere/shared" file)" = kept ] && [ "$("$kvfs" get "$work/elsewhere/own" file)" = kept ] &&
        "$kvfs" fsck "$work/elsewhere/shared" && "$kvfs" fsck "$work/elsewhere/own" && [ "$(ls "$work/elsewhere")" = $'own\nshared' ]
}

# Merges, checks, snapshots, a log that is written, a store that is full of small and large files.
everything_works_inside() {
    everything_is_tried && remount_store -o "log=$work/log" && cat "$mnt"/file* >/dev/null &&
        umount_store && "$kvfs" fsck "$store" && ! grep -i "denied\|not permitted\|error" "$work/log"
}

# The daemon goes on, and the next copy takes over what was left of the last one.
dead_commands_copy_is_begun_anew() {
    local try again=$work/again
    head -c 64M /dev/urandom >"$mnt/large" && sync -f "$mnt" || return
    for try in $(seq 1 20); do
        "$kvfs" copy "$mnt" "$again" &
        until [ -e "$again.tmp" ] || [ -e "$again" ]; do :; done
        kill -KILL "$!"
        wait "$!"
        [ -e "$again" ] || break
        echo "try $try: it was done"
        rm -r "$again"
    done
    [ -e "$again.tmp" ] && "$kvfs" copy "$mnt" "$again" && [ ! -e "$again.tmp" ] && "$kvfs" fsck "$again" && cat "$mnt/file" && rm "$mnt/large"
}

# interrupt_copy SIGNAL: a copy in the middle; 2 if it was done before every time.
interrupt_copy() {
    local try
    for try in $(seq 1 20); do
        env --default-signal "$kvfs" copy "$mnt" "$again" & # whatever our own caller ignores
        until [ -e "$again.tmp" ] || [ -e "$again" ]; do :; done
        kill "-$1" "$!"
        wait "$!"
        status=$?
        [ -e "$again" ] || return 0
        echo "try $try: it was done"
        rm -r "$again"
    done
    return 2
}

# What a command began goes with it: files that it shares with the store would keep the room of those.
interrupted_commands_leave_nothing() {
    local name again=$work/interrupted status
    head -c 64M /dev/urandom >"$mnt/large" && sync -f "$mnt" || return
    for name in TERM HUP; do
        interrupt_copy "$name" && [ "$status" = $((128 + $(kill -l "$name"))) ] && ! ls -d "$again"* || return
    done
    cat "$mnt/file" && "$kvfs" umount "$mnt" && mnt=$store interrupt_copy TERM && ! ls -d "$again"* && [ "$status" = 143 ] && begin && rm "$mnt/large"
}

# Each link takes a second.
killed_checkpoint_is_taken_over() {
    local shared=$work/taken
    strace -f -o "$work/calls" -e trace=linkat -e inject=linkat:delay_enter=1000000 "$kvfs" checkpoint "$mnt" "$shared" &
    wait_for test -e "$shared.tmp" && pkill -KILL -P "$!" -x kvfs
    wait "$!"
    [ -e "$shared.tmp" ] && [ ! -e "$shared" ] && "$kvfs" checkpoint "$mnt" "$shared" && [ ! -e "$shared.tmp" ] && "$kvfs" fsck "$shared"
}

# Of a whole life. The directory above the store is synced before, and what the storage does then without asking is refused; and the C library starts
# threads in the older way.
nothing_is_refused() {
    strace -f -Z -o "$work/failed" "$kvfs" mount -f -o "log=$work/log" "$store" "$mnt" &
    wait_for is_mounted && wait_for status_of pid && everything_is_tried && "$kvfs" umount "$mnt" && wait "$!" || return
    [ -s "$work/failed" ] && ! grep -E 'EACCES|EPERM|ENOSYS|EAFNOSUPPORT' "$work/failed" | grep -v 'openat([0-9]*, "\.\.",\|clone3('
}

everything_is_tried() {
    local i
    for i in $(seq 1 60); do
        head -c $((i * 1500)) /dev/urandom >"$mnt/file$i" || return
    done
    sync -f "$mnt" && "$kvfs" compact "$mnt" && "$kvfs" verify "$mnt" && "$kvfs" snapshot create "$mnt" one && "$kvfs" snapshot drop "$mnt" one &&
        "$kvfs" health "$mnt" && "$kvfs" stats "$mnt" && "$kvfs" copy "$mnt" "$work/copy" && rm -r "$work/copy" "$mnt"/file?
}

# A power failure takes no store that was just made.
store_is_named_before() {
    mkdir "$work/new-mnt" || return
    strace -f -y -e trace=fsync,landlock_restrict_self -o "$work/calls" "$kvfs" mount -f --create -o "log=$work/log" "$work/new" "$work/new-mnt" &
    wait_for mountpoint -q "$work/new-mnt" && wait_for test -S "$work/new/control" && "$kvfs" umount "$work/new-mnt" && wait "$!" && cat "$work/calls" &&
        grep -n "fsync([0-9]*<$work>)" "$work/calls" | head -n 1 | cut -d: -f1 >"$work/at-sync" &&
        grep -n 'landlock_restrict_self' "$work/calls" | head -n 1 | cut -d: -f1 >"$work/at-sandbox" && [ -s "$work/at-sync" ] &&
        { [ ! -s "$work/at-sandbox" ] || [ "$(cat "$work/at-sync")" -lt "$(cat "$work/at-sandbox")" ]; }
}

# The groups of a caller stand in /proc alone.
setgid_is_kept_for_a_group_of_the_caller() {
    echo text >"$mnt/setgid" && chown 4000:5000 "$mnt/setgid" && chmod 2755 "$mnt/setgid" &&
        setpriv --reuid 4000 --regid 4000 --groups 5000 setfacl -m u:4001:r "$mnt/setgid" && [ "$(stat -c %a "$mnt/setgid")" = 2755 ] &&
        setpriv --reuid 4000 --regid 4000 --groups 5001 setfacl -m u:4002:r "$mnt/setgid" && [ "$(stat -c %a "$mnt/setgid")" = 755 ]
}

# ---- the guard ----

closed_descriptors_are_no_matter() {
    begin <&- >&- && touch "$mnt/file" && umount_store && begin <&- >&- 2>&- && touch "$mnt/file" && umount_store && wait_for has_gone "$guard" && is_not_mounted
}

umount_ends_both() {
    begin && umount_store && wait_for has_gone "$daemon" && wait_for has_gone "$guard" && is_not_mounted
}

a_crash_leaves_the_mount() {
    begin && kill -KILL "$daemon" && wait_for has_gone "$daemon" && wait_for has_gone "$guard" && is_mounted && ! touch "$mnt/file" && mount_store &&
        [ "$(cat "$mnt/file")" = kept ] && umount_store
}

# The signal of a terminal comes to the whole group.
an_interrupt_of_all_unmounts() {
    setsid "$kvfs" mount -f -o "log=$work/log" "$store" "$mnt" &
    wait_for is_mounted && wait_for status_of pid && daemon=$(status_of pid) && guard=$(guard_of "$daemon") && kill -INT -- "-$daemon" && wait "$!" &&
        wait_for has_gone "$guard" && is_not_mounted && "$kvfs" fsck "$store"
}

signals_pass_by_the_guard() {
    begin && kill -TERM "$guard" && kill -INT "$guard" && kill -HUP "$guard" && kill -TERM "$daemon" && wait_for is_not_mounted && wait_for has_gone "$daemon"
}

in_use_it_is_detached() {
    begin && exec 7<"$mnt/file" && kill -TERM "$daemon" && wait_for has_gone "$daemon" && wait_for is_not_mounted && exec 7<&- && "$kvfs" fsck "$store"
}

# Also when the mount ends: what is on it is somebody else's.
what_covers_it_stays() {
    : >"$work/log"
    begin -o "log=$work/log" && mount -t tmpfs over "$mnt" && touch "$mnt/theirs" && kill -TERM "$daemon" && wait_for has_gone "$daemon" &&
        [ -e "$mnt/theirs" ] && grep -q "could not be unmounted" "$work/log" && umount "$mnt" && is_mounted && "$kvfs" umount "$mnt" && "$kvfs" fsck "$store"
}

# As by a debugger; what the kernel lets the daemon do about it hangs on its version.
a_stopped_guard_holds_up_nobody() {
    local began=$SECONDS
    : >"$work/log"
    begin -o "log=$work/log" && kill -STOP "$guard" && umount_store && wait_for has_gone "$daemon" && { kill -KILL "$guard" || true; } &&
        begin -o "log=$work/log" && kill -STOP "$guard" && kill -TERM "$daemon" && wait_for has_gone "$daemon" && { kill -KILL "$guard" || true; } &&
        grep -q "cannot be unmounted: the process that unmounts it was stopped" "$work/log" && [ $((SECONDS - began)) -lt 50 ] &&
        "$kvfs" umount "$mnt" && "$kvfs" fsck "$store"
}

a_killed_guard_is_told() {
    : >"$work/log"
    begin -o "log=$work/log" && kill -KILL "$guard" && wait_for grep -q "the process that unmounts .* was killed" "$work/log" &&
        wait_for [ ! -e "/proc/$guard" ] && kill -TERM "$daemon" && wait_for has_gone "$daemon" && ! grep "still in use" "$work/log" && "$kvfs" umount "$mnt"
}

without_its_guard_it_ends_all_the_same() {
    : >"$work/log"
    begin -o "log=$work/log" && kill -KILL "$guard" && umount_store && wait_for has_gone "$daemon" &&
        begin -o "log=$work/log" && kill -KILL "$guard" && kill -TERM "$daemon" && wait_for has_gone "$daemon" && grep -q "could not be unmounted" "$work/log" &&
        "$kvfs" umount "$mnt" && "$kvfs" fsck "$store"
}

# ---- an ordinary user ----

# In a mount name space where the device is open to all, as it is on most machines: here only root may open it.
as_a_user() {
    unshare -m bash -c 'mknod "$1/device" c 10 229 && chmod 666 "$1/device" && mount --bind "$1/device" /dev/fuse && shift && "$@"' _ "$work" "$@"
}

user() {
    setpriv --reuid nobody --regid nogroup --clear-groups "$@"
}

user_mounts() {
    store=$work/user/store
    mnt=$work/user/mnt
    kvfs=$work/user/kvfs
    user "$kvfs" mkfs -q "$store" && user "$kvfs" mount "$store" "$mnt" && [[ $(status_of sandbox user) = *"no new privileges"*seccomp ]] &&
        daemon=$(status_of pid user) && guard=$(guard_of "$daemon") && user touch "$mnt/file" && user "$kvfs" checkpoint "$mnt" "$work/user/copy" &&
        kill -TERM "$daemon" && wait_for has_gone "$daemon" && wait_for is_not_mounted && wait_for has_gone "$guard" || return
    # Also from under a program that uses it: by fusermount3, which the daemon itself could not start any more.
    user "$kvfs" mount "$store" "$mnt" && daemon=$(status_of pid user) || return
    user sh -c "exec 3<$mnt/file; echo; exec sleep 60" >"$work/user/ready" &
    wait_for test -s "$work/user/ready" && kill -TERM "$daemon" && wait_for has_gone "$daemon" && wait_for is_not_mounted && kill "$!" && user "$kvfs" fsck "$store"
}

"$kvfs" mkfs -q "$store" || exit 1
point "a store is mounted by way of a guard" begin
sandbox=$(status_of sandbox)
if [[ $sandbox = off:* ]]; then
    skip "every thread of the daemon is confined" "$sandbox"
    skip "status tells what is in force" "$sandbox"
else
    point "every thread of the daemon is confined" every_thread_is_confined
    point "status tells what is in force" status_tells
fi
point "its threads have their names" threads_have_names
point "its guard holds a socket and nothing else" guard_holds_nothing
point "copies are made where the daemon may not write" copies_are_made_outside
point "a copy whose command was killed is begun anew" dead_commands_copy_is_begun_anew
point "a copy whose command is interrupted leaves nothing" interrupted_commands_leave_nothing
if strace -f -e trace=none true 2>/dev/null; then
    point "a checkpoint whose command was killed is taken over" killed_checkpoint_is_taken_over
else
    skip "a checkpoint whose command was killed is taken over" "it takes strace"
fi
point "all that a daemon does works inside" everything_works_inside
if [[ $sandbox = off:* ]] || ! strace -f -Z true 2>/dev/null; then
    skip "of all that a daemon does nothing is refused" "it takes strace of 5.2 or later, and a build without sanitizers"
    skip "a store that is made has its name before" "likewise"
else
    point "of all that a daemon does nothing is refused" nothing_is_refused
    point "a store that is made has its name before" store_is_named_before
fi
if [ "$(id -u)" -ne 0 ] || ! command -v setpriv setfacl >/dev/null; then
    skip "setgid stays where the caller is in the group" "it takes root, setpriv and setfacl"
else
    point "setgid stays where the caller is in the group" eval 'begin -o allow_other && chmod 755 "$work" && setgid_is_kept_for_a_group_of_the_caller && umount_store'
fi
point "a mount works whose caller closed its descriptors" closed_descriptors_are_no_matter
point "umount ends the daemon and its guard" umount_ends_both
point "after a crash the guard is gone and the mount is there" a_crash_leaves_the_mount
point "an interrupt of the whole process group unmounts" an_interrupt_of_all_unmounts
point "signals do not end the guard" signals_pass_by_the_guard
point "a mount in use is detached" in_use_it_is_detached
point "a daemon whose guard was killed ends, and says that the mount is left" without_its_guard_it_ends_all_the_same
point "a guard that was killed is told of, and no zombie" a_killed_guard_is_told
point "a guard that was stopped holds up nobody" a_stopped_guard_holds_up_nobody
if [ "$(id -u)" -ne 0 ]; then
    skip "what is mounted on it stays" "it takes root"
else
    point "what is mounted on it stays" what_covers_it_stays
fi
if [ "$(id -u)" -ne 0 ] || ! command -v setpriv unshare fusermount3 >/dev/null; then
    skip "a user's mount ends by way of its guard" "it takes root, setpriv, unshare and fusermount3"
else
    chmod 755 "$work" && install -d -o nobody -g nogroup "$work/user" "$work/user/mnt" && cp "$kvfs" "$work/user"
    export -f user_mounts user status_of guard_of has_gone wait_for is_mounted is_not_mounted
    export work kvfs
    point "a user's mount ends by way of its guard" as_a_user bash -c user_mounts
fi
tap_finish
