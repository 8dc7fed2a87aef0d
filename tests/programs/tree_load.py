#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Several processes make, rename, link, unlink, write and read in one small tree, so that they meet.

usage: tree_load.py DIRECTORY SECONDS PROCESSES SEED

Any call may fail as it may where others change the same names; another error ends the load with
status 1. A file holds one byte over and over (and zeros where there are holes), whoever reads it
checks that. Prints how many calls succeeded and how many failed as expected.
"""

import collections
import ctypes
import errno
import mmap
import multiprocessing
import os
import random
import shutil
import sys
import time
import traceback

DIRECTORIES = 8
NAMES = 24
# None: shutil.rmtree met a symbolic link.
EXPECTED = {None, errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY, errno.EINVAL, errno.EISDIR, errno.ENOTDIR, errno.ENODATA, errno.EPERM, errno.ENXIO}
RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2
AT_FDCWD = -100
libc = ctypes.CDLL(None, use_errno=True)


def rename2(old, new, flags):
    if libc.renameat2(AT_FDCWD, os.fsencode(old), AT_FDCWD, os.fsencode(new), flags) != 0:
        raise OSError(ctypes.get_errno(), "renameat2", old)


class Load:
    def __init__(self, top, seed):
        self.top = top
        self.rng = random.Random(seed)
        self.calls = [(name[3:], getattr(self, name)) for name in sorted(dir(self)) if name.startswith("op_")]
        self.held = []

    def directory(self):
        path = f"{self.top}/d{self.rng.randrange(DIRECTORIES)}"
        return path if self.rng.random() < 0.7 else f"{path}/s{self.rng.randrange(3)}"

    def name(self):
        return f"{self.directory()}/n{self.rng.randrange(NAMES)}"

    def subdirectory(self):
        return f"{self.top}/d{self.rng.randrange(DIRECTORIES)}/s{self.rng.randrange(3)}"

    def op_create(self):
        with open(self.name(), "xb", buffering=0) as file:
            file.write(bytes([self.rng.randrange(1, 256)]) * self.rng.choice([1, 100, 5000, 40000]))

    def op_overwrite(self):
        with open(self.name(), "r+b", buffering=0) as file:
            first = file.read(1)
            if first != b"":
                file.seek(self.rng.randrange(70000))
                file.write(first * self.rng.choice([1, 4096, 9000]))

    def op_append(self):
        with open(self.name(), "a+b", buffering=0) as file:
            file.seek(0)
            file.write(file.read(1) * self.rng.randrange(1, 5000))  # nothing while it is empty

    def op_truncate(self):
        os.truncate(self.name(), self.rng.randrange(1, 50000))

    def op_punch(self):
        descriptor = os.open(self.name(), os.O_WRONLY)
        try:
            if libc.fallocate(descriptor, 3, ctypes.c_long(4096 + self.rng.randrange(9000)), ctypes.c_long(self.rng.randrange(1, 30000))) != 0:
                raise OSError(ctypes.get_errno(), "fallocate")
        finally:
            os.close(descriptor)

    def check(self, data):
        if len(set(data) - {0}) > 1:
            raise AssertionError(f"a file of {data[:1]!r} holds {sorted(set(data))}")

    def op_read(self):
        with open(self.name(), "rb", buffering=0) as file:
            self.check(file.read(200000))

    def op_map(self):
        with open(self.name(), "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size > 0 and self.rng.random() < 0.3:
                mmap.mmap(file.fileno(), min(size, 4096), prot=mmap.PROT_READ).close()

    def op_unlink(self):
        os.unlink(self.name())

    def op_rename(self):
        rename2(self.name(), self.name(), self.rng.choice([0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE]))

    def op_link(self):
        os.link(self.name(), self.name(), follow_symlinks=False)

    def op_symlink(self):
        os.symlink("n%d" % self.rng.randrange(NAMES), self.name() + "l")

    def op_unlink_symlink(self):
        os.unlink(self.name() + "l")

    def op_mkdir(self):
        os.mkdir(self.subdirectory())

    def op_rmdir(self):
        os.rmdir(self.subdirectory())

    def op_rename_directory(self):
        rename2(self.subdirectory(), self.subdirectory(), self.rng.choice([0, 0, RENAME_EXCHANGE]))

    def op_remove_tree(self):
        path = self.subdirectory()
        if self.rng.random() < 0.05 and not os.path.islink(path):
            shutil.rmtree(path)

    def op_list(self):
        seen = [entry.name for entry in os.scandir(self.directory())]
        if len(set(seen)) != len(seen):
            raise AssertionError(f"names are listed twice: {sorted(seen)}")

    def op_stat(self):
        if os.lstat(self.name()).st_nlink < 0:
            raise AssertionError

    def op_chmod(self):
        os.chmod(self.name(), self.rng.choice([0o600, 0o644, 0o755]))

    def op_set_attribute(self):
        os.setxattr(self.name(), f"user.{self.rng.randrange(4)}", self.rng.randbytes(self.rng.randrange(200)))

    def op_remove_attribute(self):
        os.removexattr(self.name(), f"user.{self.rng.randrange(4)}")

    def op_hold(self):
        """Files stay open while others unlink them."""
        self.held.append(open(self.name(), "r+b", buffering=0))
        if len(self.held) > 8:
            file = self.held.pop(0)
            with file:
                data = file.read(100000)
                self.check(data)
                file.write(data[:1])

    def op_copy(self):
        with open(self.name(), "rb", buffering=0) as old, open(self.name(), "xb", buffering=0) as new:
            while os.copy_file_range(old.fileno(), new.fileno(), 1 << 20) > 0:
                pass

    def op_fsync(self):
        if self.rng.random() < 0.1:
            with open(self.name(), "r+b", buffering=0) as file:
                os.fsync(file.fileno())

    def step(self, counts):
        what, call = self.rng.choice(self.calls)
        try:
            call()
            counts[what] += 1
        except OSError as error:
            if error.errno not in EXPECTED:
                raise RuntimeError(f"{what}: {error}") from error
            counts["expected failures"] += 1


def run(top, seconds, seed, results):
    counts = collections.Counter()
    try:
        load = Load(top, seed)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            load.step(counts)
        results.put((counts, None))
    except Exception:  # whatever it was, the parent tells it
        results.put((counts, traceback.format_exc()))


def main():
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    top, seconds, processes, seed = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    for i in range(DIRECTORIES):
        os.makedirs(f"{top}/d{i}", exist_ok=True)
    results = multiprocessing.Queue()
    children = [multiprocessing.Process(target=run, args=(top, seconds, seed * 1000 + i, results)) for i in range(processes)]
    for child in children:
        child.start()
    total = collections.Counter()
    faults = []
    for _ in children:
        counts, failed = results.get()
        total += counts
        faults += [failed] if failed else []
    for child in children:
        child.join()
    print(f"{sum(total.values())} calls: " + ", ".join(f"{count} {what}" for what, count in sorted(total.items())))
    print("\n".join(faults))
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
