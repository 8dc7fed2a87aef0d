#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: test_posix.sh BUILD_DIR [TEXT]
# The rules of tests/posix on a mount, on one with the kernel's write-back cache, and on ext4: a rule
# that does not hold there is wrong, or says why. On each a second time as an ordinary user, and on a mount
# of that user's own: rules that take root say so, and are skipped. What the rules left on a mount looks the same after a
# remount. TEXT: only rules whose name or file contains it.
set -uo pipefail
unset KVFS_STORE
# shellcheck source=tests/lib/mount.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/mount.sh"

rules=$(realpath "$1")/tests/posix_rules
differences=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../posix/differences")
only=${2:-}
ext4=$work/ext4
trap 'umount "$ext4" "$work/user/mnt" 2>/dev/null; mount_cleanup' EXIT

# take_points TITLE COMMAND...: its points become points of this program.
take_points() {
    local points failed
    "${@:2}" >"$work/points"
    echo "$1: exit status $?" >>"$work/points"
    grep -E '^(ok|not ok|#|Bail out!)' "$work/points" | sed -E "s/^(ok|not ok) [0-9]+ - /\1 - $1: /"
    points=$(grep -cE '^(ok|not ok) ' "$work/points")
    failed=$(grep -c '^not ok ' "$work/points")
    tap_count=$((tap_count + points))
    tap_failed=$((tap_failed + failed))
    point "$1: all rules were run" grep -qx "1..$points" "$work/points"
}

# run_rules TARGET DIRECTORY [OPTION...], on a mount of root's: as root, then as a user.
run_rules() {
    local common=(--target "$1" --differences "$differences" --only "$only" "${@:3}")
    take_points "$1" "$rules" "${common[@]}" "$2"
    install -d -o nobody -g nogroup "$2/user" && run_rules_as_user "$1, as a user" "${common[@]}" "$2/user"
}

run_rules_as_user() {
    if ! user true; then
        skip "$1: the rules hold" "there is no setpriv here"
        return
    fi
    take_points "$1" user "$users_rules" "${@:2}"
    [ -n "$only" ] || point "$1: most rules take no root" at_least_400_held
}

at_least_400_held() {
    [ "$(grep '^ok ' "$work/points" | grep -vc '# SKIP')" -ge 400 ]
}

user() {
    setpriv --reuid nobody --regid nogroup --clear-groups "$@"
}

# Where a user may read them, wherever the build is.
chmod 755 "$work" && install -d -o nobody -g nogroup "$work/user" "$work/user/mnt" && cp "$rules" "$kvfs" "$differences" "$work/user"
users_rules=$work/user/posix_rules
differences=$work/user/differences

# look_again OPTION...: as the mount is made.
look_again() {
    "$rules" --look "$mnt" >"$work/before" && remount_store "$@" && "$rules" --look "$mnt" >"$work/after" && [ "$(wc -l <"$work/after")" -gt 1 ] &&
        diff "$work/before" "$work/after"
}

# The kernel's write-back cache tells times by its own clock, which ticks, and only if a tick was between.
look_again_but_for_times() {
    local times='s/( [0-9-]+[.][0-9]+){2}( [^ ]+ [^ ]+)$/\2/'
    look_again -o writeback >"$work/log"
    sed -i -E "$times" "$work/before" "$work/after" && [ "$(wc -l <"$work/after")" -gt 1 ] && diff "$work/before" "$work/after"
}

mount_ext4() {
    mkdir "$ext4" && truncate -s 256M "$work/image" && mkfs.ext4 -q -F -b 4096 "$work/image" &&
        mount -t ext4 -o loop,nosuid,nodev "$work/image" "$ext4"
}

every_difference_is_of_a_rule() {
    grep -v '^#' "$differences" | cut -d ' ' -f 2 | sort -u >"$work/named"
    "$rules" --list | sort >"$work/listed"
    [ -z "$(comm -23 "$work/named" "$work/listed" | tee /dev/stderr)" ] && [ -z "$(uniq -d "$work/listed" | tee /dev/stderr)" ]
}

checks_permissions() {
    [[ ,$(findmnt -n -o FS-OPTIONS "$mnt"), == *,default_permissions,* ]]
}

# The daemon is asked what root may, and says so of ACLs, too. env asks nobody before it runs a program.
roots_alone() {
    local run=$mnt/run
    ! checks_permissions && ! user ls "$mnt" &&
        printf '#!/bin/sh\n' >"$run" && chmod 4644 "$run" && [ ! -x "$run" ] && [ -w "$run" ] && ! env "$run" && setfacl -m u::rwx "$run" && env "$run" &&
        [ -x "$run" ] && [ "$(stat -c %a "$run")" = 4744 ] && chmod 000 "$run" && [ -r "$run" ] && cat "$run" && chmod 755 "$run" && env "$run" &&
        setfacl -m u::r--,g::r--,o::r-- "$run" && ! env "$run" && [ -z "$(find "$run" -perm /111)" ]
}

# Who runs a program of root's under his own name is not root, nor is root of a user namespace.
real_users_are_checked() {
    setpriv --ruid nobody --euid root --clear-groups "$kvfs" mount -o noallow_other "$store" "$mnt" && checks_permissions && umount_store
}

point "every known difference names a rule, and no two rules have one name" every_difference_is_of_a_rule
point "a store is made and mounted" eval '"$kvfs" mkfs -q "$store" && mount_store' && run_rules kvfs "$mnt" --keep
point "what the rules left looks the same after a remount" look_again
point "another is mounted with the write-back cache" eval 'umount_store && rm -rf "$store" && "$kvfs" mkfs -q "$store" && mount_store -o writeback' &&
    run_rules writeback "$mnt" --keep
point "what they left through that cache looks the same after a remount" look_again_but_for_times
point "the mount ends well" umount_store
point "root mounts for itself alone" eval 'rm -rf "$store" && "$kvfs" mkfs -q "$store" && mount_store -o noallow_other' &&
    take_points alone "$rules" --target kvfs --differences "$differences" --only "$only" --alone "$mnt"
point "nobody else gets in, and root runs only what may be run" roots_alone
point "that mount ends well" umount_store
if command -v setpriv >/dev/null; then
    point "a user who acts in the name of root is checked" real_users_are_checked
else
    skip "a user who acts in the name of root is checked" "there is no setpriv here"
fi

# A mount of an ordinary user is for him alone: root does not get in either. He must have a name.
users_mount() {
    user "$work/user/kvfs" mkfs -q "$work/user/store" && user "$work/user/kvfs" mount "$work/user/store" "$work/user/mnt" &&
        echo text | user tee "$work/user/mnt/f" && [ "$(user stat -c '%U %G %a' "$work/user/mnt/f")" = 'nobody nogroup 644' ] &&
        ! ls "$work/user/mnt"
}

if [ -u "$(command -v fusermount3)" ] && command -v setpriv >/dev/null && user test -w /dev/fuse; then
    point "an ordinary user mounts and writes" users_mount &&
        run_rules_as_user "a mount of a user" --target kvfs --differences "$differences" --only "$only" "$work/user/mnt"
    point "an ordinary user unmounts" user "$work/user/kvfs" umount "$work/user/mnt"
else
    skip "an ordinary user mounts, writes and unmounts" "it takes setpriv, a fusermount3 that is setuid, and a /dev/fuse that is open to all"
fi
if mount_ext4 >"$work/log" 2>&1; then
    run_rules ext4 "$ext4"
else
    skip "the rules hold on ext4" "no ext4 image can be mounted here: $(tail -n 1 "$work/log")"
fi
tap_finish
