#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs test programs that speak TAP and counts their points. A part of tests/run.

    tap.py --suite NAME --results FILE [--jobs N] [--timeout S] meson BUILD_DIR LAYER...
    tap.py --suite NAME --results FILE [--jobs N] [--timeout S] programs PROGRAM[,ARG]...
    tap.py targets BUILD_DIR LAYER...
    tap.py --suite NAME --results FILE outcome pass|fail|skip TEXT
    tap.py --suite NAME --results FILE collect KEPT
    tap.py table FILE

Every `ok` and `not ok` is one test. What TAP cannot say counts as a failed test of its own: a
program that died, timed out, ended with a status although all was well, or whose plan is missing or
does not fit. Meson's own runner counts programs, not points, so its list of tests is read and the
programs are run here; `targets` prints what is to be built for that. Each counted suite is one line
`NAME PASSED FAILED SKIPPED SECONDS` of FILE. How much a program tried (states, damages, kills) it says in
lines `# tried: TEXT`, which are kept there as `# NAME PROGRAM: TEXT`; what failed is kept as `! NAME PROGRAM: TEXT`. A run beside other suites has a FILE of its own, KEPT, from
which `collect` takes the line; if there is none, the run died, which is a failed test. `table` prints
all of it with the closing line and fails unless something passed and nothing failed.
"""

import argparse
import concurrent.futures
import contextlib
import json
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

POINT = re.compile(r"^(not )?ok\b(?:\s+\d+)?(?:\s+-)?\s*(.*)$")
PLAN = re.compile(r"^1\.\.(\d+)(?:\s*#\s*skip\S*\s*(.*))?", re.IGNORECASE)
POLL_S = 0.1  # how often the output of a program that may be stopped is looked at
TRIED = re.compile(r"^# tried: (.*)$", re.MULTILINE)
SKIP = re.compile(r"#\s*skip\S*\s*(.*)$", re.IGNORECASE)


class Count:
    """What came out of one program or of several."""

    def __init__(self):
        self.passed = 0
        self.failed = 0
        self.skipped = 0
        self.notes = []  # reasons of failures and skips, one line each
        self.tried = []  # how much was tried, in the programs' own words
        self.faults = []  # what failed, one line each

    def fail(self, note):
        self.failed += 1
        self.notes.append("failed: " + note)
        self.faults.append(note)

    def skip(self, note):
        self.skipped += 1
        self.notes.append("skipped: " + (note or "no reason given"))

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.tried += other.tried
        self.faults += other.faults

    def text(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def parse_tap(lines, count):
    """Count the points of one program's output. Returns (points, planned or None, bailed out)."""
    points = 0
    planned = None
    for line in lines:
        if line.startswith("Bail out!"):
            count.fail(line)
            return points, planned, True
        plan = PLAN.match(line)
        if plan:
            planned = int(plan.group(1))
            if planned == 0:
                count.skip(plan.group(2))
            continue
        point = POINT.match(line)
        if not point:
            continue
        points += 1
        skip = SKIP.search(point.group(2))
        if point.group(1):
            count.fail(point.group(2))
        elif skip:
            count.skip(point.group(2))
        else:
            count.passed += 1
    return points, planned, False


def judge(output, status, timed_out):
    """Turn the output and the end of a program into a Count."""
    count = Count()
    points, planned, bailed = parse_tap(output.splitlines(), count)
    if timed_out:
        count.fail("timed out")
    elif status < 0:
        count.fail("killed by " + signal.Signals(-status).name)
    elif bailed:
        pass
    elif planned is None:
        count.fail("ended without a plan (1..N)")
    elif planned != points:
        count.fail(f"{planned} points were planned, {points} were seen")
    elif status != 0 and count.failed == 0:
        count.fail(f"every point passed, yet exit status {status}")
    return count


def kill_session(leader):
    """All processes of a session. Its group is not enough: Check gives each test one of its own."""
    for name in os.listdir("/proc"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if name.isdigit() and os.getsid(int(name)) == leader:
                os.kill(int(name), signal.SIGKILL)


class Program:
    """`directory`: where it runs, if not here. `stop(output)` true ends it: what follows is not wanted."""

    def __init__(self, name, command, env=None, timeout=None, stop=None, directory=None):
        self.name = name
        self.command = command
        self.env = dict(os.environ, **(env or {}))
        self.timeout = timeout
        self.stop = stop
        self.directory = directory
        self.output = ""
        self.seconds = 0.0

    def run(self):
        begin = time.monotonic()
        status, timed_out = self.wait()
        self.seconds = time.monotonic() - begin
        return self, judge(self.output, status, timed_out)

    def wait(self):
        # Output goes to a file, not a pipe: a daemon left behind would hold a pipe open for ever.
        # A session of its own, so that a program that hangs is ended with all it started.
        with tempfile.TemporaryFile() as log:
            try:
                process = subprocess.Popen(self.command, env=self.env, stdin=subprocess.DEVNULL,
                                           stdout=log, stderr=subprocess.STDOUT,
                                           start_new_session=True, cwd=self.directory)
            except OSError as error:
                self.output = f"cannot start {self.command[0]}: {error}"
                return 127, False
            timed_out = not self.wait_for(process, log)
            if process.returncode is None:
                kill_session(process.pid)
                process.wait()
            self.read(log)
        return process.returncode, timed_out

    def read(self, log):
        # The program goes on writing where it is, not where this reads.
        self.output = os.pread(log.fileno(), os.fstat(log.fileno()).st_size, 0).decode(errors="replace")

    def wait_for(self, process, log):
        """Until it ended, or is to be stopped. False if it takes too long."""
        deadline = time.monotonic() + (math.inf if self.timeout is None else self.timeout)
        while time.monotonic() < deadline:
            try:
                process.wait(min(POLL_S if self.stop else math.inf, deadline - time.monotonic()))
                return True
            except subprocess.TimeoutExpired:
                self.read(log)
                if self.stop and self.stop(self.output):
                    return True
        return False


def meson_programs(build, layers, factor):
    """The programs of meson's list that `layers` names: suites, single tests as suite/test, or
    all suites but a and b as ^a,b; without the tests named as !suite/test. Those that may take
    longest come first, so that at the end no processor waits for one of them."""
    listed = subprocess.run(["meson", "introspect", "--tests", build], check=True,
                            stdout=subprocess.PIPE).stdout
    programs = []
    for test in json.loads(listed):
        suites = {s.split(":")[-1] for s in test["suite"]}
        names = {f"{s}/{test['name']}" for s in suites}
        if {"!" + name for name in names} & set(layers):
            continue
        if layers[0].startswith("^"):
            wanted = not suites & set(layers[0][1:].split(","))
        else:
            wanted = bool((suites | names) & set(layers))
        if wanted:
            label = "/".join(sorted(suites) + [test["name"]])
            # As meson runs it: some are told where something lies in the build folder.
            programs.append(Program(label, test["cmd"], test["env"], test["timeout"] * factor,
                                    directory=test["workdir"] or build))
    return sorted(programs, key=lambda program: program.timeout, reverse=True)


def run_all(programs, jobs):
    total = Count()
    if not programs:
        total.fail("no test program found")
        print("    " + total.notes[0])
    with concurrent.futures.ThreadPoolExecutor(max_workers=jobs) as pool:
        for future in concurrent.futures.as_completed([pool.submit(p.run) for p in programs]):
            program, count = future.result()
            count.tried = [f"{program.name}: {text}" for text in TRIED.findall(program.output)]
            count.faults = [f"{program.name}: {text}" for text in count.faults]
            total.add(count)
            print(f"  {program.name}: {count.text()} ({program.seconds:.1f} s)")
            if count.failed:
                print(f"---- output of {program.name}: {' '.join(program.command)}")
                print(program.output.rstrip())
                print(f"---- end of {program.name}")
            for note in count.notes:
                print("    " + note)
            sys.stdout.flush()
    return total


def write_result(args, count, seconds):
    with open(args.results, "a", encoding="utf-8") as results:
        results.write(f"{args.suite} {count.passed} {count.failed} {count.skipped} {seconds:.0f}\n")
        results.writelines(f"# {args.suite} {text}\n" for text in count.tried)
        results.writelines(f"! {args.suite} {text}\n" for text in count.faults)
    print(f"  {args.suite}: {count.text()}")


def collected(suite, kept):
    """The line that a run of the suite beside others left in the file `kept`, or None."""
    text = ""
    if os.path.exists(kept):
        with open(kept, encoding="utf-8") as results:
            text = results.read()
    return text if re.fullmatch(suite + r"( \d+){4}\n([#!] .*\n)*", text) else None


def collect(args):
    line = collected(args.suite, args.words[0])
    if line is None:
        write_result(args, outcome("fail", "the run beside other suites died"), 0)
        return 1
    with open(args.results, "a", encoding="utf-8") as results:
        results.write(line)
    return 0 if line.split()[2] == "0" else 1


def print_told(title, lines):
    if lines:
        print("\n" + title)
    for line in lines:
        print("  " + line)


def print_table(path):
    rows = {}
    told = {"#": [], "!": []}
    with open(path, encoding="utf-8") as results:
        for line in results:
            name, *numbers = line.split()
            if name in told:
                told[name].append(line[2:].rstrip())
                continue
            sums = rows.setdefault(name, [0, 0, 0, 0])
            rows[name] = [a + int(b) for a, b in zip(sums, numbers)]
    print_told("tried", told["#"])
    print(f"\n{'suite':<12}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}")
    for name, (passed, failed, skipped, seconds) in rows.items():
        print(f"{name:<12}{passed:>8}{failed:>8}{skipped:>9}{seconds:>9}")
    print_told("failed", told["!"])
    passed, failed, skipped = (sum(row[i] for row in rows.values()) for i in range(3))
    print(f"\n{passed} passed, {failed} failed, {skipped} skipped")
    return 0 if passed > 0 and failed == 0 else 1


def outcome(kind, text):
    count = Count()
    if kind == "pass":
        count.passed += 1
    elif kind == "fail":
        count.fail(text)
    else:
        count.skip(text)
    for note in count.notes:
        print("    " + note)
    return count


def parse_arguments():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--suite", default="tests")
    parser.add_argument("--results", default=os.devnull)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=900, help="of one program, in seconds")
    parser.add_argument("--factor", type=float, default=1, help="on the time-outs of meson's list")
    parser.add_argument("action", choices=["meson", "programs", "targets", "outcome", "collect", "table"])
    parser.add_argument("words", nargs="*")
    return parser.parse_args()


def main():
    args = parse_arguments()
    begin = time.monotonic()
    if args.action == "table":
        return print_table(args.words[0])
    if args.action == "collect":
        return collect(args)
    if args.action == "targets":
        for program in meson_programs(args.words[0], args.words[1:], 1):
            print(os.path.relpath(program.command[0], args.words[0]))
        return 0
    if args.action == "outcome":
        count = outcome(args.words[0], args.words[1])
    elif args.action == "meson":
        count = run_all(meson_programs(args.words[0], args.words[1:], args.factor), args.jobs)
    else:
        programs = [Program(word.split(",")[0], word.split(","), timeout=args.timeout)
                    for word in args.words]
        count = run_all(programs, args.jobs)
    write_result(args, count, time.monotonic() - begin)
    return 1 if count.failed else 0


if __name__ == "__main__":
    sys.exit(main())
