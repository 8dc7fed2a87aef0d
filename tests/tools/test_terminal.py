#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What commands show on a terminal, here one of tmux, and that none of it is in a pipe: bars with the time that is left, tables that
go on, a newline behind a value, and refusals to write an archive there.

usage: test_terminal.py KVFS
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from kvfs_mount import Report, attempt  # noqa: E402

PATIENCE_S = 60
COLUMNS, LINES = 80, 24
VALUE = 3 << 20
PROMPT = "ready> "
BAR = r"\[#* *\] +\d+ % of \d+ MiB, about \d+ s left"
SLOW = "--limit=1M"  # the check of the value takes three seconds


class Terminal:
    """A server of tmux with one window, in which a shell waits."""

    def __init__(self, work):
        self.socket = os.path.join(work, "tmux")
        self.runs = 0
        subprocess.run([*self.tmux(), "-f", "/dev/null", "new-session", "-d", "-x", str(COLUMNS), "-y", str(LINES),
                        f"env PS1={shlex.quote(PROMPT)} bash --norc --noprofile"], check=True, timeout=PATIENCE_S)
        self.shows(re.escape(PROMPT.strip()) + "$")

    def tmux(self):
        return ["tmux", "-S", self.socket]

    def screen(self):
        text = subprocess.run([*self.tmux(), "capture-pane", "-p"], check=True, stdout=subprocess.PIPE, text=True,
                              timeout=PATIENCE_S).stdout
        return "\n".join(line.rstrip() for line in text.splitlines()).rstrip("\n")

    def shows(self, pattern):
        """Waits for it; all that is on the screen then."""
        deadline = time.monotonic() + PATIENCE_S
        while not re.search(pattern, text := self.screen()):
            assert time.monotonic() < deadline, f"the screen never showed {pattern!r}, but at last:\n{text}"
            time.sleep(0.02)
        return text

    def begin(self, command):
        """On a screen that is empty but for the command."""
        subprocess.run([*self.tmux(), "send-keys", "-l", "clear; " + command], check=True, timeout=PATIENCE_S)
        subprocess.run([*self.tmux(), "send-keys", "Enter"], check=True, timeout=PATIENCE_S)

    def run(self, command):
        """What is left on the screen when it has ended, with its exit status in front of the next prompt. Its
        number tells it from the command before, whose end stands there until the shell clears the screen."""
        self.runs += 1
        self.begin(command + f"; echo \"{self.runs}=$?\"")
        text = self.shows(rf"\b{self.runs}=\d+\n{re.escape(PROMPT.strip())}$")
        return text[:text.rindex("\n")].replace(f"\n{self.runs}=", "\n=")

    def end(self):
        subprocess.run([*self.tmux(), "kill-server"], check=False, timeout=PATIENCE_S)


class Commands:
    def __init__(self, program, work):
        self.program = os.path.realpath(program)
        self.work = work
        self.store = os.path.join(work, "store")
        self.terminal = Terminal(work)

    def line(self, *words):
        return shlex.join([self.program, *words])

    def piped(self, *words, stdin=b""):
        """stdout, of a command that must say nothing on stderr."""
        done = subprocess.run([self.program, *words], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True,
                              timeout=PATIENCE_S)
        assert done.stderr == b"", done.stderr
        return done.stdout

    def prepare(self):
        self.piped("mkfs", "-q", self.store)
        self.piped("put", self.store, "large", stdin=os.urandom(VALUE))
        self.piped("put", self.store, "small", "text")

    # ---- bars ----

    def check_has_a_bar(self):
        """It is taken away before the result is printed."""
        self.terminal.begin(self.line("verify", SLOW, self.store) + "; echo =$?")
        self.terminal.shows(BAR)
        left = self.terminal.shows(r"=0\n")
        assert re.search(r"is sound", left) and "[" not in left, left

    def import_has_a_bar(self):
        """Of an archive of unknown size the bytes and files so far; what comes slowly shows it."""
        archive = os.path.join(self.work, "tree.tar")
        with open(archive, "wb") as file:
            file.write(self.piped("export", self.store))
        other = os.path.join(self.work, "other")
        self.piped("mkfs", "-q", other)
        slow = f"(head -c 2000000 {shlex.quote(archive)}; sleep 2; tail -c +2000001 {shlex.quote(archive)})"
        self.terminal.begin(f"{slow} | {self.line('import', other)}; echo =$?")
        self.terminal.shows(r"\d+ MiB in \d+ s, \d+ files")
        left = self.terminal.shows(r"=0\n")
        assert "files" not in left, left
        assert self.piped("get", other, "small") == b"text"

    def pipe_has_none(self):
        """piped() finds stderr empty."""
        assert b"is sound" in self.piped("verify", "--limit=10M", self.store)
        self.piped("fsck", "--deep", self.store)
        self.piped("compact", self.store)

    # ---- what goes to stdout ----

    def value_ends_with_a_newline(self):
        assert self.terminal.run(self.line("get", self.store, "small")) == "text\n=0"
        assert self.piped("get", self.store, "small") == b"text"

    def archives_are_refused(self):
        for command, how in (("export", ">"), ("import", "<")):
            text = self.terminal.run(self.line(command, self.store)).replace("\n", "")
            assert f"a terminal: say 'kvfs {command}" in text and f"{how} FILE.tar'" in text and text.endswith("=2"), text

    def table_goes_on(self):
        """A row each time, below one heading, that fits and is the same in a pipe."""
        words = ("stats", "--interval=0.05", "--count=4", self.store)
        shown = self.terminal.run(self.line(*words))
        wide = self.piped(*words).decode().splitlines()
        assert len(wide) == 5 and wide[0].split()[0] == "REQUESTS/S", wide
        assert len({len(line) for line in wide}) == 1 and len(wide[0]) <= COLUMNS, wide
        lines = shown.splitlines()
        assert len(lines) == 6 and lines[0] == wide[0] and lines[-1] == "=0", shown

    def reports_fit(self):
        """Nothing but printable text, and no line that wraps in 80 columns."""
        for words in (("status", self.store), ("stats", self.store), ("fsck", "-v", self.store)):
            lines = self.piped(*words).decode().splitlines()
            assert all(line.isprintable() for line in lines), lines
            long = [line for line in lines if len(line) > COLUMNS and self.work not in line]
            assert not long, long


def main():
    os.environ.pop("KVFS_STORE", None)
    if shutil.which("tmux") is None:
        print("1..0 # skip there is no tmux here")
        return
    report = Report()
    with tempfile.TemporaryDirectory() as work:
        test = Commands(sys.argv[1], work)
        try:
            report.point("a store is made without a word in a pipe", attempt(test.prepare))
            report.point("a check shows a bar with the time that is left, and takes it away", attempt(test.check_has_a_bar))
            report.point("an import shows bytes, time and files, and takes that away", attempt(test.import_has_a_bar))
            report.point("nothing of that is shown in a pipe", attempt(test.pipe_has_none))
            report.point("a value is ended by a newline on a terminal only", attempt(test.value_ends_with_a_newline))
            report.point("archives are neither written to a terminal nor read from one", attempt(test.archives_are_refused))
            report.point("the table of stats --interval goes on below one heading", attempt(test.table_goes_on))
            report.point("reports are as wide as a terminal", attempt(test.reports_fit))
        finally:
            test.terminal.end()
    print(f"1..{report.points}")
    sys.exit(report.failed > 0)


if __name__ == "__main__":
    main()
