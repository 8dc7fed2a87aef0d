#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Stores whose tables and blobs are damaged, and what `kvfs fsck -y` makes of the files in them.

usage: test_fsck_rows.py KVFS [STEPS]

Whatever the damage is: the next check is clean, a file that can be read has the bytes it had (or the first of them, where it came
back without its end), and taking the repair back gives every byte of the store.
"""

import contextlib
import filecmp
import glob
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from control import wait_until_served  # noqa: E402
from kvfs_mount import Report, attempt  # noqa: E402
from writers import die_with_parent  # noqa: E402

PATIENCE_S = 60
STEPS, STEPS_SLOW = 15, 400
KILLS, KILLS_SLOW = 8, 200
CODE = re.compile(r"^FS_\w+ \((\d+)\): ", re.MULTILINE)
TOLD_BY_THE_COMMAND = {724, 725, 730}  # the other codes of rows are told by the walk: tests/fs/test_fs_check.c
UNREADABLE = re.compile(r"cannot read all of (\S+) in ")


def make_tree():
    """Small and large files, links of both kinds, in directories in each other: path -> tar header, bytes."""
    rng = random.Random(7)
    tree = {}
    for i in range(12):
        at = f"d{i}" if i % 3 else f"d1/in{i}"
        tree[at] = (tarfile.DIRTYPE, 0o750, b"")
        for n in range(40):
            size = rng.choice([0, 10, 300, 1500, 5000, 70000] if n % 8 == 0 else [10, 300, 1500])
            tree[f"{at}/f{n}"] = (tarfile.REGTYPE, 0o640, rng.randbytes(size))
        tree[f"{at}/hard"] = (tarfile.LNKTYPE, 0o640, f"{at}/f8".encode())
        tree[f"{at}/soft"] = (tarfile.SYMTYPE, 0o777, b"f8")
    return tree


def pack(tree):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(tree, key=lambda path: (path.count("/") if tree[path][0] == tarfile.DIRTYPE else 99, path)):
            kind, mode, data = tree[path]
            header = tarfile.TarInfo(path)
            header.type, header.mode, header.uid, header.gid = kind, mode, os.getuid(), os.getgid()
            if kind == tarfile.REGTYPE:
                header.size = len(data)
            elif kind != tarfile.DIRTYPE:
                header.linkname = data.decode()
            archive.addfile(header, io.BytesIO(data) if kind == tarfile.REGTYPE else None)
    return packed.getvalue()


def limit_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 20, 64 << 20))


class Stores:
    def __init__(self, program, work, seed):
        self.program = program
        self.sound = os.path.join(work, "sound")
        self.damaged = os.path.join(work, "damaged")
        self.store = os.path.join(work, "store")
        self.rng = random.Random(seed)
        self.tree = make_tree()
        self.told = set()  # codes of rows
        self.run("mkfs", "-q", self.sound)
        self.run("import", self.sound, data=pack(self.tree))

    def run(self, *words, statuses=(0,), data=b""):
        done = subprocess.run([self.program, *words], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                              timeout=PATIENCE_S)
        assert done.returncode in statuses, f"{words}: status {done.returncode}: {done.stdout[-2000:]} {done.stderr[-2000:]}"
        if words[0] == "fsck":
            self.told |= {int(code) for code in CODE.findall(done.stdout.decode())}
        return done

    def take_copy(self):
        for path in (self.damaged, self.store):
            shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(self.sound, self.store)

    def files(self, end):
        return sorted(glob.glob(self.store + "/*" + end), key=os.path.getsize)

    def overwrite(self, path, offset, size):
        with open(path, "r+b") as file:
            file.seek(offset)
            old = file.read(size)
            file.seek(offset)
            file.write(bytes([old[0] ^ 16]) if size == 1 else bytes(len(old)))

    # ---- what must be so of any damage ----

    def keep_damaged(self):
        shutil.rmtree(self.damaged, ignore_errors=True)
        shutil.copytree(self.store, self.damaged)

    def expect_as_damaged(self):
        names = [sorted(set(os.listdir(at)) - {"LOCK"}) for at in (self.store, self.damaged)]
        assert names[0] == names[1], names
        _, differ, failed = filecmp.cmpfiles(self.store, self.damaged, names[0], shallow=False)
        assert not differ + failed, differ + failed

    def repair(self):
        """Returns the problems that were told."""
        self.keep_damaged()
        told = self.run("fsck", "-y", "--deep", self.store, statuses=(0, 1)).stdout.decode()
        self.run("fsck", "-n", "--deep", self.store)
        return told

    def read(self):
        """Contents by path, and the paths that cannot be read; asserts that nothing else is wrong."""
        done = self.run("export", self.store, statuses=(0, 4))
        bad = {path.removeprefix("./") for path in UNREADABLE.findall(done.stderr.decode())}
        found = {}
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            for header in archive:
                path = header.name.removeprefix("./")
                found[path] = header
                wanted = self.tree.get(path)
                if header.isreg() and path not in bad and wanted is not None and wanted[0] == tarfile.REGTYPE:
                    data = archive.extractfile(header).read()
                    assert wanted[2].startswith(data), f"{path} has other bytes"
        return found, bad

    def take_back(self):
        if not os.path.isdir(self.store + "/lost+found.d"):
            return
        self.run("fsck", "--undo", self.store + "/lost+found.d/00000001", self.store, statuses=(1,))
        shutil.rmtree(self.store + "/lost+found.d")
        self.expect_as_damaged()

    # ---- points ----

    def names_come_back(self):
        """Any block of the rows of names: of an entry there is a back-pointer, and of a back-pointer an entry."""
        self.take_copy()
        meta = self.files(".table")[-2]
        size = os.path.getsize(meta)
        brought_back = 0
        for part in range(6):
            self.take_copy()
            self.overwrite(meta, size * part // 8 + 100, 1)
            told = self.repair()
            found, bad = self.read()
            lost = {path for path in self.tree if path not in found and self.tree[path][0] != tarfile.SYMTYPE}
            assert "TABLE_BLOCK" in told and not lost and not bad, (lost, bad)
            for path in found.keys() & self.tree.keys():
                # Of a file with several links the inode and its back-pointers may lie in one block.
                modes = {self.tree[path][1]} | ({0o600} if path.endswith(("/f8", "/hard")) else set())
                assert found[path].mode in modes, (path, found[path].mode)
            brought_back += told.count("FS_NO_INODE")
            self.take_back()
        assert brought_back > 50, brought_back

    def lost_bytes_are_errors(self):
        self.take_copy()
        data = self.files(".table")[-1]
        self.overwrite(data, os.path.getsize(data) // 2, 1)
        told = self.repair()
        found, bad = self.read()
        assert "TABLE_BLOCK" in told and bad and set(found) >= set(self.tree), told
        assert all(found[path].size == len(self.tree[path][2]) for path in bad), bad
        self.lost_is_listed(bad)
        path = sorted(bad)[0]
        self.run("get", self.store, path, statuses=(1, 4))
        self.run("put", self.store, path, data=b"new")
        assert self.run("get", self.store, path).stdout == b"new"
        old = self.tree[path]
        self.tree[path] = (tarfile.REGTYPE, 0o640, b"new")
        assert self.read()[1] == bad - {path}
        self.tree[path] = old
        self.run("fsck", "-n", "--deep", self.store)

    def lost_is_listed(self, bad):
        """A file that cannot be read is one of which something is listed, and what is listed lies in it."""
        listed = json.loads(self.run("fsck", "--damage", "--json", self.store).stdout)["lost"]
        links = {path: target[2].decode() for path, target in self.tree.items() if target[0] == tarfile.LNKTYPE}
        assert {links.get(path, path) for path in bad} == {links.get(lost["path"], lost["path"]) for lost in listed}, (bad, listed)
        for lost in listed:
            size = len(self.tree[links.get(lost["path"], lost["path"])][2])
            assert lost["bytes"] > 0 and lost["offset"] + lost["bytes"] <= size, lost
        lines = self.run("fsck", "--damage", self.store).stdout.decode().splitlines()
        wanted = [f"lost: {lost['bytes']} bytes at offset {lost['offset']} of inode {lost['inode']}, {lost['path']}" for lost in listed]
        assert lines[:-1] == wanted and "clean" in lines[-1], lines

    # ---- tables that are lost as a whole, with the manifest ----

    def lose_table(self, keyspace):
        """All that names it."""
        for path in self.files(".table"):
            summary = self.run("sst", "--json", path).stdout.decode().splitlines()
            if any(json.loads(line).get("keyspace") == keyspace for line in summary):
                os.remove(path)
        for path in self.files(".manifest"):
            os.remove(path)

    def full_files(self):
        return {path for path, (kind, _, data) in self.tree.items() if kind == tarfile.REGTYPE and data}

    def expect_no_contents(self):
        found, bad = self.read()
        assert bad == self.full_files(), bad ^ self.full_files()
        assert set(found) >= set(self.tree)
        assert all(found[path].size == len(self.tree[path][2]) for path in bad)
        assert all(found[path].mode == self.tree[path][1] for path in self.tree)
        self.lost_is_listed(bad)

    def lost_contents_are_errors(self):
        self.take_copy()
        self.lose_table("data")
        self.keep_damaged()
        for mode in ("-n", "-p"):
            said = self.run("fsck", mode, self.store, statuses=(4,)).stdout.decode()
            assert "MANIFEST_MISSING (301): " in said, said
            self.expect_as_damaged()
        told = self.repair()
        assert "FS_UNREADABLE (725): the table 'data' of the filesystem is lost as a whole. Repair: " in told, told
        self.expect_no_contents()
        assert "FS_LOST_EXTENTS (724): " in self.run("fsck", "-v", self.store).stdout.decode()
        self.take_back()
        self.repair()
        path = sorted(self.full_files())[0]
        self.run("put", self.store, path, data=b"new")
        assert self.run("get", self.store, path).stdout == b"new"
        self.run("fsck", "-n", "--deep", self.store)

    def half_a_table_is_refused(self):
        """Cut short with an empty table, and before there was one."""
        path = sorted(self.full_files())[0]
        for archive in ("00000003", "00000002"):
            self.take_copy()
            self.lose_table("data")
            self.repair()
            self.run("fsck", "--undo", f"{self.store}/lost+found.d/{archive}", self.store, statuses=(1,))
            said = self.run("get", self.store, path, statuses=(4,)).stderr.decode()
            assert "Run 'kvfs fsck -y' on it again" in said, said
            said = self.run("fsck", "-n", self.store, statuses=(4,)).stdout.decode()
            assert "FS_UNCHECKED (730): " in said and ("FS_UNREADABLE (725): " in said) == (archive == "00000002"), said
            self.run("fsck", "-y", self.store, statuses=(1,))
            self.run("fsck", "-n", self.store)
            self.expect_no_contents()

    def logs_keep_contents(self):
        """What was written last is in logs alone, under a table that nothing names any more."""
        path = sorted(self.full_files())[0]
        self.take_copy()
        server = subprocess.Popen([self.program, "serve", "-f", self.store], stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)
        wait_until_served(self.store, server)
        self.run("put", self.store, "d1/late", data=b"late")
        self.run("put", self.store, path, data=b"newer")
        server.kill()
        server.wait()
        os.remove(self.store + "/control")
        self.lose_table("data")
        told = self.repair()
        assert "FS_UNREADABLE (725): the table 'data' of the filesystem is lost as a whole, but for what logs have of it. Repair: " in told, told
        assert self.run("get", self.store, "d1/late").stdout == b"late"
        assert self.run("get", self.store, path).stdout == b"newer"
        old = self.tree[path]
        self.tree[path] = (tarfile.REGTYPE, 0o640, b"newer")
        assert self.read()[1] == self.full_files() - {path}
        self.tree[path] = old
        self.take_back()

    def contents_without_names_are_found(self):
        self.take_copy()
        self.lose_table("meta")
        told = self.repair()
        assert "FS_UNREADABLE (725): the table 'meta' of the filesystem is lost as a whole. Repair: " in told, told
        with tarfile.open(fileobj=io.BytesIO(self.run("export", self.store).stdout)) as archive:
            found = {header.name.removeprefix("./"): archive.extractfile(header).read() for header in archive if header.isreg()}
        assert all(re.fullmatch(r"lost\+found/#\d+", path) for path in found), sorted(found)
        assert sorted(found.values()) == sorted(self.tree[path][2] for path in self.full_files())
        self.take_back()

    def add_sparse_file(self, store, path, parts, size):
        """`parts`: offset and bytes; in the sparse format 1.0 of GNU tar."""
        numbers = [len(parts)] + [number for offset, data in parts for number in (offset, len(data))]
        sparse_map = "".join(f"{number}\n" for number in numbers).encode()
        data = sparse_map.ljust(-(-len(sparse_map) // 512) * 512, b"\0") + b"".join(data for _, data in parts)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
            header = tarfile.TarInfo(path)
            header.size, header.mode, header.uid, header.gid = len(data), 0o640, os.getuid(), os.getgid()
            header.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": path, "GNU.sparse.realsize": str(size)}
            archive.addfile(header, io.BytesIO(data))
        self.run("import", store, data=packed.getvalue())

    def holes_of_unknown_files_are_errors(self):
        """Tables of their contents may be gone with the manifest, and what is there looks like all of it. The second time, as after a
        kill between the steps, nothing is left of what the first run knew."""
        size = 300000
        self.take_copy()
        self.add_sparse_file(self.store, "sparse", [(0, b"begin" * 2000), (size - 10, b"at the end")], size)
        found = self.read()[0]["sparse"]
        assert found.size == size and found.issparse(), "it has no hole"
        self.lose_table("meta")
        self.keep_damaged()
        for archive in ("00000003", "00000001"):
            self.run("fsck", "-y", self.store, statuses=(1,))
            self.run("fsck", "-n", "--deep", self.store)
            bad = self.read()[1]
            assert len(bad) == 1 and bad.pop().startswith("lost+found/#"), bad
            self.run("fsck", "--undo", f"{self.store}/lost+found.d/{archive}", self.store, statuses=(1,))
        shutil.rmtree(self.store + "/lost+found.d")
        self.expect_as_damaged()

    def huge_files_take_one_row(self):
        """A chunk of 32 KiB each of 2^40 bytes would be 33 million rows."""
        size = 1 << 40
        self.take_copy()
        self.add_sparse_file(self.store, "sparse", [(0, b"begin" * 2000), (size - 10, b"at the end")], size)
        self.lose_table("data")
        self.repair()
        listed = json.loads(self.run("fsck", "--damage", "--json", self.store).stdout)["lost"]
        assert [(lost["offset"], lost["bytes"]) for lost in listed if lost["path"] == "sparse"] == [(0, size)], listed
        line = f"lost: {size} bytes at offset 0 of inode "
        said = self.run("fsck", "-v", "--damage", self.store).stdout.decode()
        assert "FS_LOST_EXTENTS (724): holes of 1 files are known to be lost: reading them fails" in said and line in said, said
        archive = self.store + ".tar"
        with open(archive, "wb") as file:
            exported = subprocess.run([self.program, "export", self.store], stdout=file, stderr=subprocess.PIPE, check=False,
                                      timeout=PATIENCE_S, preexec_fn=limit_files)
        assert exported.returncode == 4, exported
        assert UNREADABLE.findall(exported.stderr.decode()).count("./sparse") == 1, exported.stderr
        with tarfile.open(archive) as members:
            assert members.getmember("./sparse").size == size
        self.run("get", self.store, "sparse", statuses=(1, 4))
        self.run("put", self.store, "sparse", data=b"new")
        said = self.run("fsck", "-v", self.store).stdout.decode()
        assert "holes of" not in said, said
        assert self.run("get", self.store, "sparse").stdout == b"new"

    def what_can_be_read_is_exported(self):
        """A damaged value is a piece of 32 KiB, of a file that is read in larger steps; nobody repaired it."""
        piece = 32 << 10
        data = random.Random(9).randbytes(3 * piece)
        self.take_copy()
        self.run("import", self.store, data=pack({"pieces": (tarfile.REGTYPE, 0o640, data)}))
        middle = data[piece + 100:piece + 200]
        found = 0
        for path in self.files(".blob"):
            with open(path, "rb") as file:
                place = file.read().find(middle)
            if place >= 0:
                self.overwrite(path, place, 1)
                found += 1
        assert found == 1, found
        exported = self.run("export", self.store, statuses=(4,))
        assert UNREADABLE.findall(exported.stderr.decode()) == ["./pieces"], exported.stderr
        with tarfile.open(fileobj=io.BytesIO(exported.stdout)) as archive:
            read = archive.extractfile("./pieces").read()
        assert read == data[:piece] + bytes(piece) + data[2 * piece:], "more is missing than one piece"

    def signals_end_it(self):
        """One that waits to tell how far it is, to a pipe that is full."""
        for sent, mode in ((signal.SIGINT, "-n"), (signal.SIGTERM, "-y")):
            self.take_copy()
            self.overwrite(self.files(".table")[-1], 100, 1)
            shutil.copytree(self.store, self.damaged)
            reader, writer = os.pipe()
            os.set_blocking(writer, False)
            with contextlib.suppress(BlockingIOError):
                while os.write(writer, bytes(4096)):
                    pass
            os.set_blocking(writer, True)
            check = subprocess.Popen([self.program, "fsck", mode, "-C", str(writer), self.store], stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE, pass_fds=(writer,))
            self.wait_for_sleep(check)
            check.send_signal(sent)
            said = check.communicate(timeout=PATIENCE_S)[1].decode()
            os.close(reader)
            os.close(writer)
            assert check.returncode == 32 and "was ended by a signal. Nothing was changed." in said, (check.returncode, said)
            assert not os.path.exists(self.store + "/lost+found.d")
            assert not filecmp.dircmp(self.store, self.damaged, ignore=["LOCK"]).diff_files
        assert "TABLE_BLOCK" in self.run("fsck", "-y", self.store, statuses=(1,)).stdout.decode()

    @staticmethod
    def wait_for_sleep(process):
        """Until it has slept for a while, which it does in write(2) alone."""
        deadline = time.monotonic() + PATIENCE_S
        slept = 0
        while slept < 10:
            assert time.monotonic() < deadline, "it never waited"
            with open(f"/proc/{process.pid}/stat", encoding="ascii", errors="replace") as file:
                slept = slept + 1 if file.read().rsplit(")", 1)[1].split()[0] == "S" else 0
            time.sleep(0.01)

    def lose_bytes(self):
        self.take_copy()
        data = self.files(".table")[-1]
        self.overwrite(data, os.path.getsize(data) // 2, 1)

    def half_a_repair_is_refused(self):
        """Taking back all steps but the first leaves what a kill before the rows leaves, byte for byte."""
        self.lose_bytes()
        self.repair()
        path = sorted(self.read()[1])[0]
        self.run("fsck", "--undo", self.store + "/lost+found.d/00000002", self.store, statuses=(1,))
        for words in (("get", self.store, path), ("export", self.store), ("serve", "-f", self.store)):
            said = self.run(*words, statuses=(4,)).stderr.decode()
            assert "Run 'kvfs fsck -y' on it again" in said, said
        for mode in ("-n", "-p"):
            said = self.run("fsck", mode, self.store, statuses=(4,)).stdout.decode()
            assert "FS_UNCHECKED (730): " in said, said
        said = self.run("fsck", "-y", self.store, statuses=(1,)).stdout.decode()
        assert "FS_UNCHECKED (730): " in said, said
        assert path in self.read()[1]
        self.run("fsck", "-n", self.store)
        self.take_back()

    def kills_show_no_zeros(self, kills):
        """At any moment: the store is refused, or what can be read of it is right."""
        self.lose_bytes()
        began = time.monotonic()
        self.repair()
        took = time.monotonic() - began
        refused = 0
        for _ in range(kills):
            self.lose_bytes()
            check = subprocess.Popen([self.program, "fsck", "-y", self.store], stdout=subprocess.DEVNULL)
            time.sleep(self.rng.uniform(0, took))
            check.kill()
            check.wait()
            if b"cannot open" in self.run("export", self.store, statuses=(0, 4)).stderr:
                refused += 1
                self.run("fsck", "-y", self.store, statuses=(1,))
            assert self.read()[1]
            self.run("fsck", "-y", self.store, statuses=(0, 1))
            assert self.read()[1]
        print(f"# tried: {kills} kills of repairs, of which {refused} left a store that is refused")

    def every_code_was_told(self):
        assert self.told >= TOLD_BY_THE_COMMAND, TOLD_BY_THE_COMMAND - self.told

    def make_large_holes(self):
        """More of them than a repair has lost extents for."""
        size, rng = 40 << 20, random.Random(8)
        starts = sorted(rng.sample(range(0, size // 65536), 60))
        parts = [(start * 65536, rng.randbytes(rng.choice([10, 3000, 40000]))) for start in starts] + [(size - 10, b"at the end")]
        data = bytearray(size)
        for offset, part in parts:
            data[offset:offset + len(part)] = part
        self.add_sparse_file(self.sound, "sparse", parts, size)
        self.tree["sparse"] = (tarfile.REGTYPE, 0o640, bytes(data))

    def any_damage(self, steps):
        self.make_large_holes()
        damaged = in_number = 0
        for _ in range(steps):
            self.take_copy()
            for _ in range(self.rng.choice([1, 1, 2, 4])):
                path = self.rng.choice(self.files(".table") + self.files(".blob"))
                offset = self.rng.randrange(os.path.getsize(path))
                self.overwrite(path, offset, self.rng.choice([1, 1, 64, 3000, 9000]))
            damaged += "repaired" in self.repair()
            self.read()
            in_number += b"holes of 1 files are known to be lost" in self.run("fsck", "-v", self.store).stdout
            self.take_back()
        print(f"# tried: {steps} stores damaged at random, of which {damaged} were repaired, {in_number} with a file that lost its holes")


def main():
    report = Report()
    slow = bool(os.environ.get("KV_SLOW"))
    steps = int(sys.argv[2]) if len(sys.argv) > 2 else STEPS_SLOW if slow else STEPS
    seed = int(os.environ.get("KV_SEED") or random.SystemRandom().getrandbits(48))
    os.environ.pop("KVFS_STORE", None)
    with tempfile.TemporaryDirectory() as work:
        test = Stores(sys.argv[1], work, seed)
        report.point("names, modes and links come back whichever block of them is damaged", attempt(test.names_come_back))
        report.point("bytes that were lost are errors until they are written", attempt(test.lost_bytes_are_errors))
        report.point("without their contents files are what they were, and reading them fails", attempt(test.lost_contents_are_errors))
        report.point("so they are if that repair was cut short, and never zeros", attempt(test.half_a_table_is_refused))
        report.point("what logs still have of lost contents is kept", attempt(test.logs_keep_contents))
        report.point("contents without names are in lost+found", attempt(test.contents_without_names_are_found))
        report.point("holes of a file of which only contents are left are errors", attempt(test.holes_of_unknown_files_are_errors))
        report.point("a file of any size that lost its contents takes one row", attempt(test.huge_files_take_one_row))
        report.point("all of a damaged file that can be read is exported", attempt(test.what_can_be_read_is_exported))
        report.point("a signal ends it before it changes anything", attempt(test.signals_end_it))
        report.point("a store whose repair was cut short before the rows is refused, not read as zeros", attempt(test.half_a_repair_is_refused))
        print(f"# replay with KV_SEED={seed}")
        kills = KILLS_SLOW if slow else KILLS
        report.point("a repair that is killed leaves no wrong bytes", attempt(lambda: test.kills_show_no_zeros(kills)))
        report.point("no damage makes wrong bytes, leaves a problem, or cannot be taken back", attempt(lambda: test.any_damage(steps)))
        report.point("every code that the command tells had a store", attempt(test.every_code_was_told))
    print(f"1..{report.points}")
    sys.exit(report.failed > 0)


if __name__ == "__main__":
    main()
