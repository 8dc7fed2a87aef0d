#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: test_cli.sh BUILD_DIR
# The kvfs command: every subcommand on a store that is mounted and on one that is not, exit codes,
# and what it says about bad input.
# shellcheck disable=SC2016 # commands for eval are meant to expand later
set -uo pipefail
unset KVFS_STORE
# shellcheck source=tests/lib/mount.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/mount.sh"

# exits STATUS COMMAND...: the command ends with that status; its output is in $out and $err.
exits() {
    local want=$1 status
    shift
    out=$("$@" 2>"$work/err")
    status=$?
    err=$(cat "$work/err")
    echo "status $status, wanted $want; stdout: $out; stderr: $err"
    [ "$status" -eq "$want" ]
}

# prints TEXT COMMAND...: the command succeeds and writes exactly that to stdout.
prints() {
    local want=$1
    shift
    exits 0 "$@" && [ "$out" = "$want" ]
}

# complains STATUS PATTERN COMMAND...: one line on stderr, which begins with "kvfs: " and matches.
complains() {
    local want=$1 pattern=$2
    shift 2
    exits "$want" "$@" && [ -z "$out" ] && [ "$(wc -l <"$work/err")" -eq 1 ] &&
        [[ $err == "kvfs: "* ]] && [[ $err =~ $pattern ]]
}

# json EXPRESSION: what $out holds satisfies the Python expression over `j`.
json() {
    python3 -c 'import json, sys; j = json.loads(sys.argv[1]); sys.exit(0 if eval(sys.argv[2]) else 1)' "$out" "$1"
}

# Snapshots by name; "kept" stays from the first time on, over openings.
snapshots_work() {
    local names='" ".join(s["name"] for s in j["snapshots"])'
    if exits 0 "$kvfs" snapshot list "$store" --json && json "not j[\"snapshots\"]"; then
        prints "" "$kvfs" snapshot create "$store" kept || return
    fi
    prints "" "$kvfs" snapshot create "$store" "of monday" && complains 1 "create snapshot of monday of .*there is a snapshot" \
        "$kvfs" snapshot create "$store" "of monday" &&
        exits 0 "$kvfs" snapshot list "$store" --json && json "$names == \"kept of monday\" and j[\"snapshots\"][1][\"time\"] > 1500000000" &&
        exits 0 "$kvfs" snapshot list "$store" && [[ $out == *"  kept"*"  of monday" ]] &&
        exits 0 "$kvfs" stats "$store" --json && json "j[\"counters\"][\"named_snapshots\"] == 2" &&
        prints "" "$kvfs" snapshot drop "$store" "of monday" && complains 3 "there is no snapshot" "$kvfs" snapshot drop "$store" "of monday" &&
        exits 0 env KVFS_STORE="$store" "$kvfs" snapshot list --json && json "$names == \"kept\"" &&
        complains 1 "1 to 64 bytes" "$kvfs" snapshot create "$store" "" &&
        complains 2 "usage" "$kvfs" snapshot keep "$store" x && complains 2 "usage" "$kvfs" snapshot create "$store"
}

# Space for deletes on a full device is set aside only where little is free.
small_store_is_small() {
    local free_kib used_kib
    "$kvfs" mkfs -q "$work/small" && "$kvfs" put "$work/small" key value || return
    free_kib=$(df --output=avail "$work/small" | tail -n 1)
    used_kib=$(du -sk "$work/small" | cut -f 1)
    echo "$used_kib KiB used, $free_kib KiB free"
    if [ "$free_kib" -gt $((8 << 20)) ]; then
        [ "$used_kib" -lt 1024 ]
    else
        [ -e "$work/small/RESERVE" ]
    fi
}

# What $out holds is the text format of Prometheus: samples stand below the one TYPE of their metric,
# none comes twice, and the metrics that are named are among them.
prometheus() {
    python3 - "$out" "$@" <<'END'
import re, sys
SAMPLE = re.compile(r'(kvfs_[a-z0-9_]+)\{store="(?:[^"\\]|\\.)*"((?:,[a-z_]+="[^"]*")*)\} [-+0-9.e]+$')
types, seen, metric = {}, set(), None
for line in sys.argv[1].split("\n"):
    if line.startswith("# TYPE "):
        metric, kind = line.split()[2:]
        assert metric not in types and kind in ("counter", "gauge", "summary"), line
        assert (kind == "counter") == metric.endswith("_total"), line
        types[metric] = kind
        continue
    match = SAMPLE.match(line)
    assert match, line
    allowed = [metric] + ([metric + "_sum", metric + "_count"] if types[metric] == "summary" else [])
    assert match.group(1) in allowed and match.group(1, 2) not in seen, line
    seen.add(match.group(1, 2))
missing = set(sys.argv[2:]) - set(types)
assert not missing, missing
END
}

# ---- the same on a mounted and on an unmounted store: $1 is how the points are named ----

binary_values_pass() {
    head -c 3000000 /dev/urandom >"$work/binary" && "$kvfs" put "$store" bin/big - <"$work/binary" &&
        "$kvfs" get "$store" bin/big | cmp - "$work/binary"
}

empty_values_pass() {
    : | "$kvfs" put "$store" empty && prints "" "$kvfs" get "$store" empty &&
        prints "" "$kvfs" put "$store" empty2 "" && exits 0 "$kvfs" exists "$store" empty2 &&
        exits 0 "$kvfs" del "$store" empty empty2
}

scan_fill() {
    local key
    for key in a.b a/b a/c/d b; do
        "$kvfs" put "$store" "scan/$key" "v of $key" || return
    done
    printf 'x\ty\n\\\033\377' | "$kvfs" put "$store" scan/odd
}

keys() {
    prints "$1" "$kvfs" scan "$store" --keys-only "${@:2}"
}

scan_is_ordered() {
    keys $'scan/a.b\nscan/a/b\nscan/a/c/d\nscan/b\nscan/odd' --prefix scan/
}

scan_ranges() {
    keys $'scan/a/b\nscan/a/c/d' --from scan/a/ --to scan/b &&
        keys $'scan/a.b\nscan/a/b' --prefix scan/ --limit 2 &&
        keys $'scan/odd\nscan/b' --prefix scan/ --reverse --limit 2 && keys "" --prefix nothing/
}

scan_escapes() {
    prints $'scan/odd\tx\\ty\\n\\\\\\033\\377' "$kvfs" scan "$store" --prefix scan/odd
}

scan_forms() {
    prints $'scan/b\t6' "$kvfs" scan "$store" --prefix scan/b --value len &&
        prints $'7363616e2f62\t76206f662062' "$kvfs" scan "$store" --prefix scan/b --key hex --value hex &&
        prints "scan/b" "$kvfs" scan "$store" --prefix scan/b --value none &&
        prints "v of b" "$kvfs" scan "$store" --prefix scan/b --key none
}

scan_zero() {
    "$kvfs" scan "$store" --prefix scan/odd -0 >"$work/zero" &&
        printf 'scan/odd\0x\ty\n\\\033\377\0' | cmp - "$work/zero"
}

scan_json() {
    exits 0 "$kvfs" scan "$store" --prefix scan/b --json &&
        json 'j == {"format_version": 1, "key": "scan/b", "value": "v of b"}' &&
        exits 0 "$kvfs" scan "$store" --prefix scan/odd --json &&
        json 'j["value_hex"] == "7809790a5c1bff"'
}

del_prunes() {
    "$kvfs" put "$store" p/q/r/s 1 && "$kvfs" put "$store" p/t 2 &&
        exits 0 "$kvfs" del --prune "$store" p/q/r/s && exits 0 "$kvfs" exists "$store" p/t &&
        complains 1 'directory' "$kvfs" get "$store" p && exits 0 "$kvfs" del "$store" p/t &&
        complains 1 'directory' "$kvfs" get "$store" p
}

del_of_several_goes_on() {
    "$kvfs" put "$store" d1 1 && "$kvfs" put "$store" d2 2 &&
        complains 3 'cannot delete gone .* no such key' "$kvfs" del "$store" d1 gone d2 &&
        exits 3 "$kvfs" exists "$store" d1 && exits 3 "$kvfs" exists "$store" d2
}

batch_is_whole() {
    printf 'put b/1 one\nput b/2 two words\ndel b/none\n' >"$work/lines"
    complains 3 'del b/none: there is no such key' "$kvfs" batch "$store" <"$work/lines" &&
        exits 3 "$kvfs" exists "$store" b/1 && exits 0 "$kvfs" batch -f "$store" <"$work/lines" &&
        prints "two words" "$kvfs" get "$store" b/2
}

batch_has_conditions() {
    printf 'if-equal b/1 other\nput b/1 x\n' >"$work/lines"
    complains 1 'if-equal b/1: ' "$kvfs" batch "$store" <"$work/lines" && prints one "$kvfs" get "$store" b/1 &&
        printf 'if-equal b/1 one\nif-absent b/3\ndel b/1\ndel b/2\n' >"$work/lines" &&
        exits 0 "$kvfs" batch "$store" <"$work/lines" && exits 3 "$kvfs" exists "$store" b/2
}

keys_work() {
    point "$1: put and get" eval 'prints "" "$kvfs" put "$store" users/42/name Ada &&
        prints Ada "$kvfs" get "$store" users/42/name'
    point "$1: put replaces" eval 'exits 0 "$kvfs" put "$store" users/42/name Grace &&
        prints Grace "$kvfs" get "$store" users/42/name'
    point "$1: put reads stdin without a value and with -" eval 'echo -n one | "$kvfs" put "$store" in1 &&
        echo -n two | "$kvfs" put "$store" in2 - && prints one "$kvfs" get "$store" in1 &&
        prints two "$kvfs" get "$store" in2'
    point "$1: 3 MB of random bytes pass through" binary_values_pass
    point "$1: empty values are values" empty_values_pass
    point "$1: get of a missing key exits 3" complains 3 'cannot get none/such from .*: there is no such key' \
        "$kvfs" get "$store" none/such
    point "$1: get of a directory fails" complains 1 'directory' "$kvfs" get "$store" users
    point "$1: put below a file fails" complains 1 'component' "$kvfs" put "$store" in1/below x
    point "$1: put over a directory fails" complains 1 'directory' "$kvfs" put "$store" users x
    point "$1: malformed keys are refused with the fault named" eval \
        'complains 1 "cannot get" "$kvfs" get "$store" /abs && complains 1 "cannot get" "$kvfs" get "$store" a//b &&
        complains 1 "cannot put" "$kvfs" put "$store" a/../b x && complains 1 "cannot put" "$kvfs" put "$store" "" x'
    point "$1: exists is 0 or 3 and prints nothing" eval 'prints "" "$kvfs" exists "$store" in1 &&
        exits 3 "$kvfs" exists "$store" none && [ -z "$out$err" ] && exits 3 "$kvfs" exists "$store" users &&
        exits 3 "$kvfs" exists "$store" in1/below'
    point "$1: del, and del of a missing key, with -f and without" eval 'exits 0 "$kvfs" del "$store" in2 &&
        exits 3 "$kvfs" del "$store" in2 && exits 0 "$kvfs" del -f "$store" in2 && [ -z "$err" ]'
    point "$1: del of several keys deletes the ones that are there" del_of_several_goes_on
    point "$1: a batch is made as a whole or not at all" batch_is_whole
    point "$1: a batch is made under its conditions" batch_has_conditions
    point "$1: del --prune removes emptied directories, del keeps them" del_prunes
    point "$1: keys for scanning are put" scan_fill
    point "$1: scan is in byte order of whole keys" scan_is_ordered
    point "$1: scan takes prefix, from, to, limit, reverse" scan_ranges
    point "$1: scan escapes tabs, newlines and other bytes" scan_escapes
    point "$1: scan shows keys and values in other forms" scan_forms
    point "$1: scan -0 gives the bytes" scan_zero
    point "$1: scan --json" scan_json
    point "$1: the store may come from KVFS_STORE" eval 'KVFS_STORE=$store prints Grace "$kvfs" get users/42/name'
    point "$1: stats --json" eval 'exits 0 "$kvfs" stats "$store" --json && json "j[\"format_version\"] == 1 and len(j[\"levels\"]) == 7"'
    point "$1: stats --json tells latencies, jobs, health and write amplification" eval 'json "(
        set(j[\"latencies\"]) == {\"get\", \"write\", \"seek\", \"sync\", \"flush\", \"merge\"} and
        j[\"health\"] == \"ok\" and j[\"write_amplification\"] >= 0 and isinstance(j[\"jobs\"], list))"'
    point "$1: stats --prometheus" eval 'exits 0 "$kvfs" stats "$store" --prometheus &&
        prometheus kvfs_gets_total kvfs_level_bytes kvfs_latency_seconds kvfs_write_amplification kvfs_health kvfs_stall_seconds_total'
    point "$1: stats prints tables" eval 'exits 0 "$kvfs" stats "$store" && [[ $out == *LEVEL*COUNTER*SPACE* ]]'
    point "$1: sync" prints "" "$kvfs" sync "$store"
}

# ---- without a mount ----

subcommands=(mkfs mount umount serve exec get put del batch exists scan find ls cat info status stats sync checkpoint verify debug version)

help_lists_all() {
    local word
    exits 0 "$kvfs" help || return
    for word in "${subcommands[@]}"; do
        [[ $out == *"  $word "* ]] || return
    done
}

help_starts_with_examples() {
    local word
    for word in "${subcommands[@]}"; do
        exits 0 "$kvfs" "$word" --help && [[ $out == "Usage: kvfs $word "* && $(sed -n 2p <<<"$out") == Examples:* ]] &&
            exits 0 "$kvfs" help "$word" || return
    done
}

mkfs_takes_label_and_id() {
    exits 0 "$kvfs" mkfs -L photos -U 0123abcd-4567-89ef-0011-fedcba987654 "$work/labelled" &&
        exits 0 "$kvfs" status --json "$work/labelled" && json 'j["label"] == "photos"' &&
        json 'j["store_id"] == "0123abcd-4567-89ef-0011-fedcba987654"' && [ "$(stat -c %a "$work/labelled")" = 700 ]
}

mkfs_force_erases() {
    "$kvfs" put "$work/labelled" k v && complains 1 'there is one already.*--force' "$kvfs" mkfs "$work/labelled" &&
        prints v "$kvfs" get "$work/labelled" k && exits 0 "$kvfs" mkfs -q --force "$work/labelled" && [ -z "$out" ] &&
        exits 3 "$kvfs" get "$work/labelled" k
}

tree_commands() {
    prints $'42' "$kvfs" ls "$store" users && exits 0 "$kvfs" ls -l "$store" &&
        [[ $out == *drwxr-xr-x*users* ]] && prints Grace "$kvfs" cat "$store" users/42/name &&
        exits 0 "$kvfs" info --json "$store" users/42/name &&
        json 'j["type"] == "file" and j["size"] == 5 and j["mode"] == "0644"' &&
        exits 0 "$kvfs" info "$store" / && [[ $out == *directory* ]] &&
        complains 3 'cannot find /none' "$kvfs" ls "$store" none &&
        complains 3 'cannot find /none' "$kvfs" cat "$store" none &&
        complains 1 'it is a directory' "$kvfs" cat "$store" users
}

# completed WORD...: what bash offers for the last word of `kvfs WORD...`, sorted, in one line.
completed() {
    COMP_WORDS=(kvfs "$@") COMP_CWORD=$# COMPREPLY=()
    _kvfs
    printf '%s\n' "${COMPREPLY[@]}" | sort | paste -sd ' '
}

completions_complete() {
    local command
    exits 0 "$kvfs" completions bash && eval "$out" && complete -p kvfs || return
    compopt() { :; } # of use in a completion that is under way only
    for command in $("$kvfs" help | sed '1,/^Commands:/d' | grep -o '^  [a-z]*'); do
        [ "$(completed "$command")" = "$command" ] || [[ " $(completed "$command") " == *" $command "* ]] || return
    done
    [ "$(completed unm)" = "" ] && [ "$(completed um)" = umount ] && [ "$(completed stats --pro)" = --prometheus ] &&
        [ "$(completed verify --l)" = --limit= ] && [ "$(completed snapshot d)" = drop ] && [ "$(completed bench k)" = kv ] &&
        [ "$(completed bench kv --seek)" = --seek-nexts= ] && [ "$(completed help comp)" = "compact completions" ] &&
        complains 2 "usage: kvfs completions bash" "$kvfs" completions fish
}

# Rows of what happens beside a writer.
stats_live() {
    local writer
    (while :; do echo x >"$mnt/live"; done) &
    writer=$!
    exits 0 "$kvfs" stats "$mnt" --interval=0.3 --count=5
    kill "$writer" && wait "$writer"
    rm "$mnt/live"
    [ "$(wc -l <<<"$out")" -eq 6 ] && [[ $out == *"REQUESTS/S"*"MERGES"* ]] &&
        [ "$(awk 'NR > 1 && NF == 9 { n += $1 } END { print (n > 0) }' <<<"$out")" = 1 ] &&
        exits 0 "$kvfs" stats "$mnt" --interval=0.01 --count=2 --json && [ "$(wc -l <<<"$out")" -eq 2 ] &&
        exits 2 "$kvfs" stats "$mnt" --interval=0 && exits 2 "$kvfs" stats "$mnt" --count=2 && exits 2 "$kvfs" stats "$mnt" -i 1 -P
}

reading_changes_nothing() {
    sums() { (cd "$store" && find . -type f ! -name LOCK -exec sha256sum {} + | sort); }
    local before
    before=$(sums)
    "$kvfs" get "$store" users/42/name && "$kvfs" scan "$store" >/dev/null && "$kvfs" ls "$store" &&
        "$kvfs" cat "$store" users/42/name && "$kvfs" info "$store" users && "$kvfs" exists "$store" users/42/name &&
        "$kvfs" status "$store" && "$kvfs" stats "$store" >/dev/null && [ "$before" = "$(sums)" ]
}

half_made() {
    mkdir "$work/half" && : >"$work/half/LOCK" && : >"$work/half/00000001.manifest" &&
        complains 4 'half-made.*mkfs --force' "$kvfs" get "$work/half" k &&
        exits 0 "$kvfs" mkfs -q --force "$work/half" && exits 0 "$kvfs" put "$work/half" k v
}

# Both copies of the root record, with one bit changed.
damaged_root() {
    "$kvfs" mkfs -q "$work/damaged" && for at in 40 4136; do
        printf '\377' | dd of="$work/damaged/ROOT" bs=1 seek=$at conv=notrunc status=none
    done
    complains 4 'cannot open .*damaged' "$kvfs" get "$work/damaged" k && exits 4 "$kvfs" status --json "$work/damaged" &&
        json 'j["state"] == "damaged"'
}

# Of a build that speaks to Ceph and of one that does not, where no cluster is.
unreachable() {
    local words
    local -x CEPH_CONF=/dev/null CEPH_ARGS=--mon-host=127.0.0.1:1 KVFS_TIMEOUT=1
    for words in "get URL k" "put URL k v" "del URL k" "exists URL k" "scan URL" "batch URL" "status URL" "stats URL" "health URL" \
        "verify URL" "sync URL" "compact URL" "snapshot list URL" "ls URL" "cat URL k" "info URL k" "export URL" "import URL" \
        "dump URL" "load URL" "mkfs URL" "serve URL" "checkpoint URL $work/new" "copy URL $work/new"; do
        # shellcheck disable=SC2086 # words
        complains 1 "cannot open $1: ($2)" "$kvfs" ${words/URL/$1} </dev/null || return
    done
    complains 8 "cannot open $1: ($2)" "$kvfs" fsck "$1" && complains 32 "cannot open $1: ($2)" "$kvfs" mount "$1" "$mnt" &&
        complains 125 "cannot open $1: ($2)" "$kvfs" exec "$1" -- true && [ ! -e "$work/new" ]
}

url_is_no_path() {
    local url
    for url in rados:// rados://pool rados://pool/ rados:///name rados://pool/a/b rados://.pool/name "rados://pool/na me"; do
        complains 1 "cannot open $url: a URL is rados://POOL/NAME" "$kvfs" get "$url" k &&
            complains 1 "a URL is rados://POOL/NAME" "$kvfs" mkfs "$url" && complains 32 "a URL is rados://POOL/NAME" "$kvfs" mount "$url" "$mnt" || return
    done
    complains 1 "No such file or directory" "$kvfs" get rados:/pool/name k
}

# What does not work in a pool says so, whether there is a cluster or not.
url_is_refused() {
    complains 8 "repairing works on stores in directories.*kvfs copy" "$kvfs" fsck -y rados://pool/name &&
        complains 8 "works on stores in directories" "$kvfs" fsck --undo x/lost+found.d/00000001 rados://pool/name &&
        complains 8 "works on stores in directories" "$kvfs" recover --output "$work/new" rados://pool/name &&
        complains 8 "works on stores in directories" "$kvfs" recover --output rados://pool/name "$work" &&
        complains 1 "works on stores in directories" "$kvfs" sst rados://pool/name/00000001.table &&
        complains 1 "works on stores in directories" "$kvfs" wal --store=rados://pool/name "$work/00000001.log" &&
        complains 1 "bench works on stores in directories" "$kvfs" bench kv --num=1 rados://pool/name &&
        complains 1 "cannot unmount rados://pool/name: it is not" "$kvfs" umount rados://pool/name
}

point "help lists every subcommand" help_lists_all
point "help of help is help" eval 'exits 0 "$kvfs" help --help && [[ $out == *"Commands:"* ]] && exits 0 "$kvfs" help help && exits 0 "$kvfs" --help'
point "help of each subcommand starts with examples" help_starts_with_examples
point "completions have every command, its options, and words that come first" completions_complete
point "no subcommand is a usage error" exits 2 "$kvfs"
point "an unknown word proposes the nearest" complains 2 "Did you mean 'mount'" "$kvfs" muont
point "a word like nothing points to help" complains 2 "kvfs help" "$kvfs" frobnicate
point "an unknown option is a usage error" exits 2 "$kvfs" get --frobnicate
point "missing words are a usage error" complains 2 'usage: kvfs get STORE KEY' "$kvfs" get "$work/x"
point "too many words are a usage error" exits 2 "$kvfs" get a b c
point "version, as text and JSON" eval 'exits 0 "$kvfs" version && [[ $out == "kvfs "* ]] && exits 0 "$kvfs" version --json && json "j[\"format_version\"] == 1"'

point "get of a missing store says how to make one" complains 1 "no such directory. Make a store with 'kvfs mkfs" \
    "$kvfs" get "$store" k
point "put does not make a store" complains 1 'no such directory' "$kvfs" put "$store" k v
point "a file is no store" eval ': >"$work/file" && complains 1 "not a directory" "$kvfs" get "$work/file" k'
point "an empty directory is no store" eval 'mkdir "$work/empty" && complains 1 "is empty" "$kvfs" get "$work/empty" k'
point "a foreign directory is no store and none is made in it" eval 'mkdir "$work/foreign" && : >"$work/foreign/x" &&
    complains 1 "not a kvfs store and holds other files" "$kvfs" get "$work/foreign" k &&
    complains 1 "holds other files" "$kvfs" mkfs "$work/foreign" && complains 1 "holds other files" "$kvfs" mkfs --force "$work/foreign" &&
    [ "$(ls -A "$work/foreign")" = x ]'
point "a URL of a wrong form is told, by every entrance" url_is_no_path
point "what does not work on a URL says what does" url_is_refused
point "a URL that cannot be reached is told with what to do" unreachable rados://pool/name \
    "this kvfs cannot speak to Ceph. Install|the cluster does not answer in time"
point "a half-made store is told apart and made anew by force" half_made
point "a damaged root record is told" damaged_root

point "mkfs makes a store" eval 'exits 0 "$kvfs" mkfs "$store" && [[ $out == "made a store in "* ]]'
point "a small store takes little of a large device" small_store_is_small
point "mkfs takes a label and an id" mkfs_takes_label_and_id
point "mkfs erases only when forced" mkfs_force_erases
point "mkfs refuses bad options" eval 'exits 2 "$kvfs" mkfs -U nonsense "$work/y" && exits 2 "$kvfs" mkfs -O a=b "$work/y" && [ ! -e "$work/y" ]'
point "mkfs needs the directory above" complains 1 'Make the directory above' "$kvfs" mkfs "$work/none/such"
point "mkfs.kvfs is the same" eval '"$(dirname "$kvfs")/mkfs.kvfs" -q "$work/alias" && [ -e "$work/alias/ROOT" ]'

keys_work "unmounted"
point "unmounted: snapshots are kept, listed and dropped" snapshots_work
point "unmounted: ls, cat, info" tree_commands
point "unmounted: reading changes no byte of the store" reading_changes_nothing
point "unmounted: status is idle" eval 'exits 0 "$kvfs" status "$store" --json && json "j[\"state\"] == \"idle\" and j[\"mountpoint\"] is None"'
point "a full disk behind stdout is a failure" eval '"$kvfs" get "$store" bin/big >/dev/full; [ $? -eq 6 ]'

# ---- with a mount ----

mounted_refusals() {
    complains 5 "mounted on $mnt" "$kvfs" ls "$store" && complains 5 "mounted on $mnt" "$kvfs" cat "$store" users/42/name &&
        complains 5 "mounted on $mnt" "$kvfs" info "$store" users &&
        complains 5 "locked by process [0-9]+, mounted on $mnt" "$kvfs" mkfs --force "$store" &&
        complains 5 "is mounted there" "$kvfs" mkfs "$mnt"
}

point "the store is mounted" mount_store
keys_work "mounted"
point "mounted: snapshots are kept, listed and dropped" snapshots_work
point "mounted: values and files are the same thing" eval '[ "$(cat "$mnt/users/42/name")" = Grace ] &&
    echo -n Barbara >"$mnt/users/42/name" && prints Barbara "$kvfs" get "$store" users/42/name'
point "mounted: status names mount point, process and transport" eval 'exits 0 "$kvfs" status "$mnt" --json &&
    json "j[\"state\"] == \"mounted\" and j[\"mountpoint\"] == \"$mnt\" and j[\"transport\"] in (\"dev_fuse\", \"io_uring\") and j[\"pid\"] > 1"'
point "mounted: stats of the mount point count requests" eval 'exits 0 "$kvfs" stats "$mnt" --json && json "j[\"requests\"][\"write\"] > 0"'
point "mounted: stats count and measure what the daemon did" eval 'exits 0 "$kvfs" stats "$mnt" --json &&
    json "(j[\"counters\"][\"writes\"] > 0 and 0 < j[\"latencies\"][\"write\"][\"count\"] < j[\"counters\"][\"writes\"] and
        j[\"latencies\"][\"write\"][\"max_ns\"] > 0 and j[\"counters\"][\"writers_waiting\"] == 0)"'
point "mounted: stats show what happens from moment to moment" stats_live
point "mounted: what cannot be done is refused with the mount point's name" mounted_refusals
point "mounted: the control socket is for its owner only" eval '[ "$(stat -c "%F %a" "$store/control")" = "socket 600" ]'
point "the store is unmounted" umount_store
point "the control socket is gone" [ ! -e "$store/control" ]
tap_finish
