#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What strangers and hostile stores must not be able to do to those who use the commands.

usage: test_security.py KVFS [STORES]

docs/testing.md, "Security", says which line of the list these points stand for, and where the others are.
"""

import os
import random
import resource
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from control import HELLO, wait_until_served  # noqa: E402
from kvfs_mount import Report, attempt  # noqa: E402
from writers import die_with_parent  # noqa: E402

PATIENCE_S = 60
STORES, STORES_SLOW = 40, 1000
NOBODY = 65534
SECRET = b"what nobody but its owner may read; "
# A store of some 200 KiB: a hundredth of a second, and far less memory, is what a sound one takes.
TIME_MAX_S, MEMORY_MAX = 10, 256 << 20


class Security:
    def __init__(self, program, work, seed):
        self.program = program
        self.work = work
        self.rng = random.Random(seed)
        self.sound = self.path("sound")
        self.store = self.path("store")
        self.outside = self.path("outside")
        os.mkdir(self.outside)

    def path(self, name):
        return os.path.join(self.work, name)

    def run(self, *words, data=b"", statuses=(0,)):
        done = subprocess.run([self.program, *words], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                              timeout=PATIENCE_S)
        assert done.returncode in statuses, f"{words}: status {done.returncode}: {done.stderr[-1000:]}"
        return done

    def prepare(self):
        """Tables, a large value, and rows that only the log has: the last server is killed."""
        self.run("mkfs", "-q", self.sound)
        lines = "".join(f"put dir{i % 7}/key{i} {'v' * (i % 300 + 1)}\n" for i in range(400))
        self.run("batch", self.sound, data=lines.encode())
        self.run("put", self.sound, "large", data=SECRET * 3000)
        self.run("compact", self.sound)
        server = self.serve(self.sound)
        self.run("put", self.sound, "late", "x")
        server.kill()
        server.wait()

    def serve(self, store):
        server = subprocess.Popen([self.program, "serve", "-f", store], stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)
        wait_until_served(store, server)
        return server

    def take_copy(self):
        shutil.rmtree(self.store, ignore_errors=True)
        shutil.copytree(self.sound, self.store, ignore=shutil.ignore_patterns("control"))

    # ---- links ----

    def every_command(self):
        """Whatever these say of such a store."""
        any_status = range(128)
        for words in (("fsck", "-n"), ("get", self.store, "large"), ("put", self.store, "new", "x"), ("compact",), ("verify",),
                      ("checkpoint", self.store, self.path("copy")), ("recover", "-o", self.path("saved"), self.store), ("dump",),
                      ("fsck", "-y"), ("mkfs", "-q", "--force")):
            yield words
            self.run(*words, *([] if self.store in words else [self.store]), statuses=any_status)
        for name in ("copy", "saved"):
            shutil.rmtree(self.path(name), ignore_errors=True)

    def links_to_files(self):
        """In the place of each file of the store a link to one outside, with the same bytes."""
        for name in sorted(set(os.listdir(self.sound)) - {"control"}):
            self.take_copy()
            victim = self.path("outside/victim")
            shutil.copyfile(os.path.join(self.store, name), victim)
            with open(victim, "rb") as file:
                before = file.read()
            os.remove(os.path.join(self.store, name))
            os.symlink(victim, os.path.join(self.store, name))
            for words in self.every_command():
                with open(victim, "rb") as file:
                    assert file.read() == before, f"{name}: changed before {words}"
                assert stat.S_ISREG(os.lstat(victim).st_mode) and os.listdir(self.outside) == ["victim"], (name, words)
            with open(victim, "rb") as file:
                assert file.read() == before, f"{name}: changed"
            os.remove(victim)

    def links_to_nothing(self):
        """Where a command would make a file or a directory of its own."""
        for name in ("ROOT.tmp", "lost+found.d", "control", "RESERVE", "00000099.table.tmp", "00000099.log", "00000099.manifest"):
            self.take_copy()
            table = max((f for f in os.listdir(self.store) if f.endswith(".table")), key=lambda f: os.path.getsize(os.path.join(self.store, f)))
            with open(os.path.join(self.store, table), "r+b") as file:
                file.seek(100)
                file.write(b"damage")
            if not os.path.lexists(os.path.join(self.store, name)):
                os.symlink(self.path("outside/none"), os.path.join(self.store, name))
            for words in self.every_command():
                assert not os.listdir(self.outside), f"{name}: made before {words}"
            assert not os.listdir(self.outside), f"{name}: made"

    def archive_elsewhere(self):
        """A directory of archives that is a link to somebody's directory."""
        self.take_copy()
        os.symlink(self.outside, os.path.join(self.store, "lost+found.d"))
        with open(os.path.join(self.store, "ROOT"), "r+b") as file:
            file.truncate(8000)  # which is repaired, with an archive
        for words in self.every_command():
            assert not os.listdir(self.outside), f"made before {words}"
        assert not os.listdir(self.outside)

    # ---- strangers ----

    def hello(self):
        """Whether the daemon answers at the socket, by its path: who gave up being root may not look into /proc/self/fd."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(PATIENCE_S)
            client.connect(os.path.join(self.store, "control"))
            try:
                client.sendall(HELLO)
                return len(client.recv(len(HELLO))) > 0
            except ConnectionError:
                return False

    def stranger_at_the_socket(self):
        """Let in by the modes of directory and socket, and refused all the same."""
        self.take_copy()
        server = self.serve(self.store)
        try:
            os.chmod(self.work, 0o711)
            os.chmod(self.store, 0o711)
            os.chmod(os.path.join(self.store, "control"), 0o666)
            assert self.hello()
            child = os.fork()
            if child == 0:
                os.setgid(NOBODY)
                os.setuid(NOBODY)
                try:
                    os._exit(3 if self.hello() else 0)
                except OSError:
                    os._exit(4)
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == 0, status
        finally:
            server.terminate()
            server.wait()

    def one_of_many(self):
        for _ in range(5):
            self.take_copy()
            servers = [subprocess.Popen([self.program, "serve", self.store], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
                       for _ in range(12)]
            said = [server.communicate(timeout=PATIENCE_S)[1] for server in servers]
            statuses = [server.returncode for server in servers]
            assert statuses.count(0) == 1 and min(statuses) >= 0, (statuses, said)
            self.run("put", self.store, "key", "value")
            self.run("umount", self.store)
            self.run("fsck", "-n", self.store)

    # ---- hostile stores ----

    def measured(self, *words):
        """Ends by itself, in time and within its memory."""
        begun = time.monotonic()
        command = subprocess.Popen([self.program, *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (60, 60)))
        _, status, usage = os.wait4(command.pid, 0)
        command.returncode = os.waitstatus_to_exitcode(status)
        assert command.returncode >= 0, f"{words}: signal {-command.returncode}"
        assert usage.ru_utime + usage.ru_stime <= TIME_MAX_S, f"{words}: {usage.ru_utime} s, {time.monotonic() - begun} s in all"
        assert usage.ru_maxrss * 1024 <= MEMORY_MAX, f"{words}: {usage.ru_maxrss} KiB"

    def damage(self):
        names = sorted(set(os.listdir(self.store)) - {"LOCK"})
        for _ in range(self.rng.choice([1, 3, 10])):
            path = os.path.join(self.store, self.rng.choice(names))
            size = os.path.getsize(path)
            with open(path, "r+b") as file:
                file.seek(self.rng.randrange(size + 1))
                what = self.rng.randrange(4)
                if what == 0:
                    file.write(self.rng.randbytes(self.rng.choice([1, 8, 4096])))
                elif what == 1:
                    file.write(b"\xff" * self.rng.choice([4, 8, 64]))
                elif what == 2:
                    file.truncate(self.rng.randrange(size + 1))
                else:
                    file.truncate(size + self.rng.choice([1, 1 << 20, 1 << 24]))  # a hole, which takes no room

    def hostile_stores(self, stores):
        for _ in range(stores):
            self.take_copy()
            self.damage()
            for words in (("fsck", "-n", "--deep"), ("get", self.store, "large"), ("scan", "--keys-only"), ("fsck", "-y"), ("scan", "--keys-only")):
                self.measured(*words, *([] if self.store in words else [self.store]))

    # ---- privacy ----

    def log_has_no_contents(self):
        """Not even where the daemon tells of the value that it could not read."""
        log = self.path("log")
        self.take_copy()
        for name in os.listdir(self.store):
            path = os.path.join(self.store, name)
            with open(path, "r+b") as file:
                at = file.read().find(SECRET)
                if at >= 0:
                    file.seek(at)
                    file.write(b"W")
        self.run("serve", "-o", f"log={log}", self.store)
        self.run("get", self.store, "large", statuses=(1, 4))
        self.run("umount", self.store)
        with open(log, "rb") as file:
            told = file.read()
        assert b"damaged" in told and b"nobody but its owner" not in told, told


def main():
    report = Report()
    stores = int(sys.argv[2]) if len(sys.argv) > 2 else STORES_SLOW if os.environ.get("KV_SLOW") else STORES
    seed = int(os.environ.get("KV_SEED") or random.SystemRandom().getrandbits(48))
    os.environ.pop("KVFS_STORE", None)
    with tempfile.TemporaryDirectory() as work:
        test = Security(sys.argv[1], work, seed)
        report.point("a store is made", attempt(test.prepare))
        report.point("no command follows a link from a file of the store to the outside", attempt(test.links_to_files))
        report.point("nor makes a file through one", attempt(test.links_to_nothing))
        report.point("nor keeps an archive behind one", attempt(test.archive_elsewhere))
        if os.geteuid() == 0:
            report.point("a stranger who reaches the control socket is refused", attempt(test.stranger_at_the_socket))
        else:
            report.point("a stranger who reaches the control socket is refused # SKIP takes root", [])
        report.point("of many daemons that start at once one has the store", attempt(test.one_of_many))
        print(f"# replay with KV_SEED={seed}")
        report.point("hostile stores end no command by a signal, late, or in much memory", attempt(lambda: test.hostile_stores(stores)))
        report.point("the log has nothing of a file's contents", attempt(test.log_has_no_contents))
    print(f"1..{report.points}")
    sys.exit(report.failed > 0)


if __name__ == "__main__":
    main()
