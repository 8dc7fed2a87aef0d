#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Damage that a daemon meets is remembered although it is killed; the next one says so, checks what was damaged, and forgets it when
it is sound again.

usage: test_suspects.py KVFS
"""

import glob
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from control import wait_until_served  # noqa: E402
from kvfs_mount import Report, attempt  # noqa: E402
from writers import die_with_parent  # noqa: E402

PATIENCE_S = 60
MARK = bytes([20, 1, 1, 22])  # of the root record: damage was seen, in these files
SAID = re.compile(r"damage was met in (\d{8}\.blob) when .* was open before; these files are being checked\. .*'kvfs fsck ")


class Suspects:
    def __init__(self, program, work):
        self.program = program
        self.store = os.path.join(work, "store")
        self.log = os.path.join(work, "log")
        self.mountpoint = os.path.join(work, "mnt")
        self.value = random.Random(5).randbytes(200000).hex()

    def run(self, *words, status=0, data=None):
        """Both outputs."""
        done = subprocess.run([self.program, *words], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              check=False, timeout=PATIENCE_S)
        assert done.returncode == status, f"{words}: status {done.returncode}, wanted {status}: {done.stdout[-500:]} {done.stderr}"
        return done.stdout, done.stderr

    def suspects(self):
        return json.loads(self.run("status", "--json", self.store)[0])["suspects"]

    def flip(self):
        """A byte of the large value where it lies, in its middle; a second time puts it right."""
        with open(glob.glob(self.store + "/*.blob")[0], "r+b") as blob:
            blob.seek(os.path.getsize(blob.name) // 2)
            byte = blob.read(1)[0]
            blob.seek(-1, os.SEEK_CUR)
            blob.write(bytes([byte ^ 16]))

    def wait_for(self, what, is_so):
        deadline = time.monotonic() + PATIENCE_S
        while not is_so():
            assert time.monotonic() < deadline, what
            time.sleep(0.05)

    def is_written_down(self):
        with open(self.store + "/ROOT", "rb") as root:
            return MARK in root.read()

    def logged(self):
        with open(self.log, encoding="utf-8") as log:
            return log.read()

    def serve(self):
        """In the background. Returns what it says to who starts it."""
        if os.path.exists(self.log):
            os.remove(self.log)
        return self.run("serve", "-o", f"log={self.log}", self.store)[1]

    # ---- points ----

    def is_remembered_after_a_kill(self):
        self.run("mkfs", "-q", self.store)
        self.run("put", self.store, "big", data=self.value)
        self.run("put", self.store, "small", "s")
        self.flip()
        server = subprocess.Popen([self.program, "serve", "-f", self.store], stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)
        wait_until_served(self.store, server)
        assert self.suspects() is None and not self.is_written_down()
        self.run("get", self.store, "big", status=4)
        assert self.suspects().endswith(".blob")
        self.wait_for("it is not written down", self.is_written_down)
        server.kill()
        server.wait()
        assert re.search(r"^suspects +\d{8}\.blob$", self.run("status", self.store)[0], re.MULTILINE)
        health = json.loads(self.run("health", "--json", self.store, status=1)[0])
        assert "suspects" in [reason["kind"] for reason in health["reasons"]], health

    def the_next_says_so_and_checks(self):
        said = self.serve()
        assert SAID.search(said) and len(said.splitlines()) == 1, said
        name = SAID.search(said)[1]
        self.wait_for("nothing came of the check", lambda: f"{name} is damaged still, in 1 place(s)" in self.logged())
        assert len(SAID.findall(self.logged())) == 1
        assert self.run("get", self.store, "small")[0].strip() == "s"
        assert self.suspects() == name
        assert "\nkvfs_check_needed{" in self.run("stats", "--prometheus", self.store)[0]
        self.run("umount", self.store)

    def so_do_exec_and_mount(self):
        os.mkdir(self.mountpoint)
        assert SAID.search(self.run("exec", self.store, "--", "true")[1])
        assert SAID.search(self.run("mount", self.store, self.mountpoint)[1])
        self.run("umount", self.mountpoint)
        assert SAID.search(self.run("mount", "-o", "ro", self.store, self.mountpoint)[1])
        self.run("umount", self.mountpoint)

    def what_is_sound_is_forgotten(self):
        self.flip()
        assert SAID.search(self.serve())
        self.wait_for("it is not found sound", lambda: "found it sound" in self.logged())
        self.wait_for("it is suspected still", lambda: self.suspects() is None)
        assert self.run("get", self.store, "big")[0].strip() == self.value
        self.run("umount", self.store)
        assert self.serve() == ""
        self.run("umount", self.store)
        self.run("fsck", self.store)

    def fsck_reads_what_is_suspected(self):
        """Without --deep values are not read, but those of a file that is suspected are."""
        self.flip()
        self.serve()
        self.run("get", self.store, "big", status=4)
        self.run("umount", self.store)
        told = self.run("fsck", "-n", self.store, status=4)[0]
        assert re.search(r"ROOT_CHECK_NEEDED \(106\): damage was seen while the store was open in \d{8}\.blob", told), told
        assert "BLOB_VALUE (604)" in told, told
        self.run("fsck", "-p", self.store, status=4)
        assert self.suspects() is not None
        self.run("fsck", "-y", self.store, status=1)
        assert self.suspects() is None
        self.run("fsck", "--deep", self.store)

    def known_losses_are_no_news(self):
        assert self.serve() == ""
        self.run("get", self.store, "big", status=1)
        assert self.suspects() is None
        self.run("umount", self.store)
        assert self.serve() == ""
        self.run("umount", self.store)


def main():
    os.environ.pop("KVFS_STORE", None)
    report = Report()
    with tempfile.TemporaryDirectory() as work:
        test = Suspects(os.path.realpath(sys.argv[1]), work)
        report.point("damage is remembered although the daemon is killed", attempt(test.is_remembered_after_a_kill))
        report.point("the next daemon says so, and finds it damaged still", attempt(test.the_next_says_so_and_checks))
        report.mounted_point("so do exec and mount", test.so_do_exec_and_mount)
        report.point("what is sound again is suspected no more", attempt(test.what_is_sound_is_forgotten))
        report.point("fsck reads what is suspected", attempt(test.fsck_reads_what_is_suspected))
        report.point("rows that a repair gave up are not suspected", attempt(test.known_losses_are_no_news))
    print(f"1..{report.points}")
    sys.exit(report.failed > 0)


if __name__ == "__main__":
    main()
