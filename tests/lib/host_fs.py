# SPDX-License-Identifier: Apache-2.0
"""A file system for a store to lie on, in a file, that can lose its power, its device, or its room."""

import fcntl
import mmap
import os
import struct
import subprocess
import time

# What `xfs_io -x -c shutdown` asks for; ext4 knows it too.
SHUTDOWN = 0x8004587D  # _IOR('X', 125, u32)
SHUTDOWN_WITHOUT_LOG_FLUSH = 2
UMOUNT_TIMEOUT_S = 60

MAKERS = {"ext4": ["mkfs.ext4", "-q", "-F"], "xfs": ["mkfs.xfs", "-q", "-f"]}


class HostFs:
    """`image` is a sparse file, mounted on `mountpoint` through a loop device."""

    def __init__(self, kind, image, size, mountpoint):
        self.kind = kind
        self.image = image
        self.mountpoint = mountpoint
        os.makedirs(mountpoint, exist_ok=True)
        with open(image, "wb") as file:
            file.truncate(size)
        subprocess.run(MAKERS[kind] + [image], check=True)

    def mount(self):
        """Replays the journal after a crash."""
        subprocess.run(["mount", "-t", self.kind, "-o", "loop", self.image, self.mountpoint], check=True)

    def limit_requests(self):
        """One page for each request to the device. The loop driver of Linux 6.18 takes a write that
        was cut short, by a file below it that has no room, for a good one: a device that loses data
        without saying so, against which no file system can do anything. One page is not cut."""
        number = os.stat(self.mountpoint).st_dev
        with open(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/queue/max_sectors_kb", "w") as file:
            file.write(str(mmap.PAGESIZE // 1024))

    def lose_power(self):
        """Nothing more reaches the image, not even the journal that is in memory."""
        descriptor = os.open(self.mountpoint, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, SHUTDOWN, struct.pack("I", SHUTDOWN_WITHOUT_LOG_FLUSH))
        finally:
            os.close(descriptor)

    def umount(self):
        """Not lazily: another mount of the image must not meet what is left of this one."""
        deadline = time.monotonic() + UMOUNT_TIMEOUT_S
        while subprocess.run(["umount", self.mountpoint], stderr=subprocess.DEVNULL, check=False).returncode:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.mountpoint} stays busy for {UMOUNT_TIMEOUT_S} s")
            time.sleep(0.05)

    def clean_up(self):
        subprocess.run(["umount", "-l", self.mountpoint], stderr=subprocess.DEVNULL, check=False)
