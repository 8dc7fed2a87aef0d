#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Mail is delivered into a maildir, read, marked and removed by several processes at once.

usage: maildir_load.py DIRECTORY MESSAGES SEED

A delivery writes into tmp, syncs, and links or renames into new. A reader moves each message from
new to cur with a mark, reads it all, and removes every third. Nothing is delivered twice or lost,
and every message is what was sent.
"""

import hashlib
import multiprocessing
import os
import random
import sys
import time

SENDERS, READERS = 4, 2
PATIENCE_S = 300


def sync_directory(path):
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def send(top, who, count, seed):
    rng = random.Random(seed)
    for number in range(count):
        body = rng.randbytes(rng.choice([300, 3000, 30000]))
        name = f"{hashlib.sha256(body).hexdigest()}.{who}.{number}"
        with open(f"{top}/tmp/{name}", "xb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        if rng.random() < 0.5:
            os.link(f"{top}/tmp/{name}", f"{top}/new/{name}")
            os.unlink(f"{top}/tmp/{name}")
        else:
            os.rename(f"{top}/tmp/{name}", f"{top}/new/{name}")
        if number % 20 == 0:
            sync_directory(f"{top}/new")


def take(top, name):
    """Only one reader can have it."""
    try:
        os.rename(f"{top}/new/{name}", f"{top}/cur/{name}:2,S")
    except FileNotFoundError:
        return False
    with open(f"{top}/cur/{name}:2,S", "rb") as file:
        if hashlib.sha256(file.read()).hexdigest() != name.split(".")[0]:
            raise AssertionError(f"{name} is not what was sent")
    return True


def read(top, taken, total, results):
    mine = removed = 0
    end = time.monotonic() + PATIENCE_S
    while taken.value < total and time.monotonic() < end:
        names = os.listdir(f"{top}/new")
        for name in names:
            if not take(top, name):
                continue
            mine += 1
            with taken.get_lock():
                taken.value += 1
            if mine % 3 == 0:
                os.unlink(f"{top}/cur/{name}:2,S")
                removed += 1
        if not names:
            time.sleep(0.01)
    results.put((mine, removed))


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    top, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    for name in ("tmp", "new", "cur"):
        os.makedirs(f"{top}/{name}")
    total = count // SENDERS * SENDERS
    taken = multiprocessing.Value("q", 0)
    results = multiprocessing.Queue()
    processes = [multiprocessing.Process(target=send, args=(top, i, count // SENDERS, seed + i)) for i in range(SENDERS)]
    processes += [multiprocessing.Process(target=read, args=(top, taken, total, results)) for _ in range(READERS)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(2 * PATIENCE_S)
    if any(process.exitcode != 0 for process in processes):
        sys.exit(f"processes ended with {[process.exitcode for process in processes]}")
    told = [results.get() for _ in range(READERS)]
    mine, removed = sum(t[0] for t in told), sum(t[1] for t in told)
    left = [len(os.listdir(f"{top}/{name}")) for name in ("tmp", "new", "cur")]
    print(f"{mine} of {total} taken, {removed} removed, left in tmp, new, cur: {left}")
    sys.exit(0 if mine == total and left == [0, 0, total - removed] else 1)


if __name__ == "__main__":
    main()
