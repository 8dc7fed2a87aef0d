#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The probes in the program are those that docs/operations.md lists, each with as many arguments.

usage: test_probes.py KVFS TOP

What the program has stands in its ELF notes, where perf and bpftrace look for it.
"""

import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from kvfs_mount import Report  # noqa: E402

PROBE = re.compile(r"Provider: kvfs\n\s+Name: (\S+)\n.*\n\s+Arguments:(.*)")
ROW = re.compile(r"\| `(\w+)` \| (.*) \|")


def probes_of(program):
    """name -> the numbers of arguments at its places in the program"""
    notes = subprocess.run(["readelf", "-n", program], stdout=subprocess.PIPE, text=True, check=True).stdout
    found = {}
    for name, arguments in PROBE.findall(notes):
        found.setdefault(name, set()).add(arguments.count("@"))
    return found


def documented(top):
    """name -> the number of arguments"""
    with open(os.path.join(top, "docs", "operations.md"), encoding="utf-8") as file:
        section = file.read().split("### Tracing\n")[1].split("\n## ")[0]
    # What stands between brackets or behind a colon explains an argument.
    return {name: len(re.sub(r"\([^)]*\)|:.*", "", text).split(", ")) for name, text in ROW.findall(section)}


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    there, told = probes_of(sys.argv[1]), documented(sys.argv[2])
    if not there:
        print("1..0 # SKIP built without sys/sdt.h (package systemtap-sdt-dev)")
        return
    report = Report()
    report.point("each probe is documented and the other way round", [f"only in one: {n}" for n in set(there) ^ set(told)])
    for name in sorted(set(there) & set(told)):
        report.point(f"{name}: its arguments", [] if there[name] == {told[name]} else
                     [f"the program has {there[name]}, the table {told[name]}"])
    print(f"1..{report.points}")
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    main()
