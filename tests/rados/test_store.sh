#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: test_store.sh BUILD_DIR
# On the cluster of CEPH_CONF (tests/rados/cluster run): a store in a pool in the place of a directory, for every command.
set -uo pipefail
unset KVFS_STORE KVFS_TIMEOUT

# shellcheck source=tests/lib/mount.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/mount.sh"

store=rados://kvfs/store-$$
other=rados://kvfs/other-$$
copy=$work/copy
tree=/usr/include/linux # some 800 files, of which each costs 10 ms or more
[ -z "${KV_SLOW:-}" ] || tree=/usr/include
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null

# fails STATUS PATTERN COMMAND...: one line on stderr that matches.
fails() {
    local want=$1 pattern=$2 status
    shift 2
    "$@" >"$work/out" 2>"$work/err"
    status=$?
    echo "$*: status $status, wanted $want: $(cat "$work/err")"
    [ "$status" -eq "$want" ] && [ "$(wc -l <"$work/err")" -eq 1 ] && grep -Eq "$pattern" "$work/err"
}

# status STORE EXPRESSION over `j`.
status() {
    local text
    text=$("$kvfs" status --json "$1") || return
    echo "$text"
    python3 -c 'import json, sys; j = json.loads(sys.argv[1]); sys.exit(not eval(sys.argv[2]))' "$text" "$2"
}

is_made_once() {
    fails 1 "holds no store of that name" "$kvfs" status "$store" && "$kvfs" mkfs -q -L photos "$store" &&
        fails 1 "there is one already" "$kvfs" mkfs "$store" &&
        status "$store" 'j["state"] == "idle" and j["label"] == "photos" and j["holder"] is None and j["lease"]["epoch"] > 0'
}

# A stream needs several round trips at a time, which root alone can have the kernel do.
reads_far_ahead() {
    local readahead
    readahead=/sys/class/bdi/$(mountpoint -d "$mnt")/read_ahead_kb
    [ ! -w "$readahead" ] || [ "$(cat "$readahead")" -eq 8192 ]
}

is_mounted_with_a_lease() {
    local machine
    machine=$(uname -n)
    mount_store && [ "$(findmnt -no SOURCE,FSTYPE "$mnt" | tr -s ' ')" = "$store fuse.kvfs" ] &&
        status "$store" "j['state'] == 'mounted' and j['mountpoint'] == '$mnt' and j['store'] == '$store'" &&
        status "$mnt" "j['holder'] == f'process {j[\"pid\"]} on $machine, mounted on $mnt'" &&
        status "$mnt" 'j["lease"]["duration_ms"] == 20000 and 0 < j["lease"]["left_ms"] <= 20000' &&
        "$kvfs" status "$mnt" >"$work/out" && grep -Eq '^lease +[0-9.]+ of 20.0 s left$' "$work/out" && df "$mnt" &&
        reads_far_ahead
}

takes_a_tree() {
    cp -a "$tree" "$mnt/tree" && diff -r --no-dereference "$tree" "$mnt/tree"
}

takes_a_repository() {
    git init -q "$mnt/git" && cp -r /usr/include/asm-generic "$mnt/git/" && git -C "$mnt/git" add . &&
        git -C "$mnt/git" -c user.name=a -c user.email=a@b commit -qm "headers" && git -C "$mnt/git" fsck --strict &&
        [ -z "$(git -C "$mnt/git" status --porcelain)" ]
}

keys_pass_through_the_daemon() {
    "$kvfs" put "$store" users/42 Ada && [ "$(cat "$mnt/users/42")" = Ada ] && echo Grace >"$mnt/users/43" &&
        [ "$("$kvfs" get "$store" users/43)" = Grace ] && [ "$("$kvfs" scan "$mnt" --keys-only --prefix users/ | wc -l)" -eq 2 ] &&
        [ -z "$(find "/run/kvfs/kvfs:store-$$/control" -perm /077)" ] &&
        fails 5 "not mounted" "$kvfs" ls "$store" && fails 8 "locked by process" "$kvfs" fsck "$store"
}

is_there_after_a_remount() {
    umount_store && [ ! -e "/run/kvfs/kvfs:store-$$" ] && "$kvfs" exec -o ro "$store" -- test -e users/42 && mount_store &&
        diff -r --no-dereference "$tree" "$mnt/tree" && git -C "$mnt/git" fsck --strict && umount_store
}

# The lock of who died ends after 20 s. What was not synced is there, or is not, but nothing without what was before it.
is_taken_over() {
    mount_store && echo before >"$mnt/synced" && "$kvfs" sync "$mnt" && echo before >"$mnt/first" && echo before >"$mnt/second" || return
    kill -KILL "$("$kvfs" status --json "$mnt" | python3 -c 'import json, sys; print(json.load(sys.stdin)["pid"])')" || return
    sleep 0.5
    status "$store" "j['state'] == 'in use' and 'mounted on $mnt' in j['holder'] and j['lease']['epoch'] > 0"
    local begun=$SECONDS
    mount_store && [ "$(cat "$mnt/synced")" = before ] && echo "$((SECONDS - begun)) s" && [ $((SECONDS - begun)) -lt 30 ] || return
    [ ! -s "$mnt/second" ] || [ "$(cat "$mnt/first" "$mnt/second")" = "before"$'\n'"before" ] || return
    umount_store
}

is_checked() {
    "$kvfs" verify "$store" && [ "$("$kvfs" fsck "$store")" = "$store: clean" ] && "$kvfs" fsck --json "$store" >"$work/out" &&
        fails 8 "works on stores in directories" "$kvfs" fsck -y "$store" &&
        fails 8 "works on stores in directories" "$kvfs" recover --output "$work/new" "$store" &&
        fails 1 "works on stores in directories" "$kvfs" sst "$store/00000001.table"
}

is_copied_out_and_back() {
    "$kvfs" copy "$store" "$copy" && "$kvfs" fsck --deep "$copy" && [ "$("$kvfs" get "$copy" users/42)" = Ada ] &&
        "$kvfs" copy "$copy" "$other" && [ "$("$kvfs" fsck "$other")" = "$other: clean" ] &&
        fails 1 "there is something of that name" "$kvfs" copy "$copy" "$other" &&
        fails 1 "on another file system, or in a pool" "$kvfs" checkpoint "$copy" "$other-2" &&
        "$kvfs" exec -o ro "$other" -- diff -r --no-dereference "$tree" tree
}

# While the store is written to.
is_copied_while_mounted() {
    mount_store && "$kvfs" copy "$mnt" "$other-live" && "$kvfs" get "$other-live" users/42 && umount_store &&
        "$kvfs" serve "$other-live" && "$kvfs" put "$other-live" more x && status "$other-live" 'j["state"] == "serving"' &&
        "$kvfs" umount "$other-live" && [ "$("$kvfs" get "$other-live" more)" = x ]
}

# One whose making was cut short is no store, and can be made.
is_erased() {
    "$kvfs" mkfs --force -q "$other" && [ -z "$("$kvfs" scan "$other")" ] && "$kvfs" fsck "$other" || return
    rados -p kvfs -N "other-$$" ls >"$work/objects" || return
    wc -l <"$work/objects"
    [ "$(wc -l <"$work/objects")" -lt 10 ]
}

# The one waits half a minute by itself.
tells_what_is_wrong() {
    fails 1 "no pool of that name" "$kvfs" status rados://nopool/a && fails 32 "no pool of that name" "$kvfs" mount rados://nopool/a "$mnt" &&
        fails 1 "nothing says where the cluster is" env CEPH_CONF=/dev/null CEPH_ARGS='--keyring=/dev/null --mon-host=' "$kvfs" get "$store" k
    local begun=$SECONDS
    fails 1 "does not answer in time" env CEPH_CONF=/dev/null CEPH_ARGS=--mon-host=127.0.0.1:1 KVFS_TIMEOUT=2 "$kvfs" get "$store" k &&
        fails 32 "does not answer in time" env CEPH_CONF=/dev/null CEPH_ARGS=--mon-host=127.0.0.1:1 "$kvfs" mount -o timeout=2 "$store" "$mnt" &&
        [ $((SECONDS - begun)) -lt 15 ]
}

point "a store is made in a pool, once" is_made_once
point "it is mounted, and its status tells holder, epoch and lease" is_mounted_with_a_lease
point "cp -a of $tree is there" takes_a_tree
point "a git repository works" takes_a_repository
point "keys are put and got through the daemon while it is mounted" keys_pass_through_the_daemon
point "all of it is there after a remount" is_there_after_a_remount
point "a mount takes over from one that died" is_taken_over
point "it is checked, and what does not work in a pool says so" is_checked
point "it is copied to a directory, which is clean, and back into a pool" is_copied_out_and_back
point "it is copied while it is mounted, and served without a mount" is_copied_while_mounted
point "it is erased with all its objects" is_erased
point "what is wrong with a pool or a cluster is told, in time" tells_what_is_wrong
tap_finish
