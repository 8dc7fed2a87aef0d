#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: test_archive.sh BUILD_DIR
# kvfs export and import: a tree with everything tar can carry comes back the same, in both directions
# also with tar itself; bad archives are told and cost nothing that was there.
# shellcheck disable=SC2016 # commands for eval are meant to expand later
set -uo pipefail
unset KVFS_STORE
# shellcheck source=tests/lib/mount.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/mount.sh"

lib=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../lib")
tar_all=(tar --acls --xattrs "--xattrs-include=*" --numeric-owner)

# complains STATUS PATTERN COMMAND...: it ends with that status and its stderr matches.
complains() {
    local want=$1 pattern=$2 status
    shift 2
    "$@" >"$work/out" 2>"$work/err"
    status=$?
    echo "status $status, wanted $want; stderr: $(cat "$work/err")"
    [ "$status" -eq "$want" ] && [[ $(cat "$work/err") =~ $pattern ]]
}

export_to() {
    "$kvfs" export "$1" >"$2"
}

import_from() {
    "$kvfs" import "$1" <"$2"
}

new_store() {
    rm -rf "$1" && "$kvfs" mkfs -q "$1"
}

# same_tree STORE: what is in it is what is in $mnt, whatever attribute rsync can see. Sockets are not
# carried.
same_tree() {
    local other=$work/other found
    mkdir -p "$other" && "$kvfs" mount -o noatime "$1" "$other" || return
    found=$(rsync -aHAXn --delete --exclude=socket --itemize-changes "$mnt/" "$other/" 2>&1)
    [ -z "$found" ] && found=$(rsync -aHAXn --delete --exclude=socket --itemize-changes "$other/" "$mnt/" 2>&1)
    "$kvfs" umount "$other" || return
    echo "$found"
    [ -z "$found" ]
}

make_tree() {
    local long
    long=$(printf 'n%.0s' {1..255})
    cd "$mnt" && mkdir -p a/b acl empty "$long/$long/$long" && echo contents >a/file && ln a/file a/b/name && ln -s file a/link &&
        mkfifo a/fifo && mknod a/char c 1 3 && mknod a/block b 8 1 && head -c 3000000 /dev/urandom >a/large &&
        : >a/nothing && echo deep >"$long/$long/$long/$long" && printf 1 >"$(printf 'e\314\201')" &&
        printf 2 >"$(printf '\303\251')" && printf 3 >"$(printf '\377\376')" && printf 4 >$'new\nline' &&
        ln -s "$(printf 'x%.0s' {1..4000})" longlink && ln -s "$(printf '\377')" bytelink &&
        setfacl -m u:4242:r,u:nobody:rw,g:77:x,m::rx a/file && setfacl -d -m u:4242:rwx,g::r acl && : >acl/inherits &&
        setfattr -n 'user.a=b%' -v 'v w' a/file && setfattr -n user.bytes -v 0x00ff10 a && setfattr -n user.empty a/b &&
        setfattr -n trusted.x -v 1 a/b && setfattr -h -n trusted.y -v 2 a/link &&
        python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")' &&
        chown 1234567890:3234567890 a/large && chown -h 5:6 a/link && chmod 6755 a/large && chmod 1777 acl && chmod 711 . &&
        touch -d '1999-01-01 00:00:00.123456789' a/file && touch -h -d '1965-01-01' a/link &&
        touch -d '2130-05-05 01:02:03.987654321' a/b acl && touch -d 1980-01-01 . && cd /
}

make_holes() {
    mkdir "$mnt/holes" && cd "$mnt/holes" && truncate -s 20M all && head -c 100000 /dev/urandom >behind &&
        truncate -s 5M behind && truncate -s 1T huge && echo x | dd of=huge bs=1 seek=500000000000 conv=notrunc status=none &&
        echo end | dd of=huge bs=1 seek=1099511627772 conv=notrunc status=none &&
        printf x | dd of=before bs=1 seek=3000000 status=none && cd /
}

# Data where there was data and nowhere else.
holes_stay() {
    local other=$work/other
    mkdir -p "$other" && "$kvfs" mount "$work/again" "$other" || return
    for name in all behind huge before; do
        [ "$(stat -c '%s %b' "$mnt/holes/$name")" = "$(stat -c '%s %b' "$other/holes/$name")" ] || echo "$name differs" >>"$work/holes"
    done
    tail -c 100 "$other/holes/huge" | cmp - <(tail -c 100 "$mnt/holes/huge") >>"$work/holes" 2>&1
    "$kvfs" umount "$other"
    [ ! -s "$work/holes" ]
}

round_trip() {
    umount_store && export_to "$store" "$work/tree.tar" && new_store "$work/again" && import_from "$work/again" "$work/tree.tar" &&
        mount_store -o noatime && same_tree "$work/again"
}

same_bytes_again() {
    export_to "$work/again" "$work/again.tar" && cmp "$work/tree.tar" "$work/again.tar" &&
        import_from "$work/again" "$work/tree.tar" && export_to "$work/again" "$work/again.tar" && cmp "$work/tree.tar" "$work/again.tar" &&
        same_tree "$work/again"
}

tar_reads_it() {
    new_store "$work/untarred" && "$kvfs" exec "$work/untarred" -- "${tar_all[@]}" -xpf "$work/tree.tar" && same_tree "$work/untarred"
}

# taken_from COMMAND...: the archive that the command writes is imported.
taken_from() {
    new_store "$work/taken" && (cd "$mnt" && "$@") | "$kvfs" import "$work/taken" && same_tree "$work/taken"
}

# tar reads holes as slowly as zeros, so without the huge one.
sparse_of_tar() {
    new_store "$work/taken" && rm "$mnt/holes/huge" && "${tar_all[@]}" -C "$mnt" --format=pax --sparse -c . | "$kvfs" import "$work/taken" &&
        same_tree "$work/taken" && "$kvfs" info "$work/taken" holes/behind | grep -q 'allocated *1[0-9][0-9][0-9][0-9][0-9]$'
}

flags_stay() {
    : >"$mnt/immutable" && mkdir "$mnt/fixed" && : >"$mnt/fixed/x" && chattr +i "$mnt/immutable" "$mnt/fixed" && umount_store || return
    new_store "$work/flags" && "$kvfs" export "$store" | "$kvfs" import "$work/flags" && mount_store -o noatime &&
        chattr -i "$mnt/immutable" "$mnt/fixed" && rm -r "$mnt/immutable" "$mnt/fixed" && mkdir -p "$work/other" &&
        "$kvfs" mount "$work/flags" "$work/other" || return
    flags=$(lsattr -d "$work/other/immutable" "$work/other/fixed" | cut -c 5 | tr -d '\n')
    chattr -i "$work/other/immutable" "$work/other/fixed"
    "$kvfs" umount "$work/other"
    [ "$flags" = ii ]
}

# ---- what cannot be taken ----

mounted_is_refused() {
    complains 5 "export works on stores that are not mounted; .* is mounted on $mnt" "$kvfs" export "$store" &&
        complains 5 "import works on .* is mounted on $mnt" import_from "$store" "$work/tree.tar"
}

# Two files and then a third, of 2 MB, in a store that has the third with other contents.
cut_short() {
    local size=$1 pattern=$2
    mkdir -p "$work/cut" && cd "$work/cut" && echo 1 >one && echo 2 >two && head -c 2000000 /dev/urandom >z && tar -b 1 -cf ../cut.tar one two z && cd / &&
        head -c "$size" "$work/cut.tar" >"$work/short.tar" && new_store "$work/s" && "$kvfs" put "$work/s" z before &&
        complains 1 "$pattern" import_from "$work/s" "$work/short.tar" &&
        [ "$("$kvfs" get "$work/s" one)" = 1 ] && [ "$("$kvfs" ls "$work/s" | tr '\n' ' ')" = "one two z " ]
}

cut_in_the_middle() {
    cut_short 1000000 "behind 2 files: Truncated" && [ "$("$kvfs" get "$work/s" z)" = before ]
}

cut_at_an_entry() {
    cut_short 2048 "ends without the mark .* 2 files are in" && [ "$("$kvfs" get "$work/s" z)" = before ]
}

# odd_tar FILE: entries that no honest archive has, among good ones.
odd_tar() {
    python3 - "$1" <<'END'
import io, sys, tarfile
with tarfile.open(sys.argv[1], "w", format=tarfile.PAX_FORMAT) as tar:
    def add(name, text=b"new", **more):
        info = tarfile.TarInfo(name)
        info.size = len(text)
        for key, value in more.items():
            setattr(info, key, value)
        tar.addfile(info, io.BytesIO(text))
    add("first")
    add("../outside")
    add("a/../../outside")
    add("/absolute")
    add("directory")
    add("file", b"", type=tarfile.DIRTYPE)
    add("file/below")
    add("link/below")
    add("other", b"", type=tarfile.LNKTYPE, linkname="not/there")
    add("outside", b"", type=tarfile.LNKTYPE, linkname="../../etc/passwd")
    add("x" * 256)
    add("made/on/the/way")
    add("last")
END
}

odd_entries() {
    odd_tar "$work/odd.tar" && new_store "$work/s" && "$kvfs" put "$work/s" directory/kept old && "$kvfs" put "$work/s" file old &&
        "$kvfs" exec "$work/s" -- ln -s directory link &&
        complains 1 "10 entries of the archive were not imported; 3 were" import_from "$work/s" "$work/odd.tar" || return
    for words in '\.\./outside into .*: there is \.\.' 'a/\.\./\.\./outside into' '/absolute into .*: its path is absolute' \
        'import directory into .*: a directory of that name is there' 'import file/? into .*: a file of that name is there' \
        'import file/below into .*: a part of its path is there and is no directory' 'import link/below' \
        'import other into .*: it is another name of a file that is not there' 'import outside .* there is \.\.' 'x into .*: File name too long'; do
        grep -qE "^kvfs: cannot import .*$words|^kvfs: cannot .*$words" "$work/err" || { echo "not told: $words" && return 1; }
    done
    [ "$("$kvfs" scan "$work/s")" = $'directory/kept\told\nfile\told\nfirst\tnew\nlast\tnew\nmade/on/the/way\tnew' ]
}

# What replaces a file leaves its other names alone, and a link in the archive stays a link.
replaces() {
    new_store "$work/s" && "$kvfs" exec "$work/s" -- bash -c 'echo old >one; ln one twin; ln -s one link; mkdir dir; echo kept >dir/kept' || return
    mkdir -p "$work/new/dir" && cd "$work/new" && echo new >one && ln -sf elsewhere link && ln -f one second && echo more >dir/more &&
        tar -cf ../new.tar . && cd / && import_from "$work/s" "$work/new.tar" &&
        [ "$("$kvfs" scan "$work/s" | tr '\t\n' '= ')" = 'dir/kept=kept\n dir/more=more\n one=new\n second=new\n twin=old\n ' ] &&
        "$kvfs" info "$work/s" link | grep -q 'target *elsewhere' && "$kvfs" info "$work/s" one | grep -q 'links *2' &&
        [ "$("$kvfs" ls "$work/s" | tr '\n' ' ')" = "dir link one second twin " ]
}

# Directories with a default ACL give it to nothing that the archive has without one.
inherits_nothing() {
    new_store "$work/s" && "$kvfs" exec "$work/s" -- bash -c 'mkdir dir; setfacl -d -m u:4242:rwx dir; chmod g+s dir; chgrp 77 dir' || return
    mkdir -p "$work/plain/dir/sub" && : >"$work/plain/dir/file" && chmod 640 "$work/plain/dir/file" &&
        tar -C "$work/plain" -cf "$work/plain.tar" dir/file dir/sub && import_from "$work/s" "$work/plain.tar" &&
        "$kvfs" exec "$work/s" -- bash -c '[ -z "$(getfacl -s dir/file dir/sub)" ] && [ "$(stat -c "%a %g" dir/file)" = "640 0" ]'
}

compressed_is_read() {
    gzip -k "$work/new.tar" && new_store "$work/s" && import_from "$work/s" "$work/new.tar.gz" && [ "$("$kvfs" get "$work/s" one)" = new ] &&
        head -c 100 "$work/new.tar.gz" >"$work/new.short.gz" && complains 1 'cannot read the archive' import_from "$work/s" "$work/new.short.gz"
}

no_archive() {
    complains 1 "cannot read the archive" import_from "$work/s" /dev/null && complains 1 "cannot read the archive" import_from "$work/s" "$kvfs" &&
        complains 1 "no such directory. Make a store" import_from "$work/none" "$work/new.tar"
}

# A byte of a large value is turned over on the disk.
damage_is_told() {
    new_store "$work/s" && head -c 3000000 /dev/urandom >"$work/large" && "$kvfs" put "$work/s" before 1 &&
        "$kvfs" put "$work/s" large - <"$work/large" && "$kvfs" put "$work/s" zebra 2 &&
        python3 "$lib/flip_byte.py" "$work/s" "$work/large" 2000000 || return
    complains 4 "cannot read all of ./large in .* It is not complete in the archive" export_to "$work/s" "$work/part.tar" &&
        mkdir "$work/part" && tar -C "$work/part" -xf "$work/part.tar" && [ "$(cat "$work/part/before" "$work/part/zebra")" = 12 ] &&
        [ "$(stat -c %s "$work/part/large")" = 3000000 ] && cmp <(head -c 1000000 "$work/large") <(head -c 1000000 "$work/part/large")
}

nobody_reads() {
    complains 6 "cannot write the archive" bash -c '"$1" export "$2" >/dev/full' - "$kvfs" "$work/again"
}

# With a handful of files its figures mean nothing.
comparison_runs() {
    mkdir "$work/place" && "$lib/../bench/archive" "$(dirname "$kvfs")/.." --dir "$work/place" --files 300 --rounds 1 --mounts kvfs || return
    [ -z "$(ls -A "$work/place")" ]
}

point "a store is made and mounted" eval 'new_store "$store" && mount_store -o noatime'
point "a tree of everything is made" make_tree
point "an exported and imported tree is the same" round_trip
point "the same tree gives the same bytes, also where it was there before" same_bytes_again
point "tar takes an exported tree" tar_reads_it
point "an archive of tar is imported" taken_from "${tar_all[@]}" --format=pax -c .
point "an archive in the older format of tar is imported" eval 'new_store "$work/taken" && (cd "$mnt" && tar -c .) 2>/dev/null | "$kvfs" import "$work/taken" && [ "$("$kvfs" cat "$work/taken" a/b/name)" = contents ]'
point "an archive of bsdtar is imported" taken_from bsdtar --acls --xattrs --format=pax -c .
point "files with holes are made" make_holes
point "files with holes are the same" round_trip
point "holes stay holes" holes_stay
point "holes are read from an archive of tar" sparse_of_tar
point "flags of chattr stay" flags_stay
point "a mounted store is refused with its mount point" mounted_is_refused
point "an archive cut in the middle of a file is told and costs nothing" cut_in_the_middle
point "an archive cut between files is told" cut_at_an_entry
point "odd entries are told and passed over, and cost nothing" odd_entries
point "what is there is replaced, and only that" replaces
point "nothing is inherited that the archive does not have" inherits_nothing
point "a compressed archive is imported" compressed_is_read
point "what is no archive is told" no_archive
point "what is damaged is told, and the rest exported" damage_is_told
point "a full disk behind stdout is told" nobody_reads
point "the comparison with tar on a mount runs, and all make the same tree" comparison_runs
tap_finish
