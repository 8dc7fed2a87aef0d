#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: test_git.sh BUILD_DIR
# A history made by git fast-import, cloned, checked out at many commits, packed, with a second work
# tree; everything compared with what git made of it on the file system below.
set -uo pipefail
# shellcheck source=tests/lib/programs.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/programs.sh"
need git git python3

commits=${slow:+5000}
commits=${commits:-100}

# Commits that add, change, move and remove files of many sizes, with odd names, links and modes.
history() {
    python3 - "$commits" <<'END'
import random, sys
rng = random.Random(5)
out = sys.stdout.buffer
names = []
for commit in range(int(sys.argv[1])):
    out.write(b"commit refs/heads/main\ncommitter T <t@example.com> %d +0000\ndata 6\nchange\n" % (10 ** 9 + commit * 60))
    for i in range(rng.randint(1, 8)):
        kind = rng.random()
        if kind < 0.1 and names:
            out.write(b"D %s\n" % names.pop(rng.randrange(len(names))))
            continue
        if kind < 0.2 and names:
            old = names.pop(rng.randrange(len(names)))
            new = b"moved/%d-%d" % (commit, i)
            out.write(b"R %s %s\n" % (old, new))
            names.append(new)
            continue
        if kind < 0.6 and names:
            name = rng.choice(names)
        else:
            name = b"d%d/e%d/file_%d_%d%s" % (rng.randrange(9), rng.randrange(9), commit, i, rng.choice([b"", b".c", b"~x"]))
            names.append(name)
        mode = rng.choice([b"100644"] * 8 + [b"100755", b"120000"])
        data = b"target/%d" % commit if mode == b"120000" else rng.randbytes(rng.choice([0, 10, 300, 5000, 20000]))
        out.write(b"M %s inline %s\ndata %d\n%s\n" % (mode, name, len(data), data))
END
}

# The same objects, however packed, and the same heads.
fingerprint() {
    git -C "$1" for-each-ref && git -C "$1" rev-list --objects --all | sort
}

import() {
    git init -q --bare -b main "$1" && git -C "$1" fast-import --quiet <"$outside/history"
}

imported() {
    import "$mnt/origin.git" && git -C "$mnt/origin.git" fsck --full --strict && fingerprint "$mnt/origin.git" >"$outside/there" &&
        cmp "$outside/here" "$outside/there"
}

# The index remembers times; without it git reads every file again.
tree_is() {
    local index=$outside/index
    rm -f "$index"
    [ "$(GIT_INDEX_FILE=$index git -C "$1" -c core.untrackedCache=false add -A . && GIT_INDEX_FILE=$index git -C "$1" write-tree)" = \
        "$(git -C "$1" rev-parse "$2^{tree}")" ]
}

checkouts() {
    local commit
    git clone -q "$mnt/origin.git" "$mnt/clone" || return
    for commit in $(git -C "$mnt/clone" rev-list main | awk -v n=$((commits / 20)) 'NR % n == 1') main; do
        if ! git -C "$mnt/clone" checkout -q "$commit" || [ -n "$(git -C "$mnt/clone" status --porcelain)" ] ||
            ! tree_is "$mnt/clone" "$commit"; then
            echo "at $commit"
            git -C "$mnt/clone" status --porcelain
            return 1
        fi
    done
}

packed() {
    git -C "$mnt/clone" gc -q --prune=now && git -C "$mnt/clone" repack -q -a -d -f && git -C "$mnt/clone" fsck --full --strict &&
        git -C "$mnt/clone" rev-list --objects --all | sort >"$outside/there" && tail -n +2 "$outside/here" | cmp - "$outside/there"
}

worktree() {
    git -C "$mnt/clone" worktree add -q ../second 'main~9' && tree_is "$mnt/second" 'main~9' &&
        echo new >"$mnt/second/new" && git -C "$mnt/second" add new && git -C "$mnt/second" commit -q -m new &&
        git -C "$mnt/second" rebase -q main && tree_is "$mnt/second" HEAD && git -C "$mnt/clone" worktree remove ../second && [ ! -e "$mnt/second" ]
}

after_remount() {
    remount_store -o allow_other && git -C "$mnt/clone" fsck --full --strict && tree_is "$mnt/clone" main &&
        git clone -q "$mnt/clone" "$outside/back-$mode" && tree_is "$outside/back-$mode" main
}

all_points() {
    point "$mode: a history of $commits commits is imported, and is that of the file system below" imported
    point "$mode: it is cloned and checked out at twenty commits" checkouts
    point "$mode: it is packed and sound" packed
    point "$mode: a second work tree comes, takes a commit and goes" worktree
    point "$mode: all of it is there after a new mount" after_remount
}

history >"$outside/history"
import "$outside/origin.git" && fingerprint "$outside/origin.git" >"$outside/here"
in_modes all_points
tap_finish
