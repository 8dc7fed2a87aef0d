#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: test_tools.sh BUILD_DIR
# Programs that people use, on a real mount: they must find what they wrote, also after a remount.
set -uo pipefail
# shellcheck source=tests/lib/mount.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/mount.sh"

tree=/usr/include # some thousand files, links and directories that are there wherever C is compiled
names=20000
rows=20000

make_and_mount() {
    "$kvfs" mkfs -q "$store" && mount_store && [ "$(findmnt -n -o FSTYPE "$mnt")" = fuse.kvfs ]
}

# ---- trees ----

copy_tree() {
    cp -a "$tree" "$mnt/include" && diff -r --no-dereference "$tree" "$mnt/include"
}

# Contents, owners, modes, times, hard links, attributes: a dry run must not want to change a thing.
rsync_sees_no_difference() {
    local changes
    changes=$(rsync -aHAXn --checksum --delete --itemize-changes "$tree/" "$mnt/include/") || return
    echo "$changes" | head -n 20
    [ -z "$changes" ]
}

rsync_copies() {
    local changes
    rsync -aHAX "$tree/" "$mnt/synced/" || return
    changes=$(rsync -aHAXn --delete --itemize-changes "$tree/" "$mnt/synced/") || return
    echo "$changes" | head -n 20
    [ -z "$changes" ]
}

# tree_checksums DIR prints one line for each file.
tree_checksums() {
    (cd "$1" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum)
}

# An archive in the store, unpacked in the store, and packed again from it.
tar_round_trip() {
    tar -C "$(dirname "$tree")" -cf "$mnt/tree.tar" "$(basename "$tree")" &&
        mkdir "$mnt/unpacked" && tar -C "$mnt/unpacked" -xpf "$mnt/tree.tar" &&
        tar -C "$mnt/unpacked" -df "$mnt/tree.tar" &&
        tree_checksums "$tree" >"$work/want" &&
        tree_checksums "$mnt/unpacked/$(basename "$tree")" | diff "$work/want" -
}

tar_after_remount() {
    tree_checksums "$mnt/unpacked/$(basename "$tree")" | diff "$work/want" - &&
        tar -C "$mnt/unpacked" -df "$mnt/tree.tar"
}

remove_tree() {
    rm -rf "$mnt/synced" "$mnt/unpacked" "$mnt/tree.tar" && [ ! -e "$mnt/synced" ]
}

# ---- git ----

export HOME=$work GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=tester GIT_COMMITTER_NAME=tester
export GIT_AUTHOR_EMAIL=tester@example.org GIT_COMMITTER_EMAIL=tester@example.org

git_commit() {
    local i
    git init -q "$mnt/repo" || return
    for ((i = 0; i < 3000; i++)); do
        ((i % 100 == 0)) && { mkdir "$mnt/repo/d$((i / 100))" || return; }
        echo "file $i of the repository" >"$mnt/repo/d$((i / 100))/f$i" || return
    done
    git -C "$mnt/repo" add . && git -C "$mnt/repo" commit -qm "three thousand files"
}

git_is_sound() {
    local changes
    git -C "$mnt/repo" fsck --full --strict || return
    changes=$(git -C "$mnt/repo" status --porcelain) || return
    echo "$changes" | head
    [ -z "$changes" ] && [ "$(git -C "$mnt/repo" ls-files | wc -l)" -eq 3000 ]
}

# A local clone makes hard links, the repacking removes many files at once.
git_clone_and_repack() {
    git clone -q "$mnt/repo" "$mnt/clone" && git -C "$mnt/clone" gc -q --prune=now &&
        git -C "$mnt/clone" fsck --full && git -C "$mnt/clone" rm -qr d0 d1 &&
        git -C "$mnt/clone" commit -qm "two directories less" && git -C "$mnt/clone" reset -q --hard HEAD~1 &&
        [ "$(find "$mnt/clone" -name 'f*' -path '*/d*' -not -path '*/.git/*' | wc -l)" -eq 3000 ]
}

# ---- sqlite ----

sql_fill() {
    sqlite3 "$mnt/$1.db" "PRAGMA journal_mode=$1;
        CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, weight REAL);
        CREATE INDEX by_name ON t(name);" || return
    # Several transactions, so that the journal is made, synced and dropped more than once.
    for batch in 0 1 2 3; do
        sqlite3 "$mnt/$1.db" "WITH RECURSIVE n(i) AS (SELECT $batch * $rows / 4 + 1 UNION ALL
            SELECT i + 1 FROM n WHERE i < ($batch + 1) * $rows / 4)
            INSERT INTO t SELECT i, 'name ' || (i * 7919 % $rows), i / 3.0 FROM n;" || return
    done
    sqlite3 "$mnt/$1.db" "UPDATE t SET weight = weight + 1 WHERE id % 3 = 0; DELETE FROM t WHERE id % 10 = 0;"
}

sql_is_sound() {
    local found
    found=$(sqlite3 "$mnt/$1.db" "PRAGMA integrity_check; SELECT count(*), count(DISTINCT name) FROM t;")
    echo "$found"
    [ "$found" = "ok
$((rows * 9 / 10))|$((rows * 9 / 10))" ]
}

# ---- names and keys ----

# Any bytes but NUL, slash, and newline (which separates lines below), of 1 to 200 bytes.
make_random_names() {
    mkdir "$mnt/names" && python3 -c '
import os, random, sys
seed = int(os.environ.get("KV_SEED") or random.SystemRandom().getrandbits(63))
print("seed", seed)
rng = random.Random(seed)
made = set()
while len(made) < int(sys.argv[2]):
    size = rng.choice((1, 2, 3, 8, 8, 20, 20, 200))
    name = bytes(b for b in rng.randbytes(size) if b not in b"\0/\n")
    if name and name not in (b".", b"..") and name not in made:
        made.add(name)
        os.close(os.open(os.fsencode(sys.argv[1]) + b"/" + name, os.O_CREAT | os.O_EXCL))
' "$mnt/names" "$names"
}

listing_is_sorted() {
    ls -UA "$mnt/names" >"$work/listed" && LC_ALL=C sort "$work/listed" | cmp - "$work/listed" &&
        [ "$(wc -l <"$work/listed")" -eq "$names" ]
}

# Without the mount: the keys are the paths, in byte order, and the values are the contents.
keys_are_paths() {
    (cd "$mnt" && find repo -type f -not -path '*/.git/*') | LC_ALL=C sort >"$work/paths"
    umount_store && "$kvfs" scan "$store" --prefix repo/d --keys-only >"$work/keys" &&
        cmp "$work/paths" "$work/keys" &&
        [ "$("$kvfs" get "$store" repo/d7/f777)" = "file 777 of the repository" ]
}

put_shows_as_file() {
    echo "by key" | "$kvfs" put "$store" made/by/key - && mount_store &&
        [ "$(cat "$mnt/made/by/key")" = "by key" ] && [ "$(ls "$mnt/made")" = by ]
}

second_mount_is_refused() {
    local status
    mkdir "$work/second"
    "$kvfs" mount "$store" "$work/second"
    status=$?
    ! mountpoint -q "$work/second" && [ "$status" -ne 0 ] && [ -e "$mnt/made/by/key" ]
}

exec_returns_the_status() {
    local status
    # shellcheck disable=SC2016
    "$kvfs" exec --create "$work/other" -- sh -c 'mkdir d && echo one >d/f && exit 7'
    status=$?
    [ "$status" -eq 7 ] && [ "$("$kvfs" exec "$work/other" -- cat d/f)" = one ]
}

point "a store is made and mounted" make_and_mount || {
    tap_finish
    exit 1
}
point "cp -a copies $(find $tree | wc -l) files and diff -r finds no difference" copy_tree
point "rsync -aHAX finds no difference" rsync_sees_no_difference
point "a remount works" remount_store
point "rsync -aHAX finds no difference after the remount" rsync_sees_no_difference
point "rsync copies a tree and then finds nothing to do" rsync_copies
point "tar packs, unpacks and compares in the store" tar_round_trip
point "git adds and commits 3000 files" git_commit
point "sqlite writes $rows rows with a rollback journal" sql_fill delete
point "sqlite writes $rows rows with a write-ahead log" sql_fill wal
point "a second remount works" remount_store
point "tar's files have the same checksums after the remount" tar_after_remount
point "git fsck and git status find nothing after the remount" git_is_sound
point "git clones with hard links, repacks and resets" git_clone_and_repack
point "sqlite's database is sound after the remount (rollback journal)" sql_is_sound delete
point "sqlite's database is sound after the remount (write-ahead log)" sql_is_sound wal
point "$names random names are made" make_random_names
point "an unsorted listing of them is in byte order" listing_is_sorted
point "rm -rf removes whole trees" remove_tree
point "the keys of the unmounted store are the paths, in byte order" keys_are_paths
point "a key that was put shows as a file" put_shows_as_file
point "a second mount is refused, the first goes on" second_mount_is_refused
point "the last unmount works" umount_store
point "exec runs a command in a store and returns its status" exec_returns_the_status
tap_finish
