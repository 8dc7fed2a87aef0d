#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`kvfs batch`: its lines and exit statuses, on a store at rest and a served one, and that a kill leaves all of a batch or nothing.

usage: test_batch.py KVFS
"""

import os
import random
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from control import wait_until_served  # noqa: E402
from kvfs_mount import Mount, Report, attempt  # noqa: E402
from writers import die_with_parent  # noqa: E402

PATIENCE_S = 60
KILLS = int(os.environ.get("KILLS") or (50 if os.environ.get("KV_SLOW") else 3))
KEYS = 10000


class Batch:
    def __init__(self, program, work):
        self.program = program
        self.store = os.path.join(work, "store")
        self.mounted = None
        self.run("mkfs", "-q", self.store)

    def run(self, *words, status=0, lines=""):
        """What the command writes to stdout, or of a failure what it says."""
        done = subprocess.run([self.program, *words], input=lines.encode("utf-8", "surrogateescape"), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False, timeout=PATIENCE_S)
        assert done.returncode == status, f"{words}: status {done.returncode}, wanted {status}: {done.stderr}"
        return (done.stderr if status else done.stdout).decode("utf-8", "surrogateescape")

    def batch(self, lines, *options, status=0):
        return self.run("batch", *options, self.store, status=status, lines=lines)

    def keys(self):
        return self.run("scan", self.store)

    # ---- what is in use or not ----

    def lines_are_read(self):
        self.batch("# a comment\n\nput a/b one  two \nput\tkey with spaces\ttab\\tand \\x41\\102\\\\\nput empty \nput last no newline")
        assert self.keys() == "a/b\tone  two \nempty\t\nkey with spaces\ttab\\tand AB\\\\\nlast\tno newline\n", self.keys()
        assert self.batch("") == "" and self.batch("del a/b\ndel empty\ndel\tkey with spaces\ndel last\n") == ""
        assert self.keys() == ""

    def what_scan_prints_goes_in_again(self):
        self.batch("put new\\nline \\001\\377\nput\tb c\tx\ty\n")
        before = self.keys()
        self.batch("del b\\x20c\ndel new\\012line\n" + "".join(f"put\t{line}\n" for line in before.splitlines()))
        assert self.keys() == before
        self.batch("del b\\x20c\ndel new\\nline\n")

    def wrong_lines_change_nothing(self):
        for lines, number, said in (("put k v\nputt k v\n", 2, "none of put, del"), ("put k\n", 1, "value is missing"),
                                    ("del\n", 1, "key is missing"), ("put k \\q\n", 1, "escape"), ("put k \\400\n", 1, "escape"),
                                    ("put k \\", 1, "escape"), ("put k v\n\ndel a//b\n", 3, "empty component"),
                                    ("del x\nif-absent y\n", 2, "conditions come first"), (" put k v\n", 1, "none of put")):
            told = self.batch(lines, status=2)
            assert f"line {number}: " in told and said in told and "Nothing was changed" in told, (lines, told)
        assert self.keys() == ""
        assert "usage: kvfs batch STORE" in self.run("batch", self.store, "more", status=2)

    def conditions_decide(self):
        self.batch("if-absent lock\nput lock me\n")
        assert "if-absent lock: " in self.batch("if-absent lock\nput lock you\n", status=1)
        assert "if-equal lock: " in self.batch("if-equal lock you\ndel lock\ndel none\n", status=1)
        assert "if-equal none: " in self.batch("if-equal none \ndel lock\n", status=1)
        self.batch("if-equal lock me\nput done/1 yes\ndel lock\n")
        assert self.keys() == "done/1\tyes\n"
        self.batch("del done/1\n")

    def impossible_changes_are_named(self):
        self.batch("put d/k 1\nput f 1\n")
        assert "del none: there is no such key" in self.batch("put n 1\ndel none\n", status=3)
        assert "put d: it is a directory" in self.batch("put n 1\nput d 1\n", status=1)
        assert "put f/x: a component" in self.batch("put n 1\nput f/x 1\n", status=1)
        assert self.keys() == "d/k\t1\nf\t1\n"
        self.batch("put n 1\ndel none\n", "--force")
        assert self.keys() == "d/k\t1\nf\t1\nn\t1\n"
        assert "Nothing was changed" in self.run("del", self.store, "n", "d", status=1)
        self.run("exists", self.store, "n")
        assert "cannot delete gone " in self.run("del", self.store, "f", "gone", "n", status=3)
        assert self.run("del", "-f", self.store, "d/k", "gone") == "" and self.keys() == ""

    def ten_thousand_keys_fit(self):
        self.batch("".join(f"put many/{i % 100}/key{i} {i}\n" for i in range(10000)))
        assert len(self.keys().splitlines()) == 10000
        self.batch("".join(f"del many/{i % 100}/key{i}\n" for i in range(10000)))
        assert self.keys() == ""

    def too_large_is_refused(self):
        assert "more than 64 MiB" in self.batch(f"put a {'x' * (40 << 20)}\nput b {'x' * (40 << 20)}\n", status=1)
        assert "too large" in self.batch("".join(f"put k{i} \n" for i in range(140000)), status=1)
        assert "too large: at most 1048576 changes" in self.batch("del a\n" * ((1 << 20) + 1), "--force", status=1)
        assert self.keys() == ""

    # ---- kills ----

    def serve(self):
        server = subprocess.Popen([self.program, "serve", "-f", self.store], stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)
        wait_until_served(self.store, server)
        return server

    def mount(self):
        """Takes the dead mount of the round before away."""
        self.mounted = self.mounted or Mount(self.program, self.store, self.store + ".mnt", self.store + ".log")
        self.mounted.start()
        return self.mounted.daemon

    def kill_mounts(self):
        try:
            self.kill_rounds(self.mount)
        finally:
            self.mounted.clean_up()

    def kill_rounds(self, start):
        """Each round sets every key to its number; the kill comes at any time within what the first one took. `start` gives
        the daemon to kill, or None: then it is the command."""
        lines = ["".join(f"put kill/{i % 50}/key{i} {round}-{'v' * 100}\n" for i in range(KEYS)) for round in range(KILLS + 1)]
        began = time.monotonic()
        self.batch(lines[0])
        took = time.monotonic() - began
        last = cut_short = kept = 0
        for number in range(1, KILLS + 1):
            daemon = start and start()
            client = subprocess.Popen([self.program, "batch", self.store], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                      preexec_fn=die_with_parent)
            client.stdin.write(lines[number].encode())
            client.stdin.close()
            time.sleep(random.uniform(0, 1.3 * took))
            victim = daemon or client
            victim.kill()
            victim.wait(PATIENCE_S)
            done = client.wait(PATIENCE_S) == 0
            found = [line.split("\t")[1].split("-")[0] for line in self.keys().splitlines()]
            values = set(found)
            assert len(found) == KEYS, (number, len(found))
            assert values == {str(number)} or (values == {str(last)} and not done), (number, last, done, values)
            kept += last != (last := int(values.pop()))
            cut_short += not done
        print(f"# tried: {KILLS} kills, of which {cut_short} came before the batch was acknowledged; of {kept} batches all is there")
        self.run("del", "--prune", self.store, *(f"kill/{i % 50}/key{i}" for i in range(KEYS)))
        assert self.keys() == "" and "kill" not in self.run("ls", self.store).split()


def main():
    os.environ.pop("KVFS_STORE", None)
    report = Report()
    with tempfile.TemporaryDirectory() as work:
        test = Batch(sys.argv[1], work)
        for where in ("at rest", "served"):
            server = test.serve() if where == "served" else None
            report.point(f"{where}: lines are read, with escapes and comments", attempt(test.lines_are_read))
            report.point(f"{where}: what scan prints goes in again", attempt(test.what_scan_prints_goes_in_again))
            report.point(f"{where}: a wrong line is named and nothing changes", attempt(test.wrong_lines_change_nothing))
            report.point(f"{where}: conditions decide", attempt(test.conditions_decide))
            report.point(f"{where}: an impossible change is named and nothing changes", attempt(test.impossible_changes_are_named))
            report.point(f"{where}: ten thousand keys are one batch", attempt(test.ten_thousand_keys_fit))
            report.point(f"{where}: what is too large is refused", attempt(test.too_large_is_refused))
            if server is not None:
                test.run("umount", test.store)
                server.wait(PATIENCE_S)
        report.point("a killed command leaves all of its batch or nothing", attempt(lambda: test.kill_rounds(None)))
        report.point("a killed server leaves all of a batch or nothing", attempt(lambda: test.kill_rounds(test.serve)))
        report.mounted_point("a killed mount leaves all of a batch or nothing", test.kill_mounts)
    print(f"1..{report.points}")
    sys.exit(report.failed > 0)


if __name__ == "__main__":
    main()
