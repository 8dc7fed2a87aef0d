#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: test_install.sh BUILD_DIR
# Installs into an empty directory and builds a program against what was installed, as a user would.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/tap.sh
. "$here/../lib/tap.sh"

build=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
prefix=

install_tree() {
    DESTDIR=$root meson install -C "$build" --no-rebuild --quiet &&
        prefix=$(dirname "$(find "$root" -type d -name include | head -n 1)") &&
        [ -n "$prefix" ]
}

# pkg-config as a user of the installed tree sees it.
pkgconf() {
    PKG_CONFIG_SYSROOT_DIR=$root PKG_CONFIG_PATH=$(dirname "$(find "$root" -name kvcore.pc)") \
        pkg-config "$@" kvcore
}

headers_stand_alone() {
    local header name
    for header in "$prefix"/include/kv/*.h; do
        name=kv/$(basename "$header")
        echo "#include <$name>" | gcc -std=gnu17 -Wall -Wextra -Werror -I"$prefix/include" \
            -fsyntax-only -x c - || return
    done
}

# Everything declared in the headers is there, and nothing that is not the library's own door but the
# name of its version.
exports_are_public() {
    local library foreign
    library=$(find "$root" -name 'libkvcore.so.0')
    foreign=$(nm -D --defined-only "$library" | awk '$3 !~ /^(kv_|KVCORE_1$)/ {print $3}')
    echo "exported besides kv_*: $foreign"
    [ -n "$library" ] && [ -z "$foreign" ]
}

# A symbol that the list of the package lacks would get no version to depend on.
symbols_are_listed() {
    diff <(sed -n 's/^ \(kv_[^ ]*\) .*/\1/p' "$here/../../tools/packaging/debian/libkvcore0.symbols" | sort) \
        <(nm -D --defined-only "$(find "$root" -name 'libkvcore.so.0')" | awk '/ kv_/ {sub("@@", "@", $3); print $3}' | sort)
}

# The loader refuses a library without that version, before the program runs.
programs_ask_for_the_version() {
    objdump -p "$work/shared" | grep KVCORE_1
}

soname_is_0() {
    objdump -p "$(find "$root" -name 'libkvcore.so')" | grep -q 'SONAME *libkvcore.so.0$'
}

build_shared() {
    local flags
    flags=$(pkgconf --cflags --libs) || return
    # shellcheck disable=SC2086
    gcc -std=gnu17 -Wall -Wextra -Werror "$here/use_kvcore.c" $flags -o "$work/shared"
}

build_static() {
    local flags
    flags=$(pkgconf --static --cflags --libs) || return
    # shellcheck disable=SC2086
    gcc -std=gnu17 "$here/use_kvcore.c" ${flags//-lkvcore/-l:libkvcore.a} -o "$work/static" &&
        ! ldd "$work/static" | grep kvcore
}

run_shared() {
    LD_LIBRARY_PATH=$(dirname "$(find "$root" -name libkvcore.so.0)") "$work/shared" "$work/store1"
}

# The program that docs/example.c says how to build.
example_runs() {
    local flags
    flags=$(pkgconf --cflags --libs) || return
    # shellcheck disable=SC2086
    gcc -std=gnu17 -Wall -Wextra -Werror "$here/../../docs/example.c" $flags -o "$work/example" &&
        LD_LIBRARY_PATH=$(dirname "$(find "$root" -name libkvcore.so.0)") "$work/example" "$work/store3" | grep 'users/43/name = Grace'
}

manual_and_units_are_installed() {
    local name unit
    for name in kvfs@.service kvfs-serve@.service; do
        unit=$(find "$root" -path "*/systemd/system/$name")
        [ -n "$unit" ] && grep -q "^ExecStart=$(find "$root" -path '*/bin/kvfs' -printf '/%P')" "$unit" || return
    done
    ! command -v scdoc || [ "$(find "$root" -name 'kvfs.1' -o -name 'fsck.kvfs.8' -o -name 'mount.kvfs.8' -o -name 'mount.fuse.kvfs.8' | wc -l)" -eq 4 ]
}

program_is_installed() {
    find "$root" -name kvfs -perm -u+x -type f | grep -q . &&
        "$(find "$root" -name kvfs -type f)" version
}

point "installs into an empty directory" install_tree
point "each public header compiles alone" headers_stand_alone
point "the shared library exports kv_ names only" exports_are_public
point "the list of symbols and versions of its package is what it exports" symbols_are_listed
point "the shared library's name carries version 0" soname_is_0
point "a program builds against the shared library with pkg-config" build_shared
point "and asks for the version of the interface that it was built against" programs_ask_for_the_version
point "and runs: stores, reads back after reopening, iterates in order" run_shared
point "a program builds against the static library with pkg-config --static" build_static
point "and runs" "$work/static" "$work/store2"
point "the example of the documentation builds and runs" example_runs
point "the kvfs program is installed and runs" program_is_installed
point "nothing that is installed is setuid or setgid" eval '[ -z "$(find "$root" -type f -perm /6000)" ]'
point "the manual and a unit that names the program are installed" manual_and_units_are_installed
tap_finish
