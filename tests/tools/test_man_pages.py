#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The manual says what the program says: each command, option, mount option and environment
variable that there is has its place in docs/man, and nothing else has.

usage: test_man_pages.py KVFS TOP [PAGE...]

What there is comes from the program's own help, which argp makes of its option tables, and where
there is none from the tables in the source. PAGE are those that scdoc made.
"""

import glob
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from kvfs_mount import Report  # noqa: E402

# Commands whose options stand on a page of their own: page, heading, words that the help answers.
# All others have a section of kvfs(1).
OWN_PAGES = {
    "fsck": [("fsck.kvfs.8", "# OPTIONS", ["fsck"])],
    "mkfs": [("mkfs.kvfs.8", "# OPTIONS", ["mkfs"])],
    "bench": [("kvfs-bench.1", "# OPTIONS OF BENCH KV", ["bench", "kv"]),
              ("kvfs-bench.1", "# OPTIONS OF BENCH FS", ["bench", "fs"])],
}
COMMON = {("-?", "--help"), ("--usage",)}
HELP_OPTION = re.compile(r"^ {2}(?:(-\S), )? *(--[\w-]+)(?:=(\S+))?(?:\s|$)|^ {2}(-\S)(?: ([A-Z]+))?(?:\s|$)")
PAGE_OPTION = re.compile(r"\*(-[^*\s]+)\*(?:[= ](\S+?))?(?:,\s|\s*$)")
# What scdoc writes of its own accord.
GENERATOR_FAULTS = re.compile(r"skipping paragraph macro")


def options_of_help(text):
    """{("-L", "--label"): "LABEL"}"""
    found = {}
    for line in text.split("\n"):
        match = HELP_OPTION.match(line)
        if match:
            names = tuple(name for name in (match[1], match[2], match[4]) if name)
            found[names] = match[3] or match[5] or ""
    return {names: value for names, value in found.items() if names not in COMMON}


def options_of_page(lines):
    found = {}
    for line in lines:
        if line.startswith("*-"):
            pairs = PAGE_OPTION.findall(line)
            values = [re.sub(r"[*_\\]", "", value) for _, value in pairs if value]
            found[tuple(name for name, _ in pairs)] = values[0] if values else ""
    return {names: value for names, value in found.items() if names not in COMMON}


def strings_of(source, array):
    """The strings in the initializer of an array of C."""
    body = re.search(array + r"\[\] = \{(.*?)\};", source, re.DOTALL)
    return set(re.findall(r'"([^"]*)"', body[1]))


def same(documented, there_is, where):
    faults = [f"{where} does not document {item}" for item in sorted(set(there_is) - set(documented))]
    faults += [f"{where} documents {item}, which is not there" for item in sorted(set(documented) - set(there_is))]
    assert not faults, "\n".join(faults)


class Manual:
    def __init__(self, kvfs, top, pages):
        self.kvfs = kvfs
        self.top = top
        self.pages = pages
        self.commands = re.findall(r"^  (\S+)", self.run("help").split("\nCommands:\n")[1], re.MULTILINE)

    def run(self, *words):
        return subprocess.run([self.kvfs, *words], check=True, stdout=subprocess.PIPE, text=True).stdout

    def read(self, *path):
        with open(os.path.join(self.top, *path), encoding="utf-8") as file:
            return file.read()

    def section(self, page, title):
        """Lines below a heading, up to the next of its level or above."""
        text = self.read("docs", "man", page + ".scd")
        level = "##?" if title.startswith("## ") else "#"
        match = re.search(rf"^{re.escape(title)}$(.*?)(?=^{level} |\Z)", text, re.DOTALL | re.MULTILINE)
        assert match, f"{page} has no '{title}'"
        return match[1].split("\n")

    def commands_have_sections(self):
        sections = re.findall(r"^## kvfs (\S+)$", self.read("docs", "man", "kvfs.1.scd"), re.MULTILINE)
        same(sections, self.commands, "kvfs(1)")

    def options(self, command):
        own = ("kvfs.1", f"## kvfs {command}", [command])
        reference = "\n".join(self.section(*own[:2]))
        for page, heading, words in OWN_PAGES.get(command, [own]):
            assert page == "kvfs.1" or page.rsplit(".", 1)[0] in reference, f"kvfs(1) does not refer to {page}"
            there_is = options_of_help(self.run(*words, "--help"))
            same(options_of_page(self.section(page, heading)).items(), there_is.items(), f"{page}, {heading},")

    def workloads(self, kind):
        there_is = re.findall(r"^  (\w+)", self.run("bench", kind, "--help").split("\nWorkloads:\n")[1], re.MULTILINE)
        heads = [line for line in self.section("kvfs-bench.1", f"# WORKLOADS OF BENCH {kind.upper()}") if line.startswith("*")]
        same(re.findall(r"\*(\w+)\*", " ".join(heads)), there_is, "kvfs-bench(1)")

    def mount_options(self):
        source = self.read("tools", "mount_options.c")
        there_is = {"comment", "x-"}.union(*(strings_of(source, name) for name in ("ignored", "for_kernel", "ours")))
        heads = [line for line in self.section("mount.kvfs.8", "# MOUNT OPTIONS") if line.startswith("*")]
        # `*uring*=*auto*|*on*`: the name, not its values.
        documented = {name.replace("\\", "") for line in heads for name in re.findall(r"(?:^|, )\*([^*]+)\*", line)}
        same(documented, there_is, "mount.kvfs(8)")

    def help_of_mount(self):
        """What the help lists for -o is on the page, too."""
        text = self.run("mount", "--help").split("Options for -o:\n")[1]
        names = [name for line in re.findall(r"^  (\w.*?)(?:   |$)", text, re.MULTILINE)
                 for name in re.findall(r"(?:^|, )(\w+)", line)]
        page = "\n".join(self.section("mount.kvfs.8", "# MOUNT OPTIONS"))
        assert len(names) > 10, names
        missing = [name for name in names if f"*{name}*" not in page]
        assert not missing, f"mount.kvfs(8) does not document {missing}"

    def helper_options(self):
        letters = re.search(r'getopt\(argc, argv, "([\w:]+)"\)', self.read("tools", "cmd_mount.c"))[1]
        heads = [line for line in self.section("mount.kvfs.8", "# OPTIONS") if line.startswith("*-")]
        documented = re.findall(r"\*-(\w)\*", " ".join(heads))
        same(documented, letters.replace(":", ""), "mount.kvfs(8), of the options that mount(8) passes,")

    def environment(self):
        sources = "".join(self.read(path) for path in glob.glob(os.path.join(self.top, "tools", "*.c")))
        documented = re.findall(r"^\*(\w+)\*$", "\n".join(self.section("kvfs.1", "# ENVIRONMENT")), re.MULTILINE)
        same(documented, re.findall(r'getenv\("(\w+)"\)', sources), "kvfs(1), ENVIRONMENT,")

    def made_of_every_source(self):
        sources = [os.path.basename(path)[:-4] for path in glob.glob(os.path.join(self.top, "docs", "man", "*.scd"))]
        same([os.path.basename(page) for page in self.pages], sources, "the build")

    def named_as_they_are(self):
        """The NAME section lists the page's own name, as man -k and lintian want it."""
        for page in self.pages:
            name = os.path.basename(page)[:-2]
            names = "".join(self.section(os.path.basename(page), "# NAME"))
            assert name in re.split(r",? ", names), f"{page}: NAME says '{names}'"

    def renders(self):
        """As man(1) has it formatted."""
        for page in self.pages:
            done = subprocess.run(["groff", "-K", "UTF-8", "-t", "-mandoc", "-wmac", "-Tutf8", page],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
            assert done.returncode == 0 and done.stderr == "", f"{page}: exit status {done.returncode}, {done.stderr}"

    def lints(self):
        for page in self.pages:
            output = subprocess.run(["mandoc", "-Tlint", "-W", "warning", page], stdout=subprocess.PIPE, text=True,
                                    check=False).stdout
            faults = [line for line in output.splitlines() if not GENERATOR_FAULTS.search(line)]
            assert not faults, "\n".join(faults)


def main():
    report = Report()
    manual = Manual(sys.argv[1], sys.argv[2], sys.argv[3:])
    points = [("kvfs(1) has a section for each command", manual.commands_have_sections)]
    for command in manual.commands:
        points.append((f"the options of kvfs {command} are those of its help",
                       lambda command=command: manual.options(command)))
    points += [("kvfs-bench(1) has every workload of the engine", lambda: manual.workloads("kv")),
               ("and every workload of files", lambda: manual.workloads("fs")),
               ("mount.kvfs(8) has every mount option that is known", manual.mount_options),
               ("and all that the help of kvfs mount lists", manual.help_of_mount),
               ("and all that mount(8) passes", manual.helper_options),
               ("kvfs(1) has every environment variable that is read", manual.environment)]
    made = [("a page is made of every source", manual.made_of_every_source, "scdoc"),
            ("each page names itself", manual.named_as_they_are, "scdoc"),
            ("man shows each page without a warning", manual.renders, "groff"),
            ("mandoc finds no fault", manual.lints, "mandoc")]
    for title, check in points:
        report.point(title, faults_of(check))
    for title, check, program in made:
        if manual.pages and shutil.which(program):
            report.point(title, faults_of(check))
        else:
            report.point(f"{title} # SKIP {f'no {program} here' if manual.pages else 'built without scdoc'}", [])
    print(f"1..{report.points}")
    sys.exit(report.failed > 0)


def faults_of(check):
    try:
        check()
    except AssertionError as fault:
        return [str(fault)]
    return []


if __name__ == "__main__":
    main()
