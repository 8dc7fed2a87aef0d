#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Keys are put and deleted through the control socket while programs read the same files from the mount: none may
see what was there before.

usage: coherence.py STORE MOUNTPOINT [COUNT]     COUNT changes; else as many as fit into some seconds, but at least a few

Each change has a number, and what is put consists of records of 16 bytes that hold it. Before a change the kernel is
made to remember a random part of what it can remember: a name, its absence, attributes, contents, a listing, an open
file, a mapped one. After it everything is looked at in all these ways, and must be what was just put, to the byte.

Meanwhile three processes look at the same files on their own. One that began to look after change A had been
acknowledged, and was done before change B was begun, must have seen A or what lies between the two: in every record.
"""

import ctypes
import mmap
import os
import random
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from control import Control  # noqa: E402
from writers import die_with_parent  # noqa: E402

KEYS = ["top", "d/one", "d/two", "e/f/deep", "e/f/g/deeper", "m/mapped1", "m/mapped2"]
FIRST_MAPPED = 5  # from here on the size stays, so that whoever maps a file meets no end in it
RECORD = 16
RECORDS = (0, 1, 3, 255, 256, 257, 700, 5000)  # of a file; 256 fill a page
MAPPED_RECORDS = 768
REMEMBERED = 1 << 14  # changes of a key whose size is known to those who look
ABSENT = -1
SECONDS, FEWEST = 3, 100
FAULTS_TOLD = 10


class Shared(ctypes.Structure):
    """What those who look must know of the changes. Numbers count from 1 for each key."""
    _fields_ = [("begun", ctypes.c_int64 * len(KEYS)),  # before the request is sent
                ("acknowledged", ctypes.c_int64 * len(KEYS)),
                ("records", ctypes.c_int64 * REMEMBERED * len(KEYS)),
                ("stop", ctypes.c_int64),
                ("looks", ctypes.c_int64 * 3),  # of each process
                ("stale", ctypes.c_int64 * 3)]


def content(index, number, records):
    return b"%02d %012d\n" % (index, number) * records


class Stale(Exception):
    pass


class StaleSize(Stale):
    """Only if seen twice: Linux takes the mark that attributes are not valid away a moment before it sets the size
    that somebody else has just been told, and who looks in between goes by the old one."""


def check_records(data, index, oldest, newest):
    """Every record is of one of these changes. Pages may be of different ones, and behind the end of a file whose
    size changes meanwhile are zeros, which no contents have."""
    for record in set(data[at:at + RECORD] for at in range(0, len(data) - RECORD + 1, RECORD)):
        if 0 in record and oldest != newest:
            continue
        found = int(record[3:15]) if 0 not in record and record[:3] == b"%02d " % index else None
        if found is None or not oldest <= found <= newest:
            raise (Stale if any(record) else StaleSize)(f"{KEYS[index]}: {record!r} while changes {oldest} to {newest} can be seen")


# ---- those who look on their own ----

class Looker:
    """Looks at everything in one way until it is told to stop."""

    def __init__(self, shared, mountpoint, slot, seed):
        self.shared = shared
        self.mountpoint = mountpoint
        self.slot = slot
        self.rng = random.Random(seed)
        self.mapped = {}  # index: (mapping, the newest change before it was opened)
        self.look = (self.read, self.stat, self.read_mapped)[slot]
        self.pid = os.fork()
        if self.pid == 0:
            die_with_parent()
            os._exit(self.work())

    def work(self):
        while not self.shared.stop:
            index = self.rng.randrange(FIRST_MAPPED if self.slot == 2 else 0, len(KEYS))
            path = os.path.join(self.mountpoint, KEYS[index])
            oldest = self.shared.acknowledged[index]
            try:
                try:
                    self.look(index, path, oldest)
                except StaleSize:
                    self.look(index, path, oldest)
            except Stale as fault:
                self.shared.stale[self.slot] += 1
                if self.shared.stale[self.slot] <= FAULTS_TOLD:
                    print(f"{('reading', 'stat', 'a mapping')[self.slot]}: {fault}", flush=True)
            except Exception as error:  # pylint: disable=broad-except
                print(f"{type(error).__name__}: {error}", flush=True)
                return 1
            self.shared.looks[self.slot] += 1
        return 0

    def states(self, index, oldest, newest):
        return [self.shared.records[index][number % REMEMBERED] for number in range(oldest, newest + 1)]

    def read(self, index, path, oldest):
        try:
            with open(path, "rb", buffering=0) as file:
                data = file.read()
        except FileNotFoundError:
            data = None
        newest = self.shared.begun[index]
        check_records(data or b"", index, oldest, newest)
        if oldest == newest or data is None:
            self.check_size(index, data is not None and len(data), oldest, newest)

    def stat(self, index, path, oldest):
        try:
            size = os.stat(path).st_size
        except FileNotFoundError:
            size = False
        self.check_size(index, size, oldest, self.shared.begun[index])

    def check_size(self, index, size, oldest, newest):
        """False: there is no file."""
        states = self.states(index, oldest, newest)
        if size is False and ABSENT not in states:
            raise Stale(f"{KEYS[index]}: not there, but must have {states} records")
        if size is not False and size not in [records * RECORD for records in states]:
            raise StaleSize(f"{KEYS[index]}: {size} bytes, but must have {states} records of {RECORD}")

    def read_mapped(self, index, path, oldest):
        """A mapped file that is deleted stays what it was; then the next one is mapped."""
        if index not in self.mapped:
            try:
                with open(path, "rb", buffering=0) as file:
                    self.mapped[index] = (mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ), oldest)
            except FileNotFoundError:
                return
        mapping, opened = self.mapped[index]
        data = mapping[:]
        newest = self.shared.begun[index]
        if ABSENT in self.states(index, opened, newest):
            del self.mapped[index]
            oldest = opened
        check_records(data, index, oldest, newest)


# ---- changes, and what is seen of them at once ----

def only_size_differs(found, want):
    """See StaleSize. Behind the end of the contents zeros are seen."""
    if not isinstance(found, bytes) or not isinstance(want, bytes):
        return False
    both = min(len(found), len(want))
    return len(found) != len(want) and found[:both] == want[:both] and not any(found[both:])


class Held:
    """A file that was opened and stays open, or mapped."""

    def __init__(self, path, mapped):
        self.descriptor = os.open(path, os.O_RDONLY)
        self.mapping = None
        if mapped and os.fstat(self.descriptor).st_size:
            self.mapping = mmap.mmap(self.descriptor, 0, prot=mmap.PROT_READ)
        self.final = None  # what it held when it was deleted

    def faults(self, want):
        want = want if self.final is None else self.final
        found = os.pread(self.descriptor, len(want) + RECORD, 0)
        if only_size_differs(found, want):
            found = os.pread(self.descriptor, len(want) + RECORD, 0)
        if found != want:
            yield f"an open file shows {found[:RECORD]!r}, {len(found)} bytes, instead of {want[:RECORD]!r}, {len(want)}"
        if self.mapping is not None:
            size = min(len(want), len(self.mapping))  # behind the end of the file nothing is mapped
            if self.mapping[:size] != want[:size]:
                yield f"a mapped file shows {self.mapping[:RECORD]!r} instead of {want[:RECORD]!r}"

    def close(self):
        if self.mapping is not None:
            self.mapping.close()
        os.close(self.descriptor)


class Changer:
    def __init__(self, shared, store, mountpoint, rng):
        self.shared = shared
        self.control = Control(store)
        self.mountpoint = mountpoint
        self.rng = rng
        self.current = [None] * len(KEYS)
        self.held = [[] for _ in KEYS]
        self.stale = 0

    def path(self, index):
        return os.path.join(self.mountpoint, KEYS[index])

    def tell(self, index, text):
        """With what was put before, newest last."""
        self.stale += 1
        if self.stale <= FAULTS_TOLD:
            number = self.shared.begun[index]
            before = [self.shared.records[index][n % REMEMBERED] for n in range(max(0, number - 4), number)]
            print(f"{KEYS[index]}, change {number} (records before: {before}): {text}", flush=True)

    def remember(self, index):
        """The kernel is made to remember something, perhaps nothing."""
        for way in (self.read, self.size, self.listed, self.hold):
            if self.rng.random() < 0.4:
                way(index)

    def read(self, index):
        try:
            with open(self.path(index), "rb", buffering=0) as file:
                return file.read()
        except FileNotFoundError:
            return None

    def size(self, index):
        try:
            return os.stat(self.path(index)).st_size
        except FileNotFoundError:
            return None

    def listed(self, index):
        folder, name = os.path.split(self.path(index))
        try:
            return name in os.listdir(folder)
        except FileNotFoundError:
            return False

    def hold(self, index):
        if self.current[index] is not None:
            self.held[index].append(Held(self.path(index), self.rng.random() < 0.7))
        if len(self.held[index]) > 3:
            self.held[index].pop(self.rng.randrange(3)).close()

    def change(self, index):
        number = self.shared.begun[index] + 1
        absent = self.current[index] is not None and self.rng.random() < (0.1 if index >= FIRST_MAPPED else 0.3)
        records = ABSENT if absent else MAPPED_RECORDS if index >= FIRST_MAPPED else self.rng.choice(RECORDS)
        self.shared.records[index][number % REMEMBERED] = records
        self.shared.begun[index] = number
        if absent:
            self.control.delete(KEYS[index], prune=self.rng.random() < 0.5)
            for held in self.held[index]:
                held.final = self.current[index] if held.final is None else held.final
            self.current[index] = None
        else:
            self.current[index] = content(index, number, records)
            self.control.put(KEYS[index], self.current[index])
        self.shared.acknowledged[index] = number

    def check(self, index):
        want = self.current[index]
        ways = [("read", self.read, want), ("stat", self.size, None if want is None else len(want)),
                ("a listing", self.listed, want is not None)]
        self.rng.shuffle(ways)
        for name, way, expected in ways:
            found = way(index)
            if way == self.size or only_size_differs(found, expected):
                found = way(index)
            if found != expected:
                self.tell(index, f"{name} gives {str(found)[:40]} instead of {str(expected)[:40]}")
        for held in self.held[index]:
            for fault in held.faults(want):
                self.tell(index, fault)

    def step(self):
        """Now and then something is changed again before it was looked at from here. Returns how many changes."""
        index = self.rng.randrange(len(KEYS))
        count = self.rng.choice((1, 1, 1, 3))
        self.remember(index)
        for _ in range(count):
            self.change(index)
        self.check(index)
        return count


def wait_for(looker):
    pid, status = os.waitpid(looker.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code:
        ending = f"by {signal.Signals(-code).name}" if code < 0 else f"with status {code}"
        print(f"process {looker.slot} of those who look ended {ending}")
    return pid and code != 0


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    store, mountpoint = sys.argv[1:3]
    count = int(sys.argv[3]) if len(sys.argv) == 4 else 0
    seed = int(os.environ.get("KV_SEED") or random.SystemRandom().getrandbits(48))
    shared = Shared.from_buffer(mmap.mmap(-1, ctypes.sizeof(Shared)))
    for index in range(len(KEYS)):
        shared.records[index][0] = ABSENT
    lookers = [Looker(shared, mountpoint, slot, seed + 1 + slot) for slot in range(3)]
    changer = Changer(shared, store, mountpoint, random.Random(seed))
    begin = time.monotonic()
    steps = 0
    while changer.stale < FAULTS_TOLD and (steps < (count or FEWEST) or (not count and time.monotonic() < begin + SECONDS)):
        steps += changer.step()
    seconds = time.monotonic() - begin
    shared.stop = 1
    ended_badly = sum([wait_for(looker) for looker in lookers])
    stale = changer.stale + sum(shared.stale)
    print(f"{steps} changes in {seconds:.1f} s, looked at {sum(shared.looks)} times more beside them: "
          f"{stale} stale; replay with KV_SEED={seed}")
    sys.exit(1 if stale or ended_badly or not all(shared.looks) else 0)


if __name__ == "__main__":
    main()
