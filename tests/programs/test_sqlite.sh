#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: test_sqlite.sh BUILD_DIR
# Processes that change one SQLite database at once and are killed (sqlite_load.py), with its two
# ways of committing: a rollback journal that is made and removed, and a log beside shared memory.
set -uo pipefail
# shellcheck source=tests/lib/programs.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/programs.sh"
need SQLite python3 sqlite3

seconds=${slow:+60}
seconds=${seconds:-2}
seed=${KV_SEED:-$RANDOM}

load() {
    local notes=$outside/$mode-$1
    echo "KV_SEED=$seed"
    mkdir "$notes" && NOTES=$notes "$(dirname "${BASH_SOURCE[0]}")/sqlite_load.py" "$mnt/$1.db" "$1" "$seconds" 6 "$seed" && cat "$mnt/$1.db" >"$outside/copy"
}

after_remount() {
    remount_store -o allow_other && [ "$(sqlite3 "$mnt/WAL.db" "PRAGMA integrity_check")" = ok ] &&
        [ "$(sqlite3 "$mnt/DELETE.db" "PRAGMA integrity_check; SELECT sum(amount) FROM accounts" | xargs)" = "ok 200000" ]
}

all_points() {
    point "$mode: a database with a log keeps what was committed" load WAL
    point "$mode: a database with a rollback journal keeps what was committed" load DELETE
    point "$mode: both are whole after a new mount" after_remount
}

in_modes all_points
tap_finish
