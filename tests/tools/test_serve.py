#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`kvfs serve`: a store by key through its control socket, without a mount.

usage: test_serve.py KVFS
"""

import errno
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from control import CHECKPOINT, DONE, GET, HELLO, KEY_FIELD, Control, field, wait_until_served  # noqa: E402
from kvfs_mount import Report, attempt  # noqa: E402
from writers import die_with_parent  # noqa: E402

PATIENCE_S = 60
MOST_COPIES = 8  # at a time, likewise
MOST_CLIENTS = 16  # at a time, see tools/control_server.c


class Serve:
    def __init__(self, program, work):
        self.program = program
        self.work = work
        self.store = self.path("store")
        os.mkdir(self.path("mnt"))

    def path(self, name):
        return os.path.join(self.work, name)

    def run(self, *words, status=0, **more):
        """What the command writes to stdout, or of a failure what it says."""
        done = subprocess.run([self.program, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              check=False, timeout=PATIENCE_S, **more)
        assert done.returncode == status, f"{words}: status {done.returncode}, wanted {status}: {done.stderr}"
        return done.stderr if status else done.stdout

    def status(self, store=None):
        return json.loads(self.run("status", "--json", store or self.store))

    def foreground(self, *words, **more):
        """A server in the foreground, once it serves. It ends with the test at the latest."""
        server = subprocess.Popen([self.program, "serve", "-f", *words, self.store], stderr=subprocess.PIPE, text=True,
                                  preexec_fn=die_with_parent, **more)
        wait_until_served(self.store, server)
        return server

    # ---- while it serves ----

    def returns_when_it_serves(self):
        self.run("mkfs", "-q", self.store)
        assert self.run("serve", self.store) == ""
        status = self.status()
        assert (status["state"], status["mountpoint"], status["transport"]) == ("serving", None, None), status
        os.kill(status["pid"], 0)
        with open(f"/proc/{status['pid']}/cmdline", "rb") as file:
            assert b"\0serve\0" in file.read()
        assert re.search(rf"^process +{status['pid']}$", self.run("status", self.store), re.MULTILINE)

    def socket_is_private(self):
        mode = os.stat(os.path.join(self.store, "control")).st_mode
        assert mode == 0o140600, oct(mode)

    def keys_go_through_it(self):
        """Nobody else can have the store open, so that whatever works is carried out by the server."""
        store, value = self.store, "x" * 3000000
        self.run("put", store, "users/42", "Ada")
        self.run("put", store, "big", input=value)
        assert self.run("get", store, "users/42") == "Ada" and self.run("get", store, "big") == value
        assert self.run("scan", store, "--prefix", "users/") == "users/42\tAda\n"
        self.run("exists", store, "users/42")
        self.run("del", "--prune", store, "users/42")
        self.run("exists", store, "users/42", status=3)
        self.run("get", store, "users/42", status=3)
        dump = self.run("dump", store)
        self.run("load", store, input=dump.replace("big", "copy"))
        assert self.run("scan", "--keys-only", store) == "big\ncopy\n"

    def upkeep_goes_through_it(self):
        stats = json.loads(self.run("stats", "--json", self.store))
        assert stats["counters"]["writes"] > 0 and stats["requests"] == {} and stats["mountpoint"] is None, stats
        for command in ("sync", "compact"):
            assert self.run(command, self.store) == ""
        assert json.loads(self.run("stats", "--json", self.store))["counters"]["compactions"] > 0
        self.run("checkpoint", self.store, self.path("copy"))
        assert self.run("get", self.path("copy"), "copy") == self.run("get", self.store, "big")
        self.run("snapshot", "create", self.store, "monday")
        assert "monday" in self.run("snapshot", "list", self.store)
        # A device that is slow or nearly full is told as it should be.
        health = subprocess.run([self.program, "health", "--json", self.store], stdout=subprocess.PIPE, check=False)
        assert health.returncode == (json.loads(health.stdout)["health"] != "ok"), health
        assert "is sound" in self.run("verify", self.store)

    def many_at_a_time(self):
        """More than the server has threads for: those over the top wait until others have gone."""
        idle = [Control(self.store) for _ in range(MOST_CLIENTS)]
        writers = [subprocess.Popen([self.program, "put", self.store, f"many/{i}", str(i)], stderr=subprocess.PIPE)
                   for i in range(60)]
        time.sleep(0.1)  # so that most of them have asked; the outcome does not depend on it
        for connection in idle:
            connection.socket.close()
        said = [writer.communicate(timeout=PATIENCE_S)[1] for writer in writers]
        assert all(writer.returncode == 0 for writer in writers), said
        assert len(self.run("scan", "--keys-only", "--prefix", "many/", self.store).split()) == 60

    def others_are_refused(self):
        pid = self.status()["pid"]
        named = [("serve", self.store), ("mkfs", "--force", self.store)]
        named += [(command, self.store) for command in ("ls", "export")] + [("info", self.store, "big")]
        for words in named:
            said = self.run(*words, status=5)
            assert f"process {pid}, which serves it" in said, said
        assert f"process {pid}, which serves it" in self.run("fsck", self.store, status=8)

    def a_mount_is_refused(self):
        said = self.run("mount", self.store, self.path("mnt"), status=32)
        assert f"process {self.status()['pid']}, which serves it. End that with 'kvfs umount {self.store}'" in said, said
        assert not os.path.ismount(self.path("mnt"))

    # ---- the end ----

    def umount_ends_it(self):
        """When umount returns the process is gone and the store closed."""
        self.run("put", self.store, "last", "value")
        pid = self.status()["pid"]
        assert self.run("umount", self.store) == ""
        # Where nobody collects orphans a zombie stays, which has no descriptors.
        assert not os.path.exists(f"/proc/{pid}/fd/0")
        assert self.status()["state"] == "idle" and not os.path.exists(os.path.join(self.store, "control"))
        assert self.run("get", self.store, "last") == "value"

    def nothing_to_end(self):
        for path in (self.store, self.work, self.path("none")):
            said = self.run("umount", path, status=1)
            assert "not the mount point of a kvfs store, nor a store that 'kvfs serve' serves" in said, said

    def signals_end_it(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            server = self.foreground()
            self.run("put", self.store, "signal", number.name)
            server.send_signal(number)
            said = server.communicate(timeout=PATIENCE_S)[1]
            assert server.returncode == 0 and f"signal {int(number)} from process" in said, (server.returncode, said)
            assert self.status()["state"] == "idle" and self.run("get", self.store, "signal") == number.name

    def killed(self):
        """What was synced is there, and the socket that the killed one left is in nobody's way."""
        server = self.foreground()
        self.run("put", self.store, "synced", "yes")
        self.run("sync", self.store)
        server.kill()
        server.communicate()
        assert os.path.exists(os.path.join(self.store, "control"))
        assert self.status()["state"] == "needs recovery"
        self.run("umount", self.store, status=1)
        self.run("serve", self.store)
        assert self.run("get", self.store, "synced") == "yes"
        self.run("umount", self.store)

    def waits_for_no_client_that_does_not_read(self):
        subprocess.run([self.program, "put", self.store, "large"], input=os.urandom(8 << 20), check=True)
        server = self.foreground()
        client = Control(self.store)
        body = bytes([GET]) + field(KEY_FIELD, b"large")
        client.socket.sendall(struct.pack("<I", len(body)) + body)
        client.receive(4)  # it is being answered
        began = time.monotonic()
        server.terminate()
        server.communicate(timeout=2 * PATIENCE_S)
        assert time.monotonic() - began < PATIENCE_S / 2 and server.returncode == 0
        client.socket.close()

    def copies_leave_room_for_others(self):
        """Also those of commands that were stopped."""
        server = self.foreground()
        copies = []
        for _ in range(MOST_COPIES):
            copies.append(Control(self.store))
            copies[-1].socket.sendall(struct.pack("<IB", 1, CHECKPOINT))
            copies[-1].receive(4)  # what to do first
        assert "too many copies of the store are being made" in self.run(
            "checkpoint", self.store, self.path("last-copy"), status=5)
        assert self.status()["pid"] == server.pid
        copies.pop().socket.close()
        until = time.monotonic() + PATIENCE_S
        while subprocess.run([self.program, "checkpoint", self.store, self.path("last-copy")], check=False).returncode:
            assert time.monotonic() < until
            time.sleep(0.1)
        assert self.run("get", self.path("last-copy"), "last") == "value"
        server.terminate()
        server.communicate(timeout=PATIENCE_S)
        assert server.returncode == 0

    def other_versions_are_named(self):
        server = self.foreground()
        try:
            Control(self.store).ask(CHECKPOINT, field(KEY_FIELD, b"/tmp/of-an-older-command"))
            raise AssertionError("it was taken")
        except OSError as error:
            assert error.errno == errno.EOPNOTSUPP and "older version than this daemon" in error.strerror, error
        server.terminate()
        server.communicate(timeout=PATIENCE_S)
        old = self.path("old")
        os.mkdir(old)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(os.path.join(old, "control"))
            listener.listen()
            command = subprocess.Popen([self.program, "checkpoint", old, self.path("of-old")], stderr=subprocess.PIPE, text=True)
            connection = listener.accept()[0]
            connection.sendall(connection.recv(len(HELLO)))
            connection.recv(4096)
            connection.sendall(struct.pack("<IBI", 5, DONE, errno.EINVAL))
            said = command.communicate(timeout=PATIENCE_S)[1]
            connection.close()
        assert command.returncode == 1 and "of an older version than this command. Unmount the store and mount it again" in said, said
        assert not os.path.exists(self.path("of-old")) and not os.path.exists(self.path("of-old.tmp"))

    # ---- starting ----

    def tells_the_manager(self):
        address = self.path("notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
            receiver.bind(address)
            receiver.settimeout(PATIENCE_S)
            server = self.foreground(env={**os.environ, "NOTIFY_SOCKET": address})
            assert receiver.recv(4096) == b"READY=1\nSTATUS=Serving."
            self.run("exists", self.store, "last")
            self.run("umount", self.store)
            assert server.wait(PATIENCE_S) == 0
            server.communicate()
            assert receiver.recv(4096).startswith(b"STOPPING=1\n")

    def takes_its_options(self):
        log = self.path("log")
        self.run("serve", "--create", "-o", f"memory=32M,sync_interval=100,log={log}", self.path("made"))
        self.run("put", self.path("made"), "k", "v")
        self.run("umount", "--timeout=60", self.path("made"))
        with open(log, encoding="utf-8") as file:
            assert "ending to serve" in file.read()
        self.run("serve", "-o", "warm", self.path("made"))
        until = time.monotonic() + PATIENCE_S
        counters = {"warm_running": 1}
        while counters["warm_running"] and time.monotonic() < until:
            counters = json.loads(self.run("stats", "--json", self.path("made")))["counters"]
        self.run("umount", "--timeout=60", self.path("made"))
        assert counters["warm_running"] == 0 and counters["warm_files_read"] == counters["warm_files"] > 0, counters

    def says_why_not(self):
        assert "no such directory. Make a store" in self.run("serve", self.path("none"), status=1)
        assert "no such directory. Make a store" in self.run("serve", "-f", self.path("none"), status=1)
        for option in ("ro", "uring=auto", "noatime"):
            assert "is one of mounts" in self.run("serve", "-o", option, self.store, status=2)
        assert "unknown mount option" in self.run("serve", "-o", "frobnicate", self.store, status=2)
        assert "usage: kvfs serve STORE" in self.run("serve", self.store, "more", status=2)
        damaged = self.path("damaged")
        self.run("mkfs", "-q", damaged)
        with open(os.path.join(damaged, "ROOT"), "r+b") as file:
            for at in (40, 4136):
                file.seek(at)
                file.write(b"\xff")
        assert "damaged" in self.run("serve", damaged, status=4)
        assert self.status()["state"] == "idle"


def main():
    os.environ.pop("KVFS_STORE", None)
    report = Report()
    with tempfile.TemporaryDirectory() as work:
        test = Serve(sys.argv[1], work)
        report.point("it returns when the store is served, and status says so", attempt(test.returns_when_it_serves))
        report.point("its socket is for its owner only", attempt(test.socket_is_private))
        report.point("keys go through it", attempt(test.keys_go_through_it))
        report.point("statistics, copies, snapshots and checks go through it", attempt(test.upkeep_goes_through_it))
        report.point("sixty clients at a time are served", attempt(test.many_at_a_time))
        report.point("what needs the store for itself is refused with the name of its process", attempt(test.others_are_refused))
        report.mounted_point("so is a mount", test.a_mount_is_refused)
        report.point("umount of the store ends it and waits for that", attempt(test.umount_ends_it))
        report.point("umount of what nobody serves fails", attempt(test.nothing_to_end))
        report.point("signals end it cleanly", attempt(test.signals_end_it))
        report.point("nobody is waited for who does not read", attempt(test.waits_for_no_client_that_does_not_read))
        report.point("copies of stopped commands leave room", attempt(test.copies_leave_room_for_others))
        report.point("a command or daemon of an older version is named as that", attempt(test.other_versions_are_named))
        report.point("after a kill the next one goes on with what was synced", attempt(test.killed))
        report.point("in the foreground it tells the service manager", attempt(test.tells_the_manager))
        report.point("it takes the options that need no mount", attempt(test.takes_its_options))
        report.point("it says why it does not serve", attempt(test.says_why_not))
        subprocess.run([sys.argv[1], "umount", test.store], stderr=subprocess.DEVNULL, check=False)
    print(f"1..{report.points}")
    sys.exit(report.failed > 0)


if __name__ == "__main__":
    main()
