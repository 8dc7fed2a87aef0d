# SPDX-License-Identifier: Apache-2.0
"""What fs_peers found: tables in markdown, all figures as JSON, the ratios as a picture."""

import json
import os
import shutil
import statistics
import subprocess
import sys

FORMAT_VERSION = 1
BASE = "ext4"


# The in-memory file systems that are limits. The kernel checks the permissions of the checked one, as
# it does those of a mount of kvfs that others may use: it asks for a directory's attributes again after
# each change.
LIMITS = {"memory": "× in memory, same transport", "memory-checked": "× in memory, permissions checked, same transport"}


def limit_of(limit, peer):
    """The limit on the transport of the peer."""
    return limit + "-uring" if "uring" in peer else limit


def short(figure):
    """Three digits that mean something."""
    if figure is None:
        return "-"
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


class Report:
    """`results`: load -> peer -> figures of the rounds, None where one failed."""

    def __init__(self, args, names, loads, results):
        self.args = args
        self.names = names
        self.loads = loads
        self.results = results

    def figures(self, load, peer):
        return self.results.get(load.name, {}).get(peer, [])

    def median(self, load, peer):
        known = [f for f in self.figures(load, peer) if f is not None]
        return statistics.median(known) if known else None

    def ratio(self, load, peer, other):
        """How many times faster than the other; None if there is nothing to compare."""
        pairs = [(a, b) for a, b in zip(self.figures(load, peer), self.figures(load, other)) if a and b]
        if not pairs or peer == other or load.unit == "MB":
            return None
        return statistics.median(a / b if load.more_is_better() else b / a for a, b in pairs)

    def table(self, title, names, cell):
        rows = [f"| {title} | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
        for load in self.loads:
            cells = [cell(load, name) for name in names]
            if any(c is not None for c in cells):
                rows.append(f"| {load.name} | " + " | ".join(short(c) for c in cells) + " |")
        return "\n".join(rows) + "\n"

    def against(self, name):
        return lambda load, peer: self.ratio(load, peer, limit_of(name, peer) if name in LIMITS else name)

    def markdown(self, left_out):
        args = self.args
        parts = [f"{args.num} files of {args.size}, stream of {args.stream}, {args.syncs} syncs, a tree of {args.tree} "
                 f"files, medians of {args.rounds} interleaved rounds, {os.cpu_count()} processors, Linux {os.uname().release}.\n",
                 self.table("per second, of scripts seconds, of memory MB", self.names, self.median)]
        if BASE in self.names:
            parts.append(self.table(f"× {BASE}", [n for n in self.names if n != BASE], self.against(BASE)))
        for limit, title in LIMITS.items():
            if limit in self.names:
                parts.append(self.table(title, [n for n in self.names if not n.startswith("memory")], self.against(limit)))
        parts += [f"{peer.name}: {peer.obstacle}\n" for peer in left_out]
        return "\n".join(parts)

    def write(self):
        if not self.args.output:
            return
        with open(self.args.output + ".md", "w", encoding="utf-8") as file:
            file.write(self.markdown([]))
        with open(self.args.output + ".json", "w", encoding="utf-8") as file:
            json.dump({"format_version": FORMAT_VERSION, "settings": vars(self.args),
                       "units": {load.name: load.unit for load in self.loads}, "results": self.results}, file, indent=1)
        self.draw(self.args.output + ".png")

    def draw(self, path):
        """Bars of the ratios to ext4; without it, of the figures."""
        if not shutil.which("gnuplot"):
            print("# no picture: there is no gnuplot", file=sys.stderr)
            return
        compared = BASE in self.names and len(self.names) > 1
        names = [n for n in self.names if not compared or n != BASE]
        cell = self.against(BASE) if compared else self.median
        lines = ["load " + " ".join(names)]
        for load in self.loads:
            cells = [cell(load, name) for name in names]
            if any(cells):
                lines.append(load.name + " " + " ".join(str(c) if c else "-" for c in cells))
        label = "times as fast as ext4" if compared else "per second; scripts: seconds"
        script = "\n".join(["$data << END", *lines, "END", "set terminal png size 1800,800", f"set output '{path}'",
                            "set style data histogram", "set style fill solid 0.8", "set logscale y", f"set ylabel '{label}'",
                            "set grid y", "set key outside top horizontal noenhanced", "set xtics rotate by -45 noenhanced",
                            "set datafile missing '-'",
                            f"plot for [i=2:{len(names) + 1}] $data using i:xtic(1) title columnheader(i)"
                            + (", 1 with lines lc black notitle" if compared else "")])
        subprocess.run(["gnuplot"], input=script, text=True, check=True)

    def status(self):
        """1 if something failed on kvfs; that others fail is a result."""
        failed = [f"{load.name} on {name}" for load in self.loads for name in self.names
                  if name.startswith("kvfs") and None in self.figures(load, name)]
        if failed:
            print("fs_peers: failed: " + ", ".join(failed), file=sys.stderr)
        return 1 if failed else 0
