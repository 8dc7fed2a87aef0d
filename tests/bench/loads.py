# SPDX-License-Identifier: Apache-2.0
"""What fs_peers runs on each file system: the workloads of kvfs bench fs, and everyday commands."""

import json
import os
import random
import subprocess
import sys
import time

from peers import choose  # noqa: F401  by name, as peers are

SMALL = ["create", "stat", "list", "read", "overwrite", "rename", "unlink"]
LARGE = ["seqwrite", "seqread", "fsync4k"]
COLD = ["stat", "list", "read", "rename", "unlink"]
AGAIN = ["stat", "read"]  # right after the first time, from the kernel's caches
FILES_A_DIRECTORY = 40


class Load:
    """`script`: a function of a Scripts; or else a workload of kvfs bench fs."""

    def __init__(self, name, unit, script=None, workload=None, threads=1, cold=False):
        self.name = name
        self.unit = unit
        self.script = script
        self.workload = workload
        self.threads = threads
        self.cold = cold

    def more_is_better(self):
        return self.unit.endswith("/s")


def all_loads(args):
    found = []
    for threads in [int(word) for word in args.threads.split(",")]:
        suffix = f"-{threads}" if threads > 1 else ""
        for workload in SMALL + LARGE:
            unit = "MB/s" if workload.startswith("seq") else "1/s"
            found.append(Load(workload + suffix, unit, workload=workload, threads=threads))
            if workload in AGAIN:
                found.append(Load(f"warm-{workload}{suffix}", unit, workload=workload, threads=threads))
        for workload in COLD:
            found.append(Load(f"cold-{workload}{suffix}", "1/s", workload=workload, threads=threads, cold=True))
    for name, script in SCRIPTS.items():
        found.append(Load(name, "s", script=script))
    return found + [Load("daemon-memory", "MB")]


def run(place, wanted, material, args):
    """load -> figure, without those that failed."""
    figures = {}
    for threads in sorted({load.threads for load in wanted if load.workload}):
        for cold in False, True:
            group = [load for load in wanted if load.workload and (load.threads, load.cold) == (threads, cold)]
            if group and not bench(place, group, args, figures):
                for load in group:  # one that fails takes the others with it
                    bench(place, [load], args, figures)
    scripts = Scripts(place, material)
    for load in wanted:
        if load.script:
            figures[load.name] = scripts.attempt(load)
    if place.daemon():
        figures["daemon-memory"] = peak_mb(place.daemon())
    return figures


def bench(place, group, args, figures):
    """One run of kvfs bench fs. False, and said why, if it failed."""
    command = [place.kvfs, "bench", "fs", "--json", "-q", "--workload", ",".join(load.workload for load in group),
               "--num", str(args.num), "--size", args.size, "--stream", args.stream, "--syncs", str(args.syncs),
               "--threads", str(group[0].threads)] + (["--cold"] if group[0].cold else [])
    done = subprocess.run(command + [place.mnt], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        print(f"# {place.peer.name}: {command[6]}: {done.stderr.strip()}", file=sys.stderr)
    if done.returncode and (place.mount or not done.stdout):
        return False  # others need not be able to remove what was made
    for load, result in zip(group, json.loads(done.stdout)["results"]):
        figures[load.name] = result["mb_per_second" if load.unit == "MB/s" else "ops_per_second"]
    return True


def peak_mb(process):
    with open(f"/proc/{process}/status", encoding="ascii") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1000
    return None


# ---- everyday commands ----

def git(directory, *words):
    """Whose settings the user has must not matter."""
    who = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_AUTHOR_NAME": "T",
           "GIT_AUTHOR_EMAIL": "t@example.com", "GIT_COMMITTER_NAME": "T", "GIT_COMMITTER_EMAIL": "t@example.com"}
    subprocess.run(["git", "-C", directory, "-c", "gc.auto=0", *words], env=dict(os.environ, **who), check=True,
                   stdout=subprocess.DEVNULL)


class Material:
    """A tree as sources have them, as an archive and as a git repository with two branches."""

    def __init__(self, directory, files):
        self.tar = os.path.join(directory, "tree.tar")
        self.repository = os.path.join(directory, "repository")
        self.rng = random.Random(1)
        tree = os.path.join(self.repository, "tree")
        os.makedirs(tree)
        paths = [self.make_file(tree, number) for number in range(files)]
        subprocess.run(["tar", "-C", self.repository, "-cf", self.tar, "tree"], check=True)
        git(self.repository, "init", "-q", "-b", "first")
        self.commit()
        git(self.repository, "checkout", "-q", "-b", "second")
        for path in paths[::3]:
            self.write(path)
        self.commit()
        git(self.repository, "checkout", "-q", "first")

    def make_file(self, tree, number):
        directory = number // FILES_A_DIRECTORY
        path = os.path.join(tree, f"part{directory // 10}", f"module{directory}", f"source{number}.c")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.write(path)
        return path

    def write(self, path):
        with open(path, "w", encoding="ascii") as file:
            for _ in range(self.rng.randrange(1, 200)):
                file.write(f"line {self.rng.getrandbits(64):x} of some program\n")

    def commit(self):
        git(self.repository, "add", "-A")
        git(self.repository, "commit", "-q", "-m", "tree")


class Scripts:
    """The commands in one place. Each makes what it needs first, unmeasured."""

    def __init__(self, place, material):
        self.place = place
        self.material = material
        self.tree = os.path.join(place.mnt, "tree")
        self.clone = os.path.join(place.mnt, "clone")

    def attempt(self, load):
        """Seconds, or None."""
        try:
            return load.script(self)
        except (OSError, subprocess.SubprocessError) as error:
            print(f"# {self.place.peer.name}: {load.name}: {error}", file=sys.stderr)
            return None

    def timed(self, command):
        begin = time.monotonic()
        command()
        return time.monotonic() - begin

    def timed_words(self, *words):
        return self.timed(lambda: subprocess.run(words, check=True, stdout=subprocess.DEVNULL))

    def untar(self):
        self.need_no_tree()
        return self.timed_words("tar", "-C", self.place.mnt, "-xf", self.material.tar)

    def need_tree(self):
        if not os.path.exists(self.tree):
            self.untar()

    def need_no_tree(self):
        subprocess.run(["rm", "-rf", self.tree], check=True)

    def cold(self, *words):
        self.need_tree()
        self.place.cool()
        return self.timed_words(*words)

    def find(self):
        return self.cold("find", self.tree, "-printf", "%s\\n")

    def list_long(self):
        return self.cold("ls", "-lR", self.tree)

    def grep(self):
        return self.cold("grep", "-rc", "program", self.tree)

    def disk_usage(self):
        return self.cold("du", "-s", self.tree)

    def remove(self):
        self.need_tree()
        return self.timed_words("rm", "-rf", self.tree)

    def git_clone(self):
        subprocess.run(["rm", "-rf", self.clone], check=True)
        return self.timed(lambda: git(self.place.mnt, "clone", "-q", f"file://{self.material.repository}", self.clone))

    def need_clone(self):
        if not os.path.exists(self.clone):
            self.git_clone()

    def git_status(self):
        """The second one: the first writes the index anew."""
        self.need_clone()
        git(self.clone, "status")
        return self.timed(lambda: git(self.clone, "status"))

    def git_checkout(self):
        self.need_clone()
        git(self.clone, "checkout", "-q", "first")
        return self.timed(lambda: git(self.clone, "checkout", "-q", "second"))


SCRIPTS = {"untar": Scripts.untar, "cold-find": Scripts.find, "cold-ls-l": Scripts.list_long, "cold-grep": Scripts.grep,
           "cold-du": Scripts.disk_usage, "rm-r": Scripts.remove, "git-clone": Scripts.git_clone,
           "git-status": Scripts.git_status, "git-checkout": Scripts.git_checkout}
