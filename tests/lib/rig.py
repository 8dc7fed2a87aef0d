# SPDX-License-Identifier: Apache-2.0
"""What the rigs (tests/rigs) share: their arguments, their beginning and their end.

A rig mounts everything in a mount namespace of its own, and every child dies with it: however it
ends, no mount and no loop device is left.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile

from kvfs_mount import Report

SLOW = "KV_SLOW"  # set by tests/run --slow
NAMESPACE = "KVFS_RIG_NAMESPACE"  # process that has been given a namespace


def enter_namespace(why_not=None):
    """Run this program again where its mounts are its own, unless why_not() (skip_reason, if not given) tells a
    reason. SIGTERM ends it like an exception."""
    if os.environ.get(NAMESPACE) != str(os.getpid()):
        os.environ[NAMESPACE] = str(os.getpid())
        reason = (why_not or skip_reason)()
        if reason:
            print(f"1..0 # skip {reason}")
            sys.exit(0)
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable] + sys.argv)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    drop_copies()


def drop_copies():
    """The namespace begins with a copy of every mount. Daemons of kvfs serve on until theirs are gone,
    and whoever unmounts one meanwhile waits."""
    for target in subprocess.run(["findmnt", "--raw", "--noheadings", "--types", "fuse.kvfs", "--output", "TARGET"],
                                 stdout=subprocess.PIPE, check=False).stdout.split():
        subprocess.run(["umount", "-l", target.decode("unicode_escape")], check=True)


def skip_reason():
    """Why no rig can run here, or None. Found by doing what they do."""
    if not os.path.exists("/dev/loop-control"):
        return "no loop devices on this machine"
    with tempfile.TemporaryDirectory() as work:
        script = 'truncate -s 16M "$1/image" && mkfs.ext4 -q -F "$1/image" && mkdir "$1/mnt" && ' \
                 'mount -o loop "$1/image" "$1/mnt"'
        tried = subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", work],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    output = tried.stdout.decode(errors="replace").strip().split("\n")[-1]
    return f"an image cannot be mounted here: {output}" if tried.returncode else None


def make_directories(tops):
    """All in one directory, and durable, so that a crash leaves a state of what is in each."""
    for top in tops:
        os.mkdir(top)
    descriptor = os.open(os.path.dirname(tops[0]), os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(descriptor)
    os.close(descriptor)


def rounds(report, count, one_round):
    """`one_round(number)` until one fails. What it raises is a failure too."""
    for number in range(1, count + 1):
        try:
            one_round(number)
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            report.point(f"round {number} ran to its end", [f"{type(error).__name__}: {error}"])
        if report.failed:
            return


def main(usage, count, slow_count, run):
    """`run(report, kvfs, work, count, rng)`: all rounds, in the empty directory `work`, with the
    daemon's messages in daemon.log there. The random numbers follow from the seed alone."""
    if len(sys.argv) not in (2, 3):
        sys.exit(usage)
    enter_namespace()
    build = os.path.realpath(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) == 3 else slow_count if os.environ.get(SLOW) else count
    seed = int(os.environ.get("KV_SEED") or random.SystemRandom().getrandbits(48))
    work = tempfile.mkdtemp()
    report = Report()
    keep = False
    try:
        run(report, os.path.join(build, "tools", "kvfs"), work, count, random.Random(seed))
        print(f"# tried: {count} rounds")
        keep = report.failed > 0
        if keep:
            print(f"# replay with KV_SEED={seed} {sys.argv[0]} {sys.argv[1]} {count}; left for inspection: {work}")
            with open(os.path.join(work, "daemon.log"), errors="replace") as log:
                print("".join("#   " + line for line in log.readlines()[-20:]), end="")
    finally:
        if not keep:
            shutil.rmtree(work)
    print(f"1..{report.points}")
    sys.exit(1 if report.failed else 0)
