#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: test_chattr.sh BUILD_DIR
# chattr +i and +a on a real mount: refused are changes by name, and by a file that was open before.
# shellcheck disable=SC2016 # commands for eval are meant to expand later
set -uo pipefail
unset KVFS_STORE
# shellcheck source=tests/lib/mount.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/mount.sh"

# flags PATH WANTED: lsattr shows those letters.
flags() {
    local found
    found=$(lsattr -d "$1" | cut -d' ' -f1 | tr -d -)
    echo "$1: $found, wanted $2"
    [ "$found" = "$2" ]
}

# denied COMMAND...: it fails, and says that the operation is not permitted.
denied() {
    local said
    said=$("$@" 2>&1 >/dev/null) && return 1
    echo "$said"
    [[ $said == *"not permitted"* ]]
}

shown() {
    echo old >f && flags f "" && chattr +i f && flags f i && denied chattr +d f && chattr -i f && chattr +dA f &&
        chattr +i f && flags f idA && chattr -idA f && flags f ""
}

immutable() {
    chattr +i f && denied sh -c 'echo x >f' && denied sh -c '/bin/echo x >>f' && denied rm -f f && denied mv f g && denied ln f g &&
        denied chmod 600 f && denied chown 1 f && denied touch f && denied truncate -s 0 f && denied setfattr -n user.a -v 1 f &&
        denied "$kvfs" put "$store" f new && [ "$(cat f)" = old ]
}

open_before() {
    chattr -i f && exec 5>>f && chattr +i f && denied sh -c '/bin/echo x >&5'
    local status=$?
    exec 5>&-
    return $status
}

append_only() {
    chattr -i f && chattr +a f && flags f a && denied sh -c 'echo x >f' && denied truncate -s 0 f && denied rm -f f &&
        denied dd if=/dev/zero of=f bs=1 count=1 conv=notrunc status=none && echo more >>f && echo again >>f && touch f &&
        [ "$(paste -sd, f)" = old,more,again ]
}

directories() {
    mkdir d && echo x >d/f && chattr +i d && denied touch d/g && denied rm -f d/f && denied mv d e && echo y >d/f && chattr -i d &&
        chattr +a d && touch d/g && denied rm -f d/g && denied mv d/g d/h && chattr -a d && rm d/g
}

others_may_not() {
    echo x >theirs && chown 1001 theirs && denied setpriv --reuid 1001 --clear-groups chattr +i theirs &&
        setpriv --reuid 1001 --clear-groups chattr +d theirs && flags theirs d && denied setpriv --reuid 1002 --clear-groups chattr -d theirs
}

other_form() {
    python3 -c '
import fcntl, os, struct
fd = os.open("f", os.O_RDONLY)
attr = bytearray(28)
fcntl.ioctl(fd, 0x801c581f, attr)
assert struct.unpack("I", attr[:4])[0] == 0x10, attr
struct.pack_into("I", attr, 0, 0x10 | 0x80)
fcntl.ioctl(fd, 0x401c5820, attr)' && flags f ad
}

unknown_is_refused() {
    ! chattr +c f && flags f ad && ! python3 -c 'import fcntl; fcntl.ioctl(open("f"), 0x1234, bytearray(4))'
}

there_after_remount() {
    cd / && remount_store && cd "$mnt" && flags f ad && denied rm -f f && chattr -a f && rm f
}

if [ "$(id -u)" -ne 0 ] || ! command -v chattr >/dev/null; then
    skip "flags of chattr(1)" "it takes root and chattr"
    tap_finish
    exit
fi
chmod 755 "$work"
point "a store is made and mounted" eval '"$kvfs" mkfs -q "$store" && mount_store && cd "$mnt"' || {
    tap_finish
    exit 1
}
point "lsattr shows what chattr set" shown
point "an immutable file cannot be changed" immutable
point "nor through a file that was open before" open_before
point "a file that may only be appended to is" append_only
point "directories keep their names" directories
point "a flag that protects is for root" others_may_not
point "FS_IOC_FSGETXATTR and FS_IOC_FSSETXATTR say the same" other_form
point "other flags and other ioctls are refused" unknown_is_refused
point "all is there after a remount" there_after_remount
cd / || exit
point "the mount ends well" umount_store
tap_finish
