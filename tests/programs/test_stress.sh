#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: test_stress.sh BUILD_DIR        SECONDS_OF_LOAD=N how long each stressor of the long form
# Stressors of stress-ng for file systems, which verify what they did: a choice of them all at once;
# in the long form each that also works on the file system below, one after the other.
set -uo pipefail
# shellcheck source=tests/lib/programs.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/programs.sh"
need stress-ng stress-ng

chosen=(access chmod copy-file dentry fallocate fcntl flock fpunch fstat getdent lockf mmap open rename seek utime xattr)
all=(access chattr chdir chmod chown copy-file dentry dir dirdeep dirmany dnotify dup eventfd fallocate fcntl fiemap file-ioctl
    filename flock fpunch fsize fstat getdent handle hdd inode-flags inotify io iomix ioprio lease link locka lockf lockofd mknod
    open rename symlink sync-file touch utime verity xattr fanotify mmap seek sendfile splice readahead)
seconds=${SECONDS_OF_LOAD:-20}

small() {
    case $1 in
    hdd | iomix | fallocate | readahead) echo "--$1-bytes 64M" ;;
    copy-file) echo "--copy-file-bytes 128M" ;;
    mmap) echo "--mmap-bytes 16M --mmap-file" ;;
    esac
}

# stress DIRECTORY SECONDS STRESSOR... all at once
stress() {
    local options=() name status directory=$1 timeout=$2
    shift 2
    for name in "$@"; do
        # shellcheck disable=SC2046 # words
        options+=("--$name" 1 $(small "$name"))
    done
    mkdir -p "$directory"
    timeout "$((timeout * 10 + 240))" stress-ng "${options[@]}" --timeout "$timeout" --verify --metrics-brief --temp-path "$directory"
    status=$?
    # What it left behind is no other stressor's.
    rm -rf "$directory"
    return "$status"
}

all_points() {
    local name
    if [ -z "$slow" ]; then
        point "$mode: ${#chosen[@]} stressors at once find nothing wrong" stress "$mnt/stress" 3 "${chosen[@]}"
        return
    fi
    for name in "${all[@]}"; do
        if stress "$outside/stress" 1 "$name" >/dev/null 2>&1; then
            point "$mode: $name for $seconds s finds nothing wrong" stress "$mnt/stress" "$seconds" "$name"
        else
            skip "$mode: $name" "it fails on the file system below too"
        fi
    done
}

in_modes all_points
tap_finish
