#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Copies of a store in use (kvfs checkpoint), each of one moment, that what the store does later does not change.

usage: test_checkpoint.py BUILD_DIR      KV_SEED=N what the writers do
                                         KVFS_CHECKPOINT_MIB=N how much the store holds (8; 1024 takes minutes)
                                         TMPDIR=DIR on which file system

Two writers (tests/lib/writers.py) create, overwrite, cut, link, rename and remove files, each call in an order that its
seed tells, while copies are made. Then much of what the copies hold is removed from the store, which is merged, so
that it gives files back. Of each copy fsck must say that it is clean, and it must hold for each writer the state
after some number of calls: not fewer than had returned when the copy was begun, not more than were begun when it was
complete, and for both writers together no call without those that had returned before it.
"""

import copy
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import types

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from kvfs_mount import Mount, Report, attempt  # noqa: E402
from writers import Writer, order_faults  # noqa: E402

SMALL_MIB, COPIES, COPIES_OF_LARGE = 8, 3, 5
CALLS_BETWEEN = 100  # of each writer, at least
SYNC_RATE = 0.02
PATIENCE_S = 300
MIB = 1 << 20


class Ballast:
    """Files that nobody changes, until half of them are removed: some large ones, which the engine keeps apart, and
    for each a few small ones."""

    def __init__(self, mib, seed):
        self.seed = seed
        self.sizes = {f"{i:05}{part}": size for i in range(mib)
                      for part, size in (("a", MIB - 48 * 1024), ("b", 30000), ("c", 17000), ("d", 1000))}

    def content(self, name):
        return random.Random(f"{self.seed} {name}").randbytes(self.sizes[name])

    def make(self, top):
        os.mkdir(top)
        for name in self.sizes:
            with open(os.path.join(top, name), "wb", buffering=0) as file:
                file.write(self.content(name))

    def remove_half(self, top):
        for name in list(self.sizes)[:len(self.sizes) // 2]:
            os.unlink(os.path.join(top, name))

    def check(self, top):
        assert sorted(os.listdir(top)) == list(self.sizes), f"{len(os.listdir(top))} of {len(self.sizes)} files"
        for name in self.sizes:
            with open(os.path.join(top, name), "rb", buffering=0) as file:
                assert file.read() == self.content(name), f"{name} has changed"


class Copy:
    """`least`, `most`: calls of each writer that had returned before it was begun, and when it was there."""

    def __init__(self, kvfs, mount, path, writers):
        self.path = path
        self.writers = writers
        self.least = [int(writer.shared.count) for writer in writers]
        begin = time.monotonic()
        subprocess.run([kvfs, "checkpoint", mount.mountpoint, path], check=True)
        self.seconds = time.monotonic() - begin
        self.most = [int(writer.shared.count) for writer in writers]

    def as_of_then(self, number, top):
        """The writer as if it had ended when the copy was complete."""
        writer = copy.copy(self.writers[number])
        writer.top = os.path.join(top, os.path.basename(writer.top))
        writer.shared = types.SimpleNamespace(count=self.most[number], short=0, begin=writer.shared.begin,
                                              end=writer.shared.end)
        return writer

    def check_writers(self, top):
        then = [self.as_of_then(number, top) for number in range(len(self.writers))]
        faults = [fault for fault in map(Writer.check, then, self.least) if fault]
        faults = faults or order_faults(then)
        assert not faults, "\n".join(faults)


def wait_for(condition, what):
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"{what} for {PATIENCE_S} s"
        time.sleep(0.01)


def is_clean(kvfs, store):
    done = subprocess.run([kvfs, "fsck", "-n", store], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    assert done.returncode == 0, f"fsck -n {store}: exit status {done.returncode}\n{done.stdout}"


class Test:
    def __init__(self, kvfs, work, seed, mib):
        self.kvfs = kvfs
        self.work = work
        self.mount = Mount(kvfs, os.path.join(work, "store"), os.path.join(work, "mnt"), os.path.join(work, "daemon.log"))
        self.rng = random.Random(seed)
        self.ballast = Ballast(mib, seed)
        self.copies_wanted = COPIES if mib <= SMALL_MIB else COPIES_OF_LARGE
        self.writers = []
        self.copies = []

    def fill(self):
        self.mount.make_store()
        self.mount.start()
        self.ballast.make(os.path.join(self.mount.mountpoint, "ballast"))

    def go_on(self):
        """Until each writer has made some more calls."""
        for writer in self.writers:
            until = writer.shared.count + CALLS_BETWEEN
            wait_for(lambda writer=writer, until=until: writer.shared.count >= until or not writer.is_running(),
                     f"{writer.top} got no further")
            assert writer.is_running(), writer.wait()

    def make_copies(self):
        for number in range(2):
            top = os.path.join(self.mount.mountpoint, f"w{number}")
            os.mkdir(top)
            self.writers.append(Writer(top, self.rng.getrandbits(48), SYNC_RATE))
        for number in range(self.copies_wanted):
            self.go_on()
            self.copies.append(Copy(self.kvfs, self.mount, os.path.join(self.work, f"copy{number}"), self.writers))

    def files_given_back(self):
        """Files of the last copy that were the store's, and are no longer."""
        return [name for name in os.listdir(self.copies[-1].path) if name.endswith((".table", ".blob"))
                and not os.path.exists(os.path.join(self.mount.store, name))]

    def reclaim(self):
        self.ballast.remove_half(os.path.join(self.mount.mountpoint, "ballast"))
        subprocess.run([self.kvfs, "compact", self.mount.mountpoint], check=True, stderr=subprocess.DEVNULL)
        wait_for(lambda: any(name.endswith(".table") for name in self.files_given_back())
                 and any(name.endswith(".blob") for name in self.files_given_back()), "the store kept all its files")
        self.go_on()
        for writer in self.writers:
            writer.kill()

    def check_copy(self, made):
        is_clean(self.kvfs, made.path)
        look = Mount(self.kvfs, made.path, os.path.join(self.work, "look"), self.mount.log.name, "memory=32M,ro")
        try:
            look.start()
            made.check_writers(look.mountpoint)
            self.ballast.check(os.path.join(look.mountpoint, "ballast"))
            assert look.stop() == 0, "the daemon of the copy ended with a failure"
        finally:
            look.clean_up()

    def check_store(self):
        faults = [fault for fault in map(Writer.check, self.writers) if fault]
        assert not faults, "\n".join(faults)
        assert self.mount.stop() == 0, "the daemon ended with a failure"
        is_clean(self.kvfs, self.mount.store)

    def run(self, report):
        report.point(f"a store of {len(self.ballast.sizes) // 4} MiB is made and mounted", attempt(self.fill))
        report.point(f"{self.copies_wanted} copies are made beside two writers", attempt(self.make_copies))
        if report.failed:
            return
        seconds = [made.seconds for made in self.copies]
        print(f"# a copy takes {statistics.median(seconds):.3f} s (median), at most {max(seconds):.3f}")
        report.point("half of it is removed, and the store gives files back that the copies hold", attempt(self.reclaim))
        for number, made in enumerate(self.copies):
            calls = " and ".join(f"{least} to {most}" for least, most in zip(made.least, made.most))
            report.point(f"copy {number} is clean, and has everything after {calls} calls of the writers",
                         attempt(lambda made=made: self.check_copy(made)))
        report.point("so is the store, with all calls", attempt(self.check_store))

    def clean_up(self):
        for writer in self.writers:
            writer.kill()
        self.mount.clean_up()


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    seed = int(os.environ.get("KV_SEED") or random.SystemRandom().getrandbits(48))
    mib = int(os.environ.get("KVFS_CHECKPOINT_MIB") or SMALL_MIB)
    work = tempfile.mkdtemp()
    report = Report()
    test = Test(os.path.join(os.path.realpath(sys.argv[1]), "tools", "kvfs"), work, seed, mib)
    try:
        test.run(report)
    except RuntimeError as error:
        report.point("the test ran to its end", [str(error)])
    finally:
        test.clean_up()
    if report.failed:
        print(f"# replay with KV_SEED={seed}; left for inspection: {work}")
    else:
        shutil.rmtree(work)
    print(f"1..{report.points}")
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    main()
