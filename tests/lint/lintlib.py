# SPDX-License-Identifier: Apache-2.0
"""What the lint checks share: the files of the tree, C without comments, and TAP output."""

import os
import re
import sys

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
SKIPPED = {".git", "__pycache__"}  # .git is a file in a worktree


def files(*suffixes, under=("",)):
    """Paths below the top, sorted, of the tree's files with these suffixes ("" means all)."""
    found = []
    for start in under:
        for folder, folders, names in os.walk(os.path.join(TOP, start)):
            folders[:] = [f for f in folders
                          if f not in SKIPPED and not is_build(folder, f)]
            for name in names:
                if name not in SKIPPED and name.endswith(tuple(suffixes)):
                    found.append(os.path.relpath(os.path.join(folder, name), TOP))
    return sorted(found)


def is_build(folder, name):
    """Build folders stand at the top and hold what meson made."""
    return os.path.samefile(folder, TOP) and name.startswith("build")


def read(path):
    with open(os.path.join(TOP, path), encoding="utf-8", errors="replace") as file:
        return file.read()


BLANKED = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


def code_lines(text):
    """Lines of C with comments and the insides of strings blanked; line numbers stay."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return BLANKED.sub(blank, text).split("\n")


class Tap:
    """One TAP point per rule; a failed one lists every place and the mend."""

    def __init__(self):
        self.count = 0
        self.failed = 0

    def rule(self, title, faults, mend):
        self.count += 1
        if faults:
            self.failed += 1
            print(f"not ok {self.count} - {title}")
            for fault in faults:
                print(f"#   {fault}")
            print(f"#   mend: {mend}")
        else:
            print(f"ok {self.count} - {title}")

    def remark(self, text):
        print(f"# {text}")

    def finish(self):
        print(f"1..{self.count}")
        sys.exit(1 if self.failed else 0)
