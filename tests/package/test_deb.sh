#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: test_deb.sh BUILD_DIR
# The Debian packages of a release build, installed into an empty Debian 12, used there as an
# administrator would, and removed. All mounts are in a namespace that ends with the test.
set -uo pipefail

if [ -z "${KVFS_PRIVATE_MOUNTS:-}" ]; then
    if [ "$(id -u)" -ne 0 ] || ! unshare --mount true 2>/dev/null; then
        echo "1..0 # skip only root can make a namespace of mounts, to install into a root of its own"
        exit 0
    fi
    KVFS_PRIVATE_MOUNTS=yes exec unshare --mount "$0" "$@"
fi

# The namespace begins with a copy of every mount. Of those of kvfs, whose daemons would serve on until the
# copies are gone, none is kept.
findmnt --raw --noheadings --types fuse.kvfs --output TARGET | while read -r copy; do
    umount -l "$(printf '%b' "$copy")"
done

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/tap.sh
. "$here/../lib/tap.sh"
# shellcheck source=tools/packages.sh
. "$here/../../tools/packages.sh"

build=$(realpath "$1")
cache=$(dirname "$build")
work=$(mktemp -d)
root=$work/root
user=4711

cleanup() {
    umount -l "$root"/mnt/* "$root/dev" "$root/proc" "$work/making" 2>/dev/null
    rm -rf --one-file-system "$work"
}
trap cleanup EXIT

inside() {
    chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HOME=/ "$@"
}

as_user() {
    chroot --userspec=$user:$user --groups= "$root" env -i PATH=/usr/bin:/bin:/usr/sbin:/sbin LC_ALL=C.UTF-8 HOME=/ "$@"
}

# ---- the packages ------------------------------------------------------------------------------

makes_packages() {
    local name
    "$here/../../tools/packaging/make-deb" --build "$build" "$work/packages" || return
    for name in kvfs libkvcore0 libkvcore-dev; do
        [ "$(find "$work/packages" -name "${name}_*.deb" | wc -l)" -eq 1 ] || return
    done
}

lintian_finds_nothing() {
    local output
    output=$(lintian --allow-root --no-cfg --fail-on none --tag-display-limit 0 "$work"/packages/*.deb 2>&1)
    echo "$output"
    [ -z "$output" ]
}

# The names of what the packages need, without versions and each other; the first of alternatives.
needed() {
    local package
    for package in "$work"/packages/*.deb; do
        dpkg-deb -f "$package" Depends
    done | tr ',' '\n' | sed 's/|.*//; s/(.*//; s/:any//; s/ //g' | grep -v '^libkvcore\|^$' | sort -u
}

# An empty Debian with what the packages need and no more, kept for the next run.
makes_a_root() {
    local names archive
    names=$(needed | grep -v -- '-dev$' | tr '\n' ',')mount
    archive=$cache/root-$(md5sum <<<"$names" | cut -c 1-8).tar
    if [ ! -f "$archive" ]; then
        mkdir "$work/making" && mount -t tmpfs tmpfs "$work/making" || return # disks are slow at so many small files
        TMPDIR=$work/making mmdebstrap --quiet --format=tar --variant=essential --include="$names" --dpkgopt=force-unsafe-io --skip=output/dev \
            bookworm "$archive.part" "$(packages_mirror)" || return
        umount "$work/making" && mv "$archive.part" "$archive" || return
    fi
    mkdir "$root" && tar -C "$root" -xf "$archive" && mkdir -p "$root/dev" "$root/proc" &&
        ln -sf ../proc/self/mounts "$root/etc/mtab" && # as systemd does when it starts
        mount -t tmpfs tmpfs "$root/dev" && mount -t proc proc "$root/proc" && makes_devices
}

# As udev makes them, whatever this machine has: /dev/fuse is open to all.
makes_devices() {
    mknod -m 666 "$root/dev/null" c 1 3 && mknod -m 666 "$root/dev/zero" c 1 5 && mknod -m 666 "$root/dev/urandom" c 1 9 &&
        mknod -m 666 "$root/dev/fuse" c 10 229
}

# Modes, owners, links and names of all there is, but for what dpkg and ldconfig note for themselves.
listing() {
    (cd "$root" && find . -xdev \( -path ./dev -o -path ./proc -o -path ./sys -o -path ./srv -o -path ./mnt \
        -o -path ./tmp -o -path ./packages -o -path ./var/lib/dpkg -o -path ./var/log -o -path ./var/cache/ldconfig \
        -o -path ./run \) -prune -o -printf '%M %u %g %p %l\n' | sort)
}

# The package of headers needs libraries to compile with, which are not in the root.
installs() {
    listing >"$work/before"
    mkdir "$root/packages" && cp "$work"/packages/*.deb "$root/packages/" || return
    inside sh -c 'dpkg --force-unsafe-io -i /packages/kvfs_*.deb /packages/libkvcore0_*.deb' || return
    inside sh -c 'dpkg --force-unsafe-io --force-depends -i /packages/libkvcore-dev_*.deb' || return
    [ -z "$(inside dpkg -C)" ] && ! diff -q "$work/before" <(listing) >/dev/null && inside kvfs version
}

# Whoever knows a library only by its name finds it.
libraries_are_found() {
    ! inside ldd /usr/bin/kvfs | grep 'not found' && inside ldconfig -p | grep libkvcore.so.0
}

# ---- used --------------------------------------------------------------------------------------

# umount(8) returns when the mount is detached; the daemon may have to write a little more.
is_free() {
    for ((i = 0; i < 600; i++)); do
        inside kvfs status --json "$1" 2>/dev/null | grep '"state": *"idle"' && return
        sleep 0.1
    done
    return 1
}

# The type is the one that the kernel shows.
mounts_by_type() {
    inside mkfs -t kvfs -L first /srv/a && inside mkdir /mnt/a && inside mount -t kvfs -o noatime /srv/a /mnt/a || return
    [ "$(inside findmnt -n -o FSTYPE,SOURCE /mnt/a | tr -s ' ')" = "fuse.kvfs /srv/a" ] &&
        echo hello >"$root/mnt/a/greeting" && [ "$(inside cat /mnt/a/greeting)" = hello ]
}

umount_works() {
    head -c 3000000 /dev/urandom >"$work/random" && cp "$work/random" "$root/mnt/a/random" && inside umount /mnt/a && is_free /srv/a &&
        [ "$(inside kvfs get /srv/a greeting)" = hello ] && cmp "$work/random" <(inside kvfs get /srv/a random)
}

# fsck(8) finds the program by the type, passes on what it does not know, and gives its exit status back.
checks_by_type() {
    local status
    inside fsck -t kvfs /srv/a -n -v || return
    printf x >>"$root/srv/a/ROOT" # too long: told, and mended unattended
    inside fsck -t kvfs /srv/a
    status=$?
    [ "$status" -eq 4 ] && inside fsck -t kvfs -p /srv/a
    status=$?
    [ "$status" -eq 1 ] && inside fsck -t kvfs /srv/a
}

mounts_by_long_type() {
    inside mount -t fuse.kvfs -o ro /srv/a /mnt/a && [ "$(inside cat /mnt/a/greeting)" = hello ] &&
        ! inside touch /mnt/a/x && inside umount /mnt/a
}

mounts_by_fstab() {
    inside mkdir -p /mnt/b && inside kvfs mkfs /srv/b &&
        echo "/srv/b /mnt/b kvfs noauto,user,nofail,x-systemd.automount 0 0" >>"$root/etc/fstab" || return
    inside mount -a && ! inside mountpoint -q /mnt/b || return # noauto
    inside mount /mnt/b && inside mountpoint /mnt/b && echo x >"$root/mnt/b/x" && inside umount /mnt/b &&
        is_free /srv/b
}

# "user": by an ordinary user, who made the store himself.
mounts_as_user() {
    echo "tester:x:$user:$user::/:/bin/sh" >>"$root/etc/passwd" # mount(8) wants a name for a number
    rm -rf "$root/srv/b" && inside install -d -o $user -g $user /srv/b /mnt/b && as_user mkfs -t kvfs /srv/b &&
        as_user mount /mnt/b && as_user cp /etc/fstab /mnt/b/y || return
    [ "$(stat -c %u "$root/srv/b/ROOT")" = $user ] && as_user ls /mnt/b && as_user umount /mnt/b && is_free /srv/b &&
        inside kvfs get /srv/b y | cmp - "$root/etc/fstab"
}

# What systemd makes of that line; no systemd need run.
systemd_understands_the_line() {
    mkdir "$work/units"
    SYSTEMD_FSTAB=$root/etc/fstab "$generator" "$work/units" "$work/units" "$work/units" &&
        grep -qx Type=kvfs "$work/units/mnt-b.mount" && grep -qx Where=/mnt/b "$work/units/mnt-b.automount"
}

# unit_runs NAME CONFIGURATION COMMAND...: the commands of NAME@CONFIGURATION.service start and end a daemon, with which COMMAND
# comes to succeed. As systemd does it: with the lines of the configuration as their environment.
unit_runs() {
    local unit=$root/lib/systemd/system/$1@.service conf=/etc/kvfs/$2.conf start stop daemon
    shift 2
    start=$(sed -n 's/^ExecStart=//p' "$unit") stop=$(sed -n 's/^ExecStop=//p' "$unit")
    [ -n "$start" ] && [ -n "$stop" ] && grep -q '^EnvironmentFile=/etc/kvfs/%i.conf' "$unit" || return
    inside sh -c ". $conf; exec $start" &
    daemon=$!
    for ((i = 0; i < 600; i++)); do
        inside "$@" && break
        kill -0 "$daemon" || return
        sleep 0.1
    done
    inside "$@" && inside sh -c ". $conf; $stop" && wait "$daemon"
}

unit_mounts() {
    [ -d "$root/etc/kvfs" ] && cp "$root/usr/share/doc/kvfs/examples/example.conf" "$root/etc/kvfs/a.conf" &&
        unit_runs kvfs a mountpoint -q /mnt/a
}

unit_serves() {
    printf 'STORE=/srv/a\nOPTIONS=memory=64M\n' >"$root/etc/kvfs/served.conf" &&
        unit_runs kvfs-serve served sh -c 'kvfs status /srv/a | grep -q serving' && is_free /srv/a
}

pages_are_there() {
    local page
    for page in man1/kvfs.1 man1/kvfs-bench.1 man8/{fsck,mkfs,mount,mount.fuse,umount.fuse}.kvfs.8; do
        gzip -dc "$root/usr/share/man/$page.gz" | grep -q '^.TH' || { echo "no $page" && return 1; }
    done
}

completion_is_there() {
    bash -n "$root/usr/share/bash-completion/completions/kvfs" &&
        [ -s "$root/usr/share/bash-completion/completions/kvfs" ]
}

# Against the installed headers and library, and run where only the library is.
example_runs() {
    local flags directory expected
    directory=$(dirname "$(find "$root/usr/lib" -name kvcore.pc)")
    flags=$(PKG_CONFIG_SYSROOT_DIR=$root PKG_CONFIG_LIBDIR=$directory:$(pkg-config --variable pc_path pkg-config) \
        pkg-config --cflags --libs kvcore) || return
    # shellcheck disable=SC2086
    gcc -std=gnu17 -Wall -Wextra -Werror "$root/usr/share/doc/libkvcore-dev/examples/example.c" $flags -o "$root/tmp/example" || return
    expected=$'users/42/name: Ada\nusers/42/name = Ada\nusers/43/name = Grace\nusers/42/name: no such key'
    [ "$(inside /tmp/example /tmp/store)" = "$expected" ] && [ "$(inside /tmp/example /tmp/store)" = "$expected" ]
}

# ---- removed -----------------------------------------------------------------------------------

removal_leaves_nothing() {
    rm -f "$root/etc/kvfs"/{a,served}.conf # the administrator's own, as are stores, mount points and fstab
    inside dpkg --force-unsafe-io --purge kvfs libkvcore-dev libkvcore0 || return
    diff "$work/before" <(listing)
}

point "the packages are made from a release build" makes_packages || { tap_finish; exit; }
if command -v lintian >/dev/null; then
    point "lintian finds no error and no warning" lintian_finds_nothing
else
    skip "lintian finds no error and no warning" "there is no lintian here"
fi
if ! command -v mmdebstrap >/dev/null || [ -z "$(packages_mirror)" ]; then
    skip "an empty Debian is made" "there is no mmdebstrap, or apt knows no mirror of Debian"
    tap_finish
    exit
fi
point "an empty Debian is made" makes_a_root || { tap_finish; exit; }
point "the packages install into it" installs || { tap_finish; exit; }
point "and their libraries are found" libraries_are_found
point "mkfs -t kvfs and mount -t kvfs work" mounts_by_type
point "umount(8) works, and all is there without the mount" umount_works
point "fsck -t kvfs checks and repairs" checks_by_type
point "mount -t fuse.kvfs works" mounts_by_long_type
point "a line in fstab works, with options that are for others" mounts_by_fstab
point "and for the user who owns the store" mounts_as_user
generator=$(find /usr/lib/systemd /lib/systemd -name systemd-fstab-generator 2>/dev/null | head -n 1)
if [ -n "$generator" ]; then
    point "systemd makes a mount on demand of that line" systemd_understands_the_line
else
    skip "systemd makes a mount on demand of that line" "there is no systemd here"
fi
point "the commands of the unit mount and unmount the example" unit_mounts
point "those of the other unit serve a store and end that" unit_serves
point "the manual is there" pages_are_there
if "$build/tools/kvfs" completions bash >/dev/null 2>&1; then
    point "bash completes the command" completion_is_there
fi
point "the library's example builds with what is installed and runs" example_runs
point "removal leaves nothing behind" removal_leaves_nothing
tap_finish
