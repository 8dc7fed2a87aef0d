#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every command is run, on a store at rest and where that makes sense on one in use, and refuses words that it does not know and
what is no store. Every option that it has is used: once rightly for each of its spellings, on both stores, and once wrongly. What
there is comes from the commands' own help, hidden options from their source; how it is used from option_uses.py.

usage: test_options.py KVFS TOP
"""

import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from control import wait_until_served  # noqa: E402
from kvfs_mount import Report, attempt, can_mount  # noqa: E402
from option_uses import HELPER_OPTIONS, LINES, MOUNT_OPTIONS, NO_STORE_STATUS, USAGE_STATUS, USES, Elsewhere, Together, Use  # noqa: E402
from test_man_pages import options_of_help, strings_of  # noqa: E402
from writers import die_with_parent  # noqa: E402

PATIENCE_S = 120
TABLE = "tests/tools/option_uses.py"


class Tester:
    def __init__(self, program, top, work):
        self.program = os.path.realpath(program)
        self.top = top
        self.work = work
        self.count = 0
        self.at_rest = self.path()
        self.busy = self.path()
        self.busy_mnt = None  # where it is mounted
        self.has = {"fuse"} if can_mount() else set()
        self.hidden = {}  # command: options as options() gives them
        self.find_hidden()

    def path(self):
        """Of something that is not there yet."""
        self.count += 1
        return os.path.join(self.work, f"p{self.count}")

    def run(self, words, status=0, stdin=None):
        """stdout, once the exit status is among those wanted."""
        done = subprocess.run([self.program, *words], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              check=False, timeout=PATIENCE_S)
        wanted = status if isinstance(status, tuple) else (status,)
        assert done.returncode in wanted, \
            f"kvfs {' '.join(words)}: exit status {done.returncode}, wanted {status}: {done.stderr}"
        return done.stdout

    def prepare(self):
        for store in (self.at_rest, self.busy):
            self.run(["mkfs", "-q", store])
            for key, value in (("a/1", "one"), ("a/2", "two"), ("b", "line\n"), ("d/e/f", "deep")):
                self.run(["put", store, key], stdin=value)
        if "fuse" in self.has:
            self.busy_mnt = self.path()
            os.mkdir(self.busy_mnt)
            self.run(["mount", self.busy, self.busy_mnt])
        else:
            self.run(["serve", self.busy])

    def end(self):
        self.run(["umount", self.busy_mnt or self.busy])

    def clean_up(self):
        """After a failure daemons may still hold what is to be removed."""
        for name in os.listdir(self.work):
            path = os.path.join(self.work, name)
            if os.path.ismount(path) or os.path.exists(os.path.join(path, "control")):
                subprocess.run([self.program, "umount", path], stderr=subprocess.DEVNULL, check=False)

    # ---- what there is ----

    def commands(self):
        found = re.findall(r"^  (\S+)", self.run(["help"]).split("\nCommands:\n")[1], re.MULTILINE)
        return [command for command in found if command != "bench"] + ["bench kv", "bench fs"]

    def options(self, command):
        """{name: (spellings, has a value)}; the name is the long one if there is one."""
        text = self.run([*command.split(), "--help"])
        # "  -C FD": the help of man pages knows it by the letter only.
        with_value = set(re.findall(r"^ {2}(-\S) [A-Z]+(?:\s|$)", text, re.MULTILINE))
        found = {names[-1]: (names, bool(value) or names[-1] in with_value)
                 for names, value in options_of_help(text).items()}
        return {**found, **self.hidden.get(command, {})}

    def find_hidden(self):
        """Options that the help does not show are found in the source of their command."""
        folder = os.path.join(self.top, "tools")
        for name in os.listdir(folder):
            if name.endswith(".c"):
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    source = file.read()
                found = re.findall(r"\{NULL, '(\w)', (NULL|\"\w+\"), OPTION_HIDDEN", source)
                assert len(found) == source.count("OPTION_HIDDEN"), f"tools/{name}: hidden options of another form"
                assert not found or re.match("cmd_[a-z]+.c", name), f"tools/{name}: which command has its hidden options?"
                self.hidden[name[len("cmd_"):-len(".c")]] = {f"-{key}": ((f"-{key}",), value != "NULL") for key, value in found}

    def uses(self, command):
        """{option: (use, good value, bad value)}"""
        found = {}
        for name, use in USES.get(command, {}).items():
            if isinstance(use, Together):
                found.update({option: (use, *values) for option, values in use.values.items()})
            else:
                found[name] = (use, getattr(use, "value", None), use.bad)
        return found

    def all_are_used(self, command):
        there_are = self.options(command)
        used = self.uses(command)
        faults = [f"no test uses {name} of kvfs {command}: give it an entry in USES['{command}'] of {TABLE}"
                  for name in there_are if name not in used]
        faults += [f"{TABLE}: kvfs {command} has no option {name}: take its entry out" for name in used if name not in there_are]
        assert not faults, "\n".join(faults)

    def no_other_commands(self):
        known = set(self.commands())
        none = (set(USES) | set(LINES)) - known
        assert not none, f"{TABLE}: there is no command {sorted(none)}"

    # ---- using them ----

    @staticmethod
    def spelled(name, value):
        if value is None:
            return [name]
        return [f"{name}={value}"] if name.startswith("--") else [name, value]

    def words(self, line, fixtures, option=()):
        """The words of a command line of the table."""
        words = []
        for word in line.split():
            words += option if word in ("{option}", "{options}") else [self.newest(word.format(**fixtures))]
        return words

    @staticmethod
    def newest(word):
        """Of the files of a store that a pattern stands for."""
        return max(glob.glob(word), default=word) if "/*." in word else word

    def fixtures(self, line, in_use):
        mnt, directory = self.path(), self.path()
        os.mkdir(mnt)
        os.mkdir(directory)
        copy = self.busy
        if not in_use and "{copy}" in line:
            copy = self.path()
            shutil.copytree(self.at_rest, copy)
        return {"store": self.busy if in_use else self.at_rest, "copy": copy, "mnt": mnt, "directory": directory,
                "new": self.path(), "pid": os.getpid()}

    def serve(self, words, use, fixtures):
        """A daemon in the foreground, which ends by what `then` is."""
        server = subprocess.Popen([self.program, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                  preexec_fn=die_with_parent)
        wait_until_served(fixtures["copy"], server)
        os.statvfs(fixtures["mnt"])  # a mount answers when kernel and daemon have agreed
        self.run(self.words(use.then, fixtures))
        assert server.wait(PATIENCE_S) == 0, f"kvfs {' '.join(words)}: exit status {server.returncode}"

    @staticmethod
    def check(words, text, prints):
        try:
            if callable(prints):
                prints(text)
            else:
                assert re.fullmatch(prints, text), f"wanted {prints!r}"
        except (AssertionError, KeyError, ValueError) as fault:
            raise AssertionError(f"kvfs {' '.join(words)} printed {text!r}: {fault!r}") from fault

    def use(self, use, name, in_use):
        fixtures = self.fixtures(f"{use.line} {use.first} {use.then}", in_use)
        value = use.value.format(**fixtures) if use.value else use.value
        status = use.in_use if in_use else use.status
        if use.first:
            self.run(self.words(use.first, fixtures))
        words = self.words(use.line, fixtures, self.spelled(name, value))
        if use.daemon:
            self.serve(words, use, fixtures)
            return
        text = self.run(words, status, use.stdin)
        if use.prints is not None and status == use.status:
            self.check(words, text, use.prints)
        if use.then:
            self.run(self.words(use.then, fixtures))

    def use_together(self, use):
        fixtures = self.fixtures(use.line, False)
        options = []
        for name, (value, _) in use.values.items():
            options += self.spelled(name, value.format(**fixtures) if value else value)
        words = self.words(use.line, fixtures, options)
        self.check(words, self.run(words), use.prints)

    def used_rightly(self, command):
        there_are = self.options(command)
        for name, use in USES.get(command, {}).items():
            if isinstance(use, Together):
                self.use_together(use)
            elif isinstance(use, Elsewhere):
                with open(os.path.join(self.top, use.path), encoding="utf-8") as file:
                    assert f'"{name}"' in file.read(), f"{TABLE}: {use.path} does not use {name} of kvfs {command}"
            elif self.has.issuperset(use.needs):
                assert there_are[name][1] == (use.value is not None), f"{TABLE}: kvfs {command}: a value for {name}, or none"
                for spelling in there_are[name][0]:
                    self.use(use, spelling, False)
                    if use.in_use is not None:
                        self.use(use, spelling, True)

    def line_of(self, command, name):
        """One of the table in which the option may stand."""
        uses = USES[command]
        use = self.uses(command)[name][0]
        return use if not isinstance(use, Elsewhere) else next(use for use in uses.values() if isinstance(use, Together))

    def use_wrongly(self, command, use, words, at_end):
        """All but the option is right, so that nothing else can be what is refused."""
        fixtures = self.fixtures(f"{use.line} {getattr(use, 'first', '')}", False)
        if getattr(use, "first", None):
            self.run(self.words(use.first, fixtures))
        line = self.words(use.line, fixtures, [] if at_end else words) + (words if at_end else [])
        self.run(line, USAGE_STATUS.get(command, 2))
        if command == "umount":
            self.run(self.words(use.line, fixtures))

    def used_wrongly(self, command):
        """A bad value, or one for an option that takes none, or none for one that does."""
        for name, (spellings, has_value) in self.options(command).items():
            bad = self.uses(command)[name][2]
            use = self.line_of(command, name)
            if not self.has.issuperset(getattr(use, "needs", ())):
                continue
            for spelling in spellings:
                if has_value and bad is None:
                    self.use_wrongly(command, use, [spelling], True)
                elif has_value:
                    self.use_wrongly(command, use, self.spelled(spelling, bad), False)
                else:
                    words = [f"{spelling}=x" if spelling.startswith("--") else f"{spelling}\x01"]
                    self.use_wrongly(command, use, words, False)

    def help_is_there(self, command):
        for option in ("--help", "-?"):
            text = self.run([*command.split(), option])
            assert re.match(rf"Usage: kvfs {command.split()[0]}.*\n(  or:.*\n)*Examples:\n  kvfs {command}\b", text), f"{option}: {text[:300]}"
        assert self.run([*command.split(), "--usage"]).startswith("Usage: kvfs")

    # ---- without an option ----

    def does_its_work(self, command):
        assert command in LINES, f"no test runs kvfs {command}: give it an entry in LINES of {TABLE}"
        use = LINES[command]
        if self.has.issuperset(use.needs):
            self.use(use, "", False)
            if use.in_use is not None:
                self.use(use, "", True)

    def refuses_bad_words(self, command):
        """None, too many, an unknown option."""
        use, status, bare = LINES[command], USAGE_STATUS.get(command, 2), command.split()
        self.run([*bare, "--frobnicate"], status)
        if not use.no_words:
            self.run(bare, status)
        if not use.any_words:
            self.run(self.words(use.line, self.fixtures(use.line, False)) + ["more"] * 3, status)

    def refuses_what_is_no_store(self, command):
        use = LINES[command]
        if "{store}" not in use.line and "{copy}" not in use.line:
            return
        for kind in ("new", "directory"):
            fixtures = self.fixtures(use.line, False)
            fixtures["store"] = fixtures["copy"] = fixtures[kind]
            fixtures["new"] = self.path()
            self.run(self.words(use.line, fixtures), NO_STORE_STATUS.get(command, 1), use.stdin)
            left = os.listdir(fixtures["store"]) if kind == "directory" else os.path.exists(fixtures["store"])
            assert not left, f"{use.line} made a store of {kind}"

    # ---- behind -o ----

    def mount_options_are_used(self):
        with open(os.path.join(self.top, "tools", "mount_options.c"), encoding="utf-8") as file:
            source = file.read()
        there_are = strings_of(source, "ours") | strings_of(source, "for_kernel")
        missing, gone = sorted(there_are - set(MOUNT_OPTIONS)), sorted(set(MOUNT_OPTIONS) - there_are)
        assert not missing and not gone, f"MOUNT_OPTIONS of {TABLE} lacks {missing}, and has {gone} which are none"

    def help_mount(self, mnt, words, status):
        """All that is done before a daemon is started, as mount(8) has it done with -f."""
        helper = os.path.join(os.path.dirname(self.program), "mount.kvfs")
        done = subprocess.run([helper, self.at_rest, mnt, "-f", *words], stderr=subprocess.PIPE, check=False)
        assert done.returncode == status, f"{words}: exit status {done.returncode}, wanted {status}: {done.stderr}"

    def mount_options(self):
        mnt = self.path()
        os.mkdir(mnt)
        for name, (value, bad) in MOUNT_OPTIONS.items():
            for option, status in ((name if value is None else f"{name}={value}", 0), (f"{name}={bad}", 1)):
                self.help_mount(mnt, ["-o", option], status)

    def helper_options(self):
        with open(os.path.join(self.top, "tools", "cmd_mount.c"), encoding="utf-8") as file:
            there_are = re.search(r'getopt\(argc, argv, "([a-zA-Z:]+)"\)', file.read())[1]
        used = "".join(letter + ":" * (value is not None) for letter, value in HELPER_OPTIONS.items())
        assert used == there_are, f"HELPER_OPTIONS of {TABLE}: mount.kvfs has {there_are}, and used are {used}"
        mnt = self.path()
        os.mkdir(mnt)
        for letter, value in HELPER_OPTIONS.items():
            self.help_mount(mnt, [f"-{letter}"] + ([value] if value else []), 0)
            if value:
                self.help_mount(mnt, [f"-{letter}"], 1)
        self.help_mount(mnt, ["-z"], 1)
        self.help_mount(mnt, ["more"], 1)


def try_command(report, tester, command):
    report.point(f"kvfs {command}: it has help, which starts with examples", attempt(lambda: tester.help_is_there(command)))
    report.point(f"kvfs {command}: it does its work", attempt(lambda: tester.does_its_work(command)))
    report.point(f"kvfs {command}: bad words are a usage error", attempt(lambda: tester.refuses_bad_words(command)))
    report.point(f"kvfs {command}: what is no store is refused and left alone",
                 attempt(lambda: tester.refuses_what_is_no_store(command)))
    unused = attempt(lambda: tester.all_are_used(command))
    report.point(f"kvfs {command}: every option is used by a test", unused)
    if command in USES:
        for title, check in (("rightly", tester.used_rightly), ("wrongly", tester.used_wrongly)):
            report.point(f"kvfs {command}: its options are used {title}", unused or attempt(lambda check=check: check(command)))


def main():
    os.environ.pop("KVFS_STORE", None)
    report = Report()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as work:
        tester = Tester(sys.argv[1], sys.argv[2], work)
        report.point("there is a store at rest and one in use", attempt(tester.prepare))
        try:
            for command in tester.commands():
                try_command(report, tester, command)
            report.point("the table names no other commands", attempt(tester.no_other_commands))
            report.point("every mount option is used", attempt(tester.mount_options_are_used))
            report.mounted_point("mount.kvfs takes what mount(8) gives it, and nothing else", tester.helper_options)
            if "fuse" in tester.has:
                report.point("mount options are taken, and refused with a bad value", attempt(tester.mount_options))
            else:
                report.point("mount options are taken, and refused with a bad value # SKIP no /dev/fuse here", [])
        finally:
            report.point("the store in use is given up", attempt(tester.end))
            tester.clean_up()
    print(f"1..{report.points}")
    sys.exit(report.failed > 0)


if __name__ == "__main__":
    main()
