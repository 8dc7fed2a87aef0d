# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The Debian 12 packages of kvfs, listed once, and the function that installs them. Sourced by
# tools/quickstart and tests/run, which use the lists.
# shellcheck disable=SC2034

# To build and to mount.
packages_build=(
    gcc libc6-dev pkgconf meson ninja-build
    libsnappy-dev libxxhash-dev libfuse3-dev fuse3 libsmartcols-dev libjansson-dev libarchive-dev scdoc
)

# To make a libfuse that can do FUSE over io_uring, see tools/libfuse.
packages_libfuse=(liburing-dev libnuma-dev dpkg-dev ca-certificates)

# To run every test, besides: the other compiler with its fuzzer, the formatter, the test library, and
# the programs that the tests of the mount drive.
packages_test=(
    check clang libclang-rt-14-dev clang-format-14 python3
    git rsync tar sqlite3 attr acl procps util-linux libarchive-tools db5.3-util
    mount e2fsprogs xfsprogs
    groff-base mandoc systemd tmux binutils systemtap-sdt-dev
)

# To make Debian packages, and to install them into an empty root in a test.
packages_deb=(dpkg-dev debhelper fakeroot systemtap-sdt-dev)
packages_package=(lintian mmdebstrap)

# Programs of others that the suite `programs` runs on a mount; its tests skip what is missing.
packages_programs=(postgresql stress-ng ccache)

# A cluster of one machine and the library that speaks to it, for the suite `rados`.
packages_rados=(ceph-mon ceph-osd ceph-common librados-dev)

# The mirror that the installed release comes from; empty if apt knows none.
packages_mirror() {
    # shellcheck disable=SC2016 # apt puts in the values
    apt-get indextargets --format '$(SITE)' 'Identifier: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1
}

# packages_missing NAME... prints those that are not installed, one a line.
packages_missing() {
    local name
    for name in "$@"; do
        # A name may carry the architecture in dpkg's own list; the status tells installed ones.
        if ! dpkg-query -W -f '${db:Status-Status}\n' "$name" 2>/dev/null | grep -qx installed; then
            echo "$name"
        fi
    done
}

# packages_install NAME... installs what is missing. Quick when nothing is. Returns 1, having said
# why and what to do, when it cannot.
packages_install() {
    local missing
    if ! command -v dpkg-query >/dev/null; then
        echo "packages: this is not a Debian system; install by hand what these hold: $*" >&2
        return 0
    fi
    mapfile -t missing < <(packages_missing "$@")
    if [ "${#missing[@]}" -eq 0 ]; then
        return 0
    fi
    if [ "$(id -u)" -ne 0 ]; then
        echo "packages: missing and only root can install them. Run as root:" >&2
        echo "  apt-get install ${missing[*]}" >&2
        return 1
    fi
    echo "packages: installing ${missing[*]}" >&2
    if ! apt_install "${missing[@]}"; then
        echo "packages: apt-get could not install ${missing[*]}; see above" >&2
        return 1
    fi
}

# The lists may be missing or old, then installing fails; fetch them only in that case.
apt_install() {
    local options=(-y -q --no-install-recommends)
    export DEBIAN_FRONTEND=noninteractive
    if apt-get install "${options[@]}" "$@" >&2; then
        return 0
    fi
    apt-get update -q >&2 && apt-get install "${options[@]}" "$@" >&2
}
