#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: test_postgres.sh BUILD_DIR
# A PostgreSQL server with its data on the mount: initdb, pgbench; the server is killed and
# recovers, then the daemon is killed under it, the store mounted anew, and it recovers. Each time
# its sums agree, every transaction that it said was committed is there, and pg_amcheck is content.
set -uo pipefail
# shellcheck source=tests/lib/programs.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/programs.sh"

# Debian keeps the programs of each version apart.
postgres=$(find /usr/lib/postgresql/*/bin/initdb 2>/dev/null | tail -n 1)
PATH=$(dirname "${postgres:-/none/initdb}"):$PATH
need PostgreSQL initdb pgbench psql runuser python3
if [ "$(id -u)" -ne 0 ]; then
    echo "1..0 # skip the server runs as a user of its own, so the test runs as root"
    exit 0
fi

seconds=${slow:+60}
seconds=${seconds:-2}
user=nobody
# Where less is durable without a sync is where a server that syncs too little would show it.
[ -z "$slow" ] && modes=(writeback)
sockets=$outside/sockets
install -d -o "$user" "$sockets" "$outside/logs"

as_user() {
    (cd "$outside/logs" && runuser -u "$user" -- env HOME="$outside/logs" PATH="$PATH" LC_ALL=C "$@")
}

# A server that a failed point left running would hold the mount.
stop_server() {
    local pid
    if pid=$(head -n 1 "$mnt/data/postmaster.pid" 2>/dev/null) && [ "$(readlink "/proc/$pid/cwd")" = "$mnt/data" ]; then
        kill -QUIT "$pid"
        timeout 60 tail --pid="$pid" -f /dev/null
    fi
}
trap 'stop_server; mount_cleanup' EXIT

sql() {
    as_user psql -h "$sockets" -X -q -A -t -v ON_ERROR_STOP=1 -c "$1" "${2:-bench}"
}

start() {
    as_user pg_ctl -D "$mnt/data" -l "$outside/logs/server" -w -t 120 -o "-k $sockets -c listen_addresses= -c shared_buffers=16MB -c full_page_writes=on" start
}

made() {
    chmod 755 "$mnt" && install -d -o "$user" -m 700 "$mnt/data" && as_user initdb -D "$mnt/data" -U "$user" -A trust --data-checksums >/dev/null &&
        start && sql 'CREATE DATABASE bench' postgres && as_user pgbench -h "$sockets" -i -q -s 2 bench
}

# Runs pgbench and counts what it was told; $1 is done to the server in the middle of it.
bench() {
    local pid i
    rm -f "$outside"/logs/pgbench_log.*
    as_user pgbench -n -h "$sockets" -c 4 -j 2 -T "$seconds" -l bench &
    pid=$!
    sleep "$((seconds / 2))"
    for ((i = 0; i < 100; i++)); do
        [ "$(sql 'SELECT count(*) FROM pgbench_history')" != 0 ] && break
        sleep 0.1
    done
    "$1"
    wait "$pid"
    committed=$((committed + $(cat "$outside"/logs/pgbench_log.* | wc -l)))
    echo "$committed transactions committed so far"
}

# pgbench's four tables agree, and its history holds at least what was acknowledged.
sums_agree() {
    local history
    history=$(sql 'SELECT count(*) FROM pgbench_history') &&
        echo "$history rows of history, $committed committed" && [ "$history" -ge "$committed" ] && [ "$committed" -gt 0 ] &&
        [ "$(sql "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history) AND (SELECT sum(tbalance) FROM pgbench_tellers) = (SELECT sum(delta) FROM pgbench_history) AND (SELECT sum(bbalance) FROM pgbench_branches) = (SELECT sum(delta) FROM pgbench_history)")" = t ] &&
        as_user pg_amcheck -h "$sockets" --install-missing -d bench
}

# The processes of the server, which is their parent.
server_processes() {
    local server
    server=$(head -n 1 "$mnt/data/postmaster.pid") && echo "$server" && pgrep -P "$server"
}

all_gone() {
    local pid i
    for ((i = 0; i < 600; i++)); do
        for pid in "$@"; do
            if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = postgres ]; then
                sleep 0.1
                continue 2
            fi
        done
        return 0
    done
    echo "still there: $*"
    return 1
}

# The others notice and go; until then a new server refuses to start.
kill_server() {
    mapfile -t processes < <(server_processes)
    kill -KILL "${processes[0]}"
}

server_killed() {
    bench kill_server
    all_gone "${processes[@]}" && start && sums_agree
}

kill_daemon() {
    mapfile -t processes < <(server_processes)
    kill -KILL "$("$kvfs" status "$store" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["pid"])')"
}

daemon_killed() {
    bench kill_daemon
    kill -KILL "${processes[@]}" 2>/dev/null
    all_gone "${processes[@]}" && umount -l "$mnt" && mount_store -o "$options" && start && sums_agree
}

quiet() {
    bench :
    sums_agree && as_user pg_ctl -D "$mnt/data" -w -t 120 -m fast stop
}

all_points() {
    options=allow_other
    [ "$mode" = writeback ] && options=$options,writeback
    committed=0
    point "$mode: initdb and pgbench -i" made || return
    point "$mode: the server is killed, recovers, and nothing committed is missing" server_killed
    point "$mode: the daemon is killed under the server, mounted anew, and nothing committed is missing" daemon_killed
    point "$mode: the server goes on, and stops well" quiet
}

in_modes all_points
tap_finish
