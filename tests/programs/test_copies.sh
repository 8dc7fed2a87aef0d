#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: test_copies.sh BUILD_DIR
# A tree with everything that a tree can have (hard links, attributes, ACLs, holes, devices, odd
# names and times) goes through rsync, tar and cp onto the mount and back, and is the same.
set -uo pipefail
# shellcheck source=tests/lib/programs.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/programs.sh"
need "rsync, tar and cp" rsync tar setfacl setfattr python3
if [ "$(id -u)" -ne 0 ]; then
    echo "1..0 # skip devices and owners of files are made by root only"
    exit 0
fi

# 200 files (20,000 in the long form) of all kinds.
make_tree() {
    python3 - "$1" "$((${slow:+100} + 1))" <<'END'
import os, random, stat, sys
top, factor = os.fsencode(sys.argv[1]), int(sys.argv[2])
rng = random.Random(3)
odd = [b"-rf", b" ", b"new\nline", b"tab\t", b"\xff\xfe", b"\xc3\xa9", b"e\xcc\x81", b"back\\slash", b"*", b"'", b'"', b"..a", b"x" * 255, b".hidden", b"\x01"]
os.mkdir(top)
dirs = [top]
for i in range(20 * factor):
    path = rng.choice(dirs) + b"/d%d" % i
    os.mkdir(path)
    dirs.append(path)
files = []
for i in range(180 * factor):
    path = rng.choice(dirs) + b"/" + (odd[i] if i < len(odd) else b"f%d" % i)
    with open(path, "wb") as file:
        file.write(rng.randbytes(rng.choice([0, 1, 100, 4095, 4096, 4097, 40000, 300000 if i % 10 == 0 else 9])))
    os.chmod(path, rng.choice([0o644, 0o600, 0o4755, 0o2711, 0o1777, 0o000]))
    files.append(path)
for i in range(15 * factor):
    os.link(rng.choice(files), rng.choice(dirs) + b"/hard%d" % i)
for i in range(15 * factor):
    os.symlink(rng.choice([b"f1", b"../nowhere", b"t" * 4000, b"\xff\n"]), rng.choice(dirs) + b"/soft%d" % i)
for i, mode in enumerate([stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFBLK, stat.S_IFCHR]):
    os.mknod(top + b"/special%d" % i, mode | 0o640, os.makedev(7, 259 + i) if i >= 2 else 0)
    # Not now: rsync leaves the time of a special file that it makes within the same second.
    os.utime(top + b"/special%d" % i, ns=(10 ** 18 + i, 10 ** 18 + i))
for i in range(6):
    with open(top + b"/sparse%d" % i, "wb") as file:
        for at in (0, 1 << 20, (3 << 20) + 777, 5 << 20)[:i + 1]:
            file.seek(at)
            file.write(rng.randbytes(5000) if i != 5 else b"\0" * 5000)
        file.truncate(7 << 20 if i % 2 else (5 << 20) + 9000)
for path in files[::7]:
    os.setxattr(path, "user.one", rng.randbytes(rng.choice([0, 1, 200, 3000])))
    os.setxattr(path, "user." + "n" * 200, b"x")
    os.setxattr(path, "trusted.t", b"t")
for path in files[::5]:
    os.chown(path, rng.randrange(70000), rng.randrange(70000))
os.system(b"setfacl -m u:1234:rw,g:77:--- '%s'" % files[40] + b" && setfacl -d -m u:55:rx '%s'" % dirs[3])
for path in files + dirs[::-1]:
    ns = rng.choice([0, 1, 999999999, 1234567890123456789, -1000000001, 4 * 10 ** 18 // 1])
    os.utime(path, ns=(ns, ns), follow_symlinks=False)
END
}

# Everything that a copy must keep, one line for a name. Holes do not count: see `sparse`.
describe() {
    python3 - "$1" <<'END'
import hashlib, os, stat, sys
top = os.fsencode(sys.argv[1])
first = {}
for path, dirs, names in os.walk(top):
    dirs.sort()
    for name in sorted(names + dirs + ([b"."] if path == top else [])):
        full = os.path.join(path, name)
        st = os.lstat(full)
        relative = os.path.relpath(full, top)
        what = [oct(st.st_mode), st.st_uid, st.st_gid, st.st_rdev]
        if not stat.S_ISLNK(st.st_mode):
            what.append(st.st_mtime_ns)
        if not stat.S_ISDIR(st.st_mode):
            what += [st.st_size, st.st_nlink, first.setdefault(st.st_ino, relative)]
        if stat.S_ISREG(st.st_mode):
            digest = hashlib.sha256()
            with open(full, "rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
            what.append(digest.hexdigest())
        if stat.S_ISLNK(st.st_mode):
            what.append(os.readlink(full))
        what += sorted((n, os.getxattr(full, n, follow_symlinks=False)) for n in os.listxattr(full, follow_symlinks=False))
        print(relative, *what)
END
}

is_the_tree() {
    describe "$1" >"$outside/found" && diff "$outside/described" "$outside/found"
}

# A sparse file of 6 MiB and more takes less than a tenth of that in blocks of 512.
is_sparse() {
    local name
    sync -f "$1"
    for name in 0 1 2 3 4; do
        if [ "$(stat -c %b "$1/sparse$name")" -gt 1200 ]; then
            stat "$1/sparse$name"
            return 1
        fi
    done
}

with_rsync() {
    rsync -aHAX --numeric-ids --sparse "$outside/tree/" "$mnt/rsync/" && is_the_tree "$mnt/rsync" &&
        [ -z "$(rsync -aHAXni --numeric-ids --checksum --delete "$outside/tree/" "$mnt/rsync/")" ]
}

again_with_rsync() {
    echo changed >"$mnt/rsync/special.new" && rm "$mnt/rsync/special0" && rsync -aHAX --numeric-ids --delete "$outside/tree/" "$mnt/rsync/" &&
        is_the_tree "$mnt/rsync" && rsync -aHAX --numeric-ids --sparse "$mnt/rsync/" "$outside/back-$mode/" && is_the_tree "$outside/back-$mode"
}

tar_all() {
    tar --acls --xattrs --xattrs-include='*' --sparse --numeric-owner --format=pax "$@"
}

# Sockets are left out by tar.
with_tar() {
    mkdir "$mnt/tar" && rm "$mnt/rsync/special1" && tar_all -C "$mnt/rsync" -cf "$mnt/t.tar" . && tar_all -C "$mnt/tar" -xpf "$mnt/t.tar" &&
        cp -a "$outside/tree/special1" "$mnt/tar" && touch -r "$outside/tree" "$mnt/tar" && is_the_tree "$mnt/tar" && is_sparse "$mnt/tar" &&
        rm "$mnt/tar/special1" && touch -r "$outside/tree" "$mnt/tar" && tar_all -C "$mnt/tar" --compare -f "$mnt/t.tar"
}

with_cp() {
    cp -a --reflink=auto "$mnt/tar" "$mnt/cp" && cp -a "$outside/tree/special1" "$mnt/cp" && touch -r "$outside/tree" "$mnt/cp" &&
        is_the_tree "$mnt/cp" && cp -a --sparse=always "$outside/tree" "$mnt/cp2" && is_the_tree "$mnt/cp2" && is_sparse "$mnt/cp2" &&
        cp -a --sparse=never --reflink=never "$mnt/cp2" "$mnt/cp3" && is_the_tree "$mnt/cp3"
}

after_remount() {
    remount_store -o "allow_other,suid,dev" && is_the_tree "$mnt/cp" && is_the_tree "$mnt/cp2" && is_the_tree "$mnt/cp3" && is_sparse "$mnt/cp2"
}

removed() {
    rm -rf "$mnt/cp" "$mnt/cp2" "$mnt/cp3" "$mnt/tar" && [ ! -e "$mnt/cp" ]
}

all_points() {
    point "$mode: rsync -aHAX --sparse brings the whole tree" with_rsync
    point "$mode: rsync mends what was changed, and brings it back" again_with_rsync
    point "$mode: tar with ACLs, attributes and holes packs and unpacks it" with_tar
    point "$mode: cp -a with and without holes and shared data" with_cp
    point "$mode: a new mount shows the same" after_remount
    point "$mode: rm -r takes it away" removed
}

make_tree "$outside/tree" && describe "$outside/tree" >"$outside/described"
in_modes all_points
tap_finish
