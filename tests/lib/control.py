# SPDX-License-Identifier: Apache-2.0
"""The control protocol (docs/control.md), spoken from Python: many requests of one process, and without the
command between."""

import os
import socket
import struct
import time

STATUS, GET, PUT, DELETE, CHECKPOINT = 1, 4, 5, 6, 13
PRUNE = 4  # flag of DELETE
DONE, DATA = 128, 129
KEY_FIELD, VALUE_FIELD, FLAGS_FIELD, UMASK_FIELD = 1, 3, 13, 15
HELLO = b"kvfsctl\0" + struct.pack("<II", 1, 0)
PATIENCE_S = 120  # an answer that takes longer does not come


def varint(number):
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def field(tag, value):
    return varint(tag) + varint(len(value)) + value if value else b""


def wait_until_served(store, daemon):
    """Until the process answers at the socket of the store. Asking by a command would not do: one that finds nobody there
    opens the store itself, in the way of a daemon that is about to."""
    deadline = time.monotonic() + PATIENCE_S
    while daemon.poll() is None and time.monotonic() < deadline:
        try:
            Control(store).socket.close()
            return
        except OSError:
            time.sleep(0.02)
    raise ValueError(f"the daemon of {store} does not answer, exit status {daemon.poll()}")


class Control:
    def __init__(self, store):
        directory = os.open(store, os.O_PATH | os.O_DIRECTORY)
        try:
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.socket.settimeout(PATIENCE_S)
            self.socket.connect(f"/proc/self/fd/{directory}/control")
        finally:
            os.close(directory)
        self.socket.sendall(HELLO)
        hello = self.receive(len(HELLO))
        if hello != HELLO:
            raise ValueError(f"the daemon said {hello!r}")

    def receive(self, size):
        found = bytearray()
        while len(found) < size:
            piece = self.socket.recv(size - len(found))
            if not piece:
                raise ConnectionError("the daemon ended the conversation")
            found += piece
        return bytes(found)

    def ask(self, operation, *fields):
        """Data of the answer. OSError as the daemon tells it."""
        body = bytes([operation]) + b"".join(fields)
        self.socket.sendall(struct.pack("<I", len(body)) + body)
        data = []
        while True:
            reply = self.receive(struct.unpack("<I", self.receive(4))[0])
            if reply[0] == DONE:
                code = struct.unpack_from("<I", reply, 1)[0]
                if code:
                    raise OSError(code, reply[5:].decode(errors="replace"))
                return b"".join(data)
            if reply[0] != DATA:
                raise ValueError(f"a reply of kind {reply[0]}")
            data.append(reply[1:])

    def put(self, key, value):
        self.ask(PUT, field(KEY_FIELD, key.encode()), field(VALUE_FIELD, value), field(UMASK_FIELD, varint(0o022)))

    def get(self, key):
        return self.ask(GET, field(KEY_FIELD, key.encode()))

    def delete(self, key, prune=False):
        self.ask(DELETE, field(KEY_FIELD, key.encode()), field(FLAGS_FIELD, varint(PRUNE)) if prune else b"")
