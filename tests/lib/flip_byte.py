#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: flip_byte.py STORE FILE OFFSET

Damages a large value of a store: changes a byte of the copy of FILE that lies in one of the store's
files, at OFFSET of it."""

import glob
import sys

SHOWN = 64  # bytes that are enough to find the place

with open(sys.argv[2], "rb") as file:
    wanted = file.read()[int(sys.argv[3]):][:SHOWN]
for path in glob.glob(sys.argv[1] + "/*"):
    with open(path, "r+b") as file:
        at = file.read().find(wanted)
        if at >= 0:
            file.seek(at)
            file.write(bytes([wanted[0] ^ 1]))
            sys.exit(0)
sys.exit("the value is not in the store's files")
