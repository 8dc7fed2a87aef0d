# SPDX-License-Identifier: Apache-2.0
"""A store, and the daemon that serves it, for tests in Python; and the TAP they print."""

import json
import os
import subprocess
import sys
import time

from writers import die_with_parent

MOUNT_TIMEOUT_S = 60


class Mount:
    """`options`: as behind -o. A small memory makes flushes and compactions frequent."""

    def __init__(self, kvfs, store, mountpoint, log_path, options="memory=32M"):
        self.kvfs = kvfs
        self.store = store
        self.mountpoint = mountpoint
        self.options = options
        self.log = open(log_path, "ab")
        self.daemon = None
        os.makedirs(mountpoint, exist_ok=True)

    def make_store(self):
        subprocess.run([self.kvfs, "mkfs", "-q", self.store], check=True)

    def launch(self):
        """In the foreground, so that the process to kill is known."""
        self.daemon = subprocess.Popen(
            [self.kvfs, "mount", "-f", "-o", self.options, self.store, self.mountpoint],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, preexec_fn=die_with_parent)

    def start(self):
        """The mount point may be stale from the last kill."""
        self.launch()
        deadline = time.monotonic() + MOUNT_TIMEOUT_S
        while not self.is_served():
            if self.daemon.poll() is not None:
                raise RuntimeError(f"kvfs mount ended with status {self.daemon.returncode}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"not mounted within {MOUNT_TIMEOUT_S} s")
            time.sleep(0.01)

    def is_served(self):
        """Asked through one descriptor: behind the name the dead mount, the bare directory and the
        new mount follow each other. statfs is never answered from the kernel's caches."""
        try:
            descriptor = os.open(self.mountpoint, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            return False
        try:
            os.fstatvfs(descriptor)
            return os.fstat(descriptor).st_dev != os.stat(os.path.dirname(self.mountpoint)).st_dev
        except OSError:
            return False
        finally:
            os.close(descriptor)

    def status(self):
        """What `kvfs status` says, as a dictionary."""
        output = subprocess.run([self.kvfs, "status", "--json", self.store], check=True,
                                stdout=subprocess.PIPE, timeout=MOUNT_TIMEOUT_S).stdout
        return json.loads(output)

    def health_faults(self):
        status = self.status()
        return [] if status["health"] == "ok" else [f"health is {status['health']}: {status['health_reason']}"]

    def has_logged(self, text):
        """The daemon, or one before it with the same log."""
        with open(self.log.name, errors="replace") as log:
            return text in log.read()

    def kill(self):
        self.daemon.kill()
        self.daemon.wait()

    def detach(self):
        """Take the mount of a killed daemon away."""
        subprocess.run(["umount", "-l", self.mountpoint], stderr=subprocess.DEVNULL, check=False)

    def stop(self):
        subprocess.run([self.kvfs, "umount", self.mountpoint], check=True)
        return self.daemon.wait(MOUNT_TIMEOUT_S)

    def try_to_stop(self):
        """0 if everything ended well. The daemon has ended and the mount is gone in any case."""
        said = subprocess.run([self.kvfs, "umount", self.mountpoint], stdout=self.log, stderr=self.log, check=False)
        self.detach()
        return self.daemon.wait(MOUNT_TIMEOUT_S) or said.returncode

    def clean_up(self):
        if self.daemon is not None and self.daemon.poll() is None:
            self.kill()
        self.detach()
        self.log.close()


def can_mount():
    """Whether /dev/fuse is there, and open to who asks."""
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError:
        return False
    return True


class Report:
    def __init__(self):
        self.points = self.failed = 0

    def point(self, text, faults):
        self.points += 1
        self.failed += bool(faults)
        print(f"{'not ok' if faults else 'ok'} {self.points} - {text}")
        for fault in faults:
            print("#   " + fault.replace("\n", "\n#   "))
        sys.stdout.flush()

    def mounted_point(self, text, check):
        """A point that is skipped where nothing can be mounted."""
        if can_mount():
            self.point(text, attempt(check))
        else:
            self.point(f"{text} # SKIP no /dev/fuse that can be opened here", [])


def attempt(check):
    """Faults as Report wants them: none, or what the check said."""
    try:
        check()
    except (AssertionError, OSError, ValueError, subprocess.SubprocessError) as fault:
        return [f"{type(fault).__name__}: {fault}"]
    return []
