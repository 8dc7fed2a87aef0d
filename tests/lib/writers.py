# SPDX-License-Identifier: Apache-2.0
"""Processes that change files as a seed says, and the comparison of what a crash left with it.

A writer makes system calls from a list that its seed determines (create, write, append, overwrite,
truncate, rename, replace, link, unlink, mkdir, fsync ...). It counts the calls that have returned,
and up to which of them an fsync has acknowledged them, in memory that the daemon knows nothing of.
Because the list can be made again, the state after any number of calls is known: what is found
after a crash must be one of them, with no fewer calls than were acknowledged and no more than were
begun.
"""

import ctypes
import errno
import hashlib
import itertools
import mmap
import os
import random
import signal
import time

WRITE_MAX = 48 * 1024  # of one write(2), so that the kernel need not make several requests of it
CALLS_TIMED = 1 << 16  # calls whose begin and end are kept
ROUNDS_OF_RETRIES = 3  # how often a stubborn writer asks again after a failed call
# What the calls of a dead daemon's mount give. The last two those on their way through a ring of
# io_uring: given up with the ring, or not to be copied into the memory of a process being killed.
NOT_CONNECTED = (errno.ENOTCONN, errno.ECONNABORTED, errno.ECANCELED, errno.EINTR)


def die_with_parent():
    """Called in a child: nothing of a test outlives it, however it ends. Its signals are not for the
    child, which has nothing to clean up."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL


# ---- what a writer does ----

def operations(seed, sync_rate=0.2):
    """Endless list of (call, arguments). Each changes the model and the files in the same way."""
    rng = random.Random(seed)
    files = []
    serial = 0
    yield ("mkdir", "d")
    while True:
        serial += 1
        name = f"{rng.choice(('', 'd/'))}f{serial}"
        yield ("create", name)
        offset = 0
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            data = rng.randbytes(rng.choice((10, 500, 4096, 9000, WRITE_MAX)))
            yield ("write", name, offset, data)
            offset += len(data)
        if rng.random() < sync_rate:
            yield ("fsync", name)
        if rng.random() < 0.3:
            yield ("rename", name, name + ".done")
            name += ".done"
            if rng.random() < sync_rate:
                yield ("fsyncdir", os.path.dirname(name))
        files.append(name)
        yield from change_older(rng, files, serial)


def change_older(rng, files, serial):
    """Now and then an older file is overwritten, extended, cut, linked, replaced, or removed."""
    draw = rng.random()
    victim = rng.choice(files)
    if draw < 0.15:
        yield ("write", victim, rng.randrange(3000), rng.randbytes(rng.randrange(1, 3000)))
    elif draw < 0.25:
        yield ("truncate", victim, rng.randrange(6000))
    elif draw < 0.30:
        yield ("link", victim, f"link{serial}")
        files.append(f"link{serial}")
    elif draw < 0.35:
        yield ("symlink", victim, f"symlink{serial}")
    elif draw < 0.55 and len(files) > 20:
        files.remove(victim)
        yield ("unlink", victim)
    elif draw < 0.70:
        yield ("append", victim, rng.randbytes(rng.randrange(1, 20000)))
    elif draw < 0.80:
        yield ("create", f"new{serial}")
        yield ("write", f"new{serial}", 0, rng.randbytes(rng.randrange(1, 20000)))
        yield ("rename", f"new{serial}", victim)


def apply_to_files(top, operation):
    """Returns how many bytes a write wrote, None for other calls."""
    call, name, *rest = operation
    path = os.path.join(top, name)
    if call == "mkdir":
        os.mkdir(path)
    elif call == "create":
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    elif call == "rename":
        os.rename(path, os.path.join(top, rest[0]))
    elif call == "link":
        os.link(path, os.path.join(top, rest[0]))
    elif call == "symlink":
        os.symlink(name, os.path.join(top, rest[0]))
    elif call == "truncate":
        os.truncate(path, rest[0])
    elif call == "unlink":
        os.unlink(path)
    else:
        return apply_to_open_file(path, call, rest)
    return None


FLAGS = {"fsyncdir": os.O_RDONLY | os.O_DIRECTORY, "append": os.O_WRONLY | os.O_APPEND}


def apply_to_open_file(path, call, rest):
    descriptor = os.open(path, FLAGS.get(call, os.O_WRONLY))
    try:
        if call in ("fsync", "fsyncdir"):
            os.fsync(descriptor)
        elif call == "append":
            return os.write(descriptor, rest[0])
        else:
            offset, data = rest
            return os.pwrite(descriptor, data, offset)
    finally:
        os.close(descriptor)
    return None


def apply_to_model(model, operation):
    """`model` maps names to a bytearray (shared by links), "link to X", or None for a folder."""
    call, name, *rest = operation
    if call == "mkdir":
        model[name] = None
    elif call == "create":
        model[name] = bytearray()
    elif call == "write":
        offset, data = rest
        content = model[name]
        content.extend(bytes(max(0, offset - len(content))))
        content[offset:offset + len(data)] = data
    elif call == "append":
        model[name].extend(rest[0])
    elif call == "truncate":
        del model[name][rest[0]:]
        model[name].extend(bytes(rest[0] - len(model[name])))
    elif call == "rename" and model[name] is not model.get(rest[0]):  # else of one file: nothing
        model[rest[0]] = model.pop(name)
    elif call == "link":
        model[rest[0]] = model[name]
    elif call == "symlink":
        model[rest[0]] = "link to " + name
    elif call == "unlink":
        del model[name]


# ---- what is found ----

def fail(error):
    raise error


def read_state(top):
    state = {}
    for folder, folders, names in os.walk(top, onerror=fail):
        for name in folders + names:
            path = os.path.join(folder, name)
            if os.path.islink(path):
                found = "link to " + os.readlink(path)
            elif os.path.isdir(path):
                found = None
            else:
                with open(path, "rb") as file:
                    found = file.read()
            state[os.path.relpath(path, top)] = found
    return state


def describe(content):
    if content is None:
        return "a directory"
    if isinstance(content, str):
        return content
    return f"{len(content)} bytes with SHA-256 {hashlib.sha256(content).hexdigest()[:16]}"


def digests(state):
    return {name: describe(content) for name, content in state.items()}


def differences(model, state):
    lines = []
    for name in sorted(set(model) | set(state)):
        want, found = model.get(name, "missing"), state.get(name, "missing")
        if want != found:
            lines.append(f"  {name}: expected {describe(want)}, found {describe(found)}")
    return lines


def cuts(operation, returned, least):
    """Sizes smaller than the whole that a write may have got to when a crash came, but at least
    `least`. The kernel makes a request of its own of a write's first page if that is not written
    from its beginning and not cached; the rest is one request. A write that `returned` short may
    have been divided in other ways."""
    if operation[0] != "write":
        return
    offset, data = operation[2:]
    first = mmap.PAGESIZE - offset % mmap.PAGESIZE
    if first < mmap.PAGESIZE and least <= first < len(data):
        yield first
    if returned:
        yield from range(returned, len(data), mmap.PAGESIZE)


# ---- a writer ----

class Shared(ctypes.Structure):
    """What a writer tells, in memory that outlives it."""
    _fields_ = [("count", ctypes.c_uint64),   # calls that have returned well
                ("synced", ctypes.c_uint64),  # so many of them are acknowledged as durable
                ("short", ctypes.c_uint64),   # bytes of a write that ended early
                ("errno", ctypes.c_uint64),   # of the call behind the last that returned well
                ("failed_at", ctypes.c_double),
                ("retry_errno", ctypes.c_uint64 * ROUNDS_OF_RETRIES),  # of asking for fsync again
                ("begin", ctypes.c_double * CALLS_TIMED),
                ("end", ctypes.c_double * CALLS_TIMED)]


class Writer:
    """One child process, which ends at the first call that fails. `stubborn` ones then ask a few
    times for fsync, and count what that acknowledges. The directory `top` is there already."""

    def __init__(self, top, seed, sync_rate=0.2, stubborn=False):
        self.top = top
        self.seed = seed
        self.sync_rate = sync_rate
        self.stubborn = stubborn
        self.shared = Shared.from_buffer(mmap.mmap(-1, ctypes.sizeof(Shared)))
        self.found = None  # what the directory held after the crash: a digest for each name
        self.matching = None  # the smallest and the largest number of calls that give that state
        self.status = None  # once it has ended
        self.pid = os.fork()
        if self.pid == 0:
            die_with_parent()
            os._exit(self.work())

    def operations(self):
        return operations(self.seed, self.sync_rate)

    def work(self):
        shared = self.shared
        for number, operation in enumerate(self.operations()):
            try:
                begin = time.monotonic()
                written = apply_to_files(self.top, operation)
            except OSError as error:
                shared.failed_at = time.monotonic()
                shared.errno = error.errno
                return self.ask_again() if self.stubborn else 0
            if written is not None and written < len(operation[-1]):
                shared.short = written
                return 0
            if number < CALLS_TIMED:
                shared.begin[number], shared.end[number] = begin, time.monotonic()
            shared.count = number + 1
            if operation[0] in ("fsync", "fsyncdir"):
                shared.synced = number + 1
        return 1

    def ask_again(self):
        """A failed sync must not be followed by one that says all is well when it is not."""
        for number in range(ROUNDS_OF_RETRIES):
            time.sleep(0.2)
            try:
                descriptor = os.open(self.top, os.O_RDONLY | os.O_DIRECTORY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
                self.shared.synced = self.shared.count
            except OSError as error:
                self.shared.retry_errno[number] = error.errno
        return 0

    def is_running(self):
        if self.pid is not None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.ended(status) if pid else None
        return self.pid is not None

    def ended(self, status):
        self.pid = None
        self.status = os.waitstatus_to_exitcode(status)

    def wait(self, expected=NOT_CONNECTED):
        """None, or what is wrong with how the writer ended."""
        if self.pid is not None:
            self.ended(os.waitpid(self.pid, 0)[1])
        status = self.status
        if status == 0 and (self.shared.errno == 0 or self.shared.errno in expected):
            return None
        return (f"writer {self.top} (seed {self.seed}) ended too early or in a wrong way, with status {status} "
                f"at call {self.shared.count}, {self.failed_call()}")

    def kill(self):
        if self.pid is not None:
            os.kill(self.pid, 9)
            self.ended(os.waitpid(self.pid, 0)[1])

    def failed_operation(self):
        return next(itertools.islice(self.operations(), self.shared.count, None))

    def failed_call(self):
        code = int(self.shared.errno)
        return f"{self.failed_operation()[0]} ({errno.errorcode.get(code, code)})"

    def sync_errnos(self):
        """Of the calls of fsync by a stubborn writer from its failure on; 0 is a success."""
        codes = [int(code) for code in self.shared.retry_errno]
        if self.failed_operation()[0] in ("fsync", "fsyncdir"):
            codes.insert(0, int(self.shared.errno))
        return codes

    def check(self, least=None):
        """None, or what is wrong with the directory, which must be the state after at least `least`
        calls; without it, after all that returned, a write that returned short included."""
        short = int(self.shared.short) if least is None else 0
        least = int(self.shared.count) if least is None else least
        try:
            state = read_state(self.top)
        except OSError as error:
            return f"{self.top} (seed {self.seed}) cannot be read: {error}"
        self.found = digests(state)
        numbers = [number for number, model in self.models(least, short) if model == state]
        if not numbers:
            return self.explain(least, short, state)
        self.matching = (numbers[0], numbers[-1])
        return None

    def synced_before(self, moment):
        """Calls that an fsync which returned before `moment` has acknowledged."""
        synced = 0
        for number, operation in enumerate(self.operations()):
            if number >= min(self.shared.count, CALLS_TIMED) or self.shared.end[number] >= moment:
                return synced
            if operation[0] in ("fsync", "fsyncdir"):
                synced = number + 1
        return synced

    def check_unchanged(self):
        """None, or how the directory differs from what check() found."""
        try:
            lines = differences(self.found, digests(read_state(self.top)))
        except OSError as error:
            lines = [f"  {error}"]
        return "\n".join([f"{self.top} changed since it was checked after its crash"] + lines[:12]) if lines else None

    def models(self, least, short):
        """(number of calls, state) of every state that may be found. The model is changed in place.
        The call under way may have happened, and of a write the part that cuts() tells; of the one
        that returned short at least `short` bytes."""
        model = {}
        count = self.shared.count
        for number, operation in enumerate(self.operations()):
            if operation[0] == "append":  # the same, but it may be done twice
                operation = ("write", operation[1], len(model[operation[1]]), operation[2])
            if number >= least and not (number == count and short):
                yield number, model
            if number >= least:
                for size in cuts(operation, int(self.shared.short) if number == count else 0, short):
                    apply_to_model(model, (*operation[:-1], operation[-1][:size]))
                    yield number, model
            apply_to_model(model, operation)
            if number == count:
                yield number + 1, model
                return

    def explain(self, least, short, state):
        number, lines = min(((number, differences(model, state)) for number, model in self.models(least, short)),
                            key=lambda pair: len(pair[1]))
        return "\n".join([f"{self.top} (seed {self.seed}, sync rate {self.sync_rate}) is the state after none of "
                          f"{least} to {self.shared.count + 1} calls; nearest is that after {number}"] + lines[:12])


def order_faults(writers):
    """A call that had returned before another one began must not be lost when that one is there:
    what is left is a prefix of the calls of all writers. Each has been checked by itself."""
    faults = []
    for lost in writers:
        missing = lost.matching[1]
        if missing >= min(lost.shared.count, CALLS_TIMED):
            continue
        for kept in writers:
            present = kept.matching[0] - 1
            if 0 <= present < min(kept.shared.count, CALLS_TIMED) \
                    and lost.shared.end[missing] < kept.shared.begin[present]:
                faults.append(f"call {missing} of {lost.top} (seed {lost.seed}) is lost, call {present} of "
                              f"{kept.top} (seed {kept.seed}), which began later, is there")
    return faults
