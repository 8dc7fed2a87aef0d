#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: test_acl.sh BUILD_DIR
# POSIX ACLs on a real mount: what setfacl says getfacl shows, the kernel obeys it, the mode and the
# umask follow acl(5), and archives carry it.
# shellcheck disable=SC2016 # commands for eval are meant to expand later
set -uo pipefail
unset KVFS_STORE
# shellcheck source=tests/lib/mount.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/mount.sh"
umask 022

# is PATH TEXT: the ACL is these entries, joined by commas.
is() {
    local found
    found=$(getfacl -cpsEn "$1" | grep . | paste -sd,)
    [ -n "$found" ] || found=minimal
    echo "$1: $found, wanted $2"
    [ "$found" = "$2" ]
}

mode_is() {
    echo "$1: $(stat -c %a "$1"), wanted $2"
    [ "$(stat -c %a "$1")" = "$2" ]
}

# as UID GID COMMAND...
as() {
    setpriv --reuid "$1" --regid "$2" --clear-groups -- "${@:3}"
}

set_and_get() {
    echo text >f && chmod 640 f && setfacl -m u:1001:r,g:1002:rw f && mode_is f 660 &&
        is f user::rw-,user:1001:r--,group::r--,group:1002:rw-,mask::rw-,other::---
}

kernel_obeys() {
    as 1001 1001 cat f && ! as 1001 1001 sh -c 'echo x >>f' && as 1005 1002 sh -c 'echo x >>f' && ! as 1005 1005 cat f
}

chmod_changes_the_mask() {
    chmod g-w,o+r f && is f user::rw-,user:1001:r--,group::r--,group:1002:rw-,mask::r--,other::r-- &&
        ! as 1005 1002 sh -c 'echo x >>f' && chmod g+w f && as 1005 1002 sh -c 'echo x >>f'
}

removal_is_seen() {
    setfacl -x u:1001 f && chmod o= f && ! as 1001 1001 cat f && setfacl -b f && is f minimal && mode_is f 640 &&
        ! as 1005 1002 cat f
}

defaults_are_inherited() {
    mkdir d && setfacl -d -m u:1001:rwx,o::- d && is d "user::rwx,group::r-x,other::r-x,default:user::rwx,default:user:1001:rwx,default:group::r-x,default:mask::rwx,default:other::---" &&
        (umask 077 && echo x >d/f && mkdir d/sub) &&
        is d/f user::rw-,user:1001:rwx,group::r-x,mask::rw-,other::--- &&
        is d/sub "user::rwx,user:1001:rwx,group::r-x,mask::rwx,other::---,default:user::rwx,default:user:1001:rwx,default:group::r-x,default:mask::rwx,default:other::---" &&
        mode_is d/f 660 && mode_is d/sub 770 && mknod d/sub/pipe p && mode_is d/sub/pipe 660 &&
        as 1001 1001 cat d/f && as 1001 1001 sh -c 'echo y >>d/f' && as 1001 1001 touch d/sub/theirs
}

umask_counts_elsewhere() {
    (umask 027 && echo x >g && mkdir e && mknod p p && ln -s g l) && mode_is g 640 && mode_is e 750 && mode_is p 640
}

default_removed() {
    setfacl -k d && (umask 077 && echo x >d/later) && mode_is d/later 600 && is d/later minimal
}

not_on_files() {
    ! setfacl -d -m u:1001:r f
}

keys_inherit() {
    mkdir k && setfacl -d -m u:1001:rx k && "$kvfs" put "$store" k/a/b v &&
        is k/a/b user::rw-,user:1001:r-x,group::r-x,mask::r--,other::r-- && as 1001 1001 cat k/a/b
}

# One who is not in the group loses setgid with chmod(2), so with an ACL too.
setgid_of_strangers() {
    echo x >s && chown 1001:1002 s && chmod 2770 s && as 1001 1001 setfacl -m u:1003:r s && mode_is s 770 &&
        chmod 2770 s && as 1001 1002 setfacl -m u:1004:r s && mode_is s 2770
}

make_tree() {
    mkdir tree && setfacl -d -m u:1001:rwx,g:1002:r tree && mkdir -p tree/a/b && echo 1 >tree/a/f && echo 2 >tree/a/b/g &&
        setfacl -b tree/a/f && setfacl -m u:1007:x,m::rwx tree/a/b/g && echo 3 >"tree/with space" && facls tree >"$work/want" &&
        grep -q user:1007 "$work/want"
}

facls() {
    (cd "$1" && getfacl -RpEn .)
}

copies_keep_acls() {
    cp -a tree copy && facls copy | diff "$work/want" - && rsync -aA tree/ synced/ && facls synced | diff "$work/want" - &&
        [ -z "$(rsync -aAn --itemize-changes tree/ synced/)" ] && tar --acls -cf "$work/tree.tar" -C tree . &&
        mkdir untarred && tar --acls -xpf "$work/tree.tar" -C untarred && facls untarred | diff "$work/want" -
}

restore_works() {
    setfacl -Rb tree && ! facls tree | diff -q "$work/want" - && (cd tree && setfacl --restore="$work/want") && facls tree | diff "$work/want" -
}

all_is_there_again() {
    cd / && remount_store && cd "$mnt" && facls tree | diff "$work/want" - && facls untarred | diff "$work/want" - &&
        as 1001 1001 cat tree/a/b/g >/dev/null && mode_is g 640
}

if [ "$(id -u)" -ne 0 ] || ! command -v setfacl >/dev/null || ! command -v setpriv >/dev/null; then
    skip "POSIX ACLs" "it takes root, setfacl and setpriv"
    tap_finish
    exit
fi
chmod 755 "$work"
point "a store is made and mounted" eval '"$kvfs" mkfs -q "$store" && mount_store && cd "$mnt"' || {
    tap_finish
    exit 1
}
point "getfacl shows what setfacl set, and the mode has the mask" set_and_get
point "the kernel grants and refuses by the ACL" kernel_obeys
point "chmod changes the mask" chmod_changes_the_mask
point "what is taken away counts no longer" removal_is_seen
point "new files and directories inherit the default ACL in place of the umask" defaults_are_inherited
point "the umask counts where there is no default ACL" umask_counts_elsewhere
point "a default ACL that was removed counts no longer" default_removed
point "a file takes no default ACL" not_on_files
point "what a put makes inherits" keys_inherit
point "setgid falls when one outside of the group sets an ACL" setgid_of_strangers
point "a tree with ACLs is made" make_tree
point "cp -a, rsync -A and tar --acls keep them" copies_keep_acls
point "setfacl --restore brings back what getfacl -R wrote" restore_works
point "all is there after a remount" all_is_there_again
cd / || exit
point "the mount ends well" umount_store
tap_finish
