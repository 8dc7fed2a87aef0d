#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`kvfs debug`: what is in the archive for those who are to help, and that no key or value is.

usage: test_debug.py KVFS
"""

import hashlib
import io
import json
import os
import pty
import subprocess
import sys
import tarfile
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from kvfs_mount import Report, attempt  # noqa: E402

PATIENCE_S = 60
ALWAYS = {"version.txt", "uname.txt", "store.txt", "mounts.txt"}
REPORTS = {"status.json", "stats.json", "health.json"}
PROCESS = {"process/status", "process/limits", "process/io", "process/cmdline"}
SECRETS = (b"topsecret", b"746f70736563726574")
LOG_TAIL = 256 << 10


class Debug:
    def __init__(self, program, work):
        self.program = os.path.realpath(program)
        self.work = work
        self.store = self.path("a store")
        self.mountpoint = self.path("a mount")
        self.log = self.path("log")
        os.mkdir(self.mountpoint)

    def path(self, name):
        return os.path.join(self.work, name)

    def run(self, *words, status=0, **more):
        """What the command writes to stdout, or of a failure what it says."""
        more.setdefault("stdout", subprocess.PIPE)
        done = subprocess.run([self.program, *words], stderr=subprocess.PIPE, check=False, timeout=PATIENCE_S, **more)
        assert done.returncode == status, f"{words}: status {done.returncode}, wanted {status}: {done.stderr}"
        return done.stderr.decode() if status else done.stdout

    def bundle(self, *words, status=0):
        """The files in the archive, none of which may hold a key or a value."""
        output = self.path("bundle.tar")
        self.run("debug", *words, "-o", output, status=status)
        with open(output, "rb") as file:
            return self.files_of(file.read())

    @staticmethod
    def files_of(archive):
        assert len(archive) < 4 << 20, len(archive)
        for secret in SECRETS:
            assert secret not in archive, f"{secret} is in the archive"
        files = {}
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            for member in tar:
                assert member.name.startswith("kvfs-debug/") and member.mode == 0o600, member
                files[member.name[len("kvfs-debug/"):]] = tar.extractfile(member).read().decode()
        return files

    def sums(self):
        sums = {}
        for name in sorted(os.listdir(self.store)):
            if name != "LOCK":
                with open(os.path.join(self.store, name), "rb") as file:
                    sums[name] = hashlib.sha256(file.read()).hexdigest()
        return sums

    # ---- a store that is not in use ----

    def of_an_idle_store(self):
        self.run("mkfs", "-q", "-L", "a label", self.store)
        rows = "".join(f" topsecret/{i}\n {'topsecret' * 100}\n" for i in range(100))
        self.run("load", self.store, input=f"VERSION=3\nformat=print\ntype=btree\nHEADER=END\n{rows}DATA=END\n".encode())
        self.run("compact", self.store)
        before = self.sums()
        files = self.files_of(self.run("debug", self.store))
        assert set(files) == ALWAYS | REPORTS, sorted(files)
        assert self.sums() == before
        assert files["version.txt"].startswith("kvfs ") and "buildtype=" in files["version.txt"]
        assert os.uname().release in files["uname.txt"]
        status = json.loads(files["status.json"])
        assert status["state"] == "idle" and status["label"] == "a label", status
        assert json.loads(files["health.json"])["health"] in ("ok", "degraded")  # the device may be nearly full
        assert json.loads(files["stats.json"])["counters"]["sequence"] > 0
        listed = {line.split()[-1]: int(line.split()[2]) for line in files["store.txt"].split("\n")[2:] if line}
        assert listed == {name: os.path.getsize(os.path.join(self.store, name)) for name in os.listdir(self.store)}, listed

    def output_is_private(self):
        self.bundle(self.store)
        assert os.stat(self.path("bundle.tar")).st_mode & 0o777 == 0o600

    def with_fsck(self):
        files = self.bundle("--fsck", self.store)
        assert set(files) == ALWAYS | REPORTS | {"fsck.json"}, sorted(files)
        assert json.loads(files["fsck.json"])["exit_code"] == 0

    def keys_of_damage_stay_out(self):
        """fsck tells between which keys a damaged block lies."""
        copy = self.path("damaged")
        self.run("checkpoint", self.store, copy)
        for name in os.listdir(copy):
            if name.endswith(".table"):
                # Shared with the store by a hard link: the copy gets a file of its own.
                path = os.path.join(copy, name)
                with open(path, "rb") as file:
                    data = bytearray(file.read())
                data[20] ^= 1
                os.remove(path)
                with open(path, "wb") as file:
                    file.write(data)
        assert b"topsecret" in subprocess.run([self.program, "fsck", "-n", "--json", copy], stdout=subprocess.PIPE, check=False).stdout
        files = self.bundle("--fsck", copy)
        problems = json.loads(files["fsck.json"])["problems"]
        assert problems and all("from" not in problem and problem["code"] for problem in problems), problems

    def of_a_store_that_does_not_open(self):
        broken = self.path("broken")
        self.run("mkfs", "-q", broken)
        with open(os.path.join(broken, "ROOT"), "r+b") as file:
            for at in (40, 4136):
                file.seek(at)
                file.write(b"\xff")
        files = self.bundle(broken)
        assert set(files) == ALWAYS | {"missing.txt"}, sorted(files)
        assert "it is damaged" in files["missing.txt"] and "ROOT" in files["store.txt"]

    # ---- a store in use ----

    def of_a_daemon(self):
        """The log may be shared with other programs, and grow; its messages may name rows."""
        self.run("serve", "-o", f"log={self.log}", self.store)
        with open(self.log, "a", encoding="utf-8") as log:
            log.write("2026-01-01T00:00:00Z other[1] info: nobody's business\n")
            for i in range(8000):
                log.write(f"2026-01-01T00:00:00Z kvfs[1] error: damaged row 'e 1 topsecret{i}': bad {i} of eight thousand.\n")
        files = self.bundle(self.store)
        assert set(files) == ALWAYS | REPORTS | PROCESS | {"log.txt"}, sorted(files)
        status = json.loads(files["status.json"])
        assert (status["state"], status["log"]) == ("serving", self.log), status
        assert f"Pid:\t{status['pid']}\n" in files["process/status"] and "Max open files" in files["process/limits"]
        assert files["process/cmdline"].split("\n")[1] == "serve"
        log = files["log.txt"]
        assert LOG_TAIL // 2 < len(log) <= LOG_TAIL, len(log)
        assert log.endswith("damaged row '(left out)': bad 7999 of eight thousand.\n"), log[-200:]

    def log_of_others_stays_out(self):
        with open(self.log, "w", encoding="utf-8") as log:
            log.write("2026-01-01T00:00:00Z other[1] info: nobody's business\n2026-01-01T00:00:00Z kvfs[1] info: ours\n")
        assert self.bundle(self.store)["log.txt"] == "2026-01-01T00:00:00Z kvfs[1] info: ours\n"

    def no_fsck_of_a_store_in_use(self):
        files = self.bundle("--fsck", self.store, status=5)
        assert "fsck.json" not in files and "fsck.json: the store is in use" in files["missing.txt"]
        assert REPORTS <= set(files), sorted(files)
        self.run("umount", self.store)

    def of_a_mount(self):
        self.run("mount", "-o", "noatime", self.store, self.mountpoint)
        files = self.bundle(self.mountpoint)
        self.run("umount", self.mountpoint)
        assert set(files) == ALWAYS | REPORTS | PROCESS | {"missing.txt"}, sorted(files)
        row = [line for line in files["mounts.txt"].split("\n") if " fuse.kvfs " in line]
        assert len(row) == 1 and "noatime" in row[0] and self.mountpoint.replace(" ", "\\040") in row[0], files["mounts.txt"]
        assert "log.txt: it goes to syslog" in files["missing.txt"]

    def command_of_exec_stays_out(self):
        output = self.path("exec.tar")
        self.run("exec", self.store, "--", "sh", "-c", '"$1" debug -o "$2" "$KVFS_MOUNTPOINT" # topsecret', "sh", self.program, output)
        with open(output, "rb") as file:
            files = self.files_of(file.read())
        assert "process/cmdline" not in files and "process/cmdline: kvfs exec" in files["missing.txt"], files["missing.txt"]

    # ---- failures ----

    def says_why_not(self):
        assert "it is not a store" in self.run("debug", self.work, status=1)
        assert "it is not a store" in self.run("debug", self.path("none"), status=1)
        assert "cannot write the bundle" in self.run("debug", "-o", self.path("none/x"), self.store, status=1)
        with open("/dev/full", "wb") as full:
            assert "No space left" in self.run("debug", self.store, status=6, stdout=full)
        controller, terminal = pty.openpty()
        assert "not writing an archive to a terminal" in self.run("debug", self.store, status=2, stdout=terminal)
        os.close(terminal)
        os.close(controller)


def main():
    os.environ.pop("KVFS_STORE", None)
    report = Report()
    with tempfile.TemporaryDirectory() as work:
        test = Debug(sys.argv[1], work)
        for text, check, needs_mount in (
                ("of an idle store it has reports and the list of files, and changes nothing", test.of_an_idle_store, False),
                ("the archive is for its owner only", test.output_is_private, False),
                ("with --fsck the result of that", test.with_fsck, False),
                ("keys that damage costs stay out of it", test.keys_of_damage_stay_out, False),
                ("of a store that does not open there is what can be had", test.of_a_store_that_does_not_open, False),
                ("of a daemon there are its process and the end of its log", test.of_a_daemon, False),
                ("lines of other programs in the log stay out of it", test.log_of_others_stays_out, False),
                ("a store in use is not checked, and the rest is written", test.no_fsck_of_a_store_in_use, False),
                ("of a mount there are its options", test.of_a_mount, True),
                ("the command of exec stays out of it", test.command_of_exec_stays_out, True),
                ("it says why it cannot", test.says_why_not, False)):
            if needs_mount:
                report.mounted_point(text, check)
            else:
                report.point(text, attempt(check))
        subprocess.run([sys.argv[1], "umount", test.store], stderr=subprocess.DEVNULL, check=False)
    print(f"1..{report.points}")
    sys.exit(report.failed > 0)


if __name__ == "__main__":
    main()
