#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The daemon's log tells when the health of a store changes: two daemons, one behind a mount and one
without, on a device that becomes full and empties again. In a mount namespace of its own.

usage: test_health_events.py KVFS
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from kvfs_mount import Report, attempt  # noqa: E402

PATIENCE_S = 60
DEVICE_SIZE = 128 << 20
FREE_SIZE = DEVICE_SIZE * 3 // 100  # that is left when it is full
LINE = re.compile(r" (\w+): (health: .*)$", re.MULTILINE)


class Events:
    def __init__(self, program, work):
        self.program = program
        self.device = os.path.join(work, "device")
        self.mountpoint = os.path.join(work, "mnt")
        self.ballast = os.path.join(self.device, "ballast")
        self.logs = {}
        self.stores = {}

    def run(self, *words):
        subprocess.run([self.program, *words], check=True, timeout=PATIENCE_S)

    def prepare(self):
        os.mkdir(self.device)
        os.mkdir(self.mountpoint)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DEVICE_SIZE}", "kvfs-test", self.device], check=True)

    def begin(self, kind):
        """The log is elsewhere: it goes on when the device is full."""
        self.stores[kind] = os.path.join(self.device, kind)
        self.logs[kind] = os.path.join(os.path.dirname(self.device), f"{kind}.log")
        options = ["-o", f"memory=16M,log={self.logs[kind]}", "--create", self.stores[kind]]
        self.run(kind, *options, *([self.mountpoint] if kind == "mount" else []))

    def events(self, kind):
        with open(self.logs[kind], encoding="utf-8") as log:
            return LINE.findall(log.read())

    def expect(self, fits):
        """The last line of each log is soon such as is wanted."""
        deadline = time.monotonic() + PATIENCE_S
        while not all(events and fits(*events[-1]) for events in map(self.events, self.logs)):
            assert self.logs and time.monotonic() < deadline, {kind: self.events(kind) for kind in self.logs}
            time.sleep(0.05)

    def well(self):
        for kind in self.logs:
            assert self.events(kind) == [], self.events(kind)

    def becomes_full(self):
        space = os.statvfs(self.device)
        with open(self.ballast, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, space.f_bfree * space.f_frsize - FREE_SIZE)
        wanted = re.compile(r"health: degraded: .*[\d.]+ % of the device are free, less than 5")
        self.expect(lambda level, text: level == "warning" and wanted.match(text))

    def is_well_again(self):
        os.remove(self.ballast)
        self.expect(lambda level, text: (level, text) == ("info", "health: ok again"))

    def end(self):
        if "mount" in self.stores:
            self.run("umount", self.mountpoint)
        self.run("umount", self.stores["serve"])


def enter_namespace():
    """This program again, where its mounts are seen by nobody else; if that can be."""
    program = shutil.which("unshare")
    probe = [program, "-m", "sh", "-c", "mount -t tmpfs none /mnt"]
    if program is None or subprocess.run(probe, stderr=subprocess.DEVNULL, check=False).returncode != 0:
        print("1..0 # SKIP a mount namespace with a small device takes root")
        sys.exit(0)
    os.environ["KVFS_TEST_NAMESPACE"] = "own"
    os.execv(program, [program, "-m", sys.executable, *sys.argv])


def main():
    if "KVFS_TEST_NAMESPACE" not in os.environ:
        enter_namespace()
    os.environ.pop("KVFS_STORE", None)
    report = Report()
    with tempfile.TemporaryDirectory() as work:
        test = Events(os.path.realpath(sys.argv[1]), work)
        report.point("there is a small device", attempt(test.prepare))
        report.point("a store on it is served", attempt(lambda: test.begin("serve")))
        report.mounted_point("another is mounted", lambda: test.begin("mount"))
        report.point("while all is well nothing is told", attempt(test.well))
        report.point("when the device is nearly full each log says so", attempt(test.becomes_full))
        report.point("and when it is no more", attempt(test.is_well_again))
        report.point("both daemons end", attempt(test.end))
        subprocess.run(["umount", "-l", test.device], stderr=subprocess.DEVNULL, check=False)
    print(f"1..{report.points}")
    sys.exit(report.failed > 0)


if __name__ == "__main__":
    main()
