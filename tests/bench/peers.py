# SPDX-License-Identifier: Apache-2.0
"""The file systems that fs_peers compares, and how each is made, mounted and taken away."""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

from host_fs import HostFs
from kvfs_mount import Mount
from writers import die_with_parent

PATIENCE_S = 60
IMAGE_SIZE = 64 << 30  # sparse
DROP_CACHES = "/proc/sys/vm/drop_caches"


class Peer:
    """`options`: of a mount of kvfs. `program`: with its arguments, as in a shell. `obstacle`: why it cannot
    be had here, or None."""

    def __init__(self, name, kind, options="", program=None, obstacle=None):
        self.name = name
        self.kind = kind
        self.options = options
        self.program = program
        self.obstacle = obstacle


class Work:
    """A directory for everything, removed however the run ends."""

    def __init__(self, parent):
        self.path = tempfile.mkdtemp(prefix="fs_peers-", dir=parent)

    def __enter__(self):
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path)


def missing(program):
    return None if shutil.which(program) else f"there is no {program}; its Debian package is of that name"


def uring_obstacle(args, work):
    """Whether a mount takes rings by itself, as `kvfs status` says."""
    place = Place(Peer("probe", "kvfs", "uring=auto"), os.path.join(work, "probe"), args)
    try:
        place.start()
        status = place.mount.status()
    finally:
        place.clean_up()
    return None if status["transport"] == "io_uring" else status.get("transport_reason") or "the mount takes /dev/fuse"


def find(args, work):
    """All peers, with the obstacles of those that cannot be had."""
    no_rings = uring_obstacle(args, work)
    memfs = os.path.join(args.build, "tests", "memfs")
    no_memfs = None if os.path.exists(memfs) else "not built: the build has no tests"
    found = [
        Peer("kvfs", "kvfs", "uring=off"),
        Peer("kvfs-alone", "kvfs", "uring=off,noallow_other"),
        Peer("kvfs-writeback", "kvfs", "uring=off,writeback"),
        Peer("kvfs-uring", "kvfs", "uring=on", obstacle=no_rings),
        Peer("kvfs-alone-uring", "kvfs", "uring=on,noallow_other", obstacle=no_rings),
        Peer("kvfs-uring-writeback", "kvfs", "uring=on,writeback", obstacle=no_rings),
        Peer("memory", "program", program=shlex.quote(memfs), obstacle=no_memfs),
        Peer("memory-checked", "program", program=shlex.quote(memfs) + " -o default_permissions", obstacle=no_memfs),
        Peer("memory-uring", "program", program=shlex.quote(memfs) + " -o io_uring", obstacle=no_memfs or no_rings),
        Peer("memory-checked-uring", "program", program=shlex.quote(memfs) + " -o io_uring,default_permissions",
             obstacle=no_memfs or no_rings),
        Peer("ext4", "ext4"),
        Peer("fuse2fs", "fuse2fs", obstacle=missing("fuse2fs")),
        Peer("ntfs-3g", "ntfs-3g", obstacle=missing("ntfs-3g")),
    ]
    for word in args.program:
        name, _, program = word.partition("=")
        found.append(Peer(name, "program", program=program))
    return found


def choose(known, names):
    """Those named, in the order of the list."""
    if names is None:
        return known
    wanted = names.split(",")
    unknown = set(wanted) - {k.name for k in known}
    if unknown:
        sys.exit(f"fs_peers: nothing is called {', '.join(sorted(unknown))}; see --list")
    return [k for k in known if k.name in wanted]


def show(found, known):
    for peer in found:
        print(f"{peer.name:<22}{peer.obstacle or 'ready'}")
    print("\nloads: " + " ".join(load.name for load in known))


class Place:
    """One peer, made afresh in `directory`."""

    def __init__(self, peer, directory, args):
        self.peer = peer
        self.directory = directory
        self.kvfs = os.path.join(args.build, "tools", "kvfs")
        self.mnt = os.path.join(directory, "mnt")
        self.image = os.path.join(directory, "image")
        self.mount = None    # of kvfs
        self.host = None     # of ext4
        self.process = None  # of other programs
        os.mkdir(directory)
        os.mkdir(self.mnt)

    def start(self):
        kind = self.peer.kind
        if kind == "kvfs":
            self.mount = Mount(self.kvfs, os.path.join(self.directory, "store"), self.mnt,
                               os.path.join(self.directory, "log"), self.peer.options)
            self.mount.make_store()
        elif kind == "ext4":
            self.host = HostFs("ext4", self.image, IMAGE_SIZE, self.mnt)
        elif kind in ("fuse2fs", "ntfs-3g"):
            with open(self.image, "wb") as file:
                file.truncate(IMAGE_SIZE)
            maker = ["mkfs.ext4", "-q", "-F"] if kind == "fuse2fs" else ["mkntfs", "-F", "-Q", "-q"]
            subprocess.run(maker + [self.image], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.attach()

    def attach(self):
        kind = self.peer.kind
        if kind == "kvfs":
            self.mount.start()
        elif kind == "ext4":
            self.host.mount()
            # Else it goes on making itself in the background.
            subprocess.run(["mount", "-o", "remount,noinit_itable", self.mnt], check=True)
        elif kind == "fuse2fs":
            self.launch(["fuse2fs", "-f", self.image, self.mnt])
        elif kind == "ntfs-3g":
            self.launch(["ntfs-3g", "-o", "no_detach,big_writes", self.image, self.mnt])
        else:
            self.launch(shlex.split(self.peer.program) + [self.mnt, "-f"])

    def launch(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
        deadline = time.monotonic() + PATIENCE_S
        while not os.path.ismount(self.mnt):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                raise RuntimeError(f"{command[0]} does not mount: {self.process.stderr.read().strip()}")
            time.sleep(0.01)

    def detach(self):
        if self.mount:
            self.mount.stop()
        elif self.host:
            self.host.umount()
        else:
            subprocess.run(["umount", self.mnt], check=True)
            self.process.wait(PATIENCE_S)

    def daemon(self):
        """The process that serves it, or None."""
        process = self.mount.daemon if self.mount else self.process
        return process.pid if process else None

    def cool(self):
        """Neither the kernel nor a daemon remembers anything, but where all there is is memory."""
        if self.peer.kind != "program":
            self.detach()
            self.attach()
        subprocess.run(["sync", "-f", self.directory], check=True)
        with open(DROP_CACHES, "w", encoding="ascii") as file:
            file.write("3")

    def clean_up(self):
        if self.mount:
            self.mount.clean_up()
        elif self.host:
            self.host.clean_up()
        elif self.process:
            subprocess.run(["umount", "-l", self.mnt], stderr=subprocess.DEVNULL, check=False)
            self.process.kill()
            self.process.wait()
            self.process.stderr.close()
        shutil.rmtree(self.directory)
