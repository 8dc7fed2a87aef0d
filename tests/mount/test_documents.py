#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The commands of README.md and docs/operations.md do what is said there.

usage: test_documents.py BUILD_DIR

Each block of code is commands, but for those marked ```text; a line with `$ ` in front is one, and below it stands
what it prints (… stands for anything). In a sentence, what stands between backquotes and has several words, the first in small letters, is
one too. All are run as they stand and in their order, with /srv and /mnt replaced in a mount namespace of its own. Of
`kvfs NAME` the help is asked. A command that is neither run nor in NOT_RUN, with the reason, is a fault.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import rig  # noqa: E402
from kvfs_mount import Report  # noqa: E402

TOP = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
DOCUMENTS = ("README.md", "docs/operations.md")
MOUNTPOINT = "/mnt/a"
TIMEOUT_S = 120

NOT_RUN = {
    "tools/quickstart": "tests/install/test_quickstart.sh runs it",
    "tests/run": "it is what runs this test",
    "tools/packaging/make-deb packages": "tests/package/test_deb.sh runs it",
    "apt-get install ./packages/kvfs_*.deb": "tests/package/test_deb.sh installs the package",
    "apt-get install ./packages/libkvcore*.deb": "tests/package/test_deb.sh installs the packages",
    "apt-get purge kvfs": "tests/package/test_deb.sh removes the package",
    "meson setup build -Dbuildtype=release && meson install -C build": "tests/install/test_install.sh installs a build",
    "mount -t kvfs": "no whole command; tests/mount/test_lifecycle.sh and tests/package/test_deb.sh run such",
    "systemctl enable --now kvfs@a": "there need be no systemd; tests/package/test_deb.sh runs what the unit says",
    "systemctl enable --now kvfs-serve@b": "as for kvfs@a",
    "systemctl edit kvfs@home": "as for kvfs@a",
    "ceph -s": "a command of Ceph, whose client need not be installed",
    "man kvfs": "not installed here; tests/package/test_deb.sh looks at the installed pages",
    "man mount.kvfs": "as man kvfs",
    "man mkfs.kvfs": "as man kvfs",
    "man fsck.kvfs": "as man kvfs",
    "man kvfs-bench": "as man kvfs",
    "kvfs mount rados://POOL/NAME /mnt/a": "takes a cluster; tests/rados/test_store.sh mounts such a store",
    "kvfs bench kv --engines kvfs,rocksdb,leveldb": "takes a build with peers, and minutes",
    "put KEY VALUE": "a line of a batch",
    "del KEY": "a line of a batch",
    "if-absent KEY": "a line of a batch",
    "if-equal KEY VALUE": "a line of a batch",
    "chattr +i": "no command to give but a state that is spoken of; tests/mount/test_chattr.sh",
}

# What is only a part of a command in the text is run as this one.
COMPLETED = {
    "rm -r": "rm -r /srv/a-monday",
    "rm -r /srv/a-backup": "rm -r /srv/a-backup",
    "find -inum": "find /mnt/a -inum $(stat -c %i /mnt/a/greeting) | grep -x /mnt/a/greeting",
    "tar --acls --xattrs --xattrs-include='*'":
        "mkdir out && tar --acls --xattrs --xattrs-include='*' -xf tree.tar -C out && cmp out/greeting greeting",
}

MOUNTED = "mountpoint -q /mnt/a || kvfs mount /srv/a /mnt/a"
UNMOUNTED = "! mountpoint -q /mnt/a || kvfs umount /mnt/a"
# The other copy of the root record than the one in force, which has the smaller number.
DAMAGED = UNMOUNTED + r""" && python3 -c '
import struct
with open("/srv/a/ROOT", "r+b") as root:
    numbers = [struct.unpack_from("<Q", root.read(4096), 8)[0] for _ in range(2)]
    at = numbers.index(min(numbers)) * 4096 + 40
    root.seek(at)
    byte = root.read(1)[0]
    root.seek(at)
    root.write(bytes([byte ^ 16]))' && { kvfs fsck -p /srv/a; [ $? -eq 1 ]; }"""

# What must be there before, as the sentences around tell.
FIRST = {
    "README.md": "mkdir -p /mnt/a tree && echo hello > tree/greeting && tar -C tree -cf tree.tar greeting",
    "docs/operations.md": "kvfs umount /mnt/a 2>/dev/null; mkdir -p /mnt/a && kvfs mkfs -q /srv/a && kvfs mkfs -q /srv/b && "
                          "kvfs mount /srv/a /mnt/a && echo hello > greeting && cp greeting /mnt/a",
}
BEFORE = {
    "kvfs checkpoint /mnt/a /srv/a-monday": MOUNTED,
    "kvfs verify /mnt/a": MOUNTED,
    "find -inum": MOUNTED,
    "kvfs health /mnt/a": MOUNTED,
    "kvfs export /srv/a > tree.tar": UNMOUNTED,
    "kvfs fsck /srv/a": UNMOUNTED,
    "fsck -t kvfs /srv/a": UNMOUNTED,
    "kvfs recover --output /srv/saved /srv/a": UNMOUNTED,
    "kvfs fsck --undo /srv/a/lost+found.d/00000001 /srv/a": DAMAGED,
}

# Exit statuses other than 0, and what is printed, where a sentence says so.
STATUSES = {
    "kvfs health /mnt/a": (0, 1),  # a device that is slow or nearly full is told as it should be
    "kvfs fsck --undo /srv/a/lost+found.d/00000001 /srv/a": (1,),
    "kvfs recover --output /srv/saved /srv/a": (1,),  # what was taken back before is damage again
}
PRINTS = {"kvfs health /mnt/a": r"ok\n|degraded", "kvfs fsck /srv/a": r"/srv/a: clean\n",
          "kvfs find /mnt/a user.tag=red": r"greeting\n"}
AFTER = {
    "kvfs exec /srv/store -- tar -x < tree.tar": "[ \"$(kvfs get /srv/store greeting)\" = hello ]",
    "kvfs checkpoint /mnt/a /srv/a-monday": "[ \"$(kvfs get /srv/a-monday greeting)\" = hello ]",
    "kvfs recover --output /srv/saved /srv/a": "[ \"$(kvfs get /srv/saved greeting)\" = hello ]",
    r"printf 'if-absent lock\nput lock me\nput users/42 Ada\ndel users/41\n' | kvfs batch -f /srv/b": "[ \"$(kvfs get /srv/b users/42)\" = Ada ]",
    "rsync -a --delete /srv/a-backup/ backup/": "[ \"$(kvfs get backup greeting)\" = hello ]",
    "kvfs import /srv/b < tree.tar": "[ \"$(kvfs get /srv/b greeting)\" = hello ]",
}

# Nothing else of what somebody writes into a document is started by a test.
PROGRAMS = ("kvfs", "fsck", "mkdir", "cat", "ls", "printf", "rsync", "setfattr")
NAME_OF_COMMAND = re.compile(r"kvfs( [a-z]+)+")
SPAN = re.compile(r"[a-z./][\w./-]* .*")  # of several words, the first not an option nor in capitals


class Command:
    """`output`: lines that the document shows, or None."""

    def __init__(self, document, number, text, output=None):
        self.where = f"{document}:{number}"
        self.text = text.split("  #")[0].strip()  # what a comment says is no part of it
        self.output = output


def commands_of(document):
    """In their order."""
    with open(os.path.join(TOP, document), encoding="utf-8") as file:
        lines = file.read().split("\n")
    found = []
    fence = None
    for number, line in enumerate(lines, 1):
        if line.startswith("```"):
            fence = None if fence else line[3:] or "commands"
            transcript = None
        elif fence == "commands" and line.startswith("$ "):
            transcript = Command(document, number, line[2:], [])
            found.append(transcript)
        elif fence == "commands" and transcript:
            transcript.output.append(line)
        elif fence == "commands" and line:
            found.append(Command(document, number, line))
        elif not fence:
            found += [Command(document, number, span) for span in re.findall(r"`([^`]+)`", line) if SPAN.fullmatch(span)]
    return found


class Runner:
    def __init__(self, build, work):
        self.work = os.path.join(work, "cwd")
        self.environment = dict(os.environ, PATH=f"{build}/tools:{os.environ['PATH']}", HOME=work)
        self.environment.pop("KVFS_STORE", None)
        os.mkdir(self.work)

    def run(self, command):
        """Returns (status, stdout, all that was said)."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            status = subprocess.run(["bash", "-c", command], cwd=self.work, env=self.environment, stdout=out, stderr=err,
                                    stdin=subprocess.DEVNULL, timeout=TIMEOUT_S, check=False).returncode
            said = []
            for file in (out, err):
                file.seek(0)
                said.append(file.read().decode(errors="replace"))
        return status, said[0], "".join(said)

    def step(self, command, what, statuses=(0,), prints=None):
        status, out, said = self.run(command)
        assert status in statuses, f"{what}exit status {status}: {command}\n{said}"
        assert prints is None or re.match(prints, out), f"{what}printed {out!r} and not {prints!r}: {command}"

    def try_command(self, command):
        """Asserts that it does what the document says."""
        text = command.text
        assert text in COMPLETED or text.split()[0] in PROGRAMS, \
            f"neither run nor told why not: add {text.split()[0]} to PROGRAMS, or the command to COMPLETED or NOT_RUN"
        if NAME_OF_COMMAND.fullmatch(text):
            self.step(text + " --help", "")
            return
        if text in BEFORE:
            self.step(BEFORE[text], "what must be there before: ")
        prints = PRINTS.get(text)
        if command.output is not None:
            prints = re.escape("".join(line + "\n" for line in command.output)).replace("…", ".*") + r"\Z"
        self.step(COMPLETED.get(text, text), "", STATUSES.get(text, (0,)), prints)
        if text in AFTER:
            self.step(AFTER[text], "what must be there afterwards: ")


def faults_of(check):
    try:
        check()
    except (AssertionError, subprocess.TimeoutExpired) as fault:
        return [str(fault)]
    return []


def try_documents(report, runner):
    for document in DOCUMENTS:
        report.point(f"{document}: what must be there is made",
                     faults_of(lambda document=document: runner.step(FIRST[document], "")))
        done = set()
        for command in commands_of(document):
            if command.text in done and command.output is None:
                continue
            done.add(command.text)
            if command.text in NOT_RUN:
                print(f"# {command.where}: {command.text}: not run: {NOT_RUN[command.text]}")
                continue
            report.point(f"{command.where}: {command.text.replace('#', '')}",
                         faults_of(lambda command=command: runner.try_command(command)))


def why_not(build):
    """Why nothing can be run here, or None."""
    if build.startswith(("/srv/", "/mnt/")) or tempfile.gettempdir().startswith(("/srv/", "/mnt/")):
        return "the build or the temporary directory is below /srv or /mnt, which are replaced"
    if not os.path.isdir("/srv") or not os.path.isdir("/mnt"):
        return "there is no /srv or no /mnt"
    tried = subprocess.run(["unshare", "--mount", "--propagation", "private", "mount", "--bind", "/tmp", "/mnt"],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return f"no mounts of one's own here: {tried.stdout.strip()}" if tried.returncode else None


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    build = os.path.realpath(sys.argv[1])
    rig.enter_namespace(lambda: why_not(build))
    work = tempfile.mkdtemp()
    report = Report()
    try:
        for name in ("srv", "mnt"):
            os.mkdir(os.path.join(work, name))
            subprocess.run(["mount", "--bind", os.path.join(work, name), f"/{name}"], check=True)
        try_documents(report, Runner(build, work))
    finally:
        for target in (MOUNTPOINT, "/mnt", "/srv"):
            subprocess.run(["umount", "-l", target], stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(work)
    print(f"1..{report.points}")
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    main()
