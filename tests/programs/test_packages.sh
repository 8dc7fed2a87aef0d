#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: test_packages.sh BUILD_DIR
# The long form only, since it downloads: fifty Debian packages unpacked on the mount and on the
# file system below are the same.
set -uo pipefail
# shellcheck source=tests/lib/programs.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/programs.sh"
need "packages" dpkg-deb apt-get rsync
if [ -z "$slow" ]; then
    echo "1..0 # skip the packages to unpack are downloaded with --slow only"
    exit 0
fi

names=(bash coreutils grep sed tar gzip bzip2 xz-utils findutils diffutils util-linux mount e2fsprogs libc6 libc-bin dpkg apt perl-base perl
    perl-modules-5.36 python3-minimal libpython3.11-stdlib git git-man gcc-12 cpp-12 binutils-common libstdc++6 meson ninja-build clang-14
    libllvm14 sqlite3 libsqlite3-0 rsync attr acl openssl ca-certificates tzdata locales debconf passwd login procps vim-common vim-runtime
    less file libmagic-mgc)

download() {
    mkdir "$outside/debs" && cd "$outside/debs" && apt-get download -q "${names[@]}" 2>&1 | tail -n 3
    [ "$(find "$outside/debs" -name '*.deb' | wc -l)" -ge 40 ]
}

unpack() {
    local deb
    for deb in "$outside"/debs/*.deb; do
        dpkg-deb -x "$deb" "$1/$(basename "$deb" .deb)" || return
    done
}

same() {
    local changed
    # The time of a directory with symbolic links is that of their making.
    changed=$(rsync -aHAXniO --numeric-ids --checksum --delete "$outside/here/" "$mnt/there/") && head <<<"$changed" && [ -z "$changed" ]
}

all_points() {
    mkdir -p "$mnt/there" && touch -r "$outside/here" "$mnt/there"
    point "$mode: packages are unpacked" unpack "$mnt/there"
    touch -r "$outside/here" "$mnt/there"
    point "$mode: they are the same as on the file system below" same
    point "$mode: and after a new mount" eval 'remount_store -o allow_other,suid,dev && same'
}

if ! point "packages are downloaded" download; then
    tap_finish
    exit
fi
mkdir "$outside/here"
point "they are unpacked on the file system below" unpack "$outside/here"
in_modes all_points
tap_finish
