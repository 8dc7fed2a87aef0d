#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: test_one_tree.sh BUILD_DIR        SECONDS_OF_LOAD=N how long in each mode
# Eight processes change one tree at once (tree_load.py); afterwards a walk of all rows finds every
# invariant kept. With a build for ThreadSanitizer its reports end up in the daemon's log, and fail.
set -uo pipefail
# shellcheck source=tests/lib/programs.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/programs.sh"
need "processes in one tree" python3

seconds=${SECONDS_OF_LOAD:-${slow:+600}}
seconds=${seconds:-4}
seed=${KV_SEED:-$RANDOM}
load=$(dirname "${BASH_SOURCE[0]}")/tree_load.py

# The daemon's own messages are of no interest; reports of a sanitizer stand in files of its own.
export TSAN_OPTIONS="log_path=$outside/report exitcode=0 detect_deadlocks=0 ${TSAN_OPTIONS:-}"

loaded() {
    echo "KV_SEED=$seed"
    "$load" "$mnt/tree" "$seconds" 8 "$seed"
}

all_is_read() {
    tar -C "$mnt" -cf - tree | wc -c
}

no_report() {
    ! cat "$outside"/report* 2>/dev/null
}

all_points() {
    point "$mode: eight processes change one tree for $seconds s, and nothing fails that may not" loaded
    point "$mode: all that is left can be read" all_is_read
}

in_modes all_points
point "no sanitizer reported anything" no_report
tap_finish
