# SPDX-License-Identifier: Apache-2.0
"""For each option of each command of kvfs a command line that uses it, and what comes of that. Run by test_options.py,
which fails where an option has no entry here.

In a command line stand
  {option}  the option, in each of its spellings, with the entry's value
  {store}   a store with the keys a/1 = one, a/2 = two, b = "line\\n", and d/e/f; for the second run of an entry it is in use:
            mounted, or where that cannot be, served
  {copy}    a copy of the store, fresh for each run; in the second run the store in use
  {new} {directory} {mnt}   paths: of nothing yet, of an empty directory, to mount on
  {pid}     of a process that there is
  {store}/*.table   the newest such file when the command runs
What is run a second time on a {copy} may change the store in use, and must leave its keys as they are.
"""

import json


class Use:
    """`bad`: a value that must be refused as a usage error; None: any value will do, and only a missing one is tried.
    `status`, and `in_use` in the second run; None: no second run. `prints`: a regular expression for all of stdout, or a
    function that takes it; in the second run likewise, if that ends with the same status. `first`, `then`: command lines
    before and after, which must succeed. `stdin`: what the command reads. `daemon`: the command serves until `then` ends it."""

    def __init__(self, line, *, value=None, bad=None, status=0, in_use=None, prints=None, first=None, then=None,
                 daemon=False, needs=(), stdin=""):
        self.line = line
        self.value = value
        self.bad = bad
        self.status = status
        self.in_use = in_use
        self.prints = prints
        self.first = first
        self.then = then
        self.daemon = daemon
        self.needs = needs
        self.stdin = stdin


class Together:
    """Many options in one run, which takes long: {options} stands for all. `values`: option -> (value, a bad one);
    None for the value of those without one."""

    def __init__(self, line, values, prints):
        self.line = line
        self.values = values
        self.prints = prints


class Elsewhere:
    """The option is used by another test, named by its path. `bad` as above."""

    def __init__(self, path, bad=None):
        self.path = path
        self.bad = bad


def as_json(**members):
    """One object of JSON with these members; a type stands for any value of it."""
    def fits(text):
        found = json.loads(text)
        assert found["format_version"] == 1, found
        for name, wanted in members.items():
            value = found[name]
            assert isinstance(value, wanted) if isinstance(wanted, type) else value == wanted, (name, value)
    return fits


def settings(engine="", **members):
    """What `kvfs bench` says it was run with."""
    def fits(text):
        found = json.loads(text)
        for name, wanted in members.items():
            assert found["settings"][name] == wanted, (name, found["settings"])
        assert not engine or engine in found["engines"]["kvfs"], found["engines"]
    return fits


def lines(count):
    """So many lines; `stats --interval` has a heading beside them."""
    def fits(text):
        assert len(text.splitlines()) == count, text
    return fits


ALL_KEYS = "a/1\ta/2\tb\td/e/f".split("\t")
KEYS = "\n".join(ALL_KEYS) + "\n"
ID = "0123abcd-4567-89ef-0011-fedcba987654"

FSCK = "fsck {option} {copy}"
CLEAN = r".*: clean\n"
RECOVER = "recover {option} --output={new} {store}"
SCAN = "scan {option} {store}"
TAGGED = "exec -o index=user.tag {copy} -- setfattr -n user.tag -v red a/1 a/2"

SOUND = r"(?s:.*): sound\n"


def last_line(**members):
    """JSON, an object a line."""
    def fits(text):
        as_json(**members)(text.splitlines()[-1])
    return fits


def inspecting(command, end, first, *, then=None, keys=None):
    """The options of the commands that look into a file. `keys`: how a key of it looks in hexadecimal."""
    line = f"{command} {{option}} {{copy}}/*.{end}"
    hexadecimal = SOUND if keys is None else rf"(?s:.*)key={keys}(?s:.*)"
    common = {"first": first, "then": then, "in_use": 0}
    return {
        "--rows": Use(line, prints=SOUND, **common),
        "--parts": Use(line, prints=SOUND, **common),
        "--key": Use(line + " --rows", value="hex", bad="octal", prints=hexadecimal, **common),
        "--value": Use(line + " --rows", value="len", bad="octal", prints=SOUND, **common),
        "--store": Use(line, value="{copy}", prints=SOUND, **common),
        "--json": Use(line, prints=last_line(item="end", sound=True, damages=0), **common),
    }


COMPACTED = "compact {copy}"
BIG = "put {copy} big " + "x" * 20000

USES = {
    "mkfs": {
        "--label": Use("mkfs {option} -q {new}", value="photos", bad="x" * 64),
        "--uuid": Use("mkfs {option} -q {new}", value=ID, bad="1234"),
        "--option": Use("mkfs {option} -q {new}", value="index=user.tag", bad="any=thing", then="find {new} user.tag=red"),
        "--quiet": Use("mkfs {option} {new}", prints=""),
        "--force": Use("mkfs {option} -q {copy}", then="status {copy}"),
    },
    "mount": {
        "--create": Use("mount {option} {new} {mnt}", then="umount {mnt}", needs=("fuse",)),
        "--foreground": Use("mount {option} {copy} {mnt}", daemon=True, then="umount {mnt}", needs=("fuse",)),
        "--debug": Use("mount {option} {copy} {mnt}", daemon=True, then="umount {mnt}", needs=("fuse",)),
        "--options": Use("mount {option} {copy} {mnt}", value="ro,noatime", bad="frobnicate", then="umount {mnt}",
                         needs=("fuse",)),
    },
    "umount": {
        "--lazy": Use("umount {option} {mnt}", first="mount {copy} {mnt}", needs=("fuse",)),
        "--timeout": Use("umount {option} {mnt}", value="60", bad="soon", first="mount {copy} {mnt}", needs=("fuse",)),
        # What umount(8) passes on, which its help does not show.
        **{option: Use("umount {option} {mnt}", first="mount {copy} {mnt}", needs=("fuse",)) for option in ("-n", "-f", "-v", "-r")},
        "-N": Use("umount {option} {mnt}", value="/proc/self/ns/mnt", first="mount {copy} {mnt}", needs=("fuse",)),
    },
    "serve": {
        "--create": Use("serve {option} {new}", then="umount {new}"),
        "--foreground": Use("serve {option} {copy}", daemon=True, then="umount {copy}"),
        "--options": Use("serve {option} {copy}", value="memory=32M,sync_interval=10,warm", bad="ro", then="umount {copy}"),
    },
    "exec": {
        "--create": Use("exec {option} {new} -- true", needs=("fuse",)),
        "--options": Use("exec {option} {copy} -- test -e a/1", value="noatime", bad="frobnicate", needs=("fuse",)),
    },
    "batch": {
        "--force": Use("batch {option} {copy}", stdin="del none\n", in_use=0),
    },
    "del": {
        "--force": Use("del {option} {copy} none", in_use=0),
        "--prune": Use("del {option} {copy} p/q/r", first="put {copy} p/q/r x", then="scan --prefix=p {copy}", in_use=0),
    },
    "scan": {
        "--prefix": Use(SCAN, value="a/", in_use=0, prints="a/1\tone\na/2\ttwo\n"),
        "--from": Use(SCAN, value="b", in_use=0, prints=r"b\tline\\n\nd/e/f\tdeep\n"),
        "--to": Use(SCAN, value="a/2", in_use=0, prints="a/1\tone\n"),
        "--limit": Use(SCAN, value="1", bad="0", in_use=0, prints="a/1\tone\n"),
        "--reverse": Use(SCAN + " --keys-only", in_use=0, prints="\n".join(ALL_KEYS[::-1]) + "\n"),
        "--keys-only": Use(SCAN, in_use=0, prints=KEYS),
        "--key": Use(SCAN + " --limit=1", value="hex", bad="octal", in_use=0, prints="612f31\tone\n"),
        "--value": Use(SCAN + " --limit=1", value="len", bad="octal", in_use=0, prints="a/1\t3\n"),
        "--null": Use(SCAN + " --limit=1", in_use=0, prints="a/1\0one\0"),
        "--json": Use(SCAN + " --limit=1", in_use=0, prints=as_json(key="a/1", value="one")),
    },
    "find": {
        "--prefix": Use("find {option} {copy} user.tag=r", first=TAGGED, needs=("fuse",), prints="red\ta/1\nred\ta/2\n"),
        "--limit": Use("find {option} {copy} user.tag=red", value="1", bad="0", first=TAGGED, needs=("fuse",), prints="a/1\n"),
        "--null": Use("find {option} {copy} user.tag=red", first=TAGGED, needs=("fuse",), prints="a/1\0a/2\0"),
        "--json": Use("find {option} --limit=1 {copy} user.tag=red", first=TAGGED, needs=("fuse",),
                      prints=as_json(path="a/1", value="red")),
    },
    "ls": {"--long": Use("ls {option} {store} a", in_use=5, prints=r"(-rw-r--r-- .* 3 .* [12]\n){2}")},
    "info": {"--json": Use("info {option} {store} b", in_use=5, prints=as_json(type="file", size=5))},
    "dump": {"--format": Use("dump {option} {store}", value="bytevalue", bad="octal", in_use=0,
                             prints=r"VERSION=3\nformat=bytevalue\n(?s:.*) 612f31\n 6f6e65\n(?s:.*)DATA=END\n")},
    "status": {"--json": Use("status {option} {store}", in_use=0, prints=as_json(state=str, store=str, health="ok"))},
    "stats": {
        "--json": Use("stats {option} {store}", in_use=0, prints=as_json(counters=dict, levels=list)),
        "--prometheus": Use("stats {option} {store}", in_use=0, prints=r"(?s:.*)\n# TYPE kvfs_gets_total counter\n(?s:.*)"),
        "--interval": Use("stats {option} --count=2 {store}", value="0.01", bad="0", in_use=0, prints=lines(3)),
        "--count": Use("stats --interval=0.01 {option} {store}", value="3", bad="0", in_use=0, prints=lines(4)),
    },
    # The device may be nearly full: the judgement is that of test_health.
    "health": {"--json": Use("health {option} {store}", status=(0, 1), in_use=(0, 1), prints=as_json(health=str, reasons=list))},
    "snapshot": {"--json": Use("snapshot {option} list {store}", in_use=0, prints=as_json(snapshots=[]))},
    "verify": {
        "--json": Use("verify {option} {store}", in_use=0, prints=as_json(sound=True)),
        "--limit": Use("verify {option} {store}", value="1G", bad="0", in_use=0, prints=r".* is sound: .*\n"),
    },
    "fsck": {
        "--no": Use(FSCK, prints=CLEAN, in_use=8),
        "--preen": Use(FSCK, prints=CLEAN, in_use=8),
        "-a": Use(FSCK, prints=CLEAN, in_use=8),
        "--yes": Use(FSCK, prints=CLEAN, in_use=8),
        "--force": Use(FSCK, prints=CLEAN, in_use=8),
        "--verbose": Use(FSCK, prints=CLEAN, in_use=8),
        "-C": Use(FSCK, value="2", bad="x", prints=CLEAN, in_use=8),
        "--json": Use(FSCK, prints=as_json(problems=[], exit_code=0), in_use=8),
        "--deep": Use(FSCK, prints=CLEAN, in_use=8),
        "--damage": Use(FSCK, prints=CLEAN, in_use=8),  # what it lists: test_fsck_rows.py
        "--undo": Use(FSCK, value="/none/00000001", status=8, in_use=8),  # what it does: tests/mount/test_fsck.sh
    },
    "recover": {
        "--output": Use("recover {option} {store}", value="{new}", prints=CLEAN, in_use=8),
        "--verbose": Use(RECOVER, prints=CLEAN, in_use=8),
        "-C": Use(RECOVER, value="2", bad="x", prints=CLEAN, in_use=8),
        "--json": Use(RECOVER, prints=as_json(problems=[], exit_code=0), in_use=8),
        "--deep": Use(RECOVER, prints=CLEAN, in_use=8),
    },
    "sst": inspecting("sst", "table", COMPACTED, keys="[0-9a-f]+"),
    "blob": inspecting("blob", "blob", BIG, then="del {copy} big"),
    "wal": inspecting("wal", "log", None),
    "manifest": inspecting("manifest", "manifest", None),
    "debug": {
        "--output": Use("debug {option} {store}", value="{new}", prints="", in_use=0),
        "--fsck": Use("debug {option} -o {new} {store}", prints="", in_use=5),
    },
    "version": {"--json": Use("version {option}", prints=as_json(version=str))},
    "bench kv": {
        "--json": Together("bench kv --engines=kvfs --workload=fillbatch {options} {new}", {
            "--num": ("300", "0"), "--reads": ("200", "x"), "--threads": ("2", "0"), "--key-size": ("20", "1"),
            "--value-size": ("90", "x"), "--compressible": ("0.5", "0"), "--memtable": ("1M", "1"), "--memtables": ("3", "1"),
            "--cache": ("1M", "1"), "--bits": ("9", "0"), "--block": ("4K", "2M"), "--no-compression": (None, None),
            "--jobs": ("3", "0"), "--seek-nexts": ("2", "x"), "--batch": ("50", "0"), "--write-rate": ("0", "x"),
            "--durability": ("none", "some"), "--distribution": ("zipfian", "flat"), "--seed": ("7", "x"),
            "--rounds": ("2", "0"), "--quiet": (None, None), "--json": (None, None),
        }, settings("memtable 1 MiB, memtables 3, block cache 1 MiB, filter 9 bits, block 4096 bytes, compression none, flush "
                    "threads 1, compaction threads 2", rows=300, reads=200, key_size=20, value_size=90, compressible=0.5,
                    threads=2, durability="none", distribution="zipfian", seek_nexts=2, batch=50, write_rate=0, seed=7,
                    rounds=2)),
        "--sync": Together("bench kv --engines=kvfs --num=10 --json -q {options} {new}", {
            "--sync": (None, None), "--workload": ("fillseq", "frobnicate"),
        }, settings(durability="sync")),
        "--engines": Elsewhere("tests/tools/test_bench_command.py", bad="frobnicate"),
        "--existing": Elsewhere("tests/tools/test_bench_command.py"),
        "--plot": Elsewhere("tests/tools/test_bench_command.py", bad="a.txt"),
    },
    "bench fs": {
        "--json": Together("bench fs {options} {directory}", {
            "--workload": ("create,read", "frobnicate"), "--num": ("20", "0"), "--size": ("100", "x"),
            "--threads": ("2", "0"), "--per-directory": ("5", "0"), "--stream": ("1M", "x"), "--syncs": ("3", "0"),
            "--seconds": ("1", "0"), "--shared": (None, None), "--daemon": ("{pid}", "x"), "--quiet": (None, None), "--json": (None, None),
        }, settings(files=20, file_size=100, threads=2, files_per_directory=5, stream_bytes=1 << 20, syncs=3, seconds=1, shared=True)),
        "--cold": Elsewhere("tests/tools/test_bench_fs.py"),  # it empties the caches of the whole machine
        "--plot": Elsewhere("tests/tools/test_bench_fs.py", bad="a.txt"),
    },
}

# Each command without an option. The store is the first word where there is one. `no_words`: it may be called with nothing;
# `any_words`: with as many as one likes.
class Line(Use):
    def __init__(self, line, *, no_words=False, any_words=False, **more):
        super().__init__(line, **more)
        self.no_words = no_words
        self.any_words = any_words


DUMP = "VERSION=3\nformat=print\ntype=btree\nHEADER=END\n b\n line\\0a\nDATA=END\n"

LINES = {
    "mkfs": Line("mkfs {new}", prints=r"made a store in .*\n"),
    "mount": Line("mount {copy} {mnt}", then="umount {mnt}", needs=("fuse",)),
    "umount": Line("umount {mnt}", first="mount {copy} {mnt}", needs=("fuse",)),
    "serve": Line("serve {new}", first="mkfs -q {new}", then="umount {new}"),
    "exec": Line("exec {copy} -- cat b", any_words=True, prints=r"line\n", in_use=125, needs=("fuse",)),
    "get": Line("get {store} a/1", in_use=0, prints="one"),
    "put": Line("put {copy} a/1 one", in_use=0, prints=""),
    "del": Line("del {copy} gone", first="put {copy} gone x", any_words=True, in_use=0, prints=""),
    "batch": Line("batch {copy}", stdin="put a/1 one\n", in_use=0, prints=""),
    "exists": Line("exists {store} a/1", in_use=0, prints=""),
    "scan": Line("scan {store}", in_use=0, prints=r"a/1\tone\na/2\ttwo\nb\tline\\n\nd/e/f\tdeep\n"),
    "ls": Line("ls {store} a", in_use=5, prints=r"1\n2\n"),
    "cat": Line("cat {store} a/1 b", any_words=True, in_use=5, prints="oneline\n"),
    "info": Line("info {store} b", in_use=5, prints=r"(?s:.*)\nsize +5\n(?s:.*)"),
    "export": Line("export {store}", in_use=5, prints=r"(?s:.*)deep(?s:.*)"),
    "import": Line("import {copy}", stdin="\0" * 1024, in_use=5, prints=""),
    "dump": Line("dump {store}", in_use=0, prints=r"VERSION=3\n(?s:.*)\n deep\nDATA=END\n"),
    "load": Line("load {copy}", stdin=DUMP, in_use=0, prints=""),
    "status": Line("status {store}", in_use=0, prints=r"(?s:.*)state +(idle|mounted|serving)\n(?s:.*)"),
    "stats": Line("stats {store}", in_use=0, prints=r"(?s:.*)LEVEL(?s:.*)COUNTER(?s:.*)"),
    "health": Line("health {store}", status=(0, 1), in_use=(0, 1), prints=r"(ok|degraded)(?s:.*)"),
    "snapshot": Line("snapshot list {store}", in_use=0),
    "sync": Line("sync {copy}", in_use=0, prints=""),
    "compact": Line("compact {copy}", in_use=0),
    "checkpoint": Line("checkpoint {store} {new}", in_use=0, prints="", then="get {new} a/1"),
    "copy": Line("copy {store} {new}", in_use=0, prints="", then="get {new} a/1"),
    "verify": Line("verify {store}", in_use=0, prints=r".* is sound: .*\n"),
    "fsck": Line("fsck {copy}", in_use=8, prints=CLEAN),
    "recover": Line("recover --output={new} {store}", in_use=8, prints=CLEAN),
    "find": Line("find {copy} user.tag=red", first=TAGGED, prints=r"a/1\na/2\n", needs=("fuse",)),
    "sst": Line("sst {copy}/*.table", first=COMPACTED, in_use=0, prints=SOUND),
    "blob": Line("blob {copy}/*.blob", first=BIG, then="del {copy} big", in_use=0, prints=SOUND),
    "wal": Line("wal {copy}/*.log", in_use=0, prints=SOUND),
    "manifest": Line("manifest {copy}/*.manifest", in_use=0, prints=SOUND),
    "bench kv": Line("bench kv --workload=fillseq --num=10 -q {new}", prints=r"(?s:.*)fillseq(?s:.*)"),
    "bench fs": Line("bench fs --workload=create --num=10 -q {directory}", prints=r"(?s:.*)create(?s:.*)"),
    "completions": Line("completions bash", prints=r"(?s:.*)complete (?s:.*)kvfs\n"),
    "debug": Line("debug {store}", prints=r"(?s:.+)", in_use=0),
    "version": Line("version", no_words=True, prints=r"kvfs .*\n"),
}

# Of a store that is missing, or of a directory that is none, where it is not 1. Patterns of files match none there, and
# what is passed on then is the name of none.
NO_STORE_STATUS = {"mount": 32, "exec": 125, "fsck": 8, "recover": 8, "sst": 2, "blob": 2, "wal": 2, "manifest": 2}

# Behind -o: a value, and one that must be refused. What takes no value is refused with any.
MOUNT_OPTIONS = {
    "memory": ("64M", "1K"), "threads": ("2", "0"), "sync_interval": ("100", "0"), "uring": ("auto", "perhaps"), "idle_poll": ("auto", "often"), "index": ("user.tag", "tag"),
    "id": ("kvfs", "two words"), "timeout": ("30", "0"), "log": ("syslog", ""), "ro": (None, "x"), "rw": (None, "x"), "allow_other": (None, "x"), "noallow_other": (None, "x"),
    "writeback": (None, "x"), "warm": (None, "x"),
    "suid": (None, "x"), "nosuid": (None, "x"), "dev": (None, "x"), "nodev": (None, "x"), "exec": (None, "x"),
    "noexec": (None, "x"), "sync": (None, "x"), "noatime": (None, "x"), "nodiratime": (None, "x"), "dirsync": (None, "x"),
}

# Letters that mount(8) gives its helper, with their values.
HELPER_OPTIONS = {"s": None, "f": None, "n": None, "v": None, "N": "/proc/self/ns/mnt", "o": "noatime", "t": "kvfs"}

# Exit statuses of usage errors where they are not 2.
USAGE_STATUS = {"mount": 1, "exec": 125, "fsck": 16, "recover": 16}
