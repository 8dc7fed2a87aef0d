# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# TAP from bash: point NAME COMMAND..., skip NAME REASON, tap_finish. The output of a command that
# fails is shown below its point.

tap_count=0
tap_failed=0

# point NAME COMMAND... runs the command; its status is the verdict. Runs in this shell with the
# output kept aside, so that a function given as the command may set variables.
point() {
    local name=$1 log status
    shift
    log=$(mktemp)
    "$@" >"$log" 2>&1
    status=$?
    tap_count=$((tap_count + 1))
    if [ "$status" -eq 0 ]; then
        echo "ok $tap_count - $name"
    else
        tap_failed=$((tap_failed + 1))
        echo "not ok $tap_count - $name"
        sed 's/^/#   /' "$log" | tail -n 40
        echo "#   exit status $status: $*"
    fi
    rm -f "$log"
    return "$status"
}

skip() {
    tap_count=$((tap_count + 1))
    echo "ok $tap_count - $1 # SKIP $2"
}

tap_finish() {
    echo "1..$tap_count"
    [ "$tap_failed" -eq 0 ]
}
